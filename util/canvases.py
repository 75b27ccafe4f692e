"""Films on the canvases of several models: {canvas: films}, a canvas being (img_size, fit)."""

import numpy as np

from hand_crop.localiser import shrink
from hand_crop.orientation import degrees_turned
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


def look_odd(pixels):
    """Which films `(n,)` look inverted on some canvas, and by how many degrees they look turned on
    the first, `(n,)`, see `degrees_turned`, which does not know inverted films: of those 0.
    `pixels` is {canvas: Pixels}."""
    inverted = np.any(
        [[looks_inverted(part[[i]][0]) for i in range(len(part))] for part in pixels.values()],
        axis=0,
    )
    canvas = next(iter(pixels.values()))
    degrees = degrees_turned([shrink(canvas[[i]][0]) for i in range(len(canvas))])
    return inverted, np.where(inverted, 0, degrees)


def odd_notes(inverted, turned):
    """What to say, in a list, where more than a few of n films look inverted or turned, `(n,)`."""
    wrongs = (
        (inverted, "inverted", "bones must be light on a dark ground"),
        (turned > 0, "turned", "fingers must point up"),
    )
    return [
        f"{odd.sum()} films look {word}, and months are wrong if they are: {rule}"
        for odd, word, rule in wrongs
        if odd.sum() > max(1, FEW_ODD * len(odd))
    ]
