"""The table of splits that people read: how many films, of which sex and age."""

from util.data_folder import SPLITS
from util.metrics import AGE_BANDS, by_band


def describe_labels(films):
    """Boys, girls and films of each age band, and the mean, SD, least and largest age (months;
    None without films) of a frame with `sex` and `boneage`."""
    ages = films["boneage"]
    numbers = {
        "mean_age": ages.mean(),
        "sd_age": ages.std(ddof=0),
        "min_age": ages.min(),
        "max_age": ages.max(),
    }
    return {
        "boys": int((films["sex"] == 1).sum()),
        "girls": int((films["sex"] == 0).sum()),
        **{name: int(inside.sum()) for name, inside in by_band(ages).items()},
        **{name: round(float(v), 1) if len(ages) else None for name, v in numbers.items()},
    }


def format_splits(splits, *counts):
    """Lines of a table. `splits` maps the name of a split to its `describe_labels` and to the
    `counts` that stand before them."""
    columns = [*counts, "boys", "girls"]
    titles = "".join(f"{name:>8s}" for name in columns)
    bands = "".join(f"{band:>13s}" for band in AGE_BANDS)
    yield f"{'split':8s}{titles}{bands}   mean age (months)"
    for split in SPLITS:
        if split not in splits:
            yield f"{split:8s}no rows"
            continue
        row = splits[split]
        numbers = "".join(f"{row[name]:8d}" for name in columns)
        ages = "".join(f"{row[band]:13d}" for band in AGE_BANDS)
        mean = "-" if row["mean_age"] is None else f"{row['mean_age']:.1f}"
        yield f"{split:8s}{numbers}{ages}   {mean}"


def print_splits(films):
    """Print how many films a frame has, by its split, by sex and by age."""
    parts = {split: films[films["split"] == split] for split in SPLITS}
    rows = {split: {"films": len(part), **describe_labels(part)} for split, part in parts.items()}
    print("\n".join(format_splits(rows, "films")))


def next_step(splits, command):
    """The last line of a script that built a data folder: the command to go on with, or what keeps
    a folder that has films for `splits` alone from being trained on."""
    empty = [split for split in SPLITS if split not in set(splits)]
    if empty:
        return (
            f"note: no film for {' and '.join(empty)}: a training needs all of {', '.join(SPLITS)}"
        )
    return f"next: {command}"
