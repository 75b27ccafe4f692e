"""BatchNorm in fine-tuning: how its layers normalise, and the statistics saved with a model.

In training the layers use the statistics of the batch; a saved model needs fixed statistics. The
usual moving average comes from augmented films, which are warped and a little blurred, and from
weights that have changed since. Here the statistics are measured on plain training films, with the
weights that are saved ("precise BatchNorm", Wu & Johnson 2021, 'Rethinking "Batch" in BatchNorm').
"""

from functools import partial

import numpy as np
import tensorflow as tf


def use_statistics(layers, mode):
    """Set how BatchNorm layers normalise: always by their moving statistics (`mode` "frozen"), in
    training by the statistics of the batch ("train"), or always by these ("measure").

    Only the `call` of these objects is replaced, so a saved model is not affected.
    """
    call = {
        "frozen": call_with_moving_statistics,
        "train": call_by_phase,
        "measure": call_with_batch_statistics,
    }[mode]
    for layer in layers:
        layer.call = partial(call, layer)


def call_with_moving_statistics(layer, inputs, training=None, mask=None):
    """Return what a BatchNorm layer computes outside training.

    Keras has no switch for this: `trainable=False` also freezes scale and offset, and `fit`
    overrules `training=False` in the call of a nested network (seen in Keras 3.15).
    """
    return type(layer).call(layer, inputs, False, mask)


def call_by_phase(layer, inputs, training=None, mask=None):
    if training and layer.trainable:
        return call_with_batch_statistics(layer, inputs, momentum=layer.momentum)
    return call_with_moving_statistics(layer, inputs, mask=mask)


def call_with_batch_statistics(layer, inputs, training=None, mask=None, momentum=0):
    """Return what a BatchNorm layer computes in training, by TensorFlow's fused operation, and
    update the moving statistics as Keras does. Without `momentum` they become those of the batch,
    for `measure_statistics`.

    Keras uses reductions in place of the fused operation: they take longer and, on films of 192
    pixels, added up differently from run to run.
    """
    outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
        x=inputs,
        scale=layer.gamma if layer.scale else tf.ones_like(layer.beta),
        offset=layer.beta,
        mean=layer.moving_mean,
        variance=layer.moving_variance,
        epsilon=layer.epsilon,
        is_training=True,
    )
    n = tf.cast(tf.size(inputs) // tf.size(mean), variance.dtype)
    variance = variance * (n - 1) / n  # undo the operation's Bessel correction
    if momentum:  # else what was there doesn't count, even if it is NaN
        mean = layer.moving_mean * momentum + mean * (1 - momentum)
        variance = layer.moving_variance * momentum + variance * (1 - momentum)
    layer.moving_mean.assign(mean)
    layer.moving_variance.assign(variance)
    return outputs


def compile_forward(model, layers):
    """Return `forward(inputs)`, a compiled call of the model, BatchNorm `layers` (in mode "train")
    as in training.

    Everything else works as outside training: dropout, including stochastic depth, would add a
    variance that the saved model doesn't have.
    """

    @tf.function(autograph=False)
    def forward(inputs):
        use_statistics(layers, "measure")  # takes effect while the call is traced
        try:
            return model(inputs, training=False)
        finally:
            use_statistics(layers, "train")

    return forward


def measure_statistics(forward, layers, batches):
    """Set the moving statistics of BatchNorm `layers` to those of all `batches` of model inputs.

    `forward` (see `compile_forward`) stores the statistics of each batch in the layers, which must
    be in mode "train". The variance is the sum of that within and that between batches.
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
