"""Tables of labels as they are found: headers, codings, ids and file names (util/tables.py,
labels.py, sexes.py, film_files.py)."""

import shutil
from pathlib import Path

import pandas as pd
import pytest

from preprocessing import read_labelled_folder
from util.errors import UserError
from util.film_files import list_films, match_films, split_usable
from util.labels import read_labels


@pytest.fixture
def read(tmp_path):
    """Write a table and read it; `text` may be bytes."""

    def run(text, encoding="utf-8", **options):
        path = tmp_path / "labels.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode(encoding))
        return read_labels(path, **options)

    return run


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


def test_the_line_that_tells_excel_of_the_separator_is_skipped(read):
    labels = read("sep=;\nid;boneage;sex\n1;120;M\n")
    assert labels["boneage"].tolist() == [120]
    assert labels.index.tolist() == [3]  # as a spreadsheet counts


def test_ages_are_taken_from_the_column_that_names_months(read):
    labels = read("id,months,boneage,boneage_months,sex\n1,99,10,120,M\n")
    assert labels["boneage"].tolist() == [120]


def test_a_film_goes_to_the_row_whose_path_it_is(read, films):
    folder = films("a/hand.png")
    labels = read("path,sex,boneage\nb/hand.png,F,10\na/hand.png,M,120\n")
    assert found(labels, folder) == ["", "a/hand.png"]


def test_a_table_written_elsewhere_names_films_by_their_last_folders(films):
    folder = films("P1/scan.png", "P2/scan.png", "P3/hand.png")
    names = [f"C:\\old\\films\\{name}" for name in ("P1\\scan.png", "P2\\scan.png", "P9\\hand.png")]
    assert found(labels_of(*"123", filename=names), folder) == ["P1/scan.png", "P2/scan.png", ""]
    names = ["h1/P1/scan.png", "h2/P1/scan.png"]  # it may be of either
    assert found(labels_of(*"12", filename=names), folder) == ["", ""]


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


def found(labels, folder):
    """The film of each row, by its path inside the folder."""
    root = str(folder.resolve()) + "/"
    return [path.removeprefix(root) for path in match_films(labels, list_films(folder))["path"]]


def labels_of(*ids, filename=""):
    return pd.DataFrame({"id": ids, "filename": filename, "sex": 1.0, "boneage": 100.0})


# --------------------------------------------------------------------------------------- headers


@pytest.mark.parametrize(
    "text",
    [
        "id,boneage,male\n1377,180,False\n1378,12.5,True\n",
        "Image ID,male,Bone Age (months)\n1377,FALSE,180\n1378,TRUE,12.5\n",
        "Case ID,Sex,Ground truth bone age (months)\n1377,F,180.0\n1378,M,12.5\n",
        "image_ID,dir,patient_ID,sex,bone_age\n1377,a/b,7,F,180\n1378,a/b,7,M,12.5\n",
        "patient_ID,image_ID,sex,bone_age\n7,1377,F,180\n7,1378,M,12.5\n",
        "PatientID,image_name,PatientSex,Skeletal age (months)\n7,1377.png,F,180\n8,1378.png,M,12.5\n",
        "id,Sex,boneage\n1377,Female,180\n1378,Male,12.5\n",
        "ID,boneage,male\n1377,180,0\n1378,12.5,1\n",
        ",id,boneage,male\n0,1377,180,False\n1,1378,12.5,True\n",
        "Unnamed: 0,id,boneage,male\n0,1377,180,False\n1,1378,12.5,True\n",
        "id;boneage;male\n1377;180;False\n1378;12.5;True\n",
        "id\tboneage\tmale\n1377\t180\tFalse\n1378\t12.5\tTrue\n",
        "id,boneage,male\r\n1377,180,False\r\n1378,12.5,True\r\n",
        "id,boneage,Male?\n1377,180,0\n1378,12.5,1\n",
        "filename,boneage,male\n1377.png,180,False\n1378.png,12.5,True\n",
        "Path,boneage,Sex (M/F)\nfilms\\1377.png,180,F\nfilms\\1378.png,12.5,M\n",
        "id,filename,boneage,sex,gender\n1377,1377.png,180,0,female\n1378,1378.png,12.5,1,male\n",
        'id,notes,boneage,male\n1377,"left, tilted",180,False\n1378,,12.5,True\n',
    ],
)
def test_every_known_header_gives_the_same_labels(read, text):
    labels = read(text)
    assert labels["id"].tolist() == ["1377", "1378"]
    assert labels["boneage"].tolist() == [180, 12.5]
    assert labels["sex"].tolist() == [0, 1]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_files_of_spreadsheets_are_read(read, encoding, separator, capsys):
    text = "Image ID,male,Bone Age (months)\nMüller,FALSE,180\n".replace(",", separator)
    labels = read(text, encoding)
    assert labels[["id", "sex", "boneage"]].values.tolist() == [["Müller", 0, 180]]
    assert ("read as Windows-1252" in capsys.readouterr().err) == (encoding == "cp1252")


