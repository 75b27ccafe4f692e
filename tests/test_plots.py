"""Pictures are drawn, whatever the names of films and folders."""

from argparse import Namespace
from itertools import pairwise
from unittest.mock import MagicMock

import cv2
import numpy as np
import pandas as pd
import pytest

from util import film_plots, plots, run_pictures
from util.metrics import label_predictions
from util.runs import Run


@pytest.fixture
def drawn(monkeypatch):
    """Pictures are returned as figures, laid out, instead of being saved."""

    def keep(figure, path, for_print=False):
        figure.draw_without_rendering()
        return figure

    for module in (plots, film_plots):
        monkeypatch.setattr(module, "save", keep)


def predictions_of(ages, errors):
    """Predictions of boys of these ages in months, with these errors."""
    ids = [str(number) for number in range(len(ages))]
    films = pd.DataFrame({"id": ids, "sex": 1, "boneage": np.array(ages, float)})
    return label_predictions(films, films["boneage"] + errors)


def test_pictures_take_any_name(tmp_path):
    """Two $ are a formula to matplotlib, and the name of a file has 255 bytes at most."""
    name = "US$_0_{x$" + 250 * "x"
    films = pd.DataFrame({"id": ["1", "2", "3"], "sex": [1, 0, 1], "boneage": [60.0, 90, 120]})
    predictions = label_predictions(films, np.array([70.0, 80, 130]))
    paths = plots.plot_errors(tmp_path, predictions, name, name)
    film = np.full((1, 8, 8), 128, np.uint8)
    paths.append(film_plots.plot_contact_sheet(film, [name[:9]], tmp_path / "sheet.png", name[:9]))
    assert all(cv2.imread(str(path)) is not None for path in paths)
    prints = [path.with_suffix(".pdf").read_bytes() for path in paths[:3]]  # of the errors
    assert all(b"/Font" in print and b"/Subtype /Image" not in print for print in prints)
    assert not any(b"/Type3" in print for print in prints)  # journals refuse such fonts


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", ["caf\udce9.png", "骨.png"])  # a byte that is no UTF-8; no glyph
def test_names_that_no_font_can_show_are_no_error(tmp_path, name):
    film = np.full((1, 8, 8), 128, np.uint8)
    path = film_plots.plot_contact_sheet(film, [name], tmp_path / "sheet.png", name)
    assert cv2.imread(str(path)) is not None


def test_ticks_stay_readable_whatever_is_predicted(drawn):
    predictions = predictions_of([60, 120, 180], np.array([1, -2, 40_000.0]))
    axis = plots.plot_predicted_vs_true(predictions, "any.png", "title").axes[0]
    assert 5 < len(axis.get_xticks()) < 20


def test_few_films_fill_their_sheet(drawn):
    """Two films in a row of eight would be lost at the edge of the picture."""
    films = np.full((2, 8, 8), 128, np.uint8)
    widths = [
        film_plots.plot_contact_sheet(np.tile(films, (n, 1, 1)), 2 * n * ["a"], "any.png", "title")
        for n in (1, 20)
    ]
    few, many = (figure.get_size_inches()[0] for figure in widths)
    assert few == many * 2 / 8


def test_without_a_display_it_is_said_where_pictures_are(monkeypatch, capsys, tmp_path):
    import matplotlib.pyplot as plt

    monkeypatch.setenv("DISPLAY", ":0")  # which may be there and not answer
    monkeypatch.setattr(plt, "get_backend", lambda: "agg")
    plots.show_plots([tmp_path / "a.png"])
    assert f"they are saved in {tmp_path}" in capsys.readouterr().out


def test_the_films_of_the_largest_errors_are_shown_under_their_own_labels(monkeypatch, tmp_path):
    shown = []
    monkeypatch.setattr(run_pictures, "plot_contact_sheet", lambda *sheet: shown.append(sheet))
    monkeypatch.setattr(run_pictures, "LARGEST", 2)
    pixels = np.arange(4, dtype=np.uint8)[:, None, None] * np.ones((8, 8), np.uint8)
    predictions = predictions_of([60, 90, 120, 150], np.array([5, -30, 0, 20])).iloc[[3, 0, 1, 2]]
    run_pictures.draw_largest_errors(tmp_path, predictions, pixels, "test", "test")
    ((films, labels, *_),) = shown
    assert films[:, 0, 0].tolist() == [2, 0]  # where these stand in the table
    assert labels == ["1 M 90 mo\n-30.0", "3 M 150 mo\n+20.0"]


