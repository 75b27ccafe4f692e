"""Sources of any shape: which table and which films belong together (util/importing/sources.py)."""

import shutil

import pandas as pd
import pytest
from source_folders import (
    IDS,
    check_films,
    film_path,
    left_out,
    make_films,
    make_source,
    make_table,
    months_of,
    read,
    run,
    zipped,
)

from util.errors import UserError


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


@pytest.mark.parametrize("csv_too", [False, True])
def test_a_workbook_is_a_table_unless_there_is_a_csv(tmp_path, csv_too, capsys):
    source = make_source(tmp_path / "films")
    labels = source / "labels.csv"
    pd.read_csv(labels).to_excel(source / "original.xlsx", index=False)
    (source / "~$labels.xlsx").write_bytes(b"\x04user")  # while Excel has it open
    if not csv_too:
        labels.write_text("id,remark\n101,x\n")  # no labels
    check_films(run(tmp_path / "Data", "--source", source), IDS)
    assert "not used" not in capsys.readouterr().err


def test_a_linked_folder_is_searched_for_tables_too(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "set").symlink_to(make_source(tmp_path / "films"))
    check_films(run(tmp_path / "Data", "--source", tmp_path / "in"), IDS)


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


def test_films_that_are_symbolic_links_are_followed(tmp_path):
    make_films(tmp_path / "store", IDS)
    make_table(tmp_path / "films" / "labels.csv", IDS)
    for number in IDS:
        (tmp_path / "films" / f"{number}.png").symlink_to(f"../store/{number}.png")
    check_films(run(tmp_path / "deep" / "Data", "--source", tmp_path / "films"), IDS)


def test_a_source_that_is_named_twice_counts_once(tmp_path, capsys):
    source = make_source(tmp_path / "films", range(1, 21))
    rows = read(run(tmp_path / "Data", "--source", source, source))
    assert len(rows) == 20
    assert "left out" not in capsys.readouterr().out


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


def test_which_number_is_male_is_told_for_one_table_of_several_but_never_for_none(tmp_path):
    sources = [make_source(tmp_path / "Training Set", IDS[:30])]
    sources.append(make_source(tmp_path / "Test Set", IDS[30:]))
    table = pd.read_csv(sources[1] / "labels.csv")
    words = ["--source", *sources, "--male_value", "2"]
    with pytest.raises(UserError, match=r"--male_value 2 has no effect.*Training Set/labels\.csv"):
        run(tmp_path / "Data", *words)
    table.assign(sex=1 + table.pop("male")).to_csv(sources[1] / "labels.csv", index=False)
    check_films(run(tmp_path / "Data", *words), IDS)


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


# ----------------------------------------------------------------- one table for several sources


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
    film = film_path(data, films.loc["11"])
    assert film.read_bytes() == (tmp_path / "B" / "1.png").read_bytes()


def test_films_of_one_name_in_two_sources_are_left_out(tmp_path):
    for name in "AB":
        make_films(tmp_path / name, [1, *(IDS if name == "A" else [])])
    make_table(tmp_path / "labels.csv", [1, *IDS])
    sources = [tmp_path / "A", tmp_path / "B"]
    data = run(tmp_path / "Data", "--source", *sources, "--csv", tmp_path / "labels.csv")
    assert [reason for *_, reason in left_out(data)] == ["several files of that name"]


@pytest.mark.parametrize("pack", [lambda folder: folder, zipped])
def test_films_of_other_children_with_the_ids_of_another_source_are_told_apart(
    tmp_path, capsys, pack
):
    """As two hospitals number theirs; they are no readings of one film."""
    lyon, bern = (make_source(tmp_path / name) for name in ("lyon", "bern"))
    table = pd.read_csv(bern / "labels.csv")
    table.assign(boneage=table["boneage"] + 1).to_csv(bern / "labels.csv", index=False)
    sources = [pack(lyon), pack(bern)]
    data = run(tmp_path / "Data", "--source", *sources)
    reason = "same id as another film: give ids of their own"
    assert left_out(data) == [(str(id_), f"{sources[1]}/{id_}.png", reason) for id_ in IDS]
    assert "--readers" not in capsys.readouterr().out


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


@pytest.mark.parametrize("ending", [".csv", ".xlsx"])
def test_a_table_may_be_a_source_of_its_own(tmp_path, capsys, ending):
    """As the RSNA offers the ages of its test set. If all films have tables, there is a note."""
    train = make_source(tmp_path / "training", IDS[:30])
    make_films(tmp_path / "test", IDS[30:])
    truth = tmp_path / f"ground truth{ending}"
    make_table(tmp_path / "truth.csv", IDS[30:])
    table = pd.read_csv(tmp_path / "truth.csv")
    getattr(table, "to_csv" if ending == ".csv" else "to_excel")(truth, index=False)
    data = run(tmp_path / "Data", "--source", train, tmp_path / "test", truth)
    check_films(data, IDS)
    rows = read(data)
    assert sorted(rows.index[rows["split"] == "test"].astype(int)) == list(IDS[30:])
    assert "not used" not in capsys.readouterr().err
    run(tmp_path / "Other", "--source", train, truth)
    assert f"note: not used, as the sources of films have labels of their own: {truth.name}." in (
        capsys.readouterr().err
    )
    run(tmp_path / "Again", "--source", train, train / "labels.csv")
    assert "not used" not in capsys.readouterr().err


