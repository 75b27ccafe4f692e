"""Ensembles: means of the right months, chosen on validation, with intervals of their own."""

import json
import shutil
from argparse import Namespace

import numpy as np
import pandas as pd
import pytest
from commands import check_error_line

from preprocessing import Films
from util.bootstrap import mean_interval
from util.errors import UserError
from util.evaluating.selection import choose_greedily, select_greedily
from util.finished_runs import RESEARCH_ONLY
from util.metrics import label_predictions
from util.pixel_cache import read_pixels
from util.predicting.ensemble import Ensemble, choose_views
from util.predicting.intervals import fit_half_widths
from util.predicting.members import Member, average, read_members, stored_predictions
from util.runs import Run

# ---------------------------------------------------------------------------------------- choice


@pytest.mark.parametrize(
    ("errors", "expected"),
    [
        ((3, 10, -3), [1, 0, 1]),  # opposite errors, in equal parts
        ((2, -4), [2, 1]),
        ((2, -3), [3, 2]),
        ((9, 1, 8), [0, 1, 0]),  # no other helps the best
    ],
)
def test_models_are_chosen_as_often_as_it_helps_the_mean(errors, expected):
    boneage = np.linspace(10, 200, 50)
    counts = select_greedily([boneage + error for error in errors], boneage)
    assert counts.tolist() == expected


def test_the_choice_is_never_worse_than_the_best_single_model():
    rng = np.random.default_rng(0)
    boneage = rng.uniform(0, 228, 200)
    predicted = boneage + rng.normal(0, 9, (5, 200)) + rng.normal(0, 3, (5, 1))
    mean = np.average(predicted, axis=0, weights=select_greedily(predicted, boneage))
    mae = np.abs(mean - boneage).mean()
    assert mae < np.abs(predicted - boneage).mean(axis=1).min() - 2


