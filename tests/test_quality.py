"""The data quality check: what is wrong with tables and films, and pictures that occur twice."""

import json
import os
import shutil

import cv2
import numpy as np
import pandas as pd
import pytest
from commands import check_error_line
from files import copy_data, names_of_bytes
from threadpoolctl import threadpool_info

import check_nan_in_dfs
from util.data_folder import SPLITS
from util.errors import UserError
from util.phantoms import write_phantoms
from util.quality import film_checks, same_pictures
from util.quality import plots as quality_plots
from util.quality.checks import check_data
from util.quality.flags import name_others
from util.quality.page import html_columns
from util.quality.plots import films_to_look_at
from util.quality.report import write_report
from util.quality.table_checks import read_tables
from util.tables.text import count_gaps, read_table


@pytest.fixture
def folder(phantoms, tmp_path):
    """A data folder of its own: 48 training, 12 validation and 13 test phantoms."""
    return copy_data(phantoms, tmp_path / "Data")


@pytest.fixture(scope="module")
def large_films(tmp_path_factory):
    folder = tmp_path_factory.mktemp("large") / "Data"
    write_phantoms(folder, {"train": 5, "val": 3, "test": 1}, height=256, seed=4)
    return folder


def edit(folder, split, **cells):
    """Write into cells of a table; `column=[(row, text), ...]`, rows counted from 0."""
    path = folder / f"df_{split}.csv"
    table = pd.read_csv(path, dtype=str)
    for column, changes in cells.items():
        for row, text in changes:
            table.loc[row, column] = text
    table.to_csv(path, index=False)
    return table


def film(folder, split, row):
    """The path of the film of a row."""
    table = pd.read_csv(folder / f"df_{split}.csv", dtype=str)
    return folder / SPLITS[split].folder / table["filename"][row]


def found(folder, **options):
    """{check: [(split, row counted from 0), ...]} of all that is flagged."""
    places = {}
    for flag in check_data(read_tables(folder, **options)).flags.itertuples():
        place = flag.split if pd.isna(flag.row) else (flag.split, flag.row - 2)
        places.setdefault(flag.check, []).append(place)
    return places


# ---------------------------------------------------------------------------------------- tables


def test_a_clean_folder_has_no_flags_and_different_hands_are_no_copies(folder):
    audit = check_data(read_tables(folder))
    assert audit.flags.empty
    assert audit.same.empty
    assert len(audit.usable) == len(audit.films) == 73


def test_every_bad_cell_is_flagged_where_it_is(folder):
    ages = ["", "inf", "-5", "301", "twelve", "250", "0", "NaN"]
    edit(folder, "train", boneage=list(enumerate(ages)), id=[(20, "")], filename=[(20, "")])
    edit(folder, "val", sex=[(3, "")], gender=[(3, "?")])
    assert found(folder) == {
        "no age": [("train", 0), ("train", 7)],
        "infinite age": [("train", 1)],
        "impossible age": [("train", 2), ("train", 3)],
        "age is no number": [("train", 4)],
        "unlikely age": [("train", 5), ("train", 6)],
        "no id": [("train", 20)],
        "unknown sex": [("val", 3)],
    }


def test_ids_that_occur_twice_are_flagged_with_the_other_row(folder):
    names = [film(folder, "train", row).stem for row in range(4)]
    edit(folder, "train", id=[(1, names[0])], filename=[(3, f"{names[2]}.png")])
    other = "MF"[pd.read_csv(folder / "df_train.csv")["sex"][0]]
    edit(folder, "val", id=[(5, names[0])], sex=[(5, "")], gender=[(5, other)])
    assert found(folder) == {
        "duplicate id": [("train", 0), ("train", 1)],
        "same id in two splits": [("train", 0), ("train", 1), ("val", 5)],
        "same file for two rows": [("train", 2), ("train", 3)],
    }
    flags = check_data(read_tables(folder)).flags
    details = flags.loc[flags["check"] == "same id in two splits", "detail"]
    assert "val row 7" in details.iloc[0]
    assert details.str.startswith("ages differ; sexes differ; as ").all()


