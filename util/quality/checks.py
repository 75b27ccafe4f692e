"""What is wrong with a data folder: its tables, its films, and pictures that occur twice.

    audit = check_data(read_tables("Data"))
    audit.flags     # one row for each thing that is wrong: severity, check, split, row, id, ...

Every row and every film is looked at, and each file is read once.
"""

import hashlib
import math
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from hand_crop.localiser import unlike_hands
from hand_crop.network import shrink
from hand_crop.orientation import orientations
from util.ages import (
    LARGEST_YEARS,
    MAX_MONTHS,
    look_like_years,
    look_like_years_months,
    read_numbers,
    unit_of,
)
from util.data_folder import SPLITS, check_data_dir, split_folder
from util.errors import UserError
from util.files import as_unicode
from util.film_files import list_films
from util.growth import ADULT_MONTHS
from util.identity import film_keys, loose_name, of_two_sexes, patient_ids
from util.image_kinds import image_kind
from util.labels import find_columns, labels_of
from util.left_out import split_usable
from util.matching import NO_FILE, SEVERAL, match_films
from util.parallel import map_films
from util.quality.same_pictures import difference_hash, same_pictures, thumbnail
from util.radiographs import (
    EMPTY,
    NO_CONTRAST,
    NO_IMAGE,
    STRETCHED,
    TOO_SMALL,
    TRUNCATED,
    UNREADABLE,
    RadiographError,
    count_greys,
    decode,
    greys_at,
    prepare,
    read_bytes,
    set_right,
)
from util.tables import NoRows, clean_text, count_gaps, read_table

SERIOUS, LOOK = "serious", "look"
AGE_ADVICE = (
    f"Correct it: 0 to {MAX_MONTHS} months, or the same in years. Training leaves the row out."
)
FILE_ADVICE = "Replace the file or remove the row. Training leaves it out."
CHECKS = {  # what can be wrong, in the order of a report: (severity, what to do)
    "no table": (SERIOUS, "Add the table, unless this split is meant to be missing."),
    "no rows": (SERIOUS, "Fill the table, unless this split is meant to be missing."),
    "no image folder": (SERIOUS, "Add the folder, or name the right place with --data_dir."),
    "no id": (SERIOUS, "Fill it in. Training leaves the row out."),
    "duplicate id": (SERIOUS, "Keep the right row: training takes the first if all give one sex."),
    "same id in two splits": (SERIOUS, "Keep it in one split: never test on training films."),
    "same patient in two splits": (SERIOUS, "Keep all films of a patient in one split."),
    "no age": (SERIOUS, AGE_ADVICE),
    "age is no number": (SERIOUS, AGE_ADVICE),
    "infinite age": (SERIOUS, AGE_ADVICE),
    "impossible age": (SERIOUS, AGE_ADVICE),
    "ages look like years": (SERIOUS, "If they are, let the header of their column end in _years."),
    "unknown sex": (SERIOUS, "Write M or F. Training leaves the row out."),
    NO_FILE: (SERIOUS, "Add the film or remove the row. Training leaves it out."),
    SEVERAL: (SERIOUS, "Say which one in a column filename: folder/name."),
    "same file for two rows": (SERIOUS, "Give each row its own film."),
    UNREADABLE: (SERIOUS, "Check the rights of the file and the disk."),
    EMPTY: (SERIOUS, FILE_ADVICE),
    TRUNCATED: (SERIOUS, FILE_ADVICE),
    NO_IMAGE: (SERIOUS, FILE_ADVICE),
    NO_CONTRAST: (SERIOUS, FILE_ADVICE),
    TOO_SMALL: (SERIOUS, FILE_ADVICE),
    "unusable film": (SERIOUS, FILE_ADVICE),
    "same picture in two splits": (SERIOUS, "Keep it in one split: this flatters the test error."),
    "patient of two sexes": (LOOK, "Correct the sex, or the patient; leave unknown ones empty."),
    "unlikely age": (LOOK, "Check it: bone age is above 0 and ends at about 19 years."),
    "age looks like years": (LOOK, "Check it: if it is one of years, write months."),
    "ages look like years.months": (LOOK, "If 10.11 is 10 years and 11 months, write months."),
    "infinite values": (LOOK, "Correct the column if you use it; training doesn't."),
    "film looks inverted": (
        LOOK,
        "Check if bones are dark; --fit hand inverts it back, stretch and pad don't.",
    ),
    "film looks turned": (
        LOOK,
        "Check if fingers point up; --fit hand sets it upright, stretch and pad don't.",
    ),
    "film looks unlike a hand": (
        LOOK,
        "Check that it shows one hand with fingers up; training uses it.",
    ),
    "hardly any contrast": (LOOK, "Check that it shows a hand; training uses it."),
    "same picture twice in a split": (LOOK, "Keep one, the one with the right label."),
}
WHOLE = 20  # so many ages in whole months tell that those with decimals may be years
LEAST_LEVELS = 16  # grey levels of a film; the poorest of 12,000 real films has 19
AT_ONCE = 256  # films that the networks look at together


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


