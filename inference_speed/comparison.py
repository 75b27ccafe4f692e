"""Read the CSV of a benchmark and compare its backbones and routes."""

from contextlib import suppress

import numpy as np
import pandas as pd

from util.errors import UserError

REQUIRED = ("backbone", "batch_size", "median_inference_time_s", "total_params")
REQUIRED_VALUES = ("backbone", "route", "total_params")  # of every case that is compared
NAMES = ("backbone", "route", "status")  # stay text, even if digits alone
NUMBERS = (
    "batch_size",
    "median_inference_time_s",
    "p95_inference_time_s",
    "peak_memory_mb",
    "total_params",
    "num_runs",
    "img_height",
    "img_width",
)
# for columns that a CSV lacks: earlier versions timed model.predict alone, and kept no failures
MISSING = dict.fromkeys(NUMBERS, np.nan) | {"route": "predict", "status": "ok"}
# what was timed and where, as far as a CSV has these columns
TOLD = (
    "{model_type} models",
    "{img_height:.0f} x {img_width:.0f} pixels",
    "{num_runs:.0f} runs a case",
    "{processor}",
    "{gpu_info}",
    "TensorFlow {tensorflow_version}",
)


def read_benchmark(path):
    """Read a benchmark. Returns (frame of timed cases, frame of failed ones with their status).

    Adds to the timed cases `ms` (milliseconds per image) and `rate` (images/s), both by the median,
    and `ms_p95`, by the 95th percentile. Raises UserError for a file that is no benchmark or has no
    timed case.
    """
    table = read_cases(path)
    missing = [name for name in REQUIRED if name not in table]
    if missing:
        raise UserError(
            f"not a CSV of the benchmark: no column {', '.join(missing)} ({path}). "
            "Choose a file of compute_inference_speed."
        )
    table = table.assign(**{name: value for name, value in MISSING.items() if name not in table})
    for name in NUMBERS:
        try:
            table[name] = pd.to_numeric(table[name]).replace([np.inf, -np.inf], np.nan)
        except (ValueError, TypeError):
            raise UserError(
                f"{name} has a non-numeric value ({path}). Choose an unchanged file."
            ) from None
    seconds = table["median_inference_time_s"]
    fine = (table["status"] == "ok") & (seconds > 0) & (table["batch_size"] > 0)
    fine &= table[list(REQUIRED_VALUES)].notna().all(axis=1)
    lost = (table["status"] == "ok") & ~fine
    failed = table.assign(status=table["status"].mask(lost, "values are missing"))[~fine]
    failed = failed.fillna({name: f"no {name}" for name in NAMES})
    if not fine.any():
        reason = f": {failed['status'].iloc[0]}" if len(failed) else ""
        raise UserError(f"no timed case in the file{reason} ({path}). Run the benchmark again.")
    size = table["batch_size"]
    table["ms"] = 1000 * seconds / size
    table["ms_p95"] = 1000 * table["p95_inference_time_s"] / size
    table["rate"] = size / seconds
    return table[fine].reset_index(drop=True), failed


def read_cases(path):
    if not path.is_file():
        raise UserError(f"no such file ({path}). Check --csv_file.")
    try:
        return pd.read_csv(path, dtype=dict.fromkeys(NAMES, str))
    except ValueError:  # empty, not text, or no table
        raise UserError(f"not a CSV ({path}). Choose a file of compute_inference_speed.") from None


def compare_backbones(timed):
    """Return one row per backbone, the quickest first: its best route, which has the highest
    images/s at any batch size, and what that route reaches.

    `compiled_speedup` is the time of route `predict` divided by that of `compiled`, both at batch
    1. Columns have the names that earlier versions gave them.
    """
    rows = [compare_routes(cases) for _, cases in timed.groupby("backbone", sort=False)]
    return pd.DataFrame(rows).sort_values("best_throughput", ascending=False, ignore_index=True)


def compare_routes(cases):
    best = cases.loc[cases["rate"].idxmax()]
    single = cases[cases["batch_size"] == 1].groupby("route")["ms"].median()
    ms = single.get(best["route"], np.nan)
    millions = best["total_params"] / 1e6
    return {
        "backbone": best["backbone"],
        "best_route": best["route"],
        "single_image_time_ms": ms,
        "single_image_throughput": 1000 / ms,
        "best_throughput": best["rate"],
        "best_throughput_batch_size": int(best["batch_size"]),
        "compiled_speedup": single.get("predict", np.nan) / single.get("compiled", np.nan),
        "peak_memory_mb": best["peak_memory_mb"],
        "total_parameters": int(best["total_params"]),
        "parameters_millions": millions,
        "efficiency_img_per_sec_per_million_params": 1000 / ms / millions,
    }


def format_backbones(timed, comparison):
    """Return the comparison as text for the terminal, below a line on what was timed and where."""
    lines = [
        f"{describe_benchmark(timed)}\n",
        f"{'':20s}  {'best':14s}{'ms an image':>12s}{'images/s':>10s}{'at':>7s}{'memory':>8s}"
        f"{'parameters':>12s}{'compiled':>11s}",
        f"{'backbone':20s}  {'route':14s}{'at batch 1':>12s}{'at best':>10s}{'batch':>7s}{'MB':>8s}"
        f"{'millions':>12s}{'speed-up':>11s}",
    ]
    for row in comparison.itertuples():
        speedup = f"x {row.compiled_speedup:.1f}" if row.compiled_speedup > 0 else "-"
        lines.append(
            f"{row.backbone:20s}  {row.best_route:14s}{known(row.single_image_time_ms, 12, 1)}"
            f"{row.best_throughput:10.1f}{row.best_throughput_batch_size:7d}"
            f"{known(row.peak_memory_mb, 8, 0)}{row.parameters_millions:12.1f}{speedup:>11s}"
        )
    return "\n".join(lines)


def known(value, width, decimals):
    return f"{'-':>{width}s}" if np.isnan(value) else f"{value:{width}.{decimals}f}"


def describe_benchmark(timed):
    """Return what was timed and where, as far as the CSV says."""
    first, parts = timed.iloc[0].dropna(), []
    for words in TOLD:
        with suppress(KeyError):
            parts.append(words.format_map(first))
    return ", ".join(parts) or "the file does not say what was timed and where"


def describe_failures(failed):
    """Return one line for all failed cases of a backbone with the same reason, a list."""
    lines = []
    for (backbone, reason), rows in failed.groupby(["backbone", "status"], sort=False):
        sizes = " ".join(f"{size:g}" for size in rows["batch_size"].unique())
        routes = " ".join(rows["route"].unique())
        lines.append(f"{backbone}, batch {sizes}, {routes}: {reason}")
    return lines