def test_a_patient_in_two_splits_is_flagged(folder):
    for split in SPLITS:
        table = pd.read_csv(folder / f"df_{split}.csv", dtype=str)
        table["patient_id"] = split + table["id"]
        table.to_csv(folder / f"df_{split}.csv", index=False)
    assert not found(folder)
    edit(folder, "train", patient_id=[(2, "p1"), (4, "p1")])
    edit(folder, "test", patient_id=[(0, "p1")])
    places = [("train", 2), ("train", 4), ("test", 0)]
    assert found(folder) == {"same patient in two splits": places}
    edit(folder, "test", patient_id=[(0, "00P1")])  # as training takes it
    assert found(folder) == {"same patient in two splits": places}


def test_a_patient_of_two_sexes_is_flagged(folder):
    """As a word for unknown patients that is not known as one; none at all is no patient."""
    table = pd.read_csv(folder / "df_train.csv", dtype=str)
    rows = {sex: table.index[table["sex"] == sex][0] for sex in "01"}
    edit(folder, "train", patient=[(row, "inconnu") for row in rows.values()])
    assert found(folder) == {
        "patient of two sexes": [("train", row) for row in sorted(rows.values())]
    }
    edit(folder, "train", patient=[(rows["0"], "p0"), (rows["1"], "p1")])
    assert not found(folder)


def test_a_film_in_two_splits_is_flagged_with_leading_zeros_too(folder):
    """As training refuses it: where sex and label agree."""
    row = pd.read_csv(folder / "df_train.csv", dtype=str).iloc[2]
    name = f"00{row['id']}"
    shutil.copy(film(folder, "val", 4), film(folder, "val", 4).with_name(f"{name}.png"))
    film(folder, "val", 4).unlink()
    edit(folder, "val", id=[(4, name)], filename=[(4, f"{name}.png")], sex=[(4, row["sex"])])
    edit(folder, "val", boneage=[(4, row["boneage"])])
    assert found(folder) == {"same id in two splits": [("train", 2), ("val", 4)]}
    edit(folder, "val", boneage=[(4, "99.5")])  # of another child
    assert not found(folder)


def test_gaps_of_every_column_are_counted(tmp_path):
    (tmp_path / "t.csv").write_text("id,height,note\n1,inf,\n2,-Infinity,\n3, ,\n4,nan,\n5,7,\n")
    gaps = count_gaps(read_table(tmp_path / "t.csv"))
    assert gaps.values.tolist() == [["id", 0, 0], ["height", 2, 2], ["note", 5, 0]]


def test_an_infinite_value_beside_the_age_is_flagged(folder):
    edit(folder, "test", height=[(2, "inf")])
    assert found(folder) == {"infinite values": ["test"]}


@pytest.mark.parametrize(
    ("change", "look"),
    [
        (lambda image: cv2.rotate(image, cv2.ROTATE_180), "film looks turned"),
        (lambda image: 255 - image, "film looks inverted"),
    ],
)
def test_a_film_that_is_turned_or_inverted_is_flagged(folder, change, look):
    path = film(folder, "test", 1)
    cv2.imwrite(str(path), change(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)))
    assert found(folder) == {look: [("test", 1)]}


def test_the_networks_of_the_check_run_on_one_thread(folder, monkeypatch):
    threads, look = set(), film_checks.orientations

    def orientations(films):
        threads.update(p["num_threads"] for p in threadpool_info() if p["user_api"] == "blas")
        return look(films)

    monkeypatch.setattr(film_checks, "orientations", orientations)
    check_data(read_tables(folder))
    assert threads == {1}


def test_ages_in_years_are_told(folder):
    table = pd.read_csv(folder / "df_train.csv")
    table.assign(boneage=table["boneage"] / 12).to_csv(folder / "df_train.csv", index=False)
    assert found(folder) == {"ages look like years": ["train"]}
    for split in ("val", "test"):  # too small to be judged alone
        table = pd.read_csv(folder / f"df_{split}.csv")
        table.assign(boneage=table["boneage"] / 12).to_csv(folder / f"df_{split}.csv", index=False)
    assert found(folder) == {"ages look like years": ["train", "val", "test"]}
    table.assign(boneage="").to_csv(folder / "df_test.csv", index=False)
    assert found(folder)["ages look like years"] == ["train", "val"]


def test_ages_in_years_under_a_header_that_says_so_are_no_flaw(folder):
    table = pd.read_csv(folder / "df_train.csv")
    table["boneage"] /= 12
    table.loc[2, "boneage"] = 26
    table.rename(columns={"boneage": "boneage_years"}).to_csv(folder / "df_train.csv", index=False)
    flags = check_data(read_tables(folder)).flags
    assert flags["check"].tolist() == ["impossible age"]
    assert flags["detail"].iloc[0].startswith("26.0 years")


