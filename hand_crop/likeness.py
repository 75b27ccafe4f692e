"""Does a film look like the hands that the localiser knows?

The localiser's features of hands lie near a space of few dimensions. Its features of other
pictures, and of films that lie on their side, are far from this space.
"""

from functools import cache
from pathlib import Path

import numpy as np

from hand_crop.network import version_of

WEIGHTS = Path(__file__).with_name("likeness.npz")  # written by `hand_crop.train_likeness`


def unlike_by_features(features):
    """Return a mask `(n,)` of the films that look unlike hands with fingers up and light bones.
    `features` `(2 n, 1024)` are the localiser's features of the films, followed by those of their
    mirror images."""
    space = load_space(WEIGHTS)
    return distances(features, space) > space["limit"]


def distances(features, space):
    """Return the squared distances `(n,)` of films from a space of few dimensions; the mirror image
    counts if it is nearer.

    This is the Q statistic of a principal component analysis (Jackson & Mudholkar 1979,
    Technometrics 21:341): `space` holds the `mean` `(1024,)` and the `components` `(k, 1024)`,
    which are orthonormal. For `features` see `unlike_by_features`.
    """
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
    """Return a short hash of what decides which films look unlike hands; with that of the localiser
    it is in the names of film caches."""
    return version_of(WEIGHTS)
