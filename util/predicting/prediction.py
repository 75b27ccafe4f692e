"""Months for films: one compiled call of fixed shape, every film once, in table order.

TensorFlow is imported by the first function that needs it: other runtimes work without it.
"""

import math
from functools import partial

import numpy as np

from util.errors import UserError, memory_errors
from util.finished_runs import load_run_model
from util.metrics import label_predictions
from util.parallel import progress_bar
from util.predicting.exports import check_export, load_quickest
from util.predicting.runtimes import RUNTIMES, load_runtime
from util.quiet import import_tensorflow

SMALLER_BATCHES = "Predict fewer at once (e.g. --batch_size_eval)"
MOST_CONSTANTS = 30e6  # parameters: a graph holds up to 2 GB, and is copied several times


def compile_predictor(model, follow_weights=False):
    """Return `predict(image, sex) -> months (N,)` as one compiled call of the model.

    image `(N, S, S, 1)` 0-255, sex `(N, 1)`, 1 = male. A loop over `model.predict` would pay its
    start-up for every batch and grow in memory. The predictor keeps the present weights; with
    `follow_weights`, and for large models (see `with_constant_weights`), each call uses the current
    ones.
    """
    import tensorflow as tf

    forward = partial(model, training=False) if follow_weights else with_constant_weights(model)

    @tf.function(autograph=False)
    def call(image, sex):
        inputs = inputs_of(model, image=tf.cast(image, tf.float32), sex=sex)
        return forward(inputs)[:, 0]

    def predict(image, sex):
        with memory_errors(*image.shape[:2], SMALLER_BATCHES):
            return call(tf.constant(image), tf.constant(sex, tf.float32)).numpy()

    return predict


def with_constant_weights(model):
    """Return `forward(inputs)` of a model for a tf.function, with its present weights as constants.

    TensorFlow then merges BatchNorm into the convolutions. Models of more than `MOST_CONSTANTS`
    parameters use the current weights at each call instead.
    """
    if model.count_params() > MOST_CONSTANTS:
        return partial(model, training=False)
    kinds = model.trainable_variables, model.non_trainable_variables
    constants = [[weight.numpy() for weight in kind] for kind in kinds]

    def forward(inputs):
        return model.stateless_call(*constants, inputs, training=False)[0]

    return forward


def inputs_of(model, image, sex):
    """Return the inputs that a model takes: (image, sex), or the image alone."""
    return (image, sex) if len(model.inputs) == 2 else image


def load_predictor(run, runtime, precision="f32", n_films=math.inf):
    """Return `predict(image, sex) -> months (N,)` of a run, and the name of its runtime.

    The runtime is Keras or that of an export of the run. "auto" takes the quickest export for
    `n_films` (see `load_quickest`), or Keras if there is none.
    """
    if runtime == "auto" and (quickest := load_quickest(run.folder, n_films)):
        return quickest
    if runtime in RUNTIMES:
        return load_runtime(runtime, check_export(run.folder, runtime, precision)), runtime
    import_tensorflow()
    return compile_predictor(load_run_model(run)), "keras"


def predict_months(predict, pixels, sex, batch_size, progress=False):
    """Predict every film: months `(n,)` in the order of `pixels` `(n, S, S)` and `sex` `(n,)`."""
    n, sex = len(pixels), np.asarray(sex, np.float32)[:, None]
    batches = full_batches(n, batch_size)
    bar = progress_bar(batches, desc="predicting", unit="batch", leave=False, show=progress)
    months = [predict(pixels[rows][..., None], sex[rows]) for rows in bar]
    return np.concatenate(months, dtype=np.float64)[:n]


def check_finite(months):
    """UserError unless a model gave a number for each film."""
    failed = np.count_nonzero(~np.isfinite(months))
    if failed:
        raise UserError(
            f"the model gives no number for {failed} of {len(months)} films. Use another model."
        )


def full_batches(n, batch_size):
    """Return the rows of each batch of `n` films. The last one is filled up with the last film, so
    that every call has one shape."""
    size = min(batch_size, n)
    return [np.minimum(np.arange(start, start + size), n - 1) for start in range(0, n, size)]


def even_batch(n, batch_size):
    """Return the size of equal batches for `n` films, as few as with `batch_size`: of 33 films in
    batches of 32 the second would be filled up with 31 copies, in batches of 17 with one."""
    return math.ceil(n / math.ceil(n / batch_size))


def predict_films(predict, films, batch_size):
    """Predict labelled films: the frame of `label_predictions`, in file order; each prediction is
    joined with the label of its own row."""
    months = predict_months(predict, films.pixels, films.table["sex"], batch_size)
    return label_predictions(films.table, months)
