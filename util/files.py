"""Files and folders: written whole or not at all, checked before work, and their names as text."""

import hashlib
import json
import os
import secrets
import shlex
import shutil
import subprocess
import time
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from uuid import uuid4

from util.errors import UserError, first_line

TEMPORARY = ".boneage-"  # begins the names of files that are being written
LONG_NAME = 100  # bytes
MORE_TRIES = 60 if os.name == "nt" else 0  # to move a file that another program has open
PAUSE = 0.5  # seconds before each of them
LITTER = {".DS_Store", "desktop.ini", "Thumbs.db"}  # what systems leave where somebody looked


def move(path, target):
    """Give a file or folder another name, over a file that has it. Windows refuses while another
    program has one of them open, such as a virus scanner or Excel: it is tried again for a while.
    """
    for _ in range(MORE_TRIES):
        try:
            Path(path).replace(target)
            return
        except PermissionError:
            time.sleep(PAUSE)
    Path(path).replace(target)


def write_atomically(path, write, give_name=move, flush=False):
    """Write a file under a temporary name and rename it: readers see all of it or nothing, with
    `flush` even when the power fails, which waits for the disk.

    `write` gets the temporary path, in the same folder and with the same ending.
    """
    path = Path(path)
    # drawn by chance: no other process writes it, and no link that somebody left has it
    name = path.name
    if len(os.fsencode(name)) > LONG_NAME:  # with what stands before it, no file could have it
        name = hashlib.sha256(os.fsencode(name)).hexdigest() + path.suffix
    temporary = path.with_name(f"{TEMPORARY}{secrets.token_hex(8)}-{name}")
    try:
        write(temporary)
        if flush:
            flush_to_disk(temporary)
        give_name(temporary, path)
    except OSError as error:
        if error.errno and error.filename in (None, str(temporary)):  # a full disk tells no name
            error.filename = str(path)
        raise
    finally:
        with suppress(PermissionError):  # Windows, while another program looks at it: it is litter
            temporary.unlink(missing_ok=True)


def flush_to_disk(path):
    """Wait until a file is on the disk."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def remove_temporaries(folder, older=0):
    """Remove what killed processes left in a folder: all of it where nobody else may write now,
    else what is `older` than so many seconds."""
    for temporary in Path(folder).glob(f"{TEMPORARY}*"):
        with suppress(FileNotFoundError, PermissionError):  # others may do the same, or look at it
            if time.time() - temporary.stat().st_mtime >= older:
                temporary.unlink()


def quote(path):
    """A path as it is typed into the shell of this system."""
    return subprocess.list2cmdline([path]) if os.name == "nt" else shlex.quote(str(path))


def as_unicode(path):
    """A path, or a text that holds one, that can be written anywhere: names need not be Unicode."""
    return str(path).encode("utf-8", "backslashreplace").decode()


def check_new_file(path):
    """UserError, before any work, when the file of --out exists or can't be written."""
    if os.path.lexists(path):
        raise UserError(f"the file is there already ({path}). Choose another --out.")
    check_folder_of(path)


def check_folder_of(path):
    """UserError when there is no folder for the file of --out, or none that can be written to."""
    folder = Path(path).resolve().parent
    if not folder.is_dir():
        raise UserError(f"no such folder ({folder}). Make it, or choose another --out.")
    check_writable(folder)


def write_json(path, content):
    write_atomically(path, lambda file: file.write_text(as_json(content)))


def write_new_json(path, content):
    """Write a JSON file whole or not at all; FileExistsError when there is one, also when another
    process writes it at this moment."""
    write_atomically(path, lambda file: file.write_text(as_json(content)), claim)


def as_json(content):
    return json.dumps(content, indent=2) + "\n"


def claim(temporary, path):
    """Give a written file its name, unless another has it."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError:  # no links on this file system: the last of two at one moment gets it
        if path.exists():
            raise FileExistsError(path) from None
        move(temporary, path)


def write_csv(path, table):
    """Write a pandas frame without its index; file names need not be Unicode."""
    write_atomically(path, lambda file: save_csv(file, table))


def save_csv(path, table):
    table.to_csv(path, index=False, errors="backslashreplace")


def write_new_csv(path, table):
    """Write a pandas frame as `write_csv` does; UserError when there is a file of that name by now,
    as another process may have written."""
    try:
        write_atomically(path, lambda file: save_csv(file, table), claim)
    except FileExistsError:
        check_new_file(path)
        raise


def numbered(path, ending=""):
    """A path, and the same with 2, 3 and so on behind its name, before its ending."""
    yield path
    for number in count(2):
        yield path.with_name(f"{path.name.removesuffix(ending)}_{number}{ending}")


def check_place(path, option="--out"):
    """UserError, before any work, when no folder could be made at the path of an option."""
    place = next((place for place in Path(path).resolve().parents if place.exists()), None)
    if not place:  # on Windows
        raise UserError(f"no such drive ({path}). Choose another {option}.")
    if not place.is_dir():
        raise UserError(f"that is no folder ({place}). Choose another {option}.")
    check_writable(place, option)


def is_empty(folder):
    """Whether a folder holds nothing but what systems leave where somebody looked."""
    return not {path.name for path in folder.iterdir()} - LITTER


def check_new_folder(path, option="--out"):
    """UserError, before any work, when something is at the path of an option already, but for an
    empty folder, or when no folder could be made there."""
    path = Path(path)
    if path.is_dir() and is_empty(path):
        check_writable(path, option)
        return
    check_place(path, option)
    if os.path.lexists(path):
        raise UserError(f"there is something already ({path}). Choose another {option}.")


def choose_folder(given, default):
    """Where to write: the folder of --out, which must be new or empty, else a default one, which
    `new_folder` numbers. UserError, before any work, where neither can be."""
    if given:
        check_new_folder(given)
    else:
        check_place(default)
    return given or default


def check_writable(folder, option="--out"):
    if not os.access(folder, os.W_OK):
        raise UserError(
            f"no permission to write to the folder ({folder}). Choose another {option}."
        )


def new_folder(path):
    """Make a folder to write into at once, and return its path; with a number behind its name when
    there is one already that holds anything. Raises UserError when it can't be made."""
    names = numbered(Path(path).resolve())
    while True:
        folder = next(names)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if is_empty(folder):
                return folder
        except FileExistsError:  # a file of that name
            pass
        except OSError as error:
            raise UserError(
                f"can't write: {first_line(error)} ({folder}). Choose another place with --out."
            ) from None


@contextmanager
def working_folder(parent, prefix):
    """A new folder in `parent`, removed at the end, for what is moved out of it when it is whole.
    One of `tempfile` is its owner's alone, and on Windows so stays what was made in it."""
    folder = Path(parent) / f"{prefix}{uuid4().hex}"
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def hash_file(path):
    """SHA-256 of a file."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()
