"""Which rows of a table, and which films without a row, are left out, and why; also in words."""

from pathlib import Path

import pandas as pd

from util.film_files import stem_of
from util.tables.matching import NO_FILE, SEVERAL

# why rows are left out, beside the reasons of `match_films`
NO_SEX, NO_AGE, NO_ID = "no usable sex", "no usable age", "no id"
TWO_SEXES = "two sexes for this film"
ANOTHER_AGE = "duplicate id, another age"
SAME_ID = "same id as another film: give ids of their own"
NO_ROW = "no label"  # of a film without a row


def split_usable(labels):
    """Split rows of `match_films` into (usable, left_out) by `why_left_out`; left_out has id,
    filename and reason. The filename of SAME_ID is the whole path."""
    reasons = why_left_out(labels)
    bad = reasons != ""
    names = labels["filename"].mask(reasons == SAME_ID, labels["path"])
    left_out = as_left_out(labels[bad].assign(filename=names[bad]), reasons[bad])
    usable = labels[~bad].drop(columns=["missing", "may_be"])
    return usable.reset_index(drop=True), left_out.reset_index(drop=True)


def why_left_out(labels):
    """Return why each row of `match_films` can't be used, "" if it can. Of several usable rows with
    the same id, the first can; SAME_ID is for others of other files and children. A film whose rows
    give two sexes has no usable row: which of them is right can't be known."""
    reasons = labels["missing"]
    for column, reason in (("sex", NO_SEX), ("boneage", NO_AGE)):
        reasons = reasons.mask((reasons == "") & labels[column].isna(), reason)
    two_sexes = labels.groupby("path")["sex"].transform("nunique") > 1
    reasons = reasons.mask((reasons == "") & two_sexes, TWO_SEXES)
    reasons = reasons.mask(labels["id"] == "", NO_ID)
    for columns, reason in (
        (["id", "path"], "duplicate id"),
        (["path"], "same file as another row"),
        (["id", "sex", "boneage"], "duplicate id"),  # a copy, it may be
        (["id"], SAME_ID),
    ):
        usable = labels[reasons == ""]  # a row that is left out is nobody's duplicate
        reasons[usable.index[usable.duplicated(columns)]] = reason
    repeats = labels[reasons == "duplicate id"]
    kept = repeats["path"].map(labels[reasons == ""].set_index("path")["boneage"])
    differs = (repeats["boneage"] - kept).abs() > 0
    reasons[repeats.index[differs]] = ANOTHER_AGE
    return reasons


def as_left_out(rows, reason):
    """Return rows of `match_films` as they are listed where they are left out: id, filename, that
    of the film if the table has none, and reason, one for all or a column."""
    found = rows["path"].map(lambda path: Path(path).name)
    names = rows["filename"].where(rows["filename"] != "", found)
    return rows[["id"]].assign(filename=names, reason=reason)


def unlabelled_films(images, films):
    """Return the `images`, {folder: list of paths in it}, that belong to no row of `films`, as left
    out, named by their paths below the folder. If a row may mean several images, they are not
    listed: the row itself is left out for that."""
    names = {
        path: path.relative_to(Path(folder).resolve()).as_posix()
        for folder, paths in images.items()
        for path in paths
    }
    known = {*films["path"], *(path for paths in films["may_be"] for path in paths)}
    loose = [path for path in names if str(path) not in known]
    return pd.DataFrame(
        {
            "id": [stem_of(path) for path in loose],
            "filename": [names[path] for path in loose],
            "reason": NO_ROW,
        }
    )


def count_reasons(left_out):
    """Return what was left out, in words: "3 no file, 1 no usable age"; "" if nothing was."""
    return ", ".join(f"{n} {reason}" for reason, n in left_out["reason"].value_counts().items())


def what_to_correct(left_out, films):
    """Return what to do if every row of a table was left out, by the most frequent reason; `films`
    are the paths that were searched."""
    reason = left_out["reason"].mode()[0]
    if reason == NO_FILE and films:
        row = left_out[left_out["reason"] == NO_FILE].iloc[0]
        named = row["filename"] or row["id"]
        return f"The table names {named}, the first film is {films[0].name}: name both alike."
    advice = {
        NO_FILE: "There are no films here.",
        NO_ID: "Write the name of each film into the column for the id.",
        SEVERAL: "Name the folders and endings of films too, as in p1/film.png.",
        NO_AGE: "Write bone ages as numbers of months, or of years under boneage_years; if they are "
        "formulas, save the workbook in Excel.",
        NO_SEX: "Write sexes as M and F.",
        TWO_SEXES: "Write the same sex in all rows of a film.",
    }
    return advice.get(reason, "Correct the table.")


def report_left_out(left_out, where=None):
    """Print how many films were left out and why, and `where` they are listed, if given."""
    if len(left_out):
        print(f"left out: {count_reasons(left_out)}" + (f"\n          {where}" if where else ""))
