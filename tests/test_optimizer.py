"""What a training minimises, and how: learning rates, averages and decay of weights."""

from argparse import Namespace

import keras
import numpy as np
import pytest

from util.optimizer import average_decay, make_optimizer, rate_schedule
from util.training_options import training_defaults


def options(**chosen):
    """The options of a training."""
    return Namespace(**training_defaults() | chosen)


def test_a_learning_rate_warms_up_and_falls_to_a_hundredth():
    schedule = rate_schedule(options(), 1e-3, steps=100, steps_an_epoch=10)
    rates = np.array([float(schedule(step)) for step in range(101)])
    assert rates[[0, 5, 100]] == pytest.approx([1e-5, 1e-3, 1e-5])
    assert np.all(np.diff(rates[:6]) > 0)
    assert np.all(np.diff(rates[5:]) < 0)
    assert rates[52] == pytest.approx(0.505e-3, rel=0.02)  # half way down, of a cosine


@pytest.mark.parametrize(
    ("steps", "decay"), [(100_000, 0.999), (1000, 0.99), (100, 0.9), (11, 1 / 11), (10, 0), (1, 0)]
)
def test_an_average_of_weights_spans_at_most_a_tenth_of_a_training(steps, decay):
    assert average_decay(0.999, steps) == pytest.approx(decay)


def test_weights_decay_but_no_offsets_and_scales():
    args = options(ema=0.0, weight_decay=0.5)
    optimizer = make_optimizer(args, 0.1, steps=100, devices=1)
    names = ("kernel", "bias", "gamma", "beta", "variable_3")
    weights = [keras.Variable(np.ones(2), name=name) for name in names]
    optimizer.build(weights)
    optimizer.apply([np.zeros(2, np.float32)] * len(names), weights)
    ends = {weight.name: float(weight.numpy()[0]) for weight in weights}
    assert ends == dict.fromkeys(names, 1) | {"kernel": pytest.approx(0.95)}


@pytest.mark.parametrize(("norm", "devices", "each"), [(1.0, 1, 1), (1.0, 4, 0.25), (0.0, 2, None)])
def test_each_device_clips_to_its_share_of_the_norm(norm, devices, each):
    args = options(ema=0.9, gradient_clip_norm=norm)
    optimizer = make_optimizer(args, 0.1, steps=1000, devices=devices)
    assert optimizer.global_clipnorm == each
    assert (optimizer.use_ema, optimizer.ema_momentum) == (True, 0.9)
