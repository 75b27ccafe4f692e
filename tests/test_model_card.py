"""The model card: figures of the run's files, and commands that train such a model again."""

import json
import shlex

import pytest

import train_advanced_streamlined
from util.model_card import command_of, describe_training, model_card
from util.run_options import lasting_options
from util.runs import Run, read_run


@pytest.fixture(scope="module")
def card(trained):
    return model_card(Run(trained[0]), "my model")


def options_of(line):
    """The options that a command on a card trains with."""
    _, script, *words = shlex.split(line)
    assert script == "train_advanced_streamlined.py"
    return lasting_options(train_advanced_streamlined.parse_args(words))


def rows_of(card):
    """{first cell: the other cells} of all tables."""
    lines = [line[2:-2].split(" | ") for line in card.splitlines() if line.startswith("| ")]
    return {first: rest for first, *rest in lines}


def test_errors_and_intervals_are_those_of_the_run(card, trained):
    metrics = json.loads((trained[0] / "metrics.json").read_text())
    rows, test = rows_of(card), metrics["test_tta"]
    n, mae, _, bias, _ = rows["**all**, means of 4 views"]
    assert (n, mae, bias) == ("90", f"{test['mae']:.2f}", f"{test['bias']:+.2f}")
    assert rows["all, the film alone"][1] == f"{metrics['test']['mae']:.2f}"
    boys = test["by_sex_and_age"]["male"]["5-9 years"]
    assert rows["boys, 5-9 years"][:2] == [str(boys["n"]), f"{boys['mae']:.2f}"]
    baseline = test["baseline"]
    assert rows[f"median baseline (always {baseline['months']:.0f})"][1] == f"{baseline['mae']:.2f}"
    inside = test["intervals"]["all"]
    assert rows["all"][:3] == [f"{inside['half_width']:.1f}", "90", f"{inside['covered']:.0%}"]


def test_the_lines_are_told_where_they_are_applied(card, trained):
    lines = json.loads((trained[0] / "calibration.json").read_text())["views_4"]["lines"]
    assert ("A line for each sex is applied" in card) == bool(lines)
    assert ("- boys: " in card) == bool(lines)


def test_its_command_trains_with_the_same_options(card, trained):
    _, config = read_run(trained[0])
    (line,) = [line for line in card.splitlines() if line.startswith("python train")]
    anywhere = {"data_dir": "Data"}
    assert options_of(line) | anywhere == config["options"] | anywhere


def test_the_runs_that_it_goes_on_from_come_first():
    first = {"options": {"weights": "none", "fine_tune": True, "grain": 3.0}}
    second = {"options": {"weights": "/films/run", "epochs_frozen": 0}, "start": first}
    lines = describe_training(second).splitlines()[3:5]
    assert [options_of(line)["grain"] for line in lines] == [3.0, 0]
    assert "--run_name step_1" in lines[0]
    assert "--weights results/step_1" in lines[1]


def test_a_model_that_is_not_told_the_sex():
    line = command_of({"model_type": "baseline", "gender_units": None}, 1)
    assert options_of(line)["model_type"] == "baseline"


def test_a_run_of_few_films_has_neither_lines_nor_intervals(small_run, tmp_path):
    for name in ("config.json", "model.keras"):
        (tmp_path / name).write_bytes((small_run / name).read_bytes())
    metrics = json.loads((small_run / "metrics.json").read_text())
    metrics["test"]["intervals"] = None
    (tmp_path / "metrics.json").write_text(json.dumps(metrics))
    card = model_card(Run(tmp_path), "few")
    assert "No linear correction" in card
    assert "No intervals" in card
