"""Labels read from tables of any layout, and the headers that each column may have.

Inside the project sex is 1 = male, 0 = female, NaN = unknown, and boneage is in months.
"""

import posixpath
import re
from pathlib import PurePosixPath

import numpy as np
import pandas as pd

from util.errors import UserError, counted, print_note
from util.identity import MONTH_DECIMALS, loose_name, without_float
from util.image_kinds import IMAGE_ENDINGS, without_endings
from util.sexes import UNKNOWN, is_coded, is_male, read_sex
from util.tables import NoLabels, clean_text, headers_of, plain_header

MAX_MONTHS = 300  # no bone age is above 25 years: larger numbers are in another unit
MONTHS_IN = {"months": 1, "years": 12}
LARGEST_YEARS = 22  # ages that are all at most this are usually years
STEPS_OF_YEARS = (12, 6, 3)  # months from one age to the next: in whole years, halves or quarters
STEP = 1.2  # of other ages: years with one decimal

NOBODY = {"", *(word for word in UNKNOWN if len(word) > 1)}  # a single letter may be an id
SHORTENED = r"(?i)^\d([.,]\d+)?E\+\d+$"  # a long number in a spreadsheet, without its last digits

# Headers as a user would write them; case, spaces and punctuation don't count. Ages under headers
# that end in "years" become months. Other scales (z-scores, months / 240) are absent on purpose.
PATIENT = ("patient_id", "patient", "subject_id", "subject", "child_id", "MRN")
# plain headers, maybe of running numbers, which never serve as ids: they may name other films
PATIENT_NUMBERS = [f"{who}{no}" for who in ("patient", "subject") for no in ("no", "nr", "number")]
PATIENT_NUMBERS += ["participantid", "personid", "recordid", "patid", "patno", "patnr"]
MAYBE_PATIENT = re.compile("(?<!in)patient|subject(?!iv)")
# what a column may tell of a patient, in many values, other than who it is
OF_PATIENT = re.compile(
    "age|alter|name|birth|geb|nais|nac|dob|dat[eu]|weight|height|comment|note|diagnos"
)
FILMS_PER_CHILD = 5  # more films of most children are rare: values that repeat so are of groups
BY_CHANCE = 1e-4  # the chance of equal sexes under which films of one value may be of one child
DATE_OR_DECIMALS = r"\d(?:[.,/:]|-\d+-)\d"
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
MONTHS_BEYOND = re.compile(r"months?|mo|unnamed\d+")  # without a header pandas names them so
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
    the same header, or one but for case, spaces and punctuation and other values, or other bone
    ages (`check_two_ages`), or may both name the films.
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
        check_own_header(table, columns["boneage"][0], path)
        check_unit_line(table, columns, path)
        check_two_ages(table, columns["boneage"], path)
        check_months_beyond(table, columns["boneage"][0], path)
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
        one, other = (
            read_numbers(table[each]).astype(object).fillna(clean_text(table[each]))
            for each in (first, column)
        )
        if alike and (one != other).any():
            raise UserError(f"columns {first} and {column} differ ({path}). Remove one.")


def check_unit_line(table, columns, path):
    """UserError when the row below the header names no film, and says that the bone ages are in
    years, where the header doesn't."""
    column, first = columns["boneage"][0], table.iloc[0].fillna("").str.strip()
    is_years = plain_header(first[column]) in ("y", "yr", "yrs", "year", "years", "inyears")
    if is_years and unit_of(column) != "years" and not any(first[columns["id"]]):
        raise UserError(
            f"row {table.index[0]}, below the header, says that {column} is in {first[column]} "
            f"({path}). Remove this row, and name the column boneage_years."
        )


def check_two_ages(table, columns, path):
    """UserError when another of the `columns`, which mean the same age, contradicts the first: it
    may hold only the months beyond the years."""
    first, *others = (read_months(table[column]) for column in columns)
    for other in others:
        apart = contradict(first, other)
        if n := apart.sum():
            row = apart.idxmax()
            raise UserError(
                f"columns {first.name} and {other.name} differ in {counted(n, 'row')}, such as row "
                f"{row}: {first[row]:g} and {other[row]:g} months ({path}). Remove the wrong one; if "
                "one holds the months beyond the years, write one column of months."
            )


def check_months_beyond(table, column, path):
    """UserError when the column after that of the bone ages in years, all whole, looks like the
    months beyond them: it is called months, or has no name, and holds 0 to 11 alone, with 10 or 11
    among them. (Without a 0 they may be months of a calendar, unless the header says months.)"""
    place = list(table).index(column) + 1
    header = str(table.columns[place]) if place < table.shape[1] else ""
    if unit_of(column) != "years" or not MONTHS_BEYOND.fullmatch(plain_header(header)):
        return
    years, months = read_numbers(table[column]).dropna(), read_numbers(table[header]).dropna()
    least = 10 if plain_header(header) == "months" or (months == 0).any() else np.inf
    if (years % 1 == 0).all() and months.isin(range(12)).all() and months.max() >= least:
        raise UserError(
            f"{header} looks like the months beyond the years of {column} ({path}). Write one column "
            "of months, or move it elsewhere."
        )


