"""Tables as programs write them: encodings, separators, lines (util/tables.py)."""

import pytest

from util.errors import UserError
from util.labels import read_labels


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_files_of_spreadsheets_are_read(read, encoding, separator, capsys):
    text = "Image ID,male,Bone Age (months)\nMüller,FALSE,180\n".replace(",", separator)
    labels = read(text, encoding)
    assert labels[["id", "sex", "boneage"]].values.tolist() == [["Müller", 0, 180]]
    assert ("read as Windows-1252" in capsys.readouterr().err) == (encoding == "cp1252")


def test_the_line_that_tells_excel_of_the_separator_is_skipped(read):
    labels = read("sep=;\nid;boneage;sex\n1;120;M\n")
    assert labels["boneage"].tolist() == [120]
    assert labels.index.tolist() == [3]  # as a spreadsheet counts


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


# ------------------------------------------------------------------------------ what is no table


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the table is empty"),
        (b"id,boneage,male\n", "no rows"),
        (b"\x89PNG\r\n\x1a\n" + bytes(range(256)), "not a readable CSV"),
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
        read_labels(tmp_path / "labels.csv")


@pytest.mark.parametrize("first", [b"PK\x03\x04", b"\xd0\xcf\x11\xe0"])
def test_an_excel_workbook_is_told(tmp_path, first):
    (tmp_path / "labels.xlsx").write_bytes(first + bytes(range(256)))
    with pytest.raises(UserError, match="it is an Excel workbook .*Save it as CSV"):
        read_labels(tmp_path / "labels.xlsx")
