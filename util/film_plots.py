"""Pictures that show films, saved as PNG."""

import math

import cv2
import numpy as np
from matplotlib import rc_context

from util.plots import STYLE, save, subplots

SHEET_SIDE = 192  # pixels of a film in a contact sheet, at most


@rc_context(STYLE | {"axes.grid": False})
def plot_contact_sheet(images, labels, path, title, columns=8):
    """Plot films, uint8 `(N, S, S)`, side by side, each under its label. They are joined into one
    picture first, as a panel for each film would take matplotlib seconds."""
    columns = min(columns, len(images))  # the title may be wider than the films
    rows, side = math.ceil(len(images) / columns), min(SHEET_SIDE, len(images[0]))
    head = side * max(label.count("\n") + 1 for label in labels) // 6  # for each label
    down, right = side + head, side + side // 16
    sheet = np.full((rows * down, columns * right), 255, np.uint8)
    height = 1.55 * down / right * rows + 0.25 * (1 + title.count("\n"))
    figure, axis = subplots(figsize=(1.55 * columns, height))
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        top, left = number // columns * down + head, number % columns * right
        small = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
        sheet[top : top + side, left : left + side] = small
        middle = left + side / 2, top - side / 24
        axis.annotate(label, middle, fontsize=8, ha="center", va="bottom")
    axis.imshow(sheet, cmap="gray", vmin=0, vmax=255)
    axis.axis("off")
    axis.set_title(title)
    return save(figure, path)


def end_of(text, letters):
    """Return a text, or only its end if it has more letters, as an id that is a UID."""
    return text if len(text) <= letters else f"…{text[1 - letters :]}"


@rc_context(STYLE | {"axes.grid": False})
def plot_attention(images, maps, labels, path):
    """Plot films, uint8 `(N, S, S)`, and below each the same film, overlaid with the weights
    `(N, h, w)` of an attention model, each drawn as a block: the brighter, the more weight."""
    size = images.shape[1:]
    figure, axes = subplots(2, len(images), figsize=(2 * len(images), 4.4), squeeze=False)
    for (above, below), image, weights, label in zip(axes.T, images, maps, labels, strict=True):
        above.imshow(image, cmap="gray", vmin=0, vmax=255)
        above.set_title(label, fontsize=9)
        below.imshow(image, cmap="gray", vmin=0, vmax=255)
        blocks = cv2.resize(weights, size[::-1], interpolation=cv2.INTER_NEAREST)
        below.imshow(blocks, cmap="inferno", alpha=0.6, vmin=0)
        above.axis("off")
        below.axis("off")
    figure.suptitle("attention: brighter means more weight; each film has its own scale")
    return save(figure, path)


@rc_context(STYLE | {"axes.grid": False})
def plot_occlusion(image, change, path, title):
    """Plot a film, uint8 `(S, S)`, and beside it the same film, overlaid with `change` `(S, S)`: by
    how many months the prediction changes when the surroundings of each pixel are hidden. It is
    blue where the prediction falls, red where it rises, plain where it stays the same."""
    most = max(1.0, np.abs(change).max())
    figure, (left, right) = subplots(1, 2, figsize=(8, 4.2))
    for axis in (left, right):
        axis.imshow(image, cmap="gray", vmin=0, vmax=255)
        axis.axis("off")
    alpha = 0.8 * np.abs(change) / most
    shown = right.imshow(change, cmap="RdBu_r", vmin=-most, vmax=most, alpha=alpha)
    figure.colorbar(
        shown, ax=right, shrink=0.85, label="change in months when hidden (own scale per film)"
    )
    figure.suptitle(title)
    figure.supxlabel(
        "blue: hiding this part makes the hand look younger; red: older", fontsize="medium"
    )
    return save(figure, path)
