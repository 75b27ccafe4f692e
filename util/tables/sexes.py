"""The sex of each row of a table: 1 = male, 0 = female, NaN = unknown."""

import numpy as np
import pandas as pd

from util.errors import UserError
from util.tables.text import plain_header

WORDS = dict.fromkeys(("m", "male", "boy", "boys"), 1.0)  # of sexes
WORDS |= dict.fromkeys(("f", "female", "girl", "girls"), 0.0)
# words for an unknown sex or patient, without spaces and punctuation
UNKNOWN = {"u", "unk", "unknown", "notknown", "unspecified", "o", "other", "x", "na", "nan", "none"}
FEW_ODD, MANY_ODD = 5, 0.1  # number and share of rows that may hold what isn't understood
# beside these M may be a girl: hombre or varón and mujer, Junge or Knabe and Mädchen. But V and K
# may be girls themselves, as in Dutch and Polish, where M is a boy.
BOYS_BESIDE_M = {"h", "j", "k", "v"}
ZERO_ONE = {"0": 0.0, "0.0": 0.0, "false": 0.0, "1": 1.0, "1.0": 1.0, "true": 1.0}
NUMBERS = ZERO_ONE | {"2": 2.0, "2.0": 2.0}
CODINGS = ({0, 1}, {1, 2})  # the second one is usual in statistics packages


def read_sex(table, columns, male_value, path):
    """Return the sex of each row, from the columns that hold it.

    Words decide first, then numbers (or true and false), if it is known which of them is male.
    UserError if it isn't known, if two columns contradict each other, or if values have no clear
    meaning.
    """
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
        elif is_coded(table[column]):
            coded.append((column, numbers, words.notna().any()))
        check_agreement(sex, words, path)
        sex = sex.fillna(words)
    for column, numbers, mixed in coded:
        if male_value is not None:
            told = sex_of_numbers(numbers, male_value, column, path)
            check_agreement(sex, told, path)
            sex = sex.fillna(told)
        else:
            few = 0 if mixed or sex.nunique() < 2 else few_rows(sex)
            if sex[numbers.notna()].isna().sum() > few:
                raise which_is_male(table[column], numbers, path)
    for column in columns:
        check_words_of_sex(table[column], sex, path)
    return sex


def is_male(column):
    """Whether a header says by itself that 1 means male."""
    return plain_header(column) in ("male", "ismale")


def is_coded(column):
    """Whether a column of sexes holds numbers, or true and false, which need --male_value unless
    words tell the same."""
    return not is_male(column.name) and column.str.strip().str.lower().isin(NUMBERS).any()


def check_numbers_of_sex(held, column, path):
    """UserError when the numbers of a column of sex are not all in one of the codings."""
    if not in_a_coding(held, CODINGS[:1] if is_male(column) else CODINGS):
        some = in_words(sorted(held)[:4])
        raise UserError(
            f"column {column} holds {some}: which sex is that? ({path}) Write M and F, and leave "
            "unknown ones empty."
        )


def in_a_coding(numbers, codings=CODINGS):
    """Whether one of the codings has all these numbers."""
    return any(numbers <= coding for coding in codings)


def sex_of_numbers(numbers, male_value, column, path):
    """Return the sexes of a column of numbers, of which `male_value` is male; UserError when that
    number doesn't go with the others."""
    held = set(numbers.dropna())
    if not in_a_coding(held | {male_value}):
        raise UserError(
            f"column {column} holds {in_words(held)}, so --male_value {male_value} is wrong "
            f"({path}). Correct the option."
        )
    return (numbers == male_value).astype(float).where(numbers.notna())


def which_is_male(column, numbers, path):
    """Return the UserError for a column whose numbers may mean either sex."""
    other = 2 if (numbers == 2).any() else 0
    truth = column.str.strip().str.lower().isin(("true", "false")).any()
    held = "true and false (1 and 0)" if truth else in_words({1, other})
    return UserError(
        f"column {column.name} holds {held}: which is male? ({path}) "
        f"Add --male_value 1 or --male_value {other}."
    )


def in_words(numbers):
    """Return numbers in words: "0, 1 and 2"."""
    *others, last = (f"{number:g}" for number in sorted(numbers))
    return f"{', '.join(others)} and {last}" if others else last


def differ(sex, other):
    """Return a mask of the rows in which two columns of sexes are both known and differ."""
    return sex.notna() & other.notna() & (sex != other)


def check_agreement(sex, other, path):
    """UserError when two columns of sexes contradict each other."""
    rows = differ(sex, other).sum()
    if rows:
        raise UserError(
            f"columns of sex contradict each other in {rows} rows ({path}). Remove the wrong "
            "one, or the wrong --male_value."
        )


def check_words_of_sex(column, sex, path):
    """UserError when the known words of a column are of at most one sex, and many rows hold unknown
    words, or when M may mean a girl: beside any of BOYS_BESIDE_M, or, if words of both sexes are
    known, beside more H than a few slips.

    Otherwise all films of the other sex would be left out, or M be read as male.
    """
    words = column.fillna("").str.lower().str.replace(r"\W", "", regex=True)
    known, odd = words[sex.notna() & (words != "")], words[sex.isna() & (words != "")]
    odd = odd[~odd.isin(UNKNOWN)]
    few, both = few_rows(sex), sex.nunique() == 2
    letters = {"h"} if both else BOYS_BESIDE_M
    boys = odd[odd.isin(letters)] if (known == "m").any() else odd[:0]
    slips = both and len(boys) <= few and len(boys) < (sex == 0).sum()
    if (len(boys) and not slips) or (len(odd) > few and not both):
        odd = boys if len(boys) else odd
        told = ", ".join(f"{word!r}" for word in odd.value_counts().index[:3])
        raise UserError(
            f"column {column.name} holds {told} in {len(odd)} of {len(sex)} rows: which sex is that"
            f"{', and which is M' if len(boys) else ''}? ({path}) Write M and F."
        )


def few_rows(sex):
    """Return how many of the rows may stay without a sex, though a column holds something there."""
    return max(FEW_ODD, MANY_ODD * len(sex))


def sex_of(word):
    """Return 1.0 for a word that means male, and for 1 or true; 0.0 for a word that means female,
    and for 0 or false; NaN for anything else."""
    return (WORDS | ZERO_ONE).get(str(word).strip().lower(), np.nan)