def test_ages_in_years_among_whole_months_are_flagged(folder):
    """Infants may have decimals where others have, too, and halves of months need not be years."""
    table = pd.read_csv(folder / "df_train.csv")
    whole = table["boneage"].clip(24).round()

    def flagged(ages):
        table.assign(boneage=ages).to_csv(folder / "df_train.csv", index=False)
        return found(folder)

    assert "age looks like years" not in flagged(whole)
    some = table.index < 20
    assert flagged(whole.mask(some, (whole / 12).round() + 0.5)) == {
        "age looks like years": [("train", row) for row in range(20)]
    }
    assert flagged(whole.mask(some, 18)) == {}
    assert flagged(whole.mask(some, 18.5) + 0.25 * (table.index == 47)) == {}
    table["boneage_years"] = whole.mask(some, 10.5) / 12
    table.drop(columns="boneage").to_csv(folder / "df_train.csv", index=False)
    assert found(folder) == {}


def test_ages_as_years_and_months_are_flagged(folder):
    table = pd.read_csv(folder / "df_train.csv")
    months = table.pop("boneage").astype(int)
    table["boneage_years"] = [f"{age // 12}.{age % 12}" for age in months]
    table.to_csv(folder / "df_train.csv", index=False)
    assert found(folder) == {"ages look like years.months": ["train"]}


def test_a_missing_table_or_folder_is_flagged_and_the_rest_is_checked(folder):
    (folder / "df_test.csv").unlink()
    shutil.rmtree(folder / "validation")
    edit(folder, "train", boneage=[(4, "999")])
    expected = {"no table": ["test"], "no image folder": ["val"], "impossible age": [("train", 4)]}
    assert found(folder) == expected


@pytest.mark.parametrize("text", ["", "id,boneage,male\n"])
def test_a_table_without_rows_is_flagged_and_the_rest_is_checked(folder, text):
    (folder / "df_test.csv").write_text(text)
    assert found(folder) == {"no rows": ["test"]}


def test_a_folder_without_any_usable_film_is_still_told(folder):
    for split, (images, table) in SPLITS.items():
        shutil.rmtree(folder / images)
        if split != "train":
            (folder / table).unlink()
    audit = check_data(read_tables(folder))
    assert len(audit.usable) == len(audit.films) == 0
    assert set(audit.flags["check"]) == {"no table", "no image folder"}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("id,boneage\n1,100\n", "no column for sex"),
        ("id,male\n1,True\n", "no column for boneage"),
        ("boneage,male\n100,True\n", "no column for id"),
        ("id,boneage,gender\n1,100,1\n", "--male_value"),
    ],
)
def test_a_table_that_can_not_be_understood_is_an_error(folder, text, reason):
    (folder / "df_val.csv").write_text(text)
    with pytest.raises(UserError, match=reason):
        read_tables(folder)


def test_no_folder_and_no_table_are_errors(tmp_path):
    with pytest.raises(UserError, match="no data folder.*--data_dir"):
        read_tables(tmp_path / "none")
    with pytest.raises(
        UserError, match="none of df_train.csv.*Save workbooks as CSV.*import_data.py"
    ):
        read_tables(tmp_path)


# ----------------------------------------------------------------------------------------- films


