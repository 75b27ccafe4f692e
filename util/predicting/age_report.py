"""What predict.py does with the films that are named: it lists them, and prints and writes the age
of each."""

import sys
from pathlib import Path

import pandas as pd

from util.errors import UserError, print_error, print_note, printable
from util.files import claim, move, record_path, write_csv, write_json
from util.film_files import films_or_error, list_files
from util.image_kinds import OTHER_PICTURES
from util.metrics_text import format_years
from util.predicting.ensemble import how_predicted
from util.predicting.film_ages import COLUMNS, LARGEST_SCORE, predict_in_chunks
from util.predicting.intervals import format_range
from util.runs import MODEL

LONGEST_NAME = 32  # letters; a longer name shifts only its own line


def list_named(images):
    """Return a frame of the named films: `path`, and `shown`, the name that is printed.

    They are in the order of the command line, those of a folder by name. Raises UserError if none
    of the names exists, or if a folder has no films or holds runs.
    """
    if not any(Path(name).exists() for name in images):
        raise UserError(f"no such film or folder ({' '.join(images)}). Check the path.")
    rows = []
    for name in map(Path, images):
        if name.is_dir():
            if runs := [*name.glob(MODEL), *name.glob(f"*/{MODEL}")]:
                raise UserError(
                    f"that folder holds runs, not films ({name}). Use --model {runs[0].parent}."
                )
            rows += [(str(path), str(path.relative_to(name))) for path in films_or_error(name)]
            if others := [p for p in list_files(name) if p.suffix.lower() in OTHER_PICTURES]:
                print_note(f"pictures of unsupported kinds: {len(others)}, such as {others[0]}")
        else:
            rows.append((str(name), name.name))
    return pd.DataFrame(rows, columns=["path", "shown"])


def check_outside(folder, images):
    """UserError when the folder for pictures (--explain) is within a folder of films: the next time
    its pictures would be films."""
    folder = Path(folder)
    for films in filter(Path.is_dir, map(Path, images)):
        by_name = folder.absolute().is_relative_to(films.absolute())  # maybe by a link within
        if by_name or folder.resolve().is_relative_to(films.resolve()):
            raise UserError(
                f"that is within the folder of films ({folder}), where pictures would be taken for "
                "films. Choose another --explain."
            )


def report_ages(ensemble, films, args):
    """Predict the films of `add_children` and print a line for each. Returns them, see
    `predict_chunk`.

    Their COLUMNS are written to --out after each chunk, so that finished films aren't lost if a
    later chunk fails. A JSON file beside --out records how the predictions were made.
    """
    width = min(LONGEST_NAME, max(map(len, films["shown"])))
    results, written = [], 0
    if args.out:  # now, as it holds the time of the start
        record = how_predicted(ensemble, args) | {"films": len(films)}
    try:
        for ages in predict_in_chunks(ensemble, films, args.batch_size_eval):
            results.append(ages)
            if args.out:
                first = not written
                # the whole file is written again
                write_csv(args.out, pd.concat(results)[COLUMNS], claim if first else move)
                written += len(ages)
                if first:
                    write_json(record_path(args.out), record)
            print_films(ages, width)
    finally:
        if 0 < written < len(films):
            print(f"only {written} of {len(films)} films are in {args.out}", file=sys.stderr)
    return pd.concat(results)


def print_films(ages, width):
    """Print a line for each film of `predict_chunk`, with its name padded to `width` letters.
    Problems and notes go to the standard error."""
    for film in ages.itertuples():
        if not pd.isna(film.problem):
            print_error(f"{film.problem} ({film.path})")
            continue
        print(printable(f"{film.shown:{width}s}  {format_film(film)}"))
        if film.note:
            print_note(f"{film.note} ({film.path})")


def format_film(film):
    """Return what is printed after the name of a film: "F   136.2 months  11 y 4 mo (90 %: ...)",
    and how far this is from the age of the child."""
    letter = "-" if pd.isna(film.sex) else "FM"[film.sex]
    text = f"{letter}  {film.months:6.1f} months  {format_years(film.months)}"
    if not pd.isna(film.low):
        text += f" ({format_range(film.low, film.high)})"
    if has_score(film):
        text += f", {format_score(film)} at {format_years(film.age_months)}"
    return text


def has_score(film):
    """Whether the SD score of a film is known, and one that a child can have."""
    return abs(film.sd_score) <= LARGEST_SCORE  # not for NaN


def format_score(film):
    """Return the SD score of a film, and the scores at the ends of its interval: "+1.8 SD (+0.5 to
    +3.1)"."""
    score, low, high = (
        f"{round(sds, 1) + 0.0:+.1f}"  # 0.0 makes -0.0 a +0.0
        for sds in (film.sd_score, film.sd_low, film.sd_high)
    )
    return f"{score} SD" if pd.isna(film.low) else f"{score} SD ({low} to {high})"
