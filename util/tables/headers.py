"""What the header of a DICOM file says about the child on the film."""

import re
from functools import partial
from typing import NamedTuple

import numpy as np
import pandas as pd

from util.dicom import is_dicom_file, read_dicom
from util.files import file_state
from util.parallel import map_films
from util.tables.ages import ADULT_MONTHS, MAX_MONTHS
from util.tables.labels import known_id

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
