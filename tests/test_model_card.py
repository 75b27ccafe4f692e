"""The model card: figures of the run's files, and commands that train such a model again."""

import json
import shlex

import pytest

import train_advanced_streamlined
from util.finished_runs import read_run
from util.model_card import command_of, describe_films, describe_training, model_card
from util.run_options import lasting_options
from util.runs import Run


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
    config = read_run(trained[0]).config
    (line,) = [line for line in card.splitlines() if line.startswith("python train")]
    anywhere = {"data_dir": "Data"}
    assert options_of(line) | anywhere == config["options"] | anywhere


def step(fingerprint="same", **options):
    """What a card needs of the config of a run."""
    facts = {"n": 3, "mean": 1.0, "sd": 1.0, "median": 1.0, "fingerprint": fingerprint}
    return {"options": options, "data": dict.fromkeys(("train", "val", "test"), facts)}


@pytest.mark.parametrize(
    ("words", "missing"),
    [
        ("--preset quick --no_fine_tune", "--epochs_finetune"),
        ("--preset cpu --tta_steps 1", "--tta_steps"),
        ("--preset cpu --folds 3 --fold 2 --run_name folds", "--nothing"),
    ],
)
def test_its_command_has_no_options_that_act_no_more(words, missing):
    """A preset sets options of fine-tuning and views, which may be turned off."""
    args = train_advanced_streamlined.parse_args(words.split())
    line = command_of([step(**lasting_options(args))], 0)
    assert missing not in line.split()
    options = options_of(line)
    assert (options["fine_tune"], options["fold"]) == (args.fine_tune, args.fold)


def test_the_runs_that_it_goes_on_from_come_first():
    first = step(weights="none", fine_tune=True, grain=3.0)
    second = step(weights="/films/run", epochs_frozen=0) | {"start": first}
    lines = describe_training([first, second]).splitlines()[3:5]
    assert [options_of(line)["grain"] for line in lines] == [3.0, 0]
    assert "--run_name step_1" in lines[0]
    assert "--weights results/step_1" in lines[1]
    first["options"] |= {"folds": 3, "fold": 2}
    assert "--weights results/step_1/fold_2" in describe_training([first, second])


def test_other_films_of_an_earlier_step_are_told():
    first = step("other", data_dir="/films/Data")
    second = step(data_dir="/films/clinic", weights="/films/run") | {"start": first}
    rows = rows_of(describe_films([first, second]))
    assert rows["train"][-1] == "same"
    assert rows["train of step 1"][-1] == "other"
    commands = describe_training([first, second]).splitlines()[3:5]
    assert ["--data_dir clinic" in command for command in commands] == [False, True]
    first["data"] = second["data"]
    assert "step 1" not in describe_films([first, second])


def test_a_step_that_was_evaluated_on_clahe_copies_has_no_rows_for_them():
    first, second = step("other"), step()
    first["data"] |= {"test_clahe": first["data"]["test"]}
    rows = rows_of(describe_films([first, second]))
    assert "test of step 1" in rows
    assert "test_clahe" not in rows_of(describe_films([second, first]))


def test_training_films_of_one_sex_are_told():
    config = step()
    config["data"]["train"] = config["data"]["train"] | {"male": 3}
    assert "all training films are of boys" in describe_films([config])


def test_a_model_that_is_not_told_the_sex():
    line = command_of([step(model_type="baseline", gender_units=None)], 0)
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


def test_options_of_earlier_versions_are_named_with_their_commit():
    text = describe_training([step(hold_layers=0.27) | {"git_commit": "abc"}])
    assert "--hold_layers" not in text
    assert "Commits, step by step: `abc`." in text
    assert "Options that are gone since and not in the commands: hold_layers." in text
