"""Films that are turned or inverted: set right, and what tells them is trained on right ones."""

import shutil

import cv2
import numpy as np
import pandas as pd
import pytest
from files import edit_json

from hand_crop import train_orientation
from hand_crop.network import forward, load_layers, shrink
from hand_crop.orientation import WEIGHTS, orientation_chances, orientations
from util.pixel_cache import read_pixels


def turned(hands, quarters):
    return [np.ascontiguousarray(np.rot90(hand, quarters)) for hand in hands]


@pytest.mark.parametrize("quarters", [0, 1, 2, 3])
@pytest.mark.parametrize("inverted", [False, True])
def test_turns_and_inverted_greys_of_hands_are_told(hands, quarters, inverted):
    """Also of right hands; a drawn hand may be too unlike a film to be certain of."""
    for side in (hands, [hand[:, ::-1] for hand in hands]):
        films = [~film if inverted else film for film in turned(side, quarters)]
        degrees, dark = orientations([shrink(film) for film in films])
        assert set(degrees) <= {0, 90 * quarters}
        assert np.mean(degrees == 90 * quarters) >= 0.8
        assert np.mean(dark == inverted) >= (0.8 if inverted else 1)


def test_what_is_no_hand_is_not_said_to_be_turned_or_inverted():
    rng = np.random.default_rng(1)
    noise = rng.integers(0, 256, (20, 64, 64)).astype(np.uint8)
    degrees, inverted = orientations([*noise, np.zeros((64, 64), np.uint8)])
    assert not degrees.any()
    assert not inverted.any()
    assert [odd.shape for odd in orientations([])] == [(0,), (0,)]


def test_a_film_and_its_mirror_image_have_the_same_chances(hands):
    """Those of a turn to the left are those of one to the right."""
    films = np.stack([shrink(film) for film in turned(hands, 1)])
    layers = load_layers(WEIGHTS)
    chances = orientation_chances(films, layers)
    mirrored = orientation_chances(films[:, :, ::-1], layers)
    np.testing.assert_allclose(mirrored, chances[..., [0, 3, 2, 1]], atol=1e-5)
    np.testing.assert_allclose(chances.sum(axis=(1, 2)), 1, rtol=1e-5)


@pytest.fixture(scope="module")
def upside_down(phantoms, tmp_path_factory):
    """A folder of eight test films, turned by 180 degrees, and their table `some.csv`."""
    folder = tmp_path_factory.mktemp("upside_down")
    table = pd.read_csv(phantoms / "df_test.csv", dtype={"id": str})[:8]
    for name in table["filename"]:
        film = cv2.imread(str(phantoms / "test" / name), cv2.IMREAD_UNCHANGED)
        cv2.imwrite(str(folder / name), cv2.rotate(film, cv2.ROTATE_180))
    table.to_csv(folder / "some.csv", index=False)
    return folder


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_turned_hands_are_set_upright(hands, tmp_path, monkeypatch, quarters):
    """They are then the same to the pixel. Other canvases show films as they are."""
    monkeypatch.setattr("util.pixel_cache.SHARD_FILMS", 4)  # what is odd stays with its film
    for number, hand in enumerate(hands):
        cv2.imwrite(str(tmp_path / f"{number}_upright.png"), hand)
        lying = np.ascontiguousarray(np.rot90(hand, quarters))
        cv2.imwrite(str(tmp_path / f"{number}_turned.png"), lying)
    upright, lying = (
        [tmp_path / f"{number}_{name}.png" for number in range(len(hands))]
        for name in ("upright", "turned")
    )
    plain, _ = read_pixels(upright, 64, "hand")
    pixels, _ = read_pixels(lying, 64, "hand", tmp_path / "cache")
    told = np.flatnonzero(pixels.oddities.turned == 90 * quarters)
    assert len(told) >= 8
    assert np.array_equal(pixels[told], plain[told])
    assert not plain.oddities.turned.any()
    cached, _ = read_pixels(lying, 64, "hand", tmp_path / "cache")
    assert np.array_equal(cached.oddities.turned, pixels.oddities.turned)
    squeezed, _ = read_pixels(lying, 64, "stretch")
    assert np.array_equal(squeezed.oddities.turned, pixels.oddities.turned)
    kept, _ = read_pixels(upright, 64, "stretch")
    assert np.array_equal(squeezed[told], np.rot90(kept[told], quarters, (1, 2)))


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_inverted_hands_are_inverted_back(hands, tmp_path, depth):
    """They are then alike but for rounding, though upside down as well. Other canvases show films
    as they are."""
    for number, hand in enumerate(hands):
        film = hand.astype(depth) * (1 if depth is np.uint8 else 16)  # 12 bits
        cv2.imwrite(str(tmp_path / f"{number}_light.png"), film)
        cv2.imwrite(
            str(tmp_path / f"{number}_dark.png"), cv2.rotate(film.max() - film, cv2.ROTATE_180)
        )
    light, dark = (
        [tmp_path / f"{number}_{name}.png" for number in range(len(hands))]
        for name in ("light", "dark")
    )
    plain, _ = read_pixels(light, 64, "hand")
    pixels, _ = read_pixels(dark, 64, "hand", tmp_path / "cache")
    told = np.flatnonzero(pixels.oddities.inverted & (pixels.oddities.turned == 180))
    assert len(told) >= 8
    assert np.abs(pixels[told].astype(int) - plain[told]).mean() < 2
    assert not plain.oddities.inverted.any()
    cached, _ = read_pixels(dark, 64, "hand", tmp_path / "cache")
    assert np.array_equal(cached.oddities.inverted, pixels.oddities.inverted)
    squeezed, _ = read_pixels(dark, 64, "stretch")
    kept, _ = read_pixels(light, 64, "stretch")
    shown = np.rot90(kept[told], 2, (1, 2)).astype(int)
    assert np.abs(255 - shown - squeezed[told]).mean() < 2


