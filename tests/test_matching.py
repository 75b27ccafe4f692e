"""Which film belongs to which row (util/tables/matching.py), and which rows are left out."""

import shutil
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
from commands import check_error_line

from preprocessing import read_labelled_folder
from util.errors import UserError
from util.film_files import list_films
from util.tables import matching
from util.tables.left_out import split_usable
from util.tables.matching import find_films, match_films


@pytest.fixture
def films(tmp_path):
    """Make empty files of these names; returns their folder."""

    def make(*names):
        for name in names:
            path = tmp_path / "films" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        return tmp_path / "films"

    return make


def found(labels, folder):
    """The film of each row, by its path inside the folder."""
    root = str(folder.resolve()) + "/"
    return [path.removeprefix(root) for path in match_films(labels, list_films(folder))["path"]]


def labels_of(*ids, filename=""):
    return pd.DataFrame({"id": ids, "filename": filename, "sex": 1.0, "boneage": 100.0})


# ---------------------------------------------------------------------------- a row and its film


@pytest.mark.parametrize(
    ("id_", "filename", "film"),
    [
        ("1377", "", "1377.png"),
        ("1377", "1377.png", "1377.png"),
        ("1377", "1377", "1377.png"),
        ("1377", "1377.png", "1377.webp"),  # .webp where the table says .png
        ("1377", "1377.png", "1377.JPG"),
        ("9", "42", "0042.png"),
        ("1377", "1377.dcm", "1377.png"),  # converted
        ("1377", "left hand", "1377.png"),  # no name of a film
        ("9", "scan_a.png", "scan_a.png"),
        ("9", "scan_a", "scan_a.jpeg"),
        ("1377", "train/1377.png", "deep/er/1377.png"),
        ("1377", "C:\\films\\scan.png", "scan.png"),
        ("0042", "", "0042.png"),
        ("42", "", "0042.png"),  # zeros lost in a spreadsheet
        ("0042", "", "42.png"),
    ],
)
def test_a_film_is_found_by_name_or_id(films, id_, filename, film):
    labels = labels_of(id_, "none", filename=[filename, ""])
    assert found(labels, films(film, "137.png", "13770.png", "notes.txt")) == [film, ""]


@pytest.mark.parametrize(("id_", "name"), [("img_2", "IMG_2.PNG"), ("12.0", "12.0.png")])
def test_names_match_in_spite_of_capitals_and_floats(films, id_, name):
    assert found(labels_of(id_), films(name)) == [name]


def test_accents_match_as_macos_writes_them(films):
    assert found(labels_of("\u00e9"), films("e\u0301.png")) == ["e\u0301.png"]


def test_a_dot_in_a_name_without_ending_is_part_of_it(films):
    labels = labels_of("1", "2", filename=["scan.1", "scan.2"])
    folder = films("scan.1.png", "scan.2.png", "scan.png")
    assert found(labels, folder) == ["scan.1.png", "scan.2.png"]


@pytest.mark.parametrize("name", ["0", "00", "0000"])
def test_a_name_of_zeros_alone_is_nought(films, name):
    """As tables that a spreadsheet saved have it."""
    folder = films("0000.png", "0001.png", "0002.png")
    assert found(labels_of(name, "1", "2"), folder) == ["0000.png", "0001.png", "0002.png"]


def test_the_exact_name_wins_over_the_name_without_zeros(films):
    labels = labels_of("7", "007", "0007")
    assert found(labels, films("7.png", "007.png", "0007.png")) == ["7.png", "007.png", "0007.png"]
    # which of the two is meant can't be known
    assert found(labels_of("00007"), films()) == [""]


def test_a_row_whose_film_is_missing_takes_no_other_one(films):
    """Ids may be row numbers, and films have numbers as well: film 1 is that of row 4."""
    labels = labels_of("1", "4", filename=["1379.png", "1.png"])
    folder = films("1.png", "2.png")
    assert found(labels, folder) == ["", "1.png"]
    assert found(labels[:1], folder) == [""]


