"""The sex and age of the child on each film, from options, a table or DICOM headers."""

import re
from collections import defaultdict
from pathlib import Path

import numpy as np

from util.errors import UserError, print_note
from util.metrics_text import format_years
from util.tables.ages import MONTHS_IN, contradict, read_months, unit_of
from util.tables.headers import read_children
from util.tables.labelled_films import find_by_element, needs_sex_column, take_element_as_id
from util.tables.labels import check_male_value, find_columns, labels_of, note_shortened
from util.tables.matching import SEVERAL
from util.tables.sexes import differ, sex_of
from util.tables.text import clean_text, plain_header, read_table

# of the age of the child, in an unknown unit or otherwise than SYNONYMS has it
AGE_HEADER = re.compile("age$|patients?age|chronological")
OTHER_AGE = 12  # months by which two ages may differ, as one may be in whole years


def add_children(films, args, needs_sex):
    """Add columns about the child to the films of `list_named`.

    These are `sex` (1 = male) and `age_months`, NaN if unknown; `no_sex`, what to report of films
    without a sex; and `child_note`, see `add_from_headers` and `add_from_table`. Without a table,
    raises UserError if the model or --age_months needs the sex and no film has one.
    """
    if args.csv:
        return add_from_table(films, args.csv, args.male_value, args.match_by)
    sex = sex_of(args.sex)
    age = np.nan if args.age_months is None else args.age_months
    no_sex = "no sex: add --sex or --csv"
    films = add_from_headers(films.assign(sex=sex, age_months=age, no_sex=no_sex))
    if films["sex"].isna().all() and (needs_sex or args.age_months is not None):
        what = "this model needs" if needs_sex else "--age_months has no effect without"
        raise UserError(
            f"{what} the sex ({' '.join(args.model)}). Add --sex F or M, or --csv FILE."
        )
    return films


def add_from_table(films, csv, male_value, match_by):
    """Add the columns of `add_children` from a table, and from headers what it lacks. Why the table
    gives no sex is in `child_note` if a header gives one, unless the table has ages alone."""
    paths = [as_a_table_knows_it(path) for path in films["path"]]
    sex, age, no_sex = zip(*look_up_children(paths, csv, male_value, match_by), strict=True)
    told = films.assign(sex=sex, age_months=age, no_sex=no_sex)
    films = add_from_headers(told)
    by_header = told["sex"].isna() & films["sex"].notna() & (films["no_sex"] != no_column(csv))
    notes = films["no_sex"] + "; the sex in its DICOM header is used"
    notes = join_notes(notes.where(by_header, ""), films["child_note"])
    return films.assign(child_note=notes)


def add_from_headers(films):
    """Fill in missing `sex` and `age_months` of films from DICOM headers, and add `child_note`. It
    is "" unless the header gives another sex or age, or says that this is no child's hand. `file`
    is the state of the file with the header, see `Child`."""
    told = read_children(films["path"])
    sex = "the DICOM header says " + told["sex"].map({0: "F", 1: "M"})
    sex = sex.where(differ(films["sex"], told["sex"]), "")
    age = [
        f"the DICOM header says {format_years(told)}" if abs(given - told) > OTHER_AGE else ""
        for given, told in zip(films["age_months"], told["age"], strict=True)
    ]
    return films.assign(
        sex=films["sex"].fillna(told["sex"]),
        age_months=films["age_months"].fillna(told["age"]),
        child_note=join_notes(sex, age, told["doubt"]),
        file=told["file"],
    )


def no_column(csv):
    return f"no column for sex in {csv}"


def join_notes(*columns):
    """Return a list with the notes of all columns joined for each row, "" if a row has none."""
    return ["; ".join(filter(None, notes)) for notes in zip(*columns, strict=True)]


def as_a_table_knows_it(path):
    """Return the absolute path of a film. Links keep their names, as tables use these; they are
    resolved only if the path contains ".."."""
    path = Path(path)
    return path.parent.resolve() / path.name if ".." in path.parts else path.absolute()


