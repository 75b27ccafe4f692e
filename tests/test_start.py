"""Training that goes on from a trained run, on other films and at another size."""

import json
import shutil
from argparse import Namespace

import keras
import numpy as np
import pandas as pd
import pytest
from commands import check_error_line
from files import copy_data, edit_json

import train_advanced
from inference_speed import ship_model
from inference_speed.ship_model import portable
from modeling import backbone_of
from preprocessing import load_films
from util.errors import UserError
from util.finished_runs import read_run
from util.held_out import learned_from, started_from_unknown_films
from util.metrics import read_predictions
from util.runs import FILM_LISTS, Run
from util.start import check_start_films, check_weights_run
from util.training_options import MODEL_OPTIONS

AS_IT_IS = ["--epochs_frozen", "0", "--fine_tune", "--epochs_finetune", "1", "--bn", "frozen"]


@pytest.fixture
def go_on(small_run, phantoms, tiny_mobilenet, inside, tmp_path):
    """Train from `small_run`; returns (process, run folder)."""
    model = json.loads((small_run / "config.json").read_text())["options"]

    def run(*words, data_dir=phantoms):
        where = ["--data_dir", data_dir, "--results_dir", tmp_path, "--run_name", "next"]
        same = [f"--{name}={model[name]}" for name in ("model_type", "backbone", "dense_units")]
        with tiny_mobilenet():
            process = inside(
                "train_advanced_streamlined.py",
                *(*where, *same, "--weights", small_run, f"--img_size={model['img_size']}"),
                *(*AS_IT_IS, "--batch_size", 8, *words),
            )
        return process, tmp_path / "next"

    return run


def swap(folder, *pairs):
    """Give the files of each pair the name of the other."""
    for one, other in pairs:
        (folder / one).rename(folder / "third")
        (folder / other).rename(folder / one)
        (folder / "third").rename(folder / other)


def months(run):
    return pd.read_csv(run / "predictions_test.csv")["predicted"]


def test_it_starts_where_the_run_ended(go_on, small_run, phantoms, tmp_path):
    """With no learning rate to speak of it says the same months, whatever its own labels are."""
    data = copy_data(phantoms, tmp_path / "Data")
    table = pd.read_csv(data / "df_train.csv")
    table.assign(boneage=table["boneage"] / 2 + 50).to_csv(data / "df_train.csv", index=False)
    process, run = go_on("--lr_finetune", "1e-12", data_dir=data)
    assert process.returncode == 0, process.stderr
    np.testing.assert_allclose(months(run), months(small_run), atol=1e-2)
    assert f"starts from {small_run}\n" in process.stdout
    error = read_predictions(small_run / "predictions_val.csv")["error"].abs().mean()
    assert f"the run it starts from: {error:.2f} months on validation films\n" in process.stdout
    assert "saw films of" not in process.stdout


def test_at_another_size_it_changes_kernels_and_no_frozen_statistics(go_on, small_run):
    """From one saved model to the next."""
    process, run = go_on("--lr_finetune", "1e-2", "--img_size", 96)
    assert process.returncode == 0, process.stderr
    assert "note: the run to start from saw films of " in process.stdout
    assert "; this one has 96 pixels, --fit " in process.stdout
    config, start = (json.loads((r / "config.json").read_text()) for r in (run, small_run))
    assert config["start"] == start
    assert str(small_run.parent) not in json.dumps(portable(config))
    before, after = (
        backbone_of(keras.models.load_model(folder / "model.keras")) for folder in (small_run, run)
    )
    for old, new in zip(before.weights, after.weights, strict=True):
        assert old.path == new.path
        assert np.array_equal(old.numpy(), new.numpy()) == ("/moving_" in old.path), old.path