def test_fields_beyond_the_header_are_no_table_unless_blank(read):
    with pytest.raises(UserError, match="more fields than the header: 1,M,11,5"):
        read("id,sex,boneage\n1,M,11,5\n2,F,9,0\n")
    assert read("id,sex,boneage\n1,M,11,\n2,F,9,\n")["boneage"].tolist() == [11, 9]


def test_fields_are_counted_by_the_separator_of_the_table(read):
    assert read('id;sex;boneage\n1; "M"; "11,5"\n')["boneage"].tolist() == [11.5]
    with pytest.raises(UserError, match="more fields than the header: 1;M;11;5"):
        read("id;sex;boneage\n1;M;11;5\n")


def test_rows_have_the_numbers_of_their_lines(read):
    assert read("id,sex,boneage\n\n1,M,11\n2,F,9\n").index.tolist() == [3, 4]
    quoted = 'id,sex,boneage,note\n1,M,11,"of two\nlines"\n2,F,9,\n'
    assert read(quoted).index.tolist() == [2, 3]  # those of the rows


@pytest.mark.parametrize("end", ["\r", "\r\n"])
def test_lines_may_end_as_on_other_systems(read, end):
    labels = read(end.join(["id,sex,boneage", "1,M,11", "2,F,9", ""]))
    assert labels["boneage"].tolist() == [11, 9]


def test_quotes_may_stand_behind_a_space(read):
    labels = read('id, boneage, male\n1, "100", "t"\n2, "90", "f"\n')
    assert labels[["sex", "boneage"]].values.tolist() == [[1, 100], [0, 90]]


@pytest.mark.parametrize("age", ["age_months", "months"])
def test_an_age_that_may_be_that_in_the_passport_is_no_bone_age(read, age):
    with pytest.raises(UserError, match="no column for boneage"):
        read(f"id,sex,{age},bone_age_years\n1,M,120,9\n")


@pytest.mark.parametrize("scaled", ["boneage_zscore", "boneage/240", "bone age (years)"])
def test_scaled_ages_are_never_read_as_months(read, scaled):
    with pytest.raises(UserError, match="no column for boneage") as error:
        read(f"id,{scaled},male\n1377,0.5,True\n")
    assert scaled in str(error.value)
    labels = read(f"id,{scaled},boneage,male\n1377,0.5,120,True\n")
    assert labels["boneage"].tolist() == [120]


@pytest.mark.parametrize(
    ("text", "name", "advice"),
    [
        ("film,boneage,male\n1,2,True\n", "id", "image_id"),
        ("id,age,male\n1,2,True\n", "boneage", "boneage (months)"),
        ("id,boneage,ward\n1,2,A\n", "sex", "gender"),
    ],
)
def test_a_missing_column_is_named_with_what_to_do(read, text, name, advice):
    with pytest.raises(UserError) as error:
        read(text)
    message = str(error.value)
    assert f"no column for {name} among {text.splitlines()[0].replace(',', ', ')}" in message
    assert "labels.csv" in message
    assert advice in message.split("Name it like")[1]


def test_only_the_needed_columns_must_be_there(read):
    labels = read("id,Sex\n1,M\n", need=("sex",))
    assert labels["sex"].tolist() == [1]
    assert labels["boneage"].isna().all()


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


def test_months_are_read_alike_by_all_versions_of_pandas(read):
    """Old ones read 49.051334702258725 as ...73."""
    labels = read("id,boneage,sex\n1,49.051334702258725,F\n2,49.05133470225873,F\n")
    assert labels["boneage"].tolist() == [49.0513, 49.0513]


def test_months_that_can_not_be_are_no_age(read):
    text = "id,boneage,male\n1,0,True\n2,300,True\n3,-1,True\n4,301,True\n5,?,True\n6,,True\n"
    assert read(text)["boneage"].fillna(-99).tolist() == [0, 300, -99, -99, -99, -99]


