"""Errors in months, with n and a 95 % bootstrap interval, beside the median baseline.

A frame of predictions has the columns id, sex (1 = male), boneage, predicted and error (predicted -
boneage), all in months. It also has patient if any film has one, and reading if it is known what a
single reader would say (util/predicting/readings.py). `evaluate.py` adds low and high, the ends of
the 90 % intervals, and note, what is odd about the film.
"""

import numpy as np
import pandas as pd

from util.agreement import agreement
from util.bootstrap import mean_with_interval
from util.errors import UserError, first_line
from util.identity import LABELS, count_patients, label_columns

SEXES = {"male": 1, "female": 0}
CHILDREN = {"male": "boys", "female": "girls"}
AGE_BANDS = {"0-4 years": 0, "5-9 years": 60, "10-14 years": 120, "15+ years": 180}  # first month
WITHIN = (6, 12, 24)  # months: the share of films with errors up to these is reported


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
