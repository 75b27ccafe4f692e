"""Train the localiser of hands on films with boxes of their joints, and say how good it is.

    python -m hand_crop.train_localiser --boxes joint_boxes.csv --images films/

The table has columns id, xmin, ymin, xmax and ymax (shares of width and height), one row a joint.
Films are divided in four parts; each is predicted by a network that never saw it. Then a network is
trained on all of them and written to --out.
"""

from itertools import count

import cv2
import numpy as np
import pandas as pd

from hand_crop.command import add_files, add_steps, check_enough, check_weights_file, save_layers
from hand_crop.localiser import combine_boxes
from hand_crop.network import forward_with_mirror, shrink
from preprocessing import random_stream
from util.augmentation import Augmentation, random_affine, random_grey_table, warp
from util.errors import UserError, run_command
from util.film_files import list_films
from util.parser import new_parser
from util.pixel_cache import read_pixels
from util.quiet import import_tensorflow
from util.tables.labels import clean_id
from util.tables.matching import match_films
from util.tables.text import read_table

FILM_SIDE = 160  # pixels of a film that is changed at random before it is shrunk for the network
BATCH = 32
HANDS = 0  # purpose of the random streams of the changes, the only ones of this training
FOLDS = 4
CHANGES = Augmentation(rotation=25, zoom=0.25, aspect=0.2, shift=0.12, gamma=0.6, contrast=0.2)
FRAMED = 0.3  # share of films that get a frame
WHOLE = np.array([0, 0, 1, 1])
TOLERANCE = 0.01  # share of the film's side by which a box may reach beyond it
CORNERS = ["xmin", "ymin", "xmax", "ymax"]


def parse_args(argv=None):
    parser = new_parser(__doc__)
    parser.add_argument("--boxes", required=True, metavar="FILE", help="table of joint boxes")
    add_files(parser)
    add_steps(parser)
    return parser.parse_args(argv)


def main(argv=None):
    args = parse_args(argv)
    check_weights_file(args.out)
    import_tensorflow()
    films, joints = read_boxes(args.boxes, args.images)
    found = cross_validate(films, joints, args.steps, args.seed)
    print_cuts(found, np.stack([hull(boxes) for boxes in joints]))
    if args.out:
        save_layers(train(films, joints, args.steps, args.seed), args.out)
        print(f"weights: {args.out}")


def read_boxes(table, folder):
    """Read films uint8 `(n, 160, 160)`, and for each its joint boxes `(k, 4)`: left, top, right,
    bottom as shares of the film. UserError when there are too few films, or boxes are not valid."""
    boxes = read_table(table)
    missing = [column for column in ("id", *CORNERS) if column not in boxes]
    if missing:
        raise UserError(f"no column {missing[0]} ({table}). Needed: id, {', '.join(CORNERS)}.")
    boxes["id"] = boxes["id"].map(clean_id)
    boxes[CORNERS] = boxes[CORNERS].apply(pd.to_numeric, errors="coerce")
    if boxes[CORNERS].isna().any(axis=None):
        raise UserError(f"a corner is not a number ({table}). Correct or remove its row.")
    check_shares(boxes[CORNERS], table)
    labels = pd.DataFrame({"id": boxes["id"].unique(), "filename": ""})
    found = match_films(labels, list_films(folder)).query("path != ''")
    pixels, failures = read_pixels(found["path"].tolist(), FILM_SIDE, "stretch")
    good = [i for i in range(len(found)) if i not in failures]
    if len(good) < len(labels):
        print(f"left out: {len(labels) - len(found)} without a film, {len(failures)} unreadable")
    check_enough(len(good), FOLDS, folder)
    by_id = dict(list(boxes.groupby("id")))
    joints = [by_id[id_][CORNERS].to_numpy() for id_ in found["id"].iloc[good]]
    return pixels[good], joints


def check_shares(corners, table):
    """UserError when boxes are empty, or are no shares of the film but, for example, pixels."""
    low, high = corners[["xmin", "ymin"]].to_numpy(), corners[["xmax", "ymax"]].to_numpy()
    bad = ((low < -TOLERANCE) | (high > 1 + TOLERANCE) | (low >= high)).any(axis=1)
    if bad.any():
        raise UserError(
            f"{bad.sum()} boxes aren't shares of the film's sides, 0 <= min < max <= 1 ({table}, "
            f"line {corners.index[bad][0]}). Divide pixels by the film's sides, or correct rows."
        )


