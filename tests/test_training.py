"""The training loop: what trains, what repeats, what survives a kill."""

import gc
import json
import os
import shutil
import signal
from argparse import Namespace
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from unittest.mock import patch

import cv2
import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from commands import SMALL_BACKBONE, check_error_line
from files import copy_data
from trainings import epochs_trained, kill_training, read_history

import preprocessing
import train_advanced
from modeling_advanced import build_model
from util import accelerators, epoch_end, errors, run_folder, runs, training
from util.errors import UserError
from util.optimizer import compile_model, rate_schedule
from util.phases import plan_phases
from util.processes import STARTED_BY_A_SWEEP
from util.run_folder import open_run
from util.runs import Run, best_row
from util.saved_state import Progress, read_state, write_state
from util.splits import batch_size_for, check_splits_apart
from util.training import batchnorm_mode, choose_trainable

TINY = [
    *("--backbone", "mobilenet", "--weights", "none", "--img_size", "64", "--batch_size", "8"),
    *("--epochs_frozen", "1", "--epochs_finetune", "3", "--fine_tune", "--dense_units", "16"),
]


@pytest.fixture(scope="module")
def train(inside, tiny_mobilenet, phantoms, results):
    """Run train_advanced.py on the phantoms with three convolutions as its backbone, or under
    `network=nullcontext` with the real one; returns (process, run folder)."""

    def run(name, *words, data_dir=phantoms, network=tiny_mobilenet):
        where = ["--data_dir", data_dir, "--results_dir", results, "--run_name", name]
        with network():
            return inside("train_advanced.py", *where, *TINY, *words), results / name

    return run


@pytest.fixture(scope="module")
def train_small(train):
    """The same for a training that must not fail; returns the run folder."""

    def run(name, *words, **options):
        process, folder = train(name, *words, **options)
        assert process.returncode == 0, process.stderr
        return folder

    return run


@pytest.fixture(scope="module")
def unbroken(train_small):
    """A whole run, to compare others with."""
    return train_small("unbroken")


class Stopped(BaseException):
    """What ends a training in the middle."""


@contextmanager
def stopped_after(epochs):
    """Trainings within the block stop when the state of so many epochs is saved."""
    report = epoch_end.EndOfEpoch.report

    def stop(self, row):
        if self.progress.next_epoch == epochs:
            raise Stopped
        report(self, row)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(epoch_end.EndOfEpoch, "report", stop)
        with pytest.raises(Stopped):
            yield


def predictions(run):
    return pd.read_csv(run / "predictions_test.csv", dtype={"id": str})


def test_a_run_leaves_all_that_it_promises(unbroken):
    names = {str(path.relative_to(unbroken)) for path in unbroken.rglob("*") if path.is_file()}
    assert names >= {
        *("config.json", "history.csv", "model.keras", "metrics.json", "left_out.csv", "log.txt"),
        *("predictions_val.csv", "predictions_test.csv", "plots/history.png"),
        *("plots/augmented_films.png", "plots/predicted_vs_true_test.png"),
        *("plots/bland_altman_test.png", "plots/error_by_group_test.png"),
        "plots/largest_errors_test.png",
    }
    assert not [name for name in names if "clahe" in name.lower()]  # D8: nobody asked for it
    assert read_history(unbroken)["phase"].tolist() == ["frozen", *3 * ["finetune"]]
    assert read_history(unbroken)["epoch"].tolist() == [1, 2, 3, 4]


def test_a_run_says_what_it_was_made_with(unbroken):
    """S22."""
    config = json.loads((unbroken / "config.json").read_text())
    assert config["versions"]["keras"] == keras.__version__
    assert config["options"]["seed"] == 42
    assert {"git_commit", "processor", "python", "command", "devices"} <= config.keys()
    assert config["variables"]["TF_ENABLE_ONEDNN_OPTS"] == os.environ["TF_ENABLE_ONEDNN_OPTS"]
    assert "resumed" not in config
    assert all(len(part["fingerprint"]) == 16 for part in config["data"].values())


