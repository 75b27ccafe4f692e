"""The quality report as one page of HTML that holds its pictures, so that it can be mailed."""

import base64
from html import escape

import cv2
import numpy as np
import pandas as pd

SHOWN_ROWS = 20  # rows of each check on the page; the CSV has all

PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width"><title>Data quality</title><style>
body {{ font: 15px/1.5 sans-serif; max-width: 1100px; margin: 2em auto; padding: 0 1em; color: #222 }}
table {{ border-collapse: collapse }}
.table {{ overflow-x: auto; margin: .5em 0 1.5em }}
th, td {{ text-align: left; padding: .25em .8em .25em 0; border-bottom: 1px solid #ddd }}
td {{ vertical-align: top }} img {{ max-width: 100% }} summary {{ cursor: pointer }}
.verdict {{ font-size: 1.2em; padding: .6em 1em; border-left: 6px solid {colour}; background: #f5f5f5 }}
</style></head><body>
<h1>Data quality of hand radiographs</h1>
<p class="verdict">{verdict}</p>
{body}
</body></html>
"""
CHECKED = (
    "Every row of the tables and every film that belongs to a row was checked: missing and "
    "impossible values, ids that occur twice, patients in two splits, films that are missing, cut "
    "off or empty, and pictures that occur twice, even if saved in another size, format or "
    "brightness. A picture in two splits makes a model look better than it is. Ages are in months. "
    "Rows are numbered as in a spreadsheet, with the header as row 1; usable rows are those that "
    "training uses."
)
MEANING = (
    "Serious: correct it before training. Look: may be right; judge by eye. "
    "All flagged rows are in flagged.csv, groups of the same picture in same_pictures.csv."
)


def html_page(summary, flags, pictures):
    """Return the report as one page, with its pictures inside, that a stranger understands."""
    flagged = summary["flagged"]
    verdict = (
        f"{summary['serious']} serious findings and {summary['to_look_at']} to look at "
        f"in {summary['rows']} rows."
        if flagged
        else f"Nothing is wrong with {summary['rows']} rows and their films."
    )
    where = escape(f"The data folder {summary['data_dir']}, on {summary['date']}.")
    wrong = pd.DataFrame(summary["checks"])
    parts = [
        ("What was checked", f"<p>{where}</p><p>{CHECKED}</p>"),
        ("What is wrong, and what to do", html_table(wrong) + html_flags(flags)),
        ("Rows, sex and age", html_table(pd.DataFrame(summary["splits"]))),
        ("Films", html_table(pd.DataFrame(summary["films"]))),
        ("Missing (NaN) and infinite values", html_columns(pd.DataFrame(summary["columns"]))),
        ("Notes", "".join(f"<p>{escape(note)}</p>" for note in summary["notes"])),
        *((title, html_picture(path, title)) for title, path in pictures.items()),
    ]
    body = "\n".join(f"<h2>{escape(title)}</h2>\n{text}" for title, text in parts if text)
    return PAGE.format(verdict=verdict, body=body, colour="#D55E00" if flagged else "#0072B2")


def html_table(frame):
    """Return a frame as a table, its text escaped; "" when it has no rows."""
    if frame.empty:
        return ""
    head = "".join(f"<th>{escape(str(name).replace('_', ' '))}</th>" for name in frame)
    rows = (
        "<tr>" + "".join(f"<td>{'' if pd.isna(v) else escape(str(v))}</td>" for v in row) + "</tr>"
        for row in frame.itertuples(index=False)
    )
    table = f"<table><tr>{head}</tr>\n" + "\n".join(rows) + "\n</table>"
    return f'<div class="table">{table}</div>'


def html_columns(columns):
    """Return the columns of all tables with their missing and infinite values, or only that there
    are none; "" when there is no table."""
    if columns.empty or columns[["missing", "infinite"]].any(axis=None):
        return html_table(columns)
    splits = ", ".join(columns["split"].unique())
    return f"<p>None in the {len(columns)} columns of {splits}.</p>"


def html_flags(flags):
    """The first flagged rows of each check, folded away."""
    folded = []
    for check, part in flags.groupby("check", sort=False):
        rows = html_table(part.head(SHOWN_ROWS)[["split", "row", "id", "file", "detail"]])
        more = len(part) - SHOWN_ROWS
        rest = f"<p>{more} more are in flagged.csv.</p>" if more > 0 else ""
        folded.append(f"<details><summary>{check}: {len(part)}</summary>{rows}{rest}</details>")
    return "\n".join([f"<p>{MEANING}</p>", *folded]) if folded else ""


def html_picture(path, title):
    """Return a picture as HTML that holds its data; as JPEG, so that the page is small enough to
    mail."""
    # not by its name: OpenCV ends the process if that is not Unicode
    picture = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
    data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 88])[1]
    coded = base64.b64encode(data).decode()
    return f'<img alt="{escape(title)}" src="data:image/jpeg;base64,{coded}">'
