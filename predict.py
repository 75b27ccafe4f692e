"""Predict the bone age of films: one line an image, in months and in years and months, with a
90 % interval, which holds for films like the validation films of the run.

    python predict.py film.png --sex F                              # the model that ships
    python predict.py film.png --model results/my_run --sex F
    python predict.py films/ --model results/my_run --csv sexes.csv --out ages.csv

Several runs, or a folder of folds, predict their mean; a run that is named twice counts twice.

A file that can't be read as a film gives one error line; the rest is done, and the exit code is 1.
Research use only: not a medical device.
"""

from itertools import takewhile
from pathlib import Path

from util.errors import run_command
from util.files import check_new_file, check_new_folder, record_path
from util.finished_runs import holds_run, print_model_notes
from util.option_rules import PREDICTION_RULES, parse_effective
from util.options import (
    add_calibration,
    add_evaluation_batch,
    add_male_value,
    add_match_by,
    add_models,
    add_runtime,
    add_views,
)
from util.parser import new_parser, real_number
from util.predicting.growth import KNOWN_AGES, LAST_AGE, MONTHS
from util.runs import SHIPPED


def parse_args(argv=None):
    parser = new_parser(__doc__)
    parser.add_argument(
        "images", nargs="*", metavar="IMAGE", help="film, or folder of films with its subfolders"
    )
    add_models(parser)
    add_child_options(parser)
    parser.add_argument(
        "--out",
        metavar="FILE",
        help="also write a CSV: filename, path, sex (1 = male), age_months, months, low, high (the "
        "interval), reading (what a single reader would say), sd_score, sd_low, sd_high (at low and "
        "high), problem, note (what is odd about the film); and FILE.json, how it was made",
    )
    parser.add_argument(
        "--explain",
        metavar="DIR",
        help="also draw, for each film, by how many months its prediction changes when a part of it "
        "is hidden; a film takes as long as 122 predictions",
    )
    add_calibration(parser)
    add_male_value(parser)
    add_match_by(parser)
    add_views(parser)
    add_runtime(parser, auto=True)
    add_evaluation_batch(parser)
    args = parse_effective(parser, PREDICTION_RULES, argv)
    args.model, behind = split_runs(args.model or [str(SHIPPED)])
    args.images += behind
    check_together(parser, args)
    return args


def add_child_options(parser):
    """Options for the sex and age of the child on each film."""
    parser.add_argument(
        "--sex",
        type=letter_of,
        choices=("F", "M"),
        help="sex of all films (default: from the header of each DICOM film)",
    )
    parser.add_argument(
        "--age_months",
        type=real_number(MONTHS[0], LAST_AGE[1]),
        metavar="MONTHS",
        help=f"age of the child when the films were taken, {KNOWN_AGES}: also report how far the "
        "bone age is from it, in SDs of healthy children (default: from each DICOM film's header)",
    )
    parser.add_argument(
        "--csv",
        metavar="FILE",
        help="table with id or filename, sex and, optionally, age_months or age_years, instead of "
        "--sex and --age_months",
    )


def split_runs(names):
    """Split the names after --model into runs and films: argparse takes films that follow the runs
    for more runs. Films begin with the first name that exists and is no run."""
    runs = [
        names[0],
        *takewhile(lambda name: holds_run(name) or not Path(name).exists(), names[1:]),
    ]
    return runs, names[len(runs) :]


def check_together(parser, args):
    """Refuse options that don't go together."""
    if not args.images:
        others = [name for name in args.model[1:] if not holds_run(name)]
        missing = f"neither a run nor a film ({others[0]})" if others else "no IMAGE"
        parser.error(f"{missing}: name a film, or a folder of films")
    if args.csv and (args.sex or args.age_months is not None):
        parser.error("give --csv, or --sex and --age_months, not both")
    if args.sex == "F" and (args.age_months or 0) > LAST_AGE[0]:
        parser.error(f"--age_months: the SDs of girls end at {LAST_AGE[0]} months")
    if args.male_value is not None and not args.csv:
        parser.error("--male_value has no effect without --csv, the table it is for")


def letter_of(sex):
    """Return M or F for the words that are allowed in tables as well, such as "girl"."""
    from util.tables.sexes import WORDS  # loads pandas

    known = WORDS.get(sex.lower())
    return sex.upper() if known is None else "M" if known else "F"


def main(argv=None):
    args = parse_args(argv)
    from util.predicting.age_report import check_outside, list_named, report_ages
    from util.predicting.children import add_children
    from util.predicting.ensemble import open_ensemble
    from util.predicting.occlusion import check_same_part, explain_films

    ensemble = open_ensemble(args.model, args.use_tta, args.tta_steps, args.calibration)
    if args.out:
        check_new_file(args.out)
        check_new_file(record_path(args.out))
    if args.explain:
        check_same_part(ensemble.canvases)
        check_new_folder(args.explain, "--explain")
        check_outside(args.explain, args.images)
    films = add_children(list_named(args.images), args, ensemble.sees_sex)
    ensemble.load(args.runtime, args.precision, len(films))
    print_model_notes(args.model, ensemble.notes)
    ages = report_ages(ensemble, films, args)
    if args.explain:
        explain_films(ensemble, ages, args.explain, args.batch_size_eval)
    return int(ages["months"].isna().any())


if __name__ == "__main__":
    run_command(main)