def test_metrics_are_those_of_the_predictions_in_months(unbroken):
    metrics = json.loads((unbroken / "metrics.json").read_text())["test"]
    table = predictions(unbroken)
    assert metrics["n"] == len(table) == 13
    assert metrics["mae"] == pytest.approx((table["predicted"] - table["boneage"]).abs().mean())


def test_the_kept_model_is_the_best_over_both_phases(train_small):
    """Fine-tuning at such a rate spoils it: the frozen epoch is the best."""
    words = ["--img_size", "32", "--lr", "0.01", "--epochs_finetune", "1", "--lr_finetune", "1"]
    run = train_small("spoiled", *words, "--ema", "0")
    history = read_history(run)
    assert history["val_mae"].idxmin() == 0
    val = pd.read_csv(run / "predictions_val.csv")
    assert val["error"].abs().mean() == pytest.approx(history["val_mae"][0], abs=2e-3)


def test_the_learning_rate_falls_through_fine_tuning(unbroken):
    lr = read_history(unbroken)["lr"][1:]
    assert lr.is_unique
    assert lr.is_monotonic_decreasing


def test_patience_ends_a_phase(train_small):
    """With no learning rate to speak of, no epoch is better than the one before."""
    still = ("--lr", "1e-12", "--lr_finetune", "1e-12", "--bn", "frozen")
    run = train_small("patient", "--epochs_frozen", "4", *still, "--patience", "1")
    assert read_history(run)["phase"].tolist() == [*2 * ["frozen"], *2 * ["finetune"]]


def test_patience_is_with_the_phase_not_with_the_best_of_all():
    """Fine-tuning may begin worse than the frozen head ended, and get better with every epoch."""
    errors = [("frozen", 8.0), ("finetune", 12.0), ("finetune", 11.0), ("finetune", 11.5)]
    history = [{"phase": phase, "val_mae": error} for phase, error in errors]
    since = [
        epoch_end.epochs_since_best(history[:n], history[n - 1]["phase"]) for n in (1, 2, 3, 4)
    ]
    assert since == [0, 0, 0, 1]


def test_another_seed_gives_another_history(train_small, unbroken, results):
    """That the same seed gives the same one is seen in the resumed runs below."""
    with stopped_after(1):
        train_small("other", "--seed", "7")
    loss = read_history(results / "other")["loss"]
    assert not np.allclose(loss[0], read_history(unbroken)["loss"][0])


@pytest.mark.full
def test_mobilenet_learns_the_same_every_time(train_small):
    """With all layers of a real backbone."""
    runs = [train_small(name, network=nullcontext) for name in ("first", "second")]
    pd.testing.assert_frame_equal(*map(read_history, runs))


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


def test_validation_and_test_labels_change_no_weight(train_small, phantoms, unbroken, tmp_path):
    """The months scale and all training come from the training split alone."""
    for folder in ("train", "validation", "test"):
        (tmp_path / folder).symlink_to(phantoms / folder)
    (tmp_path / "df_train.csv").symlink_to(phantoms / "df_train.csv")
    for name in ("df_val.csv", "df_test.csv"):
        table = pd.read_csv(phantoms / name)
        table.assign(boneage=table["boneage"] / 2 + 100).to_csv(tmp_path / name, index=False)
    # every epoch is a new best under --patience 0 or not, so compare the state after training
    run = train_small("other_labels", data_dir=tmp_path)
    with np.load(run / "state.npz") as a, np.load(unbroken / "state.npz") as b:
        names = [name for name in a.files if name != "progress"]
        assert all(np.array_equal(a[name], b[name]) for name in names)
    config = [json.loads((r / "config.json").read_text()) for r in (run, unbroken)]
    assert config[0]["data"]["train"] == config[1]["data"]["train"]
    assert config[0]["data"]["val"] != config[1]["data"]["val"]


