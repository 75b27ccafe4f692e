"""What evaluate.py does with finished runs: it judges them on labelled films."""

from pathlib import Path

from util.errors import UserError
from util.evaluating.evaluated_films import flow_lines, flow_of
from util.evaluating.evaluation_report import evaluation_report
from util.evaluating.label_checks import label_notes
from util.evaluating.selection import choose_greedily
from util.files import check_place, choose_folder, new_folder, write_csv, write_json, write_text
from util.held_out import count_learned, held_out
from util.identity import fingerprint
from util.metrics import compare_predictions
from util.metrics_text import format_comparison
from util.oddities import NO_HAND, film_notes, oddity_notes
from util.plots import plot_errors, show_plots
from util.predicting.canvases import all_set_right, oddities_of, on_first_canvas, pixels_of
from util.predicting.ensemble import Ensemble, choose_views, how_predicted
from util.predicting.intervals import evaluate_with_intervals, format_with_intervals
from util.predicting.members import (
    check_same_files,
    check_same_split,
    format_members,
    median_label,
    read_members,
)
from util.run_pictures import draw_largest_errors
from util.runs import A_COPY, METRICS
from util.splits import is_of_fold
from util.tables.readers import agreement_of, format_readers, several_ages_notes
from util.tta import chosen_views, views_title

REPORT = "report.md"


def make_ensembles(args):
    """Return the ensembles that the options name: one of all runs, or one for each run.

    All average over the same number of views, so that only the models are compared. Raises
    UserError for an ensemble of one run, or if the films of a split are not the same for all runs.
    """
    groups = [args.runs] if args.ensemble else [[folder] for folder in args.runs]
    members = [read_members(folders) for folders in groups]
    together = sum(members, [])
    if args.ensemble and len(args.runs) == len(together) == 1:
        raise UserError(
            f"an ensemble of one run (--ensemble {args.runs[0]}). Name two or more, or a folder of "
            "folds; for one run leave out --ensemble."
        )
    views = choose_views(together, groups[0], args.use_tta, args.tta_steps, args.calibration)
    if not (args.csv or args.calibrate):
        check_same_films(members, args)
    differ = len({chosen_views(member.options) for member in together}) > 1
    if differ and views == 1 and not (args.tta_steps or args.calibration):
        print("note: one view per film, as the runs were trained with different numbers of them")
    if args.greedy:  # there is one ensemble
        members[0], choice = choose_greedily(members[0], views)
        print(choice)
    return [
        Ensemble(runs, folders, views, args.calibration, readings=args.readers is None)
        for runs, folders in zip(members, groups, strict=True)
    ]


def check_same_films(members, args):
    """UserError when the films of a split are not the same for all runs, which `members` lists for
    each ensemble; under --data_dir these are the same, but for those of folds."""
    together = sum(members, [])
    of_folds = any(is_of_fold(member.options, args.split) for member in together)
    if of_folds or not args.data_dir:
        check_same_split(together, args.split)
    if not args.data_dir:
        for group in members:  # all runs of an ensemble get the same films
            check_same_files(group, args.split)


def evaluation_folders(ensembles, args):
    """Return the folder to write the evaluation of each ensemble to: --out, or a default folder, to
    which `new_folder` may add a number. Raises UserError, before any work, if one can't be made."""
    name = evaluation_name(args) + (f"_{args.calibration}" if args.calibration else "")
    folders = [default_folder(ensemble.folders, name) for ensemble in ensembles]
    if len(folders) == 1:
        return [choose_folder(args.out, *folders)]
    for folder in folders:
        check_place(folder, A_COPY)
    return folders


def evaluate(ensemble, by_canvas, out, args):
    """Evaluate an ensemble on films, {canvas: Films}, print the result, and write it to the folder
    `out`, with a number added if it exists. Returns the predictions and this folder."""
    ensemble.load(args.runtime, args.precision)
    predictions, comparison = ensemble.predict_labelled(by_canvas, args.batch_size_eval)
    oddities = oddities_of(pixels_of(by_canvas))
    predictions["note"] = film_notes(oddities, all_set_right(by_canvas))
    metrics = compute_metrics(ensemble, predictions, by_canvas, oddities, args)
    if comparison:
        metrics["members"] = comparison
    films = on_first_canvas(by_canvas)
    out = new_folder(out)
    name = evaluation_name(args)
    title = describe(ensemble, name)
    if args.calibration:
        title += f", calibration {args.calibration}"
    plots = write_evaluation(out, predictions, metrics, films, name, title)
    print_evaluation(metrics, title)
    print(f"\n{REPORT}, predictions, metrics, left_out.csv and plots: {out}")
    if args.show:
        show_plots(plots)
    return predictions, out


