"""A sweep over backbones: one training process each, and one table of what came out."""

import os
import shlex
import signal
import subprocess
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from preprocessing import read_labelled_folder
from util.backbones import BACKBONES, POOLED
from util.data_folder import SPLITS, split_paths
from util.errors import UserError
from util.files import write_atomically, write_csv, write_json
from util.metrics import format_interval
from util.processes import ROOT, ProcessFailed, run_alone, why_it_failed
from util.runs import METRICS, Run, best_row, changed_options, lasting_options

FEATURE_VIEWS = 3  # of each film, when nothing but the head is trained
TIME_TO_NOTICE, TIME_TO_STOP = 5, 30  # seconds


@dataclass
class SweepRun:
    """One backbone of a sweep: its run folder, its options as they are typed, and as parsed."""

    backbone: str
    folder: Path
    options: list
    args: object

    @property
    def metrics(self):
        """The metrics of the finished run; None when it isn't finished."""
        return Run(self.folder).metrics

    @property
    def failure_file(self):
        """Holds why the last attempt at the run failed, for all jobs that work on the sweep."""
        return self.folder.with_name(f"{self.backbone}_failure.txt")

    @property
    def failure(self):
        """What `failure_file` holds; "" where there is none."""
        try:
            return self.failure_file.read_text()
        except FileNotFoundError:  # a job that tries again may remove it at any moment
            return ""

    def fail(self, reason):
        """Print and keep the reason of a failure."""
        print(reason, file=sys.stderr, flush=True)
        self.failure_file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(self.failure_file, lambda file: file.write_text(reason))


def plan_runs(folder, backbones, options, parse_training_args):
    """The runs of a sweep, in the order asked for; {backbone} in an option stands for its name.
    Raises UserError when a run in the folder was started with other options, as one table compares
    all that are there; wrong options end the command."""
    asked = list(dict.fromkeys(backbones))
    started = [name for name in BACKBONES if (folder / name / "config.json").exists()]
    others = [name for name in started if name not in asked]
    runs = [plan_run(folder, name, options, parse_training_args) for name in asked + others]
    for run in runs:
        check_started_alike(run)
    return runs[: len(asked)]


def plan_run(folder, backbone, options, parse_training_args):
    """The run of one backbone in the folder of a sweep."""
    where = ["--backbone", backbone, "--results_dir", str(folder), "--run_name", backbone]
    typed = [*options_of(backbone, options), *where]
    return SweepRun(backbone, folder / backbone, typed, parse_training_args(typed))


def check_started_alike(run):
    """UserError when a run was started with other options than those of the sweep now."""
    started = Run(run.folder).config
    changes = started and changed_options(started["options"], lasting_options(run.args))
    if changes:
        raise UserError(
            f"{run.backbone} of this sweep was started with other options ({changes}). "
            "Use the same ones, or name another --sweep."
        )


def check_data(runs):
    """UserError, before a process starts, when runs that are to do would find no films: folders and
    tables of all splits are read once."""
    places = {(run.args.data_dir, run.args.male_value) for run in runs if not run.metrics}
    for data_dir, male_value in sorted(places, key=str):
        for split in SPLITS:
            folder, table = split_paths(data_dir, split)
            read_labelled_folder(table, folder, male_value)


def options_of(backbone, options):
    """The options of a sweep as one backbone has them."""
    return [word.replace("{backbone}", backbone) for word in options]


def add_feature_views(options, args):
    """The options of a sweep, parsed as `args`, with heads trained on features where nothing else
    is trained and the options don't choose."""
    chosen = any(word.split("=")[0] == "--feature_views" for word in options)
    head_alone = args.epochs_frozen and not args.fine_tune and args.model_type in POOLED
    if chosen or not head_alone or args.strategy != "none":
        return options
    views = FEATURE_VIEWS if args.augment != "none" else 1  # the others would be alike
    return [*options, "--feature_views", str(views)]


def share_of(runs, part, parts):
    """Share `part` of `parts` (from 1) of the runs; the shares are the same on every machine."""
    return runs[part - 1 :: parts]


