"""From tables and image files to batches: splits, the pixel cache and the batch function.

    films = load_films("Data", "train", img_size=192, fit="hand")
    batch = make_batch(films, batch_size=32, seed=42, epoch=0, step=0, ranges=Augmentation())

One rule holds everything together: row i of `films.table` belongs to image i of `films.pixels`.
Sex, label and id are always taken from the same row numbers as the image.
"""

import hashlib
import json
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from hand_crop.localiser import localiser_version
from util.augmentation import augment_films, augment_labels
from util.errors import UserError
from util.files import write_atomically, write_json
from util.parallel import cores
from util.radiographs import READER_VERSION, UNREADABLE, RadiographError, read_canvases
from util.tables import count_reasons, find_films, read_labels, split_usable

SPLITS = {  # name of a split: (image folder, table)
    "train": ("train", "df_train.csv"),
    "val": ("validation", "df_val.csv"),
    "test": ("test", "df_test.csv"),
}
SHARD_FILMS = 256  # films in one file of the pixel cache
READ_TOGETHER = 8  # films that are in memory at their own size, for each core


@dataclass
class Films:
    """Films of one split: `table` (id, filename, path, sex, boneage in months), `pixels` of the
    same rows, and `left_out` (id, filename, reason) of the rows that could not be used."""

    table: pd.DataFrame
    pixels: "Pixels"
    left_out: pd.DataFrame

    def __len__(self):
        return len(self.table)


class Batch(NamedTuple):
    """Films that belong together: ids `(N,)`, image uint8 `(N, S, S, 1)`, sex and boneage
    (months) float32 `(N, 1)`."""

    ids: np.ndarray
    image: np.ndarray
    sex: np.ndarray
    boneage: np.ndarray


# ---------------------------------------------------------------------------------------- tables


def load_films(
    data_dir, split, img_size, fit, male_value=None, cache_dir=None, clahe=False, progress=True
):
    """Read one split of the native layout, its pixels through the cache in `cache_dir`
    (default `<data_dir>/cache`); with `clahe` the enhanced copies of its films. `progress` shows a
    bar on a terminal."""
    folder, table = split_paths(data_dir, split, clahe)
    usable, left_out = read_labelled_folder(table, folder, male_value)
    cache_dir = cache_dir or Path(data_dir) / "cache"
    return read_films(usable, left_out, img_size, fit, cache_dir, split if progress else None)


def split_folder(data_dir, split, clahe=False):
    """The folder of a split's films, or the one of their CLAHE-enhanced copies."""
    name = SPLITS[split][0]
    return Path(data_dir) / (f"{name}_CLAHE" if clahe else name)


def split_paths(data_dir, split, clahe=False):
    """Return (image folder, table) of a split; UserError when either is missing."""
    folder, table = split_folder(data_dir, split, clahe), Path(data_dir) / SPLITS[split][1]
    if not Path(data_dir).is_dir():
        raise UserError(
            f"no data folder ({data_dir}). Name it with --data_dir, or make one with "
            "import_data.py (own films) or make_phantoms.py (synthetic hands)."
        )
    for path in (table, folder):
        if not path.exists():
            raise UserError(
                f"{path.name} is missing ({path}). "
                "Make the data folder with import_data.py, or see Data/README.md."
            )
    return folder, table


def read_labelled_folder(csv, folder, male_value=None):
    """Join a table of labels with the films of a folder. Returns (usable, left_out)."""
    if not Path(folder).is_dir():
        raise UserError(f"no image folder ({folder}). Check the path.")
    labels = find_films(read_labels(csv, male_value), folder)
    usable, left_out = split_usable(labels)
    if usable.empty:
        raise UserError(
            f"no usable film among {len(labels)} rows: {count_reasons(left_out)} ({csv}, {folder}). "
            "Check that the table belongs to the folder."
        )
    return usable, left_out


def read_films(usable, left_out, img_size, fit, cache_dir=None, label="films"):
    """Read the pixels of a table with column `path`; unreadable films move to `left_out`.

    With a `cache_dir` films are decoded once and memory-mapped, without one they are held in
    memory (n x size x size bytes).
    """
    pixels, failures = read_pixels(usable["path"].tolist(), img_size, fit, cache_dir, label)
    good = np.array([i not in failures for i in range(len(usable))], bool)
    if not good.any():
        raise UserError(f"none of {len(usable)} files is readable: {next(iter(failures.values()))}")
    bad = usable.loc[~good, ["id", "filename"]].assign(reason=list(failures.values()))
    return Films(
        table=usable[good].reset_index(drop=True),
        pixels=pixels.keep(np.flatnonzero(good)),
        left_out=pd.concat([left_out, bad], ignore_index=True),
    )


