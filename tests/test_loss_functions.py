"""Losses against the formulas of their papers, in months."""

from inspect import signature

import keras
import numpy as np
import pytest

from util.errors import UserError
from util.loss_functions import get_loss_function, huber_loss, smooth_l1_loss, wing_loss
from util.training_options import LOSS_PARAMETERS, LOSS_TYPES, training_defaults

ERRORS = np.array([0.0, 0.3, 1.0, 3.0, 6.0, 10.0, 40.0])
MONTHS = np.full((len(ERRORS), 1), 100.0)


def losses(loss, sign=1):
    return np.asarray(loss(MONTHS, MONTHS + sign * ERRORS[:, None]))


def test_huber():
    expected = [0, 0.045, 0.5, 4.5, 18, 6 * 7, 6 * 37]
    np.testing.assert_allclose(losses(huber_loss(6.0)), expected, rtol=1e-5)


def test_smooth_l1():
    expected = [0, 0.175, 1 - 0.125, 3 - 0.125, 6 - 0.125, 10 - 0.125, 40 - 0.125]
    np.testing.assert_allclose(losses(smooth_l1_loss(2.0)), expected, rtol=1e-5)


def test_wing():
    inside = 10 * np.log1p(ERRORS / 2)
    expected = np.where(ERRORS < 10, inside, ERRORS - (10 - 10 * np.log(6)))
    np.testing.assert_allclose(losses(wing_loss(10.0, 2.0)), expected, rtol=1e-5)


@pytest.mark.parametrize("name", LOSS_TYPES)
def test_every_loss_is_even_continuous_and_grows(name):
    loss = get_loss_function(name)
    np.testing.assert_allclose(losses(loss), losses(loss, -1), rtol=1e-5)
    steps = np.linspace(0, 60, 6001)[:, None]
    values = np.asarray(loss(np.zeros_like(steps), steps))
    assert abs(values[0]) < 1e-6
    assert np.all(np.diff(values) > 0)
    if name != "mse":
        assert np.diff(values).max() < 0.07  # no jump where the parts meet


def test_a_model_trains_with_each():
    for name in LOSS_TYPES:
        model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
        model.compile("sgd", get_loss_function(name), jit_compile=False)
        history = model.fit(np.ones((8, 1)), np.full((8, 1), 9.0), epochs=3, verbose=0)
        assert history.history["loss"][-1] < history.history["loss"][0]


@pytest.mark.parametrize("name", [name for name, own in LOSS_PARAMETERS.items() if own])
def test_no_loss_of_keras_takes_the_place_of_a_saved_one(name, tmp_path):
    """Keras has a Huber of its own, whose delta is 1."""
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", get_loss_function(name))
    model.save(tmp_path / "model.keras")
    with pytest.raises(TypeError, match="locate"):
        keras.models.load_model(tmp_path / "model.keras")
    keras.models.load_model(tmp_path / "model.keras", compile=False)


def test_parameters_have_the_defaults_of_the_options():
    by_code = {name: p.default for name, p in signature(get_loss_function).parameters.items()}
    del by_code["loss_type"]
    assert by_code == {name: training_defaults()[name] for name in by_code}
    assert sorted(by_code) == sorted(name for own in LOSS_PARAMETERS.values() for name in own)


def test_unknown_name_lists_the_known():
    with pytest.raises(UserError, match=f"Known: {', '.join(LOSS_TYPES)}[.]"):
        get_loss_function("l3")
    with pytest.raises(TypeError, match="delta"):
        get_loss_function("huber", delta=2.0)
