"""Predict the bone age of films: one line an image, in months and in years and months, with an
interval that holds 9 of 10 bone ages of films like those the run was validated on.

    python predict.py film.png --sex F                              # the model that ships
    python predict.py film.png --model results/my_run --sex F
    python predict.py films/*.png --model results/my_run --csv sexes.csv --out ages.csv

Several runs, or a folder of folds, predict their mean; a run that is named twice counts twice.

A file that is no readable film is one error line; the rest is done, and the exit code is 1.
Research use only: not a medical device.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd

from util.errors import UserError, run_command
from util.option_rules import parse_effective
from util.options import (
    add_calibration,
    add_evaluation_batch,
    add_male_value,
    add_runtime,
    add_views,
    new_parser,
)

COLUMNS = ["filename", "path", "sex", "months", "low", "high", "problem"]  # of --out
SHIPPED = Path(__file__).parent / "models" / "mobilenet_192"
CHUNK = 256  # films at most that are read before they are predicted: memory is flat


def parse_args(argv=None):
    parser = new_parser(__doc__)
    parser.add_argument(
        "images",
        nargs="*",
        metavar="IMAGE",
        help="film, or a folder of films, with all folders in it",
    )
    parser.add_argument(
        "--model",
        nargs="+",
        metavar="RUN",
        help=f"folder of a trained run, or several (default: {SHIPPED.name}, which ships: models/)",
    )
    parser.add_argument("--sex", type=letter_of, choices=("F", "M"), help="sex of all the films")
    parser.add_argument("--csv", metavar="FILE", help="table with id (or filename) and sex instead")
    parser.add_argument(
        "--out", metavar="FILE", help=f"also write a CSV: {', '.join(COLUMNS)} (sex: 1 = male)"
    )
    add_calibration(parser)
    add_male_value(parser)
    add_views(parser)
    add_runtime(parser, auto=True)
    add_evaluation_batch(parser)
    args = parse_effective(parser, argv)
    if not args.images:  # argparse can't tell a film behind --model from one run more
        parser.error("no IMAGE: name the films first, before --model and its runs")
    if args.sex and args.csv:
        parser.error("give --sex or --csv, not both")
    if args.male_value is not None and not args.csv:
        parser.error("--male_value has no effect without --csv, whose sexes it reads")
    return args


def letter_of(sex):
    """M or F for the words that a table may have as well."""
    return {"MALE": "M", "FEMALE": "F"}.get(sex.upper(), sex.upper())


def main(argv=None):
    args = parse_args(argv)
    if not args.model:
        args.model = [str(SHIPPED)]
        print(
            f"model {SHIPPED.name}: its training films and its errors are described in "
            f"{SHIPPED.parent / 'README.md'}. Research use only: not a medical device.",
            file=sys.stderr,
        )
    from util.ensemble import Ensemble, choose_views, read_members
    from util.files import check_new_file, write_csv

    members = read_members(args.model)
    views = choose_views(members, args.model, args)
    ensemble = Ensemble(members, args.model, views, args.calibration)
    if args.out:
        check_new_file(args.out)
    films = list_films(args, ensemble.sees_sex)

    ensemble.load(args)
    for note in ensemble.notes:
        print(f"note: {note}", file=sys.stderr)
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
    return int(pd.concat(results)["months"].isna().any())


def list_films(args, needs_sex):
    """Return a frame of path, the name that is shown, sex (1 = male, NaN unknown) and problem, why
    there is no sex, in the order of the command line."""
    from util.film_files import films_in

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
    from util.film_files import SEVERAL, match_films, stem_of
    from util.tables import read_labels

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


def predict_chunk(ensemble, films, args, width):
    """Predict some films and print a line for each; months are NaN where there is an error."""
    from util.canvases import look_inverted, read_on_canvases, taken_whole

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
    from util.intervals import format_range
    from util.metrics import format_years

    letter = {1.0: "M", 0.0: "F"}.get(sex, "-")
    interval = "" if pd.isna(low) else f" ({format_range(low, high)})"
    return f"{letter}  {months:6.1f} months  {format_years(months)}{interval}"


if __name__ == "__main__":
    run_command(main)