@dataclass
class Audit:
    """All findings: the `tables`, the `flags` of tables and films, `usable` (the rows that training
    would take), `films` (kind, depth in bits, width and height in pixels, reason "" or why it is
    unusable) and `same` (films that show the same picture, by group)."""

    tables: Tables
    flags: pd.DataFrame
    usable: pd.DataFrame
    films: pd.DataFrame
    same: pd.DataFrame


@dataclass
class Film:
    """What is kept of a film that was read; `reason` says why it is unusable, or is ""."""

    kind: str = ""
    depth: int = 0
    width: int = 0
    height: int = 0
    levels: int = 0
    small: np.ndarray = None
    reason: str = ""
    digest: bytes = b""
    bits: np.ndarray = None
    thumbnail: np.ndarray = None


def check_data(tables, workers=None):
    """Read the films of all rows and check them. Returns an Audit."""
    rows = tables.rows
    filmed = rows[rows["path"] != ""].drop_duplicates("path").reset_index(drop=True)
    films = map_films(read_film, filmed["path"], "checking films", workers)
    facts = ["kind", "depth", "width", "height", "levels", "reason"]
    frame = filmed.assign(**{name: [getattr(film, name) for film in films] for name in facts})
    readable = (frame["reason"] == "").to_numpy()
    oddities = oddities_of_small([film.small for film in films if not film.reason])
    for name, odd in oddities.items():
        frame[name] = np.zeros(len(frame), odd.dtype)
        frame.loc[readable, name] = odd
    same = same_pictures(filmed, films)
    usable = [split_usable(part)[0] for _, part in rows.groupby("split", sort=False)]
    usable = pd.concat(usable, ignore_index=True)
    found = [*tables.flags, *check_films(frame), *check_same(same)]
    flags = pd.concat([part for part in found if len(part)] or found[:1], ignore_index=True)
    flags = flags.assign(severity=flags["check"].map(lambda check: CHECKS[check][0]))
    flags = flags.sort_values(
        "check", key=lambda names: names.map(list(CHECKS).index), kind="stable"
    )
    return Audit(
        tables=tables,
        flags=flags[["severity", "check", "split", "row", "id", "file", "detail"]],
        usable=usable[~usable["path"].isin(frame.loc[frame["reason"] != "", "path"])],
        films=frame,
        same=same,
    )


def flag(check, rows, detail=""):
    """Flag some rows: return a frame with their split, row, id and file, and what is wrong.
    `detail` is one text for all, or a Series with a text for each of these rows and maybe
    others."""
    if isinstance(detail, pd.Series):
        detail = detail[rows.index]
    rows = rows.reindex(columns=["split", "row", "id", "file"])
    return rows.astype({"row": "Int64"}).assign(check=check, detail=detail)


