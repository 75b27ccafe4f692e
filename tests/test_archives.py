"""Zips as sources: what is unpacked where, and what is refused (util/importing/archives.py)."""

import shutil
import sys
import zipfile

import pandas as pd
import pytest
from source_folders import (
    IDS,
    check_films,
    draw,
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
from util.importing import archives


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


def test_a_zip_inside_a_zip_overwrites_no_folder_of_its_name(tmp_path):
    source = make_source(tmp_path / "films")
    make_films(tmp_path / "other", [101, 900])
    zipped(tmp_path / "other").replace(source / "more.zip")
    make_films(source / "more", [900])
    (source / "empty.zip").mkdir()
    rows = run(tmp_path / "Data", "--source", zipped(source))
    assert ("101", "", "several files of that name") in left_out(rows)
    assert sum(name.endswith("/900.png") for _, name, _ in left_out(rows)) == 2


def test_films_that_were_zipped_from_another_folder_are_imported(tmp_path):
    """zip -r films.zip ../films stores names that begin with ../."""
    source, archive = make_source(tmp_path / "films"), tmp_path / "films.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for number, path in enumerate(source.iterdir()):
            place = f"../films/{path.name}"
            file.write(path, place if number % 2 else place.replace("/", "\\"))
    shutil.rmtree(source)
    check_films(run(tmp_path / "Data", "--source", archive), IDS)


def test_a_zip_of_a_windows_tool_is_unpacked_into_folders(tmp_path):
    source = make_source(tmp_path / "films", range(1, 21))
    with zipfile.ZipFile(tmp_path / "w.zip", "w") as archive:
        for path in source.iterdir():
            member = zipfile.ZipInfo("x")
            member.filename = f"films\\{path.name}"  # ZipInfo itself would mend it
            archive.writestr(member, path.read_bytes())
    assert len(read(run(tmp_path / "Data", "--source", tmp_path / "w.zip"))) == 20


class NameOfMacOS(zipfile.ZipInfo):
    """Writes its name in UTF-8 without saying so."""

    def _encodeFilenameFlags(self):
        return self.filename.encode(), self.flag_bits & ~0x800


def test_names_with_accents_in_a_zip_of_macos_are_read(tmp_path):
    names = {number: f"Mu\u0308ller {number}.png" for number in range(1, 11)}
    rows = "".join(f"M\u00fcller {number},{months_of(number)},F\n" for number in names)
    with zipfile.ZipFile(tmp_path / "films.zip", "w") as archive:
        for number, name in names.items():
            save(tmp_path / f"{number}.png", draw(number))
            archive.writestr(NameOfMacOS(name), (tmp_path / f"{number}.png").read_bytes())
        archive.writestr("labels.csv", "id,boneage,sex\n" + rows)
    with zipfile.ZipFile(tmp_path / "films.zip") as archive:
        assert archive.namelist()[0] != names[1]
    assert len(read(run(tmp_path / "Data", "--source", tmp_path / "films.zip"))) == 10
    odd = zipfile.ZipInfo("M\u00fcller.png")  # in letters of DOS
    assert archives.name_in_utf8(odd) == "M\u00fcller.png"


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


# -------------------------------------------------------------------- messages that name the zip


def test_tables_in_a_zip_are_named_as_in_it(tmp_path):
    source = make_source(tmp_path / "films")
    make_table(source / "more.csv", IDS)
    with pytest.raises(UserError) as error:
        run(tmp_path / "Data", "--source", zipped(source))
    archive = tmp_path / "films.zip"
    assert f"{archive}/labels.csv, {archive}/more.csv. Choose one" in str(error.value)
    assert "from the unpacked zip" in str(error.value)


def test_errors_in_a_table_of_a_zip_name_the_zip(tmp_path):
    source = make_source(tmp_path / "films")
    table = pd.read_csv(source / "labels.csv").rename(columns={"male": "sex"})
    table.assign(sex=table["sex"].astype(int)).to_csv(source / "labels.csv", index=False)
    archive = zipped(source)
    with pytest.raises(UserError, match=f"which is male\\? \\({archive}/labels.csv\\)"):
        run(tmp_path / "Data", "--source", archive)


# ---------------------------------------------------------------------------------- damaged zips


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


def test_a_zip_whose_compressed_data_are_damaged_is_named(tmp_path):
    with zipfile.ZipFile(tmp_path / "films.zip", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("labels.csv", "id,boneage,male\n" + "1,100,True\n" * 99)
    data = bytearray((tmp_path / "films.zip").read_bytes())
    data[30 + len("labels.csv")] = 0xFF  # the first byte behind the header: no such block type
    (tmp_path / "films.zip").write_bytes(data)
    with pytest.raises(UserError, match="nor a whole zip"):
        run(tmp_path / "Data", "--source", tmp_path / "films.zip")


def test_an_encrypted_zip_is_told(tmp_path):
    archive = zipped(make_source(tmp_path / "films"))
    data = bytearray(archive.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1  # the flag of the first file, in the directory
    archive.write_bytes(data)
    with pytest.raises(UserError, match="zip is encrypted.*films.zip.*Unpack it yourself"):
        run(tmp_path / "Data", "--source", archive)


def test_a_zip_of_too_many_folders_is_told_from_an_encrypted_one(tmp_path):
    with zipfile.ZipFile(tmp_path / "films.zip", "w") as file:
        file.writestr("a/" * 1500 + "labels.csv", "id,boneage,male\n")
    with pytest.raises(UserError, match="folders, too deep"):
        run(tmp_path / "Data", "--source", tmp_path / "films.zip")


def test_a_zip_of_unknown_compression_is_told_from_an_encrypted_one(tmp_path):
    archive = zipped(make_source(tmp_path / "films"))
    data = bytearray(archive.read_bytes())
    for start, method in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        at = data.index(start, data.index(b"labels.csv") - 46) + method
        data[at : at + 2] = b"\x09\x00"  # Deflate64, as Windows writes large zips
    archive.write_bytes(data)
    with pytest.raises(UserError, match="compression"):
        run(tmp_path / "Data", "--source", archive)
