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
ZERO_ONE = {"0": 0.0, "0.0": 0.0, "false": 0.0, "1": 1.0, "1.0": 1.0, "true": 1.0}
NUMBERS = ZERO_ONE | {"2": 2.0, "2.0": 2.0}
CODINGS = ({0, 1}, {1, 2})  # the second is that of statistics packages


def read_sex(table, columns, male_value, path):
    """Sex of each row from the columns that hold it: words decide, then numbers, and true and
    false, where it is known which is male; UserError where it isn't, or when two columns contradict
    each other."""
    sex, coded = pd.Series(np.nan, index=table.index), []
    for column in columns:
        text = table[column].str.strip().str.lower()
        if is_male(column):
            text = text.replace({"yes": "1", "y": "1", "t": "1", "no": "0", "n": "0"})  # f: female
        numbers = text.map(NUMBERS)
        held = set(pd.to_numeric(text, errors="coerce").dropna()) | set(numbers.dropna())
        check_numbers_of_sex(held, column, path)
        words = text.map(WORDS)
        if is_male(column):
            words = words.fillna(numbers)
        elif numbers.notna().any():
            coded.append((column, numbers, words.notna().any()))
        check_agreement(sex, words, path)
        sex = sex.fillna(words)
    for column, numbers, mixed in coded:
        if male_value is not None:
            told = decode(numbers, male_value, column, path)
            check_agreement(sex, told, path)
            sex = sex.fillna(told)
        elif sex.isna().all() or (mixed and sex[numbers.notna()].isna().any()):
            raise which_is_male(table[column], numbers, path)
    check_words_of_sex(table[columns[0]][sex.isna()], sex, path)
    return sex


def is_male(column):
    """Whether a header says by itself what 1 means."""
    return plain_header(column) in ("male", "ismale")


def check_numbers_of_sex(held, column, path):
    """UserError when a column of sex holds numbers that are together in no coding."""
    if not in_a_coding(held, CODINGS[:1] if is_male(column) else CODINGS):
        some = in_words(sorted(held)[:4])
        raise UserError(f"column {column} holds {some}: which sex is that? ({path}) Write M and F.")


def in_a_coding(numbers, codings=CODINGS):
    """Whether numbers of sexes are together in one of the codings."""
    return any(numbers <= coding for coding in codings)


def decode(numbers, male_value, column, path):
    """Sexes of a column that holds such numbers, by that of males; UserError where it is none that
    goes with them."""
    held = set(numbers.dropna())
    if not in_a_coding(held | {male_value}):
        raise UserError(
            f"column {column} holds {in_words(held)}, beside which --male_value {male_value} can't be "
            f"({path}). Correct the option."
        )
    return (numbers == male_value).astype(float).where(numbers.notna())


def which_is_male(column, numbers, path):
    """The UserError for a column whose numbers may mean either sex."""
    other = 2 if (numbers == 2).any() else 0
    truth = column.str.strip().str.lower().isin(("true", "false")).any()
    held = "true and false (1 and 0)" if truth else in_words({1, other})
    return UserError(
        f"column {column.name} holds {held}: which is male? ({path}) "
        f"Add --male_value 1 or --male_value {other}."
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
    """1.0 for a word that tables have for males, and for 1; 0.0 for those of females, and for 0;
    NaN for others."""
    return (WORDS | ZERO_ONE).get(str(word).strip().lower(), np.nan)
