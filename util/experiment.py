"""From options to a finished run: what every training script does, in the order of the README."""

import os
from argparse import Namespace
from contextlib import closing

from util.backbones import check_backbone, sees_sex
from util.calibration import format_calibration
from util.data_folder import SPLITS, split_paths
from util.errors import UserError
from util.final_evaluation import evaluate_splits
from util.folds import run_folds
from util.intervals import format_with_intervals
from util.phases import plan_phases
from util.processes import STARTED_BY_A_SWEEP
from util.quiet import import_tensorflow
from util.readings import format_stored
from util.run_pictures import draw_run
from util.runs import (
    CALIBRATION,
    READINGS,
    next_prediction,
    note_environment,
    open_run,
)
from util.splits import load_splits, read_splits
from util.start import check_start, check_start_films, note_start, read_start
from util.weights import starts_from_run


def run_experiment(args):
    """Do the training that the options ask for: one run, or a run for each fold."""
    if args.folds:
        run_folds(args, train_run)
    else:
        train_run(args)


def train_run(args):
    """Read the films, train, evaluate on validation and test, and fill the run folder."""
    with closing(open_run(args, f"{args.model_type}_{args.backbone}")) as run:
        fill_run(run, args)


def fill_run(run, args):
    """Do what is not done yet of a run, and report."""
    metrics = run.metrics
    if metrics:
        run.log(f"this run is finished: {run.folder}\n")
    else:
        films, history = read_and_train(run, args)
        metrics, predictions = evaluate_splits(films, args, run)
        draw_run(run, history, predictions, films, args)
        run.write_json("metrics.json", metrics)
    report(run, metrics, args)
    plots = sorted((run.folder / "plots").glob("*.png"))
    if args.show and plots:
        from util.plots import show_plots

        show_plots(plots)


def read_and_train(run, args):
    """Returns the films, {split: Films}, and the history; a new run that ends before it has a state
    to go on from leaves no folder behind."""
    try:
        note_environment(run, check_options(args))
        films = load_splits(args, run)
        check_start_films(films, args, run)
        stages = prepare_stages(films, args, run)
        from util.training import train

        return films, train(stages, args, run)
    except BaseException as error:
        if not args.resume:
            run.discard()
        if isinstance(error, KeyboardInterrupt) and run.folder.exists():
            run.log(f"stopped; to go on: {how_to_resume(run, args)}")
        raise


def how_to_resume(run, args):
    """What to type after a training was stopped."""
    if os.environ.get(STARTED_BY_A_SWEEP):
        return "the same command of the sweep"
    folder = run.folder.parent if args.folds else run.folder
    return f"the same command with --resume --run_name {folder.name}"


def check_options(args):
    """UserError, before a film is read, for options that can't be trained. Returns the names of the
    devices."""
    smallest = min(phase.img_size for phase in plan_phases(args))
    small = smallest < args.img_size
    check_backbone(args.backbone, smallest, "--img_size_small" if small else "--img_size")
    check_start(args)
    devices = import_tensorflow()
    from modeling import build_backbone, check_activation
    from util.accelerators import make_strategy

    check_activation(args.activation)
    make_strategy(args)
    for split in SPLITS:
        split_paths(args.data_dir, split)
    if args.weights != "none" and not starts_from_run(args):
        build_backbone(args.backbone, args.img_size, args.weights)  # its weights may be missing
    return devices


def find_learning_rates(args):
    """Run the range test of the learning rate in place of a training, and say what it found."""
    args = options_of_test(args)
    with closing(open_run(args, f"find_lr_{args.model_type}_{args.backbone}")) as run:
        find_rates(run, args)


def options_of_test(args):
    """The options of a range test. It sees films of full size alone, so that no layer has learned
    from small ones (of a preset) before it is held; layers of a run to start from have."""
    held = args.hold_layers if starts_from_run(args) else 0
    return Namespace(**vars(args) | {"epochs_small": 0, "hold_layers": held})


