"""CLAHE: films of any depth alike, only validation and test, nothing lost."""

import os
import shutil
import time
from argparse import Namespace
from pathlib import Path

import cv2
import numpy as np
import pytest
from commands import check_error_line, run_python
from files import copy_data

from clahe.enhance import FINEST_GRID, apply_clahe, complete_clahe, enhance_folder, made_with
from preprocessing import keep_copies, load_films
from util import parallel
from util.errors import UserError
from util.radiographs import prepare, read_radiograph
from util.splits import load_clahe


@pytest.fixture
def data(phantoms, tmp_path):
    """A data folder of our own, to spoil."""
    return copy_data(phantoms, tmp_path / "Data")


def command(split, *options):
    return run_python("-m", f"clahe.apply_{split}", *options)


def hand(depth=np.uint8):
    """A light hand on a dark ground, with faint stripes of one level in 40 across it, that uses the
    whole range of its depth."""
    y, x = np.mgrid[:300, :240]
    light = 0.9 * np.exp(-(((y - 150) / 110) ** 2) - ((x - 120) / 70) ** 2)
    light += 0.025 * (x // 6 % 2) + np.random.default_rng(1).normal(0, 0.004, x.shape)
    light = (light - light.min()) / np.ptp(light)
    return np.rint(light * np.iinfo(depth).max).astype(depth)


def contrast(image):
    """Light stripes against dark ones where the ground is flat, in shares of the range."""
    image, stripe = prepare(image) / 255, np.arange(240) // 6 % 2 == 1
    flat = image[120:180]
    return flat[:, stripe].mean() - flat[:, ~stripe].mean()


@pytest.mark.parametrize(
    "film", [hand(), hand(np.uint16), hand(np.uint16) >> 4], ids=["8 bits", "16 bits", "12 bits"]
)
def test_faint_stripes_are_seen_better(film):
    enhanced = apply_clahe(film)
    assert enhanced.dtype == np.uint8
    assert enhanced.shape == film.shape
    assert contrast(enhanced) > 1.5 * contrast(film)
    assert contrast(apply_clahe(film, clip_limit=4)) > 1.2 * contrast(enhanced)


@pytest.mark.parametrize("lost", [0, 4], ids=["16 bits", "12 bits"])
def test_a_film_of_16_bits_is_enhanced_as_its_twin_of_8(lost):
    enhanced, deep = apply_clahe(hand()).astype(int), apply_clahe(hand(np.uint16) >> lost)
    assert np.abs(enhanced - deep).mean() < 4
    assert np.abs(enhanced - hand()).mean() > 12


def test_commands_enhance_validation_and_test_only(data):
    training = {path: path.read_bytes() for path in (data / "train").iterdir()}
    for split in ("validation", "test"):
        done = command(split, "--data_dir", data)
        assert done.returncode == 0, done.stderr
        films = sorted(path.name for path in (data / split).iterdir())
        copies = sorted(path.name for path in (data / f"{split}_CLAHE").glob("*.png"))
        assert films == copies
        assert f"{len(films)} written, 0 up to date, 0 failed" in done.stdout
        film = cv2.imread(str(data / split / films[0]), cv2.IMREAD_UNCHANGED)
        copy = cv2.imread(str(data / f"{split}_CLAHE" / films[0]), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(copy, apply_clahe(film))
    assert not list(data.glob("train_CLAHE*"))
    assert training == {path: path.read_bytes() for path in (data / "train").iterdir()}


def test_options_of_the_commands_count(data, inside, monkeypatch):
    films, copies = data / "test", data / "test_CLAHE"
    options = ("--data_dir", data, "--clip_limit", "4", "--tile_grid", "16")
    assert inside("clahe.apply_test", *options).returncode == 0
    assert made_with(copies) == {"clip_limit": 4.0, "tile_grid": 16}
    film = sorted(films.iterdir())[0]
    image = cv2.imread(str(film), cv2.IMREAD_UNCHANGED)
    expected = cv2.createCLAHE(4.0, (16, 16)).apply(image)
    np.testing.assert_array_equal(
        cv2.imread(str(copies / film.name), cv2.IMREAD_UNCHANGED), expected
    )
    n = len(list(films.iterdir()))
    assert f"0 written, {n} up to date" in inside("clahe.apply_test", *options).stdout
    at_once = []

    def map_films(function, films, desc, workers):
        at_once.append(workers)
        return parallel.map_films(function, films, desc, workers)

    monkeypatch.setattr("clahe.enhance.map_films", map_films)
    anew = inside("clahe.apply_test", *options, "--overwrite", "--workers", "1")
    assert f"{n} written, 0 up to date" in anew.stdout
    assert at_once == [1]


def test_a_copy_is_written_whole_or_not_at_all(data, monkeypatch):
    source, target = data / "test", data / "test_CLAHE"
    enhance_folder(source, target)
    before = {path.name: path.read_bytes() for path in target.iterdir()}

    def no_space(path, content):
        with path.open("wb") as file:
            file.write(content[:100])
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(Path, "write_bytes", no_space)
    with pytest.raises(OSError, match="No space"):
        enhance_folder(source, target, overwrite=True)
    monkeypatch.undo()
    assert before == {path.name: path.read_bytes() for path in target.iterdir()}


def test_a_film_of_a_long_name_has_its_copy(data):
    source, target = data / "test", data / "test_CLAHE"
    film = sorted(source.iterdir())[0]
    film.rename(film.with_name(f"{'x' * 240}.png"))
    enhance_folder(source, target)
    assert (target / f"{'x' * 240}.png").exists()


def test_up_to_date_films_are_skipped_and_changed_ones_made_again(data):
    source, target = data / "test", data / "test_CLAHE"
    n = len(list(source.iterdir()))
    assert enhance_folder(source, target) == (n, 0, {})
    assert enhance_folder(source, target) == (0, n, {})
    film = sorted(source.iterdir())[0]
    cv2.imwrite(str(film), 255 - cv2.imread(str(film), cv2.IMREAD_UNCHANGED))
    os.utime(film, ns=(0, 0))  # older than its copy: any other time counts
    assert enhance_folder(source, target) == (1, n - 1, {})
    np.testing.assert_array_equal(
        cv2.imread(str(target / film.name), cv2.IMREAD_UNCHANGED),
        apply_clahe(cv2.imread(str(film), cv2.IMREAD_UNCHANGED)),
    )


def test_films_of_one_time_whose_names_were_swapped_are_made_again(data):
    source, target = data / "test", data / "test_CLAHE"
    one, other, *_ = films = sorted(source.iterdir())
    for film in films:
        os.utime(film, ns=(0, 0))  # as an archive may give all its films
    enhance_folder(source, target)
    before = [(target / film.name).read_bytes() for film in (one, other)]
    time.sleep(0.05)  # file systems count in steps of some milliseconds
    spare = source / "spare.png"
    for old, new in ((one, spare), (other, one), (spare, other)):
        old.rename(new)
    assert enhance_folder(source, target) == (2, len(films) - 2, {})
    assert [(target / film.name).read_bytes() for film in (other, one)] == before


def test_other_settings_need_overwrite(data):
    source, target = data / "test", data / "test_CLAHE"
    enhance_folder(source, target)
    first = {path.name: path.read_bytes() for path in target.glob("*.png")}
    with pytest.raises(UserError, match="--clip_limit 2.0 --tile_grid 8.*--overwrite"):
        enhance_folder(source, target, clip_limit=40.0)
    assert first == {path.name: path.read_bytes() for path in target.glob("*.png")}
    assert enhance_folder(source, target, clip_limit=40.0, overwrite=True)[0] == len(first)
    assert all(path.read_bytes() != first[path.name] for path in target.glob("*.png"))
    assert enhance_folder(source, target, clip_limit=40.0)[0] == 0


def test_films_behind_links_are_never_removed(data, tmp_path):
    source, target = data / "test", data / "test_CLAHE"
    films = {path.name: path.read_bytes() for path in source.iterdir()}
    target.symlink_to(source)
    with pytest.raises(UserError, match="copies would replace their films"):
        enhance_folder(source, target, overwrite=True)
    assert films == {path.name: path.read_bytes() for path in source.iterdir()}
    target.unlink()
    enhance_folder(source, target)
    (tmp_path / "other").mkdir()
    shutil.copy(source / min(films), tmp_path / "other")
    (target / "more").symlink_to(tmp_path / "other")
    with pytest.raises(UserError, match="Use the same settings, move it away."):
        enhance_folder(source, target, clip_limit=40.0, overwrite=True)
    assert len(list((tmp_path / "other").iterdir())) == 1


def test_copies_of_another_program_that_would_stay_are_not_overwritten(data, inside):
    """They would be found as the copies of the films, in place of the new ones."""
    films, copies = sorted((data / "test").iterdir()), data / "test_CLAHE"
    copies.mkdir()
    other = copies / f"{films[0].stem}.jpg"
    cv2.imwrite(str(other), hand())
    done = inside("clahe.apply_test", "--data_dir", data, "--overwrite")
    check_error_line(done, f"made by another program ({copies}). Move it away.")
    assert list(copies.iterdir()) == [other]
    other.rename(other.with_suffix(".png"))  # a name that a copy will have
    with pytest.raises(UserError, match="Move it away, or remake all with --overwrite"):
        enhance_folder(data / "test", copies)
    assert enhance_folder(data / "test", copies, overwrite=True) == (len(films), 0, {})


def test_a_film_that_comes_back_gets_a_copy_of_the_new_settings(data, tmp_path):
    source, target = data / "test", data / "test_CLAHE"
    enhance_folder(source, target)
    first, *others = sorted(source.glob("*.png"))
    shutil.move(first, tmp_path)
    enhance_folder(source, target, clip_limit=40.0, overwrite=True)
    shutil.move(tmp_path / first.name, first)
    assert enhance_folder(source, target, clip_limit=40.0) == (1, len(others), {})


def test_a_deep_film_keeps_its_levels_and_its_place(tmp_path):
    (tmp_path / "films" / "deep").mkdir(parents=True)
    film = hand(np.uint16) >> 4  # of 12 bits: cut to the higher 8 it would have 16 levels
    cv2.imwrite(str(tmp_path / "films" / "deep" / "a.png"), film)
    cv2.imwrite(str(tmp_path / "films" / "b.jpg"), hand())
    enhance_folder(tmp_path / "films", tmp_path / "out")
    deep = cv2.imread(str(tmp_path / "out" / "deep" / "a.png"), cv2.IMREAD_UNCHANGED)
    assert deep.dtype == np.uint8
    assert len(np.unique(deep)) > 200
    assert (tmp_path / "out" / "b.png").exists()  # never a second loss by JPEG


def test_a_deep_film_without_contrast_has_a_copy_without():
    """As one of 8 bits: the reader of both says what is wrong."""
    assert np.ptp(apply_clahe(np.full((90, 70), 700, np.uint16))) == 0


def test_unreadable_films_are_listed_and_the_rest_is_done(data, inside):
    films = sorted((data / "test").iterdir())
    enhance_folder(data / "test", data / "test_CLAHE")
    films[0].write_bytes(films[0].read_bytes()[:200])
    done = inside("clahe.apply_test", "--data_dir", data)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert f"truncated file ({films[0]})" in done.stderr
    assert f"0 written, {len(films) - 1} up to date, 1 failed" in done.stdout
    assert not (data / "test_CLAHE" / films[0].name).exists()


def test_two_films_of_one_name_have_no_copies(data):
    """A row that names one of them would find that of the other."""
    films = sorted((data / "test").iterdir())
    enhance_folder(data / "test", data / "test_CLAHE")  # while there was one film
    assert (data / "test_CLAHE" / films[0].name).exists()
    shutil.copy(films[1], films[0].with_suffix(".jpg"))
    *_, failures = enhance_folder(data / "test", data / "test_CLAHE")
    assert list(failures) == [str(films[0].with_suffix(".jpg")), str(films[0])]
    assert not (data / "test_CLAHE" / films[0].name).exists()
    assert complete_clahe(data, "test").endswith(", 2 films without a copy")


def test_copies_of_two_settings_are_not_used(data, monkeypatch):
    enhance_folder(data / "test", data / "test_CLAHE")

    def interrupted(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("clahe.enhance.map_films", interrupted)
        with pytest.raises(KeyboardInterrupt):
            enhance_folder(data / "test", data / "test_CLAHE", clip_limit=4, overwrite=True)
    assert "--clip_limit 4" in complete_clahe(data, "test")
    assert enhance_folder(data / "test", data / "test_CLAHE", clip_limit=4)[0] == 0


def test_a_training_says_that_its_copies_were_made_with_different_settings(data, monkeypatch):
    monkeypatch.setattr("util.splits.load_split", lambda *_, **__: None)
    monkeypatch.setattr("util.splits.keep_copies", lambda *_: None)
    splits = dict.fromkeys(("val", "test"))
    args, lines = Namespace(data_dir=data, verbose=0), []
    load_clahe(splits, args, Namespace(log=lines.append))
    assert "different settings" not in lines[-1]
    enhance_folder(data / "test", data / "test_CLAHE", clip_limit=4, overwrite=True)
    load_clahe(splits, args, Namespace(log=lines.append))
    assert lines[-1].endswith("made with different settings")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--data_dir", "nowhere"), "nowhere/test). Check --data_dir"),
        (("--clip_limit", "0"), "--clip_limit: 0 is not allowed: must be above 0"),
        (("--tile_grid", "0"), "--tile_grid: 0 is too small"),
        (("--tile_grid", "300000"), "--tile_grid: 300000 is too large: 256 or less"),
    ],
)
def test_mistakes_end_in_one_line(options, words, inside):
    done = inside("clahe.apply_test", *options)
    check_error_line(done, words)


