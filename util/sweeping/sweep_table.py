"""The table of a sweep, summary.csv: one row per backbone with its errors, size and speed."""

import math

import pandas as pd

from util.data_folder import SPLITS
from util.errors import UserError
from util.files import write_csv, write_json
from util.metrics_text import format_interval
from util.run_options import lasting_options
from util.runs import HISTORY, METRICS, best_row

HASHES = [f"{split}_{what}" for split in SPLITS for what in ("films", "files")]  # columns
FAILURE = "{}_failure.txt"  # of a backbone: why its last run failed


def write_summary(folder, runs):
    """Write summary.csv, and <backbone>_performance.json of each finished run; returns the table.

    The smallest validation error comes first, as the smallest of many test errors is small by luck
    as well. Rows of earlier commands stay while the files of their runs do.
    """
    folder.mkdir(parents=True, exist_ok=True)
    names = {run.backbone for run in runs}
    rows = [
        row
        for row in read_summary(folder).to_dict("records")
        if row["backbone"] not in names and has_evidence(folder, row["backbone"], row["status"])
    ]
    for run in runs:
        metrics = run.metrics
        rows.append(row_of_run(run, metrics))
        if metrics:
            more = {"metrics": metrics, "options": lasting_options(run.args)}
            write_json(folder / f"{run.backbone}_performance.json", rows[-1] | more)
    table = pd.DataFrame(rows).sort_values("val_mae", kind="stable")
    write_csv(folder / "summary.csv", table)
    return table


def has_evidence(folder, backbone, status):
    """Whether the file exists that a row of an earlier command is based on."""
    files = {"done": folder / backbone / METRICS, "failed": folder / FAILURE.format(backbone)}
    return status in files and files[status].exists()


def read_summary(folder):
    """Read the rows of a sweep's summary.csv, none if there is no such file; UserError when it is
    not the table of a sweep, or is damaged."""
    path = folder / "summary.csv"
    if not path.exists():
        return pd.DataFrame(columns=["backbone", "status"])
    try:
        kinds = dict.fromkeys(["backbone", *HASHES], str)  # a hash may be digits alone
        rows = pd.read_csv(path, keep_default_na=False, na_values=[""], dtype=kinds)
    except ValueError:  # empty, not text, or no table
        rows = pd.DataFrame()
    if not {"backbone", "status"} <= set(rows):
        raise UserError(f"not the table of a sweep ({path}). Move it away to get a new one.")
    return rows.dropna(subset=["backbone"])


def row_of_run(run, metrics):
    """Return the row of a run: errors in months with their 95 % interval, size, speed and time.
    `metrics` is None for a run that isn't finished."""
    row = {"backbone": run.backbone, "model_type": run.args.model_type}
    if not metrics:
        reason = run.failure
        status = "failed" if reason else "to do"
        return row | {"status": status, "val_mae": math.nan, "reason": reason}
    test, history = metrics["test"], pd.read_csv(run.path(HISTORY))
    low, high = test["mae_ci95"] or (math.nan, math.nan)
    config = run.config
    data, seconds = config["data"], config.get("feature_seconds", 0)
    return row | {
        "status": "done",
        "n": test["n"],
        **{f"{split}_films": data[split]["fingerprint"] for split in SPLITS},
        **{f"{split}_files": data[split].get("files") for split in SPLITS},
        "test_mae": test["mae"],
        "ci95_low": low,
        "ci95_high": high,
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


def report_results(folder, runs, mine):
    """Write, print and draw the table of all `runs`, and print those that failed or are still to
    do. Returns the exit code: 1 when some of the runs of this command, `mine`, are not finished."""
    from util.plots import plot_sweep

    table = write_summary(folder, runs)
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
    return int(not all(run.metrics for run in mine))


def changed_splits(done):
    """Return the splits whose films or labels are not the same in all finished runs."""
    hashes = done.reindex(columns=HASHES)  # tables of earlier versions have fewer
    return [split for split in SPLITS if (hashes.filter(like=f"{split}_").nunique() > 1).any()]


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
