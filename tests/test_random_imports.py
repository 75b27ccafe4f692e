"""Imports of random folders and tables: each film keeps the sex, age and patient of its child."""

import random
from typing import NamedTuple

import cv2
import pandas as pd
import pytest
from source_folders import draw, film_path, read, run, save

IDS = (str, "{:05d}".format, "hand_{}".format, "1.2.840.{}.7".format)  # ways to number films
SEXES = (  # headers; how they hold a girl and a boy; what else the import must be told
    (("sex", "Gender", "Sex (M/F)"), ("F", "M"), ()),
    (("sex", "gender"), ("girl", "Boy "), ()),
    (("male", "is_male"), ("False", "True"), ()),
    (("Male",), ("0", "1"), ()),
    (("sex", "Patient Sex"), ("2", "1"), ("--male_value", "1")),
    (("gender",), ("1", "0"), ("--male_value", "0")),
)
MONTHS = ("boneage", "Bone Age (months)", "ground truth bone age (months)")
YEARS = ("boneage_years", "Skeletal age (years)")
PATIENTS = ("patient_id", "Subject", "MRN")
PREFIXES = ("", "films/", "./", "C:\\study\\", "/home/reader/films/")


class Film(NamedTuple):
    number: int  # of its picture
    name: str  # its id, if names of files are no ids
    path: str  # below the source
    sex: int
    months: int
    patient: str
    there: bool


def make_films(rng):
    """Films of some children, in one folder or several, where they may all be called 0001, ...."""
    numbers = rng.sample(range(1, 20000), rng.randint(10, 30))
    folders = rng.choice([[""], [""], ["P1/", "P2/"], ["2019/a/", "2019/b/", "2020/"]])
    renamed, name = len(folders) > 1 and rng.random() < 0.5, rng.choice(IDS)
    ending = rng.choice([".png", ".PNG", ".bmp", ".tif"])
    children = rng.choice([[""], [f"C{child}" for child in range(max(4, len(numbers) // 2))]])
    missing = rng.choice([0, 0, 0.2])
    films = []
    for place, number in enumerate(numbers):
        child = rng.choice(children)
        sex = int(child[1:]) % 2 if child else rng.randint(0, 1)
        file = f"{place // len(folders):04d}" if renamed else name(number)
        path = f"{folders[place % len(folders)]}{file}{ending}"
        there = rng.random() >= missing
        films.append(Film(number, name(number), path, sex, rng.randint(10, 228), child, there))
    return films, renamed


def write_table(path, films, renamed, rng):
    """Write the labels in a random layout; returns the options that the import needs."""
    headers, words, options = rng.choice(SEXES)
    in_years, separator = rng.random() < 0.3, rng.choice(",;\t")
    ages = [film.months / 12 if in_years else film.months for film in films]
    ages = [f"{age:.4f}" if in_years else str(age) for age in ages]
    if separator != "," and rng.random() < 0.5:
        ages = [age.replace(".", ",") for age in ages]
    prefix = rng.choice(PREFIXES)
    paths = [prefix + film.path for film in films]
    if "\\" in prefix:
        paths = [place.replace("/", "\\") for place in paths]
    ids = {rng.choice(["id", "Image ID", "case"]): [film.name for film in films]}
    names = {rng.choice(["filename", "path", "image_path"]): paths}
    columns = names if renamed else rng.choice([ids, names, ids | names])
    columns[rng.choice(YEARS if in_years else MONTHS)] = ages
    columns[rng.choice(headers)] = [words[film.sex] for film in films]
    if films[0].patient:
        columns[rng.choice(PATIENTS)] = [film.patient for film in films]
    columns["weight"] = [str(rng.randint(10, 80)) for _ in films]
    columns["age_months"] = [str(film.months + rng.randint(-9, 9)) for film in films]
    table = pd.DataFrame({name: columns[name] for name in rng.sample(list(columns), len(columns))})
    encoding = rng.choice(["utf-8", "utf-8-sig", "utf-16"])
    table = table.sample(frac=1, random_state=rng.randint(0, 99))
    table.to_csv(path, sep=separator, encoding=encoding, index=False)
    return options


@pytest.mark.parametrize("seed", range(60))
def test_each_film_keeps_what_its_row_says(tmp_path, seed):
    rng = random.Random(seed)
    films, renamed = make_films(rng)
    for film in films:
        if film.there:
            save(tmp_path / "films" / film.path, draw(film.number))
    options = write_table(tmp_path / "labels.csv", films, renamed, rng)
    data = run(
        *(tmp_path / "Data", "--source", tmp_path / "films"),
        *("--csv", tmp_path / "labels.csv", *options),
    )
    of_picture = {draw(film.number).tobytes(): film for film in films}
    rows, imported, splits = read(data), set(), {}
    for row in rows.itertuples():
        picture = cv2.imread(str(film_path(data, row)), cv2.IMREAD_UNCHANGED)
        film = of_picture[picture.tobytes()]
        assert (row.sex, round(row.boneage, 1)) == (film.sex, film.months)
        if film.patient:
            assert row.patient == film.patient
            assert splits.setdefault(film.patient, row.split) == row.split
        imported.add(film)
    assert imported == {film for film in films if film.there}
    assert len(rows) == len(imported)
