"""The range test of the learning rate: it finds where a loss falls, and says when it doesn't."""

from functools import cache
from types import SimpleNamespace

import keras
import numpy as np
import pandas as pd
import pytest
from commands import check_error_line
from trainings import random_numbers_go_on

import train_advanced_streamlined
from util import lr_range
from util.errors import UserError
from util.phases import plan_phases
from util.plots import plot_lr_range

SEEDS = 300


def smooth(losses):
    """The table of a test in which the rate rises at each step."""
    return lr_range.smooth(losses, rates_of(range(len(losses))))


@cache
def rates_of(steps):
    rise = lr_range.exponential_rise()
    return np.array([float(rise(step)) for step in steps])


def losses(falls_from, falls_to, noise=0.01, seed=1):
    """Loss 1.0, falling to 0.4 between two learning rates, then exploding."""
    rng = np.random.default_rng(seed)
    rates = np.geomspace(lr_range.LOWEST, lr_range.HIGHEST, lr_range.STEPS)
    share = np.clip(np.log(rates / falls_from) / np.log(falls_to / falls_from), 0, 1)
    values = 1 - 0.6 * share + rng.normal(0, noise, len(rates))
    values[rates > 10 * falls_to] = 5.0
    return [*values, float("nan")]


def test_the_range_is_where_the_loss_falls():
    table = smooth(losses(1e-4, 1e-2))
    assert len(table) == lr_range.STEPS  # without the NaN
    low, high = lr_range.falling_range(table)
    assert 1e-4 < low < 3e-4
    assert 3e-3 < high < 1.1e-2


def test_a_fall_is_found_in_noise():
    found = count_falls(losses(1e-4, 1e-2, noise=0.2, seed=seed) for seed in range(SEEDS))
    assert found > 0.95 * SEEDS


def test_noise_at_the_start_is_not_the_lower_end():
    expected, _ = lr_range.falling_range(smooth(losses(1e-3, 1e-1)))
    tests = (smooth(losses(1e-3, 1e-1, noise=0.2, seed=seed)) for seed in range(SEEDS))
    lows = np.array([found[0] for found in map(lr_range.falling_range, tests) if found])
    assert len(lows) > 0.95 * SEEDS
    assert np.mean(np.abs(np.log(lows / expected)) < np.log(3)) > 0.9


@pytest.mark.parametrize("steps", [60, 100, lr_range.STEPS])
@pytest.mark.parametrize("noise", ["normal", "lognormal"])
def test_noise_is_no_fall(noise, steps):
    """Of many windows the lowest is low by chance."""
    draws = (np.random.default_rng(seed) for seed in range(SEEDS))
    assert count_falls(getattr(rng, noise)(1, 0.3, steps) for rng in draws) <= 0.02 * SEEDS


@pytest.mark.parametrize("noise", [0, 0.002, 0.02])
def test_a_loss_that_rises_from_the_start_has_no_range(noise):
    rise = 1 + 0.01 * np.arange(60)
    draws = (np.random.default_rng(seed) for seed in range(SEEDS))
    assert count_falls(rise + rng.normal(0, noise, 60) for rng in draws) == 0


def count_falls(tests):
    """In how many of the tests, each a list of losses, a falling range is found."""
    found = [lr_range.falling_range(smooth(values)) for values in tests]
    return sum(low < high for low, high in filter(None, found))


@pytest.mark.parametrize("values", [[], [3.0]])
def test_a_loss_that_is_no_number_from_the_start_has_no_range(values, tmp_path):
    table = smooth([*values, float("nan"), float("nan")])
    assert lr_range.falling_range(table) is None
    plot_lr_range(table, None, tmp_path / "curve.png")


def test_the_rate_rises_by_one_factor_from_step_to_step():
    rates = rates_of(range(lr_range.STEPS))
    assert rates[0] == pytest.approx(lr_range.LOWEST)
    assert rates[-1] == pytest.approx(lr_range.HIGHEST)
    np.testing.assert_allclose(rates[1:] / rates[:-1], rates[1] / rates[0], rtol=1e-4)


@pytest.mark.parametrize(
    ("values", "steps"),
    [
        ([1.0] * 40, 40),
        ([1.0] * 30 + [4.0] * 40, 38),  # the mean of 11 steps passes 3 with the eighth
        ([4.0] * 5 + [1.0] * 30, 35),  # what was before is no explosion
        ([1.0] * 5 + [float("nan")] * 5, 6),
    ],
)
def test_a_test_ends_when_its_loss_explodes(values, steps):
    losses = lr_range.LossOfSteps()
    optimizer = SimpleNamespace(learning_rate=0.1)
    losses.set_model(
        SimpleNamespace(stop_training=False, reset_metrics=lambda: None, optimizer=optimizer)
    )
    for value in values:
        losses.on_train_batch_begin(0)
        losses.on_train_batch_end(0, {"loss": value})
        if losses.model.stop_training:
            break
    assert len(losses.values) == steps
    assert losses.model.stop_training == (steps < len(values))


