"""Films on the canvases of several models: {Canvas: films}. What is odd about films, and the words
for it."""

from typing import NamedTuple

import numpy as np

from hand_crop.localiser import localiser_version
from hand_crop.orientation import orientation_version
from util.pixel_cache import read_pixels

FEW_ODD = 0.01  # share of films that may look turned or inverted and be none
NO_HAND = "no hand found for certain"
UNLIKE = "unlike hands with fingers up and light bones"
LIGHT_BONES, FINGERS_UP = "bones must be light on a dark ground", "fingers must point up"


class Canvas(NamedTuple):
    """The square that a model sees: its side in pixels, and how films come to it."""

    img_size: int
    fit: str


def hand_crop_versions():
    """What decides how films are set right and cut, {name: short hash}: runs remember it."""
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


def sets_right(canvases):
    """Whether films that look turned or inverted are set right on all of these canvases."""
    return all(fit == "hand" for _, fit in canvases)


def look_at(pixels):
    """The Signs of films, `whole` or `unlike` a hand if they are on some canvas; `pixels` is
    {canvas: Pixels}."""
    parts = [part.signs for part in pixels.values()]
    whole, unlike = (
        np.any([getattr(part, name) for part in parts], axis=0) for name in ("whole", "unlike")
    )
    return parts[0]._replace(whole=whole, unlike=unlike)


def odd_notes(signs, right):
    """What to say, in a list, of films that look turned or inverted, by their Signs; `right`: they
    were set right. Where nothing was done about them, a few are no reason to say it."""
    few = max(1, FEW_ODD * len(signs.turned))
    notes = []
    for look, films, remedy, rule in (
        ("turned", signs.turned > 0, "set upright", FINGERS_UP),
        ("inverted", signs.inverted, "inverted back", LIGHT_BONES),
    ):
        if films.any() and right:
            notes.append(f"films that looked {look} and were {remedy}: {films.sum()}")
        elif films.sum() > few:
            notes.append(
                f"{films.sum()} films look {look}, and months are wrong if they are: {rule}"
            )
    if signs.unlike.any():
        notes.append(
            f"films that look {UNLIKE}: {signs.unlike.sum()}; months of pictures of anything else "
            "mean nothing"
        )
    return notes
