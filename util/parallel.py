"""Work on many films at once, with a progress bar."""

import os
from concurrent.futures import ThreadPoolExecutor

from tqdm import tqdm


def cores():
    """How many processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def map_films(function, films, desc, workers=None, progress=False):
    """[function(film) for film in films], by `workers` threads (default: one a core)."""
    with ThreadPoolExecutor(workers or cores()) as pool:
        bar = tqdm(
            pool.map(function, films),
            total=len(films),
            desc=desc,
            unit="film",
            disable=None if progress else True,
        )
        return list(bar)
