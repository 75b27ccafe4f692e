"""Calibrations for another hospital, fitted by evaluate.py and used by it and by predict.py."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from commands import check_error_line
from files import edit_json

from util.predicting.ensemble import choose_calibration
from util.predicting.hospital import format_held, worth_using
from util.predicting.members import read_members


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
def calibrated(trained, hospital, done):
    """evaluate.py --calibrate on those films."""
    words = ["--calibrate", hospital[0], "--images", hospital[2], "--name", "far"]
    return done("evaluate.py", trained[0], *words)


def test_ages_in_years_are_told_of_and_no_calibration(trained, hospital, inside, done, tmp_path):
    table = pd.read_csv(hospital[0])
    table.assign(boneage=table["boneage"] / 12).to_csv(tmp_path / "years.csv", index=False)
    images = ["--images", hospital[2]]
    words = ["--csv", tmp_path / "years.csv", *images, "--out", tmp_path / "out"]
    process = done("evaluate.py", trained[0], *words)
    assert "header of their column end in _years" in process.stdout
    process = inside("evaluate.py", trained[0], "--calibrate", tmp_path / "years.csv", *images)
    check_error_line(process, "the ages look like years", "end in _years")
    assert not (trained[0] / "calibration_years.json").exists()


def test_labels_of_other_films_are_told_of_and_no_calibration(trained, hospital, inside, tmp_path):
    table = pd.read_csv(hospital[0])
    fallen = table.assign(boneage=220 - table["boneage"])
    fallen.to_csv(tmp_path / "fallen.csv", index=False)
    words = ["--calibrate", tmp_path / "fallen.csv", "--images", hospital[2]]
    check_error_line(inside("evaluate.py", trained[0], *words), "labels do not go with the films")
    assert not (trained[0] / "calibration_fallen.json").exists()


def test_labels_that_tell_nothing_are_noted(trained, hospital, done, tmp_path):
    """They rise with the predicted months, just so."""
    table = pd.read_csv(hospital[0], dtype={"id": str})
    films = pd.read_csv(trained[0] / "predictions_test_tta.csv", dtype={"id": str})
    predicted = table["id"].map(films.set_index("id")["predicted"])
    odd = predicted.groupby(table["sex"]).rank(method="first") % 2 == 1
    table.assign(boneage=np.where(odd, 100, 110)).to_csv(tmp_path / "nothing.csv", index=False)
    words = ["--calibrate", tmp_path / "nothing.csv", "--images", hospital[2]]
    assert (
        "hardly better than that of the labels' own median"
        in done("evaluate.py", trained[0], *words).stdout
    )


def test_a_label_far_from_its_prediction_is_named(trained, hospital, inside, tmp_path):
    table = pd.read_csv(hospital[0], dtype={"id": str})
    table.loc[3, "boneage"] = 290
    table.to_csv(tmp_path / "typed.csv", index=False)
    words = ["--csv", tmp_path / "typed.csv", "--images", hospital[2], "--out", tmp_path / "out"]
    process = inside("evaluate.py", trained[0], *words)
    named = f"far from the prediction: 1, such as {table['id'][3]} (label 290, predicted "
    assert named in process.stdout


def test_a_calibration_of_a_hospital_gains_there_what_it_says(
    trained, hospital, calibrated, done, tmp_path
):
    gain = json.loads((trained[0] / "calibration_far.json").read_text())["views_4"]["gain"]
    assert gain["n"] == 60
    assert gain["difference_ci95"][1] < 0
    assert "it helps" in calibrated.stdout
    assert "the run's own 90 % intervals (+-" in calibrated.stdout
    maes = []
    for name, words in (("plain", []), ("far", ["--calibration", "far"])):
        done(
            *("evaluate.py", trained[0], "--csv", hospital[1], "--images", hospital[2]),
            *("--out", tmp_path / name, *words),
        )
        metrics = json.loads((tmp_path / name / "metrics.json").read_text())
        maes.append(metrics["mae"])
    assert maes[1] - maes[0] == pytest.approx(gain["difference"], rel=0.25)  # on 30 films
    assert metrics["intervals"]["all"]["covered"] > 0.7


def test_a_calibration_of_a_model_that_was_replaced_is_refused(
    trained, hospital, calibrated, inside, tmp_path
):
    run = shutil.copytree(trained[0], tmp_path / "run")
    words = [hospital[2], "--model", run, "--csv", hospital[1], "--calibration", "far"]
    assert "a different model" not in inside("predict.py", *words).stderr
    with (run / "model.keras").open("ab") as file:
        file.write(b"another")
    check_error_line(inside("predict.py", *words), "calibration far was made for a different model")


def test_a_model_that_is_not_told_the_sex_gets_one_line(phantoms, hospital, done, tiny, tmp_path):
    run, words = tmp_path / "run", ["--backbone", "mobilenet", "--weights", "none"]
    words += ["--img_size", "32", "--epochs_frozen", "1", "--data_dir", phantoms]
    done("train_baseline.py", *words, "--results_dir", run.parent, "--run_name", run.name)
    done("evaluate.py", run, "--calibrate", hospital[0], "--images", hospital[2])
    lines = json.loads((run / "calibration_some.json").read_text())["views_1"]["lines"]
    assert lines["male"] == lines["female"]


def test_nothing_is_learned_from_films_that_a_calibration_was_fitted_to(
    trained, hospital, calibrated, done, tmp_path
):
    """Also where they are a part of what is evaluated."""
    pd.concat([pd.read_csv(path) for path in hospital[:2]]).to_csv(tmp_path / "all.csv")
    note = "corrections and intervals of the model come from 60 of these films"
    for csv, told in ((tmp_path / "all.csv", True), (hospital[1], False)):
        words = ["--csv", csv, "--images", hospital[2], "--calibration", "far"]
        process = done("evaluate.py", trained[0], *words, "--out", tmp_path / f"told_{told}")
        assert (note in process.stdout) == told


def test_two_runs_are_compared_under_a_calibration_of_each(
    trained, hospital, calibrated, done, tmp_path
):
    """Also where a run has lines of its own, so that its validation films are known as well."""
    a, b = (shutil.copytree(trained[0], tmp_path / name) for name in "ab")
    line = {"slope": 1.0, "intercept": 0.0, "low": 0.0, "high": 240.0}
    lines = {"male": line, "female": line}
    with edit_json(a / "calibration.json") as stored:
        for calibration in stored.values():
            calibration["lines"] = lines
    words = ["--csv", hospital[1], "--images", hospital[2], "--calibration", "far"]
    process = done("evaluate.py", a, b, *words)
    assert "+0.00   difference, 95 % interval [+0.00, +0.00]" in process.stdout
    assert (a / f"evaluation_{hospital[1].stem}_far" / "metrics.json").exists()


def test_runs_that_can_not_be_compared_are_told_of_before_either_is_evaluated(
    trained, small_run, calibrated, inside, tmp_path
):
    a, b = (shutil.copytree(trained[0], tmp_path / name) for name in "ab")
    (b / "calibration_far.json").unlink()
    for words in ([a, b, "--calibration", "far"], [a, small_run]):
        process = inside("evaluate.py", *words)
        check_error_line(process, str(words[1]))
        assert not list(a.glob("evaluation_*"))


def test_a_calibration_is_of_films_that_the_model_has_not_learned_from(
    trained, hospital, inside, done, tmp_path
):
    run, data = shutil.copytree(trained[0], tmp_path / "run"), trained[1]
    new = pd.read_csv(data / "df_test.csv", dtype={"id": str})[:60]
    known = pd.read_csv(data / "df_train.csv", dtype={"id": str})
    words = ["evaluate.py", run, "--calibrate", tmp_path / "some.csv", "--images", data]
    pd.concat([new, known[:100]]).to_csv(tmp_path / "some.csv", index=False)
    process = inside(*words)
    check_error_line(process, "has learned from 100 of these 160 films", "--held_out")
    known.to_csv(tmp_path / "all.csv", index=False)
    process = inside("evaluate.py", run, "--calibrate", tmp_path / "all.csv", "--images", data)
    check_error_line(process, f"of these {len(known)} films", "Name others")
    assert "--held_out" not in process.stderr
    process = done(*words, "--held_out", "--name", "new")
    assert "calibration on 60 films" in process.stdout
    pd.concat([new, known[:20]]).to_csv(tmp_path / "some.csv", index=False)
    process = done(*words, "--name", "most")
    assert "was trained on 20 of these films" in process.stdout
    assert "calibration on 80 films" in process.stdout
    assert " of 60 labels" in process.stdout  # held by the intervals of the run: of new films


@pytest.mark.parametrize(
    ("difference", "covered", "worth"),
    [
        ([-2, -0.5], [0.8, 0.95], True),
        ([-2, 0.5], [0.8, 0.95], False),
        ([-2, 0.5], [0.6, 0.85], True),
    ],
)
def test_a_calibration_is_worth_using_for_its_lines_or_its_intervals(difference, covered, worth):
    calibration = {"gain": {"difference_ci95": difference}}
    assert worth_using(calibration, {"covered_ci95": covered}) == worth
    assert worth_using(calibration, None) == (difference[1] < 0)


@pytest.mark.parametrize(
    ("children", "of"), [(80, "80 labels"), (47, "the labels of 47 children (80 films)")]
)
def test_a_share_of_children_is_not_called_one_of_films(children, of):
    held = {"n": 80, "children": children, "covered": 0.73, "covered_ci95": [0.58, 0.85]}
    line = format_held(held | {"half_width": 15.1})
    assert line == f"the run's own 90 % intervals (+-15.1 months) hold 73% [58%, 85%] of {of}"


def test_a_calibration_that_did_not_clearly_help_is_noted(trained, calibrated):
    [member] = read_members([trained[0]])
    path = trained[0] / "calibration_far.json"
    assert choose_calibration([member], [trained[0]], "far", 4)[1] == []
    before = path.read_text()
    with edit_json(path) as stored:
        stored["views_4"]["gain"]["difference_ci95"] = [-2, 0.1]
    _, notes = choose_calibration([member], [trained[0]], "far", 4)
    path.write_text(before)
    assert notes == ["calibration far, of 60 films: no clear gain"]


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
        fitted = films["months"].clip(line["low"], line["high"])  # beyond, the shift stays
        expected = films["months"] + (line["slope"] - 1) * fitted + line["intercept"]
        np.testing.assert_allclose(films["months_far"], expected, atol=0.02)
    assert plain.returncode == process.returncode


@pytest.mark.parametrize("job", ["--calibrate", "--csv"])
def test_a_run_that_can_not_be_written_to_is_told_before_the_work(
    trained, hospital, inside, monkeypatch, job
):
    monkeypatch.setattr("os.access", lambda *_: False)
    monkeypatch.setattr("util.evaluating.evaluated_films.read_labelled_folder", None)
    words = [job, hospital[0], "--images", hospital[2]]
    check_error_line(inside("evaluate.py", trained[0], *words), "no permission to write")


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
            ["7 female", "20 of each sex are needed"],
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
        check_error_line(inside(*words), *expected)
    assert (run / "calibration_far.json").read_text() == before
    assert not (run / "calibration_few.json").exists()
