"""The splits of imported films: given ones, drawn ones, those of a run, and named test films."""

from pathlib import Path

import pandas as pd

from util.data_folder import SPLITS
from util.errors import UserError
from util.held_out import are_films_of, lists_films
from util.identity import loose_name, patient_ids, patients_for_splits
from util.stratify import spread_out
from util.tables.labelled_films import take_element_as_id
from util.tables.labels import find_label_columns, labels_of
from util.tables.matching import trim_path
from util.tables.text import read_table


def assign_splits(films, shares, seed, tested=()):
    """Return the split of each film; given splits are kept, the others drawn.

    The drawn ones are stratified by sex and age. `shares` (train, val, test) are of all patients.
    All films of a patient go into one split, and those of the films `tested`, of which it is the
    index, always into test. UserError when no film is left to train on.
    """
    patients, given = patients_for_splits(films), set(films["given_split"]) - {""}
    split_of = fixed_splits(films, patients, tested)
    undecided = films[~patients.isin(split_of) & ~patients.duplicated()]  # one film of each patient
    waiting = list(patients[spread_out(undecided, seed)])
    shares = dict(zip(SPLITS, shares, strict=True))
    total = len(waiting) + len(split_of)
    for name in ("test", "val"):
        have = sum(split == name for split in split_of.values())
        wanted = 0 if name in given else round(shares[name] * total)  # a given split is complete
        drawn = waiting[: max(0, wanted - have)]
        split_of |= dict.fromkeys(drawn, name)
        waiting = waiting[len(drawn) :]
    if ("train" in given or shares["train"]) and not waiting:
        if len(undecided):
            raise UserError(
                f"none of {len(films)} films is left for training: {total} patients are too few for "
                "these shares. Give training a larger one (--split)."
            )
        raise UserError(
            f"none of {len(films)} films is for training: all are given to validation or test. "
            "Add the training films to --source, or rename a source that is not such a split"
            + (", or name fewer in --test_ids." if len(tested) else ".")
        )
    rest = "train" if "train" in given else next(name for name in SPLITS if shares[name])
    return patients.map(split_of | dict.fromkeys(waiting, rest))


def split_as_run(films, run):
    """Give films the splits in which a run had them, as a column `given_split`.

    Films match by id, sex and label, see `are_films_of`. Returns (films that have a split, a frame
    of the others with the reason). UserError where a split gets no film, or the run has neither
    lists nor hashes of its films.
    """
    if not lists_films(run, "train"):
        raise UserError(
            f"the run comes without a list of its films (--split_of {run.folder}). Name another."
        )
    split = pd.Series("", films.index)
    for name in SPLITS:
        split[are_films_of(run, run.config["data"], name, films, or_children=False)] = name
        if name not in set(split):
            raise UserError(
                f"none of {len(films)} films is among the {name} films of the run ({run.folder}). Name "
                "the sources that it was trained on."
            )
    known = split != ""
    others = films.loc[~known, ["id", "path"]].assign(reason=f"in no split of {run.folder.name}")
    others["filename"] = [Path(path).name for path in others.pop("path")]
    return films.assign(given_split=split)[known], others


def fixed_splits(films, patients, tested):
    """Return {patient: split} of the patients whose split isn't drawn.

    Their films are given for validation or test, or are among the `tested`, which go to test. Films
    given for training don't count, as splits that aren't given are drawn from them.
    """
    split = films["given_split"].replace("train", "")
    split[patients.isin(patients[list(tested)])] = "test"
    return dict(split[split != ""].groupby(patients).first())


def are_named(ids, named):
    """Return which of `ids` (a column) are among the ids `named`. 001405 also names 1405, unless
    the column has 001405 itself, or several ids that differ only in their zeros."""
    exact, loose = ids.isin(named), ids.map(loose_name)
    others = {loose_name(id_) for id_ in set(named) - set(ids)}
    return exact | (loose.isin(others) & ~loose.duplicated(keep=False))


def read_named(path, match_by):
    """Read what --test_ids names: the frame of `labels_of`, with patients only if the table has no
    other ids, and with names of files only if it has no ids beside them. For `match_by` see
    `take_element_as_id`."""
    table = take_element_as_id(read_table(path), match_by, path)
    columns, named = find_label_columns(table, path, need=()), labels_of(table, path, need=())
    first = columns["id"][0]
    if first not in columns["patient"]:  # the last of its synonyms: a table without other ids
        named["patient"] = ""
    if first not in columns["filename"] and columns["filename"]:
        named["filename"] = ""
    return named[named["id"] != ""]


def find_named(films, left_out, named, path):
    """Return the index of the films that `read_named` read from `path`: by their names in the
    tables, by patient, or by id.

    UserError when something names no film, or several, unless it was left out: it might come into
    another split.
    """
    names, patients = films["filename"].map(trim_path), patient_ids(films)
    told, of_patients = named["filename"].map(trim_path), patient_ids(named)
    ends = names.str.rpartition("/")[2]
    alone = ~ends.duplicated(keep=False)  # files whose folder need not be told
    name_of = dict(zip(ends[alone], names[alone], strict=True))
    told = told.map(lambda name: name_of.get(name, name))
    by_name = (told != "") & told.isin([*names, *left_out["filename"].map(trim_path)])
    by_patient = (of_patients != "") & any(patients)  # else patients are the ids
    found = names.isin(told[by_name]) | patients.isin(of_patients[by_patient])
    found |= are_named(films["id"], named["id"][~by_name & ~by_patient])
    known = pd.concat([films["id"][found], left_out["id"]]).map(loose_name)
    is_known = by_name | named["id"].map(loose_name).isin(known)
    unknown = named["id"][~is_known.mask(by_patient, of_patients.isin(patients))]
    if len(unknown):
        raise UserError(
            f"{len(unknown)} of {len(named)} rows name no film, or several, such as "
            f"{unknown.iloc[0]} (--test_ids {path}). Correct or remove them."
        )
    return films.index[found]
