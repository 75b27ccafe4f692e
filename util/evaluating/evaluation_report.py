"""The report of an evaluation: the figures of its metrics.json as a page of Markdown."""

from pathlib import Path

from util.evaluating.evaluated_films import flow_lines
from util.markdown import describe_intervals, group_rows, made_with, markdown_table, table_of_errors
from util.metrics_text import format_agreement, format_gain_of_readings
from util.predicting.members import format_members
from util.tables.readers import format_readers


def evaluation_report(metrics, title):
    """Return the report of an evaluation, given what its metrics.json holds."""
    parts = [
        f"# {title}",
        "\n".join(f"- {line}" for line in flow_lines(metrics)),
        "## Errors",
        table_of_errors("films", {"**all**": metrics} | group_rows(metrics), metrics),
        *(f"{line}." for line in format_agreement(metrics)),
    ]
    if "readings" in metrics:
        parts.append(f"{format_gain_of_readings(metrics['readings'])}.")
    if "reader_agreement" in metrics:
        parts.append(as_printed(format_readers(metrics["reader_agreement"])))
    if "members" in metrics:
        parts.append(as_printed(format_members(metrics["members"])))
    if metrics["intervals"]:
        parts += ["## Intervals", describe_intervals(metrics["intervals"], "films")]
    if metrics["notes"]:
        parts += ["## Notes", "\n".join(f"- {note}" for note in metrics["notes"])]
    return "\n\n".join([*parts, "## Made with", describe_models(metrics)]) + "\n"


def as_printed(text):
    return f"```\n{text}\n```"


def describe_models(metrics):
    """Describe the models of an evaluation, and the software that evaluated them."""
    models = zip(metrics["runs"], metrics["models"], metrics["runtimes"], strict=True)
    rows = [
        [f"model `{Path(run).name}`", f"SHA-256 `{digest}`, {runtime}"]
        for run, digest, runtime in models
    ]
    environment = metrics["environment"]
    software = f"Python {environment['python']}, {made_with(environment)}"
    return markdown_table(["", ""], [*rows, ["software", software]])
