"""Folds: each film is held out once, the test split by none, and they go on where they stopped."""

import json
import shutil
from functools import partial

import numpy as np
import pandas as pd
import pytest
from commands import check_error_line
from files import copy_data, edit_json, exchange

import train_advanced
from preprocessing import load_films
from util import pixel_cache
from util.errors import UserError
from util.finished_runs import RESEARCH_ONLY
from util.folds import judge_folds
from util.predicting.canvases import Canvas
from util.predicting.members import read_members
from util.runs import Run
from util.splits import fold_films, load_trained_split, read_splits
from util.stratify import divide

TINY = (
    *("--backbone", "mobilenet", "--weights", "none", "--img_size", "32", "--batch_size", "8"),
    *("--epochs_frozen", "1", "--dense_units", "8", "--folds", "2"),
)


@pytest.mark.parametrize("folds", [2, 5, 7])
def test_parts_hold_each_film_once_and_each_sex_and_age_in_proportion(folds):
    rng = np.random.default_rng(folds)
    films = pd.DataFrame({"sex": rng.random(700) < 0.6, "boneage": rng.uniform(0, 228, 700)})
    films["id"] = [*map(str, range(700))]
    films.index = rng.permutation(700)  # parts go by position, whatever the index
    part = divide(films, folds, seed=3)
    sizes = np.bincount(part)
    assert len(sizes) == folds
    assert np.ptp(sizes) <= 1
    by_part = films.groupby(part)
    assert np.ptp(by_part["sex"].mean()) < 0.03
    assert np.ptp(by_part["boneage"].mean()) < 4
    assert (divide(films, folds, seed=3) == part).all()
    assert (divide(films, folds, seed=4) != part).any()


def test_the_films_of_a_patient_are_in_one_part():
    number = np.random.default_rng(0).integers(0, 50, 200)
    films = pd.DataFrame(
        {"patient": number.astype(str), "sex": number % 2, "boneage": 2.0 * number}
    )
    films["id"] = films.index.astype(str)
    part = divide(films, 5, seed=3)
    assert set(part) == set(range(5))
    assert (pd.Series(part).groupby(films["patient"]).nunique() == 1).all()


def test_films_alike_are_parted_at_random_wherever_they_stand_in_the_table():
    """Also one that is alone of its sex, which comes first where films are sorted."""
    films = pd.DataFrame({"id": [*map(str, range(100))], "sex": 1, "boneage": 90.0, "patient": ""})
    films.loc[50, "sex"] = 0
    parts = np.array([divide(films, 5, seed) for seed in range(30)])
    of_the_first_half = (parts[:, :50] == 0).sum(axis=1)
    assert np.ptp(of_the_first_half) > 4
    assert set(parts[:, 50]) == set(range(5))