def test_a_row_without_id_has_no_film(films):
    assert found(labels_of("", "0"), films("0.png")) == ["", "0.png"]


def test_a_film_may_have_a_name_that_means_a_gap_to_others(read, films):
    names = ["NA", "null", "None", "nan"]
    rows = "".join(f"{name},{name}.png,120,M,NA\n" for name in names)
    labels = read("id,filename,boneage,sex,patient\n" + rows + "NA,,NA,null,p5\n")
    assert labels["id"].tolist() == [*names, ""]
    assert labels["patient"].tolist() == ["", "", "", "", "p5"]
    assert (
        labels["boneage"].isna().tolist() == labels["sex"].isna().tolist() == 4 * [False] + [True]
    )
    folder = films(*(f"{name}.png" for name in names))
    assert found(labels, folder) == [*(f"{name}.png" for name in names), ""]


def test_an_id_with_an_ending_is_a_file_name(read, films):
    """So that it tells films apart that differ in it alone; another ending will do."""
    folder = films("1.png", "1.jpg", "3.tif")
    labels = match_films(
        read("id,boneage,sex\n1.png,84,F\n1.JPG,132,M\n3.png,100,F\n"), list_films(folder)
    )
    assert [Path(path).name for path in labels["path"]] == ["1.png", "1.jpg", "3.tif"]
    labels = match_films(read("id,boneage,sex\n1.jpg,132,M\n1.png,84,F\n"), list_films(folder))
    assert [Path(path).name for path in labels["path"]] == ["1.jpg", "1.png"]
    assert labels["id"].tolist() == ["1_jpg", "1_png"]
    usable, left_out = split_usable(labels)
    assert (len(usable), len(left_out)) == (2, 0)
    assert read("id,boneage,sex\n1.png,84,F\n1,84,F\n")["id"].tolist() == ["1", "1"]


@pytest.mark.parametrize("name", ["2.dcm.png", "2.png"])
def test_a_film_of_two_endings_is_found_by_its_id(name, read, films):
    usable, _ = split_usable(
        match_films(read("id,boneage,male\n2,80,True\n"), list_films(films(name)))
    )
    assert [Path(path).name for path in usable["path"]] == [name]


def test_of_several_columns_for_the_id_the_one_with_file_names_names_the_films(read, films):
    """The other may be a running number, which is the name of another film as well."""
    folder = films("1.png", "2.png")
    labels = read("id,image,boneage,sex\n1,2.png,84,F\n2,1.png,132,M\n")
    assert labels["id"].tolist() == ["1", "2"]
    assert found(labels, folder) == ["2.png", "1.png"]


@pytest.fixture
def children(tmp_path, films):
    """Films of these patients, and a table with a running number for each of more patients."""
    folder = films(*(f"{patient}.png" for patient in range(3, 33)))
    rows = {"id": range(1, 31), "patient_id": range(3, 33), "boneage": 100, "sex": "F"}
    pd.DataFrame(rows).to_csv(tmp_path / "labels.csv", index=False)
    return folder


def test_running_numbers_beside_patients_who_name_the_films_are_no_ids(
    children, small_run, inside, tmp_path
):
    table, reason = tmp_path / "labels.csv", "patients name 30 of these films, ids 28"
    words = ["--source", children, "--csv", table, "--data_dir", tmp_path / "Data"]
    check_error_line(inside("import_data.py", *words), reason, "to filename")
    words = ["--csv", table, "--images", children, "--out", tmp_path / "out"]
    check_error_line(inside("evaluate.py", small_run, *words), reason)
    words = ["--csv", table, "--model", small_run]
    check_error_line(inside("predict.py", children, *words), reason)
    with pytest.raises(UserError, match=reason):
        read_labelled_folder(table, children)
    pd.read_csv(table).rename(columns={"patient_id": "filename"}).to_csv(table, index=False)
    assert len(read_labelled_folder(table, children)[0]) == 30


