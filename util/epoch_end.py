"""What happens after each epoch of a training: measure BatchNorm statistics, validate in months,
keep the model, log a line of progress, and save a state to resume from."""

import math
import time
from contextlib import contextmanager

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from modeling import backbone_of, batchnorm_layers
from preprocessing import make_batch, steps_per_epoch
from util.accelerators import single_precision
from util.batchnorm import compile_forward, measure_statistics
from util.errors import UserError
from util.files import write_atomically, write_csv
from util.parallel import progress_bar
from util.predicting.prediction import inputs_of
from util.runs import HISTORY, MODEL
from util.saved_state import write_state

STATISTICS_FILMS = 1024  # plain films that BatchNorm statistics are measured on
LOST_STEPS = 10  # in a row that may overflow in float16; after more, training has diverged


class EndOfEpoch(keras.callbacks.Callback):
    """After every epoch, validates, keeps the best or the last model (--keep_epoch), saves the
    state and reports."""

    def __init__(self, phase, bn, progress, stage, args, run):
        super().__init__()
        self.phase, self.progress, self.args, self.run = phase, progress, args, run
        self.bn, self.stage = bn, stage
        # traced at its first call
        self.forward = compile_forward(stage.model, batchnorm_layers(stage.model))

    def on_epoch_begin(self, epoch, logs=None):
        seed_dropout(self.stage.model, self.args.seed, epoch)
        self.started, self.lost_steps = time.perf_counter(), 0
        self.means = {"loss": math.nan, "mae": math.nan}  # of the epoch so far
        self.bar = progress_bar(
            total=self.params["steps"] * self.args.batch_size,
            desc=f"{self.phase.name} {epoch + 1}/{self.phase.end}",
            unit="film",
            leave=False,
            show=self.args.verbose == 1,
        )

    def on_train_batch_begin(self, batch, logs=None):
        if self.lost_steps:
            self.model.reset_metrics()  # else the means stay NaN until the epoch ends

    def on_train_batch_end(self, batch, logs=None):
        if math.isfinite(logs["loss"]):
            self.lost_steps, self.means = 0, logs
        else:
            self.lost_steps += 1
            self.check_lost_steps(logs["loss"])
        self.bar.set_postfix_str(f"train MAE {logs['mae']:.1f} months", refresh=False)
        self.bar.update(self.args.batch_size)

    def check_lost_steps(self, loss):
        """Raise UserError if training has diverged. With loss scaling, up to LOST_STEPS steps in a
        row may be lost: a float16 step that overflows is skipped and leaves the weights as they
        were."""
        scaled = isinstance(self.model.optimizer, keras.optimizers.LossScaleOptimizer)
        if self.lost_steps > (LOST_STEPS if scaled else 0):
            raise UserError(
                f"training diverged: the loss is {loss} ({self.phase.name}). Lower --lr or "
                f"--lr_finetune{', or leave --mixed_precision out' if scaled else ''}."
            )

    def on_epoch_end(self, epoch, logs=None):
        self.bar.close()
        seconds = time.perf_counter() - self.started
        with averaged_weights(self.model):
            self.measure_batchnorm(epoch)
            val_mae = self.stage.validate(self.args.batch_size_eval)
            kept = self.keep_or_not(val_mae)
        row = {
            "epoch": epoch + 1,
            "phase": self.phase.name,
            "loss": self.means["loss"],
            "train_mae": self.means["mae"],
            "val_mae": val_mae,
            "kept": kept,
            "lr": float(self.model.optimizer.learning_rate.numpy()),
            "seconds": round(seconds, 2),
        }
        self.progress.history.append(row)
        self.stop_or_go_on(epoch)
        self.save()
        self.report(row)

    def measure_batchnorm(self, epoch):
        """In mode "train", measure BatchNorm statistics for these weights; training uses none."""
        if self.bn == "train":
            model = self.stage.model
            batches = plain_batches(model, self.stage.films, self.args, epoch)
            measure_statistics(self.forward, batchnorm_layers(model), batches)

    def keep_or_not(self, val_mae):
        """Save the model of this epoch if its validation MAE (months) is the best, or if
        --keep_epoch is "last". Returns whether it was saved."""
        kept = val_mae < self.progress.best_mae or self.args.keep_epoch == "last"
        if kept:
            self.progress.best_mae = val_mae
            save_model(self.stage.model, self.run)
        return kept

    def stop_or_go_on(self, epoch):
        """End the phase if its last `--patience` epochs brought no new best. It never ends early
        under --keep_epoch last."""
        since = epochs_since_best(self.progress.history, self.phase.name)
        stop = 0 < self.args.patience <= since and self.args.keep_epoch == "best"
        self.progress.next_epoch = self.phase.end if stop else epoch + 1
        self.model.stop_training = stop

    def report(self, row):
        """Log a line for an epoch, given its row of the history."""
        films = self.params["steps"] * self.args.batch_size
        left = (self.phase.end - self.progress.next_epoch) * (time.perf_counter() - self.started)
        self.run.log(
            f"{row['phase']:8s} epoch {row['epoch']:3d}/{self.phase.end}  "
            f"train {row['train_mae']:6.2f}  validation {row['val_mae']:6.2f} months"
            f"{'*' if row['kept'] else ' '}  "
            f"{films / max(row['seconds'], 0.01):5.1f} films/s  {math.ceil(left / 60)} min left in this phase"
            + ("  stops early" if self.model.stop_training else "")
        )

    def save(self):
        """Write the state that a stopped training resumes from, and the history."""
        if self.progress.next_epoch == self.phase.end:
            # `fit` ends with the averaged weights, so the next phase starts from them
            self.model.optimizer.finalize_variable_values(self.model.trainable_variables)
        write_state(self.model, self.progress, self.run)
        write_csv(self.run.path(HISTORY), pd.DataFrame(self.progress.history))


