"""From options to a finished run: what every training script does."""

import random
import sys
from contextlib import closing, contextmanager, suppress

import numpy as np

from util.backbones import check_backbone, sees_sex
from util.data_folder import SPLITS, split_paths
from util.files import quote
from util.final_evaluation import evaluate_splits
from util.folds import run_folds
from util.phases import plan_phases
from util.predicting.calibration import format_calibration
from util.predicting.intervals import format_with_intervals
from util.predicting.readings import format_readings_gain
from util.quiet import import_tensorflow
from util.run_folder import how_to_resume, open_run, record_environment, record_move
from util.runs import METRICS, READINGS, how_to_predict
from util.splits import load_splits
from util.start import check_start_films, check_weights_run
from util.tta import describe_views, views_from_key, views_suffix, views_title, views_to_evaluate
from util.weights import starts_from_run


@contextmanager
def callers_state_kept():
    """At the end of the block, the random numbers of Python and NumPy go on as before it, and the
    dtype policy of Keras is as before.

    Else a random search that calls trainings would draw the same values after each.
    """
    of_python, of_numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    keras = sys.modules.get("keras")  # not imported here: that takes seconds, and errors come first
    policy = keras and keras.config.dtype_policy()
    try:
        yield
    finally:
        random.setstate(of_python)
        np.random.set_state(of_numpy)  # noqa: NPY002
        if keras:
            keras.config.set_dtype_policy(policy)


@callers_state_kept()
def run_experiment(args):
    """Train what the options ask for: one run, or a run for each fold."""
    if args.folds:
        run_folds(args, train_run)
    else:
        train_run(args)


def train_run(args):
    """Read the films, train, evaluate on validation and test, and fill the run folder."""
    with closing(open_run(args, f"{args.model_type}_{args.backbone}")) as run:
        try:
            fill_run(run, args)
        except (KeyboardInterrupt, OSError):  # such as a full disk
            if not args.folds:  # `run_folds` reports those
                with suppress(OSError):
                    tell_of_stop(run, args)
            raise


def tell_of_stop(run, args):
    """Say how to resume a training that was stopped, or that it left nothing."""
    if run.folder.exists():
        run.log(f"stopped; to resume: {how_to_resume(args.run_name or run.folder.name)}")
    else:
        run.say("stopped before an epoch had ended: nothing is kept")


def fill_run(run, args):
    """Train and evaluate a run, unless it is finished, and report."""
    metrics = run.metrics
    if metrics:
        run.log(f"this run is finished: {run.folder}\n")
    else:
        splits, history = read_and_train(run, args)
        metrics, predictions = evaluate_splits(splits, args, run)
        from util.run_pictures import draw_run  # loads matplotlib

        draw_run(run, history, predictions, splits, args)
        run.write_json(METRICS, metrics)
    report_run(run, metrics, args)
    plots = sorted((run.folder / "plots").glob("*.png"))
    if args.show and plots:
        from util.plots import show_plots

        show_plots(plots)


def read_and_train(run, args):
    """Train, and return the splits, {split: Films}, and the history. A new run that stops before it
    has a state to resume from leaves no folder behind."""
    try:
        splits = prepare_films(run, args)
        check_start_films(splits, args, run)
        from util.build import prepare_stage
        from util.training import train

        stage = prepare_stage(splits, args, run)
        if args.resume:
            record_move(run, args)
        return splits, train(stage, args, run)
    except BaseException:
        if not args.resume:
            run.discard()
        raise


def prepare_films(run, args):
    """Check the options, and read the films of all splits, {split: Films}. --batch_size becomes the
    number of films that a step can have. Imports TensorFlow."""
    check_trainable(args)
    from util.accelerators import batch_size_for

    record_environment(run)
    splits = load_splits(args, run)
    args.batch_size = batch_size_for(splits["train"], args, run)
    return splits


def check_trainable(args):
    """Raise UserError, before films are read, if the options can't work. Imports TensorFlow."""
    plan_phases(args)
    check_backbone(args.backbone, args.img_size)
    check_weights_run(args)
    for split in SPLITS:
        split_paths(args.data_dir, split)
    import_tensorflow()
    from modeling import build_backbone, check_activation
    from util.accelerators import make_strategy

    check_activation(args.activation)
    make_strategy(args)
    if args.weights != "none" and not starts_from_run(args.weights):
        build_backbone(args.backbone, args.img_size, args.weights)  # its weights may be missing


def report_run(run, metrics, args):
    """Log the errors on the test split and what to do next."""
    for key, calibration in run.calibrations.items():
        run.log(f"{describe_views(views_from_key(key))}: {format_calibration(calibration)}")
    if readings := run.read_json(READINGS):
        run.log(format_readings_gain(readings["gain"], readings["labels"]))
    for views in views_to_evaluate(vars(args)):
        for split, title in (("test", "test"), ("test_clahe", "test after CLAHE")):
            if split in metrics:
                errors = metrics[split + views_suffix(views)]
                run.log(format_with_intervals(errors, title + views_title(views)))
    run.log(f"\nrun folder {run.folder}, pictures in {run.folder / 'plots'}")
    if args.folds:
        return
    if starts_from_run(args.weights):
        command = f"python evaluate.py {quote(run.folder)} {quote(args.weights)}"
        coded = "" if args.male_value is None else f" --male_value {args.male_value}"
        run.log(f"compare: {command} --data_dir {quote(args.data_dir)}{coded}")
    run.log(how_to_predict(run.folder, sees_sex(args.model_type)))
