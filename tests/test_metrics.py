"""Errors in months: known numbers, intervals, baseline, groups and paired comparison."""

import json
import re

import numpy as np
import pandas as pd
import pytest
from scipy.stats import linregress, norm, t

from util.agreement import agreement
from util.bootstrap import bootstrap_means, mean_interval
from util.errors import UserError
from util.identity import count_patients
from util.markdown import group_rows, table_of_errors
from util.metrics import (
    compare_predictions,
    evaluate_predictions,
    label_predictions,
    read_predictions,
)
from util.metrics_text import format_comparison, format_metrics, format_years


def predictions_of(boneage, error, sex=None):
    boneage, error = np.asarray(boneage, float), np.asarray(error, float)
    ids = [f"{i:04d}" for i in range(len(error))]
    sex = np.arange(len(error)) % 2 if sex is None else sex
    return pd.DataFrame(
        {"id": ids, "sex": sex, "boneage": boneage, "predicted": boneage + error, "error": error}
    )


def interval_of(values, least=-np.inf):
    """The interval of the mean of values, each of another child."""
    return mean_interval(values, predictions_of(values, values), least)


@pytest.fixture
def five():
    return predictions_of([10, 70, 130, 190, 90], [3, -5, 0, 24, -6], sex=[1, 0, 1, 1, 0])


@pytest.fixture
def many():
    """3,000 films with skewed errors."""
    rng = np.random.default_rng(0)
    return predictions_of(rng.uniform(1, 228, 3000), rng.gamma(2, 5, 3000) - 8)


def test_figures_worked_out_by_hand(five):
    metrics = evaluate_predictions(five)
    assert metrics["n"] == 5
    assert metrics["mae"] == pytest.approx(38 / 5)
    assert metrics["bias"] == pytest.approx(16 / 5)
    assert metrics["rmse"] == pytest.approx(np.sqrt(646 / 5))
    assert metrics["median_abs_error"] == 5
    assert metrics["r2"] == pytest.approx(1 - 646 / 18080)
    assert metrics["correlation"] == pytest.approx(np.corrcoef(five.boneage, five.predicted)[0, 1])
    shares = [metrics[f"within_{months}"] for months in (6, 12, 24)]
    assert shares == pytest.approx([0.8, 0.8, 1.0])  # 6 is within 6


def test_groups_are_those_of_their_films_and_sum_to_n(five):
    metrics = evaluate_predictions(five)
    by_sex, by_age = metrics["by_sex"], metrics["by_age"]
    assert [by_sex[name]["n"] for name in ("male", "female")] == [3, 2]
    assert by_sex["male"]["mae"] == pytest.approx(9)
    assert by_sex["female"]["bias"] == pytest.approx(-5.5)
    assert {band: row["n"] for band, row in by_age.items()} == {
        **{"0-4 years": 1, "5-9 years": 2, "10-14 years": 1, "15+ years": 1}
    }
    assert by_age["5-9 years"]["mae"] == pytest.approx(5.5)
    both = metrics["by_sex_and_age"]
    assert [row["n"] for row in both["male"].values()] == [1, 0, 1, 1]
    assert both["female"]["5-9 years"]["bias"] == pytest.approx(-5.5)


def test_by_the_age_that_is_predicted_films_are_in_other_bands(five):
    """Predictions 13, 65, 130, 214 and 84, each in the band of its label; 70 to 58 is not."""
    five.loc[1, ["predicted", "error"]] = 58, -12
    metrics = evaluate_predictions(five)
    rows = metrics["by_predicted_age"]
    assert [row["n"] for row in rows.values()] == [2, 1, 1, 1]
    assert rows["0-4 years"]["bias"] == pytest.approx((3 - 12) / 2)
    below = format_metrics(metrics, "these").split("by the age that is predicted\n")[1]
    assert below.split()[:4] == ["0-4", "years", "2", "7.50"]


def test_limits_of_agreement_worked_out_by_hand():
    errors = predictions_of([60, 90, 120, 150], [2, -2, 4, 0])  # mean 1, variance 20 / 3
    low, high = evaluate_predictions(errors)["limits_of_agreement"]
    assert [low, high] == pytest.approx([1 - 5.061, 1 + 5.061], abs=0.001)
    assert evaluate_predictions(errors[:2])["limits_of_agreement"] is None


