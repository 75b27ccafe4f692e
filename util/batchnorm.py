"""BatchNorm in fine-tuning: how its layers normalise, and the statistics that a model is saved
with.

In training the layers go by the statistics of the batch; a saved model needs statistics of its own.
The usual moving average is one of augmented films, which are warped and a little blurred, and of
weights that have changed since. Here they are measured on plain training films, with the weights
that are saved ("precise BatchNorm", Wu & Johnson 2021, 'Rethinking "Batch" in BatchNorm').
"""

from contextlib import contextmanager
from functools import partial

import numpy as np
import tensorflow as tf


def use_statistics(layers, mode):
    """Let BatchNorm layers normalise by the moving statistics they have (`mode` "frozen") or, in
    training, by those of the batches ("train").

    A saved model knows nothing of it: only the `call` of these objects is replaced.
    """
    call = {"frozen": call_with_moving_statistics, "train": call_with_batch_statistics}[mode]
    for layer in layers:
        layer.call = partial(call, layer)


def call_with_moving_statistics(layer, inputs, training=None, mask=None):
    """What a BatchNorm layer computes outside training.

    Keras has no switch for it: `trainable=False` freezes scale and offset too, and
    `training=False` in the call of a nested network is overruled by `fit` (seen in Keras 3.15).
    """
    return type(layer).call(layer, inputs, False, mask)


def call_with_batch_statistics(layer, inputs, training=None, mask=None):
    """What a BatchNorm layer computes, in training by TensorFlow's fused operation; the batch's
    mean and variance are left in the moving statistics, for `measure_statistics`.

    Keras composes it of reductions, which take longer and, on films of 192 pixels, added up
    differently from run to run.
    """
    if not (training and layer.trainable):
        return call_with_moving_statistics(layer, inputs, mask=mask)
    outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
        x=inputs,
        scale=layer.gamma if layer.scale else tf.ones_like(layer.beta),
        offset=layer.beta,
        mean=layer.moving_mean,
        variance=layer.moving_variance,
        epsilon=layer.epsilon,
        is_training=True,
    )
    layer.moving_mean.assign(mean)
    n = tf.cast(tf.size(inputs) // tf.size(mean), variance.dtype)
    layer.moving_variance.assign(variance * (n - 1) / n)  # it gives that of a sample (Bessel)
    return outputs


def compile_forward(model, layers):
    """Return `forward(inputs)`, a compiled call of the model in which BatchNorm `layers` do what
    they do in training, and everything else what it does outside of it: dropout, stochastic depth
    included, would add a variance that the saved model doesn't have."""

    @tf.function
    def forward(inputs):
        with in_training(layers):  # while the call is traced
            return model(inputs, training=False)

    return forward


@contextmanager
def in_training(layers):
    """Within the block the `call` of BatchNorm layers is that of training, whatever the model's."""
    calls = [layer.call for layer in layers]
    for layer, call in zip(layers, calls, strict=True):
        layer.call = partial(call_in_training, call)
    try:
        yield
    finally:
        for layer, call in zip(layers, calls, strict=True):
            layer.call = call


def call_in_training(call, inputs, training=None, mask=None):
    return call(inputs, True, mask)


def measure_statistics(forward, layers, batches):
    """Set the moving statistics of BatchNorm `layers`, which follow the batches, to those of all
    `batches` of the model's inputs. The variance is the one within batches and between them.
    """
    means, variances = [], []
    for inputs in batches:
        forward(inputs)
        means.append([layer.moving_mean.numpy() for layer in layers])
        variances.append([layer.moving_variance.numpy() for layer in layers])
    for i, layer in enumerate(layers):
        mean = np.stack([of_batch[i] for of_batch in means])
        variance = np.stack([of_batch[i] for of_batch in variances])
        layer.moving_mean.assign(mean.mean(axis=0))
        layer.moving_variance.assign(variance.mean(axis=0) + mean.var(axis=0))
