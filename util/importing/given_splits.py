"""Splits that the names of tables, sources and folders, or columns, give to films."""

import re
from pathlib import Path

import pandas as pd

from util.data_folder import SPLITS
from util.errors import UserError, counted, print_note
from util.identity import film_keys, patient_ids
from util.tables.left_out import count_reasons, why_left_out
from util.tables.text import clean_text, plain_header

# the split in a name: "Training Set", "df_val", "boneage-test-dataset", not "latest"
SPLIT_WORD = re.compile(
    r"(?<![a-z])(train|val|test)(?:ing|id|idation)?(?:(?:data)?set|data)?(?![a-z])"
)


def given_split(table, source, *, table_first):
    """Return the split that the name of a table or of its source indicates, or "". With
    `table_first` the name of the table counts first, otherwise that of the source."""
    given = Path(source.name)  # a link counts by its own name
    name = given.resolve().name if given.name in ("", "..") else given.name
    by_table, by_source = split_in_name(table.stem), split_in_name(name)
    return by_table or by_source if table_first else by_source or by_table


def splits_of_folders(paths, folders):
    """Return the split that the folders of each film indicate, "" for none. Only folders below the
    film's source (in `folders`) count, and the nearest to the film comes first."""
    splits = []
    for path, folder in zip(map(Path, paths), folders, strict=True):
        inside = path.relative_to(folder).parts[:-1] if path.is_relative_to(folder) else ()
        splits.append(next(filter(None, map(split_in_name, reversed(inside))), ""))
    return splits


def splits_of_rows(table, path):
    """Return the split that a column `split`, `set` or `subset` of a table, read from `path`, gives
    to each row, "" without such a column. It must tell one for each row: prints if it does so for
    some alone."""
    for column in (c for c in table if plain_header(c) in ("split", "set", "subset")):
        splits = clean_text(table[column]).map(split_in_name)
        if (splits != "").all():
            return splits
        if several_splits(splits):
            row = splits.index[splits == ""][0]
            print_note(
                f"column {column} is not used, as some rows tell no split, such as row {row} ({path}): "
                "write train, val or test in each"
            )
    return pd.Series("", table.index)


def split_in_name(name):
    """Return the split that a name indicates: "train", "val", "test", or "" for none."""
    found = set(SPLIT_WORD.findall(Path(name).name.lower()))
    return found.pop() if len(found) == 1 else ""


def several_splits(splits):
    """Whether films were given two splits or more; "" is no split."""
    return len(set(splits) - {""}) > 1


def note_lost_splits(films, usable):
    """Print which given splits have no usable film, and why."""
    given, used = set(films["given_split"]), set(usable["given_split"])
    lost = [split for split in SPLITS if split in given - used]
    if lost:
        films = films.assign(reason=why_left_out(films))  # of all: two splits may name one film
    for split in lost:
        rows = films[films["given_split"] == split]
        print_note(
            f"none of {counted(len(rows), 'row')} given for {split} can be used: {count_reasons(rows)}"
        )


def check_given_splits(films):
    """UserError when a film, or a patient, is in more than one given split."""
    films = films[films["path"] != ""]
    ids = films[films["id"] != ""]
    patients = films[(films["given_split"] != "") & (films["patient"] != "")]
    apart = (
        "name each film once, in --source too; leave out a download that is not what its name "
        "says. Ids that are the same by chance, leading zeros aside, need other names."
    )
    together = (
        "keep all films of a patient in one of them, or leave out the column of patients, or that of "
        "splits."
    )
    for rows, column, keys, advice in (
        (ids, "id", ids["id"], apart),
        (ids, "id", film_keys(ids), apart),
        (patients, "patient", patient_ids(patients), together),
    ):
        shared = rows[rows.groupby(keys)["given_split"].transform("nunique") > 1]
        if len(shared):
            one = rows[keys == keys[shared[column].idxmin()]]
            raise UserError(
                f"{shared.groupby(keys).ngroups} {column}s are in more than one given split, such as "
                f"{one[column].min()} ({'; '.join(sorted(set(one['row'])))}): {advice}"
            )
