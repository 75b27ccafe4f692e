"""evaluate.py and predict.py on a trained run: right months, right order, errors in one line."""

import json
import os
import shutil

import cv2
import keras
import numpy as np
import pandas as pd
import pytest
from keras import layers

from preprocessing import load_films
from util import prediction
from util.ensemble import Ensemble, Member
from util.errors import UserError
from util.held_out import trained_on, training_notes
from util.intervals import interval_bounds
from util.metrics import format_years
from util.pixel_cache import read_pixels
from util.prediction import compile_predictor, predict_films
from util.runs import Run, load_run_model, read_run


def read_predictions(folder):
    return pd.read_csv(folder / "predictions.csv", dtype={"id": str})


def is_one_error_line(process, *words):
    assert process.returncode == 2
    assert process.stderr.count("\n") == 1, process.stderr
    assert process.stderr.startswith("error: ")
    assert all(word in process.stderr for word in words), process.stderr
    return True


@pytest.fixture(scope="module")
def evaluated(trained, inside, tmp_path_factory):
    """evaluate.py on the test split, on the films alone: (process, output folder)."""
    out = tmp_path_factory.mktemp("evaluated") / "out"
    return inside("evaluate.py", trained[0], "--tta_steps", "1", "--out", out), out


def test_a_small_model_beats_the_median_baseline_twofold(evaluated):
    """Must hold 8: on phantoms that no epoch has seen."""
    metrics = json.loads((evaluated[1] / "metrics.json").read_text())
    assert metrics["n"] == 90
    assert 2 * metrics["mae"] < metrics["baseline"]["mae"]


def test_evaluation_repeats_what_the_run_says_of_its_test_split(trained, evaluated):
    expected = pd.read_csv(trained[0] / "predictions_test.csv", dtype={"id": str})
    pd.testing.assert_frame_equal(read_predictions(evaluated[1]), expected)


def test_evaluation_prints_months_and_leaves_pictures(evaluated):
    process, out = evaluated
    assert process.returncode == 0, process.stderr
    for words in ("errors in months", "median baseline", "90", str(out)):
        assert words in process.stdout
    names = {path.name for path in (out / "plots").iterdir()}
    assert any(name.startswith("bland_altman") for name in names)
    assert len(names) == 3


def test_views_are_averaged_film_by_film(trained, inside, tmp_path):
    """S1, S2: the mean over views keeps its film, label and order; a run that was trained with
    views is evaluated with as many."""
    options = json.loads((trained[0] / "config.json").read_text())["options"]
    assert (options["use_tta"], options["tta_steps"]) == (True, 4)
    plain = pd.read_csv(trained[0] / "predictions_test.csv")
    views = pd.read_csv(trained[0] / "predictions_test_tta.csv")
    assert views[["id", "boneage"]].equals(plain[["id", "boneage"]])
    assert np.corrcoef(plain["predicted"], views["predicted"])[0, 1] > 0.9
    assert not np.allclose(plain["predicted"], views["predicted"], atol=0.1)
    metrics = json.loads((trained[0] / "metrics.json").read_text())
    assert metrics["test_tta"]["mae"] == pytest.approx(views["error"].abs().mean())
    process = inside("evaluate.py", trained[0], "--out", tmp_path / "out")
    assert process.returncode == 0, process.stderr
    assert "mean of 4 views" in process.stdout
    assert read_predictions(tmp_path / "out")["predicted"].tolist() == views["predicted"].tolist()


@pytest.fixture(scope="module")
def by_hand(trained):
    """The predictor of the run, its test films, and their months one by one."""
    run, data = trained
    films = load_films(data, "test", 64, "hand")
    predict = compile_predictor(load_run_model(read_run(run)[0]))
    alone = [
        float(predict(films.pixels[[i]][..., None], [[sex]])[0])
        for i, sex in enumerate(films.table["sex"])
    ]
    return predict, films, alone


