"""Tables, as CSV of any encoding and separator or as Excel workbooks, read as text."""

import csv
import io
import re
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

from util.errors import UserError, first_line, print_note

WORKBOOKS = (".xlsx",)  # used only where no other table holds labels: one may be made from them
TABLE_ENDINGS = (".csv", *WORKBOOKS)
# first bytes of files
XLSX = b"PK\x03\x04"
XLS = b"\xd0\xcf\x11\xe0"
MOST_CELLS = 20_000_000  # of a sheet: all rows that it may have, in 19 columns


class NoLabels(UserError):
    """A table that lacks a column, or has no rows."""


class NoRows(NoLabels):
    """A table with only a header, or an empty file."""


class NoTable(UserError):
    """A file that is no table, or a damaged one."""


class TooManyCells(ValueError):
    """A sheet with a cell far from the others."""


def read_table(path):
    """Read a CSV or an .xlsx workbook, all as text, without blank rows, indexed by the number of
    each row as a spreadsheet counts: the header is row 1, and blank rows count.

    A CSV may be in UTF-8, UTF-16 or Windows' Western letters, with commas, semicolons or tabs.
    UserError if there is no such file, NoRows if it has no rows, NoTable if it is no table. Its
    `attrs["advice"]`, if any, says what to do if it holds no labels; `attrs["merged"]` of a
    workbook is {"C1:D1": the columns that share this header cell}.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"no such table ({path}). Check the path.")
    try:
        data = path.read_bytes()
        table = (read_workbook if data.startswith(XLSX) else read_csv)(data, path)
    except pd.errors.EmptyDataError:
        raise NoRows(f"the table is empty ({path}). Check the file.") from None
    except (ValueError, csv.Error, OSError) as error:  # pandas' own errors are ValueErrors
        reason = first_line(error)
        raise NoTable(
            f"not a readable table: {reason} ({path}). Save it as CSV in UTF-8."
        ) from None
    if table.empty:
        advice = table.attrs.get("advice") or "Check the file."
        raise NoRows(f"the table has no rows ({path}). {advice}")
    return table


def read_csv(data, path):
    """Read the bytes of a CSV, see `read_table`. Raises what pandas and `csv` raise, or NoTable."""
    text, is_guess = decode_text(data, path)
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if text.lower().startswith("sep="):
        # this line is for Excel alone; an empty line in its place keeps the line numbers
        text = "\n" + text.partition("\n")[2]
    header = re.match(r'("[^"]*"|[^"\n])*', text.lstrip())[0].rstrip()
    unquoted = re.sub('"[^"]*"', "", header)
    if not unquoted and re.search("[,;\t]", header):
        raise NoTable(f"whole rows are in quotation marks: {header[:60]} ({path}). Remove them.")
    separator = max(",;\t", key=unquoted.count)
    rows = split_rows(text, separator, path)
    n = len(next(iter(rows.values()), []))
    plain = io.StringIO()
    csv.writer(plain).writerows(row[:n] for row in rows.values())
    plain.seek(0)
    table = pd.read_csv(plain, dtype=str, index_col=False)
    table.index = list(rows)[1:]
    if is_guess and len(table):
        table.attrs["advice"] = "If its letters look wrong, save it as CSV in UTF-8."
    return table


def read_workbook(data, path):
    """Read the first sheet, of those that are not hidden, of an .xlsx workbook, given its bytes,
    see `read_table` and `fill_merged`; prints a note if there are others, or if rows are hidden.
    ValueError if it is no workbook, or has too many cells."""
    try:
        sheets, table = parse_workbook(data, read_only=False)  # knows merged cells
    except ImportError:
        raise ValueError(
            "Excel workbooks need openpyxl, to be installed by: pip install openpyxl"
        ) from None
    except TooManyCells:
        raise
    except Exception:  # each kind of damage raises its own, maybe in parts that hold no data
        try:
            sheets, table = parse_workbook(data, read_only=True)
        except Exception:
            raise ValueError("neither CSV nor a whole Excel workbook") from None
    table.index = range(2, len(table) + 2)
    table = table.dropna(how="all").apply(lambda c: c.str.removesuffix(" 00:00:00"))  # of dates
    if len(sheets) > 1:
        table.attrs["advice"] = "If another sheet holds the labels, move it to the front."
        if len(table):  # else this advice is in the error
            print_note(f"read its first sheet, {sheets[0]}, of {len(sheets)} ({path})")
    if n := table.index.isin(table.attrs["hidden"]).sum():
        print_note(
            f"read with its hidden rows: {n} of {len(table)} ({path}). If a filter hides them for a "
            "reason, remove them"
        )
    return table


def parse_workbook(data, read_only):
    """Return the names of the visible sheets of a workbook, and the first of them as a frame, whose
    attrs are merged, see `read_table`, and hidden, the numbers of its hidden rows."""
    options = {"engine": "openpyxl", "engine_kwargs": {"read_only": read_only}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of parts that hold no data
        with pd.ExcelFile(io.BytesIO(data), **options) as workbook:
            sheets = [s.title for s in workbook.book.worksheets if s.sheet_state == "visible"]
            sheet, merged, hidden = workbook.book[sheets[0]], {}, []
            if not read_only:
                check_cells(sheet)
                merged = fill_merged(sheet)
                hidden = [row for row, look in sheet.row_dimensions.items() if look.hidden]
            table = workbook.parse(sheets[0], dtype=str)
            table.attrs["hidden"] = hidden
            table.attrs["merged"] = {at: list(table.columns[part]) for at, part in merged.items()}
            return sheets, table


def check_cells(sheet):
    """TooManyCells if a sheet has more cells, empty ones before its last included, than a table of
    films has: they would fill the memory."""
    if sheet.max_row * sheet.max_column > MOST_CELLS:
        raise TooManyCells(
            f"its last cell is in row {sheet.max_row} and column {sheet.max_column}, far from others"
        )


def fill_merged(sheet):
    """Write into each row of merged cells, below the header, what they show: only the first of the
    cells holds it. Its column alone is filled. Returns {coordinates: slice of the columns} of the
    cells of the header that are merged over several."""
    headers = {}
    filled = {c.row for row in sheet.iter_rows() for c in row if c.value is not None}
    for cells in list(sheet.merged_cells.ranges):
        top, column = cells.min_row, cells.min_col
        if top > 1:
            sheet.unmerge_cells(cells.coord)
            for row in range(top + 1, cells.max_row + 1):
                if row in filled:
                    sheet.cell(row, column).value = sheet.cell(top, column).value
        elif cells.max_col > column:
            headers[cells.coord] = slice(column - 1, cells.max_col)
    return headers


def decode_text(data, path):
    """Return the text of a file as spreadsheets save it, and whether its encoding is a guess, which
    is noted. ValueError when it is no text."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        text = data.decode("utf-16")
        if "\0" in text:
            raise ValueError("it holds binary data")
        return text, False
    if data.startswith(XLS):
        raise ValueError("it is an Excel workbook of the old kind, .xls, or has a password")
    if b"\0" in data:
        raise ValueError("it holds binary data")
    try:
        return data.decode("utf-8-sig"), False
    except UnicodeDecodeError:  # as Excel writes "CSV" in Western Europe and America
        text = data.decode("cp1252")
        print_note(f"not in UTF-8, read as Windows-1252 ({path})")
        return text, True


