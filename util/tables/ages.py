"""Ages in the columns of tables: their numbers and units, and what contradicts them."""

import re

import numpy as np
import pandas as pd

from util.errors import UserError, counted, print_note
from util.identity import MONTH_DECIMALS
from util.tables.text import plain_header

MAX_MONTHS = 300  # no bone age is above 25 years: larger numbers are in another unit
ADULT_MONTHS = 240  # the atlas of Greulich & Pyle ends at 19 years for boys, 18 for girls
MONTHS_IN = {"months": 1, "years": 12}
LARGEST_YEARS = 22  # ages that are all at most this are usually years
STEPS_OF_YEARS = (12, 6, 3)  # months from one age to the next: in whole years, halves or quarters
STEP = 1.2  # of other ages: years with one decimal
MONTHS_BEYOND = re.compile(r"months?|mo|unnamed\d+")  # without a header pandas names them so


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


def check_ages(table, columns, path):
    """UserError when the bone ages of a table, read from `path`, are contradicted by its header, by
    the row below it, or by another column. `columns` are those of `find_label_columns`."""
    found = columns["boneage"]
    check_own_header(table, found[0], path)
    check_unit_line(table, columns, path)
    check_two_ages(table, found, path)
    check_months_beyond(table, found[0], path)


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


def note_years_months(column, path):
    """Print if the ages in a column of a table, which was read from `path`, look like
    years.months."""
    if unit_of(column.name) == "years" and look_like_years_months(column):
        print_note(
            f"ages of {column.name} look like years.months ({path}): if 10.11 is 10 years and 11 "
            "months, write months"
        )


def years_note(films, where):
    """Return a note, in a list, if the ages of labelled films look like years; else []."""
    if not look_like_years(films["boneage"]):
        return []
    return [
        f"all ages are {films['boneage'].max():g} months or less ({where}): if they are years, let "
        "the header of their column end in _years"
    ]
