"""Every command of the project's brief, letter by letter, as a user types it in the checkout.

What is added behind a command only shrinks it: a small data folder, small films, few epochs, and no
download of weights.
"""

import json
import re
import shlex

import pandas as pd
import pytest
from commands import run_python
from files import copy_data

from util.finished_runs import RESEARCH_ONLY

SHRINK = "--weights none --img_size 72 --batch_size 8 --epochs_frozen 1"


@pytest.fixture(scope="module")
def data(phantoms, tmp_path_factory):
    """A data folder of this module alone: CLAHE copies are written into it."""
    folder = tmp_path_factory.mktemp("brief") / "Data"
    return copy_data(phantoms, folder)


@pytest.fixture(scope="module")
def brief(data):
    """Type a command of the brief, with more options behind it; its `python` is this one."""

    def run(text, more):
        more = more.format(data=data, out=data.parent)
        process = run_python(*shlex.split(text)[1:], *shlex.split(more), MPLBACKEND="Agg")
        assert process.returncode == 0, process.stderr
        assert "Traceback" not in process.stderr
        return process.stdout

    return run


def test_check_nan_in_dfs(brief, data):
    out = brief("python check_nan_in_dfs.py", "--data_dir {data} --out {out}/quality")
    assert re.search(r"^train +48 ", out, re.MULTILINE)
    assert list((data.parent / "quality").glob("*.html"))


@pytest.mark.parametrize("split", ["validation", "test"])
def test_clahe(brief, data, split):
    brief(f"python -m clahe.apply_{split}", "--data_dir {data}")
    assert len(list((data / f"{split}_CLAHE").glob("*.png"))) == len(list((data / split).iterdir()))


@pytest.mark.full
def test_train_baseline(brief, command, data):
    """A model that isn't told the sex doesn't ask for it either."""
    out = brief(
        "python train_baseline.py",
        f"{SHRINK} --data_dir {{data}} --results_dir {{out}} --run_name baseline "
        "--backbone mobilenet",
    )
    assert "median baseline" in out
    film = next((data / "test").iterdir())
    process = command("predict.py", film, "--model", data.parent / "baseline")
    assert process.returncode == 0, process.stderr
    assert process.stderr == f"{RESEARCH_ONLY}\n"
    assert " months " in process.stdout


@pytest.mark.full
def test_train_advanced(brief, data):
    out = brief(
        "python train_advanced.py --backbone xception --epochs_frozen 20 --fine_tune "
        "--use_clahe_val_test",
        f"{SHRINK} --epochs_finetune 1 --data_dir {{data}} --results_dir {{out}} --run_name full",
    )
    assert "test after CLAHE: 13 films" in out


def test_clahe_copies_are_evaluated_beside_plain_films(data, done, tiny_mobilenet):
    """The same command by a small backbone: both figures, on the same films, after one warning."""
    run = data.parent / "clahe"
    with tiny_mobilenet():
        process = done(
            *("train_advanced.py", "--backbone", "mobilenet", "--epochs_frozen", "20"),
            *("--fine_tune", "--use_clahe_val_test", *SHRINK.split(), "--epochs_finetune", "1"),
            *("--data_dir", data, "--results_dir", run.parent, "--run_name", run.name),
        )
    out = process.stdout
    plain, enhanced = (pd.read_csv(run / f"predictions_test{x}.csv") for x in ("", "_clahe"))
    assert plain["id"].equals(enhanced["id"])
    assert not plain["predicted"].equals(enhanced["predicted"])
    assert {"val", "val_clahe", "test", "test_clahe"} <= json.loads(
        (run / "metrics.json").read_text()
    ).keys()
    assert out.count("differ from the training films") == 1
    assert "test after CLAHE: 13 films" in out


@pytest.mark.full
def test_train_advanced_streamlined(brief, data):
    out = brief(
        "python train_advanced_streamlined.py --backbone xception --use_cyclical_lr "
        "--loss_type huber --label_noise_std 0.01 --use_tta",
        f"{SHRINK} --data_dir {{data}} --results_dir {{out}} --run_name streamlined",
    )
    assert "test, mean of 5 views: 13 films" in out
    options = json.loads((data.parent / "streamlined" / "config.json").read_text())["options"]
    assert options["loss_type"] == "huber"
    assert options["label_noise_std"] == 0.01


def test_the_recommended_script_trains(data, done, tiny_mobilenet):
    """The same command by a small backbone; D10."""
    run = data.parent / "recommended"
    with tiny_mobilenet():
        process = done(
            *("train_advanced_streamlined.py", "--backbone", "mobilenet", "--use_cyclical_lr"),
            *("--loss_type", "huber", "--label_noise_std", "0.01", "--use_tta", *SHRINK.split()),
            *("--data_dir", data, "--results_dir", run.parent, "--run_name", run.name),
        )
    assert "test, mean of 5 views: 13 films" in process.stdout
    assert "note: --label_noise_std 0.01 is in months" in process.stdout


@pytest.mark.full
def test_run_all_backbones(brief, data):
    out = brief(
        "python run_all_backbones.py",
        f"{SHRINK} --data_dir {{data}} --results_dir {{out}}/sweeps --backbones mobilenet",
    )
    assert "in all about" in out
    assert (data.parent / "sweeps" / "sex" / "mobilenet_performance.json").exists()


@pytest.mark.full
def test_inference_speed(brief, data):
    brief(
        "python -m inference_speed.compute_inference_speed",
        "--results_dir {out}/speed --backbones mobilenet --img_size 72 --batch_sizes 1 2 "
        "--num_runs 2",
    )
    out = brief("python -m inference_speed.analyze_inference_results", "--results_dir {out}/speed")
    assert "mobilenet" in out
    assert len(list((data.parent / "speed").glob("speed_comparison_*.csv"))) == 1
    assert len(list((data.parent / "speed").glob("inference_analysis_plots_*.png"))) == 1
