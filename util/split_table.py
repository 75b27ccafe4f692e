"""The printed table of splits: how many films they have, of which sex and age."""

from util.data_folder import SPLITS
from util.metrics import AGE_BANDS, by_band


def label_facts(films):
    """Return the numbers of boys, girls and films of each age band, and the mean, SD, smallest and
    largest age (months; None without films), of a frame with `sex` and `boneage`."""
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
    """Yield the lines of a table. `splits` maps the name of a split to its `label_facts` and to
    the numbers named in `counts`, which come first."""
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
    """Print how many films a frame has by split, sex and age."""
    parts = {split: films[films["split"] == split] for split in SPLITS}
    rows = {split: {"films": len(part), **label_facts(part)} for split, part in parts.items()}
    print("\n".join(format_splits(rows, "films")))


def next_step(splits, command):
    """Return the last line of a script that built a data folder: the `command` to continue with, or
    a note on splits without films, as a training needs all. `splits` has the split of each film."""
    empty = [split for split in SPLITS if split not in set(splits)]
    if empty:
        return (
            f"note: no films for {' and '.join(empty)}: training needs all of {', '.join(SPLITS)}"
        )
    return f"next: {command}"
