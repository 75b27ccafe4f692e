"""Trainings that were killed or stopped go on to the same end, with the same data and options."""

import json
import os
import shutil
from pathlib import Path
from unittest.mock import patch

import cv2
import keras
import numpy as np
import pandas as pd
import pytest
from commands import SMALL_BACKBONE, check_error_line
from files import copy_data, exchange
from trainings import TINY, epochs_trained, kill_training, predictions, read_history, stopped_after

from modeling_advanced import build_model
from util import epoch_end
from util.errors import UserError
from util.runs import Run
from util.saved_state import Progress, read_state, write_state

FULL = pytest.mark.full


@pytest.mark.parametrize("rows", [3, pytest.param(1, marks=FULL), pytest.param(2, marks=FULL)])
def test_a_killed_run_resumes_to_the_same_end(phantoms, results, train_small, unbroken, rows):
    """Killed between two phases and inside fine-tuning, as soon as that many epochs are saved; what
    comes before and after the kill is as in the unbroken run."""
    name = f"killed{rows}"
    words = ["--data_dir", phantoms, "--results_dir", results, "--run_name", name, *TINY]
    kill_training([SMALL_BACKBONE, "train_advanced.py", *words], results / name, rows)
    assert not (results / name / "metrics.json").exists(), "it ended before it was killed"
    run = train_small(name, "--resume")
    # 4, and one that was killed before it was saved
    assert epochs_trained(run) <= 5, "it began anew"
    pd.testing.assert_frame_equal(read_history(run), read_history(unbroken))
    pd.testing.assert_frame_equal(predictions(run), predictions(unbroken))


def test_a_run_stopped_between_two_phases_goes_on_to_the_same_end(train_small, unbroken):
    with stopped_after(1):
        train_small("stopped")
    with patch.dict(os.environ, {"ONEDNN_DEFAULT_FPMATH_MODE": "BF16"}):  # oneDNN has read it
        run = train_small("stopped", "--resume")
    (resumed,) = json.loads((run / "config.json").read_text())["resumed"]
    assert resumed["changed"]["variables"]["ONEDNN_DEFAULT_FPMATH_MODE"] == "BF16"
    assert "note: the run began with other variables (config.json)" in (run / "log.txt").read_text()
    assert epochs_trained(run) == 3, "the first was saved, not told of"
    pd.testing.assert_frame_equal(read_history(run), read_history(unbroken))
    pd.testing.assert_frame_equal(predictions(run), predictions(unbroken))


def test_resuming_a_finished_run_shows_its_figures(train, unbroken):
    process, _ = train("unbroken", "--resume")
    assert process.returncode == 0
    assert "median baseline" in process.stdout


def test_a_run_without_a_name_of_its_own_can_be_resumed(train, unbroken, results):
    """As if it had been started without --run_name: its folder has a name all the same."""
    config = json.loads((unbroken / "config.json").read_text())
    assert "run_name" not in config["options"]
    (results / "by_time").symlink_to(unbroken)
    process, _ = train("by_time", "--resume")
    assert process.returncode == 0, process.stderr


# --------------------------------------------------------------------- other options, other data


def test_resume_with_other_options_names_them(train, unbroken):
    process, _ = train("unbroken", "--resume", "--lr", "0.5")
    check_error_line(process, "--lr 0.001 -> 0.5")


@pytest.mark.parametrize("other", ["labels", "films", "exchanged films"])
def test_other_data_can_not_be_resumed(train, phantoms, unbroken, results, tmp_path, other):
    """A finished run shows its figures, an unfinished one must not go on with other data."""
    name = f"begun_with_other_{other}"
    (results / name).mkdir()
    (results / name / "state.npz").symlink_to(unbroken / "state.npz")
    data = copy_data(phantoms, tmp_path / "Data")
    if other == "labels":
        table = pd.read_csv(data / "df_train.csv")
        table.assign(boneage=table["boneage"] / 2).to_csv(data / "df_train.csv", index=False)
    elif other == "exchanged films":
        exchange(*sorted((data / "train").iterdir())[:2])
    else:
        film = next((data / "train").iterdir())
        cv2.imwrite(str(film), cv2.imread(str(film))[5:])
    config = json.loads((unbroken / "config.json").read_text())
    config["options"] |= {"data_dir": str(data), "run_name": name}
    (results / name / "config.json").write_text(json.dumps(config))
    process, _ = train(name, "--resume", data_dir=data)
    check_error_line(process, "train changed since")


def test_after_a_wrong_folder_a_moved_run_goes_on_with_the_right_one(
    train, phantoms, unbroken, results, tmp_path
):
    run = results / "moved"
    run.mkdir()
    shutil.copy(unbroken / "state.npz", run)
    shutil.copy(unbroken / "model.keras", run)
    config = json.loads((unbroken / "config.json").read_text())
    config["options"]["data_dir"] = str(tmp_path / "gone")
    config["data"]["train"]["sd"] += 1e-9  # another machine may add up in another order
    (run / "config.json").write_text(json.dumps(config))
    wrong = copy_data(phantoms, tmp_path / "Wrong")
    table = pd.read_csv(wrong / "df_val.csv")
    table.assign(boneage=table["boneage"] / 2).to_csv(wrong / "df_val.csv", index=False)
    process, _ = train("moved", "--resume", data_dir=wrong)
    check_error_line(process, "val changed since")
    process, _ = train("moved", "--resume", data_dir=phantoms)
    assert process.returncode == 0, process.stderr
    assert json.loads((run / "config.json").read_text())["options"]["data_dir"] == str(phantoms)


def test_a_resumed_run_is_kept_whatever_is_wrong(train, unbroken, results):
    """Its data may be away for a while."""
    (results / "begun").mkdir()
    config = json.loads((unbroken / "config.json").read_text())
    config["options"]["data_dir"] = str(results / "away")
    (results / "begun" / "config.json").write_text(json.dumps(config))
    process, run = train("begun", "--resume", data_dir=results / "away")
    check_error_line(process, "no data folder")
    assert (run / "config.json").exists()


# ------------------------------------------------------------------------------- the saved state


@pytest.mark.parametrize("share", [0, 0.3, 0.9])
def test_a_damaged_state_is_one_line(share, tmp_path):
    path = tmp_path / "state.npz"
    np.savez(path, progress=np.array(json.dumps({"next_epoch": 3})))
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(UserError, match="the saved state is damaged"):
        read_state(Run(tmp_path))


def test_the_state_of_an_earlier_version_is_refused(tmp_path):
    np.savez(tmp_path / "state.npz", progress=np.array(json.dumps({"next_epoch": 3})))
    with pytest.raises(UserError, match="an earlier version of BoneAge began this run"):
        read_state(Run(tmp_path))


def test_a_write_that_fails_leaves_the_state_and_the_model_before(tiny, tmp_path, monkeypatch):
    def fill(file):
        Path(file).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    model = build_model("sex", "mobilenet", 32, weights="none", label_mean=120.0, label_sd=40.0)
    model.compile("adam", "mae")
    run = Run(tmp_path)
    write_state(model, Progress(next_epoch=1), run)
    epoch_end.save_model(model, run)
    whole = run.path("model.keras").read_bytes()
    monkeypatch.setattr(np, "savez", lambda file, **arrays: fill(file))
    with pytest.raises(OSError, match="No space left"):
        write_state(model, Progress(next_epoch=2), run)
    assert read_state(run)[0].next_epoch == 1
    monkeypatch.setattr(keras.Model, "save", lambda model, file: fill(file))
    with pytest.raises(OSError, match="No space left"):
        epoch_end.save_model(model, run)
    assert run.path("model.keras").read_bytes() == whole
