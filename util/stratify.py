"""Splits that hold each sex and age in proportion."""

import numpy as np

from util.identity import patients_for_splits

BAND = 24  # months: width of the age bands that films are stratified by, beside sex


def spread_out(films, seed):
    """Order films so that every stretch of the order holds each sex and age in proportion.

    Films are sorted by sex and age band, at random within a band; then they are taken in steps of
    the golden ratio, which visit all parts of the sorted list evenly. Returns index values.
    """
    rng = np.random.default_rng(seed)
    frame = films.assign(band=films["boneage"] // BAND, tie=rng.random(len(films)))
    sorted_index = frame.sort_values(["sex", "band", "tie"]).index.to_numpy()
    phase = (np.arange(len(films)) * (np.sqrt(5) - 1) / 2 + rng.random()) % 1
    return sorted_index[np.argsort(phase)]


def divide(films, folds, seed):
    """Divide films into `folds` parts of about equal size; returns the number of each film's part,
    from 0, in the order of the frame. All films of a patient, where known, are in one part, see
    `patients_for_splits`."""
    films = films.reset_index(drop=True)
    patient = patients_for_splits(films)
    parts = np.array_split(spread_out(films[~patient.duplicated()], seed), folds)
    part_of = {patient[row]: number for number, rows in enumerate(parts) for row in rows}
    return patient.map(part_of).to_numpy()
