"""Import of labelled films: sources of any shape, splits, files in place, and clean failures."""

import json
import os
import shutil
import sys
import zipfile

import cv2
import numpy as np
import pandas as pd
import pytest
from commands import check_error_line
from files import names_of_bytes

import import_data
from util import archives, importing
from util.data_folder import SPLITS, new_data_folder
from util.errors import UserError
from util.files import write_csv
from util.importing import link_or_copy
from util.radiographs import UNREADABLE, RadiographError
from util.runs import FILM_LISTS, Run

IDS = range(101, 141)


def months_of(number):
    return 12 + number * 37 % 200


def draw(number, shape=(24, 20), depth=np.uint8):
    """Noise that belongs to one id."""
    return np.random.default_rng(number).integers(0, np.iinfo(depth).max, shape, depth)


def save(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(path.suffix, image)[1].tobytes())


def make_films(folder, numbers, ending=".png"):
    for number in numbers:
        save(folder / f"{number}{ending}", draw(number))


def make_table(path, numbers):
    table = pd.DataFrame({"id": numbers, "boneage": map(months_of, numbers)})
    table["male"] = table["id"] % 3 == 0
    path.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(path, index=False)


def make_source(folder, numbers=IDS):
    """A folder of films with their table inside."""
    make_films(folder, numbers)
    make_table(folder / "labels.csv", numbers)
    return folder


def zipped(folder):
    return folder.parent / shutil.make_archive(folder, "zip", folder)


def run(data_dir, *words):
    import_data.main([*map(str, words), "--data_dir", str(data_dir)])
    return data_dir


def read(data_dir):
    """The rows of all three tables, with a column split, by id."""
    tables = {
        name: pd.read_csv(data_dir / csv, dtype={"id": str}) for name, (_, csv) in SPLITS.items()
    }
    return pd.concat(tables, names=["split"]).reset_index("split").set_index("id").sort_index()


def left_out(data_dir):
    table = pd.read_csv(data_dir / "import_left_out.csv", dtype=str, keep_default_na=False)
    return [tuple(row) for row in table.values]


def film_path(data_dir, row):
    return data_dir / SPLITS[row.split].folder / row.filename


def check_films(data_dir, numbers):
    """Every film is there once, in the folder of its split, with its own picture and label."""
    rows = read(data_dir)
    assert rows.index.tolist() == sorted(map(str, numbers))
    for row in rows.itertuples():
        number = int(row.Index)
        picture = cv2.imread(str(film_path(data_dir, row)), cv2.IMREAD_UNCHANGED)
        assert np.array_equal(picture, draw(number))
        assert row.boneage == months_of(number)
        assert (row.sex, row.gender) == ((1, "male") if number % 3 == 0 else (0, "female"))
    files = [p for folder, _ in SPLITS.values() for p in (data_dir / folder).iterdir()]
    assert len(files) == len(rows)


# --------------------------------------------------------------------------------------- sources


def test_ages_in_years_are_told_of(tmp_path, capsys):
    source = make_source(tmp_path / "films")
    table = pd.read_csv(source / "labels.csv")
    table.assign(boneage=table["boneage"] / 12).to_csv(source / "labels.csv", index=False)
    run(tmp_path / "Data", "--source", source)
    assert "multiply them by 12 if they are years" in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_a_doubled_folder_with_its_table_is_imported_whole(tmp_path, kind):
    source = tmp_path / "boneage-training-dataset"
    make_films(source / source.name, IDS)
    make_table(source / "boneage-training-dataset.csv", IDS)
    data = run(tmp_path / "Data", "--source", zipped(source) if kind == "zip" else source)
    check_films(data, IDS)
    assert left_out(data) == []
    assert {path.name for path in data.iterdir()} == {
        *("train", "validation", "test", "df_train.csv", "df_val.csv", "df_test.csv"),
        "import_left_out.csv",
        "import.json",
    }
    header = (data / "df_train.csv").read_text().splitlines()[0]
    assert header == "id,filename,boneage,sex,gender"


def test_a_table_beside_two_folders_of_films(tmp_path):
    source = tmp_path / "Bone Age Validation Set"
    make_films(source / "boneage-validation-dataset-1", IDS[:25])
    make_films(source / "boneage-validation-dataset-2", IDS[25:])
    make_table(source / "Validation Dataset.csv", IDS)
    check_films(run(tmp_path / "Data", "--source", source), IDS)


@pytest.mark.parametrize("pack", [lambda folder: folder, zipped])
def test_a_table_beside_a_folder_or_zip(tmp_path, pack):
    make_films(tmp_path / "films", IDS)
    make_table(tmp_path / "films.csv", IDS)
    check_films(run(tmp_path / "Data", "--source", pack(tmp_path / "films")), IDS)


@pytest.mark.parametrize("name", ["films/labels.CSV", "films.CSV"])
def test_the_ending_of_a_table_may_be_in_capitals(tmp_path, name):
    source = make_source(tmp_path / "films")
    (source / "labels.csv").rename(tmp_path / name)
    check_films(run(tmp_path / "Data", "--source", source), IDS)


def test_tables_in_a_zip_are_named_as_in_it(tmp_path):
    source = make_source(tmp_path / "films")
    make_table(source / "more.csv", IDS)
    with pytest.raises(UserError) as error:
        run(tmp_path / "Data", "--source", zipped(source))
    archive = tmp_path / "films.zip"
    assert f"{archive}/labels.csv, {archive}/more.csv. Choose one" in str(error.value)
    assert "from the unpacked zip" in str(error.value)