def compare_runs(evaluations, args):
    """Compare two runs, given what `evaluate` returned for each on the same films. Print the
    difference, and write it to the folder of the first evaluation."""
    (first, out), (second, _) = evaluations
    comparison = compare_predictions(first, second)
    print(f"\n{format_comparison(comparison, args.runs)}")
    write_json(out / "comparison.json", {"runs": args.runs} | comparison)


# -------------------------------------------------------------------------------------- judgement


def compute_metrics(ensemble, predictions, by_canvas, oddities, args):
    """Return the content of metrics.json for an evaluation. The coverage of intervals is measured
    only on films that are new to the model."""
    films = on_first_canvas(by_canvas)
    table = films.table
    new, doubts = held_out(ensemble, table)
    median = median_label(ensemble.members)
    half_width = ensemble.calibration["half_width"]
    of_fold = not args.csv and is_of_fold(ensemble.members[0].options, args.split)
    notes = [*ensemble.notes, *doubts, *oddity_notes(oddities, all_set_right(by_canvas))]
    notes += label_notes(predictions)
    if args.csv:
        notes += several_ages_notes(films.left_out, args.readers)
    return evaluate_with_intervals(predictions, half_width, median, held_out=new) | {
        **how_predicted(ensemble, args),
        **oddities.counts(),
        "films": source_of_films(ensemble, args)
        | {"held_out": args.held_out, "learned_from": count_learned(ensemble, table, new)}
        | {"fingerprint": fingerprint(table)},
        "flow": None if of_fold else flow_of(films, args.images),  # a fold is of two tables
        "notes": notes,
        **agreement_of(table, args.readers, predictions["predicted"]),
    }


def source_of_films(ensemble, args):
    """Return where the films of an evaluation come from, ready for JSON."""
    if args.csv:
        return {name: str(Path(getattr(args, name)).resolve()) for name in ("csv", "images")}
    data_dir = args.data_dir or ensemble.members[0].options["data_dir"]
    where = str(Path(data_dir).resolve())
    return {"split": args.split, "data_dir": where, "clahe": args.use_clahe_val_test}


# ----------------------------------------------------------------------------------------- report


def write_evaluation(out, predictions, metrics, films, name, title):
    """Write the files of an evaluation of some Films. Returns the paths of its plots."""
    write_csv(out / "predictions.csv", predictions)
    write_csv(out / "left_out.csv", films.left_out)
    write_json(out / METRICS, metrics)
    write_text(out / REPORT, evaluation_report(metrics, title))
    return [
        *plot_errors(out / "plots", predictions, name, title),
        draw_largest_errors(out / "plots", predictions, films.pixels, name, title),
    ]


def print_evaluation(metrics, title):
    """Print the errors, and what to know about them."""
    print(format_with_intervals(metrics, title))
    where = metrics["films"]
    print(f"  films of {where.get('images') or where['data_dir']}")
    for line in flow_lines(metrics):
        print(f"  {line}")
    if "members" in metrics:
        print(format_members(metrics["members"]))
    if "reader_agreement" in metrics:
        print(format_readers(metrics["reader_agreement"]))
    for note in metrics["notes"]:
        print(f"note: {note}")
    if metrics["whole"]:
        print(f"films used whole, {NO_HAND}: {metrics['whole']}")


def default_folder(folders, name):
    """Return the default folder of an evaluation: in the run, or beside the first of several."""
    first = Path(folders[0]).resolve()
    return first / f"evaluation_{name}" if len(folders) == 1 else first.parent / f"ensemble_{name}"


def evaluation_name(args):
    """Return the name of an evaluation: its films, and the runtime if it isn't Keras."""
    if args.csv:
        name = Path(args.csv).stem
    else:
        name = f"{args.split}_clahe" if args.use_clahe_val_test else args.split
    if args.held_out:
        name += "_held_out"
    if args.runtime != "keras":
        name += f"_{args.runtime}_{args.precision}"
    return name


def describe(ensemble, name):
    """Return the title of a table of errors."""
    runs = sum(member.weight for member in ensemble.members)
    who = ensemble.members[0].run.folder.resolve().name if runs == 1 else f"mean of {runs} runs"
    return f"{who} on {name}{views_title(ensemble.views)}"