def test_a_run_that_knows_the_validation_films_is_no_start(go_on, small_run, phantoms, tmp_path):
    """As with --folds: a fold would be validated on films that the start was trained on."""
    data = copy_data(phantoms, tmp_path / "Data")
    swap(data, ("df_val.csv", "df_train.csv"), ("validation", "train"))
    process, folder = go_on(data_dir=data)
    check_error_line(process, "was trained on 48 of 48 val films")
    assert not folder.exists()


def test_a_run_that_was_chosen_on_the_test_films_says_so(go_on, phantoms, tmp_path):
    data = copy_data(phantoms, tmp_path / "Data")
    swap(data, ("df_val.csv", "df_test.csv"), ("validation", "test"))
    process, _ = go_on(data_dir=data)
    assert process.returncode == 0, process.stderr
    assert "12 of 12 test films were validation films of the run to start from" in process.stdout
    assert "compare: python evaluate.py " in process.stdout.splitlines()[-2]


def test_a_run_before_the_start_that_was_chosen_on_the_test_films_says_so(
    small_run, phantoms, tmp_path, capsys
):
    """The start itself was chosen on others."""
    start = Run(tmp_path / "start")
    shutil.copytree(small_run, start.folder)
    before = Run(small_run).config
    start.write_json(
        "config.json",
        before | {"start": before, "options": before["options"] | {"weights": str(small_run)}},
    )
    others = pd.read_csv(start.path(FILM_LISTS["val"]), dtype={"id": str})
    others.assign(id="9" + others["id"]).to_csv(start.path(FILM_LISTS["val"]), index=False)
    films = {split: load_films(phantoms, split, 32, "pad") for split in ("val", "test")}
    swapped = {"val": films["test"], "test": films["val"]}
    check_start_films(swapped, Namespace(weights=str(start.folder)), start)
    n = len(films["val"])
    assert f"{n} of {n} test films were validation films" in capsys.readouterr().out


def test_a_film_in_common_with_the_start_may_be_chance(small_run, phantoms, tmp_path, capsys):
    start = Run(shutil.copytree(small_run, tmp_path / "start"))
    films = {split: load_films(phantoms, split, 32, "pad") for split in ("val", "test")}
    trained = pd.read_csv(start.path(FILM_LISTS["train"]), dtype={"id": str})
    same = films["test"].table[:1][["id", "sex", "boneage"]]
    pd.concat([trained, same]).to_csv(start.path(FILM_LISTS["train"]), index=False)
    check_start_films(films, Namespace(weights=str(start.folder)), start)
    n = len(films["test"])
    assert f"trained on 1 of {n} test films, by their ids, sexes" in capsys.readouterr().out


def test_what_is_not_known_of_the_start_is_noted(go_on, small_run, tmp_path):
    """Its films, and how it found the hands on them."""
    start = Run(shutil.copytree(small_run, tmp_path / "start"))
    start.path(FILM_LISTS["train"]).unlink()
    config = start.config
    config["data"]["train"]["fingerprint"] = "that of others"
    config["hand_crop"] = dict.fromkeys(config["hand_crop"], "that of before")
    start.write_json("config.json", config)
    process, _ = go_on("--weights", start.folder)
    assert process.returncode == 0, process.stderr
    assert "note: hand_crop/ changed since the run to start from was trained" in process.stdout
    assert "was trained on other films, of which there is no list" in process.stdout


@pytest.mark.parametrize(
    ("option", "value", "advice"),
    [
        ("dense_units", 7, "has another model"),
        ("dense_units", 7, "Add --dense_units 200"),
        ("model_type", "baseline", "is of another type, sex"),
    ],
)
def test_another_model_is_refused(go_on, option, value, advice):
    process, run = go_on(f"--{option}", value)
    check_error_line(process, advice)
    assert not run.exists()


@pytest.fixture
def same_model(small_run, tmp_path):
    """A copy of `small_run`, and the options of a training that starts from it."""
    run = shutil.copytree(small_run, tmp_path / "start")
    words = ("--backbone", "mobilenet", "--dense_units", "200", "--weights", str(run))
    return run, train_advanced.parse_args(words)