def test_films_that_one_row_may_mean_are_not_told_to_have_no_label(tmp_path):
    source = make_source(tmp_path / "films")
    save(source / "more" / "103.png", draw(103))
    assert left_out(run(tmp_path / "Data", "--source", source)) == [
        ("103", "", "several files of that name")
    ]


def test_the_next_command_can_be_pasted_whatever_the_folder(tmp_path, capsys):
    run(tmp_path / "my Data", "--source", make_source(tmp_path / "films"))
    assert f"--data_dir '{tmp_path}/my Data'\n" in capsys.readouterr().out


def test_zips_inside_a_zip_are_unpacked_and_litter_is_not(tmp_path):
    make_films(tmp_path / "in" / "films", IDS)
    zipped(tmp_path / "in" / "films")
    shutil.rmtree(tmp_path / "in" / "films")
    make_table(tmp_path / "in" / "films.csv", IDS)
    archive = zipped(tmp_path / "in")
    with zipfile.ZipFile(archive, "a") as file:
        for litter in ("__MACOSX/._101.png", "__MACOSX/films/101.png", ".DS_Store", "._films.csv"):
            file.writestr(litter, b"litter")
        file.writestr("../outside.png", b"evil")
    data = run(tmp_path / "a" / "Data", "--source", archive)
    check_films(data, IDS)
    assert left_out(data) == [("outside", "outside.png", "no label")]
    assert not list(tmp_path.rglob("outside.png"))


def test_films_that_were_zipped_from_another_folder_are_imported(tmp_path):
    """zip -r films.zip ../films stores names that begin with ../."""
    source, archive = make_source(tmp_path / "films"), tmp_path / "films.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for number, path in enumerate(source.iterdir()):
            place = f"../films/{path.name}"
            file.write(path, place if number % 2 else place.replace("/", "\\"))
    shutil.rmtree(source)
    check_films(run(tmp_path / "Data", "--source", archive), IDS)


def test_errors_in_a_table_of_a_zip_name_the_zip(tmp_path):
    source = make_source(tmp_path / "films")
    table = pd.read_csv(source / "labels.csv").rename(columns={"male": "sex"})
    table.assign(sex=table["sex"].astype(int)).to_csv(source / "labels.csv", index=False)
    archive = zipped(source)
    with pytest.raises(UserError, match=f"which is male\\? \\({archive}/labels.csv\\)"):
        run(tmp_path / "Data", "--source", archive)


def test_a_linked_folder_is_searched_for_tables_too(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "set").symlink_to(make_source(tmp_path / "films"))
    check_films(run(tmp_path / "Data", "--source", tmp_path / "in"), IDS)


@pytest.mark.parametrize(
    "folder", ["lost+found", "$RECYCLE.BIN", "$Recycle.Bin", "System Volume Information"]
)
def test_folders_that_systems_keep_on_a_disk_hold_no_films(tmp_path, folder):
    source = make_source(tmp_path / "films")
    make_films(source / folder, [102, 103])
    check_films(run(tmp_path / "Data", "--source", source), IDS)
    assert left_out(tmp_path / "Data") == []


def test_a_data_folder_tells_how_it_was_made(tmp_path, monkeypatch):
    archive = zipped(make_source(tmp_path / "films"))
    monkeypatch.setattr("sys.argv", ["import_data.py", "--source", str(archive)])
    record = json.loads((run(tmp_path / "Data", "--source", archive) / "import.json").read_text())
    assert record["command"] == ["import_data.py", "--source", str(archive)]
    assert record["bytes"] == {str(archive): archive.stat().st_size}
    assert "opencv-python-headless" in record["environment"]["versions"]


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_files_of_one_name_in_a_zip_are_told(tmp_path):
    """The second would overwrite the first, whose label it would get."""
    archive = zipped(make_source(tmp_path / "films"))
    with zipfile.ZipFile(archive, "a") as file:
        file.write(tmp_path / "films" / "102.png", "102.png")  # the same once more
    check_films(run(tmp_path / "Data", "--source", archive), IDS)
    for number, name in enumerate(("./101.png", "//101.png")):
        twice = shutil.copy(archive, tmp_path / f"{number}.zip")
        with zipfile.ZipFile(twice, "a") as file:
            file.write(tmp_path / "films" / "102.png", name)
        with pytest.raises(UserError, match=r"two files in \d.zip have one name, 101.png"):
            run(tmp_path / "other" / "Data", "--source", twice)


def test_names_in_a_zip_that_are_one_to_the_file_system_are_told(tmp_path, monkeypatch):
    assert not archives.folds_case(tmp_path) or sys.platform != "linux"
    monkeypatch.setattr(archives, "folds_case", lambda folder: True)  # as on Windows and macOS
    archive = zipped(make_source(tmp_path / "films"))
    for name in ("P101.png", "p101.png"):
        with zipfile.ZipFile(archive, "a") as file:
            file.write(tmp_path / "films" / f"10{2 if name[0] == 'p' else 1}.png", name)
    with pytest.raises(UserError, match=r"one name, p101.png, ignoring case"):
        run(tmp_path / "Data", "--source", archive)


