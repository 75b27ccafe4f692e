"""The model that ships: it predicts without being named, always the same, and its card is of it."""

import hashlib
import json

import pandas as pd
import pytest
from conftest import ROOT

from predict import SHIPPED
from util.metrics import format_interval

FILM = ROOT / "tests" / "phantom.png"  # a drawn girl's hand of 137 months, no real film
MONTHS = 144.3  # what the model says of it; it can't show that the model is good


@pytest.fixture(scope="module")
def predicted(command):
    return command("predict.py", FILM, "--sex", "F")


def test_a_film_is_predicted_without_naming_a_model(predicted):
    assert predicted.returncode == 0, predicted.stderr
    name, sex, months, *rest = predicted.stdout.split()
    assert (name, sex) == (FILM.name, "F")
    assert float(months) == pytest.approx(MONTHS, abs=0.1)
    interval, reading = predicted.stdout.strip().split("mo (")[1].split("), ")
    assert interval == "90 %: 11 y 0 mo - 13 y 1 mo"  # by its calibration.json
    assert reading == "a reader would say 12 y 0 mo"  # by its readings.json


def test_the_terminal_says_which_model_it_was_and_that_it_is_no_medical_device(predicted):
    assert predicted.stderr.count("\n") == 1
    assert SHIPPED.name in predicted.stderr
    assert "not a medical device" in predicted.stderr


def test_it_is_no_more_than_8_mb():
    assert (SHIPPED / "model.keras").stat().st_size <= 8e6


def test_the_card_is_of_this_model():
    digest = hashlib.sha256((SHIPPED / "model.keras").read_bytes()).hexdigest()
    assert digest in (SHIPPED.parent / "README.md").read_text()


def test_the_errors_on_the_card_are_those_of_the_run():
    metrics = json.loads((SHIPPED / "metrics.json").read_text())
    found = metrics["test_tta"]
    rows = {"all": found, "all, the film alone": metrics["test"]}
    rows |= {"boys": found["by_sex"]["male"], "girls": found["by_sex"]["female"]}
    for sex, name in (("male", "boys"), ("female", "girls")):
        for band, row in found["by_sex_and_age"][sex].items():
            rows |= {band: found["by_age"][band], f"{name}, {band}": row}
    card = (SHIPPED.parent / "README.md").read_text().replace("**", "")
    row = found["readings"]
    change = format_interval(row["difference_ci95"], sign="+")
    assert f"{row['mae']:.2f} {format_interval(row['mae_ci95'])} on the test films" in card
    assert f"{row['difference']:+.2f} {change} against months" in card
    for name, row in rows.items():
        interval, bias = format_interval(row["mae_ci95"]), f"{row['bias']:+.2f}"
        assert f"| {name} | {row['n']} | {row['mae']:.2f} | {interval} | {bias} |" in card


def test_it_knows_which_films_it_was_trained_on():
    hashes = pd.read_csv(SHIPPED / "film_hashes.csv", dtype=str)
    films = hashes["split"].value_counts().to_dict()
    data = json.loads((SHIPPED / "config.json").read_text())["data"]
    assert films == {split: facts["n"] for split, facts in data.items()}


def test_nothing_of_the_training_machine_ships():
    config = (SHIPPED / "config.json").read_text()
    assert "/" not in config.replace('"weights": "', "")
