"""What is wrong with films, and with films that show the same picture."""

import hashlib
from dataclasses import dataclass

import numpy as np
from threadpoolctl import threadpool_limits

from hand_crop.localiser import unlike_hands
from hand_crop.network import shrink
from hand_crop.orientation import orientations
from util.image_kinds import image_kind
from util.quality.flags import CHECKS, flag, name_others
from util.quality.same_pictures import difference_hash, thumbnail
from util.radiographs import (
    STRETCHED,
    RadiographError,
    count_greys,
    decode,
    greys_at,
    prepare,
    read_bytes,
    set_right,
)

LEAST_LEVELS = 16  # grey levels of a film; the poorest of 12,000 real films has 19
AT_ONCE = 256  # films that the networks look at together


@dataclass
class Film:
    """What is kept of a film that was read; `reason` says why it is unusable, or is ""."""

    kind: str = ""
    depth: int = 0
    width: int = 0
    height: int = 0
    levels: int = 0
    small: np.ndarray = None
    reason: str = ""
    digest: bytes = b""
    bits: np.ndarray = None
    thumbnail: np.ndarray = None


def read_film(path):
    """Read a film and keep what the checks need of it; never raises for a bad file."""
    film = Film()
    try:
        data = read_bytes(path)
        film.kind = image_kind(data)
        image = decode(data, path)
        film.depth, (film.height, film.width) = 8 * image.itemsize, image.shape
        stretched = prepare(image, path)
    except RadiographError as error:
        film.reason = error.reason
        return film
    film.levels = count_levels(stretched)
    film.digest = hashlib.blake2b(image.tobytes(), salt=f"{image.shape}".encode()[:16]).digest()
    film.bits, film.thumbnail = difference_hash(stretched), thumbnail(stretched)
    film.small = shrink(stretched)
    return film


def count_levels(image):
    """Return how many grey levels a uint8 film `(H, W)` has between its 0.5th and 99.5th
    percentile."""
    counts = count_greys(image)
    low, high = greys_at(counts, STRETCHED)
    return int(np.count_nonzero(counts[low : high + 1]))


def oddities_of_small(small):
    """Return what is odd about films, as `shrink` returns them: {"turned", "inverted", "unlike": an
    array}, see Oddities. Only AT_ONCE films are looked at together, so that memory stays flat."""
    parts = []
    with threadpool_limits(1, "blas"):  # its threads wait for each other longer than they compute
        for start in range(0, max(1, len(small)), AT_ONCE):
            films = small[start : start + AT_ONCE]
            turned, inverted = orientations(films)
            upright = [set_right(*film) for film in zip(films, turned, inverted, strict=True)]
            parts.append((turned, inverted, unlike_hands(upright)))
    names = ("turned", "inverted", "unlike")
    return dict(zip(names, map(np.concatenate, zip(*parts, strict=True)), strict=True))


def check_films(films):
    bad = films[films["reason"] != ""]
    for reason, part in bad.groupby("reason"):
        check = next((check for check in CHECKS if reason.startswith(check)), "unusable film")
        yield flag(check, part, reason.removeprefix(check).strip(": "))
    flat = films[(films["reason"] == "") & (films["levels"] < LEAST_LEVELS)]
    yield flag("hardly any contrast", flat, flat["levels"].astype(str) + " grey levels")
    turned = films[films["turned"] > 0]
    yield flag("film looks turned", turned, "by " + turned["turned"].astype(str) + " degrees")
    yield flag("film looks inverted", films[films["inverted"]], "dark bones on a light ground")
    yield flag("film looks unlike a hand", films[films["unlike"]])


def check_same(same):
    for check, across in (
        ("same picture in two splits", True),
        ("same picture twice in a split", False),
    ):
        part = same[same["across"] == across]
        alike = "looks the same (" + part["correlation"].round(2).astype(str) + ")"
        alike = alike.where(part["match"] != "exact", "exact copy")
        yield flag(check, part, alike + "; " + name_others(part, ["group"]))
