"""A run made small enough to ship: half the size, the same months, nothing of the machine."""

import io
import json
import shutil
import zipfile

import h5py
import numpy as np
import pandas as pd
import pytest
from commands import check_error_line, run_python

from inference_speed import ship_model
from util.errors import UserError
from util.files import hash_file
from util.finished_runs import read_run
from util.held_out import learned_from
from util.metrics import read_predictions


@pytest.fixture(scope="module")
def shipped(small_run, tmp_path_factory):
    out = tmp_path_factory.mktemp("shipped") / "model"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ship_model, "SMALL", 10_000)  # or all arrays of this model were small
        ship_model.main([str(small_run), "--out", str(out), "--film_hashes"])
    return out


def test_large_arrays_take_half_the_space(shipped, small_run):
    sizes = [(folder / "model.keras").stat().st_size for folder in (shipped, small_run)]
    assert sizes[0] < 0.7 * sizes[1]


def test_it_says_the_same_months_with_the_same_intervals(shipped, small_run, phantoms, inside):
    film = next((phantoms / "test").glob("*.png"))
    lines = [
        inside("predict.py", film, "--model", folder, "--sex", "F").stdout.split()
        for folder in (shipped, small_run)
    ]
    assert float(lines[0][2]) == pytest.approx(float(lines[1][2]), abs=0.11)
    assert "(90" in lines[0]


def test_what_a_reader_would_say_goes_along(shipped, small_run):
    assert (shipped / "readings.json").read_text() == (small_run / "readings.json").read_text()


def test_no_path_of_the_machine_goes_along(shipped, phantoms):
    config = json.loads((shipped / "config.json").read_text())
    assert str(phantoms.parent) not in json.dumps(config)
    assert str(phantoms.parent) not in (shipped / "README.md").read_text()
    assert config["options"]["data_dir"] == phantoms.name
    assert "command" not in config


def test_its_card_tells_its_errors_and_the_hash_of_its_file(shipped):
    card = (shipped / "README.md").read_text()
    mae = json.loads((shipped / "metrics.json").read_text())["test"]["mae"]
    assert f"| 13 | {mae:.2f} |" in card
    assert hash_file(shipped / "model.keras") in card


def test_it_knows_its_films_by_hashes_where_these_are_asked_for(shipped, small_run, tmp_path):
    ship_model.main([str(small_run), "--out", str(tmp_path / "plain")])
    assert not (tmp_path / "plain" / "film_hashes.csv").exists()
    unknown = [str(tmp_path / "plain"), "--out", str(tmp_path / "unknown"), "--film_hashes"]
    with pytest.raises(UserError, match="no lists of its films"):
        ship_model.main(unknown)
    hashes = pd.read_csv(shipped / "film_hashes.csv", dtype=str)
    ship_model.main([str(shipped), "--out", str(tmp_path / "again"), "--film_hashes"])
    again = pd.read_csv(tmp_path / "again" / "film_hashes.csv", dtype=str)
    pd.testing.assert_frame_equal(again, hashes)
    assert hashes.columns.tolist() == ["split", "film"]
    films = pd.concat(
        read_predictions(small_run / f"{name}.csv")
        for name in ("train_films", "predictions_val", "predictions_test")
    ).reset_index(drop=True)

    def known_to(folder, films):
        run = read_run(folder)
        return learned_from(run, run.config, "train", films)

    known = known_to(small_run, films)
    assert 0 < known.sum() < len(films)
    assert known_to(shipped, films).tolist() == known.tolist()
    padded = films.assign(id="00" + films["id"], boneage=films["boneage"].astype(float))
    assert known_to(shipped, padded).tolist() == known.tolist()
    assert not known_to(shipped, films.assign(boneage=films["boneage"] + 1)).any()


def test_settings_that_older_versions_of_keras_refuse_are_left_out(shipped):
    with zipfile.ZipFile(shipped / "model.keras") as model:
        config = model.read("config.json").decode()
    assert '"BatchNormalization"' in config
    assert not [name for name in ship_model.NEWER if f'"{name}"' in config]


