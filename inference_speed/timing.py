"""Time the routes of one backbone at one batch size, in a process of its own.

`compute_inference_speed` starts this module with the case as JSON and reads one JSON object from
the last line of its output. A fresh process for each case keeps its peak memory clean, and one
that is killed takes no other case with it.
"""

import json
import os
import resource
import sys
import time

import numpy as np

from inference_speed.routes import ROUTES
from util.errors import UserError

PARENT = os.getppid()  # asked before the slow imports: the benchmark may end meanwhile
WARM_UP_CALLS = 2  # after the first call, which traces


def time_case(backbone, batch_size, img_size, model_type, weights, num_runs, routes):
    """Build a model and time its routes.

    Returns {"try_other_sizes": False when no model can be built, "routes": {name: columns}}; the
    column `status` is "ok" or the reason of a failure.
    """
    from util.quiet import import_tensorflow

    import_tensorflow()
    from modeling_advanced import build_model

    try:
        model = build_model(
            model_type, backbone, img_size, weights=weights, label_mean=127.0, label_sd=41.0
        )
    except Exception as error:  # whatever Keras raises is a row of the table
        failed = {name: {"status": reason_of(error)} for name in routes}
        return {"try_other_sizes": False, "routes": failed}
    image, sex = example_films(batch_size, img_size)
    seconds, failures = call_in_turns(model, image, sex, routes, num_runs)
    facts = facts_of(model)
    timed = {name: statistics(runs, batch_size) for name, runs in seconds.items()}
    timed |= {name: {"status": reason} for name, reason in failures.items()}
    return {"try_other_sizes": True, "routes": {name: facts | timed[name] for name in routes}}


def example_films(batch_size, img_size):
    """Films as predict.py gives them to a model: uint8 `(N, S, S, 1)`, and sex `(N, 1)`.

    One drawn hand, shifted by a row from film to film.
    """
    from util.phantoms import draw_phantom
    from util.radiographs import to_canvas

    film = to_canvas(draw_phantom(120, 1, np.random.default_rng(42), img_size), img_size, "pad")
    image = np.stack([np.roll(film, shift, axis=0) for shift in range(batch_size)])
    sex = (np.arange(batch_size) % 2).astype(np.float32)
    return image[..., None], sex[:, None]


def call_in_turns(model, image, sex, routes, num_runs):
    """Call every route on the same films, one after the other, in changing order.

    What else the machine does in the meantime then falls on all routes alike. Returns
    ({route: seconds of each call}, {route: reason} of those that failed). The first call includes
    making the route; it and `WARM_UP_CALLS` more come before the `num_runs` that count.
    """
    predictors, failures = {}, {}
    seconds = {name: [] for name in routes}
    for turn in range(1 + WARM_UP_CALLS + num_runs):
        if os.getppid() != PARENT:
            sys.exit("the benchmark that started this case is gone")
        first = turn % len(routes)
        for name in routes[first:] + routes[:first]:
            if name in failures:
                continue
            try:
                start = time.perf_counter()
                if name not in predictors:
                    predictors[name] = ROUTES[name](model)
                months = predictors[name](image, sex)
                seconds[name].append(time.perf_counter() - start)
                check_months(months, len(image))
            except Exception as error:  # out of memory, a missing library: the others go on
                failures[name] = reason_of(error)
    return {name: seconds[name] for name in routes if name not in failures}, failures


def check_months(months, n):
    """A route that is quick because it returns something else must not win."""
    if not isinstance(months, np.ndarray) or months.shape != (n,) or not np.isfinite(months).all():
        raise ValueError(f"the route did not return {n} finite months as a numpy array")


def statistics(seconds, batch_size):
    """The columns of a timed route, from the seconds of all its calls, the first one included."""
    runs = np.array(seconds[1 + WARM_UP_CALLS :])
    mean = microseconds(runs.mean())
    return {
        "mean_inference_time_s": mean,
        "std_inference_time_s": microseconds(runs.std(ddof=1)) if len(runs) > 1 else None,
        "min_inference_time_s": microseconds(runs.min()),
        "max_inference_time_s": microseconds(runs.max()),
        "median_inference_time_s": microseconds(np.median(runs)),
        "p95_inference_time_s": microseconds(np.percentile(runs, 95)),
        "time_per_image_s": mean / batch_size,
        "images_per_second": batch_size / mean,
        "time_per_image_ms": 1000 * mean / batch_size,
        "first_call_s": microseconds(seconds[0]),
        "status": "ok",
    }


def microseconds(seconds):
    """Seconds to six decimals: no clock here is better."""
    return round(float(seconds), 6)


def facts_of(model):
    """The columns that all routes of a case share."""
    import keras
    import tensorflow as tf

    from modeling import count_parameters

    trainable, total = count_parameters(model)
    gpus = [
        tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name)
        for gpu in tf.config.list_physical_devices("GPU")
    ]
    return {
        "total_params": total,
        "trainable_params": trainable,
        "non_trainable_params": total - trainable,
        "peak_memory_mb": peak_memory_mb(),
        "tensorflow_version": tf.__version__,
        "keras_version": keras.__version__,
        "gpu_info": ", ".join(gpus) or "no GPU",
    }


def peak_memory_mb():
    """The most main memory this process has held so far, in MB of 2^20 bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (2**20 if sys.platform == "darwin" else 2**10), 1)


def reason_of(error):
    """An exception as one line."""
    lines = str(error).splitlines() or [""]
    return lines[0] if isinstance(error, UserError) else f"{type(error).__name__}: {lines[0][:200]}"


if __name__ == "__main__":
    print("\n" + json.dumps(time_case(**json.loads(sys.argv[1]))))
