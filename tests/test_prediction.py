"""Months of films: the predictor, and predict.py on a trained run."""

import json
import os
import shutil
import struct
import zlib
from argparse import Namespace
from pathlib import Path

import cv2
import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from commands import ROOT, check_error_line
from files import edit_json, names_of_bytes
from keras import layers

from preprocessing import load_films
from util.errors import UserError
from util.files import hash_file, write_csv
from util.finished_runs import RESEARCH_ONLY, load_run_model, read_run
from util.metrics import read_predictions
from util.metrics_text import format_years
from util.pixel_cache import read_pixels
from util.predicting import age_report, film_ages, prediction
from util.predicting.age_report import list_named
from util.predicting.children import add_children, look_up_children
from util.predicting.ensemble import Ensemble
from util.predicting.intervals import interval_bounds
from util.predicting.prediction import (
    compile_predictor,
    even_batch,
    full_batches,
    predict_films,
    predict_months,
)


@pytest.fixture(scope="module")
def by_hand(trained):
    """The predictor of the run, its test films, and their months one by one."""
    run, data = trained
    films = load_films(data, "test", 64, "hand")
    predict = compile_predictor(load_run_model(read_run(run)))
    alone = [
        float(predict(films.pixels[[i]][..., None], [[sex]])[0])
        for i, sex in enumerate(films.table["sex"])
    ]
    return predict, films, alone


def test_a_validation_film_without_a_number_does_not_end_a_training(by_hand):
    """In half precision a film may overflow in one epoch, and not in the next."""
    _, films, _ = by_hand
    table = predict_films(lambda image, sex: np.where(sex[:, 0] == 1, 100, np.nan), films, 8)
    assert table["predicted"].isna().tolist() == (films.table["sex"] == 0).tolist()


@pytest.mark.parametrize(
    "error",
    [
        tf.errors.InternalError(None, None, "Dst tensor is not initialized."),
        tf.errors.ResourceExhaustedError(None, None, "OOM"),
    ],
)
def test_a_gpu_that_can_not_take_the_model_is_no_damage(error, small_run, monkeypatch):
    def load_model(path):
        raise error

    monkeypatch.setattr(keras.models, "load_model", load_model)
    with pytest.raises(UserError, match="TensorFlow can't load the model.*CUDA_VISIBLE_DEVICES=-1"):
        load_run_model(read_run(small_run))


def any_model(size=48, channels=1, sex=True, outputs=1):
    """A model that gives numbers for films, and for the sex if it takes it."""
    inputs = [keras.Input((size, size, channels)), *([keras.Input((1,))] if sex else [])]
    x = [keras.layers.GlobalAveragePooling2D()(inputs[0]), *inputs[1:]]
    x = keras.layers.Concatenate()(x) if sex else x[0]
    return keras.Model(inputs, keras.layers.Dense(outputs)(x))


@pytest.mark.parametrize(
    ("model", "told"),
    [
        (any_model(size=96), r"takes \[\(96, 96, 1\), \(1,\)\].* takes \[\(48, 48, 1\), \(1,\)\]"),
        (any_model(outputs=3), r"gives \[\(3,\)\].* gives \[\(1,\)\]"),
        (any_model(channels=3), r"takes \[\(48, 48, 3\), \(1,\)\]"),
        (any_model(sex=False), r"takes \[\(48, 48, 1\)\]"),
        (any_model(), None),
    ],
    ids=["size", "outputs", "colours", "no sex", "fits"],
)
def test_a_model_that_does_not_fit_its_run_is_refused(model, told, small_run, tmp_path):
    """Most would give a number all the same, with the interval of the run's own model."""
    run = shutil.copytree(small_run, tmp_path / "run")
    model.save(run / "model.keras")
    if told:
        with pytest.raises(UserError, match=f"the model is not that of the run: .*{told}"):
            load_run_model(read_run(run))
    else:
        assert load_run_model(read_run(run)).count_params() == model.count_params()


@pytest.mark.parametrize("batch_size", [1, 7, 32, 500])
def test_predictions_are_in_file_order_and_whole_whatever_the_batch(trained, by_hand, batch_size):
    predict, films, alone = by_hand
    first, second = (predict_films(predict, films, batch_size) for _ in range(2))
    pd.testing.assert_frame_equal(first, second)
    table = pd.read_csv(trained[1] / "df_test.csv", dtype={"id": str})
    assert first["id"].tolist() == table["id"].tolist()
    assert first["boneage"].tolist() == table["boneage"].tolist()
    np.testing.assert_allclose(first["predicted"], alone, atol=0.01)