@pytest.mark.parametrize("n", [20, 400])
def test_intervals_of_limits_of_agreement_are_those_of_normal_errors(n):
    """Their standard error is that of Bland & Altman 1999, Stat Methods Med Res 8:135. They reach
    farther outwards: an SD is sooner larger than that of few errors than smaller."""
    error = norm.ppf((np.arange(n) + 0.5) / n, 1, 6)
    metrics = evaluate_predictions(predictions_of(np.full(n, 120), error))
    half = t.ppf(0.975, n - 1) * error.std(ddof=1) * np.sqrt(1 / n + 1.96**2 / (2 * (n - 1)))
    (lowest, above), (below, highest) = metrics["limits_of_agreement_ci95"]
    low, high = metrics["limits_of_agreement"]
    for outside, inside in ((low - lowest, above - low), (highest - high, high - below)):
        assert (outside + inside) / 2 == pytest.approx(half, rel=0.1)
        assert 1 + 0.5 / np.sqrt(n) < outside / inside < 1 + 2 / np.sqrt(n)
    low, high = below, highest
    assert f"+{metrics['limits_of_agreement'][1]:.1f} [{low:+.1f}, {high:+.1f}]" in (
        format_metrics(metrics, "these")
    )


def test_limits_of_agreement_of_a_few_children_have_no_interval():
    """Nor do those of many films of a few; twice the films of each child don't narrow others."""
    error = np.random.default_rng(0).normal(1, 6, 20)
    once = predictions_of(np.full(20, 120), error)
    assert evaluate_predictions(once[:9])["limits_of_agreement_ci95"] is None
    of_nine = once.assign(patient=[f"child {i % 9}" for i in range(20)])
    assert evaluate_predictions(of_nine)["limits_of_agreement_ci95"] is None
    twice = pd.concat([once, once]).assign(patient=[*once["id"]] * 2)
    found = [evaluate_predictions(each)["limits_of_agreement_ci95"] for each in (once, twice)]
    assert np.allclose(*(np.diff(part) for part in found), rtol=0.05)


def icc_by_analysis_of_variance(ratings):
    """ICC(2,1) of ratings `(films, raters)`, as Shrout & Fleiss 1979 write it."""
    n, k = ratings.shape
    of_films, of_raters, mean = ratings.mean(axis=1), ratings.mean(axis=0), ratings.mean()
    rest = ratings - of_films[:, None] - of_raters + mean
    films = k * np.sum((of_films - mean) ** 2) / (n - 1)
    raters = n * np.sum((of_raters - mean) ** 2) / (k - 1)
    error = np.sum(rest**2) / ((n - 1) * (k - 1))
    return (films - error) / (films + (k - 1) * error + k * (raters - error) / n)


def test_the_intraclass_correlation_is_that_of_shrout_and_fleiss(five, many):
    judges = [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]]
    published = icc_by_analysis_of_variance(np.array(judges))
    assert published == pytest.approx(0.29, abs=0.005)  # their table 4
    for films in (five, many, predictions_of(np.arange(6.0), [9, -9, 30, 0, 4, 4])):
        expected = icc_by_analysis_of_variance(films[["boneage", "predicted"]].to_numpy())
        assert evaluate_predictions(films)["icc_2_1"] == pytest.approx(expected)


def test_the_slope_of_the_difference_is_that_of_a_regression(many):
    """Bland & Altman 1999: above 0 where differences grow with age; its interval as well."""
    grown = predictions_of(many["boneage"], many["error"] + 0.1 * many["boneage"])
    metrics = evaluate_predictions(grown)
    line = linregress((grown["boneage"] + grown["predicted"]) / 2, grown["error"])
    assert metrics["difference_slope"] == pytest.approx(line.slope)
    expected = line.slope + 1.96 * line.stderr * np.array([-1, 1])
    assert metrics["difference_slope_ci95"] == pytest.approx(expected, abs=0.25 * line.stderr)
    assert "slope of the difference against the mean +0.0" in format_metrics(metrics, "these")


def test_the_interval_of_an_rmse_of_few_films_is_not_too_narrow():
    rng = np.random.default_rng(0)
    found = [
        agreement(predictions_of(np.full(10, 120), rng.normal(0, 9, 10)))["rmse_ci95"]
        for _ in range(200)
    ]
    low, high = np.transpose(found)
    assert np.mean((low <= 9) & (high >= 9)) > 0.9  # a percentile interval has 0.87