@pytest.mark.parametrize("shape", [(300, 240), (17, 16)])
def test_the_finest_grid_is_no_error(shape):
    assert apply_clahe(hand()[: shape[0], : shape[1]], tile_grid=FINEST_GRID).shape == shape


def test_missing_copies_are_completed_with_the_settings_of_the_folder(data):
    enhance_folder(data / "validation", data / "validation_CLAHE", tile_grid=4)
    copies = sorted((data / "validation_CLAHE").glob("*.png"))
    expected = copies[0].read_bytes()
    copies[0].unlink()
    assert "--tile_grid 4" in complete_clahe(data, "val")
    assert copies[0].read_bytes() == expected


@pytest.mark.parametrize("text", ["", "[1]", '{"grid": 8}'])
def test_settings_that_are_none_are_named(data, text):
    (data / "test_CLAHE").mkdir()
    (data / "test_CLAHE" / "clahe.json").write_text(text)
    with pytest.raises(UserError, match="not the settings of CLAHE copies .*clahe.json"):
        complete_clahe(data, "test")


def test_a_folder_of_another_program_is_left_as_it_is(data):
    target = data / "test_CLAHE"
    shutil.copytree(data / "test", target)
    before = {path.name: path.stat().st_mtime_ns for path in target.iterdir()}
    assert "another program" in complete_clahe(data, "test")
    assert before == {path.name: path.stat().st_mtime_ns for path in target.iterdir()}