def test_a_predictor_keeps_the_weights_it_was_made_with_unless_it_follows_them(
    small_run, monkeypatch
):
    model = load_run_model(read_run(small_run))
    size = model.inputs[0].shape[1]
    image = np.random.default_rng(0).integers(0, 256, (3, size, size, 1)).astype(np.uint8)
    sex = np.ones((3, 1), np.float32)
    kept, follows = compile_predictor(model), compile_predictor(model, follow_weights=True)
    monkeypatch.setattr(prediction, "MOST_CONSTANTS", 0)
    large = compile_predictor(model)
    before = follows(image, sex)
    np.testing.assert_allclose(large(image, sex), before, atol=1e-3)
    bias = model.get_layer("z").bias
    bias.assign(bias + 1)
    np.testing.assert_allclose(kept(image, sex), before, atol=1e-3)
    for predict in (follows, large):
        assert np.all(np.abs(predict(image, sex) - before) > 1)


def test_batches_hold_each_film_and_few_copies():
    assert [rows.tolist() for rows in full_batches(5, 2)] == [[0, 1], [2, 3], [4, 4]]
    assert [rows.tolist() for rows in full_batches(3, 32)] == [[0, 1, 2]]
    assert [even_batch(n, 32) for n in (3, 32, 33, 64, 65)] == [3, 32, 17, 32, 22]


def test_months_are_rounded_as_decimal_numbers_and_not_as_those_of_float32():
    months = predict_months(
        lambda image, sex: np.full(len(image), 100.01, np.float32),
        *(np.zeros((3, 8, 8), np.uint8), [1, 0, 1]),
        batch_size=2,
    )
    assert months.round(2).tolist() == [100.01] * 3


def test_out_of_memory_in_a_prediction_is_a_user_error():
    film = keras.Input((8, 8, 1))
    beyond_any_address = layers.UpSampling2D(2**19)(film)
    predict = compile_predictor(
        keras.Model(film, layers.GlobalAveragePooling2D()(beyond_any_address))
    )
    with pytest.raises(UserError, match="4 films of 8 pixels at once.*--batch_size_eval"):
        predict(np.zeros((4, 8, 8, 1), np.uint8), np.ones((4, 1)))


def test_deep_film_and_its_8_bit_twin_have_the_same_age(trained, odd_films, done, tmp_path):
    names = [odd_films / f"{bits}bit.png" for bits in (8, 16, 12)]
    out = tmp_path / "ages.csv"
    words = [*names, "--model", trained[0], "--sex", "F", "--out", out]
    done("predict.py", *words)
    months = pd.read_csv(out)["months"]
    assert months.notna().all()
    assert np.ptp(months) < 0.5
    record = json.loads((tmp_path / "ages.csv.json").read_text())
    assert record["command"][1:] == list(map(str, words))
    assert (record["folder"], record["films"]) == (str(Path.cwd()), 3)
    assert record["models"] == [hash_file(trained[0] / "model.keras")]
    assert (record["views"], record["runtimes"], record["calibration"]) == (4, ["keras"], None)
    assert record["environment"]["versions"].keys() >= {"tensorflow", "numpy", "scipy"}


def test_bad_files_are_named_and_the_rest_is_done(trained, odd_films, command, tmp_path):
    names = ["truncated.png", "8bit.png", "letter.jpg", "none.png", "16bit.png"]
    paths = [odd_films / name for name in names]
    out = tmp_path / "ages.csv"
    process = command("predict.py", *paths, "--model", trained[0], "--sex", "m", "--out", out)
    assert process.returncode == 1
    first, *errors = process.stderr.splitlines()
    assert first == RESEARCH_ONLY
    assert len(errors) == 3
    for line, name in zip(errors, ["truncated.png", "letter.jpg", "none.png"], strict=True):
        assert line.startswith("error: ")
        assert name in line
    lines = process.stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["8bit.png", "16bit.png"]
    assert all(" months " in line and " y " in line and " M " in line for line in lines)
    table = pd.read_csv(out)
    assert table["filename"].tolist() == names
    assert table["months"].isna().tolist() == [True, False, True, True, False]


def test_predict_agrees_with_evaluate_film_by_film(trained, evaluated, done, tmp_path):
    """Sexes from a table, a whole folder in one call."""
    done(
        *("predict.py", trained[1] / "test", "--model", trained[0], "--tta_steps", "1"),
        *("--csv", trained[1] / "df_test.csv", "--out", tmp_path / "ages.csv"),
    )
    ages = pd.read_csv(tmp_path / "ages.csv").assign(
        id=lambda table: table["filename"].str.removesuffix(".png")
    )
    both = ages.merge(read_predictions(evaluated[1] / "predictions.csv"), on="id")
    assert len(both) == 90
    np.testing.assert_allclose(both["months"], both["predicted"], atol=0.011)