def cross_validate(films, joints, steps, seed):
    """Find the hand on each film by a network that was trained without it. Returns a list of the
    boxes to keep: 4 shares, or None where it is not certain."""
    order = np.random.default_rng(seed).permutation(len(films))
    found = [None] * len(films)
    for fold in range(FOLDS):
        unseen = order[fold::FOLDS]
        seen = np.setdiff1d(order, unseen)
        network = train(films[seen], [joints[i] for i in seen], steps, seed)
        boxes = find_boxes(films[unseen], network)
        for i, box in zip(unseen, boxes, strict=True):
            found[i] = box
        print(f"part {fold + 1} of {FOLDS} is done", flush=True)
    return found


def find_boxes(images, layers):
    """Return the boxes of `find_hands` as shares of width and height, by a network with these
    `layers`. `images` are films before `shrink`."""
    small = np.stack([shrink(image) for image in images])
    return combine_boxes(*forward_with_mirror(small, layers))


def print_cuts(found, hulls):
    """Print in how many films no joint is cut, and how much of a film is kept. `hulls` `(n, 4)` are
    the boxes around all joints of a film."""
    boxes = np.stack([WHOLE if box is None else box for box in found])
    inside = (boxes[:, :2] <= hulls[:, :2]) & (boxes[:, 2:] >= hulls[:, 2:])
    areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    print(f"{len(boxes)} films, each found by a network that never saw it")
    print(f"  no joint is cut in   {100 * inside.all(axis=1).mean():.1f} %")
    print(f"  median area kept     {100 * np.median(areas):.1f} %")
    print(f"  unsure, taken whole  {sum(box is None for box in found)}")


def train(films, joints, steps, seed):
    """Train a network for `steps` steps on films, changed at random, and the hulls of their joints;
    returns its layers as `hand_crop.network` takes them."""
    from hand_crop.fit import fit_network

    def draw():
        for step in count():
            rng = random_stream(seed, HANDS, 0, step)
            rows = rng.integers(0, len(films), BATCH)
            pairs = [change(films[i], joints[i], rng) for i in rows]
            images, hulls = zip(*pairs, strict=True)
            yield np.stack(images)[..., None], np.stack(hulls).astype(np.float32)

    return fit_network(draw, "mae", 4, steps, seed)


def change(film, boxes, rng):
    """Turn, shift, scale and frame a film at random, and its joints with it. Returns what the
    network sees, and the hull of the joints."""
    matrix = random_affine(FILM_SIDE, rng, CHANGES)
    film, box = warp(film, matrix), hull(boxes, matrix)
    if rng.random() < FRAMED:
        film = add_frame(film, box, rng)
    film = cv2.LUT(film, random_grey_table(rng, CHANGES))
    return shrink(film), np.clip(box, 0, 1)


def add_frame(film, box, rng):
    """Paint a frame of one grey around a film, as wide as the joints allow."""
    left, top = (rng.uniform(0, np.clip(box[:2], 0, 0.2)) * FILM_SIDE).astype(int)
    margins = (rng.uniform(0, np.clip(1 - box[2:], 0, 0.2)) * FILM_SIDE).astype(int)
    right, bottom = FILM_SIDE - margins
    framed = np.full_like(film, rng.choice([0, 60, 110, 255]))
    framed[top:bottom, left:right] = film[top:bottom, left:right]
    return framed


def hull(boxes, matrix=None):
    """Return the smallest box around `boxes` `(k, 4)`, all as shares of the film. A 2 x 3 `matrix`
    of pixels moves the boxes first; their sides stay upright."""
    centres, halves = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]) / 2
    if matrix is not None:
        linear, offset = matrix[:, :2], matrix[:, 2]
        centres = (centres * FILM_SIDE @ linear.T + offset) / FILM_SIDE
        halves = halves * np.linalg.norm(linear, axis=0)  # how far each axis is scaled
    return np.concatenate([(centres - halves).min(axis=0), (centres + halves).max(axis=0)])


if __name__ == "__main__":
    run_command(main)
