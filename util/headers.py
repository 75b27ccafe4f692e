"""The child on a film, as the header of a DICOM file tells it."""

import re
import sys
from importlib.util import find_spec
from typing import NamedTuple

import numpy as np
import pandas as pd

from util.dicom import INSTALL, import_pydicom, is_dicom_file
from util.film_files import match_films
from util.growth import ADULT_MONTHS
from util.labels import MAX_MONTHS, find_columns, labels_of
from util.parallel import map_films
from util.sexes import differ
from util.tables import NoLabels

ELEMENTS = [
    *("PatientSex", "PatientBirthDate", "PatientAge", "AcquisitionDate", "StudyDate"),
    *("BodyPartExamined", "BurnedInAnnotation"),
]
PATIENT_SEX = {"M": 1.0, "F": 0.0}  # of PatientSex; O, other, is neither
MONTH = 365.25 / 12  # days
AGE = re.compile(r"(\d{3})([DWMY])")  # PatientAge, such as 018M (DICOM PS3.5, 6.2, AS)
UNITS = {"D": 1 / MONTH, "W": 7 / MONTH, "M": 1, "Y": 12}  # months
# fmt: off
# of BodyPartExamined, those that are no hand (DICOM PS3.16, annex L)
OTHER_PARTS = {
    "ABDOMEN", "ANKLE", "BREAST", "CHEST", "CLAVICLE", "CSPINE", "ELBOW", "FEMUR", "FOOT",
    "HEAD", "HEART", "HIP", "HUMERUS", "JAW", "KNEE", "LEG", "LSPINE", "NECK", "PELVIS", "RIB",
    "SHOULDER", "SKULL", "SPINE", "SSPINE", "STERNUM", "THIGH", "TOE", "TSPINE",
}
# fmt: on
YEAR_ALONE = "0101"  # the birthday of films of which no more than the year shall be known


class Child(NamedTuple):
    """The sex (1 = male) and the age (months) of a child, NaN where unknown; what else a header
    tells that makes a bone age of the film doubtful, "" for nothing; and whether it tells of text
    that is burnt into the picture."""

    sex: float = np.nan
    age: float = np.nan
    doubt: str = ""
    burnt: bool = False


def match_with_headers(table, path, films, male_value, need_sex=False):
    """The labels of a table, which `read_table` read from `path`, with their films among `films`,
    see `match_films`. Headers of DICOM films give the sex where the table does not, and it needs no
    column for it, unless `need_sex`, if they give any. Prints how many give another sex than the
    table, and how many tell of text that is burnt in."""
    need_sex = need_sex or needs_sex_column(table, films)
    need = ("sex", "boneage") if need_sex else ("boneage",)
    labels = match_films(labels_of(table, path, male_value, need), films)
    children = read_children(labels["path"])
    told = children["sex"]
    if not need_sex and told.isna().all():
        missing = "" if find_spec("pydicom") else f", or {INSTALL} to read them"
        raise NoLabels(
            f"no column for sex, and no DICOM header gives one ({path}). Add the column{missing}."
        )
    if len(others := labels["id"][differ(labels["sex"], told)]):
        print(
            f"note: DICOM headers give another sex than {path} for {len(others)} films, such as "
            f"{others.iloc[0]}: that of the table is taken",
            file=sys.stderr,
        )
    if len(burnt := labels["id"][children["burnt"]]):
        print(
            f"note: DICOM headers tell of text that is burnt into {len(burnt)} films, such as "
            f"{burnt.iloc[0]}: it may be a name, and is not removed",
            file=sys.stderr,
        )
    return labels.assign(sex=labels["sex"].fillna(told))


def needs_sex_column(table, films):
    """Whether the sexes must come from a table: it has a column for them, or none of the `films` (a
    list of paths) is DICOM, whose header may give it."""
    return bool(find_columns(table, "sex")) or not any(map(is_dicom_file, films))


def read_children(paths):
    """The children on films, as far as the headers of DICOM files tell them: a frame with the
    fields of Child and the index of the column `paths`. What can't be read tells nothing."""
    children = map_films(read_child, paths)
    return pd.DataFrame(children, paths.index, Child._fields).astype(Child.__annotations__)


def read_child(path):
    """The Child that the header of a file tells."""
    if not is_dicom_file(path):
        return Child()
    try:
        header = import_pydicom().dcmread(path, stop_before_pixels=True, specific_tags=ELEMENTS)
        return Child(
            sex=PATIENT_SEX.get(word_in(header, "PatientSex"), np.nan),
            age=age_in(header),
            doubt=doubt_in(header),
            burnt=word_in(header, "BurnedInAnnotation") == "YES",
        )
    except Exception:  # damaged, or no pydicom: whoever reads the film says so
        return Child()


def word_in(header, name):
    """The word of an element in capital letters."""
    return str(header.get(name)).strip().upper()


def age_in(header):
    """The age in months when the film was taken, by the dates of birth and of the film where
    PatientAge does not contradict them, otherwise by PatientAge, unless that is in whole years,
    which are up to a year off. NaN where neither tells it, or what they tell is no age of a
    child."""
    months = months_by_dates(header)
    least, unit = stated_age(header)
    if not (np.isnan(least) or least - 1 <= months <= least + unit + 1):  # nor without dates
        months = np.nan if unit == UNITS["Y"] else least
    return round(months, 1) if 0 < months <= MAX_MONTHS else np.nan


def stated_age(header):
    """PatientAge, and the unit that it is given in whole numbers of, in months; NaN where there is
    none."""
    told = AGE.fullmatch(str(header.get("PatientAge")).strip())
    return (int(told[1]) * UNITS[told[2]], UNITS[told[2]]) if told else (np.nan, np.nan)


def months_by_dates(header):
    """The months from birth to the film, NaN where a date is unknown."""
    taken = day_in(header, "AcquisitionDate")
    taken = day_in(header, "StudyDate") if pd.isna(taken) else taken
    return (taken - day_in(header, "PatientBirthDate")).days / MONTH


def doubt_in(header):
    """Why a bone age of the film is doubtful: its header names another part of the body than a
    hand, or an adult. "" for nothing."""
    part, (months, _) = word_in(header, "BodyPartExamined"), stated_age(header)
    if np.isnan(months):
        months = months_by_dates(header)
    doubts = [part] if part in OTHER_PARTS else []
    if months >= ADULT_MONTHS:
        doubts.append(f"{months / 12:.0f} years, which no atlas of children covers")
    return f"the DICOM header says {' and '.join(doubts)}" if doubts else ""


def day_in(header, name):
    """The day of an element, NaT where there is none."""
    text = str(header.get(name)).replace(".", "")  # as in 2010.01.15, an old form
    if not re.fullmatch(r"\d{8}", text) or (
        name == "PatientBirthDate" and text.endswith(YEAR_ALONE)
    ):
        return pd.NaT
    return pd.to_datetime(text, format="%Y%m%d", errors="coerce")
