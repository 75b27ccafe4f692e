"""Several runs as one predictor: the mean of their months, each on the canvas it was trained on.

A run that is named twice counts twice; this is how runs are weighted. A folder of folds stands for
all its folds. A single run is an ensemble of one.
"""

import math
from pathlib import Path

import numpy as np
import pandas as pd

from util.environment import PACKAGES, environment
from util.errors import UserError
from util.metrics import label_predictions
from util.predicting.calibration import correct_months
from util.predicting.canvases import on_first_canvas, pixels_of
from util.predicting.hospital import (
    NO_GAIN,
    calibrated_views,
    helps,
    read_calibration,
    readings_help,
)
from util.predicting.intervals import FEWEST_FOR_INTERVALS, fit_half_widths, interval_bounds
from util.predicting.members import (
    average,
    average_predictions,
    compare_members,
    hashes_of,
    read_members,
    same_films,
    stored_predictions,
)
from util.predicting.prediction import check_finite, load_predictor, predict_months
from util.predicting.readings import add_counts, read_as
from util.predicting.runtimes import RUNTIMES
from util.split_records import hand_crop_changed, hand_crop_versions, one_sex_note
from util.tta import TTA_STEPS, chosen_views, describe_views, test_time_augmentation, views_key


class Ensemble:
    """The members that predict together, and the calibration of their mean. `notes` are what a user
    should know, such as why there are no intervals."""

    def __init__(self, members, folders, views, calibration=None, readings=True):
        """`folders` are as the user named them, and `views` is the number of views of each film to
        average. `calibration` is the name of one; without a name, intervals come from validation
        films. Without `readings`, months alone are predicted: what a single reader would say is no
        mean of several."""
        self.members, self.folders, self.views = members, folders, views
        self.sees_sex = any(member.sees_sex for member in members)
        self.canvases = list(dict.fromkeys(member.canvas for member in members))
        self.calibration, notes = choose_calibration(members, folders, calibration, views)
        self.notes = notes + hand_crop_notes(members) + one_sex_notes(members)
        self.label_counts = add_counts([member.label_counts for member in members])
        if not readings or (calibration and not readings_help(self.calibration)):
            self.label_counts = None
        self.predictors, self.runtimes = [], []  # one for each member, once loaded

    def load(self, runtime="keras", precision="f32", n_films=math.inf):
        """Load the models, which only predicting needs; `runtime`, `precision` and `n_films` are as
        in `load_predictor`."""
        n_shown = n_films * self.views
        loaded = [load_predictor(m.run, runtime, precision, n_shown) for m in self.members]
        self.predictors = [test_time_augmentation(predict, self.views) for predict, _ in loaded]
        self.runtimes = [name for _, name in loaded]

    def predict_members(self, pixels, sex, batch_size, progress):
        """Return the months of each member `(members, n)`, after its own linear correction.
        `pixels` is {canvas: films}, `sex` `(n,)`, 1 = male."""
        rows = []
        for member, predict in zip(self.members, self.predictors, strict=True):
            months = predict_months(predict, pixels[member.canvas], sex, batch_size, progress)
            check_finite(months)
            rows.append(correct_months(months, sex, member.lines(self.views)))
        return np.stack(rows)

    def predict(self, pixels, sex, batch_size, progress=False):
        """Return what is told of each film, see `combine`."""
        return self.combine(self.predict_members(pixels, sex, batch_size, progress), sex)

    def predict_labelled(self, by_canvas, batch_size):
        """Predict labelled films, {canvas: Films}. Returns (predictions, comparison of their mean
        with each member, see `compare_members`); the comparison is None for a single member, and
        under a calibration all of them are corrected by it. Predictions have the columns low, high
        and reading of `combine` where these are known."""
        table = on_first_canvas(by_canvas).table
        rows = self.predict_members(pixels_of(by_canvas), table["sex"], batch_size, progress=True)
        told = self.combine(rows, table["sex"]).set_axis(table.index)
        predictions = label_predictions(table, told.pop("months"))
        comparison = None
        if len(self.members) > 1:
            alone = [correct_months(row, table["sex"], self.calibration["lines"]) for row in rows]
            comparison = compare_members(self.members, alone, predictions)
        return predictions.join(told.dropna(axis="columns", how="all")), comparison

    def combine(self, rows, sex):
        """Return a frame of months, low, high and reading of each film, from the months of each
        member `(members, n)`. low and high are NaN if there are no intervals; reading, what a
        single reader would say, is NaN if it is unknown."""
        months = correct_months(average(self.members, rows), sex, self.calibration["lines"])
        months = months.round(2)  # first, so that the others are those of the months that are told
        half_width = self.calibration["half_width"]
        low, high = interval_bounds(months, half_width) if half_width else (np.nan, np.nan)
        reading = read_as(months, sex, self.label_counts) if self.label_counts else np.nan
        told = pd.DataFrame({"months": months, "low": low, "high": high, "reading": reading})
        return told.round(2)


