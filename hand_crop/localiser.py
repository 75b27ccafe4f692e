"""Where the hand is on a film: a small network that finds the hull of the joints.

Four convolutions and two dense layers, trained by `hand_crop.train_localiser`, and computed here by
numpy alone, so that reading films needs no TensorFlow.
"""

import hashlib
from functools import cache
from pathlib import Path

import cv2
import numpy as np

from util.files import write_atomically

WEIGHTS = Path(__file__).with_name("localiser.npz")
SIDE = 64  # pixels of a side of what the network sees
# added to the hull of the joints on each side, as shares of the film: left, top, right, bottom.
# Finger tips reach beyond the last joint, and the network is off by some percent.
MARGIN = np.array([-0.06, -0.08, 0.06, 0.06])
CONTRAST = 4.0, (4, 4)  # CLAHE of what the network sees: clip limit, tiles
LARGEST_DOUBT = 0.06  # how far the boxes of a film and its mirror image may be apart
SMALLEST = 0.2  # share of the film's width or height that a hand takes at least


def find_hands(images):
    """Find the hand on each film, uint8 `(H, W)`. Returns for each the box (left, top, right,
    bottom) to keep, in pixels, right and bottom exclusive; None when it is not certain.

    Some films at once take a fifth of the time of one by one: numpy's calls cost more than what
    they compute, and hold up other threads.
    """
    boxes = find_boxes(images, load_layers())
    return [
        None if box is None else in_pixels(box, *image.shape)
        for box, image in zip(boxes, images, strict=True)
    ]


def in_pixels(box, height, width):
    left, top, right, bottom = box * [width, height, width, height]
    return int(left), int(top), int(np.ceil(right)), int(np.ceil(bottom))


def find_boxes(images, layers):
    """The same as shares of width and height, by a network of these `layers`.

    A film and its mirror image must tell the same box, and one that a hand can fill.
    """
    if not images:
        return []
    films = np.stack([shrink(image) for image in images])
    boxes, mirrored = np.split(network(np.concatenate([films, films[:, :, ::-1]]), layers), 2)
    left, top, right, bottom = mirrored.T
    back = np.stack([1 - right, top, 1 - left, bottom], axis=1)
    found = np.clip((boxes + back) / 2 + MARGIN, 0, 1)
    doubt, sides = np.abs(boxes - back).max(axis=1), found[:, 2:] - found[:, :2]
    certain = (doubt <= LARGEST_DOUBT) & (sides.min(axis=1) >= SMALLEST)
    return [box if sure else None for box, sure in zip(found, certain, strict=True)]


def shrink(image):
    """What the network sees of a film: uint8 `(64, 64)`, local contrast evened out, so that dark
    films and light backgrounds look alike."""
    small = cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return cv2.createCLAHE(*CONTRAST).apply(small)


def network(films, layers):
    """The hull of the joints on films `(n, 64, 64)`: left, top, right, bottom as shares of a film,
    `(n, 4)`. `layers`: (kernel, bias) of each, the first ones convolutions, the last two dense."""
    *convolutions, dense, out = layers
    features = films.astype(np.float32)[..., None] / 127.5 - 1
    for kernel, bias in convolutions:
        features = np.maximum(convolve(features, kernel) + bias, 0)
    hidden = np.maximum(features.reshape(len(films), -1) @ dense[0] + dense[1], 0)
    return hidden @ out[0] + out[1]


def convolve(features, kernel):
    """Convolve `(n, h, w, C)` with `(3, 3, C, D)` in steps of 2, as Keras does with padding "same"
    and even sides: `(n, h / 2, w / 2, D)`."""
    padded = np.pad(features, ((0, 0), (0, 1), (0, 1), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))[:, ::2, ::2]
    return np.tensordot(windows, kernel, axes=((4, 5, 3), (0, 1, 2)))


@cache
def localiser_version():
    """What decides where a hand is found, as a short hash: caches of films are named by it, and
    runs remember it. (When the code changes it, raise READER_VERSION of util/radiographs.py.)"""
    rules = repr((SIDE, CONTRAST, MARGIN.tolist(), LARGEST_DOUBT, SMALLEST)).encode()
    return hashlib.sha256(WEIGHTS.read_bytes() + rules).hexdigest()[:16]


@cache
def load_layers(path=WEIGHTS):
    """Read the layers of `network` from a file."""
    with np.load(path) as file:
        arrays = [file[name].astype(np.float32) for name in sorted(file.files)]
    return list(zip(arrays[::2], arrays[1::2], strict=True))


def save_layers(layers, path):
    """Write the layers of `network` in half precision."""
    arrays = [array.astype(np.float16) for layer in layers for array in layer]
    named = {f"{i:02d}": array for i, array in enumerate(arrays)}
    write_atomically(path, lambda file: np.savez_compressed(file, **named))
