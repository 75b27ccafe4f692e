"""95 % intervals of means over films, by a bootstrap that draws children."""

import numpy as np
import pandas as pd

from util.identity import patients_or_films

RESAMPLES = 2000
FEWEST_TO_COMPARE = 10  # children: with fewer, a bootstrap has too few different draws
SEED = 42  # of resamples, not --seed: the same errors always have the same interval
CHUNK = 2_000_000  # numbers drawn at once, so that memory stays flat


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
