"""Heads trained on features: the same training without the backbone, and the same run folder."""

import json

import numpy as np
import pandas as pd
import pytest
from commands import SMALL_BACKBONE
from files import modules_behind
from trainings import epochs_trained, kill_training, read_history

import train_advanced
from modeling import backbone_of
from preprocessing import load_films
from util.augmentation import STRENGTHS
from util.backbones import POOLED
from util.build import build_from
from util.features import NETWORK, ChangedFilms, on_features
from util.runs import Run
from util.training import Stage

TINY = [
    *("--backbone", "mobilenet", "--weights", "none", "--img_size", "64", "--batch_size", "8"),
    *("--dense_units", "16", "--lr", "0.01"),
]


@pytest.fixture(scope="module")
def train(done, tiny_mobilenet, phantoms, results):
    """Run a training script on the phantoms; returns the run folder and what was printed."""

    def run(name, *words, script="train_advanced_streamlined.py"):
        where = ("--data_dir", phantoms, "--results_dir", results, "--run_name", name)
        words = (*where, "--cache_dir", results / "cache", *TINY, *words)
        with tiny_mobilenet():
            process = done(script, *words)
        return results / name, process.stdout

    return run


@pytest.fixture(scope="module")
def heads(train):
    """A run whose head was trained on features of films that were not changed."""
    return train("heads", "--augment", "none", "--feature_views", "1", "--epochs_frozen", "3")


def test_features_change_nothing_but_the_time(train, heads):
    """Films that are not augmented have one set of features: films, order and dropout are those of
    a training through the backbone, and so are losses and errors."""
    usual, _ = train("usual", "--augment", "none", "--epochs_frozen", "3")
    pd.testing.assert_frame_equal(read_history(heads[0]), read_history(usual), atol=0.02, rtol=1e-3)
    files = [{p.relative_to(run) for p in run.rglob("*")} for run in (usual, heads[0])]
    assert files[0] == files[1]


def test_the_saved_model_takes_films_and_holds_the_trained_head(heads):
    """Predictions of the whole model on films are as good as those of the head on features."""
    val = pd.read_csv(heads[0] / "predictions_val.csv")
    best = read_history(heads[0])["val_mae"].min()
    assert val["error"].abs().mean() == pytest.approx(best, abs=5e-3)


def test_a_run_notes_its_features(heads):
    run, printed = heads
    config = json.loads((run / "config.json").read_text())
    assert config["options"]["feature_views"] == 1
    assert config["feature_seconds"] > 0
    assert "features: 1 x 48 training films, 128 numbers each" in printed


@pytest.mark.full
@pytest.mark.parametrize("script", ["train_baseline.py", "train_advanced.py"])
def test_a_killed_head_resumes_to_the_same_end(script, phantoms, results, train):
    name = f"unbroken_{script}"
    words = ["--feature_views", "2", "--epochs_frozen", "40", "--patience", "0"]
    unbroken, _ = train(name, *words, script=script)
    where = ["--data_dir", phantoms, "--results_dir", results, "--run_name", "killed_" + script]
    command = [SMALL_BACKBONE, script, *where, "--cache_dir", results / "cache"]
    run = results / f"killed_{script}"
    kill_training([*command, *TINY, *words], run, epochs=3)
    assert not (run / "metrics.json").exists(), "it ended before it was killed"
    killed, _ = train("killed_" + script, *words, "--resume", script=script)
    assert epochs_trained(run) < 43, "it began anew"
    pd.testing.assert_frame_equal(read_history(killed), read_history(unbroken))


@pytest.fixture(scope="module")
def films(phantoms):
    return [load_films(phantoms, split, 64, "pad", cache_dir=None) for split in ("train", "val")]


def test_a_view_of_a_film_is_its_own(films):
    view = ChangedFilms(films[0].pixels, 7, 1, STRENGTHS["moderate"])
    assert np.array_equal(view[[3, 5]][1], view[[5]][0])
    assert not np.array_equal(view[[3]], films[0].pixels[[3]])
    for other in (
        ChangedFilms(films[0].pixels, 8, 1, view.ranges),
        ChangedFilms(films[0].pixels, 7, 2, view.ranges),
    ):
        assert not np.array_equal(view[[3]], other[[3]])
    assert np.array_equal(ChangedFilms(films[0].pixels)[[3]], films[0].pixels[[3]])