def test_a_zip_inside_a_zip_overwrites_no_folder_of_its_name(tmp_path):
    source = make_source(tmp_path / "films")
    make_films(tmp_path / "other", [101, 900])
    zipped(tmp_path / "other").replace(source / "more.zip")
    make_films(source / "more", [900])
    (source / "empty.zip").mkdir()
    rows = run(tmp_path / "Data", "--source", zipped(source))
    assert ("101", "", "several files of that name") in left_out(rows)
    assert sum(name == "900.png" for _, name, _ in left_out(rows)) == 2


def test_tables_in_hidden_folders_are_none(tmp_path):
    """As a notebook leaves copies of those that were opened."""
    source = make_source(tmp_path / "films")
    make_table(source / ".ipynb_checkpoints" / "labels-checkpoint.csv", IDS)
    check_films(run(tmp_path / "Data", "--source", source), IDS)


def test_every_row_that_is_left_out_is_listed(tmp_path):
    source = make_source(tmp_path / "films")
    with (source / "labels.csv").open("a") as table:
        table.write(",100,True\n,100,True\n77,100,True\n77,90,True\n")
    rows = [("", "", "no id")] * 2 + [("77", "", "no file")] * 2
    assert left_out(run(tmp_path / "Data", "--source", source)) == rows


def test_rows_without_id_in_two_given_splits_are_no_common_film(tmp_path):
    sources = [
        make_source(tmp_path / n, ids) for n, ids in (("training", IDS[:30]), ("test", IDS[30:]))
    ]
    for source in sources:
        with (source / "labels.csv").open("a") as table:
            table.write(",100,True\n")
    check_films(run(tmp_path / "Data", "--source", *sources), IDS)


def test_a_share_of_nothing_gets_no_film(tmp_path):
    source = make_source(tmp_path / "films", range(1, 6))
    rows = read(run(tmp_path / "Data", "--source", source, "--split", 0, 0.5, 0.5))
    assert set(rows["split"]) == {"val", "test"}


def test_options_name_the_table_and_which_number_is_male(tmp_path):
    make_films(tmp_path / "films", IDS)
    make_table(tmp_path / "films" / "old.csv", IDS[:3])
    table = pd.DataFrame({"id": IDS, "boneage": map(months_of, IDS)})
    table["gender"] = (table["id"] % 3 != 0).astype(int)
    table.to_csv(tmp_path / "coded.csv", index=False)
    words = ["--source", tmp_path / "films", "--csv", tmp_path / "coded.csv"]
    with pytest.raises(UserError, match="--male_value"):
        run(tmp_path / "Data", *words)
    check_films(run(tmp_path / "Data", *words, "--male_value", "0"), IDS)


def test_files_of_a_folder_are_linked_and_stay_where_they_were(tmp_path):
    source = make_source(tmp_path / "films")
    before = sorted(source.iterdir())
    data = run(tmp_path / "Data", "--source", source)
    assert sorted(source.iterdir()) == before
    for row in read(data).itertuples():
        assert film_path(data, row).samefile(source / row.filename)


# ---------------------------------------------------------------------------------------- splits


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


def test_a_folder_of_a_source_that_alone_tells_a_split_splits_nothing(tmp_path):
    make_films(tmp_path / "films" / "test", IDS)
    make_table(tmp_path / "films" / "labels.csv", IDS)
    rows = read(run(tmp_path / "Data", "--source", tmp_path / "films"))
    assert rows["split"].value_counts().to_dict() == {"train": 32, "val": 4, "test": 4}


def test_only_the_split_that_is_missing_is_drawn(tmp_path):
    training = make_source(tmp_path / "training", range(1, 41))
    validation = make_source(tmp_path / "validation", range(201, 211))
    rows = read(run(tmp_path / "Data", "--source", training, validation))
    assert (rows["split"] == "val").equals(rows.index.to_series().astype(int) > 200)
    assert (rows["split"] == "test").sum() == 5  # of all 50


def test_given_splits_without_training_films_are_an_error(tmp_path):
    validation = make_source(tmp_path / "validation", range(1, 11))
    test = make_source(tmp_path / "test", range(201, 211))
    with pytest.raises(UserError, match="none of 20 films is for training"):
        run(tmp_path / "Data", "--source", validation, test)
    assert not (tmp_path / "Data").exists()


def test_shares_that_leave_no_patient_for_training_are_an_error(tmp_path):
    source = tell_patients(make_source(tmp_path / "films", range(1, 11)), films=5)
    words = ["--source", source, "--split", "0.4", "0.3", "0.3"]
    with pytest.raises(UserError, match="10 films is left for training: 2 patients are too few"):
        run(tmp_path / "Data", *words)


@pytest.mark.parametrize("name", ["training", "validation", "test"])
def test_the_name_of_one_source_alone_tells_no_split(tmp_path, name):
    rows = read(run(tmp_path / "Data", "--source", make_source(tmp_path / name)))
    assert rows["split"].value_counts().to_dict() == {"train": 32, "val": 4, "test": 4}


def test_an_id_in_two_given_splits_is_an_error(tmp_path):
    training = make_source(tmp_path / "training", range(1, 20))
    called_test = make_source(tmp_path / "test", range(19, 30))
    with pytest.raises(UserError, match="1 ids are in more than one given split, such as 19"):
        run(tmp_path / "Data", "--source", training, called_test)


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