def look_up_children(paths, csv, male_value, match_by=None):
    """Return what a table says of the child on each film: a list of sex (1 = male, NaN unknown),
    age (months, NaN unknown), and why there is no sex ("" if there is one). For `match_by` see
    `find_by_element`. Prints notes on rows and ages that are not used."""
    rows = read_children_of(csv, paths, male_value, match_by)
    found = find_by_element(rows, sorted(set(paths)), match_by, csv)
    rows_of, unclear, unmatched = defaultdict(list), set(), []
    for row, films in zip(rows.index, found, strict=True):
        if len(films) == 1:
            rows_of[films[0]].append(row)
        elif films:
            unclear.update(films)
        else:
            unmatched.append(row)
    # perhaps a typing error, in the table or in a file name
    if unmatched and not all(path in rows_of for path in paths):
        ids = rows.loc[unmatched, "id"]
        print_note(f"rows of {csv} that name no film here: {len(ids)}, such as {ids.iloc[0]}")
        note_shortened("ids", ids, csv)
    if of_two_ages := [p for p, of in rows_of.items() if rows.loc[of, "age"].nunique() > 1]:
        print_note(
            f"films with two ages in {csv}, neither used: {len(of_two_ages)}, such as "
            f"{of_two_ages[0].name}"
        )
    return [child_of(rows.loc[rows_of[path]], path in unclear, csv) for path in paths]


def read_children_of(csv, paths, male_value, match_by):
    """Read a table on the children of films at `paths`: the frame of `labels_of` with two more
    columns, `sex_text`, what the table has for the sex (None without a column), and `age`, see
    `read_ages`. For `match_by` see `find_by_element`."""
    table = take_element_as_id(read_table(csv), match_by, csv)
    check_male_value(male_value, [table], csv)
    rows = labels_of(table, csv, male_value, ("sex",) if needs_sex_column(table, paths) else ())
    columns = find_columns(table, "sex")
    rows["sex_text"] = clean_text(table[columns[0]]) if columns else None
    rows["age"] = read_ages(table, csv)
    return rows


def read_ages(table, csv):
    """Return the ages of children in a table, in months, NaN where they are unknown or two columns
    of them contradict each other. Prints what is not used."""
    columns = find_columns(table, "age")
    if not columns:
        for other in (c for c in table if AGE_HEADER.match(plain_header(c))):
            print_note(
                f"column {other} is not used: ages are read from age_months or age_years ({csv})"
            )
        return np.nan
    first, *others = (read_months(table[column]) for column in columns)
    ages = first
    for other in others:  # the first counts most; the others fill its gaps
        ages = ages.fillna(other)
    note_unread_ages(table[columns], ages, csv)
    for other in others:
        apart = contradict(first, other)
        if apart.any() and first.max() < MONTHS_IN["years"]:  # maybe those beyond the years
            apart = first.notna() & (other > 0)
        if apart.any():
            print_note(
                f"rows in which {first.name} and {other.name} contradict each other, neither used: "
                f"{apart.sum()}, such as row {apart.idxmax()} ({csv})"
            )
        ages = ages.mask(apart)
    return ages


def note_unread_ages(columns, ages, csv):
    """Print how many cells of the `columns` of a table hold no age, in rows without one."""
    for name in columns:
        text = clean_text(columns[name])[ages.isna()]
        unread = text[text != ""]
        if len(unread):
            print_note(
                f"ages of children not in {unit_of(name)}: {len(unread)}, such as {unread.iloc[0]} "
                f"({csv})"
            )


def child_of(rows, unclear, csv):
    """Return (sex, age, why there is no sex) from the rows of one film, see `look_up_children`.
    `unclear`: there is no row for this film alone, but one for several films of its name."""
    if rows.empty:
        why = (
            f"{SEVERAL}, which {csv} does not tell apart" if unclear else f"no row for it in {csv}"
        )
        return np.nan, np.nan, why
    sexes, ages = (set(rows[name].dropna()) for name in ("sex", "age"))
    age = ages.pop() if len(ages) == 1 else np.nan
    if len(sexes) == 1:
        return sexes.pop(), age, ""
    if sexes:
        return np.nan, age, f"two sexes in {csv}"
    if rows["sex_text"].isna().all():
        return np.nan, age, no_column(csv)
    text = next(filter(None, rows["sex_text"]), "an empty cell")
    return np.nan, age, f"no usable sex in {csv}: {text} in place of M or F"