def test_the_age_of_the_child_is_read_from_the_table_or_typed(small_run, phantoms, done, tmp_path):
    films = sorted((phantoms / "test").iterdir())[:3]
    table = {"id": [film.stem for film in films], "sex": ["M", "F", "F"]}
    pd.DataFrame(table | {"age_months": [100, 60, None]}).to_csv(tmp_path / "c.csv", index=False)
    words = ["--model", small_run, "--csv", tmp_path / "c.csv", "--out", tmp_path / "ages.csv"]
    process = done("predict.py", *films, *words)
    ages = pd.read_csv(tmp_path / "ages.csv")
    assert ages["age_months"].tolist()[:2] == [100, 60]
    scores = [(ages["months"][0] - 100) / (9.10 - 0.10 / 3), (ages["months"][1] - 60) / 11.65]
    assert ages["sd_score"][:2].tolist() == pytest.approx(scores, abs=0.01)
    assert (ages["sd_low"] < ages["sd_score"])[:2].all()
    assert (ages["sd_score"] < ages["sd_high"])[:2].all()
    assert ages.loc[2, ["age_months", "sd_score"]].isna().all()
    lines = process.stdout.splitlines()
    ends = [(ages[end][0] - 100) / (9.10 - 0.10 / 3) for end in ("low", "high")]
    assert lines[0].endswith(f"{scores[0]:+.1f} SD ({ends[0]:+.1f} to {ends[1]:+.1f}) at 8 y 4 mo")
    assert "SD" not in lines[2]
    typed = done("predict.py", films[1], *words[:2], "--sex", "F", "--age_months", "60")
    assert typed.stdout.splitlines() == [lines[1]]


def test_model_keras_in_a_program_of_ones_own_says_the_same(small_run, phantoms, done):
    """What docs/RUNS.md promises: films as read_pixels prepares them, and Keras alone."""
    film = next((phantoms / "test").iterdir())
    process = done("predict.py", film, "--model", small_run, "--sex", "M")
    options = json.loads((small_run / "config.json").read_text())["options"]
    pixels, _ = read_pixels([film], options["img_size"], options["fit"])
    model = keras.models.load_model(small_run / "model.keras")
    months = float(model([pixels[[0]][..., None], np.ones((1, 1))])[0, 0])
    assert months == pytest.approx(float(process.stdout.split()[2]), abs=0.06)


def test_mistakes_of_predict_are_one_line_each(trained, odd_films, inside, tmp_path):
    film, run = odd_films / "8bit.png", trained[0]
    (tmp_path / "no_sex.csv").write_text("id,boneage\n8bit,100\n")
    (tmp_path / "there.csv").write_text("mine")
    (tmp_path / "empty").mkdir()
    cases = [
        ([film, "--model", run], ["--sex F or M"]),
        ([film, "--model", tmp_path, "--sex", "F"], ["no trained run", str(tmp_path)]),
        ([film, "--model", run / "model.keras", "--sex", "F"], ["Name the folder it is in"]),
        ([tmp_path / "no_films", "--model", run, "--sex", "F"], ["no such film or folder"]),
        ([film, "--model", run, "--csv", tmp_path / "no.csv"], ["no such table", "no.csv"]),
        ([film, "--model", run, "--csv", tmp_path / "no_sex.csv"], ["no column for sex"]),
        ([film, "--model", run, "--sex", "F", "--out", tmp_path / "there.csv"], ["--out"]),
        ([tmp_path / "empty", "--model", run, "--sex", "F"], ["no image in the folder"]),
        (["--model", run, "--sex", "F"], ["no IMAGE: name a film"]),
        (["--model", run, tmp_path / "none.png", film], ["no trained run", "none.png"]),
        ([film, "--model", f"{run}s", "--sex", "F"], ["no trained run", f"Runs nearby: {run}."]),
        ([film, "--model", run, "--age_months", "90"], ["--sex F or M"]),
        (["--model", run, tmp_path / "typo.png"], ["neither a run nor a film", "typo.png"]),
        ([film, "--sex", "F", "--age_months", "200"], ["girls end at 192 months"]),
    ]
    for words, expected in cases:
        check_error_line(inside("predict.py", *words), *expected)
    assert (tmp_path / "there.csv").read_text() == "mine"


def test_films_may_stand_behind_the_runs(trained, small_run, odd_films, inside):
    films = [odd_films / "8bit.png", odd_films / "16bit.png"]
    first, behind, around = (
        inside("predict.py", *words, "--sex", "F")
        for words in (
            [*films, "--model", trained[0], small_run],
            ["--model", trained[0], small_run, *films],
            [films[0], "--model", trained[0], small_run, films[1]],
        )
    )
    assert first.returncode == 0, first.stderr
    assert behind.stdout == around.stdout == first.stdout