def report_plan(runs):
    """Print the command of each run, and which are done already."""
    for run in runs:
        note = "done already" if run.metrics else shlex.join(["train_advanced.py", *run.options])
        print(f"{run.backbone:20s} {note}")


def report_estimate(runs):
    """Time a few training steps of each run that is to do, and print how long all will take."""
    todo = [run for run in runs if not run.metrics]
    seconds, unknown = 0.0, []
    for run in tqdm(todo, desc="estimating", unit="backbone", leave=False, disable=None):
        try:
            of_run = run_alone("util.step_time", **vars(run.args))["seconds"]
            print(f"{run.backbone:20s} about {format_time(of_run)}")
            seconds += of_run
        except ProcessFailed as reason:
            unknown.append(run.backbone)
            print(f"{run.backbone:20s} {reason}")
    if len(unknown) < len(todo):
        note = f", without {', '.join(unknown)}" if unknown else ""
        print(f"in all about {format_time(seconds)}{note}, one by one here\n", flush=True)


def train_run(run):
    """Train a run in a process of its own, unless it is done; a failure is kept with its reason.
    The process goes on with a run that was started, and ends with the one that called this."""
    if run.metrics:
        return
    print(f"\n--- {run.backbone}", flush=True)
    run.failure_file.unlink(missing_ok=True)
    going_on = ["--resume"] if (run.folder / "config.json").exists() else []
    child = [sys.executable, str(ROOT / "util" / "processes.py"), str(os.getpid())]
    result = run_to_its_end([*child, str(ROOT / "train_advanced.py"), *run.options, *going_on])
    if result.returncode != 0:
        run.fail(why_it_failed(result))


def run_to_its_end(command):
    """Run a command, as `subprocess.run` does, but that an interrupt leaves it the time to end: a
    training that is stopped removes what can't be gone on with. Ctrl-C reaches both; a command that
    has not ended after TIME_TO_NOTICE, as only this process was interrupted, is interrupted too."""
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            _, errors = process.communicate()
        except KeyboardInterrupt:
            interrupt = partial(process.send_signal, signal.SIGINT)
            for seconds, stop in ((TIME_TO_NOTICE, interrupt), (TIME_TO_STOP, process.kill)):
                try:
                    process.communicate(timeout=seconds)
                except subprocess.TimeoutExpired:
                    stop()
            raise
    return subprocess.CompletedProcess(command, process.returncode, stderr=errors)


def check_sweep(folder):
    """UserError when there is no sweep of that name."""
    if not folder.is_dir():
        raise UserError(f"no sweep to summarise ({folder}). Check --sweep and --results_dir.")


def check_summary(folder):
    """UserError when the table of a sweep can't be gone on with."""
    if (path := folder / "summary.csv").exists():
        read_summary(path)


def write_summary(folder, runs):
    """Write summary.csv of all runs, beside those that it held before and that are still there, and
    <backbone>_performance.json of the finished ones; returns the table, the smallest validation
    error first: the least of many test errors is small by luck as well."""
    folder.mkdir(parents=True, exist_ok=True)
    path, names = folder / "summary.csv", [run.backbone for run in runs]
    rows = []
    if path.exists():
        known = read_summary(path)
        there = known["backbone"].map(lambda name: (folder / name / METRICS).exists())
        kept = (known["status"] == "done") & ~known["backbone"].isin(names) & there
        rows = known[kept].to_dict("records")
    for run in runs:
        metrics = run.metrics
        rows.append(summarise(run, metrics))
        if metrics:
            more = {"metrics": metrics, "options": lasting_options(run.args)}
            write_json(folder / f"{run.backbone}_performance.json", rows[-1] | more)
    table = pd.DataFrame(rows).sort_values("val_mae", kind="stable")
    write_csv(path, table)
    return table