def test_a_workbook_that_is_not_used_beside_a_csv_is_noted_if_films_have_no_label(tmp_path, capsys):
    """As the test set of the RSNA, if all downloads are unpacked into one folder."""
    test = tmp_path / "all" / "test"
    make_source(tmp_path / "all" / "training", IDS[:30])
    make_films(test, IDS[30:])
    make_table(tmp_path / "truth.csv", IDS[30:])
    pd.read_csv(tmp_path / "truth.csv").to_excel(test / "truth.xlsx", index=False)
    run(tmp_path / "Data", "--source", tmp_path / "all")
    note = "note: not used, as CSVs hold labels: truth.xlsx. If some films need it, name their"
    assert note in capsys.readouterr().err
    check_films(run(tmp_path / "Whole", "--source", tmp_path / "all", test), IDS)
    assert "not used" not in capsys.readouterr().err
    shutil.rmtree(tmp_path / "all" / "training")
    pd.DataFrame({"column": ["male"]}).to_excel(test / "legend.xlsx")
    make_films(test, IDS[:1])  # one has no label
    run(tmp_path / "Other", "--source", tmp_path / "all")
    assert "not used" not in capsys.readouterr().err


@pytest.mark.parametrize("name", ["in", "labels.csv"])
def test_where_no_source_has_films_it_is_told_that_zips_in_folders_are_not_opened(tmp_path, name):
    """As in a folder of downloads."""
    make_table(tmp_path / "labels.csv", IDS)
    make_films(tmp_path / "in" / "films", IDS)
    zipped(tmp_path / "in" / "films")
    shutil.rmtree(tmp_path / "in" / "films")
    with pytest.raises(
        UserError, match=f"no films .--source .*{name}.*zips in a folder one by one"
    ):
        run(tmp_path / "Data", "--source", tmp_path / name)


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


@pytest.mark.parametrize("names", [("a", "b"), ("training", "validation")])
def test_each_source_may_come_with_the_table_of_all(tmp_path, names):
    for name, numbers in zip(names, (IDS[:30], IDS[30:-1]), strict=True):
        make_films(tmp_path / "full" / name, numbers)
        make_table(tmp_path / "full" / name / "labels.csv", IDS)
    sources = [tmp_path / "full" / name for name in names]
    data = run(tmp_path / "Data", "--source", *sources)
    check_films(data, IDS[:-1])
    assert set(left_out(data)) == {(str(IDS[-1]), "", "no file")}
    if "validation" in names:
        rows = read(data)
        assert sorted(rows.index[rows["split"] == "val"].astype(int)) == list(IDS[30:-1])


@pytest.mark.parametrize("label", ["211,True", f"{months_of(IDS[0])},True"])
def test_a_row_without_film_is_listed_if_another_table_has_that_id_for_another_child(
    tmp_path, label
):
    sources = [make_source(tmp_path / "a", IDS[:30]), make_source(tmp_path / "b", IDS[30:])]
    with (sources[1] / "labels.csv").open("a") as table:
        table.write(f"{IDS[0]},{label}\n")
    data = run(tmp_path / "Data", "--source", *sources)
    assert left_out(data) == [(str(IDS[0]), "", "no file")]


@pytest.mark.parametrize("csv", [False, True])
def test_notes_on_a_table_are_printed_once(tmp_path, capsys, csv):
    """Though it is searched again for rows without a sex."""
    source = make_source(tmp_path / "films")
    (source / "labels.csv").unlink()
    labels = source / "labels.xlsx"
    table = pd.DataFrame({"id": IDS, "boneage": 100})
    with pd.ExcelWriter(labels) as book:
        for name in ("labels", "remarks"):
            table.to_excel(book, sheet_name=name, index=False)
    words = ["--csv", labels] if csv else []
    with pytest.raises(UserError, match="no column for sex"):
        run(tmp_path / "Data", "--source", source, *words)
    assert capsys.readouterr().err.count("first sheet") == 1
    with pd.ExcelWriter(labels) as book:
        for name in ("labels", "remarks"):
            table.assign(sex=table["id"] % 2).to_excel(book, sheet_name=name, index=False)
    run(tmp_path / "Data", "--source", source, "--male_value", "1", *words)
    assert capsys.readouterr().err.count("first sheet") == 1


# ------------------------------------------------------------------ what is no table and no film


def test_tables_in_hidden_folders_are_none(tmp_path):
    """As a notebook leaves copies of those that were opened."""
    source = make_source(tmp_path / "films")
    make_table(source / ".ipynb_checkpoints" / "labels-checkpoint.csv", IDS)
    check_films(run(tmp_path / "Data", "--source", source), IDS)


@pytest.mark.parametrize(
    "folder", ["lost+found", "$RECYCLE.BIN", "$Recycle.Bin", "System Volume Information"]
)
def test_folders_that_systems_keep_on_a_disk_hold_no_films(tmp_path, folder):
    source = make_source(tmp_path / "films")
    make_films(source / folder, [102, 103])
    check_films(run(tmp_path / "Data", "--source", source), IDS)
    assert left_out(tmp_path / "Data") == []


def test_of_a_file_that_is_no_table_the_way_round_is_told(tmp_path):
    source = make_source(tmp_path / "films")
    (source / "empty.csv").touch()
    run(tmp_path / "fine", "--source", source)
    (source / "devices.csv").write_bytes(b"device;place\n1;\x81\xff\n")
    with pytest.raises(
        UserError, match="not a readable table.*devices.csv.*name the one that is: --csv"
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