def test_a_step_that_half_precision_loses_does_not_raise_the_rate():
    """The table has the rates that the optimizer took."""
    keras.utils.set_random_seed(1)
    month = keras.layers.Dense(1, dtype="mixed_float16")
    model = keras.Sequential([keras.Input((1,)), month])
    optimizer = keras.optimizers.LossScaleOptimizer(
        keras.optimizers.SGD(lr_range.exponential_rise()), initial_scale=2.0**20
    )
    model.compile(optimizer, "mse")
    losses = lr_range.LossOfSteps()
    films = np.ones((20, 1)), np.full((20, 1), 8.0)
    model.fit(*films, batch_size=1, shuffle=False, verbose=0, callbacks=[losses])
    taken = int(optimizer.iterations.numpy())
    assert 3 < taken < 20
    lost = [0] * (20 - taken)  # the scale of the loss falls until no step is lost
    np.testing.assert_allclose(losses.rates, rates_of((*lost, *range(taken))), 1e-5)


@pytest.mark.parametrize(
    ("phases", "rates"),
    [
        ("--epochs_frozen 0 --fine_tune", ["--lr_finetune"]),
        ("--epochs_frozen 1 --fine_tune", ["--lr", "--lr_finetune"]),
    ],
)
def test_find_lr_tests_instead_of_training(phases, rates, done, tiny_mobilenet, phantoms, tmp_path):
    """48 films without augmentation can be learned by heart, so the loss falls at some rate. What
    it says to do next can be done."""
    where = ["--data_dir", phantoms, "--results_dir", tmp_path, "--run_name", "range"]
    model = "--backbone mobilenet --weights none --img_size 32 --batch_size 16 --augment none"
    with tiny_mobilenet():
        process = done(
            "train_advanced_streamlined.py", *where, *model.split(), *phases.split(), "--find_lr"
        )
    assert "choose another --run_name" in process.stdout
    assert ("200 steps of the frozen phase first" in process.stdout) == ("--lr" in rates)
    advice = process.stdout.split("add ")[1].split()
    assert [word for word in advice if word.startswith("--lr")] == rates
    plan_phases(train_advanced_streamlined.parse_args([*model.split(), *phases.split(), *advice]))
    run = tmp_path / "range"
    table = pd.read_csv(run / "lr_range.csv")
    assert len(table) > lr_range.WINDOW
    assert table["lr"].is_monotonic_increasing
    assert (run / "plots" / "lr_range.png").stat().st_size > 10_000
    assert not (run / "model.keras").exists()


SMALL = ["--backbone", "mobilenet", "--weights", "none", "--img_size", "32", "--batch_size", "16"]


@pytest.mark.parametrize("rates", [None, (1e-3, 1e-2)])
def test_a_test_that_found_nothing_keeps_its_curve(
    rates, inside, tiny, phantoms, tmp_path, monkeypatch
):
    """It may have taken hours."""
    monkeypatch.setattr(lr_range, "STEPS", 3)
    monkeypatch.setattr(lr_range, "falling_range", lambda _: rates)
    where = ["--data_dir", phantoms, "--results_dir", tmp_path, "--run_name", "range"]
    with random_numbers_go_on():
        process = inside("train_advanced_streamlined.py", *where, *SMALL, "--find_lr")
    curve = tmp_path / "range" / "plots" / "lr_range.png"
    assert curve.exists()
    assert len(pd.read_csv(tmp_path / "range" / "lr_range.csv")) == 3
    if rates:
        assert process.returncode == 0, process.stderr
    else:
        check_error_line(process, "no learning rate", str(curve))
    process = inside("train_advanced_streamlined.py", *where, *SMALL, "--find_lr")
    check_error_line(process, "there is a run already", "Remove it, or choose another --run_name")


@pytest.mark.parametrize("error", [MemoryError("no room"), KeyboardInterrupt(), UserError("no")])
def test_a_test_that_fails_leaves_no_folder(error, inside, tiny, phantoms, tmp_path, monkeypatch):
    def fail(*_):
        raise error

    monkeypatch.setattr(lr_range, "fit_steps", fail)
    where = ["--data_dir", phantoms, "--results_dir", tmp_path, "--run_name", "range"]
    process = inside("train_advanced_streamlined.py", *where, *SMALL, "--find_lr")
    assert process.returncode in (2, 130)
    assert not list(tmp_path.iterdir())
