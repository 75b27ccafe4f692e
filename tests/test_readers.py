"""Labels of several readers: their mean, and how far they and a model are apart."""

import json
import shutil
from argparse import Namespace

import numpy as np
import pandas as pd
import pytest
from commands import check_error_line
from source_folders import make_source, run

from preprocessing import read_labelled_folder
from util.errors import UserError
from util.files import quote
from util.held_out import fitted_to, match_any_id
from util.identity import are_among
from util.tables.labels import labels_of
from util.tables.matching import match_films
from util.tables.readers import (
    compare_readers,
    format_readers,
    mean_of_readers,
    months_of_readers,
    note_second_reader,
)
from util.tables.text import read_table


@pytest.fixture
def rows(tmp_path):
    """A table with a row for each reader, whose films are all here: its labels, and the films."""
    (tmp_path / "rows.csv").write_text(
        "id,boneage,sex,patient\n1,100,M,\n2,50,F,p2\n1,106,,p1\n,70,F,\n2,,F,\n,90,F,p9\n1,109,M,\n"
        "3,80,M,p3\n3,90,F,p4\n"
    )
    labels = labels_of(read_table(tmp_path / "rows.csv"), tmp_path / "rows.csv")
    films = [tmp_path / f"{number}.png" for number in (1, 2, 3)]
    return match_films(labels, films)


def test_rows_of_a_film_become_one_with_their_mean(rows):
    """In the order of the table. The sex or the patient may be told in one of them alone; those of
    other sexes and rows without id stay rows of their own."""
    films = mean_of_readers(rows, rows[["boneage"]])
    assert films["id"].tolist() == ["1", "2", "", "", "3", "3"]
    assert films["boneage"].tolist() == [105, 50, 70, 90, 80, 90]
    assert films["by_reader"].tolist() == [[100, 106, 109], [50], [70], [90], [80], [90]]
    assert films["sex"].tolist() == [1, 0, 0, 0, 1, 0]
    assert films["patient"].tolist() == ["p1", "p2", "", "p9", "p3", "p4"]


def test_rows_that_may_be_of_other_films_are_not_taken_together():
    """Rows without id, of other files, of both sexes, or of no sex."""
    rows = [
        *(("", "", 1, 60), ("", "", np.nan, 62)),
        *(("5", "a.png", 1, 64), ("5", "b.png", 1, 66)),
        *(("6", "c.png", 1, 68), ("6", "c.png", 0, 70), ("6", "c.png", np.nan, 72)),
        *(("7", "d.png", np.nan, 74), ("8", "e.png", np.nan, 76)),
    ]
    labels = pd.DataFrame(rows, columns=["id", "path", "sex", "boneage"]).assign(patient="")
    films = mean_of_readers(labels, labels[["boneage"]])
    pd.testing.assert_frame_equal(films[labels.columns], labels, check_dtype=False)


def test_a_reader_and_the_model_are_compared_with_the_same_other_readers():
    films = pd.DataFrame({"id": ["a", "b", "c"], "patient": ""})
    films["by_reader"] = [[100, 106, 109], [60, 64], [50]]
    found = compare_readers(films, [103, 70, 0])
    readers = [np.mean([7.5, 1.5, 6]), 4]  # from means 107.5, 104.5, 103, and from each other
    model = [np.mean([4.5, 1.5, 0]), np.mean([6, 10])]
    assert (found["n"], found["fewest"], found["most"]) == (2, 2, 3)
    assert found["mae"] == pytest.approx(np.mean(readers))
    assert found["model_mae"] == pytest.approx(np.mean(model))
    assert found["difference"] == pytest.approx(np.mean(model) - np.mean(readers))
    low, high = found["difference_ci95"]
    assert low < found["difference"] < high


@pytest.mark.parametrize(
    ("films", "predicted", "text"),
    [
        ([[50], []], [50, 60], "  readers: no film here has ages of two"),
        ([[50, 54]], [51], "  readers: 2 for one film; a reader is 4.00 months from the mean of the "
         "others\n  the model is 2.00 from the same means, difference -2.00; these are too few "
         "children to compare"),
    ],
)  # fmt: skip
def test_a_few_films_of_several_readers_are_told_as_such(films, predicted, text):
    films = pd.DataFrame({"id": range(len(films)), "by_reader": films})
    assert format_readers(compare_readers(films.astype({"id": str}), predicted)) == text


