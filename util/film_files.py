"""Films on disk: which files are films."""

import os
import re
import unicodedata
from pathlib import Path

from util.data_folder import COPIES, REPORT
from util.dicom import is_dicom_file
from util.errors import UserError, first_line
from util.image_kinds import IMAGE_ENDINGS, without_endings

OF_SYSTEMS = {"lost+found", "$recycle.bin", "system volume information"}  # a disk's own folders


def list_films(folder):
    """Return all films in a folder and below, see `list_files`."""
    return [path for path in list_files(folder) if is_film(path)]


def list_files(folder):
    """Return all files in a folder and below, sorted by name, except those in folders that are
    passed over (`is_passed_over`). Links to other folders are followed, and no folder is listed
    twice. Raises UserError for a folder that can't be read: nobody would notice the missing films.
    """
    folder = Path(folder).resolve()
    found, seen = [], set()
    for where, folders, files in os.walk(folder, onerror=refuse_unreadable, followlinks=True):
        place = Path(where).resolve()
        if place in seen or (Path(where).is_symlink() and leads_back(place, folder)):
            folders[:] = []
            continue
        seen.add(place)
        folders[:] = sorted(f for f in folders if not is_passed_over(f))
        found += [Path(where) / f for f in sorted(files)]
    return found


def refuse_unreadable(error):
    """Raise UserError for a folder that exists but can't be listed."""
    if not isinstance(error, (FileNotFoundError, NotADirectoryError)):
        raise UserError(
            f"can't read a folder: {first_line(error)} ({error.filename}). Correct its rights, or "
            "move it elsewhere."
        )


def is_passed_over(name):
    """Whether to skip a folder by its name: it is hidden, it was made by the toolkit (`*_CLAHE`
    copies, which are beside their originals, or a quality report), or systems keep it on a disk."""
    made = name.endswith(COPIES) or re.fullmatch(rf"{REPORT}(_\d+)?", name)
    return is_hidden(name) or bool(made) or name.lower() in OF_SYSTEMS


def leads_back(place, folder):
    """Whether the target of a link is in a folder, where it is listed anyway, or above it."""
    return place.is_relative_to(folder) or folder.is_relative_to(place)


def films_or_error(folder):
    """Return `list_films` as paths that begin with the folder as it was named. Raises UserError if
    there are none."""
    films = list_films(folder)
    if not films:
        raise UserError(f"no image in the folder ({folder}). Name the folder of the films.")
    return [Path(folder) / film.relative_to(Path(folder).resolve()) for film in films]


def is_image(name):
    """Whether a file name is that of an image, and not hidden."""
    return name.lower().endswith(IMAGE_ENDINGS) and not is_hidden(name)


def is_film(path):
    """Whether a file is an image by its name, or DICOM with any name, as hospital archives export
    it (IM000001, a UID). DICOMDIR, the table of contents of a disc, is no film."""
    if is_image(path.name):
        return True
    return not is_hidden(path.name) and path.name.upper() != "DICOMDIR" and is_dicom_file(path)


def stem_of(film):
    """Return the `composed` name of a film without its image endings, see `without_endings`."""
    name = composed(film.name)
    return without_endings(name) if is_image(name) else name


def is_hidden(name):
    """Whether a file or folder is hidden, or litter of macOS in zips or of Excel."""
    return name.startswith((".", "__MACOSX", "~$"))


def composed(name):
    """Return a name in Unicode's composed form (NFC). macOS may write an accent as a separate
    character."""
    return unicodedata.normalize("NFC", name)