def test_what_predict_writes_comes_in_one_call_too(trained, odd_films, inside, tmp_path):
    films = [odd_films / "8bit.png", odd_films / "16bit.png"]
    words = ["--model", trained[0], "--sex", "M", "--age_months", "100"]
    inside("predict.py", *films, *words, "--out", tmp_path / "ages.csv")
    ages = film_ages.predict_ages(films, "M", 100, trained[0])
    expected = pd.read_csv(tmp_path / "ages.csv").drop(columns=["problem", "note"])
    pd.testing.assert_frame_equal(ages[expected.columns], expected, check_dtype=False)
    table = pd.DataFrame({"film": films, "sex": ["F", "M"], "age": [90, 100]}, index=[1, 0])
    columns = film_ages.predict_ages(table["film"], table["sex"], table["age"], trained[0])
    assert columns["sex"].tolist() == [0, 1]  # in order, whatever their index
    assert columns["age_months"].tolist() == [90, 100]
    gaps = pd.DataFrame({"sex": ["F", pd.NA], "age": pd.array([90, pd.NA], "Int64")})
    for told in (gaps, gaps.to_dict("list")):  # as columns, as lists
        ages = film_ages.predict_ages(films, iter(told["sex"]), told["age"], trained[0])
        assert ages["problem"].tolist() == ["", "no sex: F or M"]
        assert ages["age_months"].fillna(-1).tolist() == [90, -1]
    one = film_ages.predict_ages(films, "F", pd.NA, trained[0])["age_months"]
    assert one.isna().all()
    odd = film_ages.predict_ages([films[0], "none.png"], ["w", "girl"], model=trained[0])
    assert odd["problem"].tolist() == ["no sex: F or M", "can't be read: No such file or directory"]
    assert odd["months"].isna().all()
    gaps = film_ages.predict_ages([films[0], None, np.nan], "F", model=trained[0])
    assert gaps["months"].isna().tolist() == [False, True, True]
    assert gaps["problem"].tolist()[1:] == ["can't be read: No such file or directory"] * 2
    (alone,) = film_ages.predict_ages(films[1], 1, model=[trained[0]])["months"]
    assert alone == film_ages.predict_ages(iter(films), "male", model=trained[0])["months"][1]
    with pytest.raises(UserError, match="no films to predict"):
        film_ages.predict_ages([])
    with pytest.raises(UserError, match="no films to predict, or no model"):
        film_ages.predict_ages(films, "F", model=[])
    with pytest.raises(UserError, match="sex and age_months need one value or 2, one per path"):
        film_ages.predict_ages(films, ["F", "M", "F"])
    for age in ("ten", [90, object()]):
        with pytest.raises(UserError, match="ages are numbers"):
            film_ages.predict_ages(films, "F", age)
    with pytest.raises(UserError, match="that is a folder"):
        film_ages.predict_ages([films[0], odd_films])
    with pytest.raises(UserError, match="no calibration"):
        film_ages.predict_ages(films, "M", model=trained[0], calibration="nowhere")


def test_films_are_shared_out_evenly_among_batches(small_run, odd_films, monkeypatch):
    """Batches have one shape: the last of 33 films in batches of 32 would be filled up with 31."""
    asked, usual = [], prediction.full_batches
    monkeypatch.setattr(prediction, "full_batches", lambda *n: asked.append(n) or usual(*n))
    monkeypatch.setattr(film_ages, "CHUNK", 10)
    for n in (1, 8, 9, 19):
        films = [odd_films / "8bit.png"] * n
        ages = film_ages.predict_ages(films, "F", model=small_run, batch_size=8)
        assert ages["months"].notna().all()
    assert asked == [(1, 1), (8, 8), (9, 5), (10, 5), (9, 5)]


@pytest.fixture
def run_of_boys(small_run, tmp_path):
    """A run that says that all its training films are of boys."""
    run = shutil.copytree(small_run, tmp_path / "boys")
    with edit_json(run / "config.json") as config:
        config["data"]["train"]["male"] = config["data"]["train"]["n"]
    return run


def test_what_should_be_known_of_a_model_is_warned_of(run_of_boys, odd_films):
    with pytest.warns(UserWarning, match="predictions for girls are meaningless"):
        film_ages.predict_ages(odd_films / "8bit.png", "F", model=run_of_boys)


def test_ages_that_can_not_be_are_noted():
    def notes(**film):
        known = {"months": 100.0, "sex": 1, "age_months": np.nan, "sd_score": np.nan}
        return list(film_ages.age_notes(Namespace(**known | film)))

    assert notes() == notes(months=np.nan, age_months=100) == []
    assert notes(sex=pd.NA, age_months=100) == []
    assert notes(age_months=90, sd_score=1.0) == []
    for months in (-3.0, 250.0):
        assert "the prediction is meaningless" in notes(months=months)[0]
    assert "no SD score at 300 months: SDs are known from 3 to 204" in notes(age_months=300)[0]
    assert "is the age of the child in months?" in notes(age_months=10, sd_score=80.0)[0]
    shown = [age_report.has_score(Namespace(sd_score=sds)) for sds in (-9.9, 10.1, np.nan)]
    assert shown == [True, False, False]


