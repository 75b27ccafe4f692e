"""Tables of labels as they are found: one table of header synonyms, one way to find the films.

Inside the project sex is 1 = male, 0 = female, NaN = unknown, and boneage is in months.
"""

import os
from pathlib import Path

import numpy as np
import pandas as pd

from util.errors import UserError

IMAGE_ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp")
MAX_MONTHS = 300  # no bone age is above 25 years: such a number is in another unit

# Headers compared without case, spaces and punctuation. Scaled ages (z-scores, months / 240) are
# absent on purpose: they are not months.
SYNONYMS = {
    "id": ("id", "imageid", "caseid", "case", "image", "patientid", "filename"),
    "filename": ("filename", "file", "path", "imagefile", "imagepath"),
    "boneage": (
        *("boneage", "boneagemonths", "groundtruthboneagemonths", "groundtruthboneage"),
        *("boneageinmonths", "agemonths", "months"),
    ),
    "sex": ("male", "sex", "gender"),
}
MALE = {"m", "male", "boy", "true"}
FEMALE = {"f", "female", "girl", "false"}


def read_labels(path, male_value=None, need=("sex", "boneage")):
    """Read a table of labels: frame of id (str), filename (str, "" if none), sex and boneage
    (months), one row for each row of the file, in its order.

    What can't be understood becomes NaN; `split_usable` counts it. `male_value` (0 or 1) says
    which number is male where a column of sex or gender holds numbers. Raises UserError when the
    file is no table, a column of `need` is missing, or its coding is ambiguous.
    """
    table = read_table(path)
    columns = {name: find_columns(table, name) for name in SYNONYMS}
    for name in ("id", *need):
        if not columns[name]:
            raise UserError(
                f"no column for {name} among {', '.join(map(str, table.columns))} ({path}). "
                f"Name it like one of: {', '.join(SYNONYMS[name])}."
            )
    ids = table[columns["id"][0]].map(clean_id)
    has_names, has_ages = columns["filename"], columns["boneage"]
    return pd.DataFrame(
        {
            "id": ids,
            "filename": table[has_names[0]].fillna("").str.strip() if has_names else "",
            "sex": read_sex(table, columns["sex"], male_value, path),
            "boneage": read_months(table[has_ages[0]]) if has_ages else np.nan,
        }
    )


def read_table(path):
    """Read a CSV of any usual encoding and separator, all as text; UserError if it is none."""
    path = Path(path)
    if not path.is_file():
        raise UserError(f"no such table ({path}). Check the path.")
    start = path.read_bytes()[:4]
    encoding = "utf-16" if start[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        table = pd.read_csv(path, dtype=str, sep=None, engine="python", encoding=encoding)
    except (ValueError, UnicodeError, pd.errors.ParserError, pd.errors.EmptyDataError, OSError):
        raise UserError(f"not a readable CSV table ({path}). Save it as CSV in UTF-8.") from None
    except Exception as error:  # the csv module's own errors, such as a NUL byte
        raise UserError(f"not a readable CSV table: {error} ({path}). Save it again.") from None
    if table.empty:
        raise UserError(f"the table has no rows ({path}). Check the file.")
    return table


def find_columns(table, name):
    """The columns whose header is a synonym of `name`, the best one first."""
    plain = {column: "".join(c for c in str(column).lower() if c.isalnum()) for column in table}
    return [c for synonym in SYNONYMS[name] for c in table if plain[c] == synonym]


def clean_id(value):
    """An id as text: without the ending of a file name and without the ".0" of a float."""
    if not isinstance(value, str):
        return ""
    name = Path(value.strip()).name
    stem, dot, ending = name.rpartition(".")
    if dot and (f".{ending.lower()}" in IMAGE_ENDINGS or (ending == "0" and stem.isdigit())):
        return stem
    return name


def read_months(column):
    months = pd.to_numeric(column.str.strip(), errors="coerce")
    return months.where(months.between(0, MAX_MONTHS)).astype(float)


def read_sex(table, columns, male_value, path):
    """Sex of each row from the columns that hold it: text decides, numbers only where they can
    be understood; UserError when they can't or when two columns contradict each other."""
    sex = pd.Series(np.nan, index=table.index)
    ambiguous = None
    for column in columns:
        text = table[column].str.strip().str.lower()
        numbers = text.map({"0": 0.0, "1": 1.0, "0.0": 0.0, "1.0": 1.0})
        words = text.map({**dict.fromkeys(MALE, 1.0), **dict.fromkeys(FEMALE, 0.0)})
        if words.notna().any():
            contradicts = words.notna() & sex.notna() & (words != sex)
            if contradicts.any():
                raise UserError(
                    f"columns of sex contradict each other in {contradicts.sum()} rows ({path}). "
                    "Remove the wrong one."
                )
            sex = sex.fillna(words)
        elif str(column).strip().lower() == "male":
            sex = sex.fillna(numbers)
        elif numbers.notna().any():
            ambiguous = (column, numbers)
    if ambiguous and sex.isna().all():
        column, numbers = ambiguous
        if male_value is None:
            raise UserError(
                f"column {column} holds 0 and 1: which is male? ({path}) "
                "Say it with --male_value 1 or --male_value 0."
            )
        return numbers if male_value == 1 else 1 - numbers
    return sex


def find_films(labels, folder):
    """Add the column path: the film of each row in `folder` or below, "" where there is none.

    Matched by file name, then by id with any image ending, then by id without leading zeros.
    """
    films = list_images(folder)
    by_name = {path.name: path for path in films}
    by_stem = {path.stem: path for path in films}
    by_number = unambiguous({path: path.stem.lstrip("0") for path in films})

    def find(id_, filename):
        name = Path(filename.replace("\\", "/")).name
        found = (
            by_name.get(name)
            or by_stem.get(Path(name).stem if name else id_)
            or by_stem.get(id_)
            or by_number.get(id_.lstrip("0"))
        )
        return str(found or "")

    pairs = zip(labels["id"], labels["filename"], strict=True)
    return labels.assign(path=[find(id_, filename) for id_, filename in pairs])


def unambiguous(keys):
    """Turn {path: key} into {key: path} for the keys that one path alone has."""
    counts = pd.Series(list(keys.values()), dtype=object).value_counts()
    return {key: path for path, key in keys.items() if counts[key] == 1}


def list_images(folder):
    """All image files in a folder and below, by name, without hidden ones."""
    folder = Path(folder).resolve()
    found = []
    for where, folders, files in os.walk(folder):
        folders[:] = sorted(f for f in folders if not f.startswith((".", "__MACOSX")))
        names = (f for f in sorted(files) if not f.startswith("."))
        found += [Path(where) / f for f in names if Path(f).suffix.lower() in IMAGE_ENDINGS]
    return found


def split_usable(labels, need=("sex", "boneage")):
    """Split rows into (usable, left_out): left_out has id, filename and reason."""
    reasons = pd.Series("", index=labels.index)
    reasons[labels["id"].duplicated()] = "duplicate id"
    for column, reason in (("boneage", "no age"), ("sex", "no sex")):
        if column in need:
            reasons[labels[column].isna()] = reason
    reasons[labels["path"] == ""] = "no file"
    reasons[labels["id"] == ""] = "no id"
    bad = reasons != ""
    left_out = labels.loc[bad, ["id", "filename"]].assign(reason=reasons[bad])
    return labels[~bad].reset_index(drop=True), left_out.reset_index(drop=True)
