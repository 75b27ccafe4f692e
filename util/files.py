"""Write files and folders completely or not at all, check them before work, and quote paths."""

import ast
import hashlib
import json
import os
import secrets
import shlex
import shutil
import subprocess
import time
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from itertools import count
from pathlib import Path

from util.errors import UserError, first_line

TEMPORARY = ".boneage-"  # start of the names of files that are being written
LONG_NAME = 100  # bytes; the temporary names of longer ones hold a hash instead
MORE_TRIES = 60 if os.name == "nt" else 0  # to move a file that another program has open
PAUSE = 0.5  # seconds before each new try
LITTER = {".DS_Store", "desktop.ini", "Thumbs.db"}  # what systems leave in folders that were opened


def move(path, target):
    """Rename a file or folder, replacing a file that has the new name. Windows refuses while a
    program, such as a virus scanner or Excel, has one of them open; then try again for a while.
    """
    for _ in range(MORE_TRIES):
        try:
            Path(path).replace(target)
            return
        except PermissionError:
            time.sleep(PAUSE)
    Path(path).replace(target)


def write_atomically(path, write, give_name=move, flush=False):
    """Write a file under a temporary name and rename it, so that readers see all of it or nothing.

    With `flush` this holds even if the power fails, but it waits for the disk. `write` gets the
    temporary path, which is in the same folder and has the same ending. `give_name` is `move`, or
    `claim` for a file that must be new.
    """
    path = Path(path)
    # a random name: no other process uses it, and no link that somebody left has it
    name = path.name
    if len(os.fsencode(name)) > LONG_NAME:  # the prefix could make the name too long for a file
        name = hashlib.sha256(os.fsencode(name)).hexdigest() + path.suffix
    temporary = path.with_name(f"{TEMPORARY}{secrets.token_hex(8)}-{name}")
    try:
        write(temporary)
        if flush:
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
        give_name(temporary, path)
    except OSError as error:
        if error.errno and error.filename in (None, str(temporary)):  # a full disk gives no name
            error.filename = str(path)
        raise
    finally:
        with suppress(PermissionError):  # Windows, if another program has it open: it stays
            temporary.unlink(missing_ok=True)


def remove_temporaries(folder, older=0):
    """Remove the temporary files that killed processes left in a folder. If other processes may be
    writing to it now, remove only those that are `older` than so many seconds."""
    for temporary in Path(folder).glob(f"{TEMPORARY}*"):
        with suppress(FileNotFoundError, PermissionError):  # others may remove it, or have it open
            if time.time() - temporary.stat().st_mtime >= older:
                temporary.unlink()


def quote(path):
    """Return a path as it is typed into the shell of this system."""
    return subprocess.list2cmdline([path]) if os.name == "nt" else shlex.quote(str(path))


def as_unicode(path):
    """Return a path, or a text with a path, that can be printed even if a name is not Unicode."""
    return str(path).encode("utf-8", "backslashreplace").decode()


def check_new_file(path):
    """Raise UserError, before any work, if the file of --out exists or can't be written."""
    if os.path.lexists(path):
        raise UserError(f"the file is there already ({path}). Choose another --out.")
    check_folder_of(path)


def check_folder_of(path):
    """Raise UserError if the folder for the file of --out is missing or can't be written to."""
    folder = Path(path).resolve().parent
    if not folder.is_dir():
        raise UserError(f"no such folder ({folder}). Make it, or choose another --out.")
    check_writable(folder)


def record_path(path):
    """The path of the record beside a file, FILE.json: how the file was made."""
    return Path(f"{path}.json")


def write_json(path, content, give_name=move):
    write_text(path, json.dumps(content, indent=2) + "\n", give_name)


def write_text(path, text, give_name=move):
    """Write a text in UTF-8; file names in it need not be Unicode."""

    def write(file):
        file.write_text(text, encoding="utf-8", errors="backslashreplace")

    write_atomically(path, write, give_name)


def claim(temporary, path):
    """Give a written file its name; FileExistsError if another file has it, even one that another
    process writes at this moment."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError:  # no links on this file system: of two at one moment, the last wins
        if path.exists():
            raise FileExistsError(path) from None
        move(temporary, path)


def write_csv(path, table, give_name=move):
    """Write a pandas frame without its index; file names in it need not be Unicode. UserError if
    `give_name` is `claim` and the file exists by now, as another process may have written it."""

    def write(file):
        table.to_csv(file, index=False, errors="backslashreplace")

    try:
        write_atomically(path, write, give_name)
    except FileExistsError:
        check_new_file(path)
        raise


def numbered(path, ending=""):
    """Yield a path, then the same with _2, _3 and so on before the `ending` of the name."""
    yield path
    for number in count(2):
        yield path.with_name(f"{path.name.removesuffix(ending)}_{number}{ending}")


def check_place(path, option="--out"):
    """Raise UserError, before any work, if no folder could be made at the path of an option."""
    place = next((place for place in Path(path).resolve().parents if place.exists()), None)
    if not place:  # a missing drive, on Windows
        raise UserError(f"no such drive ({path}). Choose another {option}.")
    if not place.is_dir():
        raise UserError(f"not a folder ({place}). Choose another {option}.")
    check_writable(place, option)


def is_empty(folder):
    """Whether a folder is empty, except for LITTER."""
    return not {path.name for path in folder.iterdir()} - LITTER


def check_new_folder(path, option="--out"):
    """Raise UserError, before any work, if the path of an option exists and is no empty folder, or
    if no folder could be made there."""
    path = Path(path)
    if path.is_dir() and is_empty(path):
        check_writable(path, option)
        return
    check_place(path, option)
    if os.path.lexists(path):
        raise UserError(f"that already exists ({path}). Choose another {option}.")


def choose_folder(given, default):
    """Return the folder to write to: the `given` one of --out, which must be new or empty, or else
    the `default`, to which `new_folder` adds a number if needed. Raises UserError, before any work,
    if the folder can't be made."""
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
    """Make a folder that will be written to at once, and return its path. If the path is taken, by
    a file or a folder that isn't empty, add a number. Raises UserError if it can't be made."""
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
    """Yield a new folder in `parent` and remove it at the end; finished files are moved out of it.

    Folders of `tempfile` won't do: only their owner has access, and on Windows files made in one
    keep this when they are moved.
    """
    folder = Path(parent) / f"{prefix}{secrets.token_hex(8)}"
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def file_state(path):
    """Return what changes when a file is written to or replaced: its size and its times; None if
    there is no such file.

    Films of an archive may all have one modification time, and uncompressed ones one size: only the
    time of the last change (ctime) then shows that names were swapped, or a film replaced.
    """
    try:
        stat = Path(path).stat()
    except OSError:
        return None
    return stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns


def hash_file(path):
    """Return the SHA-256 of a file."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def hash_code(*modules):
    """Return a hash of the code of modules, given their names; comments don't change it, docstrings
    do. What is kept on disk under such a hash is not found again when the code that made it has
    changed. Call it while modules are imported: later their files may be others."""
    trees = [ast.dump(ast.parse(Path(find_spec(name).origin).read_bytes())) for name in modules]
    return hashlib.sha256("\n".join(trees).encode()).hexdigest()
