"""The data folder: where its films and tables are, and how a new one is made.

A new folder is made completely or not at all. Nothing in a data folder is ever overwritten.
"""

import os
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from util.errors import UserError, first_line, print_note
from util.files import LITTER, is_empty, move, working_folder, write_csv


class Place(NamedTuple):
    """The names of a split's image folder and table."""

    folder: str
    table: str


SPLITS = {
    "train": Place("train", "df_train.csv"),
    "val": Place("validation", "df_val.csv"),
    "test": Place("test", "df_test.csv"),
}
SHARES = (0.8, 0.1, 0.1)  # of films for each split, where an import draws them
LEFT_OUT = "import_left_out.csv"
IMPORT = "import.json"  # records how the folder was made
REPORT = "quality_report"  # the folder that check_nan_in_dfs.py writes; later ones get a number
WORK = ".import-"  # start of the name of an import's working folder
COPIES = "_CLAHE"  # added to the name of a folder of films: the folder of their CLAHE copies


def split_folder(data_dir, split, clahe=False):
    """The folder of a split's films, or that of their CLAHE copies."""
    name = SPLITS[split].folder
    return Path(data_dir) / (name + COPIES if clahe else name)


def split_paths(data_dir, split, clahe=False):
    """Return (table, image folder) of a split. Raises UserError if either is missing, or if there
    is no such split."""
    if split not in SPLITS:
        raise UserError(f"unknown split ({split}). Known: {', '.join(SPLITS)}.")
    folder, table = split_folder(data_dir, split, clahe), Path(data_dir) / SPLITS[split].table
    check_data_dir(data_dir)
    for path in (table, folder):
        if not path.exists():
            raise UserError(
                f"{path.name} is missing ({path}). "
                "Make the data folder with import_data.py, or see Data/README.md."
            )
    return table, folder


def check_data_dir(data_dir):
    """Raise UserError if there is no such folder."""
    if not Path(data_dir).is_dir():
        raise UserError(
            f"no data folder ({data_dir}). Name it with --data_dir, or make one with "
            "import_data.py (own films) or make_phantoms.py (synthetic hands)."
        )


def cache_path(data_dir, cache_dir=None):
    """The folder for what is computed from films: --cache_dir, or one in the data folder."""
    return Path(cache_dir or Path(data_dir) / "cache")


@contextmanager
def new_data_folder(data_dir):
    """Yield (working folder inside `data_dir`, folder to fill inside the working folder).

    The folder to fill has an empty folder for each split. At the end, all that it holds is moved
    into `data_dir`; after a failure, nothing is left behind. Raises UserError if `data_dir` already
    holds data, or can't be written to.
    """
    data_dir = Path(data_dir)
    is_new = not data_dir.exists()
    check_empty(data_dir)
    for left in sorted(data_dir.glob(f"{WORK}*")):
        print_note(
            f"an import that was killed left films behind ({left}). Remove it, unless another "
            "import is running."
        )
    with ExitStack() as stack:
        try:
            data_dir.mkdir(parents=True, exist_ok=True)
            if is_new:
                stack.callback(remove_empty, data_dir)
            work = stack.enter_context(working_folder(data_dir, WORK))
        except OSError as error:
            raise UserError(
                f"can't write: {first_line(error)} ({data_dir}). Choose another --data_dir."
            ) from None
        ready = work / "ready"
        for place in SPLITS.values():
            (ready / place.folder).mkdir(parents=True)
        yield work, ready
        check_empty(data_dir)  # another process may have filled it
        # folders first: if films have appeared there by now, this fails before a table is moved
        for path in sorted(ready.iterdir(), key=Path.is_file):
            place = data_dir / path.name
            if place.is_dir():
                for name in LITTER:
                    (place / name).unlink(missing_ok=True)
                place.rmdir()  # empty, as `check_empty` has made sure
            move(path, place)


def remove_empty(folder):
    """Remove a folder if it is empty."""
    with suppress(OSError):
        folder.rmdir()


def check_empty(data_dir):
    """Raise UserError if a folder holds films or tables of splits, or records of an import, or if
    a folder of a split is a link or a disk of its own: no other folder could take its place."""
    for name in (*(name for place in SPLITS.values() for name in place), LEFT_OUT, IMPORT):
        path = data_dir / name
        if path.is_file() or (path.is_dir() and not is_empty(path)):
            raise UserError(
                f"there is data already ({path}). Choose another --data_dir, or move it away."
            )
        if path.is_symlink() or os.path.ismount(path):
            raise UserError(
                f"a link or a disk is in the way ({path}). Remove it, or choose another --data_dir."
            )


def write_tables(films, folder):
    """Write the tables of the native layout, with a column `patient` if any film has one."""
    columns = ["id", "filename", "boneage", "sex", "gender"]
    if (films["patient"] != "").any():
        columns.append("patient")
    gender = films["sex"].map({1.0: "male", 0.0: "female"})
    films = films.assign(sex=films["sex"].astype(int), gender=gender)
    for name, place in SPLITS.items():
        write_csv(folder / place.table, films.loc[films["split"] == name, columns])