@pytest.mark.parametrize("name", [name for name in MODEL_OPTIONS if name != "dropout_rate"])
def test_a_model_option_of_another_value_is_refused(same_model, name):
    args = Namespace(**vars(same_model[1]) | {"dropout_rate": 0.6})  # which no weight depends on
    check_weights_run(args)
    with pytest.raises(UserError, match=f"Add --{name} "):
        check_weights_run(Namespace(**vars(args) | {name: 7}))


def test_the_width_for_the_sex_is_none_of_a_baseline(same_model):
    """train_baseline.py has no such option."""
    run, args = same_model
    with edit_json(run / "config.json") as config:
        config["options"]["model_type"] = "baseline"
    args.model_type, args.gender_units = "baseline", None
    check_weights_run(args)


def test_an_option_that_the_run_to_start_from_lacks_has_its_default(same_model):
    """Its version didn't have it."""
    run, args = same_model
    with edit_json(run / "config.json") as config:
        del config["options"]["activation"]
    check_weights_run(args)
    args.activation = "tanh"
    with pytest.raises(UserError, match="Add --activation relu"):
        check_weights_run(args)


def test_films_of_the_start_are_no_new_films(small_run, phantoms, tmp_path):
    """At any remove, by the list of its folder; where that is gone there is a note."""
    config = read_run(small_run).config
    films = read_predictions(small_run / "train_films.csv")

    def starting(start, weights):
        data = {split: facts | {"fingerprint": "other"} for split, facts in config["data"].items()}
        return {"options": {"weights": str(weights)}, "data": data, "start": start}

    next_ = starting(config, small_run)
    last = starting(next_, tmp_path / "next")
    (tmp_path / "next").mkdir()
    (tmp_path / "next" / "config.json").write_text(json.dumps(next_))
    run = Run(tmp_path / "run")
    for known in (next_, last):
        assert learned_from(run, known, "train", films[:5]).all()
        assert not learned_from(run, known, "train", films.assign(id="x" + films["id"])).any()
        assert not started_from_unknown_films(run, known)
        chosen = read_predictions(small_run / "predictions_val.csv")
        assert learned_from(run, known, "val", chosen[:5]).all()
        assert not learned_from(run, known, "val", films[:5]).any()
    gone = starting(config, tmp_path / "gone")
    assert not learned_from(run, gone, "train", films[:5]).any()
    assert learned_from(run, gone, "train", films).all()  # known by their fingerprint
    assert started_from_unknown_films(run, gone)
    (tmp_path / "gone").mkdir()  # a training that was killed in its first moment
    (tmp_path / "gone" / "config.json").write_text('{"options": {}}')
    assert started_from_unknown_films(run, gone)
    shipped = tmp_path / "shipped"  # without hashes
    ship_model.main([str(small_run), "--out", str(shipped)])
    assert started_from_unknown_films(run, starting(config, shipped))
    ship_model.main([str(small_run), "--out", str(tmp_path / "hashed"), "--film_hashes"])
    hashed = starting(config, tmp_path / "hashed")
    assert learned_from(Run(tmp_path / "hashed"), hashed, "train", films[:5]).all()
    assert not started_from_unknown_films(run, hashed)
    # which went on from another one, that is gone, on the same films
    two_steps = config | {"options": {"weights": str(tmp_path / "none")}, "start": config}
    assert not started_from_unknown_films(run, starting(two_steps, tmp_path / "hashed"))
    another = starting(config | {"data": last["data"]}, small_run)  # it was trained anew since
    assert started_from_unknown_films(run, another | {"data": config["data"]})
    assert not started_from_unknown_films(run, config)
    moved = starting(config, f"/before/{small_run.name}")  # and found beside the run
    assert not started_from_unknown_films(Run(small_run.parent / "run"), moved)
    assert learned_from(Run(small_run.parent / "run"), moved, "train", films[:5]).all()
