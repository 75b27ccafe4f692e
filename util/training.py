"""The one training loop, for every script and model: a frozen phase, then fine-tuning.

`model.fit` does the work. One callback validates in months, keeps one epoch, shows progress and
saves a state. A killed run resumes from it as if nothing had happened: batches depend on (seed,
epoch, step) alone, dropout is seeded again at every epoch, and the state holds weights, optimizer
and history.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import keras
import pandas as pd
import tensorflow as tf

from modeling import batchnorm_layers, count_parameters, freeze_backbone, unfreeze_backbone
from preprocessing import Films, steps_per_epoch, training_dataset
from util.accelerators import devices_of
from util.augmentation import chosen_ranges
from util.epoch_end import EndOfEpoch
from util.errors import UserError, check_interrupted, counted, memory_errors
from util.files import write_csv
from util.optimizer import compile_model, notes_on_cycles, rate_schedule
from util.phases import plan_phases
from util.predicting.prediction import compile_predictor, inputs_of, predict_films
from util.runs import HISTORY
from util.saved_state import read_state, restore
from util.weights import starts_from_run

FEW_FILMS = 16  # on a device; BatchNorm statistics of fewer are noise


@dataclass
class Stage:
    """What is trained, and on which films. A stage with a `head` trains only that part of the
    model; its films then hold features, the input of the head, in place of pixels."""

    model: keras.Model
    films: Films
    val_films: Films
    head: keras.Model | None = None

    @property
    def trained(self):
        """The model that `fit` trains: the head, or else the whole model."""
        return self.head or self.model

    @cached_property
    def predict(self):
        """`predict(image, sex) -> months (N,)` with the current weights."""
        return compile_predictor(self.trained, follow_weights=True)

    def validate(self, batch_size):
        """Return the MAE on the validation films, in months, with the current weights; NaN if one
        of them gets no months, as when float16 overflows: the others alone may be easier."""
        table = predict_films(self.predict, self.val_films, batch_size)
        return float(table["error"].abs().mean(skipna=False))


class EndWhenInterrupted(keras.callbacks.Callback):
    """Ends `fit` after a step in which Ctrl-C was swallowed, see `check_interrupted`."""

    def on_train_batch_end(self, batch, logs=None):
        check_interrupted()


def set_seeds(seed):
    """Seed Python, NumPy and TensorFlow; on a CPU every operation is made deterministic too.

    On a GPU some layers have no deterministic version, so repeated runs differ a little.
    """
    keras.utils.set_random_seed(seed)
    if not tf.config.list_physical_devices("GPU"):
        tf.config.experimental.enable_op_determinism()


def train(stage, args, run):
    """Train a Stage through all phases; returns the history, a frame with one row per epoch.

    The run's `model.keras` is the best model by validation MAE (months), or the last one under
    --keep_epoch last. If the run folder has a saved state, training resumes from it.
    """
    progress, saved = read_state(run)
    model = stage.trained
    if saved:  # a process that was killed may not have written the last row
        write_csv(run.path(HISTORY), pd.DataFrame(progress.history))
    elif starts_from_run(args.weights):
        start = stage.validate(args.batch_size_eval)
        run.log(f"the run it starts from: {start:.2f} months on validation films")
    for phase in plan_phases(args):
        if progress.next_epoch >= phase.end:
            continue
        record_precision(progress, model)
        record_devices(progress, devices_of(model))
        with step_memory_errors(args):
            bn = prepare_phase(stage, phase, args, run)
            if saved:
                restore(model, saved, with_optimizer=progress.next_epoch > phase.start)
                saved = None  # frees as much memory as the model and its optimizer take
            model.fit(
                training_batches(model, stage.films, args, progress.next_epoch, phase.end),
                initial_epoch=progress.next_epoch,
                epochs=phase.end,
                steps_per_epoch=steps_per_epoch(stage.films, args.batch_size),
                callbacks=[EndWhenInterrupted(), EndOfEpoch(phase, bn, progress, stage, args, run)],
                shuffle=False,
                verbose=0,
            )
    if not any(epoch["kept"] for epoch in progress.history):
        raise UserError(
            "no epoch gave months for all validation films. Lower --lr and "
            "--lr_finetune, or leave --mixed_precision out."
        )
    return pd.DataFrame(progress.history)


def fit_steps(steps, model, phase, schedule, films, args, *callbacks, phase_steps=None):
    """Train some steps as in a phase (of `phase_steps`, by default as many), without validation, at
    the learning rate or rates of `schedule`."""
    choose_trainable(model, phase, args)
    epochs = math.ceil(steps / steps_per_epoch(films, args.batch_size))
    batches = training_batches(model, films, args, 0, epochs).take(steps)
    callbacks = [EndWhenInterrupted(), *callbacks]
    with step_memory_errors(args):
        compile_model(model, schedule, phase_steps or steps, films.label_sd, args)
        model.fit(batches, steps_per_epoch=steps, callbacks=callbacks, shuffle=False, verbose=0)


def step_memory_errors(args):
    """Return `memory_errors` for the steps of a training."""
    remedy = "Start a new run with a lower --batch_size or --img_size"
    return memory_errors(args.batch_size, args.img_size, remedy)


def record_precision(progress, model):
    """Record the precision that a training computes in; UserError when it began in another one:
    --mixed_precision means float16 on a GPU, bfloat16 on a processor."""
    precision = model.dtype_policy.name
    if progress.precision not in (None, precision):
        raise UserError(
            f"this run began in {progress.precision}, but here --mixed_precision is {precision}. "
            "Resume where it began, "
            f"{'with' if 'float16' in progress.precision.split('_') else 'without'} a GPU."
        )
    progress.precision = precision


def record_devices(progress, devices):
    """Record how many devices share each batch of a training; UserError when it began on another
    number: clipping, and whether BatchNorm follows the batches, depend on it."""
    if progress.devices not in (None, devices):
        raise UserError(
            f"this run began on {counted(progress.devices, 'device')}, here it would be on {devices}. "
            "Resume it on as many as it began on: the environment variable CUDA_VISIBLE_DEVICES "
            "chooses them."
        )
    progress.devices = devices


def prepare_phase(stage, phase, args, run):
    """Choose what trains and compile it for a phase; returns how BatchNorm works in it."""
    steps_an_epoch = steps_per_epoch(stage.films, args.batch_size)
    steps = steps_an_epoch * (phase.end - phase.start)
    bn = choose_trainable(stage.model, phase, args)
    schedule = rate_schedule(args, phase.lr, steps, steps_an_epoch)
    compile_model(stage.trained, schedule, steps, stage.films.label_sd, args)
    trainable, total = count_parameters(stage.model)
    several = phase.end - phase.start > 1
    epochs = f"epochs {phase.start + 1} to {phase.end}" if several else f"epoch {phase.end}"
    run.log(
        f"{phase.name}: {epochs}, steps an epoch: {steps_an_epoch}, at "
        f"{args.img_size} pixels, {trainable:,} of {total:,} parameters train, BatchNorm: {bn}"
    )
    for note in notes_on_cycles(schedule, steps):
        run.log(f"note: {note}")
    return bn


def choose_trainable(model, phase, args):
    """Freeze or unfreeze the backbone for a phase; returns how its BatchNorm works: "frozen",
    "train", or "none" for a backbone that trains and has no BatchNorm."""
    if phase.name == "frozen":
        freeze_backbone(model)
        return "frozen"
    bn = batchnorm_mode(args, devices_of(model))
    unfreeze_backbone(model, bn)
    return bn if batchnorm_layers(model) else "none"


def batchnorm_mode(args, devices=1):
    """Return how BatchNorm works in fine-tuning, "train" or "frozen"; `--bn auto` chooses as
    follows.

    Statistics that follow the batches adapt the network to films, and are needed without pretrained
    weights. But those of a few films would be noise, so pretrained statistics are then kept. Each
    device normalises by its own share of a batch.
    """
    if args.bn != "auto":
        return args.bn
    pretrained, few = args.weights != "none", args.batch_size // devices < FEW_FILMS
    return "frozen" if pretrained and few else "train"


def training_batches(model, films, args, start_epoch, end_epoch):
    """Return augmented batches of ((inputs of the model), months) of the epochs
    `range(start_epoch, end_epoch)`."""
    ranges = chosen_ranges(args)
    batches = training_dataset(films, args.batch_size, args.seed, start_epoch, end_epoch, ranges)
    return batches.map(lambda image, sex, boneage: (inputs_of(model, image, sex), boneage))