def test_a_source_that_is_named_twice_counts_once(tmp_path, capsys):
    source = make_source(tmp_path / "films", range(1, 21))
    rows = read(run(tmp_path / "Data", "--source", source, source))
    assert len(rows) == 20
    assert "left out" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("id_", "reason"),
    [
        (".hid", "its id begins with a dot"),
        ("long" * 70, "its id is too long for the name of a file"),
        ("2019:1", "its id has a character that Windows forbids in file names"),
    ],
)
def test_an_id_that_can_name_no_file_is_left_out_with_a_reason(id_, reason, tmp_path, monkeypatch):
    monkeypatch.setattr("util.importing.NOT_IN_NAMES", set(":"))  # as on Windows
    source = make_source(tmp_path / "films", range(1, 21))
    table = pd.read_csv(source / "labels.csv", dtype=str)
    table["filename"] = table["id"] + ".png"
    table.loc[0, "id"] = id_
    table.to_csv(source / "labels.csv", index=False)
    data = run(tmp_path / "Data", "--source", source)
    assert len(read(data)) == 19
    [(told, _, why)] = left_out(data)
    assert (told, why) == (id_, reason)
    table[:1].to_csv(source / "labels.csv", index=False)
    with pytest.raises(UserError, match=f"nothing to import.*{reason}"):
        run(tmp_path / "Again", "--source", source)
    assert not (tmp_path / "Again").exists()


def test_a_source_is_a_split_by_the_name_of_the_folder_one_is_in(tmp_path, monkeypatch):
    make_source(tmp_path / "train", range(1, 31))
    make_source(tmp_path / "val", range(31, 36))
    monkeypatch.chdir(tmp_path / "val")
    rows = read(run(tmp_path / "Data", "--source", "../train", "."))
    assert sorted(rows.index[rows["split"] == "val"].astype(int)) == [*range(31, 36)]


def test_a_zip_of_a_windows_tool_is_unpacked_into_folders(tmp_path):
    source = make_source(tmp_path / "films", range(1, 21))
    with zipfile.ZipFile(tmp_path / "w.zip", "w") as archive:
        for path in source.iterdir():
            member = zipfile.ZipInfo("x")
            member.filename = f"films\\{path.name}"  # ZipInfo itself would mend it
            archive.writestr(member, path.read_bytes())
    assert len(read(run(tmp_path / "Data", "--source", tmp_path / "w.zip"))) == 20


def test_the_table_beside_a_link_to_the_films_is_found(tmp_path):
    source = make_source(tmp_path / "far" / "films", range(1, 21))
    (source / "labels.csv").rename(tmp_path / "hands.csv")
    (tmp_path / "hands").symlink_to(source)
    assert len(read(run(tmp_path / "Data", "--source", tmp_path / "hands"))) == 20
    (tmp_path / "hands.csv").rename(tmp_path / "far" / "films.csv")  # beside what it points to
    (tmp_path / "near").symlink_to(tmp_path / "far")  # the same table by another way
    for number, link in enumerate(("hands", "near/films")):
        rows = read(run(tmp_path / f"Data{number}", "--source", tmp_path / link))
        assert len(rows) == 20


def test_of_two_imports_at_once_one_is_refused_whole(tmp_path):
    def fill(ready, told):
        (ready / "train" / f"{told}.png").touch()
        (ready / "df_train.csv").write_text(told)

    def import_twice(data_dir):
        with new_data_folder(data_dir) as (_, later):
            with new_data_folder(data_dir) as (_, first):
                fill(first, "first")
            fill(later, "later")

    with pytest.raises(UserError, match="there is data already"):
        import_twice(tmp_path / "Data")
    assert (tmp_path / "Data" / "df_train.csv").read_text() == "first"
    assert [path.name for path in (tmp_path / "Data" / "train").iterdir()] == ["first.png"]
    assert not list((tmp_path / "Data").glob(".import-*"))


def test_a_film_of_nobody_told_is_no_patient_of_that_name(tmp_path):
    training = make_source(tmp_path / "training", range(1, 20))
    test = make_source(tmp_path / "test", range(30, 33))
    table = pd.read_csv(test / "labels.csv")
    table.assign(patient_id=["1", "1", ""]).to_csv(test / "labels.csv", index=False)
    rows = read(run(tmp_path / "Data", "--source", training, test))
    assert sorted(rows.index[rows["split"] == "test"]) == ["30", "31", "32"]


