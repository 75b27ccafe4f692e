"""How much anonymous memory (not that of cached files) it takes to read many films and to run
through a warm epoch with augmentation, without a model. Linux only.

    python -m benchmarks.epoch_memory                          # 12,000 films of 500 pixels
    python -m benchmarks.epoch_memory --images films/ --n 12000 --img_size 500

A few hundred files stand for many: they are read again and again, each time as another film. The
pixel cache takes n x size x size bytes of disk (3 GB) while it runs.
"""

import tempfile
import threading
import time
from itertools import cycle, islice
from pathlib import Path

from benchmarks.films import add_film_options, films_to_time, read_aged, run_epoch
from util.errors import UserError, run_command
from util.parser import new_parser, whole_number
from util.quiet import import_tensorflow

STATUS = Path("/proc/self/status")


def main(argv=None):
    parser = new_parser(__doc__)
    add_film_options(parser, img_size=500)
    parser.add_argument(
        "--n", type=whole_number(1), default=12_000, help="how many films they stand for"
    )
    args = parser.parse_args(argv)
    if not STATUS.exists():
        raise UserError(f"memory can't be measured here ({STATUS}). Use Linux.")
    import_tensorflow()
    with tempfile.TemporaryDirectory() as folder:
        paths = [str(path) for path in films_to_time(args, Path(folder) / "films")[1]]
        paths = paths[: len(paths) - (len(paths) % 2 == 0)]  # odd: shards of 256 must differ
        before = anonymous_mb()
        films, read = highest(
            lambda: read_aged(
                list(islice(cycle(paths), args.n)), args.img_size, Path(folder) / "cache"
            )
        )
        _, used = highest(lambda: run_epoch(films, "moderate"))
    print(f"anonymous memory in MB: {before:.0f} before")
    print(f"  + {read - before:.0f} at most while {len(films)} films are read")
    print(f"  + {used - before:.0f} at most in an epoch of them at {args.img_size} pixels")


def anonymous_mb():
    """Return how much memory of this process belongs to no file, in MB of 2^20 bytes."""
    lines = dict(line.split(":", 1) for line in STATUS.read_text().splitlines())
    return int(lines["RssAnon"].split()[0]) / 2**10


def highest(work):
    """Call `work`; returns (its result, the highest anonymous memory meanwhile, MB)."""
    seen, done = [anonymous_mb()], threading.Event()

    def watch():
        while not done.is_set():
            seen.append(anonymous_mb())
            time.sleep(0.1)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        result = work()
    finally:
        done.set()
        watcher.join()
    return result, max(seen)


if __name__ == "__main__":
    run_command(main)
