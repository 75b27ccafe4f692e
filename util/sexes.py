"""The sex of each row of a table: 1 = male, 0 = female, NaN = unknown."""

import numpy as np
import pandas as pd

from util.errors import UserError
from util.tables import plain_header

WORDS = {"m": 1.0, "male": 1.0, "boy": 1.0, "f": 0.0, "female": 0.0, "girl": 0.0}  # of sexes
# words for a sex that is not told, without what stands between letters
UNKNOWN = {"u", "unk", "unknown", "notknown", "unspecified", "o", "other", "x", "na", "nan", "none"}
FEW_ODD, MANY_ODD = 5, 0.1  # rows, and share of them, that may hold other words
NUMBERS = {"0": 0.0, "0.0": 0.0, "false": 0.0, "1": 1.0, "1.0": 1.0, "true": 1.0}


def read_sex(table, columns, male_value, path):
    """Sex of each row from the columns that hold it: words decide, then numbers, and true and
    false, where it is known which is male; UserError where it isn't, or when two columns contradict
    each other."""
    sex, coded = pd.Series(np.nan, index=table.index), []
    for column in columns:
        text = table[column].str.strip().str.lower()
        if is_male(column):
            text = text.replace({"yes": "1", "y": "1", "t": "1", "no": "0", "n": "0"})  # f: female
        check_numbers_of_sex(text, column, path)
        numbers = text.map(NUMBERS)
        words = text.map(WORDS)
        if is_male(column):
            words = words.fillna(numbers)
        elif numbers.notna().any():
            coded.append((column, numbers, words.notna().any()))
        check_agreement(sex, words, path)
        sex = sex.fillna(words)
    for column, numbers, mixed in coded:
        if male_value is not None:
            numbers = numbers if male_value == 1 else 1 - numbers
            check_agreement(sex, numbers, path)
            sex = sex.fillna(numbers)
        elif sex.isna().all() or (mixed and sex[numbers.notna()].isna().any()):
            raise UserError(
                f"column {column} holds {describe_coded(table[column])}: which is male? ({path}) "
                "Add --male_value 1 or --male_value 0."
            )
    check_words_of_sex(table[columns[0]][sex.isna()], sex, path)
    return sex


def is_male(column):
    """Whether a header says by itself what 1 means."""
    return plain_header(column) == "male"


def check_numbers_of_sex(text, column, path):
    """UserError when a column of sex holds numbers other than 0 and 1."""
    numbers = pd.to_numeric(text, errors="coerce").dropna()
    others = sorted(numbers[~numbers.isin([0, 1])].unique())
    if others:
        raise UserError(
            f"column {column} holds {others[0]:g}: which sex is that? ({path}) Write M and F."
        )


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


def describe_coded(column):
    """What a column holds whose meaning is open."""
    truth = column.str.strip().str.lower().isin(("true", "false")).any()
    return "true and false (1 and 0)" if truth else "0 and 1"


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
