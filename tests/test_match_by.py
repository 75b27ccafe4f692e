"""Films of a hospital's archive, which a table names by what their DICOM headers hold."""

import numpy as np
import pandas as pd
import pytest
from commands import check_error_line
from source_folders import left_out, read, run

from util.phantoms import draw_phantom

pydicom = pytest.importorskip("pydicom")

ACCESSIONS = [f"00{number}" for number in range(710, 730)]


def write_archive(folder, **elements):
    """A folder of DICOM films of names that say nothing, with these values in their headers."""
    from test_dicom import write_dicom

    folder.mkdir(parents=True, exist_ok=True)
    rng, ((element, values),) = np.random.default_rng(0), elements.items()
    for number, value in enumerate(values):
        image = draw_phantom(60 + 5 * number, 1, rng).astype(np.uint16) << 4
        write_dicom(folder / f"IM{number:04}", image, **{element: value})
    return folder


def imported(films, table, data_dir, element="AccessionNumber"):
    """The rows of all splits, by id, after an import of films into a new data folder."""
    return read(run(data_dir, "--source", films, "--csv", table, "--match_by", element))


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """A folder of films, one of them without an accession number, two of them with the same."""
    folder = tmp_path_factory.mktemp("archive")
    return write_archive(folder, AccessionNumber=[*ACCESSIONS, "", ACCESSIONS[0]])


@pytest.fixture(scope="module")
def table(archive):
    """Labels by accession number, as a spreadsheet writes them: without leading zeros."""
    path = archive.parent / "labels.csv"
    rows = {"id": [int(name) for name in ACCESSIONS], "boneage": range(60, 160, 5), "sex": "M"}
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


def test_films_are_imported_by_an_element_of_their_headers(archive, table, tmp_path, capsys):
    placed = imported(archive, table, tmp_path / "Data")
    assert placed["boneage"].to_dict() == {str(710 + i): 60 + 5 * i for i in range(1, 20)}
    out = capsys.readouterr().out
    assert "1 several files of that name" in out  # both of the first row
    assert "1 no label" in out  # the one without a number


def test_films_of_an_archive_without_a_label_are_told_apart_by_their_folders(tmp_path):
    """Each study numbers its films anew. Those that a row may mean are not listed."""
    for study, number in (("a", "1"), ("b", "1"), ("c", ""), ("d", ""), ("e", "2"), ("f", "3")):
        write_archive(tmp_path / "films" / study, AccessionNumber=[number])
    (tmp_path / "labels.csv").write_text("id,boneage,sex\n1,60,M\n2,70,M\n3,90,F\n")
    words = ["--source", tmp_path / "films", "--csv", tmp_path / "labels.csv"]
    data = run(tmp_path / "Data", *words, "--match_by", "AccessionNumber", "--split", "1", "0", "0")
    assert left_out(data) == [
        ("1", "", "several files of that name"),
        ("IM0000", "c/IM0000", "no label"),
        ("IM0000", "d/IM0000", "no label"),
    ]


def test_the_column_of_the_element_counts_before_other_ids(archive, table, tmp_path):
    labels = pd.read_csv(table).rename(columns={"id": "Accession Number"})
    labels = labels.assign(id=range(1, 21), filename="x.dcm", patient_id=[*range(10)] * 2)
    labels.to_csv(tmp_path / "labels.csv", index=False)
    placed = imported(archive, tmp_path / "labels.csv", tmp_path / "Data")
    assert placed["boneage"].to_dict() == {str(710 + i): 60 + 5 * i for i in range(1, 20)}
    assert placed["patient"].to_dict() == {str(710 + i): i % 10 for i in range(1, 20)}


def test_the_column_of_the_element_may_be_that_of_the_patients(tmp_path):
    films = write_archive(tmp_path / "films", PatientID=[str(i) for i in range(1, 11)])
    labels = {"id": range(1, 11), "PatientID": range(10, 0, -1), "boneage": range(10, 110, 10)}
    pd.DataFrame(labels | {"sex": "M"}).to_csv(tmp_path / "labels.csv", index=False)
    placed = imported(films, tmp_path / "labels.csv", tmp_path / "Data", "PatientID")
    assert placed["boneage"].to_dict() == {str(11 - i): 10 * i for i in range(1, 11)}


