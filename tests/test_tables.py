"""Tables as programs write them: encodings, separators, lines, workbooks (util/tables/text.py)."""

import shutil
import sys
import zipfile
from datetime import datetime

import pytest
from openpyxl import Workbook, load_workbook

from util.errors import UserError
from util.tables.labels import labels_of
from util.tables.text import read_table


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_files_of_spreadsheets_are_read(read, encoding, separator, capsys):
    text = "Image ID,male,Bone Age (months)\nMüller,FALSE,180\n".replace(",", separator)
    labels = read(text, encoding)
    assert labels[["id", "sex", "boneage"]].values.tolist() == [["Müller", 0, 180]]
    assert ("read as Windows-1252" in capsys.readouterr().err) == (encoding == "cp1252")


def test_where_letters_may_have_been_read_wrong_it_is_told(read):
    with pytest.raises(UserError, match="no column for sex .*look wrong, save it as CSV in UTF-8"):
        read("id,boneage,Пол\n1,100,M\n", "cp1251")
    with pytest.raises(UserError, match="the table has no rows .* Check the file"):
        read("id,boneage,Пол\n", "cp1251")


def test_the_line_that_tells_excel_of_the_separator_is_skipped(read):
    labels = read("sep=;\nid;boneage;sex\n1;120;M\n")
    assert labels["boneage"].tolist() == [120]
    assert labels.index.tolist() == [3]  # as a spreadsheet counts
    assert read("sep=;\rid;boneage;sex\r1;120;M\r")["boneage"].tolist() == [120]


@pytest.mark.parametrize("end", ["\r", "\r\n"])
def test_lines_may_end_as_on_other_systems(read, end):
    labels = read(end.join(["id,sex,boneage", "1,M,11", "2,F,9", ""]))
    assert labels["boneage"].tolist() == [11, 9]


def test_rows_have_the_numbers_of_their_lines(read):
    assert read("id,sex,boneage\n\n1,M,11\n2,F,9\n").index.tolist() == [3, 4]
    quoted = 'id,sex,boneage,note\n1,M,11,"of two\nlines"\n2,F,9,\n'
    assert read(quoted).index.tolist() == [2, 3]  # those of the rows


def test_quotes_may_stand_behind_a_space(read):
    labels = read('id, boneage, male\n1, "100", "t"\n2, "90", "f"\n')
    assert labels[["sex", "boneage"]].values.tolist() == [[1, 100], [0, 90]]


def test_a_comma_at_the_end_of_each_row_moves_no_column(read):
    labels = read("id,boneage,male\n1377,180,False,\n1378,12,True,\n")
    assert labels["id"].tolist() == ["1377", "1378"]
    assert labels["boneage"].tolist() == [180, 12]


def test_fields_beyond_the_header_are_no_table_unless_blank(read):
    with pytest.raises(UserError, match="more fields than the header: 1,M,11,5"):
        read("id,sex,boneage\n1,M,11,5\n2,F,9,0\n")
    assert read("id,sex,boneage\n1,M,11,\n2,F,9,\n")["boneage"].tolist() == [11, 9]


def test_fields_are_counted_by_the_separator_of_the_table(read):
    assert read('id;sex;boneage\n1; "M"; "11,5"\n')["boneage"].tolist() == [11.5]
    with pytest.raises(UserError, match="more fields than the header: 1;M;11;5"):
        read("id;sex;boneage\n1;M;11;5\n")


@pytest.mark.parametrize("rows", [2, 20])
@pytest.mark.parametrize("line", ['{},M,60,"splint', '{},"splint,M,60', '{},M,"splint,60'])
@pytest.mark.parametrize("row", ["{},M,60", "a{}.png,M,60.5"])
def test_a_quotation_mark_that_swallows_rows_is_told(read, row, line, rows):
    lines = [f"{row.format(i)},ok" for i in range(1, 31)]
    lines[2], lines[2 + rows] = line.format(3), f'{row.format(3 + rows)},ring"'
    with pytest.raises(UserError, match="a quotation mark is not closed: 3,.*splint"):
        read("\n".join(["id,sex,boneage,note", *lines]))