# ------------------------------------------------------------------------------------------- sex


@pytest.mark.parametrize(
    ("header", "girl", "boy"),
    [
        *(("male", *pair) for pair in [("False", "True"), ("FALSE", "TRUE"), ("0", "1")]),
        ("male", "0.0", "1.0"),
        ("Male", "No", "Yes"),
        *(("Sex", *pair) for pair in [("F", "M"), ("f", "m"), ("female", "male")]),
        *(("gender", *pair) for pair in [("Female", "Male"), ("girl", "boy"), (" F ", " M ")]),
    ],
)
def test_sex_is_1_for_boys_in_every_coding(read, header, girl, boy):
    labels = read(f"id,boneage,{header}\n1,100,{girl}\n2,100,{boy}\n3,100,?\n")
    assert labels["sex"].fillna(-1).tolist() == [0, 1, -1]


@pytest.mark.parametrize("header", ["sex", "Gender"])
def test_numbers_of_unknown_meaning_are_an_error_that_names_the_option(read, header):
    text = f"id,boneage,{header}\n1,100,0\n2,100,1\n"
    with pytest.raises(UserError, match=f"column {header} holds 0 and 1.*--male_value"):
        read(text)
    assert read(text, male_value=1)["sex"].tolist() == [0, 1]
    assert read(text, male_value=0)["sex"].tolist() == [1, 0]


@pytest.mark.parametrize(
    ("rows", "held", "male_value"),
    [("1,100,False\n2,100,True", "true and false", 0), ("1,100,1\n2,100,F", "0 and 1", 1)],
)
def test_true_and_false_and_numbers_among_words_need_the_option(read, rows, held, male_value):
    text = f"id,boneage,gender\n{rows}\n"
    with pytest.raises(UserError, match=f"column gender holds {held}.*--male_value"):
        read(text)
    assert read(text, male_value=male_value)["sex"].tolist() == [1, 0]


def test_an_option_that_contradicts_words_is_an_error(read):
    text = "id,boneage,sex,gender\n1,100,1,male\n2,100,0,\n"
    assert read(text, male_value=1)["sex"].tolist() == [1, 0]
    with pytest.raises(UserError, match="contradict each other in 1 rows.*--male_value"):
        read(text, male_value=0)


def test_the_option_turns_no_column_whose_meaning_is_known(read):
    for text in ("id,boneage,male\n1,100,0\n2,100,1\n", "id,boneage,Sex\n1,100,F\n2,100,M\n"):
        assert read(text, male_value=0)["sex"].tolist() == [0, 1]


@pytest.mark.parametrize("numbers", [(0, 1), (1, 0)])
def test_words_tell_what_the_numbers_beside_them_mean(read, numbers):
    labels = read(f"id,boneage,sex,gender\n1,100,{numbers[0]},female\n2,100,{numbers[1]},male\n")
    assert labels["sex"].tolist() == [0, 1]


@pytest.mark.parametrize(
    "text",
    [
        "id,boneage,sex,male\n1,100,M,True\n2,100,F,True\n",
        "id,boneage,sex,male\n1,100,M,1\n2,100,F,1\n",
        "id,boneage,sex,gender\n1,100,M,male\n2,100,F,boy\n",
    ],
)
def test_columns_that_contradict_each_other_are_an_error(read, text):
    with pytest.raises(UserError, match="contradict each other in 1 rows"):
        read(text)


def test_a_gap_in_one_column_is_filled_from_the_other(read):
    labels = read("id,boneage,sex,gender\n1,100,,female\n2,100,M,\n3,100,,\n")
    assert labels["sex"].fillna(-1).tolist() == [0, 1, -1]


# ----------------------------------------------------------------------------------------- films


def test_ids_are_text_without_the_ending_of_a_file(read):
    ids = ["0042", "1377.png", "1378.JPG", "1379.0", " 1380 ", "1.2.840", "a/1381.webp"]
    labels = read("id,boneage,male\n" + "".join(f"{i},100,True\n" for i in ids))
    assert labels["id"].tolist() == ["0042", "1377", "1378", "1379", "1380", "1.2.840", "1381"]


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


def test_a_row_takes_no_film_of_another_folder(films):
    folder = films("P1/scan.png", "P2/scan.png", "P9/scan.png", "P9/other.png")
    names = ["P1/scan.png", "P2/scan.png", "P3/scan.png", "P3/other.png"]
    labels = labels_of(*"1234", filename=names)
    assert found(labels, folder) == ["P1/scan.png", "P2/scan.png", "", ""]