def test_every_bad_film_is_flagged_with_its_reason(folder):
    paths = [film(folder, "train", row) for row in range(8)]
    paths[0].unlink()
    paths[1].write_bytes(paths[1].read_bytes()[:500])
    paths[2].write_bytes(b"")
    paths[3].write_bytes(b"no film at all" * 20)
    cv2.imwrite(str(paths[4]), np.full((96, 80), 9, np.uint8))
    cv2.imwrite(str(paths[5]), cv2.imread(str(paths[5]), 0)[:9])
    cv2.imwrite(str(paths[6]), cv2.imread(str(paths[6]), 0) // 20)
    shutil.copytree(paths[7].parent, paths[7].parent / "again", ignore=lambda _, names: set(names))
    shutil.copy(paths[7], paths[7].parent / "again")
    edit(folder, "train", filename=[(7, "")])
    assert found(folder) == {
        "no file": [("train", 0)],
        "truncated file": [("train", 1)],
        "empty file": [("train", 2)],
        "not a readable image": [("train", 3)],
        "no contrast": [("train", 4)],
        "too small": [("train", 5)],
        "hardly any contrast": [("train", 6)],
        "several files of that name": [("train", 7)],
    }


def test_kind_depth_and_size_are_told_by_content(folder):
    paths = [film(folder, "val", row) for row in range(4)]
    images = [cv2.imread(str(path), 0) for path in paths]
    for path, image, ending in zip(paths, images, (".jpg", ".webp", ".tiff"), strict=False):
        path.write_bytes(cv2.imencode(ending, image)[1].tobytes())
    cv2.imwrite(str(paths[3]), images[3].astype(np.uint16) * 100)
    films = check_data(read_tables(folder)).films.set_index("path").loc[map(str, paths)]
    assert films["kind"].tolist() == ["JPEG", "WebP", "TIFF", "PNG"]
    assert films["depth"].tolist() == [8, 8, 8, 16]
    shapes = films[["height", "width"]].values.tolist()
    assert shapes == [list(image.shape) for image in images]


def test_films_without_a_row_are_known_and_not_flagged(folder):
    shutil.copy(film(folder, "train", 0), folder / "test" / "stray.png")
    tables = read_tables(folder)
    assert tables.unlabelled.values.tolist() == [["test", "test/stray.png"]]
    assert check_data(tables).flags.empty


# --------------------------------------------------------------------------------- same pictures


def jpeg(image, quality=40):
    return cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], 0)


COPIES = {
    "exact": lambda image: image,
    "jpeg 40": jpeg,
    "half": lambda image: cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA),
    "squeezed": lambda image: cv2.resize(image, (200, 200), interpolation=cv2.INTER_AREA),
    "brighter": lambda image: np.clip(image * 1.3 + 20, 0, 255).astype(np.uint8),
    "16 bit": lambda image: image.astype(np.uint16) * 257,
}


@pytest.mark.parametrize("kind", COPIES)
def test_a_copy_in_another_split_is_found(large_films, tmp_path, kind):
    folder = shutil.copytree(large_films, tmp_path / "Data")
    image = cv2.imread(str(film(folder, "train", 2)), 0)
    cv2.imwrite(str(film(folder, "val", 1)), COPIES[kind](image))
    audit = check_data(read_tables(folder))
    flags = audit.flags[["severity", "check", "split", "row"]].values.tolist()
    check = "same picture in two splits"
    assert flags == [["serious", check, "train", 4], ["serious", check, "val", 3]]
    assert set(audit.same["match"]) == {"exact" if kind == "exact" else "re-encoded"}


def test_a_copy_in_the_same_split_is_found_and_less_serious(folder):
    shutil.copy(film(folder, "train", 2), film(folder, "train", 40))
    for row, sex in ((2, "F"), (40, "M")):
        edit(folder, "train", sex=[(row, "")], gender=[(row, sex)], boneage=[(row, "120")])
    flags = check_data(read_tables(folder)).flags
    details = "exact copy; sexes differ; as train row " + pd.Series(["42", "4"])
    assert [flag.split(" (")[0] for flag in flags["detail"]] == details.tolist()
    assert flags[["severity", "check", "row"]].values.tolist() == [
        ["look", "same picture twice in a split", 4],
        ["look", "same picture twice in a split", 42],
    ]


def test_copies_are_found_however_many_films_are_compared_at_once(
    large_films, tmp_path, monkeypatch
):
    folder = shutil.copytree(large_films, tmp_path / "Data")
    image = cv2.imread(str(film(folder, "train", 1)), 0)
    for place, copy in ((("train", 4), jpeg(image)), (("val", 2), jpeg(image, 60))):
        cv2.imwrite(str(film(folder, *place)), copy)
    monkeypatch.setattr(same_pictures, "CHUNK", 1)
    same = check_data(read_tables(folder)).same
    assert same["group"].tolist() == [1, 1, 1]
    assert same["split"].tolist() == ["train", "train", "val"]


# --------------------------------------------------------------------------------------- command


