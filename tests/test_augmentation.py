"""Augmentation: repeatable, moderate, and without holes at the border."""

from dataclasses import fields, replace

import cv2
import numpy as np
import pytest

from util.augmentation import (
    STRENGTHS,
    Augmentation,
    add_gaussian_noise_to_labels,
    add_noise_and_mixup,
    augment,
    augment_films,
    mixup,
)

SIZE = 64
STILL = Augmentation(**{field.name: 0 for field in fields(Augmentation)})
BLENDS = {"mixup_alpha", "label_noise_std"}  # of films and labels of a batch
FILM_RANGES = [field.name for field in fields(Augmentation) if field.name not in BLENDS]
CHOSEN = {"blur": 0.05, "grain": 12.0}  # of ranges that are off by default
GEOMETRY = replace(Augmentation(), gamma=0, contrast=0, brightness=0)


@pytest.fixture
def film():
    """Smooth noise without any symmetry."""
    noise = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE), np.uint8)
    return cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 2), None, 0, 255, cv2.NORM_MINMAX)


def draws(film, ranges, n=200):
    """Many changed copies of one film."""
    rng = np.random.default_rng(1)
    return [augment(film, rng, ranges) for _ in range(n)]


def test_the_same_generator_gives_the_same_film(film):
    def first(seed):
        return augment(film, np.random.default_rng(seed), Augmentation())

    assert np.array_equal(first(3), first(3))
    assert not np.array_equal(first(3), first(4))


def test_every_film_of_a_batch_gets_its_own_change(film):
    before = film.copy()
    films = np.stack([film] * 4)
    batch = augment_films(films, np.random.default_rng(0), Augmentation())
    assert batch.shape == (4, SIZE, SIZE)
    assert batch.dtype == np.uint8
    assert len({image.tobytes() for image in batch}) == 4
    again = augment_films(films, np.random.default_rng(0), Augmentation())
    assert np.array_equal(batch, again)
    assert np.array_equal(film, before)


def test_without_ranges_nothing_changes(film):
    for image in draws(film, STILL, 20):
        assert np.array_equal(image, film)


@pytest.mark.parametrize("name", FILM_RANGES)
def test_every_range_changes_something(film, name):
    ranges = replace(STILL, **{name: CHOSEN.get(name) or getattr(Augmentation(), name)})
    assert any(not np.array_equal(image, film) for image in draws(film, ranges, 20))


def test_grain_is_noise_of_at_most_its_sd_in_half_of_the_films():
    grey = np.full((64, 64), 128, np.uint8)
    sds = np.array([image.std() for image in draws(grey, replace(STILL, grain=12.0))])
    assert 70 < np.count_nonzero(sds == 0) < 130
    assert 10 < sds.max() < 13
    assert 4 < sds[sds > 0].mean() < 8
    means = [image.mean() for image in draws(grey, replace(STILL, grain=12.0))]
    assert means == pytest.approx([128] * len(means), abs=1)


def test_blur_takes_detail_from_half_of_the_films_and_keeps_their_mean():
    grey = np.random.default_rng(0).integers(60, 200, (64, 64), np.uint8)
    images = draws(grey, replace(STILL, blur=1.5 / 64))
    sds = np.array([image.std() for image in images])
    assert 70 < np.count_nonzero(sds == grey.std()) < 140  # a blur of a tenth of a pixel is none
    assert sds.min() == pytest.approx(cv2.GaussianBlur(grey, None, 1.5).std(), rel=0.1)
    assert [image.mean() for image in images] == pytest.approx([grey.mean()] * len(images), abs=1)


def test_a_flip_is_an_exact_mirror(film):
    for image in draws(film, replace(STILL, flip=1), 20):
        assert np.array_equal(image, film[:, ::-1])
    mirrored = [
        np.array_equal(image, film[:, ::-1]) for image in draws(film, replace(STILL, flip=0.5))
    ]
    assert 70 < sum(mirrored) < 130


