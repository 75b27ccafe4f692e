"""Cross-validation: a run for each fold, and their joint results.

    <results_dir>/<run_name>/fold_1 ... fold_K/          runs like any other
        predictions_out_of_fold.csv                      each film by the fold that held it out
        predictions_test.csv                             the mean of the folds on the test split
        metrics.json                                     errors of both, and of each fold

Training and validation films are pooled and divided again (`fold_films`); the test split is the
same for all folds. An out-of-fold prediction comes from a model that was not trained on the film.
The epoch that is kept, however, is the one with the smallest error on the held-out films, unless
--keep_epoch is "last".
"""

from argparse import Namespace
from contextlib import suppress

import pandas as pd

from util.backbones import sees_sex
from util.errors import UserError
from util.files import write_csv
from util.finished_runs import configs_of_folds, find_folds, fold_folder
from util.metrics import read_predictions
from util.metrics_text import format_interval
from util.predicting.intervals import (
    evaluate_with_intervals,
    fit_half_widths,
    format_with_intervals,
)
from util.predicting.members import (
    average_predictions,
    median_label,
    read_members,
    stored_predictions,
)
from util.predicting.readings import add_counts, with_readings
from util.run_folder import check_free, check_run_to_resume, chosen_folder, how_to_resume
from util.run_options import check_same_options, lasting_options
from util.runs import CONFIG, METRICS, Run, how_to_predict, predictions_name
from util.split_records import check_same_folds
from util.tta import chosen_views, views_suffix, views_title, views_to_evaluate


def run_folds(args, train_run):
    """Train the folds that the options ask for with `train_run(options of a fold)`, one after the
    other, skipping finished ones. Once all folds are finished, report their joint results."""
    folder = chosen_folder(args, f"{args.model_type}_{args.backbone}")
    run = Run(folder, args.verbose)
    try:
        for fold_args in plan_folds(args, folder):
            run.say(f"\nfold {fold_args.fold} of {args.folds}")
            train_run(fold_args)
    except (KeyboardInterrupt, OSError):  # such as a full disk
        if any(folder.glob("fold_*")):
            run.say(f"stopped; to resume: {how_to_resume(args.run_name or folder.name)}")
        raise
    finally:
        with suppress(OSError):  # not empty, as a fold was trained
            folder.rmdir()
    try:
        runs = find_folds(folder)
    except UserError as unfinished:
        run.say(f"\n{unfinished}")
    else:
        report_folds(run, runs, args)


def plan_folds(args, folder):
    """Return the options of the folds that are still to be trained, each a run in `folder`.

    Raises UserError, before any training, if a fold exists and --resume isn't given, if there is
    nothing to resume, if any fold in the folder was started with other options, or if the folder is
    itself a run.
    """
    if (folder / CONFIG).exists():
        raise UserError(
            f"that is a run, not a folder of folds ({folder}). Choose another --run_name."
        )
    started = [config["options"] for config in configs_of_folds(folder) if config]
    for options in started:
        check_same_options(options, lasting_options(args) | {"fold": options["fold"]})
    if args.resume:
        check_run_to_resume(folder, started)
    plan = []
    for fold in [args.fold] if args.fold else range(1, args.folds + 1):
        run = Run(fold_folder(folder, fold))
        if not args.resume:
            check_free(run.folder)
        if not run.metrics:
            place = {"results_dir": str(folder), "run_name": run.folder.name}
            resume = bool(args.resume and run.config)
            plan.append(Namespace(**vars(args) | place | {"fold": fold, "resume": resume}))
    return plan


# ------------------------------------------------------------------------------------- report


def report_folds(run, folds, args):
    """Write and log the errors out of fold, those of the folds' mean on the test split, and those
    of each fold. `run` is the Run of the folder of all folds, `folds` are their run folders."""
    members = read_members(folds)
    metrics = {}
    for views in views_to_evaluate(vars(args)):
        metrics |= judge_folds(run, members, views)
    metrics["folds"] = [fold_facts(member) for member in members]
    run.write_json(METRICS, metrics)
    titles = {"out_of_fold": "out of fold", "test": f"test, mean of {args.folds} folds"}
    for views in views_to_evaluate(vars(args)):
        for name, title in titles.items():
            errors = metrics[name + views_suffix(views)]
            run.log(format_with_intervals(errors, f"\n{title}{views_title(views)}"))
    run.log(format_folds(metrics["folds"]))
    from util.plots import plot_errors

    views = chosen_views(vars(args))
    for name, title in titles.items():
        table = read_predictions(run.path(predictions_name(name + views_suffix(views))))
        title = f"{run.folder.resolve().name}: {title}{views_title(views)}"
        plot_errors(run.path("plots"), table, name, title)
    if args.keep_epoch == "best":
        run.log(
            "note: each fold chose its best epoch on the films that it held out, so errors out of "
            "fold are a little too small; errors on test films are not"
        )
    run.log(f"\nfolder of the folds {run.folder}")
    run.log(how_to_predict(run.folder, sees_sex(args.model_type)))


def judge_folds(run, members, views):
    """Write the joint predictions of the folds over so many views; returns metrics by name."""
    ending = views_suffix(views)
    held_out = [stored_predictions(m, "val", views).assign(fold=m.options["fold"]) for m in members]
    out_of_fold = pd.concat(held_out, ignore_index=True)
    if not all("reading" in table for table in held_out):
        out_of_fold = out_of_fold.drop(columns="reading", errors="ignore")
    check_whole(out_of_fold, members)
    tested = average_predictions(members, [stored_predictions(m, "test", views) for m in members])
    tested = with_readings(tested, add_counts([member.label_counts for member in members]))
    write_csv(run.path(predictions_name(f"out_of_fold{ending}")), out_of_fold)
    write_csv(run.path(predictions_name(f"test{ending}")), tested)
    half_width, median = fit_half_widths(out_of_fold), median_label(members)
    return {
        f"out_of_fold{ending}": evaluate_with_intervals(out_of_fold, None),
        f"test{ending}": evaluate_with_intervals(tested, half_width, median),
    }


def check_whole(out_of_fold, members):
    """Raise UserError if the folds were not made from the same films: each training and validation
    film must be held out exactly once."""
    folder = members[0].run.folder.parent
    check_same_folds([member.config for member in members], folder)
    data = members[0].config["data"]
    films = data["train"]["n"] + data["val"]["n"]
    if len(out_of_fold) != films or out_of_fold["id"].duplicated().any():
        raise UserError(
            f"the folds don't hold out each of {films} films exactly once ({folder}). Train them "
            "again under another --run_name."
        )


def fold_facts(member):
    """Return a row of the table of folds: n and MAE in months on held-out films and on test."""
    metrics = member.run.metrics
    row = {"fold": member.options["fold"]}
    for split in ("val", "test"):
        row |= {f"{split}_{key}": metrics[split][key] for key in ("n", "mae", "mae_ci95")}
    return row


def format_folds(rows):
    """Return the folds as a table for the terminal."""
    columns = f"{'n':>6s}{'MAE':>8s}   {'95 % interval':16s}"
    lines = [
        f"single folds, the film alone, months\n  {'':16s}{'held out':33s}test",
        f"  {'':16s}{columns}{columns}".rstrip(),
    ]
    for row in rows:
        parts = (
            f"{row[f'{split}_n']:6d}{row[f'{split}_mae']:8.2f}   "
            f"{format_interval(row[f'{split}_mae_ci95']):16s}"
            for split in ("val", "test")
        )
        lines.append(f"  fold {row['fold']:<11d}{''.join(parts)}".rstrip())
    return "\n".join(lines)
