"""Phantoms: repeatable, apart from split to split, and of the native layout."""

import cv2
import numpy as np
import pandas as pd
import pytest

from preprocessing import read_labelled_folder
from util.data_folder import SPLITS
from util.errors import UserError
from util.phantoms import MAX_AGE, MIN_AGE, draw_phantom, maturity_of, phantom, write_phantoms

HEIGHT = 64
COUNTS = {"train": 6, "val": 3, "test": 2}


def read(data_dir):
    """The tables as written, by split."""
    return {name: pd.read_csv(data_dir / csv) for name, (_, csv) in SPLITS.items()}


def bytes_of(data_dir):
    """Every film's bytes, by its path in the data folder."""
    return {str(p.relative_to(data_dir)): p.read_bytes() for p in data_dir.rglob("*.png")}


def draw(boneage, sex, seed):
    return draw_phantom(boneage, sex, np.random.default_rng(seed), HEIGHT).astype(int)


def test_a_phantom_depends_on_seed_split_and_number_alone():
    film, boneage, sex = phantom(1, "train", 5, HEIGHT)
    again = phantom(1, "train", 5, HEIGHT)
    assert np.array_equal(film, again[0])
    assert (boneage, sex) == again[1:]
    for other in ((2, "train", 5), (1, "val", 5), (1, "test", 5), (1, "train", 6)):
        assert not np.array_equal(film, phantom(*other, HEIGHT)[0])


def test_a_phantom_is_a_bright_hand_on_a_dark_ground():
    film = phantom(1, "train", 0, 128)[0]
    assert film.dtype == np.uint8
    assert film.shape[0] == 128
    assert 0.7 < film.shape[1] / 128 < 0.9
    middle = film[40:100, film.shape[1] // 4 : -film.shape[1] // 4]
    assert middle.mean() > 1.5 * film[:20].mean()


def test_age_and_sex_change_the_bones():
    """With the same pose, exposure and noise: the further apart in age, the more differs."""
    for seed in range(5):
        child = draw(60, 1, seed)
        same, older, grown = (np.abs(draw(m, 1, seed) - child).mean() for m in (60, 90, 200))
        assert same == 0
        assert 1 < older < grown
        assert np.abs(draw(110, 0, seed) - draw(110, 1, seed)).mean() > 0.5


def test_girls_are_ahead_of_boys_most_in_puberty():
    def lead(boneage):
        girl, boy = (maturity_of(boneage, sex, np.random.default_rng(0)) for sex in (0, 1))
        return girl - boy

    assert 0 < lead(12) < 3
    assert lead(12) < lead(72) < lead(132)
    assert 18 < lead(132) <= 24


def test_ages_and_sexes_vary():
    drawn = [phantom(3, "train", number, 32)[1:] for number in range(100)]
    ages, sexes = np.array(drawn).T
    assert MIN_AGE <= ages.min() < 60
    assert 180 < ages.max() <= MAX_AGE
    assert ages.mean() == pytest.approx(127, abs=12)
    assert 0.4 < sexes.mean() < 0.68


def test_the_data_folder_is_the_native_layout(phantoms):
    for split, (folder, csv) in SPLITS.items():
        table = pd.read_csv(phantoms / csv)
        assert list(table.columns) == ["id", "filename", "boneage", "sex", "gender"]
        assert len(table) == {"train": 48, "val": 12, "test": 13}[split]
        assert (table["gender"] == table["sex"].map({1: "male", 0: "female"})).all()
        usable, left_out = read_labelled_folder(phantoms / csv, phantoms / folder)
        assert left_out.empty
        assert len(usable) == len(list((phantoms / folder).iterdir())) == len(table)


def test_a_written_film_is_the_phantom_of_its_row(tmp_path):
    table = write_phantoms(tmp_path / "Data", COUNTS, HEIGHT, seed=4)
    assert table.groupby("split").size().to_dict() == COUNTS
    for split, part in table.groupby("split"):
        for number, row in enumerate(part.itertuples()):
            film, boneage, sex = phantom(4, split, number, HEIGHT)
            path = tmp_path / "Data" / SPLITS[split].folder / row.filename
            assert np.array_equal(cv2.imread(str(path), cv2.IMREAD_UNCHANGED), film)
            assert (row.boneage, row.sex) == (boneage, sex)


def test_more_films_leave_the_first_ones_as_they_were(tmp_path):
    more = {"train": 9, "val": 5, "test": 3}
    write_phantoms(tmp_path / "few", COUNTS, HEIGHT)
    write_phantoms(tmp_path / "more", more, HEIGHT)
    few, many = bytes_of(tmp_path / "few"), bytes_of(tmp_path / "more")
    assert len(few) == 11
    assert few.items() <= many.items()
    for split, table in read(tmp_path / "few").items():
        first = read(tmp_path / "more")[split][: COUNTS[split]]
        pd.testing.assert_frame_equal(table, first)


def test_splits_share_no_id_and_no_picture(phantoms):
    ids = pd.concat(read(phantoms).values())["id"]
    assert ids.is_unique
    films = bytes_of(phantoms)
    assert len(set(films.values())) == len(films) == 73


def test_a_folder_that_holds_data_is_never_touched(tmp_path):
    (tmp_path / "Data" / "train").mkdir(parents=True)
    (tmp_path / "Data" / "train" / "1.png").write_text("mine")
    with pytest.raises(UserError, match="there is data already"):
        write_phantoms(tmp_path / "Data", COUNTS, HEIGHT)
    assert (tmp_path / "Data" / "train" / "1.png").read_text() == "mine"
    assert [path.name for path in tmp_path.rglob("*")] == ["Data", "train", "1.png"]


def test_the_command_writes_what_is_asked_for_and_says_so(command, tmp_path):
    words = ["--data_dir", tmp_path / "Data", "--train", 6, "--val", 3, "--test", 2]
    process = command("make_phantoms.py", *words, "--height", HEIGHT, "--seed", 7)
    assert process.returncode == 0, process.stderr
    tables = read(tmp_path / "Data")
    assert {name: len(table) for name, table in tables.items()} == {"train": 6, "val": 3, "test": 2}
    assert {name.split("/")[0] for name in bytes_of(tmp_path / "Data")} == {
        "train",
        "validation",
        "test",
    }
    expected = [phantom(7, "train", number, HEIGHT)[1] for number in range(6)]
    assert tables["train"]["boneage"].tolist() == expected
    line = next(x for x in process.stdout.splitlines() if x.startswith("train "))
    assert line.split()[1] == "6"
    assert line.endswith(f"{tables['train']['boneage'].mean():.1f}")
    command = f"train_advanced_streamlined.py --preset demo --data_dir {tmp_path / 'Data'}"
    assert f"next: python {command}" in process.stdout


def test_a_split_without_phantoms_is_told_instead_of_a_next_command(done, tmp_path):
    words = ["--data_dir", tmp_path / "Data", "--train", 2, "--val", 0, "--test", 1]
    process = done("make_phantoms.py", *words, "--height", HEIGHT)
    assert "note: no films for val" in process.stdout
    assert "next:" not in process.stdout


def test_no_film_at_all_is_wrong_usage(inside, tmp_path):
    words = ["--data_dir", tmp_path / "Data", "--train", 0, "--val", 0, "--test", 0]
    process = inside("make_phantoms.py", *words)
    assert process.returncode == 2
    assert (
        process.stderr
        == "error: no film asked for (--train 0 --val 0 --test 0). Raise one of them.\n"
    )
    assert not (tmp_path / "Data").exists()
