"""Imported films as files in the folders of their splits."""

import os
import shutil
from pathlib import Path

import cv2
import numpy as np

from util.data_folder import SPLITS, write_tables
from util.dicom import is_dicom_file
from util.film_files import is_hidden
from util.image_kinds import ENDINGS
from util.parallel import map_films
from util.radiographs import UNREADABLE, RadiographError, check_regular, read_image

# on a file system that ignores the case of names
ALIKE = "its name differs from another film's only in capital letters"
NOT_IN_NAMES = set('<>:"|?*' if os.name == "nt" else "")  # characters that are not allowed
DEVICES = {"CON", "PRN", "AUX", "NUL"} | {
    f"{kind}{n}" for kind in ("COM", "LPT") for n in range(1, 10)
}
NO_NAMES = DEVICES if os.name == "nt" else set()
LONGEST_FILE_NAME = 255  # bytes; what file systems can hold


def place_films(films, max_side, ready):
    """Bring films to `ready/<split folder>/<id><ending>` and write the tables of the splits.

    Files are hard-linked where the file system can, else copied. With `max_side` (pixels) they are
    rewritten as PNG, shrunk to it; DICOM files always are, as they name the patient. Returns (films
    in place, rows that failed with reasons).
    """
    rewritten = [is_rewritten(path, max_side) for path in films["path"]]
    endings = [
        ".png" if anew else Path(path).suffix.lower()
        for path, anew in zip(films["path"], rewritten, strict=True)
    ]
    names = films["id"] + endings

    def place(film):
        path, split, name, anew = film
        target = ready / SPLITS[split].folder / name
        if reason := why_no_name(name):
            return reason
        try:
            if anew:
                write_png(path, target, max_side)
            else:
                link_or_copy(path, target)
        except RadiographError as error:
            return error.reason
        return ""

    rows = list(zip(films["path"], films["split"], names, rewritten, strict=True))
    reasons = map_films(place, rows, "films")
    failed = np.array([reason != "" for reason in reasons], bool)
    placed = films.assign(filename=names)[~failed]
    write_tables(placed, ready)
    given = [Path(path).name for path in films["path"]]
    return placed, films[["id"]].assign(filename=given, reason=reasons)[failed]


def why_no_name(name):
    """Return why a name, that of the id of a film, can't be that of its file; "" if it can."""
    if is_hidden(name):  # would be skipped where the folder is listed
        return "its id begins with a dot"
    if not NOT_IN_NAMES.isdisjoint(name):
        return "its id has a character that Windows forbids in file names"
    if name.partition(".")[0].upper() in NO_NAMES:
        return "its id is the name of a device on Windows"
    if len(os.fsencode(name)) > LONGEST_FILE_NAME:
        return "its id is too long for the name of a file"
    return ""


def is_rewritten(path, max_side):
    return bool(max_side) or str(path).lower().endswith(ENDINGS["DICOM"]) or is_dicom_file(path)


def link_or_copy(path, target):
    """Hard-link a file, or copy it where the file system can't link; symbolic links are followed.

    RadiographError when it can't be read, or when the target exists: writing to that would write
    through its link into a user's film.
    """
    try:
        check_regular(path)
        os.link(os.path.realpath(path), target)
    except FileExistsError:
        raise RadiographError(path, ALIKE) from None
    except OSError:
        if not os.access(path, os.R_OK):
            raise RadiographError(path, UNREADABLE) from None
        with Path(path).open("rb") as film, new_file(target, path) as copy:
            shutil.copyfileobj(film, copy)
        shutil.copystat(path, target)


def write_png(path, target, max_side):
    """Write an image as PNG, shrunk so that no side is above `max_side` pixels (None or 0: no
    limit); 16 bit stays 16 bit."""
    image = read_image(path)
    scale = (max_side or max(image.shape)) / max(image.shape)
    if scale < 1:
        height, width = (max(1, round(side * scale)) for side in image.shape)
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    with new_file(target, path) as file:
        file.write(cv2.imencode(".png", image)[1].tobytes())


def new_file(target, path):
    """Open the new file `target` for the film at `path`; RadiographError when it exists."""
    try:
        return target.open("xb")
    except FileExistsError:
        raise RadiographError(path, ALIKE) from None
