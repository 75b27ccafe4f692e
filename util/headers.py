"""What the header of a DICOM file says: about the child on the film, and which row of a table is
its own."""

import re
from collections import defaultdict
from functools import partial
from importlib.util import find_spec
from typing import NamedTuple

import numpy as np
import pandas as pd

from util.ages import MAX_MONTHS, note_years_months
from util.dicom import INSTALL, is_dicom_file, read_dicom
from util.errors import UserError, counted, print_note
from util.files import file_state
from util.film_files import NO_FILE, find_films, match_films
from util.growth import ADULT_MONTHS
from util.identity import loose_name
from util.image_kinds import IMAGE_ENDINGS
from util.labels import check_alike, clean_id, find_columns, known_id, labels_of, note_shortened
from util.left_out import count_reasons, split_usable, what_to_correct
from util.parallel import map_films
from util.patients import note_patients
from util.readers import mean_of_readers, months_of_readers, note_second_reader
from util.sexes import differ
from util.tables import NoLabels, clean_text, plain_header

ELEMENTS = [
    *("PatientSex", "PatientBirthDate", "PatientAge", "AcquisitionDate", "StudyDate"),
    *("BodyPartExamined", "BurnedInAnnotation"),
]
PATIENT_SEX = {"M": 1.0, "F": 0.0}  # values of PatientSex; O, other, is neither
MONTH = 365.25 / 12  # days
AGE = re.compile(r"(\d{3})([DWMY])")  # PatientAge, such as 018M (DICOM PS3.5, 6.2, AS)
UNITS = {"D": 1 / MONTH, "W": 7 / MONTH, "M": 1, "Y": 12}  # months
# fmt: off
# values of BodyPartExamined other than the hand (DICOM PS3.16, annex L)
OTHER_PARTS = {
    "ABDOMEN", "ANKLE", "BREAST", "CHEST", "CLAVICLE", "CSPINE", "ELBOW", "FEMUR", "FOOT",
    "HEAD", "HEART", "HIP", "HUMERUS", "JAW", "KNEE", "LEG", "LSPINE", "NECK", "PELVIS", "RIB",
    "SHOULDER", "SKULL", "SPINE", "SSPINE", "STERNUM", "THIGH", "TOE", "TSPINE",
}
# fmt: on
# numbers such as 2020/123 are compared whole, and name files
SLASH, SLASH_IN_ID = re.compile(r"[/\\]"), "_"
YEAR_ALONE = "0101"  # birthday in anonymised films that keep only the year of birth


class Child(NamedTuple):
    """What a header says about a film and the child on it.

    `sex` (1 = male) and `age` (months) are NaN where unknown. `doubt` says why a bone age of the
    film is doubtful, "" for no reason. `burnt` is whether the header reports text burnt into the
    picture. `file` is the `file_state` from before the header was read, None without a header.
    """

    sex: float = np.nan
    age: float = np.nan
    doubt: str = ""
    burnt: bool = False
    file: object = None


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


def read_element(path, element):
    """Return the text of an element in the header of a film; "" if there is none, or no picture, as
    in the report on the dose of a study."""
    if not is_dicom_file(path):
        return ""
    try:
        header = read_dicom(path, stop_before_pixels=True, specific_tags=[element, "Rows"])
        return str(header.get(element) or "").strip() if "Rows" in header else ""
    except Exception:  # damaged: reported when the film itself is read
        return ""


def fill_patients(films):
    """Return the patient of each labelled film. Where the table names none, films with the same
    PatientID in their DICOM headers are of one, who is called "child of" and the id of the first,
    so that no PatientID is stored.

    A PatientID of most films, or of both sexes, is that of no child, but a word such as ANONYMOUS.
    One of films that were given to two splits doesn't count either, as nothing can join these.
    """
    if (films["patient"] != "").all():
        return films["patient"]
    told = map_films(partial(read_element, element="PatientID"), films["path"])
    ids = pd.Series(told, films.index, str).map(known_id)
    given, named = (films[name].mask(films[name] == "") for name in ("given_split", "patient"))
    sexes, splits = (part.groupby(ids).transform("nunique") for part in (films["sex"], given))
    common = ids.map(ids[ids != ""].value_counts(normalize=True)) > 0.5
    is_child = (ids != "") & (sexes == 1) & (splits <= 1) & ~common
    first_named, first_id = (part.groupby(ids).transform("first") for part in (named, films["id"]))
    children = first_named.fillna("child of " + first_id)
    return films["patient"].mask(is_child & (films["patient"] == ""), children)


