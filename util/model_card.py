"""A model card (Mitchell et al. 2019): what a run knows of its model, as a page of Markdown.

Every figure on it comes from the run's files: config.json, metrics.json and calibration.json.
"""

import shlex
from pathlib import PureWindowsPath

from util.backbones import sees_sex
from util.calibration import format_gain
from util.data_folder import SPLITS
from util.files import hash_file
from util.intervals import LEVEL
from util.metrics import CHILDREN
from util.metrics_text import format_interval, format_spread, format_within
from util.run_options import FREE_TO_CHANGE
from util.runs import MODEL, configs_of
from util.split_records import one_sex_note
from util.training_options import training_defaults
from util.tta import chosen_views, describe_views, views_key, views_suffix

TO_COMPLETE = """\
## What the run doesn't know

State these with the model, here or beside this page:

- where its films come from (hospitals, years, machines, children), and what they and the model may be used for;
- who labelled them, by which atlas, and how many readers saw each film;
- whether test films had a part in choosing the recipe: the errors above are then a little too small;
- errors on films from elsewhere: `python evaluate.py RUN --csv labels.csv --images films/`."""


def model_card(run, name):
    """Return the card of a finished run: Markdown, with `name` as its title."""
    config, metrics = run.config, run.metrics
    views = chosen_views(config["options"])
    calibration = run.calibrations.get(views_key(views))
    sex = " and the child's sex" if sees_sex(config["options"]["model_type"]) else ""
    steps = list(configs_of(config))[::-1]  # trainings, the first one first
    parts = [
        f"# {name}",
        f"Bone age in months from a hand radiograph{sex}. "
        "**Research use only: not a medical device.**",
        describe_model(run.path(MODEL), config, metrics, views),
        describe_films(steps),
        describe_training(steps),
        describe_errors(metrics, views),
        "## Linear correction and intervals",
        describe_lines(calibration, sees_sex(config["options"]["model_type"])),
        describe_intervals(metrics["test" + views_suffix(views)]["intervals"]),
        TO_COMPLETE,
    ]
    return "\n\n".join(parts) + "\n"


def describe_model(path, config, metrics, views):
    options, mb = config["options"], path.stat().st_size / 1e6
    size, fit = options["img_size"], options["fit"]
    sex = ", and sex `(N, 1)`, 1 = male" if sees_sex(options["model_type"]) else ""
    facts = {
        "network": f"{options['backbone']}, `--model_type {options['model_type']}`, "
        f"{metrics['model']['parameters']:,} parameters",
        "takes": f"films 0-255 `(N, {size}, {size}, 1)`, as "
        f'`util.pixel_cache.read_pixels(paths, {size}, "{fit}")` prepares them{sex}',
        "gives": f"months `(N, 1)`; `predict.py` gives {describe_views(views)} of a film",
        "file": f"`{MODEL}`, {mb:.2f} MB, SHA-256 `{hash_file(path)}`",
        "made with": made_with(config),
    }
    return markdown_table(["", ""], facts.items())


def made_with(environment):
    """Describe the versions and the commit in what `util.environment.environment` returns."""
    versions = [f"{name} {version}" for name, version in environment.get("versions", {}).items()]
    commit = environment.get("git_commit")
    return f"{', '.join(versions)}; " + (f"commit `{commit}`" if commit else "commit unknown")


def describe_films(steps):
    """Describe the splits of the last step, and those of earlier steps that differ from them."""
    head = ["split", "films", "mean label (months)", "SD", "median", "fingerprint"]
    *before, last = steps
    rows = [row_of_split(split, last["data"][split]) for split in SPLITS]
    for number, step in enumerate(before, start=1):
        rows += [
            row_of_split(f"{split} of step {number}", step["data"][split])
            for split in SPLITS
            if step["data"][split]["fingerprint"] != last["data"][split]["fingerprint"]
        ]
    note = one_sex_note(last["data"]["train"])
    return (
        f"## Films\n\n{markdown_table(head, rows)}\n\n"
        "(The fingerprint is a hash of ids, sexes and labels in their order.)"
        + (f"\n\n**Note:** {note}." if note else "")
    )


def row_of_split(name, facts):
    labels = (f"{facts[number]:.1f}" for number in ("mean", "sd", "median"))
    return [name, f"{facts['n']:,}", *labels, facts["fingerprint"]]


def describe_training(steps):
    """Describe the command of each step, what the commands leave out, and the commits."""
    commands = [command_of(steps, number) for number in range(len(steps))]
    variables = [f"{name}={value}" for name, value in steps[-1].get("variables", {}).items()]
    under = f"\n\nEnvironment variables: `{' '.join(variables)}`." if variables else ""
    known = training_defaults().keys() | {"preset"}
    gone = {name for step in steps for name in step["options"]} - known
    if len(steps) > 1 or gone:
        commits = ", ".join(f"`{step.get('git_commit') or 'unknown'}`" for step in steps)
        under += f"\n\nCommits, step by step: {commits}."
    if gone:
        under += (
            f"\n\nOptions that are gone since and not in the commands: {', '.join(sorted(gone))}. To "
            "repeat the training take those commits, and these options of config.json."
        )
    return "## Training\n\n```\n" + "\n".join(commands) + f"\n```{under}"


