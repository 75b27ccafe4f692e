"""Ways to do the same job, timed side by side: they take turns, so that a busy machine slows all of
them alike, and ratios are those of each turn."""

import time
from functools import partial

import numpy as np


def take_turns(ways, turns):
    """Call each of `ways` once in every turn; returns seconds `(turns, ways)`.

    One turn more goes before and is not counted: it compiles, and warms what is cached.
    """
    return np.array([[timed(way) for way in ways] for _ in range(1 + turns)])[1:]


def timed(way):
    start = time.perf_counter()
    way()
    return time.perf_counter() - start


def ms_a_film(predictors, films, batch_size):
    """Median milliseconds a film that each of the predictors takes, in ten turns of the first
    `batch_size` films of a Sample together."""
    image, sex = films.pixels[:batch_size, ..., None], films.sex[:batch_size, None]
    seconds = take_turns([partial(predict, image, sex) for predict in predictors], turns=10)
    return (1000 * np.median(seconds, axis=0) / len(sex)).round(3).tolist()


def format_turns(names, seconds, n_films):
    """A table of ways: how many films a second each does, of `n_films` in every turn, and how many
    times as fast as the first way it is; medians, and the range of the ratios in brackets."""
    width = max(map(len, names))
    lines = [f"{len(seconds)} turns, {n_films} films each, medians"]
    for number, name in enumerate(names):
        rate = n_films / np.median(seconds[:, number])
        ratios = seconds[:, 0] / seconds[:, number]
        ratio = f"x {np.median(ratios):.2f} [{ratios.min():.2f}, {ratios.max():.2f}]"
        lines.append(f"  {name:{width}s}  {rate:8.1f} films/s" + (f"  {ratio}" if number else ""))
    return "\n".join(lines)
