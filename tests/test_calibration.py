"""Linear correction and intervals: exact on made errors, and no better than they say."""

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from benchmarks.correction_rule import simulate
from util.final_evaluation import calibrate_splits
from util.metrics import label_predictions
from util.predicting.calibration import (
    correct_months,
    cross_fit,
    enough_children,
    fit_calibration,
    fit_lines,
    format_calibration,
)
from util.predicting.intervals import (
    fit_half_widths,
    format_range,
    interval_bounds,
    measure_coverage,
)


def films(n, seed=0):
    """n labelled films of both sexes and all ages."""
    rng = np.random.default_rng(seed)
    ids = [f"{seed}-{i}" for i in range(n)]
    return pd.DataFrame({"id": ids, "sex": np.arange(n) % 2, "boneage": rng.uniform(6, 222, n)})


def predict(table, noise, seed=0, slope=(1, 1), shift=(0, 0)):
    """Predictions whose bone age is slope * predicted + shift, for (female, male), and noise."""
    rng = np.random.default_rng(seed)
    male = table["sex"] == 1
    slope, shift = np.where(male, slope[1], slope[0]), np.where(male, shift[1], shift[0])
    months = (table["boneage"] - shift + noise * rng.standard_normal(len(table))) / slope
    return label_predictions(table, months)


BIASED = {"slope": (1.1, 0.9), "shift": (-12, 5)}


def test_a_linear_bias_is_found_exactly_for_each_sex():
    predictions = predict(films(60), noise=0, **BIASED)
    lines = fit_lines(predictions)
    assert lines["female"]["slope"] == pytest.approx(1.1, abs=1e-3)
    assert lines["female"]["intercept"] == pytest.approx(-12, abs=0.05)
    assert lines["male"]["slope"] == pytest.approx(0.9, abs=1e-3)
    assert lines["male"]["intercept"] == pytest.approx(5, abs=0.05)
    months = correct_months(predictions["predicted"], predictions["sex"], lines)
    np.testing.assert_allclose(months, predictions["boneage"], atol=0.02)


def test_a_model_that_is_not_told_the_sex_has_one_line_for_both():
    lines = fit_lines(predict(films(60), noise=3, **BIASED), per_sex=False)
    assert lines["male"] == lines["female"]


def test_films_of_few_ages_tell_of_a_shift_alone():
    """A line through them would draw every child to their middle."""
    table = films(4000)
    predictions = predict(table, noise=9, shift=(5, 5))
    lines = fit_lines(predictions[table["boneage"].between(108, 132)])
    for line in lines.values():
        assert line["slope"] == 1
        assert line["intercept"] == pytest.approx(5, abs=3)


def test_beyond_the_films_of_a_calibration_its_shift_stays():
    table = films(400)
    predictions = predict(table, noise=0, **BIASED)
    lines = fit_lines(predictions[table["boneage"].between(60, 160)])
    girls, line = np.zeros(3), lines["female"]
    low, high = correct_months(np.array([line["low"], line["high"]]), girls[:2], lines)
    assert low == pytest.approx(1.1 * line["low"] - 12, abs=0.1)
    months = correct_months(np.array([line["low"] - 30, line["high"] + 20, 100]), girls, lines)
    np.testing.assert_allclose(months, [low - 30, high + 20, 98], atol=0.1)


def test_the_gain_is_what_new_films_gain():
    calibration, judged = fit_calibration(predict(films(600), noise=9, **BIASED))
    new = predict(films(3000, seed=1), noise=9, seed=1, **BIASED)
    months = correct_months(new["predicted"], new["sex"], calibration["lines"])
    gain = label_predictions(new, months)["error"].abs().mean() - new["error"].abs().mean()
    low, high = calibration["gain"]["difference_ci95"]
    assert low < gain < high < 0
    assert calibration["gain"]["mae_with"] == pytest.approx(judged["error"].abs().mean())


