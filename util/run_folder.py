"""The folder of a training: made for a new run, or reopened to resume one; and the record of how it
is trained."""

import os
from datetime import datetime
from pathlib import Path

from util.environment import device_names, environment, git_changes
from util.errors import UserError, first_line
from util.files import TEMPORARY, claim, numbered, quote, remove_temporaries, write_json
from util.finished_runs import holds_run
from util.run_options import after_move, check_same_options, lasting_options
from util.runs import CONFIG, Run, add_to_config, changed_facts

STARTED_BY_A_SWEEP = "BONEAGE_SWEEP"  # an environment variable


def open_run(args, name):
    """Make a new run folder `<results_dir>/<run_name>`, or reopen it under --resume; returns the
    Run.

    Never overwrites another run: UserError when the folder exists already, or when the run to
    resume is missing or was started with other options.
    """
    run = Run(chosen_folder(args, name), args.verbose)
    options = lasting_options(args)
    started = run.config
    if args.resume:
        check_run_to_resume(run.folder, started)
        known = started["options"]
        if not run.metrics:  # `record_data` will compare the films
            known = known | {"data_dir": options["data_dir"]}
        check_same_options(known, options)
        run.lock()
        remove_temporaries(run.folder)  # of a process that was killed
        return run
    content = {"options": options, "command": args.command}
    try:
        run.folder.mkdir(parents=True, exist_ok=True)
        check_free(run.folder)  # only now: the path NEW/.. exists once NEW does
        write_json(run.folder / CONFIG, content, claim)  # of two that start at once, one fails here
    except FileExistsError:
        check_free(run.folder)
        raise
    except OSError as error:
        raise UserError(
            f"can't make the run folder: {first_line(error)} ({run.folder}). Choose another --results_dir."
        ) from None
    run.lock()
    return run


def how_to_resume(name):
    """Return what to type to resume a stopped training; `name` is that of --run_name."""
    if os.environ.get(STARTED_BY_A_SWEEP):
        return "the same command of the sweep"
    return f"the same command with --resume --run_name {quote(name)}"


def record_environment(run):
    """Record in config.json what a training is computed with, and save uncommitted changes
    (`keep_code`).

    If a resumed run is now computed with something else, a note in the log says so.
    """
    keep_code(run)
    known, now = run.config, environment() | {"devices": device_names()}
    if "started" not in known:
        add_to_config(run, now)
        return
    started = now.pop("started")
    versions = changed_facts(now.pop("versions"), known.get("versions", {}))
    changed = changed_facts(now, known) | ({"versions": versions} if versions else {})
    add_to_config(
        run, {"resumed": [*known.get("resumed", []), {"started": started, "changed": changed}]}
    )
    if changed:
        run.log(
            f"note: the run began with other {', '.join(changed)} (config.json): its months may "
            "differ a little from those of an unbroken run"
        )


def keep_code(run):
    """Save uncommitted changes as code.patch; if they differ when the run is resumed, as
    code_2.patch and so on."""
    if changes := git_changes():
        patches = numbered(run.path("code.patch"), ".patch")
        new = next(path for path in patches if not path.exists() or path.read_bytes() == changes)
        new.write_bytes(changes)


def record_move(run, args):
    """Record in config.json where the data and weights of a resumed run are now. Call it after they
    were found to be the same as before."""
    now = lasting_options(args)
    options = after_move(run.config["options"], now) | {"data_dir": now["data_dir"]}
    add_to_config(run, {"options": options})


def check_run_to_resume(folder, started):
    if not started:
        raise UserError(f"no run to resume ({folder}). Check --results_dir and --run_name.")


def check_free(folder):
    """UserError unless the folder doesn't exist, or holds nothing but temporary files, as left by a
    run that was killed in its first moment."""
    if folder.exists() and not (
        folder.is_dir() and all(p.match(f"{TEMPORARY}*-config.json") for p in folder.iterdir())
    ):
        config = Run(folder).config
        if config is None and holds_run(folder):
            found, go_on = "are folds", "Continue them with --folds and --resume"
        elif config and config["options"].get("find_lr"):
            found, go_on = "is a run", "Remove it"
        else:
            found, go_on = "is a run", "Continue it with --resume"
        raise UserError(f"there {found} already ({folder}). {go_on}, or choose another --run_name.")


def chosen_folder(args, name):
    """Return `<results_dir>/<run_name>`. Without --run_name the folder is called `name` and the
    current time, to the microsecond, as jobs of an array start at once."""
    with_time = f"{name}_{datetime.now():%Y%m%d_%H%M%S_%f}"
    return Path(args.results_dir) / (args.run_name or with_time)