@pytest.mark.parametrize("batch_size", [1, 7, 32, 500])
def test_predictions_are_in_file_order_and_whole_whatever_the_batch(trained, by_hand, batch_size):
    """Must hold 2."""
    predict, films, alone = by_hand
    first, second = (predict_films(predict, films, batch_size) for _ in range(2))
    pd.testing.assert_frame_equal(first, second)
    table = pd.read_csv(trained[1] / "df_test.csv", dtype={"id": str})
    assert first["id"].tolist() == table["id"].tolist()
    assert first["boneage"].tolist() == table["boneage"].tolist()
    np.testing.assert_allclose(first["predicted"], alone, atol=0.01)


def test_a_predictor_keeps_the_weights_it_was_made_with_unless_in_training(small_run, monkeypatch):
    model = load_run_model(read_run(small_run)[0])
    size = model.inputs[0].shape[1]
    image = np.random.default_rng(0).integers(0, 256, (3, size, size, 1)).astype(np.uint8)
    sex = np.ones((3, 1), np.float32)
    kept, follows = compile_predictor(model), compile_predictor(model, in_training=True)
    monkeypatch.setattr(prediction, "MOST_CONSTANTS", 0)
    large = compile_predictor(model)
    before = follows(image, sex)
    bias = model.get_layer("z").bias
    bias.assign(bias + 1)
    np.testing.assert_allclose(kept(image, sex), before, atol=1e-3)
    for predict in (follows, large):
        assert np.all(np.abs(predict(image, sex) - before) > 1)


def test_out_of_memory_in_a_prediction_is_a_user_error():
    film = keras.Input((8, 8, 1))
    beyond_any_address = layers.UpSampling2D(2**22)(film)
    predict = compile_predictor(
        keras.Model(film, layers.GlobalAveragePooling2D()(beyond_any_address))
    )
    with pytest.raises(UserError, match="4 films of 8 pixels at once.*--batch_size_eval"):
        predict(np.zeros((4, 8, 8, 1), np.uint8), np.ones((4, 1)))


def test_labels_in_another_order_give_the_same_prediction_for_each_film(
    trained, evaluated, inside, tmp_path
):
    """A table of a stranger: shuffled, other headers, one film missing, one without sex."""
    table = pd.read_csv(trained[1] / "df_test.csv", dtype={"id": str}).sample(40, random_state=5)
    table["Sex"] = table["sex"].map({1: "M", 0: "F"})
    table.loc[table.index[3], "Sex"] = None
    usable = table["id"].drop(table.index[3]).tolist()
    table.loc[len(table) + 1000, ["id", "boneage", "Sex"]] = ["unknown", 100, "F"]
    table = table.rename(columns={"id": "Case ID", "boneage": "Bone Age (months)"})
    table[["Case ID", "Sex", "Bone Age (months)"]].to_csv(tmp_path / "labels.csv", index=False)
    process = inside(
        *("evaluate.py", trained[0], "--csv", tmp_path / "labels.csv"),
        *("--images", trained[1] / "test", "--tta_steps", "1", "--out", tmp_path / "out"),
    )
    assert process.returncode == 0, process.stderr
    got = read_predictions(tmp_path / "out")
    assert got["id"].tolist() == usable  # in the order of the table
    both = got.merge(read_predictions(evaluated[1]), on="id")
    np.testing.assert_allclose(both["predicted_x"], both["predicted_y"], atol=0.011)
    left_out = pd.read_csv(tmp_path / "out" / "left_out.csv", dtype=str)
    assert sorted(left_out["reason"]) == ["no file", "no usable sex"]
    assert "1 no file" in process.stdout


def test_evaluation_never_writes_over_another(trained, inside, evaluated):
    before = (evaluated[1] / "predictions.csv").stat().st_mtime_ns
    process = inside("evaluate.py", trained[0], "--out", evaluated[1])
    assert process.returncode == 0
    assert f"{evaluated[1]}_2" in process.stdout
    assert (evaluated[1] / "predictions.csv").stat().st_mtime_ns == before


@pytest.fixture(scope="module")
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


