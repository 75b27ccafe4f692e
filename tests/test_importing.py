"""Import of labelled films: files in place, a report, and clean failures (import_data.py)."""

import json
import os
import shutil

import cv2
import numpy as np
import pandas as pd
import pytest
from commands import ROOT, check_error_line
from files import names_of_bytes
from source_folders import (
    IDS,
    check_films,
    draw,
    film_path,
    left_out,
    make_films,
    make_source,
    make_table,
    read,
    run,
    save,
    zipped,
)

from util.data_folder import new_data_folder
from util.errors import UserError
from util.image_kinds import ENDINGS
from util.importing import placing
from util.importing.placing import link_or_copy
from util.radiographs import UNREADABLE, RadiographError

# -------------------------------------------------------------------------------- files in place


def test_files_of_a_folder_are_linked_and_stay_where_they_were(tmp_path):
    source = make_source(tmp_path / "films")
    before = sorted(source.iterdir())
    data = run(tmp_path / "Data", "--source", source)
    assert sorted(source.iterdir()) == before
    for row in read(data).itertuples():
        assert film_path(data, row).samefile(source / row.filename)


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


def test_empty_folders_of_the_layout_are_filled(tmp_path):
    for folder in ("train", "validation", "test"):
        (tmp_path / "Data" / folder).mkdir(parents=True)
        (tmp_path / "Data" / folder / ".DS_Store").touch()  # as macOS leaves it
    check_films(run(tmp_path / "Data", "--source", make_source(tmp_path / "films")), IDS)


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


def test_a_data_folder_tells_how_it_was_made(tmp_path):
    archive = zipped(make_source(tmp_path / "films"))
    data = run(tmp_path / "Data", "--source", archive)
    record = json.loads((data / "import.json").read_text())
    words = ["--source", str(archive), "--data_dir", str(data)]
    assert record["command"][1:] == words
    assert record["bytes"] == {str(archive): archive.stat().st_size}
    assert "opencv-python-headless" in record["environment"]["versions"]


# ------------------------------------------------------------------------------------ the report


def test_the_report_counts_what_came_in(command, tmp_path):
    source = make_source(tmp_path / "films")
    (source / "105.png").unlink()
    words = ["import_data.py", "--source", source, "--data_dir", tmp_path / "Data"]
    process = command(*words)
    assert process.returncode == 0, process.stderr
    assert process.stderr == ""
    record = json.loads((tmp_path / "Data" / "import.json").read_text())
    assert record["command"] == [str(ROOT / words[0]), *map(str, words[1:])]
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


def test_the_next_command_can_be_pasted_whatever_the_folder(tmp_path, capsys):
    run(tmp_path / "my Data", "--source", make_source(tmp_path / "films"))
    assert f"--data_dir '{tmp_path}/my Data'\n" in capsys.readouterr().out


def test_a_split_without_films_is_told_instead_of_a_next_command(tmp_path, capsys):
    run(tmp_path / "Data", "--source", make_source(tmp_path / "films"), "--split", 0.9, 0.1, 0)
    out = capsys.readouterr().out
    assert "note: no films for test" in out
    assert "next:" not in out


def test_ages_in_years_are_told_of(tmp_path, capsys):
    source = make_source(tmp_path / "films")
    table = pd.read_csv(source / "labels.csv")
    table.assign(boneage=table["boneage"] / 12).to_csv(source / "labels.csv", index=False)
    run(tmp_path / "Data", "--source", source)
    assert "header of their column end in _years" in capsys.readouterr().out


@pytest.mark.parametrize("pack", [lambda folder: folder, zipped])
def test_ages_in_years_in_one_of_several_tables_are_told_of(tmp_path, capsys, pack):
    sources = [make_source(tmp_path / "lyon", IDS[:20]), make_source(tmp_path / "bern", IDS[20:])]
    table = pd.read_csv(sources[1] / "labels.csv")
    table.assign(boneage=table["boneage"] / 12).to_csv(sources[1] / "labels.csv", index=False)
    names = [pack(source) for source in sources]
    run(tmp_path / "Data", "--source", *names)
    [note] = [line for line in capsys.readouterr().out.splitlines() if "end in _years" in line]
    assert f"months or less ({names[1]}/labels.csv): if they are years" in note


