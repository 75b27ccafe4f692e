"""Which way up a film is: a small network, trained by `hand_crop.train_orientation`, detects films
that are turned by 90, 180 or 270 degrees."""

import hashlib
from functools import cache
from pathlib import Path

import numpy as np

from hand_crop.network import load_layers, with_mirror

WEIGHTS = Path(__file__).with_name("orientation.npz")
CERTAIN = 0.98  # probability from which a film is said to be turned: of 1,200 upright ones none is
FROM_MIRROR = [0, 3, 2, 1]  # quarter turns of a film, by those of its mirror image
CHUNK = 32  # films at once: what they take stays in the cache of the processor


@cache
def orientation_version():
    """What decides which films are turned, as a short hash: caches of films are named by it."""
    return hashlib.sha256(WEIGHTS.read_bytes() + repr(CERTAIN).encode()).hexdigest()[:16]


def degrees_turned(films):
    """By how many degrees each film seems to be turned against the clock from fingers up: 0, 90,
    180 or 270 `(n,)`; 0 also where it is not certain. `films` are a list of what `shrink` gives."""
    turned = np.zeros(len(films), int)
    for start in range(0, len(films), CHUNK):
        chances = turn_chances(np.stack(films[start : start + CHUNK]), load_layers(WEIGHTS))
        certain = chances.max(axis=1) >= CERTAIN
        turned[start : start + CHUNK] = np.where(certain, 90 * chances.argmax(axis=1), 0)
    return turned


def turn_chances(films, layers):
    """The probabilities `(n, 4)` that films, as `shrink` gives them, are turned by no, one, two or
    three quarters, by a network of these `layers`: the mean of each film and its mirror image."""
    scores, mirrored = with_mirror(films, layers)
    scores = (scores + mirrored[:, FROM_MIRROR]) / 2
    chances = np.exp(scores - scores.max(axis=1, keepdims=True))
    return chances / chances.sum(axis=1, keepdims=True)