def test_training_counts_are_printed(unbroken):
    """Fine-tuning trains the kernels of three convolutions, and scale and offset of BatchNorm."""
    lines = [line for line in (unbroken / "log.txt").read_text().splitlines() if "train" in line]
    frozen, finetune = (next(x for x in lines if x.startswith(p)) for p in ("frozen:", "finetune:"))
    backbone = 9 * (3 * 16 + 16 * 64 + 64 * 128) + 2 * (16 + 64 + 128)
    assert trainable(finetune) - trainable(frozen) == backbone


def trainable(line):
    return int(line.split("pixels, ")[1].split(" of")[0].replace(",", ""))


@pytest.mark.parametrize(
    ("words", "mode"),
    [
        ("--weights imagenet --batch_size 32", "train"),
        ("--weights imagenet --batch_size 8", "frozen"),
        ("--weights none --batch_size 8", "train"),
        ("--weights imagenet --bn frozen --fine_tune", "frozen"),
        ("--weights imagenet --batch_size 8 --bn train --fine_tune", "train"),
    ],
)
def test_statistics_follow_batches_that_are_large_enough(words, mode):
    assert batchnorm_mode(train_advanced.parse_args(words.split())) == mode


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


def test_the_first_step_finds_all_variables_and_is_traced_once(tiny, monkeypatch):
    step, traced = keras.Model.train_step, []
    monkeypatch.setattr(keras.Model, "train_step", lambda *of: traced.append(1) or step(*of))
    args = train_advanced.parse_args([])
    model = build_model("sex", "mobilenet", 32, weights="none", label_mean=120.0, label_sd=40.0)
    compile_model(model, 1e-3, 100, Namespace(label_sd=40.0), args)
    films = [np.zeros((4, 32, 32, 1)), np.ones((4, 1))]
    model.fit(films, np.full((4, 1), 120), batch_size=2, verbose=0)
    assert len(traced) == 1


@pytest.mark.parametrize(("steps", "first"), [(1, 1e-3), (2, 1e-5), (100, 1e-5)])
def test_rates_rise_to_their_peak_at_once_where_there_is_one_step(steps, first):
    schedule = rate_schedule(train_advanced.parse_args([]), 1e-3, steps, 10)
    rates = [float(schedule(step)) for step in range(steps)]
    np.testing.assert_allclose([rates[0], max(rates)], [first, 1e-3], rtol=1e-4)


def test_a_backbone_without_batchnorm_has_no_statistics_to_measure():
    words = "--backbone vgg16 --weights none --img_size 32 --epochs_frozen 1 --fine_tune --bn train"
    args = train_advanced.parse_args(words.split())
    model = build_model(
        "sex", args.backbone, args.img_size, weights="none", label_mean=120, label_sd=40
    )
    frozen, finetune = plan_phases(args)
    assert choose_trainable(model, frozen, args) == "frozen"
    assert choose_trainable(model, finetune, args) == "none"


def test_a_run_is_never_overwritten(train, unbroken):
    before = {p: p.stat().st_mtime_ns for p in unbroken.rglob("*")}
    process, _ = train("unbroken")
    check_error_line(process, "--resume")
    assert before == {p: p.stat().st_mtime_ns for p in unbroken.rglob("*")}


def test_a_folder_that_a_kill_left_empty_is_used(tmp_path):
    (tmp_path / "mine").mkdir()
    words = ["--results_dir", str(tmp_path), "--run_name", "mine"]
    open_run(train_advanced.parse_args(words), "sex")
    assert (tmp_path / "mine" / "config.json").exists()


