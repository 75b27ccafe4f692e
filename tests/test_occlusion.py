"""Where months come from: parts of a film are hidden, and what then changes is drawn where it
lay."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from commands import check_error_line

from util.errors import UserError
from util.predicting import prediction
from util.predicting.occlusion import (
    PARTS,
    check_same_part,
    explain_film,
    hide_parts,
    new_name,
    occlusion_map,
)

SIZE = 48
PHANTOM = str(Path(__file__).with_name("phantom.png"))


@pytest.fixture
def film():
    """A dark film with a bright spot in its upper right corner."""
    film = np.full((SIZE, SIZE), 20, np.uint8)
    film[4:8, 40:44] = 220
    return film


def test_each_part_is_hidden_once_and_nothing_else_changes(film):
    plain, *hidden = hide_parts(film)
    assert np.array_equal(plain, film)
    assert len(hidden) == PARTS**2
    rows, columns = np.nonzero(np.any([image != film for image in hidden], axis=0))
    assert rows.max() < SIZE // 2 < columns.min()  # the rest is even: blurred it is the same
    side = SIZE // 6
    for image in hidden:
        rows, columns = np.nonzero(image != film)
        assert not len(rows) or max(np.ptp(rows), np.ptp(columns)) < side


def test_the_change_is_drawn_where_its_cause_lies(film):
    def brightest(films):
        return films["canvas"].max(axis=(1, 2)).astype(float)

    change = occlusion_map(brightest, {"canvas": film}, SIZE)
    assert change.shape == (SIZE, SIZE)
    row, column = np.unravel_index(change.argmin(), change.shape)
    assert row < 12
    assert column >= 36
    assert change[row, column] < -50  # months fall when the spot is hidden
    assert not change[SIZE // 2 :].any()


@pytest.mark.parametrize("size", [48, 128, 256, 500])
def test_the_map_has_no_seams(size):
    """Where two hidden parts overlap by a pixel, or leave one out, the map has a line."""
    months = np.random.default_rng(0).normal(100, 10, 1 + PARTS**2)
    change = occlusion_map(lambda films: months, {"canvas": np.zeros((size, size), np.uint8)}, size)
    for steps in (np.diff(change, axis=0).any(axis=1), np.diff(change, axis=1).any(axis=0)):
        tiles = np.diff([0, *(np.flatnonzero(steps) + 1), size])
        assert len(tiles) == PARTS + 1
        assert np.ptp(tiles) <= 1


def test_predict_draws_a_picture_for_each_film_and_never_into_a_full_folder(
    small_run, phantoms, inside, tmp_path, monkeypatch
):
    asked, usual = [], prediction.full_batches
    monkeypatch.setattr(prediction, "full_batches", lambda *n: asked.append(n) or usual(*n))
    films = sorted((phantoms / "test").glob("*.png"))[:2]
    (tmp_path / "bad.png").write_text("no film")
    words = [*films, tmp_path / "bad.png", "--model", small_run, "--sex", "F"]
    process = inside("predict.py", *words, "--explain", tmp_path / "maps")
    assert process.returncode == 1  # one film can't be read
    assert asked[1:] == [(1 + PARTS**2, 31)] * 2  # four batches, hardly filled up
    names = [film.name for film in films]
    assert sorted(path.name for path in (tmp_path / "maps").iterdir()) == names
    check_error_line(
        inside("predict.py", *words, "--explain", tmp_path / "maps"), "that already exists"
    )
    assert len(list((tmp_path / "maps").iterdir())) == 2
    words = [*words, "--explain", tmp_path / "bad.png" / "maps"]
    check_error_line(inside("predict.py", *words), "not a folder", "Choose another --explain")


def test_pictures_of_films_of_one_name_tell_whose_they_are(small_run, phantoms, done, tmp_path):
    one, other = sorted((phantoms / "test").glob("*.png"))[:2]
    for film, child in ((one, "p1"), (other, "p2")):
        (tmp_path / "films" / child).mkdir(parents=True)
        (tmp_path / "films" / child / "hand.png").symlink_to(film)
    words = [tmp_path / "films", "--model", small_run, "--sex", "F"]
    done("predict.py", *words, "--explain", tmp_path / "maps")
    names = sorted(path.name for path in (tmp_path / "maps").iterdir())
    assert names == ["p1_hand.png", "p2_hand.png"]


def test_runs_that_see_different_parts_of_a_film_are_not_explained_together():
    check_same_part([(48, "pad"), (64, "pad")])
    with pytest.raises(UserError, match="different parts of a film.*Explain each alone"):
        check_same_part([(48, "pad"), (48, "hand")])


def test_pictures_never_go_into_the_folder_of_films(small_run, inside, tmp_path):
    """The next time they would be films."""
    (tmp_path / "films").mkdir()
    shutil.copy(PHANTOM, tmp_path / "films")
    words = [tmp_path / "films", "--model", small_run, "--sex", "F"]
    process = inside("predict.py", *words, "--explain", tmp_path / "films" / "new" / "maps")
    check_error_line(process, "maps", "Choose another --explain")
    assert len(list((tmp_path / "films").iterdir())) == 1


@pytest.mark.parametrize(("sex", "title"), [(0, "a.png, F: 99.5"), (None, "a.png: 99.5")])
def test_the_picture_names_the_sex_with_which_was_predicted(monkeypatch, tmp_path, sex, title):
    titles = []
    monkeypatch.setattr("util.film_plots.plot_occlusion", lambda *words: titles.append(words[-1]))
    months = pd.DataFrame({"months": np.zeros(1 + PARTS**2)})
    ensemble = SimpleNamespace(canvases=[(48, "pad")], predict=lambda *_: months)
    film = SimpleNamespace(shown="a.png", sex=sex, months=99.5, path=PHANTOM)
    explain_film(ensemble, film, tmp_path / "a.png", 8)
    assert titles == [f"{title} months"]


def test_a_film_that_is_gone_since_it_was_predicted_is_not_drawn(tmp_path):
    film = SimpleNamespace(shown="a.png", sex=0, months=99.5, path=str(tmp_path / "a.png"))
    with pytest.raises(UserError, match="a.png.*Explain the film again"):
        explain_film(SimpleNamespace(canvases=[(48, "pad")]), film, tmp_path / "map.png", 8)


def test_the_name_of_a_picture_is_no_longer_than_files_may_be(tmp_path):
    deep = "/".join(["1.2.840." + "9" * 60] * 5)
    picture = new_name(tmp_path, f"{deep}/IM1.dcm")
    picture.touch()
    assert picture.name.endswith("_IM1.png")
    assert new_name(tmp_path, f"{deep}/IM1.dcm").name.endswith("_IM1_2.png")