def test_a_file_without_a_picture_has_no_number(tmp_path, capsys):
    """Such as the report on the dose, beside each film of a study."""
    films = write_archive(tmp_path / "films", AccessionNumber=ACCESSIONS)
    for path in list(films.iterdir()):
        report = pydicom.dcmread(path)
        del report.Rows, report.Columns, report.PixelData
        report.save_as(films / f"SR{path.name}")
    rows = {"id": ACCESSIONS, "boneage": range(60, 160, 5), "sex": "M"}
    pd.DataFrame(rows).to_csv(tmp_path / "labels.csv", index=False)
    placed = imported(films, tmp_path / "labels.csv", tmp_path / "Data")
    assert placed["boneage"].to_dict() == dict(zip(ACCESSIONS, range(60, 160, 5), strict=True))
    assert "left out: 20 no label" in capsys.readouterr().out


def test_two_columns_of_the_element_must_not_differ(archive, inside, tmp_path):
    text = "Accession Number,AccessionNumber,boneage,sex\n710,711,60,M\n"
    (tmp_path / "labels.csv").write_text(text)
    words = ["--source", archive, "--csv", tmp_path / "labels.csv", "--data_dir", tmp_path / "Data"]
    process = inside("import_data.py", *words, "--match_by", "AccessionNumber")
    check_error_line(process, "columns Accession Number and AccessionNumber differ")


@pytest.mark.parametrize("header", ["id", "Accession Number", "filename"])
def test_numbers_with_slashes_are_compared_whole(tmp_path, header):
    numbers = [f"2020/{i}" for i in range(100, 110)]
    films = write_archive(tmp_path / "films", AccessionNumber=[*numbers, "2019/100"])
    rows = {header: ["2018/100", "2019/100", *numbers[1:]], "boneage": range(60, 115, 5)}
    pd.DataFrame(rows | {"sex": "M"}).to_csv(tmp_path / "labels.csv", index=False)
    placed = imported(films, tmp_path / "labels.csv", tmp_path / "Data")
    assert placed["boneage"].to_dict() == {
        "2019_100": 65,
        **{f"2020_{100 + i}": 65 + 5 * i for i in range(1, 10)},
    }


def test_a_number_may_be_the_name_of_a_file(tmp_path):
    films = write_archive(tmp_path / "films", AccessionNumber=list(map(str, range(710, 720))))
    rows = {"filename": [f"png/{i}.png" for i in range(710, 720)], "boneage": range(60, 110, 5)}
    pd.DataFrame(rows | {"sex": "M"}).to_csv(tmp_path / "labels.csv", index=False)
    placed = imported(films, tmp_path / "labels.csv", tmp_path / "Data")
    assert placed["boneage"].to_dict() == {str(i): 60 + 5 * (i - 710) for i in range(710, 720)}


def test_an_evaluation_and_predictions_find_films_so_too(
    archive, table, small_run, inside, done, tmp_path
):
    by = ["--match_by", "AccessionNumber"]
    words = ["--csv", table, "--images", archive, "--out", tmp_path / "out"]
    done("evaluate.py", small_run, *words, *by)
    judged = pd.read_csv(tmp_path / "out" / "predictions.csv").set_index("id")
    assert judged["boneage"].to_dict() == {710 + i: 60 + 5 * i for i in range(1, 20)}
    words = ["--csv", table, "--model", small_run, "--out", tmp_path / "ages.csv"]
    process = inside("predict.py", archive, *words, *by)
    assert process.returncode == 1
    ages = pd.read_csv(tmp_path / "ages.csv").set_index("filename")["months"]
    assert ages["IM0003"] == pytest.approx(judged.loc[713, "predicted"], abs=0.06)
    assert ages[["IM0000", "IM0020", "IM0021"]].isna().all()  # not told apart, or not named


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--match_by", "Accession"], "DICOM has no element of that name"),
        (["--match_by", "PatientSex"], "no film has PatientSex in its header"),
        (["--match_by", "PatientID"], "no row has the PatientID of a film: IM0000 has 4711PATIENT"),
    ],
)
def test_what_is_wrong_with_an_element_is_one_line(
    words, reason, archive, table, small_run, inside, tmp_path
):
    given = ["--csv", table, "--images", archive, "--out", tmp_path / "out"]
    check_error_line(inside("evaluate.py", small_run, *given, *words), reason)
    given = ["--source", archive, "--csv", table, "--data_dir", tmp_path / "Data"]
    check_error_line(inside("import_data.py", *given, *words), reason)
    assert not list(tmp_path.iterdir())


def test_an_element_without_a_table_is_refused(archive, small_run, inside):
    by = ["--match_by", "AccessionNumber"]
    process = inside("predict.py", archive, "--model", small_run, "--sex", "F", *by)
    check_error_line(process, "--match_by has no effect without --csv")
