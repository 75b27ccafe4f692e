"""Films on the canvases of several models: {Canvas: films}."""

from typing import NamedTuple

import numpy as np
import pandas as pd

from util.errors import UserError
from util.pixel_cache import read_pixels


class Canvas(NamedTuple):
    """The square image that a model sees: its side in pixels, and how films are fitted to it."""

    img_size: int
    fit: str


def read_on_canvases(canvases, paths):
    """Read films onto canvases. Returns {canvas: Pixels}, and {position: reason} of the films that
    can't be read."""
    pixels, failures = {}, {}
    for canvas in canvases:
        pixels[canvas], unread = read_pixels(paths, *canvas)
        failures |= unread
    return pixels, failures


def keep_read_on_all(by_canvas):
    """Keep of {canvas: Films}, read from the same rows, the films that were read on all canvases,
    so that row i is the same film on each. UserError when none was."""
    parts = list(by_canvas.values())
    common = set(parts[0].table["path"]).intersection(*(part.table["path"] for part in parts[1:]))
    if not common:
        raise UserError(
            f"each of {len(parts[0])} films could not be read on one of the canvases, such as "
            f"{parts[0].table['path'].iloc[0]}. Try again."
        )
    unread = pd.concat([part.left_out for part in parts]).drop_duplicates("id", keep="last")
    reasons = unread.set_index("id")["reason"]
    return {
        canvas: part.leave_out(~part.table["path"].isin(common), part.table["id"].map(reasons))
        for canvas, part in by_canvas.items()
    }


def on_first_canvas(by_canvas):
    """Return the first Films of {canvas: Films}: where their canvas makes no difference, as all
    have the same rows."""
    return next(iter(by_canvas.values()))


def pixels_of(by_canvas):
    """Return {canvas: Pixels} of {canvas: Films}."""
    return {canvas: part.pixels for canvas, part in by_canvas.items()}


def all_set_right(canvases):
    """Whether films that look turned or inverted are set right on all of these canvases."""
    return all(fit == "hand" for _, fit in canvases)


def oddities_of(pixels):
    """Return the Oddities of films on several canvases, {canvas: Pixels}. A film is `whole`,
    `unlike` a hand or `pale` if it is so on any of them."""
    parts = [part.oddities for part in pixels.values()]
    some = {
        name: np.any([getattr(part, name) for part in parts], axis=0)
        for name in ("whole", "unlike", "pale")
    }
    return parts[0]._replace(**some)
