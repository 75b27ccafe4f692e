"""Evaluate a trained run, in months beside the median baseline: on a split of the data it was
trained with, or on any labelled folder.

    python evaluate.py results/my_run
    python evaluate.py results/my_run --csv hospital/labels.csv --images hospital/films
    python evaluate.py results/my_run results/other_run
    python evaluate.py --ensemble results/my_run results/other_run results/third_run --greedy
    python evaluate.py results/my_run --calibrate hospital/some.csv --images hospital/films

Two runs are compared on the same films, by a paired bootstrap of the difference of their errors;
an ensemble is the mean of its runs. Writes predictions.csv, metrics.json and plots into the run's
folder (of an ensemble: beside its first run), or into --out. --calibrate writes a linear correction
beside the run, which --calibration NAME uses.
"""

from pathlib import Path

from util.errors import UserError, run_command
from util.option_rules import parse_effective
from util.options import (
    add_cache_dir,
    add_calibration,
    add_clahe,
    add_evaluation_batch,
    add_male_value,
    add_runtime,
    add_show,
    add_views,
    new_parser,
)


def parse_args(argv=None):
    parser = new_parser(__doc__)
    parser.add_argument(
        "runs", nargs="+", metavar="RUN", help="folder of a trained run, or two to compare"
    )
    parser.add_argument(
        "--ensemble", action="store_true", help="evaluate the mean of all runs (twice counts twice)"
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
    add_clahe(parser, "evaluate on the CLAHE copies of the split's films (made when missing)")
    parser.add_argument(
        "--csv",
        metavar="FILE",
        help="labels of other films: id, sex, boneage; without --cache_dir they are held in memory",
    )
    parser.add_argument(
        "--calibrate", metavar="FILE", help="fit a calibration to the labels of other films instead"
    )
    parser.add_argument(
        "--images", metavar="DIR", help="folder of the films of --csv or --calibrate"
    )
    parser.add_argument(
        "--name", help="name of the new calibration (default: the name of its FILE)"
    )
    add_calibration(parser)
    add_cache_dir(parser)
    parser.add_argument("--out", metavar="DIR", help="where to write (default: inside RUN)")
    add_male_value(parser)
    add_views(parser)
    add_runtime(parser, auto=False)
    add_evaluation_batch(parser)
    add_show(parser)
    args = parse_effective(parser, argv)
    if bool(args.csv or args.calibrate) != bool(args.images):
        parser.error(
            "--csv or --calibrate goes with --images: the labels and the folder of their films"
        )
    if len(args.runs) > 2 and not args.ensemble:
        parser.error("give one run, two to compare, or --ensemble")
    if len(args.runs) > 1 and args.calibrate:
        parser.error("--calibrate is for one run")
    if args.use_clahe_val_test and args.split == "train":
        parser.error("--use_clahe_val_test is for --split val or test: training films stay plain")
    if args.out and len(args.runs) == 2 and not args.ensemble:
        parser.error("--out is for one run; two are written into their own folders")
    return args


def main(argv=None):
    args = parse_args(argv)
    from util.ensemble import choose_views, read_members

    # the same for all runs: a comparison is one of models, and what is chosen is what is told
    together = args.runs if args.ensemble else args.runs[:1]
    views = choose_views(read_members(args.runs), together, args)
    if args.calibrate:
        calibrate_run(args.runs[0], views, args)
    elif args.ensemble:
        evaluate_runs(args.runs, views, args)
    else:
        predictions = [evaluate_runs([folder], views, args) for folder in args.runs]
        if len(predictions) == 2:
            from util.metrics import compare_predictions, format_comparison

            print(f"\n{format_comparison(compare_predictions(*predictions), args.runs)}")


def evaluate_runs(folders, views, args):
    """Evaluate a run, or the mean of several, on means of so many views; print and write what was
    found. Returns the predictions."""
    from util.ensemble import Ensemble, read_members

    members = read_members(folders)
    if args.greedy:
        from util.selection import choose_greedily

        members, choice = choose_greedily(members, views)
        print(choice)
    ensemble = Ensemble(members, folders, views, args.calibration)
    films, name = read_films_to_evaluate(args, ensemble)
    if args.runtime != "keras":
        name += f"_{args.runtime}_{args.precision}"
    ensemble.load(args)
    from util.files import check_place, new_folder

    out = args.out or default_folder(folders, name)
    check_place(out)
    predictions, comparison = ensemble.predict_labelled(films, args.batch_size_eval)
    left_out = films[ensemble.canvases[0]].left_out
    metrics = judge(ensemble, predictions, films, args) | describe_evaluation(ensemble, args)
    if comparison:
        metrics["members"] = comparison
    out = new_folder(out)
    plots = write_evaluation(out, predictions, metrics, left_out, name)
    report(metrics, ensemble, describe(ensemble, name))
    report_left_out(left_out, out)
    print(f"\npredictions, metrics and plots: {out}")
    if args.show:
        from util.plots import show_plots

        show_plots(plots)
    return predictions


def judge(ensemble, predictions, films, args):
    """The metrics of the predictions, the coverage of intervals on films that are new to the model
    alone; what throws doubt on them goes to the ensemble's notes."""
    import numpy as np

    from util.ensemble import inverted_note, look_inverted, taken_whole
    from util.held_out import (
        fitted_note,
        fitted_to,
        split_notes,
        trained_on,
        training_notes,
    )
    from util.intervals import evaluate_with_intervals
    from util.tables import years_note

    table = films[ensemble.canvases[0]].table
    if args.csv:
        ensemble.notes += training_notes(ensemble.members, table)
    else:
        ensemble.notes += split_notes(ensemble.members, table, args.split)
    ensemble.notes += years_note(table, args.csv or args.split)
    fitted = fitted_to(ensemble, table)
    ensemble.notes += fitted_note(fitted)
    known = np.any([fitted, *(trained_on(member, table) for member in ensemble.members)], axis=0)
    median = ensemble.members[0].config["data"]["train"]["median"]
    half_width = ensemble.calibration["half_width"]
    metrics = evaluate_with_intervals(predictions, half_width, median, check=~known)
    pixels = {canvas: part.pixels for canvas, part in films.items()}
    whole, inverted = (int(which(pixels).sum()) for which in (taken_whole, look_inverted))
    ensemble.notes += inverted_note(inverted, len(table))
    return metrics | {"views": ensemble.views, "whole": whole, "inverted": inverted}


def describe_evaluation(ensemble, args):
    """What was evaluated, and what to know of it, for metrics.json."""
    if args.csv:
        films = {name: str(Path(getattr(args, name)).resolve()) for name in ("csv", "images")}
    else:
        data_dir = args.data_dir or ensemble.members[0].options["data_dir"]
        films = {"split": args.split, "data_dir": data_dir, "clahe": args.use_clahe_val_test}
    return {
        "runs": [str(member.run.folder.resolve()) for member in ensemble.members],
        "films": films,
        "calibration": args.calibration,
        "runtime": args.runtime,
        "precision": args.precision,
        "notes": ensemble.notes,
    }


def write_evaluation(out, predictions, metrics, left_out, name):
    """Write the files of an evaluation; returns the paths of its plots."""
    from util.files import write_csv, write_json
    from util.plots import plot_errors

    write_csv(out / "predictions.csv", predictions)
    write_csv(out / "left_out.csv", left_out)
    plots = plot_errors(out / "plots", predictions, name)
    write_json(out / "metrics.json", metrics)
    return plots


def report(metrics, ensemble, title):
    """Print the errors, and what to know of them."""
    from util.ensemble import format_members
    from util.intervals import format_with_intervals

    print(format_with_intervals(metrics, title))
    if "members" in metrics:
        print(format_members(metrics["members"]))
    for note in ensemble.notes:
        print(f"note: {note}")
    if metrics["whole"]:
        print(f"{metrics['whole']} films are used whole: no hand found for certain")


def default_folder(folders, name):
    """Where an evaluation is written: inside the run, that of several runs beside the first."""
    first = Path(folders[0]).resolve()
    return first / f"evaluation_{name}" if len(folders) == 1 else first.parent / f"ensemble_{name}"


def describe(ensemble, name):
    """The title of a table of errors."""
    runs = sum(member.weight for member in ensemble.members)
    who = ensemble.members[0].run.folder.resolve().name if runs == 1 else f"mean of {runs} runs"
    return f"{who} on {name}" + (f", mean of {ensemble.views} views" if ensemble.views > 1 else "")


def calibrate_run(folder, views, args):
    """Fit a calibration of a run to the films of another hospital, and store it under a name."""
    from util import hospital
    from util.calibration import fit_calibration
    from util.ensemble import (
        Ensemble,
        inverted_note,
        localiser_notes,
        look_inverted,
        read_members,
    )
    from util.held_out import fitted_note, fitted_to, training_notes
    from util.runs import next_prediction
    from util.tables import count_reasons

    name = args.name or Path(args.calibrate).stem
    path = hospital.new_calibration_path(folder, name)
    ensemble = Ensemble(read_members([folder]), [folder], views)
    films, _ = read_films_to_evaluate(args, ensemble)
    table = films[ensemble.canvases[0]].table
    hospital.check_enough_films(table, ensemble.sees_sex, args.calibrate)
    if left_out := count_reasons(films[ensemble.canvases[0]].left_out):
        print(f"left out: {left_out}")
    inverted = look_inverted({canvas: part.pixels for canvas, part in films.items()}).sum()
    notes = [
        *localiser_notes(ensemble.members),
        *training_notes(ensemble.members, table),
        *fitted_note(fitted_to(ensemble, table)),
        *inverted_note(inverted, len(table)),
    ]
    for note in notes:
        print(f"note: {note}")
    ensemble.load(args)
    predictions, _ = ensemble.predict_labelled(films, args.batch_size_eval)
    hospital.check_months(predictions, args.calibrate)
    calibration, _ = fit_calibration(predictions, ensemble.sees_sex, always=True)
    hospital.store_calibration(path, calibration, table, ensemble.views)
    print(hospital.format_named(calibration, path))
    print(next_prediction(folder, ensemble.sees_sex, f" --calibration {name}"))


def read_films_to_evaluate(args, ensemble):
    """Read the films that the options name. Returns ({canvas: films}, name of the set)."""
    from clahe.enhance import complete_clahe
    from preprocessing import read_films, read_labelled_folder
    from util.ensemble import check_same_split
    from util.folds import load_trained_split

    trained, canvases = ensemble.members[0].options, ensemble.canvases
    csv = args.csv or args.calibrate
    if csv:
        usable, left_out = read_labelled_folder(csv, args.images, args.male_value)
        films = {c: read_films(usable, left_out, *c, args.cache_dir) for c in canvases}
        return films, Path(csv).stem
    data_dir, clahe = args.data_dir or trained["data_dir"], args.use_clahe_val_test
    male_value = trained["male_value"] if args.male_value is None else args.male_value
    if not args.data_dir:
        check_same_split(ensemble.members, args.split)
    folds = {} if args.data_dir else trained
    if clahe and args.split == "val" and folds.get("folds"):
        raise UserError(
            "validation films of a fold have no CLAHE copies, as they are training films of others "
            "(--use_clahe_val_test). Leave it out, or evaluate --split test."
        )
    if clahe:
        complete_clahe(data_dir, args.split, progress=True)
    films = {
        c: load_trained_split(folds, data_dir, args.split, *c, male_value, args.cache_dir, clahe)
        for c in canvases
    }
    return films, f"{args.split}_clahe" if clahe else args.split


def report_left_out(left_out, out):
    if len(left_out):
        from util.tables import count_reasons

        print(f"left out: {count_reasons(left_out)}")
        print(f"          named in {out / 'left_out.csv'}")


if __name__ == "__main__":
    run_command(main)
