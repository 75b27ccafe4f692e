"""Labels read from tables of any layout, and the headers that each column may have.

Inside the project sex is 1 = male, 0 = female, NaN = unknown, and boneage is in months.
"""

import posixpath
import re
from pathlib import PurePosixPath

import numpy as np
import pandas as pd

from util.errors import UserError, print_note
from util.identity import loose_name, without_float
from util.image_kinds import IMAGE_ENDINGS, without_endings
from util.tables.ages import check_ages, read_months, read_numbers
from util.tables.sexes import UNKNOWN, is_coded, is_male, read_sex
from util.tables.text import NoLabels, clean_text, headers_of, plain_header

NOBODY = {"", *(word for word in UNKNOWN if len(word) > 1)}  # a single letter may be an id
SHORTENED = r"(?i)^\d([.,]\d+)?E\+\d+$"  # a long number in a spreadsheet, without its last digits

# Headers as a user would write them; case, spaces and punctuation don't count. Ages under headers
# that end in "years" become months. Other scales (z-scores, months / 240) are absent on purpose.
PATIENT = ("patient_id", "patient", "subject_id", "subject", "child_id", "MRN")
# plain headers, maybe of running numbers, which never serve as ids: they may name other films
PATIENT_NUMBERS = [f"{who}{no}" for who in ("patient", "subject") for no in ("no", "nr", "number")]
PATIENT_NUMBERS += ["participantid", "personid", "recordid", "patid", "patno", "patnr"]
FILENAME = ("filename", "file", "path", "image_file", "image_name", "image_path")
# which count only if they hold names of image files: others may hold a folder, or count films
FILM = (
    *("file_path", "image_filename", "image_filepath", "image_index", "img", "img_file"),
    *("img_name", "img_path", "film", "film_file", "film_name", "film_path"),
)
FILM_HEADERS = set(map(plain_header, FILM))
SYNONYMS = {
    "id": ("id", "image_id", "case_id", "case", "image", *FILENAME, *FILM, *PATIENT),
    "patient": (*PATIENT, *PATIENT_NUMBERS),
    "filename": (*FILENAME, *FILM),
    "boneage": (
        # headers with the unit first: beside them, a plain boneage may be in years
        *("boneage (months)", "bone age in months", "ground truth bone age (months)"),
        *("skeletal age (months)", "boneage", "ground truth bone age"),
        *("boneage (years)", "bone age in years", "ground truth bone age (years)"),
        "skeletal age (years)",
    ),
    "sex": ("male", "is_male", "sex", "gender", "sex (M/F)", "gender (M/F)", "patient_sex"),
    # of the child when the film was taken; only with the unit, as others may be in years
    "age": (
        *("chronological age (months)", "chronological age in months"),
        *("age_months", "age in months"),
        *("chronological age (years)", "chronological age in years", "age_years", "age in years"),
    ),
}
# which no row of labels holds, as it may hold image or male
HEADERS_ALONE = ("id", "image_id", "case_id", "filename", *SYNONYMS["boneage"], *SYNONYMS["age"])
FIRST_ROWS = 10  # in which a header may be, below a title


def labels_of(table, path, male_value=None, need=("sex", "boneage")):
    """Return the labels of a table that `read_table` read from `path`: a frame with the same rows.

    The columns are id (str), patient and filename (str, "" if none), sex, and boneage (months).
    What can't be understood becomes NaN; `split_usable` counts it. `male_value` (0, 1 or 2) says
    which number is male where a column of sex or gender holds numbers. Raises UserError when a
    column of `need` is missing, or its coding is ambiguous.
    """
    columns = find_label_columns(table, path, need)
    series = {name: table[found[0]] for name, found in columns.items() if found}
    ids = ids_of(series["id"])
    if "filename" in series:  # pandas reads an id such as NA as a gap
        names = clean_text(series["filename"])
        ids = ids.replace(SHORTENED, "", regex=True)  # which many films may share
        ids = ids.where(ids != "", ids_of(series["filename"]))
    else:  # an id may be a path, or the name of a file
        names = clean_text(series["id"])
        is_file = names.str.lower().str.endswith(IMAGE_ENDINGS)
        names = names.where(is_file | names.str.contains(r"[/\\]"), "")
    patients = ""
    if "patient" in series:
        patients = clean_text(series["patient"]).replace(SHORTENED, "", regex=True).map(known_id)
    sex = read_sex(table, columns["sex"], male_value, path) if "sex" in need else np.nan
    months = read_months(series["boneage"]) if "boneage" in series else np.nan
    return pd.DataFrame(
        {"id": ids, "patient": patients, "filename": names, "sex": sex, "boneage": months}
    )


