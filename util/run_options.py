"""The options of a training that decide its result: kept in its config.json, and compared with
those of now where it goes on."""

from pathlib import Path

from util.errors import UserError
from util.training_options import training_defaults
from util.weights import NAMED_WEIGHTS

# Options that may differ when a run goes on: none of them changes a result.
# fmt: off
FREE_TO_CHANGE = {
    "resume", "show", "verbose", "results_dir", "run_name", "cache_dir", "batch_size_eval",
}
# fmt: on
PATHS = ("data_dir", "weights")  # among the options that decide a result


def lasting_options(args):
    """The options that decide a result, for config.json."""
    options = {key: value for key, value in vars(args).items() if key not in FREE_TO_CHANGE}
    return with_absolute_paths(options)


def with_absolute_paths(options):
    """Options whose paths are the same from any folder."""
    names = set(PATHS) & options.keys()
    if options.get("weights") in NAMED_WEIGHTS:
        names -= {"weights"}
    return options | {name: str(Path(options[name]).resolve()) for name in names}


def after_move(started, now):
    """The options that a run was started with, paths that are gone replaced by those of now: what
    is there is compared with what was when the run goes on (`record_data`, `record_start`)."""
    was, moved = with_absolute_paths(started), {}
    for name in PATHS:
        old, new = was.get(name), now.get(name)
        if not {old, new} & {None, *NAMED_WEIGHTS} and not Path(old).exists():
            moved[name] = new
    return started | moved


def check_same_options(started, now):
    """UserError when a run was started with other options than those of now."""
    changes = changed_options(started, now)
    if changes:
        raise UserError(
            f"the run was started with other options ({changes}). "
            "Resume with the same ones, or start a new run."
        )


def changed_options(started, now):
    """The options that decide a result and have changed since a run was started, as text; "" if
    none has. An option that was added since was at its default. A preset doesn't count, as all that
    it sets does, nor does a path where nothing is any more."""
    was = training_defaults() | with_absolute_paths(after_move(started, now))
    keys = sorted((started.keys() | now.keys()) - FREE_TO_CHANGE - {"preset"})
    keys = [key for key in keys if was.get(key) != now.get(key)]
    return ", ".join(f"--{key} {was.get(key)} -> {now.get(key)}" for key in keys)
