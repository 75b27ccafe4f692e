"""Films that are turned: told of, and what tells them is trained on upright ones."""

import cv2
import numpy as np
import pandas as pd
import pytest

from hand_crop import train_orientation
from hand_crop.localiser import load_layers, network, shrink
from hand_crop.orientation import WEIGHTS, degrees_turned, turn_chances
from util.phantoms import draw_phantom


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


def test_turned_films_are_told_of(small_run, phantoms, inside, tmp_path):
    table = pd.read_csv(phantoms / "df_test.csv", dtype={"id": str})[:4]
    for name in table["filename"]:
        film = cv2.imread(str(phantoms / "test" / name), cv2.IMREAD_GRAYSCALE)
        cv2.imwrite(str(tmp_path / name), cv2.rotate(film, cv2.ROTATE_180))
    table.to_csv(tmp_path / "some.csv", index=False)
    process = inside("predict.py", tmp_path, "--model", small_run, "--sex", "F")
    assert process.returncode == 0, process.stderr
    assert process.stderr.count("the film looks turned by 180 degrees") >= 3
    upright = inside("predict.py", phantoms / "test", "--model", small_run, "--sex", "F")
    assert "turned" not in upright.stderr
    words = ["--csv", tmp_path / "some.csv", "--images", tmp_path, "--out", tmp_path / "out"]
    assert (
        "films look turned, and months are wrong" in inside("evaluate.py", small_run, *words).stdout
    )


def test_it_is_tested_trained_and_written(phantoms, tmp_path, capsys):
    out = tmp_path / "orientation.npz"
    words = ["--images", str(phantoms / "test"), "--steps", "20", "--out", str(out)]
    train_orientation.main(words)
    printed = capsys.readouterr().out
    assert printed.count("by a network that never saw them") == 2
    assert printed.count("told so") == 8
    film = shrink(np.zeros((100, 100), np.uint8))
    assert network(film[None], load_layers(out)).shape == (1, 4)
