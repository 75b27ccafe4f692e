"""What a training minimises, and how: the loss, AdamW with a moving average of the weights, and the
schedules of its learning rate."""

import math

import keras
import tensorflow as tf

from util.accelerators import devices_of, scale_loss
from util.cyclical_lr import CyclicalLearningRate
from util.loss_functions import get_loss_function
from util.training_options import LOSS_PARAMETERS

WARM_UP = 0.05  # share of a schedule in which the learning rate rises


def compile_model(model, schedule, steps, label_sd, args):
    """Compile with the loss of the options, and AdamW at the learning rates of `schedule`.

    The loss is divided by `label_sd`, the SD of the training labels in months, so that a learning
    rate means the same for any data. The moving average of the weights spans a share of `steps`.
    The metric is an object and the optimizer is built here, so that all variables exist before the
    first step: TensorFlow traces a step that makes variables twice.
    """
    names = LOSS_PARAMETERS[args.loss_type]
    loss = get_loss_function(args.loss_type, **{name: getattr(args, name) for name in names})
    with model.distribute_strategy.scope():
        model.compile(
            optimizer=scale_loss(make_optimizer(args, schedule, steps, devices_of(model)), model),
            loss=loss,
            loss_weights=[1 / label_sd],
            metrics=[keras.metrics.MeanAbsoluteError("mae")],
            jit_compile=args.jit_compile and bool(tf.config.list_physical_devices("GPU")),
        )
        model.optimizer.build(model.trainable_variables)


def average_decay(decay, steps):
    """Return `decay`, or less: a moving average with it spans at most a tenth of `steps`.

    With the memory that suits a long training, a short one would be judged by its early weights.
    """
    return min(decay, 1 - 10 / steps) if steps > 10 else 0.0


def rate_schedule(args, lr, steps, steps_an_epoch):
    """Return the schedule of `steps` steps: warm-up and cosine decay, or cycles.

    `lr` is the peak learning rate, or the base of the cycles. By default a cycle takes about four
    epochs, and the last one ends at its foot.
    """
    if args.use_cyclical_lr:
        cycles = max(1, round(steps / (4 * steps_an_epoch)))
        return CyclicalLearningRate(
            base_lr=lr,
            max_lr=args.clr_max_lr or 4 * lr,
            step_size=args.clr_step_size or steps / (2 * cycles),
            mode=args.clr_mode,
            gamma=args.clr_gamma,
        )
    warm_up = min(math.ceil(WARM_UP * steps), steps - 1)  # a single step has the full rate
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=lr / 100,
        warmup_target=lr,
        warmup_steps=warm_up,
        decay_steps=steps - warm_up,
        alpha=0.01,
    )


def notes_on_cycles(schedule, steps):
    """Return notes, a list, where a phase of `steps` steps is shorter than a cycle of the learning
    rate, or has a single cycle in a mode in which the next ones would differ."""
    if not isinstance(schedule, CyclicalLearningRate):
        return []
    cycle = 2 * schedule.step_size
    if steps < cycle:
        return [
            f"the phase has {steps} steps, fewer than one learning-rate cycle (twice "
            f"--clr_step_size {schedule.step_size:g})"
        ]
    if steps == cycle and schedule.mode == "triangular2":
        return ["just one learning-rate cycle: --clr_mode triangular2 acts like triangular"]
    return []


def make_optimizer(args, schedule, steps, devices):
    """Return AdamW (Loshchilov & Hutter 2019) with clipped gradients and averaged weights.

    The average of the weights is a moving one. Keras clips the gradient norm on each device, before
    the gradients are added up. Each device gets its share of the allowed norm, so that the sum
    stays within it.
    """
    ema = average_decay(args.ema, steps)
    optimizer = keras.optimizers.AdamW(
        schedule,
        weight_decay=args.weight_decay,
        global_clipnorm=args.gradient_clip_norm / devices or None,
        use_ema=ema > 0,
        ema_momentum=ema,
    )
    # "variable" are scales of ConvNeXt, to which Keras gives no name
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta", "variable"])
    return optimizer
