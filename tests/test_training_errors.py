"""Trainings that can't go on end in one line: of options, of memory, of numbers."""

from contextlib import contextmanager
from unittest.mock import patch

import numpy as np
import pytest
import tensorflow as tf
from commands import check_error_line
from trainings import TINY, read_history

import preprocessing
from util import epoch_end
from util.predicting.prediction import predict_films

# ------------------------------------------------------------------------- before films are read


def test_nothing_to_train_is_an_error(inside, phantoms, results):
    process = inside(
        "train_advanced.py",
        *("--data_dir", phantoms, "--results_dir", results, "--epochs_frozen", "0"),
        *("--weights", "none", "--backbone", "mobilenet", "--img_size", "64"),
    )
    check_error_line(process, "nothing to train")


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


# ---------------------------------------------------------------------------------------- memory


@pytest.mark.parametrize(
    "error",
    [
        tf.errors.ResourceExhaustedError(None, None, "OOM when allocating"),
        tf.errors.InternalError(None, None, "Failed copying: Dst tensor is not initialized."),
        tf.errors.NotFoundError(None, None, "No algorithm worked!  Error messages: ..."),
        tf.errors.UnknownError(None, None, "Failed to allocate the scratch buffer"),
        tf.errors.InternalError(None, None, "RESOURCE_EXHAUSTED: 2.35GiB"),
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


def test_a_gpu_that_does_not_fit_is_one_line(train, monkeypatch):
    message = "Graph execution error:\n\nDNN library initialization failed. Look above.\n"

    def fail(*_, **__):
        raise tf.errors.FailedPreconditionError(None, None, message)

    monkeypatch.setattr("keras.Model.fit", fail)
    process, _ = train("no_gpu")
    check_error_line(process, "the GPU can't be used: DNN library initialization failed.")


# --------------------------------------------------------------------------------------- numbers


def test_an_epoch_without_months_for_all_validation_films_is_not_kept(train, monkeypatch):
    """Films that overflow in float16 must not make the error of the others that of the model."""

    def predict(*args):
        table = predict_films(*args)
        return table.assign(error=table["error"].where(table.index > 0))

    monkeypatch.setattr("util.training.predict_films", predict)
    process, run = train("no_months")
    check_error_line(process, "no epoch gave months for all validation films")


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
