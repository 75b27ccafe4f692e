"""Films on the canvases of several models: {canvas: films}, a canvas being (img_size, fit)."""

import numpy as np

from util.pixel_cache import read_pixels
from util.radiographs import looks_inverted

FEW_ODD = 0.01  # share of films: white frames make a few look inverted


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


def taken_whole(pixels):
    """Which films `(n,)` were taken whole on some canvas, as no hand was found on them for certain;
    `pixels` is {canvas: Pixels}."""
    return np.any([part.whole for part in pixels.values()], axis=0)


def sets_upright(canvases):
    """Whether films that look turned are set upright on all of these canvases."""
    return all(fit == "hand" for _, fit in canvases)


def turned_by(pixels):
    """By how many degrees each film `(n,)` looks turned, or did before it was set upright, the same
    on all canvases; `pixels` is {canvas: Pixels}."""
    return next(iter(pixels.values())).turned


def look_inverted(pixels):
    """Which films `(n,)` look inverted on some canvas; `pixels` is {canvas: Pixels}."""
    return np.any(
        [[looks_inverted(part[[i]][0]) for i in range(len(part))] for part in pixels.values()],
        axis=0,
    )


def odd_notes(pixels):
    """What to say, in a list, of films that look inverted or turned; `pixels` is {canvas: Pixels}.
    Where nothing was done about them, a few are no reason to say it."""
    inverted, turned = look_inverted(pixels).sum(), (turned_by(pixels) > 0).sum()
    few = max(1, FEW_ODD * len(next(iter(pixels.values()))))
    wrong = "films look {}, and months are wrong if they are: {}"
    notes = []
    if inverted > few:
        rule = "bones must be light on a dark ground"
        notes.append(f"{inverted} {wrong.format('inverted', rule)}")
    if turned and sets_upright(pixels):
        notes.append(f"films that looked turned and were set upright: {turned}")
    elif turned > few:
        notes.append(f"{turned} {wrong.format('turned', 'fingers must point up')}")
    return notes