def test_a_text_may_have_several_lines(read):
    labels = read('id,sex,boneage,note\n1,M,11,"ring, as seen\non the left, thumb\n"\n2,F,9,\n')
    assert labels["boneage"].tolist() == [11, 9]
    assert len(read("id,sex,boneage,note\n1,M,11,of\fform\u2028feeds\n2,F,9,\n")) == 2
    listed = 'id,sex,boneage,note\n1,M,11,"seen:\nulna, radius, thumb, rest"\n2,F,9,\n'
    assert read(listed)["boneage"].tolist() == [11, 9]


def test_a_quotation_mark_that_another_row_closes_is_told(read):
    with pytest.raises(UserError, match='a quotation mark is not closed: 1,"a,132,M'):
        read('id,note,boneage,sex\n1,"a,132,M\n2,"b",120,F\n3,x,1,M\n')


def test_an_odd_quotation_mark_elsewhere_is_not_taken_for_that(read):
    text = 'id,sex,boneage,note\n1,M,11,"two\nlines"\n2,F,9,"old" film\n3,F,8,"x" \n'
    assert read(text)["boneage"].tolist() == [11, 9, 8]


@pytest.mark.parametrize("ends", [(",", ""), ("", ","), ("", "\n,,,"), (",,", ",")])
def test_rows_may_end_in_more_or_fewer_separators(read, ends):
    text = "id,boneage,sex\n1,132,M{}\n2,120,F{}\n".format(*ends)
    assert read(text)["boneage"].dropna().tolist() == [132, 120]
    assert read("id\n13,\n14\n", need=())["id"].tolist() == ["13", "14"]


def test_headers_may_have_several_lines(read):
    text = '"image\nid";sex;"bone age\n(months)"\n1;M;11\n'
    assert read(text)["boneage"].tolist() == [11]
    with pytest.raises(UserError, match="no column for boneage among image id, sex ") as error:
        read('"image\nid";sex\n1;M\n')
    assert "\n" not in str(error.value)


def test_separators_at_the_end_of_some_rows_alone_may_be_decimals(read):
    with pytest.raises(UserError, match="more fields than the header: 1,M,10,9,"):
        read("id,sex,boneage_years,reader\n1,M,10,9,\n\n2,F,9,\n")
    with pytest.raises(UserError, match="more fields than the header: 1,M,10,5,,"):
        read("id,sex,boneage_years,note,reader\n1,M,10,5,,\n2,F,9,,\n")


def test_the_separator_is_told_by_the_header_without_quoted_text(read):
    text = 'id;boneage;sex;"remarks, if any, of the reader, or none"\n1;100;M;x\n'
    assert read(text)["boneage"].tolist() == [100]


def test_a_quotation_mark_left_open_in_the_last_row_is_told(read):
    with pytest.raises(UserError, match='a quotation mark is not closed: 2,"110,F'):
        read('id,boneage,sex\n1,100,M\n2,"110,F\n')


def test_whole_rows_in_quotation_marks_are_told(read):
    with pytest.raises(UserError, match='whole rows are in quotation marks: "id,boneage,sex"'):
        read('"id,boneage,sex"\n"1,100,M"\n')
    assert read('"id"\n"13"\n', need=())["id"].tolist() == ["13"]


# ------------------------------------------------------------------------------ what is no table


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the table is empty"),
        (b"id,boneage,male\n", "no rows"),
        (b"\x89PNG\r\n\x1a\n" + bytes(range(256)), "not a readable table"),
        (b"id,boneage,male\n1,2,\x81\xff\n", "Save it as CSV in UTF-8"),
        (b"id,boneage,male\n1,2,\0\n", "it holds binary data"),
    ],
)
def test_what_is_no_table_is_one_line_that_names_the_path(read, content, reason):
    with pytest.raises(UserError, match=reason) as error:
        read(content)
    assert "labels.csv" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_missing_table_is_named(tmp_path):
    with pytest.raises(UserError, match="no such table.*labels.csv"):
        read_table(tmp_path / "labels.csv")


# ------------------------------------------------------------------------------------- workbooks


@pytest.fixture
def workbook(tmp_path):
    """Save rows as the first sheet of a workbook, and empty sheets of these names behind it."""

    def save(rows, *more_sheets):
        book = Workbook()
        for row in rows:
            book.active.append(row)
        for name in more_sheets:
            book.create_sheet(name)
        book.save(tmp_path / "labels.xlsx")
        return tmp_path / "labels.xlsx"

    return save


TRUTH = ["Case ID", "Sex", "Ground truth bone age (months)"]  # headers of the challenge


