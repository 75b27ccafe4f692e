"""Evaluate a trained run, in months beside the median baseline: on a split of the data it was
trained with, or on any labelled folder.

    python evaluate.py results/my_run
    python evaluate.py results/my_run --csv hospital/labels.csv --images hospital/films
    python evaluate.py results/my_run results/other_run
    python evaluate.py --ensemble results/my_run results/other_run results/third_run --greedy
    python evaluate.py results/my_run --calibrate hospital/some.csv --images hospital/films

Two runs are compared on the same films, by a paired bootstrap of the difference of their errors;
an ensemble is the mean of its runs. Writes report.md, predictions.csv, metrics.json, left_out.csv
and plots into a new folder in that of the run (of an ensemble: beside its first run), or into
--out.
--calibrate writes a linear correction into the folder of the run, which --calibration NAME uses.
"""

from util.errors import run_command
from util.option_rules import EVALUATION_RULES, parse_effective
from util.options import (
    add_cache_dir,
    add_calibration,
    add_clahe,
    add_evaluation_batch,
    add_male_value,
    add_match_by,
    add_readers,
    add_runtime,
    add_show,
    add_views,
)
from util.parser import new_parser


def parse_args(argv=None):
    parser = new_parser(__doc__)
    parser.add_argument(
        "runs",
        nargs="+",
        metavar="RUN",
        help="folder of a trained run, two to compare, or several with --ensemble",
    )
    parser.add_argument(
        "--ensemble",
        action="store_true",
        help="evaluate the mean of the runs (named twice: counted twice)",
    )
    parser.add_argument(
        "--greedy",
        action="store_true",
        help="choose on validation films which runs count in the ensemble, and how often",
    )
    parser.add_argument(
        "--split", choices=("train", "val", "test"), default="test", help="films to evaluate"
    )
    parser.add_argument("--data_dir", help="data folder (default: the one of the run)")
    parser.add_argument(
        "--held_out",
        action="store_true",
        help="leave out films that the runs were trained, selected or calibrated on",
    )
    add_clahe(parser, "evaluate on the CLAHE copies of the split's films (made when missing)")
    add_other_films(parser)
    add_calibration(parser)
    add_cache_dir(parser)
    parser.add_argument(
        "--out", metavar="DIR", help="new folder to write into (default: inside RUN)"
    )
    add_male_value(parser)
    add_views(parser)
    add_runtime(parser, auto=False)
    add_evaluation_batch(parser)
    add_show(parser)
    args = parse_effective(parser, EVALUATION_RULES, argv)
    check_together(parser, args)
    return args


def add_other_films(parser):
    """Options that name films from elsewhere, to evaluate on or to calibrate on."""
    group = parser.add_argument_group("films from elsewhere")
    group.add_argument(
        "--csv",
        metavar="FILE",
        help="labels of other films: id, sex, boneage; without --cache_dir films stay in memory",
    )
    group.add_argument(
        "--calibrate",
        metavar="FILE",
        help="instead of evaluating, fit a calibration to films with these labels",
    )
    group.add_argument(
        "--images", metavar="DIR", help="folder of the films of --csv or --calibrate"
    )
    add_readers(group)
    add_match_by(group)
    group.add_argument("--name", help="name of the new calibration (default: the name of its FILE)")


def check_together(parser, args):
    """Refuse options that don't go together."""
    if bool(args.csv or args.calibrate) != bool(args.images):
        parser.error(
            "give --csv or --calibrate (labels) together with --images (folder of the films)"
        )
    if len(args.runs) > 2 and not args.ensemble:
        parser.error("give one run, two to compare, or --ensemble")
    if len(args.runs) > 1 and args.calibrate:
        parser.error("--calibrate is for one run")
    if args.use_clahe_val_test and args.split == "train":
        parser.error("--use_clahe_val_test is for --split val or test: training films stay plain")
    if args.out and len(args.runs) == 2 and not args.ensemble:
        parser.error("--out is for one run; two are written into their own folders")


def main(argv=None):
    args = parse_args(argv)
    from util.evaluating.evaluated_films import read_films_to_evaluate
    from util.evaluating.evaluation import (
        compare_runs,
        evaluate,
        evaluation_folders,
        make_ensembles,
    )
    from util.evaluating.hospital_fit import calibrate

    ensembles = make_ensembles(args)
    if args.calibrate:
        calibrate(ensembles[0], args)
        return
    folders = evaluation_folders(ensembles, args)
    films = read_films_to_evaluate(ensembles, args)
    evaluations = [evaluate(*each, args) for each in zip(ensembles, films, folders, strict=True)]
    if len(evaluations) == 2:
        compare_runs(evaluations, args)


if __name__ == "__main__":
    run_command(main)
