"""The folder of a training: made anew, or opened to go on; what it records of how it is made."""

import os
import sys
from datetime import datetime
from pathlib import Path

from util.environment import device_names, environment, git_changes
from util.errors import UserError, first_line
from util.files import TEMPORARY, numbered, quote, remove_temporaries, write_new_json
from util.processes import STARTED_BY_A_SWEEP
from util.run_options import after_move, check_same_options, lasting_options
from util.runs import CONFIG, Run, add_to_config, changed_facts


def open_run(args, name):
    """Open a new run folder `<results_dir>/<run_name>`, or go on with one under --resume.

    Never writes over another run: UserError when the folder is there already, or when a resumed
    run was started with other options.
    """
    check_resume(args)
    run = Run(chosen_folder(args, name), args.verbose)
    options = lasting_options(args)
    started = run.config
    if args.resume:
        check_run_to_resume(run.folder, started)
        known = started["options"]
        if not run.metrics:  # its films are compared with what they were (`record_data`)
            known = known | {"data_dir": options["data_dir"]}
        check_same_options(known, options)
        run.lock()
        remove_temporaries(run.folder)  # of a process that was killed
        return run
    content = {"options": options, "command": sys.argv}
    try:
        run.folder.mkdir(parents=True, exist_ok=True)
        check_free(run.folder)  # not before: NEW/.. is there once NEW is
        write_new_json(run.folder / CONFIG, content)  # one of two runs that start at once
    except FileExistsError:
        check_free(run.folder)
        raise
    except OSError as error:
        raise UserError(
            f"can't make the run folder: {first_line(error)} ({run.folder}). Choose another --results_dir."
        ) from None
    run.lock()
    return run


def how_to_resume(args, name):
    """What to type after a training was stopped; `name` is that of its folder."""
    if os.environ.get(STARTED_BY_A_SWEEP):
        return "the same command of the sweep"
    return f"the same command with --resume --run_name {quote(args.run_name or name)}"


def record_environment(run):
    """Keep in config.json what a training is computed with; where a run goes on with something
    else, say so."""
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
    """Keep what was changed in the code since its commit, beside what it was when the run began or
    went on before."""
    if changes := git_changes():
        patches = numbered(run.path("code.patch"), ".patch")
        new = next(path for path in patches if not path.exists() or path.read_bytes() == changes)
        new.write_bytes(changes)


def record_move(run, args):
    """Keep in config.json where data and weights of a run that goes on are now, when it is known
    that they are what they were."""
    now = lasting_options(args)
    options = after_move(run.config["options"], now) | {"data_dir": now["data_dir"]}
    add_to_config(run, {"options": options})


def check_resume(args):
    if args.resume and not args.run_name:
        raise UserError("--resume needs the name of the run. Add --run_name NAME.")


def check_run_to_resume(folder, started):
    if not started:
        raise UserError(f"no run to resume ({folder}). Check --results_dir and --run_name.")


def check_free(folder):
    """UserError unless the folder is new, or empty but for temporary files, as a run leaves it that
    was killed in its first moment."""
    if folder.exists() and not (
        folder.is_dir() and all(p.match(f"{TEMPORARY}*-config.json") for p in folder.iterdir())
    ):
        config = Run(folder).config
        tests_rates = config and config["options"].get("find_lr")
        go_on = "Remove it" if tests_rates else "Continue it with --resume"
        raise UserError(
            f"there is a run already ({folder}). {go_on}, or choose another --run_name."
        )


def chosen_folder(args, name):
    """`<results_dir>/<run_name>`; without --run_name the folder is called `name` and the time of
    now, to the microsecond: jobs of an array start at once."""
    with_time = f"{name}_{datetime.now():%Y%m%d_%H%M%S_%f}"
    return Path(args.results_dir) / (args.run_name or with_time)