# ---------------------------------------------------------------------------------------- tables


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


def format_age(months):
    return "no age" if math.isnan(months) else f"{round(months, 1):g} months"


def name_others(rows, by):
    """Return a text for each row that names the other rows of its group, and says if their ages or
    sexes differ."""
    said = pd.Series("", index=rows.index)
    for _, group in rows.groupby(by, sort=False):
        names = [
            f"{row.split} row {row.row} ({row.file or row.id}, {format_age(row.boneage)})"
            for row in group.head(4).itertuples()
        ]
        labels = {"ages": group["boneage"], "sexes": group["sex"]}
        differ = "".join(f"{name} differ; " for name in labels if labels[name].nunique() > 1)
        for place, index in enumerate(group.index):
            others = [name for k, name in enumerate(names) if k != place][:3]
            rest = len(group) - 1 - len(others)
            said[index] = f"{differ}as {', '.join(others)}" + (f" and {rest} more" if rest else "")
    return said


# ----------------------------------------------------------------------------------------- films


def read_film(path):
    """Read a film and keep what the checks need of it; never raises for a bad file."""
    film = Film()
    try:
        data = read_bytes(path)
        film.kind = image_kind(data)
        image = decode(data, path)
        film.depth, (film.height, film.width) = 8 * image.itemsize, image.shape
        stretched = prepare(image, path)
    except RadiographError as error:
        film.reason = error.reason
        return film
    film.levels = count_levels(stretched)
    film.digest = hashlib.blake2b(image.tobytes(), salt=f"{image.shape}".encode()[:16]).digest()
    film.bits, film.thumbnail = difference_hash(stretched), thumbnail(stretched)
    film.small = shrink(stretched)
    return film


def count_levels(image):
    """Return how many grey levels a uint8 film `(H, W)` has between its 0.5th and 99.5th
    percentile."""
    counts = count_greys(image)
    low, high = greys_at(counts, STRETCHED)
    return int(np.count_nonzero(counts[low : high + 1]))


def oddities_of_small(small):
    """Return what is odd about films, as `shrink` returns them: {"turned", "inverted", "unlike": an
    array}, see Oddities. Only AT_ONCE films are looked at together, so that memory stays flat."""
    parts = []
    with threadpool_limits(1, "blas"):  # its threads wait for each other longer than they compute
        for start in range(0, max(1, len(small)), AT_ONCE):
            films = small[start : start + AT_ONCE]
            turned, inverted = orientations(films)
            upright = [set_right(*film) for film in zip(films, turned, inverted, strict=True)]
            parts.append((turned, inverted, unlike_hands(upright)))
    names = ("turned", "inverted", "unlike")
    return dict(zip(names, map(np.concatenate, zip(*parts, strict=True)), strict=True))


def check_films(films):
    bad = films[films["reason"] != ""]
    for reason, part in bad.groupby("reason"):
        check = next((check for check in CHECKS if reason.startswith(check)), "unusable film")
        yield flag(check, part, reason.removeprefix(check).strip(": "))
    flat = films[(films["reason"] == "") & (films["levels"] < LEAST_LEVELS)]
    yield flag("hardly any contrast", flat, flat["levels"].astype(str) + " grey levels")
    turned = films[films["turned"] > 0]
    yield flag("film looks turned", turned, "by " + turned["turned"].astype(str) + " degrees")
    yield flag("film looks inverted", films[films["inverted"]], "dark bones on a light ground")
    yield flag("film looks unlike a hand", films[films["unlike"]])


def check_same(same):
    for check, across in (
        ("same picture in two splits", True),
        ("same picture twice in a split", False),
    ):
        part = same[same["across"] == across]
        alike = "looks the same (" + part["correlation"].round(2).astype(str) + ")"
        alike = alike.where(part["match"] != "exact", "exact copy")
        yield flag(check, part, alike + "; " + name_others(part, ["group"]))