@pytest.fixture(scope="module")
def read(films, tiny_mobilenet, tmp_path_factory):
    """Features under some options, and the files that hold features."""
    folder = tmp_path_factory.mktemp("features")

    def features(*words):
        args = train_advanced.parse_args([*TINY, "--cache_dir", str(folder), *words])
        run = Run(folder, verbose=0)
        run.write_json("config.json", {"options": {}})
        with tiny_mobilenet():
            model = build_from(films[0], args)
        stage = on_features(Stage(model, *films), args, run)
        return stage, set((folder / "features").iterdir())

    return features


def test_what_is_computed_once_is_read_again(read):
    stage, files = read("--feature_views", "1")
    views = stage.films.pixels.views
    assert len(files) == 2
    assert views.shape == (1, 48, 128)
    assert stage.val_films.pixels.views.shape == (1, 12, 128)
    again, same = read("--feature_views", "1")
    assert same == files
    assert np.array_equal(again.films.pixels.views, views)
    for path in files:
        path.write_bytes(path.read_bytes()[:200])  # a damaged one is made anew
    again, same = read("--feature_views", "1")
    assert same == files
    assert np.array_equal(again.films.pixels.views, views)
    more, files = read("--feature_views", "2")
    assert len(files) == 3
    assert np.array_equal(more.films.pixels.views[0], views[0])
    assert not np.array_equal(more.films.pixels.views[1], views[0])


@pytest.mark.parametrize(
    ("words", "new"),
    [
        (("--seed", "7"), 2),  # other random weights too
        (("--augment", "strong"), 1),
        (("--mixed_precision",), 2),
    ],
)
def test_other_features_have_other_files(words, new, read):
    before = read("--feature_views", "1")[1]
    after = read("--feature_views", "1", *words)[1]
    assert len(after - before) == new


def test_training_draws_among_the_views_and_validation_takes_films_as_they_are(read, films):
    stage, _ = read("--feature_views", "3")
    train, features = stage.films.pixels, stage.val_films.pixels
    rows, views = np.arange(48), train.views
    drawn = train.augmented(rows, np.random.default_rng(0), None)
    where = [[np.array_equal(view[i], drawn[i]) for view in views] for i in rows]
    assert np.all(np.sum(where, axis=1) == 1)
    assert np.all(np.sum(where, axis=0) > 5)
    sex = films[1].table[["sex"]].to_numpy(np.float32)
    whole = stage.model([films[1].pixels[np.arange(12)][..., None], sex], training=False)
    of_features = stage.head([features[np.arange(12)], sex], training=False)
    np.testing.assert_allclose(whole, of_features, atol=1e-2)


def test_features_of_other_code_have_other_files(read, monkeypatch):
    before = read("--feature_views", "1")[1]
    monkeypatch.setattr("util.features.CODE", "of other modules")
    assert len(read("--feature_views", "1")[1] - before) == 2


def test_every_module_that_decides_features_names_their_cache():
    """Their names have those of the pixels in them, which the reader decides, and the weights."""
    apart = {
        *("util.radiographs", "util.pixel_cache", "util.backbones", "util.weights"),
        # labels, folders and tables
        *("util.data_folder", "util.film_files", "util.tables.matching"),
        *("util.tables.labelled_films", "util.tables.headers", "util.tables.labels"),
        *("util.tables.left_out", "util.tables.ages", "util.tables.patients"),
        *("util.tables.readers", "util.tables.text", "util.metrics"),
        *("util.runs", "util.finished_runs"),
        # what trains on features, or predicts without them
        *("util.training", "util.batchnorm", "util.predicting.exports", "util.predicting.runtimes"),
        *("util.environment", "util.quiet"),
    }
    assert modules_behind("util.features", apart) == set(NETWORK)


@pytest.mark.parametrize("model_type", POOLED)
def test_a_head_shares_all_layers_with_its_model(read, model_type):
    stage, _ = read("--feature_views", "1", "--model_type", model_type)
    model, head = stage.model, stage.head
    assert head.get_layer("dense") is model.get_layer("dense")
    assert head.count_params() == model.count_params() - backbone_of(model).count_params()
