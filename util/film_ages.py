"""What predict.py does: it lists films, finds the sex of each, predicts, and prints a line for each."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd

from util.canvases import look_inverted, read_on_canvases, taken_whole
from util.errors import UserError
from util.files import write_csv
from util.film_files import SEVERAL, films_or_error, match_films, stem_of
from util.intervals import format_range
from util.metrics import format_years
from util.tables import read_labels

COLUMNS = ["filename", "path", "sex", "months", "low", "high", "problem"]  # of --out
WHOLE = "no hand found for certain, the whole film is used"
INVERTED = (
    "the film looks inverted, its months are wrong if it is: bones must be light on a dark ground"
)
CHUNK = 256  # films at most that are read before they are predicted: memory is flat


def list_named(images):
    """The films that the command line names, in its order, those of a folder by name: a frame of
    `path` and `shown`, the name that is printed. UserError when nothing of it is there."""
    if not any(Path(name).exists() for name in images):
        raise UserError(f"no such film or folder ({' '.join(images)}). Check the path.")
    rows = []
    for name in map(Path, images):
        if name.is_dir():
            rows += [(str(path), str(path.relative_to(name))) for path in films_or_error(name)]
        else:
            rows.append((str(name), name.name))
    return pd.DataFrame(rows, columns=["path", "shown"])


def add_sexes(films, args, needs_sex):
    """Add `sex` (1 = male, NaN unknown) and `problem`, why there is none, to the films of
    `list_named`; UserError when a model needs the sex and the options tell of none."""
    if args.sex:
        return films.assign(sex=float(args.sex == "M"), problem="")
    if args.csv:
        # the folder resolved, not the film: a link has the name that the table knows
        paths = [path.parent.resolve() / path.name for path in map(Path, films["path"])]
        sex, problem = zip(*look_up_sexes(paths, args.csv, args.male_value), strict=True)
        return films.assign(sex=sex, problem=problem)
    if needs_sex:
        raise UserError(
            f"this model needs the sex ({' '.join(args.model)}). Add --sex F or M, or --csv FILE."
        )
    return films.assign(sex=float("nan"), problem="")


def look_up_sexes(paths, csv, male_value):
    """The sex (1 = male, NaN unknown) of each film in a table, and why there is none: a list of
    pairs."""
    labels = read_labels(csv, male_value=male_value, need=("sex",))
    found = match_films(labels, sorted(set(paths)))
    sexes, unclear = sexes_by_film(found), set()
    # films of one name in two folders have the row that names no folder
    shared = labels[(found["missing"] == SEVERAL) & ~labels["filename"].str.contains(r"[/\\]")]
    for folder in {path.parent for path in paths} if len(shared) else ():
        found = match_films(shared, sorted({path for path in paths if path.parent == folder}))
        sexes = sexes_by_film(found) | sexes
        unclear |= {(folder, id_) for id_ in found.loc[found["missing"] == SEVERAL, "id"]}

    def sex_of(path):
        if (path.parent, stem_of(path)) in unclear:
            return float("nan"), f"{SEVERAL}, which have one row in {csv}"
        if str(path) not in sexes:
            return float("nan"), f"no row for it in {csv}"
        found = sexes[str(path)]
        if len(found) == 1:
            return *found, ""
        return float("nan"), f"{'two sexes' if found else 'no usable sex'} in {csv}"

    return [sex_of(path) for path in paths]


def sexes_by_film(found):
    """{path: set of sexes} of the rows of `match_films`."""
    found = found[found["path"] != ""]
    return {path: set(rows.dropna()) for path, rows in found.groupby("path")["sex"]}


def print_ages(ensemble, films, args):
    """Predict the films of `add_sexes`, printing a line for each; returns them with COLUMNS, as
    --out gets them."""
    width = max(map(len, films["shown"]))
    # chunks of one size: a last one of few films would have a batch size, and a compilation, of its own
    chunks = np.array_split(np.arange(len(films)), -(-len(films) // CHUNK))
    results = []
    try:
        for rows in chunks:
            ages = predict_chunk(ensemble, films.iloc[rows], args.batch_size_eval)
            print_films(ages, width)
            results.append(ages[COLUMNS])
    finally:  # what is done isn't lost when the rest is not
        if args.out and results:
            write_csv(args.out, pd.concat(results))
            if (done := sum(map(len, results))) < len(films):
                print(f"only {done} of {len(films)} films are in {args.out}", file=sys.stderr)
    return pd.concat(results)


def predict_chunk(ensemble, films, batch_size):
    """Predict some films: adds filename, months, low and high, NaN where `problem` says why, and
    whether a film was taken `whole` or looks `inverted`."""
    films = films.reset_index(drop=True)
    pixels, failures = read_on_canvases(ensemble.canvases, films["path"].tolist())
    if ensemble.sees_sex:
        failures = films["problem"][films["sex"].isna()].to_dict() | failures
    good = [i for i in films.index if i not in failures]
    ages = pd.DataFrame(float("nan"), index=films.index, columns=["months", "low", "high"])
    if good:
        sex = films["sex"].fillna(0).to_numpy()[good]
        readable = {canvas: part.keep(good) for canvas, part in pixels.items()}
        ages.loc[good] = ensemble.predict(readable, sex, batch_size).round(2).to_numpy()
    films = films.assign(
        filename=[Path(path).name for path in films["path"]],
        sex=films["sex"].astype("Int64"),
        problem=pd.Series(failures, dtype=object).reindex(films.index),
        whole=taken_whole(pixels),
        inverted=look_inverted(pixels),
    )
    return pd.concat([films, ages], axis=1)


def print_films(ages, width):
    """Print the films of `predict_chunk`, their names `width` letters wide; what is wrong with one
    goes to the standard error."""
    for film in ages.itertuples():
        if not pd.isna(film.problem):
            print(f"error: {film.problem} ({film.path})", file=sys.stderr)
            continue
        print(f"{film.shown:{width}s}  {format_film(film.sex, film.months, film.low, film.high)}")
        for told, note in ((film.whole, WHOLE), (film.inverted, INVERTED)):
            if told:
                print(f"note: {note} ({film.path})", file=sys.stderr)


def format_film(sex, months, low, high):
    """What is printed of a film, behind its name: "F   136.2 months  11 y 4 mo (90 %: ...)"."""
    letter = "-" if pd.isna(sex) else "FM"[sex]
    interval = "" if pd.isna(low) else f" ({format_range(low, high)})"
    return f"{letter}  {months:6.1f} months  {format_years(months)}{interval}"