@pytest.mark.parametrize("size", [32, 65])
def test_size_and_kind_are_kept(size):
    film = np.random.default_rng(0).integers(0, 256, (size, size), np.uint8)
    image = augment(film, np.random.default_rng(0), Augmentation())
    assert image.shape == (size, size)
    assert image.dtype == np.uint8


def test_the_middle_half_stays_in_the_picture():
    """Four bright spots at the corners of the middle half: all four are seen in every draw."""
    film = np.full((128, 128), 40, np.uint8)
    for x in (32, 96):
        for y in (32, 96):
            cv2.circle(film, (x, y), 3, 255, -1)
    for image in draws(film, Augmentation()):
        spots, _, stats, _ = cv2.connectedComponentsWithStats((image > 128).astype(np.uint8))
        assert spots - 1 == 4
        assert stats[1:, cv2.CC_STAT_AREA].min() > 15  # of 29: none is cut


def test_only_a_shift_moves_the_middle():
    film = np.full((65, 65), 40, np.uint8)
    film[31:34, 31:34] = 255
    moved = {
        shift: [np.argwhere(image > 128).mean(axis=0) - 32 for image in draws(film, ranges)]
        for shift, ranges in ((0, replace(GEOMETRY, shift=0)), (0.08, GEOMETRY))
    }
    assert np.abs(moved[0]).max() < 0.6
    assert 4 < np.abs(moved[0.08]).max() < 0.08 * 65 + 0.6
    assert abs(np.corrcoef(np.transpose(moved[0.08]))[0, 1]) < 0.3  # to a side, and up or down


def test_changes_of_size_and_angle_are_within_their_ranges():
    film = np.full((129, 129), 0, np.uint8)
    film[62:67, 24:105] = 255  # a bar through the middle, 81 long
    lengths, angles = [], []
    for image in draws(film, replace(GEOMETRY, shift=0)):
        (_, (a, b), _) = cv2.minAreaRect(np.argwhere(image > 128).astype(np.float32)[:, ::-1])
        y, x = np.argwhere(image > 128).T
        lengths.append(max(a, b) / 80)
        angles.append(np.degrees(np.arctan(np.polyfit(x, y, 1)[0])))
    assert 0.8 < min(lengths) < 0.9
    assert 1.1 < max(lengths) < 1.2
    assert -22 < min(angles) < -15
    assert 15 < max(angles) < 22


def test_aspect_stretches_one_side_and_squeezes_the_other():
    film = np.full((129, 129), 0, np.uint8)
    cv2.circle(film, (64, 64), 40, 255, -1)
    ratios = []
    for image in draws(film, replace(STILL, aspect=0.06)):
        height, width = np.ptp(np.argwhere(image > 128), axis=0) + 1
        assert (image > 128).sum() == pytest.approx((film > 128).sum(), rel=0.03)
        ratios.append(width / height)
    assert 0.92 < min(ratios) < 0.97
    assert 1.03 < max(ratios) < 1.08


def test_changes_of_grey_are_moderate_and_keep_their_order():
    ramp = np.tile(np.arange(256, dtype=np.uint8), (256, 1))
    tables = np.array([image[0] for image in draws(ramp, replace(Augmentation(), **NO_GEOMETRY))])
    assert np.all(np.diff(tables.astype(int)) >= 0)
    assert 90 <= tables[:, 128].min() < 115
    assert 141 < tables[:, 128].max() <= 165
    assert np.ptp(tables.astype(int), axis=1).min() > 200


NO_GEOMETRY = {"rotation": 0, "zoom": 0, "aspect": 0, "shift": 0, "shear": 0, "flip": 0}


@pytest.mark.parametrize("level", [0, 77, 255])
def test_what_comes_in_from_outside_has_the_level_of_the_border(level):
    film = np.full((SIZE, SIZE), level, np.uint8)
    film[16:48, 16:48] = 130
    ranges = replace(GEOMETRY, shift=0.5)
    for image in draws(film, ranges):
        outside = np.abs(image.astype(int) - 130) > 1.15 * abs(level - 130)  # sharp edges overshoot
        assert not outside.any()  # no black edge, no light one
        assert (image == level).mean() > 0.4


