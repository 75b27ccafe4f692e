"""What is wrong with the tables of a data folder."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from util.data_folder import SPLITS, check_data_dir, split_folder
from util.errors import UserError
from util.files import as_unicode
from util.film_files import list_films
from util.identity import film_keys, loose_name, of_two_sexes, patient_ids
from util.quality.flags import flag, name_others
from util.tables.ages import (
    ADULT_MONTHS,
    LARGEST_YEARS,
    MAX_MONTHS,
    look_like_years,
    look_like_years_months,
    read_numbers,
    unit_of,
)
from util.tables.labels import find_columns, labels_of
from util.tables.matching import NO_FILE, SEVERAL, match_films
from util.tables.text import NoRows, clean_text, count_gaps, read_table

WHOLE = 20  # so many ages in whole months tell that those with decimals may be years


@dataclass
class Tables:
    """Tables of all splits of a data folder: `rows` (one for each row of a CSV: split, row, id,
    file, path, sex, boneage in months, ...), `columns` (missing and infinite values),
    `unlabelled` (split, file: films without a row), `flags` (list of frames)."""

    folder: Path
    rows: pd.DataFrame
    columns: pd.DataFrame
    unlabelled: pd.DataFrame
    flags: list


def read_tables(data_dir, male_value=None):
    """Read and check the tables of all splits. Returns Tables.

    A split without a table, or without rows in it, is flagged. Raises UserError when the folder or
    all tables are missing, or a table can't be understood.
    """
    check_data_dir(data_dir)
    data_dir = Path(data_dir)
    parts, lacking = [], {}
    for split, place in SPLITS.items():
        if not (data_dir / place.table).exists():
            lacking[split] = "no table"
            continue
        try:
            parts.append(read_split(data_dir, split, male_value))
        except NoRows:
            lacking[split] = "no rows"
    if not parts:
        names = ", ".join(place.table for place in SPLITS.values())
        raise UserError(
            f"none of {names} has any rows ({data_dir}). Save workbooks as CSV, name the data folder "
            "with --data_dir, or make one with import_data.py (own films) or make_phantoms.py."
        )
    rows, columns, unlabelled = (pd.concat(p, ignore_index=True) for p in zip(*parts, strict=True))
    flags = [
        *(
            flag(check, pd.DataFrame({"split": [split]}), SPLITS[split].table)
            for split, check in lacking.items()
        ),
        *check_folders(rows, data_dir),
        *check_ids(rows),
        *check_ages(rows),
        flag("unknown sex", rows[rows["sex"].isna()], "the table says: " + rows["sex_text"]),
        *check_columns(columns),
    ]
    return Tables(data_dir.resolve(), rows, columns, unlabelled, flags)


def read_split(data_dir, split, male_value):
    """Read one split: its rows with their films, its columns, and its films without a row."""
    csv, folder = data_dir / SPLITS[split].table, split_folder(data_dir, split).resolve()
    table, films = read_table(csv), list_films(folder)
    rows = match_films(labels_of(table, csv, male_value), films)
    boneage, sex = (find_columns(table, name)[0] for name in ("boneage", "sex"))

    def name_in_folder(path):
        inside = path.removeprefix(f"{folder}{os.sep}").replace(os.sep, "/")
        return as_unicode(f"{SPLITS[split].folder}/{inside}")

    rows = rows.assign(
        split=split,
        row=rows.index,
        file=rows["path"].map(name_in_folder).where(rows["path"] != "", rows["filename"]),
        age_text=clean_text(table[boneage]),
        age_unit=unit_of(boneage),
        sex_text=clean_text(table[sex]).replace("", "nothing"),
    )
    loose = sorted(set(map(str, films)) - set(rows["path"]))
    unlabelled = pd.DataFrame({"split": split, "file": [name_in_folder(path) for path in loose]})
    columns = count_gaps(table).assign(rows=len(table))
    columns.insert(0, "split", split)
    return rows, columns.assign(is_age=columns["column"] == boneage), unlabelled


def check_columns(columns):
    odd = columns[(columns["infinite"] > 0) & ~columns["is_age"]]
    yield flag("infinite values", odd, odd["infinite"].astype(str) + " in column " + odd["column"])


def check_folders(rows, data_dir):
    """Flag image folders that are missing; where a folder exists, flag rows without a film, or with
    several that may be theirs."""
    for split, part in rows.groupby("split", sort=False):
        folder = split_folder(data_dir, split)
        if not folder.is_dir():
            detail = f"{folder.name}/, films of {len(part)} rows"
            yield flag("no image folder", pd.DataFrame({"split": [split]}), detail)
            continue
        named = part[(part["id"] != "") | (part["filename"] != "")]
        for check in (NO_FILE, SEVERAL):
            yield flag(check, named[named["missing"] == check])


def check_ids(rows):
    yield flag("no id", rows[rows["id"] == ""])
    named = rows[rows["id"] != ""]
    twice = named[named.duplicated(["split", "id"], keep=False)]
    yield flag("duplicate id", twice, name_others(twice, ["split", "id"]))
    named = named.assign(name=named["id"].map(loose_name))
    spread = named[in_two_splits(named, named["id"]) | in_two_splits(named, film_keys(named))]
    yield flag("same id in two splits", spread, name_others(spread, ["name"]))
    told = rows[rows["patient"] != ""]
    told = told.assign(name=patient_ids(told))
    spread = told[in_two_splits(told, told["name"])]
    yield flag("same patient in two splits", spread, name_others(spread, ["name"]))
    both = rows[of_two_sexes(rows)]
    yield flag("patient of two sexes", both, "patient " + both["patient"])
    filed = rows[rows["path"] != ""]
    shared = filed[filed.groupby("path")["id"].transform("nunique") > 1]
    yield flag("same file for two rows", shared, name_others(shared, ["path"]))


def in_two_splits(rows, keys):
    """Return a mask of the rows whose key is in more than one split."""
    return rows.groupby(keys)["split"].transform("nunique") > 1


def check_ages(rows):
    text, unknown = rows["age_text"], rows["boneage"].isna()
    age = text + " " + rows["age_unit"]
    number = read_numbers(text)
    infinite, given = np.isinf(number), text != ""
    yield flag("no age", rows[unknown & ~given])
    yield flag("age is no number", rows[given & number.isna()], "the table says: " + text)
    yield flag("infinite age", rows[infinite], "the table says: " + text)
    yield flag("impossible age", rows[unknown & number.notna() & ~infinite], age)
    unlikely = (rows["boneage"] == 0) | (rows["boneage"] > ADULT_MONTHS)
    yield flag("unlikely age", rows[unlikely], age)
    months = number[rows["age_unit"] == "months"].groupby(rows["split"])
    among = months.transform(years_among_months).reindex(rows.index, fill_value=False)
    yield flag("age looks like years", rows[among.astype(bool)], text + ", others are whole months")
    everywhere = look_like_years(rows["boneage"])  # a small split alone can't show it
    for split, ages in rows.groupby("split", sort=False)["boneage"]:
        if ages.count() and (everywhere or look_like_years(ages)):
            detail = f"all {ages.count()} ages are {ages.max():g} or less"
            yield flag("ages look like years", pd.DataFrame({"split": [split]}), detail)
    for split, ages in text[rows["age_unit"] == "years"].groupby(rows["split"], sort=False):
        if look_like_years_months(ages):
            yield flag("ages look like years.months", pd.DataFrame({"split": [split]}))


def years_among_months(ages):
    """Return a mask of the ages that may be years: with decimals, and at most LARGEST_YEARS, where
    all the others, WHOLE or more, are whole months."""
    few = ages.between(0, LARGEST_YEARS)
    others = ages[~few & ages.between(0, MAX_MONTHS)]
    return few & (ages % 1 > 0) & (len(others) >= WHOLE and (others % 1 == 0).all())
