"""Tables of labels as they are found, and one table of header synonyms.

Inside the project sex is 1 = male, 0 = female, NaN = unknown, and boneage is in months.
"""

import csv
import io
import posixpath
import re
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

from util.errors import UserError, first_line
from util.identity import without_float
from util.image_kinds import IMAGE_ENDINGS

EXCEL = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")  # first bytes of .xlsx and .xls
MAX_MONTHS = 300  # no bone age is above 25 years: such a number is in another unit
LARGEST_YEARS = 22  # a table whose ages all lie below is as a rule in years

# Headers compared without case, spaces and punctuation. Scaled ages (z-scores, months / 240) are
# absent on purpose: they are not months.
PATIENT = ("patientid", "patient", "subjectid", "subject")
FILENAME = ("filename", "file", "path", "imagefile", "imagepath")
SYNONYMS = {
    "id": ("id", "imageid", "caseid", "case", "image", *FILENAME, *PATIENT),
    "patient": PATIENT,
    "filename": FILENAME,
    "boneage": (
        # those that name the unit first: beside them, boneage may be in years
        *("boneagemonths", "boneageinmonths", "groundtruthboneagemonths"),
        *("boneage", "groundtruthboneage"),
    ),
    "sex": ("male", "sex", "gender", "sexmf", "gendermf"),
    # of the child, when the film was taken; an age without its unit may be in years
    "age": ("chronologicalagemonths", "chronologicalageinmonths", "agemonths", "ageinmonths"),
}
WORDS = {"m": 1.0, "male": 1.0, "boy": 1.0, "f": 0.0, "female": 0.0, "girl": 0.0}  # of sexes
# words for a sex that is not told, without what stands between letters
UNKNOWN = {"u", "unk", "unknown", "notknown", "unspecified", "o", "other", "x", "na", "nan", "none"}
FEW_ODD, MANY_ODD = 5, 0.1  # rows, and share of them, that may hold other words
NUMBERS = {"0": 0.0, "0.0": 0.0, "false": 0.0, "1": 1.0, "1.0": 1.0, "true": 1.0}


class NoLabels(UserError):
    """A table that lacks a column, or has no rows."""


class NoRows(NoLabels):
    """A table of a header alone, or an empty file."""


class NoTable(UserError):
    """A file that is no table, or a damaged one."""


def read_labels(path, male_value=None, need=("sex", "boneage")):
    """Read a table of labels: frame of id (str), patient (str, "" if none), filename (str, "" if
    none), sex, boneage and age, that of the child (both months), one row for each row of the file,
    in its order.

    What can't be understood becomes NaN; `split_usable` counts it. `male_value` (0 or 1) says
    which number is male where a column of sex or gender holds numbers. Raises UserError when the
    file is no table, a column of `need` is missing, or its coding is ambiguous.
    """
    return labels_of(read_table(path), path, male_value, need)


def labels_of(table, path, male_value=None, need=("sex", "boneage")):
    """The labels of a table that `read_table` read from `path`, see `read_labels`."""
    columns = find_label_columns(table, path, need)
    series = {name: table[found[0]] for name, found in columns.items() if found}
    ids = ids_of(series["id"])
    if "filename" in series:  # pandas takes an id such as NA for a gap
        names = clean_text(series["filename"])
        ids = ids.where(ids != "", ids_of(series["filename"]))
    else:  # an id may be a path, or the name of a file
        names = clean_text(series["id"])
        is_file = names.str.lower().str.endswith(tuple(IMAGE_ENDINGS))
        names = names.where(is_file | names.str.contains(r"[/\\]"), "")
    patients = clean_text(series["patient"]).map(without_float) if "patient" in series else ""
    months = {
        name: read_months(series[name]) if name in series else np.nan for name in ("boneage", "age")
    }
    sex = read_sex(table, columns["sex"], male_value, path) if "sex" in need else np.nan
    return pd.DataFrame({"id": ids, "patient": patients, "filename": names, "sex": sex} | months)


def find_label_columns(table, path, need):
    """The columns of a table that mean what SYNONYMS name, {name: list, maybe empty}. NoLabels when
    there is none for the id or a name of `need`, UserError when two have one name."""
    columns = {name: find_columns(table, name) for name in SYNONYMS}
    for name in ("id", *need):
        if not columns[name]:
            raise NoLabels(
                f"no column for {name} among {', '.join(map(str, table.columns))} ({path}). "
                f"Name it like one of: {', '.join(SYNONYMS[name])}."
            )
    for name in ("id", "filename", "patient", "age", *need):
        if columns[name] and f"{columns[name][0]}.1" in table:  # as pandas names a second one
            raise UserError(f"two columns are named {columns[name][0]} ({path}). Remove one.")
    return columns