def test_readers_are_read_from_columns_with_gaps_in_months_or_years(tmp_path, capsys):
    table = pd.DataFrame({"ann": ["100", "", "n/a?"], "bob_years": ["8.5", "5", "10"]})
    months = months_of_readers(table, ["ann", "bob_years"], "labels.csv")
    assert months["bob_years"].tolist() == [102, 60, 120]
    assert months["ann"].dropna().tolist() == [100]
    assert (
        "note: cells of ann that hold no age: 1, such as n/a? (labels.csv)"
        in capsys.readouterr().err
    )


def test_a_reader_of_the_youngest_alone_gave_no_years():
    """Bob read two infants and a child, of whom others read many."""
    table = pd.DataFrame({"ann": ["9", "14", *["120"] * 5], "bob": ["9", "12", "96", *[""] * 4]})
    months = months_of_readers(table, ["ann", "bob", "ann"], "labels.csv")
    assert months["bob"].dropna().tolist() == [9, 12, 96]
    assert months.columns.tolist() == ["ann", "bob"]  # named twice, ann is one reader


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"ann": ["100", "120"], "bob": ["8.5", "10"]}, "the ages of bob look like years"),
        ({"ann": ["100", "120"], "bob": ["8y", "10y"]}, "no ages in the column bob"),
        ({"ann": ["100"], "bob": ["102"], "bob.1": ["9"]}, "two columns are named bob"),
        ({"ann": ["100"]}, "no column bob among ann"),
    ],
)
def test_columns_that_can_be_no_months_of_readers_are_refused(columns, reason):
    with pytest.raises(UserError, match=reason):
        months_of_readers(pd.DataFrame(columns), ["ann", "bob"], "labels.csv")


AGES = [str(months) for months in range(24, 224, 5)]
OTHERS = [str(months + 7) for months in range(24, 224, 5)]


@pytest.mark.parametrize(
    ("header", "second", "ages", "told"),
    [
        ("boneage", "boneage2", OTHERS, True),
        ("Bone Age (months)", "Bone Age (2)", OTHERS, True),
        ("boneage", "boneage_reader_B", ["", "90"] * 20, True),
        ("boneage", "Unnamed: 2", OTHERS, True),
        ("boneage", "boneage2", AGES, False),  # a copy
        ("boneage", "boneage2", [""] * 40, False),
        ("boneage", "boneage_zscore", OTHERS, False),
        ("boneage", "boneage_predicted", OTHERS, False),
        ("boneage", "age", OTHERS, False),
        ("boneage", "Unnamed: 2", [*"0123"] * 10, False),  # codes
        ("boneage", "Unnamed: 2", ["", "", *OTHERS[2:4]] * 10, False),  # mostly empty
        ("boneage", "Unnamed: 2", ["old", "tilted"] * 20, False),
    ],
)
def test_a_second_reader_who_is_not_used_is_told(capsys, header, second, ages, told):
    table = pd.DataFrame({"id": AGES, header: AGES, second: ages})
    note_second_reader(table, header, "labels.csv")
    note = f"column {second} is not used: if it holds the ages of a second reader, --readers"
    assert capsys.readouterr().err.count(note) == told


def test_a_second_reader_in_years_is_told_beside_years(capsys):
    years = {"boneage_years": ["10.5", "8"], "Unnamed: 1": ["10", "8"]}
    note_second_reader(pd.DataFrame(years), "boneage_years", "labels.csv")
    assert (
        f"--readers boneage_years {quote('Unnamed: 1')} takes the mean" in capsys.readouterr().err
    )


def test_an_import_tells_of_a_second_reader_unless_all_are_named(tmp_path, capsys):
    source = make_source(tmp_path / "films")
    table = pd.read_csv(source / "labels.csv")
    table.assign(boneage2=table["boneage"] + 7).to_csv(source / "labels.csv", index=False)
    run(tmp_path / "One", "--source", source)
    assert "note: column boneage2 is not used" in capsys.readouterr().err
    run(tmp_path / "Two", "--source", source, "--readers", "boneage", "boneage2")
    assert "is not used" not in capsys.readouterr().err


