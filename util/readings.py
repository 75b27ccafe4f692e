"""What a single reader would say of a film.

Who reads by an atlas (Greulich & Pyle 1959) names the age of the plate that a film is most like,
and seldom a month between two: in the RSNA challenge 86 % of the labels are 28 (boys) or 22 (girls)
of 228 months. Months that a model says lie between as well. What a reader would say, the median of
what readers say of films that get so many months, is nearer to the label of a single reader. It is
no better estimate of the bone age, and against the mean of several readers a worse one.
"""

from collections import Counter

import numpy as np

from util.identity import count_patients
from util.metrics import SEXES, by_sex, judge_readings
from util.metrics_text import format_interval

SPREAD = 5  # months, SD of labels about the months of their film; 3 to 7 are as good
SURROUNDINGS_SD = 8  # months: how far the surroundings of a label reach
AREA = SURROUNDINGS_SD * np.sqrt(2 * np.pi)  # months, of the weights of these
PLATE = 2  # times as often as those around it: a label that stands for a plate
# With 600 films the gain is known to 0.2 months: to wait until it is clear, as its interval tells,
# gave gains away that test films had (docs/RESULTS.md).
FEWEST_CHILDREN = 50  # to judge on


def fit_readings(labels, predictions, per_sex=True):
    """Count the `labels` of the training films, and judge the readings that follow on predictions
    of films that were not trained on.

    Returns (counts, gain): counts (see `count_labels`), None where most labels are of no plate, or
    readings are no nearer to the labels than months are, or that is judged on films of fewer than
    FEWEST_CHILDREN children; gain (see `judge_readings`).
    """
    counts = count_labels(labels, per_sex)
    gain = judge_readings(with_readings(predictions, counts))
    nearer = count_patients(predictions) >= FEWEST_CHILDREN and gain["difference"] < 0
    kept = nearer and share_of_plates(counts) >= 0.5
    return (counts if kept else None), gain


def share_of_plates(counts):
    """The share of films whose label stands for a plate, by all other films: with itself each label
    of a few films, which are far apart, would be one."""
    films = plates = 0
    for part in filter(None, counts.values()):
        n, around = films_around(part)
        others, others_around = n - 1, around - 1 / AREA
        films, plates = films + n.sum(), plates + n[others > PLATE * others_around].sum()
    return plates / films


def count_labels(labels, per_sex=True):
    """How many films have each label, by sex and from the youngest on, ready for JSON: {"male",
    "female": {whole months, as text: films}}. The same for both where a model isn't told the
    sex."""
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
    """Predictions with a column `reading`; as they are where there are no counts."""
    if not counts:
        return predictions
    return predictions.assign(reading=read_as(predictions["predicted"], predictions["sex"], counts))


def read_as(months, sex, counts):
    """What a reader would say of films that get `months` `(n,)`, their sex `(n,)` being 1 for male:
    labels `(n,)` in months."""
    months, male = np.asarray(months, float), np.asarray(sex) == SEXES["male"]
    readings = months.copy()
    for name, films in (("male", male), ("female", ~male)):
        if counts[name]:
            readings[films] = median_label(months[films], counts[name])
    return readings


def median_label(months, counts):
    """The median of the labels that films of `months` `(n,)` get: the one of the smallest expected
    error. A label is as likely as it is often named, times the normal density of its distance to
    the months, with an SD of SPREAD."""
    labels = np.array(list(counts), float)
    exponent = -0.5 * ((labels - months[:, None]) / SPREAD) ** 2
    density = np.exp(exponent - exponent.max(axis=1, keepdims=True))
    films, around = films_around(counts)
    share = np.cumsum(density * (films / around), axis=1)
    return labels[np.argmax(share >= share[:, -1:] / 2, axis=1)]


def films_around(counts):
    """The films of each label, and how many films the months around it have in the mean, itself
    among them: two arrays `(labels,)`."""
    labels, films = (np.array(list(part), float) for part in (counts, counts.values()))
    near = np.exp(-0.5 * ((labels - labels[:, None]) / SURROUNDINGS_SD) ** 2)
    return films, near @ films / AREA


def format_readings_gain(gain, kept):
    """What readings are worth, and whether they are kept, in one line."""
    interval = format_interval(gain["difference_ci95"], sign="+")
    return (
        f"what a reader would say {'kept' if kept else 'left out'}: MAE {gain['mae']:.2f} on "
        f"{gain['n']} films, against months {gain['difference']:+.2f} {interval}"
    )