def test_of_two_runs_that_start_at_once_one_is_refused(tmp_path, monkeypatch):
    """Neither sees the folder of the other when it looks."""
    words = ["--results_dir", str(tmp_path), "--run_name", "mine"]
    open_run(train_advanced.parse_args(words), "sex")
    checks = []
    check = run_folder.check_free
    monkeypatch.setattr(
        run_folder, "check_free", lambda path: checks.append(path) or checks[1:] and check(path)
    )
    with pytest.raises(UserError, match="there is a run already"):
        open_run(train_advanced.parse_args(words), "sex")


def test_one_process_at_a_time_trains_a_run(train, unbroken, monkeypatch):
    fcntl = pytest.importorskip("fcntl", reason="Windows has no such locks")
    monkeypatch.setattr(runs, "LOCK_PAUSE", 0)
    with (unbroken / "log.txt").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # as the other process does
        process, _ = train("unbroken", "--resume")
        check_error_line(process, "another process is training this run")
    process, _ = train("unbroken", "--resume")
    assert process.returncode == 0


def test_a_training_that_is_just_ending_is_waited_for(unbroken, monkeypatch):
    other, mine = runs.Run(unbroken), runs.Run(unbroken)
    other.lock()
    monkeypatch.setattr(runs.time, "sleep", lambda seconds: other.close())
    mine.lock()
    mine.close()


def test_resume_with_other_options_names_them(train, unbroken):
    process, _ = train("unbroken", "--resume", "--lr", "0.5")
    check_error_line(process, "--lr 0.001 -> 0.5")


def test_resuming_a_finished_run_shows_its_figures(train, unbroken):
    process, _ = train("unbroken", "--resume")
    assert process.returncode == 0
    assert "median baseline" in process.stdout


@pytest.mark.parametrize("name", ["..", "new/..", ".", "{elsewhere}", ""])
def test_a_run_has_a_folder_of_its_own(inside, tmp_path, name):
    """Where a training ends before its first epoch, that is removed, with all that it holds."""
    name = name.format(elsewhere=tmp_path / "elsewhere")
    precious = tmp_path / "results" / "of_months" / "model.keras"
    precious.parent.mkdir(parents=True)
    precious.touch()
    where = ["--results_dir", precious.parent, "--run_name", name, "--data_dir", tmp_path / "none"]
    process = inside("train_advanced.py", *where)
    assert process.returncode == 2
    assert precious.exists()
    args = Namespace(results_dir=precious.parent, run_name=f"{name}/..", resume=False, verbose=0)
    with pytest.raises(UserError, match="there is a run already"):
        open_run(args, "unnamed")  # as a program may ask for
    assert precious.exists()


@pytest.mark.parametrize(("split", "folder"), [("val", "validation"), ("test", "test")])
def test_a_film_in_two_splits_is_an_error(train, phantoms, tmp_path, split, folder):
    for path in phantoms.iterdir():
        (tmp_path / path.name).symlink_to(path)
    for name, of_training in ((folder, "train"), (f"df_{split}.csv", "df_train.csv")):
        (tmp_path / name).unlink()
        (tmp_path / name).symlink_to(phantoms / of_training)
    process, _ = train("leak", data_dir=tmp_path)
    check_error_line(process, f"both train and {split}")


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
    def split(id_, months):
        row = {"id": [id_], "patient": "", "sex": 1.0, "boneage": months}
        return Namespace(table=pd.DataFrame(row))

    films = {"train": split(id_, months), "test": split("123", 60.0)}
    with pytest.raises(UserError, match=told) if told else nullcontext():
        check_splits_apart(films)


def test_leading_zeros_make_no_other_patient():
    def split(id_, patient):
        row = {"id": [id_], "patient": patient, "sex": 1.0, "boneage": 60.0}
        return Namespace(table=pd.DataFrame(row))

    with pytest.raises(UserError, match="1 patients are in both train and test, such as 0007"):
        check_splits_apart({"train": split("1", "0007"), "test": split("2", "7")})
    check_splits_apart({"train": split("1", ""), "test": split("2", "")})