def test_rmse_and_correlation_have_intervals_of_ten_children_or_more(many):
    metrics = evaluate_predictions(many)
    low, high = np.square(metrics["rmse_ci95"])  # errors are squared after all
    assert [low, high] == pytest.approx(mean_interval(many["error"] ** 2, many), rel=0.01)
    low, high = metrics["icc_2_1_ci95"]
    assert low < metrics["icc_2_1"] < high < 1
    assert metrics["by_sex"]["male"]["icc_2_1_ci95"][0] < low  # of half of the films
    two = evaluate_predictions(many[:2])
    assert two["icc_2_1"] is two["difference_slope"] is None  # any two films have a line
    few = evaluate_predictions(many[:9])
    assert few["icc_2_1_ci95"] is few["rmse_ci95"] is few["difference_slope_ci95"] is None
    assert f"RMSE {few['rmse']:.2f}, R2" in format_metrics(few, "nine films")


def test_ages_that_are_all_the_same_have_neither_correlation_nor_slope():
    metrics = evaluate_predictions(predictions_of([100.1] * 12, [1.1] * 12))
    assert metrics["icc_2_1"] is metrics["difference_slope"] is None
    assert "ICC" not in format_metrics(metrics, "these")
    # a third of the resamples are without the one film of another age
    almost = evaluate_predictions(predictions_of([100.1] * 11 + [130], [1.1] * 12))
    assert json.loads(json.dumps(almost, allow_nan=False)) == almost


def test_limits_of_agreement_and_their_intervals_move_with_the_bias():
    error = np.random.default_rng(0).normal(0, 6, 40)
    there, moved = (
        evaluate_predictions(predictions_of(np.full(40, 120), error + bias)) for bias in (0, 30)
    )
    for name in ("limits_of_agreement", "limits_of_agreement_ci95"):
        assert np.allclose(np.subtract(moved[name], 30), there[name])


@pytest.mark.parametrize("error", [[0.03] * 12, [-7.0] * 12, [0.0] * 11 + [6.0]])
def test_limits_of_agreement_of_equal_errors_have_an_interval_near_them(error):
    """Most of their resamples have an SD of 0, whose logarithm there isn't."""
    bounds = np.array(
        evaluate_predictions(predictions_of(np.full(12, 120), error))["limits_of_agreement_ci95"]
    )
    assert np.abs(bounds - np.mean(error)).max() < 50 * np.std(error) + 1e-6


def test_every_film_is_in_one_age_band_also_on_its_edge():
    ages = [0, 59.9, 60, 119.9, 120, 179.9, 180, 228]
    by_age = evaluate_predictions(predictions_of(ages, np.ones(8)))["by_age"]
    assert [row["n"] for row in by_age.values()] == [2, 2, 2, 2]


def test_the_baseline_predicts_the_training_median_for_every_film(five):
    own = evaluate_predictions(five)["baseline"]
    assert (own["months"], own["source"]) == (90, "these films")
    assert own["mae"] == pytest.approx(48)
    told = evaluate_predictions(five, train_median=120)["baseline"]
    assert (told["months"], told["source"]) == (120, "training films")
    assert told["mae"] == pytest.approx(54)
    assert told["mae_ci95"][0] < 54 < told["mae_ci95"][1]


def test_intervals_agree_with_the_normal_approximation(many):
    metrics = evaluate_predictions(many, train_median=120)
    error, off = many["error"].to_numpy(), np.abs(many["boneage"] - 120)
    for found, values in (
        (metrics["mae_ci95"], np.abs(error)),
        (metrics["bias_ci95"], error),
        (metrics["baseline"]["mae_ci95"], off),
        (metrics["by_sex"]["male"]["mae_ci95"], np.abs(error[1::2])),
        (metrics["by_sex"]["male"]["bias_ci95"], error[1::2]),
    ):
        deviation = values.std() / np.sqrt(len(values))
        expected = values.mean() + 1.96 * deviation * np.array([-1, 1])
        assert found == pytest.approx(expected, abs=0.25 * deviation)


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    rng = np.random.default_rng(1)
    bounds = [interval_of(rng.gamma(2, 5, 80)) for _ in range(300)]
    covered = np.mean([low <= 10 <= high for low, high in bounds])
    assert 0.89 < covered < 0.98


