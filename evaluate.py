"""Evaluate a trained run, in months beside the median baseline: on a split of the data it was
trained with, or on any labelled folder.

    python evaluate.py results/my_run
    python evaluate.py results/my_run --csv hospital/labels.csv --images hospital/films
    python evaluate.py results/my_run results/other_run

Two runs are compared on the same films, by a paired bootstrap of the difference of their errors.
Writes predictions.csv, metrics.json and plots into the run's folder, or into --out.
"""

from pathlib import Path

from util.errors import run_command
from util.option_rules import parse_effective
from util.options import (
    add_cache_dir,
    add_clahe,
    add_evaluation_batch,
    add_male_value,
    add_runtime,
    add_show,
    add_tta_options,
    new_parser,
)


def parse_args(argv=None):
    parser = new_parser(__doc__)
    parser.add_argument(
        "runs", nargs="+", metavar="RUN", help="folder of a trained run, or two to compare"
    )
    parser.add_argument("--split", choices=("train", "val", "test"), default="test")
    parser.add_argument("--data_dir", help="data folder (default: the one of the run)")
    add_clahe(parser, "evaluate on the CLAHE copies of the split's films (made when missing)")
    parser.add_argument("--csv", metavar="FILE", help="labels of other films: id, sex, boneage")
    parser.add_argument("--images", metavar="DIR", help="folder of the films of --csv")
    add_cache_dir(parser)
    parser.add_argument("--out", metavar="DIR", help="where to write (default: inside RUN)")
    add_male_value(parser)
    add_tta_options(parser)
    add_runtime(parser, auto=False)
    add_evaluation_batch(parser)
    add_show(parser)
    args = parse_effective(parser, argv)
    if bool(args.csv) != bool(args.images):
        parser.error("--csv and --images go together: the labels and the folder of their films")
    if len(args.runs) > 2:
        parser.error("give one run, or two to compare")
    if args.use_clahe_val_test and args.split == "train":
        parser.error("--use_clahe_val_test is for --split val or test: training films stay plain")
    if args.out and len(args.runs) == 2:
        parser.error("--out is for one run; two are written into their own folders")
    return args


def main(argv=None):
    args = parse_args(argv)
    predictions = [evaluate_run(folder, args) for folder in args.runs]
    if len(predictions) == 2:
        from util.metrics import compare_predictions, format_comparison

        print(f"\n{format_comparison(compare_predictions(*predictions), args.runs)}")


def evaluate_run(folder, args):
    """Evaluate one run, print and write what was found; returns its predictions."""
    from util.runs import read_run

    run, config = read_run(folder)
    films, name = read_films_to_evaluate(args, config)
    if args.runtime != "keras":
        name += f"_{args.runtime}_{args.precision}"

    from util.experiment import draw_errors
    from util.files import new_folder, write_csv, write_json
    from util.metrics import evaluate_predictions, format_metrics
    from util.prediction import predict_films, run_predictor

    predict = run_predictor(run, args)
    out = new_folder(args.out or run.folder / f"evaluation_{name}")
    predictions = predict_films(predict, films, args.batch_size_eval, progress=True)
    metrics = evaluate_predictions(predictions, train_median=config["data"]["train"]["median"])
    write_csv(out / "predictions.csv", predictions)
    write_csv(out / "left_out.csv", films.left_out)
    plots = draw_errors(out / "plots", predictions, name)
    write_json(out / "metrics.json", metrics)
    print(format_metrics(metrics, f"{run.folder.name} on {name}"))
    report_left_out(films, out)
    print(f"\npredictions, metrics and plots: {out}")
    if args.show:
        from util.plots import show_plots

        show_plots(plots)
    return predictions


def read_films_to_evaluate(args, config):
    """Read the films that the options name. Returns (films, name of the set)."""
    from clahe.enhance import complete_clahe
    from preprocessing import load_films, read_films, read_labelled_folder

    trained = config["options"]
    img_size, fit = trained["img_size"], trained["fit"]
    if args.csv:
        usable, left_out = read_labelled_folder(args.csv, args.images, args.male_value)
        return read_films(usable, left_out, img_size, fit), Path(args.csv).stem
    data_dir, clahe = args.data_dir or trained["data_dir"], args.use_clahe_val_test
    male_value = trained["male_value"] if args.male_value is None else args.male_value
    if clahe:
        complete_clahe(data_dir, args.split, progress=True)
    films = load_films(data_dir, args.split, img_size, fit, male_value, args.cache_dir, clahe)
    return films, f"{args.split}_clahe" if clahe else args.split


def report_left_out(films, out):
    if len(films.left_out):
        from util.tables import count_reasons

        print(f"left out: {count_reasons(films.left_out)}")
        print(f"          named in {out / 'left_out.csv'}")


if __name__ == "__main__":
    run_command(main)
