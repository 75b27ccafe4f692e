"""A sweep over backbones: its runs, and a training process for each."""

import os
import subprocess
import sys
from argparse import Namespace

from preprocessing import read_labelled_folder
from train_advanced import parse_args as parse_training
from util.backbones import BACKBONES, POOLED
from util.data_folder import SPLITS, split_paths
from util.errors import UserError
from util.files import quote, write_text
from util.parallel import progress_bar
from util.processes import ProcessFailed, command_for, run_alone, why_it_failed
from util.run_folder import STARTED_BY_A_SWEEP
from util.run_options import changed_options, lasting_options
from util.runs import CONFIG, Run
from util.sweeping.sweep_table import FAILURE, read_summary

FEATURE_VIEWS = 3  # of each film, when only the head is trained
TIME_TO_NOTICE, TIME_TO_STOP = 5, 30  # seconds


class SweepRun(Run):
    """The run of one backbone in the folder of a sweep, and its options as `typed` and as parsed
    (`args`)."""

    def __init__(self, sweep, backbone, typed, args):
        super().__init__(sweep / backbone)
        self.backbone, self.typed, self.args = backbone, typed, args

    @property
    def failure_file(self):
        """The file that says why the last attempt at the run failed, for all jobs of the sweep: the
        reason in the first line, and below it everything that the process wrote to standard
        error."""
        return self.folder.with_name(FAILURE.format(self.backbone))

    @property
    def failure(self):
        """The first line of `failure_file`; "" where there is none."""
        try:
            return self.failure_file.read_text(encoding="utf-8").partition("\n")[0]
        except FileNotFoundError:  # a job that tries again may remove it at any moment
            return ""

    def fail(self, reason, errors=""):
        """Print the reason of a failure, and save it with all errors of the process in
        `failure_file`."""
        print(reason, file=sys.stderr, flush=True)
        self.failure_file.parent.mkdir(parents=True, exist_ok=True)
        write_text(self.failure_file, f"{reason}\n\n{errors}")


def plan_runs(folder, backbones, options):
    """Return the runs of a sweep in the order asked for; {backbone} in an option stands for its
    name.

    Raises UserError when any run in the folder was started with other options, as one table
    compares all of them; wrong options end the command.
    """
    asked = list(dict.fromkeys(backbones))
    started = [name for name in BACKBONES if (folder / name / CONFIG).exists()]
    others = [name for name in started if name not in asked]
    runs = [plan_run(folder, name, options) for name in asked + others]
    for run in runs:
        check_same_sweep(run)
    return runs[: len(asked)]


def plan_run(folder, backbone, options):
    """The run of one backbone in the folder of a sweep."""
    where = ["--backbone", backbone, "--results_dir", str(folder), "--run_name", backbone]
    typed = [*options_of(backbone, options), *where]
    return SweepRun(folder, backbone, typed, parse_training(typed))


def known_runs(folder, training):
    """Return the runs of a sweep that were started, have failed, or are "to do" in its summary.csv.
    A run that never began gets the options `training`. UserError when there are no such runs."""
    table = read_summary(folder)
    to_do = set(table["backbone"][table["status"] == "to do"])
    runs = []
    for name in BACKBONES:
        run = SweepRun(folder, name, [], training)
        if config := run.config:
            run.args = Namespace(**config["options"])
        if config or run.failure or name in to_do:
            runs.append(run)
    if not runs:
        raise UserError(f"no sweep to summarise ({folder}). Check --sweep and --results_dir.")
    return runs


def check_same_sweep(run):
    """UserError when a run was started with other options than the sweep has now."""
    started = run.config
    changes = started and changed_options(started["options"], lasting_options(run.args))
    if changes:
        raise UserError(
            f"{run.backbone} of this sweep was started with other options ({changes}). "
            "Use the same ones, or name another --sweep."
        )


def check_films_exist(runs):
    """UserError, before a process starts, when an unfinished run would find no films. Folders and
    tables of all splits are read once."""
    places = {(run.args.data_dir, run.args.male_value) for run in runs if not run.metrics}
    for data_dir, male_value in sorted(places, key=str):
        for split in SPLITS:
            read_labelled_folder(*split_paths(data_dir, split), male_value)


