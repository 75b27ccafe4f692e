"""The sex of each row of a table: 1 = male, 0 = female, NaN = unknown."""

import numpy as np
import pandas as pd

from util.errors import UserError
from util.tables import plain_header

WORDS = dict.fromkeys(("m", "male", "boy", "boys"), 1.0)  # of sexes
WORDS |= dict.fromkeys(("f", "female", "girl", "girls"), 0.0)
# words for a sex that is not told, without what stands between letters
UNKNOWN = {"u", "unk", "unknown", "notknown", "unspecified", "o", "other", "x", "na", "nan", "none"}
FEW_ODD, MANY_ODD = 5, 0.1  # rows, and share of them, that may hold other words
NUMBERS = {"0": 0.0, "0.0": 0.0, "false": 0.0, "1": 1.0, "1.0": 1.0, "true": 1.0}
CODES = NUMBERS | {"2": 2.0, "2.0": 2.0}
CODINGS = ({0, 1}, {1, 2})  # the second is that of statistics packages
MALE_IF = {"male": 1, "ismale": 1, "female": 0, "isfemale": 0}  # by headers that say so


def read_sex(table, columns, male_value, path):
    """Sex of each row from the columns that hold it: words decide, then numbers, and true and
    false, where it is known which is male; UserError where it isn't, or when two columns contradict
    each other."""
    sex, coded = pd.Series(np.nan, index=table.index), []
    for column in columns:
        male = MALE_IF.get(plain_header(column))
        text = table[column].str.strip().str.lower()
        if male is not None:
            text = text.replace({"yes": "1", "y": "1", "t": "1", "no": "0", "n": "0"})  # f: female
        check_numbers_of_sex(text, column, path, codings=CODINGS[: 1 if male is not None else 2])
        numbers = text.map(CODES)
        words = text.map(WORDS)
        if male is not None:
            words = words.fillna(male_where(numbers, male))
        elif numbers.notna().any():
            coded.append((column, numbers, words.notna().any()))
        check_agreement(sex, words, path)
        sex = sex.fillna(words)
    for column, numbers, mixed in coded:
        if male_value is not None:
            held = set(numbers.dropna())
            if not any(held | {male_value} <= coding for coding in CODINGS):
                raise UserError(
                    f"column {column} holds {in_words(held)}, beside which --male_value {male_value} "
                    f"can't be ({path}). Correct it."
                )
            told = male_where(numbers, male_value)
            check_agreement(sex, told, path)
            sex = sex.fillna(told)
        elif sex.isna().all() or (mixed and sex[numbers.notna()].isna().any()):
            other = 2 if (numbers == 2).any() else 0
            truth = table[column].str.strip().str.lower().isin(("true", "false")).any()
            held = "true and false (1 and 0)" if truth else in_words({1, other})
            raise UserError(
                f"column {column} holds {held}: which is male? ({path}) "
                f"Add --male_value 1 or --male_value {other}."
            )
    check_words_of_sex(table[columns[0]][sex.isna()], sex, path)
    return sex


def male_where(numbers, male):
    """1.0 where `numbers` are that of males, 0.0 where another, NaN where there is none."""
    return (numbers == male).astype(float).where(numbers.notna())


def check_numbers_of_sex(text, column, path, codings):
    """UserError when a column of sex holds numbers that are together in none of the codings."""
    held = set(pd.to_numeric(text, errors="coerce").dropna())
    if not any(held <= coding for coding in codings):
        raise UserError(
            f"column {column} holds {in_words(held)}: which sex is that? ({path}) Write M and F."
        )


def in_words(numbers):
    """Numbers in words: "0, 1 and 2"."""
    *others, last = (f"{number:g}" for number in sorted(numbers))
    return f"{', '.join(others)} and {last}" if others else last


def differ(sex, other):
    """Where two columns of sexes both tell one, and not the same."""
    return sex.notna() & other.notna() & (sex != other)


def check_agreement(sex, other, path):
    """UserError when two readings of the sex differ."""
    rows = differ(sex, other).sum()
    if rows:
        raise UserError(
            f"columns of sex contradict each other in {rows} rows ({path}). Remove the wrong "
            "one, or the wrong --male_value."
        )


def check_words_of_sex(text, sex, path):
    """UserError when one sex or none is told in words that are known, and there are many rows whose
    words, `text`, aren't: all of the other one would be left out, and M may mean mujer."""
    odd = text.fillna("").str.lower().str.replace(r"\W", "", regex=True)
    odd = odd[(odd != "") & ~odd.isin(UNKNOWN)]
    if len(odd) > max(FEW_ODD, MANY_ODD * len(sex)) and sex.nunique() < 2:
        told = ", ".join(f"{word!r}" for word in odd.value_counts().index[:3])
        raise UserError(
            f"column {text.name} holds {told} in {len(odd)} of {len(sex)} rows: which sex is that? "
            f"({path}) Write M and F."
        )


def sex_of(word):
    """1.0 for a word or the number of males, 0.0 for those of females, as tables of sexes have
    them, NaN for others."""
    return (WORDS | NUMBERS).get(str(word).strip().lower(), np.nan)
