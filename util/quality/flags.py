"""What can be wrong with a data folder, what to do about it, and the rows that it is wrong with."""

import math

import pandas as pd

from util.radiographs import EMPTY, NO_CONTRAST, NO_IMAGE, TOO_SMALL, TRUNCATED, UNREADABLE
from util.tables.ages import MAX_MONTHS
from util.tables.matching import NO_FILE, SEVERAL

SERIOUS, LOOK = "serious", "look"
AGE_ADVICE = (
    f"Correct it: 0 to {MAX_MONTHS} months, or the same in years. Training leaves the row out."
)
FILE_ADVICE = "Replace the file or remove the row. Training leaves it out."
CHECKS = {  # what can be wrong, in the order of a report: (severity, what to do)
    "no table": (SERIOUS, "Add the table, unless this split is meant to be missing."),
    "no rows": (SERIOUS, "Fill the table, unless this split is meant to be missing."),
    "no image folder": (SERIOUS, "Add the folder, or name the right place with --data_dir."),
    "no id": (SERIOUS, "Fill it in. Training leaves the row out."),
    "duplicate id": (SERIOUS, "Keep the right row: training takes the first if all give one sex."),
    "same id in two splits": (SERIOUS, "Keep it in one split: never test on training films."),
    "same patient in two splits": (SERIOUS, "Keep all films of a patient in one split."),
    "no age": (SERIOUS, AGE_ADVICE),
    "age is no number": (SERIOUS, AGE_ADVICE),
    "infinite age": (SERIOUS, AGE_ADVICE),
    "impossible age": (SERIOUS, AGE_ADVICE),
    "ages look like years": (SERIOUS, "If they are, let the header of their column end in _years."),
    "unknown sex": (SERIOUS, "Write M or F. Training leaves the row out."),
    NO_FILE: (SERIOUS, "Add the film or remove the row. Training leaves it out."),
    SEVERAL: (SERIOUS, "Say which one in a column filename: folder/name."),
    "same file for two rows": (SERIOUS, "Give each row its own film."),
    UNREADABLE: (SERIOUS, "Check the rights of the file and the disk."),
    EMPTY: (SERIOUS, FILE_ADVICE),
    TRUNCATED: (SERIOUS, FILE_ADVICE),
    NO_IMAGE: (SERIOUS, FILE_ADVICE),
    NO_CONTRAST: (SERIOUS, FILE_ADVICE),
    TOO_SMALL: (SERIOUS, FILE_ADVICE),
    "unusable film": (SERIOUS, FILE_ADVICE),
    "same picture in two splits": (SERIOUS, "Keep it in one split: this flatters the test error."),
    "patient of two sexes": (LOOK, "Correct the sex, or the patient; leave unknown ones empty."),
    "unlikely age": (LOOK, "Check it: bone age is above 0 and ends at about 19 years."),
    "age looks like years": (LOOK, "Check it: if it is one of years, write months."),
    "ages look like years.months": (LOOK, "If 10.11 is 10 years and 11 months, write months."),
    "infinite values": (LOOK, "Correct the column if you use it; training doesn't."),
    "film looks inverted": (
        LOOK,
        "Check if bones are dark; --fit hand inverts it back, stretch and pad don't.",
    ),
    "film looks turned": (
        LOOK,
        "Check if fingers point up; --fit hand sets it upright, stretch and pad don't.",
    ),
    "film looks unlike a hand": (
        LOOK,
        "Check that it shows one hand with fingers up; training uses it.",
    ),
    "hardly any contrast": (LOOK, "Check that it shows a hand; training uses it."),
    "same picture twice in a split": (LOOK, "Keep one, the one with the right label."),
}


def flag(check, rows, detail=""):
    """Flag some rows: return a frame with their split, row, id and file, and what is wrong.
    `detail` is one text for all, or a Series with a text for each of these rows and maybe
    others."""
    if isinstance(detail, pd.Series):
        detail = detail[rows.index]
    rows = rows.reindex(columns=["split", "row", "id", "file"])
    return rows.astype({"row": "Int64"}).assign(check=check, detail=detail)


def format_age(months):
    return "no age" if math.isnan(months) else f"{round(months, 1):g} months"


def name_others(rows, by):
    """Return a text for each row that names the other rows of its group, and says if their ages or
    sexes differ."""
    said = pd.Series("", index=rows.index)
    for _, group in rows.groupby(by, sort=False):
        names = [
            f"{row.split} row {row.row} ({row.file or row.id}, {format_age(row.boneage)})"
            for row in group.head(4).itertuples()
        ]
        labels = {"ages": group["boneage"], "sexes": group["sex"]}
        differ = "".join(f"{name} differ; " for name in labels if labels[name].nunique() > 1)
        for place, index in enumerate(group.index):
            others = [name for k, name in enumerate(names) if k != place][:3]
            rest = len(group) - 1 - len(others)
            said[index] = f"{differ}as {', '.join(others)}" + (f" and {rest} more" if rest else "")
    return said