def test_what_a_table_tells_of_children_and_is_not_used_is_told(
    small_run, odd_films, inside, tmp_path
):
    def predict(text):
        (tmp_path / "c.csv").write_text(text)
        words = ["--model", small_run, "--csv", tmp_path / "c.csv"]
        return inside("predict.py", odd_films / "8bit.png", *words).stderr

    # a table of all films, of which one is wanted
    assert predict("id,sex\n8bit,F\nanother,M\n") == f"{RESEARCH_ONLY}\n"
    for header in (
        "Age",
        "chronological age",
        "Chronological",
        "PatientAge",
        "Patient age (months)",
    ):
        assert f"column {header} is not used" in predict(f"id,sex,{header}\n8bit,F,9\n")
    told = predict("id,sex,age_months\n8bit,F,8y4m\n")
    assert "ages of children not in months: 1, such as 8y4m" in told
    told = predict("id,sex\n8bitt,F\n")
    assert "that name no film here: 1, such as 8bitt" in told
    assert "ids such as 8.1E+03 were shortened" in predict("id,sex\n8.1E+03,F\n")
    assert "weiblich in place of M or F" in predict("id,sex\n8bit,weiblich\n")


def test_sex_of_one_film_unknown_to_the_table(trained, odd_films, inside, tmp_path):
    (tmp_path / "sexes.csv").write_text("filename,sex\n8bit.png,M\n")
    films = [odd_films / "8bit.png", odd_films / "16bit.png"]
    process = inside("predict.py", *films, "--model", trained[0], "--csv", tmp_path / "sexes.csv")
    assert process.returncode == 1
    assert "no row for it in " in process.stderr
    assert "16bit.png" in process.stderr
    assert process.stdout.startswith("8bit.png")


def test_a_folder_is_all_films_in_it_and_below_and_a_film_is_itself(
    trained, odd_films, done, tmp_path
):
    """Litter is no film; of pictures that are not read a note tells."""
    (tmp_path / "films" / "old").mkdir(parents=True)
    (tmp_path / "films" / "old" / "a.GIF").touch()
    for name in ("a.png", "old/b.png", "._a.png"):
        shutil.copy(odd_films / "8bit.png", tmp_path / "films" / name)
    (tmp_path / "sexes.csv").write_text("id,sex\na,M\nb,M\n")
    words = ["--model", trained[0], "--csv", tmp_path / "sexes.csv"]
    for named, expected in (("films", ["a.png", "old/b.png"]), ("films/a.png", ["a.png"])):
        process = done("predict.py", tmp_path / named, *words)
        noted = "note: pictures of unsupported kinds: 1, such as" in process.stderr
        assert noted == (named == "films")
        assert [line.split()[:2] for line in process.stdout.splitlines()] == [
            [name, "M"] for name in expected
        ]


def test_a_film_of_two_sexes_is_not_predicted(trained, odd_films, inside, tmp_path):
    folder = tmp_path / "films"
    folder.mkdir()
    for name in ("twice", "blank", "once"):
        shutil.copy(odd_films / "8bit.png", folder / f"{name}.png")
    rows = "twice,F\ntwice,M\nblank,F\nblank,\nonce,M\n"
    (tmp_path / "sexes.csv").write_text(f"id,sex\n{rows}")
    words = ["--model", trained[0], "--csv", tmp_path / "sexes.csv", "--out", tmp_path / "out.csv"]
    process = inside("predict.py", folder, *words)
    assert process.returncode == 1
    table = pd.read_csv(tmp_path / "out.csv", index_col="filename")
    assert "two sexes in " in table["problem"]["twice.png"]
    assert table["problem"].count() == 1
    sexes = {line.split()[0]: line.split()[1] for line in process.stdout.splitlines()}
    assert sexes == {"blank.png": "F", "once.png": "M"}
    assert "error: two sexes in " in process.stderr


def test_two_ages_of_a_film_are_told_of_and_not_used(tmp_path, capsys):
    table = tmp_path / "sexes.csv"
    table.write_text("id,sex,age_months\ntwice,F,100\ntwice,F,120\nonce,M,90\nonce,M,90\n")
    told = look_up_children([Path("twice.png"), Path("once.png")], table, None)
    np.testing.assert_equal(told, [(0.0, np.nan, ""), (1.0, 90.0, "")])
    note = f"films with two ages in {table}, neither used: 1, such as twice.png"
    assert note in capsys.readouterr().err


@pytest.mark.parametrize("header", ["age_years", "Age (years)"])
def test_ages_in_years_fill_gaps_among_those_in_months(header, tmp_path, capsys):
    table = tmp_path / "sexes.csv"
    table.write_text(f"id,sex,{header},age_months\na,F,8.3,100\nb,F,9.5,\nc,F,,\nd,F,9y,\n")
    told = look_up_children([Path(f"{name}.png") for name in "abcd"], table, None)
    np.testing.assert_equal([age for _, age, _ in told], [100, 114, np.nan, np.nan])
    assert (
        capsys.readouterr().err == f"note: ages of children not in years: 1, such as 9y ({table})\n"
    )


