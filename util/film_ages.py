"""What predict.py does: it lists films, finds the sex of each, predicts, and prints a line for each."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd

from util.canvases import look_inverted, read_on_canvases, taken_whole
from util.errors import UserError
from util.files import write_csv
from util.film_files import SEVERAL, films_in, match_films, stem_of
from util.intervals import format_range
from util.metrics import format_years
from util.tables import read_labels

COLUMNS = ["filename", "path", "sex", "months", "low", "high", "problem"]  # of --out
CHUNK = 256  # films at most that are read before they are predicted: memory is flat


def list_films(args, needs_sex):
    """Return a frame of path, the name that is shown, sex (1 = male, NaN unknown) and problem, why
    there is no sex, in the order of the command line."""
    rows = []
    for name in map(Path, args.images):
        if name.is_dir():
            rows += [(path, str(path.relative_to(name))) for path in films_in(name)]
        else:
            rows.append((name, name.name))
    paths, shown = zip(*rows, strict=True)
    films = pd.DataFrame(
        {"path": map(str, paths), "shown": shown, "sex": float("nan"), "problem": ""}
    )
    if args.sex:
        return films.assign(sex=float(args.sex == "M"))
    if args.csv:
        # the folder resolved, not the film: a link has the name that the table knows
        whole = [path.parent.resolve() / path.name for path in paths]
        sex, problem = zip(*read_sex(args, whole), strict=True)
        return films.assign(sex=sex, problem=problem)
    if needs_sex:
        raise UserError(
            f"this model needs the sex ({' '.join(args.model)}). Add --sex F or M, or --csv FILE."
        )
    return films


def read_sex(args, paths):
    """The sex (1 = male, NaN unknown) of each of the films from the table of --csv, and why there is
    none: a list of pairs."""
    labels = read_labels(args.csv, male_value=args.male_value, need=("sex",))
    sexes, unclear = {}, set()
    for folder in {path.parent for path in paths}:  # films of one name may be in two folders
        found = match_films(labels, sorted({path for path in paths if path.parent == folder}))
        sexes |= {path: set(rows.dropna()) for path, rows in found.groupby("path")["sex"]}
        unclear |= {(folder, id_) for id_ in found.loc[found["missing"] == SEVERAL, "id"]}

    def sex_of(path):
        if (path.parent, stem_of(path)) in unclear:
            return float("nan"), f"{SEVERAL}, which have one row in {args.csv}"
        if str(path) not in sexes:
            return float("nan"), f"no row for it in {args.csv}"
        told = sexes[str(path)]
        if len(told) == 1:
            return *told, ""
        return float("nan"), f"{'two sexes' if told else 'no usable sex'} in {args.csv}"

    return [sex_of(path) for path in paths]


def print_ages(ensemble, films, args):
    """Predict the films of `list_films`, printing a line for each; returns them with COLUMNS, as
    --out gets them."""
    width = max(map(len, films["shown"]))
    # chunks of one size: a last one of few films would have a batch size, and a compilation, of its own
    chunks = np.array_split(np.arange(len(films)), -(-len(films) // CHUNK))
    results = []
    try:
        for rows in chunks:
            results.append(predict_chunk(ensemble, films.iloc[rows], args, width))
    finally:  # what is done isn't lost when the rest is not
        if args.out and results:
            write_csv(args.out, pd.concat(results))
            if (done := sum(map(len, results))) < len(films):
                print(f"only {done} of {len(films)} films are in {args.out}", file=sys.stderr)
    return pd.concat(results)


def predict_chunk(ensemble, films, args, width):
    """Predict some films and print a line for each; months are NaN where there is an error."""
    films = films.reset_index(drop=True)
    pixels, failures = read_on_canvases(ensemble.canvases, films["path"].tolist())
    if ensemble.sees_sex:
        failures = films["problem"][films["sex"].isna()].to_dict() | failures
    good = [i for i in films.index if i not in failures]
    table = pd.DataFrame(float("nan"), index=films.index, columns=["months", "low", "high"])
    whole, inverted = taken_whole(pixels), look_inverted(pixels)
    if good:
        sex = films["sex"].fillna(0).to_numpy()[good]
        pixels = {canvas: part.keep(good) for canvas, part in pixels.items()}
        table.loc[good] = ensemble.predict(pixels, sex, args.batch_size_eval).round(2).to_numpy()
    for i, path, name, sex in films[["path", "shown", "sex"]].itertuples():
        if i in failures:
            print(f"error: {failures[i]} ({path})", file=sys.stderr)
            continue
        print(f"{name:{width}s}  {format_film(sex, *table.loc[i])}")
        if whole[i]:
            print(
                f"note: no hand found for certain, the whole film is used ({path})", file=sys.stderr
            )
        if inverted[i]:
            print(
                f"note: the film looks inverted, its months are wrong if it is: bones must be light on "
                f"a dark ground ({path})",
                file=sys.stderr,
            )
    films = films.assign(
        filename=[Path(path).name for path in films["path"]],
        sex=films["sex"].astype("Int64"),
        problem=pd.Series(failures, dtype=object).reindex(films.index),
    )
    return pd.concat([films, table], axis=1)[COLUMNS]


def format_film(sex, months, low, high):
    """What is printed of a film, behind its name: "F   136.2 months  11 y 4 mo (90 %: ...)"."""
    letter = {1.0: "M", 0.0: "F"}.get(sex, "-")
    interval = "" if pd.isna(low) else f" ({format_range(low, high)})"
    return f"{letter}  {months:6.1f} months  {format_years(months)}{interval}"
