"""Several runs as one predictor: the mean of their months, each on the canvas it was trained on.

A run that is named twice counts twice, which is how weights are told. A folder of folds stands for
all its folds. One run is an ensemble of one.
"""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from hand_crop.localiser import localiser_version
from util.backbones import sees_sex
from util.calibration import correct_months
from util.canvases import Canvas, pixels_of
from util.errors import UserError
from util.hospital import calibrated_views, keeps_readings, read_calibration
from util.identity import LABELS
from util.intervals import FEWEST, fit_half_widths, interval_bounds
from util.metrics import (
    compare_predictions,
    format_interval,
    label_predictions,
    read_predictions,
)
from util.prediction import load_predictor, predict_months
from util.readings import add_counts, read_as, with_readings
from util.runs import CALIBRATION, READINGS, Run, find_folds, predictions_name, read_run
from util.tta import (
    TTA_STEPS,
    count_views,
    describe_views,
    test_time_augmentation,
    views_ending,
    views_key,
)


@dataclass
class Member:
    """A run of an ensemble, its options, and how often it counts."""

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
        """Its linear correction, fitted on validation: for this number of views, else for one."""
        stored = self.run.read_json(CALIBRATION) or {}
        calibration = stored.get(views_key(views)) or stored.get(views_key(1)) or {}
        return calibration.get("lines")

    @property
    def label_counts(self):
        """The labels of its training films, counted, where they tell what a reader would say."""
        return (self.run.read_json(READINGS) or {}).get("labels")


def read_members(folders):
    """Read the runs of an ensemble; UserError when one of them is no finished run."""
    counts = Counter(run for folder in folders for run in find_folds(folder) or [Path(folder)])
    return [Member(*read_run(folder), weight) for folder, weight in counts.items()]


# ------------------------------------------------------------------------------------- prediction


class Ensemble:
    """The members that predict together, and the calibration of what they say. `notes` are what a
    user should know, such as why there are no intervals."""

    def __init__(self, members, folders, views, calibration=None):
        """`folders` are those that were named; the mean is over so many views of each film.
        `calibration` is the name of one, else the intervals are those of validation films."""
        self.members, self.folders, self.views = members, folders, views
        self.sees_sex = any(member.sees_sex for member in members)
        self.canvases = list(dict.fromkeys(member.canvas for member in members))
        self.calibration, notes = choose_calibration(members, folders, calibration, views)
        self.notes = notes + localiser_notes(members)
        self.label_counts = add_counts([member.label_counts for member in members])
        if calibration and not keeps_readings(self.calibration):
            self.label_counts = None
        self.predictors = []

    def load(self, runtime="keras", precision="f32"):
        """Load the models, which predicting needs and nothing before; `runtime` and `precision` as
        in `load_predictor`."""
        self.predictors = [
            test_time_augmentation(load_predictor(member.run, runtime, precision), self.views)
            for member in self.members
        ]

    def predict_members(self, pixels, sex, batch_size, progress=False):
        """Months of each member `(members, n)`, after its own linear correction; `pixels`
        {canvas: films}, sex `(n,)`, 1 = male."""
        rows = []
        for member, predict in zip(self.members, self.predictors, strict=True):
            months = predict_months(predict, pixels[member.canvas], sex, batch_size, progress)
            rows.append(correct_months(months, sex, member.lines(self.views)))
        return np.stack(rows)

    def predict(self, pixels, sex, batch_size):
        """Frame of months, low and high of films, NaN where there are no intervals, and reading,
        what a single reader would say, NaN where that is not known."""
        months = average(self.members, self.predict_members(pixels, sex, batch_size))
        months, half_width = self.correct(months, sex), self.calibration["half_width"]
        low, high = interval_bounds(months, half_width) if half_width else (np.nan, np.nan)
        reading = read_as(months, sex, self.label_counts) if self.label_counts else np.nan
        return pd.DataFrame({"months": months, "low": low, "high": high, "reading": reading})

    def predict_labelled(self, films, batch_size):
        """Predict labelled films ({canvas: films}): (predictions, comparison of their mean with
        each member as of `compare_members`; None for a member alone)."""
        table = films[self.canvases[0]].table
        months = self.predict_members(pixels_of(films), table["sex"], batch_size, progress=True)
        mean = average(self.members, months)
        comparison = None
        if len(self.members) > 1:
            comparison = compare_members(self.members, months, label_predictions(table, mean))
        predictions = label_predictions(table, self.correct(mean, table["sex"]))
        return with_readings(predictions, self.label_counts), comparison

    def correct(self, months, sex):
        """The mean of the members after the lines of the calibration."""
        return correct_months(months, sex, self.calibration["lines"])


def choose_views(members, folders, use_tta=False, tta_steps=None, calibration=None):
    """Over how many views of a film the options average: --tta_steps, else as many as --calibration
    was made with, else as many as the runs were trained with. Where these differ it is the film
    alone, and under --use_tta 5. UserError for a calibration of several runs."""
    if calibration and len(folders) > 1:
        raise UserError(
            f"a calibration belongs to one run (--calibration {calibration}). Name one run."
        )
    if tta_steps:
        return tta_steps
    if calibration:
        return calibrated_views(folders[0], calibration)
    trained = {count_views(member.options) for member in members}
    views = trained.pop() if len(trained) == 1 else 1
    return TTA_STEPS if use_tta and views == 1 else views


