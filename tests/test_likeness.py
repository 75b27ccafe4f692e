"""Pictures that show no hand with fingers up are noticed."""

import cv2
import numpy as np
import pandas as pd
import pytest
from commands import ROOT, check_error_line
from files import copy_data

from hand_crop import likeness, train_likeness
from hand_crop.localiser import find_hands, localiser_version, unlike_hands
from hand_crop.network import shrink
from preprocessing import load_films
from util.pixel_cache import read_pixels
from util.runs import Run
from util.split_records import describe_split, record_hand_crop


def no_hand():
    """Squares of all greys."""
    greys = np.random.default_rng(1).integers(0, 256, (12, 12)).astype(np.uint8)
    return cv2.resize(greys, (300, 300), interpolation=cv2.INTER_NEAREST)


def test_hands_look_like_hands_and_other_pictures_do_not(hands):
    assert not any(unlike_hands([shrink(hand) for hand in hands]))
    noise = np.random.default_rng(1).integers(0, 256, (300, 300)).astype(np.uint8)
    quarter = np.ascontiguousarray(hands[0][:100, :75])
    assert all(unlike_hands([shrink(picture) for picture in (no_hand(), noise, quarter)]))
    assert len(unlike_hands([])) == 0


def test_it_is_of_the_localiser_that_ships():
    with np.load(likeness.WEIGHTS) as file:
        assert str(file["localiser"]) == localiser_version()


def test_hands_that_lie_or_are_upside_down_are_told_if_nothing_has_set_them_right(hands):
    for quarters in (1, 2, 3):
        films = [shrink(np.ascontiguousarray(np.rot90(hand, quarters))) for hand in hands]
        assert np.mean(unlike_hands(films)) >= 0.8


def test_films_are_judged_alone_as_among_others(hands):
    films = [*hands[:3], no_hand(), *hands[3:]]
    small, shapes = [shrink(film) for film in films], [film.shape for film in films]
    _, together = find_hands(small, shapes)
    assert together == [find_hands([a], [b])[1][0] for a, b in zip(small, shapes, strict=True)]
    assert sum(together) == 1


@pytest.fixture(scope="module")
def picture(tmp_path_factory):
    path = tmp_path_factory.mktemp("no_hand") / "squares.png"
    cv2.imwrite(str(path), no_hand())
    return path


def test_predict_says_so_beside_the_months_and_in_the_table(small_run, picture, done, tmp_path):
    words = ["--model", small_run, "--sex", "F", "--out", tmp_path / "ages.csv"]
    process = done("predict.py", picture, ROOT / "tests" / "phantom.png", *words)
    assert process.stderr.count("the film looks unlike hands with fingers up") == 1
    table = pd.read_csv(tmp_path / "ages.csv", keep_default_na=False)
    assert table["note"].str.contains("looks unlike hands").tolist() == [True, False]
    assert table["note"].iloc[1] == ""


def test_evaluation_training_and_the_check_of_the_data_count_them(
    small_run, picture, phantoms, inside, tmp_path
):
    data = copy_data(phantoms, tmp_path / "Data")
    film = next((data / "test").iterdir())
    film.write_bytes(picture.read_bytes())
    films = {"test": load_films(data, "test", 48, "hand", progress=False)}
    assert "1 look unlike a hand" in describe_split("test", films["test"], "hand")
    run = Run(tmp_path / "run")
    run.folder.mkdir()
    run.write_json("config.json", {"options": {}})
    record_hand_crop(run, films)
    assert run.config["hand_crop"]["unlike"] == {"test": 1}
    process = inside("evaluate.py", small_run, "--data_dir", data, "--out", tmp_path / "out")
    assert (
        "note: films that look unlike hands with fingers up and light bones: 1;" in process.stdout
    )
    notes = pd.read_csv(tmp_path / "out" / "predictions.csv")["note"].dropna()
    assert notes.str.contains("looks unlike hands").sum() == 1
    process = inside("check_nan_in_dfs.py", "--data_dir", data)
    assert process.returncode == 1
    flagged = pd.read_csv(data / "quality_report" / "flagged.csv")
    assert (flagged["check"] == "film looks unlike a hand").sum() == 1


def test_it_is_in_the_cache_by_what_decides_it(picture, tmp_path, monkeypatch):
    def unlike():
        return read_pixels([picture], 64, "hand", tmp_path / "cache")[0].oddities.unlike.tolist()

    assert unlike() == unlike() == [True]
    assert len(list(tmp_path.rglob("*.npy"))) == 1
    monkeypatch.setattr("util.pixel_cache.likeness_version", lambda: "another")
    assert unlike() == [True]
    assert len(list(tmp_path.rglob("*.npy"))) == 2


def test_it_is_trained_tested_and_written(phantoms, tmp_path, capsys, monkeypatch):
    out = tmp_path / "likeness.npz"
    words = ["--images", str(phantoms / "train"), "--out", str(out)]
    monkeypatch.setattr(train_likeness, "DIMENSIONS", 4)
    monkeypatch.setattr(train_likeness, "LEAST", 40)
    train_likeness.main(words)
    told = capsys.readouterr().out
    assert "films not used to fit the space, these look unlike hands" in told
    assert "upside down" in told
    monkeypatch.setattr(likeness, "WEIGHTS", out)
    assert all(unlike_hands([shrink(no_hand())]))


def test_too_few_films_are_one_line(phantoms, inside):
    process = inside("hand_crop.train_likeness", "--images", phantoms / "train")
    check_error_line(process, "300 or more are needed")
