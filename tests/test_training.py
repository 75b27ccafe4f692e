"""The training loop: what trains, at which rate, what is kept, and what repeats."""

import json
import os
from contextlib import nullcontext

import keras
import numpy as np
import pandas as pd
import pytest
from files import copy_data
from trainings import predictions, random_numbers_go_on, read_history, stopped_after

import train_advanced
from modeling_advanced import build_model
from util import epoch_end
from util.optimizer import compile_model, rate_schedule
from util.phases import plan_phases
from util.runs import best_row
from util.training import Stage, batchnorm_mode, choose_trainable


def test_a_run_leaves_all_that_it_promises(unbroken):
    names = {str(path.relative_to(unbroken)) for path in unbroken.rglob("*") if path.is_file()}
    assert names >= {
        *("config.json", "history.csv", "model.keras", "metrics.json", "left_out.csv", "log.txt"),
        *("predictions_val.csv", "predictions_test.csv", "plots/history.png"),
        *("plots/augmented_films.png", "plots/predicted_vs_true_test.png"),
        *("plots/bland_altman_test.png", "plots/error_by_group_test.png"),
        "plots/largest_errors_test.png",
    }
    assert not [name for name in names if "clahe" in name.lower()]  # D8: nobody asked for it
    assert read_history(unbroken)["phase"].tolist() == ["frozen", *3 * ["finetune"]]
    assert read_history(unbroken)["epoch"].tolist() == [1, 2, 3, 4]


def test_a_run_says_what_it_was_made_with(unbroken):
    """S22."""
    config = json.loads((unbroken / "config.json").read_text())
    assert config["versions"]["keras"] == keras.__version__
    assert config["options"]["seed"] == 42
    assert config["command"][1] == "--data_dir"
    assert {"git_commit", "processor", "python", "devices"} <= config.keys()
    assert config["variables"]["TF_ENABLE_ONEDNN_OPTS"] == os.environ["TF_ENABLE_ONEDNN_OPTS"]
    assert "resumed" not in config
    assert all(len(part["fingerprint"]) == 16 for part in config["data"].values())


def test_metrics_are_those_of_the_predictions_in_months(unbroken):
    metrics = json.loads((unbroken / "metrics.json").read_text())["test"]
    table = predictions(unbroken)
    assert metrics["n"] == len(table) == 13
    assert metrics["mae"] == pytest.approx((table["predicted"] - table["boneage"]).abs().mean())


def test_a_finished_run_is_shown_without_a_word_on_request(train, unbroken, monkeypatch):
    shown = []
    monkeypatch.setattr("util.plots.show_plots", shown.extend)
    process, _ = train("unbroken", "--resume", "--show", "--verbose", "0")
    assert (process.returncode, process.stdout) == (0, ""), process.stderr
    assert shown == sorted((unbroken / "plots").glob("*.png"))


def test_validation_films_come_in_batches_of_the_size_that_is_asked_for(train_small, monkeypatch):
    sizes = []
    monkeypatch.setattr(Stage, "validate", lambda stage, size: sizes.append(size) or 20.0)
    with stopped_after(1):
        train_small("in_fives", "--batch_size_eval", "5")
    assert sizes == [5]


# ---------------------------------------------------------------------------------- what repeats


def test_another_seed_gives_another_history(train_small, unbroken, results):
    """That the same seed gives the same one is seen in the runs of test_resuming.py."""
    with stopped_after(1):
        train_small("other", "--seed", "7")
    loss = read_history(results / "other")["loss"]
    assert not np.allclose(loss[0], read_history(unbroken)["loss"][0])


def test_a_random_search_draws_other_values_after_each_training(train_small):
    with random_numbers_go_on(), stopped_after(1):
        train_small("in_a_search")


def test_the_dtype_policy_of_a_program_changes_no_training_and_is_kept(train_small, unbroken):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        run = train_small("with_policy")
        kept = keras.config.dtype_policy().name
    finally:
        keras.config.set_dtype_policy("float32")
    assert kept == "mixed_bfloat16"
    pd.testing.assert_frame_equal(read_history(run), read_history(unbroken))
    pd.testing.assert_frame_equal(predictions(run), predictions(unbroken))


@pytest.mark.full
def test_mobilenet_learns_the_same_every_time(train_small):
    """With all layers of a real backbone."""
    runs = [train_small(name, network=nullcontext) for name in ("first", "second")]
    pd.testing.assert_frame_equal(*map(read_history, runs))


def test_validation_and_test_labels_change_no_weight(train_small, phantoms, unbroken, tmp_path):
    """The months scale and all training come from the training split alone."""
    data = copy_data(phantoms, tmp_path / "Data")
    for path in (data / "df_val.csv", data / "df_test.csv"):
        table = pd.read_csv(path)
        table.assign(boneage=table["boneage"] / 2 + 100).to_csv(path, index=False)
    # every epoch is a new best under --patience 0 or not, so compare the state after training
    run = train_small("other_labels", data_dir=data)
    with np.load(run / "state.npz") as a, np.load(unbroken / "state.npz") as b:
        names = [name for name in a.files if name != "progress"]
        assert all(np.array_equal(a[name], b[name]) for name in names)
    config = [json.loads((r / "config.json").read_text()) for r in (run, unbroken)]
    assert config[0]["data"]["train"] == config[1]["data"]["train"]
    assert config[0]["data"]["val"] != config[1]["data"]["val"]


# ---------------------------------------------------- which epoch is kept, and which is the last