@pytest.mark.parametrize(("id_", "name"), [("img_2", "IMG_2.PNG"), ("12.0", "12.0.png")])
def test_names_match_in_spite_of_capitals_and_floats(films, id_, name):
    assert found(labels_of(id_), films(name)) == [name]


def test_accents_match_as_macos_writes_them(films):
    assert found(labels_of("\u00e9"), films("e\u0301.png")) == ["e\u0301.png"]


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


def test_a_row_without_id_has_no_film(films):
    assert found(labels_of("", "0"), films("0.png")) == ["", "0.png"]


def test_films_of_one_name_are_told_by_folder_whatever_their_ending(films):
    """As copies of a/1.jpg and b/1.jpg are that CLAHE wrote as PNG."""
    labels = labels_of("11", "12", filename=["a/1.jpg", "b/1.jpg"])
    assert found(labels, films("a/1.png", "b/1.png")) == ["a/1.png", "b/1.png"]
    assert found(labels[1:], films("b/1.jpg")) == ["b/1.jpg"]


def test_a_row_that_is_left_out_makes_no_other_one_a_repetition(films):
    labels = labels_of("1", "2", "2", filename=["x.png", "x.png", "y.png"])
    usable, left_out = split_usable(match_films(labels, list_films(films("x.png", "y.png"))))
    assert usable["filename"].tolist() == ["x.png", "y.png"]
    assert left_out["reason"].tolist() == ["same file as another row"]


def test_patients_are_the_same_with_and_without_the_ending_of_a_float(read):
    labels = read("id,patient,boneage,male\n1,12.0,100,True\n2,12,100,True\n3,,100,True\n")
    assert labels["patient"].tolist() == ["12", "12", ""]


def test_a_column_male_may_mix_words_and_numbers(read):
    labels = read("id,boneage,male\n1,100,TRUE\n2,100,0\n3,100,1\n4,100,FALSE\n")
    assert labels["sex"].tolist() == [1, 0, 1, 0]


def test_an_id_has_no_ending_of_an_image(read):
    """Not even two, as converters of DICOM leave them; where that makes films alike, both."""
    labels = read("id,boneage,male\n1.dcm.png,100,True\n1.png,90,True\n2.DCM.jpg,80,True\n3,,\n")
    assert labels["id"].tolist() == ["1_dcm_png", "1_png", "2", "3"]


@pytest.mark.parametrize("name", ["2.dcm.png", "2.png"])
def test_a_film_of_two_endings_is_found_by_its_id(name, read, films):
    usable, _ = split_usable(
        match_films(read("id,boneage,male\n2,80,True\n"), list_films(films(name)))
    )
    assert [Path(path).name for path in usable["path"]] == [name]


def test_of_rows_with_one_id_the_first_is_kept_however_they_are_written(read, films):
    labels = read(
        "id,boneage,male\n1,108,True\n1.png,120,True\n2,70,True\n02,70,True\n1,108,True\n"
    )
    usable, left_out = split_usable(match_films(labels, list_films(films("1.png", "2.png"))))
    assert usable[["id", "boneage"]].values.tolist() == [["1", 108], ["2", 70]]
    reasons = ["duplicate id, another age", "no file", "duplicate id"]
    assert left_out["reason"].tolist() == reasons


def test_images_are_listed_without_hidden_ones_and_other_files(films):
    folder = films(
        *("b.png", "a/c.TIFF", "d.jfif", "e.ima", "a.csv", "notes", ".hidden.png", "._b.png"),
        *("__MACOSX/b.png", ".cache/b.png"),
    )
    names = ["b.png", "d.jfif", "e.ima", "c.TIFF"]
    assert [path.name for path in list_films(folder)] == names


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


@pytest.mark.parametrize(("column", "numbers"), [("sex", (0, 1, 2)), ("male", (1, 2))])
def test_numbers_of_no_coding_are_no_sexes(read, column, numbers):
    rows = "".join(f"{number},90,{number}\n" for number in numbers)
    with pytest.raises(UserError, match=f"column {column} holds .*1 and 2: which sex is that"):
        read(f"id,boneage,{column}\n{rows}", male_value=1)