def test_months_beyond_the_years_are_no_age_of_their_own(tmp_path, capsys):
    """The age is optional: it is told of, and no reason to stop."""
    table = tmp_path / "sexes.csv"
    table.write_text("id,sex,age_years,age_months\nb,F,0,5\na,F,10,7\n")
    told = look_up_children([Path("a.png"), Path("b.png")], table, None)
    np.testing.assert_equal(told, [(0.0, np.nan, ""), (0.0, 5.0, "")])
    assert capsys.readouterr().err == (
        "note: rows in which age_months and age_years contradict each other, neither used: 1, such "
        f"as row 3 ({table})\n"
    )
    # 1 year and 6 months is known by the other row: alone, 6 months might be one year, rounded
    table.write_text("id,sex,age_years,age_months\na,F,10,7\nb,F,1,6\n")
    told = look_up_children([Path("a.png"), Path("b.png")], table, None)
    np.testing.assert_equal([age for _, age, _ in told], [np.nan, np.nan])
    table.write_text("id,sex,age_years,age_months\nb,F,0,5\na,F,10,127\n")
    assert look_up_children([Path("a.png")], table, None) == [(0.0, 127.0, "")]


@pytest.mark.parametrize("failing", ["write_csv", "write_json"])
def test_films_of_a_chunk_that_could_not_be_written_count_as_missing(
    failing, monkeypatch, tmp_path, capsys
):
    """As on a full disk, at the second of two chunks, and at the record beside the first."""
    row = dict.fromkeys(film_ages.COLUMNS, np.nan) | {"months": 60.0, "shown": "a.png", "note": ""}
    films = pd.DataFrame([row, row]).astype({"sex": "Int64"})
    monkeypatch.setattr(age_report, "predict_in_chunks", lambda *_: (films[:1], films[1:]))
    monkeypatch.setattr(age_report, "how_predicted", lambda *_: {})

    tables = []

    def full(path, *content):
        if failing == "write_csv" and not tables:
            return tables.append(write_csv(path, *content))
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(age_report, failing, full)
    args = Namespace(out=str(tmp_path / "ages.csv"), batch_size_eval=1)
    with pytest.raises(OSError, match="No space left"):
        age_report.report_ages(None, films, args)
    assert len(pd.read_csv(args.out)) == 1
    assert f"only 1 of 2 films are in {args.out}" in capsys.readouterr().err


@pytest.fixture
def namesakes(odd_films, tmp_path):
    """Two films of one name, in folders p1 and p2."""
    films = [tmp_path / part / "hand.png" for part in ("p1", "p2")]
    for film in films:
        film.parent.mkdir()
        shutil.copy(odd_films / "8bit.png", film)
    return films


def test_films_of_one_name_have_the_sexes_of_their_paths(trained, namesakes, inside, tmp_path):
    (tmp_path / "sexes.csv").write_text("path,sex\np1/hand.png,F\np2/hand.png,M\n")
    words = [*namesakes, "--model", trained[0], "--csv", tmp_path / "sexes.csv"]
    process = inside("predict.py", *words)
    assert [line.split()[1] for line in process.stdout.splitlines()] == ["F", "M"]


@pytest.mark.parametrize("rows", ["id,sex\nhand,F\n", "id,filename,sex\n7,hand.png,F\n"])
def test_one_row_for_two_films_of_one_name_tells_the_sex_of_neither(
    trained, namesakes, inside, done, tmp_path, rows
):
    """As archives of hospitals have IM0001 of one child in each folder."""
    (tmp_path / "sexes.csv").write_text(rows)
    words = ["--model", trained[0], "--csv", tmp_path / "sexes.csv"]
    process = inside("predict.py", *namesakes, *words)
    assert process.returncode == 1
    assert not process.stdout
    assert process.stderr.count("several files of that name, which ") == 2
    done("predict.py", namesakes[0], *words)


def test_a_row_of_another_folder_tells_no_sex(trained, namesakes, inside, tmp_path):
    (tmp_path / "sexes.csv").write_text("path,sex\np1/hand.png,F\n")
    words = [*namesakes, "--model", trained[0], "--csv", tmp_path / "sexes.csv"]
    process = inside("predict.py", *words)
    assert len(process.stdout.splitlines()) == 1
    assert f"error: no row for it in {tmp_path / 'sexes.csv'} ({namesakes[1]})" in process.stderr


def test_a_film_that_is_named_by_dots_has_its_row(trained, namesakes, done, tmp_path):
    (tmp_path / "sexes.csv").write_text("path,sex\n./p1/hand.png,F\np2/hand.png,M\n")
    films = [film.parent / ".." / film.parent.name / film.name for film in namesakes]
    words = [*films, "--model", trained[0], "--csv", tmp_path / "sexes.csv"]
    process = done("predict.py", *words)
    assert [line.split()[1] for line in process.stdout.splitlines()] == ["F", "M"]


@names_of_bytes
def test_a_name_that_is_not_unicode_is_printed(trained, odd_films, done, tmp_path):
    film = os.fsencode(tmp_path) + b"/film_\xe9.png"
    shutil.copy(odd_films / "8bit.png", film)
    process = done("predict.py", os.fsdecode(film), "--model", trained[0], "--sex", "F")
    assert process.stdout.startswith(r"film_\udce9.png  F")


