"""Synthetic hand radiographs whose bones show the age: for demonstrations and tests.

The hand is schematic, but what changes with age follows the atlas: carpal centres appear in order,
epiphyses widen into caps, growth plates narrow and fuse, girls ahead of boys (Greulich & Pyle 1959;
Gilsanz & Ratib 2005 for the ages of onset). Nothing here is clinical.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import pandas as pd

from util.data_folder import SPLITS, new_data_folder, write_tables
from util.parallel import map_films

PALM = ((-0.12, 0.02), (-0.13, 0.35), (-0.04, 0.46), (0.10, 0.45), (0.17, 0.27), (0.11, 0.02))
SPLIT_NUMBERS = {split: number for number, split in enumerate(SPLITS)}
MIN_AGE, MAX_AGE = 12, 216  # months
SUPERSAMPLING = 2  # drawn larger and shrunk, for smooth edges

# Lengths below are shares of the height of the hand, from the middle of the wrist to the tip of
# the third finger; x points to the thumb, y to the finger tips.
# ray: (x, y of its base, angle from upright in degrees, lengths of metacarpal and phalanges)
RAYS = (
    (0.090, 0.165, 42, (0.150, 0.120, 0.090)),
    (0.062, 0.205, 9, (0.235, 0.145, 0.090, 0.070)),
    (0.012, 0.215, 0, (0.230, 0.165, 0.105, 0.072)),
    (-0.038, 0.205, -8, (0.205, 0.150, 0.100, 0.070)),
    (-0.083, 0.185, -18, (0.190, 0.118, 0.070, 0.062)),
)
# carpal centre: (x, y, full radius, boys' age of onset in months)
CARPALS = (
    (0.012, 0.155, 0.036, 3),  # capitate
    (-0.042, 0.150, 0.033, 4),  # hamate
    (-0.068, 0.105, 0.024, 29),  # triquetrum
    (-0.020, 0.098, 0.028, 44),  # lunate
    (0.035, 0.105, 0.029, 66),  # scaphoid
    (0.078, 0.135, 0.023, 64),  # trapezium
    (0.050, 0.160, 0.021, 68),  # trapezoid
    (-0.085, 0.110, 0.014, 124),  # pisiform
)
# forearm bone: (x, y of its joint end, width, onset of the epiphysis, age of fusion)
FOREARM = ((0.032, 0.060, 0.085, 14, 206), (-0.058, 0.052, 0.052, 80, 203))
# by bone of a ray, metacarpal first: onset of the epiphysis and age of fusion, boys' months
EPIPHYSES = ((26, 194), (18, 196), (26, 194), (32, 186))


@dataclass
class Hand:
    """What is drawn: maturity in boys' months, and where the hand lies on the film."""

    maturity: float
    scale: float  # pixels for one hand height
    origin: np.ndarray  # pixel of the middle of the wrist
    tilt: float  # degrees
    spread: float  # factor on the angles of the rays
    side: int  # 1 left hand, -1 right hand

    def pixel(self, x, y):
        """Film coordinates of a point of the hand."""
        angle = np.deg2rad(self.tilt)
        x = x * self.side
        turned = (x * np.cos(angle) + y * np.sin(angle), x * np.sin(angle) - y * np.cos(angle))
        return self.origin + self.scale * np.array(turned)


def maturity_of(boneage, sex, rng):
    """Skeletal maturity in boys' months: girls run ahead by up to two years in puberty, and
    children of one bone age differ a little."""
    lead = 0 if sex else 24 / (1 + np.exp(-(boneage - 80) / 25))
    return boneage + lead + rng.normal(0, 3)


def hand_share(maturity):
    """Height of the hand as a share of the film's: small hands lie on the same cassettes."""
    return 0.54 + 0.26 * np.clip(maturity / 200, 0, 1)