def test_the_command_tells_what_is_wrong_and_writes_it_down(folder, tmp_path, command):
    edit(folder, "train", boneage=[(0, "<script>12")])
    shutil.copy(film(folder, "train", 5), film(folder, "test", 3))
    table = folder / "df_train.csv"
    table.write_text(
        table.read_text().replace("\n", "\n\n", 1)
    )  # a blank line is a row to a reader
    before = sorted(path for path in folder.rglob("*"))
    process = command("check_nan_in_dfs.py", "--data_dir", folder, "--out", tmp_path / "report")
    assert process.returncode == 1, process.stderr
    assert "flagged: 3 serious, 0 to look at" in process.stdout
    assert "age is no number" in process.stdout
    assert str(tmp_path / "report" / "report.html") in process.stdout
    assert sorted(path for path in folder.rglob("*")) == before

    flagged = pd.read_csv(tmp_path / "report" / "flagged.csv")
    assert flagged["row"].tolist() == [3, 8, 5]
    findings = json.loads((tmp_path / "report" / "findings.json").read_text())
    assert [row["check"] for row in findings["flags"]] == flagged["check"].tolist()
    assert [row["usable"] for row in findings["splits"]] == [47, 12, 13]
    pictures = {path.name for path in (tmp_path / "report" / "plots").iterdir()}
    samples = {f"samples_{split}.png" for split in SPLITS}
    assert pictures == {"ages.png", "same.png", *samples}
    page = (tmp_path / "report" / "report.html").read_text()
    assert "&lt;script&gt;12" in page
    assert "<script>" not in page
    assert page.count("data:image/jpeg;base64,") == 5
    assert len(page) < 5_000_000
    assert page.count('<div class="table"><table>') == page.count("<table>") > 2  # they scroll


def test_the_command_counts_gaps_and_tells_what_is_odd_but_not_wrong(folder, tmp_path, inside):
    edit(folder, "val", boneage=[(0, ""), (1, "inf"), (2, "")])
    for path in folder.glob("*/*.png"):
        cv2.imwrite(str(path), cv2.resize(cv2.imread(str(path), 0), (64, 64)))
    first = film(folder, "train", 0)
    first.write_bytes(cv2.imencode(".jpg", cv2.imread(str(first), 0))[1].tobytes())
    (folder / "test" / "stray.png").write_bytes(first.read_bytes())
    process = inside("check_nan_in_dfs.py", "--data_dir", folder, "--out", tmp_path / "report")
    assert process.returncode == 1
    assert "  val   boneage      2 missing      1 infinite of 12\n" in process.stdout
    for note in (
        "films in test/ without a row in df_test.csv, not used: 1, such as test/stray.png",
        f"films that are not what their ending says, read by content: 1, such as train/{first.name}",
        "all films are squares of one size",
    ):
        assert f"note: {note}" in process.stdout


def test_films_to_look_at_are_shown_on_the_page(folder, tmp_path):
    """Those that can be read, each under what was flagged; without an age, too."""
    turned, inverted, broken = (film(folder, "test", row) for row in (1, 2, 3))
    image = cv2.imread(str(turned), 0)
    cv2.imwrite(str(turned), np.rot90(image))
    cv2.imwrite(str(inverted), 255 - cv2.imread(str(inverted), 0))
    broken.write_bytes(b"")
    edit(folder, "test", boneage=[(1, "")])
    audit = check_data(read_tables(folder))
    shown = films_to_look_at(audit)
    assert shown["check"].tolist() == ["film looks inverted", "film looks turned"]
    assert shown["path"].tolist() == [str(inverted), str(turned)]
    _, pictures = write_report(audit, tmp_path, seed=0)
    width = cv2.imread(str(pictures["Films to look at"])).shape[1]
    assert 2 * 180 < width < 3 * 180  # the two fill it
    assert "Films to look at" in (tmp_path / "report.html").read_text()


def test_boys_and_girls_of_an_age_stand_side_by_side(monkeypatch):
    """Where there are as many, one would hide the other."""
    monkeypatch.setattr(quality_plots, "save", lambda figure, _: figure)
    films = pd.DataFrame({"split": "train", "sex": [0, 1, 1], "boneage": [100.0, 101, 230]})
    bars = quality_plots.plot_ages(films, None).axes[0].patches
    boy, old_boy, girl = sorted(
        (b for b in bars if b.get_height()), key=lambda b: b.get_facecolor()
    )
    assert 96 < boy.get_x() < boy.get_x() + boy.get_width() <= girl.get_x()
    assert girl.get_x() + girl.get_width() < 108
    assert 228 < old_boy.get_x() < 240


