"""Time the routes of one backbone at one batch size, in a process of its own.

`compute_inference_speed` starts this module for each case.
"""

import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np

from inference_speed.parity import (
    Sample,
    differences,
    format_differences,
    phantom_films,
    predict_sample,
    run_films,
    too_far,
)
from inference_speed.routes import ROUTES
from util.environment import gpu_names
from util.errors import UserError, first_line
from util.finished_runs import load_run_model, read_run
from util.processes import answer, run_alone
from util.quiet import import_tensorflow

WARM_UP_CALLS = 2  # after the first call, which traces
CHECKED_FILMS = 32  # on which the routes of a run must agree with Keras


class Checks(NamedTuple):
    """Films to check a route on, the months that Keras predicts for them, and films to calibrate
    on, None if no route needs them."""

    films: Sample
    expected: np.ndarray
    calibration: Sample | None


def time_case(backbone, batch_size, img_size, model_type, weights, run, num_runs, routes):
    """Load the model of a run folder, or build a new one, and time its routes.

    Returns {"try_other_sizes": False when there is no model, "routes": {name: columns}}; the column
    `status` is "ok" or the reason of a failure.
    """
    import_tensorflow()
    try:
        run = run and read_run(run)
        model = get_model(run, model_type, backbone, img_size, weights)
    except Exception as error:  # whatever Keras raises becomes a row of the table
        failed = {name: {"status": reason_of(error)} for name in routes}
        return {"try_other_sizes": False, "routes": failed}
    films = phantom_films(img_size, "test", "pad", n=batch_size)
    checks = get_checks(model, run, films, routes)
    predictors, columns = {}, {}
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:  # OpenVINO keeps its files open
        for name in routes:
            try:
                predictors[name], columns[name] = prepare_route(
                    name, model, Path(folder) / name, films, checks
                )
            except Exception as error:  # out of memory, no package: other routes continue
                columns[name] = {"status": reason_of(error)}
        image, sex = films.pixels[..., None], films.sex[:, None]
        seconds, failures = call_in_turns(predictors, image, sex, num_runs)
    facts = facts_of(model)
    columns |= {
        name: columns[name] | statistics(runs, batch_size, seconds.get("predict"))
        for name, runs in seconds.items()
    }
    columns |= {name: {"status": reason} for name, reason in failures.items()}
    return {"try_other_sizes": True, "routes": {name: facts | columns[name] for name in routes}}


def get_model(run, model_type, backbone, img_size, weights):
    """Return the model of a run, or a new model if there is no run."""
    if run:
        return load_run_model(run)
    from modeling_advanced import build_model

    return build_model(
        model_type, backbone, img_size, weights=weights, label_mean=127.0, label_sd=41.0
    )


def get_checks(model, run, films, routes):
    """Return the Checks. A run is checked on films of its data. A new model predicts nearly the
    same months for any film, so the timed `films` are enough. Calibration films are read only for
    routes that are calibrated."""
    from util.predicting.prediction import compile_predictor

    calibration = None
    calibrated = any(ROUTES[name].calibrated for name in routes)
    if run:
        films = run_films(run.options, ("test", "val"), CHECKED_FILMS)
        if calibrated:
            calibration = run_films(run.options, ("train",))
    elif calibrated:
        calibration = phantom_films(films.pixels.shape[1], "train", n=CHECKED_FILMS)
    return Checks(films, predict_sample(compile_predictor(model), films), calibration)


def prepare_route(name, model, folder, films, checks):
    """Save a model for a route, time a cold start of the route, and check its months. Returns
    (predictor, columns). ValueError when the months are too far from those of Keras."""
    route = ROUTES[name]
    folder.mkdir()
    path = route.save(model, folder, checks.calibration)
    batch_size, img_size = films.pixels.shape[:2]
    cold = run_alone(
        "inference_speed/cold_start.py",
        route=name,
        path=str(path),
        batch_size=batch_size,
        img_size=img_size,
    )
    off = differences(predict_sample(route.load(path), checks.films), checks.expected)
    if too_far(off, route.precision):
        raise ValueError(f"too many months off Keras: {format_differences(off)}")
    size = sum(file.stat().st_size for file in folder.iterdir())
    months = {f"{name}_off_months": round(value, 6) for name, value in off.items()}
    # loaded again: the predictor of the comparison computes in whole float32, see `parity`
    return route.load(path), {"file_mb": round(size / 2**20, 2)} | cold | months


def call_in_turns(predictors, image, sex, num_runs):
    """Call every route's predictor on the same films, one after the other, in changing order.

    Other work of the machine then slows all routes alike. Returns ({route: seconds of each call},
    {route: reason} of those that failed). Before the `num_runs` calls that count come the first
    call and `WARM_UP_CALLS` more, whose seconds are returned as well.
    """
    routes, failures = list(predictors), {}
    seconds = {name: [] for name in routes}
    for turn in range(1 + WARM_UP_CALLS + num_runs):
        first = turn % max(1, len(routes))
        for name in routes[first:] + routes[:first]:
            if name in failures:
                continue
            try:
                start = time.perf_counter()
                months = predictors[name](image, sex)
                seconds[name].append(time.perf_counter() - start)
                check_months(months, len(image))
            except Exception as error:  # out of memory: the other routes continue
                failures[name] = reason_of(error)
    return {name: seconds[name] for name in routes if name not in failures}, failures


def check_months(months, n):
    """ValueError unless a route returned `n` finite months: one that is quick because it returns
    something else must not win."""
    if not isinstance(months, np.ndarray) or months.shape != (n,) or not np.isfinite(months).all():
        raise ValueError(f"the route did not return {n} finite months as a numpy array")


def statistics(seconds, batch_size, by_predict=None):
    """Return the columns of a timed route, from the seconds of all its calls, warm-up included, and
    those of `model.predict` in the same turns."""
    runs = np.array(seconds[1 + WARM_UP_CALLS :])
    mean = microseconds(runs.mean())
    columns = {
        "mean_inference_time_s": mean,
        "std_inference_time_s": microseconds(runs.std(ddof=1)) if len(runs) > 1 else None,
        "min_inference_time_s": microseconds(runs.min()),
        "max_inference_time_s": microseconds(runs.max()),
        "median_inference_time_s": microseconds(np.median(runs)),
        "p95_inference_time_s": microseconds(np.percentile(runs, 95)),
        "time_per_image_s": mean / batch_size,
        "images_per_second": batch_size / mean,
        "time_per_image_ms": 1000 * mean / batch_size,
        "status": "ok",
    }
    if by_predict:
        ratios = np.array(by_predict[1 + WARM_UP_CALLS :]) / runs
        columns["times_as_fast_as_predict"] = round(float(np.median(ratios)), 3)
    return columns


def microseconds(seconds):
    """Round seconds to six decimals: no clock here is more precise."""
    return round(float(seconds), 6)


def facts_of(model):
    """Return the columns that all routes of a case share."""
    import keras
    import tensorflow as tf

    from modeling import count_parameters

    trainable, total = count_parameters(model)
    return {
        "total_params": total,
        "trainable_params": trainable,
        "non_trainable_params": total - trainable,
        "tensorflow_version": tf.__version__,
        "keras_version": keras.__version__,
        "gpu_info": ", ".join(gpu_names()) or "no GPU",
    }


def reason_of(error):
    """Return an exception as one line."""
    line, kind = first_line(error), type(error).__name__
    return line if isinstance(error, UserError) or line == kind else f"{kind}: {line}"


if __name__ == "__main__":
    answer(time_case)