def test_deep_film_and_its_8_bit_twin_have_the_same_age(trained, odd_films, inside, tmp_path):
    """Must hold 7, first half."""
    names = [odd_films / f"{bits}bit.png" for bits in (8, 16, 12)]
    out = tmp_path / "ages.csv"
    process = inside("predict.py", *names, "--model", trained[0], "--sex", "F", "--out", out)
    assert process.returncode == 0, process.stderr
    months = pd.read_csv(out)["months"]
    assert months.notna().all()
    assert np.ptp(months) < 0.5


def test_bad_files_are_named_and_the_rest_is_done(trained, odd_films, command, tmp_path):
    """Must hold 7, second half."""
    names = ["truncated.png", "8bit.png", "letter.jpg", "none.png", "16bit.png"]
    paths = [odd_films / name for name in names]
    out = tmp_path / "ages.csv"
    process = command("predict.py", *paths, "--model", trained[0], "--sex", "m", "--out", out)
    assert process.returncode == 1
    errors = process.stderr.splitlines()
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


def test_predict_agrees_with_evaluate_film_by_film(trained, evaluated, inside, tmp_path):
    """Sexes from a table, a whole folder in one call."""
    process = inside(
        *("predict.py", trained[1] / "test", "--model", trained[0], "--tta_steps", "1"),
        *("--csv", trained[1] / "df_test.csv", "--out", tmp_path / "ages.csv"),
    )
    assert process.returncode == 0, process.stderr
    ages = pd.read_csv(tmp_path / "ages.csv").assign(
        id=lambda table: table["filename"].str.removesuffix(".png")
    )
    both = ages.merge(read_predictions(evaluated[1]), on="id")
    assert len(both) == 90
    np.testing.assert_allclose(both["months"], both["predicted"], atol=0.011)


def test_model_keras_in_a_program_of_ones_own_says_the_same(small_run, phantoms, inside):
    """What README.md promises: films as read_pixels prepares them, and Keras alone."""
    film = next((phantoms / "test").iterdir())
    process = inside("predict.py", film, "--model", small_run, "--sex", "M")
    assert process.returncode == 0, process.stderr
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
        ([film, "--model", run, "--csv", tmp_path / "no.csv"], ["no such table", "no.csv"]),
        ([film, "--model", run, "--csv", tmp_path / "no_sex.csv"], ["no column for sex"]),
        ([film, "--model", run, "--sex", "F", "--out", tmp_path / "there.csv"], ["--out"]),
        ([tmp_path / "empty", "--model", run, "--sex", "F"], ["no image in the folder"]),
        (["--model", run, film, "--sex", "F"], ["name the films first"]),
    ]
    for words, expected in cases:
        assert is_one_error_line(inside("predict.py", *words), *expected)
    assert (tmp_path / "there.csv").read_text() == "mine"


def test_mistakes_of_evaluate_are_one_line_each(trained, inside, tmp_path):
    run, data = trained
    (tmp_path / "columns.csv").write_text("id,sex\n1,M\n")
    (tmp_path / "empty.csv").write_text("")
    films = ["--images", data / "test"]
    cases = [
        ([tmp_path / "nowhere"], ["no trained run", "nowhere"]),
        ([run, "--data_dir", tmp_path / "nowhere"], ["no data folder", "nowhere"]),
        ([run, "--csv", tmp_path / "none.csv", *films], ["no such table"]),
        ([run, "--csv", tmp_path / "columns.csv", *films], ["no column for boneage"]),
        ([run, "--csv", tmp_path / "empty.csv", *films], ["empty.csv"]),
        ([run, "--csv", data / "df_test.csv", "--images", tmp_path / "no"], ["no image folder"]),
        ([run, "--csv", data / "df_test.csv", "--images", data / "train"], ["no usable film"]),
    ]
    for words, expected in cases:
        assert is_one_error_line(inside("evaluate.py", *words), *expected)


def test_sex_of_one_film_unknown_to_the_table(trained, odd_films, inside, tmp_path):
    (tmp_path / "sexes.csv").write_text("filename,sex\n8bit.png,M\n")
    films = [odd_films / "8bit.png", odd_films / "16bit.png"]
    process = inside("predict.py", *films, "--model", trained[0], "--csv", tmp_path / "sexes.csv")
    assert process.returncode == 1
    assert "no row for it in " in process.stderr
    assert "16bit.png" in process.stderr
    assert process.stdout.startswith("8bit.png")


