"""Augmentation of batches: one affine warp and one grey-level table per image, then, if asked for,
blur, grain, label noise and mixup.

Every change is drawn from the generator that is passed in, so a batch depends only on its seed. The
default ranges are moderate: finger tips and wrists must stay in the picture (see
`plots/augmented_films.png` of a run).
"""

from dataclasses import dataclass, fields, replace

import cv2
import numpy as np

from util.radiographs import border_level


@dataclass(frozen=True)
class Augmentation:
    """Ranges of the random changes. Each change is drawn uniformly from -value to +value, unless
    its comment says something else."""

    rotation: float = 20.0  # degrees
    zoom: float = 0.15  # share of the size
    aspect: float = 0.06  # share by which the scales of width and height differ
    shift: float = 0.08  # share of the side
    shear: float = 4.0  # degrees
    flip: float = 0.5  # probability: left and right hands are mirror images
    gamma: float = 0.25  # exponent between 1 / (1 + gamma) and 1 + gamma
    contrast: float = 0.15  # share
    brightness: float = 12.0  # grey levels of 0-255
    blur: float = 0.0  # largest SD of a blur as a share of the side; 0 is off
    grain: float = 0.0  # largest SD of noise in grey levels; 0 is off
    mixup_alpha: float = 0.0  # of the Beta distribution of the mixing share; 0 is off
    label_noise_std: float = 0.0  # months


# fields that no strength of --augment turns on; each needs an option of its own name
BY_OPTION = [field.name for field in fields(Augmentation) if not field.default]
STRENGTHS = {  # the values of --augment
    "none": Augmentation(**{field.name: 0 for field in fields(Augmentation) if field.default}),
    "light": Augmentation(
        rotation=10,
        zoom=0.08,
        aspect=0.03,
        shift=0.04,
        shear=2,
        gamma=0.12,
        contrast=0.08,
        brightness=6,
    ),
    "moderate": Augmentation(),
    "strong": Augmentation(
        rotation=30,
        zoom=0.25,
        aspect=0.12,
        shift=0.12,
        shear=8,
        gamma=0.5,
        contrast=0.3,
        brightness=25,
    ),
}


SHARPEN = np.array([-0.1, 1.2, -0.1])  # along each axis; keeps the mean


def chosen_ranges(args):
    """Return the Augmentation that the options of a training ask for."""
    chosen = {name: getattr(args, name) for name in BY_OPTION}
    return replace(STRENGTHS[args.augment], **chosen)


def augment_films(films, rng, ranges):
    """Return randomly changed copies of films: uint8 `(N, size, size)`, in and out."""
    return np.stack([augment(film, rng, ranges) for film in films])


def add_noise_and_mixup(image, sex, boneage, rng, ranges):
    """Return a batch with label noise and mixup, each if asked for: image `(N, ...)`, sex and
    boneage (months) float32 `(N, 1)`, in and out."""
    if ranges.label_noise_std:
        boneage = add_gaussian_noise_to_labels(boneage, rng, ranges.label_noise_std)
    if ranges.mixup_alpha:
        image, sex, boneage = mixup(image, sex, boneage, rng, ranges.mixup_alpha)
    return image, sex, boneage


def mixup(image, sex, boneage, rng, alpha):
    """Blend each film with another of the batch, all by the same random share.

    This blends image `(N, ...)`, sex and label (months) `(N, 1)` (Zhang et al. 2018, 'mixup: beyond
    empirical risk minimization'). Images of uint8 stay uint8.
    """
    share = np.float32(rng.beta(alpha, alpha))
    other = rng.permutation(len(image))
    blended = [share * values + (1 - share) * values[other] for values in (image, sex, boneage)]
    if image.dtype == np.uint8:
        blended[0] = np.rint(blended[0]).astype(np.uint8)
    return tuple(blended)


def add_gaussian_noise_to_labels(boneage, rng, noise_std):
    """Add normal noise with an SD of `noise_std` months to labels `(N, 1)`; returns float32."""
    noise = rng.normal(0, noise_std, np.shape(boneage)).astype(np.float32)
    return np.asarray(boneage, np.float32) + noise


def augment(image, rng, ranges):
    """Return one randomly changed copy of a square film, uint8 `(size, size)`."""
    matrix = random_affine(image.shape[0], rng, ranges)
    table = random_grey_table(rng, ranges)
    film = cv2.LUT(warp(image, matrix), table)
    if ranges.blur and rng.random() < 0.5:
        film = blur(film, rng, ranges.blur)
    if ranges.grain and rng.random() < 0.5:
        film = add_grain(film, rng, ranges.grain)
    return film


def blur(film, rng, largest):
    """Blur a film with a normal kernel. Its SD is random, up to a share `largest` of the side."""
    sd = rng.uniform(0, largest) * len(film)
    return cv2.GaussianBlur(film, None, sd) if sd else film


def add_grain(film, rng, largest):
    """Add normal noise to a film. Its SD is random, up to `largest` grey levels."""
    grain = rng.standard_normal(film.shape, np.float32) * np.float32(rng.uniform(0, largest))
    return np.clip(np.rint(film + grain), 0, 255).astype(np.uint8)


def warp(image, matrix):
    """Apply a 2 x 3 affine matrix to a film; areas from outside the film get its border level.

    Linear interpolation between pixels removes 40 % of the finest detail. To make up for this, the
    film is sharpened first. Both take half the time of cubic interpolation (docs/HISTORY.md).
    """
    border = border_level(image)
    if not np.array_equal(matrix, matrix.round()):
        image = cv2.sepFilter2D(image, -1, SHARPEN, SHARPEN)
    return cv2.warpAffine(
        image,
        matrix,
        image.shape[::-1],
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=border,
    )


def random_affine(size, rng, ranges):
    """Draw a 2 x 3 matrix about the centre: rotation, shear, zoom, aspect, flip and shift."""
    rotation, shear, zoom, aspect, shift_x, shift_y = rng.uniform(-1, 1, 6)
    angle, slant = np.deg2rad(ranges.rotation * rotation), np.deg2rad(ranges.shear * shear)
    scale = 1 + ranges.zoom * zoom
    stretch = np.exp(ranges.aspect * aspect / 2)
    mirror = -1.0 if rng.random() < ranges.flip else 1.0
    cos, sin = np.cos(angle), np.sin(angle)
    linear = (
        np.array([[cos, -sin], [sin, cos]])
        @ np.array([[1, np.tan(slant)], [0, 1]])
        @ np.diag([scale * stretch * mirror, scale / stretch])
    )
    centre = np.full(2, (size - 1) / 2)
    offset = centre - linear @ centre + ranges.shift * size * np.array([shift_x, shift_y])
    return np.column_stack([linear, offset])


def random_grey_table(rng, ranges):
    """Draw a table of 256 grey levels: gamma, then contrast about the middle, then brightness."""
    gamma, contrast, brightness = rng.uniform(-1, 1, 3)
    grey = (np.arange(256) / 255) ** ((1 + ranges.gamma) ** gamma) * 255
    grey = (grey - 127.5) * (1 + ranges.contrast * contrast) + 127.5
    return np.clip(np.rint(grey + ranges.brightness * brightness), 0, 255).astype(np.uint8)
