"""The state of a training between two epochs: weights, optimizer and progress in one file, so that
they always fit together."""

import json
import math
import zipfile
import zlib
from dataclasses import asdict, dataclass, field

import numpy as np

from util.errors import UserError
from util.files import write_atomically
from util.runs import STATE

VERSION = 5  # raise it when a training can't resume from the state of the version before


@dataclass
class Progress:
    """How far a training has come. Epochs count from 0 over the whole run; `best_mae` is the
    validation MAE (months) of the model that is kept; `history` has one dict for each epoch;
    `precision` is the dtype policy of Keras, `devices` how many devices share each batch."""

    next_epoch: int = 0
    best_mae: float = math.inf
    history: list = field(default_factory=list)
    precision: str | None = None
    devices: int | None = None  # runs of before did not record it


def write_state(model, progress, run):
    """Save a model, its optimizer and the Progress of its training."""
    arrays = {f"weight_{i}": w.numpy() for i, w in enumerate(model.weights)}
    arrays |= {f"optimizer_{i}": v.numpy() for i, v in enumerate(model.optimizer.variables)}
    text = np.array(json.dumps(asdict(progress) | {"version": VERSION}))
    write_atomically(
        run.path(STATE), lambda file: np.savez(file, progress=text, **arrays), flush=True
    )


def read_state(run):
    """Return (Progress, arrays) of a run; without a saved state, a new Progress and None. UserError
    when the state is damaged or of an earlier version."""
    path = run.path(STATE)
    if not path.exists():
        return Progress(), None
    try:
        with np.load(path) as file:
            arrays = dict(file)
        progress = json.loads(str(arrays.pop("progress")))
    except (ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
        raise UserError(
            f"the saved state is damaged ({path}). Start a new run under another --run_name."
        ) from None
    if progress.pop("version", None) != VERSION:
        raise UserError(
            f"an earlier version of BoneAge began this run, and this one can't resume it ({path}). "
            "Start a new run under another --run_name."
        )
    return Progress(**progress), arrays


def restore(model, arrays, with_optimizer):
    """Put saved weights into a model that `compile_model` has compiled. In the middle of a phase,
    `with_optimizer` puts back the state of the optimizer as well."""
    for i, weight in enumerate(model.weights):
        weight.assign(arrays[f"weight_{i}"])
    if with_optimizer:
        for i, variable in enumerate(model.optimizer.variables):
            variable.assign(arrays[f"optimizer_{i}"])
