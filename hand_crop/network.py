"""The small network that the localiser and the orientation share: four convolutions and two dense
layers, trained by Keras (`hand_crop.fit`), and computed here by numpy alone, so that reading films
needs no TensorFlow.
"""

import hashlib
from functools import cache

import cv2
import numpy as np

SIDE = 64  # pixels of a side of what the network sees
CHUNK = 32  # films at once: their data fits into the cache of the processor
CONTRAST = 4.0, (4, 4)  # CLAHE of what the network sees: clip limit, tiles


def shrink(image):
    """Return what the network sees of a film: uint8 `(64, 64)`, with local contrast evened out, so
    that dark films and films with a light background look alike."""
    small = cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return cv2.createCLAHE(*CONTRAST).apply(small)


def forward(films, layers):
    """Return the outputs for films `(n, 64, 64)`, as `shrink` returns them.

    For the localiser they are the hull of the joints `(n, 4)`: left, top, right, bottom as shares
    of a film. For the orientation they are scores `(n, 8)`: of 0 to 3 quarter turns, then of the
    same for inverted films. `layers` holds (kernel, bias) of each layer: convolutions, then two
    dense layers.
    """
    return apply_head(extract_features(films, layers), layers)


def forward_with_mirror(films, layers):
    """Return the outputs for films, and those for their mirror images."""
    return np.split(forward(append_mirrored(films), layers), 2)


def append_mirrored(films):
    """Return films, followed by their mirror images."""
    return np.concatenate([films, films[:, :, ::-1]])


def extract_features(films, layers):
    """Return the features `(n, 1024)` of films: what the convolutions give."""
    chunks = [films[first : first + CHUNK] for first in range(0, len(films), CHUNK)]
    return np.concatenate([apply_convolutions(chunk, layers[:-2]) for chunk in chunks])


def apply_convolutions(films, layers):
    features = films.astype(np.float32)[..., None] / 127.5 - 1
    for kernel, bias in layers:
        features = np.maximum(convolve(features, kernel) + bias, 0)
    return features.reshape(len(films), -1)


def apply_head(features, layers):
    """Return the outputs for films from their features."""
    dense, out = layers[-2:]
    return np.maximum(features @ dense[0] + dense[1], 0) @ out[0] + out[1]


def convolve(features, kernel):
    """Convolve `(n, h, w, C)` with `(3, 3, C, D)` in steps of 2, as Keras does with padding "same"
    and even sides: `(n, h / 2, w / 2, D)`."""
    padded = np.pad(features, ((0, 0), (0, 1), (0, 1), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))[:, ::2, ::2]
    return np.tensordot(windows, kernel, axes=((4, 5, 3), (0, 1, 2)))


@cache
def load_layers(path):
    """Read the layers of `forward` from a file, which `hand_crop.command.save_layers` wrote."""
    with np.load(path) as file:
        arrays = [file[name].astype(np.float32) for name in sorted(file.files)]
    return list(zip(arrays[::2], arrays[1::2], strict=True))


def version_of(weights, rules=""):
    """Return a short hash of what a network decides by: its file of weights, and the rules around
    it."""
    return hashlib.sha256(weights.read_bytes() + rules.encode()).hexdigest()[:16]
