"""What predict.py does: it lists films, predicts them in chunks, and prints a line for each."""

import math
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

from util.canvases import all_set_right, oddities_of, read_on_canvases
from util.children import add_from_headers, join_notes
from util.ensemble import how_predicted, open_ensemble
from util.errors import UserError, printable
from util.exports import record_path
from util.files import write_csv, write_json, write_new_csv
from util.film_files import films_or_error, list_files
from util.growth import ADULT_MONTHS, KNOWN_AGES, sd_score
from util.image_kinds import OTHER_PICTURES
from util.intervals import format_range
from util.metrics_text import format_years
from util.oddities import film_notes
from util.runs import MODEL, SHIPPED
from util.sexes import sex_of

# fmt: off
COLUMNS = [  # of --out
    "filename", "path", "sex", "age_months",
    "months", "low", "high", "reading", "sd_score", "sd_low", "sd_high", "problem", "note",
]
# fmt: on
LARGEST_SCORE = 10  # no child is so far ahead or behind
LONGEST_NAME = 32  # letters; longer ones push their own line alone
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
            if others := [p for p in list_files(name) if p.suffix.lower() in OTHER_PICTURES]:
                print(
                    f"note: pictures of kinds that are not read: {len(others)}, such as {others[0]}",
                    file=sys.stderr,
                )
        else:
            rows.append((str(name), name.name))
    return pd.DataFrame(rows, columns=["path", "shown"])


def print_ages(ensemble, films, args):
    """Predict the films of `add_children`, printing a line for each; returns them, see
    `predict_chunk`. --out gets their COLUMNS, chunk by chunk: what is done isn't lost when the rest
    is not. How they are made stands in a JSON file beside it."""
    width = min(LONGEST_NAME, max(map(len, films["shown"])))
    results, written = [], 0
    try:
        for ages in predict_in_chunks(ensemble, films, args.batch_size_eval):
            results.append(ages)
            if args.out:
                first = not written
                write = write_new_csv if first else write_csv  # whole again over what we wrote
                write(args.out, pd.concat(results)[COLUMNS])
                written += len(ages)
                if first:
                    write_json(record_path(Path(args.out)), how_predicted(ensemble, args))
            print_films(ages, width)
    finally:
        if 0 < written < len(films):
            print(f"only {written} of {len(films)} films are in {args.out}", file=sys.stderr)
    return pd.concat(results)


def predict_ages(
    paths, sex=None, age_months=np.nan, model=SHIPPED, calibration=None, batch_size=32
):
    """The ages of films in one call, for programs: the frame of predict.py's --out, a row for each
    path, in order. `sex` is "F" or "M", `age_months` the age of the child: one for all films, or
    one for each; where they are unknown, None and NaN, the header of a DICOM film may tell them.
    `model` is the folder of a run, or several, `calibration` the name of one for a hospital. What
    is wrong with a film stands in its row, under `problem`, else ""; what should be known of the
    model is warned of. UserError where that can't be read, there is no path, one is a
    folder, or there is not one sex or age for each."""
    paths, models = ([x] if isinstance(x, (str, Path)) else list(x) for x in (paths, model))
    if not paths:
        raise UserError("no films to predict. Name some.")
    if folders := [path for path in paths if Path(path).is_dir()]:
        raise UserError(f"a folder, no film ({folders[0]}). Name the films in it.")
    try:  # as arrays: columns of a table would be joined by their index, not in order
        sex = np.broadcast_to(np.array(sex, object), len(paths))
        age = np.broadcast_to(np.array(age_months, float), len(paths))
    except ValueError:
        raise UserError(
            f"sex and age_months must be one, or {len(paths)}, as paths, and ages numbers."
        ) from None
    films = pd.DataFrame({"path": list(map(str, paths)), "age_months": age})
    films["sex"], films["no_sex"] = [sex_of(word) for word in sex], "no sex: F or M"
    films = add_from_headers(films)
    ensemble = open_ensemble(models, calibration=calibration)
    ensemble.load("auto", n_films=len(films))
    for note in ensemble.notes:
        warnings.warn(note, stacklevel=2)
    ages = pd.concat(predict_in_chunks(ensemble, films, batch_size), ignore_index=True)[COLUMNS]
    return ages.fillna({"problem": ""})