def load_both(data):
    """The test films of a data folder, and their copies."""
    plain, copies = (load_films(data, "test", 64, "pad", clahe=clahe) for clahe in (False, True))
    return plain, keep_copies(copies, plain)


def test_enhanced_splits_keep_their_labels(data):
    complete_clahe(data, "test")
    plain, enhanced = load_both(data)
    columns = ["id", "sex", "boneage"]
    assert plain.table[columns].equals(enhanced.table[columns])
    row = 3
    path = data / "test_CLAHE" / Path(plain.table["path"][row]).name
    assert enhanced.table["path"][row] == str(path)
    assert not np.array_equal(plain.pixels[[row]], enhanced.pixels[[row]])
    assert read_radiograph(path).shape == read_radiograph(plain.table["path"][row]).shape


@pytest.mark.parametrize("spoil", ["remove", "damage"])
def test_a_copy_without_its_film_is_not_evaluated(data, spoil):
    """The errors on copies would be of other films than those on plain ones. Copies of another
    program are there for films that can't be read as well."""
    complete_clahe(data, "test")
    (data / "test_CLAHE" / "clahe.json").unlink()
    first, second = sorted((data / "test").iterdir())[:2]
    first.unlink() if spoil == "remove" else first.write_bytes(first.read_bytes()[:200])
    complete_clahe(data, "test")
    plain, enhanced = load_both(data)
    assert first.stem not in set(enhanced.table["id"])
    assert enhanced.table["id"].tolist() == plain.table["id"].tolist()
    assert len(enhanced.pixels) == len(enhanced)
    left_out = enhanced.left_out.set_index("id")["reason"]
    assert left_out.to_dict() == {first.stem: "no plain film"}
    (data / "test_CLAHE" / second.name).unlink()
    _, enhanced = load_both(data)
    assert enhanced.left_out.set_index("id")["reason"][second.stem] == "no file"


def test_a_film_that_cannot_be_read_has_one_reason_with_and_without_clahe(data):
    first = min((data / "test").iterdir())
    first.write_bytes(first.read_bytes()[:200])
    complete_clahe(data, "test")
    plain, enhanced = load_both(data)
    assert enhanced.left_out["reason"].tolist() == plain.left_out["reason"].tolist() != []


def test_copies_that_are_none_of_the_films_are_an_error(data):
    films = sorted((data / "test").iterdir())
    (data / "test_CLAHE").mkdir()
    films[0].replace(data / "test_CLAHE" / films[0].name)
    with pytest.raises(UserError, match="none of 1 CLAHE copies has a plain film .*test_CLAHE"):
        load_both(data)