@pytest.mark.parametrize("films_of_each", [1, 2])
def test_patients_may_have_the_numbers_of_films(children, tmp_path, films_of_each):
    """Rows without a film do no harm; with two films of a child, nor do films without a row."""
    ids = [i for i in range(films_of_each + 2, 90) if not 40 < i < 60]
    patients = [1 + i // films_of_each for i in range(len(ids))]
    rows = {"id": ids, "patient_id": patients, "boneage": 100, "sex": "F"}
    pd.DataFrame(rows).to_csv(tmp_path / "labels.csv", index=False)
    usable, _ = read_labelled_folder(tmp_path / "labels.csv", children)
    assert usable["id"].tolist() == [str(i) for i in ids if i < 33]


# ------------------------------------------------------------------------------ films in folders


def test_a_film_goes_to_the_row_whose_path_it_is(read, films):
    folder = films("a/hand.png")
    labels = read("path,sex,boneage\nb/hand.png,F,10\na/hand.png,M,120\n")
    assert found(labels, folder) == ["", "a/hand.png"]


@pytest.mark.parametrize("start", ["", "./", "{folder}/", "C:\\data\\"])
def test_rows_name_films_of_one_name_by_their_paths(start, read, films):
    folder = films("p1/hand.png", "p2/hand.png", "C:/data/p1/hand.png", "C:/data/p2/hand.png")
    if start.startswith("C"):
        wanted = ["C:/data/p1/hand.png", "C:/data/p2/hand.png"]
    else:
        shutil.rmtree(folder / "C:")
        wanted = ["p1/hand.png", "p2/hand.png"]
    rows = [start.format(folder=folder) + name for name in ("p1/hand.png", "p2/hand.png")]
    labels = read(f"path,sex,boneage\n{rows[0]},F,10\n{rows[1]},M,120\n")
    assert found(labels, folder) == wanted


def test_films_of_one_name_have_ids_of_their_folders(read, films):
    folder = films("P1/scan.png", "P2/scan.png", "P2/hand.png")
    labels = read("path,sex,boneage\nP1/scan.png,F,10\nP2\\scan.png,M,120\nP2/hand.png,M,9\n")
    assert labels["id"].tolist() == ["P1_scan", "P2_scan", "hand"]
    assert found(labels, folder) == ["P1/scan.png", "P2/scan.png", "P2/hand.png"]
    labels = read("path,sex,boneage\n./P1/scan.png,F,10\n..\\x/../P2//scan.png,M,120\n")
    assert labels["id"].tolist() == ["P1_scan", "P2_scan"]
    assert found(labels, folder) == ["P1/scan.png", "P2/scan.png"]
    labels = read("id,sex,boneage\nP1/scan,F,10\nP2/scan,M,120\n")
    assert found(labels, folder) == ["P1/scan.png", "P2/scan.png"]
    labels = read("path,sex,boneage\nC:\\P1\\scan.png,F,10\nC:\\P2\\scan.png,M,120\n")
    assert labels["id"].tolist() == ["C_P1_scan", "C_P2_scan"]


def test_films_of_one_name_are_told_by_folder_whatever_their_ending(films):
    """As copies of a/1.jpg and b/1.jpg are that CLAHE wrote as PNG."""
    labels = labels_of("11", "12", filename=["a/1.jpg", "b/1.jpg"])
    assert found(labels, films("a/1.png", "b/1.png")) == ["a/1.png", "b/1.png"]
    assert found(labels[1:], films("b/1.jpg")) == ["b/1.jpg"]


def test_a_row_takes_no_film_of_another_folder(films):
    folder = films("P1/scan.png", "P2/scan.png", "P9/scan.png", "P9/other.png")
    names = ["P1/scan.png", "P2/scan.png", "P3/scan.png", "P3/other.png"]
    labels = labels_of(*"1234", filename=names)
    assert found(labels, folder) == ["P1/scan.png", "P2/scan.png", "", ""]


def test_a_table_written_elsewhere_names_films_by_their_last_folders(films):
    folder = films("P1/scan.png", "P2/scan.png", "P3/hand.png")
    names = [f"C:\\old\\films\\{name}" for name in ("P1\\scan.png", "P2\\scan.png", "P9\\hand.png")]
    assert found(labels_of(*"123", filename=names), folder) == ["P1/scan.png", "P2/scan.png", ""]
    names = ["h1/P1/scan.png", "h2/P1/scan.png"]  # it may be of either
    assert found(labels_of(*"12", filename=names), folder) == ["", ""]
    folder, names = films("P4/one.png"), ["h1/one.png", "h2/one.png"]
    assert found(labels_of(*"12", filename=names), folder) == ["", ""]
    assert found(labels_of(*"11", filename=names[0]), folder) == ["P4/one.png"] * 2


def test_rows_of_two_readers_share_the_film_of_their_path(films):
    labels = labels_of(*"112", filename=["P1/scan.png", "P1/scan.png", "P2/scan.png"])
    folder = films("P1/scan.png", "P2/scan.png")
    assert found(labels, folder) == ["P1/scan.png", "P1/scan.png", "P2/scan.png"]


@pytest.mark.parametrize("names", [["a.png", "b.png"], ["P1/a.png", "P2/a.png"]])
def test_a_row_takes_no_film_of_another_row_with_its_id(films, names):
    assert found(labels_of(*"11", filename=names), films(names[0])) == [names[0], ""]


def test_films_beside_the_folders_of_others_are_found_where_the_table_names_one_more(films):
    """As in a zip without a folder of its own, or behind a link of another name."""
    folder = films("a.png", "sub/b.png", "old/c.png")
    names = ["films/a.png", "films/sub/b.png", "films/c.png", "films/sub/a.png"]
    labels = labels_of(*"1234", filename=names)
    assert found(labels, folder) == ["a.png", "sub/b.png", "", ""]
    labels = labels_of(*"12", filename=["older/a.png", "films/sub/b.png"])
    assert found(labels, folder) == ["", "sub/b.png"]
    folder = films("a.png", "other/a.png", "sub/b.png")
    labels = labels_of(*"12", filename=["a.png", "x/sub/b.png"])  # which of two is not told
    assert found(labels, folder) == ["", "sub/b.png"]


def test_the_name_of_a_folder_is_that_of_a_film(films):
    labels = labels_of("1", "2", filename=["P1/", "elsewhere/P2/"])
    assert found(labels, films("P1.png", "P2/film.png")) == ["P1.png", ""]


def test_accents_of_folders_are_written_in_two_ways(films):
    """As one character and, on macOS, as two: the film of Jürgen is in neither case Anna's."""
    labels = labels_of("1", "2", filename=["J\u00fcrgen/film.png", "Anna/film.png"])
    folder = films("Ju\u0308rgen/film.png", "Anna/film.png")
    assert found(labels, folder) == ["Ju\u0308rgen/film.png", "Anna/film.png"]


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("P{}/study1/IM0001.dcm", "P{}/study1/IM0001.dcm"),
        ("P{}/study1/IM0001.dcm", "D:/export/2020/hand/P{}/study1/IM0001.dcm"),
        ("P{}/image.png", "image.png"),
    ],
)
def test_a_film_of_a_large_archive_is_not_compared_with_every_row(name, row):
    """Counted by how often a film is looked up or compared: 30 times each, 1,000 if with all."""
    times, n = Counter(), 1000

    class Counted(type(Path())):
        def __hash__(self):
            times["hash"] += 1
            return super().__hash__()

        @property
        def parent(self):
            times["parent"] += 1
            return super().parent

    films = [Counted("/archive", name.format(i)) for i in range(n)]
    labels = labels_of(*map(str, range(n)), filename=[row.format(i) for i in range(n)])
    matched = find_films(labels, films)
    assert matched == ([[film] for film in films] if "{}" in row else [films] * n)
    assert times.total() < 30 * n


