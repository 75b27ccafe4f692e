"""Training of `hand_crop.network` by Keras."""

import keras
import tensorflow as tf
from keras import layers

from hand_crop.network import SIDE


def fit_network(draw, loss, outputs, steps, seed):
    """Train a new `build_network` for `steps` steps; returns its layers as `hand_crop.network`
    takes them. `draw()` yields endless batches of equal shape: (films as the network sees them,
    labels)."""
    keras.utils.set_random_seed(seed)
    shapes = [tf.TensorSpec(part.shape, part.dtype) for part in next(draw())]
    batches = tf.data.Dataset.from_generator(draw, output_signature=tuple(shapes)).prefetch(4)
    network = build_network(outputs)
    schedule = keras.optimizers.schedules.CosineDecay(2e-3, steps)
    optimizer = keras.optimizers.AdamW(schedule, use_ema=True, ema_momentum=0.99)
    network.compile(optimizer, loss, jit_compile=False)
    network.fit(batches, steps_per_epoch=steps, shuffle=False, verbose=0)
    weights = network.get_weights()
    return list(zip(weights[::2], weights[1::2], strict=True))


def build_network(outputs):
    """Build the network that `hand_crop.network` computes, in Keras."""
    film = keras.Input((SIDE, SIDE, 1))
    x = layers.Rescaling(1 / 127.5, -1)(film)
    for channels in (16, 32, 48, 64):
        x = layers.Conv2D(channels, 3, 2, "same", activation="relu")(x)
    x = layers.Dropout(0.2)(layers.Flatten()(x))
    return keras.Model(film, layers.Dense(outputs)(layers.Dense(64, "relu")(x)))
