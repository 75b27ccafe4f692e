"""From tables and image files to batches: splits, films and the batch function.

    films = load_films("Data", "train", img_size=192, fit="hand")
    batch = make_batch(films, batch_size=32, seed=42, epoch=0, step=0, ranges=Augmentation())

One rule holds everything together: row i of `films.table` belongs to image i of `films.pixels`.
Sex, label and id are always taken from the same row numbers as the image.
"""

import weakref
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from util.augmentation import add_noise_and_mixup
from util.data_folder import cache_path, split_paths
from util.errors import UserError
from util.film_files import list_films
from util.pixel_cache import Pixels, read_pixels
from util.tables.labelled_films import match_with_headers
from util.tables.labels import check_male_value, labels_of
from util.tables.left_out import (
    as_left_out,
    count_reasons,
    split_usable,
    unlabelled_films,
    what_to_correct,
)
from util.tables.matching import match_films
from util.tables.readers import check_several_readers
from util.tables.text import read_table

ORDER, AUGMENT, FEATURES = 0, 1, 2  # purposes of random streams


@dataclass(frozen=True)
class Films:
    """Films of one split: `table` (id, filename, path, sex, boneage in months), `pixels` of the
    same rows, and `left_out` (id, filename, reason) of the rows that could not be used.

    `pixels` are Pixels or Features: both have a length, `[positions]` and `augmented`; only Pixels
    have `keep`.
    """

    table: pd.DataFrame
    pixels: Pixels
    left_out: pd.DataFrame

    def __len__(self):
        return len(self.table)

    @property
    def label_mean(self):
        """Mean of the labels in months."""
        return float(self.table["boneage"].mean())

    @property
    def label_sd(self):
        """SD of the labels in months; 1 when they are all alike."""
        labels = self.table["boneage"]
        return float(labels.std(ddof=0)) if labels.nunique() > 1 else 1.0

    def keep(self, rows):
        """Return the films at positions, in that order, or those of a mask `(n,)`, with the same
        `left_out`. A mask that is a Series goes by its index, which is that of the table."""
        rows = self.positions(rows)
        table = self.table.iloc[rows].reset_index(drop=True)
        return Films(table, self.pixels.keep(rows), self.left_out)

    def leave_out(self, rows, reason):
        """Return the films without those of `rows` (as for `keep`), which go to `left_out` with a
        reason: one for all, or a column of one for each film."""
        rows = self.positions(rows)
        if not len(rows):
            return self
        others = as_left_out(self.table.iloc[rows], reason)
        left_out = pd.concat([self.left_out, others], ignore_index=True)
        return replace(self.keep(np.delete(np.arange(len(self)), rows)), left_out=left_out)

    def positions(self, rows):
        """Return the positions `(k,)` of the films that `keep` is asked for."""
        if isinstance(rows, pd.Series) and pd.api.types.is_bool_dtype(rows):
            rows = rows[self.table.index].to_numpy()  # pandas and NumPy then mean the same rows
        return np.arange(len(self))[rows]


class Batch(NamedTuple):
    """A batch of films: ids `(N,)`, image uint8 `(N, S, S, 1)`, or in its place features float32
    `(N, C, 1)`, sex and boneage (months) float32 `(N, 1)`."""

    ids: np.ndarray
    image: np.ndarray
    sex: np.ndarray
    boneage: np.ndarray


# ---------------------------------------------------------------------------------------- tables


def load_films(
    data_dir, split, img_size, fit, *, male_value=None, cache_dir=None, clahe=False, progress=True
):
    """Read a split (train, val, test) of the native layout on canvases of `img_size` pixels.

    Films are cached in `cache_dir` (default `<data_dir>/cache`). With `clahe` the CLAHE copies are
    read; `keep_copies` then keeps those whose film was read too. `progress` shows a bar on a
    terminal. UserError when there is no table, no folder or no usable film.
    """
    table, folder = split_paths(data_dir, split, clahe)
    usable, left_out = read_labelled_folder(table, folder, male_value)
    cache = cache_path(data_dir, cache_dir)
    return read_films(usable, left_out, img_size, fit, cache, split if progress else None)


def keep_copies(copies, plain):
    """Keep the CLAHE copies whose film is among the `plain` films, so that both are judged on the
    same films; the others are added to `left_out`. UserError when no copy is kept."""
    of_copies, of_plain = (
        pd.MultiIndex.from_frame(films.table[["id", "filename"]]) for films in (copies, plain)
    )
    known = of_copies.isin(of_plain)
    if not known.any():
        folder = Path(copies.table["path"].iloc[0]).parent
        raise UserError(
            f"none of {len(copies)} CLAHE copies has a plain film ({folder}). "
            "Move the folder away and make it again."
        )
    why = plain.left_out.drop_duplicates("id").set_index("id")["reason"]  # so there is no copy
    left_out = copies.left_out
    left_out = left_out.assign(reason=left_out["id"].map(why).fillna(left_out["reason"]))
    return replace(copies, left_out=left_out).leave_out(~known, "no plain film")


