"""Splits of imported films: told by names, drawn, or those of a run."""

import os
import shutil

import cv2
import numpy as np
import pandas as pd
import pytest
from source_folders import (
    IDS,
    check_films,
    draw,
    film_path,
    left_out,
    make_films,
    make_source,
    make_table,
    months_of,
    read,
    run,
    save,
    zipped,
)

from util.errors import UserError
from util.files import write_csv
from util.importing import import_splits
from util.runs import FILM_LISTS, Run
from util.stratify import divide

# --------------------------------------------------------------------------------- told by names


def test_splits_that_the_names_tell_are_kept(tmp_path, capsys):
    parts = {
        "train": (tmp_path / "boneage-training-dataset", range(1, 25)),
        "val": (tmp_path / "Bone Age Validation Set", range(201, 211)),
        "test": (tmp_path / "Bone Age Test Set", range(301, 308)),
    }
    sources = [zipped(make_source(folder, numbers)) for folder, numbers in parts.values()]
    rows = read(run(tmp_path / "Data", "--source", *sources))
    for split, (_, numbers) in parts.items():
        assert sorted(rows.index[rows["split"] == split].astype(int)) == list(numbers)
    assert "no effect" not in capsys.readouterr().out
    run(tmp_path / "Again", "--source", *sources, "--split", 0.5, 0.25, 0.25)
    assert "note: the sources come with all three splits: --split has no effect" in (
        capsys.readouterr().out
    )


@pytest.mark.parametrize("words", [[], ["--split", 0.6, 0.2, 0.2]])
def test_a_split_that_a_name_tells_is_noted(tmp_path, capsys, words):
    """The name may be that of a hospital."""
    sources = [
        make_source(tmp_path / "necker", IDS[:30]),
        make_source(tmp_path / "val_de_grace", IDS[30:]),
    ]
    run(tmp_path / "Data", "--source", *sources, *words)
    out = capsys.readouterr().out
    assert (
        "note: films in val by the name of a table, source or folder, or a column split: 10" in out
    )
    assert ("its share of --split has no effect" in out) == bool(words)


@pytest.mark.parametrize("pack", [lambda folder: folder, zipped])
@pytest.mark.parametrize("name", ["films", "training_data"])
@pytest.mark.parametrize("table", ["labels", "boneage-training-dataset"])
def test_splits_that_the_folders_of_a_source_tell_are_kept(
    tmp_path, monkeypatch, pack, name, table
):
    """Below another folder as well; one that tells nothing is training. The one split that the name
    of a table or source tells is then no split. The data folder is named as most users do."""
    monkeypatch.chdir(tmp_path)
    source = tmp_path / name
    parts = {"train": range(1, 31), "Validation": range(31, 36), "test_set/a": range(36, 40)}
    for name, numbers in parts.items():
        make_films(source / "all" / name, numbers)
    make_films(source / "more", [40])
    make_table(source / f"{table}.csv", range(1, 41))
    run("Data", "--source", pack(source))
    rows = read(tmp_path / "Data")
    split = rows["split"].rename(index=int)
    assert sorted(split.index[split == "val"]) == [*range(31, 36)]
    assert sorted(split.index[split == "test"]) == [*range(36, 40)]


@pytest.mark.parametrize("header", ["split", "Set", "subset"])
def test_splits_that_a_column_tells_are_kept(tmp_path, capsys, header):
    """Names come first; one that it tells for all films is no split, nor are those of some rows."""
    source = make_source(tmp_path / "films")
    table = pd.read_csv(source / "labels.csv")
    told = ["train"] * 30 + ["Validation"] * 6 + ["test_set"] * 4
    table.assign(**{header: told}).to_csv(source / "labels.csv", index=False)
    rows = read(run(tmp_path / "Data", "--source", source))
    assert rows["split"].tolist() == ["train"] * 30 + ["val"] * 6 + ["test"] * 4
    drawn = {"train": 32, "val": 4, "test": 4}
    for n, (others, note) in enumerate(
        ((["dev"] * 4, True), (["a"] * 40, False), (["train"] * 40, False))
    ):
        splits = [*told[: 40 - len(others)], *others]
        table.assign(**{header: splits}).to_csv(source / "labels.csv", index=False)
        rows = read(run(tmp_path / f"Drawn{n}", "--source", source))
        assert rows["split"].value_counts().to_dict() == drawn
        told_of = f"note: column {header} is not used, as some rows tell no split, such as row 38"
        assert (told_of in capsys.readouterr().err) == note


