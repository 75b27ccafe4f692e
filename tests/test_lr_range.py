"""The range test of the learning rate: it finds where a loss falls, and says when it doesn't."""

import numpy as np
import pandas as pd
import pytest

import train_advanced_streamlined
from util import lr_range
from util.errors import UserError
from util.phases import plan_phases


def losses(falls_from, falls_to, noise=0.01):
    """Loss 1.0, falling to 0.4 between two learning rates, then exploding."""
    rng = np.random.default_rng(1)
    rates = np.geomspace(lr_range.LOWEST, lr_range.HIGHEST, lr_range.STEPS)
    share = np.clip(np.log(rates / falls_from) / np.log(falls_to / falls_from), 0, 1)
    values = 1 - 0.6 * share + rng.normal(0, noise, len(rates))
    values[rates > 10 * falls_to] = 5.0
    return [*values, float("nan")]


def test_the_range_is_where_the_loss_falls():
    table = lr_range.smooth(losses(1e-4, 1e-2))
    assert len(table) == lr_range.STEPS  # without the NaN
    low, high = lr_range.falling_range(table)
    assert 1e-4 < low < 3e-4
    assert 3e-3 < high < 1.1e-2


def test_a_flat_loss_has_no_range():
    table = lr_range.smooth(losses(1e-4, 1e-2, noise=3.0)[:100])
    with pytest.raises(UserError, match="no learning rate"):
        lr_range.falling_range(table)


@pytest.mark.parametrize("values", [[], [3.0]])
def test_a_loss_that_is_no_number_from_the_start_has_no_range(values):
    table = lr_range.smooth([*values, float("nan"), float("nan")])
    with pytest.raises(UserError, match="no learning rate"):
        lr_range.falling_range(table)


def test_the_rate_rises_by_one_factor_from_step_to_step():
    rise = lr_range.ExponentialRise()
    rates = np.array([float(rise(step)) for step in range(lr_range.STEPS)])
    assert rates[0] == pytest.approx(lr_range.LOWEST)
    assert rates[-1] == pytest.approx(lr_range.HIGHEST)
    np.testing.assert_allclose(rates[1:] / rates[:-1], rates[1] / rates[0], rtol=1e-4)


@pytest.mark.parametrize(
    ("phases", "rates"),
    [
        ("--epochs_frozen 0 --fine_tune", ["--lr_finetune"]),
        ("--epochs_frozen 1 --fine_tune", ["--lr", "--lr_finetune"]),
    ],
)
def test_find_lr_tests_instead_of_training(
    phases, rates, inside, tiny_mobilenet, phantoms, tmp_path
):
    """48 films without augmentation can be learned by heart, so the loss falls at some rate. What
    it says to do next can be done."""
    where = ["--data_dir", phantoms, "--results_dir", tmp_path, "--run_name", "range"]
    model = "--backbone mobilenet --weights none --img_size 32 --batch_size 16 --augment none"
    with tiny_mobilenet():
        process = inside(
            "train_advanced_streamlined.py", *where, *model.split(), *phases.split(), "--find_lr"
        )
    assert process.returncode == 0, process.stderr
    assert "choose another --run_name" in process.stdout
    advice = process.stdout.split("add ")[1].split()
    assert [word for word in advice if word.startswith("--lr")] == rates
    plan_phases(train_advanced_streamlined.parse_args([*model.split(), *phases.split(), *advice]))
    run = tmp_path / "range"
    table = pd.read_csv(run / "lr_range.csv")
    assert len(table) > lr_range.WINDOW
    assert table["lr"].is_monotonic_increasing
    assert (run / "plots" / "lr_range.png").stat().st_size > 10_000
    assert not (run / "model.keras").exists()
