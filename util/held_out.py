"""Were the films of an evaluation held out from what is evaluated? What to say where they were not."""

import pandas as pd

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
            yield (
                f"{member.run.folder} goes back to a run with other training films: where some of "
                "these are among them, its errors come out too small"
            )


def training_notes(members, table):
    """A note for each member of an ensemble that was trained on films of a `table` from elsewhere:
    the same id, sex and label."""
    for member in members:
        path = member.run.folder / TRAINING_FILMS
        if path.exists():  # a model that was shipped comes without
            shared = count_shared(table, pd.read_csv(path, dtype={"id": str}))
            if shared:
                yield (
                    f"{member.run.folder} was trained on {shared} of these films: its errors come "
                    "out too small"
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
    """Whether what corrects the months of an ensemble, or gives their intervals, was fitted to
    films of a `table`: some of them by --calibrate, or the validation films of the members."""
    if "films" in ensemble.calibration:
        return count_shared(table, pd.DataFrame(ensemble.calibration["films"])) > 0
    members, these = ensemble.members, fingerprint(table)
    fitted = ensemble.calibration["half_width"] or any(m.lines(ensemble.views) for m in members)
    return bool(fitted) and all(m.config["data"]["val"]["fingerprint"] == these for m in members)
