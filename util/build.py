"""Build the models that the options ask for, with the films they train on. Imports TensorFlow."""

import keras

from modeling import put_weights
from modeling_advanced import build_model
from util.accelerators import accelerated, describe_acceleration
from util.environment import device_names
from util.features import on_features
from util.start import read_start, record_start
from util.training import Stage, set_seeds, step_memory_errors
from util.training_options import MODEL_OPTIONS


def prepare_stage(splits, args, run):
    """Return the Stage of a training: its model and films."""
    stage = Stage(new_model(splits["train"], args, run), splits["train"], splits["val"])
    return on_features(stage, args, run) if args.feature_views else stage


def new_model(films, args, run):
    """Seed everything, then build, log and return the model for the training films."""
    keras.backend.clear_session()  # frees the model of an earlier fold
    model = build_from(films, args)
    run.log(f"model {args.model_type} on {args.backbone}, device: {', '.join(device_names())}")
    for line in describe_acceleration(model, args):
        run.log(line)
    record_start(run, args)
    return model


def build_from(films, args):
    """Return the model that the options ask for. The scale of its months comes from the labels of
    `films` only, or from the run that it starts from."""
    start = read_start(args)
    set_seeds(args.seed)
    with step_memory_errors(args), accelerated(args):
        model = build_model(
            args.model_type,
            args.backbone,
            args.img_size,
            weights="none" if start else args.weights,
            label_mean=start.label_mean if start else films.label_mean,
            label_sd=start.label_sd if start else films.label_sd,
            seed=args.seed,
            **{name: getattr(args, name) for name in MODEL_OPTIONS},
        )
    if start:
        put_weights(model, start.weights)
    return model
