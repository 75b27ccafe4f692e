"""Labels of several readers: their mean for each film, and how far apart the readers are."""

from collections import defaultdict

import numpy as np

from util.errors import UserError
from util.identity import MONTH_DECIMALS
from util.labels import read_months
from util.metrics import mean_interval
from util.metrics_text import format_interval


def months_of_readers(table, columns, path):
    """Return a frame of the months in `columns`, one for each reader, of a table that `read_table`
    read from `path`. UserError when the table lacks a column."""
    missing = [name for name in columns if name not in table]
    if missing:
        raise UserError(
            f"no column {missing[0]} among {', '.join(map(str, table.columns))} ({path}). "
            "Correct --readers."
        )
    return table[list(dict.fromkeys(columns))].apply(read_months)


def mean_of_readers(labels, months):
    """Return labels with one row for each film, whose boneage is the mean of its readers' ages.

    `months` `(n, readers)` are the ages in the rows of `labels`, the frame of `match_films`; NaN
    where a reader gave none. Rows with the same id, film and sex are those of one film, and the
    first of them is kept. The new column `by_reader` lists the ages, in months.
    """
    film = labels.groupby(["id", "path", "sex"], dropna=False, sort=False).ngroup()
    film = film.where(labels["id"] != "", -1 - np.arange(len(labels)))  # each a film of its own
    ages = defaultdict(list)
    for number, given in zip(film, months.to_numpy(), strict=True):
        ages[number] += given[~np.isnan(given)].tolist()
    first = ~film.duplicated()
    by_reader = [ages[number] for number in film[first]]
    means = [round(np.mean(given), MONTH_DECIMALS) if given else np.nan for given in by_reader]
    return labels[first].assign(boneage=means, by_reader=by_reader)


def check_several_readers(films):
    """UserError when no film has ages of two readers."""
    if not have_several(films).any():
        raise UserError(
            f"none of {len(films)} films has ages of two readers (--readers). Leave it out, or name the "
            "columns with their ages."
        )


def have_several(films):
    """Return the mask `(n,)` of the films that have ages of two readers or more."""
    return films["by_reader"].map(len) > 1


def compare_readers(films, predicted=None):
    """Measure how far a reader is from the mean of the other readers of a film, ready for JSON.

    Only films with two readers or more count; without any, returns None. `mae` is the mean over
    films of the mean distance of their readers, in months. With `predicted` months `(n,)`,
    `model_mae` is the distance of the model from the same means, and `difference` is the model's
    minus the readers': the model is judged like one more reader. Intervals are 95 % by bootstrap,
    that of the difference paired.
    """
    several = have_several(films)
    if not several.any():
        return None
    films, ages = films[several], [np.array(given) for given in films["by_reader"][several]]
    others = [(given.sum() - given) / (len(given) - 1) for given in ages]
    readers = [np.abs(given - mean).mean() for given, mean in zip(ages, others, strict=True)]
    counts = [len(given) for given in ages]
    found = {"n": len(films), "fewest": min(counts), "most": max(counts)}
    found |= mean_with_interval("mae", readers, films, least=0)
    if predicted is None:
        return found
    pairs = zip(np.asarray(predicted, float)[several], others, strict=True)
    model = [np.abs(months - mean).mean() for months, mean in pairs]
    found |= mean_with_interval("model_mae", model, films, least=0)
    return found | mean_with_interval("difference", np.subtract(model, readers), films)


def mean_with_interval(name, values, films, least=-np.inf):
    return {name: float(np.mean(values)), f"{name}_ci95": mean_interval(values, films, least)}


def format_readers(found):
    """Format what `compare_readers` returned, in one line or two."""
    fewest, most = found["fewest"], found["most"]
    each = f"{fewest}" if fewest == most else f"{fewest} to {most}"
    lines = [
        f"  readers: {each} for each of {found['n']} films; a reader is "
        f"{found['mae']:.2f} {format_interval(found['mae_ci95'])} months from the mean of the others"
    ]
    if "model_mae" in found:
        lines.append(
            f"  the model is {found['model_mae']:.2f} {format_interval(found['model_mae_ci95'])} from "
            f"the same means, difference {found['difference']:+.2f} "
            f"{format_interval(found['difference_ci95'], sign='+')}"
        )
    return "\n".join(lines)
