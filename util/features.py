"""Heads trained on pooled features: the backbone sees each film a few times, not once an epoch.

While the backbone is frozen, the features of a film change only with its augmentation. So a few
views of each training film (`--feature_views`), and the validation films unchanged, go through the
backbone once. The layers after the pooling (the head) are trained on the resulting features. These
layers are shared with the whole model, which is what a run saves.
"""

import hashlib
import os
import time

import keras
import numpy as np
import tensorflow as tf

from modeling import backbone_of, input_scaling
from modeling_advanced import pooled_head
from preprocessing import FEATURES, Films, load_ahead, random_stream
from util.augmentation import STRENGTHS, augment
from util.data_folder import cache_path
from util.environment import VARIABLES
from util.errors import memory_errors
from util.files import hash_code, write_atomically
from util.parallel import progress_bar
from util.pixel_cache import cache_folder, pixels_key
from util.predicting.prediction import SMALLER_BATCHES, full_batches, with_constant_weights
from util.runs import add_to_config
from util.training import Stage

NETWORK = (  # the modules that decide the features of a film, given its pixels
    *("modeling", "modeling_advanced", "preprocessing"),
    *("util.features", "util.augmentation", "util.predicting.prediction"),
)
CODE = hash_code(*NETWORK)


class Features:
    """Pooled features in place of pixels: `views` is float32 `(K, n, C)`, K views of n films. Their
    batches are `(N, C, 1)`, as those of films are `(N, S, S, 1)`; Keras drops the last axis."""

    def __init__(self, views):
        self.views = views

    def __len__(self):
        return self.views.shape[1]

    def __getitem__(self, positions):
        """Features of the films at `positions` in the first view: float32 `(n, C)`."""
        return self.views[0, positions]

    def augmented(self, positions, rng, ranges):
        """Features of the films at `positions`, each in a view that `rng` chooses: `(n, C)`. These
        films are already augmented, so `ranges` has no effect."""
        return self.views[rng.integers(len(self.views), size=len(positions)), positions]


class ChangedFilms:
    """Films with one fixed augmentation: film i by (seed, view, i); unchanged without `ranges`."""

    def __init__(self, pixels, seed=None, view=None, ranges=None):
        self.pixels, self.seed, self.view, self.ranges = pixels, seed, view, ranges

    def __len__(self):
        return len(self.pixels)

    def __getitem__(self, positions):
        """The films at `positions`: uint8 `(n, size, size)`."""
        films = self.pixels[positions]
        if self.ranges is None:
            return films
        streams = [random_stream(self.seed, FEATURES, self.view, int(i)) for i in positions]
        return np.stack([augment(*pair, self.ranges) for pair in zip(films, streams, strict=True)])

    @property
    def changes(self):
        """All that decides how films are augmented, as text."""
        return f"{self.seed} {self.view} {self.ranges}" if self.ranges else "as they are"


def on_features(stage, args, run):
    """Return a stage with pooled features in place of pixels, which trains only the head. It has
    `args.feature_views` augmented views of each training film, and validation films unchanged."""
    started = time.perf_counter()
    read, network = feature_reader(stage.model), network_key(stage.model, args)
    views = training_views(stage.films.pixels, args)
    films = with_features(stage.films, views, read, network, args)
    val_films = with_features(
        stage.val_films, [ChangedFilms(stage.val_films.pixels)], read, network, args
    )
    seconds = time.perf_counter() - started
    known = run.config.get("feature_seconds", 0)
    add_to_config(run, {"feature_seconds": round(known + seconds, 2)})
    numbers = films.pixels.views.shape[-1]
    run.log(
        f"features: {len(views)} x {len(films)} training films, {numbers} numbers each, "
        f"ready after {seconds:.0f} s; every epoch trains the head on them"
    )
    return Stage(stage.model, films, val_films, pooled_head(stage.model))


def training_views(pixels, args):
    """Return the views of training films that the options ask for."""
    ranges = STRENGTHS[args.augment]
    return [ChangedFilms(pixels, args.seed, number, ranges) for number in range(args.feature_views)]


def with_features(films, views, read, network, args):
    """Return films with their features in `views` as pixels. Each view is cached on disk."""
    folder, parts = cache_path(args.data_dir, args.cache_dir) / "features", []
    for number, view in enumerate(views, start=1):
        path = folder / f"{view_key(network, films, view, args)}.npy"
        features = load_features(path)
        if features is None:
            bar = f"features {number}/{len(views)}" if args.verbose == 1 else None
            features = compute_features(read, view, args.batch_size_eval, bar)
            with cache_folder(folder):
                write_atomically(path, lambda file, array=features: np.save(file, array))
        parts.append(features)
    return Films(films.table, Features(np.stack(parts)), films.left_out)


def load_features(path):
    """Return cached features; None if they are missing or damaged."""
    try:
        return np.load(path)
    except (OSError, ValueError, EOFError):
        return None


def feature_reader(model):
    """Return a compiled call: uint8 images `(N, S, S, 1)` to pooled features float32 `(N, C)`."""
    forward = with_constant_weights(keras.Model(model.inputs[0], model.get_layer("pooled").output))

    @tf.function(autograph=False)
    def read(image):
        return tf.cast(forward(tf.cast(image, tf.float32)), tf.float32)

    return read


def compute_features(read, pixels, batch_size, desc=None):
    """Return pooled features float32 `(n, C)` of films, with a progress bar if there is a `desc`.
    All batches have the same shape and are prepared ahead."""
    rows = full_batches(len(pixels), batch_size)

    def load(pixels, number):
        return (pixels[rows[number]][..., None],)

    batches = load_ahead(load, pixels, range(len(rows)))
    steps = progress_bar(batches, desc, unit="batch", show=bool(desc))
    with memory_errors(*batches.element_spec[0].shape[:2], SMALLER_BATCHES):
        return np.concatenate([read(images).numpy() for (images,) in steps])[: len(pixels)]


def network_key(model, args):
    """Return a hash of all that decides which features the backbone computes from a film."""
    scaling, pooling = input_scaling(args.backbone, args.weights), type(model.get_layer("pooled"))
    versions = [np.__version__, tf.__version__, keras.__version__]
    rounding = [model.dtype_policy.name, *versions, *(os.environ.get(name) for name in VARIABLES)]
    key = hashlib.sha256(f"{CODE} {args.backbone} {scaling} {pooling} {rounding}".encode())
    for weight in backbone_of(model).weights:
        key.update(weight.numpy().tobytes())
    return key.hexdigest()


def view_key(network, films, view, args):
    """Return a hash of all that decides the features of a view, to name their file in the cache."""
    files = pixels_key(films.table["path"], args.img_size, args.fit)
    return hashlib.sha256(f"{network} {files} {view.changes}".encode()).hexdigest()[:32]
