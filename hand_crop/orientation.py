"""How a film stands: a small network, trained by `hand_crop.train_orientation`, detects films that
are turned by 90, 180 or 270 degrees, and inverted ones, with dark bones on a light ground."""

from functools import cache
from pathlib import Path

import numpy as np

from hand_crop.network import forward_with_mirror, load_layers, version_of

WEIGHTS = Path(__file__).with_name("orientation.npz")
CERTAIN = 0.98  # probability from which a film is said to be turned, or inverted
FROM_MIRROR = [0, 3, 2, 1]  # quarter turns of a film, by those of its mirror image


@cache
def orientation_version():
    """What decides which films are turned or inverted, as a short hash: caches of films are named
    by it."""
    return version_of(WEIGHTS, repr(CERTAIN))


def orientations(films):
    """How each film of a list, uint8 `(64, 64)` of `shrink`, stands: by how many degrees it seems
    to be turned against the clock from fingers up, 0, 90, 180 or 270 `(n,)`, and whether it seems
    to be inverted `(n,)`; 0 and False where that is not certain."""
    if not films:
        return np.zeros(0, int), np.zeros(0, bool)
    return certain_orientations(orientation_chances(np.stack(films), load_layers(WEIGHTS)))


def orientation_chances(films, layers):
    """The probabilities `(n, 2, 4)` that films, as `shrink` gives them, are as they should be or
    inverted, and turned by no, one, two or three quarters, by a network of these `layers`: the
    mean of each film and its mirror image."""
    scores, mirrored = (part.reshape(-1, 2, 4) for part in forward_with_mirror(films, layers))
    scores = (scores + mirrored[..., FROM_MIRROR]) / 2
    chances = np.exp(scores - scores.max(axis=(1, 2), keepdims=True))
    return chances / chances.sum(axis=(1, 2), keepdims=True)


def certain_orientations(chances):
    """The degrees and whether inverted (see `orientations`), by `orientation_chances`."""
    turns, inverted = chances.sum(axis=1), chances[:, 1].sum(axis=1)
    degrees = np.where(turns.max(axis=1) >= CERTAIN, 90 * turns.argmax(axis=1), 0)
    return degrees, inverted >= CERTAIN