def check_own_header(table, column, path):
    """UserError when other columns of a workbook share the header cell of a column of ages, and
    hold numbers as ages are: those of another reader, or the months beyond the years."""
    for cells, sharing in table.attrs.get("merged", {}).items():
        numbers = (read_numbers(table[other]).dropna() for other in sharing[1:])
        if column in sharing[:1] and any(len(held) and held.min() >= 0 for held in numbers):
            raise UserError(
                f"header cell {cells}, {column}, is merged over several columns of numbers ({path}). "
                "Give each its own header in the first row."
            )


def contradict(months, other):
    """Return the mask of the rows in which two columns of one age, as `read_months` reads them,
    differ by more than rounding.

    A header without a unit means months where it is the first; otherwise it may mean years.
    """
    apart = differ_beyond_rounding(months, other, unit_of(other.name) == "years")
    if not plain_header(other.name).endswith(("months", "years")):
        apart &= differ_beyond_rounding(months, other * MONTHS_IN["years"], years=True)
    return apart


def differ_beyond_rounding(months, other, years):
    """Return the mask of the rows in which two ages are known and differ by more than rounding:
    `months` and the `other` ages, if those are `years`, may be rounded or completed ones."""
    step = STEP
    if years:  # some may have decimals, such as those of infants
        step = np.select([other % step == 0 for step in STEPS_OF_YEARS], STEPS_OF_YEARS, STEP)
    difference = months - other
    return (difference < -1 - step / 2) | (difference > step + 0.5)


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


def read_months(column):
    """Read ages as months, to MONTH_DECIMALS, whether the header says years or not; NaN for what is
    no age."""
    months = read_numbers(column) * MONTHS_IN[unit_of(column.name)]
    return months.where(months.between(0, MAX_MONTHS)).astype(float).round(MONTH_DECIMALS)


def unit_of(header):
    """Return the unit of ages under a header: "years" if it ends so, otherwise "months"."""
    return "years" if plain_header(header).endswith("years") else "months"


def read_numbers(column):
    """Read the numbers in a column of text, also with decimal commas; NaN for other text."""
    text = column.str.strip().str.replace(",", ".", regex=False)
    return pd.to_numeric(text, errors="coerce")


def look_like_years(boneage):
    """Whether ages `(n,)` read as months look like years: 20 or more ages, none above
    LARGEST_YEARS."""
    return boneage.count() >= 20 and boneage.max() <= LARGEST_YEARS


def look_like_years_months(column):
    """Whether ages in years, a column of text, look like years.months: none has more than 11 behind
    the point, and one has 10 or 11. (Decimals have .5 and .50 and .25.)"""
    ages = column[read_numbers(column).notna()].str.strip()
    months = ages.str.fullmatch(r"\d+([.,](\d|0\d|1[01]))?")
    return months.all() and ages.str.contains(r"[.,]1[01]$").any()


def note_years_months(column, path):
    """Print if the ages in a column of a table, which was read from `path`, look like
    years.months."""
    if unit_of(column.name) == "years" and look_like_years_months(column):
        print_note(
            f"ages of {column.name} look like years.months ({path}): if 10.11 is 10 years and 11 "
            "months, write months"
        )


def note_patients(table, labels, path):
    """Print if the patients of a table, which was read from `path` as `labels`, are the names of
    its films, or are shortened numbers, or if no column holds them, but another one may, with many
    different values."""
    columns, ids = find_columns(table, "patient"), find_columns(table, "id")
    if columns:
        if ids[0] in columns:
            print_note(f"no column for id: films are named by {ids[0]} ({path})")
        note_shortened("patients", clean_text(table[columns[0]]), path)
        return
    used = {column for name in SYNONYMS for column in find_columns(table, name)}
    sex = labels["sex"][~labels["id"].duplicated()]  # of each film once
    for column in table:
        plain = plain_header(column)
        many = table[column].nunique() > len(table) / 10
        told = many and MAYBE_PATIENT.search(plain)
        seen = column not in used and may_be_children(table.loc[sex.index, column], sex)
        if (told or seen) and not OF_PATIENT.search(plain):
            print_note(
                f"column {column} is not used: patients are read from a column patient_id ({path})"
            )


def may_be_children(column, sex):
    """Whether the values of a column, one for each film, may name children with several films: many
    differ, and the many that repeat are all of one sex, which their letters alone don't tell, as
    those of names or of groups do."""
    values = clean_text(column).map(known_id)
    values = values[(values != "") & sex.notna()]
    sex = sex[values.index]
    girls, repeated = (sex == 0).mean(), (values.value_counts() > 1).sum()
    if (
        values.nunique() * FILMS_PER_CHILD < len(values)
        or (girls**2 + (1 - girls) ** 2) ** repeated > BY_CHANCE
        or values.str.contains(DATE_OR_DECIMALS).any()
    ):
        return False
    letters = values.str.replace(r"\d", "", regex=True)
    return (sex.groupby(values).nunique() == 1).all() and sex.groupby(letters).nunique().max() == 2


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


def years_note(films, where):
    """Return a note, in a list, if the ages of labelled films look like years; else []."""
    if not look_like_years(films["boneage"]):
        return []
    return [
        f"all ages are {films['boneage'].max():g} months or less ({where}): if they are years, let "
        "the header of their column end in _years"
    ]
