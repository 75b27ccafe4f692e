"""Which films of different tables are the same film, or show the same child, by id or patient, sex
and label."""

import hashlib
import os
import unicodedata
import zlib
from pathlib import Path

import numpy as np
import pandas as pd

LABELS = ["id", "sex", "boneage"]  # identify a labelled film
MONTH_DECIMALS = 4  # of labels: versions of pandas differ in the last digits that they read
SAMPLE = 4096  # bytes
SAME_PATIENTS = 0.9  # least share of films whose sexes agree; by chance half do


def without_float(text):
    """Return a number or name as text, without the ".0" that a gap adds to a column of numbers."""
    stem, _, ending = text.rpartition(".")
    return stem if ending == "0" and stem.isdigit() else text


def loose_name(stem):
    """Return a form of a name that ignores leading zeros, the ".0" of a float, capital letters, and
    the way macOS writes accents."""
    name = unicodedata.normalize("NFC", without_float(stem)).casefold()
    return name.lstrip("0") or name[-1:]  # 000 is 0


def film_keys(table, label=True):
    """Return (id, sex, label) of each film, or (id, sex) without `label`; the id has no leading
    zeros: 00123 in one table is 123 in another if sex and label agree."""
    keys = [table["id"].map(loose_name), table["sex"]]
    if label:
        keys.append(table["boneage"].round(MONTH_DECIMALS))
    return pd.Series(list(zip(*keys, strict=True)), table.index, object)


def patient_ids(table):
    """Return the patient of each film, without leading zeros; "" where unknown, as in a table
    without that column."""
    patient = table.get("patient", pd.Series("", table.index))
    return patient.fillna("").map(loose_name)


def of_two_sexes(table):
    """Return the mask `(n,)` of the films whose patient has films of both sexes."""
    patient = patient_ids(table)
    return (table.groupby(patient)["sex"].transform("nunique") > 1) & (patient != "")


def fingerprint(table):
    """A hash of the ids, sexes and labels of a split, in order: the same data, the same hash."""
    columns = pd.util.hash_pandas_object(table[LABELS], index=False)
    return hashlib.sha256(columns.to_numpy().tobytes()).hexdigest()[:16]


def hash_files(table):
    """A hash of the films of a table with column path: the sum, modulo 2**64, of a hash of each
    film's id, sex, label and file. So the order is of no account, and the hashes of two parts of a
    split add up to that of the whole.

    Of a file, its size and its middle count: they differ between two films, and change when films
    are made again. Reading all of each would take minutes where films are large.
    """
    films = table[LABELS].assign(file=table["path"].map(sample_file))
    return f"{pd.util.hash_pandas_object(films, index=False).sum():016x}"


def sample_file(path):
    """Return the size of a file and the CRC of its middle, SAMPLE bytes, as text."""
    with Path(path).open("rb", buffering=0) as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - SAMPLE) // 2)
        return f"{size} {zlib.crc32(file.read(SAMPLE))}"


def hash_films(table):
    """Return a hash, 8 hexadecimal digits, of the id (without leading zeros), sex and label of each
    film of a table. Whoever knows an id can find its sex and label by trying them all."""
    films = zip(table["id"], table["sex"], table["boneage"], strict=True)
    texts = [f"{loose_name(id_)} {int(sex)} {float(months):.2f}" for id_, sex, months in films]
    return pd.Series(
        [hashlib.sha256(text.encode()).hexdigest()[:8] for text in texts], table.index, str
    )


def are_among(table, films, label=True):
    """Return the mask `(n,)` of the rows of a table whose `film_keys` are also among those of
    `films`."""
    return film_keys(table, label).isin(film_keys(films, label)).to_numpy()


def label_columns(films):
    """Return the columns that identify the films of a table: LABELS, and patient if any has one."""
    return [*LABELS, "patient"] if (patient_ids(films) != "").any() else LABELS


def patients_or_films(films):
    """Return the patient of each film (see `patient_ids`) or, without one, a name of its own."""
    patient = patient_ids(films)
    return patient.where(patient != "", "film " + films["id"])


def patients_for_splits(films):
    """Return a number for each labelled film. Films that splits must not separate have the same:
    those of a patient, those with equal `film_keys`, and those that others connect so."""
    pairs = []
    for names in (patients_or_films(films), film_keys(films)):
        numbers = pd.factorize(names)[0]
        first = np.unique(numbers, return_index=True)[1]  # the row where each number comes first
        pairs += enumerate(first[numbers])
    return pd.Series(groups_of(pairs, len(films)), films.index)


def groups_of(pairs, n):
    """Return the group number of each of `n` films; films that pairs connect are in one group."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    i, j = np.array(pairs, int).reshape(-1, 2).T
    graph = coo_array((np.ones(len(i)), (i, j)), shape=(n, n))
    return connected_components(graph, directed=False)[1]


def count_patients(predictions):
    """Return how many children the films show, as far as is known."""
    return patients_or_films(predictions).nunique()


def of_same_patients(table, films):
    """Return the mask `(n,)` of the rows of a table whose patient also has a film among `films`.

    All False if either has no patients. Ids of two hospitals may be the same by chance: they count
    only if the sexes of nearly all shared patients agree (SAME_PATIENTS).
    """
    one, other = (patient_ids(part) for part in (table, films))
    sex = films["sex"].groupby(other.where(other != "")).first()  # known patients alone
    shared = one.isin(sex.index)
    agree = table["sex"][shared] == one[shared].map(sex)
    return (shared & (agree.mean() >= SAME_PATIENTS)).to_numpy()