def test_a_workbook_is_read_as_a_csv_is(workbook, capsys):
    path = workbook([TRUTH, [4360, "M", 168.93], [], ["00123", "F", 12], [4362.0, "F", "11,5"]])
    labels = labels_of(read_table(path), path)
    assert labels[["id", "sex", "boneage"]].values.tolist() == [
        ["4360", 1, 168.93],
        ["00123", 0, 12],
        ["4362", 0, 11.5],
    ]
    assert labels.index.tolist() == [2, 4, 5]  # the rows of the sheet
    assert capsys.readouterr().err == ""


def test_a_date_in_a_workbook_is_read_without_midnight(workbook):
    """It may name a film."""
    film, noon = datetime(2015, 1, 31), datetime(2015, 1, 31, 12)
    path = workbook([[*TRUTH, "Taken"], [film, "M", 168.93, noon], ["x", "F", 12, None]])
    assert labels_of(read_table(path), path)["id"].tolist() == ["2015-01-31", "x"]
    assert read_table(path)["Taken"].dropna().tolist() == ["2015-01-31 12:00:00"]


def test_of_several_sheets_the_first_is_read_with_a_note(workbook, capsys):
    assert len(read_table(workbook([TRUTH, [4360, "M", 168.93]], "remarks"))) == 1
    assert "read its first sheet, Sheet, of 2" in capsys.readouterr().err


@pytest.mark.parametrize("rows", [[], [["read me"]], [["read me"], ["by a reader"]]])
def test_a_first_sheet_without_labels_is_told(workbook, capsys, rows):
    path = workbook(rows, "labels")
    with pytest.raises(UserError, match="another sheet holds the labels, move it to the front"):
        labels_of(read_table(path), path)
    assert bool(capsys.readouterr().err) == (len(rows) > 1)  # more than a header


@pytest.mark.parametrize(
    ("rows", "reason"), [([], "has no rows"), ([TRUTH], "has no rows"), ([["id"], [1]], "column")]
)
def test_a_workbook_without_labels_is_told(workbook, rows, reason):
    path = workbook(rows)
    with pytest.raises(UserError, match=reason) as error:
        labels_of(read_table(path), path)
    assert "labels.xlsx" in str(error.value)


def test_what_is_no_workbook_is_told(workbook, tmp_path):
    path = workbook([TRUTH, [4360, "M", 168.93]])
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(UserError, match="neither CSV nor a whole Excel workbook .*Save it as CSV"):
        read_table(path)
    zipped = shutil.make_archive(tmp_path / "films", "zip", tmp_path, "labels.xlsx")
    with pytest.raises(UserError, match="neither CSV nor a whole Excel workbook .*films.zip"):
        read_table(zipped)
    path.write_bytes(b"\xd0\xcf\x11\xe0" + bytes(range(256)))
    with pytest.raises(
        UserError, match="of the old kind, .xls, or has a password .*Save it as CSV"
    ):
        read_table(path)


def test_a_sheet_that_is_cut_off_is_told(workbook, tmp_path):
    path = workbook([TRUTH, [4360, "M", 168.93]])
    damaged = tmp_path / "damaged.xlsx"
    with zipfile.ZipFile(path) as whole, zipfile.ZipFile(damaged, "w") as cut:
        for name in whole.namelist():
            content = whole.read(name)
            cut.writestr(name, content[: 200 if "sheet1" in name else None])
    with pytest.raises(UserError, match="neither CSV nor a whole Excel workbook .*damaged.xlsx"):
        read_table(damaged)


def test_hidden_sheets_are_not_read(workbook, capsys):
    path = workbook([["secret"]], "shown")
    book = load_workbook(path)
    book["Sheet"].sheet_state = "hidden"
    for row in (TRUTH, [4360, "M", 168.93]):
        book["shown"].append(row)
    book.active = 1
    book.save(path)
    assert labels_of(read_table(path), path)["boneage"].tolist() == [168.93]
    assert capsys.readouterr().err == ""


def test_rows_that_a_filter_hides_are_read_with_a_note(workbook, capsys):
    path = workbook([TRUTH, [4360, "M", 168.93], [4361, "F", 90], [], [4362, "F", 80]])
    for rows, told in (((1, 4, 9), ""), ((3, 4, 9), "read with its hidden rows: 1 of 3 (")):
        book = load_workbook(path)
        for row in rows:  # the fourth is blank, and the ninth below the last
            book.active.row_dimensions[row].hidden = True
        book.save(path)
        assert len(read_table(path)) == 3
        err = capsys.readouterr().err
        assert told in err
        assert bool(told) == bool(err)