def read_summary(path):
    """The rows of a summary.csv, as it was left; UserError when it is none, or none any more."""
    try:
        rows = pd.read_csv(path, keep_default_na=False, na_values=[""], dtype={"backbone": str})
    except ValueError:  # empty, not text, or no table
        rows = pd.DataFrame()
    if not {"backbone", "status"} <= set(rows):
        raise UserError(f"no table of a sweep ({path}). Move it away, it is written anew.")
    return rows.dropna(subset=["backbone"])


def summarise(run, metrics):
    """The row of a run: errors in months with their 95 % interval, size, speed and time. `metrics`
    is None for a run that isn't finished."""
    row = {"backbone": run.backbone, "model_type": run.args.model_type}
    if not metrics:
        reason = run.failure
        status = "failed" if reason else "to do"
        return row | {"status": status, "val_mae": float("nan"), "reason": reason}
    test, history = metrics["test"], pd.read_csv(run.folder / "history.csv")
    config = Run(run.folder).config
    seconds = config.get("feature_seconds", 0)
    return row | {
        "status": "done",
        "n": test["n"],
        **{f"{split}_films": config["data"][split]["fingerprint"] for split in SPLITS},
        "test_mae": test["mae"],
        **dict(zip(("ci95_low", "ci95_high"), test["mae_ci95"] or 2 * [float("nan")], strict=True)),
        "bias": test["bias"],
        "val_mae": metrics["val"]["mae"],
        "median_baseline_mae": test["baseline"]["mae"],
        "parameters": metrics["model"]["parameters"],
        "films_per_second": metrics["model"]["films_per_second"],
        "epochs": len(history),
        "best_epoch": int(history.loc[best_row(history), "epoch"]),
        "training_minutes": (seconds + history["seconds"].sum()) / 60,
        "reason": "",
    }


def report_results(folder, table):
    """Print the sorted table and what is missing in it, and draw it."""
    from util.plots import plot_sweep

    done, failed, to_do = (table[table["status"] == s] for s in ("done", "failed", "to do"))
    if len(done):
        print(f"\n{format_table(done)}")
        plot = plot_sweep(done, folder / "backbones.png", folder.name)
        print(f"\nsummary {folder / 'summary.csv'}, picture {plot}")
        if changed := changed_splits(done):
            films = f"{', '.join(changed)} films"
            print(f"note: {films} changed between these runs: their errors can't be compared")
    for row in failed.itertuples():
        print(f"error: {row.backbone} failed: {row.reason.removeprefix('error: ')}")
    if len(to_do):
        print(f"to do: {', '.join(to_do['backbone'])}")


def changed_splits(done):
    """The splits whose films or labels are not the same in all finished runs, as far as their rows
    tell: those of earlier versions hold the fingerprint of test films alone."""
    columns = {split: f"{split}_films" for split in SPLITS}
    return [s for s, column in columns.items() if column in done and done[column].nunique() > 1]


def format_table(done):
    """The finished runs as a table for the terminal, in the order of the summary."""
    lines = [
        f"test films: {done['n'].iloc[0]:.0f}, errors in months, "
        f"median baseline {done['median_baseline_mae'].iloc[0]:.2f}; the best on validation films first",
        f"  {'backbone':20s}{'MAE':>7s}   {'95 % interval':16s}{'bias':>7s}{'validation':>12s}"
        f"{'parameters':>12s}{'films/s':>9s}{'minutes':>9s}",
    ]
    for row in done.itertuples():
        bounds = None if pd.isna(row.ci95_low) else (row.ci95_low, row.ci95_high)
        lines.append(
            f"  {row.backbone:20s}{row.test_mae:7.2f}   {format_interval(bounds):16s}{row.bias:+7.2f}"
            f"{row.val_mae:12.2f}{row.parameters / 1e6:11.1f}M{row.films_per_second:9.1f}"
            f"{row.training_minutes:9.1f}"
        )
    return "\n".join(lines)


def format_time(seconds):
    """Seconds as hours and minutes: 7500 is "2 h 5 min"."""
    minutes = max(1, round(seconds / 60))
    hours = f"{minutes // 60} h " if minutes >= 60 else ""
    return f"{hours}{minutes % 60} min"
