"""Calibrations of a run for the films of other hospitals, stored in its folder by name."""

import re

from util.errors import UserError
from util.files import claim, write_json
from util.identity import count_patients, label_columns
from util.metrics import CHILDREN, by_sex
from util.metrics_text import format_interval
from util.predicting.calibration import FEWEST_OF_A_SEX, enough_children, format_gain
from util.predicting.intervals import COVERAGE, LEVEL
from util.predicting.readings import format_readings_gain
from util.runs import Run
from util.tta import describe_views, views_from_key, views_key

PREFIX = "calibration_"  # of the file of a calibration, before its name
NO_GAIN = "no clear gain"


def new_calibration_path(folder, name):
    """Return the path of a new calibration; UserError when its name is invalid or taken."""
    if not re.fullmatch(r"[\w-][\w.-]*", name):
        raise UserError(
            f"not a valid name for a calibration ({name}). Use letters, digits, - and _ (--name)."
        )
    path = Run(folder).folder / file_of(name)
    if path.exists():
        raise name_taken_error(path)
    return path


def file_of(name):
    """Return the name of the file in a run's folder that holds the calibration of this name."""
    return f"{PREFIX}{name}.json"


def name_taken_error(path):
    return UserError(f"there is a calibration of that name ({path}). Choose another --name.")


def calibrated_views(folder, name):
    """Return how many views of a film a calibration is for; UserError when there is none."""
    (key,) = read_named(folder, name)
    return views_from_key(key)


def read_calibration(folder, name, views, models):
    """Read a calibration by its name. UserError when there is none, when it is for another number
    of views, or when it was made for models other than `models`, a list of their hashes."""
    stored = read_named(folder, name)
    if views_key(views) not in stored:
        raise UserError(
            f"calibration {name} is for {describe_views(calibrated_views(folder, name))}, not for "
            f"{describe_views(views)} ({folder}). Leave --tta_steps and "
            "--use_tta out, or evaluate this run alone."
        )
    calibration = stored[views_key(views)]
    if calibration.get("models", models) != models:  # earlier versions stored no hashes
        raise UserError(
            f"calibration {name} was made for a different model.keras ({folder}). Make a new "
            "one by evaluate.py --calibrate, under another --name."
        )
    return calibration


def read_named(folder, name):
    """Read a named calibration file, {views_key: calibration}; UserError when there is none."""
    run = Run(folder)
    stored = run.read_json(file_of(name))
    if stored is None:
        files = sorted(run.folder.glob(file_of("*")))
        known = ", ".join(file.stem.removeprefix(PREFIX) for file in files)
        advice = f"There is: {known}." if known else "Make one by evaluate.py --calibrate."
        raise UserError(f"no calibration {name} beside the run ({folder}). {advice}")
    return stored


def store_calibration(path, calibration, models, table, views):
    """Write a new calibration, fitted to means of `views` views of the films of a table.

    `models` are the hashes of the models that it is for. Ids, sexes, labels (also of each reader)
    and patients of the films are stored too, so that a later evaluation doesn't take these films
    for held out. UserError when another process has taken the name meanwhile.
    """
    films = table[[*label_columns(table), *({"by_reader"} & set(table))]].to_dict("list")
    try:
        content = {views_key(views): calibration | {"models": models, "films": films}}
        write_json(path, content, claim)
    except FileExistsError:
        raise name_taken_error(path) from None


def check_enough_films(films, per_sex, csv):
    """UserError when labelled films show too few children to fit a line: in all or, if `per_sex`,
    of each sex."""
    if not enough_children(films, per_sex):
        counts = {name: count_patients(part) for name, part in by_sex(films).items()}
        found = ", ".join(f"{n} {name}" for name, n in counts.items())
        raise UserError(
            f"too few children to calibrate on: {found} ({csv}). {FEWEST_OF_A_SEX} "
            f"{'of each sex' if per_sex else 'in all'} are needed, as the errors of fewer hide a "
            "bias. Add films of more children."
        )


def helps(gain):
    """Whether a gain is clear: its interval lies below zero."""
    interval = gain["difference_ci95"]
    return interval is not None and interval[1] < 0


def worth_using(calibration, held):
    """Whether a calibration clearly helps, or its intervals do: those of the run clearly hold too
    few labels. `held` is what `coverage_of` returned for these; None without intervals."""
    return helps(calibration["gain"]) or (held is not None and held["covered_ci95"][1] < COVERAGE)


def format_held(held):
    """Format the coverage of the run's own intervals, see `coverage_of`, in one line."""
    interval = format_interval(held["covered_ci95"], form=".0%")
    n, children = held["n"], held["children"]
    labels = f"{n} labels" if children == n else f"the labels of {children} children ({n} films)"
    return (
        f"the run's own {LEVEL} intervals (+-{held['half_width']:.1f} months) hold "
        f"{held['covered']:.0%} {interval} of {labels}"
    )


def readings_help(calibration):
    """Whether readings are clearly closer to the labels of a calibration than the months are:
    readers of another hospital may have other habits."""
    return "readings" in calibration and helps(calibration["readings"])


def format_named(calibration, path):
    """Format a calibration for another hospital for the terminal."""
    gain = calibration["gain"]
    lines = [
        f"calibration on {calibration['n']} films: {'it helps' if helps(gain) else NO_GAIN}",
        f"  {format_gain(gain)}",
    ]
    for sex, line in calibration["lines"].items():
        lines.append(
            f"  {CHILDREN[sex]}: months = {line['slope']:.3f} x predicted "
            f"{line['intercept']:+.1f}, fitted from {line['low']:.0f} to {line['high']:.0f} months"
        )
    half = calibration["half_width"]["all"]["months"]
    lines.append(f"  {LEVEL} interval: +-{half:.1f} months")
    if readings := calibration.get("readings"):
        lines.append(f"  {format_readings_gain(readings, readings_help(calibration))}")
    return "\n".join([*lines, f"stored: {path}"])
