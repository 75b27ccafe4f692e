"""The routes from films to months that are timed against each other.

A route is a `Route` in `ROUTES`: `save(model, folder, sample)` writes a Keras model as the file it
starts from (on the films of `sample` if it is `calibrated`), and `load(path)` reads it and returns
`predict(image, sex) -> months`, where image is uint8 `(N, S, S, 1)` 0-255, sex float32 `(N, 1)`,
1 = male, and months a numpy array `(N,)`. As months are in numpy, they have been computed when the
clock stops. Libraries are imported inside the functions, so that `--help` is quick.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from inference_speed.convert import convert, has_converter, is_calibrated
from util.finished_runs import load_run_model
from util.predicting.exports import export_path
from util.predicting.runtimes import RUNTIMES, load_runtime
from util.quiet import import_tensorflow
from util.runs import MODEL, Run


class Route(NamedTuple):
    """How a model is saved in a file and loaded again; `precision` sets how far months may be off,
    `calibrated` is whether saving needs films."""

    save: Callable
    load: Callable
    precision: str = "f32"
    calibrated: bool = False


def save_keras(model, folder, sample):
    path = folder / MODEL
    model.save(path)
    return path


def load_predict(path):
    """`model.predict`, the call that Keras users know."""
    import_tensorflow()
    model = load_run_model(Run(Path(path).parent))
    from util.predicting.prediction import inputs_of

    def predict(image, sex):
        months = model.predict(inputs_of(model, image, sex), batch_size=len(image), verbose=0)
        return months[:, 0]

    return predict


def load_compiled(path):
    """One compiled call, as predict.py and evaluate.py use it."""
    from util.predicting.prediction import load_predictor

    return load_predictor(Run(Path(path).parent), "keras")[0]


def save_export(runtime, precision, model, folder, sample):
    path = export_path(folder, runtime, precision)
    convert(model, runtime, precision, path, sample)
    return path


ROUTES = {
    "predict": Route(save_keras, load_predict),
    "compiled": Route(save_keras, load_compiled),
} | {
    name if precision == "f32" else f"{name}_{precision}": Route(
        partial(save_export, name, precision),
        partial(load_runtime, name),
        precision,
        is_calibrated(name, precision),
    )
    for name, runtime in RUNTIMES.items()
    for precision in runtime.precisions
}
DEFAULT_ROUTES = ["predict", "compiled", *filter(has_converter, RUNTIMES)]
