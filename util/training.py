"""The one training loop, for every script and model: a frozen phase, then fine-tuning, which can
begin on small films, as the frozen phase then does too.

`model.fit` does the work. One callback validates in months, keeps the best epoch on films of full
size, shows progress and saves a state from which a killed run goes on as if nothing had happened:
batches depend on (seed, epoch, step) alone, dropout is seeded anew at every epoch, and the state
holds weights, optimizer and history.
"""

import math
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property

import keras
import pandas as pd
import tensorflow as tf
from tqdm import tqdm

from modeling import (
    backbone_of,
    batchnorm_layers,
    count_parameters,
    freeze_backbone,
    hold_first_layers,
    unfreeze_backbone,
)
from preprocessing import Films, make_batch, steps_per_epoch, training_dataset
from util.accelerators import devices_of, scale_loss, single_precision
from util.augmentation import STRENGTHS
from util.batchnorm import compile_forward, measure_statistics
from util.cyclical_lr import CyclicalLearningRate
from util.errors import UserError, enough_memory
from util.files import write_atomically, write_csv
from util.loss_functions import get_loss_function
from util.phases import can_hold_layers, plan_phases
from util.prediction import compile_predictor, inputs_of, predict_films
from util.saved_state import read_state, restore, state_of, write_state

WARM_UP = 0.05  # share of a schedule in which the learning rate rises
STATISTICS_FILMS = 1024  # plain films that BatchNorm statistics are measured on
SMALLER_STEPS = "Start a new run with a lower --batch_size or --img_size"
FEW_FILMS = 16  # on a device; fewer are too few for statistics of their own


@dataclass
class Stage:
    """What is trained on films of one size. A stage with a `head` trains that part of the model
    alone, and its films hold what the head takes in place of pixels."""

    model: keras.Model
    films: Films
    val_films: Films
    head: keras.Model | None = None

    @property
    def trained(self):
        """What goes through `fit`."""
        return self.head or self.model

    @cached_property
    def predict(self):
        """`predict(image, sex) -> months (N,)` with the weights of the moment."""
        return compile_predictor(self.trained, in_training=True)


def set_seeds(seed):
    """Seed Python, NumPy and TensorFlow; on a CPU every operation is made deterministic too.

    On a GPU some layers have no deterministic version, so runs there repeat only closely.
    """
    keras.utils.set_random_seed(seed)
    if not tf.config.list_physical_devices("GPU"):
        tf.config.experimental.enable_op_determinism()


def train(stages, args, run):
    """Train through all phases; returns the history, a frame with a row an epoch.

    `stages` holds a Stage for each size of films. The model of a larger size goes on from the
    averaged weights of the smaller and from its optimizer. The best model at the largest, by
    validation MAE (months), is the run's `model.keras`. With a saved state in the run folder,
    training goes on from there.
    """
    progress, carried = read_state(run)  # from before a stop; then from phase to phase
    phases = plan_phases(args)
    for phase in phases:
        if progress.next_epoch >= phase.end:
            continue
        stage = stages[phase.img_size]
        model = stage.trained
        check_precision(progress, model)
        if progress.img_size != phase.img_size:
            progress.img_size, progress.best_mae, progress.best_epoch = phase.img_size, math.inf, 0
        bn = prepare_phase(stage, phase, args, run)
        if carried:
            goes_on = progress.next_epoch > phase.schedule_start
            restore(model, carried, with_optimizer=goes_on)
            carried = None  # which is as large as the model and its optimizer
        with enough_memory(args.batch_size, phase.img_size, SMALLER_STEPS):
            model.fit(
                training_batches(model, stage.films, args, progress.next_epoch, phase.end),
                initial_epoch=progress.next_epoch,
                epochs=phase.end,
                steps_per_epoch=steps_per_epoch(stage.films, args.batch_size),
                callbacks=[EndOfEpoch(phase, bn, progress, stage, args, run)],
                shuffle=False,
                verbose=0,
            )
        if phase is not phases[-1]:
            carried = state_of(model)
    return pd.DataFrame(progress.history)


