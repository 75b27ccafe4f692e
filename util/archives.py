"""What --source names: folders and zips of films, opened."""

import lzma
import tempfile
import unicodedata
import zipfile
import zlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from util.errors import UserError
from util.film_files import is_hidden, list_files, list_films
from util.parallel import progress_bar


@dataclass
class Source:
    """A folder of films, with its name as given, which may be that of a zip."""

    name: str
    folder: Path

    @property
    def is_zip(self):
        return Path(self.name).is_file()

    @cached_property
    def films(self):
        return list_films(self.folder)


def open_source(name, work):
    """Open a folder, or unpack a zip below `work`; UserError when it is neither."""
    path = Path(name)
    if path.is_dir():
        return Source(name, path.resolve())
    if not path.is_file():
        raise UserError(f"no such folder or zip (--source {name}). Check the path.")
    folder = Path(tempfile.mkdtemp(dir=work)).resolve()  # as films are listed
    try:
        unpack(path, folder, folds_case(folder))
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, UnicodeDecodeError):
        raise UserError(
            f"neither a folder nor a whole zip (--source {name}). Name the folder of the films, or "
            "download the zip again."
        ) from None
    except NotImplementedError:
        raise UserError(
            f"a zip of unknown compression (--source {name}). Unpack it yourself."
        ) from None
    except RuntimeError:  # zipfile's word for a password
        raise UserError(f"the zip is encrypted (--source {name}). Unpack it yourself.") from None
    return Source(name, folder)


def unpack(path, folder, folded):
    """Unpack a zip without the litter that macOS adds; a zip inside it is unpacked as well. For
    `folded` see `check_names`."""
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            member.filename = member.filename.replace("\\", "/")  # of some tools on Windows
        members = [m for m in archive.infolist() if not is_litter(m.filename)]
        check_names(members, path, folded)
        for member in progress_bar(members, desc=f"unpacking {path.name}", unit="file"):
            archive.extract(member, folder)  # never outside of `folder`
    for inner in [file for file in list_files(folder) if file.suffix.lower() == ".zip"]:
        target = inner.with_suffix("")
        if target.exists():  # its films would overwrite those of this folder
            target = Path(tempfile.mkdtemp(prefix=inner.stem, dir=inner.parent))
        unpack(inner, target, folded)
        inner.unlink()


def folds_case(folder):
    """Whether names that differ in capital letters are one to the file system, as on Windows and
    macOS; the name of the folder must have a letter."""
    return folder.with_name(folder.name.swapcase()).exists()


def check_names(members, path, folded):
    """UserError where two different files of a zip would be one: of one name, or if `folded` of
    names that differ in capital letters alone, or in how accents are written."""
    contents = {}
    for member in members:
        parts = member.filename.split("/")
        name = "/".join(part for part in parts if part not in ("", ".", ".."))  # as it is unpacked
        key = unicodedata.normalize("NFC", name).casefold() if folded else name
        if contents.setdefault(key, member.CRC) != member.CRC:
            aside = ", capital letters and accents aside" if folded else ""
            raise UserError(
                f"two files in {path.name} have one name, {name}{aside}. Unpack it where they are "
                "two, give one another name, and name the folder (--source)."
            )


def is_litter(name):
    return any(is_hidden(part) for part in Path(name).parts if part != "..")
