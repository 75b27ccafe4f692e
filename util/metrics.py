"""Errors in months, with n and a 95 % bootstrap interval, beside the median baseline.

A frame of predictions has the columns id, sex (1 = male), boneage, predicted and error (predicted -
boneage), all in months. It also has patient if any film has one, and reading if it is known what a
single reader would say (util/readings.py). `evaluate.py` adds low and high, the ends of the 90 %
intervals, and note, what is odd about the film.
"""

import numpy as np
import pandas as pd

from util.errors import UserError, first_line
from util.identity import LABELS, count_patients, label_columns, patients_or_films

SEXES = {"male": 1, "female": 0}
CHILDREN = {"male": "boys", "female": "girls"}
AGE_BANDS = {"0-4 years": 0, "5-9 years": 60, "10-14 years": 120, "15+ years": 180}  # first month
WITHIN = (6, 12, 24)  # months: the share of films with errors up to these is reported
RESAMPLES = 2000
FEWEST_TO_COMPARE = 10  # children: with fewer, a bootstrap has too few different draws
SEED = 42  # of resamples, not --seed: the same errors always have the same interval
NO_VARIANCE = 1e-6  # months squared: below it is the rounding of equal ages
CHUNK = 2_000_000  # numbers drawn at once, so that memory stays flat


def label_predictions(table, months):
    """Return the frame of predictions of labelled films, `months` `(n,)` being those of its rows.
    They are rounded to 0.01 months, as single precision depends a little on the batch size."""
    table = table[label_columns(table)].astype({"sex": int})
    table["predicted"] = np.round(np.asarray(months, float), 2)
    table["error"] = (table["predicted"] - table["boneage"]).round(2)
    return table


def by_sex(films, per_sex=True):
    """Return {"male", "female": films of that sex}; all films for both where a model isn't given
    the sex."""
    return {name: films[films["sex"] == sex] if per_sex else films for name, sex in SEXES.items()}


def band_of(months):
    """The number of the age band, from 0, that each of `months` lies in."""
    return np.digitize(months, list(AGE_BANDS.values())[1:])


def by_band(months):
    """Return {age band: mask `(n,)` of the `months` in it}."""
    band = band_of(months)
    return {name: band == number for number, name in enumerate(AGE_BANDS)}


