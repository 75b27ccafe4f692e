"""Films on the canvases of several models: {Canvas: films}. What is odd about films, and the words
for it."""

from typing import NamedTuple

import numpy as np

from hand_crop.localiser import localiser_version
from hand_crop.orientation import orientation_version
from util.pixel_cache import read_pixels
from util.radiographs import looks_inverted

FEW_ODD = 0.01  # share of films: white frames make a few look inverted
NO_HAND = "no hand found for certain"
LIGHT_BONES, FINGERS_UP = "bones must be light on a dark ground", "fingers must point up"


class Canvas(NamedTuple):
    """The square that a model sees: its side in pixels, and how films come to it."""

    img_size: int
    fit: str


class Signs(NamedTuple):
    """What is odd about films, `(n,)` each: which were taken whole on some canvas, as no hand was
    found on them for certain, which look inverted on some canvas, and by how many degrees each
    looks turned, or did before it was set upright."""

    whole: np.ndarray
    inverted: np.ndarray
    turned: np.ndarray


def hand_crop_versions():
    """What decides how films are turned upright and cut, {name: short hash}: runs remember it."""
    return {"localiser": localiser_version(), "orientation": orientation_version()}


def read_on_canvases(canvases, paths):
    """Read films onto canvases: ({canvas: Pixels}, {position: reason} of films that can't be
    read)."""
    pixels, failures = {}, {}
    for canvas in canvases:
        pixels[canvas], unread = read_pixels(paths, *canvas)
        failures |= unread
    return pixels, failures


def pixels_of(films):
    """{canvas: Pixels} of {canvas: Films}."""
    return {canvas: part.pixels for canvas, part in films.items()}


def sets_upright(canvases):
    """Whether films that look turned are set upright on all of these canvases."""
    return all(fit == "hand" for _, fit in canvases)


def look_at(pixels):
    """The Signs of films; `pixels` is {canvas: Pixels}."""
    parts = list(pixels.values())
    inverted = [[looks_inverted(part[[i]][0]) for i in range(len(part))] for part in parts]
    turned = parts[0].turned  # the same on all canvases
    return Signs(np.any([part.whole for part in parts], axis=0), np.any(inverted, axis=0), turned)


def odd_notes(signs, upright):
    """What to say, in a list, of films that look inverted or turned, by their Signs; `upright`:
    turned ones were set upright. Where nothing was done about them, a few are no reason to say
    it."""
    inverted, turned = signs.inverted.sum(), (signs.turned > 0).sum()
    few = max(1, FEW_ODD * len(signs.turned))
    wrong = "films look {}, and months are wrong if they are: {}"
    notes = []
    if inverted > few:
        notes.append(f"{inverted} {wrong.format('inverted', LIGHT_BONES)}")
    if turned and upright:
        notes.append(f"films that looked turned and were set upright: {turned}")
    elif turned > few:
        notes.append(f"{turned} {wrong.format('turned', FINGERS_UP)}")
    return notes
