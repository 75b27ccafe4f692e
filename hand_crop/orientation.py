"""Which way up a film is: a small network, trained by `hand_crop.train_orientation`, detects films
that are turned by 90, 180 or 270 degrees, and inverted films, with dark bones on a light ground."""

from functools import cache
from pathlib import Path

import numpy as np

from hand_crop.network import forward_with_mirror, load_layers, version_of

WEIGHTS = Path(__file__).with_name("orientation.npz")
CERTAIN = 0.98  # probability from which a film is said to be turned, or inverted
FROM_MIRROR = [0, 3, 2, 1]  # position: quarter turns of the mirror image; value: of the film


@cache
def orientation_version():
    """Return a short hash of what decides which films are turned or inverted; it is in the names of
    film caches."""
    return version_of(WEIGHTS, repr(CERTAIN))


def orientations(films):
    """Return two arrays `(n,)`: by how many degrees films look turned, and whether they look
    inverted.

    `films` is a list of uint8 `(64, 64)`, as `shrink` returns them. Degrees are 0, 90, 180 or 270,
    anticlockwise from fingers up. Where it is not certain, they are 0, and inverted is False.
    """
    if not films:
        return np.zeros(0, int), np.zeros(0, bool)
    return certain_orientations(orientation_chances(np.stack(films), load_layers(WEIGHTS)))


def orientation_chances(films, layers):
    """Return the probabilities `(n, 2, 4)` that films, as `shrink` returns them, are as they should
    be or inverted, and turned by 0 to 3 quarters. A network with these `layers` scores each film
    and its mirror image, and the mean of both scores counts."""
    scores, mirrored = (part.reshape(-1, 2, 4) for part in forward_with_mirror(films, layers))
    scores = (scores + mirrored[..., FROM_MIRROR]) / 2
    chances = np.exp(scores - scores.max(axis=(1, 2), keepdims=True))
    return chances / chances.sum(axis=(1, 2), keepdims=True)


def certain_orientations(chances):
    """Return degrees and inverted as `orientations` does, from `orientation_chances`."""
    turns, inverted = chances.sum(axis=1), chances[:, 1].sum(axis=1)
    degrees = np.where(turns.max(axis=1) >= CERTAIN, 90 * turns.argmax(axis=1), 0)
    return degrees, inverted >= CERTAIN