def check_precision(progress, model):
    """Note the precision that a training computes in; UserError when it began in another one, as
    --mixed_precision means another on a GPU than on a processor."""
    precision = model.dtype_policy.name
    if progress.precision not in (None, precision):
        raise UserError(
            f"this run began in {progress.precision}, and here --mixed_precision is {precision}. Go on "
            f"where it began, {'with' if 'float16' in progress.precision.split('_') else 'without'} "
            "a GPU."
        )
    progress.precision = precision


def prepare_phase(stage, phase, args, run):
    """Choose what trains and compile it for a phase; returns how BatchNorm works in it."""
    steps_an_epoch = steps_per_epoch(stage.films, args.batch_size)
    steps = steps_an_epoch * (phase.schedule_end - phase.schedule_start)  # of the learning rate
    bn = choose_trainable(stage.model, phase, args)
    schedule = learning_rate(args, phase.lr, steps, steps_an_epoch)
    compile_model(stage.trained, schedule, steps, stage.films, args)
    trainable, total = count_parameters(stage.model)
    run.log(
        f"{phase.name}: {phase.end - phase.start} epochs of {steps_an_epoch} steps at "
        f"{phase.img_size} pixels, {trainable:,} of {total:,} parameters train, BatchNorm: {bn}"
        + (f", the first {held:.0%} of layers held" if (held := share_held(phase, args)) else "")
    )
    return bn


def choose_trainable(model, phase, args):
    """Freeze or unfreeze the backbone for a phase; returns how its BatchNorm works."""
    if phase.name == "frozen":
        freeze_backbone(model)
        return "frozen"
    bn = batchnorm_mode(args, devices_of(model))
    unfreeze_backbone(model, bn)
    if held := share_held(phase, args):
        hold_first_layers(model, held)
    return bn


def share_held(phase, args):
    """The share of the backbone's layers that a phase leaves as earlier films left them."""
    return args.hold_layers if phase.name == "finetune" and can_hold_layers(args) else 0


def compile_model(model, schedule, steps, films, args):
    """Compile with the loss of the options, over the SD of the labels of `films`, and AdamW at the
    learning rates of `schedule`; its moving average of the weights spans a share of `steps`."""
    with model.distribute_strategy.scope():
        model.compile(
            optimizer=scale_loss(make_optimizer(args, schedule, steps, devices_of(model)), model),
            loss=loss_of(args),
            # months over the SD of the labels: the rate means the same for any data
            loss_weights=[1 / label_sd(films)],
            metrics=["mae"],
            jit_compile=args.jit_compile,
        )


def loss_of(args):
    """The loss function of the options."""
    return get_loss_function(
        args.loss_type,
        huber_delta=args.huber_delta,
        smooth_l1_sigma=args.smooth_l1_sigma,
        wing_w=args.wing_w,
        wing_epsilon=args.wing_epsilon,
    )


def batchnorm_mode(args, devices=1):
    """What `--bn auto` means: statistics follow the batches, which adapts the network to films and
    is what it needs without pretrained weights; but those of a few films would be noise. Each
    device normalises by its own share of a batch."""
    if args.bn != "auto":
        return args.bn
    pretrained, few = args.weights != "none", args.batch_size // devices < FEW_FILMS
    return "frozen" if pretrained and few else "train"


def average_decay(decay, steps):
    """Decay of a moving average that spans at most a tenth of `steps`.

    With the long memory of a long training, a short one would be judged by the weights of its
    start.
    """
    return min(decay, 1 - 10 / steps) if steps > 10 else 0.0