def test_inverted_films_are_told_of_and_their_months_are_as_of_light_bones(
    trained, inside, tmp_path
):
    run, data = trained
    films = tmp_path / "films"
    films.mkdir()
    table = pd.read_csv(data / "df_test.csv", dtype={"id": str})[:8]
    for name in table["filename"]:
        film = cv2.imread(str(data / "test" / name), cv2.IMREAD_GRAYSCALE)
        cv2.imwrite(str(films / name), 255 - film)
    table.to_csv(tmp_path / "some.csv", index=False)
    months, said = {}, {}
    for name, folder in (("dark", films), ("light", data / "test")):
        out = tmp_path / f"{name}.csv"
        words = ["--model", run, "--csv", tmp_path / "some.csv", "--out", out, "--tta_steps", "1"]
        said[name] = inside("predict.py", folder, *words).stderr
        months[name] = pd.read_csv(out).set_index("filename")["months"].dropna()
    assert said["dark"].count("the film looked inverted, with dark bones, and was inverted") >= 7
    assert "looked inverted" not in said["light"]
    moved = (months["dark"] - months["light"]).dropna().abs()
    assert len(moved) == 8
    assert np.sum(moved < 1) >= 7
    words = ["--csv", tmp_path / "some.csv", "--images", films, "--out", tmp_path / "out"]
    process = inside("evaluate.py", run, *words)
    assert "note: films that looked inverted and were inverted back: " in process.stdout


@pytest.mark.parametrize("words", [("evaluate.py",), ("predict.py", "film.png", "--model")])
def test_a_training_that_has_not_ended_is_no_run_yet(small_run, inside, tmp_path, words):
    killed = shutil.copytree(small_run, tmp_path / "killed")
    for name in ("calibration.json", "metrics.json"):  # what comes after the last epoch
        (killed / name).unlink()
    process = inside(*words, killed)
    check_error_line(process, f"the training is not finished ({killed})", "--resume")


def test_months_are_not_told_without_their_correction(small_run, inside, tmp_path):
    damaged = shutil.copytree(small_run, tmp_path / "damaged")
    (damaged / "calibration.json").unlink()
    process = inside("predict.py", "film.png", "--model", damaged)
    check_error_line(
        process, f"calibration.json, which corrects the months, is missing ({damaged})"
    )


def test_what_is_predicted_before_an_interruption_is_kept(
    trained, odd_films, inside, tmp_path, monkeypatch
):
    words = [odd_films, "--model", trained[0], "--sex", "F"]
    whole = inside("predict.py", *words, "--out", tmp_path / "whole.csv")
    assert whole.returncode == 1  # two of the films can't be read
    usual, calls = Ensemble.predict, []

    def predict(*args, **options):
        calls.append(args)
        if len(calls) == 2:  # what a kill, which nobody can wait for, would leave
            assert len(pd.read_csv(tmp_path / "part.csv")) == 2
            raise KeyboardInterrupt
        return usual(*args, **options)

    monkeypatch.setattr("util.predicting.film_ages.CHUNK", 2)
    monkeypatch.setattr(Ensemble, "predict", predict)
    process = inside("predict.py", *words, "--out", tmp_path / "part.csv")
    assert process.returncode == 130
    assert "only " in process.stderr
    part, whole = (
        pd.read_csv(tmp_path / f"{name}.csv", dtype={"problem": str}) for name in ("part", "whole")
    )
    assert 0 < len(part) < len(whole)
    pd.testing.assert_frame_equal(part, whole[: len(part)], atol=0.02)
    monkeypatch.setattr(Ensemble, "predict", usual)
    inside("predict.py", *words, "--out", tmp_path / "chunks.csv")
    chunks = pd.read_csv(tmp_path / "chunks.csv", dtype={"problem": str})
    pd.testing.assert_frame_equal(chunks, whole, atol=0.02)


def test_a_folder_that_can_not_be_read_is_no_folder_without_films(trained, inside, monkeypatch):
    def scandir(folder):
        if Path(folder).name == "closed":
            raise PermissionError(13, "Permission denied", str(folder))
        return usual(folder)

    usual, films = os.scandir, trained[1] / "test"
    closed = films / "closed"
    closed.mkdir()
    monkeypatch.setattr(os, "scandir", scandir)
    process = inside("predict.py", films, "--model", trained[0], "--sex", "F")
    closed.rmdir()
    check_error_line(process, f"can't read a folder: Permission denied ({closed})")


