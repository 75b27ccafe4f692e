"""A new data folder: nothing in it is ever overwritten, and it is whole or not there."""

import shutil
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path

from preprocessing import SPLITS
from util.errors import UserError
from util.files import write_csv

LEFT_OUT = "import_left_out.csv"


@contextmanager
def new_data_folder(data_dir):
    """Give a working folder inside `data_dir`; what its folder `ready` holds, at first the empty folders
    of the splits, moves in place at the end, and nothing stays behind after a failure. Refuses a
    folder that holds data already."""
    data_dir = Path(data_dir)
    is_new = not data_dir.exists()
    for name in (*(n for pair in SPLITS.values() for n in pair), LEFT_OUT):
        path = data_dir / name
        if path.is_file() or (path.is_dir() and any(path.iterdir())):
            raise UserError(
                f"there is data already ({path}). Choose another --data_dir, or move it away."
            )
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=".import-", dir=data_dir))
    except OSError as error:
        raise UserError(f"can't write: {error.strerror} ({data_dir}). Choose another.") from None
    try:
        for folder, _ in SPLITS.values():
            (work / "ready" / folder).mkdir(parents=True)
        yield work
        for path in (work / "ready").iterdir():
            if (data_dir / path.name).is_dir():
                (data_dir / path.name).rmdir()  # empty, else it would have been refused
            path.replace(data_dir / path.name)
    finally:
        shutil.rmtree(work, ignore_errors=True)
        if is_new:
            with suppress(OSError):  # it holds something, as after a success
                data_dir.rmdir()


def write_tables(films, folder):
    """Write the tables of the native layout; whose a film is stands there where it was told."""
    columns = ["id", "filename", "boneage", "sex", "gender"]
    if (films["patient"] != "").any():
        columns.append("patient")
    gender = films["sex"].map({1.0: "male", 0.0: "female"})
    films = films.assign(sex=films["sex"].astype(int), gender=gender)
    for name, (_, table) in SPLITS.items():
        write_csv(folder / table, films.loc[films["split"] == name, columns])