def open_ensemble(folders, use_tta=False, tta_steps=None, calibration=None):
    """Return the Ensemble of some run folders; for the options see `choose_views`."""
    members = read_members(folders)
    views = choose_views(members, folders, use_tta, tta_steps, calibration)
    return Ensemble(members, folders, views, calibration)


def how_predicted(ensemble, args):
    """Return how predictions were made, and with what, ready for JSON."""
    return {
        "runs": [str(member.run.folder.resolve()) for member in ensemble.members],
        "models": hashes_of(ensemble.members),
        "views": ensemble.views,
        "calibration": args.calibration,
        "runtimes": ensemble.runtimes,
        "precision": args.precision,
        "hand_crop": hand_crop_versions(),
        "command": args.command,
        "folder": str(Path.cwd()),
        "environment": environment((*PACKAGES, *(kind.package for kind in RUNTIMES.values()))),
    }


def choose_views(members, folders, use_tta=False, tta_steps=None, calibration=None):
    """Return how many views of a film to average.

    This is --tta_steps; else the number that --calibration was made with; else the number that all
    runs were trained with, or 1 (the film alone) if they differ. --use_tta makes this last number 5
    if it is 1. Raises UserError for a calibration of several runs.
    """
    if calibration and len(folders) > 1:
        raise UserError(
            f"a calibration belongs to one run (--calibration {calibration}). Name one run."
        )
    if tta_steps:
        return tta_steps
    if calibration:
        return calibrated_views(folders[0], calibration)
    trained = {chosen_views(member.options) for member in members}
    views = trained.pop() if len(trained) == 1 else 1
    return TTA_STEPS if use_tta and views == 1 else views


def hand_crop_notes(members):
    """Return a warning for each member whose films were set right or cut by networks that have
    changed since its training."""
    return [
        f"hand_crop/ changed since the run was trained: its predictions may be off ({m.run.folder})"
        for m in members
        if hand_crop_changed(m.config)
    ]


def one_sex_notes(members):
    """Return a warning for each member whose training films were all of one sex."""
    notes = [(one_sex_note(m.config["data"]["train"]), m.run.folder) for m in members]
    return [f"{note} ({folder})" for note, folder in notes if note]


# ---------------------------------------------------------------------- calibration and intervals


def choose_calibration(members, folders, name, views):
    """Return (calibration, notes) of an ensemble.

    With a `name` it is the calibration of that name, stored beside the run; a note says if it did
    not clearly help. Without one, there are no lines beyond those of the members, and the intervals
    come from their validation films; a note says why there are none. The calibration has {"lines",
    "half_width", "films"}; films are those of --calibrate, or None.
    """
    if name:
        calibration = read_calibration(folders[0], name, views, hashes_of(members))
        if helps(calibration["gain"]):
            return calibration, []
        return calibration, [f"calibration {name}, of {calibration['n']} films: {NO_GAIN}"]
    half_width, notes = None, []
    try:
        half_width = ensemble_half_width(members, views)
    except UserError as reason:
        notes = [f"no intervals: {reason}"]
    return {"lines": None, "half_width": half_width, "films": None}, notes


def ensemble_half_width(members, views):
    """Return the half widths of the intervals around the members' mean, see `fit_half_widths`.

    For one run they are stored. For runs with the same validation films they are fitted to the mean
    of the members on these films. Folds have no validation film in common: their half widths come
    from the out-of-fold errors of single folds (cross-conformal, Vovk 2015), and are as a rule a
    little wider than those of the mean. Raises UserError with the reason if there are none.
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
        raise UserError(f"validation films of {FEWEST_FOR_INTERVALS} children are needed")
    return half_width


def stored_half_width(member, views):
    calibration = member.run.calibrations.get(views_key(views))
    if calibration is None:
        raise UserError(
            f"the run was not validated on {describe_views(views)} ({member.run.folder})"
        )
    if calibration["half_width"] is None:
        raise UserError(
            f"validation films of {FEWEST_FOR_INTERVALS} children are needed ({member.run.folder})"
        )
    return calibration["half_width"]
