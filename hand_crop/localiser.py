"""Where the hand is on a film: a small network, trained by `hand_crop.train_localiser`, finds the
hull of the joints."""

from functools import cache
from pathlib import Path

import numpy as np

from hand_crop.likeness import unlike_by_features
from hand_crop.network import (
    CONTRAST,
    SIDE,
    append_mirrored,
    apply_head,
    extract_features,
    load_layers,
    shrink,
    version_of,
)

WEIGHTS = Path(__file__).with_name("localiser.npz")
# added to the hull of the joints on each side, as shares of the film: left, top, right, bottom.
# Finger tips reach beyond the last joint, and the network is off by some percent.
MARGIN = np.array([-0.06, -0.08, 0.06, 0.06])
LARGEST_DOUBT = 0.06  # how far the boxes of a film and its mirror image may be apart
SMALLEST = 0.2  # share of the film's width or height that a hand takes at least
# A box of less than SMALL of a film's area is too coarse, and too large, at 64 pixels: the hand is
# looked for again, LOOKS times, on the part of the film around its box.
SMALL, LOOKS = 0.5, 3
AROUND = 0.15  # share of the width and height of a box that this part has more on each side
FEWEST_PIXELS = 32  # of the shorter side of such a part
SMALL_HANDS = f"{SMALL} {LOOKS} {AROUND} {FEWEST_PIXELS}"  # runs record it


def find_hands(films, shapes):
    """Find the hand on each film of a list. Returns two lists: the boxes to keep, and whether films
    look unlike a hand.

    `films` are as `shrink` returns them, upright and with light bones; `shapes` are those of the
    films themselves, (height, width) in pixels. A box is (left, top, right, bottom) in these
    pixels, right and bottom exclusive, or None when it is not certain.

    Several films at once take a fifth of the time that they take one by one: calls of numpy cost
    more than what they compute, and hold up other threads.
    """
    if not films:
        return [], []
    features = localiser_features(films)
    found = combine_boxes(*np.split(apply_head(features, load_layers(WEIGHTS)), 2))
    boxes = [
        None if box is None else in_pixels(box, *shape)
        for box, shape in zip(found, shapes, strict=True)
    ]
    return boxes, unlike_by_features(features).tolist()


def look_closer(films, boxes, unlike):
    """Find small hands again, see SMALL, on the part of each film around its box.

    `films` are a list of uint8 `(H, W)`, upright and with light bones; `boxes` and `unlike` are
    what `find_hands` returned for them. Returns both, for small hands those of the last look that
    was certain.
    """
    boxes, unlike = list(boxes), list(unlike)
    small = [i for i, film in enumerate(films) if is_small(boxes[i], film)]
    for _ in range(LOOKS):
        around = {i: widen(boxes[i], *films[i].shape) for i in small}
        parts = {
            i: films[i][top:bottom, left:right] for i, (left, top, right, bottom) in around.items()
        }
        parts = {i: part for i, part in parts.items() if min(part.shape) >= FEWEST_PIXELS}
        shapes = [part.shape for part in parts.values()]
        closer, odd = find_hands([shrink(part) for part in parts.values()], shapes)
        for i, box, look in zip(parts, closer, odd, strict=True):
            if box is not None:
                left, top = around[i][:2]
                boxes[i] = box[0] + left, box[1] + top, box[2] + left, box[3] + top
                unlike[i] = look
    return boxes, unlike


def is_small(box, film):
    """Whether there is a box that takes less than SMALL of a film."""
    return box is not None and (box[2] - box[0]) * (box[3] - box[1]) < SMALL * film.size


def widen(box, height, width):
    """Return a box with AROUND added on each side, within a film of this height and width."""
    left, top, right, bottom = box
    x, y = round(AROUND * (right - left)), round(AROUND * (bottom - top))
    return max(0, left - x), max(0, top - y), min(width, right + x), min(height, bottom + y)


def unlike_hands(films):
    """Return a mask `(n,)` of the films that look unlike a hand. `films` is a list of upright films
    with light bones, as `shrink` returns them."""
    return unlike_by_features(localiser_features(films)) if films else np.zeros(0, bool)


def localiser_features(films):
    """Return the localiser's features `(2 n, 1024)` of a list of films, as `shrink` returns them,
    followed by those of their mirror images."""
    return extract_features(append_mirrored(np.stack(films)), load_layers(WEIGHTS))


def in_pixels(box, height, width):
    left, top, right, bottom = box * [width, height, width, height]
    return int(left), int(top), int(np.ceil(right)), int(np.ceil(bottom))


def combine_boxes(boxes, mirrored):
    """Return the boxes to keep, from the boxes of films and of their mirror images, all as shares
    of the film. A box is None unless both agree (LARGEST_DOUBT) and it is large enough for a hand
    (SMALLEST)."""
    left, top, right, bottom = mirrored.T
    back = np.stack([1 - right, top, 1 - left, bottom], axis=1)
    found = np.clip((boxes + back) / 2 + MARGIN, 0, 1)
    doubt, sides = np.abs(boxes - back).max(axis=1), found[:, 2:] - found[:, :2]
    certain = (doubt <= LARGEST_DOUBT) & (sides.min(axis=1) >= SMALLEST)
    return [box if sure else None for box, sure in zip(found, certain, strict=True)]


@cache
def localiser_version():
    """Return a short hash of what decides where a hand is found; it is in the names of film caches,
    and runs record it."""
    rules = repr((SIDE, CONTRAST, MARGIN.tolist(), LARGEST_DOUBT, SMALLEST))
    return version_of(WEIGHTS, rules)
