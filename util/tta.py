"""Test-time augmentation: the mean prediction over fixed views of the same film.

    predict = test_time_augmentation(compile_predictor(model), tta_steps=5)

Views are fixed transforms: first the film itself, then its mirror image, then turned and scaled
films, each followed by its mirror image. The winner of the RSNA challenge 2017 averaged over views
too (Halabi et al. 2019).
"""

from typing import NamedTuple

import cv2
import numpy as np

from util.augmentation import warp
from util.errors import UserError


class View(NamedTuple):
    """A mirrored film or not, turned by `rotation` degrees, scaled by `zoom`."""

    flip: bool
    rotation: float
    zoom: float


# only ever add at the end: runs know their views by number alone
POSES = ((0, 1.0), (8, 1.0), (-8, 1.0), (0, 1.08), (0, 0.93))
TTA_STEPS = 5  # views by default
VIEWS = tuple(View(flip, *pose) for pose in POSES for flip in (False, True))


def take_view(images, view):
    """Return films `(N, S, S)` as a view shows them; the identity returns equal pixels."""
    if view.flip:
        images = np.ascontiguousarray(images[:, :, ::-1])
    if (view.rotation, view.zoom) == (0, 1.0):
        return images
    size = images.shape[1]
    middle = ((size - 1) / 2, (size - 1) / 2)
    matrix = cv2.getRotationMatrix2D(middle, view.rotation, view.zoom)
    return np.stack([warp(image, matrix) for image in images])


def test_time_augmentation(predict, tta_steps):
    """Return a predictor like `predict(image, sex) -> months (N,)` that averages over the first
    `tta_steps` views of each film; with 1 it is plain prediction. UserError if there are not so
    many views."""
    if tta_steps not in range(1, len(VIEWS) + 1):
        raise UserError(f"no {tta_steps} views (--tta_steps). There are 1 to {len(VIEWS)}.")

    def predict_views(image, sex):
        views = (take_view(image[..., 0], view)[..., None] for view in VIEWS[:tta_steps])
        return np.mean([predict(view, sex) for view in views], axis=0)

    return predict_views


# -------------------------------------------------------------------------------- their number


def chosen_views(options):
    """Return the number of views of a film that the options (a dict) average over; 1 is plain
    prediction."""
    return options["tta_steps"] if options.get("use_tta") else 1


def views_to_evaluate(options):
    """Return the numbers of views that a training with the options (a dict) evaluates on: 1, the
    film alone, and `chosen_views` if it is another number."""
    return sorted({1, chosen_views(options)})


def views_key(views):
    """The name of a number of views in calibration files."""
    return f"views_{views}"


def views_from_key(key):
    """The number of views that `views_key` names."""
    return int(key.removeprefix("views_"))


def views_suffix(views):
    """Return the ending of names of files and figures: none for 1 view, "_tta" for a mean over
    several."""
    return "" if views == 1 else "_tta"


def views_title(views):
    """Return the ending of titles of figures: none for 1 view, else the number of views."""
    return "" if views == 1 else f", mean of {views} views"


def describe_views(views):
    return "single views" if views == 1 else f"means of {views} views"
