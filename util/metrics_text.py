"""Errors in months as text, for the terminal and for pages."""

from util.bootstrap import FEWEST_TO_COMPARE
from util.metrics import WITHIN


def format_metrics(metrics, title):
    """The metrics as a table for the terminal, the error first, beside the median baseline."""
    baseline, readings = metrics["baseline"], metrics.get("readings")
    source = baseline["source"].replace("training", "the training")
    lines = [
        f"{title}: {metrics['n']} films, errors in months",
        f"  {'':16s}{'n':>6s}{'MAE':>8s}   {'95 % interval':17s}{'bias':>7s}   95 % interval; ages by label",
        format_row("all films", metrics),
        *([format_row("as a reader says", readings)] if readings else []),
        f"  {'median baseline':16s}{metrics['n']:6d}{baseline['mae']:8.2f}   "
        f"{format_interval(baseline['mae_ci95']):13s}   "
        f"always {baseline['months']:.0f}, the median of {source}",
        *(format_row(name, row) for name, row in metrics["by_sex"].items() if row["n"]),
        *(format_row(name, row) for name, row in metrics["by_age"].items() if row["n"]),
        *format_by_predicted_age(metrics),
        f"  {format_within(metrics)}",
        f"  {format_spread(metrics)}",
        *(f"  {line}" for line in format_agreement(metrics)),
        *([f"  {format_gain_of_readings(readings)}"] if readings else []),
    ]
    if metrics["mae"] >= baseline["mae"]:
        lines.append("  note: on these films no better than the median baseline")
    return "\n".join(lines)


def format_within(metrics):
    """Shares of films: "within 6 months 55%, within 12 months 84%, within 24 months 98%"."""
    return ", ".join(
        f"within {months} months {metrics[f'within_{months}']:.0%}"
        for months in WITHIN
        if f"within_{months}" in metrics  # not in those of earlier versions
    )


def format_by_predicted_age(metrics):
    """Return rows by predicted age, below a line that says so; [] for metrics of older versions."""
    rows = metrics.get("by_predicted_age", {}).items()
    lines = [format_row(name, row) for name, row in rows if row["n"]]
    return ["  by the age that is predicted", *lines] if lines else []


def format_spread(metrics):
    """How errors spread: "RMSE 9.21 [8.49, 9.94], R2 0.952, 95 % limits of agreement -16.6 [-18.0,
    -15.2] to +19.2 [+17.8, +20.7]"."""
    interval = metrics.get("rmse_ci95")  # not in those of earlier versions
    parts = [f"RMSE {metrics['rmse']:.2f}" + (f" {format_interval(interval)}" if interval else "")]
    if metrics["r2"] is not None:
        parts.append(f"R2 {metrics['r2']:.3f}")
    if limits := metrics.get("limits_of_agreement"):  # not in those of earlier versions
        intervals = metrics.get("limits_of_agreement_ci95") or []
        ends = [f" {format_interval(bounds, '+', '.1f')}" for bounds in intervals] or ["", ""]
        texts = [f"{limit:+.1f}{end}" for limit, end in zip(limits, ends, strict=True)]
        parts.append(f"95 % limits of agreement {' to '.join(texts)}")
    return ", ".join(parts)


def format_agreement(metrics):
    """Return a line with the intraclass correlation and the slope of the difference, a list; [] if
    they are unknown, as in metrics of earlier versions."""
    if metrics.get("difference_slope") is None:
        return []
    icc = format_interval(metrics["icc_2_1_ci95"], form=".3f")
    slope = format_interval(metrics["difference_slope_ci95"], "+", ".3f")
    return [
        f"ICC(2,1) {metrics['icc_2_1']:.3f} {icc}, slope of the difference against the mean "
        f"{metrics['difference_slope']:+.3f} {slope}"
    ]


def format_comparison(comparison, names):
    """The comparison of two runs in words, the first against the second."""
    verdict = "no interval, as it is one film, or one child"
    if comparison["difference_ci95"]:
        low, high = comparison["difference_ci95"]
        better = names[1] if comparison["difference"] > 0 else names[0]
        word = "no clear difference" if low <= 0 <= high else f"{better} is better"
        if comparison["children"] < FEWEST_TO_COMPARE:
            word = "too few children to say which is better"
        verdict = f"95 % interval {format_interval((low, high), sign='+')}: {word}"
    return "\n".join(
        [
            f"on the same {comparison['n']} films, MAE in months:",
            f"  {comparison['mae_a']:8.2f}   {names[0]}",
            f"  {comparison['mae_b']:8.2f}   {names[1]}",
            f"  {comparison['difference']:+8.2f}   difference, {verdict}",
        ]
    )


def format_row(name, row):
    return (
        f"  {name:16s}{row['n']:6d}{row['mae']:8.2f}   {format_interval(row['mae_ci95']):17s}"
        f"{row['bias']:+7.2f}   {format_interval(row.get('bias_ci95'), sign='+')}"
    )


def format_gain_of_readings(readings):
    interval = format_interval(readings["difference_ci95"], sign="+")
    return f"MAE as a reader says minus that of the months {readings['difference']:+.2f} {interval}"


def format_interval(bounds, sign="", form=".2f"):
    """Format an interval, "-" for None: in months, or of shares by `form=".0%"`. For that of a
    difference use `sign="+"`."""
    return f"[{bounds[0]:{sign}{form}}, {bounds[1]:{sign}{form}}]" if bounds else "-"


def format_years(months):
    """Months as years and months: 136.2 is "11 y 4 mo"; below zero is 0."""
    whole = max(0, round(months))
    return f"{whole // 12} y {whole % 12} mo"
