"""A linear correction of predicted months and intervals around them, fitted to labelled films
that no weight was trained on.

A calibration is a dict ready for JSON:

- `n`: how many films it was fitted to;
- `lines`: {"male", "female": {"slope", "intercept", "low", "high"}}; low and high are the smallest
  and the largest prediction that the line was fitted to; None if months are not corrected;
- `gain`: how much the lines help, see `measure_gain`; None if there are too few films;
- `half_width`: of the intervals, by age band of the prediction; None if there are too few films.

A run's calibration.json is fitted to its validation films. It holds a calibration for each number
of views that are averaged. calibration_NAME.json is fitted to films of another hospital, for one
number of views. It also has `models` (their hashes), `films` (those it was fitted to), if the
model gives readings, `readings` (their errors on these films, see `judge_readings`), and with
--readers, `reader_agreement` (see `compare_readers`).
"""

import numpy as np

from util.bootstrap import SEED
from util.identity import count_patients
from util.metrics import SEXES, by_sex, compare_predictions, label_predictions
from util.metrics_text import format_interval
from util.predicting.intervals import FEWEST_FOR_INTERVALS, LEVEL, fit_half_widths
from util.stratify import divide

# With 20 films whose errors have an SD of 9 months, the level of a line is known to
# 9 / sqrt(20) = 2 months, about the size of the bias it corrects. With fewer it would add noise.
FEWEST_OF_A_SEX = 20  # children of another hospital, where the user asks for the calibration
# Nobody asks for the correction of a run, so it must be safe. In simulations (docs/RESULTS.md) the
# rule of `fit_calibration` costs up to 0.12 months with 20 films of a sex, and 0.03 with 50.
FEWEST_UNASKED = 50  # children
PARTS = 10  # of cross-fitting
# If predictions hardly differ, a line would pull all children towards the mean of these few films,
# so only a shift is fitted. The films of the challenge have an SD of 40 months, those of one school
# year 10.
NARROW = 20  # months, SD of predictions


def fit_calibration(predictions, per_sex=True, always=False):
    """Fit lines and intervals to predictions of films that were not trained on.

    The lines are kept if they lower the cross-fitted MAE, which includes the noise that they add;
    with `always` they are kept anyway. There are none if a sex has too few children. Returns
    (calibration, predictions as they should be judged). If there are lines, each of these
    predictions is corrected by lines fitted without its film. The intervals are fitted to them,
    so that they hold for corrected months.
    """
    lines, gain = None, None
    fewest = FEWEST_OF_A_SEX if always else FEWEST_UNASKED
    if enough_children(predictions, per_sex, fewest):
        corrected = cross_fit(predictions, per_sex)
        gain = measure_gain(corrected, predictions)
        if always or gain["difference"] < 0:
            lines, predictions = fit_lines(predictions, per_sex), corrected
    half_width = fit_half_widths(predictions)
    calibration = {"n": len(predictions), "lines": lines, "gain": gain, "half_width": half_width}
    return calibration, predictions


# ------------------------------------------------------------------------------ linear correction


def enough_children(films, per_sex=True, fewest=FEWEST_OF_A_SEX):
    """Whether films show enough children for a line: in all or, if `per_sex`, of each sex.

    Children are counted, not films: films of one child have similar errors, and stay together in
    `cross_fit`.
    """
    return min(map(count_patients, by_sex(films, per_sex).values())) >= fewest


def fit_lines(predictions, per_sex=True):
    """Fit boneage = slope * predicted + intercept by least squares, with a line for each sex, or
    the same line for both if the model isn't given the sex.

    Deeplasia subtracts the same correction, a line of the error over the prediction (Rassmann et
    al. 2024, Pediatric Radiology 54). The line is fitted over the prediction, not over the true
    age: every good predictor is too high for the youngest and too low for the oldest (regression to
    the mean), and removing this would raise the error. If the SD of the predictions is below
    NARROW, only a shift is fitted (slope 1).
    """
    lines = {}
    for name, films in by_sex(predictions, per_sex).items():
        months = films["predicted"]
        slope, intercept = 1.0, -float(films["error"].mean())
        if months.std() >= NARROW:
            slope, intercept = map(float, np.polyfit(months, films["boneage"], 1))
        ends = {"low": float(months.min()), "high": float(months.max())}
        lines[name] = {"slope": slope, "intercept": intercept, **ends}
    return lines


def correct_months(months, sex, lines):
    """Return months `(n,)`, corrected by the line of each sex `(n,)`, 1 = male; unchanged if
    `lines` is None. Beyond `low` and `high` of a line, the shift is the same as there."""
    if lines is None:
        return months
    male = np.asarray(sex) == SEXES["male"]
    slope, intercept, low, high = (
        np.where(male, lines["male"][part], lines["female"][part])
        for part in ("slope", "intercept", "low", "high")
    )
    return months + (slope - 1) * np.clip(months, low, high) + intercept


def cross_fit(predictions, per_sex=True, copies=None):
    """Return predictions corrected without their own labels: each of ten parts is corrected by
    lines fitted to the other nine (cross-validation, Stone 1974).

    `copies` are predictions of changed copies of these films, such as CLAHE copies. If given, they
    are corrected instead, each by the lines that were fitted without its original.
    """
    part = divide(predictions, PARTS, SEED)
    judged = predictions if copies is None else copies
    judged_part = judged["id"].map(dict(zip(predictions["id"], part, strict=True)))
    months = np.full(len(judged), np.nan)
    for number in range(PARTS):
        films = judged[judged_part == number]
        lines = fit_lines(predictions[part != number], per_sex)
        months[judged_part == number] = correct_months(films["predicted"], films["sex"], lines)
    return label_predictions(judged, months)


def measure_gain(corrected, predictions):
    """Return how much a correction helps: the MAE with and without it on the same films, and the
    paired difference with its 95 % interval, in months (below zero: it helps).

    The interval leaves out that other films would give other lines. With few films it is too
    narrow, and above zero too sure of a harm (docs/RESULTS.md).
    """
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
    """Return how much a linear correction helps, as one line."""
    interval = format_interval(gain["difference_ci95"], sign="+")
    return (
        f"MAE {gain['mae_without']:.2f} without and {gain['mae_with']:.2f} with it, cross-fitted "
        f"on {gain['n']} films: difference {gain['difference']:+.2f} {interval}"
    )


def format_calibration(calibration):
    """Return what a run's calibration holds, as two lines."""
    gain, n = calibration["gain"], calibration["n"]
    if gain is None:
        first = (
            f"no linear correction: films of {FEWEST_UNASKED} children are needed, of each sex if the "
            "model uses it"
        )
    else:
        first = f"linear correction {'kept' if calibration['lines'] else 'left out'}: "
        first += format_gain(gain)
    if calibration["half_width"] is None:
        return f"{first}\nno {LEVEL} intervals: films of {FEWEST_FOR_INTERVALS} children are needed"
    half = calibration["half_width"]["all"]["months"]
    return f"{first}\n{LEVEL} intervals from {n} films: +-{half:.1f} months overall"
