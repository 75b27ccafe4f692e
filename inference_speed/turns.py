"""Time several ways to do the same job, side by side. They take turns, so that a busy machine slows
all of them alike; ratios are taken within each turn."""

import time
from functools import partial

import numpy as np


def take_turns(ways, turns):
    """Call each of `ways` once in every turn; returns seconds `(turns, ways)`.

    One more turn comes first and is not counted: it compiles, and fills caches.
    """
    return np.array([[timed(way) for way in ways] for _ in range(1 + turns)])[1:]


def timed(way):
    start = time.perf_counter()
    way()
    return time.perf_counter() - start


def ms_a_film(predictors, films, batch_size):
    """Return the median milliseconds per film of each predictor, in ten turns on one batch, the
    first `batch_size` films of a Sample."""
    image, sex = films.pixels[:batch_size, ..., None], films.sex[:batch_size, None]
    seconds = take_turns([partial(predict, image, sex) for predict in predictors], turns=10)
    return (1000 * np.median(seconds, axis=0) / len(sex)).round(3).tolist()


def format_turns(names, seconds, n_films):
    """Return a table of ways: films per second, and how many times as fast as the first way each
    is. These are medians over turns of `n_films` films; the range of the ratios is in brackets."""
    width = max(map(len, names))
    lines = [f"{len(seconds)} turns, {n_films} films each, medians"]
    for number, name in enumerate(names):
        rate = n_films / np.median(seconds[:, number])
        ratios = seconds[:, 0] / seconds[:, number]
        ratio = f"x {np.median(ratios):.2f} [{ratios.min():.2f}, {ratios.max():.2f}]"
        lines.append(f"  {name:{width}s}  {rate:8.1f} films/s" + (f"  {ratio}" if number else ""))
    return "\n".join(lines)