def test_films_outside_of_the_folders_that_a_table_names_are_noted(capsys):
    """They may be of other children, whose films have the same names."""
    films = [Path("site2/000.png"), Path("site2/001.png")]
    named = labels_of("a", "b", filename=["site1/000.png", "site1/001.png"])
    assert find_films(named, films) == [[film] for film in films]
    note = "so 2 rows found films by their names alone, such as site1/000.png (site2/000.png)"
    assert note in capsys.readouterr().err
    find_films(named, [Path("new/site1/000.png"), Path("new/site1/001.png")])
    find_films(labels_of("000", "001"), films)
    assert not capsys.readouterr().err


@pytest.mark.parametrize(
    ("ids", "names", "noted"),
    [
        (("12", "13", "14"), ("12", "13", "00014"), True),  # 14 may be of another set
        (("12", "13", "00014"), ("12", "13", "14"), True),
        (("12_L", "14_L"), ("12_L", "0014_L"), True),
        (("12", "13", "14"), ("00012", "00013", "00014"), False),
        (("00012", "00013"), ("12", "13"), False),
        (("12", "10345"), ("00012", "10345"), False),  # all of one width
        (("0", "7", "10"), ("00", "07", "10"), False),
        (("12", "a13", "B7"), ("00012", "A13", "b7"), False),
        (("0a1", "12"), ("0A1", "12"), False),
    ],
)
@pytest.mark.parametrize("by_id", [True, False])
def test_films_found_without_zeros_beside_shorter_names_are_noted(ids, names, noted, by_id, capsys):
    """Spreadsheets take the zeros of all numbers, or of none."""
    films = [Path(f"{name}.png") for name in names]
    labels = labels_of(*ids) if by_id else labels_of(*"abc"[: len(ids)], filename=list(ids))
    labels = labels.assign(patient="")
    assert find_films(labels, films) == [[film] for film in films]
    told = capsys.readouterr().err
    assert told.count("1 row found films only without leading zeros, such as ") == noted
    assert bool(told) == noted