def check_male_value(male_value, tables, path):
    """UserError when --male_value is given and has no effect on any of the `tables`, read from
    `path`. It may repeat what a column male says, that 1 is male."""
    columns = [table[column] for table in tables for column in find_columns(table, "sex")]
    if male_value is None or any(map(is_coded, columns)):
        return
    if male_value != 1 or not any(is_male(column.name) for column in columns):
        raise UserError(
            f"--male_value {male_value} has no effect: no column of sex needs it ({path}). Leave it "
            "out; in a column male, 1 is male."
        )


def find_label_columns(table, path, need):
    """Return {name: list, maybe empty, of the columns that mean it} for the names of SYNONYMS.

    NoLabels when there is no column for the id or a name of `need`; UserError when two columns have
    the same header, or one but for case, spaces and punctuation and other values, or may
    both name the films, or when columns are wrong as `check_ages` says.
    """
    columns = {name: find_columns(table, name) for name in SYNONYMS}
    for name in ("id", *need):
        if not columns[name]:
            advice = f"Name it like one of: {', '.join(SYNONYMS[name])}."
            if begins_above_header(table):
                advice = "The first row must be the header: remove what is above it."
            raise NoLabels(
                f"no column for {name} among {headers_of(table)} ({path}). "
                + " ".join(filter(None, [advice, table.attrs.get("advice")]))
            )
    for name in ("id", "filename", "patient", "age", *need):
        if columns[name]:
            check_single(table, columns[name][0], path)
            if name != "sex":  # `read_sex` compares those
                check_alike(table, columns[name], path)
    if "boneage" in need:
        check_ages(table, columns, path)
    columns["filename"] = film_name_columns(table, columns, path)
    return columns


def begins_above_header(table):
    """Whether the first row of a table is a title, or the like: one of the next rows holds a header
    of labels, and it does not."""
    known = set(map(plain_header, HEADERS_ALONE))
    below = {plain_header(cell) for row in table.head(FIRST_ROWS).to_numpy() for cell in row}
    return known.isdisjoint(map(plain_header, table)) and not known.isdisjoint(below)


def check_single(table, column, path):
    """UserError when another column of the table has the same header."""
    if f"{column}.1" in table:  # as pandas names a second one
        raise UserError(f"two columns are named {column} ({path}). Remove one.")


def check_alike(table, columns, path):
    """UserError when a column has the header of the first of `columns`, but for case, spaces and
    punctuation, and other values: which of them counts?"""
    first = columns[0]
    for column in columns[1:]:
        alike = plain_header(column) == plain_header(first)
        if alike and not same_cells(table[first], table[column]).all():
            raise UserError(f"columns {first} and {column} differ ({path}). Remove one.")


def same_cells(one, other):
    """Return a mask of the cells that are the same in two columns of text: numbers, if both can be
    read as such, else words."""
    numbers, others = read_numbers(one), read_numbers(other)
    words = numbers.isna() & others.isna() & (clean_text(one) == clean_text(other))
    return words | (numbers == others)


def film_name_columns(table, columns, path):
    """Return, in a list, the column that names the films beside the id: `filename`, or one of its
    synonyms if it holds more than numbers, or else the one with image names, if several columns may
    be the id.

    UserError if none has them, and two columns differ, leading zeros and gaps aside: one of them
    may be a running number, which is the name of another film as well. For a column of image names
    under an unknown header see `check_other_names`.
    """
    for column in columns["filename"]:
        numbers = clean_text(table[column]).map(known_id).str.fullmatch(r"\d*")  # or unknown
        if plain_header(column) == "filename" or not numbers.all():
            return [column]
    ids = [c for c in columns["id"] if c not in columns["patient"]]
    for column in ids if len(ids) > 1 else []:
        if holds_image_names(table[column]):
            return [column]
    names = [ids_of(table[column]).map(loose_name) for column in ids]
    for column, other in zip(ids[1:], names[1:], strict=True):
        if ((names[0] != other) & (names[0] != "") & (other != "")).any():
            raise UserError(
                f"columns {ids[0]} and {column} may both name the films, and differ ({path}). "
                "Remove one, or rename the one that names them to filename."
            )
    check_other_names(table, columns, path)
    return []


