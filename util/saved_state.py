"""The state of a training between two epochs: weights, optimizer and progress in one file, so that
they always fit together."""

import json
import math
import zipfile
import zlib

import numpy as np

from util.errors import UserError
from util.files import write_atomically
from util.runs import STATE

VERSION = 3  # raise it when a training can't go on from the state of the version before


def write_state(model, progress, run):
    """Save where a training is; `progress` is ready for JSON."""
    arrays = state_of(model)
    text = np.array(json.dumps(progress | {"version": VERSION}))
    write_atomically(run.path(STATE), lambda file: np.savez(file, progress=text, **arrays))


def state_of(model):
    """Weights and optimizer of a model as {name: array}, for `restore`."""
    arrays = {f"weight_{i}": w.numpy() for i, w in enumerate(model.weights)}
    return arrays | {f"optimizer_{i}": v.numpy() for i, v in enumerate(model.optimizer.variables)}


def read_state(run):
    """Return (progress, arrays) of a run; a fresh start and None when there is no state. UserError
    for one that is damaged, or of an earlier version."""
    path = run.path(STATE)
    if not path.exists():
        fresh = {"next_epoch": 0, "img_size": None, "best_mae": math.inf, "best_epoch": 0}
        return fresh | {"history": []}, None
    try:
        with np.load(path) as file:
            arrays = dict(file)
        progress = json.loads(str(arrays.pop("progress")))
    except (ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
        raise UserError(
            f"the saved state is damaged ({path}). Start a new run under another --run_name."
        ) from None
    if progress.get("version") != VERSION:
        raise UserError(
            f"an earlier version of BoneAge began this run, and this one can't go on with it ({path}). "
            "Start a new run under another --run_name."
        )
    return progress, arrays


def restore(model, arrays, with_optimizer):
    """Put weights, and in the middle of a schedule the optimizer's state, into the model."""
    for i, weight in enumerate(model.weights):
        weight.assign(arrays[f"weight_{i}"])
    if with_optimizer:
        with model.distribute_strategy.scope():
            model.optimizer.build(model.trainable_variables)
        for i, variable in enumerate(model.optimizer.variables):
            variable.assign(arrays[f"optimizer_{i}"])
