"""Exports of a run folder, each with a record of how it was checked: `export_model` makes them,
`predict.py` takes the quickest."""

import json
import math
from pathlib import Path

from util.errors import UserError, print_note
from util.files import hash_file, quote, record_path
from util.predicting.runtimes import RUNTIMES, is_installed, load_runtime, require_runtime
from util.runs import MODEL

TENSORFLOW_STARTS = 3  # seconds that its start takes, at least


def export_path(folder, name, precision="f32"):
    """The file of an export in a run folder: model.onnx, model_int8.onnx, ..."""
    stem = "model" if precision == "f32" else f"model_{precision}"
    return Path(folder) / f"{stem}{RUNTIMES[name].endings[0]}"


def read_record(path):
    """Return the record of an export; None if it is missing, can't be read, or is no record."""
    try:
        record = json.loads(record_path(path).read_text())
        times = [record.get(name, 0) for name in ("ms_a_film", "ms_a_film_keras")]
    except (OSError, ValueError, AttributeError):
        return None
    return record if all(isinstance(ms, int | float) for ms in times) else None


def hash_export(path, name):
    """Return the SHA-256 of each file of an export, by its ending."""
    return {ending: hash_file(path.with_suffix(ending)) for ending in RUNTIMES[name].endings}


def precision_option(precision):
    """Return --precision as the end of a command; "" for f32, its default."""
    return "" if precision == "f32" else f" --precision {precision}"


def check_export(folder, name, precision="f32"):
    """Return the path of a run's export if it is unchanged since its check, and up to date. Else
    raise UserError, with the command that makes it."""
    require_runtime(name, precision)
    path = export_path(folder, name, precision)
    command = f"python -m inference_speed.export_model --model {quote(folder)} --format {name}"
    command += precision_option(precision)
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
        raise UserError(f"the export changed since its check ({path}). Do: {command}")
    return path


def load_quickest(folder, n_films=math.inf):
    """Return (`predict(image, sex) -> months (N,)`, name of its runtime) of the quickest export of
    a run; None if there is none.

    Only exports in f32 count, with a runtime that is installed, that take no longer for `n_films`
    than Keras including its start. Their times are those measured when they were made. Exports with
    a record have agreed with Keras; if one is out of date or broken, a note is printed.
    """
    ms = {}
    for name, kind in RUNTIMES.items():
        if (record := read_record(export_path(folder, name))) and is_installed(kind.package):
            by_export = record.get("ms_a_film", math.inf)
            lost = by_export - record.get("ms_a_film_keras", 0)  # above 0 if Keras was quicker
            if lost <= 1000 * TENSORFLOW_STARTS / n_films:
                ms[name] = by_export
    for name in sorted(ms, key=ms.get):
        try:
            return load_runtime(name, check_export(folder, name)), name
        except UserError as error:
            print_note(str(error))
    return None