def test_a_folder_is_all_films_in_it_and_below_and_a_film_is_itself(
    trained, odd_films, inside, tmp_path
):
    """Litter is no film, and a film of the same name in another folder has the same row."""
    (tmp_path / "films" / "old").mkdir(parents=True)
    for name in ("a.png", "old/a.png", "._a.png"):
        shutil.copy(odd_films / "8bit.png", tmp_path / "films" / name)
    (tmp_path / "sexes.csv").write_text("id,sex\na,M\n")
    words = ["--model", trained[0], "--csv", tmp_path / "sexes.csv"]
    for named, expected in (("films", ["a.png", "old/a.png"]), ("films/a.png", ["a.png"])):
        process = inside("predict.py", tmp_path / named, *words)
        assert process.returncode == 0, process.stderr
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


def test_films_of_one_name_have_the_sexes_of_their_paths(trained, odd_films, inside, tmp_path):
    films = [tmp_path / part / "hand.png" for part in ("p1", "p2")]
    for film in films:
        film.parent.mkdir()
        shutil.copy(odd_films / "8bit.png", film)
    (tmp_path / "sexes.csv").write_text("path,sex\np1/hand.png,F\np2/hand.png,M\n")
    words = [*films, "--model", trained[0], "--csv", tmp_path / "sexes.csv"]
    process = inside("predict.py", *words)
    assert [line.split()[1] for line in process.stdout.splitlines()] == ["F", "M"]


def test_a_name_that_is_not_unicode_is_printed(trained, odd_films, inside, tmp_path):
    film = os.fsencode(tmp_path) + b"/film_\xe9.png"
    shutil.copy(odd_films / "8bit.png", film)
    process = inside("predict.py", os.fsdecode(film), "--model", trained[0], "--sex", "F")
    assert process.returncode == 0, process.stderr
    assert process.stdout.startswith(r"film_\udce9.png  F")


def test_an_evaluation_says_when_films_were_not_held_out(trained, inside, tmp_path):
    run, data = trained
    process = inside("evaluate.py", run, "--out", tmp_path / "own", "--tta_steps", "1")
    assert process.returncode == 0, process.stderr
    assert "was trained on" not in process.stdout
    (tmp_path / "Data").mkdir()
    (tmp_path / "Data" / "test").symlink_to(data / "train")
    (tmp_path / "Data" / "df_test.csv").symlink_to(data / "df_train.csv")
    words = ["--data_dir", tmp_path / "Data", "--out", tmp_path / "other", "--tta_steps", "1"]
    process = inside("evaluate.py", run, *words)
    assert process.returncode == 0, process.stderr
    note = f"{run} was trained on {len(pd.read_csv(data / 'df_train.csv'))} of these films"
    assert f"note: {note}" in process.stdout
    metrics = json.loads((tmp_path / "other" / "metrics.json").read_text())
    assert metrics["notes"][0].startswith(note)
    assert metrics["films"]["data_dir"] == str(tmp_path / "Data")


def test_an_evaluation_on_training_films_says_so_and_tells_no_coverage(trained, inside, tmp_path):
    words = ["--split", "train", "--out", tmp_path / "out", "--tta_steps", "1"]
    process = inside("evaluate.py", trained[0], *words)
    assert process.returncode == 0, process.stderr
    assert f"note: {trained[0]} was trained on" in process.stdout
    assert json.loads((tmp_path / "out" / "metrics.json").read_text())["intervals"] is None


def test_inverted_films_are_told_of(trained, inside, tmp_path):
    run, data = trained
    table = pd.read_csv(data / "df_test.csv", dtype={"id": str})[:3]
    for name in table["filename"]:
        film = cv2.imread(str(data / "test" / name), cv2.IMREAD_GRAYSCALE)
        cv2.imwrite(str(tmp_path / name), 255 - film)
    table.to_csv(tmp_path / "some.csv", index=False)
    words = [tmp_path, "--model", run, "--sex", "F", "--tta_steps", "1"]
    process = inside("predict.py", *words)
    assert process.stderr.count("the film looks inverted") == 3
    assert "inverted" not in inside("predict.py", data / "test", *words[1:]).stderr
    words = ["--csv", tmp_path / "some.csv", "--images", tmp_path, "--out", tmp_path / "out"]
    process = inside("evaluate.py", run, *words)
    assert "note: 3 films look inverted" in process.stdout