def read_table(path):
    """Read a CSV in UTF-8, UTF-16 or Windows' Western letters, with commas, semicolons or tabs, all
    as text, indexed by the number of each line; UserError if it is none."""
    path = Path(path)
    if not path.is_file():
        raise UserError(f"no such table ({path}). Check the path.")
    try:
        text = decode_text(path.read_bytes(), path)
        if text.lower().startswith("sep="):
            # a word to Excel; an empty line in its place keeps the numbers of the others
            text = "\n" + text.partition("\n")[2]
        separator = max(",;\t", key=text.lstrip().partition("\n")[0].count)
        options = {"sep": separator, "skipinitialspace": True}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", pd.errors.ParserWarning)  # see check_widths
            table = pd.read_csv(io.StringIO(text), dtype=str, index_col=False, **options)
        check_widths(text, separator, len(table.columns), path)
    except pd.errors.EmptyDataError:
        raise NoRows(f"the table is empty ({path}). Check the file.") from None
    except (ValueError, csv.Error, OSError) as error:  # pandas' own errors are ValueErrors
        reason = first_line(error)
        raise NoTable(
            f"not a readable CSV table: {reason} ({path}). Save it as CSV in UTF-8."
        ) from None
    if table.empty:
        raise NoRows(f"the table has no rows ({path}). Check the file.")
    table.index = line_numbers(text, len(table))
    return table


def check_widths(text, separator, n, path):
    """NoTable when a row has more than `n` fields that are not blank: pandas would leave out
    what is too much, such as the decimals of 11,5 in a table with commas between its columns."""
    for row in csv.reader(
        io.StringIO(text, newline=None), delimiter=separator, skipinitialspace=True
    ):
        if any(field.strip() for field in row[n:]):
            raise NoTable(
                f"a row has more fields than the header: {separator.join(row)[:60]} ({path}). Write "
                "decimals with a point, quote text that holds a separator, and begin with the header."
            )