def test_a_bias_of_all_films_is_found_in_the_simulated_ones_of_the_benchmark():
    change, gain = simulate(n=50, bias=4, seed=0)
    assert change < -0.5  # months, on 10,000 new films
    assert gain["difference"] < 0


def test_lines_that_help_are_kept_also_where_the_gain_is_not_certain():
    """A stricter rule would leave most corrections of small validation splits out."""
    calibration, _ = fit_calibration(predict(films(200), noise=9, shift=(2, -2)))
    low, high = calibration["gain"]["difference_ci95"]
    assert low < calibration["gain"]["difference"] < 0 < high
    assert calibration["lines"] is not None


def test_lines_that_do_not_help_are_left_out():
    table = films(300)
    months = table["boneage"]
    table["boneage"] = months + 9 * np.random.default_rng(1).standard_normal(300)
    predictions = label_predictions(table, months)  # off, but by nothing that a line could tell
    calibration, judged = fit_calibration(predictions)
    assert calibration["gain"]["difference"] > 0
    assert calibration["lines"] is None
    pd.testing.assert_frame_equal(judged, predictions)
    assert fit_calibration(predictions, always=True)[0]["lines"] is not None


def test_a_film_is_corrected_without_its_own_label():
    predictions = predict(films(60), noise=9, **BIASED)
    other = predictions.copy()
    row = predictions.index[predictions["boneage"].between(100, 115)][0]
    other.loc[row, "boneage"] = 97  # of the same band, so that it stays in the same part
    before, after = cross_fit(predictions), cross_fit(other)
    assert before["predicted"][row] == after["predicted"][row]
    assert not before["predicted"].equals(after["predicted"])


def test_a_film_is_corrected_without_the_labels_of_its_patient():
    predictions = predict(films(60), noise=9, **BIASED)
    predictions["patient"] = np.repeat(np.arange(15).astype(str), 4)
    other, row = predictions.copy(), 1
    other.loc[row, "boneage"] += 9  # not of the first film, which decides the part of all four
    before, after = cross_fit(predictions)["predicted"], cross_fit(other)["predicted"]
    family = predictions["patient"] == predictions["patient"][row]
    assert before[family].equals(after[family])
    assert not before.equals(after)


def test_a_changed_copy_of_a_film_is_corrected_as_the_film_is():
    """By lines that don't know its label, whatever films have copies and in whatever order."""
    predictions = predict(films(60), noise=9, **BIASED)
    copies = predictions[::-1][:40]
    expected = cross_fit(predictions).set_index("id").loc[copies["id"], "predicted"]
    got = cross_fit(predictions, copies=copies)
    assert got["id"].tolist() == copies["id"].tolist()
    assert got["predicted"].tolist() == expected.tolist()


@pytest.mark.parametrize(
    ("n", "biased", "correction", "intervals"),
    [
        (300, BIASED, "linear correction kept: MAE ", "90 % intervals from 300 films: +-"),
        (300, {}, "linear correction left out: MAE ", "90 % intervals from 300 films: +-"),
        (98, BIASED, "no linear correction: films of 50 children", "90 % intervals from 98 films"),
        (8, BIASED, "no linear correction", "no 90 % intervals: films of 9 children are needed"),
    ],
)
def test_what_validation_films_gave_is_told(n, biased, correction, intervals):
    calibration, _ = fit_calibration(predict(films(n), noise=5, **biased))
    first, second = format_calibration(calibration).splitlines()
    assert first.startswith(correction)
    assert second.startswith(intervals)


def test_few_films_of_one_sex_are_no_line():
    predictions = predict(films(200), noise=0, **BIASED)
    girls, boys = (predictions[predictions["sex"] == sex] for sex in (0, 1))
    assert not enough_children(pd.concat([boys, girls[:19]]))
    assert enough_children(pd.concat([boys, girls[:20]]))
    assert enough_children(girls[:20], per_sex=False)
    assert not enough_children(girls[:19], per_sex=False)
    for n, always, lines in ((19, True, 0), (20, True, 2), (49, False, 0), (50, False, 2)):
        calibration, _ = fit_calibration(pd.concat([boys, girls[:n]]), always=always)
        assert len(calibration["lines"] or {}) == lines


