"""The predicted ages of films, chunk by chunk, with notes; `predict_ages` is for programs."""

import math
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

from util.errors import UserError
from util.files import file_state
from util.oddities import film_notes
from util.predicting.canvases import all_set_right, oddities_of, read_on_canvases
from util.predicting.children import add_from_headers, join_notes
from util.predicting.ensemble import open_ensemble
from util.predicting.growth import KNOWN_AGES, sd_score
from util.predicting.prediction import even_batch
from util.runs import SHIPPED
from util.tables.ages import ADULT_MONTHS
from util.tables.sexes import sex_of

# fmt: off
COLUMNS = [  # of --out
    "filename", "path", "sex", "age_months",
    "months", "low", "high", "reading", "sd_score", "sd_low", "sd_high", "problem", "note",
]
# fmt: on
LARGEST_SCORE = 10  # no child is further ahead or behind: larger scores are not shown
CHUNK = 256  # most films to read before they are predicted, to limit memory


def predict_ages(
    paths, sex=None, age_months=np.nan, model=SHIPPED, calibration=None, batch_size=32
):
    """Return the predicted ages of films, for use in programs: the frame of predict.py's --out, a
    row for each path, in order.

    `sex` is "F" or "M", `age_months` the age of the child: one value for all films, or one for each
    film. If they are unknown (None, NaN), they may come from the header of a DICOM film. `model` is
    the folder of a run, or several; `calibration` is the name of a calibration for a hospital. The
    column `problem` says what is wrong with a film, "" if nothing; what a user should know about
    the model is a warning. Raises UserError if the model can't be read, if there are no paths or
    models, one path is a folder, or if sexes or ages are neither one nor as many as the paths.
    """
    paths, models = ([x] if isinstance(x, (str, Path)) else list(x) for x in (paths, model))
    paths = list(map(str, paths))  # None and NaN too, which are then films that can't be read
    if not paths or not models:
        raise UserError("no films to predict, or no model. Name some.")
    if folders := [path for path in paths if Path(path).is_dir()]:
        raise UserError(f"that is a folder ({folders[0]}). Name the films in it.")
    try:  # as arrays: columns of a table would be joined by their index, not in order
        sex, age = (for_each(values, len(paths)) for values in (sex, age_months))
        age = pd.to_numeric(pd.Series(age)).astype(float)
    except (TypeError, ValueError):
        raise UserError(
            f"sex and age_months need one value or {len(paths)}, one per path; ages are numbers."
        ) from None
    films = pd.DataFrame({"path": paths, "age_months": age})
    films["sex"], films["no_sex"] = [sex_of(word) for word in sex], "no sex: F or M"
    films = add_from_headers(films)
    ensemble = open_ensemble(models, calibration=calibration)
    ensemble.load("auto", n_films=len(films))
    for note in ensemble.notes:
        warnings.warn(note, stacklevel=2)
    ages = pd.concat(predict_in_chunks(ensemble, films, batch_size), ignore_index=True)[COLUMNS]
    return ages.fillna({"problem": ""})


def for_each(values, n):
    """Return one value, or the `n` values of a sequence or generator, as an array of n objects."""
    if np.iterable(values) and not isinstance(values, str):
        values = list(values)
    return np.broadcast_to(np.array(values, object), n)


def predict_in_chunks(ensemble, films, batch_size):
    """Yield the rows of `predict_chunk`, chunk by chunk."""
    # chunks of equal size: a small last one would need a compilation of its own
    chunks = np.array_split(np.arange(len(films)), math.ceil(len(films) / CHUNK))
    batch_size = even_batch(len(chunks[0]), batch_size)  # the first is the largest
    for rows in chunks:
        yield predict_chunk(ensemble, films.iloc[rows], batch_size)


def predict_chunk(ensemble, films, batch_size):
    """Return some films with columns added for their predictions.

    These are filename; months, low, high and reading, NaN if `problem` says why; sd_score, sd_low
    and sd_high (the SD scores of months, low and high), NaN if the child's age is unknown; and
    `note`, what is odd about the film.
    """
    films = films.reset_index(drop=True)
    pixels, failures = read_on_canvases(ensemble.canvases, films["path"].tolist())
    failures = changed_films(films) | failures
    if ensemble.sees_sex:
        failures = films["no_sex"][films["sex"].isna()].to_dict() | failures
    good = [i for i in films.index if i not in failures]
    ages = pd.DataFrame(np.nan, index=films.index, columns=["months", "low", "high", "reading"])
    if good:
        sex = films["sex"].fillna(0).to_numpy()[good]
        readable = {canvas: part.keep(good) for canvas, part in pixels.items()}
        told = ensemble.predict(readable, sex, batch_size, progress=len(good) > batch_size)
        ages.loc[good] = told.to_numpy()
    films = films.assign(
        filename=[Path(path).name for path in films["path"]],
        sex=films["sex"].astype("Int64"),
        problem=pd.Series(failures, dtype=object).reindex(films.index),
    )
    films = pd.concat([films, ages], axis=1)
    for name, months in (("sd_score", "months"), ("sd_low", "low"), ("sd_high", "high")):
        scores = map(sd_score, films[months], films["age_months"], films["sex"])
        films[name] = np.round(list(scores), 2)
    odd = film_notes(oddities_of(pixels), all_set_right(ensemble.canvases))
    of_ages = ["; ".join(age_notes(film)) for film in films.itertuples()]
    return films.assign(note=join_notes(odd, films["child_note"], of_ages))


def changed_films(films):
    """Return {position: reason} of the films whose file changed after its header was read, so that
    sex and age may be those of another child."""
    reason = "the file has changed since its header was read: predict it again"
    known = films[films["file"].notna()]
    return {film.Index: reason for film in known.itertuples() if file_state(film.path) != film.file}


def age_notes(film):
    """Yield what is odd about the ages of a film of `predict_chunk`, predicted and the child's."""
    if pd.isna(film.months):
        return
    if not 0 <= film.months <= ADULT_MONTHS:
        yield "no bone age is below 0 or above 20 years: the prediction is meaningless"
    if pd.isna(film.age_months) or pd.isna(film.sex):
        return
    if pd.isna(film.sd_score):
        yield f"no SD score at {film.age_months:g} months: SDs are known {KNOWN_AGES}"
    elif abs(film.sd_score) > LARGEST_SCORE:
        yield f"an SD score beyond {LARGEST_SCORE}: is the age of the child in months?"
