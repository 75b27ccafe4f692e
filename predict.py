"""Predict the bone age of films: one line an image, in months and in years and months.

    python predict.py film.png --model results/my_run --sex F
    python predict.py films/*.png --model results/my_run --csv sexes.csv --out ages.csv

A file that is no readable film is one error line; the rest is done, and the exit code is 1.
Research use only: not a medical device.
"""

import sys
from pathlib import Path

import pandas as pd

from util.errors import UserError, run_command
from util.option_rules import parse_effective
from util.options import (
    add_evaluation_batch,
    add_male_value,
    add_runtime,
    add_tta_options,
    new_parser,
)

CHUNK = 256  # films read before they are predicted, so that lines appear early and memory is flat


def parse_args(argv=None):
    parser = new_parser(__doc__)
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="film, or a folder of films")
    parser.add_argument("--model", required=True, metavar="RUN", help="folder of a trained run")
    parser.add_argument("--sex", type=str.upper, choices=("F", "M"), help="sex of all the films")
    parser.add_argument("--csv", metavar="FILE", help="table with id (or filename) and sex instead")
    parser.add_argument("--out", metavar="FILE", help="also write a CSV: filename, sex, months")
    add_male_value(parser)
    add_tta_options(parser)
    add_runtime(parser, auto=True)
    add_evaluation_batch(parser)
    args = parse_effective(parser, argv)
    if args.sex and args.csv:
        parser.error("give --sex or --csv, not both")
    return args


def main(argv=None):
    args = parse_args(argv)
    from util.runs import read_run

    run, config = read_run(args.model)
    check_output(args.out)
    films = list_films(args, needs_sex=config["options"]["model_type"] != "baseline")

    from util.prediction import run_predictor

    predict = run_predictor(run, args)
    width = max(len(Path(path).name) for path in films["path"])
    results = [
        predict_chunk(predict, films[start : start + CHUNK], config["options"], args, width)
        for start in range(0, len(films), CHUNK)
    ]
    results = pd.concat(results)
    if args.out:
        from util.files import write_csv

        write_csv(args.out, results)
    return int(results["months"].isna().any())


def check_output(path):
    """UserError, before any work, when the output exists or can't be written."""
    if path and Path(path).exists():
        raise UserError(f"the file is there already ({path}). Choose another --out.")
    if path and not Path(path).resolve().parent.is_dir():
        raise UserError(f"no such folder ({Path(path).parent}). Make it, or choose another --out.")


def list_films(args, needs_sex):
    """Return a frame of path and sex (1 = male, NaN unknown), in the order of the command line."""
    from util.tables import IMAGE_ENDINGS, find_films, read_labels

    paths = []
    for name in args.images:
        if Path(name).is_dir():
            inside = sorted(p for p in Path(name).iterdir() if p.suffix.lower() in IMAGE_ENDINGS)
            if not inside:
                raise UserError(f"no image in the folder ({name}). Name the folder of the films.")
            paths += inside
        else:
            paths.append(Path(name))
    films = pd.DataFrame({"path": [str(path) for path in paths], "sex": float("nan")})
    if not needs_sex:
        return films
    if args.sex:
        return films.assign(sex=float(args.sex == "M"))
    if args.csv:
        labels = read_labels(args.csv, male_value=args.male_value, need=("sex",))
        by_name = {}
        for folder in {str(path.parent) for path in paths}:
            found = find_films(labels, folder)
            by_name |= {
                Path(p).resolve(): s for p, s in zip(found["path"], found["sex"], strict=True) if p
            }
        return films.assign(sex=[by_name.get(path.resolve(), float("nan")) for path in paths])
    raise UserError(f"this model needs the sex ({args.model}). Add --sex F or M, or --csv FILE.")


def predict_chunk(predict, films, trained, args, width):
    """Predict some films and print a line for each; months is NaN where there is an error."""
    from preprocessing import read_pixels
    from util.metrics import format_years
    from util.prediction import predict_months

    pixels, failures = read_pixels(films["path"].tolist(), trained["img_size"], trained["fit"])
    if trained["model_type"] != "baseline":
        unknown = films["sex"].isna().to_numpy().nonzero()[0]
        failures = {int(i): f"no sex in {args.csv}" for i in unknown} | failures
    good = [i for i in range(len(films)) if i not in failures]
    months = pd.Series(float("nan"), index=range(len(films)))
    if good:
        sex = films["sex"].fillna(0).to_numpy()[good]
        months[good] = predict_months(predict, pixels.keep(good), sex, args.batch_size_eval)
    for i, (path, sex) in enumerate(zip(films["path"], films["sex"], strict=True)):
        if i in failures:
            print(f"error: {failures[i]} ({path})", file=sys.stderr)
        else:
            letter = {1.0: "M", 0.0: "F"}.get(sex, "-")
            print(
                f"{Path(path).name:{width}s}  {letter}  {months[i]:6.1f} months  {format_years(months[i])}"
            )
    return films.assign(
        filename=[Path(p).name for p in films["path"]], months=months.round(2).to_numpy()
    )[["filename", "path", "sex", "months"]]


if __name__ == "__main__":
    run_command(main)
