"""Exports of a run folder, each with a record of how it was checked: `export_model` makes them,
`predict.py` takes the quickest."""

import json
import math
import sys
from pathlib import Path

from util.errors import UserError
from util.files import hash_file, quote
from util.runs import MODEL
from util.runtimes import RUNTIMES, is_installed, load_runtime, require_runtime

TENSORFLOW_STARTS = 3  # seconds, at least


def export_path(folder, name, precision="f32"):
    """The file of an export in a run folder: model.onnx, model_int8.onnx, ..."""
    stem = "model" if precision == "f32" else f"model_{precision}"
    return Path(folder) / f"{stem}{RUNTIMES[name].endings[0]}"


def record_path(path):
    """Where the record of an export is: what it was made of, and how well it agrees."""
    return path.with_name(f"{path.name}.json")


def read_record(path):
    """The record of an export; None when there is none, or none that can be read."""
    try:
        return json.loads(record_path(path).read_text())
    except (OSError, ValueError):
        return None


def hash_export(path, name):
    """SHA-256 of each file of an export, by its ending."""
    return {ending: hash_file(path.with_suffix(ending)) for ending in RUNTIMES[name].endings}


def check_export(folder, name, precision="f32"):
    """Path of a run's export that stands as it was checked, and is up to date; UserError with the
    command that makes it."""
    require_runtime(name, precision)
    path = export_path(folder, name, precision)
    command = f"python -m inference_speed.export_model --model {quote(folder)} --format {name}"
    command += "" if precision == "f32" else f" --precision {precision}"
    record = read_record(path)
    if record is None or not path.exists():
        raise UserError(f"the run is not exported to {name}, {precision} ({path}). Do: {command}")
    if record.get("model_sha256") != hash_file(Path(folder) / MODEL):
        raise UserError(f"the export is of an earlier model.keras ({path}). Do: {command}")
    try:
        unchanged = record.get("files_sha256") == hash_export(path, name)
    except OSError:
        unchanged = False
    if not unchanged:
        raise UserError(f"the export is not as it was checked ({path}). Do: {command}")
    return path


def load_quickest(folder, n_films=math.inf):
    """`predict(image, sex) -> months (N,)` of the export that was the quickest when it was made,
    among those in f32 whose runtime is installed and that take no longer for `n_films` than
    Keras and its start, and the name of its runtime; None when there is none.

    An export with a record has agreed with Keras. One that is stale or broken is told of.
    """
    ms = {}
    for name, kind in RUNTIMES.items():
        if (record := read_record(export_path(folder, name))) and is_installed(kind.module):
            by_export = record.get("ms_a_film", math.inf)
            lost = by_export - record.get("ms_a_film_keras", 0)  # above 0 where Keras was quicker
            if lost <= 1000 * TENSORFLOW_STARTS / n_films:
                ms[name] = by_export
    for name in sorted(ms, key=ms.get):
        try:
            return load_runtime(name, check_export(folder, name)), name
        except UserError as error:
            print(f"note: {error}", file=sys.stderr)
    return None
