"""Does a film look like the hands that the localiser knows? What it sees of other pictures, and of
films that lie on their side, does not fit into the space of what it sees of hands."""

from functools import cache
from pathlib import Path

import numpy as np

from hand_crop.network import version_of

WEIGHTS = Path(__file__).with_name("likeness.npz")  # written by `hand_crop.train_likeness`


def unlike_by_features(features):
    """Whether films look unlike hands with fingers up and light bones `(n,)`, by the features
    `(2 n, 1024)` that the localiser has of them and, behind them, of their mirror images."""
    space = load_space(WEIGHTS)
    return distances(features, space) > space["limit"]


def distances(features, space):
    """How far films `(n,)` are from a space of few dimensions, squared, or their mirror images
    where these are nearer; for `features` see `unlike_by_features`. It is the Q statistic of a
    principal component analysis (Jackson & Mudholkar 1979, Technometrics 21:341): `space` holds the
    `mean` `(1024,)` and the `components` `(k, 1024)`, which are orthonormal."""
    centred = features - space["mean"]
    off = (centred**2).sum(axis=1) - ((centred @ space["components"].T) ** 2).sum(axis=1)
    return off.reshape(2, -1).min(axis=0)


@cache
def load_space(path):
    """Read a space from a file, {name: float32 array}."""
    with np.load(path) as file:
        return {name: file[name].astype(np.float32) for name in ("mean", "components", "limit")}


@cache
def likeness_version():
    """What decides which films look unlike hands, as a short hash: caches of films are named by
    it, with that of the localiser."""
    return version_of(WEIGHTS)
