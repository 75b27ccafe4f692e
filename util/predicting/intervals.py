"""Split-conformal intervals around predictions, to hold 90 % of bone ages, and their coverage."""

import numpy as np

from util.identity import count_patients, patients_or_films
from util.metrics import AGE_BANDS, SEXES, band_of, by_band, evaluate_predictions
from util.metrics_text import format_interval, format_metrics, format_years

COVERAGE = 0.9  # share of films whose bone age should lie in the interval
LEVEL = f"{COVERAGE * 100:.0f} %"
# children; with fewer, even the largest error is too small a bound for 90 %
FEWEST_FOR_INTERVALS = 9
# The SD of a band's coverage is sqrt(0.9 * 0.1 / n): 5 % with 30 children, 9 % with 10.
FEWEST_OF_A_BAND = 30


def fit_half_widths(predictions):
    """Fit half widths (months) of intervals that hold 90 % of bone ages, by band of the prediction.

    Split-conformal (Papadopoulos et al. 2002; Lei et al. 2018), see `conformal_quantile`: if the
    next child is like these, the interval around its prediction holds its label with at least 90 %
    probability. Widths are fitted by band (Mondrian, Vovk et al. 2005), as errors differ with age;
    a band of fewer than 30 children takes the width of all films. Returns {"all" or band: {"n"
    films, "months", "of": "all" or band}}, None below 9 children.

    Validation films may have chosen the epoch as well, which makes the widths a little too narrow;
    the coverage on test films shows by how much.
    """
    if count_patients(predictions) < FEWEST_FOR_INTERVALS:
        return None
    months = conformal_quantile(predictions)
    widths = {"all": {"n": len(predictions), "months": months, "of": "all"}}
    for name, rows in by_band(predictions["predicted"]).items():
        films = predictions[rows]
        own = count_patients(films) >= FEWEST_OF_A_BAND
        widths[name] = {
            "n": len(films),
            "months": conformal_quantile(films) if own else months,
            "of": name if own else "all",
        }
    return widths


def conformal_quantile(predictions):
    """Return the ceil(0.9 (n + 1))-th smallest of n absolute errors, n being 9 or more.

    Films of one child err alike. Where children have several films, n counts children, and each of
    the m films of a child counts 1/m (Lee, Barber & Willett 2023, arXiv 2306.06342).
    """
    missed = predictions["error"].abs().to_numpy()
    order = np.argsort(missed)
    reached = np.cumsum(shares_of_children(predictions)[order])
    needed = COVERAGE * (count_patients(predictions) + 1) - 1e-9  # shares have rounding errors
    return float(missed[order][np.searchsorted(reached, needed)])


def shares_of_children(predictions):
    """Return for how much of a child each film `(n,)` counts: 1 / m where the child has m films."""
    patients = patients_or_films(predictions)
    return 1 / patients.groupby(patients).transform("size").to_numpy()


def half_widths_of(months, half_width):
    """Return the half width `(n,)` of the interval around each prediction."""
    return np.array([half_width[name]["months"] for name in AGE_BANDS])[band_of(months)]


def interval_bounds(months, half_width):
    """Return (low, high) `(n,)` in months, of the intervals around predictions; at least 0."""
    half = half_widths_of(months, half_width)
    return np.maximum(0, months - half), np.maximum(0, months + half)


def measure_coverage(predictions, half_width):
    """Measure how many labels lie in the intervals, ready for JSON.

    For all films, by sex and by band of the prediction it has n films, their children, the share
    covered with its 95 % interval, and the mean half width in months; groups without films are left
    out. Each child counts once, as in `conformal_quantile`.
    """
    rows = {"all": np.full(len(predictions), True)}
    rows |= {name: (predictions["sex"] == sex).to_numpy() for name, sex in SEXES.items()}
    rows |= by_band(predictions["predicted"])
    parts = {name: coverage_of(predictions[r], half_width) for name, r in rows.items() if r.any()}
    return {"expected": COVERAGE, **parts}


def coverage_of(films, half_width):
    """Return one part of `measure_coverage`, that of some films."""
    half = half_widths_of(films["predicted"], half_width)
    inside = (films["error"].abs() <= half + 1e-9).to_numpy()
    weights = shares_of_children(films)
    covered, children = float(np.average(inside, weights=weights)), count_patients(films)
    return {
        "n": len(films),
        "children": children,
        "covered": covered,
        "covered_ci95": share_interval(covered, children),
        "half_width": float(np.average(half, weights=weights)),
    }


def share_interval(share, n):
    """Return the 95 % interval of a share of `n` children (Clopper & Pearson 1934); exact if each
    has one film, otherwise, as a rule, too wide."""
    from scipy.special import betaincinv

    inside = share * n
    low = betaincinv(inside, n - inside + 1, 0.025) if inside > 0 else 0
    high = betaincinv(inside + 1, n - inside, 0.975) if inside < n else 1
    return [float(low), float(high)]


def evaluate_with_intervals(predictions, half_width, train_median=None, held_out=None):
    """Return `evaluate_predictions`, and under "intervals" their coverage, None without intervals.

    Coverage is measured on the films of the mask `held_out` `(n,)` alone (default: all films):
    films that intervals were fitted to don't show it.
    """
    metrics = evaluate_predictions(predictions, train_median)
    judged = predictions if held_out is None else predictions[held_out]
    metrics["intervals"] = (
        measure_coverage(judged, half_width) if half_width and len(judged) else None
    )
    return metrics


def format_with_intervals(metrics, title):
    """Return `format_metrics`, followed by the coverage of the intervals if there are any."""
    text = format_metrics(metrics, title)
    return f"{text}\n{format_coverage(metrics['intervals'])}" if metrics.get("intervals") else text


def format_coverage(coverage):
    """Format coverage as a table for the terminal, to follow the table of errors."""
    lines = [
        f"  {f'{LEVEL} intervals':16s}{'n':>6s}{'inside':>8s}   {'95 % interval':16s}"
        "mean half width; ages are those predicted"
    ]
    for name, part in coverage.items():
        if name != "expected":
            lines.append(
                f"  {'all films' if name == 'all' else name:16s}{part['n']:6d}{part['covered']:8.0%}"
                f"   {format_interval(part['covered_ci95'], form='.0%'):16s}"
                f"+-{part['half_width']:.1f}"
            )
    return "\n".join(lines)


def format_range(low, high):
    """An interval in years and months: "90 %: 10 y 1 mo - 12 y 6 mo"."""
    return f"{LEVEL}: {format_years(low)} - {format_years(high)}"