def options_of(backbone, options):
    """Return the options of a sweep for one backbone, with its name in place of {backbone}."""
    return [word.replace("{backbone}", backbone) for word in options]


def add_feature_views(options, args):
    """Return the options of a sweep, parsed as `args`, with --feature_views added if only heads are
    trained, on one device, and the options don't set it."""
    chosen = any(word.split("=")[0] == "--feature_views" for word in options)
    head_alone = args.epochs_frozen and not args.fine_tune and args.model_type in POOLED
    if chosen or not head_alone or args.strategy != "none":
        return options
    views = FEATURE_VIEWS if args.augment != "none" else 1  # plain views are alike
    return [*options, "--feature_views", str(views)]


def share_of(runs, part, parts):
    """Share `part` of `parts` (from 1) of the runs; the shares are the same on every machine."""
    return runs[part - 1 :: parts]


def report_plan(runs):
    """Print the command of each run, or that it is done already."""
    for run in runs:
        command = " ".join(map(quote, ["train_advanced.py", *run.typed]))
        print(f"{run.backbone:20s} {'done already' if run.metrics else command}")


def report_estimate(runs):
    """Time a few training steps of each unfinished run, and print how long all of them will
    take."""
    todo = [run for run in runs if not run.metrics]
    seconds, unknown = 0.0, []
    if todo:
        print("\ntiming some steps of each, which takes minutes (skip it by --no_estimate)")
    for run in progress_bar(todo, desc="estimating", unit="backbone", leave=False):
        try:
            of_run = run_alone("util/sweeping/step_time.py", **vars(run.args))["seconds"]
            print(f"{run.backbone:20s} about {format_time(of_run)}")
            seconds += of_run
        except ProcessFailed as reason:
            unknown.append(run.backbone)
            print(f"{run.backbone:20s} {reason}")
    if len(unknown) < len(todo):
        note = f", without {', '.join(unknown)}" if unknown else ""
        print(f"in all about {format_time(seconds)}{note}, one by one here\n", flush=True)


def train_in_process(run):
    """Train a run in a process of its own, unless it is finished; if it fails, the reason is saved.

    The process resumes a run that was started, and ends when the process that called this ends.
    """
    if run.metrics:
        return
    print(f"\n--- {run.backbone}", flush=True)
    run.failure_file.unlink(missing_ok=True)
    going_on = ["--resume"] if run.path(CONFIG).exists() else []
    result = run_to_its_end(command_for("train_advanced.py", *run.typed, *going_on))
    if result.returncode != 0:
        run.fail(why_it_failed(result), result.stderr)
    else:
        print(result.stderr, end="", file=sys.stderr)


def run_to_its_end(command):
    """Run a command as `subprocess.run` does, but give it time to end after an interrupt: a
    training that is stopped removes its folder if nothing in it can be resumed.

    Ctrl-C interrupts this process and the command. If the command has not ended after
    TIME_TO_NOTICE, because only this process was interrupted, it is interrupted too, and killed
    after TIME_TO_STOP.
    """
    options = {"stderr": subprocess.PIPE, "text": True, "errors": "replace"}
    options["env"] = os.environ | {STARTED_BY_A_SWEEP: "1"}
    with subprocess.Popen(command, **options) as process:
        try:
            _, errors = process.communicate()
        except KeyboardInterrupt:
            # by SIGTERM: the background of a script ignores SIGINT
            stops = (TIME_TO_NOTICE, process.terminate), (TIME_TO_STOP, process.kill)
            for seconds, stop in stops:
                try:
                    process.communicate(timeout=seconds)
                except subprocess.TimeoutExpired:
                    stop()
            raise
    return subprocess.CompletedProcess(command, process.returncode, stderr=errors)


def format_time(seconds):
    """Seconds as hours and minutes: 7500 is "2 h 5 min"."""
    minutes = max(1, round(seconds / 60))
    hours = f"{minutes // 60} h " if minutes >= 60 else ""
    return f"{hours}{minutes % 60} min"
