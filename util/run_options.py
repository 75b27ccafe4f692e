"""The options that decide the result of a training: kept in its config.json, and compared with the
current ones when it is resumed."""

from pathlib import Path

from util.errors import UserError
from util.training_options import training_defaults
from util.weights import NAMED_WEIGHTS

# Options that may differ when a run is resumed: none of them changes a result.
# fmt: off
FREE_TO_CHANGE = {
    "resume", "show", "verbose", "results_dir", "run_name", "cache_dir", "batch_size_eval",
    "command",
}
# fmt: on
PATHS = ("data_dir", "weights")  # among the options that decide a result


def lasting_options(args):
    """The options that decide a result, for config.json."""
    options = {key: value for key, value in vars(args).items() if key not in FREE_TO_CHANGE}
    return with_absolute_paths(options)


def with_absolute_paths(options):
    """Return the options with absolute paths, which are the same from any folder."""
    names = set(PATHS) & options.keys()
    if options.get("weights") in NAMED_WEIGHTS:
        names -= {"weights"}
    return options | {name: str(Path(options[name]).resolve()) for name in names}


def after_move(started, now):
    """Return the options that a run was `started` with; where a path no longer exists, it has that
    of `now`.

    `record_data` and `record_start` check that the data and weights are still the same.
    """
    was, moved = with_absolute_paths(started), {}
    for name in PATHS:
        old, new = was.get(name), now.get(name)
        if not {old, new} & {None, *NAMED_WEIGHTS} and not Path(old).exists():
            moved[name] = new
    return started | moved


def check_same_options(started, now):
    """UserError when the options `now` differ from those that a run was `started` with."""
    changes = changed_options(started, now)
    if changes:
        raise UserError(
            f"the run was started with other options ({changes}). "
            "Resume with the same ones, or start a new run."
        )


def changed_options(started, now):
    """Return, as text, the options that decide a result and have changed since a run was started,
    or "".

    Options added since then count as having been at their defaults. Not compared: `preset` (what it
    sets is), and paths that no longer exist.
    """
    was = training_defaults() | with_absolute_paths(after_move(started, now))
    keys = sorted((started.keys() | now.keys()) - FREE_TO_CHANGE - {"preset"})
    keys = [key for key in keys if was.get(key) != now.get(key)]
    return ", ".join(f"--{key} {was.get(key)} -> {now.get(key)}" for key in keys)