def line_numbers(text, n):
    """The lines in which the `n` rows of a table stand, as a spreadsheet counts them: the header is
    line 1, and blank lines count. Rows of several lines have their own numbers."""
    filled = [number for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    return filled[1:] if len(filled) == n + 1 else range(2, n + 2)


def count_gaps(table):
    """Missing and infinite values of each column of a table of text: a frame of column, missing
    and infinite."""
    text = table.fillna("").apply(lambda column: column.str.strip())
    numbers = text.apply(pd.to_numeric, errors="coerce")
    gaps = pd.DataFrame({"missing": (text == "").sum(), "infinite": np.isinf(numbers).sum()})
    return gaps.rename_axis("column").reset_index()


def decode_text(data, path):
    """Text of a file as spreadsheets save it, with a note where its letters are a guess; ValueError
    when it is none."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16")
    if data.startswith(EXCEL):
        raise ValueError("it is an Excel workbook")
    if b"\0" in data:
        raise ValueError("it holds binary data")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:  # as Excel writes "CSV" in Western Europe and America
        text = data.decode("cp1252")
        print(f"note: not in UTF-8, read as Windows' Western letters ({path})", file=sys.stderr)
        return text


def find_columns(table, name):
    """The columns whose header is a synonym of `name`, the best one first."""
    plain = {column: plain_header(column) for column in table}
    return [c for synonym in SYNONYMS[name] for c in table if plain[c] == synonym]


def plain_header(column):
    """A header without case, spaces and punctuation."""
    return "".join(c for c in str(column).lower() if c.isalnum())


def clean_id(value):
    """An id as text: without the ending of a file name and without the ".0" of a float."""
    if not isinstance(value, str):
        return ""
    name = Path(value.strip().replace("\\", "/")).name
    stem, dot, ending = name.rpartition(".")
    return stem if f"{dot}{ending.lower()}" in IMAGE_ENDINGS else without_float(name)


def ids_of(column):
    """Ids from a column of ids, file names or paths. Where several paths share a file name, the
    folder becomes part of the id (P000/IM0001.png: P000_IM0001); where several names differ in
    their endings alone, so does the ending (1.png: 1_png)."""
    ids = column.map(clean_id)
    paths = clean_text(column).str.replace("\\", "/", regex=False).map(tidy_path)
    shared = paths.str.contains("/") & (paths.groupby(ids).transform("nunique") > 1)
    names = paths.str.replace("^([A-Za-z]):/", r"\1/", regex=True).str.strip("/")
    names = names.str.replace("/", "_")
    ids = ids.mask(shared, names.map(clean_id))
    files = names.where(names.str.lower().str.endswith(tuple(IMAGE_ENDINGS)))
    alike = files.notna() & (files.groupby(ids).transform("nunique") > 1)
    return ids.mask(alike, names.str.replace(".", "_"))


def tidy_path(path):
    """A path with slashes, without what tells nothing of the file: ./ and ../ before it, // and /./
    in it."""
    return re.sub(r"^(\.\.?/)+", "", posixpath.normpath(path)) if path else path


def clean_text(column):
    return column.fillna("").str.strip()


def look_like_years(boneage):
    """Whether ages `(n,)` that were read as months look like years: 20 or more, all low."""
    return boneage.count() >= 20 and boneage.max() <= LARGEST_YEARS


def years_note(films, where):
    """What to say, in a list, of labelled films whose ages look like years."""
    if not look_like_years(films["boneage"]):
        return []
    return [
        f"all ages are {films['boneage'].max():g} or less ({where}): multiply them by 12 if they are "
        "years, as months are expected"
    ]


def read_months(column):
    text = column.str.strip().str.replace(",", ".", regex=False)  # decimal commas
    months = pd.to_numeric(text, errors="coerce")
    return months.where(months.between(0, MAX_MONTHS)).astype(float)


def read_sex(table, columns, male_value, path):
    """Sex of each row from the columns that hold it: words decide, then numbers, and true and
    false, where it is known which is male; UserError where it isn't, or when two columns contradict
    each other."""
    sex, coded = pd.Series(np.nan, index=table.index), []
    for column in columns:
        text = table[column].str.strip().str.lower()
        if is_male(column):
            text = text.replace({"yes": "1", "y": "1", "t": "1", "no": "0", "n": "0"})  # f: female
        check_numbers_of_sex(text, column, path)
        numbers = text.map(NUMBERS)
        words = text.map(WORDS)
        if is_male(column):
            words = words.fillna(numbers)
        elif numbers.notna().any():
            coded.append((column, numbers, words.notna().any()))
        check_agreement(sex, words, path)
        sex = sex.fillna(words)
    for column, numbers, mixed in coded:
        if male_value is not None:
            numbers = numbers if male_value == 1 else 1 - numbers
            check_agreement(sex, numbers, path)
            sex = sex.fillna(numbers)
        elif sex.isna().all() or (mixed and sex[numbers.notna()].isna().any()):
            raise UserError(
                f"column {column} holds {describe_coded(table[column])}: which is male? ({path}) "
                "Add --male_value 1 or --male_value 0."
            )
    check_words_of_sex(table[columns[0]][sex.isna()], sex, path)
    return sex


def check_words_of_sex(text, sex, path):
    """UserError when one sex or none is told in words that are known, and there are many rows whose
    words, `text`, aren't: all of the other one would be left out, and M may mean mujer."""
    odd = text.fillna("").str.lower().str.replace(r"\W", "", regex=True)
    odd = odd[(odd != "") & ~odd.isin(UNKNOWN)]
    if len(odd) > max(FEW_ODD, MANY_ODD * len(sex)) and sex.nunique() < 2:
        told = ", ".join(f"{word!r}" for word in odd.value_counts().index[:3])
        raise UserError(
            f"column {text.name} holds {told} in {len(odd)} of {len(sex)} rows: which sex is that? "
            f"({path}) Write M and F."
        )


def check_agreement(sex, other, path):
    """UserError when two readings of the sex differ."""
    differ = sex.notna() & other.notna() & (sex != other)
    if differ.any():
        raise UserError(
            f"columns of sex contradict each other in {differ.sum()} rows ({path}). Remove the wrong "
            "one, or the wrong --male_value."
        )


def describe_coded(column):
    """What a column holds whose meaning is open."""
    truth = column.str.strip().str.lower().isin(("true", "false")).any()
    return "true and false (1 and 0)" if truth else "0 and 1"


def is_male(column):
    """Whether a header says by itself what 1 means."""
    return plain_header(column) == "male"


def check_numbers_of_sex(text, column, path):
    """UserError when a column of sex holds numbers other than 0 and 1."""
    numbers = pd.to_numeric(text, errors="coerce").dropna()
    others = sorted(numbers[~numbers.isin([0, 1])].unique())
    if others:
        raise UserError(
            f"column {column} holds {others[0]:g}: which sex is that? ({path}) Write M and F."
        )