def test_1_and_2_are_sexes_once_it_is_known_which_is_male(read):
    """As statistics packages write them."""
    table = "id,boneage,sex\n1,120,1\n2,90,2\n3,60,\n"
    assert read(table, male_value=1)["sex"].fillna(-1).tolist() == [1, 0, -1]
    assert read(table, male_value=2)["sex"].fillna(-1).tolist() == [0, 1, -1]
    with pytest.raises(
        UserError, match=r"1 and 2: which is male.* --male_value 1 or --male_value 2"
    ):
        read(table)
    with pytest.raises(UserError, match="1 and 2, so --male_value 0 is wrong"):
        read(table, male_value=0)


@pytest.mark.parametrize(("yes", "no"), [("1", "0"), ("yes", "no"), ("TRUE", "FALSE"), ("t", "f")])
def test_the_header_is_male_says_which_sex_1_is(read, yes, no):
    sexes = read(f"id,boneage,Is male\n1,120,{yes}\n2,90,{no}\n3,90,\n")["sex"]
    assert sexes.fillna(-1).tolist() == [1, 0, -1]


def test_true_goes_with_0_and_1_alone(read):
    with pytest.raises(UserError, match="which sex is that"):
        read("id,boneage,sex\n1,120,true\n2,90,2\n3,90,false\n", male_value=1)


@pytest.mark.parametrize("words", [("m", "w"), ("h", "m"), ("w", "x")])
def test_words_that_would_leave_one_sex_out_are_an_error(read, words):
    """M is mujer beside H."""
    rows = "".join(f"{i},84,{words[i % 2]}\n" for i in range(20))
    with pytest.raises(UserError, match="which sex is that"):
        read("id,boneage,sex\n" + rows)
    few = rows + "".join(f"{i},84,{'MF'[i % 2]}\n" for i in range(20, 40))
    assert read("id,boneage,sex\n" + few)["sex"].notna().sum() >= 20


def test_children_of_one_sex_among_unknown_ones_are_no_error(read):
    rows = "".join(f"{i},84,{('M', 'unknown', '', 'n.a.')[i % 4]}\n" for i in range(24))
    assert read("id,boneage,sex\n" + rows)["sex"].sum() == 6


def test_words_of_a_sex_that_another_column_tells_are_no_error(read):
    rows = "".join(f"{i},84,{'mw'[i % 2]},{not i % 2}\n" for i in range(20))
    assert read("id,boneage,sex,male\n" + rows)["sex"].sum() == 10


@pytest.mark.parametrize("first", [b"PK\x03\x04", b"\xd0\xcf\x11\xe0"])
def test_an_excel_workbook_is_told(tmp_path, first):
    (tmp_path / "labels.xlsx").write_bytes(first + bytes(range(256)))
    with pytest.raises(UserError, match="it is an Excel workbook .*Save it as CSV"):
        read_labels(tmp_path / "labels.xlsx")


def test_of_several_columns_for_the_id_the_one_with_file_names_names_the_films(read, films):
    """The other may be a running number, which is the name of another film as well."""
    folder = films("1.png", "2.png")
    labels = read("id,image,boneage,sex\n1,2.png,84,F\n2,1.png,132,M\n")
    assert labels["id"].tolist() == ["1", "2"]
    assert found(labels, folder) == ["2.png", "1.png"]


def test_columns_that_may_both_name_the_films_are_an_error_if_they_differ(read):
    with pytest.raises(UserError, match="columns id and image_id may both name the films"):
        read("id,image_id,boneage,sex\n1,2,84,F\n2,1,132,M\n")
    same = read("id,image_id,case,boneage,sex\n1,001,,84,F\n2,,,96,M\n")
    assert same["id"].tolist() == ["1", "2"]
    labels = read("id,case,filename,boneage,sex\n1,7,2.png,84,F\n")
    assert labels["filename"].tolist() == ["2.png"]


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


def test_a_folder_without_the_films_of_the_table_says_why(tmp_path, films):
    table, folder = tmp_path / "labels.csv", films("3.png")
    for text, reason in (
        ("1,100,True\n2,,True\n", "2 rows: 2 no file .*names 1, the first film is 3.png"),
        (",100,True\n", "1 rows: 1 no id .*Write the name of each film"),
        ("3,8 y 2 m,True\n", "1 rows: 1 no usable age .*as numbers of months"),
        ("3,100,perhaps\n", "1 rows: 1 no usable sex .*Write sexes as M and F"),
    ):
        table.write_text(f"id,boneage,male\n{text}")
        with pytest.raises(UserError, match=f"no usable film among {reason}"):
            read_labelled_folder(table, folder)


