"""Start one route in a process of its own, as predict.py does, and measure how long loading the
model and the first call take, and how much memory all of it needs.

Hardly anything but numpy is imported before the clock starts.
"""

import math
import sys
import time
from pathlib import Path

import numpy as np

from inference_speed.routes import ROUTES
from util.processes import answer


def start_cold(route, path, batch_size, img_size):
    """Load a route from its file and call it once; returns columns of the benchmark."""
    image = np.zeros((batch_size, img_size, img_size, 1), np.uint8)
    sex = np.zeros((batch_size, 1), np.float32)
    start = time.perf_counter()
    predict = ROUTES[route].load(path)
    loaded = time.perf_counter()
    predict(image, sex)
    return {
        "load_s": round(loaded - start, 6),
        "first_call_s": round(time.perf_counter() - loaded, 6),
        "peak_memory_mb": peak_memory_mb(),
    }


def peak_memory_mb():
    """Return the most main memory that this process has held so far, in MB of 2^20 bytes; NaN on
    Windows, which doesn't report it.

    On Linux ru_maxrss begins with the memory of the process that started this one; VmHWM does not.
    """
    status = Path("/proc/self/status")
    if status.exists():
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return round(int(lines["VmHWM"].split()[0]) / 2**10, 1)
    try:
        import resource
    except ModuleNotFoundError:
        return math.nan
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (2**20 if sys.platform == "darwin" else 2**10), 1)


if __name__ == "__main__":
    answer(start_cold)