def test_months_of_turned_films_are_those_of_upright_ones(
    small_run, phantoms, upside_down, inside, tmp_path
):
    ages = {}
    for name, folder in (("turned", upside_down), ("upright", phantoms / "test")):
        out = tmp_path / f"{name}.csv"
        words = ["--model", small_run, "--csv", upside_down / "some.csv", "--out", out]
        process = inside("predict.py", folder, *words)
        ages[name] = pd.read_csv(out).set_index("filename")["months"].dropna()
        turned = process.stderr.count("looked turned by 180 degrees anticlockwise and was set")
        assert turned >= 6 if name == "turned" else turned == 0
    both = ages["turned"].index
    assert len(both) == 8
    assert np.sum(np.abs(ages["turned"] - ages["upright"][both]) < 0.02) >= 6
    words = ["--images", upside_down, "--out", tmp_path / "out"]
    process = inside("evaluate.py", small_run, "--csv", upside_down / "some.csv", *words)
    assert "note: films that looked turned and were set upright: " in process.stdout


def test_a_run_that_sees_films_as_they_are_says_which_look_wrong(
    small_run, upside_down, inside, tmp_path
):
    run = shutil.copytree(small_run, tmp_path / "stretched")
    with edit_json(run / "config.json") as config:
        config["options"]["fit"] = "stretch"
    table = upside_down / "some.csv"
    process = inside("predict.py", upside_down, "--model", run, "--csv", table)
    assert (
        process.stderr.count(
            "looks turned by 180 degrees anticlockwise; if so, its prediction is wrong"
        )
        >= 6
    )
    words = ["--images", upside_down, "--out", tmp_path / "out"]
    process = inside("evaluate.py", run, "--csv", table, *words)
    assert "films look turned; if so, their predictions are wrong: fingers must" in process.stdout


def test_it_is_tested_trained_and_written(phantoms, tmp_path, capsys):
    out = tmp_path / "orientation.npz"
    words = ["--images", str(phantoms / "test"), "--steps", "20", "--out", str(out)]
    train_orientation.main(words)
    printed = capsys.readouterr().out
    assert printed.count("by a network that never saw them") == 2
    assert printed.count("degrees found") == 16
    film = shrink(np.zeros((100, 100), np.uint8))
    assert forward(film[None], load_layers(out)).shape == (1, 8)
