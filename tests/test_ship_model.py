"""A run made small enough to ship: half the size, the same months, nothing of the machine."""

import json
import zipfile

import pytest

from inference_speed import ship_model
from util.errors import UserError


@pytest.fixture(scope="module")
def shipped(small_run, tmp_path_factory):
    out = tmp_path_factory.mktemp("shipped") / "model"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ship_model, "SMALL", 10_000)  # or all arrays of this model were small
        ship_model.main([str(small_run), "--out", str(out)])
    return out


def test_large_arrays_take_half_the_space(shipped, small_run):
    sizes = [(folder / "model.keras").stat().st_size for folder in (shipped, small_run)]
    assert sizes[0] < 0.7 * sizes[1]


def test_it_says_the_same_months_with_the_same_intervals(shipped, small_run, phantoms, inside):
    film = next((phantoms / "test").glob("*.png"))
    lines = [
        inside("predict.py", film, "--model", folder, "--sex", "F").stdout.split()
        for folder in (shipped, small_run)
    ]
    assert float(lines[0][2]) == pytest.approx(float(lines[1][2]), abs=0.11)
    assert "(90" in lines[0]


def test_no_path_of_the_machine_goes_along(shipped, phantoms):
    config = json.loads((shipped / "config.json").read_text())
    assert str(phantoms.parent) not in json.dumps(config)
    assert config["options"]["data_dir"] == phantoms.name
    assert "command" not in config


def test_settings_that_older_versions_of_keras_refuse_are_left_out(shipped):
    with zipfile.ZipFile(shipped / "model.keras") as model:
        config = model.read("config.json").decode()
    assert '"BatchNormalization"' in config
    assert not [name for name in ship_model.NEWER if f'"{name}"' in config]


def test_a_setting_that_was_chosen_stays():
    config = {"layers": [{"renorm": True, "seed": None}, {"renorm": False, "units": 3}]}
    assert ship_model.without_newer(config) == {
        "layers": [{"renorm": True, "seed": None}, {"units": 3}]
    }


def test_nothing_is_overwritten(shipped, small_run):
    with pytest.raises(UserError, match="there already"):
        ship_model.main([str(small_run), "--out", str(shipped)])


def test_a_model_that_changes_is_not_shipped(small_run, tmp_path, monkeypatch):
    monkeypatch.setattr(ship_model, "LARGEST_DIFFERENCE", -1.0)
    with pytest.raises(UserError, match="months off, allowed"):
        ship_model.main([str(small_run), "--out", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()
