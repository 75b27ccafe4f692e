"""Films on their canvas, decoded once: shards of uint8 that may be memory-mapped files.

pixels, failures = read_pixels(paths, 192, "hand", "Data/cache")
"""

import hashlib
import json
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import chain
from pathlib import Path

import cv2
import numpy as np
from threadpoolctl import threadpool_limits

from hand_crop.likeness import likeness_version
from hand_crop.localiser import localiser_version
from hand_crop.orientation import orientation_version
from util.augmentation import augment_films
from util.errors import UserError, first_line
from util.files import (
    claim,
    file_state,
    hash_code,
    move,
    remove_temporaries,
    write_atomically,
    write_json,
)
from util.oddities import Oddities
from util.parallel import cores, progress_bar
from util.radiographs import RadiographError, read_canvases

SHARD_FILMS = 256  # films in one file of the cache
DAY = 24 * 3600  # seconds
READ_TOGETHER = 8  # films per core that are in memory at their own size
READER = (  # the modules that decide the pixels of a film
    *("util", "util.radiographs", "util.image_kinds", "util.dicom", "util.dicom_levels"),
    *("util.oddities", "hand_crop.localiser", "hand_crop.network", "hand_crop.orientation"),
    "hand_crop.likeness",
)
CODE = hash_code(*READER)