def bootstrap_means(values, patients):
    """Return the means `(k, RESAMPLES)` of `values` `(k, n)`, k of each of n films, over resamples
    with replacement (Efron 1979).

    `patients` `(n,)`, the patient of each film, are drawn, each with all films: two films of a
    child err alike (cluster bootstrap, Field & Welsh 2007).
    """
    person = pd.factorize(patients)[0]
    sums = np.array([np.bincount(person, row) for row in np.asarray(values, float)])
    counts = np.bincount(person)
    n = len(counts)
    rng = np.random.default_rng(SEED)
    means = np.empty((len(sums), RESAMPLES))
    rows = max(1, CHUNK // n)
    for start in range(0, RESAMPLES, rows):
        stop = min(start + rows, RESAMPLES)
        draws = rng.integers(0, n, (stop - start, n))
        drawn = counts[draws].sum(axis=1) if counts.max() > 1 else n
        for mean, row in zip(means, sums, strict=True):
            mean[start:stop] = row[draws].sum(axis=1) / drawn
    return means


def percentile_interval(value, drawn, n, least=-np.inf, most=np.inf):
    """Return the 95 % percentile interval [low, high] of a value, cut at `least` and `most`, given
    what it is in resamples of `n` children, `drawn`; NaN where it is undefined.

    The percentile interval of few children is too narrow. It is widened to the reach of
    `student_reach`: by 2 % for 100 children.
    """
    from scipy.special import ndtri  # quantiles of the normal distribution

    low, high = np.nanpercentile(drawn, [2.5, 97.5])
    wider = student_reach(n) / ndtri(0.975)
    low, high = value - wider * (value - low), value + wider * (high - value)
    return [float(max(low, least)), float(min(high, most))]


def student_reach(n):
    """Return how many SDs of its resamples the 95 % interval of a figure of `n` children reaches:
    Student's quantile, times the ratio of the SD with n - 1 to that with n (Hesterberg 2015,
    American Statistician 69:371)."""
    from scipy.special import stdtrit  # scipy.stats takes longer to import

    return stdtrit(n - 1, 0.975) * np.sqrt(n / (n - 1))


def spread_factor(value, drawn, n):
    """Return the factor of the 95 % interval of an SD or RMSE of `n` children, which is from value
    / factor to value * factor, given what it is in resamples, `drawn`.

    It comes from the SD of the logarithms: those of few errors are hardly skewed, as the values
    themselves are.
    """
    # resamples of a few equal errors have none; the floor is above 0 for errors that are all equal
    drawn = np.maximum(drawn, max(value / 10, 1e-9))
    return np.exp(student_reach(n) * np.log(drawn).std())


def mean_interval(values, films, least=-np.inf):
    """Return the 95 % `percentile_interval` of the mean of `values`, one for each row of `films`;
    None for one child. The mean can't be below `least`: 0 for absolute errors."""
    patients = patients_or_films(films)
    n = patients.nunique()
    if n < 2:
        return None
    return percentile_interval(np.mean(values), bootstrap_means([values], patients)[0], n, least)


def mean_with_interval(name, values, films, least=-np.inf):
    """Return {name: the mean of `values`, name_ci95: its `mean_interval`}, ready for JSON."""
    return {name: float(np.mean(values)), f"{name}_ci95": mean_interval(values, films, least)}


def evaluate_predictions(predictions, train_median=None):
    """Return all metrics of a set of predictions, ready for JSON: months, shares 0-1, n.

    The baseline predicts `train_median` (months) for every film. Without that, it predicts the
    median of these films, which flatters the baseline; `["baseline"]["source"]` names the films.
    """
    if predictions.empty:
        raise UserError("no predictions to evaluate. Check the table and the folder of films.")
    error, boneage = (predictions[c].to_numpy(float) for c in ("error", "boneage"))
    # by the range: the sum of squares of equal decimals is often not 0
    spread = np.sum((boneage - boneage.mean()) ** 2) if np.ptp(boneage) > 0 else 0
    varies = spread > 0 and np.ptp(predictions["predicted"]) > 0
    readings = {"readings": judge_readings(predictions)} if "reading" in predictions else {}
    return {
        **error_summary(predictions),
        **readings,
        **agreement(predictions),
        "median_abs_error": float(np.median(np.abs(error))),
        "r2": float(1 - np.sum(error**2) / spread) if spread > 0 else None,
        "correlation": float(np.corrcoef(boneage, predictions["predicted"])[0, 1])
        if varies
        else None,
        **{f"within_{m}": float(np.mean(np.abs(error) <= m)) for m in WITHIN},
        "by_sex": {
            sex: error_summary(films) | agreement(films)
            for sex, films in by_sex(predictions).items()
        },
        "by_age": by_age(predictions),
        "by_predicted_age": by_age(predictions, "predicted"),
        "by_sex_and_age": {sex: by_age(films) for sex, films in by_sex(predictions).items()},
        "baseline": baseline_error(predictions, train_median),
    }


def by_age(predictions, age="boneage"):
    """Return {age band: `error_summary` of its films}, by label or `age="predicted"`.

    By label, any uncertain prediction has a bias: too old for the youngest, too young for the
    oldest. By prediction, the bias is that of the months that a user sees.
    """
    bands = by_band(predictions[age])
    return {name: error_summary(predictions[inside]) for name, inside in bands.items()}


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


def baseline_error(predictions, train_median):
    """Return the error of predicting `train_median`, or else the median of these films, for every
    film."""
    boneage = predictions["boneage"].to_numpy(float)
    median = float(np.median(boneage) if train_median is None else train_median)
    off = np.abs(boneage - median)
    return {
        "months": median,
        "source": "these films" if train_median is None else "training films",
        **mean_with_interval("mae", off, predictions, least=0),
    }


def error_summary(predictions):
    """Return n, and MAE and bias with intervals, of some predictions in months; without films all
    but n are None."""
    if predictions.empty:
        return {"n": 0} | dict.fromkeys(("mae", "mae_ci95", "bias", "bias_ci95"))
    error = predictions["error"].to_numpy(float)
    return {
        "n": len(error),
        **mean_with_interval("mae", np.abs(error), predictions, least=0),
        **mean_with_interval("bias", error, predictions),
    }


def judge_readings(predictions):
    """Return the errors of the column `reading` (see `error_summary`), and `difference`, their MAE
    minus that of the months, with its 95 % interval by paired bootstrap."""
    said = predictions.assign(error=predictions["reading"] - predictions["boneage"])
    difference = said["error"].abs() - predictions["error"].abs()
    return error_summary(said) | mean_with_interval("difference", difference, predictions)


def compare_predictions(a, b):
    """Compare two sets of predictions on the same films by paired bootstrap.

    Returns n, children, both MAEs and `difference` (MAE of a minus MAE of b, months) with its 95 %
    interval. Raises UserError when ids or labels are not the same.
    """
    both = a.merge(b[["id", "boneage", "error"]], on="id", suffixes=("_a", "_b"))
    if not len(both) == len(a) == len(b):
        raise UserError(
            f"the runs were not evaluated on the same films ({len(a)} and {len(b)}, "
            f"{len(both)} in common). Evaluate both on one set."
        )
    if not np.allclose(both["boneage_a"], both["boneage_b"]):
        raise UserError("the runs have different labels for the same films. Evaluate both again.")
    errors_a, errors_b = both["error_a"].abs(), both["error_b"].abs()
    return {
        "n": len(both),
        "children": count_patients(both),
        "mae_a": float(errors_a.mean()),
        "mae_b": float(errors_b.mean()),
        **mean_with_interval("difference", errors_a - errors_b, both),
    }


def read_predictions(path, need=LABELS):
    """Read a table that a run or an evaluation wrote; ids and patients stay text. UserError when it
    has no rows, lacks a column of `need` (an id, then numbers), or has text among the numbers."""
    text = {"id": str, "patient": str}
    try:
        table = pd.read_csv(path, dtype=text, keep_default_na=False, na_values=[""])
        missing = [name for name in need if name not in table]
        reason = f"no column {missing[0]}" if missing else "no rows" if table.empty else ""
    except ValueError as error:
        reason = first_line(error)
    if not reason and not all(pd.api.types.is_numeric_dtype(table[name]) for name in need[1:]):
        reason = "text among its numbers"
    elif not reason and table[list(need)].isna().any(axis=None):
        reason = "gaps in it"
    if reason:
        raise UserError(f"not the table that the run wrote: {reason} ({path}). Restore it.")
    return table