@pytest.mark.parametrize("n", [2, 3, 5, 10])
def test_intervals_of_few_values_are_wide_enough(n):
    rng = np.random.default_rng(n)
    bounds = [interval_of(rng.normal(10, 3, n)) for _ in range(400)]
    assert np.mean([low <= 10 <= high for low, high in bounds]) > 0.9


def test_intervals_of_errors_that_have_a_sign_are_not_cut_at_zero():
    """A bias to one side is as uncertain as one to the other."""
    low, high = interval_of([1.0, 2.0])
    assert low < 0
    assert interval_of([-1.0, -2.0]) == pytest.approx([-high, -low])
    assert interval_of([1.0, 2.0], least=0) == [0, high]
    films = pd.DataFrame({"id": ["1", "2"], "sex": [1, 0], "boneage": [60.0, 90.0]})
    metrics = evaluate_predictions(label_predictions(films, [60.5, 100.0]), train_median=61)
    assert metrics["mae_ci95"][0] == metrics["baseline"]["mae_ci95"][0] == 0
    assert metrics["bias_ci95"][0] < 0


def test_a_model_that_is_no_better_than_the_median_is_told(many):
    worse = format_metrics(evaluate_predictions(many.assign(error=99.0)), "test")
    assert "no better than the median baseline" in worse
    assert "no better" not in format_metrics(evaluate_predictions(many), "test")


def test_the_better_of_two_runs_is_named_where_the_difference_is_clear(many):
    worse = many.assign(error=many["error"].abs() + 5)
    for first, second in ((many, worse), (worse, many)):
        words = format_comparison(compare_predictions(first, second), ["one", "other"])
        assert ("one" if first is many else "other") + " is better" in words
    same = format_comparison(compare_predictions(many, many), ["one", "other"])
    assert "no clear difference" in same


@pytest.mark.parametrize(("children", "few"), [(9, True), (10, False)])
def test_of_few_children_no_run_is_called_better_however_many_their_films(many, children, few):
    films = many[: 3 * children].assign(patient=np.arange(3 * children) % children)
    films = films.astype({"patient": str})
    worse = films.assign(error=films["error"].abs() + 50)
    words = format_comparison(compare_predictions(films, worse), ["one", "other"])
    assert ("too few" in words) == few
    assert ("one is better" in words) != few


def test_one_film_has_no_interval_and_tells_no_difference(many):
    one, other = many[:1], many[:1].assign(error=many["error"][:1] + 1)
    metrics = evaluate_predictions(one)
    assert metrics["mae_ci95"] is None
    assert " - " in format_metrics(metrics, "test")
    assert "no interval" in format_comparison(compare_predictions(one, other), "ab")


def test_two_films_of_a_patient_count_as_one_in_intervals(many):
    """Twice the same film is no more than once: only that the films are of one child tells."""
    many = many[:400]
    once = evaluate_predictions(many)
    twice = pd.concat([many, many.assign(id="again " + many["id"])], ignore_index=True)
    told = label_predictions(twice.assign(patient=[*many["id"]] * 2), twice["predicted"])
    for name in ("mae_ci95", "bias_ci95", "rmse_ci95", "icc_2_1_ci95", "difference_slope_ci95"):
        assert evaluate_predictions(told)[name] == pytest.approx(once[name], abs=0.01)
    assert evaluate_predictions(told)["by_sex"]["male"]["mae_ci95"] == pytest.approx(
        once["by_sex"]["male"]["mae_ci95"], abs=0.01
    )
    width, narrow = (np.ptp(evaluate_predictions(t)["mae_ci95"]) for t in (told, twice))
    assert narrow < 0.8 * width
    other = told.assign(error=told["error"] * 1.1)
    paired, unpaired = (
        np.ptp(compare_predictions(t, other)["difference_ci95"])
        for t in (told, told.drop(columns="patient"))
    )
    assert unpaired < 0.8 * paired
    said = told.assign(reading=told["boneage"] + 5)
    paired, unpaired = (
        np.ptp(evaluate_predictions(t)["readings"]["difference_ci95"])
        for t in (said, said.drop(columns="patient"))
    )
    assert unpaired < 0.8 * paired


