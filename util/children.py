"""The children on films: the sex and the age that options or a table tell of each."""

from collections import defaultdict
from pathlib import Path

import numpy as np

from util.errors import UserError
from util.film_files import SEVERAL, find_films
from util.tables import read_labels


def add_children(films, args, needs_sex):
    """Add `sex` (1 = male) and `age_months` of the child to the films of `list_named`, NaN where
    unknown, and `problem`, why there is no sex; UserError when a model needs the sex and the
    options tell of none."""
    if args.csv:
        # not resolved: a link has the name that the table knows
        paths = [Path(path).absolute() for path in films["path"]]
        children = look_up_children(paths, args.csv, args.male_value)
        sex, age, problem = zip(*children, strict=True)
        return films.assign(sex=sex, age_months=age, problem=problem)
    if needs_sex and not args.sex:
        raise UserError(
            f"this model needs the sex ({' '.join(args.model)}). Add --sex F or M, or --csv FILE."
        )
    sex = float(args.sex == "M") if args.sex else np.nan
    age = np.nan if args.age_months is None else args.age_months
    return films.assign(sex=sex, age_months=age, problem="")


def look_up_children(paths, csv, male_value):
    """What a table says of the child on each film: a list of sex (1 = male, NaN unknown), age
    (months, NaN unknown), and why there is no sex."""
    labels = read_labels(csv, male_value=male_value, need=("sex",))
    rows_of, unclear = defaultdict(list), set()
    for row, films in zip(labels.index, find_films(labels, sorted(set(paths))), strict=True):
        if len(films) == 1:
            rows_of[films[0]].append(row)
        else:
            unclear.update(films)
    return [child_of(labels.loc[rows_of[path]], path in unclear, csv) for path in paths]


def child_of(rows, unclear, csv):
    """What the rows of a film tell, as `look_up_children`; where there are none, `unclear` says
    that a row may mean others of its name as well."""
    if rows.empty:
        why = (
            f"{SEVERAL}, which {csv} does not tell apart" if unclear else f"no row for it in {csv}"
        )
        return np.nan, np.nan, why
    sexes, ages = (set(rows[name].dropna()) for name in ("sex", "age"))
    age = ages.pop() if len(ages) == 1 else np.nan
    if len(sexes) == 1:
        return sexes.pop(), age, ""
    return np.nan, age, f"{'two sexes' if sexes else 'no usable sex'} in {csv}"