def test_a_patient_is_no_id_where_names_of_films_are_told(tmp_path):
    source = make_source(tmp_path / "films")
    table = pd.read_csv(source / "labels.csv")
    table.insert(0, "patient_id", table["id"] // 2)
    table.assign(filename=table["id"].astype(str) + ".png").drop(columns="id").to_csv(
        source / "labels.csv", index=False
    )
    check_films(run(tmp_path / "Data", "--source", source), IDS)


def test_a_data_folder_is_a_source_like_any(tmp_path):
    """What import and check left in it is no table of labels."""
    data = run(
        tmp_path / "Data", "--source", make_source(tmp_path / "films"), "--split", 0.9, 0.1, 0
    )
    report = data / "quality_report"
    report.mkdir()
    (report / "same_pictures.csv").write_text("id,boneage,male\n101,5,1\n")
    shutil.copy(data / "train" / "101.png", report / "picture.png")
    shutil.copytree(report, data / "quality_report_2")
    rows, before = read(run(tmp_path / "Small", "--source", data)), read(data)
    assert len(rows) == len(IDS)
    assert (rows["split"] == "val").equals(before["split"] == "val")
    assert not left_out(tmp_path / "Small")
    (data / "df_test.csv").unlink()  # then no layout of ours, but a folder with tables
    assert len(read(run(tmp_path / "Other", "--source", data))) == len(IDS)


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
        split = importing.assign_splits(many_films, (0.8, 0.1, 0.1), seed)
        assert split.value_counts().to_dict() == {"train": 800, "val": 100, "test": 100}
        for name in ("val", "test"):
            off.append(summary(many_films[split == name]) - summary(many_films))
    sex, age, girls, boys = np.sqrt(np.mean(np.square(off), axis=0))
    assert sex < 0.015
    assert age < 2
    assert max(girls, boys) < 3


@pytest.mark.parametrize(("given", "drawn"), [("val", "test"), ("test", "val")])
def test_shares_count_the_given_films(many_films, given, drawn):
    many_films.loc[:299, "given_split"] = given
    many_films.loc[300:, "given_split"] = "train"
    split = importing.assign_splits(many_films, (0.8, 0.1, 0.1), seed=1)
    assert split.value_counts().to_dict() == {"train": 600, given: 300, drawn: 100}
    assert (split[:300] == given).all()


@pytest.mark.parametrize("shares", [(0, 0, 1), (0, 0.5, 0.5), (0.8, 0.1, 0.1)])
def test_given_training_films_stay_where_the_names_tell_all_splits(many_films, shares):
    many_films["given_split"] = ["train"] * 600 + ["val"] * 300 + ["test"] * 100
    split = importing.assign_splits(many_films, shares, seed=1)
    assert split.tolist() == many_films["given_split"].tolist()


def summary(films):
    """Share of boys, and the mean age of all, of girls and of boys."""
    by_sex = films.groupby("sex")["boneage"].mean()
    return np.array([films["sex"].mean(), films["boneage"].mean(), by_sex[0], by_sex[1]])


def test_a_split_depends_on_its_seed_alone(tmp_path):
    source = make_source(tmp_path / "films")
    splits = [
        read(run(tmp_path / name, "--source", source, "--seed", seed))["split"].to_dict()
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    ]
    assert splits[0] == splits[1]
    assert splits[0] != splits[2]


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


def test_films_are_named_with_zeros_or_without(tmp_path, capsys):
    source = make_source(tmp_path / "films")
    (tmp_path / "test.csv").write_text("id,note\n000103,x\n9999,x\n")
    rows = read(run(tmp_path / "Data", "--source", source, "--test_ids", tmp_path / "test.csv"))
    assert rows.loc["103", "split"] == "test"
    assert "1 ids of --test_ids match no film, or several, such as 9999" in capsys.readouterr().out


def test_shares_are_kept_and_must_sum_to_one(tmp_path, capsys):
    source = make_source(tmp_path / "films")
    rows = read(run(tmp_path / "Data", "--source", source, "--split", "0.5", "0.3", "0.2"))
    assert rows["split"].value_counts().to_dict() == {"train": 20, "val": 12, "test": 8}
    with pytest.raises(SystemExit) as error:
        run(tmp_path / "other", "--source", source, "--split", "0.5", "0.3", "0.1")
    assert error.value.code == 2
    assert "must sum to 1" in capsys.readouterr().err


# ----------------------------------------------------------------------------------- what is left


def test_files_without_label_and_rows_without_file_are_listed(tmp_path, capsys):
    source = make_source(tmp_path / "films", range(1, 21))
    (source / "3.png").unlink()
    make_films(source / "more", [77])
    with (source / "labels.csv").open("a") as table:
        table.write("5,50,True\n88,,True\n")
    make_films(source, [88])
    data = run(tmp_path / "Data", "--source", source)
    assert sorted(left_out(data)) == [
        ("3", "", "no file"),
        ("5", "", "duplicate id, another age"),
        ("77", "77.png", "no label"),
        ("88", "", "no usable age"),
    ]
    check_films(data, [n for n in range(1, 21) if n != 3])
    printed = capsys.readouterr().out
    for reason in ("no file", "duplicate id", "no label", "no usable age"):
        assert f"1 {reason}" in printed
    assert str(data / "import_left_out.csv") in printed


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_large_films_are_shrunk_and_keep_their_depth(tmp_path, depth):
    source = make_source(tmp_path / "films", range(1, 11))
    ramp = np.linspace(0, np.iinfo(depth).max, 120 * 80).reshape(120, 80).astype(depth)
    save(source / "1.png", ramp)
    save(source / "2.tiff", ramp)
    (source / "2.png").unlink()
    data = run(tmp_path / "Data", "--source", source, "--max_side", "60")
    rows = {row.Index: film_path(data, row) for row in read(data).itertuples()}
    for name in ("1", "2"):
        film = cv2.imread(str(rows[name]), cv2.IMREAD_UNCHANGED)
        assert rows[name].name == f"{name}.png"
        assert film.shape == (60, 40)
        assert film.dtype == depth
        means = ramp.astype(float).reshape(60, 2, 40, 2).mean(axis=(1, 3))
        assert np.abs(film - means).max() <= 1  # averages, no grey level lost
    small = cv2.imread(str(rows["3"]), cv2.IMREAD_UNCHANGED)
    assert np.array_equal(small, draw(3))
    assert cv2.imread(str(source / "1.png"), cv2.IMREAD_UNCHANGED).shape == (120, 80)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("104.png", b"no film", "not a readable image (PNG, JPEG, WebP, TIFF, BMP or DICOM)"),
        ("104.jpg", b"no film", "not a readable image (PNG, JPEG, WebP, TIFF, BMP or DICOM)"),
        ("104.png", b"", "empty file"),
    ],
)
def test_a_film_that_can_not_be_shrunk_is_left_out_with_its_reason(tmp_path, name, content, reason):
    """Under the name of its file, also where the table tells none."""
    make_films(tmp_path / "films", IDS, name[-4:])
    make_table(tmp_path / "films" / "labels.csv", IDS)
    (tmp_path / "films" / name).write_bytes(content)
    data = run(tmp_path / "Data", "--source", tmp_path / "films", "--max_side", "16")
    assert left_out(data) == [("104", name, reason)]
    assert "104" not in read(data).index


