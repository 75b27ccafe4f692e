"""What is odd about films, and the words for it: no hand found for certain, turned, inverted, pale,
or a picture of something else."""

from typing import NamedTuple

import numpy as np

FEW_ODD = 0.01  # share of films that may look turned or inverted without being so
NO_HAND = "no hand found for certain"
UNLIKE = "unlike hands with fingers up and light bones"
LIGHT_BONES, FINGERS_UP = "bones must be light on a dark ground", "fingers must point up"
# the note on a film for each oddity: if the film is used as it is, and if it was set right
AS_IT_IS = {
    "unlike": f"the film looks {UNLIKE}: if it shows anything else, its prediction is meaningless",
    "whole": f"{NO_HAND}, the whole film is used",
    "turned": f"the film looks turned by {{}} degrees anticlockwise; if so, its prediction is wrong: {FINGERS_UP}",
    "inverted": f"the film looks inverted; if so, its prediction is wrong: {LIGHT_BONES}",
    "pale": "the hand has little contrast: errors on such films may be larger",
}
SET_RIGHT = AS_IT_IS | {
    "turned": "the film looked turned by {} degrees anticlockwise and was set upright",
    "inverted": "the film looked inverted, with dark bones, and was inverted back",
}


class Oddities(NamedTuple):
    """What is odd about films, a value `(n,)` for each film.

    - `whole`: whether the film was used whole because `fit="hand"` found no hand for certain;
    - `turned`: by how many degrees it looks turned anticlockwise, or did before `fit="hand"`
      set it right;
    - `inverted`: whether it looks inverted, or did before `fit="hand"` set it right;
    - `unlike`: whether `fit="hand"` found that it looks unlike a hand;
    - `pale`: whether it has little contrast where the hand is.
    """

    whole: np.ndarray
    turned: np.ndarray
    inverted: np.ndarray
    unlike: np.ndarray
    pale: np.ndarray

    @classmethod
    def none(cls, n):
        """Return the Oddities of `n` films with nothing odd."""
        return cls(*(np.zeros(n, int if name == "turned" else bool) for name in cls._fields))

    def counts(self):
        """Return how many films show each oddity: {name: n}, ready for JSON."""
        return {name: int(np.count_nonzero(odd)) for name, odd in self._asdict().items()}


def film_notes(oddities, right):
    """Return what is odd about each film, as text, "" for most. `right`: turned and inverted films
    were set right."""
    words = SET_RIGHT if right else AS_IT_IS
    found = [getattr(oddities, name) for name in words]
    return [
        "; ".join(
            text.format(value) for text, value in zip(words.values(), odd, strict=True) if value
        )
        for odd in zip(*found, strict=True)
    ]


def oddity_notes(oddities, right):
    """Return a list of notes on films that look turned, inverted, unlike a hand or pale.

    `right`: turned and inverted films were set right. If they were not, up to 1 % of the films (at
    least one) are taken for false alarms.
    """
    few = max(1, FEW_ODD * len(oddities.turned))
    notes = []
    for look, films, remedy, rule in (
        ("turned", oddities.turned > 0, "set upright", FINGERS_UP),
        ("inverted", oddities.inverted, "inverted back", LIGHT_BONES),
    ):
        if films.any() and right:
            notes.append(f"films that looked {look} and were {remedy}: {films.sum()}")
        elif films.sum() > few:
            notes.append(
                f"{films.sum()} films look {look}; if so, their predictions are wrong: {rule}"
            )
    if oddities.unlike.any():
        notes.append(
            f"films that look {UNLIKE}: {oddities.unlike.sum()}; predictions for pictures of anything "
            "else are meaningless"
        )
    if oddities.pale.any():
        notes.append(
            f"films whose hand has little contrast: {oddities.pale.sum()}; their errors may be larger"
        )
    return notes


def format_counts(counts, right):
    """Format the `counts` of Oddities in a few words each: a list without those that are 0.
    `right`: turned and inverted films were set right."""
    words = {
        "whole": f"whole: {NO_HAND}",
        "turned": "set upright" if right else "look turned",
        "inverted": "inverted back" if right else "look inverted",
        "unlike": "look unlike a hand",
        "pale": "of little contrast",
    }
    return [f"{counts[name]} {text}" for name, text in words.items() if counts[name]]