def test_the_kept_model_is_the_best_over_both_phases(train_small):
    """Fine-tuning at such a rate spoils it: the frozen epoch is the best."""
    words = ["--img_size", "32", "--lr", "0.01", "--epochs_finetune", "1", "--lr_finetune", "1"]
    run = train_small("spoiled", *words, "--ema", "0")
    history = read_history(run)
    assert history["val_mae"].idxmin() == 0
    val = pd.read_csv(run / "predictions_val.csv")
    assert val["error"].abs().mean() == pytest.approx(history["val_mae"][0], abs=2e-3)


def test_the_last_epoch_is_kept_on_request_and_nothing_else_changes(train_small):
    """The rate is so high that an earlier epoch is the best."""
    words = ["--epochs_finetune", "5", "--lr_finetune", "0.2", "--ema", "0"]
    runs = {
        name: train_small(f"keeps_{name}", "--keep_epoch", name, *words)
        for name in ("best", "last")
    }
    history = {name: read_history(run) for name, run in runs.items()}
    best = history["best"]["val_mae"].idxmin()
    assert best < len(history["best"]) - 1, "an earlier epoch must be better"
    assert history["best"]["val_mae"].equals(history["last"]["val_mae"])
    assert best_row(history["best"]) == best
    assert best_row(history["last"]) == len(history["last"]) - 1
    for name, run in runs.items():
        told = pd.read_csv(run / "predictions_val.csv")["error"].abs().mean()
        epoch = history[name].loc[best_row(history[name])]
        assert told == pytest.approx(epoch["val_mae"], abs=0.02)


def test_patience_ends_a_phase(train_small):
    """With no learning rate to speak of, no epoch is better than the one before."""
    still = ("--lr", "1e-12", "--lr_finetune", "1e-12", "--bn", "frozen")
    run = train_small("patient", "--epochs_frozen", "4", *still, "--patience", "1")
    assert read_history(run)["phase"].tolist() == [*2 * ["frozen"], *2 * ["finetune"]]


def test_patience_is_with_the_phase_not_with_the_best_of_all():
    """Fine-tuning may begin worse than the frozen head ended, and get better with every epoch."""
    errors = [("frozen", 8.0), ("finetune", 12.0), ("finetune", 11.0), ("finetune", 11.5)]
    history = [{"phase": phase, "val_mae": error} for phase, error in errors]
    since = [
        epoch_end.epochs_since_best(history[:n], history[n - 1]["phase"]) for n in (1, 2, 3, 4)
    ]
    assert since == [0, 0, 0, 1]


# ----------------------------------------------------------------------------------- what trains


def test_training_counts_are_printed(unbroken):
    """Fine-tuning trains the kernels of three convolutions, and scale and offset of BatchNorm."""
    lines = [line for line in (unbroken / "log.txt").read_text().splitlines() if "train" in line]
    frozen, finetune = (next(x for x in lines if x.startswith(p)) for p in ("frozen:", "finetune:"))
    backbone = 9 * (3 * 16 + 16 * 64 + 64 * 128) + 2 * (16 + 64 + 128)
    assert trainable(finetune) - trainable(frozen) == backbone


def trainable(line):
    return int(line.split("pixels, ")[1].split(" of")[0].replace(",", ""))


@pytest.mark.parametrize(
    ("words", "mode"),
    [
        ("--weights imagenet --batch_size 32", "train"),
        ("--weights imagenet --batch_size 8", "frozen"),
        ("--weights none --batch_size 8", "train"),
        ("--weights imagenet --bn frozen --fine_tune", "frozen"),
        ("--weights imagenet --batch_size 8 --bn train --fine_tune", "train"),
    ],
)
def test_statistics_follow_batches_that_are_large_enough(words, mode):
    assert batchnorm_mode(train_advanced.parse_args(words.split())) == mode


def test_a_backbone_without_batchnorm_has_no_statistics_to_measure():
    words = "--backbone vgg16 --weights none --img_size 32 --epochs_frozen 1 --fine_tune --bn train"
    args = train_advanced.parse_args(words.split())
    model = build_model(
        "sex", args.backbone, args.img_size, weights="none", label_mean=120, label_sd=40
    )
    frozen, finetune = plan_phases(args)
    assert choose_trainable(model, frozen, args) == "frozen"
    assert choose_trainable(model, finetune, args) == "none"


def test_the_first_step_finds_all_variables_and_is_traced_once(tiny, monkeypatch):
    step, traced = keras.Model.train_step, []
    monkeypatch.setattr(keras.Model, "train_step", lambda *of: traced.append(1) or step(*of))
    args = train_advanced.parse_args([])
    model = build_model("sex", "mobilenet", 32, weights="none", label_mean=120.0, label_sd=40.0)
    compile_model(model, 1e-3, 100, 40.0, args)
    films = [np.zeros((4, 32, 32, 1)), np.ones((4, 1))]
    model.fit(films, np.full((4, 1), 120), batch_size=2, verbose=0)
    assert len(traced) == 1


# -------------------------------------------------------------------------------- learning rates


def test_the_learning_rate_falls_through_fine_tuning(unbroken):
    lr = read_history(unbroken)["lr"][1:]
    assert lr.is_unique
    assert lr.is_monotonic_decreasing


@pytest.mark.parametrize(("steps", "first"), [(1, 1e-3), (2, 1e-5), (100, 1e-5)])
def test_rates_rise_to_their_peak_at_once_where_there_is_one_step(steps, first):
    schedule = rate_schedule(train_advanced.parse_args([]), 1e-3, steps, 10)
    rates = [float(schedule(step)) for step in range(steps)]
    np.testing.assert_allclose([rates[0], max(rates)], [first, 1e-3], rtol=1e-4)
