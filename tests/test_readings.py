"""What a single reader would say: the labels of an atlas, where labels are of an atlas."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest

from util.metrics import judge_readings, label_predictions, read_predictions
from util.predicting.readings import (
    FEWEST_CHILDREN,
    add_counts,
    count_labels,
    fit_readings,
    read_as,
    share_of_plates,
    with_readings,
)

PLATES = {1: np.arange(12, 229, 12.0), 0: np.arange(10, 229, 12.0)}


def nearest_plate(film):
    plates = PLATES[film["sex"]]
    return plates[np.abs(plates - film["boneage"]).argmin()]


def read(n, seed, plates=True):
    """Films whose readers are 6 months off and name the nearest plate of their atlas, and what a
    model of the same error says of them: a frame of predictions."""
    rng = np.random.default_rng(seed)
    films = pd.DataFrame({"id": np.arange(n).astype(str), "sex": rng.integers(0, 2, n)})
    true = rng.uniform(24, 216, n)
    films["boneage"] = (true + rng.normal(0, 6, n)).clip(1, 228)
    if plates:
        films["boneage"] = films.apply(nearest_plate, axis=1)
    return label_predictions(films, true + rng.normal(0, 6, n))


def test_readings_are_nearer_where_readers_name_the_plates_of_an_atlas():
    counts, gain = fit_readings(read(5000, 0), read(600, 1))
    new = read(3000, 2)
    readings = read_as(new["predicted"], new["sex"], counts)
    for sex in (0, 1):
        assert set(readings[new["sex"] == sex]) <= set(PLATES[sex])
    months, said = new["error"].abs().mean(), np.abs(readings - new["boneage"]).mean()
    assert said < months - 0.2
    assert gain["difference"] == pytest.approx(said - months, abs=0.3)
    assert gain["n"] == 600


def test_there_are_none_where_labels_are_no_plates():
    """Even where months and labels agree better by chance, or at the ends of the ages."""
    counts, _ = fit_readings(read(5000, 0, plates=False), read(600, 1))
    assert counts is None


@pytest.mark.parametrize("n", [60, 100, 300])
def test_labels_of_few_films_that_are_far_apart_are_no_plates(n):
    labels = [read(n, seed, plates=False) for seed in range(20)]
    assert max(share_of_plates(count_labels(films)) for films in labels) < 0.5
    named = [read(n, seed) for seed in range(20)]
    assert min(share_of_plates(count_labels(films)) for films in named) > 0.5


def test_a_model_that_is_not_told_the_sex_reads_films_by_the_labels_of_both():
    labels = read(5000, 0)
    counts, gain = fit_readings(labels, read(600, 1), per_sex=False)
    assert counts["male"] == counts["female"]
    both = with_readings(read(600, 1), count_labels(labels, per_sex=False))
    assert gain == judge_readings(both)


def test_there_are_none_where_they_are_no_nearer():
    exact = read(600, 1).assign(error=0.0)
    exact["predicted"] = exact["boneage"]
    counts, gain = fit_readings(read(5000, 0), exact)
    assert counts is None
    assert gain["difference"] >= 0


def test_few_films_show_nothing():
    counts, gain = fit_readings(read(500, 0), read(1, 1))
    assert counts is None
    assert gain["difference_ci95"] is None
    exact = read(5000, 0)
    films = exact.assign(predicted=exact["boneage"] + 4, error=4.0)  # readings are all right
    for n, kept in ((FEWEST_CHILDREN - 1, False), (FEWEST_CHILDREN, True)):
        counts, gain = fit_readings(exact, films[:n])
        assert gain["difference"] < -3
        assert bool(counts) == kept


def test_months_are_read_as_the_plate_that_is_named_most_nearby():
    """A label that one film has is no plate, however near; of equal plates the nearest is said."""
    films = pd.DataFrame({"sex": 1, "boneage": np.repeat([120.0, 126, 132], [100, 1, 100])})
    counts = count_labels(films, per_sex=False)
    assert counts["male"] == counts["female"] == {"120": 100, "126": 1, "132": 100}
    months = [-50, 119, 125.5, 126.5, 131, 400]
    assert read_as(months, np.ones(6), counts).tolist() == [120, 120, 120, 132, 132, 132]


def test_a_reading_is_the_median_of_labels_by_age_and_not_by_their_number():
    """Of three plates that a film may resemble, the middle one, which has the fewest films."""
    films = pd.DataFrame({"sex": 1, "boneage": np.repeat([114.0, 120, 126], [110, 100, 120])})
    assert read_as([120.0], [1], count_labels(films)).tolist() == [120]


def test_a_plate_of_many_films_does_not_attract_those_of_a_rare_one():
    """Plates count by how much more frequent they are than the months around them."""
    films = pd.DataFrame({"sex": 1, "boneage": np.repeat([96.0, 132], [10, 1000])})
    assert read_as([113.0, 115.0], [1, 1], count_labels(films)).tolist() == [96, 132]


def test_each_sex_has_the_plates_of_its_own_atlas():
    films = pd.DataFrame({"sex": [1, 1, 0], "boneage": [120.0, 132, 106]})
    assert read_as([119.0, 119.0], [1, 0], count_labels(films)).tolist() == [120, 106]
    boys = count_labels(films[films["sex"] == 1])
    assert read_as([119.0, 119.0], [1, 0], boys).tolist() == [120, 119]  # no girl: the months


def test_labels_of_several_runs_are_counted_together():
    a = {"male": {"6": 1, "120": 2}, "female": {}}
    b = {"male": {"120": 3, "30": 1}, "female": {"94": 1}}
    total = add_counts([a, b])
    assert total == {"male": {"6": 1, "30": 1, "120": 5}, "female": {"94": 1}}
    assert list(total["male"]) == ["6", "30", "120"]
    assert json.loads(json.dumps(total)) == total
    assert add_counts([a, None]) is None


def test_a_training_on_labels_that_are_no_readings_says_so(trained):
    run = trained[0]
    readings = json.loads((run / "readings.json").read_text())
    assert readings["labels"] is None
    labels, told = (
        read_predictions(run / f"{n}.csv") for n in ("train_films", "predictions_val_tta")
    )
    assert readings["gain"] == fit_readings(labels, told)[1]  # judged on the months that are told
    assert "what a reader would say left out: MAE " in (run / "log.txt").read_text()
    assert "reading" not in pd.read_csv(run / "predictions_test.csv")


def test_evaluation_and_prediction_say_what_a_reader_would_say(trained, done, tmp_path):
    run = shutil.copytree(trained[0], tmp_path / "run")
    plates = {"male": {f"{m:g}": 9 for m in PLATES[1]}, "female": {f"{m:g}": 9 for m in PLATES[0]}}
    (run / "readings.json").write_text(json.dumps({"labels": plates}))
    process = done("evaluate.py", run, "--out", tmp_path / "out")
    found = pd.read_csv(tmp_path / "out" / "predictions.csv", dtype={"id": str})
    assert found["reading"].tolist() == read_as(found["predicted"], found["sex"], plates).tolist()
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    mae = (found["reading"] - found["boneage"]).abs().mean()
    assert metrics["readings"]["mae"] == pytest.approx(mae)
    assert metrics["readings"]["difference"] == pytest.approx(mae - metrics["mae"])
    assert f"  as a reader says    90{mae:8.2f}" in process.stdout

    film = trained[1] / "test" / f"{found['id'][0]}.png"
    sex = "FM"[found["sex"][0]]
    out = tmp_path / "ages.csv"
    done("predict.py", film, "--model", run, "--sex", sex, "--out", out)
    assert pd.read_csv(out)["reading"].tolist() == [found["reading"][0]]


@pytest.mark.parametrize(("to", "kept"), [(12, True), (0.1, False)])
def test_a_calibration_keeps_readings_where_its_readers_name_plates(
    trained, done, tmp_path, to, kept
):
    """`to`: months to which the readers of another hospital round."""
    run, (folder, data) = tmp_path / "run", trained
    shutil.copytree(folder, run)
    films = {str(label): 100 for label in range(12, 229, 12)}
    (run / "readings.json").write_text(json.dumps({"labels": {"male": films, "female": films}}))
    table = pd.read_csv(run / "predictions_test_tta.csv", dtype={"id": str})
    said = (to * (table["predicted"] / to).round()).round(1)
    sex = table["sex"].map({1: "M", 0: "F"})
    labels = pd.DataFrame({"id": table["id"], "boneage": said, "sex": sex})
    labels.to_csv(tmp_path / "clinic.csv", index=False)
    images = ["--images", data / "test"]
    process = done("evaluate.py", run, "--calibrate", tmp_path / "clinic.csv", *images)
    assert f"what a reader would say {'kept' if kept else 'left out'}" in process.stdout
    calibration = json.loads((run / "calibration_clinic.json").read_text())["views_4"]
    errors = calibration["readings"]  # beside months that are corrected without their own labels
    assert errors["mae"] - errors["difference"] == pytest.approx(calibration["gain"]["mae_with"])
    film = data / "test" / f"{table['id'][0]}.png"
    words = ["--model", run, "--sex", sex[0], "--calibration", "clinic"]
    done("predict.py", film, *words, "--out", tmp_path / "ages.csv")
    assert pd.read_csv(tmp_path / "ages.csv")["reading"].notna().tolist() == [kept]