def test_a_setting_that_was_chosen_stays():
    config = {"layers": [{"renorm": True, "seed": None}, {"renorm": False, "units": 3}]}
    assert ship_model.without_newer(config) == {
        "layers": [{"renorm": True, "seed": None}, {"units": 3}]
    }


def test_no_other_file_comes_along_as_weights(small_run, inside, tmp_path):
    """HDF5 can hold the name of a file in place of numbers."""
    run, secret = shutil.copytree(small_run, tmp_path / "run"), tmp_path / "secret"
    secret.write_bytes(bytes(4000))
    with zipfile.ZipFile(run / "model.keras") as file:
        parts = {name: file.read(name) for name in file.namelist()}
    weights = io.BytesIO(parts["model.weights.h5"])
    with h5py.File(weights, "a") as file:
        file.create_dataset("more", (1000,), np.float32, external=[(str(secret), 0, 4000)])
    with zipfile.ZipFile(run / "model.keras", "w") as file:
        for name, data in (parts | {"model.weights.h5": weights.getvalue()}).items():
            file.writestr(name, data)
    process = inside("inference_speed.ship_model", run, "--out", tmp_path / "shipped")
    check_error_line(process, "weights of the model are in another file (more)")
    assert not (tmp_path / "shipped").exists()


def test_code_that_differed_from_its_commit_is_told_of(small_run, tmp_path, capsys):
    run = shutil.copytree(small_run, tmp_path / "run")
    (run / "code.patch").touch()
    ship_model.main([str(run), "--out", str(tmp_path / "model")])
    assert f"for others to repeat it, add {run / 'code.patch'}" in capsys.readouterr().out
    # what is in it is for its owner to read
    assert not (tmp_path / "model" / "code.patch").exists()


def test_nothing_is_overwritten(shipped, small_run):
    with pytest.raises(UserError, match="there already"):
        ship_model.main([str(small_run), "--out", str(shipped)])


def test_a_run_whose_training_has_not_ended_is_not_shipped(small_run, tmp_path):
    """Its calibration is written first, by which it predicts already."""
    stopped = tmp_path / "stopped"
    shutil.copytree(small_run, stopped)
    (stopped / "metrics.json").unlink()
    with pytest.raises(UserError, match="not finished: no metrics.json .*--resume"):
        ship_model.main([str(stopped), "--out", str(tmp_path / "out")])


def test_a_damaged_model_is_one_line(small_run, tmp_path):
    damaged = tmp_path / "damaged"
    shutil.copytree(small_run, damaged)
    (damaged / "model.keras").write_bytes((small_run / "model.keras").read_bytes()[:100])
    process = run_python("-m", "inference_speed.ship_model", damaged, "--out", tmp_path / "out")
    check_error_line(process, "the model can't be loaded")
    assert not (tmp_path / "out").exists()


def test_where_half_precision_is_not_enough_all_arrays_stay_single(
    small_run, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(ship_model, "SMALL", 10)
    monkeypatch.setattr(ship_model, "LARGEST_DIFFERENCE", 0.0)
    out = tmp_path / "out"
    ship_model.main([str(small_run), "--out", str(out)])
    told = capsys.readouterr().out
    assert "in half precision 12 films of df_val.csv are up to" in told
    assert "12 films of df_val.csv up to 0.000 months off" in told
    sizes = [(folder / "model.keras").stat().st_size for folder in (out, small_run)]
    assert sizes[0] > 0.8 * sizes[1]


def test_a_model_that_changes_is_not_shipped(small_run, tmp_path, monkeypatch):
    monkeypatch.setattr(ship_model, "LARGEST_DIFFERENCE", -1.0)
    with pytest.raises(UserError, match="the copy predicts differently"):
        ship_model.main([str(small_run), "--out", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()
