"""The picture of a benchmark: speed of a single film, best throughput, memory, and batch sizes."""

import math

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from util.plots import BLUE, GREY, ORANGE, STYLE, save

OKABE_ITO = (ORANGE, BLUE, "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442")
COLOURS = (*OKABE_ITO, "#000000", "#8C564B", "#7F7F7F", "#332288")  # as many as ROUTES
COLUMNS = 5  # small panels in a row, or routes in a line of the legend


@rc_context(STYLE)
def plot_speed(timed, comparison, path, title):
    """Draw the frames of `comparison.read_benchmark` and `compare_backbones`; returns the path."""
    names = list(comparison["backbone"])
    colours = {route: COLOURS[i % len(COLOURS)] for i, route in enumerate(timed["route"].unique())}
    several = timed["batch_size"].nunique() > 1
    columns = min(COLUMNS, len(names))
    rows = math.ceil(len(names) / columns) if several else 0
    heights = [1.3 + 0.21 * max(2, len(colours)) * len(names), 0.5 + 1.7 * rows]
    figure = Figure((11, sum(heights[: 1 + several])), layout="constrained")
    parts = figure.subfigures(1 + several, 1, height_ratios=heights[: 1 + several])
    top, *below = np.atleast_1d(parts)
    draw_bars(top, timed, comparison, colours)
    if several:
        draw_batch_sizes(below[0], timed, names, colours, (rows, columns))
    figure.suptitle(f"{title}: medians")
    return save(figure, path)


def draw_bars(figure, timed, comparison, colours):
    """Draw three panels side by side, one line per backbone: ms at batch 1, images/s, memory."""
    left, middle, right = figure.subplots(1, 3, sharey=True, width_ratios=[3, 3, 2])
    names = list(comparison["backbone"])
    single = timed[timed["batch_size"] == 1]
    best = timed.loc[timed.groupby(["backbone", "route"])["rate"].idxmax()]
    height = 0.8 / len(colours)
    for i, (route, colour) in enumerate(colours.items()):
        shift = (i - (len(colours) - 1) / 2) * height
        bar = {"height": height, "color": colour, "alpha": 0.8}
        for axis, cases, column in ((left, single, "ms"), (middle, best, "rate")):
            cases = cases[cases["route"] == route].drop_duplicates("backbone")
            places = [names.index(name) + shift for name in cases["backbone"]]
            ends = cases[column].to_numpy()
            axis.barh(places, ends, **bar, label=route)
            if column == "ms" and cases["ms_p95"].notna().all():
                ends = cases["ms_p95"].to_numpy()
                axis.hlines(places, cases["ms"], ends, color="black", lw=1)
            write_values(axis, places, ends, cases[column])
    memory = comparison["peak_memory_mb"]
    right.barh(range(len(names)), memory.fillna(0), height=0.5, color=GREY, alpha=0.6)
    known = memory.dropna()
    write_values(right, known.index, known, known)
    left.set(xlabel="ms an image at batch 1 (line: to p95)")
    left.set_yticks(range(len(names)), names, parse_math=False)
    left.invert_yaxis()
    middle.set(xlabel="images/s at the best batch size")
    right.set(xlabel="peak memory of the\nbest route (MB)", visible=len(known) > 0)
    for axis in (left, middle, right):
        axis.margins(x=0.18, y=0.02)
        axis.grid(visible=False, axis="y")
    figure.legend(
        *middle.get_legend_handles_labels(),
        loc="outside upper center",
        ncols=min(COLUMNS, len(colours)),
    )


def write_values(axis, places, ends, values):
    for place, end, value in zip(places, ends, values, strict=True):
        text = f"{value:.1f}" if value < 100 else f"{value:.0f}"
        axis.annotate(
            text, (end, place), textcoords="offset points", xytext=(3, 0), va="center", fontsize=8
        )


def draw_batch_sizes(figure, timed, names, colours, grid):
    """Draw a small panel for each backbone: images/s against batch size."""
    axes = figure.subplots(*grid, squeeze=False, sharex=True)
    sizes = sorted(timed["batch_size"].unique())
    for axis in axes.flat[len(names) :]:
        axis.axis("off")
    for axis, name in zip(axes.flat, names, strict=False):
        for route, colour in colours.items():
            cases = timed[(timed["backbone"] == name) & (timed["route"] == route)]
            cases = cases.sort_values("batch_size")
            axis.plot(cases["batch_size"], cases["rate"], "o-", color=colour, ms=3)
        axis.set(xscale="log", ylim=(0, None))
        axis.set_title(name, fontsize=9)
        axis.xaxis.set_major_locator(FixedLocator(sizes))
        axis.xaxis.set_minor_locator(NullLocator())
        axis.set_xticklabels(sizes)
        axis.tick_params(labelbottom=True, labelsize=8)
    figure.supxlabel("batch size", fontsize=10)
    figure.supylabel("images/s", fontsize=10)
