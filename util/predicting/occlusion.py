"""Where the months of a film come from: how much they change when a part of it is hidden.

Occlusion (Zeiler & Fergus 2014, ECCV). A blurred copy of the film hides a part: it keeps the level
of grey and removes the bones. The map shows how much the months of predict.py change, for any
model.
"""

import os
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from util.errors import UserError
from util.files import numbered
from util.film_files import stem_of
from util.parallel import progress_bar
from util.predicting.canvases import read_on_canvases
from util.predicting.prediction import even_batch

PARTS = 11  # positions of the hidden part, a sixth of the film wide, in each direction
LONGEST_STEM = 100  # bytes of the name of a picture; Windows allows 260 for a whole path
BLUR = 1 / 16  # SD of the blur, as a share of the side of the film


def part_of(number, size):
    """Return two slices, the rows and columns of hidden part `number` of a canvas `size` wide.

    Parts are numbered 0 .. PARTS ** 2 - 1, and are half a part apart. Where one ends another
    begins, so that rounding neither skips nor doubles a line of pixels.
    """
    edges = np.arange(PARTS + 2) * size // (PARTS + 1)
    return tuple(slice(edges[k], edges[k + 2]) for k in divmod(number, PARTS))


def hide_parts(image):
    """Return a film uint8 `(S, S)` as it is, followed by a copy for each hidden part:
    `(1 + PARTS ** 2, S, S)`."""
    blurred = cv2.GaussianBlur(image, None, BLUR * len(image))
    films = np.repeat(image[None], 1 + PARTS**2, axis=0)
    for number in range(PARTS**2):
        part = part_of(number, len(image))
        films[1 + number][part] = blurred[part]
    return films


def occlusion_map(predict, film, size):
    """Return by how many months a prediction changes when the surroundings of a pixel are hidden.

    The map is float `(size, size)`: the mean over all hidden parts that hold the pixel.
    `predict({canvas: films (n, S, S)}) -> months (n,)`, and `film` {canvas: image (S, S)} is one
    film on each canvas that `predict` takes.
    """
    months = predict({canvas: hide_parts(image) for canvas, image in film.items()})
    total, times = np.zeros((2, size, size))
    for number, change in enumerate(months[1:] - months[0]):
        part = part_of(number, size)
        total[part] += change
        times[part] += 1
    return total / times


def check_same_part(canvases):
    """UserError when the canvases don't show the same part of a film."""
    if len({fit for _, fit in canvases}) > 1:
        raise UserError("the runs see different parts of a film (--explain). Explain each alone.")


def explain_films(ensemble, ages, folder, batch_size):
    """Draw where the months of films come from: a picture in `folder` for each row of `report_ages`
    that has months."""
    folder, films = Path(folder), ages[ages["months"].notna()]
    if films.empty:
        return
    folder.mkdir(parents=True, exist_ok=True)
    for film in progress_bar(films.itertuples(), "explaining", len(films), unit="film"):
        explain_film(ensemble, film, new_name(folder, film.shown), batch_size)
    print(f"where the months come from: {folder}")


def explain_film(ensemble, film, picture, batch_size):
    """Draw the map of one row of `report_ages` over its film, into the file `picture`. UserError
    when the film can't be read any more."""
    from util.film_plots import plot_occlusion

    sex = np.full(1 + PARTS**2, 0.0 if pd.isna(film.sex) else film.sex)
    batch_size = even_batch(len(sex), batch_size)
    pixels, failures = read_on_canvases(ensemble.canvases, [film.path])
    if failures:
        raise UserError(f"{failures[0]} ({film.path}). Explain the film again.")
    images = {canvas: part[0] for canvas, part in pixels.items()}
    image = images[ensemble.canvases[0]]
    change = occlusion_map(
        lambda films: ensemble.predict(films, sex, batch_size)["months"].to_numpy(),
        images,
        len(image),
    )
    letter = "" if pd.isna(film.sex) else f", {'FM'[film.sex]}"
    plot_occlusion(image, change, picture, f"{film.shown}{letter}: {film.months:.1f} months")


def new_name(folder, shown):
    """Return a free path in a folder for the picture of a film, by its printed name:
    P000/IM0001.png becomes P000_IM0001.png. A long name loses its beginning, a taken one gets a
    number."""
    path = Path(shown)
    name = "_".join((*path.parts[:-1], stem_of(path)))
    name = os.fsencode(name)[-LONGEST_STEM:].decode("utf-8", "ignore")
    pictures = numbered(folder / f"{name}.png", ".png")
    return next(picture for picture in pictures if not picture.exists())
