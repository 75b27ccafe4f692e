"""Cyclical learning rates (Smith 2017, 'Cyclical learning rates for training neural networks')."""

import keras
from keras import ops

from util.errors import UserError
from util.phases import CLR_MODES, check_rise


@keras.saving.register_keras_serializable("boneage")
class CyclicalLearningRate(keras.optimizers.schedules.LearningRateSchedule):
    """A learning rate that rises from `base_lr` to `max_lr` in `step_size` steps and falls back.

    `mode`: "triangular" repeats this cycle, "triangular2" halves its height each time, "exp_range"
    multiplies the height by `gamma` at each step. The cycles follow the optimizer's own steps, so
    they start again with each phase, and continue when a run is resumed.
    """

    def __init__(self, base_lr=1e-4, max_lr=1e-3, step_size=2000, mode="triangular", gamma=1.0):
        if mode not in CLR_MODES:
            raise UserError(f"unknown mode (--clr_mode {mode}). Known: {', '.join(CLR_MODES)}.")
        check_rise(base_lr, max_lr)
        self.base_lr, self.max_lr = base_lr, max_lr
        self.step_size, self.mode, self.gamma = step_size, mode, gamma

    def __call__(self, step):
        step = ops.cast(step, "float32")
        cycle = ops.floor(1 + step / (2 * self.step_size))
        height = 1 - ops.abs(step / self.step_size - 2 * cycle + 1)
        factor = {
            "triangular": 1,
            "triangular2": 1 / 2 ** (cycle - 1),
            "exp_range": self.gamma**step,
        }[self.mode]
        return self.base_lr + (self.max_lr - self.base_lr) * (height * factor)

    def get_config(self):
        names = ("base_lr", "max_lr", "step_size", "mode", "gamma")
        return {name: getattr(self, name) for name in names}