def test_patients_are_not_looked_for_among_the_films_of_a_table_that_names_none(monkeypatch):
    looks, index = [], matching.FilmIndex
    monkeypatch.setattr(matching, "FilmIndex", lambda films: looks.append(1) or index(films))
    for patients in ("", ["P1", "P2"]):
        find_films(labels_of("1", "2").assign(patient=patients), [Path("1.png"), Path("2.png")])
    assert len(looks) == 1 + 2


# ------------------------------------------------------------------------ rows that are left out


def test_rows_left_out_have_their_reason(read, films):
    labels = read(
        "id,boneage,male\n1,100,True\n2,,True\n3,100,\n4,100,True\n1,90,True\n,100,True\n"
    )
    folder = films("1.png", "2.png", "3.png")
    usable, left_out = split_usable(match_films(labels, list_films(folder)))
    assert usable[["id", "boneage"]].values.tolist() == [["1", 100]]
    reasons = [
        ["2", "no usable age"],
        ["3", "no usable sex"],
        ["4", "no file"],
        ["1", "duplicate id, another age"],
    ]
    assert left_out[["id", "reason"]].values.tolist() == [*reasons, ["", "no id"]]


def test_of_rows_with_one_id_the_first_is_kept_however_they_are_written(read, films):
    labels = read(
        "id,boneage,male\n1,108,True\n1.png,120,True\n2,70,True\n02,70,True\n1,108,True\n"
    )
    usable, left_out = split_usable(match_films(labels, list_films(films("1.png", "2.png"))))
    assert usable[["id", "boneage"]].values.tolist() == [["1", 108], ["2", 70]]
    reasons = ["duplicate id, another age", "no file", "duplicate id"]
    assert left_out["reason"].tolist() == reasons


def test_of_two_films_with_one_id_the_first_is_kept(films):
    labels = labels_of(*"11", filename=["a.png", "b.png"])
    usable, left_out = split_usable(match_films(labels, list_films(films("a.png", "b.png"))))
    assert usable["filename"].tolist() == ["a.png"]
    assert left_out[["filename", "reason"]].values.tolist() == [["b.png", "duplicate id"]]