class Pixels:
    """Films of one size as if in one uint8 array `(n, size, size)`, held in shards that may be
    memory-mapped files: only what is asked for is read. `oddities` are those of these films."""

    def __init__(self, shards, rows, oddities):
        self.shards = shards
        self.rows = rows
        self.oddities = oddities

    def __len__(self):
        return len(self.rows)

    def keep(self, films):
        """Return the films of a mask, or those at positions, in that order."""
        return Pixels(
            self.shards, self.rows[films], Oddities(*(odd[films] for odd in self.oddities))
        )

    def join(self, other):
        """Return these films followed by those of `other`."""
        rows = other.rows + len(self.shards) * SHARD_FILMS
        oddities = Oddities(*map(np.concatenate, zip(self.oddities, other.oddities, strict=True)))
        return Pixels([*self.shards, *other.shards], np.concatenate([self.rows, rows]), oddities)

    def __getitem__(self, positions):
        """Copy the films at `positions` (a list, slice or array): uint8 `(n, size, size)`; at one
        position `(size, size)`."""
        rows = self.rows[positions]
        films = [self.shards[r // SHARD_FILMS][r % SHARD_FILMS] for r in np.atleast_1d(rows)]
        if np.ndim(rows) == 0:
            return films[0].copy()
        return np.stack(films) if films else self.shards[0][:0].copy()

    def augmented(self, positions, rng, ranges):
        """Randomly changed copies of the films at `positions`: uint8 `(n, size, size)`."""
        return augment_films(self[positions], rng, ranges)


def read_pixels(paths, img_size, fit, cache_dir=None, desc="films"):
    """Read films, given their paths or the path of one, onto their canvas, in parallel, with a
    progress bar unless `desc` is None.

    Returns (Pixels, failures). Failures are {position: reason}, in order; a film that failed is
    black. Each shard of the cache is written under a temporary name and renamed when complete: a
    killed build resumes where it was, and two builds at once do no harm. UserError without paths.
    """
    paths = [paths] if isinstance(paths, (str, Path)) else list(paths)
    if not paths:
        raise UserError("no films to read. Name some.")
    parts = [paths[i : i + SHARD_FILMS] for i in range(0, len(paths), SHARD_FILMS)]
    names = [None] * len(parts)
    if cache_dir:
        folder = Path(cache_dir) / f"{img_size}-{fit}"
        names = [folder / f"{pixels_key(part, img_size, fit)}.npy" for part in parts]
    kept = [load_shard(name) for name in names]
    todo = sum(len(part) for part, known in zip(parts, kept, strict=True) if not known)
    shards, all_facts = [], []
    with (
        ThreadPoolExecutor(cores()) as pool,
        threadpool_limits(1, "blas"),  # else each thread of the pool starts a thread per core
        progress_bar(
            total=todo, desc=f"reading {desc}", unit="film", show=bool(todo > 1 and desc)
        ) as bar,
    ):
        for part, name, known in zip(parts, names, kept, strict=True):
            known = known or load_shard(name)  # another process may have made it by now
            if known:
                shard, facts = known
            else:
                shard, facts, cacheable = read_shard(part, img_size, fit, pool, bar)
                if name and cacheable:
                    shard = save_shard(shard, facts, name)
            shards.append(shard)
            all_facts.append(facts)
    failures, oddities = merge_facts(all_facts, len(paths))
    return Pixels(shards, np.arange(len(paths)), oddities), failures


def merge_facts(all_facts, n):
    """Return the failures {position: reason} and the Oddities of `n` films, from the facts that
    `read_shard` returned for each of their shards, in order."""
    failures, oddities = {}, Oddities.none(n)
    for first, facts in zip(range(0, n, SHARD_FILMS), all_facts, strict=True):
        failures |= {first + int(i): reason for i, reason in facts["failures"].items()}
        for name, odd in oddities._asdict().items():
            for i, value in facts[name].items():
                odd[first + int(i)] = value
    return failures, oddities


def read_shard(paths, img_size, fit, pool, bar):
    """Read films into one array `(n, size, size)`.

    Returns the array, facts ready for JSON ("failures" {position: reason}, and for each of Oddities
    {position: value} where there is one), and whether the shard may be cached: not if a film that
    failed may become readable without a change.
    """
    shard = np.zeros((len(paths), img_size, img_size), np.uint8)
    facts, cacheable = {name: {} for name in ("failures", *Oddities._fields)}, True

    def read_some(first):
        return read_canvases(paths[first : first + READ_TOGETHER], img_size, fit)

    results = chain.from_iterable(pool.map(read_some, range(0, len(paths), READ_TOGETHER)))
    for i, result in enumerate(results):
        if isinstance(result, RadiographError):
            facts["failures"][str(i)] = result.reason
            cacheable = cacheable and not result.temporary
        else:
            shard[i] = result.image
            for name, value in result.oddities._asdict().items():
                if value:
                    facts[name][str(i)] = value
        bar.update()
    return shard, facts, cacheable


def pixels_key(paths, img_size, fit):
    """Return a hash of all that decides the pixels of films: files (path, and see `file_state`),
    code of the reader, networks, OpenCV, the largest image that it reads, and canvas."""
    networks = orientation_version()
    if fit == "hand":
        networks += localiser_version() + likeness_version()
    reader = f"{CODE} {networks} {cv2.__version__} {os.environ['OPENCV_IO_MAX_IMAGE_PIXELS']}"
    key = hashlib.sha256(f"{reader} {img_size} {fit}".encode())
    for path in paths:
        key.update(os.fsencode(f"\n{os.path.realpath(path)} {file_state(path)}"))
    return key.hexdigest()[:32]


def load_shard(path):
    """Load a shard of the cache, memory-mapped, and its facts; None without a path, or when the
    shard is missing or damaged."""
    if path is None:
        return None
    try:
        return np.load(path, mmap_mode="r"), json.loads(facts_path(path).read_text())
    except (OSError, ValueError, EOFError):
        return None


def facts_path(shard):
    return shard.with_suffix(".json")


def save_shard(shard, facts, path):
    """Write a shard and its facts atomically; returns it memory-mapped."""
    with cache_folder(path.parent):
        # the facts go first: a process that sees the shard must find them
        write_json(facts_path(path), facts)
        write_atomically(path, lambda file: np.save(file, shard), keep_first)
    return np.load(path, mmap_mode="r")


def keep_first(temporary, path):
    """Give a written shard its name, unless another process has written a complete one meanwhile:
    Windows and some network folders can't replace a file that the other process has mapped."""
    try:
        claim(temporary, path)
    except FileExistsError:
        if not load_shard(path):
            move(temporary, path)


@contextmanager
def cache_folder(folder):
    """Make a folder of the cache and clear old temporary files; UserError when that, or writing
    within the block, fails."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        remove_temporaries(folder, older=DAY)
        yield
    except OSError as error:
        raise UserError(
            f"can't write the cache: {first_line(error)} ({folder}). "
            "Free some space or name another place with --cache_dir."
        ) from None
