"""Labels of several readers: their mean for each film, and how far apart the readers are."""

import re
from collections import defaultdict
from itertools import pairwise

import numpy as np

from util.bootstrap import FEWEST_TO_COMPARE, mean_with_interval
from util.errors import UserError, print_note
from util.files import quote
from util.identity import MONTH_DECIMALS, count_patients
from util.metrics_text import format_interval
from util.tables.ages import LARGEST_YEARS, MONTHS_IN, read_months, read_numbers, unit_of
from util.tables.labels import check_single
from util.tables.left_out import ANOTHER_AGE
from util.tables.text import NoLabels, clean_text, headers_of, plain_header

# plain headers of a second reader's ages
SECOND = re.compile(
    r"boneage(in)?(months|years)?(by)?(reader|rater|observer|r)?([2-9b]|2nd|ii|two|second)"
    r"(reader|rater|observer)?(in)?(months|years)?"
)
NEAR = 12  # months; ages of a reader are mostly nearer to those of another
TIMES_YEARS = 6  # ages of which another reader's are so many times as large are years, not months


def months_of_readers(table, columns, path):
    """Return a frame of the months in `columns`, one for each reader, of a table that `read_table`
    read from `path`; prints how many cells hold no age.

    NoLabels when the table lacks a column; UserError when two have its header, when it holds no
    age, or when its ages look like years and those of another reader don't.
    """
    columns = list(dict.fromkeys(columns))
    for name in columns:
        if name not in table:
            raise NoLabels(
                f"no column {name} among {headers_of(table)} ({path}). Correct --readers."
            )
        check_single(table, name, path)
    months = table[columns].apply(read_months)
    for name in columns:
        check_ages(months[name], table[name], months.median().max(), path)
    return months


def check_ages(months, column, largest_median, path):
    """UserError when the `months` of a reader's column are none, or look like years beside the
    largest median of a reader; prints how many cells hold no age."""
    name = column.name
    if months.isna().all():
        raise UserError(f"no ages in the column {name} ({path}). Correct it, or --readers.")
    if months.max() <= LARGEST_YEARS and largest_median > TIMES_YEARS * months.median():
        raise UserError(
            f"the ages of {name} look like years, those of another reader don't ({path}). Name the "
            f"column {name}_years, in --readers too."
        )
    unread = column[months.isna() & (clean_text(column) != "")]
    if len(unread):
        first = unread.iloc[0]
        print_note(f"cells of {name} that hold no age: {len(unread)}, such as {first} ({path})")


def note_second_reader(table, column, path):
    """Print if another column of a table, read from `path` without --readers, may hold a second
    reader's ages beside the `column` of bone ages: its header says so, or it has none, comes after
    that column and holds ages near to those."""
    first = read_months(table[column])
    for before, other in pairwise(table):
        told = SECOND.fullmatch(plain_header(other))
        nameless = before == column and re.fullmatch(r"unnamed\d+", plain_header(other))
        if other == column or not (told or nameless):
            continue
        apart = (first - read_numbers(table[other]) * MONTHS_IN[unit_of(column)]).abs().dropna()
        near = len(apart) >= first.count() / 2 and apart.median() <= NEAR
        if (told or near) and apart.max() > 0:
            print_note(
                f"column {other} is not used: if it holds the ages of a second reader, --readers "
                f"{quote(column)} {quote(other)} takes the mean ({path})"
            )


def mean_of_readers(labels, months):
    """Return labels with one row for each film, whose boneage is the mean of its readers' ages.

    `months` `(n, readers)` are the ages in the rows of `labels`, the frame of `match_films`; NaN
    where a reader gave none. Rows with the same id, film and sex are those of one film, and the
    first of them is kept; a sex or patient may be told in one of them alone. Where they tell two
    sexes, there is a row for each, so that `split_usable` leaves the film out. The new column
    `by_reader` lists the ages, in months.
    """
    own = np.where(labels["id"] == "", np.arange(len(labels)), -1)  # without id: a film of its own
    rows = labels.groupby(["id", "path", own])
    told = rows["sex"].transform("first").where(rows["sex"].transform("nunique") == 1)
    patient = labels["patient"].mask(labels["patient"] == "", rows["patient"].transform("max"))
    labels = labels.assign(sex=labels["sex"].fillna(told), patient=patient)
    film = labels.groupby(["id", "path", "sex", own], dropna=False, sort=False).ngroup()
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

    Only films with two readers or more count: `n`, with nothing else if it is 0. `mae` is the mean
    over films of the mean distance of their readers, in months. With `predicted` months `(n,)`,
    `model_mae` is the distance of the model from the same means, and `difference` is the model's
    minus the readers': the model is judged like one more reader. Intervals are 95 % by bootstrap,
    that of the difference paired.
    """
    several = have_several(films)
    if not several.any():
        return {"n": 0}
    films, ages = films[several], [np.array(given) for given in films["by_reader"][several]]
    others = [(given.sum() - given) / (len(given) - 1) for given in ages]
    readers = [np.abs(given - mean).mean() for given, mean in zip(ages, others, strict=True)]
    counts = [len(given) for given in ages]
    found = {"n": len(films), "children": count_patients(films)}
    found |= {"fewest": min(counts), "most": max(counts)}
    found |= mean_with_interval("mae", readers, films, least=0)
    if predicted is None:
        return found
    pairs = zip(np.asarray(predicted, float)[several], others, strict=True)
    model = [np.abs(months - mean).mean() for months, mean in pairs]
    found |= mean_with_interval("model_mae", model, films, least=0)
    return found | mean_with_interval("difference", np.subtract(model, readers), films)


def several_ages_notes(left_out, readers):
    """Return a note, a list, if a film has several ages in a table that was read without --readers;
    else []."""
    if readers is None and (left_out["reason"] == ANOTHER_AGE).any():
        return ["films with several ages: the first counts; --readers takes their mean"]
    return []


def agreement_of(films, readers, predicted=None):
    """Return what to record of --readers: {"reader_agreement": its columns, and what
    `compare_readers` returns}; {} without the option."""
    if readers is None:
        return {}
    return {"reader_agreement": {"columns": readers} | compare_readers(films, predicted)}


def format_readers(found):
    """Format what `compare_readers` returned, in one line or two."""
    if not found["n"]:
        return "  readers: no film here has ages of two"
    fewest, most, n = (found[name] for name in ("fewest", "most", "n"))
    each = f"{fewest}" if fewest == most else f"{fewest} to {most}"
    films = f"each of {n} films" if n > 1 else "one film"
    lines = [
        f"  readers: {each} for {films}; a reader is {format_mean(found, 'mae')} months from the mean "
        "of the others"
    ]
    if "model_mae" in found:
        lines.append(
            f"  the model is {format_mean(found, 'model_mae')} from the same means, difference "
            f"{format_mean(found, 'difference', '+')}"
        )
    if found["children"] < FEWEST_TO_COMPARE:
        lines[-1] += "; these are too few children to compare"
    return "\n".join(lines)


def format_mean(found, name, sign=""):
    interval = found[f"{name}_ci95"]  # None for one child
    return f"{found[name]:{sign}.2f}" + (f" {format_interval(interval, sign)}" if interval else "")
