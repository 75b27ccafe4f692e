"""Folders of films of noise with their labels, and their import."""

import shutil

import cv2
import numpy as np
import pandas as pd

import import_data
from util.data_folder import SPLITS

IDS = range(101, 141)


def months_of(number):
    """The label of an id, from 12 to 211."""
    return 12 + number * 37 % 200


def draw(number, shape=(24, 20), depth=np.uint8):
    """Noise that belongs to one id."""
    return np.random.default_rng(number).integers(0, np.iinfo(depth).max, shape, depth)


def save(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(path.suffix, image)[1].tobytes())


def make_films(folder, numbers, ending=".png"):
    """Films that are named after their ids."""
    for number in numbers:
        save(folder / f"{number}{ending}", draw(number))


def make_table(path, numbers):
    """The labels of these ids; every third is a boy."""
    table = pd.DataFrame({"id": numbers, "boneage": map(months_of, numbers)})
    table["male"] = table["id"] % 3 == 0
    path.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(path, index=False)


def make_source(folder, numbers=IDS):
    """A folder of films with their table inside."""
    make_films(folder, numbers)
    make_table(folder / "labels.csv", numbers)
    return folder


def zipped(folder):
    """Pack a folder into a zip beside it; returns that."""
    return folder.parent / shutil.make_archive(folder, "zip", folder)


def run(data_dir, *words):
    """Import into a data folder; returns it."""
    import_data.main([*map(str, words), "--data_dir", str(data_dir)])
    return data_dir


def read(data_dir):
    """The rows of all three tables, with a column split, by id."""
    tables = {
        name: pd.read_csv(data_dir / csv, dtype={"id": str}) for name, (_, csv) in SPLITS.items()
    }
    return pd.concat(tables, names=["split"]).reset_index("split").set_index("id").sort_index()


def left_out(data_dir):
    """The rows of import_left_out.csv."""
    table = pd.read_csv(data_dir / "import_left_out.csv", dtype=str, keep_default_na=False)
    return [tuple(row) for row in table.values]


def film_path(data_dir, row):
    """Where the film of a row of `read` lies."""
    return data_dir / SPLITS[row.split].folder / row.filename


def check_films(data_dir, numbers):
    """Every film is there once, in the folder of its split, with its own picture and label."""
    rows = read(data_dir)
    assert rows.index.tolist() == sorted(map(str, numbers))
    for row in rows.itertuples():
        number = int(row.Index)
        picture = cv2.imread(str(film_path(data_dir, row)), cv2.IMREAD_UNCHANGED)
        assert np.array_equal(picture, draw(number))
        assert row.boneage == months_of(number)
        assert (row.sex, row.gender) == ((1, "male") if number % 3 == 0 else (0, "female"))
    files = [p for folder, _ in SPLITS.values() for p in (data_dir / folder).iterdir()]
    assert len(files) == len(rows)