def command_of(steps, number):
    """Return the command of a step, counted from 0: the options that aren't at their defaults,
    without those that no longer exist, and a run name by which the next step finds the run."""
    options = steps[number]["options"]
    options = options | {"data_dir": PureWindowsPath(options.get("data_dir", "Data")).name}
    if number > 0:
        fold = steps[number - 1]["options"].get("fold")
        options["weights"] = f"results/step_{number}" + (f"/fold_{fold}" if fold else "")
    defaults = training_defaults()
    words = ["python", "train_advanced_streamlined.py", "--run_name", f"step_{number + 1}"]
    for name, value in options.items():
        known = name in defaults and name not in FREE_TO_CHANGE
        if known and value not in (None, defaults[name]):
            words += [f"--{name}"] if value is True else [f"--{name}", str(value)]
    return shlex.join(words)


def describe_errors(metrics, views):
    """Describe errors on test films in months, by sex and age, beside the median baseline."""
    test, val = (metrics[split + views_suffix(views)] for split in ("test", "val"))
    rows = {f"**all**, {describe_views(views)}": test}
    if views > 1:
        rows["all, the film alone"] = metrics["test"]
    rows |= group_rows(test)
    rows[f"validation films, {describe_views(views)}"] = val
    return f"## Errors\n\n{table_of_errors('test films', rows, test)}"


def group_rows(metrics):
    """Return {name: errors} of what a reader would say, if known, and by sex and age."""
    rows = {}
    if "readings" in metrics:
        rows["all, as a reader would say"] = metrics["readings"]
    rows |= {CHILDREN[sex]: row for sex, row in metrics["by_sex"].items()} | metrics["by_age"]
    for sex, bands in metrics["by_sex_and_age"].items():
        rows |= {f"{CHILDREN[sex]}, {band}": row for band, row in bands.items()}
    predicted = metrics.get("by_predicted_age", {})  # not in those of earlier versions
    return rows | {f"{band}, as predicted": row for band, row in predicted.items()}


def table_of_errors(films, rows, metrics):
    """Return a table of errors: `rows` {name: errors}, which are of `films` (such as "test films"),
    and the median baseline in `metrics`; and how errors spread in these."""
    baseline = metrics["baseline"]
    rows = rows | {
        f"median baseline (always {baseline['months']:.0f})": baseline | {"n": metrics["n"]}
    }
    head = [films, "n", "MAE", "95 % interval", "bias", "95 % interval"]
    return "\n\n".join(
        [
            "In months, against the labels of the films. Ages in the table are labels, but for the rows "
            '"as predicted": by label the youngest come out too old and the oldest too young with any '
            "prediction that is not certain, so correct no predicted age by them.",
            markdown_table(
                head, [error_cells(name, row) for name, row in rows.items() if row["n"]]
            ),
            f"{format_spread(metrics)}; {format_within(metrics)}.",
        ]
    )


def error_cells(name, row):
    """A row of the table of errors; a baseline has no bias."""
    bias = f"{row['bias']:+.2f}" if "bias" in row else "-"
    bounds = row.get("bias_ci95")
    interval = format_interval(row["mae_ci95"])
    return [name, row["n"], f"{row['mae']:.2f}", interval, bias, format_interval(bounds, sign="+")]


def describe_lines(calibration, per_sex):
    """Describe the linear correction, of each sex or of all films, and what it is worth."""
    if not calibration or not calibration["gain"]:
        return "No linear correction: there were too few validation films."
    lines = calibration["lines"] or {}
    kept = "is applied" if lines else "is not applied"
    return "\n\n".join(
        [
            f"A line{' for each sex' if per_sex else ''} {kept}: {format_gain(calibration['gain'])}.",
            *(
                f"- {CHILDREN[sex]}: {line['slope']:.3f} x months {line['intercept']:+.1f}, between "
                f"{line['low']:.0f} and {line['high']:.0f}"
                for sex, line in lines.items()
            ),
        ]
    )


def describe_intervals(coverage, films="test films"):
    """Describe the half widths of intervals, and how many labels of `films` they hold; for
    `coverage` see `measure_coverage`."""
    if not coverage:
        return "No intervals: there were too few validation films."
    head = [
        "films, by the age that is predicted",
        "mean half width (months)",
        films,
        "labels inside",
        "95 % interval",
    ]
    rows = [
        [
            CHILDREN.get(name, name),
            f"{band['half_width']:.1f}",
            band["n"],
            f"{band['covered']:.0%}",
            format_interval(band["covered_ci95"], form=".0%"),
        ]
        for name, band in coverage.items()
        if name != "expected"
    ]
    title = f"{LEVEL} intervals, split-conformal by the age that is predicted:"
    return f"{title}\n\n{markdown_table(head, rows)}"


def markdown_table(head, rows):
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(str, cells))} |" for cells in lines)