def test_a_patient_in_two_splits_is_an_error(train, phantoms, tmp_path):
    for path in phantoms.iterdir():
        (tmp_path / path.name).symlink_to(path)
    for name in ("df_val.csv", "df_test.csv"):
        (tmp_path / name).unlink()
        table = pd.read_csv(phantoms / name)
        table.assign(patient=["p1", *("" for _ in table["id"][1:])]).to_csv(
            tmp_path / name, index=False
        )
    process, _ = train("leak", data_dir=tmp_path)
    check_error_line(process, "1 patients are in both val and test, such as p1")


@pytest.mark.parametrize(
    "error",
    [
        tf.errors.ResourceExhaustedError(None, None, "OOM when allocating"),
        tf.errors.InternalError(None, None, "Failed copying: Dst tensor is not initialized."),
        tf.errors.NotFoundError(None, None, "No algorithm worked!  Error messages: ..."),
        tf.errors.UnknownError(None, None, "Failed to allocate the scratch buffer"),
    ],
)
@pytest.mark.parametrize(
    "place", ["keras.Model.fit", "keras.optimizers.AdamW.build", "util.build.build_model"]
)
def test_out_of_memory_is_one_line(place, error, train, monkeypatch):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(place, fail)
    process, run = train("large")
    check_error_line(process, "out of memory (8 films of 64 pixels at once). Start")
    assert not run.exists()


def test_a_training_that_diverges_is_one_line(inside, tiny_mobilenet, phantoms, results):
    where = ["--data_dir", phantoms, "--results_dir", results, "--run_name", "diverged"]
    far_off = ["--label_noise_std", "1e30", "--loss_type", "mse"]  # months, squared: no number
    with tiny_mobilenet():
        process = inside("train_advanced_streamlined.py", *where, *TINY, *far_off)
    check_error_line(process, "error: training diverged: the loss is")
    assert "--mixed_precision" not in process.stderr
    assert not (results / "diverged").exists()


@pytest.fixture
def half_precision(monkeypatch):
    """What --mixed_precision means on a GPU."""
    monkeypatch.setattr("util.accelerators.precision", lambda args: "mixed_float16")


@contextmanager
def lost_steps(*steps):
    """Trainings within the block lose these steps of their first epoch: their numbers overflow."""
    make_batch = preprocessing.make_batch

    def overflow(films, batch_size, seed, epoch, step, ranges=None):
        batch = make_batch(films, batch_size, seed, epoch, step, ranges)
        lost = epoch == 0 and step in steps
        return batch._replace(boneage=batch.boneage * np.float32("nan")) if lost else batch

    with patch("preprocessing.make_batch", overflow):
        yield


def test_a_step_that_half_precision_loses_ends_no_training(train_small, half_precision):
    with lost_steps(0, 2, 3, 5):  # the last as well
        history = read_history(train_small("lost_steps"))
    assert len(history) == 4
    assert np.isfinite(history[["loss", "train_mae", "val_mae"]].to_numpy()).all()


@pytest.mark.parametrize("lost", [range(0, 24, 2), range(epoch_end.LOST_STEPS)])
def test_few_lost_steps_in_a_row_end_no_training(lost, train_small, half_precision):
    with lost_steps(*lost):
        history = read_history(train_small(f"lost_{lost.step}", "--batch_size", "2"))
    assert np.isfinite(history["loss"]).all()


def test_half_precision_that_loses_more_steps_in_a_row_diverges(half_precision, train):
    with lost_steps(*range(1, epoch_end.LOST_STEPS + 2)):
        process, run = train("all_lost", "--batch_size", "2")
    check_error_line(process, "training diverged: the loss is nan", "leave --mixed_precision out")
    assert not run.exists()


def test_nothing_to_train_is_an_error(inside, phantoms, results):
    process = inside(
        "train_advanced.py",
        *("--data_dir", phantoms, "--results_dir", results, "--epochs_frozen", "0"),
        *("--weights", "none", "--backbone", "mobilenet", "--img_size", "64"),
    )
    check_error_line(process, "nothing to train")