def learning_rate(args, lr, steps, steps_an_epoch):
    """The schedule of `steps` steps with peak or base learning rate `lr`: warm-up and
    cosine decay, or cycles."""
    if args.use_cyclical_lr:
        return CyclicalLearningRate(
            base_lr=lr,
            max_lr=args.clr_max_lr or 4 * lr,
            step_size=args.clr_step_size or 2 * steps_an_epoch,
            mode=args.clr_mode,
            gamma=args.clr_gamma,
        )
    warm_up = math.ceil(WARM_UP * steps)
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=lr / 100,
        warmup_target=lr,
        warmup_steps=warm_up,
        decay_steps=max(1, steps - warm_up),
        alpha=0.01,
    )


def make_optimizer(args, schedule, steps, devices=1):
    """AdamW (Loshchilov & Hutter 2019) with clipping of the gradient norm and a moving average of
    the weights.

    Keras clips on each device, before the gradients are added up: each gets its share of the norm,
    so that the sum keeps to it.
    """
    ema = average_decay(args.ema, steps)
    optimizer = keras.optimizers.AdamW(
        schedule,
        weight_decay=args.weight_decay,
        global_clipnorm=args.gradient_clip_norm / devices or None,
        use_ema=ema > 0,
        ema_momentum=ema,
    )
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer


def augmentation(args):
    """The Augmentation that the options ask for."""
    return replace(
        STRENGTHS[args.augment],
        mixup_alpha=args.mixup_alpha,
        label_noise_std=args.label_noise_std,
    )


def label_mean(films):
    """Mean of the labels in months."""
    return float(films.table["boneage"].mean())


def label_sd(films):
    """SD of the labels in months; 1 when they are all alike."""
    return float(films.table["boneage"].std(ddof=0)) or 1.0


def training_batches(model, films, args, start_epoch, end_epoch):
    """Augmented batches of ((inputs of the model), months) for `range(start_epoch, end_epoch)`."""
    batches = training_dataset(
        films, args.batch_size, args.seed, start_epoch, end_epoch, augmentation(args)
    )
    return batches.map(lambda inputs, boneage: (inputs_of(model, **inputs), boneage))


def plain_batches(model, films, args, epoch):
    """Inputs of the model: the first STATISTICS_FILMS films of an epoch, as they are."""
    steps = min(
        math.ceil(STATISTICS_FILMS / args.batch_size), steps_per_epoch(films, args.batch_size)
    )
    for step in range(steps):
        batch = make_batch(films, args.batch_size, args.seed, epoch, step)
        image, sex = (tf.constant(values, tf.float32) for values in (batch.image, batch.sex))
        yield inputs_of(model, image=image, sex=sex)


