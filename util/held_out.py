"""Were the films of an evaluation held out from what is evaluated? What to say where they were not."""

import numpy as np
import pandas as pd

from util.metrics import read_predictions
from util.runs import TRAINING_FILMS, fingerprint
from util.tables import LABELS


def held_out(ensemble, table):
    """Which films `(n,)` of a table no part of an ensemble has learned from, and notes, a list, on
    why its errors may come out too small on the others."""
    trained = [trained_on(member, table) for member in ensemble.members]
    fitted = fitted_to(ensemble, table)
    notes = [
        note
        for member, known in zip(ensemble.members, trained, strict=True)
        for note in training_notes(member, table, known)
    ]
    if fitted.any():
        notes.append(
            f"corrections and intervals of the model come from {fitted.sum()} of these films: their "
            "errors may come out too small"
        )
    return ~np.any([fitted, *trained], axis=0), notes


def training_notes(member, table, trained):
    """What throws doubt on the errors of a member on the films of a table, of which it was trained
    on those of the mask `trained`."""
    folder, data = member.run.folder, member.config["data"]
    its_own = fingerprint(table) in (data["val"]["fingerprint"], data["test"]["fingerprint"])
    if trained.any():
        yield (
            f"{folder} was trained on {trained.sum()} of these films: its errors come out too small"
        )
    elif not its_own and not (folder / TRAINING_FILMS).exists():
        yield (
            f"{folder} comes without a list of its training films: if some of these are among them, "
            "its errors come out too small"
        )
    if started_from_other_films(member.config):
        yield (
            f"{folder} started from a run that was trained on other films: if some of these are "
            "among them, its errors come out too small"
        )


def are_among(table, films):
    """Which films `(n,)` of a table are among others: by id, sex and label."""
    both = table[LABELS].merge(films[LABELS].drop_duplicates(), how="left", indicator=True)
    return (both["_merge"] == "both").to_numpy(copy=True)


def started_from_other_films(config):
    """Whether a run started from one that was trained on other films, at any remove."""
    start = config.get("start")
    while start:
        if start["data"]["train"]["fingerprint"] != config["data"]["train"]["fingerprint"]:
            return True
        start = start.get("start")
    return False


def fitted_to(ensemble, table):
    """Which films `(n,)` of a table the corrections or the intervals of an ensemble were fitted to:
    those of --calibrate, and the validation films of its members."""
    named = ensemble.calibration["films"]
    fitted = are_among(table, pd.DataFrame(named)) if named else np.zeros(len(table), bool)
    intervals = not named and ensemble.calibration["half_width"]
    for member in ensemble.members:
        if intervals or member.lines(ensemble.views):
            fitted |= validated_on(member, table)
    return fitted


def validated_on(member, table):
    """Which films `(n,)` of a table chose the best epoch of a member."""
    return are_films_of(member, "val", "predictions_val.csv", table)


def trained_on(member, table):
    """Which films `(n,)` of a table a member was trained on."""
    return are_films_of(member, "train", TRAINING_FILMS, table)


def are_films_of(member, split, name, table):
    """Which films `(n,)` of a table are of a split of a member, by the list of that name. A model
    that was shipped comes without: then all are, or none."""
    path = member.run.folder / name
    if path.exists():
        return are_among(table, read_predictions(path))
    same = member.config["data"][split]["fingerprint"] == fingerprint(table)
    return np.full(len(table), same)
