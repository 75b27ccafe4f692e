"""Which films belong to the rows of a table, and what the DICOM headers of films say of them."""

import re
from collections import defaultdict
from functools import partial
from importlib.util import find_spec

from util.dicom import INSTALL, is_dicom_file
from util.errors import UserError, counted, print_note
from util.identity import loose_name
from util.image_kinds import IMAGE_ENDINGS
from util.parallel import map_films
from util.tables.ages import note_years_months
from util.tables.headers import read_children, read_element
from util.tables.labels import check_alike, clean_id, find_columns, labels_of, note_shortened
from util.tables.left_out import count_reasons, split_usable, what_to_correct
from util.tables.matching import NO_FILE, find_films, match_films
from util.tables.patients import note_patients
from util.tables.readers import mean_of_readers, months_of_readers, note_second_reader
from util.tables.sexes import differ
from util.tables.text import NoLabels, clean_text, plain_header

# numbers such as 2020/123 are compared whole, and name files
SLASH, SLASH_IN_ID = re.compile(r"[/\\]"), "_"


def match_with_headers(table, path, films, male_value, need_sex=False, readers=None, match_by=None):
    """Match the labels of a table with their films, and fill in sexes from DICOM headers.

    `read_table` read the table from `path`; for the matching among `films` see `match_films`. The
    table needs no column for sex if a header gives one, unless `need_sex`. With `readers`, a film
    has one row with the mean of its readers, see `mean_of_readers`: they are the columns with their
    ages, or [] if a film has a row for each reader; None for labels of one reader. For `match_by`
    see `find_by_element`. NoLabels when neither the table nor a header gives sexes, as when no row
    has a film. Where a header gives another sex than the table, the table's is kept. Prints what
    `note_children` does; if ages look like years.months; if a column that may hold the patients, or
    the ages of a second reader, is not used; and if a spreadsheet has shortened numbers.
    """
    table = take_element_as_id(table, match_by, path)
    need_sex = need_sex or needs_sex_column(table, films)
    need = ["sex"] * need_sex + ["boneage"] * (not readers)
    labels = labels_of(table, path, male_value, need)
    labels = match_films(labels, films, find_by_element(labels, films, match_by, path))
    if readers is not None:
        months = months_of_readers(table, readers, path) if readers else labels[["boneage"]]
        labels = mean_of_readers(labels, months)
    for column in readers or find_columns(table, "boneage")[:1]:
        note_years_months(table[column], path)
        if readers is None:
            note_second_reader(table, column, path)
    note_patients(table, labels, path)
    note_shortened("ids", labels["id"][labels["missing"] == NO_FILE], path)
    children = read_children(labels["path"])
    told = children["sex"]
    if not need_sex:
        check_some_sex(labels, told, films, path)
    note_children(labels, children, path)
    by_film = labels.groupby("path")["sex"].transform("first")  # maybe in another row
    return labels.assign(sex=labels["sex"].fillna(told.mask(differ(by_film, told))))


def check_some_sex(labels, told, films, path):
    """NoLabels when no header of the films gives a sex: `told`, one for each of the labels, which
    were read from `path` and matched with the `films`."""
    if told.notna().any():
        return
    if not any(labels["path"]):
        _, left_out = split_usable(labels)
        raise NoLabels(
            f"none of {len(labels)} rows has a film: {count_reasons(left_out)} ({path}). "
            + what_to_correct(left_out, films)
        )
    missing = "" if find_spec("pydicom") else f", or {INSTALL} to read them"
    raise NoLabels(
        f"no column for sex, and no DICOM header gives one ({path}). Add the column{missing}."
    )


def note_children(labels, children, path):
    """Print for how many films of labels, read from `path`, the headers give another sex than the
    table, report another body part or an adult, or report burnt-in text. `children` are those of
    `read_children`."""
    other_sex = differ(labels["sex"], children["sex"])
    for odd, what, then in (
        (other_sex, f"contradict the sex in {path}", "the table is used"),
        (children["doubt"] != "", "report an adult or another body part", "used all the same"),
        (children["burnt"], "report burnt-in text", "it may be a name, and is not removed"),
    ):
        if n := len(ids := labels["id"][odd]):
            which = f"{counted(n, 'film')}, such as {ids.iloc[0]}"
            print_note(f"DICOM headers {what} for {which}: {then}")


def take_element_as_id(table, element, path):
    """Return a table whose id is its column of that name, such as AccessionNumber or accession
    number, in place of any id or name of a file; without such a column, its id stays. Slashes in
    it, unless it names a file, become SLASH_IN_ID. The table itself without an element; UserError
    when two such columns, of a table read from `path`, differ."""
    if not element:
        return table
    ids = find_columns(table, "id")
    own = [c for c in table if plain_header(c) == plain_header(element)]
    if own:
        check_alike(table, own, path)
        # a column of patients stays: it may be the same
        others = [c for c in ids if c not in find_columns(table, "patient")]
        table, ids = table.drop(columns=others).assign(id=table[own[0]]), ["id"]
    if not ids:
        return table
    values = table[ids[0]]
    is_file = clean_text(values).str.lower().str.endswith(IMAGE_ENDINGS)
    whole = values.str.replace(SLASH, SLASH_IN_ID, regex=True)
    return table.assign(**{ids[0]: values.where(is_file, whole)})


def find_by_element(labels, films, element, path):
    """Return for each row of labels, read from `path`, a list of the films whose header holds its
    id in an element such as AccessionNumber (--match_by); leading zeros don't count. Without an
    element, see `find_films`.

    UserError when DICOM has no such element; NoLabels when no film has it, or no row the value of
    one.
    """
    if not element:
        return find_films(labels, films)
    check_element(element)
    values = map_films(partial(read_element, element=element), films)
    known = [(value, film) for value, film in zip(values, films, strict=True) if value]
    if not known:
        raise NoLabels(f"no film has {element} in its header (--match_by). Name another element.")
    films_of = defaultdict(list)
    for value, film in known:
        films_of[loose_name(clean_id(SLASH.sub(SLASH_IN_ID, value)))].append(film)
    found = [films_of.get(loose_name(id_), []) for id_ in labels["id"]]
    if not any(found):
        value, film = known[0]
        raise NoLabels(
            f"no row has the {element} of a film: {film.name} has {value}, the table names "
            f"{labels['id'].iloc[0]} ({path}). Correct --match_by, or the table."
        )
    return found


def check_element(element):
    """UserError when DICOM has no element of this name, or pydicom is missing."""
    if not find_spec("pydicom"):
        raise UserError(f"--match_by reads DICOM headers: {INSTALL}.")
    from pydicom.datadict import tag_for_keyword

    if tag_for_keyword(element) is None:
        raise UserError(
            f"DICOM has no element of that name (--match_by {element}). Write it as in "
            "AccessionNumber."
        )


def needs_sex_column(table, films):
    """Whether sexes must come from the table: it has a column for them, or none of the `films` (a
    list of paths) is DICOM, whose header could give the sex."""
    return bool(find_columns(table, "sex")) or not any(map(is_dicom_file, films))