def epochs_since_best(history, phase):
    """Return how many epochs of a phase came after its best, given the rows of a history. Other
    phases don't count, as fine-tuning may begin worse than the frozen phase ended."""
    errors = [row["val_mae"] for row in history if row["phase"] == phase]
    return len(errors) - 1 - int(np.argmin(np.nan_to_num(errors, nan=np.inf)))


@contextmanager
def averaged_weights(model):
    """Within the block, replace the trainable weights by their moving average, if the optimizer
    keeps one."""
    # loss scaling wraps the optimizer that has the averages
    if not getattr(model.optimizer, "inner_optimizer", model.optimizer).use_ema:
        yield
        return
    current = [variable.numpy() for variable in model.trainable_variables]
    model.optimizer.finalize_variable_values(model.trainable_variables)
    try:
        yield
    finally:
        for variable, value in zip(model.trainable_variables, current, strict=True):
            variable.assign(value)


def seed_dropout(model, seed, epoch):
    """Make dropout masks depend on (seed, epoch) only, not on what ran before."""
    for number, layer in enumerate([*model.layers, *backbone_of(model).layers]):
        if hasattr(layer, "seed_generator"):
            layer.seed_generator.state.assign([seed * 1000 + number, epoch * 1_000_000])


def save_model(model, run):
    """Save the model in float32 and not compiled, so that loading it needs no code of ours."""
    write_atomically(run.path(MODEL), single_precision(model).save, flush=True)


def plain_batches(model, films, args, epoch):
    """Yield batches of model inputs: the films of an epoch, not augmented, up to the batch that
    completes STATISTICS_FILMS."""
    steps = min(
        math.ceil(STATISTICS_FILMS / args.batch_size), steps_per_epoch(films, args.batch_size)
    )
    for step in range(steps):
        batch = make_batch(films, args.batch_size, args.seed, epoch, step)
        image, sex = (tf.constant(values, tf.float32) for values in (batch.image, batch.sex))
        yield inputs_of(model, image=image, sex=sex)
