"""From options to a finished run: what every training script does, in the order of the README."""

import time
from argparse import Namespace
from contextlib import closing

import numpy as np

from preprocessing import make_batch
from util.backbones import ATTENTION, check_backbone
from util.calibration import correct_months, cross_fit, fit_calibration, format_calibration
from util.data_folder import SPLITS, split_paths
from util.errors import UserError
from util.files import write_csv
from util.folds import run_folds
from util.intervals import evaluate_with_intervals, format_with_intervals
from util.metrics import label_predictions
from util.phases import plan_phases
from util.quiet import import_tensorflow
from util.runs import (
    CALIBRATION,
    load_run_model,
    next_prediction,
    open_run,
)
from util.splits import load_splits, read_splits
from util.start import check_start, check_start_films, note_start, read_start
from util.tta import views_ending, views_key, views_to_evaluate
from util.weights import from_run


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
    metrics = run.read_json("metrics.json")
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
    """Returns the films, {split: Films}, and the history; a new run that can't be trained leaves no
    folder behind."""
    try:
        check_options(args)
        films = load_splits(args, run)
        check_start_films(films, args)
        stages = prepare_stages(films, args, run)
        from util.training import train

        return films, train(stages, args, run)
    except UserError:
        if not args.resume:
            run.discard()
        raise
    except KeyboardInterrupt:
        run.log(f"stopped; to go on: the same command with --resume --run_name {run.folder.name}")
        raise


def check_options(args):
    """UserError, before a film is read, for options that can't be trained."""
    check_backbone(args.backbone, min(phase.img_size for phase in plan_phases(args)))
    check_start(args)
    import_tensorflow()
    from modeling import build_backbone, check_activation
    from util.accelerators import make_strategy

    check_activation(args.activation)
    make_strategy(args)
    for split in SPLITS:
        split_paths(args.data_dir, split)
    if args.weights != "none" and not from_run(args):
        build_backbone(args.backbone, args.img_size, args.weights)  # its weights may be missing


def find_learning_rates(args):
    """Run the range test of the learning rate in place of a training, and say what it found."""
    with closing(open_run(args, f"find_lr_{args.model_type}_{args.backbone}")) as run:
        find_rates(run, args)


def find_rates(run, args):
    """Fill the folder of a range test, and print the rates to train with."""
    try:
        check_options(args)
        films = load_splits(args, run)
        model = new_model(films["train"], args, run)
        from util import plots
        from util.lr_range import falling_range, range_test

        table = range_test(model, films["train"], args, run)
        low, high = falling_range(table)
    except UserError:
        run.discard()
        raise
    plot = plots.plot_lr_range(table, low, high, run.path("plots", "lr_range.png"))
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
    for name, title in titles.items():
        if name in metrics:
            run.log(format_with_intervals(metrics[name], title))
    run.log(f"\nrun folder {run.folder}, pictures in {run.folder / 'plots'}")
    run.log(next_prediction(run.folder, args.model_type != "baseline"))


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
    from util.training import label_mean, label_sd, set_seeds

    start = read_start(args)
    set_seeds(args.seed)
    with accelerated(args):
        model = build_model(
            args.model_type,
            args.backbone,
            args.img_size,
            weights="none" if start else args.weights,
            label_mean=start.label_mean if start else label_mean(films),
            label_sd=start.label_sd if start else label_sd(films),
            activation=args.activation,
            dropout_rate=args.dropout_rate,
            dense_units=args.dense_units,
            gender_units=args.gender_units,
            seed=args.seed,
        )
    if start:
        put_weights(model, start.weights)
    return model


def evaluate_splits(films, args, run):
    """Predict everything but the training films with the best model, under --use_tta also over
    several views; calibrate on validation. Returns (metrics, predictions) by split, "test_tta"
    being "test" with views."""
    from modeling import count_parameters
    from util.prediction import compile_predictor
    from util.tta import test_time_augmentation

    model = load_run_model(run)
    predict = compile_predictor(model)
    warm_up(predict, films["test"], args.batch_size_eval)  # whose films a second are kept
    metrics, predictions, calibrations = {}, {}, {}
    for views in views_to_evaluate(vars(args)):
        over_views = test_time_augmentation(predict, views)
        months, speed = predict_splits(over_views, films, args.batch_size_eval)
        calibration, tables = calibrate_splits(films, months, args)
        calibrations[views_key(views)] = calibration
        for split, table in tables.items():
            name = split + views_ending(views)
            write_csv(run.path(f"predictions_{name}.csv"), table)
            metrics[name] = evaluate_split(split, table, films, calibration, args)
            predictions[name] = table
        if views == 1:
            parameters = count_parameters(model)[1]
            metrics["model"] = {"parameters": parameters, "films_per_second": speed["test"]}
    run.write_json(CALIBRATION, calibrations)
    return metrics, predictions


