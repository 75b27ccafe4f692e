"""Cyclical learning rates against the formulas of Smith (2017)."""

from argparse import Namespace

import keras
import numpy as np
import pytest
from trainings import read_history

from util.cyclical_lr import CyclicalLearningRate
from util.errors import UserError
from util.optimizer import notes_on_cycles, rate_schedule
from util.training_options import training_defaults


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


def test_a_flat_cycle_and_an_unknown_mode_are_refused():
    with pytest.raises(UserError, match="--clr_max_lr"):
        CyclicalLearningRate(1e-3, 1e-3)
    with pytest.raises(UserError, match="triangular2"):
        CyclicalLearningRate(mode="sawtooth")


def test_a_model_that_is_compiled_with_it_is_saved_and_loaded(tmp_path):
    """By a program of one's own; runs save their models without their compilation."""
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(CyclicalLearningRate(1.0, 3.0, 10, "exp_range", 0.9)), "mae")
    model.save(tmp_path / "model.keras")
    schedule = keras.models.load_model(tmp_path / "model.keras").optimizer._learning_rate
    assert float(schedule(5)) == pytest.approx(1 + 2 * 0.5 * 0.9**5)


def cyclical(mode="triangular", step_size=None):
    """Options of a training with cycles."""
    chosen = {"use_cyclical_lr": True, "clr_step_size": step_size, "clr_mode": mode}
    return Namespace(**training_defaults() | chosen)


@pytest.mark.parametrize(("epochs", "top"), [(1, 5), (4, 20), (5, 25), (10, 25)])
def test_by_default_a_phase_ends_at_the_foot(epochs, top):
    """After one cycle or several of about four epochs, here of ten steps."""
    schedule = rate_schedule(cyclical(), 1e-3, 10 * epochs, 10)
    rates = [float(schedule(step)) for step in range(10 * epochs + 1)]
    np.testing.assert_allclose([rates[0], rates[top], rates[-1]], [1e-3, 4e-3, 1e-3], rtol=1e-4)


@pytest.mark.parametrize(
    ("mode", "step_size", "steps", "words"),
    [
        ("triangular", None, 50, None),
        ("triangular", 2000, 1000, "fewer than one learning-rate cycle"),
        ("triangular2", None, 50, "acts like triangular"),
        ("triangular2", None, 80, None),
        ("triangular2", 20, 80, None),
        ("triangular2", 30, 100, None),  # half of the second one is lower
        ("exp_range", None, 50, None),
    ],
)
def test_cycles_that_do_not_do_what_was_asked_for_are_told(mode, step_size, steps, words):
    args = cyclical(mode, step_size)
    notes = notes_on_cycles(rate_schedule(args, 1e-3, steps, 10), steps)
    assert len(notes) == bool(words)
    assert all(words in note for note in notes)


def test_both_phases_cycle_by_steps_from_their_own_rate(phantoms, done, tiny_mobilenet, tmp_path):
    """48 films, 8 a batch: each phase begins anew and its epoch ends at step 6, on the way down."""
    with tiny_mobilenet():
        process = done(
            *("train_advanced_streamlined.py", "--data_dir", phantoms, "--results_dir", tmp_path),
            *("--run_name", "run", "--backbone", "mobilenet", "--weights", "none"),
            *("--img_size", 48, "--batch_size", 8, "--epochs_frozen", 1, "--epochs_finetune", 1),
            *("--fine_tune", "--lr", 1e-3, "--lr_finetune", 4e-4),
            *("--use_cyclical_lr", "--clr_step_size", 4),
        )
    assert (
        process.stdout.count("note: the phase has 6 steps, fewer than one learning-rate cycle") == 2
    )
    rates = read_history(tmp_path / "run")["lr"]
    expected = [CyclicalLearningRate(base, 4 * base, 4)(6) for base in (1e-3, 4e-4)]
    np.testing.assert_allclose(rates, np.array(expected), rtol=1e-5)
    np.testing.assert_allclose(rates, [2.5e-3, 1e-3], rtol=1e-5)
