"""The films that benchmarks run on: those of a folder, or phantoms drawn for it."""

from pathlib import Path

import pandas as pd

from preprocessing import read_films, training_dataset
from util.augmentation import STRENGTHS
from util.backbones import BACKBONES
from util.errors import UserError
from util.film_files import films_or_error
from util.parser import whole_number
from util.phantoms import write_phantoms

HEIGHT = 500  # pixels of the phantoms
BATCH = 32
KERAS_ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")


def add_film_options(parser, img_size=None):
    parser.add_argument("--images", metavar="DIR", help="folder of films (default: phantoms)")
    parser.add_argument("--films", type=whole_number(32), default=300, help="how many phantoms")
    if img_size:
        parser.add_argument(
            "--img_size", type=whole_number(32), default=img_size, help="side of a canvas"
        )


def add_backbone(parser):
    parser.add_argument(
        "--backbone",
        choices=sorted(BACKBONES),
        default="mobilenet",
        metavar="NAME",
        help="network of keras.applications, one of those in train_advanced.py --help",
    )


def add_turns(parser):
    parser.add_argument(
        "--turns", type=whole_number(1), default=5, help="timed turns, after a warm-up"
    )


def films_to_time(args, folder):
    """(folder, paths) of the films that the options name; phantoms are drawn into `folder`."""
    if args.images:
        folder = Path(args.images)
    else:
        write_phantoms(folder, {"train": args.films}, HEIGHT)
        folder = folder / "train"
    folder = folder.resolve()
    return folder, films_or_error(folder)


def films_for_keras(args, folder, batch_size):
    """Return the paths of `films_to_time` as text. UserError when Keras's ImageDataGenerator, which
    skips files that it doesn't know, would skip one, or when they don't fill a batch."""
    paths = films_to_time(args, folder)[1]
    others = [path for path in paths if path.suffix.lower() not in KERAS_ENDINGS]
    if others:
        raise UserError(
            f"ImageDataGenerator does not read {others[0].suffix} ({others[0]}). Choose a folder of "
            "PNG or JPEG files."
        )
    if len(paths) < batch_size:
        raise UserError(f"{len(paths)} films are too few for a batch of {batch_size}. Add films.")
    return [str(path) for path in paths]


def read_aged(paths, size, cache):
    """Read the films at these paths with made-up labels, which don't change the time."""
    ages = [float(60 + i % 120) for i in range(len(paths))]
    labels = {"id": paths, "filename": paths, "path": paths, "sex": 0, "boneage": ages}
    left_out = pd.DataFrame(columns=["id", "filename", "reason"])
    return read_films(pd.DataFrame(labels), left_out, size, "stretch", cache)


def run_epoch(films, strength):
    """Go through an epoch of batches with augmentation, without a model."""
    for _ in training_dataset(films, BATCH, 42, 0, 1, STRENGTHS[strength]):
        pass