def draw_phantom(boneage, sex, rng, height=256):
    """Draw one film, uint8 `(height, about 0.8 height)`, bones bright on dark.

    `boneage` in months, `sex` 1 = male; pose, exposure and noise come from `rng`.
    """
    rows, columns = height, round(height * rng.uniform(0.74, 0.86))
    size = np.array([columns, rows]) * SUPERSAMPLING
    maturity = maturity_of(boneage, sex, rng)
    hand = Hand(
        maturity=maturity,
        scale=size[1] * hand_share(maturity) * rng.uniform(0.93, 1.07),
        origin=size * (0.5, 0.86) + size * rng.uniform(-0.04, 0.04, 2),
        tilt=rng.normal(0, 5),
        spread=rng.uniform(0.85, 1.3),
        side=1 if rng.random() < 0.85 else -1,
    )
    tissue = np.zeros(size[::-1], np.uint8)
    bone = np.zeros(size[::-1], np.uint8)
    draw_forearm(hand, tissue, bone)
    for ray in RAYS:
        draw_ray(hand, ray, tissue, bone)
    draw_carpals(hand, tissue, bone)
    return expose(tissue, bone, (columns, rows), rng)


def draw_ray(hand, ray, tissue, bone):
    """Draw the metacarpal and phalanges of a ray, end to end, with their epiphyses."""
    x, y, degrees, lengths = ray
    angle = np.deg2rad(degrees * hand.spread)
    direction = np.array([np.sin(angle), np.cos(angle)])
    start = np.array([x, y])
    gap = 0.010 + 0.012 * np.exp(-hand.maturity / 60)  # cartilage: wide joints in small children
    tip = start + direction * (sum(lengths) + gap * len(lengths))
    line(hand, tissue, start - direction * 0.05, tip, 0.088, 120)
    growth = 0.55 + 0.45 * min(1, hand.maturity / 190)
    for number, length in enumerate(lengths):
        width = (0.042, 0.038, 0.034, 0.028)[number] * (0.72 + 0.28 * growth)
        end = start + direction * length
        onset, fusion = EPIPHYSES[number]
        # metacarpals of the fingers grow at the far end, all else at the near end
        far = number == 0 and degrees < 40
        joint, other = (end, start) if far else (start, end)
        long_bone(hand, bone, joint, other, width, onset, fusion)
        start = end + direction * gap


def draw_forearm(hand, tissue, bone):
    for x, y, width, onset, fusion in FOREARM:
        joint, other = np.array([x, y]), np.array([x * 1.05, -0.30])
        line(hand, tissue, joint, other, width * 1.9, 120)
        long_bone(hand, bone, joint, other, width, onset, fusion)


def draw_carpals(hand, tissue, bone):
    """Draw the palm, and each carpal centre from its age of onset on."""
    palm = np.array([hand.pixel(*point) for point in PALM]).astype(np.int32)
    cv2.fillPoly(tissue, [palm], 135)
    for x, y, radius, onset in CARPALS:
        age = hand.maturity - onset
        if age > 0:
            size = radius * (0.25 + 0.75 * (1 - np.exp(-age / 55)))
            centre = as_point(hand.pixel(x, y))
            pixels = round(size * hand.scale)
            cv2.circle(bone, centre, pixels, 165, -1, cv2.LINE_AA)
            cv2.circle(bone, centre, pixels, 215, max(1, round(0.004 * hand.scale)), cv2.LINE_AA)


def long_bone(hand, bone, joint, other, width, onset, fusion):
    """Draw a shaft from `other` towards `joint`, and at that end a growth plate and an epiphysis.

    The epiphysis appears at `onset`, widens to a cap, and the dark plate narrows until both are one
    at `fusion` (months of maturity).
    """
    direction = (other - joint) / np.linalg.norm(other - joint)
    across = np.array([direction[1], -direction[0]])
    ripe = np.clip((hand.maturity - onset) / (fusion - onset), 0, 1)
    cap = 0.42 * width  # height of the epiphysis
    plate = 0.30 * width * (1 - ripe) ** 0.7 + (0.05 * width if ripe < 1 else 0)
    base = joint + direction * (cap + plate)
    shaft(hand, bone, base, other, across, width)
    middle = joint + direction * cap / 2  # of the epiphysis
    if hand.maturity > onset:
        half = 0.5 * width * (0.35 + 0.70 * ripe**0.5)
        line(hand, bone, middle - across * half, middle + across * half, cap, 195)
    if ripe == 1:
        line(hand, bone, middle, base + direction * cap, width * 0.95, 170)


