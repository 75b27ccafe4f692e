"""Charts of a run, saved as PNG: its history, its errors in months (also as PDF); and what all
pictures share."""

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import LogLocator, MaxNLocator, MultipleLocator, NullLocator, ScalarFormatter

from util.agreement import agreement
from util.bootstrap import mean_interval
from util.files import as_unicode, write_atomically
from util.metrics import AGE_BANDS, band_of
from util.metrics_text import format_interval
from util.runs import best_row

# Okabe & Ito's palette: colour-blind readers can tell its colours apart.
BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#555555"
SEX_COLOURS = {"boys": (1, BLUE), "girls": (0, ORANGE)}
MARKERS = {"boys": "o", "girls": "^"}  # so that sexes differ in black and white as well
TITLE_LETTERS, NAME_LETTERS = 60, 50  # most in a title, and in a name within a file name
FEW_FILMS = 10  # with fewer, an interval may be so long that the others can't be seen
MOST_TICKS = 13  # on an axis of ages
PRINT_DPI = 200  # dots per inch
MINUS = "\N{MINUS SIGN}"  # as at the ticks of axes
STYLE = {
    "figure.dpi": 120,
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "legend.frameon": False,
    "pdf.fonttype": 42,  # TrueType: many journals refuse fonts of Type 3
}


def subplots(*grid, figsize, **options):
    """`plt.subplots` without pyplot, which looks for a display."""
    figure = Figure(figsize, layout="constrained")
    return figure, figure.subplots(*grid, **options)


def save(figure, path, for_print=False):
    """Save a figure as PNG and, `for_print`, with finer pixels and also as PDF beside it. Returns
    the path of the PNG."""
    of_axes = {text for axis in figure.findobj(Axis) for text in axis.findobj(Text)}
    for text in set(figure.findobj(Text)) - of_axes:
        text.set_parse_math(False)  # two $ in the name of a film or folder aren't a formula
        text.set_text(as_unicode(text.get_text()))
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    options = {"dpi": PRINT_DPI if for_print else "figure", "bbox_inches": "tight"}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # a box replaces the letter
        for of_kind in [path, path.with_suffix(".pdf")] if for_print else [path]:
            write_atomically(of_kind, lambda file: figure.savefig(file, **options))
    return path


@rc_context(STYLE)
def plot_history(history, path):
    """Plot MAE in months by epoch, and the learning rate at the end of each epoch, for all phases;
    the kept epoch is marked."""
    figure, (top, bottom) = subplots(2, 1, figsize=(7, 5.5), sharex=True, height_ratios=[3, 1])
    epochs = history["epoch"]
    top.plot(epochs, history["train_mae"], "o-", color=GREY, ms=3, label="training (augmented)")
    top.plot(epochs, history["val_mae"], "o-", color=BLUE, ms=3, label="validation")
    kept = history.loc[best_row(history)]
    style = {"color": ORANGE, "ms": 13, "zorder": 3, "ls": "", "label": "kept"}
    top.plot(kept["epoch"], kept["val_mae"], "*", **style)
    top.annotate(
        f"{kept['val_mae']:.2f}",
        (kept["epoch"], kept["val_mae"]),
        textcoords="offset points",
        xytext=(0, -9),
        ha="center",
        va="top",
        color=ORANGE,
    )
    top.margins(y=0.15)
    top.set(ylabel="MAE (months)", title="Training history")
    if history[["train_mae", "val_mae"]].to_numpy().min() > 0:
        top.set(ylabel="MAE (months, log scale)", yscale="log")
        top.yaxis.set_major_locator(LogLocator(subs=(1, 1.5, 2, 3, 5, 7)))
        top.yaxis.set_minor_locator(NullLocator())
    top.yaxis.set_major_formatter(ScalarFormatter())
    top.legend()
    bottom.plot(epochs, history["lr"], "o-", color=GREY, ms=3)
    bottom.set(ylabel="learning rate\nat end of epoch", xlabel="epoch")
    bottom.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    for epoch in history.drop_duplicates("phase")["epoch"][1:]:
        for axis in (top, bottom):
            axis.axvline(epoch - 0.5, color=GREY, ls="--", lw=1)
        bottom.annotate(
            "fine-tuning",
            (epoch - 0.5, 1),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            xytext=(0, 3),
            fontsize=9,
            color=GREY,
        )
    return save(figure, path)