def test_a_run_without_a_name_of_its_own_can_be_resumed(train, unbroken, results):
    """As if it had been started without --run_name: its folder has a name all the same."""
    config = json.loads((unbroken / "config.json").read_text())
    assert "run_name" not in config["options"]
    (results / "by_time").symlink_to(unbroken)
    process, _ = train("by_time", "--resume")
    assert process.returncode == 0, process.stderr


@pytest.mark.parametrize(
    ("name", "words", "in_a_sweep", "told"),
    [
        ("interrupted", [], "", "--resume --run_name interrupted"),
        ("nested/of two words", [], "", "--resume --run_name 'nested/of two words'"),
        ("interrupted_folds", ["--folds", "2"], "", "--run_name interrupted_folds"),
        ("interrupted_sweep", [], "1", "the same command of the sweep"),
    ],
)
def test_an_interrupted_training_says_how_to_go_on(
    train, monkeypatch, name, words, in_a_sweep, told
):
    def interrupted(*of_run):
        write_state(*of_run)
        raise KeyboardInterrupt

    write_state = epoch_end.write_state
    monkeypatch.setattr(epoch_end, "write_state", interrupted)
    monkeypatch.setenv(STARTED_BY_A_SWEEP, in_a_sweep)
    process, _ = train(name, *words)
    assert process.returncode == 130
    assert f"{told}\n" in process.stdout


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (KeyboardInterrupt(), "interrupted"),
        (MemoryError("no 9 GiB"), "error: out of memory (no 9 GiB)"),
    ],
)
def test_a_run_without_a_state_leaves_no_folder(train, monkeypatch, error, told):
    def fail(*_):
        raise error

    monkeypatch.setattr(epoch_end, "write_state", fail)
    process, run = train("stateless")
    assert process.stderr.startswith(told)
    assert process.stderr.count("\n") == 1
    assert "--resume" not in process.stdout
    assert ("nothing is kept" in process.stdout) == isinstance(error, KeyboardInterrupt)
    assert not run.exists()


def test_an_interrupted_epoch_leaves_no_thread_that_reads_films(train, monkeypatch):
    """Python can't end beside them, and would at times say "terminate called" or wait for ever."""

    def interrupt(*_, **__):
        raise KeyboardInterrupt

    gc.collect()
    before = count_iterators()
    monkeypatch.setattr(epoch_end.EndOfEpoch, "on_train_batch_end", interrupt)
    process, _ = train("in_the_middle")
    assert process.returncode == 130
    assert count_iterators() == before


def test_an_interrupt_that_keras_swallows_ends_the_training(train, monkeypatch):
    def swallow(*args):
        with suppress(BaseException):  # as Keras does in places while it traces the first step
            signal.raise_signal(signal.SIGINT)
        return training_batches(*args)

    training_batches = training.training_batches
    monkeypatch.setattr(training, "training_batches", swallow)
    monkeypatch.setattr(errors, "interrupted", False)  # and so after this test
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        process, run = train("swallowed")
    finally:
        signal.signal(signal.SIGINT, before)
    assert process.returncode == 130
    assert process.stderr == "interrupted\n"
    assert not run.exists()


def count_iterators():
    """The running readers of datasets."""
    return sum(type(thing).__name__ == "OwnedIterator" for thing in gc.get_objects())


def test_a_resumed_run_is_kept_whatever_is_wrong(train, unbroken, results):
    """Its data may be away for a while."""
    (results / "begun").mkdir()
    config = json.loads((unbroken / "config.json").read_text())
    config["options"]["data_dir"] = str(results / "away")
    (results / "begun" / "config.json").write_text(json.dumps(config))
    process, run = train("begun", "--resume", data_dir=results / "away")
    check_error_line(process, "no data folder")
    assert (run / "config.json").exists()


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--weights", "mistyped.h5"], "no such weights file"),
        (["--backbone", "xception"], "xception (--img_size 64). Use 71 or more"),
    ],
)
def test_wrong_options_are_told_before_films_are_read(train, tmp_path, words, reason):
    process, run = train("wrong", *words, data_dir=tmp_path / "nowhere")
    check_error_line(process, reason)
    assert not run.exists()