def localiser_notes(members):
    """A warning for each member whose films were cut by another localiser than ours."""
    trained = {m.run.folder: m.config.get("hand_crop", {}).get("localiser") for m in members}
    return [
        "what finds the hand (hand_crop/) changed since the run was trained: its months may be off "
        f"({folder})"
        for folder, localiser in trained.items()
        if localiser not in (None, localiser_version())
    ]


def average(members, months):
    """The mean of the members' months `(members, n)`, by their weights: `(n,)`."""
    return np.average(months, axis=0, weights=[member.weight for member in members])


def compare_members(members, months, predictions):
    """What the mean is worth against each member: a list of its run, weight, MAE and the paired
    difference (MAE of the mean minus that of the member) with its interval, ready for JSON.
    `months` `(members, n)` belong to the rows of `predictions`, those of the mean."""
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
    lines = ["  each run alone: times counted, MAE, what the mean changes [95 % interval]"]
    for row in rows:
        lines.append(
            f"  {row['weight']:3d} x {row['mae']:8.2f} {row['difference']:+8.2f} "
            f"{format_interval(row['difference_ci95'], sign='+')}   {row['run']}"
        )
    return "\n".join(lines)


def check_same_split(members, split):
    """UserError when the runs were trained on different splits: what is tested for one may have
    been training for another."""
    for member in members[1:]:
        one, other = (m.config["data"][split] for m in (members[0], member))
        if one["fingerprint"] != other["fingerprint"]:
            raise UserError(
                f"the {split} films of {members[0].run.folder} and {member.run.folder} are not the "
                "same, so that one may have been trained on those of the other. Choose runs of one "
                "split, or name other films by --csv and --images."
            )


def check_same_files(members, split):
    """UserError when the runs had other files under the same ids, such as smaller ones: each
    belongs to films as it knows them."""
    for member in members[1:]:
        one, other = (m.config["data"][split].get("bytes") for m in (members[0], member))
        if None not in (one, other) and one != other:
            raise UserError(
                f"the {split} films of {members[0].run.folder} and {member.run.folder} have the same "
                "ids and labels, but are other files. Say which to evaluate on: --data_dir."
            )


# --------------------------------------------------------------------------- what validation says


def choose_calibration(members, folders, name, views):
    """The calibration of what an ensemble says: the one of that name, stored beside the run,
    else no lines beyond those of the members, and the intervals of their validation films.

    Returns (calibration, notes): {"lines", "half_width", "films"}, the last being those of
    --calibrate or None, and a list that says why there are no intervals, if there are none.
    """
    if name:
        return read_calibration(folders[0], name, views), []
    half_width, notes = None, []
    try:
        half_width = ensemble_half_width(members, views)
    except UserError as reason:
        notes = [f"no intervals: {reason}"]
    return {"lines": None, "half_width": half_width, "films": None}, notes


def ensemble_half_width(members, views):
    """The half widths of the intervals around the members' mean, see `fit_half_widths`.

    Of one run they are stored. Of runs with the same validation films they are fitted to the mean
    of the members there. Folds have no validation film in common: theirs come from the errors of
    single folds out of fold (cross-conformal, Vovk 2015), as a rule a little wider than those of
    the mean. Raises UserError, saying why, when there are none.
    """
    if len(members) == 1:
        return stored_half_width(members[0], views)
    tables = [stored_predictions(member, "val", views) for member in members]
    if same_films(tables):
        judged = average_predictions(members, tables)
    else:
        judged = pd.concat(tables)
        if judged["id"].duplicated().any():
            raise UserError(
                "the validation films of the runs are neither the same nor all different"
            )
    half_width = fit_half_widths(judged)
    if half_width is None:
        raise UserError(f"validation films of {FEWEST} children are needed")
    return half_width


def stored_half_width(member, views):
    calibrations = member.run.read_json(CALIBRATION) or {}
    calibration = calibrations.get(views_key(views))
    if calibration is None:
        raise UserError(
            f"the run was not validated on {describe_views(views)} ({member.run.folder})"
        )
    if calibration["half_width"] is None:
        raise UserError(f"validation films of {FEWEST} children are needed ({member.run.folder})")
    return calibration["half_width"]


def stored_predictions(member, split, views=1):
    """What a run predicted of its "val" or "test" films when its training ended; UserError when
    it has no such file."""
    path = member.run.folder / predictions_name(split + views_ending(views))
    if views not in (1, count_views(member.options)):
        raise UserError(
            f"the run has no predictions of its {split} films over {describe_views(views)} "
            f"({member.run.folder}). Leave out --use_tta and --tta_steps, or name runs that were trained "
            "with them."
        )
    if not path.exists():
        raise UserError(
            f"{path.name} is missing, as of a run that was shipped ({member.run.folder}). Name the run "
            "that it is a copy of."
        )
    return read_predictions(path)


def average_predictions(members, tables):
    """The mean of the members' predictions of the same films."""
    return label_predictions(tables[0], average(members, [t["predicted"] for t in tables]))


def same_films(tables):
    return all(table[LABELS].equals(tables[0][LABELS]) for table in tables)