def test_ages_in_years_are_told_of_and_no_calibration(trained, hospital, inside, tmp_path):
    table = pd.read_csv(hospital[0])
    table.assign(boneage=table["boneage"] / 12).to_csv(tmp_path / "years.csv", index=False)
    images = ["--images", hospital[2]]
    words = ["--csv", tmp_path / "years.csv", *images, "--out", tmp_path / "out"]
    process = inside("evaluate.py", trained[0], *words)
    assert process.returncode == 0, process.stderr
    assert "multiply them by 12 if they are years" in process.stdout
    process = inside("evaluate.py", trained[0], "--calibrate", tmp_path / "years.csv", *images)
    assert is_one_error_line(process, "the ages look like years", "Multiply them by 12")
    assert not (trained[0] / "calibration_years.json").exists()


def test_an_evaluation_says_when_films_of_a_table_trained_the_run(
    small_run, phantoms, inside, tmp_path
):
    trained, others = (pd.read_csv(phantoms / f"df_{s}.csv") for s in ("train", "val"))
    films = [phantoms / "train" / f"{id}.png" for id in trained["id"][:3]]
    films += [phantoms / "validation" / f"{id}.png" for id in others["id"][:4]]
    (tmp_path / "films").mkdir()
    for film in films:
        (tmp_path / "films" / film.name).symlink_to(film)
    labels = pd.concat([trained[:3], others[:4]])
    labels.loc[labels.index[0], "boneage"] += 1  # the same id in another hospital
    labels.to_csv(tmp_path / "labels.csv", index=False)
    words = ["--csv", tmp_path / "labels.csv", "--images", tmp_path / "films"]
    process = inside("evaluate.py", small_run, *words, "--out", tmp_path / "out")
    assert process.returncode == 0, process.stderr
    assert f"note: {small_run} was trained on 2 of these films" in process.stdout


def test_validation_films_of_a_fold_have_no_clahe_copies(small_run, phantoms, inside, tmp_path):
    fold = shutil.copytree(small_run, tmp_path / "fold_1")
    config = json.loads((fold / "config.json").read_text())
    config["options"] |= {"folds": 5, "fold": 1}
    (fold / "config.json").write_text(json.dumps(config))
    process = inside("evaluate.py", fold, "--split", "val", "--use_clahe_val_test")
    assert process.returncode == 2
    assert "have no CLAHE copies" in process.stderr
    assert not (phantoms / "validation_CLAHE").exists()


def test_an_evaluation_says_when_it_was_corrected_by_these_films(trained, inside, tmp_path):
    process = inside("evaluate.py", trained[0], "--split", "val", "--out", tmp_path / "val")
    assert process.returncode == 0, process.stderr
    assert "corrections and intervals of the model come from 120 of these films" in process.stdout
    assert "90 % intervals" not in process.stdout


def test_so_it_says_of_some_of_them_in_another_order(trained, inside, tmp_path):
    """And judges the intervals by the films that they were not fitted to."""
    val, test = (
        pd.read_csv(trained[1] / f"df_{s}.csv", dtype={"id": str}) for s in ("val", "test")
    )
    pd.concat([test[:20], val[:12:-1]]).to_csv(tmp_path / "labels.csv", index=False)
    (tmp_path / "films").mkdir()
    for split in ("validation", "test"):
        for film in (trained[1] / split).iterdir():
            (tmp_path / "films" / film.name).symlink_to(film)
    words = ["--csv", tmp_path / "labels.csv", "--images", tmp_path / "films"]
    process = inside("evaluate.py", trained[0], *words, "--out", tmp_path / "out")
    assert process.returncode == 0, process.stderr
    assert "corrections and intervals of the model come from 107 of these films" in process.stdout
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert (metrics["n"], metrics["intervals"]["all"]["n"]) == (127, 20)


