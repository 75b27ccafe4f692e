"""Small data and runs shared by the tests: phantoms drawn once a session."""

import util  # noqa: F401 - sets what OpenCV and TensorFlow read when they are imported

# isort: split
import importlib
import os
import shutil
import subprocess
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import BytesIO, TextIOWrapper

import cv2
import numpy as np
import pytest
from small_backbone import three_convolutions
from trainings import TINY

# Tests compare to the digit: on the processor, in float32 (CUDA_VISIBLE_DEVICES=0 tests a GPU)
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
os.environ.pop("ONEDNN_DEFAULT_FPMATH_MODE", None)
for name in ("PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE"):  # set in containers, not for users
    os.environ.pop(name, None)
if "PYTEST_XDIST_WORKER" in os.environ:  # a core for each, before TensorFlow is imported
    os.environ["TF_NUM_INTRAOP_THREADS"] = "1"

# What the helpers assert is told with its values, as in a test
pytest.register_assert_rewrite("commands", "source_folders")

LONGEST = (
    *("test_modeling", "test_prediction", "test_evaluation", "test_hospital"),
    *("test_inference_speed", "test_runtimes", "test_hand_crop", "test_accelerators"),
    *("test_training", "test_training_errors", "test_resuming", "test_sweep", "test_splits"),
    *("test_features", "test_options"),
)


def pytest_collection_modifyitems(items):
    """The longest files first, so that both processes of `make test` end at about the same time."""
    place = {name: i for i, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.path.stem, len(place)))  # stable


@pytest.fixture(scope="session")
def hands():
    """Drawn hands of boys of 100 to 190 months, fingers up."""
    from util.phantoms import draw_phantom

    rng = np.random.default_rng(3)
    return [draw_phantom(months, 1, rng, 200) for months in range(100, 200, 10)]


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
def trained(tmp_path_factory, done, tiny_mobilenet):
    """A run that has learned the age of phantoms: (run folder, its data folder)."""
    from util.phantoms import write_phantoms

    folder = tmp_path_factory.mktemp("trained")
    write_phantoms(folder / "Data", {"train": 1800, "val": 120, "test": 90}, height=96, seed=2)
    with tiny_mobilenet():
        done(
            *("train_advanced_streamlined.py", "--data_dir", folder / "Data"),
            *("--results_dir", folder, "--run_name", "run", "--backbone", "mobilenet"),
            *("--weights", "none", "--img_size", "64", "--epochs_frozen", "0"),
            *("--fine_tune", "--epochs_finetune", "12", "--lr_finetune", "2e-2"),
            *("--dropout_rate", "0", "--augment", "light", "--use_tta", "--tta_steps", "4"),
        )
    return folder / "run", folder / "Data"


@pytest.fixture(scope="session")
def evaluated(trained, done, tmp_path_factory):
    """evaluate.py on the test split, on the films alone: (process, output folder)."""
    out = tmp_path_factory.mktemp("evaluated") / "out"
    return done("evaluate.py", trained[0], "--tta_steps", "1", "--out", out), out


@pytest.fixture(scope="session")
def odd_films(trained, tmp_path_factory):
    """One film as 8 bits and as the 16 that these are cut from, and files that can't be used."""
    folder = tmp_path_factory.mktemp("odd films")
    source = next((trained[1] / "test").iterdir())
    film = cv2.imread(str(source), cv2.IMREAD_GRAYSCALE)
    shutil.copy(source, folder / "8bit.png")
    lower_bits = np.random.default_rng(0).integers(0, 256, film.shape, np.uint16)
    deep = film.astype(np.uint16) * 256 + lower_bits
    cv2.imwrite(str(folder / "16bit.png"), deep)
    cv2.imwrite(str(folder / "12bit.png"), deep // 16)
    (folder / "truncated.png").write_bytes(source.read_bytes()[:1000])
    (folder / "letter.jpg").write_text("Dear colleague")
    return folder


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


@pytest.fixture
def tiny(tiny_mobilenet):
    """The whole test builds `tiny_mobilenet`."""
    with tiny_mobilenet():
        yield


@pytest.fixture(scope="session")
def small_run(tmp_path_factory, phantoms, done, tiny_mobilenet):
    """A finished run of the small backbone on `phantoms`, with fine-tuning: its folder."""
    folder = tmp_path_factory.mktemp("small")
    with tiny_mobilenet():
        done(
            *("train_advanced.py", "--data_dir", phantoms, "--results_dir", folder),
            *("--run_name", "run", "--backbone", "mobilenet", "--weights", "none"),
            *("--img_size", "48", "--batch_size", "8", "--dense_units", "200"),
            *("--epochs_frozen", "0", "--fine_tune", "--epochs_finetune", "2"),
        )
    return folder / "run"


@pytest.fixture(scope="module")
def train(inside, tiny_mobilenet, phantoms, results):
    """Run train_advanced.py on the phantoms with three convolutions as its backbone, or under
    `network=nullcontext` with the real one; returns (process, run folder)."""

    def run(name, *words, data_dir=phantoms, network=tiny_mobilenet, options=TINY):
        where = ["--data_dir", data_dir, "--results_dir", results, "--run_name", name]
        with network():
            return inside("train_advanced.py", *where, *options, *words), results / name

    return run


@pytest.fixture(scope="module")
def train_small(train):
    """The same for a training that must not fail; returns the run folder."""

    def run(name, *words, **options):
        process, folder = train(name, *words, **options)
        assert process.returncode == 0, process.stderr
        return folder

    return run


@pytest.fixture(scope="module")
def unbroken(train_small):
    """A whole run, to compare others with."""
    return train_small("unbroken")


@pytest.fixture
def read(tmp_path):
    """Write a table of labels and read it; `text` may be bytes."""
    from util.tables.labels import labels_of
    from util.tables.text import read_table

    def run(text, encoding="utf-8", **options):
        path = tmp_path / "labels.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode(encoding))
        return labels_of(read_table(path), path, **options)

    return run


@pytest.fixture(scope="session")
def inside():
    """Run a script, or a module such as "clahe.apply_test", as `command` does, but in this process:
    TensorFlow is imported only once."""
    from util.errors import run_command

    def run(script, *words):
        main = importlib.import_module(script.removesuffix(".py")).main
        out, err = (TextIOWrapper(BytesIO(), "utf-8", write_through=True) for _ in range(2))
        with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as end:
            run_command(lambda: main([str(word) for word in words]))
        code = end.value.code or 0
        told = (stream.buffer.getvalue().decode() for stream in (out, err))
        return subprocess.CompletedProcess(words, code, *told)

    return run


@pytest.fixture(scope="session")
def done(inside):
    """The same for a command that must not fail."""

    def run(script, *words):
        process = inside(script, *words)
        assert process.returncode == 0, process.stderr
        return process

    return run


@pytest.fixture(scope="session")
def command():
    """Run a script of the project as a user would; returns the finished process."""
    from commands import ROOT, run_python

    return lambda script, *words, **options: run_python(ROOT / script, *words, **options)