def find_rates(run, args):
    """Fill the folder of a range test, and print the rates to train with. Of a test that did not
    come to its end nothing stays; UserError when the loss falls at no rate."""
    try:
        note_environment(run, check_options(args))
        films = load_splits(args, run)
        model = new_model(films["train"], args, run)
        from util import plots
        from util.lr_range import falling_range, range_test

        table = range_test(model, films["train"], args, run)
    except BaseException:
        run.discard()
        raise
    falling = falling_range(table)
    plot = plots.plot_lr_range(table, falling, run.path("plots", "lr_range.png"))
    if not falling:
        raise UserError(
            f"in {len(table)} steps the loss falls at no learning rate by more than its noise "
            f"({plot}). Raise --batch_size, start from pretrained --weights, or check the labels."
        )
    low, high = falling
    run.log(f"the loss falls at learning rates from {low:.1e} to {high:.1e}: {plot}")
    feet = {"--lr": args.epochs_frozen, "--lr_finetune": args.fine_tune}
    rates = " ".join(f"{option} {low:.1e}" for option, trains in feet.items() if trains)
    name = ", choose another --run_name" if args.run_name else ""
    run.log(
        f"next: leave out --find_lr{name}, add {rates} --use_cyclical_lr --clr_max_lr {high:.1e}"
    )
    if args.show:
        plots.show_plots([plot])


def report(run, metrics, args):
    """Print the errors on the test split and what to do next."""
    titles = {
        "test": "test",
        "test_clahe": "test after CLAHE",
        "test_tta": f"test, mean of {args.tta_steps} views",
        "test_clahe_tta": f"test after CLAHE, mean of {args.tta_steps} views",
    }
    for calibration in (run.read_json(CALIBRATION) or {}).values():
        run.log(format_calibration(calibration))
    if readings := run.read_json(READINGS):  # of an older run there are none
        run.log(format_stored(readings))
    for name, title in titles.items():
        if name in metrics:
            run.log(format_with_intervals(metrics[name], title))
    run.log(f"\nrun folder {run.folder}, pictures in {run.folder / 'plots'}")
    run.log(next_prediction(run.folder, sees_sex(args.model_type)))


def prepare_stages(films, args, run):
    """A Stage, model and films, for each size of films that training goes through."""
    model = new_model(films["train"], args, run)
    from util.training import Stage

    stage = Stage(model, films["train"], films["val"])
    if args.feature_views:
        from util.features import on_features

        stage = on_features(stage, args, run)
    stages = {args.img_size: stage}
    if args.fine_tune and args.epochs_small:
        small = Namespace(**vars(args) | {"img_size": args.img_size_small})
        films = read_splits(small, ("train", "val"))
        model = build_from(films["train"], small)
        stages[small.img_size] = Stage(model, films["train"], films["val"])
    return stages


def new_model(films, args, run):
    """Seed everything and build the model for the training films."""
    devices = import_tensorflow()
    import keras

    from util.accelerators import describe_acceleration

    keras.backend.clear_session()  # of an earlier fold
    model = build_from(films, args)
    run.log(f"model {args.model_type} on {args.backbone}, device: {', '.join(devices)}")
    for line in describe_acceleration(model, args):
        run.log(line)
    note_start(run, args)
    return model


def build_from(films, args):
    """Build the model of the options; its months come from the labels of `films` alone, or from
    the run that it starts from."""
    from modeling import put_weights
    from modeling_advanced import build_model
    from util.accelerators import accelerated
    from util.training import set_seeds

    start = read_start(args)
    set_seeds(args.seed)
    with accelerated(args):
        model = build_model(
            args.model_type,
            args.backbone,
            args.img_size,
            weights="none" if start else args.weights,
            label_mean=start.label_mean if start else films.label_mean,
            label_sd=start.label_sd if start else films.label_sd,
            activation=args.activation,
            dropout_rate=args.dropout_rate,
            dense_units=args.dense_units,
            gender_units=args.gender_units,
            seed=args.seed,
        )
    if start:
        put_weights(model, start.weights)
    return model