def shaft(hand, bone, start, end, across, width):
    """Draw a shaft that is narrower in the middle, with a bright cortex and a darker marrow."""
    profile = np.array([0.50, 0.38, 0.31, 0.30, 0.33, 0.42])[:, None] * width
    along = start + np.linspace(0, 1, len(profile))[:, None] * (end - start)
    outline = np.concatenate([along + across * profile, (along - across * profile)[::-1]])
    points = np.array([hand.pixel(*point) for point in outline]).round().astype(np.int32)
    cv2.fillPoly(bone, [points], 150, cv2.LINE_AA)
    cortex = max(1, round(hand.scale * width * (0.07 + 0.06 * min(1, hand.maturity / 200))))
    cv2.polylines(bone, [points], True, 225, cortex, cv2.LINE_AA)


def line(hand, image, start, end, width, level):
    pixels = max(1, round(width * hand.scale))
    ends = as_point(hand.pixel(*start)), as_point(hand.pixel(*end))
    cv2.line(image, *ends, level, pixels, cv2.LINE_AA)


def as_point(pixel):
    return tuple(int(round(v)) for v in pixel)


def expose(tissue, bone, size, rng):
    """Blend soft tissue and bone into a film of `size` (columns, rows) with exposure and noise."""
    tissue = cv2.resize(tissue, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    bone = cv2.resize(bone, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    blur = 0.007 * size[1]
    tissue = cv2.GaussianBlur(tissue, (0, 0), blur) * rng.uniform(0.45, 0.75)
    film = tissue + cv2.GaussianBlur(bone, (0, 0), 0.002 * size[1]) * rng.uniform(0.45, 0.65)
    x, y = np.meshgrid(np.linspace(-1, 1, size[0]), np.linspace(-1, 1, size[1]))
    film += rng.uniform(0, 25) + rng.normal(0, 6) * x + rng.normal(0, 6) * y
    film = 255 * (np.clip(film, 0, 255) / 255) ** rng.uniform(0.8, 1.25)
    film += rng.normal(0, rng.uniform(2, 6), film.shape)
    return np.clip(np.rint(film), 0, 255).astype(np.uint8)


def phantom(seed, split, number, height):
    """Phantom `number` of a split: (film, boneage in months, sex). A pure function of its
    arguments, so that asking for more films leaves the first ones as they are."""
    rng = np.random.default_rng([seed, SPLIT_NUMBERS[split], number])
    sex = int(rng.random() < 0.54)
    boneage = int(np.clip(rng.normal(127, 41), MIN_AGE, MAX_AGE).round())
    return draw_phantom(boneage, sex, rng, height), boneage, sex


def write_phantoms(data_dir, counts, height, seed=42):
    """Write phantoms in the native layout; `counts` is {"train": n, "val": n, "test": n}, or fewer.

    Returns the table of all films, with a column split. Raises UserError when `data_dir` already
    holds data.
    """
    with new_data_folder(data_dir) as (_, ready):
        films = [(split, number) for split in SPLITS for number in range(counts.get(split, 0))]
        rows = map_films(lambda film: write_phantom(ready, *film, seed, height), films, "phantoms")
        table = pd.DataFrame(rows, columns=["id", "filename", "boneage", "sex", "split"])
        write_tables(table.assign(patient=""), ready)
    return table


def write_phantom(ready, split, number, seed, height):
    """Draw and write one phantom; returns its row of the table."""
    film, boneage, sex = phantom(seed, split, number, height)
    id_ = 1 + 100_000 * SPLIT_NUMBERS[split] + number  # stays the same when another split grows
    name = f"{id_}.png"
    (ready / SPLITS[split].folder / name).write_bytes(cv2.imencode(".png", film)[1])
    return id_, name, boneage, sex, split
