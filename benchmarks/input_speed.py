"""How fast films become batches: preparation (decode, stretch, resize, store) and a warm epoch with
augmentation, beside what a script without this toolkit would do with the same files.

    python -m benchmarks.input_speed                        # 300 phantoms of 500 pixels
    python -m benchmarks.input_speed --images films/ --img_size 500

The other ways: a loop over films, one by one; tf.data, which decodes and resizes only; and Keras's
ImageDataGenerator as earlier versions of this toolkit set it up (PNG and JPEG files), which makes
three channels of each film, and again with only one.
"""

import tempfile
from functools import partial
from itertools import count
from pathlib import Path

import cv2
import numpy as np

from benchmarks.films import (
    BATCH,
    add_film_options,
    add_turns,
    films_for_keras,
    read_aged,
    run_epoch,
)
from benchmarks.textbook import keras_generator
from inference_speed.turns import format_turns, take_turns
from util.augmentation import STRENGTHS
from util.errors import run_command
from util.parser import new_parser
from util.pixel_cache import read_pixels
from util.quiet import import_tensorflow
from util.radiographs import stretch_contrast


def main(argv=None):
    parser = new_parser(__doc__)
    add_film_options(parser, img_size=500)
    add_turns(parser)
    args = parser.parse_args(argv)
    import_tensorflow()
    with tempfile.TemporaryDirectory() as folder:
        paths = films_for_keras(args, Path(folder) / "films", BATCH)
        print("preparation; below, beside tf.data, which only decodes and resizes")
        ways, names = preparations(paths, args.img_size, Path(folder))
        seconds = take_turns(ways, args.turns)
        print(format_turns(names, seconds, len(paths)))
        print(format_turns(names[1:], seconds[:, 1:], len(paths)))
        print("\na warm epoch with augmentation")
        ways, names = epochs(paths, args.img_size, Path(folder) / "cache")
        n = len(paths) // BATCH * BATCH
        print(format_turns(names, take_turns(ways, args.turns), n))


def preparations(paths, size, folder):
    """Return functions that prepare films, and their names; each call writes into a new place."""
    import tensorflow as tf

    places = (folder / f"prepared_{number}" for number in count())

    def loop():
        canvases = []
        for path in paths:
            film = stretch_contrast(cv2.imread(path, cv2.IMREAD_GRAYSCALE))
            canvases.append(cv2.resize(film, (size, size), interpolation=cv2.INTER_AREA))
        np.save(next(places).with_suffix(".npy"), np.stack(canvases))

    def decode(path):
        film = tf.io.decode_image(tf.io.read_file(path), channels=1, expand_animations=False)
        return tf.image.resize(film, (size, size), "area")

    def by_tensorflow():
        films = tf.data.Dataset.from_tensor_slices(paths)
        for _ in films.map(decode, num_parallel_calls=tf.data.AUTOTUNE).batch(BATCH):
            pass

    def ours(fit):
        return lambda: read_pixels(paths, size, fit, next(places))

    names = ["loop, film after film", "tf.data", "this toolkit, --fit stretch", "... --fit hand"]
    return [loop, by_tensorflow, ours("stretch"), ours("hand")], names


def epochs(paths, size, cache):
    """Return functions that run through an epoch of augmented batches, and their names."""
    films = read_aged(paths, size, cache)

    def by_keras(color_mode):
        ages = films.table["boneage"].tolist()
        generator = keras_generator(films.table["path"].tolist(), ages, size, BATCH, color_mode)

        def epoch():
            for number in range(len(films) // BATCH):
                generator[number]

        return epoch

    strengths = [strength for strength in STRENGTHS if strength != "none"]
    names = ["ImageDataGenerator", "... of grey films"]
    names += [f"this toolkit, --augment {strength}" for strength in strengths]
    ours = [partial(run_epoch, films, strength) for strength in strengths]
    return [by_keras("rgb"), by_keras("grayscale"), *ours], names


if __name__ == "__main__":
    run_command(main)
