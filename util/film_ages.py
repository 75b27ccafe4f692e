"""What predict.py does: it lists films, predicts them in chunks, and prints a line for each."""

import math
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from util.canvases import oddities_of, read_on_canvases, sets_right
from util.errors import UserError
from util.files import write_new_csv
from util.film_files import films_or_error
from util.growth import sd_score
from util.intervals import format_range
from util.metrics import format_years
from util.oddities import film_notes
from util.runs import MODEL

# fmt: off
COLUMNS = [  # of --out
    "filename", "path", "sex", "age_months",
    "months", "low", "high", "reading", "sd_score", "problem", "note",
]
# fmt: on
CHUNK = 256  # films at most that are read before they are predicted: memory is flat


def list_named(images):
    """The films that the command line names, in its order, those of a folder by name: a frame of
    `path` and `shown`, the name that is printed. UserError when nothing of it is there."""
    if not any(Path(name).exists() for name in images):
        raise UserError(f"no such film or folder ({' '.join(images)}). Check the path.")
    rows = []
    for name in map(Path, images):
        if name.is_dir():
            if runs := [*name.glob(MODEL), *name.glob(f"*/{MODEL}")]:
                raise UserError(
                    f"that folder holds runs, no films ({name}). "
                    f"Name {runs[0].parent} behind --model."
                )
            rows += [(str(path), str(path.relative_to(name))) for path in films_or_error(name)]
        else:
            rows.append((str(name), name.name))
    return pd.DataFrame(rows, columns=["path", "shown"])


def print_ages(ensemble, films, args):
    """Predict the films of `add_children`, printing a line for each; returns them as of
    `predict_chunk`, of which --out gets COLUMNS."""
    width = max(map(len, films["shown"]))
    # chunks of one size: a last one of few films would need a compilation of its own
    chunks = np.array_split(np.arange(len(films)), math.ceil(len(films) / CHUNK))
    results = []
    try:
        for rows in chunks:
            ages = predict_chunk(ensemble, films.iloc[rows], args.batch_size_eval)
            print_films(ages, width)
            results.append(ages)
    finally:  # what is done isn't lost when the rest is not
        if args.out and results:
            out = write_new_csv(args.out, pd.concat(results)[COLUMNS])
            if out != Path(args.out):
                print(
                    f"note: {args.out} appeared in the meantime: the table is {out}",
                    file=sys.stderr,
                )
            if (done := sum(map(len, results))) < len(films):
                print(f"only {done} of {len(films)} films are in {out}", file=sys.stderr)
    return pd.concat(results)


def predict_chunk(ensemble, films, batch_size):
    """Predict some films: adds filename, months, low, high and reading, NaN where `problem` says
    why, sd_score, NaN where the age of the child is unknown, and `note`, what is odd about the
    film."""
    films = films.reset_index(drop=True)
    pixels, failures = read_on_canvases(ensemble.canvases, films["path"].tolist())
    if ensemble.sees_sex:
        failures = films["problem"][films["sex"].isna()].to_dict() | failures
    good = [i for i in films.index if i not in failures]
    ages = pd.DataFrame(np.nan, index=films.index, columns=["months", "low", "high", "reading"])
    if good:
        sex = films["sex"].fillna(0).to_numpy()[good]
        readable = {canvas: part.keep(good) for canvas, part in pixels.items()}
        ages.loc[good] = ensemble.predict(readable, sex, batch_size).round(2).to_numpy()
    films = films.assign(
        filename=[Path(path).name for path in films["path"]],
        sex=films["sex"].astype("Int64"),
        problem=pd.Series(failures, dtype=object).reindex(films.index),
        note=film_notes(oddities_of(pixels), sets_right(ensemble.canvases)),
    )
    films = pd.concat([films, ages], axis=1)
    scores = [sd_score(film.months, film.age_months, film.sex) for film in films.itertuples()]
    return films.assign(sd_score=np.round(scores, 2))


def print_films(ages, width):
    """Print the films of `predict_chunk`, their names `width` letters wide; what is wrong with one
    goes to the standard error."""
    for film in ages.itertuples():
        if not pd.isna(film.problem):
            print(f"error: {film.problem} ({film.path})", file=sys.stderr)
            continue
        print(f"{film.shown:{width}s}  {format_film(film)}")
        if film.note:
            print(f"note: {film.note} ({film.path})", file=sys.stderr)


def format_film(film):
    """What is printed of a film, behind its name: "F   136.2 months  11 y 4 mo (90 %: ...)", and
    how far from the age of the child that is."""
    letter = "-" if pd.isna(film.sex) else "FM"[film.sex]
    text = f"{letter}  {film.months:6.1f} months  {format_years(film.months)}"
    if not pd.isna(film.low):
        text += f" ({format_range(film.low, film.high)})"
    if not pd.isna(film.reading):
        text += f", a reader would say {format_years(film.reading)}"
    if not pd.isna(film.sd_score):
        text += f", {film.sd_score:+.1f} SD at {format_years(film.age_months)}"
    return text