def png_of_zeros(side):
    """A small file of many pixels, of 1 bit each."""

    def chunk(kind, data):
        both = kind + data
        return struct.pack(">I", len(data)) + both + struct.pack(">I", zlib.crc32(both))

    head = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    pixels = zlib.compress(bytes((1 + side // 8) * side))
    parts = chunk(b"IHDR", head), chunk(b"IDAT", pixels), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no pipes in folders")
def test_what_is_no_film_keeps_no_other_from_its_age(trained, command, tmp_path):
    """A pipe that nobody writes into, a picture of more pixels than memory, names of two lines."""
    film = next((trained[1] / "test").iterdir())
    shutil.copy(film, tmp_path / "9\n1.png  F   200.0 months.png")
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "zero.png").symlink_to("/dev/zero")
    (tmp_path / "bomb.png").write_bytes(png_of_zeros(12_000))
    process = command("predict.py", tmp_path, "--model", trained[0], "--sex", "F")
    assert process.returncode == 1
    assert process.stderr.count("can't be read: no regular file") == 2
    assert "error: more pixels than any film has" in process.stderr
    (line,) = process.stdout.splitlines()
    assert line.startswith("9\\n1.png  F   200.0 months.png  F ")


def test_a_sex_of_numbers_is_what_the_option_says(trained, inside, tmp_path):
    table = pd.read_csv(trained[1] / "df_test.csv", dtype={"id": str})[:6]
    table[["id", "sex"]].rename(columns={"sex": "gender"}).to_csv(tmp_path / "t.csv", index=False)
    films = [trained[1] / "test" / name for name in table["filename"]]
    words = ["--model", trained[0], "--csv", tmp_path / "t.csv"]
    check_error_line(inside("predict.py", *films, *words), "--male_value 1 or --male_value 0")
    table.rename(columns={"sex": "male"})[["id", "male"]].to_csv(tmp_path / "m.csv", index=False)
    other = [*words[:3], tmp_path / "m.csv", "--male_value", "0"]
    process = inside("predict.py", *films, *other)
    check_error_line(process, "--male_value 0 has no effect", "in a column male, 1 is male")
    for male, expected in ((1, table["sex"]), (0, 1 - table["sex"])):
        out = tmp_path / f"{male}.csv"
        inside("predict.py", *films, *words, "--male_value", male, "--out", out)
        assert pd.read_csv(out)["sex"].tolist() == expected.tolist()


def test_predict_prints_and_writes_the_interval(trained, done, tmp_path):
    process = done(
        *("predict.py", trained[1] / "test", "--model", trained[0]),
        *("--csv", trained[1] / "df_test.csv", "--out", tmp_path / "ages.csv"),
    )
    ages = pd.read_csv(tmp_path / "ages.csv", dtype={"filename": str})
    half_width = json.loads((trained[0] / "calibration.json").read_text())["views_4"]["half_width"]
    low, high = interval_bounds(ages["months"].to_numpy(), half_width)
    np.testing.assert_allclose(ages["low"], low, atol=0.011)
    np.testing.assert_allclose(ages["high"], high, atol=0.011)
    for line, row in zip(process.stdout.splitlines(), ages.itertuples(), strict=True):
        years = [format_years(months) for months in (row.months, row.low, row.high)]
        assert line.endswith("{}  {} (90 %: {} - {})".format("months", *years))


def test_views_without_a_calibration_have_no_interval(trained, odd_films, done):
    words = ("--model", trained[0], "--sex", "F", "--tta_steps", "2")
    process = done("predict.py", odd_films / "8bit.png", *words)
    assert "90 %" not in process.stdout
    assert "\nnote: no intervals: the run was not validated on means of 2" in process.stderr


def test_a_row_that_names_a_linked_folder_has_its_film(tmp_path):
    for name, place in (("2020", "first"), ("2021", "second")):
        (tmp_path / place).mkdir()
        (tmp_path / place / "1.png").touch()
        (tmp_path / "films").mkdir(exist_ok=True)
        (tmp_path / "films" / name).symlink_to(tmp_path / place)
    (tmp_path / "sexes.csv").write_text("filename,sex\n2020/1.png,F\n2021/1.png,M\n")
    films = list_named([str(tmp_path / "films")])
    args = Namespace(csv=tmp_path / "sexes.csv", male_value=None, match_by=None)
    assert add_children(films, args, needs_sex=True)["sex"].tolist() == [0, 1]


def test_a_run_in_place_of_a_film_is_told(small_run, inside):
    process = inside("predict.py", small_run, "--model", small_run, "--sex", "F")
    check_error_line(process, "that folder holds runs", f"Use --model {small_run}")
    process = inside("predict.py", small_run.parent, "--model", small_run, "--sex", "F")
    check_error_line(process, "that folder holds runs", f"Use --model {small_run}")


def test_a_run_that_knows_one_sex_alone_says_so(run_of_boys, small_run, inside):
    process = inside(
        "predict.py", ROOT / "tests" / "phantom.png", "--model", run_of_boys, "--sex", "F"
    )
    assert (
        "note: all training films are of boys: predictions for girls are meaningless"
        in process.stderr
    )
    process = inside(
        "predict.py", ROOT / "tests" / "phantom.png", "--model", small_run, "--sex", "F"
    )
    assert "training films are of" not in process.stderr