def predict_splits(predict, films, batch_size):
    """Months of all films but those for training, and films a second, by split."""
    from util.prediction import predict_months

    months, speed = {}, {}
    for split, part in films.items():
        if split != "train":
            started = time.perf_counter()
            months[split] = predict_months(predict, part.pixels, part.table["sex"], batch_size)
            speed[split] = len(part) / (time.perf_counter() - started)
    return months, speed


def warm_up(predict, part, batch_size):
    """Predict a batch of the shape that those of a split have: the time of the next ones is without
    compiling."""
    from util.prediction import predict_months

    first = np.arange(min(batch_size, len(part)))
    predict_months(predict, part.pixels.keep(first), part.table["sex"][first], batch_size)


def calibrate_splits(films, months, args):
    """Fit the calibration to the validation films. Returns (calibration, predictions by split as
    it corrects them)."""
    tables = {split: label_predictions(films[split].table, m) for split, m in months.items()}
    per_sex = args.model_type != "baseline"
    calibration, judged = fit_calibration(tables["val"], per_sex, seed=args.seed)
    lines = calibration["lines"]
    corrected = {
        split: label_predictions(table, correct_months(months[split], table["sex"], lines))
        for split, table in tables.items()
    }
    corrected["val"] = judged
    if lines and "val_clahe" in tables:
        corrected["val_clahe"] = cross_fit(
            tables["val"], per_sex, args.seed, copies=tables["val_clahe"]
        )
    return calibration, corrected


def evaluate_split(split, predictions, films, calibration, args):
    """The errors of a split, and the coverage of the intervals where they were not fitted to it."""
    median = float(films["train"].table["boneage"].median())
    half_width = calibration["half_width"] if split.startswith("test") else None
    return evaluate_with_intervals(predictions, half_width, median, args.seed)


def draw_run(run, history, predictions, films, args):
    """Save the pictures of a run: history, a contact sheet of what training saw, errors, and where
    an attention model looks."""
    from util import plots
    from util.training import augmentation

    sheet = make_batch(films["train"], 32, args.seed, epoch=0, step=0, ranges=augmentation(args))
    labels = film_labels(sheet.ids, sheet.sex[:, 0], sheet.boneage[:, 0])
    plots.plot_history(history, run.path("plots", "history.png"))
    plots.plot_contact_sheet(
        sheet.image[..., 0], labels, run.path("plots", "augmented_films.png"), "augmented films"
    )
    plots.plot_errors(run.path("plots"), predictions["test"], "test", args.seed)
    if args.model_type in ATTENTION:
        draw_attention(run, films["test"])


def draw_attention(run, films):
    """Save where the run's attention model looks on four films, from the youngest to the oldest."""
    from modeling_advanced import attention_map
    from util import plots

    by_age = films.table["boneage"].sort_values(kind="stable").index
    rows = by_age[np.linspace(0, len(by_age) - 1, min(4, len(by_age))).astype(int)]
    table, images = films.table.loc[rows], films.pixels[rows]
    sex = table["sex"].to_numpy(np.float32)[:, None]
    maps = attention_map(load_run_model(run), images[..., None], sex)
    labels = film_labels(table["id"], table["sex"], table["boneage"])
    path = run.path("plots", "attention.png")
    return plots.plot_attention(images, maps, labels, path, "attention over test films")


def film_labels(ids, sexes, months):
    """What stands over films in a picture, such as "1437 F 136 mo"; mixed films are of the sex that
    weighs more."""
    return [
        f"{id} {'M' if sex > 0.5 else 'F'} {boneage:.0f} mo"
        for id, sex, boneage in zip(ids, sexes, months, strict=True)
    ]
