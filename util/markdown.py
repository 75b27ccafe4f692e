"""Parts of model cards and of reports of evaluations, in Markdown."""

from util.metrics import CHILDREN
from util.metrics_text import format_interval, format_spread, format_within
from util.predicting.intervals import LEVEL


def markdown_table(head, rows):
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(str, cells))} |" for cells in lines)


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


def group_rows(metrics):
    """Return {name: errors} of what a reader would say, if known, and by sex and age."""
    rows = {}
    if "readings" in metrics:
        rows["all, as a reader would say"] = metrics["readings"]
    rows |= {CHILDREN[sex]: row for sex, row in metrics["by_sex"].items()} | metrics["by_age"]
    # earlier versions had neither of these
    for sex, bands in metrics.get("by_sex_and_age", {}).items():
        rows |= {f"{CHILDREN[sex]}, {band}": row for band, row in bands.items()}
    predicted = metrics.get("by_predicted_age", {})
    return rows | {f"{band}, as predicted": row for band, row in predicted.items()}


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


def made_with(environment):
    """Describe the versions and the commit in what `util.environment.environment` returns."""
    versions = [f"{name} {version}" for name, version in environment.get("versions", {}).items()]
    commit = environment.get("git_commit")
    return f"{', '.join(versions)}; " + (f"commit `{commit}`" if commit else "commit unknown")
