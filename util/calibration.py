"""A linear correction of months, and an interval around each, fitted to labelled films that no
weight was trained on.

A calibration is a dict ready for JSON:

- `n`: how many films it was fitted to;
- `lines`: {"male", "female": {"slope", "intercept", "low", "high"}}, low and high being the months
  between which the line was fitted; None where months are not corrected;
- `gain`: what the lines are worth; None where there are too few films;
- `half_width`: of the intervals, by age band of the prediction; None where there are too few films.

calibration.json of a run is fitted to its validation films, calibration_NAME.json to films of
another hospital. The first holds a calibration for each number of views that are averaged, the
second one for a single number of views, with `films`, what it was fitted to, and `readings`, what a
reader would say of them, where that is known.
"""

import numpy as np

from util.identity import count_patients
from util.intervals import FEWEST_FOR_INTERVALS, LEVEL, fit_half_widths
from util.metrics import SEED, SEXES, by_sex, compare_predictions, label_predictions
from util.metrics_text import format_interval
from util.stratify import divide

# A line is two numbers: from 20 films whose errors spread by 9 months (SD) its level is known to
# 9 / sqrt(20) = 2 months, about as much as it is to correct. From fewer it would add noise.
FEWEST_OF_A_SEX = 20  # of another hospital, on request
# Nobody asked for the correction of a run: it must be safe. In simulations (docs/RESULTS.md) the
# rule of `fit_calibration` costs up to 0.12 months with 20 films of a sex, 0.03 with 50.
FEWEST_UNASKED = 50
PARTS = 10  # of cross-fitting
# Where predictions hardly differ a line would draw all children to the middle of those few: a shift
# alone is fitted. All films of the challenge have an SD of 40 months, one school year has 10.
NARROW = 20  # months, SD of predictions


def fit_calibration(predictions, per_sex=True, always=False):
    """Fit lines and intervals to predictions of films that were not trained on.

    The lines are kept where they help: when the cross-fitted MAE is smaller with them, which counts
    what they cost in noise; with `always` they are kept anyway. Returns (calibration, predictions
    as they are to be judged): with lines, each film is corrected by lines fitted without it, and
    the intervals are fitted to that, so that they hold for corrected months.
    """
    lines, gain = None, None
    fewest = FEWEST_OF_A_SEX if always else FEWEST_UNASKED
    if count_missing(predictions, per_sex, fewest) == 0:
        corrected = cross_fit(predictions, per_sex)
        gain = measure_gain(corrected, predictions)
        if always or gain["difference"] < 0:
            lines, predictions = fit_lines(predictions, per_sex), corrected
    half_width = fit_half_widths(predictions)
    calibration = {"n": len(predictions), "lines": lines, "gain": gain, "half_width": half_width}
    return calibration, predictions


# ------------------------------------------------------------------------------ linear correction


def count_missing(films, per_sex=True, fewest=FEWEST_OF_A_SEX):
    """How many children are missing to the `fewest` that a line takes, in the smaller group; 0 when
    there are enough. Films of one child err alike, and stay together in `cross_fit`."""
    return max(0, fewest - min(map(count_patients, by_sex(films, per_sex).values())))


def fit_lines(predictions, per_sex=True):
    """Fit boneage = slope * predicted + intercept by least squares, a line for each sex; the same
    line for both where a model isn't told the sex.

    This is what Deeplasia subtracts, a line of the error over the prediction (Rassmann et al.
    2024, Pediatric Radiology 54). It is fitted over the prediction, not over the true age: every
    good predictor is too high for the youngest and too low for the oldest (regression to the
    mean), and removing that would raise the error. Films of a NARROW range of ages tell of a shift
    alone.
    """
    from sklearn.linear_model import LinearRegression

    lines = {}
    for name, films in by_sex(predictions, per_sex).items():
        months = films["predicted"]
        slope, intercept = 1.0, -float(films["error"].mean())
        if months.std() >= NARROW:
            line = LinearRegression().fit(films[["predicted"]], films["boneage"])
            slope, intercept = float(line.coef_[0]), float(line.intercept_)
        ends = {"low": float(months.min()), "high": float(months.max())}
        lines[name] = {"slope": slope, "intercept": intercept, **ends}
    return lines


def correct_months(months, sex, lines):
    """Months `(n,)` after the lines of their sex `(n,)`, 1 = male; unchanged without lines. Beyond
    the months between which a line was fitted the shift is that of its end."""
    if lines is None:
        return months
    male = np.asarray(sex) == SEXES["male"]
    slope, intercept, low, high = (
        np.where(male, lines["male"][part], lines["female"][part])
        for part in ("slope", "intercept", "low", "high")
    )
    return months + (slope - 1) * np.clip(months, low, high) + intercept


def cross_fit(predictions, per_sex=True, copies=None):
    """Predictions corrected without their own labels: of ten parts, each is corrected by lines
    fitted to the other nine (cross-validation, Stone 1974).

    With `copies`, predictions of changed copies of these films such as CLAHE ones, those are
    corrected instead, each by the lines that were fitted without its original.
    """
    part = divide(predictions, PARTS, SEED)
    judged = predictions if copies is None else copies
    judged_part = judged["id"].map(dict(zip(predictions["id"], part, strict=True)))
    months = np.empty(len(judged))
    for number in range(PARTS):
        films = judged[judged_part == number]
        lines = fit_lines(predictions[part != number], per_sex)
        months[judged_part == number] = correct_months(films["predicted"], films["sex"], lines)
    return label_predictions(judged, months)


def measure_gain(corrected, predictions):
    """What a correction is worth on the same films: MAE with and without it and the paired
    difference with its 95 % interval, in months (below zero: it helps)."""
    comparison = compare_predictions(corrected, predictions)
    return {
        "n": comparison["n"],
        "mae_with": comparison["mae_a"],
        "mae_without": comparison["mae_b"],
        "difference": comparison["difference"],
        "difference_ci95": comparison["difference_ci95"],
    }


# ------------------------------------------------------------------------------------------ words


def format_gain(gain):
    """What a linear correction is worth, in one line."""
    interval = format_interval(gain["difference_ci95"], sign="+")
    return (
        f"MAE {gain['mae_without']:.2f} without and {gain['mae_with']:.2f} with it, cross-fitted "
        f"on {gain['n']} films: difference {gain['difference']:+.2f} {interval}"
    )


def format_calibration(calibration):
    """What a run's calibration holds, in two lines."""
    gain, n = calibration["gain"], calibration["n"]
    if gain is None:
        first = (
            f"no linear correction: films of {FEWEST_UNASKED} children are needed, of each sex if the "
            "model is told it"
        )
    else:
        first = f"linear correction {'kept' if calibration['lines'] else 'left out'}: "
        first += format_gain(gain)
    if calibration["half_width"] is None:
        return f"{first}\nno {LEVEL} intervals: films of {FEWEST_FOR_INTERVALS} children are needed"
    half = calibration["half_width"]["all"]["months"]
    return f"{first}\n{LEVEL} intervals from {n} films: +-{half:.1f} months over all"
