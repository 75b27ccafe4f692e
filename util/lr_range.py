"""The learning-rate range test: between which rates does the loss fall?

The rate rises from step to step until the loss explodes (Smith 2017, "Cyclical learning rates for
training neural networks"). A cycle of the learning rate should go from where the loss begins to
fall to where it stops.
"""

import math

import keras
import numpy as np
import pandas as pd

from util.files import write_csv
from util.phases import plan_phases
from util.training import fit_steps

LOWEST, HIGHEST = 1e-5, 1.0  # learning rates of the first and the last step
STEPS = 200
WINDOW = 21  # steps over which the loss is smoothed
RECENT = 11  # steps whose mean loss shows that it explodes
EXPLODED = 3  # times the smallest mean of recent losses
# A fall must exceed this many standard errors of a window's mean. In simulated noise the lowest of
# up to 159 windows is 5.2 of them below the first in 1 of 100 tests, and 6.5 in 1 of 1000.
LEAST_FALL = 6


def range_test(model, films, args, run):
    """Test the last phase of the options: fine-tuning under --fine_tune, else the frozen one.

    Before fine-tuning, the head is trained for STEPS steps if the options have a frozen phase: a
    fresh head would spoil the backbone at any rate. Returns a frame of step, lr, loss and smoothed
    loss, and writes it to lr_range.csv.
    """
    phases = plan_phases(args)
    first, phase = phases[0], phases[-1]
    if phase is not first:
        run.log(f"range test: {STEPS} steps of the frozen phase first")
        fit_steps(STEPS, model, first, first.lr, films, args)
    run.log(f"range test: {phase.name} phase, up to {STEPS} steps")
    losses = LossOfSteps()
    fit_steps(STEPS, model, phase, exponential_rise(), films, args, losses)
    table = smooth(losses.values, losses.rates)
    write_csv(run.path("lr_range.csv"), table)
    return table


def exponential_rise():
    """Return a schedule of rates from LOWEST to HIGHEST that rise by one factor at each step."""
    return keras.optimizers.schedules.ExponentialDecay(LOWEST, STEPS - 1, HIGHEST / LOWEST)


class LossOfSteps(keras.callbacks.Callback):
    """Records the loss and learning rate of each single step, and ends the test when the loss
    explodes."""

    def __init__(self):
        super().__init__()
        self.values, self.rates = [], []
        self.lowest = math.inf

    def on_train_batch_begin(self, batch, logs=None):
        self.model.reset_metrics()  # `fit` would report the mean since the start
        # not computed from the step: one whose gradients overflow in float16 doesn't raise the rate
        self.rates.append(float(self.model.optimizer.learning_rate))

    def on_train_batch_end(self, batch, logs=None):
        self.values.append(float(logs["loss"]))
        recent = np.mean(self.values[-RECENT:])  # one batch says little
        if len(self.values) >= WINDOW:
            self.lowest = min(self.lowest, recent)
        if not math.isfinite(recent) or recent > EXPLODED * self.lowest:
            self.model.stop_training = True


def smooth(losses, rates):
    """Return a frame of step, lr, loss and `smoothed`, the mean loss over a window; losses that
    aren't finite are left out."""
    table = pd.DataFrame({"lr": rates, "loss": losses})
    table = table[np.isfinite(table["loss"])].rename_axis("step").reset_index()
    table["smoothed"] = table["loss"].rolling(WINDOW, center=True, min_periods=1).mean()
    return table


def falling_range(table):
    """Return the rates (low, high) between which the loss of a `range_test` falls, or None.

    There the smoothed loss has done a tenth and nine tenths of its fall, from the mean of the first
    window to the lowest later one. None when it falls no more than noise alone would.
    """
    loss, half = table["loss"], WINDOW // 2
    first = loss[:WINDOW].mean()
    later = table["smoothed"][WINDOW + half : len(table) - half]  # whole windows after the first
    fall = first - later.min()
    if not fall > LEAST_FALL * step_noise(loss) / math.sqrt(WINDOW):  # or NaN, without a loss
        return None
    fallen = ((first - table["smoothed"]) / fall)[: later.idxmin() + 1]
    low, high = (float(table["lr"][passes(fallen, share)]) for share in (0.1, 0.9))
    return (low, high) if low < high else None


def passes(fallen, share):
    """Return the first step from which `fallen` stays at or above a share; any before were
    noise."""
    below = np.flatnonzero(fallen < share)
    return below[-1] + 1 if len(below) else 0


def step_noise(loss):
    """Return the SD of the noise of single steps, from the differences between successive steps in
    the first two windows: a rise or fall over many steps adds little to them."""
    return math.sqrt((loss[: 2 * WINDOW].diff() ** 2).mean() / 2)
