"""The findings of `util.quality` for people: on the terminal, as pictures, one page of HTML, CSV
and JSON."""

import json
from datetime import date

import pandas as pd

from util.data_folder import SPLITS
from util.files import as_unicode, write_csv, write_json, write_text
from util.image_kinds import ENDINGS
from util.quality.flags import CHECKS, LOOK, SERIOUS
from util.quality.page import html_page
from util.quality.plots import draw_pictures
from util.quality.same_pictures import COPY_BITS, COPY_CORRELATION, HASH_BITS
from util.split_table import format_splits, label_facts

EXAMPLE_LETTERS = 70  # at most


def write_report(audit, out, seed):
    """Write flagged.csv, same_pictures.csv, findings.json, plots/*.png and report.html into the
    folder `out`. `seed` chooses the films shown. Returns (summary, paths of the pictures)."""
    summary = summary_of(audit)
    same = audit.same[
        ["group", "split", "id", "boneage", "sex", "file", "match", "correlation"]
    ].rename(columns={"sex": "male"})
    write_csv(out / "flagged.csv", audit.flags)
    write_csv(out / "same_pictures.csv", same)
    details = {
        "flags": audit.flags,
        "same_pictures": same,
        "films_without_row": audit.tables.unlabelled,
    }
    write_json(out / "findings.json", summary | {k: records(v) for k, v in details.items()})
    pictures = draw_pictures(audit, out / "plots", seed)
    write_text(out / "report.html", html_page(summary, audit.flags, pictures))
    return summary, pictures


def records(frame):
    """Return a frame as a list of dictionaries for JSON, with None for missing values."""
    return json.loads(frame.to_json(orient="records"))


# --------------------------------------------------------------------------------------- numbers


def summary_of(audit):
    """Return the findings in numbers: a dictionary of lists and numbers, ready for JSON."""
    found = dict(iter(audit.flags.groupby("check")))
    checks = [
        {
            "severity": severity,
            "check": check,
            "n": len(found[check]),
            "example": name_flag(found[check].iloc[0]),
            "advice": advice,
        }
        for check, (severity, advice) in CHECKS.items()
        if check in found
    ]
    return {
        "data_dir": as_unicode(audit.tables.folder),
        "date": date.today().isoformat(),
        "rows": len(audit.tables.rows),
        "flagged": len(audit.flags),
        "serious": int((audit.flags["severity"] == SERIOUS).sum()),
        "to_look_at": int((audit.flags["severity"] == LOOK).sum()),
        "checks": checks,
        "splits": [split_numbers(audit, split) for split in audit.tables.rows["split"].unique()],
        "columns": records(audit.tables.columns.drop(columns="is_age")),
        "films": film_kinds(audit.films),
        "notes": describe_notes(audit),
        "same_picture_means": {
            "exact": "the same pixels",
            "re-encoded": f"at most {COPY_BITS} of {HASH_BITS} hash bits differ and thumbnails "
            f"correlate by at least {COPY_CORRELATION}",
        },
    }


def name_flag(flag):
    """Return in words which row a flag is about, and why."""
    row = "" if pd.isna(flag["row"]) else f"row {flag['row']}"
    name = next((flag[k] for k in ("file", "id") if isinstance(flag[k], str) and flag[k]), "")
    return " ".join(word for word in (flag["split"], row, name, flag["detail"]) if word)


def split_numbers(audit, split):
    """Return the rows and usable films of a split, with the sex and age (months) of the usable
    films."""
    usable = audit.usable[audit.usable["split"] == split]
    rows = int((audit.tables.rows["split"] == split).sum())
    return {"split": split, "rows": rows, "usable": len(usable), **label_facts(usable)}


def film_kinds(films):
    """Kinds of films by split: n, kind, depth in bits, sizes in pixels."""
    read = films[films["depth"] > 0]
    found = []
    for (split, kind, depth), part in read.groupby(["split", "kind", "depth"], sort=False):
        by_area = part.assign(area=part["width"] * part["height"]).sort_values(["area", "width"])
        least, median, most = (
            f"{by_area['width'].iloc[k]} x {by_area['height'].iloc[k]}"
            for k in (0, len(part) // 2, -1)
        )
        size = least if least == most else f"{least} to {most}, median {median}"
        found.append(
            {"split": split, "n": len(part), "kind": kind, "bits": int(depth), "pixels": size}
        )
    return found


def describe_notes(audit):
    """Return sentences, a list, on what is worth knowing but not wrong."""
    notes = []
    for split, part in audit.tables.unlabelled.groupby("split", sort=False):
        folder, table = SPLITS[split]
        few = ", ".join(part["file"].head(3))
        notes.append(
            f"films in {folder}/ without a row in {table}, not used: {len(part)}, such as {few}"
        )
    films = audit.films[audit.films["depth"] > 0]
    odd = [
        kind != "DICOM" and not path.lower().endswith(ENDINGS[kind])  # DICOM often has none
        for path, kind in zip(films["path"], films["kind"], strict=True)
    ]
    if any(odd):
        first = films[odd].iloc[0]
        notes.append(
            f"films that are not what their ending says, read by content: {sum(odd)}, such as "
            f"{first['file']} ({first['kind']})"
        )
    sizes = films[["width", "height"]].drop_duplicates()
    if len(films) > 1 and len(sizes) == 1 and sizes["width"].iloc[0] == sizes["height"].iloc[0]:
        notes.append(
            "all films are squares of one size: if they were squeezed into it, films that kept "
            "their aspect ratio look different to a model trained on these with --fit pad"
        )
    return notes


# -------------------------------------------------------------------------------------- terminal


def format_summary(summary):
    """The findings as text for the terminal."""
    splits = {row["split"]: row for row in summary["splits"]}
    lines = [
        *format_splits(splits, "rows", "usable"),
        "",
        "films" if summary["films"] else "no film was read",
    ]
    lines += [
        f"  {row['split']:6s}{row['n']:7d}  {row['kind']}, {row['bits']} bit, {row['pixels']} pixels"
        for row in summary["films"]
    ]
    gaps = [row for row in summary["columns"] if row["missing"] or row["infinite"]]
    if gaps:
        lines += ["", "missing (NaN) and infinite values"]
        width = max(len(row["column"]) for row in gaps)
        lines += [
            f"  {row['split']:6s}{row['column']:{width}s}{row['missing']:7d} missing"
            f"{row['infinite']:7d} infinite of {row['rows']}"
            for row in gaps
        ]
    if summary["flagged"]:
        lines += ["", f"flagged: {summary['serious']} serious, {summary['to_look_at']} to look at"]
        width = max(len(row["check"]) for row in summary["checks"])
        lines += [f"  {'':8s}{'n':>6s}  {'what':{width}s}  first example"]
        lines += [
            f"  {row['severity']:8s}{row['n']:6d}  {row['check']:{width}s}  {shorten(row['example'])}"
            for row in summary["checks"]
        ]
    else:
        lines += ["", f"nothing flagged in {summary['rows']} rows and their films"]
    if summary["notes"]:
        lines += ["", *(f"note: {note}" for note in summary["notes"])]
    return "\n".join(lines)


def shorten(text):
    return text if len(text) <= EXAMPLE_LETTERS else f"{text[: EXAMPLE_LETTERS - 3]}..."