@rc_context(STYLE)
def plot_lr_range(table, falling, path):
    """Plot loss against learning rate in a range test, and mark `falling`, the range (low, high) in
    which the loss falls, if any."""
    figure, axis = subplots(figsize=(7, 4))
    axis.plot(table["lr"], table["loss"], ".", color=GREY, ms=3, alpha=0.6, label="each step")
    axis.plot(table["lr"], table["smoothed"], color=BLUE, label="smoothed")
    if falling:
        label = "{:.1e} to {:.1e}".format(*falling)
        axis.axvspan(*falling, color=ORANGE, alpha=0.15, lw=0, label=label)
    top = 1.3 * max(table["smoothed"][: (len(table) + 1) // 2], default=1)
    axis.set(
        xlabel="learning rate",
        ylabel="training loss",
        xscale="log",
        ylim=(0, top),
        title="Range test of the learning rate",
    )
    axis.legend()
    return save(figure, path)


@rc_context(STYLE)
def plot_predicted_vs_true(predictions, path, title):
    """Plot predicted bone age against the label, by sex, with the line of agreement and a band of
    +-12 months."""
    error = predictions["error"].abs()
    interval = format_interval(mean_interval(error, predictions, least=0))
    figure, axis = subplots(figsize=(5.6, 5.6))
    ages = predictions[["boneage", "predicted"]].to_numpy()
    low, high = min(0, ages.min()), max(12, ages.max())
    margin = 0.03 * (high - low)  # no film is cut in half
    ends = np.array([low - margin, high + margin])
    axis.fill_between(ends, ends - 12, ends + 12, color=GREY, alpha=0.12, lw=0, label="±12 months")
    axis.plot(ends, ends, color=GREY, lw=1)
    scatter_by_sex(axis, predictions, predictions["boneage"], predictions["predicted"])
    axis.set(
        xlabel="bone age as labelled (months)",
        ylabel="predicted bone age (months)",
        title=f"{title}\nn = {len(error)}, MAE {error.mean():.2f} months, 95 % {interval}",
        aspect="equal",
    )
    axis.set(xlim=ends, ylim=ends)
    for of_axis in (axis.xaxis, axis.yaxis):
        of_axis.set_major_locator(ticks_of_ages(low, high))
    axis.legend(loc="upper left")
    return save(figure, path, for_print=True)


def ticks_of_ages(low, high):
    """Return ticks for an axis of months, where years or halves of a year begin."""
    months = 6
    while high - low > MOST_TICKS * months:
        months *= 2
    return MultipleLocator(months)


@rc_context(STYLE)
def plot_bland_altman(predictions, path, title):
    """Plot the difference of prediction and label against their mean, with the bias and, for three
    films or more, the 95 % limits of agreement (Bland & Altman 1986); grey bands are their 95 %
    intervals."""
    error = predictions["error"]
    figure, axis = subplots(figsize=(7, 4.6))
    middle = (predictions["predicted"] + predictions["boneage"]) / 2
    scatter_by_sex(axis, predictions, middle, error)
    lines, agreed = {"bias": error.mean()}, agreement(predictions)
    if limits := agreed["limits_of_agreement"]:
        lines |= dict(zip((f"{MINUS}1.96 SD", "+1.96 SD"), limits, strict=True))
    limits_ci95 = agreed["limits_of_agreement_ci95"] or []
    intervals = [mean_interval(error, predictions), *limits_ci95]
    known = " with 95 % intervals" if len(intervals) > 1 else ""
    for low, high in filter(None, intervals):
        axis.axhspan(low, high, color=GREY, alpha=0.15, lw=0)
    for name, level in lines.items():
        axis.axhline(level, color=GREY, lw=1, ls="-" if name == "bias" else "--")
        axis.annotate(
            f"{name}\n{level:+.1f}".replace("-", MINUS),
            (1.01, level),
            xycoords=("axes fraction", "data"),
            va="center",
            fontsize=9,
            color=GREY,
        )
    axis.set(
        xlabel="mean of predicted bone age and label (months)",
        ylabel=f"predicted {MINUS} label (months)",
        title=f"{title}\nagreement{known}, n = {len(error)}",
    )
    low, high = middle.min() - 6, middle.max() + 6  # of a single film, too, this holds ticks
    axis.set_xlim(low, high)
    axis.xaxis.set_major_locator(ticks_of_ages(low, high))
    figure.legend(ncols=2, loc="outside lower center")  # off the films
    return save(figure, path, for_print=True)


@rc_context(STYLE)
def plot_error_by_group(predictions, path, title):
    """Plot MAE with its 95 % interval, grey if of few films, by age band and sex, with the number
    of films below."""
    figure, axis = subplots(figsize=(7, 4.4))
    groups = errors_by_group(predictions)
    for shift, (name, (sex, colour)) in zip((-0.17, 0.17), SEX_COLOURS.items(), strict=True):
        of_sex = groups[groups["sex"] == sex]
        if of_sex.empty:
            continue
        places, mean = of_sex["band"] + shift, of_sex["mean"]
        reach = np.maximum(0, [mean - of_sex["low"], of_sex["high"] - mean])
        axis.bar(places, mean, 0.3, color=colour, alpha=0.75, label=name)
        few = (of_sex["n"] < FEW_FILMS).to_numpy()
        for rows, shade, width in ((few, "0.45", 0.8), (~few, "black", 1.2)):
            style = {"fmt": "none", "ecolor": shade, "elinewidth": width, "capsize": 3}
            axis.errorbar(places[rows], mean[rows], reach[:, rows], **style)
        for place, n in zip(places, of_sex["n"], strict=True):  # below the axis, off the intervals
            at = {"xy": (place, -0.02), "xycoords": axis.get_xaxis_transform()}
            axis.annotate(f"n={n}", **at, ha="center", va="top", fontsize=8)
    overall = predictions["error"].abs().mean()
    axis.axhline(overall, color=GREY, ls="--", lw=1, label=f"all films {overall:.2f}")
    axis.set_xticks(range(len(AGE_BANDS)), AGE_BANDS)
    axis.tick_params("x", length=0, pad=18)
    top = top_of_errors(groups)
    if groups.loc[groups["n"] < FEW_FILMS, "high"].notna().any():
        cut = ", some cut off" if (groups["high"] > top).any() else ""
        axis.set_xlabel(f"grey: intervals of fewer than {FEW_FILMS} films{cut}", fontsize=9)
    axis.set(ylabel="MAE (months)", title=f"{title}\nerror by age and sex, 95 % intervals")
    axis.set(xlim=(-0.6, len(AGE_BANDS) - 0.4), ylim=(0, top))
    figure.legend(ncols=3, loc="outside lower center")
    return save(figure, path, for_print=True)


def errors_by_group(predictions):
    """Return n and MAE with its 95 % interval (NaN for one child) by sex and age band, a frame."""
    rows = []
    for (sex, band), films in predictions.groupby(["sex", band_of(predictions["boneage"])]):
        error = films["error"].abs()
        low, high = mean_interval(error, films, least=0) or (np.nan, np.nan)
        rows.append((sex, band, len(films), error.mean(), low, high))
    return pd.DataFrame(rows, columns=["sex", "band", "n", "mean", "low", "high"])


def top_of_errors(groups):
    """Return where the axis for `errors_by_group` ends: above all bars and intervals, except that
    intervals of fewer than FEW_FILMS films add at most half to what the others need."""
    needed = groups["high"].where(groups["n"] >= FEW_FILMS).fillna(groups["mean"]).max()
    return 1.05 * min(1.5 * needed, groups[["mean", "high"]].max().max()) or 1.0


def plot_errors(folder, predictions, name, title):
    """Plot a split's errors in months, as PNG and as PDF; returns the paths of the PNGs, which end
    in `name`. A long name or title is cut."""
    kinds = {
        "predicted_vs_true": plot_predicted_vs_true,
        "bland_altman": plot_bland_altman,
        "error_by_group": plot_error_by_group,
    }
    return [
        plot(predictions, path_of(folder, kind, name), cut_title(title))
        for kind, plot in kinds.items()
    ]


def path_of(folder, kind, name):
    """Return the file of a picture of some films; their `name` is cut if it is long."""
    return folder / f"{kind}_{name[:NAME_LETTERS]}.png"


def cut_title(title):
    return title if len(title) <= TITLE_LETTERS else f"{title[: TITLE_LETTERS - 1]}…"


@rc_context(STYLE)
def plot_sweep(table, path, title):
    """Plot a row for each backbone, in the order of the table: its error on the test films with the
    interval, the films it predicts per second, and its parameters."""
    rows, names = range(len(table)), table["backbone"]
    figure, axes = subplots(1, 3, figsize=(11, 1.6 + 0.3 * len(table)), sharey=True)
    bounds = abs(table[["ci95_low", "ci95_high"]].T - table["test_mae"])
    axes[0].errorbar(table["test_mae"], rows, xerr=bounds, fmt="o", color=BLUE, ecolor=GREY)
    axes[0].set(xlabel="MAE on test films (months)", yticks=rows, yticklabels=names)
    axes[0].set_ylim(len(table) - 0.5, -0.5)  # the first row on top
    for axis, values, label in (
        (axes[1], table["films_per_second"], "films/s (prediction)"),
        (axes[2], table["parameters"] / 1e6, "parameters (millions)"),
    ):
        axis.bar_label(axis.barh(rows, values, height=0.6, color=BLUE), fmt="{:.1f}", padding=3)
        axis.set(xlabel=label)
        axis.margins(x=0.2)
    figure.suptitle(f"{title}: backbones, n = {table['n'].iloc[0]:.0f}, 95 % intervals")
    return save(figure, path)


def scatter_by_sex(axis, predictions, x, y):
    size = 14 if len(predictions) < 1500 else 6
    for name, (sex, colour) in SEX_COLOURS.items():
        rows = predictions["sex"] == sex
        if rows.any():
            style = {"s": size, "color": colour, "marker": MARKERS[name], "label": name}
            axis.scatter(x[rows], y[rows], alpha=0.55, lw=0, **style)


def show_plots(paths):
    """Open saved pictures in windows; without a display, say where they are instead."""
    import matplotlib.pyplot as plt

    if plt.get_backend().lower() == "agg":  # what pyplot chooses without a display
        print(f"no display to show the plots on; they are saved in {Path(paths[0]).parent}")
        return
    for path in paths:
        figure, axis = plt.subplots(num=Path(path).name, layout="constrained")
        axis.imshow(plt.imread(path))
        axis.axis("off")
    plt.show()
