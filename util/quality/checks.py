"""What is wrong with a data folder: its tables, its films, and pictures that occur twice.

    audit = check_data(read_tables("Data"))
    audit.flags     # one row for each thing that is wrong: severity, check, split, row, id, ...

Every row and every film is looked at, and each file is read once.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from util.parallel import map_films
from util.quality.film_checks import check_films, check_same, oddities_of_small, read_film
from util.quality.flags import CHECKS
from util.quality.same_pictures import same_pictures
from util.quality.table_checks import Tables
from util.tables.left_out import split_usable


@dataclass
class Audit:
    """All findings: the `tables`, the `flags` of tables and films, `usable` (the rows that training
    would take), `films` (kind, depth in bits, width and height in pixels, reason "" or why it is
    unusable) and `same` (films that show the same picture, by group)."""

    tables: Tables
    flags: pd.DataFrame
    usable: pd.DataFrame
    films: pd.DataFrame
    same: pd.DataFrame


def check_data(tables, workers=None):
    """Read the films of all rows and check them. Returns an Audit."""
    rows = tables.rows
    filmed = rows[rows["path"] != ""].drop_duplicates("path").reset_index(drop=True)
    films = map_films(read_film, filmed["path"], "checking films", workers)
    facts = ["kind", "depth", "width", "height", "levels", "reason"]
    frame = filmed.assign(**{name: [getattr(film, name) for film in films] for name in facts})
    readable = (frame["reason"] == "").to_numpy()
    oddities = oddities_of_small([film.small for film in films if not film.reason])
    for name, odd in oddities.items():
        frame[name] = np.zeros(len(frame), odd.dtype)
        frame.loc[readable, name] = odd
    same = same_pictures(filmed, films)
    usable = [split_usable(part)[0] for _, part in rows.groupby("split", sort=False)]
    usable = pd.concat(usable, ignore_index=True)
    found = [*tables.flags, *check_films(frame), *check_same(same)]
    flags = pd.concat([part for part in found if len(part)] or found[:1], ignore_index=True)
    flags = flags.assign(severity=flags["check"].map(lambda check: CHECKS[check][0]))
    flags = flags.sort_values(
        "check", key=lambda names: names.map(list(CHECKS).index), kind="stable"
    )
    return Audit(
        tables=tables,
        flags=flags[["severity", "check", "split", "row", "id", "file", "detail"]],
        usable=usable[~usable["path"].isin(frame.loc[frame["reason"] != "", "path"])],
        films=frame,
        same=same,
    )
