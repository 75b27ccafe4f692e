"""Which column of a table names the patients, and the notes on it."""

import re

from util.errors import print_note
from util.tables.labels import SYNONYMS, find_columns, known_id, note_shortened
from util.tables.text import clean_text, plain_header

MAYBE_PATIENT = re.compile("(?<!in)patient|subject(?!iv)")
# what a column may tell of a patient, in many values, other than who it is
OF_PATIENT = re.compile(
    "age|alter|name|birth|geb|nais|nac|dob|dat[eu]|weight|height|comment|note|diagnos"
)
FILMS_PER_CHILD = 5  # more films of most children are rare: values that repeat so are of groups
BY_CHANCE = 1e-4  # the chance of equal sexes under which films of one value may be of one child
DATE_OR_DECIMALS = r"\d(?:[.,/:]|-\d+-)\d"


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
