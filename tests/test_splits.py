"""The films of a training: splits that share none, what a run records of them, and its notes."""

from argparse import Namespace
from contextlib import nullcontext

import cv2
import numpy as np
import pandas as pd
import pytest
from commands import check_error_line
from files import copy_data, exchange

import train_advanced
from util import accelerators
from util.accelerators import batch_size_for
from util.errors import UserError
from util.identity import hash_files
from util.runs import Run
from util.split_records import notes_on_labels
from util.splits import check_splits_apart

# ---------------------------------------------------------------------------------- splits apart


@pytest.mark.parametrize(("split", "folder"), [("val", "validation"), ("test", "test")])
def test_a_film_in_two_splits_is_an_error(train, phantoms, tmp_path, split, folder):
    for path in phantoms.iterdir():
        (tmp_path / path.name).symlink_to(path)
    for name, of_training in ((folder, "train"), (f"df_{split}.csv", "df_train.csv")):
        (tmp_path / name).unlink()
        (tmp_path / name).symlink_to(phantoms / of_training)
    process, _ = train("leak", data_dir=tmp_path)
    check_error_line(process, f"both train and {split}")


def split_of(id_, patient="", months=60.0):
    """A split of one film."""
    row = {"id": [id_], "patient": patient, "sex": 1.0, "boneage": months}
    return Namespace(table=pd.DataFrame(row))


@pytest.mark.parametrize(
    ("id_", "months", "told"),
    [
        ("00123", 60.0, "1 ids are in both train and test, such as 00123. Each"),
        ("00123", 61.0, None),  # of another child, as two hospitals may number theirs
        ("123", 61.0, "1 ids are in both train and test, such as 123. Each"),
        ("124", 60.0, None),
    ],
)
def test_leading_zeros_make_no_other_film(id_, months, told):
    films = {"train": split_of(id_, months=months), "test": split_of("123")}
    with pytest.raises(UserError, match=told) if told else nullcontext():
        check_splits_apart(films)


def test_leading_zeros_make_no_other_patient():
    with pytest.raises(UserError, match="1 patients are in both train and test, such as 0007"):
        check_splits_apart({"train": split_of("1", "0007"), "test": split_of("2", "7")})
    check_splits_apart({"train": split_of("1"), "test": split_of("2")})


def test_a_patient_in_two_splits_is_an_error(train, phantoms, tmp_path):
    data = copy_data(phantoms, tmp_path / "Data")
    for path in (data / "df_val.csv", data / "df_test.csv"):
        table = pd.read_csv(path)
        table.assign(patient=["p1", *("" for _ in table["id"][1:])]).to_csv(path, index=False)
    process, _ = train("leak", data_dir=data)
    check_error_line(process, "1 patients are in both val and test, such as p1")


# ----------------------------------------------------------------------------------------- notes


def test_a_step_takes_no_more_films_than_there_are(tmp_path, capsys, monkeypatch):
    """Statistics of five films are noise, whatever --batch_size says."""
    args, run = train_advanced.parse_args(["--batch_size", "32"]), Run(tmp_path)
    assert batch_size_for(range(32), args, run) == 32
    assert not capsys.readouterr().out
    assert batch_size_for(range(5), args, run) == 5
    assert (
        "5 training films are fewer than --batch_size 32: a step takes 5" in capsys.readouterr().out
    )
    monkeypatch.setattr(accelerators, "make_strategy", lambda _: Namespace(num_replicas_in_sync=2))
    assert batch_size_for(range(5), args, run) == 4
    with pytest.raises(UserError, match="2 devices can't share 1 training films"):
        batch_size_for(range(1), args, run)


def test_labels_that_are_all_alike_and_a_batch_of_all_films_are_noted(train, phantoms, tmp_path):
    data = copy_data(phantoms, tmp_path / "Data")
    for path in data.glob("df_*.csv"):
        pd.read_csv(path).assign(boneage=81.9996).to_csv(path, index=False)
    words = ["--epochs_finetune", "1", "--batch_size", "100"]
    process, _ = train("all_alike", *words, data_dir=data)
    assert process.returncode == 0
    assert "note: all training films are labelled 82 months: there is nothing" in process.stdout
    assert "note: 48 training films are fewer than --batch_size 100" in process.stdout
    assert "Warning" not in process.stderr


@pytest.mark.parametrize(("noise_sd", "told"), [(0, False), (0.1, True), (0.5, False)])
def test_noise_of_less_than_half_a_month_is_told_to_have_no_effect(noise_sd, told):
    """It may have been meant in years."""
    notes = notes_on_labels(pd.Series([60.0, 90]), noise_sd)
    assert ["less than 0.5 has next to no effect" in note for note in notes] == [True] * told


def test_training_films_of_one_sex_are_told(train, phantoms, tmp_path):
    """With all layers of a real backbone."""
    data = copy_data(phantoms, tmp_path / "Data")
    for path in data.glob("df_*.csv"):
        table = pd.read_csv(path)
        table[["sex", "gender"]] = "female"
        table.to_csv(path, index=False)
    process, _ = train("girls", "--epochs_finetune", "1", data_dir=data, network=nullcontext)
    assert process.returncode == 0, process.stderr
    assert (
        "note: all training films are of girls: predictions for boys are meaningless"
        in process.stdout
    )


# ------------------------------------------------------------------------ the same films and files


def films_in(folder, values):
    """A table of films, each of one grey value, as uncompressed files: all of one size."""
    paths = [folder / f"{number}.bmp" for number in range(len(values))]
    for path, value in zip(paths, values, strict=True):
        cv2.imwrite(str(path), np.full((90, 90), value, np.uint8))
    ids = [path.stem for path in paths]
    return pd.DataFrame({"id": ids, "sex": 1, "boneage": 90.0, "path": paths})


def test_films_of_equal_size_that_changed_or_changed_places_have_another_hash(tmp_path):
    films = films_in(tmp_path, [10, 20, 30])
    known = hash_files(films)
    assert hash_files(films[::-1]) == known  # the order is of no account
    assert hash_files(films.assign(boneage=[90.0, 90, 91])) != known
    exchange(*films["path"][:2])
    assert hash_files(films) != known
    exchange(*films["path"][:2])
    assert hash_files(films) == known
    films_in(tmp_path, [10, 20, 225])  # the last film is its negative
    assert hash_files(films) != known


def test_a_file_of_another_size_or_middle_has_another_hash(tmp_path):
    film = pd.DataFrame({"id": ["1"], "sex": 1, "boneage": 90.0, "path": tmp_path / "1.dcm"})

    def hash_of(content):
        film["path"][0].write_bytes(content)
        return hash_files(film)

    header, middle = bytes(6000), b"film" * 2000
    known = hash_of(header + middle + header)
    assert hash_of(header + middle + header) == known
    assert hash_of(b"0" + header + middle + header + b"0") != known
    assert hash_of(header + middle[::-1] + header) != known


def test_hashes_of_parts_add_up_to_that_of_the_whole(tmp_path):
    films = films_in(tmp_path, range(0, 200, 20))
    parts = [int(hash_files(part), 16) for part in (films[:3], films[3:])]
    assert f"{sum(parts) % 2**64:016x}" == hash_files(films)
