"""The child on a film, as the header of a DICOM file tells it."""

import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from util.dicom import import_pydicom, is_dicom_file
from util.film_files import match_films
from util.image_kinds import ENDINGS, IMAGE_ENDINGS
from util.parallel import map_films
from util.tables import MAX_MONTHS, NoLabels, labels_of

OTHER_ENDINGS = set(IMAGE_ENDINGS) - set(ENDINGS["DICOM"])
ELEMENTS = ["PatientSex", "PatientBirthDate", "PatientAge", "AcquisitionDate", "StudyDate"]
SEXES = {"M": 1.0, "F": 0.0}  # of PatientSex; O, other, is neither
MONTH = 365.25 / 12  # days
UNITS = {"D": 1 / MONTH, "W": 7 / MONTH, "M": 1.0}  # of PatientAge, in months


class Child(NamedTuple):
    """The sex (1 = male) and the age (months) of a child, NaN where unknown."""

    sex: float = np.nan
    age: float = np.nan


def match_labels(table, path, films, male_value=None):
    """The labels of a table, which `read_table` read from `path`, with their films among `films`,
    see `match_films`. Where films are DICOM the column of the sex may be missing: their headers
    tell what the table does not. Prints how many tell another sex."""
    try:
        labels = labels_of(table, path, male_value)
    except NoLabels:
        if not any(map(is_dicom_file, films)):
            raise
        labels = labels_of(table, path, male_value, need=("boneage",))
    labels = match_films(labels, films)
    told = read_children(labels["path"])["sex"]
    if len(others := labels["id"][differ(labels["sex"], told)]):
        print(
            f"note: DICOM headers tell another sex than {path} for {len(others)} films, such as "
            f"{others.iloc[0]}: that of the table is taken",
            file=sys.stderr,
        )
    return labels.assign(sex=labels["sex"].fillna(told))


def differ(sex, other):
    """Where two columns of sexes both tell one, and not the same."""
    return sex.notna() & other.notna() & (sex != other)


def read_children(paths):
    """The children on films, as far as the headers of DICOM files tell them: a frame of `sex` and
    `age`, with the index of the column `paths`, "" in it being no film. What can't be read tells
    nothing."""
    children = pd.DataFrame(np.nan, paths.index, Child._fields)
    films = paths[[Path(path).suffix.lower() not in OTHER_ENDINGS for path in paths]]
    if len(films):
        children.loc[films.index] = map_films(read_child, films, "headers")
    return children


def read_child(path):
    """The Child that the header of a file tells."""
    if not is_dicom_file(path):
        return Child()
    try:
        header = import_pydicom().dcmread(path, stop_before_pixels=True, specific_tags=ELEMENTS)
        sex = str(header.get("PatientSex")).strip().upper()
        return Child(SEXES.get(sex, np.nan), age_in(header))
    except Exception:  # damaged, or no pydicom: whoever reads the film says so
        return Child()


def age_in(header):
    """The age in months when the film was taken: by the date of birth, otherwise by PatientAge
    (DICOM PS3.5, 6.2, AS), unless that is in whole years, which are up to a year off. NaN where
    neither tells it, or what they tell is no age of a child."""
    born, taken = day_in(header, "PatientBirthDate"), day_in(header, "AcquisitionDate")
    if pd.isna(taken):
        taken = day_in(header, "StudyDate")
    months = (taken - born).days / MONTH
    if pd.isna(months):
        text = str(header.get("PatientAge", ""))
        months = float(text[:3]) * UNITS.get(text[3:], np.nan) if text[:3].isdigit() else np.nan
    return round(months, 1) if 0 <= months <= MAX_MONTHS else np.nan


def day_in(header, name):
    """The day that an element tells, NaT where it tells none."""
    return pd.to_datetime(str(header.get(name, "")), format="%Y%m%d", errors="coerce")