def needs_sex_column(table, films):
    """Whether sexes must come from the table: it has a column for them, or none of the `films` (a
    list of paths) is DICOM, whose header could give the sex."""
    return bool(find_columns(table, "sex")) or not any(map(is_dicom_file, films))


def read_children(paths):
    """Read the children on films from DICOM headers.

    Returns a frame with the fields of Child and the index of the column `paths`. A header that
    can't be read leaves everything unknown.
    """
    children = map_films(read_child, paths)
    return pd.DataFrame(children, paths.index, Child._fields).astype(Child.__annotations__)


def read_child(path):
    """Read the Child from a file's header; all is unknown if it isn't DICOM or can't be read."""
    if not is_dicom_file(path):
        return Child()
    try:
        state = file_state(path)
        header = read_dicom(path, stop_before_pixels=True, specific_tags=ELEMENTS)
        return Child(
            sex=PATIENT_SEX.get(word_in(header, "PatientSex"), np.nan),
            age=age_in(header),
            doubt=doubt_in(header),
            burnt=word_in(header, "BurnedInAnnotation") == "YES",
            file=state,
        )
    except Exception:  # damaged, or no pydicom: reported when the film itself is read
        return Child()


def word_in(header, name):
    """Return the value of an element in capital letters; "NONE" where there is no such element."""
    return str(header.get(name)).strip().upper()


def age_in(header):
    """Return the child's age in months when the film was taken, to 0.1 months; NaN where unknown.

    The age follows from the dates of birth and of the film, unless PatientAge contradicts them. In
    that case, and without dates, it is PatientAge, unless that is in whole years, which may be a
    year off. Ages of 0 or less, or above MAX_MONTHS, are NaN.
    """
    months = months_by_dates(header)
    least, unit = stated_age(header)
    if not (np.isnan(least) or least - 1 <= months <= least + unit + 1):  # False without dates
        months = np.nan if unit == UNITS["Y"] else least
    return round(months, 1) if 0 < months <= MAX_MONTHS else np.nan


def stated_age(header):
    """Return PatientAge and the length of its unit, both in months; NaN without PatientAge."""
    told = AGE.fullmatch(str(header.get("PatientAge")).strip())
    return (int(told[1]) * UNITS[told[2]], UNITS[told[2]]) if told else (np.nan, np.nan)


def months_by_dates(header):
    """The months from birth to the film, NaN where a date is unknown."""
    taken = day_in(header, "AcquisitionDate")
    taken = day_in(header, "StudyDate") if pd.isna(taken) else taken
    return (taken - day_in(header, "PatientBirthDate")).days / MONTH


def doubt_in(header):
    """Return why a bone age of the film is doubtful: the header names a part of the body other than
    the hand, or an adult. "" for no reason."""
    part, (months, _) = word_in(header, "BodyPartExamined"), stated_age(header)
    if np.isnan(months):
        months = months_by_dates(header)
    doubts = [part] if part in OTHER_PARTS else []
    if months >= ADULT_MONTHS:
        doubts.append(f"{months / 12:.0f} years, which no atlas of children covers")
    return f"the DICOM header says {' and '.join(doubts)}" if doubts else ""


def day_in(header, name):
    """Return the date in an element; NaT without one, or for a birthday that gives only the
    year."""
    text = str(header.get(name)).replace(".", "")  # 2010.01.15 is an old form
    if not re.fullmatch(r"\d{8}", text) or (
        name == "PatientBirthDate" and text.endswith(YEAR_ALONE)
    ):
        return pd.NaT
    return pd.to_datetime(text, format="%Y%m%d", errors="coerce")