# ----------------------------------------------------------------------------- odd tables and names


def test_a_table_of_ids_alone_is_read(read):
    assert read("id\n13\n14\n", need=())["id"].tolist() == ["13", "14"]


def test_a_comma_at_the_end_of_each_row_moves_no_column(read):
    labels = read("id,boneage,male\n1377,180,False,\n1378,12,True,\n")
    assert labels["id"].tolist() == ["1377", "1378"]
    assert labels["boneage"].tolist() == [180, 12]


def test_a_decimal_comma_is_read(read):
    assert read("id;boneage;male\n1;180,5;True\n")["boneage"].tolist() == [180.5]


def test_one_film_never_belongs_to_two_rows(films):
    usable, left_out = split_usable(
        match_films(labels_of("7", "007"), list_films(films("007.png")))
    )
    assert usable["id"].tolist() == ["007"]
    assert left_out["id"].tolist() == ["7"]


def test_accents_of_folders_are_written_in_two_ways(films):
    """As one character and, on macOS, as two: the film of Jürgen is in neither case Anna's."""
    labels = labels_of("1", "2", filename=["J\u00fcrgen/film.png", "Anna/film.png"])
    folder = films("Ju\u0308rgen/film.png", "Anna/film.png")
    assert found(labels, folder) == ["Ju\u0308rgen/film.png", "Anna/film.png"]


def test_the_name_of_a_folder_is_that_of_a_film(films):
    labels = labels_of("1", "2", filename=["P1/", "elsewhere/P2/"])
    assert found(labels, films("P1.png", "P2/film.png")) == ["P1.png", ""]


def test_a_dot_in_a_name_without_ending_is_part_of_it(films):
    labels = labels_of("1", "2", filename=["scan.1", "scan.2"])
    folder = films("scan.1.png", "scan.2.png", "scan.png")
    assert found(labels, folder) == ["scan.1.png", "scan.2.png"]


def test_a_usable_row_is_no_duplicate_of_one_left_out(read, films):
    labels = read("id,boneage,male\n1,,True\n1,100,True\n")
    usable, left_out = split_usable(match_films(labels, list_films(films("1.png"))))
    assert usable["boneage"].tolist() == [100]
    assert left_out["reason"].tolist() == ["no usable age"]


@pytest.mark.parametrize(
    ("ids", "filename"), [(("7", "0007"), ""), (("1", "2"), "007.png")], ids=["zeros", "filename"]
)
def test_one_film_is_given_to_one_id_only(films, ids, filename):
    labels = match_films(labels_of(*ids, filename=filename), list_films(films("007.png")))
    assert len(split_usable(labels)[0]) < 2


@pytest.mark.parametrize("name", ["0", "00", "0000"])
def test_a_name_of_zeros_alone_is_nought(films, name):
    """As tables that a spreadsheet saved have it."""
    folder = films("0000.png", "0001.png", "0002.png")
    assert found(labels_of(name, "1", "2"), folder) == ["0000.png", "0001.png", "0002.png"]


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


@pytest.mark.parametrize("name", ["id", "filename", "patient", "boneage", "sex", "age_months"])
def test_two_columns_of_one_name_are_an_error(read, name):
    columns = "id,filename,patient,boneage,sex,age_months"
    with pytest.raises(UserError, match=f"two columns are named {name} .* Remove one"):
        read(f"{columns},{name}\n1,1.png,p1,120,M,130,2\n")


@pytest.mark.parametrize("names", [("one", "two"), ("two", "one")])
def test_links_to_folders_are_followed_and_no_film_comes_twice(films, tmp_path, names):
    """Whichever of two links comes first, that to a folder or that to one within it."""
    folder = films("2019/1.png")
    for name in ("deep/2.png", "3.png"):
        (tmp_path / "away" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "away" / name).touch()
    for name, place in zip(names, ("away", "away/deep"), strict=True):
        (folder / name).symlink_to(tmp_path / place)
    (folder / "inside").symlink_to(folder / "2019")
    (tmp_path / "away" / "round").symlink_to(folder)
    (tmp_path / "away" / "up").symlink_to(tmp_path)
    assert sorted(path.name for path in list_films(folder)) == ["1.png", "2.png", "3.png"]
    assert folder / "2019" / "1.png" in list_films(folder)
