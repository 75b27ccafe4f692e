"""Were the films of an evaluation held out from what is evaluated? What to say where they were not."""

import pandas as pd

from util.metrics import read_predictions
from util.runs import TRAINING_FILMS, fingerprint
from util.tables import LABELS


def split_notes(members, table, split):
    """A note for each member of an ensemble that may have been trained on some of the films of a
    split, `table`: it had another split of that name, or goes back to a run with other films."""
    if split == "train":
        return
    these = fingerprint(table)
    for member in members:
        if these != member.config["data"][split]["fingerprint"]:
            yield (
                f"these are not the {split} films of {member.run.folder}: where it was trained on "
                "some of them, its errors come out too small"
            )
        elif goes_back_to_other_films(member.config):
            yield goes_back_note(member)


def training_notes(members, table):
    """Notes on each member of an ensemble that was trained on films of a `table` from elsewhere, or
    may have been: the same id, sex and label."""
    for member in members:
        path = member.run.folder / TRAINING_FILMS
        if not path.exists():  # a model that was shipped comes without
            yield (
                f"{member.run.folder} comes without a list of its training films: where some of "
                "these are among them, its errors come out too small"
            )
        elif shared := count_shared(table, pd.read_csv(path, dtype={"id": str})):
            yield (
                f"{member.run.folder} was trained on {shared} of these films: its errors come "
                "out too small"
            )
        if goes_back_to_other_films(member.config):
            yield goes_back_note(member)


def goes_back_note(member):
    return (
        f"{member.run.folder} goes back to a run with other training films: where some of these are "
        "among them, its errors come out too small"
    )


def count_shared(table, films):
    """How many films of a table are among others: by id, sex and label."""
    return len(table.merge(films[LABELS].drop_duplicates(), on=LABELS))


def goes_back_to_other_films(config):
    """Whether a run started from one that was trained on other films, at any remove."""
    start = config.get("start")
    while start:
        if start["data"]["train"]["fingerprint"] != config["data"]["train"]["fingerprint"]:
            return True
        start = start.get("start")
    return False


def corrected_by_these(ensemble, table):
    """Whether what corrects the months of an ensemble, or gives their intervals, was fitted to some
    of the films of a `table`: those of --calibrate, or the validation films of a member."""
    named = ensemble.calibration.get("films")
    if named and count_shared(table, pd.DataFrame(named)):
        return True
    intervals = not named and ensemble.calibration["half_width"]
    return any(
        (intervals or member.lines(ensemble.views)) and was_validated_on(member, table)
        for member in ensemble.members
    )


def was_validated_on(member, table):
    """Whether some of the films of a `table` chose the best epoch of a member."""
    path = member.run.folder / "predictions_val.csv"
    if path.exists():
        return count_shared(table, read_predictions(path)) > 0
    return member.config["data"]["val"]["fingerprint"] == fingerprint(table)  # a shipped model