@pytest.mark.parametrize("words", [[], ["--readers", "boneage_years", "second_years"]])
def test_ages_as_years_and_months_are_told_of(tmp_path, capsys, words):
    source = make_source(tmp_path / "films")
    table = pd.read_csv(source / "labels.csv")
    ages = [f"{months // 12}.{months % 12}" for months in table["boneage"]]
    table = table.drop(columns="boneage").assign(boneage_years=ages, second_years=8.5)
    table.to_csv(source / "labels.csv", index=False)
    run(tmp_path / "Data", "--source", source, *words)
    err = capsys.readouterr().err
    assert "note: ages of boneage_years look like years.months" in err
    assert "second_years" not in err


def test_a_patient_of_two_sexes_is_told_of(tmp_path, capsys):
    source = make_source(tmp_path / "films")
    table = pd.read_csv(source / "labels.csv")
    table["patient"] = [id_ if id_ > 110 else "in\x1b[1mconnu" for id_ in table["id"]]
    table.to_csv(source / "labels.csv", index=False)
    run(tmp_path / "Data", "--source", source)
    assert (
        "note: patients of two sexes: 1, such as in\\x1b[1mconnu in 10 films"
        in capsys.readouterr().out
    )


def test_films_without_a_patient_beside_others_are_noted(tmp_path, capsys):
    """As a table made from merged cells has them."""
    source = make_source(tmp_path / "films")
    table = pd.read_csv(source / "labels.csv")
    run(tmp_path / "None", "--source", source)
    table["patient_id"] = ["p1", "", "", "p2"] + 36 * ["p3"]
    table.to_csv(source / "labels.csv", index=False)
    run(tmp_path / "Some", "--source", source)
    out = capsys.readouterr().out
    assert out.count("have no patient") == 1
    assert "2 of 40 films have no patient: each counts as a child of its own" in out


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ({"Patients": range(40)}, True),
        ({"Pseudonym of the subject": [*range(20)] * 2}, True),
        ({"Patient No.": range(40)}, True),  # it may count the rows
        ({"Patient No.": [1, *range(39)]}, False),
        ({"Patients": range(40), "MRN": range(40)}, False),
        ({"Patients": ""}, False),
        ({"Patient group": [*"abcd"] * 10}, False),
        ({"Patient's age": range(40)}, False),
        ({"Patient name": range(40)}, False),
        ({"inpatient since": range(40)}, False),
        ({"subjective quality": range(40)}, False),
        ({"kV": range(40)}, False),
    ],
)
def test_a_column_that_may_hold_the_patients_and_is_not_used_is_told(
    tmp_path, capsys, columns, told
):
    source = make_source(tmp_path / "films")
    table = pd.read_csv(source / "labels.csv").assign(**columns)
    table.to_csv(source / "labels.csv", index=False)
    run(tmp_path / "Data", "--source", source)
    note = f"note: column {next(iter(columns))} is not used: patients are read from a column patient_id"
    assert capsys.readouterr().err.count(note) == told