def test_films_that_may_have_been_trained_on_are_told(small_run, tmp_path):
    def notes(member, table):
        return training_notes(member, table, trained_on(member, table))

    run, config = read_run(small_run)
    films = pd.read_csv(small_run / "train_films.csv", dtype={"id": str})
    other = films.assign(id="other " + films["id"])
    assert list(notes(Member(run, config), other)) == []
    start = {"data": {"train": {"fingerprint": "of another hospital"}}}
    (note,) = notes(Member(run, config | {"start": start}), other)
    assert "started from a run that was trained on other films" in note
    shipped = Member(Run(tmp_path), config)  # without a list
    (note,) = notes(shipped, films[1:])
    assert "comes without a list of its training films" in note
    (note,) = notes(shipped, films)
    assert f"was trained on {len(films)} of these films" in note


@pytest.mark.parametrize("words", [("evaluate.py",), ("predict.py", "film.png", "--model")])
def test_a_training_that_has_not_ended_is_no_run_yet(small_run, inside, tmp_path, words):
    killed = shutil.copytree(small_run, tmp_path / "killed")
    for name in ("calibration.json", "metrics.json"):  # what comes after the last epoch
        (killed / name).unlink()
    process = inside(*words, killed)
    is_one_error_line(process, f"the training is not finished ({killed})", "--resume")


def test_what_is_predicted_before_an_interruption_is_kept(
    trained, odd_films, inside, tmp_path, monkeypatch
):
    words = [odd_films, "--model", trained[0], "--sex", "F"]
    whole = inside("predict.py", *words, "--out", tmp_path / "whole.csv")
    assert whole.returncode == 1  # two of the films can't be read
    usual, chunks = Ensemble.predict, []

    def predict(*args):
        chunks.append(args)
        if len(chunks) == 2:
            raise KeyboardInterrupt
        return usual(*args)

    monkeypatch.setattr("util.film_ages.CHUNK", 2)
    monkeypatch.setattr(Ensemble, "predict", predict)
    process = inside("predict.py", *words, "--out", tmp_path / "part.csv")
    assert process.returncode == 130
    assert "only " in process.stderr
    part, whole = (
        pd.read_csv(tmp_path / f"{name}.csv", dtype={"problem": str}) for name in ("part", "whole")
    )
    assert 0 < len(part) < len(whole)
    pd.testing.assert_frame_equal(part, whole[: len(part)], atol=0.02)


# ------------------------------------------------------------------------ intervals, calibrations


def test_a_run_stores_its_calibration_and_checks_it_on_test_films(trained, evaluated):
    run = trained[0]
    calibrations = json.loads((run / "calibration.json").read_text())
    assert calibrations.keys() == {"views_1", "views_4"}  # it was trained with --use_tta
    assert calibrations["views_1"]["n"] == 120
    metrics = json.loads((run / "metrics.json").read_text())
    for name in ("test", "test_tta"):
        assert metrics[name]["intervals"]["all"]["n"] == 90
        assert metrics[name]["intervals"]["all"]["covered"] > 0.75
    again = json.loads((evaluated[1] / "metrics.json").read_text())
    assert again["intervals"] == metrics["test"]["intervals"]
    assert "90 % intervals" in evaluated[0].stdout


def test_predict_prints_and_writes_the_interval(trained, inside, tmp_path):
    process = inside(
        *("predict.py", trained[1] / "test", "--model", trained[0]),
        *("--csv", trained[1] / "df_test.csv", "--out", tmp_path / "ages.csv"),
    )
    assert process.returncode == 0, process.stderr
    ages = pd.read_csv(tmp_path / "ages.csv", dtype={"filename": str})
    half_width = json.loads((trained[0] / "calibration.json").read_text())["views_4"]["half_width"]
    low, high = interval_bounds(ages["months"].to_numpy(), half_width)
    np.testing.assert_allclose(ages["low"], low, atol=0.011)
    np.testing.assert_allclose(ages["high"], high, atol=0.011)
    for line, row in zip(process.stdout.splitlines(), ages.itertuples(), strict=True):
        years = [format_years(months) for months in (row.months, row.low, row.high)]
        assert line.endswith("{}  {} (90 %: {} - {})".format("months", *years))


