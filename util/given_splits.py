"""Splits that the names of tables, sources and folders give to films."""

import re
from collections import defaultdict
from itertools import count
from pathlib import Path, PurePath

import pandas as pd

from util.data_folder import SPLITS
from util.errors import UserError, counted, print_note
from util.film_files import count_reasons, split_usable, stem_of
from util.identity import film_keys, loose_name, patient_ids

# the split in a name: "Training Set", "df_val", "boneage-test-dataset", not "latest"
SPLIT_WORD = re.compile(
    r"(?<![a-z])(train|val|test)(?:ing|id|idation)?(?:(?:data)?set|data)?(?![a-z])"
)


def given_split(table, source, *, table_first):
    """Return the split that the name of a table or of its source indicates, or "". With
    `table_first` the name of the table counts first, otherwise that of the source."""
    by_table, by_source = split_in_name(table.stem), split_of_source(source)
    return by_table or by_source if table_first else by_source or by_table


def split_of_source(source):
    """Return the split that the name of a source indicates, or ""."""
    given = Path(source.name)  # a link counts by its own name
    return split_in_name(given.resolve() if given.name in ("", "..") else given)


def splits_of_places(paths, sources):
    """Return the split that the folders of each film, or else the name of its source, indicate."""
    by_folder = splits_of_folders(paths, [source.folder for source in sources])
    return [
        split or split_of_source(source) for split, source in zip(by_folder, sources, strict=True)
    ]


def splits_of_folders(paths, folders):
    """Return the split that the folders of each film indicate, "" for none. Only folders below the
    film's source (in `folders`) count, and the nearest to the film comes first."""
    splits = []
    for path, folder in zip(map(Path, paths), folders, strict=True):
        inside = path.relative_to(folder).parts[:-1] if path.is_relative_to(folder) else ()
        splits.append(next(filter(None, map(split_in_name, reversed(inside))), ""))
    return splits


def split_in_name(name):
    """Return the split that a name indicates: "train", "val", "test", or "" for none."""
    found = set(SPLIT_WORD.findall(Path(name).name.lower()))
    return found.pop() if len(found) == 1 else ""


def several_splits(splits):
    """Whether films were given two splits or more; "" is no split."""
    return len(set(splits) - {""}) > 1


def films_it_may_mean(table, images, split_of):
    """Return the images that the rows of a table may mean: where images of several splits have one
    name, not those of another split than the name of the table indicates. `split_of` is {image: the
    split of its place}, see `splits_of_places`."""
    own, splits = split_in_name(table.stem), defaultdict(set)
    names = {image: loose_name(stem_of(image)) for image in images}
    for image, name in names.items():
        splits[name].add(split_of[image])

    def may_mean(image):
        return split_of[image] in ("", own) or not several_splits(splits[names[image]])

    return [image for image in images if may_mean(image)] if own else images


def name_apart(films, places):
    """Put folders before ids that begin anew in each given split (train_1, val_1), and print it.
    `places` are the paths of the films, those in zips with the name of the zip.

    Ids begin anew if most ids of a split are also in another, there mostly with another sex or age.
    If these agree, they are the same films: see `check_given_splits`.
    """
    placed = films[(films["path"] != "") & (films["id"] != "")]

    def in_several(keys):
        return placed["given_split"].groupby(keys).transform("nunique") > 1

    shared, same = in_several(placed["id"].map(loose_name)), in_several(film_keys(placed))
    of_splits = shared.groupby(placed["given_split"]).mean()
    if not (of_splits > 0.5).any() or same[shared].mean() > 0.5:
        return films
    parts = [
        PurePath(place).with_name(stem_of(PurePath(place))).parts for place in places[placed.index]
    ]
    depth = next(n for n in count(1) if len({p[-n:] for p in parts}) == len(set(parts)))
    ids = pd.Series(["_".join(p[-depth:]) for p in parts], placed.index)
    print_note(
        f"ids begin anew in each split: {len(ids)} films are called after their folders, such as "
        f"{ids.iloc[0]}"
    )
    return films.assign(id=films["id"].mask(films.index.isin(ids.index), ids))


def note_lost_splits(films, usable):
    """Print which given splits have no usable film."""
    for split in SPLITS:
        rows = films[films["given_split"] == split]
        if len(rows) and split not in set(usable["given_split"]):
            reasons = count_reasons(split_usable(rows)[1])
            print_note(
                f"none of {counted(len(rows), 'row')} given for {split} can be used: {reasons}"
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
    together = "keep all films of a patient in one of them, or leave out the column of patients."
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