def test_attention_is_drawn_in_blocks(drawn):
    """Drawn smoothly, four weights seem to point to a place within the hand."""
    films, weights = np.zeros((1, 64, 64), np.uint8), np.float32([[[1, 2], [3, 4]]])
    below = film_plots.plot_attention(films, weights, ["a"], None).axes[1]
    assert np.unique(below.images[1].get_array()).tolist() == [1, 2, 3, 4]


def test_it_is_said_what_blue_and_red_mean_where_months_come_from(drawn):
    film = np.full((8, 8), 128, np.uint8)
    change = np.linspace(-9, 9, 64).reshape(8, 8)  # months; falls where the film is hidden above
    figure = film_plots.plot_occlusion(film, change, None, "1.png, F: 90.0 months")
    assert "blue: hiding this part makes the hand look younger" in figure.get_supxlabel()
    shown = figure.axes[1].images[1]
    (red, _, blue), *_, (above, _, below) = shown.cmap(shown.norm([-9, 9]))[:, :3]
    assert blue > red
    assert above > below


def test_the_pictures_of_errors_name_their_run(monkeypatch, tmp_path):
    titles = []
    for name in ("plot_errors", "draw_largest_errors"):
        monkeypatch.setattr(run_pictures, name, lambda *words: titles.append(words[-1]))
    for name in (
        "make_batch",
        "chosen_ranges",
        "film_labels",
        "plot_history",
        "plot_contact_sheet",
    ):
        monkeypatch.setattr(run_pictures, name, MagicMock())
    args = Namespace(seed=0, model_type="sex", use_tta=True, tta_steps=5)
    run_pictures.draw_run(Run(tmp_path / "hand"), None, {"test_tta": None}, MagicMock(), args)
    assert titles == 2 * ["hand on test, mean of 5 views"]


def test_powers_of_ten_at_an_axis_stay_formulas(tmp_path):
    figure, axis = plots.subplots(figsize=(2, 2))
    axis.set(xscale="log", xlim=(1e-6, 1))
    plots.save(figure, tmp_path / "log.png")
    assert all(text.get_parse_math() for text in axis.get_xticklabels())


@pytest.mark.parametrize("ages", [[228, 120], [0, 5], [24, 60]])
def test_no_film_lies_on_the_edge_of_predicted_against_true(drawn, ages):
    """A point on it is cut in half."""
    axis = plots.plot_predicted_vs_true(predictions_of(ages, 0), None, "test").axes[0]
    low, high = axis.get_xlim()
    assert axis.get_ylim() == (low, high)
    assert low < min(ages) - 0.02 * (high - low)
    assert max(ages) + 0.02 * (high - low) < high


@pytest.mark.parametrize(("oldest", "step"), [(20, 6), (100, 12), (228, 24)])
def test_axes_of_ages_have_some_ticks(drawn, oldest, step):
    axis = plots.plot_predicted_vs_true(predictions_of([0, oldest], 0), None, "test").axes[0]
    assert np.diff(axis.get_xticks()) == pytest.approx(step)


@pytest.mark.parametrize(("ages", "step"), [([100], 6), ([24, 150], 12), ([0, 228], 24)])
def test_agreement_has_ticks_at_years_of_age_or_at_halves(drawn, ages, step):
    axis = plots.plot_bland_altman(predictions_of(ages, 0), None, "test").axes[0]
    ticks = axis.get_xticks()
    assert (ticks % step == 0).all()
    assert np.diff(ticks) == pytest.approx(step)
    assert any(ages[0] - 6 <= tick <= ages[0] + 6 for tick in ticks)


