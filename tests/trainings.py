"""Trainings that are stopped or killed, and what they leave in the folder of their run."""

import json
import os
import random
import subprocess
import sys
import time
from contextlib import contextmanager

import numpy as np
import pandas as pd
import pytest

TINY = [
    *("--backbone", "mobilenet", "--weights", "none", "--img_size", "64", "--batch_size", "8"),
    *("--epochs_frozen", "1", "--epochs_finetune", "3", "--fine_tune", "--dense_units", "16"),
]


class Stopped(BaseException):
    """What ends a training in the middle."""


@contextmanager
def stopped_after(epochs):
    """Trainings within the block stop when the state of so many epochs is saved."""
    from util import epoch_end

    report = epoch_end.EndOfEpoch.report

    def stop(self, row):
        if self.progress.next_epoch == epochs:
            raise Stopped
        report(self, row)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(epoch_end.EndOfEpoch, "report", stop)
        with pytest.raises(Stopped):
            yield


@contextmanager
def random_numbers_go_on():
    """Fail unless Python and NumPy draw the same numbers after the block as they would before."""
    random.seed(5)  # not as an earlier training left them
    np.random.seed(5)  # noqa: NPY002
    before = random.getstate(), np.random.get_state()  # noqa: NPY002
    yield
    np.testing.assert_equal((random.getstate(), np.random.get_state()), before)  # noqa: NPY002


def kill_training(words, run, epochs, **environment):
    """Start a script and kill it as soon as the state of so many epochs is saved in its run folder;
    returns the process."""
    process = subprocess.Popen(
        [sys.executable, *map(str, words)],
        env=os.environ | environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while process.poll() is None and epochs_saved(run) < epochs:
        time.sleep(0.01)
    process.kill()
    process.wait()
    return process


def epochs_saved(run):
    if not (run / "state.npz").exists():
        return 0
    with np.load(run / "state.npz") as state:
        return json.loads(str(state["progress"]))["next_epoch"]


def epochs_trained(run):
    """How many epochs a run has gone through, before and after a kill."""
    return (run / "log.txt").read_text().count(" films/s")


def read_history(run):
    """history.csv of a run, but for the times."""
    return pd.read_csv(run / "history.csv").drop(columns="seconds")


def predictions(run):
    return pd.read_csv(run / "predictions_test.csv", dtype={"id": str})
