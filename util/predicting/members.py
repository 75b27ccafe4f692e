"""The runs of an ensemble: which they are, whether they belong together, what each predicted for
its validation and test films when its training ended, and the mean of these."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from util.backbones import sees_sex
from util.errors import UserError
from util.files import hash_file
from util.finished_runs import find_folds, read_run
from util.identity import LABELS
from util.metrics import compare_predictions, label_predictions, read_predictions
from util.metrics_text import format_interval
from util.predicting.canvases import Canvas
from util.runs import MODEL, READINGS, Run, changed_facts, predictions_name
from util.split_records import FILE_FACTS
from util.tta import chosen_views, describe_views, views_key, views_suffix


@dataclass
class Member:
    """A run of an ensemble, its config, and how often it counts."""

    run: Run
    config: dict
    weight: int = 1

    @property
    def options(self):
        return self.config["options"]

    @property
    def canvas(self):
        """The canvas it was trained on."""
        return Canvas(self.options["img_size"], self.options["fit"])

    @property
    def sees_sex(self):
        return sees_sex(self.options["model_type"])

    def lines(self, views):
        """Return the run's linear correction, fitted to validation films: for this number of views,
        else for one; None without any."""
        stored = self.run.calibrations
        calibration = stored.get(views_key(views)) or stored.get(views_key(1)) or {}
        return calibration.get("lines")

    @property
    def label_counts(self):
        """How many of its training films have each label, if these show what a reader would say;
        else None."""
        return (self.run.read_json(READINGS) or {}).get("labels")


def read_members(folders):
    """Read the runs of an ensemble. A run named twice counts twice; a folder of folds stands for
    all its folds. UserError when one isn't a finished run."""
    counts = Counter(run for folder in folders for run in find_folds(folder) or [Path(folder)])
    runs = [read_run(folder) for folder in counts]
    return [Member(run, run.config, counts[run.folder]) for run in runs]


def check_same_split(members, split):
    """UserError when the `split` films of the runs differ: test films of one may have been training
    films of another."""
    for member in members[1:]:
        one, other = (m.config["data"][split] for m in (members[0], member))
        if one["fingerprint"] != other["fingerprint"]:
            folds = split == "val" and members[0].options.get("fold")
            held_out = f" Errors of held-out films of folds: {predictions_name('out_of_fold')}."
            raise UserError(
                f"the {split} films of {members[0].run.folder} and {member.run.folder} are not the "
                "same, so one run may have been trained on the other's. Choose runs of one "
                "split, or name films by --csv and --images." + (held_out if folds else "")
            )


def hashes_of(members):
    """The SHA-256 of each member's model file."""
    return [hash_file(member.run.path(MODEL)) for member in members]


def check_same_files(members, split):
    """UserError when the runs had different files under the same ids, such as smaller ones: each
    run is to be judged on the files it knows."""
    for member in members[1:]:
        one, other = (m.config["data"][split] for m in (members[0], member))
        if changed_facts(other, one).keys() & FILE_FACTS:
            raise UserError(
                f"the {split} films of {members[0].run.folder} and {member.run.folder} have the same "
                "ids and labels, but are different files. Choose them by --data_dir."
            )


def average(members, months):
    """Return the mean `(n,)` of the members' months `(members, n)`, by their weights."""
    return np.average(months, axis=0, weights=[member.weight for member in members])


def median_label(members):
    """Return the median of the members' median training labels, in months, for the median baseline:
    members such as folds have different training films."""
    return float(np.median([m.config["data"]["train"]["median"] for m in members]))


def stored_predictions(member, split, views):
    """Read what a run predicted for its "val" or "test" films when its training ended; UserError
    when it has no such predictions."""
    path = member.run.folder / predictions_name(split + views_suffix(views))
    if views not in (1, chosen_views(member.options)):
        raise UserError(
            f"the run has no predictions of its {split} films over {describe_views(views)} "
            f"({member.run.folder}). Leave out --use_tta and --tta_steps, or name runs that were trained "
            "with them."
        )
    if not path.exists():
        raise UserError(
            f"{path.name} is missing, as in a shipped run ({member.run.folder}). Name the run "
            "that it was copied from."
        )
    return read_predictions(path, [*LABELS, "predicted", "error"])


def average_predictions(members, tables):
    """The mean of the members' predictions of the same films."""
    return label_predictions(tables[0], average(members, [t["predicted"] for t in tables]))


def same_films(tables):
    return all(table[LABELS].equals(tables[0][LABELS]) for table in tables)


def compare_members(members, months, predictions):
    """Compare the mean with each member: a list of dicts, ready for JSON.

    Each has the run, its weight, its MAE, and the paired difference (MAE of the mean minus that of
    the member) with its interval. `months` `(members, n)` are for the rows of `predictions`, which
    are those of the mean.
    """
    rows = []
    for member, alone in zip(members, months, strict=True):
        result = compare_predictions(predictions, label_predictions(predictions, alone))
        rows.append(
            {
                "run": str(member.run.folder),
                "weight": member.weight,
                "mae": result["mae_b"],
                "difference": result["difference"],
                "difference_ci95": result["difference_ci95"],
            }
        )
    return rows


def format_members(rows):
    """The members of an ensemble as a table for the terminal."""
    lines = ["  each run alone: times counted, MAE, how the mean differs [95 % interval]"]
    for row in rows:
        lines.append(
            f"  {row['weight']:3d} x {row['mae']:8.2f} {row['difference']:+8.2f} "
            f"{format_interval(row['difference_ci95'], sign='+')}   {row['run']}"
        )
    return "\n".join(lines)
