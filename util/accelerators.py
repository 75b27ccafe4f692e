"""What makes a training faster on the right machine: half precision, XLA, several GPUs."""

import os
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

import keras
import tensorflow as tf

from modeling import put_weights
from util.errors import UserError

NVIDIA = Path("/dev/nvidia0")  # is there where Linux has a driver for the GPU
SLOW_SIDE = 384  # pixels of films whose training, without a GPU, takes days


@contextmanager
def accelerated(args):
    """Within the block models are built for the precision and the devices that the options ask for;
    they keep both."""
    usual = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision(args))
    try:
        with make_strategy(args).scope():
            yield
    finally:
        keras.config.set_dtype_policy(usual)


def precision(args):
    """The dtype policy of Keras: weights stay float32, layers compute in half precision.

    GPUs have units for float16, whose small range Keras meets by scaling the loss; processors, if
    any, for bfloat16, which has the range of float32.
    """
    if not args.mixed_precision:
        return "float32"
    return "mixed_float16" if tf.config.list_physical_devices("GPU") else "mixed_bfloat16"


def make_strategy(args):
    """One copy of the model on each GPU under `--strategy mirrored`, each with its share of every
    batch; else TensorFlow's default.

    Raises UserError for a single device, and for batches that can't be shared out evenly.
    """
    if args.strategy == "none":
        return tf.distribute.get_strategy()
    strategy = mirrored()
    devices = strategy.num_replicas_in_sync
    if devices == 1:
        raise UserError(
            "one device has nothing to share (--strategy mirrored). "
            "Leave it out, or run where TensorFlow sees several GPUs."
        )
    if args.batch_size % devices:
        raise UserError(
            f"{args.batch_size} films a step can't be shared out evenly to {devices} devices "
            f"(--batch_size {args.batch_size}). Use a multiple of {devices}."
        )
    return strategy


@lru_cache
def mirrored():
    """One strategy for all models of a process: those of two would take the same names for what
    devices tell each other."""
    return tf.distribute.MirroredStrategy()


class LossScaleOnDevices(keras.optimizers.LossScaleOptimizer):
    """Keras's loss scaling asks the first of several devices alone whether gradients overflowed;
    here all of them skip a step that overflowed on one."""

    def check_finite(self, grads):
        overflows = tf.cast(tf.logical_not(super().check_finite(grads)), tf.float32)
        device = tf.distribute.get_replica_context()
        return device.all_reduce(tf.distribute.ReduceOp.SUM, overflows) == 0


def scale_loss(optimizer, model):
    """The optimizer, with loss scaling where a model needs one for its devices; Keras wraps that of
    a single device itself."""
    needed = model.dtype_policy.name == "mixed_float16" and devices_of(model) > 1
    return LossScaleOnDevices(optimizer) if needed else optimizer


def devices_of(model):
    """On how many devices a model trains."""
    return model.distribute_strategy.num_replicas_in_sync


def describe_acceleration(model, args):
    """What the options changed, and which GPUs are left idle, as lines for the log."""
    lines, gpus = [], tf.config.list_physical_devices("GPU")
    if not gpus and NVIDIA.exists() and os.environ.get("CUDA_VISIBLE_DEVICES") not in ("", "-1"):
        lines.append(
            "note: TensorFlow does not see the GPU of this machine: docs/SCALE.md, "
            '"Before a first run on a GPU", tells how to find out why'
        )
    elif not gpus and args.img_size >= SLOW_SIDE:
        lines.append(
            f"note: films of {args.img_size} pixels train slowly without a GPU: "
            "train_advanced_streamlined.py --preset cpu is for processors"
        )
    if len(gpus) > devices_of(model):
        lines.append(
            f"note: one of {len(gpus)} GPUs computes: --strategy mirrored uses all, the environment "
            "variable CUDA_VISIBLE_DEVICES chooses"
        )
    if devices_of(model) > 1:
        share = args.batch_size // devices_of(model)
        lines.append(f"mirrored on {devices_of(model)} devices, {share} films a step on each")
    if args.mixed_precision:
        lines.append(f"layers compute in {model.dtype_policy.name}, the saved model in float32")
    if args.jit_compile and not gpus:
        # a CPU computes the same every time (`set_seeds`), for which Keras leaves XLA out
        lines.append("note: --jit_compile does nothing without a GPU")
    return lines


def single_precision(model):
    """The model as it is to be saved, not compiled and with all layers in float32.

    Layers note the policy they were built with; half precision is slow or missing elsewhere.
    """
    plain = keras.Model(model.input, model.output, name=model.name)  # not compiled
    if model.dtype_policy.name == "float32":
        return plain
    text = plain.to_json().replace(f'"{model.dtype_policy.name}"', '"float32"')
    with tf.device("CPU"):  # a GPU would keep it until Python collects its garbage
        copy = keras.models.model_from_json(text)
        put_weights(copy, model.get_weights())
    return copy
