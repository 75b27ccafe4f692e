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
from util.files import write_atomically, write_json
from util.film_files import is_image, list_films
from util.parallel import map_films
from util.radiographs import RadiographError, read_image, stretch_contrast

CLIP_LIMIT = 2.0
TILE_GRID = 8  # tiles along each side; 64, as earlier versions had it, boosts noise
FINEST_GRID = 256  # each tile has a lookup table: 16 MB for a film
# quicker than OpenCV's default, files a tenth smaller
PNG = [
    cv2.IMWRITE_PNG_COMPRESSION,
    1,
    cv2.IMWRITE_PNG_STRATEGY,
    cv2.IMWRITE_PNG_STRATEGY_HUFFMAN_ONLY,
    cv2.IMWRITE_PNG_FILTER,
    cv2.IMWRITE_PNG_FILTER_UP,
]
SETTINGS = "clahe.json"  # in a folder of enhanced films: what they were made with


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
    of films, and {path: reason}. Raises UserError when `source` has no films, or when `target`
    holds other films, see `claim_folder`.
    """
    source, target = Path(source).resolve(), Path(target).resolve()
    films = list_films(source)
    if not films:
        raise UserError(f"no films to enhance ({source}). Check --data_dir.")
    if target == source:
        raise UserError(f"copies would replace their films ({target}). Remove the link.")
    settings = {"clip_limit": clip_limit, "tile_grid": tile_grid}
    pairs, unclear = pair_names(films, source, target)
    claim_folder(target, settings, overwrite, {copy for _, copy in pairs})
    failures = {}
    for film, copy in unclear:
        failures[str(film)] = f"its copy would share the name {copy.name} with another"
        copy.unlink(missing_ok=True)  # from when only one film had this name
    todo = [pair for pair in pairs if overwrite or not is_up_to_date(*pair)]

    def enhance(pair):
        try:
            enhance_film(*pair, **settings)
        except RadiographError as error:
            pair[1].unlink(missing_ok=True)  # a copy that is there is of an earlier film
            return error.reason
        return None

    reasons = map_films(enhance, todo, f"CLAHE of {source.name}" if progress else None, workers)
    failures |= {str(film): why for (film, _), why in zip(todo, reasons, strict=True) if why}
    skipped = len(pairs) - len(todo)
    return len(films) - skipped - len(failures), skipped, failures


def complete_clahe(data_dir, split, progress=False):
    """Make the missing CLAHE copies of a split with the settings of the existing copies. Returns a
    description of the folder.

    A folder that another program made is left as it is.
    """
    source, target = split_folder(data_dir, split), split_folder(data_dir, split, clahe=True)
    settings, failures = made_with(target), {}
    if settings is not None or not list_films(target):
        *_, failures = enhance_folder(source, target, progress=progress, **(settings or {}))
        settings = made_with(target)
    failed = f", {len(failures)} films without a copy" if failures else ""
    return f"{target}, {describe_settings(settings)}{failed}"


def made_with(target):
    """Return the settings that a folder of enhanced films was made with; None when they aren't
    recorded. UserError when the record is none of ours."""
    noted = Path(target) / SETTINGS
    if not noted.exists():
        return None
    with suppress(ValueError, AttributeError):
        settings = json.loads(noted.read_text())
        if settings.keys() == {"clip_limit", "tile_grid"}:
            return settings
    raise UserError(
        f"not the settings of CLAHE copies ({noted}). Move the folder away and make it again."
    )


def claim_folder(target, settings, overwrite, copies):
    """Make the target folder ready, and record the settings, which are those of every film in it:
    with `overwrite`, films of other settings are removed. UserError without it, or when films are
    of another program and some are none of `copies`, paths that will be written.
    """
    known, held = made_with(target), set(list_films(target))
    if held and known != settings:
        linked = any(not copy.parent.resolve().is_relative_to(target) for copy in held)
        foreign = linked or (known is None and not held <= copies)
        if foreign or not overwrite:
            same = "Use the same settings, move it" if known else "Move it"
            remake = "" if foreign else ", or remake all with --overwrite"
            raise UserError(
                f"the folder holds films {describe_settings(known)} ({target}). {same} away{remake}."
            )
        for copy in held:
            copy.unlink()
    target.mkdir(parents=True, exist_ok=True)
    write_json(target / SETTINGS, settings)


def describe_settings(settings):
    """Describe settings by the options that choose them; None means that another program made the
    films."""
    if settings is None:
        return "made by another program"
    return "made with " + " ".join(f"--{name} {value}" for name, value in settings.items())


def pair_names(films, source, target):
    """Return two lists of (film, enhanced copy) pairs: those to write, and those whose copies would
    share a name, as those of a.png and a.jpg do."""
    pairs = [
        (film, target / film.relative_to(source).with_name(f"{name}.png"))
        for film in films
        for name in [film.stem if is_image(film.name) else film.name]
    ]
    count = Counter(copy for _, copy in pairs)
    unclear = [pair for pair in pairs if count[pair[1]] > 1]
    return [pair for pair in pairs if count[pair[1]] == 1], unclear


def is_up_to_date(film, copy):
    """Whether a copy has the modification time of its film, and the film was not changed later.

    Films of an archive may all have one modification time; the time of the last change (ctime) then
    shows that names were swapped, or a film replaced.
    """
    try:
        of_film, of_copy = film.stat(), copy.stat()
    except OSError:
        return False
    same_time = of_film.st_mtime_ns == of_copy.st_mtime_ns
    return same_time and of_film.st_ctime_ns <= of_copy.st_ctime_ns


def enhance_film(film, copy, clip_limit, tile_grid):
    """Write the enhanced copy of a film, of 8 bits, with the film's modification time."""
    image = apply_clahe(read_image(film), clip_limit, tile_grid)
    copy.parent.mkdir(parents=True, exist_ok=True)

    def write(file):
        file.write_bytes(cv2.imencode(".png", image, PNG)[1])
        time = film.stat().st_mtime_ns
        os.utime(file, ns=(time, time))

    write_atomically(copy, write)