def test_a_film_that_was_learned_by_the_label_of_one_reader_is_not_held_out():
    """Nor by that of their mean."""
    films = pd.DataFrame({"id": [*"abcd"], "sex": 1, "boneage": [104.0, 60, 50, 90]})
    films["by_reader"] = [[100.0, 108], [60], [], [80.0, 100]]
    films.index = [7, 5, 0, 2]  # as where films were left out or sorted
    learned = pd.DataFrame({"id": ["a", "b", "d"], "sex": 1, "boneage": [108.0, 61, 90]})
    assert match_any_id(are_among, films, learned).tolist() == [True, False, False, True]
    calibrated = Namespace(members=[], calibration={"films": films.to_dict("list")})
    assert fitted_to(calibrated, learned).tolist() == [True, False, True]


@pytest.fixture
def read_twice(trained, tmp_path):
    """Test films of a run, each read 4 months too high and 8 too low, in two layouts: a table with
    a column for each reader, one with a row for each, and the folder of films."""
    table = pd.read_csv(trained[1] / "df_test.csv", dtype={"id": str})[["id", "sex", "boneage"]]
    table = table[table["boneage"] > 8].assign(sex=table["sex"].map({1: "M", 0: "F"}))
    first, second = table["boneage"] + 4, table["boneage"] - 8
    columns, rows = tmp_path / "columns.csv", tmp_path / "rows.csv"
    table.drop(columns="boneage").assign(ann=first, bob=second).to_csv(columns, index=False)
    pd.concat([table.assign(boneage=months) for months in (first, second)]).to_csv(
        rows, index=False
    )
    return columns, rows, trained[1] / "test"


def test_an_evaluation_is_on_the_mean_of_readers(trained, read_twice, done, tmp_path):
    columns, rows, images = read_twice
    found = []
    for name, table, words in (("a", columns, ["ann", "bob"]), ("b", rows, [])):
        where = ["--csv", table, "--images", images, "--out", tmp_path / name]
        process = done("evaluate.py", trained[0], *where, "--readers", *words)
        assert "left out" not in process.stdout
        assert "a reader is 12.00 [12.00, 12.00] months from the mean of the others" in (
            process.stdout
        )
        found.append(json.loads((tmp_path / name / "metrics.json").read_text()))
    one, other = found
    assert one["mae"] == other["mae"]
    assert one["reader_agreement"] == other["reader_agreement"] | {"columns": ["ann", "bob"]}
    predictions = pd.read_csv(tmp_path / "a" / "predictions.csv", dtype={"id": str})
    labels = pd.read_csv(trained[1] / "df_test.csv", dtype={"id": str}).set_index("id")["boneage"]
    assert np.allclose(predictions["boneage"], labels[predictions["id"]] - 2)
    assert "reading" not in predictions  # what one reader would say is not their mean
    read_as = np.abs(predictions["predicted"] - predictions["boneage"] - 6).mean()
    other_way = np.abs(predictions["predicted"] - predictions["boneage"] + 6).mean()
    assert one["reader_agreement"]["model_mae"] == pytest.approx(
        (read_as + other_way) / 2, abs=1e-3
    )


def test_without_the_option_the_first_reader_counts_and_the_option_is_named(
    trained, read_twice, inside, tmp_path
):
    where = ["--csv", read_twice[1], "--images", read_twice[2], "--out", tmp_path / "out"]
    process = inside("evaluate.py", trained[0], *where)
    assert "duplicate id, another age" in process.stdout
    note = "films with several ages: the first counts; --readers takes their mean"
    assert f"note: {note}" in process.stdout
    assert note in json.loads((tmp_path / "out" / "metrics.json").read_text())["notes"]


