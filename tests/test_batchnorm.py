"""BatchNorm in fine-tuning: the fused operation, and the statistics that a run is saved with."""

from argparse import Namespace

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from modeling import batchnorm_layers, unfreeze_backbone
from modeling_advanced import build_model
from preprocessing import load_films
from util.batchnorm import (
    call_by_phase,
    call_with_batch_statistics,
    compile_forward,
    measure_statistics,
    use_statistics,
)
from util.epoch_end import plain_batches
from util.finished_runs import load_run_model
from util.runs import Run


@pytest.mark.parametrize("scale", [True, False])  # Inception networks have no scale
@pytest.mark.parametrize("momentum", [0, 0.9])
def test_fused_batchnorm_computes_what_keras_does(scale, momentum):
    """Also in a loop of one's own, which saves and validates with the statistics that it left."""
    features = np.random.default_rng(0).normal(3, 2, (8, 20, 20, 5)).astype("float32")
    layer = keras.layers.BatchNormalization(momentum=momentum, scale=scale)
    layer.build(features.shape)
    expected = step_of_batchnorm(layer, layer.call, features)
    layer.moving_mean.assign(keras.ops.zeros(5))
    layer.moving_variance.assign(keras.ops.ones(5))
    use_statistics([layer], "train")
    fused = step_of_batchnorm(layer, layer.call, features)
    for ours, keras_own in zip(fused, expected, strict=True):
        np.testing.assert_allclose(ours, keras_own, rtol=1e-3, atol=1e-4)
    assert not np.allclose(layer.moving_mean, 0)


def test_measuring_replaces_statistics_that_are_no_numbers():
    """As a step that overflows in float16 leaves them."""
    layer = keras.layers.BatchNormalization()
    model = keras.Sequential([keras.Input((9, 9, 3)), layer])
    layer.moving_mean.assign(np.full(3, np.nan))
    layer.moving_variance.assign(np.full(3, np.nan))
    use_statistics([layer], "train")
    measure_statistics(compile_forward(model, [layer]), [layer], [tf.ones((2, 9, 9, 3))])
    np.testing.assert_allclose(layer.moving_mean, 1)
    np.testing.assert_allclose(layer.moving_variance, 0, atol=1e-6)


def step_of_batchnorm(layer, call, features):
    """Output, gradients of a loss, and statistics after one call in training."""
    features = tf.constant(features)
    with tf.GradientTape() as tape:
        tape.watch(features)
        output = call(features, training=True)
        loss = tf.reduce_sum(output**3)
    gradients = tape.gradient(loss, [features, *layer.trainable_variables])
    return [output, *gradients, layer.moving_mean.numpy(), layer.moving_variance.numpy()]


def test_statistics_are_those_of_all_batches():
    rng = np.random.default_rng(0)
    features = np.concatenate([rng.normal(mean, 2, (6, 9, 9, 3)) for mean in (-1, 0, 4)])
    layer = keras.layers.BatchNormalization()
    model = keras.Sequential([keras.Input((9, 9, 3)), layer])
    use_statistics([layer], "train")
    measure_statistics(
        compile_forward(model, [layer]), [layer], tf.constant(np.split(features, 3), tf.float32)
    )
    np.testing.assert_allclose(layer.moving_mean, features.mean((0, 1, 2)), rtol=1e-4)
    np.testing.assert_allclose(layer.moving_variance, features.var((0, 1, 2)), rtol=1e-2)


@pytest.mark.parametrize("n", [2, 16])
def test_the_variance_of_few_values_is_the_one_they_were_divided_by(n):
    """As small canvases leave: a value for each film and channel."""
    features = np.random.default_rng(0).normal(3, 2, (n, 1, 1, 5)).astype("float32")
    layer = keras.layers.BatchNormalization()
    layer.build(features.shape)
    call_with_batch_statistics(layer, tf.constant(features), training=True)
    np.testing.assert_allclose(layer.moving_variance, features.var((0, 1, 2)), rtol=1e-4)


def test_statistics_are_those_of_a_network_without_dropout():
    """As the saved model has none; EfficientNet leaves out whole blocks in training."""
    features = np.random.default_rng(0).normal(3, 1, (32, 8, 8, 3)).astype("float32")
    image = keras.Input((8, 8, 3))
    x = keras.layers.Dropout(0.5, noise_shape=(None, 1, 1, 1))(image)
    outputs = keras.layers.BatchNormalization()(x)
    model = keras.Model(image, outputs)
    layer = model.layers[-1]
    use_statistics([layer], "train")
    forward = compile_forward(model, [layer])
    measure_statistics(forward, [layer], tf.constant(np.split(features, 2)))
    np.testing.assert_allclose(layer.moving_mean, features.mean((0, 1, 2)), rtol=1e-3)
    np.testing.assert_allclose(layer.moving_variance, features.var((0, 1, 2)), rtol=1e-2)


def test_measuring_leaves_the_layers_as_they_were(tiny):
    model = build_model("sex", "mobilenet", 32, weights="none", label_mean=0.0, label_sd=1.0)
    unfreeze_backbone(model, "train")
    layers = batchnorm_layers(model)
    films = np.random.default_rng(0).uniform(0, 255, (4, 32, 32, 1)).astype("float32")
    inputs = [tf.constant(films), tf.ones((4, 1))]
    measure_statistics(compile_forward(model, layers), layers, [inputs])
    assert all(layer.call.func is call_by_phase for layer in layers)
    measured = [bool((layer.moving_mean.numpy() != 0).any()) for layer in layers]
    assert all(measured)


def test_a_run_is_saved_with_statistics_of_plain_films(small_run, phantoms):
    """Measured anew with the weights and films of its best epoch they are the same."""
    model = load_run_model(Run(small_run))
    args = Namespace(**Run(small_run).read_json("config.json")["options"])
    best_epoch = int(pd.read_csv(small_run / "history.csv")["val_mae"].idxmin())
    films = load_films(phantoms, "train", args.img_size, args.fit)
    layers = batchnorm_layers(model)
    saved = [layer.moving_mean.numpy() for layer in layers]
    use_statistics(layers, "train")
    measure_statistics(
        compile_forward(model, layers), layers, plain_batches(model, films, args, best_epoch)
    )
    for layer, mean in zip(layers, saved, strict=True):
        np.testing.assert_allclose(layer.moving_mean, mean, rtol=1e-3, atol=1e-3)