def test_the_names_of_folders_tell_splits_before_a_column_does(tmp_path):
    for name, numbers in {"train": IDS[:30], "test": IDS[30:]}.items():
        make_films(tmp_path / "films" / name, numbers)
    make_table(tmp_path / "films" / "labels.csv", IDS)
    table = pd.read_csv(tmp_path / "films" / "labels.csv")
    table.assign(split=["val", "train"] * 20).to_csv(tmp_path / "films" / "labels.csv", index=False)
    rows = read(run(tmp_path / "Data", "--source", tmp_path / "films"))
    assert sorted(rows.index[rows["split"] == "test"].astype(int)) == list(IDS[30:])


def test_a_patient_in_two_splits_of_a_column_is_an_error(tmp_path):
    source = make_source(tmp_path / "films")
    table = pd.read_csv(source / "labels.csv")
    table.assign(split=["train", "test"] * 20, patient=[i // 2 for i in range(40)]).to_csv(
        source / "labels.csv", index=False
    )
    with pytest.raises(UserError, match=r"20 patients are in more .* or that of splits\."):
        run(tmp_path / "Data", "--source", source)


def test_a_folder_of_a_source_that_alone_tells_a_split_splits_nothing(tmp_path):
    make_films(tmp_path / "films" / "test", IDS)
    make_table(tmp_path / "films" / "labels.csv", IDS)
    rows = read(run(tmp_path / "Data", "--source", tmp_path / "films"))
    assert rows["split"].value_counts().to_dict() == {"train": 32, "val": 4, "test": 4}


@pytest.mark.parametrize("name", ["training", "validation", "test"])
def test_the_name_of_one_source_alone_tells_no_split(tmp_path, name):
    rows = read(run(tmp_path / "Data", "--source", make_source(tmp_path / name)))
    assert rows["split"].value_counts().to_dict() == {"train": 32, "val": 4, "test": 4}


def test_splits_are_told_by_names_written_as_one_word(tmp_path):
    training = make_source(tmp_path / "TrainingSet", IDS[:30])
    test = make_source(tmp_path / "testset", IDS[30:])
    rows = read(run(tmp_path / "Data", "--source", training, test))
    assert sorted(rows.index[rows["split"] == "test"].astype(int)) == list(IDS[30:])


def test_a_source_is_a_split_by_the_name_of_the_folder_one_is_in(tmp_path, monkeypatch):
    make_source(tmp_path / "train", range(1, 31))
    make_source(tmp_path / "val", range(31, 36))
    monkeypatch.chdir(tmp_path / "val")
    rows = read(run(tmp_path / "Data", "--source", "../train", "."))
    assert sorted(rows.index[rows["split"] == "val"].astype(int)) == [*range(31, 36)]


def test_given_splits_without_training_films_are_an_error(tmp_path):
    validation = make_source(tmp_path / "validation", range(1, 11))
    test = make_source(tmp_path / "test", range(201, 211))
    with pytest.raises(UserError, match="none of 20 films is for training"):
        run(tmp_path / "Data", "--source", validation, test)
    assert not (tmp_path / "Data").exists()


def test_an_id_in_two_given_splits_is_an_error(tmp_path):
    training = make_source(tmp_path / "training", range(1, 20))
    called_test = make_source(tmp_path / "test", range(19, 30))
    with pytest.raises(UserError, match="1 ids are in more than one given split, such as 19"):
        run(tmp_path / "Data", "--source", training, called_test)


def number_anew(folder, ids):
    """Films 1 to 20 in a folder of training and 1 to 10 in one of validation, each with a table
    beside it; `ids` says what else this table calls them than by their path."""
    for split, numbers in {"train": range(101, 121), "val": range(201, 211)}.items():
        make_table(folder / f"{split}.csv", numbers)
        table = pd.read_csv(folder / f"{split}.csv")
        places = range(1, len(table) + 1)
        table["id"] = [ids.format(split, place) for place in places]
        table["filename"] = [f"{split}/{place}.png" for place in places]
        table.to_csv(folder / f"{split}.csv", index=False)
        for place, number in zip(places, numbers, strict=True):
            save(folder / split / f"{place}.png", draw(number))


def test_films_that_each_split_numbers_anew_need_ids_of_their_own(tmp_path):
    number_anew(tmp_path / "own", "{}_{}")
    data = run(tmp_path / "Data", "--source", tmp_path / "own")
    rows = read(data)
    assert set(rows.index[rows["split"] == "val"]) == {f"val_{n}" for n in range(1, 11)}
    for split, first in (("train", 101), ("val", 201)):
        film = rows.loc[f"{split}_1"]
        assert film["boneage"] == months_of(first)
        image = cv2.imread(str(film_path(data, film)), cv2.IMREAD_UNCHANGED)
        assert (image == draw(first)).all()
    number_anew(tmp_path / "same", "{1}")
    with pytest.raises(UserError, match="10 ids are in more than one given split, such as 1 "):
        run(tmp_path / "Again", "--source", tmp_path / "same")


def test_a_given_split_without_films_is_told_before_another_is_drawn(tmp_path, capsys):
    source = tmp_path / "films"
    make_films(source, IDS)
    make_table(source / "train.csv", IDS)
    make_table(source / "val.csv", range(301, 311))
    run(tmp_path / "Data", "--source", source)
    note = "note: none of 10 rows given for val can be used: 10 no file\n"
    assert note in capsys.readouterr().err


def test_a_given_split_of_the_films_of_another_is_told_with_that_reason(tmp_path, capsys):
    source = tmp_path / "films"
    make_films(source, IDS)
    make_table(source / "train.csv", IDS)
    again = pd.read_csv(source / "train.csv").head(10)
    again["filename"] = [f"{number}.png" for number in again["id"]]
    again.assign(id=[f"again_{number}" for number in again["id"]]).to_csv(
        source / "val.csv", index=False
    )
    run(tmp_path / "Data", "--source", source)
    note = "note: none of 10 rows given for val can be used: 10 same file as another row\n"
    assert note in capsys.readouterr().err


def test_rows_without_id_in_two_given_splits_are_no_common_film(tmp_path):
    sources = [
        make_source(tmp_path / n, ids) for n, ids in (("training", IDS[:30]), ("test", IDS[30:]))
    ]
    for source in sources:
        with (source / "labels.csv").open("a") as table:
            table.write(",100,True\n")
    check_films(run(tmp_path / "Data", "--source", *sources), IDS)


# ----------------------------------------------------------------------------------------- drawn


def test_only_the_split_that_is_missing_is_drawn(tmp_path):
    training = make_source(tmp_path / "training", range(1, 41))
    validation = make_source(tmp_path / "validation", range(201, 211))
    rows = read(run(tmp_path / "Data", "--source", training, validation))
    assert (rows["split"] == "val").equals(rows.index.to_series().astype(int) > 200)
    assert (rows["split"] == "test").sum() == 5  # of all 50


def test_a_split_depends_on_its_seed_alone(tmp_path):
    source = make_source(tmp_path / "films")
    splits = [
        read(run(tmp_path / name, "--source", source, "--seed", seed))["split"].to_dict()
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    ]
    assert splits[0] == splits[1]
    assert splits[0] != splits[2]


def test_shares_are_kept_and_must_sum_to_one(tmp_path, capsys):
    source = make_source(tmp_path / "films")
    rows = read(run(tmp_path / "Data", "--source", source, "--split", "0.5", "0.3", "0.2"))
    assert rows["split"].value_counts().to_dict() == {"train": 20, "val": 12, "test": 8}
    with pytest.raises(SystemExit) as error:
        run(tmp_path / "other", "--source", source, "--split", "0.5", "0.3", "0.1")
    assert error.value.code == 2
    assert "must sum to 1" in capsys.readouterr().err


def test_a_share_of_nothing_gets_no_film(tmp_path):
    source = make_source(tmp_path / "films", range(1, 6))
    rows = read(run(tmp_path / "Data", "--source", source, "--split", 0, 0.5, 0.5))
    assert set(rows["split"]) == {"val", "test"}


def test_named_films_go_to_the_test_split(tmp_path):
    source = make_source(tmp_path / "films")
    for numbers in ([103, 107], range(103, 113)):  # fewer and more than its share
        table = tmp_path / f"test{len(numbers)}.csv"
        table.write_text("id,note\n" + "".join(f"{n}.png,x\n" for n in numbers))
        data = run(tmp_path / f"Data{len(numbers)}", "--source", source, "--test_ids", table)
        rows = read(data)
        tested = rows.index[rows["split"] == "test"]
        assert set(tested) >= {str(n) for n in numbers}
        assert len(tested) == max(4, len(numbers))
        assert (rows["split"] == "val").sum() == 4


def test_films_are_named_with_zeros_or_without(tmp_path):
    source = make_source(tmp_path / "films")
    (tmp_path / "test.csv").write_text("id,note\n000103,x\n")
    rows = read(run(tmp_path / "Data", "--source", source, "--test_ids", tmp_path / "test.csv"))
    assert rows.loc["103", "split"] == "test"


@pytest.mark.parametrize("header", ["id", "filename", "patient"])
def test_a_row_for_the_test_split_that_names_no_film_stops_the_import(tmp_path, header):
    """Its film might be trained on. One that was left out is not."""
    source = make_source(tmp_path / "films")
    (source / "103.png").unlink()
    words = ["--source", source, "--test_ids", tmp_path / "test.csv"]
    (tmp_path / "test.csv").write_text(f"{header}\n103\n9999\n")
    with pytest.raises(UserError, match="1 of 2 rows name no film, or several, such as 9999"):
        run(tmp_path / "Data", *words)
    assert not (tmp_path / "Data").exists()
    (tmp_path / "test.csv").write_text(f"{header}\n103\n104\n")
    assert read(run(tmp_path / "Data", *words)).loc["104", "split"] == "test"


def test_patients_for_the_test_split_are_no_ids(tmp_path):
    """Nor are they the name of a film of another patient."""
    source = make_source(tmp_path / "films")
    table = pd.read_csv(source / "labels.csv")
    table.assign(patient_id=table["id"] - 13).to_csv(source / "labels.csv", index=False)
    (tmp_path / "test.csv").write_text("patient_id\n107\n108\n109\n110\n")
    words = ["--source", source, "--test_ids", tmp_path / "test.csv"]
    rows = read(run(tmp_path / "Data", *words))
    assert rows.index[rows["split"] == "test"].tolist() == ["120", "121", "122", "123"]
    (tmp_path / "test.csv").write_text("patient_id\n107\n135\n")  # a film, but no patient
    with pytest.raises(UserError, match="1 of 2 rows name no film, or several, such as 135"):
        run(tmp_path / "Again", *words)


def test_films_for_the_test_split_are_named_by_their_paths(tmp_path):
    """IM0 alone is another film; names beside ids don't count."""
    source, names = tmp_path / "films", [f"P{i}/IM{j}.png" for i in range(20) for j in range(2)]
    for number, name in enumerate([*names, "IM0.png"]):
        save(source / name, draw(number))
    rows = pd.DataFrame({"filename": [*names, "IM0.png"], "boneage": range(50, 91), "sex": "F"})
    rows.to_csv(source / "labels.csv", index=False)
    words = ["--source", source, "--test_ids", tmp_path / "test.csv"]
    for text in ("filename\nP3/IM0.png\nP4\\IM1.png\n", "id,filename\nP3_IM0,IM0.png\nP4_IM1,\n"):
        (tmp_path / "test.csv").write_text(text)
        data = run(tmp_path / str(len(text)), *words, "--split", 0.9, 0.05, 0.05)
        assert read(data).query("split == 'test'").index.tolist() == ["P3_IM0", "P4_IM1"]


def test_a_film_for_the_test_split_may_be_named_without_its_folder(tmp_path):
    source, names = tmp_path / "films", [f"P{i}/film{i}.png" for i in range(20)]
    for number, name in enumerate(names):
        save(source / name, draw(number))
    rows = pd.DataFrame({"id": range(20), "filename": names, "boneage": range(50, 70), "sex": "F"})
    rows.to_csv(source / "labels.csv", index=False)
    (tmp_path / "test.csv").write_text("filename\nfilm7.png\n")
    words = ["--source", source, "--test_ids", tmp_path / "test.csv"]
    data = run(tmp_path / "Data", *words, "--split", 0.9, 0.05, 0.05)
    assert read(data).query("split == 'test'").index.tolist() == ["7"]


@pytest.fixture
def many_films():
    """A table as of 1,000 films: more boys than girls, ages as in RSNA 2017."""
    rng = np.random.default_rng(0)
    sex = (rng.random(1000) < 0.54).astype(float)
    ages = rng.normal(121 + 12 * sex, 41).clip(1, 228)
    ids = [str(i) for i in range(1000)]
    return pd.DataFrame({"id": ids, "patient": "", "sex": sex, "boneage": ages, "given_split": ""})


def test_every_split_has_the_same_sexes_and_ages(many_films):
    """Parts of 100, over many seeds: by chance alone they would be off by 0.05 (share of boys),
    4 months, and 6 months among the girls or the boys."""
    off = []
    for seed in range(30):
        split = import_splits.assign_splits(many_films, (0.8, 0.1, 0.1), seed)
        assert split.value_counts().to_dict() == {"train": 800, "val": 100, "test": 100}
        for name in ("val", "test"):
            off.append(summary(many_films[split == name]) - summary(many_films))
    sex, age, girls, boys = np.sqrt(np.mean(np.square(off), axis=0))
    assert sex < 0.015
    assert age < 2
    assert max(girls, boys) < 3


def summary(films):
    """Share of boys, and the mean age of all, of girls and of boys."""
    by_sex = films.groupby("sex")["boneage"].mean()
    return np.array([films["sex"].mean(), films["boneage"].mean(), by_sex[0], by_sex[1]])


@pytest.mark.parametrize(("given", "drawn"), [("val", "test"), ("test", "val")])
def test_shares_count_the_given_films(many_films, given, drawn):
    many_films.loc[:299, "given_split"] = given
    many_films.loc[300:, "given_split"] = "train"
    split = import_splits.assign_splits(many_films, (0.8, 0.1, 0.1), seed=1)
    assert split.value_counts().to_dict() == {"train": 600, given: 300, drawn: 100}
    assert (split[:300] == given).all()


@pytest.mark.parametrize("shares", [(0, 0, 1), (0, 0.5, 0.5), (0.8, 0.1, 0.1)])
def test_given_training_films_stay_where_the_names_tell_all_splits(many_films, shares):
    many_films["given_split"] = ["train"] * 600 + ["val"] * 300 + ["test"] * 100
    split = import_splits.assign_splits(many_films, shares, seed=1)
    assert split.tolist() == many_films["given_split"].tolist()


# ------------------------------------------------------------------------------ patients and ids


def tell_patients(source, films):
    """Say in the table of a source that so many films in a row are of one patient."""
    table = pd.read_csv(source / "labels.csv")
    table.insert(0, "Patient ID", [f"p{row // films}" for row in range(len(table))])
    table.rename(columns={"id": "image_id"}).to_csv(source / "labels.csv", index=False)
    return source


def test_the_films_of_a_patient_are_in_one_split(tmp_path):
    source = tell_patients(make_source(tmp_path / "films"), 4)
    (tmp_path / "test.csv").write_text("id\n103\n")  # of the patient of 101 to 104
    words = ["--source", source, "--test_ids", tmp_path / "test.csv", "--split", 0.6, 0.2, 0.2]
    rows = read(run(tmp_path / "Data", *words))
    assert rows["patient"].value_counts().tolist() == 10 * [4]
    assert (rows.groupby("patient")["split"].nunique() == 1).all()
    assert rows["split"].value_counts().to_dict() == {"train": 24, "val": 8, "test": 8}
    assert rows.loc["103", "split"] == "test"


def test_a_patient_in_two_given_splits_is_an_error(tmp_path):
    training = tell_patients(make_source(tmp_path / "training", range(1, 20)), 4)
    test = tell_patients(make_source(tmp_path / "test", range(30, 33)), 4)
    with pytest.raises(UserError, match="1 patients are in more than one given split, such as p0"):
        run(tmp_path / "Data", "--source", training, test)


def test_shares_that_leave_no_patient_for_training_are_an_error(tmp_path):
    source = tell_patients(make_source(tmp_path / "films", range(1, 11)), films=5)
    words = ["--source", source, "--split", "0.4", "0.3", "0.3"]
    with pytest.raises(UserError, match="10 films is left for training: 2 patients are too few"):
        run(tmp_path / "Data", *words)


def test_a_film_of_nobody_told_is_no_patient_of_that_name(tmp_path):
    training = make_source(tmp_path / "training", range(1, 20))
    test = make_source(tmp_path / "test", range(30, 33))
    table = pd.read_csv(test / "labels.csv")
    table.assign(patient_id=["1", "1", ""]).to_csv(test / "labels.csv", index=False)
    rows = read(run(tmp_path / "Data", "--source", training, test))
    assert sorted(rows.index[rows["split"] == "test"]) == ["30", "31", "32"]


def test_leading_zeros_make_no_other_patient_and_no_other_film(tmp_path):
    """As a training would refuse it."""
    training = make_source(tmp_path / "training", range(1, 20))
    test = make_source(tmp_path / "test", range(30, 33))
    tables = {folder: pd.read_csv(folder / "labels.csv", dtype=str) for folder in (training, test)}
    for name, folder in (("0017", training), ("17", test)):
        table = tables[folder].assign(patient_id="")
        table.loc[0, "patient_id"] = name
        table.to_csv(folder / "labels.csv", index=False)
    with pytest.raises(
        UserError, match="1 patients are in more than one given split, such as 0017"
    ):
        run(tmp_path / "Data", "--source", training, test)
    film = test / f"{tables[test]['id'][0]}.png"
    film.rename(film.with_name(f"00{tables[training]['id'][0]}.png"))
    tables[test].iloc[0] = tables[training].iloc[0]
    tables[test].loc[0, "id"] = f"00{tables[training]['id'][0]}"
    for folder, table in tables.items():
        table.to_csv(folder / "labels.csv", index=False)
    with pytest.raises(UserError, match="1 ids are in more than one given split, such as 001"):
        run(tmp_path / "Data", "--source", training, test)


def test_films_of_one_id_but_for_zeros_are_drawn_into_one_split(tmp_path):
    source = make_source(tmp_path / "films", range(1, 21))
    table = pd.read_csv(source / "labels.csv", dtype=str)
    for id_ in table["id"]:
        shutil.copy(source / f"{id_}.png", source / f"00{id_}.png")
    pd.concat([table, table.assign(id="00" + table["id"])]).to_csv(
        source / "labels.csv", index=False
    )
    rows = read(run(tmp_path / "Data", "--source", source))
    assert len(rows) == 40
    assert (rows.groupby(rows.index.str.lstrip("0"))["split"].nunique() == 1).all()


def test_films_that_a_patient_or_an_id_connects_are_drawn_into_one_split():
    """1 and 001 may be one film, although wards number their films and name their patients."""
    wards = [(f"{i}", f"A{i}") for i in range(1, 41)] + [(f"{i:03}", f"B{i}") for i in range(1, 41)]
    films = pd.DataFrame(wards, columns=["id", "patient"])
    films = films.assign(sex=1.0, boneage=100.0, given_split="")
    films.loc[films["patient"] == "B1", "patient"] = "A2"  # 001, and so 1, beside 2 and 002
    split = import_splits.assign_splits(films, (0.5, 0.25, 0.25), seed=1)
    number = films["id"].str.lstrip("0").replace("2", "1")
    assert (split.groupby(number).nunique() == 1).all()
    assert split.value_counts().min() >= 18
    parts = pd.Series(divide(films, 3, seed=1))
    assert (parts.groupby(number).nunique() == 1).all()


# -------------------------------------------------------------------------------- those of a run


def test_films_are_split_as_for_a_run(phantoms, small_run, tmp_path):
    source = tmp_path / "films"
    make_films(source, [101])  # which the run never had
    before = read(phantoms)
    for row in before.itertuples():
        os.link(film_path(phantoms, row), source / row.filename)
    table = before.reset_index()[["id", "boneage", "gender"]]
    table.loc[len(table)] = ["101", 60, "male"]
    table.sample(frac=1, random_state=0).to_csv(source / "labels.csv", index=False)
    after = read(run(tmp_path / "Data", "--source", source, "--split_of", small_run))
    assert after["split"].to_dict() == before["split"].to_dict()
    assert left_out(tmp_path / "Data") == [("101", "101.png", f"in no split of {small_run.name}")]


def test_other_films_of_the_children_of_a_run_are_in_none_of_its_splits(tmp_path):
    films = pd.DataFrame(
        {
            "id": ["1", "2", "3", "4"],
            "sex": [0, 1, 0, 0],
            "boneage": [60.0, 90, 120, 61],
            "patient": ["a", "b", "c", "a"],  # the last is another film of the first child
            "path": "film.png",
            "given_split": "",
        }
    )
    earlier = Run(tmp_path)
    for row, name in enumerate(FILM_LISTS.values()):
        table = films.iloc[[row]].assign(predicted=0.0, error=0.0)
        write_csv(earlier.path(name), table)
    earlier.write_json("config.json", {"options": {}, "data": dict.fromkeys(FILM_LISTS)})
    kept, others = import_splits.split_as_run(films, earlier)
    assert dict(zip(kept["id"], kept["given_split"], strict=True)) == {
        **{"1": "train", "2": "val", "3": "test"}
    }
    assert others["id"].tolist() == ["4"]


def test_a_run_that_parted_the_films_of_a_child_splits_nothing(phantoms, small_run, tmp_path):
    source, before = tmp_path / "films", read(phantoms)
    source.mkdir()
    for row in before.itertuples():
        os.link(film_path(phantoms, row), source / row.filename)
    table = before.reset_index()[["id", "boneage", "gender"]].assign(patient=before.index)
    first = before.reset_index().groupby("split").head(1).index  # a film of each split
    table.loc[first, "patient"] = "P1"
    table.to_csv(source / "labels.csv", index=False)
    with pytest.raises(UserError, match="such as P1 .* leave out the column of patients"):
        run(tmp_path / "Data", "--source", source, "--split_of", small_run)


def test_a_run_of_other_films_splits_nothing(small_run, tmp_path):
    source = make_source(tmp_path / "films")
    with pytest.raises(UserError, match="none of 40 films is among the train films of the run"):
        run(tmp_path / "Data", "--source", source, "--split_of", small_run)
    assert not (tmp_path / "Data").exists()


def test_a_run_that_lists_no_films_splits_none(tmp_path):
    with pytest.raises(UserError, match="without a list of its films"):
        import_splits.split_as_run(pd.DataFrame(), Run(tmp_path))


def test_a_run_brings_its_splits_alone(small_run, tmp_path, capsys):
    with pytest.raises(SystemExit):
        run(tmp_path, "--source", tmp_path, "--split_of", small_run, "--split", 0.5, 0.25, 0.25)
    assert "--split_of sets the splits" in capsys.readouterr().err