def test_grey_levels_are_not_hidden_by_their_legend(large_films, monkeypatch):
    monkeypatch.setattr(quality_plots, "save", lambda figure, _: figure)
    films = check_data(read_tables(large_films)).usable[:1]
    figure = quality_plots.plot_samples(films, None)
    figure.draw_without_rendering()
    levels = figure.axes[1]
    legend = levels.get_legend().get_window_extent()
    assert levels.get_window_extent().y1 < legend.y0
    assert legend.y1 < figure.bbox.y1
    assert "training uses the originals" in figure.get_supxlabel()


@pytest.mark.parametrize(
    ("missing", "said"), [(0, "None in the 2 columns of train."), (1, "<td>1<")]
)
def test_columns_are_listed_only_if_a_value_is_missing(missing, said):
    columns = {"split": "train", "column": ["id", "sex"], "missing": [0, missing]}
    page = html_columns(pd.DataFrame(columns | {"infinite": 0, "rows": 9}))
    assert said in page
    assert ("<table>" in page) == bool(missing)


@names_of_bytes
def test_a_name_that_is_not_unicode_is_told(folder, tmp_path):
    extra = os.fsencode(folder / "train") + b"/m\xfcller.png"
    shutil.copy(film(folder, "train", 0), extra)
    assert (
        check_nan_in_dfs.main(["--data_dir", str(folder), "--out", str(tmp_path / "report")]) == 0
    )
    findings = json.loads((tmp_path / "report" / "findings.json").read_text())
    assert findings["films_without_row"] == [{"split": "train", "file": "train/m\\udcfcller.png"}]


@names_of_bytes
def test_a_folder_whose_name_is_not_unicode_gets_its_report(large_films, tmp_path):
    folder = shutil.copytree(large_films, tmp_path / os.fsdecode(b"k\xf6ln"))
    assert check_nan_in_dfs.main(["--data_dir", str(folder)]) == 0
    assert r"k\udcf6ln" in (folder / "quality_report" / "report.html").read_text()


def test_a_clean_folder_ends_with_0_and_no_report_is_overwritten(large_films, tmp_path, capsys):
    folder = shutil.copytree(large_films, tmp_path / "Data")
    older = folder / "quality_report" / "report.html"  # where it goes unless --out says otherwise
    (folder / "quality_report" / "plots").mkdir(parents=True)
    older.write_text("older")
    assert check_nan_in_dfs.main(["--data_dir", str(folder), "--workers", "1"]) == 0
    told = capsys.readouterr().out
    assert "nothing flagged in 9 rows" in told
    assert f"report: {folder / 'quality_report_2' / 'report.html'}" in told
    assert (folder / "quality_report_2" / "report.html").exists()
    assert older.read_text() == "older"


def test_wrong_input_is_one_line_and_exit_code_2(tmp_path, command):
    process = command("check_nan_in_dfs.py", cwd=tmp_path)
    check_error_line(process, "no data folder (Data)")


def test_the_age_of_another_film_may_be_missing():
    """Ages are rounded: those in years have many decimals in months."""
    rows = pd.DataFrame({"split": "train", "row": [2, 3], "file": ["1.png", "2.png"], "sex": 1})
    said = name_others(rows.assign(boneage=[np.nan, 59.9996]), rows["split"].to_numpy())
    assert said.tolist() == ["as train row 3 (2.png, 60 months)", "as train row 2 (1.png, no age)"]


def test_long_ids_are_cut_where_they_stand_side_by_side(folder, monkeypatch):
    """As those that are UIDs: only their ends tell them apart."""
    uid = "1.2.840.113619.2.55.3.2831868886.123.1234567890.123"
    copied = film(folder, "test", 0)
    shutil.copy(film(folder, "train", 0), copied)
    copied.rename(copied.with_name(f"{uid}.png"))
    edit(folder, "test", id=[(0, uid)], filename=[(0, f"{uid}.png")], boneage=[(0, "81.9996")])
    shown = []
    monkeypatch.setattr(quality_plots, "plot_contact_sheet", lambda _, labels, *__, **___: labels)
    monkeypatch.setattr(quality_plots, "save", lambda figure, _: shown.append(figure))
    audit = check_data(read_tables(folder))
    labels = quality_plots.plot_same(audit.same, None)
    assert [label.split("\n")[0] for label in labels] == [
        "group 1: train 1",
        "group 1: test …7890.123",
    ]
    assert labels[1].endswith("\n82 months")
    quality_plots.plot_samples(audit.usable[audit.usable["id"] == uid], None)
    title = shown[0].axes[0].get_title()
    assert len(title) < 60
    assert "67890.123, 82 months, " in title
