"""Labels that look wrong beside the months that a model predicts: ages in years, swapped sexes,
mistyped ages."""

from util.errors import UserError
from util.metrics import baseline_error, by_sex
from util.tables.ages import LARGEST_YEARS

# The mean errors, in months, from which on sexes look swapped: boys that are called girls, and the
# reverse. The model that ships has +23 and -23 on 150 films of the RSNA challenge, and +1 and +1
# when the sexes are right.
SWAPPED = 10
FEWEST = 5  # films of each sex
FAR, TIMES_AS_FAR = 48, 6  # months; as a multiple of the median absolute error
# Corrected months whose MAE is above this share of that of the labels' median tell next to nothing
# of the labels: if these are of other films, it is mostly 0.94 to 1.12.
NO_BETTER = 0.9


def label_notes(predictions):
    """Return notes, a list, on labels that look wrong in a frame of predictions, see
    `util.metrics`."""
    if labels_in_years(predictions):
        return [
            "the ages look like years: if they are, let the header of their column end in _years"
        ]
    notes = [f"{swapped}: check them"] if (swapped := swapped_sexes(predictions)) else []
    far = far_labels(predictions)
    if len(far):
        film = far.round(1).iloc[0]
        notes.append(
            f"films whose label is far from the prediction: {len(far)}, such as {film['id']} (label "
            f"{film['boneage']:g}, predicted {film['predicted']:g} months): look at film and label"
        )
    return notes


def check_labels(predictions, csv):
    """UserError when all ages or sexes look wrong, so that nothing can be fitted to them."""
    if labels_in_years(predictions):
        raise UserError(
            f"the ages look like years: their median is {predictions['boneage'].median():g}, where "
            f"{predictions['predicted'].median():.0f} months are predicted ({csv}). Let the header of "
            "their column end in _years."
        )
    if swapped := swapped_sexes(predictions):
        raise UserError(f"{swapped} ({csv}). Correct them, or set --male_value.")


def check_lines(lines, csv):
    """UserError when a line of `fit_lines` falls, so that older films would get younger months."""
    if any(line["slope"] <= 0 for line in lines.values()):
        raise UserError(
            f"the labels do not go with the films: they fall where the predicted months rise ({csv}). "
            "Check that each row names its own film."
        )


def note_no_better(predictions, csv):
    """Print if predictions are hardly closer to the labels of a table, `csv`, than the median of
    these labels is."""
    mae, median = predictions["error"].abs().mean(), baseline_error(predictions, None)["mae"]
    if mae >= NO_BETTER * median:
        print(
            f"note: an MAE of {mae:.2f} is hardly better than that of the labels' own median, "
            f"{median:.2f} ({csv}): check that each row names its own film, unless all are of one age"
        )


def labels_in_years(predictions):
    """Whether labels look like years, compared with the predicted months: those are about 12 times
    as large. Infants, whose months come out too high, must not count as years."""
    label, predicted = predictions["boneage"].median(), predictions["predicted"].median()
    return label <= LARGEST_YEARS and predicted > max(36, 6 * label)


def swapped_sexes(predictions):
    """Return why the sexes look swapped, "" if they don't.

    A girl's bones are those of a boy some years older: if girls are called boys, their months come
    out too high, and the reverse.
    """
    errors = {name: films["error"] for name, films in by_sex(predictions).items()}
    if min(map(len, errors.values())) < FEWEST:
        return ""
    male, female = errors["male"].mean(), errors["female"].mean()
    noise = max(2 * films.sem() for films in errors.values())
    if min(male, -female) < max(SWAPPED, noise):
        return ""
    return (
        f"the sexes look swapped: errors are {male:+.0f} months for boys, {female:+.0f} for girls"
    )


def far_labels(predictions):
    """Return the rows of a frame of predictions whose error is above FAR and far above the others,
    the largest first: such labels may be mistyped."""
    errors = predictions["error"].abs()
    far = errors > max(FAR, TIMES_AS_FAR * errors.median())
    return predictions[far].loc[errors[far].sort_values(ascending=False).index]