def test_merged_cells_hold_in_each_row_what_they_show(workbook):
    header = ["Case ID", "Patient", "Sex", "Bone age (months)", "Remarks"]
    path = workbook(
        [
            header,
            [1, "p1", "F", 90, "a"],
            [2, None, None, 96],
            [3, "p2", "M", 99],
            [4, None, "M", 98],
        ]
    )
    book = load_workbook(path)
    for cells in ("B2:B3", "C2:C3", "B4:B5", "D4:E5", "E1:F1"):
        book.active.merge_cells(cells)
    book.save(path)
    labels = labels_of(read_table(path), path)
    assert labels["patient"].tolist() == ["p1", "p1", "p2", "p2"]
    assert labels["sex"].tolist() == [0, 0, 1, 1]
    assert labels["boneage"].tolist() == [90, 96, 99, 99]
    assert read_table(path)["Remarks"].isna().tolist() == [False, True, True, True]
    book.active.merge_cells("F2:F60")  # a remark that reaches below the rows
    book.active["F2"] = "all well"
    book.save(path)
    assert len(read_table(path)) == 4
    book.active.merge_cells("A1:A2")  # a header of two rows is no id
    book.save(path)
    assert labels_of(read_table(path), path)["id"].tolist() == ["", "2", "3", "4"]


@pytest.mark.parametrize(
    ("rows", "cells", "refused"),
    [
        ([["", "", "Reader 1", "Reader 2"], [1, "M", 100, 110]], "C1:D1", True),
        ([["", "", "years", "months"], [1, "M", 10, 6]], "C1:D1", True),
        ([[1, "M", 100, "GP"], [2, "F", 90, "TW3"]], "C1:D1", False),  # the method
        ([[1, "M", 100, -0.4], [2, "F", 90, 1.2]], "C1:D1", False),  # SDs from the mean
        ([[1, "M", 100], [2, "F", 90]], "C1:D1", False),
        ([[1, "M", 100, None, 3], [2, "F", 90, None, 4]], "D1:E1", False),
        ([[1, "M", 100], [2, "F", 90]], "G1:H1", False),  # beyond the table
    ],
)
def test_ages_in_columns_that_share_a_header_cell_are_told(workbook, rows, cells, refused):
    path = workbook([["ID", "Sex", "Bone age (months)"], *rows])
    book = load_workbook(path)
    book.active.merge_cells(cells)
    book.save(path)
    if refused:
        with pytest.raises(UserError, match=f"header cell {cells}, Bone age .months., is merged"):
            labels_of(read_table(path), path)
    else:
        assert labels_of(read_table(path), path)["boneage"].tolist() == [100, 90]


def test_a_workbook_with_a_damaged_part_that_holds_no_labels_is_read(workbook):
    """Another program has written a list of tables that aren't there."""
    path = workbook([["id", "boneage", "sex"], [1, 90, "F"]])
    names = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    table = f'<tableParts xmlns:r="{names}" count="1"><tablePart r:id="rId9"/></tableParts>'
    with zipfile.ZipFile(path) as book:
        parts = {name: book.read(name) for name in book.namelist()}
    sheet = "xl/worksheets/sheet1.xml"
    parts[sheet] = parts[sheet].replace(b"</worksheet>", f"{table}</worksheet>".encode())
    with zipfile.ZipFile(path, "w") as book:
        for name, content in parts.items():
            book.writestr(name, content)
    assert labels_of(read_table(path), path)["boneage"].tolist() == [90]


def test_without_what_reads_workbooks_it_is_asked_for(workbook, monkeypatch):
    path = workbook([TRUTH, [4360, "M", 168.93]])
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with pytest.raises(UserError, match="pip install openpyxl"):
        read_table(path)


def test_a_workbook_with_a_cell_far_from_the_others_is_refused_at_once(tmp_path):
    book = Workbook()
    book.active.append(["id", "boneage", "sex"])
    book.active.append([1, 100, "F"])
    book.active["XFD1048576"] = " "
    book.save(tmp_path / "films.xlsx")
    with pytest.raises(UserError, match="last cell is in row 1048576 and column 16384"):
        read_table(tmp_path / "films.xlsx")
