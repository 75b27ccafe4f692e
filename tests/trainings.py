"""Trainings that are killed, and what is in the folder of a run."""

import json
import os
import subprocess
import sys
import time

import numpy as np
import pandas as pd


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
