"""A model card (Mitchell et al. 2019): what a run knows of its model, as a page of Markdown.

Every figure on it comes from the run's files: config.json, metrics.json and calibration.json.
"""

import shlex
from pathlib import PureWindowsPath

from util.backbones import sees_sex
from util.data_folder import SPLITS
from util.files import hash_file
from util.finished_runs import RESEARCH_ONLY
from util.markdown import describe_intervals, group_rows, made_with, markdown_table, table_of_errors
from util.metrics import CHILDREN
from util.option_rules import effective
from util.predicting.calibration import format_gain
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
        f"Bone age in months from a hand radiograph{sex}. **{RESEARCH_ONLY}**",
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
    """Return the command of a step, counted from 0: the options that act and aren't at their
    defaults, without those that no longer exist, and a run name by which the next step finds the
    run."""
    run_name = f"step_{number + 1}"
    options = effective(steps[number]["options"] | {"run_name": run_name})
    options = options | {"data_dir": PureWindowsPath(options.get("data_dir", "Data")).name}
    if number > 0:
        fold = steps[number - 1]["options"].get("fold")
        options["weights"] = f"results/step_{number}" + (f"/fold_{fold}" if fold else "")
    defaults = training_defaults()
    words = ["python", "train_advanced_streamlined.py", "--run_name", run_name]
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