def check_other_names(table, columns, path):
    """UserError when a column without a meaning here holds names of image files, unlike the id, and
    some of them are ids of other rows: these may be running numbers."""
    column_of_ids = table[columns["id"][0]]
    ids = ids_of(column_of_ids).map(loose_name)
    known = {column for found in columns.values() for column in found}
    for column in () if holds_image_names(column_of_ids) else table:
        if column in known or not holds_image_names(table[column]):
            continue
        names = ids_of(table[column]).map(loose_name)
        same, elsewhere = ids == names, ids.isin(set(names) - {""})
        if same.mean() < 0.5 and (elsewhere & ~same).any():  # a few may be mistyped
            raise UserError(
                f"column {column} holds names of image files, some of which are ids of other rows "
                f"({path}). Rename it to filename if it names the films, otherwise remove it."
            )


def holds_image_names(column):
    """Whether more than half of the rows of a column hold the name of an image file."""
    return clean_text(column).str.lower().str.endswith(IMAGE_ENDINGS).mean() > 0.5


def find_columns(table, name):
    """The columns whose header is a synonym of `name`, the best one first; without numbers of
    patients of which none comes twice, as they may count the rows of each table anew, and without
    those of FILM that hold no names of image files."""
    plain = {column: plain_header(column) for column in table}
    found = [c for known in map(plain_header, SYNONYMS[name]) for c in table if plain[c] == known]
    found = [c for c in found if plain[c] not in PATIENT_NUMBERS or comes_twice(table[c])]
    return [c for c in found if plain[c] not in FILM_HEADERS or holds_image_names(table[c])]


def comes_twice(column):
    """Whether two rows of a column have the same number."""
    known = clean_text(column).map(known_id)
    return known[known != ""].duplicated().any()


def ids_of(column):
    """Return ids from a column of ids, file names or paths.

    Where several paths share a file name, their folders become part of the id (P000/IM0001.png:
    P000_IM0001). Where several names differ only in their endings, the ending does too (1.png:
    1_png).
    """
    ids = column.map(clean_id)
    paths = clean_text(column).str.replace("\\", "/", regex=False).map(tidy_path)
    shared = paths.str.contains("/") & (paths.groupby(ids).transform("nunique") > 1)
    names = paths.str.replace("^([A-Za-z]):/", r"\1/", regex=True).str.strip("/")
    names = names.str.replace("/", "_")
    ids = ids.mask(shared, names.map(clean_id))
    files = names.where(names.str.lower().str.endswith(IMAGE_ENDINGS))
    alike = files.notna() & (files.groupby(ids).transform("nunique") > 1)
    return ids.mask(alike, names.str.replace(".", "_"))


def clean_id(value):
    """Return an id as text, without folders, image endings and the ".0" of a float; "" for no
    text."""
    if not isinstance(value, str):
        return ""
    name = PurePosixPath(value.strip().replace("\\", "/")).name  # a Posix path: A:12 has no drive
    plain = without_endings(name)
    return without_float(name) if plain == name else plain


def known_id(text):
    """Return an id, such as that of a patient; "" for an empty cell, a sign such as ?, or a word
    such as unknown."""
    return "" if plain_header(text) in NOBODY else without_float(text)


def tidy_path(path):
    """Return a path with slashes, without parts that say nothing: ./ and ../ before it, // and /./
    in it."""
    return re.sub(r"^(\.\.?/)+", "", posixpath.normpath(path)) if path else path


def note_shortened(what, values, path):
    """Print if some of the `values`, a column of text from a table read from `path`, are numbers
    that a spreadsheet has shortened; `what` they are."""
    shortened = values[values.str.fullmatch(SHORTENED)]
    if len(shortened):
        print_note(
            f"{what} such as {shortened.iloc[0]} were shortened by a spreadsheet, and are unknown: "
            f"{len(shortened)} ({path}): in the original, format the column as a number without "
            "decimals, and save it again"
        )