def test_weights_that_can_not_be_had_are_told_before_films_are_read(train, monkeypatch):
    monkeypatch.setattr("util.splits.load_films", None)
    process, run = train("wrong", "--weights", __file__)
    check_error_line(process, "not the include_top=False weights of mobilenet")
    assert not run.exists()


def test_a_failed_start_does_not_take_the_name(train, results, tmp_path):
    process, _ = train("mistyped", data_dir=tmp_path / "nowhere")
    assert process.returncode == 2
    assert not (results / "mistyped").exists()


def test_the_last_epoch_is_kept_on_request_and_nothing_else_changes(train_small):
    """The rate is so high that an earlier epoch is the best."""
    words = ["--epochs_finetune", "5", "--lr_finetune", "0.2", "--ema", "0"]
    runs = {
        name: train_small(f"keeps_{name}", "--keep_epoch", name, *words)
        for name in ("best", "last")
    }
    history = {name: read_history(run) for name, run in runs.items()}
    best = history["best"]["val_mae"].idxmin()
    assert best < len(history["best"]) - 1, "an earlier epoch must be better"
    assert history["best"]["val_mae"].equals(history["last"]["val_mae"])
    assert best_row(history["best"]) == best
    assert best_row(history["last"]) == len(history["last"]) - 1
    for name, run in runs.items():
        told = pd.read_csv(run / "predictions_val.csv")["error"].abs().mean()
        epoch = history[name].loc[best_row(history[name])]
        assert told == pytest.approx(epoch["val_mae"], abs=0.02)


def test_labels_that_are_all_alike_and_a_batch_of_all_films_are_noted(train, phantoms, tmp_path):
    data = copy_data(phantoms, tmp_path / "Data")
    for path in data.glob("df_*.csv"):
        pd.read_csv(path).assign(boneage=0).to_csv(path, index=False)
    words = ["--epochs_finetune", "1", "--batch_size", "100"]
    process, _ = train("all_alike", *words, data_dir=data)
    assert process.returncode == 0
    assert "note: all training films are labelled 0 months: there is nothing" in process.stdout
    assert "note: 48 training films are fewer than --batch_size 100" in process.stdout
    assert "Warning" not in process.stderr


@pytest.mark.parametrize("other", ["labels", "films"])
def test_other_data_can_not_be_resumed(train, phantoms, unbroken, results, tmp_path, other):
    """A finished run shows its figures, an unfinished one must not go on with other data."""
    name = f"begun_with_other_{other}"
    (results / name).mkdir()
    for part in ("config.json", "state.npz"):
        (results / name / part).symlink_to(unbroken / part)
    data = copy_data(phantoms, tmp_path / "Data")
    if other == "labels":
        table = pd.read_csv(data / "df_train.csv")
        table.assign(boneage=table["boneage"] / 2).to_csv(data / "df_train.csv", index=False)
    else:
        film = next((data / "train").iterdir())
        cv2.imwrite(str(film), cv2.imread(str(film))[5:])
    config = json.loads((unbroken / "config.json").read_text())
    config["options"] |= {"data_dir": str(data), "run_name": name}
    (results / name / "config.json").unlink()
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


def test_with_a_full_disk_folds_say_how_to_go_on(train, monkeypatch):
    def fill(*of_run):
        write_state(*of_run)
        raise OSError(28, "No space left on device", "state.npz")

    monkeypatch.setattr(epoch_end, "write_state", fill)
    process, _ = train("full", "--folds", "2")
    assert process.returncode == 2
    assert "to resume: the same command with --resume --run_name full\n" in process.stdout


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