# ----------------------------------------------------------------------------------- pixel cache


class Pixels:
    """Films of one size as if in one uint8 array `(n, size, size)`, held in shards that may be
    memory-mapped files: only what is asked for is read. `whole` tells of each film whether it was
    taken whole because `fit="hand"` found no hand for certain."""

    def __init__(self, shards, rows, whole):
        self.shards = shards
        self.rows = np.asarray(rows)
        self.whole = np.asarray(whole, bool)

    def __len__(self):
        return len(self.rows)

    def keep(self, positions):
        """The same films, only those at `positions`, in that order."""
        return Pixels(self.shards, self.rows[positions], self.whole[positions])

    def join(self, other):
        """These films and behind them those of `other`."""
        rows = other.rows + len(self.shards) * SHARD_FILMS
        return Pixels(
            [*self.shards, *other.shards],
            np.concatenate([self.rows, rows]),
            np.concatenate([self.whole, other.whole]),
        )

    def __getitem__(self, positions):
        """Copy the films at `positions` (a list or array): uint8 `(n, size, size)`."""
        return np.stack(
            [self.shards[r // SHARD_FILMS][r % SHARD_FILMS] for r in self.rows[positions]]
        )

    def augmented(self, positions, rng, ranges):
        """Randomly changed copies of the films at `positions`: uint8 `(n, size, size)`."""
        return augment_films(self[positions], rng, ranges)


def read_pixels(paths, img_size, fit, cache_dir=None, label="films"):
    """Read films onto their canvas, in parallel, with a progress bar if there is a `label`.

    Returns (Pixels, failures): failures is {position: reason}, in order, its films are black.
    The cache is written shard by shard under a temporary name and renamed when complete: a
    killed build goes on where it was, and two builds at once do no harm.
    """
    parts = [paths[i : i + SHARD_FILMS] for i in range(0, len(paths), SHARD_FILMS)]
    names = [cache_dir and shard_path(part, img_size, fit, cache_dir) for part in parts]
    kept = [name and load_shard(name) for name in names]
    todo = sum(len(part) for part, known in zip(parts, kept, strict=True) if not known)
    shards, failures, whole = [], {}, np.zeros(len(paths), bool)
    with (
        ThreadPoolExecutor(cores()) as pool,
        threadpool_limits(1, "blas"),  # else each thread of the pool starts as many of its own
        tqdm(
            total=todo,
            desc=f"reading {label}",
            unit="film",
            disable=None if todo and label else True,
        ) as bar,
    ):
        for number, (part, name, known) in enumerate(zip(parts, names, kept, strict=True)):
            if known:
                shard, notes = known
            else:
                shard, notes = read_shard(part, img_size, fit, pool, bar)
                reasons = notes["failures"].values()
                if name and not any(reason.startswith(UNREADABLE) for reason in reasons):
                    shard = save_shard(shard, notes, name)
            shards.append(shard)
            first = number * SHARD_FILMS
            failures |= {first + int(i): reason for i, reason in notes["failures"].items()}
            whole[[first + i for i in notes["whole"]]] = True
    return Pixels(shards, np.arange(len(paths)), whole), failures


def read_shard(paths, img_size, fit, pool, bar):
    """Read films into one array `(n, size, size)`. Returns it and notes ready for JSON: "failures"
    {position: reason}, and "whole", the positions of films on which no hand was found."""
    shard = np.zeros((len(paths), img_size, img_size), np.uint8)
    notes = {"failures": {}, "whole": []}

    def read_some(first):
        return read_canvases(paths[first : first + READ_TOGETHER], img_size, fit)

    results = chain.from_iterable(pool.map(read_some, range(0, len(paths), READ_TOGETHER)))
    for i, result in enumerate(results):
        if isinstance(result, RadiographError):
            notes["failures"][str(i)] = result.reason
        else:
            shard[i], cut = result
            if not cut:
                notes["whole"].append(i)
        bar.update()
    return shard, notes


def shard_path(paths, img_size, fit, cache_dir):
    """Name a shard by all that decides its pixels: files (size, time), reader and canvas."""
    reader = localiser_version() if fit == "hand" else ""
    key = hashlib.sha256(f"{READER_VERSION} {reader} {cv2.__version__} {img_size} {fit}".encode())
    for path in paths:
        try:
            stat = Path(path).stat()
            key.update(os.fsencode(f"\n{os.path.realpath(path)} {stat.st_size} {stat.st_mtime_ns}"))
        except OSError:
            key.update(os.fsencode(f"\n{path} missing"))
    return Path(cache_dir) / f"{img_size}-{fit}" / f"{key.hexdigest()[:32]}.npy"


def load_shard(path):
    """A shard of the cache, memory-mapped, and its notes; None when it isn't there, or damaged."""
    try:
        return np.load(path, mmap_mode="r"), json.loads(notes_path(path).read_text())
    except (OSError, ValueError, EOFError):
        return None


def notes_path(shard):
    return shard.with_suffix(".json")


def save_shard(shard, notes, path):
    """Write a shard and its notes atomically; returns it memory-mapped."""
    with cache_folder(path.parent):
        # the notes go first: whoever sees the shard must find them
        write_json(notes_path(path), notes)
        write_atomically(path, lambda file: np.save(file, shard))
    return np.load(path, mmap_mode="r")


@contextmanager
def cache_folder(folder):
    """Make a folder of the cache; UserError when that, or writing within the block, fails."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise UserError(
            f"can't write the cache: {error.strerror} ({folder}). "
            "Free some space or name another place with --cache_dir."
        ) from None


# --------------------------------------------------------------------------------------- batches


def steps_per_epoch(films, batch_size):
    """Full batches in an epoch; the films left over differ from epoch to epoch."""
    return max(1, len(films) // batch_size)


def make_batch(films, batch_size, seed, epoch, step, ranges=None):
    """Training batch `step` of `epoch`: a pure function of its arguments.

    The epoch's order and every augmentation (`ranges`, an Augmentation; None for none) come from
    random streams keyed by (seed, epoch, step), so that training can stop and go on anywhere.
    """
    order = epoch_order(len(films), seed, epoch)
    rows = order[step * batch_size : (step + 1) * batch_size]
    table = films.table.iloc[rows]  # id, sex and label of the same rows as the image
    ids = table["id"].to_numpy()
    sex, boneage = (table[[name]].to_numpy(np.float32) for name in ("sex", "boneage"))
    if ranges is None:
        return Batch(ids, films.pixels[rows][..., None], sex, boneage)
    rng = random_stream(seed, 1, epoch, step)
    image = films.pixels.augmented(rows, rng, ranges)
    image, sex, boneage = augment_labels(image, sex, boneage, rng, ranges)
    return Batch(ids, image[..., None], sex, boneage)


@lru_cache(maxsize=4)
def epoch_order(n, seed, epoch):
    """The order of `n` films in an epoch."""
    return random_stream(seed, 0, epoch, 0).permutation(n)


def random_stream(seed, purpose, epoch, step):
    """An independent random generator for each (seed, purpose, epoch, step), see Philox in
    Salmon et al. 2011, 'Parallel random numbers: as easy as 1, 2, 3'."""
    key = np.array([seed, purpose], np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=[0, 0, step, epoch]))


def training_dataset(films, batch_size, seed, first_epoch, last_epoch, ranges=None):
    """Batches of epochs first..last - 1 as a tf.data.Dataset of ({"image", "sex"}, boneage), made
    in parallel and ahead of the training step, in the same order every time."""
    import tensorflow as tf

    steps = steps_per_epoch(films, batch_size)

    def load(number):
        epoch, step = divmod(int(number), steps)
        return make_batch(films, batch_size, seed, epoch, step, ranges)[1:]  # without ids

    example = make_batch(films, batch_size, seed, first_epoch, 0)[1:]  # not augmented: quicker
    kinds = [tf.TensorSpec(part.shape, part.dtype) for part in example]

    def shaped(number):
        parts = tf.numpy_function(load, [number], [kind.dtype for kind in kinds], stateful=False)
        image, sex, boneage = map(tf.ensure_shape, parts, [kind.shape for kind in kinds])
        return {"image": image, "sex": sex}, boneage

    numbers = tf.data.Dataset.range(first_epoch * steps, last_epoch * steps)
    batches = numbers.map(shaped, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    return batches.prefetch(4)
