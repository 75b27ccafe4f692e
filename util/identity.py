"""Which films of tables that were written apart are the same film, or of the same child: by id or
patient, sex and label."""

import hashlib
import unicodedata

import numpy as np
import pandas as pd

LABELS = ["id", "sex", "boneage"]  # what tells a labelled film from others
SAME_PATIENTS = 0.9  # share of children whose sexes agree; by chance half of them do


def without_float(text):
    """A number or name as text, without the ".0" that a gap gives to a column of numbers."""
    stem, _, ending = text.rpartition(".")
    return stem if ending == "0" and stem.isdigit() else text


def loose_name(stem):
    """A name that is the same with leading zeros or without, with the ".0" of a float, in capital
    letters, and with accents as macOS writes them."""
    name = unicodedata.normalize("NFC", without_float(stem)).casefold()
    return name.lstrip("0") or name[-1:]  # 000 is 0


def film_keys(table):
    """The id, leading zeros aside, the sex and the label of each film: 00123 in one table is 123 in
    another where these agree."""
    films = zip(table["id"].map(loose_name), table["sex"], table["boneage"], strict=True)
    return pd.Series(list(films), table.index, object)


def patient_ids(table):
    """The patient of each film, leading zeros aside; "" where none is told."""
    return table["patient"].fillna("").map(loose_name)


def fingerprint(table):
    """A hash of the ids, sexes and labels of a split, in order: the same data, the same hash."""
    columns = pd.util.hash_pandas_object(table[LABELS], index=False)
    return hashlib.sha256(columns.to_numpy().tobytes()).hexdigest()[:16]


def hash_films(table):
    """A hash of the id, leading zeros aside, the sex and the label of each film of a table, 8
    hexadecimal digits. Who knows an id can find sex and label by trying."""
    films = zip(table["id"], table["sex"], table["boneage"], strict=True)
    texts = [f"{loose_name(id_)} {int(sex)} {float(months):.2f}" for id_, sex, months in films]
    return pd.Series(
        [hashlib.sha256(text.encode()).hexdigest()[:8] for text in texts], table.index, str
    )


def are_among(table, films, label=True):
    """Mask `(n,)` of the rows of a table that are also among `films`: those of the same id, leading
    zeros aside, the same sex and, unless `label` is False, the same bone age."""
    keys = LABELS if label else ["id", "sex"]
    one, other = (part.assign(id=part["id"].map(loose_name))[keys] for part in (table, films))
    both = one.merge(other.drop_duplicates(), how="left", indicator=True)
    return (both["_merge"] == "both").to_numpy()


def label_columns(films):
    """The columns that tell the films of a table: LABELS, and patient where one is told."""
    told = "patient" in films and (films["patient"].fillna("") != "").any()
    return [*LABELS, "patient"] if told else LABELS


def patients_or_films(films):
    """Who each film is of: the patient that the table tells, see `patient_ids`, else one with this
    film alone."""
    patient = patient_ids(films)
    return patient.where(patient != "", "film " + films["id"])


def patients_for_splits(films):
    """Who each labelled film is of, as `patients_or_films`, but films of no patient that are one by
    `film_keys` are of one: they must not be parted."""
    patient = patient_ids(films)
    return patient.where(patient != "", film_keys(films).map(str))


def repeated_patients(predictions):
    """Who each film is of `(n,)`; None where no child is known to have two films."""
    if "patient" not in predictions:
        return None
    patients = patients_or_films(predictions)
    return patients if patients.duplicated().any() else None


def count_patients(predictions):
    """How many children films are of, as far as it is known."""
    patients = repeated_patients(predictions)
    return len(predictions) if patients is None else patients.nunique()


def effective_films(predictions):
    """How many films of a child each would tell as much as these films, where those of one child
    are alike: (sum m)^2 / (sum m^2) for children of m films (Kish 1965, Survey Sampling). With as
    many films of each child it is the number of children."""
    patients = repeated_patients(predictions)
    if patients is None:
        return len(predictions)
    films = patients.value_counts()
    return float(films.sum() ** 2 / (films**2).sum())


def of_same_patients(table, films):
    """Mask `(n,)` of the rows of a table whose patient also has a film among `films`, none where
    either has no patients. Ids of two hospitals may be the same by chance: they count only if the
    sexes of nearly all that are shared agree (SAME_PATIENTS)."""
    none = np.zeros(len(table), bool)
    if "patient" not in table or "patient" not in films:
        return none
    one, other = (patient_ids(part) for part in (table, films))
    sex = films["sex"][other != ""].groupby(other).first()
    shared = one.isin(sex.index)
    agree = table["sex"][shared] == one[shared].map(sex)
    return shared.to_numpy() if agree.mean() >= SAME_PATIENTS else none