def test_a_usable_row_is_no_duplicate_of_one_left_out(read, films):
    labels = read("id,boneage,male\n1,,True\n1,100,True\n")
    usable, left_out = split_usable(match_films(labels, list_films(films("1.png"))))
    assert usable["boneage"].tolist() == [100]
    assert left_out["reason"].tolist() == ["no usable age"]


def test_no_row_of_a_film_of_two_sexes_is_used(read, films):
    """Even if one of them has no age, or an id of its own."""
    labels = read(
        "id,boneage,sex\n1,100,M\n1,100,F\n2,80,F\n2,80,\n3,,M\n3,90,F\n4,70,M\n04,70,F\n"
    )
    folder = films("1.png", "2.png", "3.png", "004.png")
    usable, left_out = split_usable(match_films(labels, list_films(folder)))
    assert usable["id"].tolist() == ["2"]
    assert left_out[["id", "reason"]].values.tolist() == [
        ["1", "two sexes for this film"],
        ["1", "two sexes for this film"],
        ["2", "no usable sex"],
        ["3", "no usable age"],
        ["3", "two sexes for this film"],
        ["4", "two sexes for this film"],
        ["04", "two sexes for this film"],
    ]


def test_a_row_that_is_left_out_makes_no_other_one_a_repetition(films):
    labels = labels_of("1", "2", "2", filename=["x.png", "x.png", "y.png"])
    usable, left_out = split_usable(match_films(labels, list_films(films("x.png", "y.png"))))
    assert usable["filename"].tolist() == ["x.png", "y.png"]
    assert left_out["reason"].tolist() == ["same file as another row"]


def test_of_films_with_one_id_those_of_another_child_are_told_by_their_paths(films):
    names = ["x.png", "y.png", "y.png", "z.png"]
    labels = labels_of(*"1111", filename=names).assign(boneage=[100, 90, 90, 100])
    folder = films(*names)
    usable, left_out = split_usable(match_films(labels, list_films(folder)))
    assert usable["filename"].tolist() == ["x.png"]
    assert left_out.values.tolist() == [
        ["1", str(folder / "y.png"), "same id as another film: give ids of their own"],
        ["1", "y.png", "duplicate id"],
        ["1", "z.png", "duplicate id"],  # a copy of the first, it may be
    ]


def test_one_film_never_belongs_to_two_rows(films):
    usable, left_out = split_usable(
        match_films(labels_of("7", "007"), list_films(films("007.png")))
    )
    assert usable["id"].tolist() == ["007"]
    assert left_out["id"].tolist() == ["7"]


@pytest.mark.parametrize(
    ("ids", "filename"), [(("7", "0007"), ""), (("1", "2"), "007.png")], ids=["zeros", "filename"]
)
def test_one_film_is_given_to_one_id_only(films, ids, filename):
    labels = match_films(labels_of(*ids, filename=filename), list_films(films("007.png")))
    assert split_usable(labels)[0]["id"].tolist() == [ids[0]]


def test_a_folder_without_the_films_of_the_table_says_why(tmp_path, films):
    table, folder = tmp_path / "labels.csv", films("3.png", "4.png", "4.jpg")
    for text, reason in (
        ("1,100,True\n2,,True\n", "2 rows: 2 no file .*names 1, the first film is 3.png"),
        (",100,True\n", "1 rows: 1 no id .*Write the name of each film"),
        ("3,8 y 2 m,True\n", "1 rows: 1 no usable age .*as numbers of months"),
        ("3,84,True\n3,84,False\n", "2 rows: 2 two sexes for this film .*the same sex in all rows"),
        ("3,,True\n", "1 rows: 1 no usable age .*formulas, save the workbook in Excel"),
        ("4,100,True\n", "1 rows: 1 several files of that name .*the folders and endings"),
        ("3,100,perhaps\n", "1 rows: 1 no usable sex .*Write sexes as M and F"),
    ):
        table.write_text(f"id,boneage,male\n{text}")
        with pytest.raises(UserError, match=f"no usable film among {reason}"):
            read_labelled_folder(table, folder)