def read_labelled_folder(
    table, folder, male_value=None, headers=False, readers=None, match_by=None
):
    """Join a table of labels with the films of a folder. Returns (usable, left_out).

    With `headers`, the headers of DICOM films give the sexes that the table lacks, and films
    without a row are among left_out; only then `readers` and `match_by` count, see
    `match_with_headers`. UserError when there is no folder or no usable film.
    """
    if not Path(folder).is_dir():
        raise UserError(f"no image folder ({folder}). Check the path.")
    films, rows = list_films(folder), read_table(table)
    if headers:
        check_male_value(male_value, [rows], table)
        labels = match_with_headers(
            rows, table, films, male_value, readers=readers, match_by=match_by
        )
    else:
        labels = match_films(labels_of(rows, table, male_value), films)
    usable, left_out = split_usable(labels)
    if usable.empty:
        raise UserError(
            f"no usable film among {len(labels)} rows: {count_reasons(left_out)} ({table}, {folder}). "
            + what_to_correct(left_out, films)
        )
    if "by_reader" in usable:
        check_several_readers(usable)
    if headers:
        unlabelled = unlabelled_films({folder: films}, labels)
        left_out = pd.concat([left_out, unlabelled], ignore_index=True)
    return usable, left_out


def read_films(usable, left_out, img_size, fit, cache_dir=None, desc="films"):
    """Read the pixels of a table with columns id, filename and path; unreadable films move to
    `left_out`.

    With a `cache_dir` films are decoded once and memory-mapped, without one they are held in memory
    (n x size x size bytes). UserError when no film is readable.
    """
    pixels, failures = read_pixels(usable["path"].tolist(), img_size, fit, cache_dir, desc)
    good = np.array([i not in failures for i in range(len(usable))], bool)
    if not good.any():
        path, reason = usable["path"].iloc[0], failures[0]
        raise UserError(
            f"none of {len(usable)} films is readable; the first: {reason} ({path}). "
            "Open it in another program, or name the right films."
        )
    bad = as_left_out(usable[~good], list(failures.values()))
    return Films(
        table=usable[good].reset_index(drop=True),
        pixels=pixels.keep(good),
        left_out=pd.concat([left_out, bad], ignore_index=True),
    )


# --------------------------------------------------------------------------------------- batches


def steps_per_epoch(films, batch_size):
    """Return the number of full batches in an epoch, at least 1; which films are left over differs
    from epoch to epoch."""
    return max(1, len(films) // batch_size)


def make_batch(films, batch_size, seed, epoch, step, ranges=None):
    """Training batch `step` of `epoch`: a pure function of its arguments.

    The epoch's order and every augmentation (`ranges`, an Augmentation; None for none) come from
    random streams keyed by (seed, epoch, step), so training can stop and resume anywhere.
    UserError for a step that no film is left for.
    """
    order = epoch_order(len(films), seed, epoch)
    rows = order[step * batch_size : (step + 1) * batch_size]
    if not len(rows):
        raise UserError(
            f"no step {step} in an epoch of {len(films)} films, {batch_size} a batch. Count from 0."
        )
    table = films.table.iloc[rows]  # id, sex and label of the same rows as the image
    ids = table["id"].to_numpy()
    sex, boneage = (table[[name]].to_numpy(np.float32) for name in ("sex", "boneage"))
    if ranges is None:
        return Batch(ids, films.pixels[rows][..., None], sex, boneage)
    rng = random_stream(seed, AUGMENT, epoch, step)
    image = films.pixels.augmented(rows, rng, ranges)
    image, sex, boneage = add_noise_and_mixup(image, sex, boneage, rng, ranges)
    return Batch(ids, image[..., None], sex, boneage)


@lru_cache(maxsize=4)
def epoch_order(n, seed, epoch):
    """The order of `n` films in an epoch, read-only: later batches get the same array."""
    order = random_stream(seed, ORDER, epoch, 0).permutation(n)
    order.setflags(write=False)
    return order


def random_stream(seed, purpose, outer, inner):
    """Return an independent random generator for each (seed, purpose, outer, inner), for example
    with epoch and step as outer and inner. It is Philox (Salmon et al. 2011, 'Parallel random
    numbers: as easy as 1, 2, 3')."""
    key = np.array([seed, purpose], np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=[0, 0, inner, outer]))


def training_dataset(films, batch_size, seed, start_epoch, end_epoch, ranges=None):
    """Return the batches of the epochs `range(start_epoch, end_epoch)` as a tf.data.Dataset of
    (image, sex, boneage), in the same order every time."""
    steps = steps_per_epoch(films, batch_size)

    def load(films, number):
        epoch, step = divmod(number, steps)
        return make_batch(films, batch_size, seed, epoch, step, ranges)[1:]  # without ids

    return load_ahead(load, films, range(start_epoch * steps, end_epoch * steps))


def load_ahead(load, films, numbers):
    """Return `load(films, number)`, a tuple of arrays, for each of `numbers` (a range) as a
    tf.data.Dataset, in that order. They are made in parallel and ahead of the step that needs them.
    All have the shapes of the first."""
    import tensorflow as tf

    example, weak = load(films, numbers.start), weakref.ref(films)
    dtypes, shapes = [part.dtype for part in example], [part.shape for part in example]

    def load_number(number):  # TensorFlow keeps it, but not the films, for the life of the process
        return load(weak(), int(number))

    def shaped(number):
        parts = tf.numpy_function(load_number, [number], dtypes, stateful=False)
        return tuple(map(tf.ensure_shape, parts, shapes))

    batches = tf.data.Dataset.range(numbers.start, numbers.stop, numbers.step)
    batches = batches.map(shaped, tf.data.AUTOTUNE, deterministic=True).prefetch(4)
    batches.films = films  # keeps them alive as long as the batches
    return batches