def test_a_calibration_is_fitted_to_the_mean_of_readers(
    trained, read_twice, inside, done, tmp_path
):
    columns, _, images = read_twice
    words = ["--images", images, "--readers", "ann", "bob", "--held_out"]
    done("evaluate.py", trained[0], "--csv", columns, *words, "--out", tmp_path / "before")
    before = json.loads((tmp_path / "before" / "metrics.json").read_text())
    process = done("evaluate.py", trained[0], "--calibrate", columns, *words, "--name", "readers")
    assert "a reader is 12.00 [12.00, 12.00] months from the mean of the others" in process.stdout
    stored = json.loads((trained[0] / "calibration_readers.json").read_text())
    (calibration,) = stored.values()
    agreement = calibration["reader_agreement"]
    assert agreement["columns"] == ["ann", "bob"]
    # that of the corrected months
    assert abs(agreement["model_mae"] - before["reader_agreement"]["model_mae"]) > 0.01
    table = pd.read_csv(columns, dtype={"id": str}).set_index("id")
    films = pd.DataFrame(calibration["films"]).set_index("id")
    assert np.allclose(films["boneage"], table.loc[films.index, ["ann", "bob"]].mean(axis=1))
    pd.read_csv(columns).rename(columns={"ann": "boneage"}).to_csv(tmp_path / "ann.csv")
    words = ["--csv", tmp_path / "ann.csv", "--images", images, "--calibration", "readers"]
    process = inside("evaluate.py", trained[0], *words, "--held_out")
    check_error_line(process, f"learned from all of {len(films)} films")


def test_an_import_takes_the_mean_and_records_how_far_readers_are_apart(read_twice, done, tmp_path):
    """Other tables in the source don't matter."""
    columns, _, images = read_twice
    data_dir, source = tmp_path / "data", tmp_path / "source"
    shutil.copytree(images, source)
    shutil.copy(columns, source)
    (source / "patients.csv").write_text("id,sex,weight\n1,M,30\n")
    where = ["--source", source, "--data_dir", data_dir]
    process = done("import_data.py", *where, "--readers", "ann", "bob")
    assert "readers: 2 for each of" in process.stdout
    assert json.loads((data_dir / "import.json").read_text())["reader_agreement"]["mae"] == 12
    given = pd.read_csv(columns, dtype={"id": str}).set_index("id")
    train = pd.read_csv(data_dir / "df_train.csv", dtype={"id": str})
    assert np.allclose(train["boneage"], given.loc[train["id"], ["ann", "bob"]].mean(axis=1))


def test_a_film_on_whose_sex_readers_disagree_is_left_out(read_twice, done, tmp_path):
    """Even if its first row alone has the other sex."""
    _, rows, images = read_twice
    table = pd.read_csv(rows, dtype=str)
    wrong, others = table["id"][0], set(table["id"][1:]) - {table["id"][0]}
    table.loc[0, "sex"] = "MF".replace(table["sex"][0], "")
    pd.concat([table, table[table["id"] == wrong][-1:]]).to_csv(rows, index=False)
    usable, left_out = read_labelled_folder(rows, images, headers=True, readers=[])
    assert set(usable["id"]) == others
    reasons = left_out.loc[left_out["id"] == wrong, "reason"]
    assert reasons.tolist() == 2 * ["two sexes for this film"]
    where = ["--source", images, "--csv", rows, "--data_dir", tmp_path / "data"]
    process = done("import_data.py", *where, "--readers")
    assert "2 two sexes for this film" in process.stdout
    placed = pd.concat(
        pd.read_csv(path, dtype={"id": str}) for path in (tmp_path / "data").glob("df_*.csv")
    )
    assert set(placed["id"]) == others


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["ann", "eve"], "no column eve among id, sex, ann, bob"),
        (["ann"], "has ages of two readers"),
    ],
)
def test_readers_that_are_not_there_are_one_line(
    words, reason, trained, read_twice, inside, tmp_path
):
    where = ["--csv", read_twice[0], "--images", read_twice[2], "--out", tmp_path / "out"]
    process = inside("evaluate.py", trained[0], *where, "--readers", *words)
    check_error_line(process, reason, "--readers")
    assert not (tmp_path / "out").exists()


def test_readers_of_a_split_are_refused(trained, inside):
    process = inside("evaluate.py", trained[0], "--readers")
    check_error_line(process, "--readers has no effect without --csv or --calibrate")