def test_the_report_counts_what_came_in(command, tmp_path):
    source = make_source(tmp_path / "films")
    (source / "105.png").unlink()
    words = ["import_data.py", "--source", source, "--data_dir", tmp_path / "Data"]
    process = command(*words)
    assert process.returncode == 0, process.stderr
    assert process.stderr == ""
    rows = read(tmp_path / "Data")
    lines = {line.split()[0]: line.split()[1:] for line in process.stdout.splitlines() if line}
    for name, part in rows.groupby("split"):
        years = part["boneage"] // 60
        ages = [(years == i).sum() for i in range(3)] + [(years >= 3).sum()]
        boys = (part["gender"] == "male").sum()
        figures = [len(part), boys, len(part) - boys, *ages]
        assert lines[name] == [*map(str, figures), f"{part['boneage'].mean():.1f}"]
    assert "left out: 1 no file" in process.stdout
    assert f"next: python check_nan_in_dfs.py --data_dir {tmp_path / 'Data'}" in process.stdout

    again = command(*words)  # a second time: one line, nothing overwritten
    check_error_line(again, "there is data already")
    assert read(tmp_path / "Data").equals(rows)


# -------------------------------------------------------------------------------------- failures


@pytest.mark.parametrize("name", ["train/1.png", "validation/1.png", "df_test.csv"])
def test_a_folder_that_holds_data_is_never_touched(tmp_path, name):
    held = tmp_path / "Data" / name
    held.parent.mkdir(parents=True)
    held.write_text("mine")
    with pytest.raises(UserError, match="there is data already"):
        run(tmp_path / "Data", "--source", make_source(tmp_path / "films"))
    assert held.read_text() == "mine"
    assert [path for path in (tmp_path / "Data").rglob("*") if path.is_file()] == [held]


def test_empty_folders_of_the_layout_are_filled(tmp_path):
    for folder in ("train", "validation", "test"):
        (tmp_path / "Data" / folder).mkdir(parents=True)
        (tmp_path / "Data" / folder / ".DS_Store").touch()  # as macOS leaves it
    check_films(run(tmp_path / "Data", "--source", make_source(tmp_path / "films")), IDS)


