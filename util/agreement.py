"""How predictions agree with labels: RMSE, ICC, limits of agreement, with 95 % intervals."""

import numpy as np

from util.bootstrap import (
    FEWEST_TO_COMPARE,
    bootstrap_means,
    percentile_interval,
    spread_factor,
    student_reach,
)
from util.identity import count_patients, patients_or_films

NO_VARIANCE = 1e-6  # months squared: below it is the rounding of equal ages


def agreement(predictions):
    """Return how predictions agree with labels, ready for JSON: RMSE, `measure_agreement` and the
    limits of agreement, with 95 % intervals, of FEWEST_TO_COMPARE children or more. None is
    unknown; {} without films."""
    if predictions.empty:
        return {}
    error, n = predictions["error"].to_numpy(float), count_patients(predictions)
    mean = predictions["boneage"].to_numpy(float) + error / 2
    values = np.stack([error, mean, error**2, error * mean, mean**2])
    found, drawn = measure_agreement(values.mean(axis=1), len(error)), None
    rmse, limits_ci95 = np.sqrt(np.mean(error**2)), None
    metrics = {"rmse": float(rmse), "rmse_ci95": None}
    if n >= FEWEST_TO_COMPARE:
        means = bootstrap_means(values, patients_or_films(predictions))
        factor = spread_factor(rmse, np.sqrt(means[2]), n)
        metrics["rmse_ci95"] = [float(rmse / factor), float(rmse * factor)]
        drawn = measure_agreement(means, len(error))
        limits_ci95 = limits_intervals(error, means[0], means[2], n)
    for name, most in (("icc_2_1", 1), ("difference_slope", np.inf)):
        known = np.isfinite(found[name]) and len(error) > 2
        metrics[name] = float(found[name]) if known else None
        metrics[f"{name}_ci95"] = (
            percentile_interval(found[name], drawn[name], n, most=most) if known and drawn else None
        )
    return metrics | {
        "limits_of_agreement": limits_of_agreement(error),
        "limits_of_agreement_ci95": limits_ci95,
    }


def measure_agreement(means, n):
    """Return the intraclass correlation ICC(2,1) and the slope of the difference, of `n` films or
    of many resamples, one number or an array each.

    `means` `(5, ...)` are those of error, mean of prediction and label, their squares and product,
    in this order: error, mean, error**2, error * mean, mean**2. ICC(2,1): two-way random effects,
    absolute agreement, single measurement (Shrout & Fleiss 1979, Psychol Bull 86:420). The slope is
    that of the regression of error on mean (Bland & Altman 1999, Stat Methods Med Res 8:135). Both
    are NaN where all films have one mean.
    """
    error, mean, errors, products, squares = means
    variance = squares - mean**2
    variance = np.where(variance > NO_VARIANCE, variance, np.nan)
    between, within = (n / max(1, n - 1) * part for part in (2 * variance, (errors - error**2) / 2))
    # mean squares of films, and of residuals; that of the two raters is n * error**2 / 2
    raters = error**2 - 2 * within / n
    return {
        "icc_2_1": (between - within) / (between + within + raters),
        "difference_slope": (products - error * mean) / variance,
    }


def limits_of_agreement(error):
    """Return [low, high] in months: bias +- 1.96 SD of errors, which holds 95 % of them if they are
    normal (Bland & Altman 1986); None for fewer than three."""
    if len(error) < 3:
        return None
    bias, reach = np.mean(error), 1.96 * np.std(error, ddof=1)
    return [float(bias - reach), float(bias + reach)]


def limits_intervals(error, means, squares, n):
    """Return the 95 % interval of each of the `limits_of_agreement`, [[low, high], [low, high]],
    given the means of the errors of `n` children, and of their squares, in resamples.

    The intervals of the bias and of the SD are combined by their distances (MOVER, Zou 2013, Stat
    Methods Med Res 22): that of the bias is `student_reach` times its bootstrap SD, that of the SD
    has the `spread_factor`.
    """
    sd = np.std(error, ddof=1)
    factor = spread_factor(sd, np.sqrt(np.maximum(0, squares - means**2)), n)
    reach = student_reach(n) * means.std()
    inside, outside = (np.hypot(reach, 1.96 * sd * part) for part in (1 - 1 / factor, factor - 1))
    low, high = limits_of_agreement(error)
    return [
        [float(low - outside), float(low + inside)],
        [float(high - inside), float(high + outside)],
    ]
