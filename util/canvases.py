"""Films on the canvases of several models: {canvas: films}, a canvas being (img_size, fit)."""

import numpy as np

from util.pixel_cache import read_pixels
from util.radiographs import looks_inverted

FEW_INVERTED = 0.01  # share of films: white frames make a few look so


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


def look_inverted(pixels):
    """Which films `(n,)` look inverted on some canvas; `pixels` is {canvas: Pixels}."""
    return np.any(
        [[looks_inverted(part[[i]][0]) for i in range(len(part))] for part in pixels.values()],
        axis=0,
    )


def inverted_note(inverted, n):
    """What to say, in a list, where so many of n films look inverted."""
    if inverted <= max(1, FEW_INVERTED * n):
        return []
    return [
        f"{inverted} films look inverted, and months are wrong if they are: bones must be light on a "
        "dark ground"
    ]
