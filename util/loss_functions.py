"""Losses of errors in months: mae, mse, huber, smooth_l1 and wing.

    loss = get_loss_function("huber", huber_delta=6)
    model.compile(loss=loss)

Each takes months `(N, 1)` and returns one loss a film `(N,)`. All parameters are in months, so
that they mean the same for any data and model.
"""

import math

import keras
from keras import ops

from util.errors import UserError


def huber_loss(delta):
    """Quadratic up to `delta` months, linear beyond: e^2 / 2, then delta (|e| - delta / 2)
    (Huber 1964, 'Robust estimation of a location parameter')."""

    # not named "huber": a saved model would load Keras's own loss of that name, without delta
    def huber_of_delta(true, predicted):
        return keras.losses.huber(true, predicted, delta)

    return huber_of_delta


def smooth_l1_loss(sigma):
    """|e| without its corner: (sigma e)^2 / 2 below 1 / sigma^2 months, then |e| - 1 / (2 sigma^2)
    (Girshick 2015, 'Fast R-CNN', with the sigma of Ren et al. 2015)."""

    def smooth_l1(true, predicted):  # sigma^2 times Huber's with delta = 1 / sigma^2
        return sigma**2 * keras.losses.huber(true, predicted, 1 / sigma**2)

    return smooth_l1


def wing_loss(w, epsilon):
    """Logarithmic up to `w` months, which gives small errors more weight, linear beyond:
    w ln(1 + |e| / epsilon), then |e| - C (Feng et al. 2018, 'Wing loss', equation 5)."""
    constant = w - w * math.log(1 + w / epsilon)

    def wing(true, predicted):
        error = ops.abs(ops.subtract(true, predicted))
        loss = ops.where(error < w, w * ops.log(1 + error / epsilon), error - constant)
        return ops.mean(loss, axis=-1)

    return wing


def get_loss_function(
    loss_type, huber_delta=6.0, smooth_l1_sigma=1.0, wing_w=10.0, wing_epsilon=2.0
):
    """Return the loss of a name in `LOSS_TYPES` of util/training_options.py, with the parameters
    that belong to it. UserError for an unknown name."""
    losses = {
        "mae": keras.losses.mean_absolute_error,
        "mse": keras.losses.mean_squared_error,
        "huber": huber_loss(huber_delta),
        "smooth_l1": smooth_l1_loss(smooth_l1_sigma),
        "wing": wing_loss(wing_w, wing_epsilon),
    }
    if loss_type not in losses:
        raise UserError(f"unknown loss (--loss_type {loss_type}). Known: {', '.join(losses)}.")
    return losses[loss_type]
