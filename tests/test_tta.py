"""Views of a film: fixed, different from each other, and of the same film."""

import numpy as np
import pytest

from util import tta
from util.errors import UserError


def films(n=3, size=40):
    rng = np.random.default_rng(0)
    images = np.zeros((n, size, size), np.uint8)
    images[:, 8:-8, 8:-8] = rng.integers(50, 255, (n, size - 16, size - 16))
    return images


def predict(image, sex):
    """A stand-in for a model that tells films, views and sexes apart."""
    ramp = np.linspace(0, 1, image.shape[2])[:, None]
    return (image.astype(float) * ramp).mean(axis=(1, 2, 3)) + 100 * np.asarray(sex)[:, 0]


SEX = np.array([[0.0], [1.0], [0.0]])


def test_first_view_is_the_film_itself_and_one_step_is_plain_prediction():
    images = films()
    assert np.array_equal(tta.take_view(images, tta.VIEWS[0]), images)
    plain = predict(images[..., None], SEX)
    averaged = tta.test_time_augmentation(predict, 1)(images[..., None], SEX)
    assert np.array_equal(averaged, plain)


@pytest.mark.parametrize("number", [0, -1, len(tta.VIEWS) + 1])
def test_more_views_than_there_are_is_an_error(number):
    with pytest.raises(UserError, match=f"There are 1 to {len(tta.VIEWS)}"):
        tta.test_time_augmentation(predict, number)


def test_all_views_differ_and_repeat():
    images = films()
    views = [tta.take_view(images, view) for view in tta.VIEWS]
    for i, view in enumerate(views):
        assert view.dtype == np.uint8
        assert np.array_equal(view, tta.take_view(images, tta.VIEWS[i]))
        assert all(not np.array_equal(view, other) for other in views[:i])


def test_second_view_is_the_mirror_image():
    images = films()
    assert np.array_equal(tta.take_view(images, tta.VIEWS[1]), images[:, :, ::-1])


@pytest.mark.parametrize("view", tta.VIEWS)
def test_a_view_turns_and_zooms_about_the_middle(view):
    """A dot 25 pixels right of the middle of a film goes where the pose says."""
    film = np.zeros((101, 101), np.uint8)
    film[49:52, 74:77] = 255
    seen = tta.take_view(film[None], view)[0].astype(float)
    rows, columns = np.mgrid[-50:51, -50:51]
    turn = np.radians(view.rotation)
    right = -25 if view.flip else 25
    expected = view.zoom * right * np.array([np.cos(turn), -np.sin(turn)])
    found = [(seen * places).sum() / seen.sum() for places in (columns, rows)]
    np.testing.assert_allclose(found, expected, atol=0.1)
    assert abs(view.rotation) <= 10
    assert 0.9 <= view.zoom <= 1.1


@pytest.mark.parametrize("steps", [2, 5, len(tta.VIEWS)])
def test_the_mean_is_over_views_of_the_same_film(steps):
    """Each film's result is what it is alone: nothing of its neighbours gets in (S2, D3)."""
    images = films()[..., None]
    averaged = tta.test_time_augmentation(predict, steps)
    together = averaged(images, SEX)
    alone = [averaged(images[[i]], SEX[[i]])[0] for i in range(3)]
    np.testing.assert_allclose(together, alone)
    expected = [
        np.mean(
            [
                predict(tta.take_view(images[[i], ..., 0], v)[..., None], SEX[[i]])[0]
                for v in tta.VIEWS[:steps]
            ]
        )
        for i in range(3)
    ]
    np.testing.assert_allclose(together, expected)
    assert not np.allclose(together, predict(images, SEX))
