"""The model that ships: it predicts without being named, always the same, and its card is of it."""

import json

import pandas as pd
import pytest
from commands import ROOT

from predict import SHIPPED
from util.metrics_text import format_interval
from util.model_card import model_card
from util.runs import Run

FILM = ROOT / "tests" / "phantom.png"  # a drawn girl's hand of 137 months, no real film
MONTHS = 143.5  # what the model says of it; it can't show that the model is good


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return tmp_path_factory.mktemp("shipped") / "ages.csv"


@pytest.fixture(scope="module")
def predicted(command, table):
    return command("predict.py", FILM, "--sex", "F", "--out", table)


def test_a_film_is_predicted_without_naming_a_model(predicted, table):
    assert predicted.returncode == 0, predicted.stderr
    name, sex, months, *rest = predicted.stdout.split()
    assert (name, sex) == (FILM.name, "F")
    assert float(months) == pytest.approx(MONTHS, abs=0.1)
    assert predicted.stdout.endswith(" (90 %: 10 y 11 mo - 13 y 0 mo)\n")  # by its calibration.json
    assert pd.read_csv(table)["reading"].tolist() == [144]  # by its readings.json


def test_the_terminal_says_which_model_it_was_and_that_it_is_no_medical_device(predicted):
    assert predicted.stderr.count("\n") == 1
    assert SHIPPED.name in predicted.stderr
    assert "not a medical device" in predicted.stderr


def test_it_is_no_more_than_8_mb():
    assert (SHIPPED / "model.keras").stat().st_size <= 8e6


def test_its_card_is_what_its_files_say():
    assert (SHIPPED / "README.md").read_text() == model_card(Run(SHIPPED), SHIPPED.name)


def test_the_story_of_the_model_tells_its_errors():
    found = json.loads((SHIPPED / "metrics.json").read_text())["test_tta"]
    story = (SHIPPED.parent / "README.md").read_text()
    hardest = found["by_sex_and_age"]["male"]["5-9 years"]
    for row in (found, found["readings"], hardest):
        assert f"{row['mae']:.2f} {format_interval(row['mae_ci95'])}" in story


def test_it_knows_which_films_it_was_trained_on():
    hashes = pd.read_csv(SHIPPED / "film_hashes.csv", dtype=str)
    films = hashes["split"].value_counts().to_dict()
    data = json.loads((SHIPPED / "config.json").read_text())["data"]
    assert films == {split: facts["n"] for split, facts in data.items()}


def test_nothing_of_the_training_machine_ships():
    config = (SHIPPED / "config.json").read_text()
    assert "/" not in config.replace('"weights": "', "")