def test_the_errors_of_a_choice_have_intervals_of_children(tmp_path):
    """Films of one child err alike, so that few children make a wide interval."""
    children = [str(i // 5) for i in range(20)]
    (a, _), (b, best) = (
        member(tmp_path, name, IDS, errors, patient=children)
        for name, errors in (("a", -ERRORS), ("b 2", ERRORS / 2))
    )
    chosen, words = choose_greedily([a, b], views=1)
    assert [m.weight for m in chosen] == [1, 2]
    low, high = mean_interval(best["error"].abs(), best)
    assert "MAE 0.00 [0.00, 0.00] months" in words
    assert f"as options: {tmp_path}/a '{tmp_path}/b 2' '{tmp_path}/b 2'" in words
    assert f"of the best single run 5.25 [{low:.2f}, {high:.2f}]" in words


def test_the_error_of_a_choice_is_that_of_the_runs_in_it(tmp_path):
    errors = {"poor": 9 * ERRORS, "a": -ERRORS, "b": ERRORS / 2}
    members = [member(tmp_path, name, IDS, error)[0] for name, error in errors.items()]
    chosen, words = choose_greedily(members, views=1)
    assert [(m.run.folder.name, m.weight) for m in chosen] == [("a", 1), ("b", 2)]
    assert "MAE 0.00 [0.00, 0.00] months" in words


# ------------------------------------------------------------------------------------- intervals


def member(folder, name, ids, errors, weight=1, patient=""):
    """A run that has predicted validation films of 100 months."""
    table = pd.DataFrame({"id": ids, "patient": patient, "sex": 1, "boneage": 100.0})
    (folder / name).mkdir()
    predictions = label_predictions(table, table["boneage"] + errors)
    predictions.to_csv(folder / name / "predictions_val.csv", index=False)
    options = {"img_size": 32, "fit": "pad", "model_type": "sex"}
    config = {"options": options, "data": {"train": {"n": 1}}}
    return Member(Run(folder / name), config, weight), predictions


IDS = [f"{i:03d}" for i in range(20)]
ERRORS = np.arange(1.0, 21)


def test_runs_with_the_same_validation_films_have_the_intervals_of_their_mean(tmp_path):
    members = [
        member(tmp_path, "a", IDS, ERRORS)[0],
        member(tmp_path, "b", IDS, -ERRORS, weight=3)[0],
    ]
    ensemble = Ensemble(members, ["a", "b"], views=1)
    assert ensemble.notes == []
    # the mean is off by (1 - 3) / 4 of the error: of 20 such the 19th smallest
    assert ensemble.calibration["half_width"]["all"]["months"] == 19 / 2


def test_intervals_around_a_mean_over_views_come_from_errors_of_such_means(tmp_path):
    members = []
    for name in "ab":
        run, predictions = member(tmp_path, name, IDS, ERRORS)
        run.options.update(use_tta=True, tta_steps=4)
        views = label_predictions(predictions, 100 + ERRORS / 2)
        views.to_csv(tmp_path / name / "predictions_val_tta.csv", index=False)
        members.append(run)
    for views, months in ((1, 19), (4, 19 / 2)):
        ensemble = Ensemble(members, ["a", "b"], views)
        assert ensemble.calibration["half_width"]["all"]["months"] == months


def test_folds_have_the_intervals_of_their_errors_out_of_fold(tmp_path):
    members, tables = zip(
        member(tmp_path, "a", IDS[:10], ERRORS[:10]),
        member(tmp_path, "b", IDS[10:], ERRORS[10:]),
        strict=True,
    )
    ensemble = Ensemble(list(members), ["a", "b"], views=1)
    assert ensemble.calibration["half_width"] == fit_half_widths(pd.concat(tables))


@pytest.mark.parametrize(
    ("first", "second", "reason"),
    [
        (IDS, IDS[5:], "neither the same nor all different"),
        (IDS[:4], IDS[:4], "validation films of 9 children are needed"),
    ],
)
def test_without_common_ground_there_are_no_intervals_and_a_reason(tmp_path, first, second, reason):
    members = [
        member(tmp_path, name, ids, ERRORS[: len(ids)])[0]
        for name, ids in (("a", first), ("b", second))
    ]
    ensemble = Ensemble(members, ["a", "b"], views=1)
    assert ensemble.calibration["half_width"] is None
    assert reason in ensemble.notes[0]


def test_what_is_missing_of_a_run_is_told_for_what_it_is(tmp_path):
    shipped, _ = member(tmp_path, "shipped", IDS, ERRORS)
    (tmp_path / "shipped" / "predictions_val.csv").unlink()
    with pytest.raises(UserError, match="predictions_val.csv is missing, as in a shipped run"):
        stored_predictions(shipped, "val", views=1)
    with pytest.raises(
        UserError, match="over means of 5 views .* Leave out --use_tta and --tta_st"
    ):
        stored_predictions(shipped, "val", views=5)


def test_the_interval_is_that_of_the_months_that_are_told(tmp_path):
    """59.996 months are told as 60.00, and bands begin at 60."""
    one, predictions = member(tmp_path, "a", IDS, ERRORS)
    ensemble = Ensemble([one], ["a"], views=1)
    widths = fit_half_widths(predictions)
    widths["0-4 years"]["months"], widths["5-9 years"]["months"] = 9, 12
    ensemble.calibration["half_width"] = widths
    told = ensemble.combine(np.array([[59.994, 59.996]]), np.ones(2))
    assert told["months"].tolist() == [59.99, 60]
    assert told["low"].tolist() == [50.99, 48]


def test_each_member_is_corrected_by_its_own_lines_before_the_mean(tmp_path):
    """And a number of views without lines of its own takes those of single views."""
    ends = {"low": 0, "high": 240}
    lines = {
        "male": {"slope": 2, "intercept": 1} | ends,
        "female": {"slope": 1, "intercept": -5} | ends,
    }
    members = [member(tmp_path, name, IDS, ERRORS)[0] for name in ("a", "b")]
    content = {"views_1": {"lines": lines}, "views_2": {"lines": None}}
    (tmp_path / "a" / "calibration.json").write_text(json.dumps(content))
    pixels = {(32, "pad"): np.zeros((2, 32, 32), np.uint8)}
    # of a boy and a girl: 2 * 30 + 1 and 30 - 5, each with the 35 of the other run
    for views, expected in ((1, [48, 30]), (5, [48, 30]), (2, [32.5, 32.5])):
        ensemble = Ensemble(members, ["a", "b"], views)
        ensemble.predictors = [lambda image, sex: [30.0] * 2, lambda image, sex: [35.0] * 2]
        months = ensemble.predict(pixels, np.array([1, 0]), batch_size=2)["months"]
        assert months.tolist() == expected


def test_a_reading_is_that_of_the_sex_and_of_the_corrected_months(tmp_path, monkeypatch):
    """Under a calibration it is told where it was nearer there, and never to several readers."""
    one, _ = member(tmp_path, "a", IDS, ERRORS)
    labels = {"male": {"96": 1, "120": 1}, "female": {"94": 1, "118": 1}}
    (tmp_path / "a" / "readings.json").write_text(json.dumps({"labels": labels}))
    (tmp_path / "a" / "model.keras").touch()
    ensemble = Ensemble([one], ["a"], views=1)
    line = {"slope": 1, "intercept": 20, "low": 0, "high": 240}
    ensemble.calibration["lines"] = {"male": line, "female": line}
    told = ensemble.combine(np.array([[95.0, 95.0]]), np.array([1, 0]))
    assert told["reading"].tolist() == [120, 118]
    assert Ensemble([one], ["a"], views=1, readings=False).label_counts is None
    for interval, known in (([-2.0, -1.0], True), ([-2.0, 1.0], False)):
        gain = {"difference": -1.5, "difference_ci95": interval}
        calibration = {"n": 30, "gain": gain, "readings": gain}
        monkeypatch.setattr(
            "util.predicting.ensemble.read_calibration", lambda *_, c=calibration: c
        )
        named = Ensemble([one], ["a"], views=1, calibration="clinic")
        assert (named.label_counts is not None) == known


def test_a_calibration_corrects_the_mean_and_the_members_that_it_is_compared_with(tmp_path):
    """Else the gain of the correction would pass as that of the mean."""
    members = [member(tmp_path, name, IDS, ERRORS)[0] for name in ("a", "b")]
    ensemble = Ensemble(members, ["a", "b"], views=1)
    ensemble.predictors = [lambda image, sex: [90.0] * 4, lambda image, sex: [100.0] * 4]
    line = {"slope": 1, "intercept": 20, "low": 0, "high": 240}
    ensemble.calibration["lines"] = {"male": line, "female": line | {"intercept": 90}}
    table = pd.DataFrame({"id": list("wxyz"), "patient": "", "sex": 1, "boneage": 100.0})
    films = Films(table, np.zeros((4, 32, 32), np.uint8), None)
    predictions, comparison = ensemble.predict_labelled({(32, "pad"): films}, batch_size=4)
    assert predictions["predicted"].tolist() == [115] * 4
    assert [(row["mae"], row["difference"]) for row in comparison] == [(10, 5), (20, -5)]


def test_each_run_is_compared_with_the_mean_in_which_it_counts_as_often_as_named(tmp_path):
    members = [member(tmp_path, n, IDS, ERRORS, weight=w)[0] for n, w in (("a", 1), ("b", 3))]
    ensemble = Ensemble(members, ["a", "b"], views=1)
    ensemble.predictors = [lambda image, sex: [110.0] * 2, lambda image, sex: [98.0] * 2]
    table = pd.DataFrame({"id": ["1", "2"], "sex": [1, 0], "boneage": 100.0})
    films = Namespace(table=table, pixels=np.zeros((2, 32, 32), np.uint8))
    predictions, rows = ensemble.predict_labelled({(32, "pad"): films}, batch_size=2)
    assert predictions["predicted"].tolist() == [101, 101]  # (110 + 3 * 98) / 4
    assert [(row["mae"], row["difference"]) for row in rows] == [(10, 1 - 10), (2, 1 - 2)]


def test_the_sex_is_needed_as_soon_as_one_run_sees_it(tmp_path):
    members = [member(tmp_path, name, IDS, ERRORS)[0] for name in ("a", "b")]
    members[1].options["model_type"] = "baseline"
    assert Ensemble(members, ["a", "b"], views=1).sees_sex
    assert not Ensemble(members[1:], ["b"], views=1).sees_sex


def test_the_runtime_is_the_quickest_for_all_views_of_all_films(tmp_path, monkeypatch):
    """The start of TensorFlow counts for less the more is predicted."""
    asked = []
    quickest = (lambda image, sex: np.zeros(len(image))), "onnx"
    monkeypatch.setattr(
        "util.predicting.prediction.load_quickest", lambda folder, n: asked.append(n) or quickest
    )
    ensemble = Ensemble([member(tmp_path, "a", IDS, ERRORS)[0]], ["a"], views=5)
    ensemble.load("auto", n_films=10)
    assert asked == [5 * 10]
    assert ensemble.runtimes == ["onnx"]


@pytest.mark.parametrize("no_number", [np.nan, np.inf])
def test_a_model_that_gives_no_numbers_is_told(no_number, tmp_path):
    ensemble = Ensemble([member(tmp_path, "a", IDS, ERRORS)[0]], ["a"], views=1)
    ensemble.predictors = [lambda image, sex: np.where(sex[:, 0] == 1, 100, no_number)]  # of boys
    pixels = {(32, "pad"): np.zeros((3, 32, 32), np.uint8)}
    with pytest.raises(UserError, match="no number for 2 of 3 films"):
        ensemble.predict(pixels, np.array([0, 1, 0]), batch_size=2)


@pytest.mark.parametrize(
    ("trained", "typed", "views"),
    [
        ([5, 5], {}, 5),
        ([5, 1], {}, 1),
        ([5, 1], {"use_tta": True}, 5),
        ([2], {"use_tta": True}, 2),
        ([1], {"use_tta": True}, 5),
        ([5], {"tta_steps": 1}, 1),
    ],
)
def test_views_are_those_of_the_training_unless_typed(trained, typed, views):
    members = [Namespace(options={"use_tta": n > 1, "tta_steps": n}) for n in trained]
    assert choose_views(members, ["run"], **typed) == views


def test_a_calibration_of_a_run_or_of_a_folder_of_folds_sets_the_views(monkeypatch):
    monkeypatch.setattr("util.predicting.ensemble.calibrated_views", lambda folder, name: 4)
    folds = [Namespace(options={}), Namespace(options={})]
    assert choose_views(folds, ["cv"], calibration="clinic") == 4
    assert choose_views(folds, ["cv"], tta_steps=2, calibration="clinic") == 2
    with pytest.raises(UserError, match="a calibration belongs to one run"):
        choose_views(folds, ["a", "b"], calibration="clinic")


def test_each_run_that_knows_one_sex_alone_is_named(tmp_path):
    members = [member(tmp_path, name, IDS, ERRORS)[0] for name in ("a", "b")]
    members[1].config["data"] = {"train": {"n": 3, "male": 3}}
    (note,) = Ensemble(members, ["a", "b"], views=1).notes
    assert note.endswith(f"predictions for girls are meaningless ({tmp_path / 'b'})")


def test_runs_are_chosen_on_as_many_views_as_are_told(tmp_path):
    """The first run is better on single views, the second on means of two."""
    members = []
    for name, plain, two in (("a", 1, 9), ("b", 9, 1)):
        run, _ = member(tmp_path, name, IDS, ERRORS * plain)
        run.options.update(use_tta=True, tta_steps=2)
        table = pd.DataFrame({"id": IDS, "sex": 1, "boneage": 100.0})
        views = label_predictions(table, 100 + ERRORS * two)
        views.to_csv(tmp_path / name / "predictions_val_tta.csv", index=False)
        members.append(run)
    for views, expected in ((1, "a"), (2, "b")):
        (chosen,), words = choose_greedily(members, views)
        assert chosen.run.folder == tmp_path / expected
        # both were trained on two views, which are the default then
        assert words.endswith(f"{expected} --tta_steps 1" if views == 1 else expected)


# -------------------------------------------------------------------------------------- insides


@pytest.fixture(scope="module")
def runs(done, tiny_mobilenet, phantoms, tmp_path_factory):
    """Two runs of different models on different canvases: {name: folder}."""
    results = tmp_path_factory.mktemp("runs")
    models = {
        "sex": ("train_advanced.py", "--img_size", "32"),
        "alone": ("train_baseline.py", "--img_size", "48", "--fit", "stretch", "--seed", "7"),
    }
    for name, (script, *words) in models.items():
        with tiny_mobilenet():
            done(
                *(script, "--data_dir", phantoms, "--results_dir", results, "--run_name", name),
                *("--backbone", "mobilenet", "--weights", "none", "--batch_size", "8"),
                *("--epochs_frozen", "1", "--lr", "0.01", "--dense_units", "8", *words),
            )
    return {name: results / name for name in models}


def read(path):
    return pd.read_csv(path, dtype={"id": str})


def test_a_model_that_is_not_told_the_sex_does_not_ask_for_it(runs, phantoms, done):
    film = next((phantoms / "test").iterdir())
    process = done("predict.py", film, "--model", runs["alone"])
    assert process.stderr == f"{RESEARCH_ONLY}\n"
    assert " months " in process.stdout


def test_an_ensemble_is_the_mean_of_its_runs_however_they_see_films(runs, done, tmp_path):
    words = [runs["sex"], runs["sex"], runs["alone"]]
    done("evaluate.py", "--ensemble", *words, "--out", tmp_path / "out")
    predictions = read(tmp_path / "out" / "predictions.csv")
    single = {name: read(run / "predictions_test.csv") for name, run in runs.items()}
    expected = (2 * single["sex"]["predicted"] + single["alone"]["predicted"]) / 3
    np.testing.assert_allclose(predictions["predicted"], expected, atol=0.011)
    assert predictions["id"].tolist() == single["sex"]["id"].tolist()
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics["mae"] == pytest.approx(predictions["error"].abs().mean())
    assert [(row["weight"], row["mae"]) for row in metrics["members"]] == [
        (weight, pytest.approx(single[name]["error"].abs().mean(), abs=0.011))
        for name, weight in (("sex", 2), ("alone", 1))
    ]


def test_a_film_that_is_read_on_one_canvas_alone_is_left_out(
    runs, phantoms, done, tmp_path, monkeypatch
):
    """The films behind it would get the months of their neighbours."""
    lost = {32: (2, "empty file"), 48: (5, "truncated file")}

    def read_badly(paths, img_size, *args):
        pixels, failures = read_pixels(paths, img_size, *args)
        return pixels, failures | dict([lost[img_size]])

    monkeypatch.setattr("preprocessing.read_pixels", read_badly)
    words = [*runs.values(), "--data_dir", phantoms, "--out", tmp_path / "out"]
    done("evaluate.py", "--ensemble", *words)
    predictions = read(tmp_path / "out" / "predictions.csv").set_index("id")["predicted"]
    single = [read(run / "predictions_test.csv").set_index("id") for run in runs.values()]
    expected = (single[0]["predicted"] + single[1]["predicted"]) / 2
    gone = expected.index[[2, 5]]
    assert predictions.index.tolist() == expected.index.drop(gone).tolist()
    np.testing.assert_allclose(predictions, expected.drop(gone), atol=0.011)
    left_out = read(tmp_path / "out" / "left_out.csv")
    assert left_out["id"].tolist() == gone.tolist()
    assert left_out["reason"].tolist() == ["empty file", "truncated file"]


def test_two_runs_are_compared_on_the_same_films(runs, done, tmp_path):
    for name, run in runs.items():
        shutil.copytree(run, tmp_path / name)
    process = done("evaluate.py", tmp_path / "sex", tmp_path / "alone")
    maes = [read(run / "predictions_test.csv")["error"].abs().mean() for run in runs.values()]
    difference = f"{maes[0] - maes[1]:+.2f}   difference, 95 % interval ["
    assert abs(maes[0] - maes[1]) > 0.05
    assert "on the same 13 films" in process.stdout
    assert difference in process.stdout
    kept = json.loads((tmp_path / "sex" / "evaluation_test" / "comparison.json").read_text())
    assert kept["difference"] == pytest.approx(maes[0] - maes[1])
    assert kept["runs"] == [str(tmp_path / name) for name in ("sex", "alone")]


def test_predict_tells_the_same_mean(runs, phantoms, done, tmp_path):
    done(
        *("predict.py", phantoms / "test", "--model", *runs.values()),
        *("--csv", phantoms / "df_test.csv", "--out", tmp_path / "ages.csv"),
    )
    ages = pd.read_csv(tmp_path / "ages.csv")
    single = [read(run / "predictions_test.csv") for run in runs.values()]
    expected = (single[0]["predicted"] + single[1]["predicted"]) / 2
    expected.index = single[0]["id"] + ".png"
    np.testing.assert_allclose(ages["months"], expected[ages["filename"]], atol=0.011)
    assert (ages["low"] < ages["months"]).all()
    assert (ages["months"] < ages["high"]).all()


def test_greedy_selection_prints_what_it_chose_on_validation_films(runs, done, tmp_path):
    words = ["--ensemble", *runs.values(), "--greedy", "--out", tmp_path / "out"]
    process = done("evaluate.py", *words)
    val = [read(run / "predictions_val.csv") for run in runs.values()]
    counts = select_greedily([table["predicted"] for table in val], val[0]["boneage"])
    assert "greedy selection on 12 validation films: MAE " in process.stdout
    for run, count in zip(runs.values(), counts, strict=True):
        assert (f"  {count} x {run}" in process.stdout) == bool(count)
    test = [read(run / "predictions_test.csv")["predicted"] for run in runs.values()]
    expected = np.average(test, axis=0, weights=counts)
    found = read(tmp_path / "out" / "predictions.csv")["predicted"]
    np.testing.assert_allclose(found, expected, atol=0.011)


def test_weights_are_how_often_a_run_is_named(runs):
    members = read_members([runs["sex"], runs["alone"], runs["sex"]])
    assert [(m.run.folder, m.weight) for m in members] == [(runs["sex"], 2), (runs["alone"], 1)]
    assert average(members, [[30.0, 60.0], [60.0, 0.0]]).tolist() == [40, 40]


@pytest.mark.parametrize(
    ("fact", "message"),
    [
        ("fingerprint", "one run may have been trained on the other's"),
        ("files", "have the same ids and labels, but are different files"),
    ],
)
def test_runs_of_different_films_are_no_ensemble_on_a_split(runs, inside, tmp_path, fact, message):
    other = tmp_path / "other"
    other.mkdir()
    config = json.loads((runs["sex"] / "config.json").read_text())
    config["data"]["test"][fact] = "another"
    (other / "config.json").write_text(json.dumps(config))
    for name in ("model.keras", "calibration.json"):
        (other / name).symlink_to(runs["sex"] / name)
    process = inside("evaluate.py", "--ensemble", runs["sex"], other)
    check_error_line(process, message)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["a", "b", "c"], "two to compare, or --ensemble"),
        (["a", "--greedy"], "--greedy has no effect without --ensemble"),
        (["a", "b", "--calibrate", "x.csv", "--images", "."], "--calibrate is for one run"),
        (["a", "--calibrate", "x.csv"], "together with --images"),
        (["a", "--use_clahe_val_test", "--split", "train"], "training films stay plain"),
        (["a", "b", "--out", "x"], "--out is for one run"),
        (["a", "--name", "x"], "--name has no effect without --calibrate"),
        (["a", "--calibrate", "x", "--images", ".", "--split", "val"], "--split has no effect"),
    ],
)
def test_wrong_usage_is_one_line(inside, words, message):
    process = inside("evaluate.py", *words)
    check_error_line(process, message)


def test_greedy_selection_needs_common_validation_films(tmp_path):
    members = [
        member(tmp_path, "a", IDS[:10], ERRORS[:10])[0],
        member(tmp_path, "b", IDS[10:], ERRORS[10:])[0],
    ]
    with pytest.raises(UserError, match="same validation films"):
        choose_greedily(members, views=1)
    renumbered = [member(tmp_path, name, IDS[:10], ERRORS[:10])[0] for name in ("c", "d")]
    path = renumbered[1].run.folder / "predictions_val.csv"
    read(path).eval("boneage = boneage + 7").to_csv(path, index=False)  # other films of these ids
    with pytest.raises(UserError, match="same validation films"):
        choose_greedily(renumbered, views=1)
