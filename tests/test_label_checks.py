"""Labels that look wrong beside the predicted months (util/evaluating/label_checks.py)."""

import numpy as np
import pandas as pd
import pytest

from util.errors import UserError
from util.evaluating.label_checks import (
    check_labels,
    check_lines,
    label_notes,
    labels_in_years,
    note_no_better,
)
from util.predicting.calibration import fit_calibration


@pytest.fixture
def predictions():
    """Twenty films of each sex with errors of some months."""
    rng = np.random.default_rng(0)
    sex, boneage = np.repeat([0, 1], 20), rng.uniform(60, 180, 40).round()
    films = pd.DataFrame({"id": np.arange(40).astype(str), "sex": sex, "boneage": boneage})
    return with_errors(films, rng.normal(0, 6, 40))


def with_errors(films, errors):
    return films.assign(predicted=films["boneage"] + errors, error=errors)


@pytest.mark.parametrize(
    ("labels", "predicted", "seem"),
    [
        ([9, 11.5, 10], [110, 130, 115], True),
        ([9, 11, 120], [110, 130, 115], True),  # one in months
        ([3, 9, 14], [25, 30, 34], False),  # infants
        ([100, 120, 90], [110, 130, 115], False),
        ([24, 30, 28], [180, 190, 200], False),  # no child is so old: a poor model
    ],
)
def test_years_are_seen_beside_months(labels, predicted, seem):
    assert labels_in_years(pd.DataFrame({"boneage": labels, "predicted": predicted})) == seem


def test_swapped_sexes_are_noted_and_no_calibration_is_fitted_to_them(predictions):
    """A girl's bones look older than a boy's of her age."""
    assert label_notes(predictions) == []
    check_labels(predictions, "clinic.csv")
    shift = np.where(predictions["sex"] == 1, 20, -20)
    swapped = with_errors(predictions, predictions["error"] + shift)
    [note] = label_notes(swapped)
    assert "sexes look swapped" in note
    with pytest.raises(UserError, match=r"swapped.*clinic\.csv.*--male_value"):
        check_labels(swapped, "clinic.csv")
    assert label_notes(with_errors(predictions, predictions["error"] - shift)) == []
    unsure = np.where(predictions["sex"] == 1, 14, -14) + np.resize([-60, 60], 40)
    assert label_notes(with_errors(predictions, unsure)) == []  # by chance, maybe
    few = swapped[16:40]  # four girls
    assert label_notes(few) == []


def test_a_mistyped_label_is_named(predictions):
    predictions.loc[7, "boneage"] = 10
    wrong = with_errors(predictions, predictions["predicted"] - predictions["boneage"])
    [note] = label_notes(wrong)
    assert note.startswith("films whose label is far from the prediction: 1, such as 7 (label 10,")
    predictions.loc[11, "boneage"] = 290.04  # further off than film 7
    wrong = with_errors(predictions, predictions["predicted"] - predictions["boneage"])
    [note] = label_notes(wrong)
    assert note.startswith(
        "films whose label is far from the prediction: 2, such as 11 (label 290,"
    )
    usual = np.random.default_rng(1).normal(0, 40, 40)
    poor = with_errors(predictions, usual)
    assert label_notes(poor) == []


def test_labels_of_other_films_give_no_calibration(predictions, capsys):
    """A line that falls would make the months of older films younger."""

    def calibrate(films):
        calibration, judged = fit_calibration(films, always=True)
        check_lines(calibration["lines"], "clinic.csv")
        note_no_better(judged, "clinic.csv")
        return capsys.readouterr().out

    assert calibrate(predictions) == ""
    assert calibrate(with_errors(predictions, predictions["error"] + 60)) == ""  # a bias
    seed = np.random.default_rng(1)
    other = predictions.assign(boneage=seed.permutation(predictions["boneage"]))
    other["error"] = other["predicted"] - other["boneage"]
    with pytest.raises(UserError, match=r"labels do not go with the films.*clinic\.csv"):
        calibrate(other)


def test_a_calibration_that_tells_hardly_more_than_the_median_is_noted(predictions, capsys):
    predictions["boneage"] = 100 + predictions["boneage"] / 30  # all of nearly one age
    rng = np.random.default_rng(0)
    calibration, judged = fit_calibration(
        with_errors(predictions, rng.normal(0, 9, 40)), always=True
    )
    check_lines(calibration["lines"], "clinic.csv")
    note_no_better(judged, "clinic.csv")
    assert "hardly better than that of the labels' own median" in capsys.readouterr().out