def test_films_of_one_child_count_as_one():
    """They stay together in a part of cross-fitting, which would leave no film to fit a line to."""
    predictions = predict(films(200), noise=0, **BIASED)
    girl = predictions["sex"] == 0
    predictions["patient"] = np.where(girl, "she", predictions["id"])
    assert not enough_children(predictions)
    assert fit_calibration(predictions, always=True)[0]["lines"] is None
    name = ("girl " + pd.Series(predictions.index // 2 % 25).astype(str)).to_numpy()
    predictions["patient"] = np.where(girl, name, predictions["id"])
    assert len(fit_calibration(predictions, always=True)[0]["lines"]) == 2


@pytest.mark.parametrize("per_sex", [True, False])
def test_test_films_are_corrected_by_the_lines_of_validation_films(per_sex):
    """And validation films by lines that don't know them."""
    tables = {split: films(n, seed) for seed, (split, n) in enumerate((("val", 300), ("test", 90)))}
    months = {split: predict(table, 9, **BIASED)["predicted"] for split, table in tables.items()}
    tables["val_clahe"], months["val_clahe"] = tables["val"], months["val"] + 3
    splits = {split: SimpleNamespace(table=table) for split, table in tables.items()}
    calibration, predictions = calibrate_splits(splits, months, per_sex)
    judged = label_predictions(tables["val"], months["val"])
    assert calibration["lines"] == fit_lines(judged, per_sex)
    pd.testing.assert_frame_equal(predictions["val"], cross_fit(judged, per_sex))
    copies = label_predictions(tables["val"], months["val_clahe"])
    pd.testing.assert_frame_equal(predictions["val_clahe"], cross_fit(judged, per_sex, copies))
    corrected = correct_months(months["test"], tables["test"]["sex"], calibration["lines"])
    pd.testing.assert_frame_equal(predictions["test"], label_predictions(tables["test"], corrected))


def test_a_calibration_is_fit_for_json():
    for n in (5, 12, 100):
        calibration, _ = fit_calibration(predict(films(n), noise=9, **BIASED))
        assert json.loads(json.dumps(calibration, allow_nan=False)) == calibration


# -------------------------------------------------------------------------------------- intervals


def with_errors(errors, boneage=100.0):
    table = films(len(errors)).assign(boneage=boneage)
    return label_predictions(table, table["boneage"] + errors)


@pytest.mark.parametrize(("n", "rank"), [(9, 9), (10, 10), (19, 18), (99, 90), (100, 91)])
def test_the_half_width_is_the_right_order_statistic(n, rank):
    errors = np.random.default_rng(0).permutation(np.arange(1, n + 1)) * np.resize([1, -1], n)
    assert fit_half_widths(with_errors(errors))["all"] == {"n": n, "months": rank, "of": "all"}


def test_eight_films_are_too_few():
    assert fit_half_widths(with_errors(np.arange(8))) is None


def test_coverage_is_what_is_promised_whatever_the_errors():
    """Of 400 draws of 60 films the mean coverage of new ones is 55 / 61 = 0.902."""
    rng = np.random.default_rng(0)
    covered = []
    for _ in range(400):
        errors = np.minimum(rng.gamma(2, 5, 260) - 8, 40)  # 75 + 40 months: all in one band
        months = fit_half_widths(with_errors(errors[:60], 75.0))["all"]["months"]
        covered.append(np.mean(np.abs(errors[60:]) <= months))
    assert np.mean(covered) == pytest.approx(55 / 61, abs=0.006)


def test_every_band_has_the_width_of_its_own_errors():
    """Errors of the youngest are three times as large: one width for all would fail both."""
    rng = np.random.default_rng(0)

    def draw(n):
        boneage = rng.choice([30.0, 150.0], n)
        return with_errors(rng.uniform(-1, 1, n) * np.where(boneage < 60, 6, 2), boneage)

    half_width = fit_half_widths(draw(2000))
    assert half_width["0-4 years"]["months"] == pytest.approx(5.4, abs=0.2)
    assert half_width["10-14 years"]["months"] == pytest.approx(1.8, abs=0.1)
    assert half_width["15+ years"] == half_width["all"] | {"n": 0}
    coverage = measure_coverage(draw(4000), half_width)
    assert coverage["0-4 years"]["covered"] == pytest.approx(0.9, abs=0.03)
    assert coverage["10-14 years"]["covered"] == pytest.approx(0.9, abs=0.03)


def test_bands_are_those_of_the_prediction_for_a_new_film_has_no_label():
    widths = fit_half_widths(with_errors(np.repeat(-120.0, 40), np.repeat(150.0, 40)))
    assert {name: part["n"] for name, part in widths.items() if part["n"]} == {
        "all": 40,
        "0-4 years": 40,
    }


def test_a_band_of_few_films_takes_the_width_of_all():
    for n, of in ((29, "all"), (30, "0-4 years")):
        boneage = np.repeat([30.0, 150.0], [n, 200])
        errors = np.repeat([1.0, 7.0], [n, 200])
        widths = fit_half_widths(with_errors(errors, boneage))
        assert widths["0-4 years"] == {"n": n, "months": 7 if of == "all" else 1, "of": of}


def test_children_count_and_not_their_films():
    """Three films each of 9, and in one band of 30, children or of one less."""
    for n, of in ((8, None), (9, "all"), (29, "all"), (30, "0-4 years")):
        children = with_errors(np.ones(n), np.repeat(30.0, n))
        films = pd.concat([children.assign(patient=children["id"])] * 3)
        widths = fit_half_widths(films)
        assert widths is None if of is None else widths["0-4 years"]["of"] == of


def test_a_child_of_many_films_decides_no_more_than_one_of_one():
    """Of 19 children the one with 40 films errs by 1 month in each: the others decide."""
    missed, films = np.arange(1.0, 20), np.repeat([40, 1], [1, 18])
    table = with_errors(np.repeat(missed, films))
    table["patient"] = np.repeat(np.arange(19).astype(str), films)
    assert fit_half_widths(table)["all"] == {"n": 58, "months": 18, "of": "all"}
    assert fit_half_widths(table.drop(columns="patient"))["all"]["months"] == 15
    shuffled = table.sample(frac=1, random_state=0)
    assert fit_half_widths(shuffled) == fit_half_widths(table)


def test_intervals_hold_for_new_children_who_have_different_numbers_of_films():
    """All films of a child err alike, and one in ten children has 30 of them."""
    rng, covered = np.random.default_rng(0), []
    for _ in range(300):
        missed, films = rng.gamma(2, 5, 30), np.where(rng.random(30) < 0.1, 30, 1)
        table = with_errors(np.repeat(missed, films))
        table["patient"] = np.repeat(np.arange(30).astype(str), films)
        covered.append(np.mean(rng.gamma(2, 5, 100) <= fit_half_widths(table)["all"]["months"]))
    assert np.mean(covered) == pytest.approx(28 / 31, abs=0.01)


def test_intervals_hold_for_corrected_months():
    """The lines are fitted to the same films as the intervals, and yet coverage is kept."""
    covered = []
    for seed in range(40):
        calibration, _ = fit_calibration(predict(films(100, seed), 9, seed, **BIASED))
        new = predict(films(500, seed + 100), 9, seed + 100, **BIASED)
        months = correct_months(new["predicted"], new["sex"], calibration["lines"])
        part = measure_coverage(label_predictions(new, months), calibration["half_width"])
        covered.append(part["all"]["covered"])
    assert 0.89 < np.mean(covered) < 0.93


def test_coverage_counts_the_films_and_says_how_sure_it_is():
    half_width = fit_half_widths(with_errors(np.arange(9)))  # 8 months
    part = measure_coverage(with_errors([8, -8, 8.01, 0, 1, 2, 3, 4, 5, 6]), half_width)["all"]
    assert (part["n"], part["covered"], part["half_width"]) == (10, 0.9, 8)
    assert part["covered_ci95"] == pytest.approx([0.555, 0.9975], abs=1e-4)  # Clopper & Pearson
    none = measure_coverage(with_errors([9, -9, 9]), half_width)["all"]
    assert none["covered_ci95"] == pytest.approx([0, 0.7076], abs=1e-4)


def test_coverage_is_told_for_each_sex():
    half_width = fit_half_widths(with_errors(np.arange(9)))  # 8 months
    table = with_errors([0, 9, 0, 9, 0, 0]).assign(sex=[0, 1, 0, 1, 0, 1])
    coverage = measure_coverage(table, half_width)
    shares = [coverage[name]["covered"] for name in ("all", "male", "female")]
    assert shares == pytest.approx([4 / 6, 1 / 3, 1])


def test_coverage_is_told_for_each_band_of_the_prediction():
    """Of a new film only the prediction is known; the width is that of its band."""
    half_width = fit_half_widths(with_errors(np.arange(9)))  # 8 months
    half_width["0-4 years"] = half_width["all"] | {"months": 3}
    coverage = measure_coverage(with_errors([-2, -4, 5], [60.0, 62, 60]), half_width)
    young, older = coverage["0-4 years"], coverage["5-9 years"]
    assert (young["n"], young["covered"], young["half_width"]) == (2, 0.5, 3)
    assert (older["n"], older["covered"], older["half_width"]) == (1, 1, 8)
    assert "10-14 years" not in coverage
    films = with_errors([-2, -4, 5], [60.0, 62, 60]).assign(patient=["a", "a", "b"])
    assert (
        measure_coverage(films, half_width)["all"]["half_width"] == (3 + 8) / 2
    )  # of two children


def test_coverage_is_no_surer_of_ten_children_than_of_ten_films():
    half_width = fit_half_widths(with_errors(np.arange(9)))
    ten = with_errors([8, -8, 8.01, 0, 1, 2, 3, 4, 5, 6])
    twice = pd.concat([ten.assign(patient=ten["id"], id=f"{n} " + ten["id"]) for n in (1, 2)])
    once, told = (measure_coverage(table, half_width)["all"] for table in (ten, twice))
    assert told["n"] == 20
    assert told["covered_ci95"] == pytest.approx(once["covered_ci95"])
    inside = measure_coverage(twice[twice["error"] <= 8], half_width)["all"]
    assert inside["covered_ci95"] == pytest.approx([0.664, 1], abs=1e-3)  # of nine children, all in


def test_coverage_counts_each_child_once():
    """As widths are fitted; else many films of ill children would make them look too narrow."""
    table = with_errors([*np.full(30, 9), *np.zeros(20)])
    table["patient"] = ["of many", *["of many"] * 29, *map(str, range(20))]
    part = measure_coverage(table, fit_half_widths(with_errors(np.arange(9))))["all"]  # 8 months
    assert (part["n"], part["covered"]) == (50, pytest.approx(20 / 21))
    assert part["covered_ci95"] == pytest.approx([0.762, 0.999], abs=1e-3)  # of 21 children


def test_bounds_are_around_the_prediction_and_never_below_birth():
    widths = fit_half_widths(with_errors(np.full(9, 14.6)))
    low, high = interval_bounds(np.array([5.0, 136.2, -30.0, np.nan]), widths)
    assert low == pytest.approx([0, 121.6, 0, np.nan], nan_ok=True)
    assert high == pytest.approx([19.6, 150.8, 0, np.nan], nan_ok=True)
    assert format_range(121.1, 150.4) == "90 %: 10 y 1 mo - 12 y 6 mo"