def test_a_warp_keeps_the_finest_detail():
    """The variance of the Laplacian; linear interpolation alone would take a third of it away."""
    noise = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE), np.uint8)
    film = cv2.GaussianBlur(noise, (0, 0), 1)

    def detail(image):
        return cv2.Laplacian(image, cv2.CV_64F)[8:-8, 8:-8].var()

    ranges = replace(STILL, rotation=20, shift=0.08)
    kept = np.mean([detail(image) for image in draws(film, ranges)]) / detail(film)
    assert 0.85 < kept < 1.15


def test_strengths_grow(film):
    def change(name):
        copies = draws(film, STRENGTHS[name], 60)
        return np.mean([np.abs(copy.astype(int) - film).mean() for copy in copies])

    changes = [change(name) for name in ("none", "light", "moderate", "strong")]
    assert changes[0] == 0
    assert changes == sorted(changes)


def coded_batch(n=16):
    """Films, sexes and labels that are functions of one number."""
    numbers = np.arange(n, dtype=np.float32)[:, None]
    images = np.broadcast_to(numbers[:, :, None] * 10, (n, 8, 8)).astype(np.uint8)
    return images, numbers % 2, numbers * 10


def test_mixup_blends_film_sex_and_label_by_one_share():
    images, sex, months = coded_batch()
    mixed, mixed_sex, mixed_months = mixup(images, sex, months, np.random.default_rng(2), 0.4)
    assert mixed.dtype == np.uint8
    assert not np.array_equal(mixed_months, months)
    assert np.abs(mixed[:, 0, 0] - mixed_months[:, 0]).max() <= 0.5  # a film is worth its label
    between = (mixed_sex > 0) & (mixed_sex < 1)
    assert between.any()
    share = mixed_sex[between]
    assert np.allclose(np.minimum(share, 1 - share), np.minimum(share[0], 1 - share[0]), atol=1e-5)


@pytest.mark.parametrize(("alpha", "low", "high"), [(1e6, 0.49, 0.5), (1e-3, 0, 0.01)])
def test_alpha_says_how_even_the_shares_of_mixup_are(alpha, low, high):
    images, sex, months = coded_batch()
    sex = np.arange(len(sex), dtype=np.float32)[:, None] % 2
    _, mixed, _ = mixup(images, sex, months, np.random.default_rng(2), alpha)
    share = np.minimum(mixed, 1 - mixed)
    assert low <= share.max() <= high


def test_mixup_and_noise_take_films_and_labels_of_any_kind():
    """Films from 0 to 1 stay grey, and whole months get noise that is not whole."""
    films, ones = np.random.default_rng(0).random((6, 4, 4)), np.ones((6, 1))
    mixed, _, _ = mixup(films, ones, ones, np.random.default_rng(2), 0.4)
    assert mixed.dtype == films.dtype
    assert len(np.unique(mixed)) > 48
    noisy = add_gaussian_noise_to_labels(np.full((6, 1), 120), np.random.default_rng(2), 0.5)
    assert len(np.unique(noisy)) == 6


def test_label_noise_has_its_sd_in_months_and_leaves_films_alone():
    images, sex, months = coded_batch(2000)
    ranges = replace(STILL, label_noise_std=3.0)
    same, same_sex, noisy = add_noise_and_mixup(
        images, sex, months, np.random.default_rng(0), ranges
    )
    assert np.array_equal(same, images)
    assert np.array_equal(same_sex, sex)
    assert np.std(noisy - months) == pytest.approx(3, rel=0.1)
    assert abs(np.mean(noisy - months)) < 0.3
    again = add_gaussian_noise_to_labels(months, np.random.default_rng(5), 3.0)
    assert again.dtype == months.dtype
