"""Open what --source names: folders and zips of films, and tables."""

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
from util.tables.text import TABLE_ENDINGS


@dataclass
class Source:
    """A folder of films. `name` is the --source as given, which may be a zip or a table."""

    name: str
    folder: Path

    @property
    def is_file(self):
        return Path(self.name).is_file()

    @cached_property
    def films(self):
        return list_films(self.folder)


def open_source(name, work):
    """Return the Source of a folder, of a zip, which is unpacked into a new folder in `work`, or of
    a table, whose folder is empty.

    Raises UserError if `name` is none of these, or if the zip can't be unpacked.
    """
    path = Path(name)
    if path.is_dir():
        return Source(name, path.resolve())
    if not path.is_file():
        raise UserError(f"no such folder or zip (--source {name}). Check the path.")
    folder = Path(tempfile.mkdtemp(dir=work)).resolve()  # as `list_films` does
    if path.suffix.lower() in TABLE_ENDINGS:
        return Source(name, folder)
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
    except RecursionError:
        raise UserError(
            f"zips within zips, or folders, too deep (--source {name}). Unpack it yourself."
        ) from None
    except RuntimeError:  # zipfile raises it for an encrypted zip
        raise UserError(f"the zip is encrypted (--source {name}). Unpack it yourself.") from None
    return Source(name, folder)


def unpack(path, folder, folded):
    """Unpack a zip, and the zips inside it, without hidden files and the litter that macOS adds.
    For `folded` see `check_names`."""
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            name = name_in_utf8(member)
            member.filename = name.replace("\\", "/")  # some tools on Windows write it
        members = [m for m in archive.infolist() if not is_litter(m.filename)]
        check_names(members, path, folded)
        for member in progress_bar(members, desc=f"unpacking {path.name}", unit="file"):
            archive.extract(member, folder)  # never writes outside `folder`
    for inner in [file for file in list_files(folder) if file.suffix.lower() == ".zip"]:
        target = inner.with_suffix("")
        if target.exists():  # films of the zip would overwrite those in it
            target = Path(tempfile.mkdtemp(prefix=inner.stem, dir=inner.parent))
        unpack(inner, target, folded)
        inner.unlink()


def name_in_utf8(member):
    """Return the name of a member of a zip; in UTF-8 where it is, as macOS doesn't say so."""
    if member.flag_bits & 0x800:  # it is said
        return member.filename
    try:
        return member.filename.encode("cp437").decode()
    except UnicodeError:
        return member.filename


def folds_case(folder):
    """Whether the file system ignores case in names, as on Windows and macOS. The name of `folder`
    must have a letter."""
    return folder.with_name(folder.name.swapcase()).exists()


def check_names(members, path, folded):
    """Raise UserError if two different files of a zip would be unpacked as the same file. If
    `folded`, names that differ only in case, or in how accents are encoded, are the same."""
    contents = {}
    for member in members:
        parts = member.filename.split("/")
        name = "/".join(part for part in parts if part not in ("", ".", ".."))  # once unpacked
        key = unicodedata.normalize("NFC", name).casefold() if folded else name
        if contents.setdefault(key, member.CRC) != member.CRC:
            aside = ", ignoring case and accents" if folded else ""
            raise UserError(
                f"two files in {path.name} have one name, {name}{aside}. Unpack it where both "
                "can exist, rename one, and name the folder (--source)."
            )


def is_litter(name):
    return any(is_hidden(part) for part in Path(name).parts if part != "..")