@pytest.mark.parametrize(
    ("header", "value", "told"),
    [
        ("Study ID", "S{child}", True),
        ("hospital no", "{child}", True),
        ("child", "{child}", True),
        ("Geburtsdatum", "{child}", False),
        ("first film", "2019-01-{child:02d}", False),
        ("cm", "1{child}.5", False),
        ("group", "{sex}{child}", False),
        ("family", "{pair}", False),  # of a girl and a boy
        ("film of the child", "{film}", False),
        ("scan", "{child}{film}", False),
    ],
)
def test_a_column_whose_many_values_repeat_within_a_sex_may_hold_the_patients(
    tmp_path, capsys, header, value, told
):
    source = make_source(tmp_path / "films")
    table = pd.read_csv(source / "labels.csv").drop(columns="male")
    columns = {"sex": ["FM"[film // 2 % 2] for film in range(40)]}
    columns[header] = [
        value.format(child=i // 2, film=i % 2, pair=i // 4, sex=sex)
        for i, sex in enumerate(columns["sex"])
    ]
    table.assign(**columns).to_csv(source / "labels.csv", index=False)
    run(tmp_path / "Data", "--source", source)
    note = f"note: column {header} is not used: patients are read from a column patient_id"
    assert capsys.readouterr().err.count(note) == told
    if told:
        table.assign(**columns | {"sex": "F"}).to_csv(source / "labels.csv", index=False)
        run(tmp_path / "Girls", "--source", source)
        assert note not in capsys.readouterr().err  # their sex tells nothing


def test_rows_of_one_film_make_no_patients_of_its_other_numbers(tmp_path, capsys):
    source = make_source(tmp_path / "films")
    table = pd.read_csv(source / "labels.csv").assign(accession=range(900, 940))
    pd.concat([table, table]).to_csv(source / "labels.csv", index=False)
    run(tmp_path / "Data", "--source", source)
    assert "column accession is not used" not in capsys.readouterr().err


def test_films_that_are_named_by_their_patients_are_told_of(tmp_path, capsys):
    source = make_source(tmp_path / "films")
    table = pd.read_csv(source / "labels.csv").rename(columns={"id": "MRN"})
    note = "note: no column for id: films are named by MRN"
    for columns, told in (({}, 1), ({"filename": table["MRN"].astype(str) + ".png"}, 0)):
        table.assign(**columns).to_csv(source / "labels.csv", index=False)
        run(tmp_path / f"Data{told}", "--source", source)
        assert capsys.readouterr().err.count(note) == told


def test_numbers_that_a_spreadsheet_has_shortened_are_told(tmp_path, capsys):
    source = make_source(tmp_path / "films")
    table = pd.read_csv(source / "labels.csv", dtype=str)
    (source / "103.png").rename(source / "1E+05.png")
    table.loc[:2, "id"] = ["1.01E+02", "1,02E+02", "1E+05"]  # the last is the name of a film
    table["patient"] = ["p1", *36 * ["1.2E+11"], "p2", "1.3E+11", ""]
    table.to_csv(source / "labels.csv", index=False)
    data = run(tmp_path / "Data", "--source", source)
    err = capsys.readouterr().err
    assert (
        "note: patients such as 1.2E+11 were shortened by a spreadsheet, and are unknown: 37" in err
    )
    assert "format the column as a number without decimals, and save it again" in err
    assert "note: ids such as 1.01E+02 were shortened by a spreadsheet, and are unknown: 2" in err
    assert set(read(data)["patient"].dropna()) == {"p2"}
    assert ("1.01E+02", "", "no file") in left_out(data)


# ------------------------------------------------------------------------------ what is left out


def test_files_without_label_and_rows_without_file_are_listed(tmp_path, capsys):
    source = make_source(tmp_path / "films", range(1, 21))
    (source / "3.png").unlink()
    make_films(source / "more", [77])
    with (source / "labels.csv").open("a") as table:
        table.write("5,50,False\n88,,True\n")
    make_films(source, [88])
    data = run(tmp_path / "Data", "--source", source)
    assert sorted(left_out(data)) == [
        ("3", "", "no file"),
        ("5", "5.png", "duplicate id, another age"),
        ("77", "more/77.png", "no label"),
        ("88", "88.png", "no usable age"),
    ]
    check_films(data, [n for n in range(1, 21) if n != 3])
    printed = capsys.readouterr().out
    for reason in ("no file", "duplicate id", "no label", "no usable age"):
        assert f"1 {reason}" in printed
    assert str(data / "import_left_out.csv") in printed


def test_every_row_that_is_left_out_is_listed(tmp_path):
    source = make_source(tmp_path / "films")
    with (source / "labels.csv").open("a") as table:
        table.write(",100,True\n,100,True\n77,100,True\n77,90,True\n")
    rows = [("", "", "no id")] * 2 + [("77", "", "no file")] * 2
    assert left_out(run(tmp_path / "Data", "--source", source)) == rows


def test_films_that_one_row_may_mean_are_not_told_to_have_no_label(tmp_path):
    source = make_source(tmp_path / "films")
    save(source / "more" / "103.png", draw(103))
    assert left_out(run(tmp_path / "Data", "--source", source)) == [
        ("103", "", "several files of that name")
    ]


def test_a_film_that_is_gone_is_left_out(tmp_path, capsys):
    source = make_source(tmp_path / "films")
    film = next(source.rglob(f"{IDS[0]}.*"))
    film.unlink()
    film.symlink_to(tmp_path / "nowhere.png")
    data = run(tmp_path / "Data", "--source", source)
    check_films(data, IDS[1:])
    assert f"left out: 1 {UNREADABLE}" in capsys.readouterr().out


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no pipes in folders")
def test_a_device_or_a_pipe_is_left_out(tmp_path):
    """A copy of /dev/zero, here /dev/null, would fill the disk, one of a pipe wait for ever."""
    source = make_source(tmp_path / "films")
    (source / "101.png").unlink()
    (source / "101.png").symlink_to("/dev/null")
    data = run(tmp_path / "Data", "--source", source)
    check_films(data, IDS[1:])
    assert left_out(data) == [("101", "101.png", f"{UNREADABLE}: no regular file")]
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(RadiographError, match="no regular file"):
        link_or_copy(tmp_path / "pipe.png", tmp_path / "copy.png")


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("104.png", b"no film", f"not a readable image ({', '.join(ENDINGS)})"),
        ("104.jpg", b"no film", f"not a readable image ({', '.join(ENDINGS)})"),
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


@pytest.mark.parametrize(
    ("id_", "reason"),
    [
        (".hid", "its id begins with a dot"),
        ("long" * 70, "its id is too long for the name of a file"),
        ("aux.1", "its id is the name of a device on Windows"),
        ("2019:1", "its id has a character that Windows forbids in file names"),
    ],
)
def test_an_id_that_can_name_no_file_is_left_out_with_a_reason(id_, reason, tmp_path, monkeypatch):
    monkeypatch.setattr("util.importing.placing.NOT_IN_NAMES", set(":"))  # as on Windows
    monkeypatch.setattr("util.importing.placing.NO_NAMES", placing.DEVICES)
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


@names_of_bytes
def test_a_name_that_is_not_unicode_is_listed(tmp_path):
    source = make_source(tmp_path / "films")
    film = next(source.rglob(f"{IDS[0]}.*"))
    shutil.copy(film, os.fsencode(film.parent) + b"/M\xe4dchen.png")
    check_films(run(tmp_path / "Data", "--source", source), IDS)
    assert "dchen.png,no label" in (tmp_path / "Data" / "import_left_out.csv").read_text()


# -------------------------------------------------------------------------------------- failures


@pytest.mark.parametrize(
    "name", ["train/1.png", "validation/1.png", "df_test.csv", "import_left_out.csv"]
)
def test_a_folder_that_holds_data_is_never_touched(tmp_path, name):
    held = tmp_path / "Data" / name
    held.parent.mkdir(parents=True)
    held.write_text("mine")
    with pytest.raises(UserError, match="there is data already"):
        run(tmp_path / "Data", "--source", make_source(tmp_path / "films"))
    assert held.read_text() == "mine"
    assert [path for path in (tmp_path / "Data").rglob("*") if path.is_file()] == [held]


@pytest.mark.parametrize("kind", ["link", "link to nothing", "disk"])
def test_a_link_or_a_disk_in_the_place_of_a_folder_is_refused_at_once(tmp_path, monkeypatch, kind):
    place = tmp_path / "Data" / "validation"
    (tmp_path / "far").mkdir()
    place.parent.mkdir()
    if kind == "disk":
        place.mkdir()
        monkeypatch.setattr(os.path, "ismount", lambda path: path == place)
    else:
        place.symlink_to(tmp_path / ("far" if kind == "link" else "nowhere"))
    with pytest.raises(UserError, match="a link or a disk is in the way .*validation.* Remove it"):
        run(tmp_path / "Data", "--source", make_source(tmp_path / "films"))
    assert list((tmp_path / "Data").iterdir()) == [place]


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
        (no_table, "no table with labels"),
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


def test_films_that_lie_there_twice_are_named_as_the_reason(tmp_path):
    source = make_source(tmp_path / "films")
    make_films(source / "again", IDS)
    with pytest.raises(UserError, match="several files of that name"):
        run(tmp_path / "Data", "--source", source)


def test_a_failure_leaves_no_empty_folder_behind(tmp_path):
    with pytest.raises(UserError):
        run(tmp_path / "Data", "--source", tmp_path / "none")
    assert not (tmp_path / "Data").exists()


def test_an_interrupted_import_leaves_nothing_behind(tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    source = make_source(tmp_path / "films")
    with monkeypatch.context() as patch:
        patch.setattr(placing, "link_or_copy", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "Data", "--source", source)
    assert not list(tmp_path.glob("Data/*"))
    check_films(run(tmp_path / "Data", "--source", source), IDS)
