"""CLAHE of one film, and of a folder of films into a folder beside it.

CLAHE evens out the histogram within tiles of a film, with a limit on the contrast it may add
(Zuiderveld 1994, "Contrast limited adaptive histogram equalization", Graphics Gems IV).
"""

import json
import os
from collections import Counter
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np

from util.data_folder import split_folder
from util.errors import UserError
from util.files import quote, write_atomically, write_json
from util.film_files import is_image, list_films
from util.parallel import map_films
from util.radiographs import RadiographError, read_image, stretch_contrast

CLIP_LIMIT = 2.0
TILE_GRID = 8  # tiles along each side; 64, as earlier versions had it, boosts noise
FINEST_GRID = 256  # tiles of a few pixels, a lookup table each: 16 MB for a film
# quicker than OpenCV's default and a tenth smaller; older versions choose the filter
PNG = [
    cv2.IMWRITE_PNG_COMPRESSION,
    1,
    cv2.IMWRITE_PNG_STRATEGY,
    cv2.IMWRITE_PNG_STRATEGY_HUFFMAN_ONLY,
]
if hasattr(cv2, "IMWRITE_PNG_FILTER"):
    PNG += [cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_UP]
SETTINGS = "clahe.json"  # in a folder of enhanced films: what they were made with
UNFINISHED = {"unfinished": True}  # stands there while all are made anew with other settings


def apply_clahe(image, clip_limit=CLIP_LIMIT, tile_grid=TILE_GRID):
    """Enhance a grey film `(H, W)`, uint8 or uint16; returns uint8 of the same shape.

    `clip_limit`: how far the histogram of a tile may rise above an even one; `tile_grid`: tiles
    along each side.
    """
    if image.dtype == np.uint16:
        # a tile has about one pixel of each of 65,536 levels: OpenCV's limit would clip nearly all
        image = stretch_contrast(image)
    return cv2.createCLAHE(clip_limit, (tile_grid, tile_grid)).apply(image)


def enhance_folder(
    source,
    target,
    clip_limit=CLIP_LIMIT,
    tile_grid=TILE_GRID,
    workers=None,
    overwrite=False,
    progress=False,
):
    """Write an enhanced PNG of every film in `source` under the same name into `target`.

    Films whose copy `is_up_to_date` are skipped. Returns (written, skipped, failures): two numbers
    of films, and {path: reason}. Raises UserError when `source` has no films, or `target` holds
    films made otherwise and `overwrite` is not set.
    """
    source, target = Path(source).resolve(), Path(target).resolve()
    films = list_films(source)
    if not films:
        raise UserError(f"no films to enhance ({source}). Check --data_dir.")
    settings = {"clip_limit": clip_limit, "tile_grid": tile_grid}
    claim_folder(target, settings, overwrite)

    pairs, unclear = pair_names(films, source, target)
    failures = {}
    for film, copy in unclear:
        failures[str(film)] = f"its copy would have the name of another film's, {copy.name}"
        copy.unlink(missing_ok=True)  # of the time when it was that of one film
    todo = [pair for pair in pairs if overwrite or not is_up_to_date(*pair)]
    if overwrite:
        for copy in set(list_films(target)) - {copy for _, copy in pairs}:
            copy.touch()  # maybe made otherwise: not up to date if its film comes back

    def enhance(pair):
        try:
            enhance_film(*pair, **settings)
        except RadiographError as error:
            pair[1].unlink(missing_ok=True)  # it would be one of an earlier film
            return error.reason
        return None

    reasons = map_films(enhance, todo, f"CLAHE of {source.name}" if progress else None, workers)
    failures |= {str(film): why for (film, _), why in zip(todo, reasons, strict=True) if why}
    write_json(target / SETTINGS, settings)
    skipped = len(pairs) - len(todo)
    return len(films) - skipped - len(failures), skipped, failures


def complete_clahe(data_dir, split, progress=False):
    """Enhance the films of a split whose copies are missing, with the settings of those that are
    there; a folder that another program made is left as it is. Returns what was found, in words.
    """
    source, target = split_folder(data_dir, split), split_folder(data_dir, split, clahe=True)
    settings, failures = made_with(target), {}
    if settings == UNFINISHED:
        raise UserError(
            f"the folder holds films {describe_settings(settings)} ({target}). "
            f"Make all anew: python -m clahe.apply_{source.name} --data_dir {quote(data_dir)} --overwrite"
        )
    if settings is not None or not list_films(target):
        *_, failures = enhance_folder(source, target, progress=progress, **(settings or {}))
        settings = made_with(target)
    failed = f", {len(failures)} films without a copy" if failures else ""
    return f"{target}, {describe_settings(settings)}{failed}"


def made_with(target):
    """The settings that a folder of enhanced films was made with; None when it doesn't say.
    UserError when what it says is none of ours."""
    noted = Path(target) / SETTINGS
    if not noted.exists():
        return None
    with suppress(ValueError, AttributeError):
        settings = json.loads(noted.read_text())
        if settings == UNFINISHED or settings.keys() == {"clip_limit", "tile_grid"}:
            return settings
    raise UserError(
        f"not the settings of CLAHE copies ({noted}). Move the folder away and make it anew."
    )


def claim_folder(target, settings, overwrite):
    """Make the target folder ready; UserError when its films were made with other settings.

    The settings stand in the folder while every film in it was made with them: they are there
    before the first film of a new one, and come last where all films are made anew.
    """
    known = made_with(target)
    if known != settings and list_films(target):
        if not overwrite:
            same = "Use the same settings, move it" if known else "Move it"
            raise UserError(
                f"the folder holds films {describe_settings(known)} ({target}). "
                f"{same} away, or make all anew with --overwrite."
            )
        settings = UNFINISHED
    target.mkdir(parents=True, exist_ok=True)
    write_json(target / SETTINGS, settings)


def describe_settings(settings):
    """Settings as the options that make them; None are those of another program."""
    if settings is None:
        return "made by another program"
    if settings == UNFINISHED:
        return "only some of which were made anew"
    return "made with " + " ".join(f"--{name} {value}" for name, value in settings.items())


def pair_names(films, source, target):
    """Return (film, enhanced copy) pairs, and apart those whose copies would share a name, as those
    of a.png and a.jpg do."""
    pairs = [
        (film, target / film.relative_to(source).with_name(f"{name}.png"))
        for film in films
        for name in [film.stem if is_image(film.name) else film.name]
    ]
    count = Counter(copy for _, copy in pairs)
    unclear = [pair for pair in pairs if count[pair[1]] > 1]
    return [pair for pair in pairs if count[pair[1]] == 1], unclear


def is_up_to_date(film, copy):
    """Whether a copy bears the time of its film."""
    try:
        return copy.stat().st_mtime_ns == film.stat().st_mtime_ns
    except OSError:
        return False


def enhance_film(film, copy, clip_limit, tile_grid):
    """Write the enhanced copy of a film, of 8 bits, with the film's time."""
    image = apply_clahe(read_image(film), clip_limit, tile_grid)
    copy.parent.mkdir(parents=True, exist_ok=True)

    def write(file):
        file.write_bytes(cv2.imencode(".png", image, PNG)[1])
        time = film.stat().st_mtime_ns
        os.utime(file, ns=(time, time))

    write_atomically(copy, write)