def test_folds_keep_the_films_of_a_patient_together(phantoms):
    films = {split: load_films(phantoms, split, 32, "pad") for split in ("train", "val")}
    for part in films.values():
        part.table["patient"] = (part.table["id"].astype(int) // 5).astype(str)
    parts = fold_films(films["train"], films["val"], folds=5, fold=2, seed=1)
    of_train, of_val = (set(parts[split].table["patient"]) for split in ("train", "val"))
    assert not of_train & of_val


def test_there_are_no_more_folds_than_patients(phantoms):
    films = {split: load_films(phantoms, split, 32, "pad") for split in ("train", "val")}
    for part in films.values():
        part.table["patient"] = "p" + (part.table["id"].astype(int) % 3).astype(str)
    parts = fold_films(films["train"], films["val"], folds=3, fold=3, seed=1)
    assert parts["val"].table["patient"].nunique() == 1
    with pytest.raises(UserError, match="60 films of 3 patients are too few for 4 folds"):
        fold_films(films["train"], films["val"], folds=4, fold=1, seed=1)


def test_rows_that_were_left_out_stay_with_the_split_whose_table_names_them(phantoms, tmp_path):
    data = copy_data(phantoms, tmp_path / "Data")
    (data / "validation" / f"{read(data / 'df_val.csv')['id'][0]}.png").unlink()
    films = {split: load_films(data, split, 32, "pad") for split in ("train", "val")}
    parts = fold_films(films["train"], films["val"], folds=2, fold=1, seed=1)
    assert {split: len(part.left_out) for split, part in parts.items()} == {"train": 0, "val": 1}


def test_the_seed_of_a_run_decides_on_its_folds_and_finds_them_again(phantoms):
    words = ["--data_dir", phantoms, "--img_size", 32, "--folds", 2, "--fold", 1]
    held_out = []
    for seed in (7, 8):
        typed = [*words, "--run_name", "cv", "--seed", seed]
        args = train_advanced.parse_args([*map(str, typed)])
        films = read_splits(args)["val"].table
        canvas = Canvas(args.img_size, args.fit)
        again = load_trained_split(vars(args), phantoms, "val", canvas)
        pd.testing.assert_frame_equal(again.table, films)
        held_out.append(films["id"].tolist())
    assert held_out[0] != held_out[1]


@pytest.mark.parametrize("seed", range(4))
def test_rows_that_are_one_film_leading_zeros_aside_are_in_one_part(seed):
    films = pd.DataFrame({"id": [*map(str, range(1, 41)), "007"], "sex": 0, "boneage": 90.0})
    parts = divide(films.assign(patient=""), 5, seed)
    assert parts[6] == parts[40]


def test_folds_hold_each_film_out_once_with_its_own_pixels(phantoms, monkeypatch):
    monkeypatch.setattr(pixel_cache, "SHARD_FILMS", 10)  # else each split is a shard
    splits = {split: load_films(phantoms, split, 32, "pad") for split in ("train", "val", "test")}
    whole = {
        id: pixels
        for part in splits.values()
        for id, pixels in zip(part.table["id"], part.pixels[np.arange(len(part))], strict=True)
    }
    held_out = []
    for fold in range(1, 6):
        films = fold_films(splits["train"], splits["val"], folds=5, fold=fold, seed=1)
        ids = {split: part.table["id"].tolist() for split, part in films.items()}
        assert not set(ids["train"]) & set(ids["val"])
        assert len(ids["train"]) + len(ids["val"]) == 60
        held_out += ids["val"]
        for part in films.values():
            pixels = part.pixels[np.arange(len(part))]
            for id, image in zip(part.table["id"], pixels, strict=True):
                assert np.array_equal(image, whole[id])
    expected = [*splits["train"].table["id"], *splits["val"].table["id"]]
    assert sorted(held_out) == sorted(expected)
    assert not set(held_out) & set(splits["test"].table["id"])


@pytest.fixture(scope="module")
def train(train):
    """Run train_advanced.py with two folds of the phantoms; returns (process, their folder)."""
    return partial(train, options=TINY)


@pytest.fixture(scope="module")
def folds(train):
    """Both folds: the second alone, then what is left. Returns (first process, second process,
    their folder, time of the second fold's model after the first)."""
    first, folder = train("cv", "--fold", "2")
    time = (folder / "fold_2" / "model.keras").stat().st_mtime_ns
    second, _ = train("cv", "--resume")
    return first, second, folder, time


def read(path):
    return pd.read_csv(path, dtype={"id": str})


def test_one_fold_is_trained_and_the_others_are_told_of(folds):
    first, _, folder, _ = folds
    assert first.returncode == 0, first.stderr
    assert "not finished: fold_1 of 2" in first.stdout
    assert json.loads((folder / "fold_2" / "config.json").read_text())["options"]["fold"] == 2


def test_resume_trains_what_is_left(folds):
    _, second, folder, time = folds
    assert second.returncode == 0, second.stderr
    assert "fold 1 of 2" in second.stdout
    assert "fold 2 of 2" not in second.stdout
    assert (folder / "fold_2" / "model.keras").stat().st_mtime_ns == time


def test_a_fold_that_has_not_begun_begins_under_resume(train):
    """As one job a fold, which may be started again, types it."""
    train("jobs", "--fold", "2")
    process, folder = train("jobs", "--fold", "1", "--resume")
    assert process.returncode == 0, process.stderr
    assert (folder / "metrics.json").exists()


def test_a_folder_of_folds_is_no_run_to_go_on_from(folds, inside):
    process = inside("inference_speed.export_model", "--model", folds[2], "--format", "onnx")
    check_error_line(process, "that is a folder of folds", f"{folds[2]}/fold_1")


def test_folds_tell_their_errors_together(folds, phantoms):
    _, second, folder, _ = folds
    out_of_fold = read(folder / "predictions_out_of_fold.csv")
    labels = pd.concat([read(phantoms / f"df_{split}.csv") for split in ("train", "val")])
    assert sorted(out_of_fold["id"]) == sorted(labels["id"])
    metrics = json.loads((folder / "metrics.json").read_text())
    for fold in (1, 2):
        single = read(folder / f"fold_{fold}" / "predictions_val.csv")
        assert set(single["id"]) == set(out_of_fold["id"][out_of_fold["fold"] == fold])
        told, mae = metrics["folds"][fold - 1], single["error"].abs().mean()
        assert (told["fold"], told["val_n"], told["val_mae"]) == (fold, 30, pytest.approx(mae))
    singles = [read(folder / f"fold_{fold}" / "predictions_test.csv") for fold in (1, 2)]
    together = read(folder / "predictions_test.csv")
    assert together["id"].tolist() == read(phantoms / "df_test.csv")["id"].tolist()
    mean = (singles[0]["predicted"] + singles[1]["predicted"]) / 2
    np.testing.assert_allclose(together["predicted"], mean, atol=0.006)
    assert metrics["out_of_fold"]["n"] == 60
    assert metrics["out_of_fold"]["mae"] == pytest.approx(out_of_fold["error"].abs().mean())
    assert metrics["test"]["mae"] == pytest.approx(together["error"].abs().mean())
    assert metrics["test"]["intervals"]["all"]["n"] == 13
    assert metrics["out_of_fold"]["intervals"] is None  # they were fitted to these films
    assert "out of fold: 60 films" in second.stdout


def test_films_of_a_fold_are_found_where_the_data_folder_was_moved(
    folds, phantoms, inside, done, tmp_path
):
    fold, data = folds[2] / "fold_1", shutil.copytree(phantoms, tmp_path / "moved")
    words = ["--split", "val", "--data_dir", data, "--out", tmp_path / "out"]
    done("evaluate.py", fold, *words)
    told = read(tmp_path / "out" / "predictions.csv")
    assert told["id"].tolist() == read(fold / "predictions_val.csv")["id"].tolist()
    process = inside("evaluate.py", fold, folds[2] / "fold_2", *words[:-2])
    check_error_line(process, "not the same", "name films by --csv and --images")
    table = pd.read_csv(data / "df_train.csv")
    table[1:].to_csv(data / "df_train.csv", index=False)  # which are divided otherwise
    process = inside("evaluate.py", fold, *words[:-2])
    check_error_line(process, "not the val films of the run", str(data), "--csv and --images")
    (data / "df_train.csv").unlink()
    process = inside("evaluate.py", fold, *words[:-2])
    check_error_line(process, "df_train.csv")


def test_a_fold_is_compared_with_no_run_that_had_other_films(folds, small_run, inside):
    for runs in ([small_run, folds[2] / "fold_1"], [folds[2] / "fold_1", small_run]):
        process = inside("evaluate.py", *runs, "--split", "val", "--data_dir", "anywhere")
        check_error_line(process, "not the same", "name films by --csv and --images")


def test_a_folder_of_folds_is_an_ensemble(folds, phantoms, done, tmp_path):
    folder = folds[2]
    process = done("evaluate.py", folder, "--out", tmp_path / "out")
    expected = read(folder / "predictions_test.csv")
    np.testing.assert_allclose(
        read(tmp_path / "out" / "predictions.csv")["predicted"], expected["predicted"], atol=0.011
    )
    at_the_end, later = (
        json.loads((place / "metrics.json").read_text()) for place in (folder, tmp_path / "out")
    )
    assert later["baseline"] == at_the_end["test"]["baseline"]
    turned_round = [folder / "fold_2", folder / "fold_1"]
    other = done("evaluate.py", "--ensemble", *turned_round, "--out", tmp_path / "other")
    baselines = [
        line for line in (process.stdout + other.stdout).splitlines() if "median baseline" in line
    ]
    assert len(baselines) == 2
    assert baselines[0] == baselines[1]
    film = next((phantoms / "test").iterdir())
    process = done("predict.py", film, "--model", folder, "--sex", "F")
    assert process.stderr == f"{RESEARCH_ONLY}\n"
    assert "(90 %: " in process.stdout


def test_a_fold_is_evaluated_on_the_films_that_it_held_out(folds, inside, done, tmp_path):
    run = folds[2] / "fold_1"
    done("evaluate.py", run, "--split", "val", "--out", tmp_path / "out")
    held_out, found = read(run / "predictions_val.csv"), read(tmp_path / "out" / "predictions.csv")
    assert found["id"].tolist() == held_out["id"].tolist()
    assert json.loads((tmp_path / "out" / "metrics.json").read_text())["flow"] is None
    process = inside("evaluate.py", folds[2], "--split", "val")
    check_error_line(process, "one run may have been trained on the other's")
    assert "predictions_out_of_fold.csv" in process.stderr


def test_folds_are_neither_overwritten_nor_mixed(folds, train):
    before = {p: p.stat().st_mtime_ns for p in folds[2].rglob("*")}
    for words, message in (
        ([], "there is a run already"),
        (["--fold", "1"], "there is a run already"),
        (["--resume", "--lr", "0.5"], "--lr 0.001 -> 0.5"),
        (["--resume", "--folds", "3"], "--folds 2 -> 3"),
    ):
        process, _ = train("cv", *words)
        check_error_line(process, message)
    assert before == {p: p.stat().st_mtime_ns for p in folds[2].rglob("*")}


def test_a_fold_of_another_number_of_folds_is_no_neighbour(folds, train):
    """Not even one beyond those that are asked for."""
    folder = folds[2].with_name("third")
    (folder / "fold_3").mkdir(parents=True)
    config = json.loads((folds[2] / "fold_2" / "config.json").read_text())
    config["options"] |= {"folds": 3, "fold": 3}
    (folder / "fold_3" / "config.json").write_text(json.dumps(config))
    process, _ = train("third", "--fold", "1")
    check_error_line(process, "--folds 3 -> 2")
    assert [path.name for path in folder.iterdir()] == ["fold_3"]


def test_what_a_reader_would_say_is_told_where_all_folds_know_it(folds, tmp_path):
    folder = shutil.copytree(folds[2], tmp_path / "cv")
    runs = [folder / f"fold_{fold}" for fold in (1, 2)]
    for run in runs:
        (run / "readings.json").write_text('{"labels": {"male": {"96": 1}, "female": {"94": 1}}}')
    path = runs[0] / "predictions_val.csv"
    read(path).assign(reading=96.0, patient="one").to_csv(path, index=False)
    metrics = judge_folds(Run(folder), read_members(runs), views=1)
    assert metrics["test"]["readings"]["n"] == 13
    assert set(read(folder / "predictions_test.csv")["reading"]) == {94, 96}
    assert "readings" not in metrics["out_of_fold"]  # of the second fold none is known
    assert (read(folder / "predictions_out_of_fold.csv")["patient"] == "one").sum() == 30
    (runs[1] / "readings.json").unlink()
    assert "readings" not in judge_folds(Run(folder), read_members(runs), 1)["test"]


@pytest.mark.parametrize(
    ("split", "fact"), [("train", "files"), ("test", "files"), ("test", "fingerprint")]
)
def test_folds_of_other_films_are_not_judged_together(split, fact, folds, inside, tmp_path):
    folder = shutil.copytree(folds[2], tmp_path / "cv")
    with edit_json(folder / "fold_2" / "config.json") as config:
        config["data"][split][fact] = 16 * "0"
    members = read_members([folder / f"fold_{fold}" for fold in (1, 2)])
    with pytest.raises(UserError, match="films or labels changed between the folds"):
        judge_folds(Run(folder), members, views=1)
    process = inside("evaluate.py", folder, "--out", tmp_path / "out")
    if split == "test":
        told = "are different files" if fact == "files" else "are not the same"
        check_error_line(process, told)
    else:
        assert process.returncode == 0, process.stderr


@pytest.mark.parametrize("other", ["labels", "films"])
def test_no_fold_is_trained_on_other_films_than_those_before(train, phantoms, tmp_path, other):
    """Also where two have changed places, so that no sum tells of it."""
    process, folder = train(f"changed_{other}", "--fold", "1")
    assert process.returncode == 0, process.stderr
    data = copy_data(phantoms, tmp_path / "Data")
    table = pd.read_csv(data / "df_train.csv", dtype=str)
    one, two = table.index[:2]
    if other == "labels":
        table.loc[[one, two], "boneage"] = table.loc[[two, one], "boneage"].to_numpy()
        table.to_csv(data / "df_train.csv", index=False)
    else:
        exchange(*(data / "train" / f"{table['id'][row]}.png" for row in (one, two)))
    with edit_json(folder / "fold_1" / "config.json") as config:
        config["options"]["data_dir"] = str(data)
    process, _ = train(f"changed_{other}", "--resume", "--data_dir", data)
    check_error_line(process, "films or labels changed between the folds", "Restore them")
    assert [path.name for path in folder.iterdir()] == ["fold_1"]


def test_a_failed_start_leaves_no_folder(train, folds):
    process, folder = train("none", "--resume")
    check_error_line(process, "no run to resume")
    process, folder = train("failed", "--weights", "no_such_file.h5")
    assert process.returncode == 2
    assert not folder.exists()


def test_folds_do_not_go_into_the_folder_of_a_run(small_run, phantoms, inside):
    before = sorted(small_run.iterdir())
    process = inside(
        *("train_advanced.py", "--data_dir", phantoms, "--folds", 2),
        *("--results_dir", small_run.parent, "--run_name", small_run.name),
    )
    check_error_line(process, "not a folder of folds")
    assert sorted(small_run.iterdir()) == before


@pytest.mark.full
def test_a_fold_is_the_same_alone_and_behind_another(folds, train):
    process, whole = train("whole")
    assert process.returncode == 0, process.stderr
    histories = [
        read(folder / "fold_2" / "history.csv").drop(columns="seconds")
        for folder in (whole, folds[2])
    ]
    pd.testing.assert_frame_equal(*histories)
    pd.testing.assert_frame_equal(
        *(read(folder / "predictions_test.csv") for folder in (whole, folds[2]))
    )