def test_patients_stay_with_predictions_where_any_is_told(five):
    assert "patient" not in label_predictions(five.assign(patient=""), five["predicted"])
    told = label_predictions(five.assign(patient=["a", "", "a", "", ""]), five["predicted"])
    assert told["patient"].tolist() == ["a", "", "a", "", ""]
    assert count_patients(told) == count_patients(told.drop(index=2)) == 4


def test_a_child_of_many_films_is_drawn_with_all_of_them():
    """A resample without that child has ten films of error 10; one with it a smaller mean."""
    errors, patients = np.repeat([0.0, 10.0], [9, 10]), np.maximum(0, np.arange(19) - 8)
    [means] = bootstrap_means([errors], patients=patients)
    assert means.max() == 10
    assert means.min() < 4


def test_many_films_of_few_children_are_as_uncertain_as_these():
    values = np.array([1.0, 4.0, 9.0])
    repeated = np.repeat(values, 20)
    films = predictions_of(repeated, repeated).assign(patient=np.repeat(list("abc"), 20))
    assert mean_interval(repeated, films) == pytest.approx(interval_of(values))


def test_what_a_reader_would_say_is_judged_beside_the_months(five):
    predictions = label_predictions(five, five["predicted"])
    assert "readings" not in evaluate_predictions(predictions)
    said = predictions["boneage"] + [0, 0, 3, -3, 0]
    readings = evaluate_predictions(predictions.assign(reading=said))["readings"]
    assert (readings["n"], readings["mae"], readings["bias"]) == (5, 1.2, 0)
    months = predictions["error"].abs().mean()
    assert readings["difference"] == pytest.approx(1.2 - months)
    low, high = readings["difference_ci95"]
    assert low < readings["difference"] < high


def test_the_bias_of_readings_is_in_the_column_of_the_bias(five):
    metrics = evaluate_predictions(five.assign(reading=five["boneage"] + [0, 2, 3, 3, 0]))
    text, readings = format_metrics(metrics, "these"), metrics["readings"]
    row = format_metrics(metrics | readings, "these").splitlines()[2]
    assert row.replace("all films       ", "as a reader says") in text
    low, high = readings["difference_ci95"]
    assert f"minus that of the months -6.00 [{low:+.2f}, {high:+.2f}]" in text


def test_the_same_errors_have_the_same_interval():
    values = np.random.default_rng(0).gamma(2, 5, 50)
    assert interval_of(values) == interval_of(values)


def test_metrics_are_fit_for_json_also_where_there_is_nothing_to_measure(five):
    # the squares of three equal decimals don't sum to 0
    alike = predictions_of([100.1] * 3, [1, -1, 0])
    for table in (five, five[:1], predictions_of([90, 90], [0, 0]), alike):
        metrics = evaluate_predictions(table)
        assert json.loads(json.dumps(metrics, allow_nan=False)) == metrics
    assert metrics["r2"] is None
    assert metrics["correlation"] is None
    constant = pd.DataFrame({"id": ["a", "b", "c"], "sex": 1, "boneage": [90, 100, 120]})
    constant = label_predictions(constant, [100.1] * 3)
    assert evaluate_predictions(constant)["correlation"] is None
    assert metrics["by_age"]["15+ years"] == {"n": 0} | dict.fromkeys(
        ("mae", "mae_ci95", "bias", "bias_ci95")
    )


def test_no_predictions_are_an_error(five):
    with pytest.raises(UserError, match="no predictions"):
        evaluate_predictions(five[:0])


def test_runs_are_compared_film_by_film_in_any_order(many):
    worse = many.assign(error=many["error"] + np.sign(many["error"]))  # one month for every film
    result = compare_predictions(many.sample(frac=1, random_state=0), worse)
    assert result["n"] == 3000
    assert result["mae_a"] == pytest.approx(many["error"].abs().mean())
    assert result["mae_b"] == pytest.approx(result["mae_a"] + 1)
    assert result["difference"] == pytest.approx(-1)
    assert result["difference_ci95"] == pytest.approx([-1, -1])  # paired: no spread is left


def test_the_interval_of_a_difference_covers_zero_only_without_one(many):
    rng = np.random.default_rng(2)
    for shift, alike in ((0, True), (3, False)):
        other = many.assign(error=rng.permutation(many["error"].abs()) + shift)
        low, high = compare_predictions(many, other)["difference_ci95"]
        assert (low < 0 < high) == alike


