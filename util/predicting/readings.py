"""What a single reader would say of a film.

Readers who use an atlas (Greulich & Pyle 1959) name the age of the plate that a film resembles
most, and seldom a month between two plates: in the RSNA challenge 86 % of the labels are 28 (boys)
or 22 (girls) of 228 months. A model predicts the months in between as well. The reading of a film
is the median of the labels that readers give to films with its predicted months. It is nearer to
the label of a single reader than the months are. It is no better estimate of the bone age, and a
worse one when compared with the mean of several readers.
"""

from collections import Counter

import numpy as np

from util.identity import count_patients
from util.metrics import SEXES, by_sex, judge_readings
from util.metrics_text import format_interval

SPREAD = 5  # months: SD of labels around the predicted months of their films; 3 to 7 are as good
SURROUNDINGS_SD = 8  # months: SD of the weights of the months around a label
AREA = SURROUNDINGS_SD * np.sqrt(2 * np.pi)  # months: area under these weights
PLATE = 2  # times as frequent as the months around it: such a label stands for a plate
# With 600 films the gain is known to 0.2 months. A stricter rule, that its whole interval be below
# 0, missed gains that test films had (docs/RESULTS.md).
FEWEST_CHILDREN = 50  # to judge readings on


def fit_readings(labels, predictions, per_sex=True):
    """Count the `labels` of the training films, and judge the readings that follow from them.

    `predictions` are of films that were not trained on. Returns (counts, gain), see `count_labels`
    and `judge_readings`. counts is None if fewer than half of the films have the label of a plate,
    if readings are no nearer to the labels than the predicted months, or if the predictions are of
    fewer than FEWEST_CHILDREN children.
    """
    counts = count_labels(labels, per_sex)
    gain = judge_readings(with_readings(predictions, counts))
    nearer = count_patients(predictions) >= FEWEST_CHILDREN and gain["difference"] < 0
    kept = nearer and share_of_plates(counts) >= 0.5
    return (counts if kept else None), gain


def share_of_plates(counts):
    """Return the share of films whose label stands for a plate.

    A film itself doesn't count towards the frequency of its label: otherwise each label of a few
    films, which are far apart, would stand for a plate.
    """
    films = plates = 0
    for part in filter(None, counts.values()):
        n, around = films_around(part)
        others, others_around = n - 1, around - 1 / AREA
        films, plates = films + n.sum(), plates + n[others > PLATE * others_around].sum()
    return plates / films


def count_labels(labels, per_sex=True):
    """Count the films of each label, by sex, ready for JSON: {"male", "female": {label: films}}.

    Labels are whole months, as text, from the youngest on. Without `per_sex`, for a model that
    doesn't get the sex, both sexes have the counts of all films.
    """
    counts = {}
    for name, films in by_sex(labels, per_sex).items():
        months = films["boneage"].round().astype(int).value_counts().sort_index()
        counts[name] = {str(label): int(n) for label, n in months.items()}
    return counts


def add_counts(parts):
    """The sum of several `count_labels`; None where one of them is None."""
    if not all(parts):
        return None
    sums = {}
    for name in SEXES:
        total = sum((Counter(part[name]) for part in parts), Counter())
        sums[name] = {label: total[label] for label in sorted(total, key=int)}
    return sums


def with_readings(predictions, counts):
    """Return predictions with a column `reading`, or unchanged if there are no counts."""
    if not counts:
        return predictions
    return predictions.assign(reading=read_as(predictions["predicted"], predictions["sex"], counts))


def read_as(months, sex, counts):
    """Return the readings `(n,)`, in months, of films with predicted `months` `(n,)` and `sex`
    `(n,)`, 1 = male. Films of a sex without counts keep their months."""
    months, male = np.asarray(months, float), np.asarray(sex) == SEXES["male"]
    readings = months.copy()
    for name, films in (("male", male), ("female", ~male)):
        if counts[name]:
            readings[films] = median_label(months[films], counts[name])
    return readings


def median_label(months, counts):
    """Return the median of the labels that films with predicted `months` `(n,)` get; it has the
    smallest expected error.

    The probability of a label is proportional to its frequency, relative to the months around it
    (`films_around`), times the normal density of its distance to the months, with an SD of SPREAD.
    """
    labels = np.array(list(counts), float)
    exponent = -0.5 * ((labels - months[:, None]) / SPREAD) ** 2
    density = np.exp(exponent - exponent.max(axis=1, keepdims=True))
    films, around = films_around(counts)
    share = np.cumsum(density * (films / around), axis=1)
    return labels[np.argmax(share >= share[:, -1:] / 2, axis=1)]


def films_around(counts):
    """Return two arrays `(labels,)`: the films of each label, and the weighted mean number of films
    per month around it, itself included."""
    labels, films = (np.array(list(part), float) for part in (counts, counts.values()))
    near = np.exp(-0.5 * ((labels - labels[:, None]) / SURROUNDINGS_SD) ** 2)
    return films, near @ films / AREA


def format_readings_gain(gain, kept):
    """Return one line that says what readings are worth, and whether they are kept."""
    interval = format_interval(gain["difference_ci95"], sign="+")
    return (
        f"what a reader would say {'kept' if kept else 'left out'}: MAE {gain['mae']:.2f} on "
        f"{gain['n']} films, against months {gain['difference']:+.2f} {interval}"
    )
