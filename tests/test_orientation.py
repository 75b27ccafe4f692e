"""Films that are turned: set upright, and what tells them is trained on upright ones."""

import cv2
import numpy as np
import pandas as pd
import pytest

from hand_crop import train_orientation
from hand_crop.network import load_layers, network, shrink
from hand_crop.orientation import WEIGHTS, degrees_turned, turn_chances
from util.phantoms import draw_phantom
from util.pixel_cache import read_pixels
from util.radiographs import look_turned, looks_inverted


@pytest.fixture(scope="module")
def hands():
    """Drawn hands of boys of 100 to 190 months, fingers up."""
    rng = np.random.default_rng(3)
    return [draw_phantom(months, 1, rng, 200) for months in range(100, 200, 10)]


def turned(hands, quarters):
    return [shrink(np.ascontiguousarray(np.rot90(hand, quarters))) for hand in hands]


@pytest.mark.parametrize("quarters", [0, 1, 2, 3])
def test_turns_of_hands_are_told_by_quarters(hands, quarters):
    """Also of right hands; a drawn hand may be too unlike a film to be certain of."""
    for side in (hands, [hand[:, ::-1] for hand in hands]):
        degrees = degrees_turned(turned(side, quarters))
        assert set(degrees) <= {0, 90 * quarters}
        assert np.mean(degrees == 90 * quarters) >= 0.8


def test_what_is_no_hand_is_not_said_to_be_turned():
    rng = np.random.default_rng(1)
    noise = rng.integers(0, 256, (20, 64, 64)).astype(np.uint8)
    assert not degrees_turned([*noise, np.zeros((64, 64), np.uint8)]).any()
    assert degrees_turned([]).shape == (0,)


def test_a_film_and_its_mirror_image_have_the_same_chances(hands):
    """Those of a turn to the left are those of one to the right."""
    films = np.stack(turned(hands, 1))
    layers = load_layers(WEIGHTS)
    chances = turn_chances(films, layers)
    mirrored = turn_chances(films[:, :, ::-1], layers)
    np.testing.assert_allclose(mirrored, chances[:, [0, 3, 2, 1]], atol=1e-5)
    np.testing.assert_allclose(chances.sum(axis=1), 1, rtol=1e-5)


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
def test_turned_hands_are_set_upright(hands, tmp_path, quarters):
    """They are then the same to the pixel. Other canvases show films as they are."""
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
    told = np.flatnonzero(pixels.turned == 90 * quarters)
    assert len(told) >= 8
    assert np.array_equal(pixels[told], plain[told])
    assert not plain.turned.any()
    cached, _ = read_pixels(lying, 64, "hand", tmp_path / "cache")
    assert np.array_equal(cached.turned, pixels.turned)
    squeezed, _ = read_pixels(lying, 64, "stretch")
    assert np.array_equal(squeezed.turned, pixels.turned)
    kept, _ = read_pixels(upright, 64, "stretch")
    assert np.array_equal(squeezed[told], np.rot90(kept[told], quarters, (1, 2)))


def test_films_that_look_inverted_are_not_turned(hands):
    """What tells turned films has learned from none."""
    inverted = [255 - np.ascontiguousarray(np.rot90(hand, 2)) for hand in hands]
    assert all(looks_inverted(film) for film in inverted)
    assert not any(look_turned(inverted))


def test_months_of_turned_films_are_those_of_upright_ones(
    small_run, phantoms, upside_down, inside, tmp_path
):
    ages = {}
    for name, folder in (("turned", upside_down), ("upright", phantoms / "test")):
        out = tmp_path / f"{name}.csv"
        words = ["--model", small_run, "--csv", upside_down / "some.csv", "--out", out]
        process = inside("predict.py", folder, *words)
        ages[name] = pd.read_csv(out).set_index("filename")["months"].dropna()
        turned = process.stderr.count("looked turned by 180 degrees against the clock and was set")
        assert turned >= 6 if name == "turned" else turned == 0
    both = ages["turned"].index
    assert len(both) == 8
    assert np.sum(np.abs(ages["turned"] - ages["upright"][both]) < 0.02) >= 6
    words = ["--images", upside_down, "--out", tmp_path / "out"]
    process = inside("evaluate.py", small_run, "--csv", upside_down / "some.csv", *words)
    assert "note: films that looked turned and were set upright: " in process.stdout


def test_it_is_tested_trained_and_written(phantoms, tmp_path, capsys):
    out = tmp_path / "orientation.npz"
    words = ["--images", str(phantoms / "test"), "--steps", "20", "--out", str(out)]
    train_orientation.main(words)
    printed = capsys.readouterr().out
    assert printed.count("by a network that never saw them") == 2
    assert printed.count("told so") == 8
    film = shrink(np.zeros((100, 100), np.uint8))
    assert network(film[None], load_layers(out)).shape == (1, 4)