def test_runs_on_other_films_or_labels_can_not_be_compared(five):
    renamed = five.assign(id=["0000", "0001", "0002", "0003", "x"])
    for other in (five[:4], renamed, pd.concat([five, five[:1]])):
        for pair in ((five, other), (other, five)):
            with pytest.raises(UserError, match="not evaluated on the same films"):
                compare_predictions(*pair)
    with pytest.raises(UserError, match="different labels"):
        compare_predictions(five, five.assign(boneage=five["boneage"] + 1))


def test_the_table_for_the_terminal(five):
    text = format_metrics(evaluate_predictions(five[:4], train_median=120), "run on test")
    lines = text.splitlines()
    assert lines[0] == "run on test: 4 films, errors in months"
    rows = {line[:18].strip(): line[18:].split() for line in lines[2:]}
    assert rows["all films"][:2] == ["4", "8.00"]
    assert rows["all films"][4] == "+5.50"
    assert rows["median baseline"][:2] == ["4", "60.00"]
    assert "always 120, the median of the training films" in text
    assert rows["male"][:2] == ["3", "9.00"]
    assert rows["female"] == ["1", "5.00", "-", "-5.00", "-"]  # one film has no interval
    assert "within 6 months 75%, within 12 months 75%, within 24 months 100%" in text


def test_metrics_of_the_first_version_are_still_shown(five):
    """A finished run that is resumed tells its figures again: no others are needed."""
    row = ("n", "mae", "mae_ci95", "bias")
    first = (*row, "rmse", "r2", "within_6", "within_24", "by_sex", "by_age", "baseline")
    metrics = {name: figure for name, figure in evaluate_predictions(five).items() if name in first}
    for groups in (metrics["by_sex"], metrics["by_age"]):
        groups |= {name: {key: group[key] for key in row} for name, group in groups.items()}
    text = format_metrics(metrics, "an old run")
    assert any(line.split()[:1] == ["male"] and line.endswith(" -") for line in text.splitlines())
    assert re.search(r"  within 6 months \d+%, within 24 months \d+%", text)
    assert "| boys | 3 |" in table_of_errors("test films", group_rows(metrics), metrics)


def test_groups_without_films_have_no_row(five):
    text = format_metrics(evaluate_predictions(five[:1]), "one film")
    assert "0-4 years" in text
    assert "female" not in text
    assert "15+ years" not in text
    assert "None" not in text


@pytest.mark.parametrize(
    ("months", "text"),
    [
        (136.2, "11 y 4 mo"),
        (0, "0 y 0 mo"),
        (11.4, "0 y 11 mo"),
        (11.6, "1 y 0 mo"),  # never "0 y 12 mo"
        (23.9, "2 y 0 mo"),
        (-0.4, "0 y 0 mo"),
        (-25, "0 y 0 mo"),
        (np.float32(215.6), "18 y 0 mo"),
    ],
)
def test_months_as_years_and_months(months, text):
    assert format_years(months) == text


def test_ids_of_saved_predictions_keep_their_zeros(five, tmp_path):
    five.to_csv(tmp_path / "predictions.csv", index=False)
    pd.testing.assert_frame_equal(read_predictions(tmp_path / "predictions.csv"), five)


def test_ids_that_other_tables_mean_nothing_by_stay(five, tmp_path):
    ids = ["NA", "null", "nan", "None", "5"]
    five.assign(id=ids).to_csv(tmp_path / "NA.csv", index=False)
    assert read_predictions(tmp_path / "NA.csv")["id"].tolist() == ids


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda text: text.replace(",", ";"), "no column id"),
        (lambda text: "", "No columns to parse"),
        (lambda text: text.replace("boneage", "age"), "no column boneage"),
        (lambda text: text.replace("120", "ten years"), "text among its numbers"),
        (lambda text: text.replace("120", "", 1), "gaps in it"),
    ],
)
def test_predictions_that_were_saved_anew_are_named(five, tmp_path, damage, told):
    text = five.assign(boneage=120).to_csv(index=False)
    (tmp_path / "predictions_val.csv").write_text(damage(text))
    with pytest.raises(UserError, match=rf"{told} .*predictions_val.csv\). Restore it"):
        read_predictions(tmp_path / "predictions_val.csv")