class EndOfEpoch(keras.callbacks.Callback):
    """Validates, keeps the best model, reports and saves the state after every epoch."""

    def __init__(self, phase, bn, progress, stage, args, run):
        super().__init__()
        self.phase, self.progress, self.args, self.run = phase, progress, args, run
        self.bn, self.stage = bn, stage
        self.forward = compile_forward(stage.model)  # traced when it is needed

    def on_epoch_begin(self, epoch, logs=None):
        seed_dropout(self.stage.model, self.args.seed, epoch)
        self.started = time.perf_counter()
        self.bar = tqdm(
            total=self.params["steps"] * min(self.args.batch_size, len(self.stage.films)),
            desc=f"{self.phase.name} {epoch + 1}/{self.phase.end}",
            unit="film",
            leave=False,
            disable=None if self.args.verbose == 1 else True,
        )

    def on_train_batch_end(self, batch, logs=None):
        if not math.isfinite(logs["loss"]):
            raise UserError(
                f"training diverged: the loss is {logs['loss']} ({self.phase.name}). "
                "Lower --lr or --lr_finetune."
            )
        self.bar.set_postfix_str(f"train MAE {logs['mae']:.1f} months", refresh=False)
        self.bar.update(min(self.args.batch_size, len(self.stage.films)))

    def on_epoch_end(self, epoch, logs=None):
        self.bar.close()
        seconds = time.perf_counter() - self.started
        with averaged_weights(self.model):
            self.measure_statistics(epoch)
            val_mae, better = self.validate(epoch)
        self.progress.history.append(
            {
                "epoch": epoch + 1,
                "phase": self.phase.name,
                "img_size": self.phase.img_size,
                "loss": logs["loss"],
                "train_mae": logs["mae"],
                "val_mae": val_mae,
                "lr": float(self.model.optimizer.learning_rate.numpy()),
                "seconds": round(seconds, 2),
            }
        )
        self.stop_or_go_on(epoch)
        self.report(epoch, logs, val_mae, better, seconds)
        self.save()

    def measure_statistics(self, epoch):
        """BatchNorm statistics for these weights; training itself uses none."""
        if self.bn == "train":
            model = self.stage.model
            batches = plain_batches(model, self.stage.films, self.args, epoch)
            measure_statistics(self.forward, batchnorm_layers(model), batches)

    def validate(self, epoch):
        """Return the validation MAE in months, and whether it is the best on films of this size; the
        best model on those of full size is saved."""
        table = predict_films(self.stage.predict, self.stage.val_films, self.args.batch_size_eval)
        val_mae = float(table["error"].abs().mean())
        better = val_mae < self.progress.best_mae
        if better:
            self.progress.best_mae, self.progress.best_epoch = val_mae, epoch
            if self.phase.img_size == self.args.img_size:
                save_model(self.stage.model, self.run)
        return val_mae, better

    def stop_or_go_on(self, epoch):
        """End the phase when `--patience` epochs of it brought nothing better; never that of small
        films, in the middle of a schedule of the learning rate."""
        since = epoch - max(self.progress.best_epoch, self.phase.start - 1)
        ends = self.phase.end == self.phase.schedule_end
        stop = ends and self.args.patience and since >= self.args.patience
        self.progress.next_epoch = self.phase.end if stop else epoch + 1
        self.model.stop_training = bool(stop)

    def report(self, epoch, logs, val_mae, better, seconds):
        films = self.params["steps"] * min(self.args.batch_size, len(self.stage.films))
        left = (self.phase.end - self.progress.next_epoch) * (time.perf_counter() - self.started)
        self.run.log(
            f"{self.phase.name:8s} epoch {epoch + 1:3d}/{self.phase.end}  "
            f"train {logs['mae']:6.2f}  validation {val_mae:6.2f} months{'*' if better else ' '}  "
            f"{films / seconds:5.1f} films/s  {left / 60:.0f} min left in this phase"
            + ("  stops early" if self.model.stop_training else "")
        )

    def save(self):
        """Write the history and the state that a stopped training goes on from."""
        write_csv(self.run.path("history.csv"), pd.DataFrame(self.progress.history))
        if self.progress.next_epoch == self.phase.end:
            # `fit` ends with the averaged weights, so the next phase starts from them
            self.model.optimizer.finalize_variable_values(self.model.trainable_variables)
        write_state(self.model, self.progress, self.run)


@contextmanager
def averaged_weights(model):
    """Within the block the trainable weights are their moving average, afterwards the old ones."""
    # loss scaling wraps the optimizer that knows of averages
    if not getattr(model.optimizer, "inner_optimizer", model.optimizer).use_ema:
        yield
        return
    current = [variable.numpy() for variable in model.trainable_variables]
    model.optimizer.finalize_variable_values(model.trainable_variables)
    try:
        yield
    finally:
        for variable, value in zip(model.trainable_variables, current, strict=True):
            variable.assign(value)


def seed_dropout(model, seed, epoch):
    """Let dropout masks depend on (seed, epoch) alone, not on what ran before."""
    for number, layer in enumerate([*model.layers, *backbone_of(model).layers]):
        if hasattr(layer, "seed_generator"):
            layer.seed_generator.state.assign([seed * 1000 + number, epoch * 1_000_000])


def save_model(model, run):
    """Save the model in float32 and without its compile state: loading it needs no code of ours."""
    write_atomically(run.path("model.keras"), single_precision(model).save, flush=True)
