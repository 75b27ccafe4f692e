"""Options that speed up training on the right machine: half precision, XLA, several GPUs."""

import os
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

import keras
import tensorflow as tf

from modeling import put_weights
from util.errors import UserError

NVIDIA = Path("/dev/nvidia0")  # exists if Linux has a driver for the GPU
SLOW_SIDE = 384  # pixels: without a GPU, training on films of this size takes days


@contextmanager
def accelerated(args):
    """Give models built within the block the precision and devices that the options ask for; they
    keep both."""
    usual = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision(args))
    try:
        with make_strategy(args).scope():
            yield
    finally:
        keras.config.set_dtype_policy(usual)


def precision(args):
    """Return the dtype policy of Keras: "float32", or half precision under --mixed_precision.

    In half precision layers compute in 16 bits, and weights stay float32. GPUs have hardware for
    float16; as its range is small, Keras scales the loss. Some processors have hardware for
    bfloat16, which has the range of float32.
    """
    if not args.mixed_precision:
        return "float32"
    return "mixed_float16" if tf.config.list_physical_devices("GPU") else "mixed_bfloat16"


def make_strategy(args):
    """Return TensorFlow's strategy for the devices.

    Under `--strategy mirrored` each GPU has a copy of the model and computes its share of every
    batch; else it is TensorFlow's default. Raises UserError if there is only one device, or if
    batches can't be shared out evenly.
    """
    if args.strategy == "none":
        return tf.distribute.get_strategy()
    strategy = mirrored()
    devices = strategy.num_replicas_in_sync
    if devices == 1:
        raise UserError(
            "there is only one device (--strategy mirrored). "
            + (
                "Resume the run on as many as it began on."
                if args.resume
                else "Leave it out, or run where TensorFlow sees several GPUs."
            )
        )
    if args.batch_size % devices:
        raise UserError(
            f"{args.batch_size} films a step can't be split evenly among {devices} devices "
            f"(--batch_size {args.batch_size}). Use a multiple of {devices}."
        )
    return strategy


def batch_size_for(films, args, run):
    """Return the number of films in a training step: --batch_size, or, if there are fewer training
    films, as many of them as the devices can share evenly. UserError when there are fewer films
    than devices."""
    if len(films) >= args.batch_size:
        return args.batch_size
    devices = make_strategy(args).num_replicas_in_sync
    fewer = len(films) // devices * devices
    if fewer == 0:
        raise UserError(
            f"{devices} devices can't share {len(films)} training films (--strategy). Leave it out."
        )
    run.log(
        f"note: {len(films)} training films are fewer than --batch_size {args.batch_size}: a "
        f"step takes {fewer}"
    )
    return fewer


@lru_cache
def mirrored():
    """Return the one MirroredStrategy for all models of a process. With two strategies, the
    communication between devices would use the same names twice."""
    return tf.distribute.MirroredStrategy()


class LossScaleOnDevices(keras.optimizers.LossScaleOptimizer):
    """Loss scaling in which all devices skip a step if gradients overflow on any of them. That of
    Keras checks the first device only."""

    def check_finite(self, grads):
        overflows = tf.cast(tf.logical_not(super().check_finite(grads)), tf.float32)
        device = tf.distribute.get_replica_context()
        return device.all_reduce(tf.distribute.ReduceOp.SUM, overflows) == 0


def scale_loss(optimizer, model):
    """Return the optimizer, with loss scaling if a float16 model trains on several devices. On a
    single device Keras adds loss scaling itself."""
    needed = model.dtype_policy.name == "mixed_float16" and devices_of(model) > 1
    return LossScaleOnDevices(optimizer) if needed else optimizer


def devices_of(model):
    """Return how many devices a model trains on."""
    return model.distribute_strategy.num_replicas_in_sync


def describe_acceleration(model, args):
    """Return lines for the log: what the options changed, and which GPUs are idle."""
    lines, gpus = [], tf.config.list_physical_devices("GPU")
    if not gpus and NVIDIA.exists() and os.environ.get("CUDA_VISIBLE_DEVICES") not in ("", "-1"):
        lines.append(
            "note: TensorFlow does not see the GPU of this machine: docs/SCALE.md, "
            '"Before a first run on a GPU", shows how to find out why'
        )
    elif not gpus and args.img_size >= SLOW_SIDE:
        lines.append(
            f"note: films of {args.img_size} pixels train slowly without a GPU: "
            "train_advanced_streamlined.py --preset cpu is for processors"
        )
    if len(gpus) > devices_of(model):
        lines.append(
            f"note: only one of {len(gpus)} GPUs is used: --strategy mirrored uses all, the "
            "environment variable CUDA_VISIBLE_DEVICES chooses one"
        )
    if devices_of(model) > 1:
        share = args.batch_size // devices_of(model)
        lines.append(f"mirrored on {devices_of(model)} devices, {share} films a step on each")
    if args.mixed_precision:
        lines.append(f"layers compute in {model.dtype_policy.name}, the saved model in float32")
    if args.jit_compile and not gpus:
        # `set_seeds` makes a CPU deterministic, and then Keras doesn't use XLA
        lines.append("note: --jit_compile does nothing without a GPU")
    return lines


def single_precision(model):
    """Return the model as it should be saved: not compiled, all layers in float32.

    Layers keep the policy they were built with, but half precision is slow or missing on other
    machines.
    """
    plain = keras.Model(model.input, model.output, name=model.name)  # not compiled
    if model.dtype_policy.name == "float32":
        return plain
    text = plain.to_json()
    # nested models name the type that they compute in, those of ConvNeXt
    for name in (model.dtype_policy.name, model.dtype_policy.compute_dtype):
        text = text.replace(f'"{name}"', '"float32"')
    with tf.device("CPU"):  # on a GPU, its memory would stay in use until garbage collection
        copy = keras.models.model_from_json(text)
        put_weights(copy, model.get_weights())
    return copy
