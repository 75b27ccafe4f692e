"""Which runs make the best mean: greedy selection on validation films."""

from dataclasses import replace

import numpy as np

from util.errors import UserError
from util.files import quote
from util.metrics import error_summary
from util.metrics_text import format_interval
from util.predicting.members import average_predictions, same_films, stored_predictions
from util.tta import chosen_views

ROUNDS = 20
LEAST_GAIN = 0.001  # months: less is no reason for a larger ensemble


def choose_greedily(members, views):
    """Choose by greedy selection on validation films how often each run counts in an ensemble.

    Predictions are means of `views` views. Returns (the members that count at least once, the
    choice in words); UserError when the runs don't all have the same validation films.
    """
    tables = [stored_predictions(member, "val", views) for member in members]
    if not same_films(tables):
        raise UserError(
            "greedy selection needs runs with the same validation films (--greedy). "
            "Leave it out, or choose runs of one split."
        )
    counts = select_greedily([t["predicted"] for t in tables], tables[0]["boneage"])
    chosen = [replace(m, weight=int(n)) for m, n in zip(members, counts, strict=True) if n]
    mean = average_predictions(chosen, [t for t, n in zip(tables, counts, strict=True) if n])
    best = min(tables, key=lambda table: table["error"].abs().mean())
    told = "" if {chosen_views(m.options) for m in chosen} == {views} else f" --tta_steps {views}"
    lines = [
        f"greedy selection on {len(mean)} validation films: MAE {describe_mae(mean)} months, "
        f"of the best single run {describe_mae(best)}",
        "(on the films used to choose it, which flatters it and makes intervals a bit too narrow)",
        *(f"  {member.weight} x {member.run.folder}" for member in chosen),
        "as options: "
        + " ".join(quote(m.run.folder) for m in chosen for _ in range(m.weight))
        + told,
    ]
    return chosen, "\n".join(lines)


def describe_mae(predictions):
    """The MAE of predictions and its 95 % interval, in months: "7.12 [6.56, 7.69]"."""
    errors = error_summary(predictions)
    return f"{errors['mae']:.2f} {format_interval(errors['mae_ci95'])}"


def select_greedily(predicted, boneage):
    """Choose how often each of M models counts in a mean: `(M,)` of 0, 1, 2, ...

    Forward selection with replacement (Caruana et al. 2004, Ensemble selection from libraries of
    models): each round adds the model that makes the MAE of the mean smallest; the best round is
    kept. `predicted` `(M, n)` and `boneage` `(n,)` in months.
    """
    predicted, boneage = np.asarray(predicted, float), np.asarray(boneage, float)
    counts, total = np.zeros(len(predicted), int), np.zeros(len(boneage))
    best, kept = np.inf, counts
    for size in range(1, ROUNDS + 1):
        maes = np.abs((total + predicted) / size - boneage).mean(axis=1)
        chosen = maes.argmin()
        counts[chosen] += 1
        total += predicted[chosen]
        if maes[chosen] < best - LEAST_GAIN:
            best, kept = maes[chosen], counts.copy()
    return kept
