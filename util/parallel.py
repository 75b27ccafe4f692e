"""Work on many films at once, with a progress bar."""

import os
from concurrent.futures import ThreadPoolExecutor

from tqdm import tqdm


def cores():
    """How many processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def map_films(function, films, desc=None, workers=None):
    """Return [function(film) for film in films], run by `workers` threads (default: one per core),
    with a progress bar if there is a `desc`."""
    with ThreadPoolExecutor(workers or cores()) as pool:
        done = pool.map(function, films)
        return list(progress_bar(done, desc, len(films), unit="film", show=bool(desc)))


def progress_bar(*args, show=True, **options):
    """Return a tqdm bar, which gets the other arguments. It shows only on a terminal, not in a log
    file, and only if `show`."""
    return tqdm(*args, disable=None if show else True, **options)