def test_views_without_a_calibration_have_no_interval(trained, odd_films, inside):
    words = [odd_films / "8bit.png", "--model", trained[0], "--sex", "F"]
    process = inside("predict.py", *words)
    assert "(90 %: " in process.stdout
    process = inside("predict.py", *words, "--tta_steps", "2")
    assert process.returncode == 0
    assert "90 %" not in process.stdout
    assert process.stderr.startswith("note: no intervals: the run was not validated on means of 2")


@pytest.fixture(scope="module")
def hospital(trained, tmp_path_factory):
    """Films of another hospital, whose readers say 12 months more of boys and 20 less of girls than
    the run, more or less: (labels to calibrate on, labels of other films, folder of films)."""
    folder = tmp_path_factory.mktemp("hospital")
    table = pd.read_csv(trained[0] / "predictions_test_tta.csv", dtype={"id": str})
    noise = np.random.default_rng(0).normal(0, 4, len(table))
    said = table["predicted"] + np.where(table["sex"] == 1, 12, -20) + noise
    sex = table["sex"].map({1: "M", 0: "F"})
    table = pd.DataFrame({"id": table["id"], "boneage": said.clip(0).round(1), "sex": sex})
    table[:60].to_csv(folder / "some.csv", index=False)
    table[60:].to_csv(folder / "others.csv", index=False)
    return folder / "some.csv", folder / "others.csv", trained[1] / "test"


@pytest.fixture(scope="module")
def calibrated(trained, hospital, inside):
    """evaluate.py --calibrate on those films."""
    words = ["--calibrate", hospital[0], "--images", hospital[2], "--name", "far"]
    process = inside("evaluate.py", trained[0], *words)
    assert process.returncode == 0, process.stderr
    return process


def test_a_calibration_of_a_hospital_gains_there_what_it_says(
    trained, hospital, calibrated, inside, tmp_path
):
    gain = json.loads((trained[0] / "calibration_far.json").read_text())["views_4"]["gain"]
    assert gain["n"] == 60
    assert gain["difference_ci95"][1] < 0
    assert "it helps" in calibrated.stdout
    maes = []
    for name, words in (("plain", []), ("far", ["--calibration", "far"])):
        process = inside(
            *("evaluate.py", trained[0], "--csv", hospital[1], "--images", hospital[2]),
            *("--out", tmp_path / name, *words),
        )
        assert process.returncode == 0, process.stderr
        metrics = json.loads((tmp_path / name / "metrics.json").read_text())
        maes.append(metrics["mae"])
    assert maes[1] - maes[0] == pytest.approx(gain["difference"], rel=0.25)  # on 30 films
    assert metrics["intervals"]["all"]["covered"] > 0.7


def test_nothing_is_learned_from_films_that_a_calibration_was_fitted_to(
    trained, hospital, calibrated, inside, tmp_path
):
    """Also where they are a part of what is evaluated."""
    pd.concat([pd.read_csv(path) for path in hospital[:2]]).to_csv(tmp_path / "all.csv")
    note = "corrections and intervals of the model come from 60 of these films"
    for csv, told in ((tmp_path / "all.csv", True), (hospital[1], False)):
        words = ["--csv", csv, "--images", hospital[2], "--calibration", "far"]
        process = inside("evaluate.py", trained[0], *words, "--out", tmp_path / "out")
        assert process.returncode == 0, process.stderr
        assert (note in process.stdout) == told


def test_two_runs_are_compared_under_a_calibration_of_each(
    trained, hospital, calibrated, inside, tmp_path
):
    """Also where a run has lines of its own, so that its validation films are known as well."""
    a, b = (shutil.copytree(trained[0], tmp_path / name) for name in "ab")
    lines = {sex: {"slope": 1.0, "intercept": 0.0} for sex in ("male", "female")}
    stored = json.loads((a / "calibration.json").read_text())
    stored = {views: calibration | {"lines": lines} for views, calibration in stored.items()}
    (a / "calibration.json").write_text(json.dumps(stored))
    words = ["--csv", hospital[1], "--images", hospital[2], "--calibration", "far"]
    process = inside("evaluate.py", a, b, *words)
    assert process.returncode == 0, process.stderr
    assert "+0.00   difference, 95 % interval [+0.00, +0.00]" in process.stdout