def split_rows(text, separator, path):
    """Return {number: fields} of the rows that aren't blank, see `read_table`. NoTable when a
    quotation mark that is not closed swallows rows, or when a row has more fields than the header,
    see `swallows_rows` and `too_long`."""
    lines, start, rows, n = [*io.StringIO(text), "\n"], 0, {}, 0  # to see an open mark in the last
    reader = csv.reader(lines, delimiter=separator, skipinitialspace=True)
    for number, row in enumerate(reader, 1):
        start, own = reader.line_num, lines[start : reader.line_num]
        if len(own) > 1 and rows and swallows_rows(row, own, separator, n):
            raise NoTable(
                f"a quotation mark is not closed: {own[0].strip()[:60]} ({path}). Close it, or remove "
                "it; if the text has several lines, join them."
            )
        if any(map(str.strip, row)):
            rows[number] = row
            n = n or len(row)
    others = list(rows.values())[1:]
    alike = len({len(row[n:]) for row in others}) == 1
    for row in others:
        if too_long(row, n, alike):
            raise NoTable(
                f"a row has more fields than the header: {separator.join(row)[:60]} ({path}). Write "
                "decimals with a point, quote text that holds a separator, and begin with the header."
            )
    return rows


def swallows_rows(row, lines, separator, n):
    """Whether a row of several lines swallows others: more than a separator follows a closing
    quotation mark, or a later line looks like a row of `n` fields, with as many separators, which
    may end it, and a number."""
    try:
        lines = [*lines[:-1], lines[-1].rstrip()]  # blanks behind a closing mark do no harm
        list(csv.reader(lines, delimiter=separator, skipinitialspace=True, strict=True))
    except csv.Error:
        return True
    for line in (line for field in row for line in field.split("\n")[1:]):
        numbers = (re.fullmatch(r'[ "]*\d+(\.\d+)?[ "]*', part) for part in line.split(separator))
        if n > 1 and line.count(separator) in (n - 1, n) and any(numbers):
            return True
    return False


def too_long(row, n, alike):
    """Whether a row has text beyond the first `n` fields, such as the decimals of 11,5 in a table
    with commas between its columns.

    Empty fields at the end may be those of a spreadsheet. Behind two whole numbers they may also be
    there because of decimals, unless the rows are `alike`. (Decimals in all rows aren't noticed.)
    """
    filled = [field.strip() for field in row]
    while filled and not filled[-1]:
        filled.pop()
    decimals = not alike and len(filled) > 1 and all(map(str.isdigit, filled[-2:]))
    return len(row) > n and (len(filled) > n or decimals)


def count_gaps(table):
    """Count the missing and infinite values of each column of a table of text: a frame of column,
    missing and infinite."""
    text = table.fillna("").apply(lambda column: column.str.strip())
    numbers = text.apply(pd.to_numeric, errors="coerce")
    gaps = pd.DataFrame({"missing": (text == "").sum(), "infinite": np.isinf(numbers).sum()})
    return gaps.rename_axis("column").reset_index()


def headers_of(table):
    """Return the headers of a table in one line, for a message."""
    return ", ".join(" ".join(str(column).split()) for column in table)


def plain_header(column):
    """Return a header in lower case, without spaces and punctuation."""
    return "".join(c for c in str(column).lower() if c.isalnum())


def clean_text(column):
    return column.fillna("").str.strip()