def predict_in_chunks(ensemble, films, batch_size):
    """Yield the rows of `predict_chunk`, chunk by chunk."""
    # chunks of one size: a last one of few films would need a compilation of its own
    for rows in np.array_split(np.arange(len(films)), math.ceil(len(films) / CHUNK)):
        yield predict_chunk(ensemble, films.iloc[rows], batch_size)


def predict_chunk(ensemble, films, batch_size):
    """Predict some films: adds filename, months, low, high and reading, NaN where `problem` says
    why, sd_score with what it is at low and high, NaN where the age of the child is unknown, and
    `note`, what is odd about the film."""
    films = films.reset_index(drop=True)
    pixels, failures = read_on_canvases(ensemble.canvases, films["path"].tolist())
    if ensemble.sees_sex:
        failures = films["no_sex"][films["sex"].isna()].to_dict() | failures
    good = [i for i in films.index if i not in failures]
    ages = pd.DataFrame(np.nan, index=films.index, columns=["months", "low", "high", "reading"])
    if good:
        sex = films["sex"].fillna(0).to_numpy()[good]
        readable = {canvas: part.keep(good) for canvas, part in pixels.items()}
        told = ensemble.predict(readable, sex, batch_size, progress=len(good) > batch_size)
        ages.loc[good] = told.round(2).to_numpy()
    films = films.assign(
        filename=[Path(path).name for path in films["path"]],
        sex=films["sex"].astype("Int64"),
        problem=pd.Series(failures, dtype=object).reindex(films.index),
    )
    films = pd.concat([films, ages], axis=1)
    for name, months in (("sd_score", "months"), ("sd_low", "low"), ("sd_high", "high")):
        scores = map(sd_score, films[months], films["age_months"], films["sex"])
        films[name] = np.round(list(scores), 2)
    odd = film_notes(oddities_of(pixels), all_set_right(ensemble.canvases))
    of_ages = ["; ".join(age_notes(film)) for film in films.itertuples()]
    return films.assign(note=join_notes(odd, films["child_note"], of_ages))


def age_notes(film):
    """What is odd about the ages of a film of `predict_chunk`, that predicted and the child's."""
    if pd.isna(film.months):
        return
    if not 0 <= film.months <= ADULT_MONTHS:
        yield "no bone age is below 0 or above 20 years: the prediction is meaningless"
    if pd.isna(film.age_months) or pd.isna(film.sex):
        return
    if pd.isna(film.sd_score):
        yield f"no SD score at {film.age_months:g} months: SDs are known {KNOWN_AGES}"
    elif abs(film.sd_score) > LARGEST_SCORE:
        yield f"an SD score beyond {LARGEST_SCORE}: is the age of the child in months?"


def print_films(ages, width):
    """Print the films of `predict_chunk`, their names `width` letters wide; what is wrong with one
    goes to the standard error."""
    for film in ages.itertuples():
        if not pd.isna(film.problem):
            print(printable(f"error: {film.problem} ({film.path})"), file=sys.stderr)
            continue
        print(printable(f"{film.shown:{width}s}  {format_film(film)}"))
        if film.note:
            print(printable(f"note: {film.note} ({film.path})"), file=sys.stderr)


def format_film(film):
    """What is printed of a film, behind its name: "F   136.2 months  11 y 4 mo (90 %: ...)", and
    how far from the age of the child that is."""
    letter = "-" if pd.isna(film.sex) else "FM"[film.sex]
    text = f"{letter}  {film.months:6.1f} months  {format_years(film.months)}"
    if not pd.isna(film.low):
        text += f" ({format_range(film.low, film.high)})"
    if not pd.isna(film.sd_score):
        text += f", {format_score(film)} at {format_years(film.age_months)}"
    return text


def format_score(film):
    """The SD score of a film, and what it is at the ends of the interval: "+1.8 SD (+0.5 to
    +3.1)"."""
    score, low, high = (
        f"{round(sds, 1) + 0.0:+.1f}"  # 0.0 makes -0.0 a +0.0
        for sds in (film.sd_score, film.sd_low, film.sd_high)
    )
    return f"{score} SD" if pd.isna(film.low) else f"{score} SD ({low} to {high})"