def test_runs_that_can_not_be_compared_are_told_of_before_either_is_evaluated(
    trained, small_run, calibrated, inside, tmp_path
):
    a, b = (shutil.copytree(trained[0], tmp_path / name) for name in "ab")
    (b / "calibration_far.json").unlink()
    for words in ([a, b, "--calibration", "far"], [a, small_run]):
        process = inside("evaluate.py", *words)
        assert is_one_error_line(process, str(words[1]))
        assert not list(a.glob("evaluation_*"))


def test_a_calibration_on_training_films_says_so(small_run, phantoms, inside, tmp_path):
    run = shutil.copytree(small_run, tmp_path / "run")
    tables = [pd.read_csv(phantoms / f"df_{split}.csv") for split in ("train", "val")]
    pd.concat(tables).to_csv(tmp_path / "both.csv", index=False)
    process = inside("evaluate.py", run, "--calibrate", tmp_path / "both.csv", "--images", phantoms)
    assert process.returncode == 0, process.stderr
    assert f"note: {run} was trained on 48 of these films" in process.stdout
    assert (
        f"note: corrections and intervals of the model come from {len(tables[1])} of these"
        in process.stdout
    )


def test_predict_uses_a_calibration_on_request_alone(
    trained, hospital, calibrated, inside, tmp_path
):
    words = [hospital[2], "--model", trained[0], "--csv", hospital[1]]
    plain = inside("predict.py", *words, "--out", tmp_path / "plain.csv")
    process = inside("predict.py", *words, "--calibration", "far", "--out", tmp_path / "far.csv")
    assert "(90 %: " in process.stdout
    both = pd.read_csv(tmp_path / "plain.csv").merge(
        pd.read_csv(tmp_path / "far.csv"), on=["filename", "sex"], suffixes=("", "_far")
    )
    lines = json.loads((trained[0] / "calibration_far.json").read_text())["views_4"]["lines"]
    for sex, line in ((1, lines["male"]), (0, lines["female"])):
        films = both[both["sex"] == sex]
        expected = line["slope"] * films["months"] + line["intercept"]
        np.testing.assert_allclose(films["months_far"], expected, atol=0.02)
    assert plain.returncode == process.returncode


def test_mistakes_of_calibrating_are_one_line_each(
    trained, hospital, calibrated, odd_films, inside, tmp_path
):
    few = pd.read_csv(hospital[0], dtype={"id": str})
    girls = few["sex"] == "F"
    pd.concat([few[~girls], few[girls][:7]]).to_csv(tmp_path / "few.csv", index=False)
    run, film = trained[0], odd_films / "8bit.png"
    before = (run / "calibration_far.json").read_text()
    images = ["--images", hospital[2]]
    predict = ["predict.py", film, "--model", run, "--sex", "F"]
    cases = [
        (
            ["evaluate.py", run, "--calibrate", tmp_path / "few.csv", *images],
            ["7 female", "add 13"],
        ),
        (
            ["evaluate.py", run, "--calibrate", hospital[0], *images, "--name", "far"],
            ["there is a calibration of that name", "--name"],
        ),
        (
            ["evaluate.py", run, "--calibrate", hospital[0], *images, "--name", "a/b"],
            ["not a valid name for a calibration"],
        ),
        ([*predict, "--calibration", "near"], ["no calibration near", "There is: far"]),
        ([*predict, "--calibration", "far", "--tta_steps", "1"], ["--tta_steps"]),
        *(
            ([*predict[:4], run, *predict[4:], "--calibration", name], ["belongs to one run"])
            for name in ("far", "near")
        ),
    ]
    for words, expected in cases:
        assert is_one_error_line(inside(*words), *expected)
    assert (run / "calibration_far.json").read_text() == before
    assert not (run / "calibration_few.json").exists()
