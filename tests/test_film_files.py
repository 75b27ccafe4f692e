"""Which files are films (util/film_files.py)."""

import pytest

from util.film_files import list_films


def touch(folder, *names):
    """Make empty files of these names in a folder; returns the folder."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def test_images_are_listed_without_hidden_ones_and_other_files(tmp_path):
    folder = touch(
        tmp_path / "films",
        *("b.png", "a/c.TIFF", "d.jfif", "e.ima", "a.csv", "notes", ".hidden.png", "._b.png"),
        *("__MACOSX/b.png", ".cache/b.png"),
    )
    names = ["b.png", "d.jfif", "e.ima", "c.TIFF"]
    assert [path.name for path in list_films(folder)] == names


@pytest.mark.parametrize("names", [("one", "two"), ("two", "one")])
def test_links_to_folders_are_followed_and_no_film_comes_twice(tmp_path, names):
    """Whichever of two links comes first, that to a folder or that to one within it."""
    folder = touch(tmp_path / "films", "2019/1.png")
    touch(tmp_path / "away", "deep/2.png", "3.png")
    for name, place in zip(names, ("away", "away/deep"), strict=True):
        (folder / name).symlink_to(tmp_path / place)
    (folder / "inside").symlink_to(folder / "2019")
    (tmp_path / "beside.png").touch()
    (tmp_path / "away" / "round").symlink_to(folder)
    (tmp_path / "away" / "up").symlink_to(tmp_path)
    assert sorted(path.name for path in list_films(folder)) == ["1.png", "2.png", "3.png"]
    assert folder / "2019" / "1.png" in list_films(folder)
