"""Small data shared by the tests: phantoms drawn once a session."""

import importlib
import os
import subprocess
import sys
import time
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).parent.parent


def read_history(run):
    """history.csv of a run, but for the times."""
    return pd.read_csv(run / "history.csv").drop(columns="seconds")


def kill_training(words, log, epochs, **environment):
    """Start a script and kill it as soon as its log tells of so many epochs; returns the process."""
    process = subprocess.Popen(
        [sys.executable, *map(str, words)],
        env=os.environ | environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while process.poll() is None and epochs_logged(log) < epochs:
        time.sleep(0.01)
    process.kill()
    process.wait()
    return process


def epochs_logged(log):
    return log.read_text().count(" films/s") if log.exists() else 0


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """A folder for runs, one for each file of tests."""
    return tmp_path_factory.mktemp("results")


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory):
    """A data folder in the native layout: 48 training, 12 validation and 13 test phantoms."""
    from util.phantoms import write_phantoms

    folder = tmp_path_factory.mktemp("phantoms") / "Data"
    write_phantoms(folder, {"train": 48, "val": 12, "test": 13}, height=96, seed=1)
    return folder


@pytest.fixture(scope="session")
def trained(tmp_path_factory, command):
    """A run that has learned the age of phantoms: (run folder, its data folder)."""
    from util.phantoms import write_phantoms

    folder = tmp_path_factory.mktemp("trained")
    write_phantoms(folder / "Data", {"train": 1800, "val": 120, "test": 90}, height=96, seed=2)
    process = command(
        *("train_advanced_streamlined.py", "--data_dir", folder / "Data", "--results_dir", folder),
        *("--run_name", "run", "--backbone", "mobilenet", "--weights", "none", "--img_size", "64"),
        *("--batch_size", "16", "--epochs_frozen", "0", "--fine_tune", "--epochs_finetune", "4"),
        *("--lr_finetune", "3e-3", "--augment", "light", "--use_tta"),
    )
    assert process.returncode == 0, process.stderr
    return folder / "run", folder / "Data"


@pytest.fixture(scope="session")
def tiny_mobilenet():
    """`with tiny_mobilenet():` the backbone "mobilenet" is three convolutions, built, converted and
    trained in no time. For tests in which the backbone is not the point."""
    import keras

    @contextmanager
    def replaced():
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(keras.applications, "MobileNet", three_convolutions)
            yield

    return replaced


def three_convolutions(include_top, weights, input_shape):
    """A network in place of one of keras.applications."""
    import keras
    from keras import layers

    image = x = keras.Input(input_shape)
    for channels in (16, 64, 128):
        x = layers.Conv2D(channels, 3, strides=2, padding="same", use_bias=False)(x)
        x = layers.ReLU()(layers.BatchNormalization()(x))
    return keras.Model(image, x)


@pytest.fixture(scope="session")
def small_run(tmp_path_factory, phantoms, inside, tiny_mobilenet):
    """A finished run of the small backbone on `phantoms`, with fine-tuning: its folder."""
    folder = tmp_path_factory.mktemp("small")
    with tiny_mobilenet():
        process = inside(
            *("train_advanced.py", "--data_dir", phantoms, "--results_dir", folder),
            *("--run_name", "run", "--backbone", "mobilenet", "--weights", "none"),
            *("--img_size", "48", "--batch_size", "8", "--dense_units", "200"),
            *("--epochs_frozen", "0", "--fine_tune", "--epochs_finetune", "2"),
        )
    assert process.returncode == 0, process.stderr
    return folder / "run"


@pytest.fixture(scope="session")
def inside():
    """Run a script as `command` does, but in this process: TensorFlow is imported only once."""
    from util.errors import run_command

    def run(script, *words):
        main = importlib.import_module(Path(script).stem).main
        out, err = StringIO(), StringIO()
        with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as end:
            run_command(lambda: main([str(word) for word in words]))
        code = end.value.code or 0
        return subprocess.CompletedProcess(words, code, out.getvalue(), err.getvalue())

    return run


@pytest.fixture(scope="session")
def command():
    """Run a script of the project as a user would; returns the finished process."""

    def run(script, *words, cwd=ROOT, **environment):
        return subprocess.run(
            [sys.executable, str(ROOT / script), *map(str, words)],
            cwd=cwd,
            env=os.environ | environment,
            capture_output=True,
            text=True,
            timeout=600,
        )

    return run
