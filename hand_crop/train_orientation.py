"""Train the network that detects turned and inverted films, on films with fingers up and light
bones, and say how good it is.

    python -m hand_crop.train_orientation --images Data/train

A quarter of the films is held out, turned by 0, 90, 180 and 270 degrees, as they are and inverted,
and judged by a network that never saw them. Then a network is trained on all films and written to
--out.
"""

from itertools import product

import cv2
import numpy as np

from hand_crop.command import add_files, add_steps, check_enough, check_weights_file, save_layers
from hand_crop.network import shrink
from hand_crop.orientation import FROM_MIRROR, certain_orientations, orientation_chances
from util.augmentation import Augmentation, random_affine, random_grey_table, warp
from util.errors import run_command
from util.film_files import films_or_error
from util.parallel import map_films
from util.parser import new_parser
from util.quiet import import_tensorflow
from util.radiographs import RadiographError, cut_to_hands, prepare, read_image, to_canvas

FILM_SIDE = 128  # pixels of a film that is changed at random before it is shrunk for the network
BATCH = 64
LEAST = 8  # films
CHANGES = Augmentation(
    rotation=20, zoom=0.2, aspect=0.2, shift=0.1, gamma=0.6, contrast=0.2, flip=0
)


def parse_args(argv=None):
    parser = new_parser(__doc__)
    add_files(parser)
    add_steps(parser)
    return parser.parse_args(argv)


def main(argv=None):
    args = parse_args(argv)
    check_weights_file(args.out)
    import_tensorflow()
    films = read_turned(args.images)
    order = np.random.default_rng(args.seed).permutation(len(films))
    unseen, seen = np.split(order, [len(order) // 4])
    print_orientations(films[unseen], train(films[seen], args.steps, args.seed))
    if args.out:
        save_layers(train(films, args.steps, args.seed), args.out)
        print(f"weights: {args.out}")


def read_turned(folder):
    """Read the upright films of a folder, each turned by 0, 90, 180 and 270 degrees: uint8
    `(n, 2, 4, 128, 128)`, first cut to the hand, then whole.

    Films are turned before they are cut, as the cut of a turned film may go wrong.
    """
    read = map_films(turn_film, films_or_error(folder), "films")
    films = [film for film in read if film is not None]
    check_enough(len(films), LEAST, folder)
    return np.stack(films)


def turn_film(path):
    """One film of `read_turned`: uint8 `(2, 4, 128, 128)`; None when it can't be read."""
    try:
        image = read_image(path)
        turned = [np.ascontiguousarray(np.rot90(image, turns)) for turns in range(4)]
        pairs = [(film, prepare(film, path)) for film in turned]
    except RadiographError:
        return None
    cut, whole = [film for film, *_ in cut_to_hands(pairs)], [film for _, film in pairs]
    return np.stack(
        [[to_canvas(film, FILM_SIDE, "hand") for film in kind] for kind in (cut, whole)]
    )


def train(films, steps, seed):
    """Train a network for `steps` steps; returns its layers as `hand_crop.network` takes them."""
    import keras

    from hand_crop.fit import fit_network

    def draw():
        rng = np.random.default_rng(seed)
        while True:
            pairs = [draw_changed(films, rng) for _ in range(BATCH)]
            images, classes = zip(*pairs, strict=True)
            yield np.stack(images)[..., None], np.array(classes)

    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    return fit_network(draw, loss, 8, steps, seed)


def draw_changed(films, rng):
    """Draw a film of `read_turned`, turned by some quarters, inverted or not, and changed at
    random. Returns what the network sees, and the number of its class: the quarters, plus 4 if it
    is inverted."""
    turns, inverted = rng.integers(4), rng.integers(2)
    film = films[rng.integers(len(films)), rng.integers(2), turns]
    if rng.random() < 0.5:
        film, turns = np.ascontiguousarray(film[:, ::-1]), FROM_MIRROR[turns]
    film = warp(~film if inverted else film, random_affine(FILM_SIDE, rng, CHANGES))
    return shrink(cv2.LUT(film, random_grey_table(rng, CHANGES))), 4 * inverted + turns


def print_orientations(films, layers):
    """Print how a network judges films of `read_turned` that it has not seen."""
    for kind, name in enumerate(("cut to the hand", "whole")):
        print(f"{len(films)} films, {name}, by a network that never saw them")
        for inverted, turns in product((False, True), range(4)):
            turned = films[:, kind, turns]
            small = np.stack([shrink(~film if inverted else film) for film in turned])
            degrees, dark = certain_orientations(orientation_chances(small, layers))
            right = degrees == 90 * turns
            print(
                f"  {'inverted, ' if inverted else ''}turned by {90 * turns} degrees: ".ljust(36)
                + f"degrees found {np.mean(right):6.1%}, others {np.mean(~right & (degrees > 0)):5.1%}, "
                f"inverted {np.mean(dark):6.1%}"
            )


if __name__ == "__main__":
    run_command(main)