def test_agreement_shows_the_intervals_of_the_bias_and_of_both_limits(drawn):
    predictions = predictions_of(np.linspace(60, 180, 30), 2 + np.tile([-3.0, 3], 15))
    axis = plots.plot_bland_altman(predictions, None, "test").axes[0]
    lower, bias, upper = sorted((band.get_y(), band.get_height()) for band in axis.patches)
    assert bias[0] < 2 < sum(bias) < upper[0]
    assert sum(lower) < bias[0]
    texts = [text.get_text() for text in axis.texts]
    assert texts == ["bias\n+2.0", "\N{MINUS SIGN}1.96 SD\n\N{MINUS SIGN}4.0", "+1.96 SD\n+8.0"]
    few = plots.plot_bland_altman(predictions[:1], None, "test").axes[0]
    assert not few.patches


def test_sexes_differ_in_black_and_white(drawn):
    predictions = predictions_of([60, 90, 120], 1).assign(sex=[1, 0, 1])
    axis = plots.plot_bland_altman(predictions, None, "test").axes[0]
    boys, girls = (len(dots.get_paths()[0].vertices) for dots in axis.collections)
    assert boys > girls == 4  # a triangle and the way back


def test_history_says_that_rates_are_those_at_the_end_of_epochs(drawn):
    columns = {"epoch": [1, 2], "phase": "frozen", "kept": True, "lr": [5e-4, 1e-5]}
    history = pd.DataFrame(columns | {"train_mae": [30.0, 20], "val_mae": [31.0, 22]})
    bottom = plots.plot_history(history, None).axes[1]
    assert bottom.get_ylabel().replace("\n", " ") == "learning rate at end of epoch"


def test_intervals_of_few_films_leave_room_for_the_others(drawn):
    """Of two films with errors of 1 and 40 months the interval ends at 200 or so."""
    many = np.linspace(5, 15, 30)
    predictions = predictions_of([*np.linspace(130, 170, 30), 20, 30], [*many, 1, 40])
    axis = plots.plot_error_by_group(predictions, None, "test").axes[0]
    assert 20.5 < axis.get_ylim()[1] < 40  # the mean of the two is seen
    assert axis.get_xlabel() == "grey: intervals of fewer than 10 films, some cut off"
    few, others = [kind for kind in axis.collections if kind.get_segments()]  # their intervals
    assert (few.get_color()[0][:3] > 0.4).all()  # grey
    assert (others.get_color()[0][:3] == 0).all()
    assert few.get_segments()[0][0, 0] < 0 < others.get_segments()[0][0, 0]  # places of the bands
    axis = plots.plot_error_by_group(predictions[:30], None, "test").axes[0]
    assert not axis.get_xlabel()


def test_the_numbers_of_films_stand_below_the_bars(drawn):
    predictions = predictions_of([130, 140, 150, 20], [1, 90, 3, 4])
    axis = plots.plot_error_by_group(predictions, None, "test").axes[0]
    assert [text.get_text() for text in axis.texts] == ["n=1", "n=3"]
    for text in axis.texts:
        assert text.get_window_extent().y1 < axis.get_window_extent().y0


def test_intervals_of_many_films_are_seen_whole():
    rows = [(0, 30, 20.0, 5, 90), (1, 9, 30.0, 10, 110), (2, 1, 40.0, np.nan, np.nan)]
    groups = pd.DataFrame(rows, columns=["band", "n", "mean", "low", "high"])
    assert plots.top_of_errors(groups) > 110
    assert 90 < plots.top_of_errors(groups[groups["n"] != 9]) < 110
    assert plots.top_of_errors(groups.assign(mean=0, high=0)) > 0  # no error at all


def test_names_of_many_backbones_stand_one_below_the_other(drawn):
    names = [f"inception_resnet_v{number}" for number in range(40)]
    table = pd.DataFrame({"backbone": names, "test_mae": 9.0, "ci95_low": 8.0, "ci95_high": np.nan})
    table = table.assign(films_per_second=40.0, parameters=5.4e7, n=600)
    for rows in (table[:1], table):
        axes = plots.plot_sweep(rows, None, "sex").axes
        ticks = axes[0].get_yticklabels()
        assert [tick.get_text() for tick in ticks] == list(rows["backbone"])
        places = [tick.get_window_extent() for tick in ticks]
        assert all(above.y0 > below.y1 for above, below in pairwise(places))
        assert all(place.x1 < axes[0].get_window_extent().x0 for place in places)
        for axis in axes[1:]:
            ends = [text.get_window_extent().x1 for text in axis.texts]
            assert len(ends) == len(rows)
            assert max(ends) < axis.get_window_extent().x1
