"""Cyclical learning rates against the formulas of Smith (2017)."""

import numpy as np
import pytest

from util.cyclical_lr import CyclicalLearningRate
from util.errors import UserError


def curve(mode, steps=40, **options):
    schedule = CyclicalLearningRate(1.0, 3.0, step_size=10, mode=mode, **options)
    return np.array([float(schedule(step)) for step in range(steps + 1)])


def test_triangular_rises_and_falls_again_and_again():
    rates = curve("triangular")
    np.testing.assert_allclose(rates[[0, 5, 10, 15, 20, 30, 40]], [1, 2, 3, 2, 1, 3, 1], atol=1e-5)
    assert np.all(np.diff(rates[:11]) > 0)


def test_triangular2_halves_at_each_cycle():
    np.testing.assert_allclose(curve("triangular2")[[10, 20, 30, 40]], [3, 1, 2, 1], atol=1e-5)


def test_exp_range_shrinks_at_each_step():
    rates = curve("exp_range", gamma=0.9)
    np.testing.assert_allclose(
        rates[[10, 20, 30]], [1 + 2 * 0.9**10, 1, 1 + 2 * 0.9**30], atol=1e-5
    )


def test_the_three_curves_differ():
    curves = [curve("triangular"), curve("triangular2"), curve("exp_range", gamma=0.99)]
    for i, one in enumerate(curves):
        assert all(not np.allclose(one, other) for other in curves[:i])


def test_a_flat_cycle_and_an_unknown_mode_are_refused():
    with pytest.raises(UserError, match="--clr_max_lr"):
        CyclicalLearningRate(1e-3, 1e-3)
    with pytest.raises(UserError, match="triangular2"):
        CyclicalLearningRate(mode="sawtooth")


def test_config_rebuilds_it():
    schedule = CyclicalLearningRate(1.0, 3.0, 10, "exp_range", 0.9)
    again = CyclicalLearningRate.from_config(schedule.get_config())
    assert float(again(7)) == float(schedule(7))