def cut(archive):
    archive.write_bytes(archive.read_bytes()[: archive.stat().st_size // 2])


def damage(archive):
    """Overwrite some of the picture in the middle: its checksum is wrong then."""
    data = archive.read_bytes()
    inside = data.index(b"PK\x03\x04", len(data) // 2) + 60
    archive.write_bytes(data[:inside] + bytes(40) + data[inside + 40 :])


@pytest.mark.parametrize("harm", [cut, damage, lambda archive: archive.write_bytes(b"no zip")])
def test_a_damaged_zip_is_one_line_and_leaves_nothing_behind(tmp_path, harm):
    whole = make_source(tmp_path / "more", range(1, 10))
    archive = zipped(make_source(tmp_path / "films"))
    harm(archive)
    with pytest.raises(UserError, match=r"whole zip.*films\.zip.*download the zip again"):
        run(tmp_path / "Data", "--source", zipped(whole), archive)
    assert not list(tmp_path.glob("Data/*"))


def no_table(source):
    (source / "labels.csv").unlink()


def other_table(source):
    make_table(source / "labels.csv", range(1, 9))


def table_without_ages(source):
    (source / "labels.csv").write_text("id,male\n101,True\n")


def two_tables(source):
    make_table(source / "more.csv", IDS)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (shutil.rmtree, "no such folder or zip"),
        (no_table, "no CSV with labels"),
        (table_without_ages, "no column for boneage"),
        (other_table, "none of 8 rows can be used: 8 no file"),
        (two_tables, "several tables with labels"),
    ],
)
def test_a_source_of_no_use_says_why_and_leaves_nothing_behind(tmp_path, spoil, reason):
    source = make_source(tmp_path / "films")
    spoil(source)
    with pytest.raises(UserError, match=reason) as error:
        run(tmp_path / "Data", "--source", source)
    assert str(source) in str(error.value)
    assert not list(tmp_path.glob("Data/*"))


def test_an_interrupted_import_leaves_nothing_behind(tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    source = make_source(tmp_path / "films")
    with monkeypatch.context() as patch:
        patch.setattr(importing, "link_or_copy", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "Data", "--source", source)
    assert not list(tmp_path.glob("Data/*"))
    check_films(run(tmp_path / "Data", "--source", source), IDS)


# -------------------------------------------------------------------------------------- odd sources


def test_one_table_for_two_sources(tmp_path):
    make_films(tmp_path / "a", IDS[:20])
    make_films(tmp_path / "b", IDS[20:])
    make_table(tmp_path / "labels.csv", IDS)
    sources = [tmp_path / "a", tmp_path / "b"]
    data = run(tmp_path / "Data", "--source", *sources, "--csv", tmp_path / "labels.csv")
    check_films(data, IDS)


def test_films_that_are_symbolic_links_are_followed(tmp_path):
    make_films(tmp_path / "store", IDS)
    make_table(tmp_path / "films" / "labels.csv", IDS)
    for number in IDS:
        (tmp_path / "films" / f"{number}.png").symlink_to(f"../store/{number}.png")
    check_films(run(tmp_path / "deep" / "Data", "--source", tmp_path / "films"), IDS)


def test_a_zip_whose_compressed_data_are_damaged_is_named(tmp_path):
    with zipfile.ZipFile(tmp_path / "films.zip", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("labels.csv", "id,boneage,male\n" + "1,100,True\n" * 99)
    data = bytearray((tmp_path / "films.zip").read_bytes())
    data[30 + len("labels.csv")] = 0xFF  # the first byte behind the header: no such block type
    (tmp_path / "films.zip").write_bytes(data)
    with pytest.raises(UserError, match="nor a whole zip"):
        run(tmp_path / "Data", "--source", tmp_path / "films.zip")


def test_a_list_of_what_was_left_out_is_not_overwritten(tmp_path):
    listed = tmp_path / "Data" / "import_left_out.csv"
    listed.parent.mkdir()
    listed.write_text("mine")
    with pytest.raises(UserError, match="there is data already"):
        run(tmp_path / "Data", "--source", make_source(tmp_path / "films"))


def test_a_failure_leaves_no_empty_folder_behind(tmp_path):
    with pytest.raises(UserError):
        run(tmp_path / "Data", "--source", tmp_path / "none")
    assert not (tmp_path / "Data").exists()


@pytest.mark.parametrize("table", ["labels.csv", "train_labels.csv"])
def test_one_table_for_sources_that_are_given_splits(tmp_path, table):
    make_films(tmp_path / "training", IDS[:30])
    make_films(tmp_path / "validation", IDS[30:])
    make_table(tmp_path / table, IDS)
    sources = [tmp_path / "training", tmp_path / "validation"]
    data = run(tmp_path / "Data", "--source", *sources, "--csv", tmp_path / table)
    check_films(data, IDS)
    rows = read(data)
    assert sorted(rows.index[rows["split"] == "val"].astype(int)) == list(IDS[30:])


@pytest.mark.parametrize("annotations", ["Bone Age Training Set Annotations", "annotations"])
def test_a_source_of_tables_alone_lends_them_to_the_films(tmp_path, annotations):
    """As the RSNA offers its training set; validation films have their table beside them."""
    make_films(tmp_path / "Bone Age Training Set" / "boneage-training-dataset", IDS[:30])
    make_table(tmp_path / annotations / "train.csv", IDS[:30])
    make_source(tmp_path / "Bone Age Validation Set", IDS[30:])
    names = ["Bone Age Training Set", annotations, "Bone Age Validation Set"]
    sources = [zipped(tmp_path / name) for name in names]
    for name in names:
        shutil.rmtree(tmp_path / name)
    data = run(tmp_path / "Data", "--source", *sources)
    check_films(data, IDS)
    rows = read(data)
    assert sorted(rows.index[rows["split"] == "val"].astype(int)) == list(IDS[30:])


def test_a_table_of_something_else_beside_films_does_not_keep_a_lent_one_out(tmp_path):
    make_films(tmp_path / "films", IDS)
    (tmp_path / "films" / "scanner.csv").write_text("id,kv,mas\n1,50,4\n")
    make_table(tmp_path / "annotations" / "labels.csv", IDS)
    sources = [tmp_path / "films", tmp_path / "annotations"]
    check_films(run(tmp_path / "Data", "--source", *sources), IDS)


def test_a_lent_table_leaves_the_splits_that_sources_are_named_after(tmp_path):
    make_films(tmp_path / "training", IDS[:30])
    make_films(tmp_path / "validation", IDS[30:])
    make_table(tmp_path / "annotations" / "train.csv", IDS)
    sources = [tmp_path / name for name in ("training", "validation", "annotations")]
    rows = read(run(tmp_path / "Data", "--source", *sources))
    assert sorted(rows.index[rows["split"] == "val"].astype(int)) == list(IDS[30:])


def test_a_source_may_be_the_folder_one_is_in(tmp_path, monkeypatch):
    monkeypatch.chdir(make_source(tmp_path / "films"))
    check_films(run(tmp_path / "Data", "--source", "."), IDS)


def test_one_table_for_two_sources_names_the_film_of_the_right_one(tmp_path):
    for name in "AB":
        make_films(tmp_path / name, [1, 2, *IDS])
    rows = [f"{id_},A/{id_}.png,100,F" for id_ in IDS]
    rows += ["11,B/1.png,136,F", "12,B/3.png,120,M"]  # there is none of the latter
    (tmp_path / "labels.csv").write_text("id,filename,boneage,sex\n" + "\n".join(rows) + "\n")
    sources = [tmp_path / "A", tmp_path / "B"]
    data = run(tmp_path / "Data", "--source", *sources, "--csv", tmp_path / "labels.csv")
    films = read(data)
    assert sorted(films.index) == sorted(["11", *map(str, IDS)])
    film = next(data.glob("t*/11.png"), None) or next(data.glob("validation/11.png"))
    assert film.read_bytes() == (tmp_path / "B" / "1.png").read_bytes()


def test_films_of_one_name_in_two_sources_are_left_out(tmp_path):
    for name in "AB":
        make_films(tmp_path / name, [1, *(IDS if name == "A" else [])])
    make_table(tmp_path / "labels.csv", [1, *IDS])
    sources = [tmp_path / "A", tmp_path / "B"]
    data = run(tmp_path / "Data", "--source", *sources, "--csv", tmp_path / "labels.csv")
    left_out = pd.read_csv(data / "import_left_out.csv", dtype=str)
    assert left_out["reason"].tolist() == ["several files of that name"]


def test_of_a_file_that_is_no_table_the_way_round_is_told(tmp_path):
    source = make_source(tmp_path / "films")
    (source / "empty.csv").touch()
    run(tmp_path / "fine", "--source", source)
    (source / "devices.csv").write_bytes(b"device;place\n1;\x81\xff\n")
    with pytest.raises(
        UserError, match="not a readable CSV.*devices.csv.*name the one that is: --csv"
    ):
        run(tmp_path / "Data", "--source", source)
    run(tmp_path / "Data", "--source", source, "--csv", source / "labels.csv")


def test_a_table_that_cannot_be_understood_is_not_passed_over(tmp_path):
    """Its split would be lost; tables without labels are none."""
    source = tmp_path / "films"
    make_source(source, IDS)
    (source / "labels.csv").rename(source / "train.csv")
    (source / "other.csv").write_text("id,hospital\n1,x\n")
    run(tmp_path / "fine", "--source", source)
    (source / "val.csv").write_text("id,boneage,sex\n1,100,0\n2,90,1\n")
    with pytest.raises(UserError, match="which is male"):
        run(tmp_path / "Data", "--source", source)


def test_a_film_that_is_gone_is_left_out(tmp_path, capsys):
    source = make_source(tmp_path / "films")
    film = next(source.rglob(f"{IDS[0]}.*"))
    film.unlink()
    film.symlink_to(tmp_path / "nowhere.png")
    data = run(tmp_path / "Data", "--source", source)
    check_films(data, IDS[1:])
    assert f"left out: 1 {UNREADABLE}" in capsys.readouterr().out


@pytest.mark.parametrize("linked", [True, False])
def test_a_film_is_never_written_over_another(tmp_path, monkeypatch, linked):
    """As where a.png and A.png are one file."""
    films = [tmp_path / name for name in ("a.png", "b.png")]
    for film in films:
        film.write_text(film.name)
    if not linked:
        monkeypatch.setattr(os, "link", fail)
    target = tmp_path / "Data.png"
    link_or_copy(films[0], target)
    with pytest.raises(RadiographError, match="capital letters"):
        link_or_copy(films[1], target)
    assert [film.read_text() for film in (*films, target)] == ["a.png", "b.png", "a.png"]


def fail(*_):
    raise OSError


@names_of_bytes
def test_a_name_that_is_not_unicode_is_listed(tmp_path):
    source = make_source(tmp_path / "films")
    film = next(source.rglob(f"{IDS[0]}.*"))
    shutil.copy(film, os.fsencode(film.parent) + b"/M\xe4dchen.png")
    check_films(run(tmp_path / "Data", "--source", source), IDS)
    assert "dchen.png,no label" in (tmp_path / "Data" / "import_left_out.csv").read_text()


def test_a_split_without_films_is_told_instead_of_a_next_command(tmp_path, capsys):
    run(tmp_path / "Data", "--source", make_source(tmp_path / "films"), "--split", 0.9, 0.1, 0)
    out = capsys.readouterr().out
    assert "note: no films for test" in out
    assert "next:" not in out


def test_splits_are_told_by_names_written_as_one_word(tmp_path):
    training = make_source(tmp_path / "TrainingSet", IDS[:30])
    test = make_source(tmp_path / "testset", IDS[30:])
    rows = read(run(tmp_path / "Data", "--source", training, test))
    assert sorted(rows.index[rows["split"] == "test"].astype(int)) == list(IDS[30:])


def test_a_zip_of_unknown_compression_is_told_from_an_encrypted_one(tmp_path):
    archive = zipped(make_source(tmp_path / "films"))
    data = bytearray(archive.read_bytes())
    for start, method in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        at = data.index(start, data.index(b"labels.csv") - 46) + method
        data[at : at + 2] = b"\x09\x00"  # Deflate64, as Windows writes large zips
    archive.write_bytes(data)
    with pytest.raises(UserError, match="compression"):
        run(tmp_path / "Data", "--source", archive)


def test_films_that_lie_there_twice_are_named_as_the_reason(tmp_path):
    source = make_source(tmp_path / "films")
    make_films(source / "again", IDS)
    with pytest.raises(UserError, match="several files of that name"):
        run(tmp_path / "Data", "--source", source)


def test_films_are_split_as_for_a_run(phantoms, small_run, tmp_path, capsys):
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


def test_a_run_brings_its_splits_alone(small_run, tmp_path, capsys):
    with pytest.raises(SystemExit):
        run(tmp_path, "--source", tmp_path, "--split_of", small_run, "--split", 0.5, 0.25, 0.25)
    assert "--split_of sets the splits" in capsys.readouterr().err


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
    kept, others = importing.split_as_run(films, earlier)
    assert dict(zip(kept["id"], kept["given_split"], strict=True)) == {
        **{"1": "train", "2": "val", "3": "test"}
    }
    assert others["id"].tolist() == ["4"]


def test_a_run_that_lists_no_films_splits_none(tmp_path):
    with pytest.raises(UserError, match="without a list of its films"):
        importing.split_as_run(pd.DataFrame(), Run(tmp_path))
