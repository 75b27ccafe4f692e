"""The pictures of the quality report: ages, films to look at, same pictures, and films beside their
CLAHE copies."""

import math

import numpy as np
from matplotlib import rc_context

from clahe.enhance import apply_clahe
from util.film_plots import end_of, plot_contact_sheet
from util.plots import BLUE, GREY, SEX_COLOURS, STYLE, save, subplots
from util.quality.flags import LOOK, format_age
from util.radiographs import prepare, read_image, read_radiograph, to_canvas

SAMPLES = 4  # films shown of each split
SHOWN_GROUPS = 6  # groups of the same picture that are shown
SHOWN_FLAGGED = 6  # films shown of each check of severity LOOK
CLAHE_IS_FOR = (
    "CLAHE copies are for evaluations with --use_clahe_val_test; training uses the originals"
)
LONGEST_NAME, SHORT_NAME = 22, 9  # letters of the name above a film


def draw_pictures(audit, folder, seed):
    """Draw everything into a folder; returns {title: path}."""
    pictures = {}
    if len(audit.usable):
        pictures["Age and sex in each split"] = plot_ages(audit.usable, folder / "ages.png")
    if len(odd := films_to_look_at(audit)):
        pictures["Films to look at"] = plot_odd(odd, folder / "to_look_at.png")
    if len(audit.same):
        pictures["The same picture more than once"] = plot_same(audit.same, folder / "same.png")
    for split, part in audit.usable.groupby("split", sort=False):
        films = part.sample(min(SAMPLES, len(part)), random_state=seed).sort_values("boneage")
        title = f"Films of {split}: original, CLAHE and how often each grey level occurs"
        pictures[title] = plot_samples(films, folder / f"samples_{split}.png")
    return pictures


@rc_context(STYLE)
def plot_ages(usable, path):
    """Plot how many boys and girls of each age there are, one panel for each split."""
    splits = list(usable["split"].unique())
    bins = np.arange(0, usable["boneage"].max() + 13, 12)
    figure, axes = subplots(ncols=len(splits), figsize=(4 * len(splits), 3.2), squeeze=False)
    for axis, split in zip(axes.flat, splits, strict=True):
        part = usable[usable["split"] == split]
        for shift, (name, (sex, colour)) in zip((3.5, 8.5), SEX_COLOURS.items(), strict=True):
            ages = part.loc[part["sex"] == sex, "boneage"]
            counts = np.histogram(ages, bins)[0]
            axis.bar(bins[:-1] + shift, counts, 5, color=colour, label=f"{len(ages)} {name}")
        axis.set(xlabel="bone age (months)", ylabel="films", title=f"{split}, n = {len(part)}")
        axis.set_xticks(np.arange(0, bins[-1] + 1, 48))
        axis.yaxis.get_major_locator().set_params(integer=True)
        axis.legend(loc="upper left", fontsize=8)
        axis.margins(y=0.25)
    return save(figure, path)


def films_to_look_at(audit):
    """Return the flags of the first films of each check of severity LOOK, with path and boneage.
    Same pictures are left out: `plot_same` shows them in pairs."""
    flags = audit.flags[audit.flags["severity"] == LOOK]
    flags = flags[~flags["check"].str.startswith("same picture")]
    readable = audit.films.loc[audit.films["reason"] == "", ["split", "row", "path", "boneage"]]
    shown = flags.merge(readable, on=["split", "row"])
    return shown.groupby("check", sort=False).head(SHOWN_FLAGGED)


def plot_odd(films, path):
    """Show films as they are, each below what was flagged."""
    images = [to_canvas(read_radiograph(film), 256, "pad") for film in films["path"]]
    labels = [
        f"{film.check}\n{end_of(f'{film.split} {film.id}', LONGEST_NAME)}\n{format_age(film.boneage)}"
        for film in films.itertuples()
    ]
    title = f"Films to look at: the first {SHOWN_FLAGGED} of each kind"
    return plot_contact_sheet(images, labels, path, title, columns=SHOWN_FLAGGED)


def plot_same(same, path):
    """Show the first two films of each of the first groups, side by side."""
    shown = same[same["group"] <= SHOWN_GROUPS].groupby("group").head(2)
    images = [to_canvas(read_radiograph(film), 256, "pad") for film in shown["path"]]
    labels = [
        f"group {row.group}: {row.split} {end_of(row.id, SHORT_NAME)}\n{format_age(row.boneage)}"
        for row in shown.itertuples()
    ]
    return plot_contact_sheet(
        images, labels, path, "Pictures that look the same, in pairs", columns=4
    )


@rc_context(STYLE)
def plot_samples(films, path):
    """Show films with stretched contrast, original beside CLAHE, and the histograms of their
    pixels; below, what CLAHE copies are for."""
    high = math.ceil(len(films) / 2)
    figure, axes = subplots(
        high, 4, figsize=(15, 2.9 * high), width_ratios=[2, 1, 2, 1], squeeze=False
    )
    for axis in axes.flat:
        axis.axis("off")
    for (left, right), film in zip(axes.reshape(-1, 2), films.itertuples(), strict=False):
        image = read_image(film.path)
        original, enhanced = prepare(image, film.path), prepare(apply_clahe(image), film.path)
        both = np.hstack([to_canvas(shown, 256, "pad") for shown in (original, enhanced)])
        left.imshow(both, cmap="gray", vmin=0, vmax=255)
        sex = "boy" if film.sex == 1 else "girl"
        name = end_of(film.id, LONGEST_NAME)
        left.set_title(f"{name}, {format_age(film.boneage)}, {sex}: original, CLAHE")
        plot_levels(right, original, enhanced)
    figure.supxlabel(CLAHE_IS_FOR)
    return save(figure, path)


def plot_levels(axis, original, enhanced):
    """Draw histograms of grey levels; on a log scale, because the background dwarfs the hand."""
    edges = np.arange(0, 257, 4)
    axis.axis("on")
    counts, after = (np.histogram(image, edges)[0] + 1 for image in (original, enhanced))
    axis.stairs(counts, edges, fill=True, color=GREY, alpha=0.4, label="original")
    axis.stairs(after, edges, color=BLUE, lw=1.2, label="CLAHE")
    axis.set(yscale="log", xlabel="grey level", ylabel="pixels", xticks=[0, 64, 128, 192, 255])
    axis.minorticks_off()  # ten for each decade take longer to lay out than all the rest
    above = {"loc": "lower center", "bbox_to_anchor": (0.5, 1)}
    axis.legend(fontsize=8, ncols=2, **above)
