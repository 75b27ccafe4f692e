"""Exports: the months of Keras in another runtime, kept only if they are, found by predict.py."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from commands import ROOT, check_error_line, run_python
from files import edit_json

from inference_speed import export_model, parity
from inference_speed.convert import NEEDED, convert
from preprocessing import load_films
from util.backbones import MODEL_TYPES
from util.data_folder import SPLITS
from util.errors import UserError
from util.files import hash_file, record_path
from util.finished_runs import RESEARCH_ONLY
from util.predicting import exports, runtimes
from util.predicting.calibration import fit_calibration
from util.predicting.exports import check_export, export_path, load_quickest
from util.predicting.prediction import compile_predictor, predict_films
from util.predicting.runtimes import RUNTIMES, load_runtime
from util.runs import CALIBRATION
from util.split_records import split_facts
from util.tta import views_key

SIZE = 32
INSTALLED = [name for name, kind in RUNTIMES.items() if runtimes.is_installed(kind.package)]


def skip_without(name, precision="f32"):
    for package in (RUNTIMES[name].package, *NEEDED.get((name, precision), [])):
        if not runtimes.is_installed(package):
            pytest.skip(f"{package} is not installed")
    if precision == "bf16" and not runtimes.has_bf16():
        pytest.skip("the processor does not compute in bf16")


def write_run(folder, phantoms):
    """A run with an untrained model, whose months differ between films all the same, and with
    intervals."""
    import keras

    from modeling import batchnorm_layers
    from modeling_advanced import build_model

    keras.utils.set_random_seed(1)  # some draws are far off in 8 bits
    scale = {"label_mean": 127, "label_sd": 41}
    model = build_model("sex", "mobilenet", SIZE, weights="none", dense_units=16, **scale)
    films = parity.phantom_films(SIZE, "test", n=32)
    inputs = films.pixels[..., None].astype(np.float32), films.sex[:, None]
    for layer in batchnorm_layers(model):
        layer.momentum = 0.0  # one call and its statistics are those of the films
    model(inputs, training=True)
    kernel = model.get_layer("z").kernel
    kernel.assign(kernel * 5 / model(inputs).numpy().std())
    folder.mkdir()
    model.save(folder / "model.keras")
    options = {"data_dir": str(phantoms), "male_value": None, "img_size": SIZE, "fit": "pad"}
    options |= {"model_type": "sex", "backbone": "mobilenet"}
    splits = {split: load_films(phantoms, split, SIZE, "pad") for split in SPLITS}
    data = {split: split_facts(part) for split, part in splits.items()}
    (folder / "config.json").write_text(json.dumps({"options": options, "data": data}))
    validation = predict_films(compile_predictor(model), splits["val"], 8)
    calibration, _ = fit_calibration(validation)
    (folder / CALIBRATION).write_text(json.dumps({views_key(1): calibration}))
    return folder


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory, phantoms, tiny_mobilenet):
    """A run with a small model."""
    with tiny_mobilenet():
        return write_run(tmp_path_factory.mktemp("runs") / "run", phantoms)


@pytest.fixture
def run_copy(run_folder, tmp_path):
    """The run in a folder of the test's own, with what was exported so far."""
    evaluations = shutil.ignore_patterns("evaluation*")
    return shutil.copytree(run_folder, tmp_path / "run", ignore=evaluations)


def forget_exports(folder, names=RUNTIMES):
    for name in names:
        for path in folder.glob(f"{export_path(folder, name).name}*"):
            path.unlink()


def export(folder, name, *words):
    return export_model.main(["--model", str(folder), "--format", name, *map(str, words)])


def take_for_quick(folder, name):
    """So small a model may be as quick in Keras, on a busy machine."""
    with edit_json(record_path(export_path(folder, name))) as record:
        record["ms_a_film_keras"] = 999


@pytest.fixture(scope="module", params=list(RUNTIMES))
def exported(request, run_folder):
    """A run with an export: (name of the runtime, run folder)."""
    skip_without(request.param)
    if not export_path(run_folder, request.param).exists():
        assert export(run_folder, request.param) == 0
        take_for_quick(run_folder, request.param)
    return request.param, run_folder


def keras_months(folder, image, sex):
    import keras

    return keras.models.load_model(folder / "model.keras").predict([image, sex], verbose=0)[:, 0]


def one_error(capsys):
    """The one error line that was printed."""
    err = capsys.readouterr().err
    assert err.startswith("error: ")
    assert err.count("\n") == 1, err
    return err


# ---------------------------------------------------------------------------------------- exports


def test_an_export_says_the_months_of_keras_whatever_the_batch(exported):
    name, folder = exported
    films = parity.phantom_films(SIZE, "val", n=7)
    image, sex = films.pixels[..., None], films.sex[:, None]
    expected = keras_months(folder, image, sex)
    assert np.ptp(expected) > 1
    say = load_runtime(name, export_path(folder, name))
    for n in (7, 1, 3, 7):
        months = say(image[:n], sex[:n])
        assert months.shape == (n,)
        np.testing.assert_allclose(months, expected[:n], atol=0.05)


def test_the_record_says_what_was_made_and_how_well_it_agrees(exported):
    name, folder = exported
    record = json.loads(record_path(export_path(folder, name)).read_text())
    assert (record["format"], record["precision"]) == (name, "f32")
    assert record["model_sha256"] == hash_file(folder / "model.keras")
    assert record["checked_on"] == "13 films of df_test.csv"
    assert 0 < record["ms_a_film"] < 1000
    assert 0 < record["ms_a_film_keras"] < 1000
    assert 0 <= record["difference_months"]["mean"] <= record["difference_months"]["max"] <= 0.05
    names = {path.name for path in folder.iterdir() if path.stem.startswith("model")}
    known = {f"model{end}" for kind in RUNTIMES.values() for end in kind.endings}
    known |= {f"model{kind.endings[0]}.json" for kind in RUNTIMES.values()} | {"model.keras"}
    assert names <= known
    assert not list(folder.glob(".export*"))


def test_without_the_data_phantoms_are_predicted(run_copy):
    config = json.loads((run_copy / "config.json").read_text())
    options = config["options"] | {"data_dir": "/nowhere"}
    one, two = (parity.run_films(options, ("test", "val"), n=5) for _ in range(2))
    assert one.title == "5 phantoms"
    assert one.pixels.shape == (5, SIZE, SIZE)
    assert np.array_equal(one.pixels, two.pixels)
    assert np.ptp(one.pixels) > 100


def test_films_of_a_run_are_spread_over_its_split_with_their_sex(run_folder, phantoms):
    options = json.loads((run_folder / "config.json").read_text())["options"]
    films = parity.run_films(options, ("train",), n=5)
    table = pd.read_csv(phantoms / "df_train.csv")
    assert films.sex.tolist() == table["sex"].iloc[[0, 12, 24, 35, 47]].tolist()
    assert films.title == "5 films of df_train.csv"


@pytest.mark.parametrize("name", RUNTIMES)
@pytest.mark.parametrize("inputs", [["image"], ["sex", "image"]])
def test_inputs_go_by_name(name, inputs, tmp_path):
    """Baseline models have no sex; and no order of inputs is taken for granted."""
    skip_without(name)
    import keras

    keras.utils.set_random_seed(3)  # months near 0 differ by more of themselves
    given = {"image": keras.Input((8, 8, 1), name="image"), "sex": keras.Input((1,), name="sex")}
    # its mean is a tensor and no variable, which Keras's own export to ONNX takes for an input
    scaled = given | {
        "image": keras.layers.Normalization(mean=100.0, variance=50.0**2)(given["image"])
    }
    told = [keras.layers.Flatten()(scaled[name]) for name in inputs]
    last = keras.layers.Dense(1)(keras.layers.Concatenate()(told) if told[1:] else told[0])
    model = keras.Model([given[name] for name in inputs], last)
    path = tmp_path / f"model{RUNTIMES[name].endings[0]}"
    convert(model, name, "f32", path)
    image = np.random.default_rng(3).integers(0, 255, (4, 8, 8, 1), np.uint8)
    sex = np.array([[0], [1], [0], [1]], np.float32)
    values = {"image": image.astype(np.float32), "sex": 1000 * sex}
    expected = model([values[name] for name in inputs]).numpy()[:, 0]
    months = load_runtime(name, path)(image, 1000 * sex)
    np.testing.assert_allclose(months, expected, rtol=1e-4)


def test_a_layer_that_the_runtime_lacks_is_one_line(tmp_path):
    """The exact gelu of ConvNeXt, in ONNX."""
    skip_without("onnx")
    import keras

    image = keras.Input((8, 8, 1), name="image")
    months = keras.layers.Dense(1)(keras.layers.Flatten()(keras.activations.gelu(image, False)))
    with pytest.raises(UserError, match="can't be converted to onnx, f32: .*Erfc.*another runtime"):
        convert(keras.Model(image, months), "onnx", "f32", tmp_path / "model.onnx")


@pytest.mark.parametrize("name", RUNTIMES)
@pytest.mark.parametrize("model_type", [kind for kind in MODEL_TYPES if kind != "sex"])
def test_other_types_of_model_are_exported_too(name, model_type, tiny_mobilenet, tmp_path):
    skip_without(name)
    from modeling_advanced import build_model

    scale = {"label_mean": 127, "label_sd": 41}
    with tiny_mobilenet():
        model = build_model(model_type, "mobilenet", 64, weights="none", dense_units=16, **scale)
    kernel = model.get_layer("z").kernel
    kernel.assign(kernel * 100)
    path = tmp_path / f"model{RUNTIMES[name].endings[0]}"
    convert(model, name, "f32", path)
    films = parity.phantom_films(64, "val", n=3)
    image, sex = films.pixels[..., None], films.sex[:, None]
    expected = compile_predictor(model)(image, sex)
    assert np.ptp(expected) > 0.1
    np.testing.assert_allclose(load_runtime(name, path)(image, sex), expected, atol=0.01)


@pytest.mark.parametrize(
    ("name", "precision"),
    [(name, p) for name, kind in RUNTIMES.items() for p in kind.precisions if p != "f32"],
)
def test_reduced_precision_is_smaller_and_never_far_off(
    name, precision, run_copy, capsys, monkeypatch
):
    """Random weights, scaled until months spread by 5, are off by more than trained ones."""
    skip_without(name, precision)
    monkeypatch.setattr(parity, "TOLERANCES", {precision: {"mean": 2.0}})
    assert export(run_copy, name, "--precision", precision) == 0, capsys.readouterr()
    path = export_path(run_copy, name, precision)
    assert path.name == f"model_{precision}{RUNTIMES[name].endings[0]}"
    size = sum(path.with_suffix(ending).stat().st_size for ending in RUNTIMES[name].endings)
    assert size < 0.65 * (run_copy / "model.keras").stat().st_size
    assert check_export(run_copy, name, precision) == path
    command = f"--model {run_copy} --runtime {name} --precision {precision} --sex F\n"
    assert capsys.readouterr().out.endswith(f"next: python predict.py FILM.png {command}")


def test_an_export_in_bf16_is_made_where_the_processor_can_and_says_so(
    run_copy, capsys, monkeypatch
):
    """A processor that can't computes it in f32: what is checked there is all but its precision."""
    skip_without("openvino", "f32")
    path = export_path(run_copy, "openvino", "bf16")
    if not runtimes.has_bf16():
        with pytest.raises(UserError, match="does not compute in bf16"):
            export(run_copy, "openvino", "--precision", "bf16")
        assert not path.exists()
        monkeypatch.setattr("inference_speed.convert.has_bf16", lambda: True)
    monkeypatch.setattr(parity, "TOLERANCES", {"bf16": {"mean": 2.0}})
    assert export(run_copy, "openvino", "--precision", "bf16") == 0, capsys.readouterr()
    assert check_export(run_copy, "openvino", "bf16") == path
    model = runtimes.import_openvino().Core().read_model(path)
    assert runtimes.openvino_settings(model)["INFERENCE_PRECISION_HINT"] == "bf16"


@pytest.mark.full
@pytest.mark.parametrize("name", RUNTIMES)
def test_a_deep_backbone_in_8_bits_is_kept_or_refused(name, phantoms, tmp_path, capsys):
    """An untrained one is far off on some processors: then there is a reason and nothing else."""
    skip_without(name, "int8")
    folder = write_run(tmp_path / "run", phantoms)
    before = set(folder.iterdir())
    code = export(folder, name, "--precision", "int8")
    made = {path.name for path in set(folder.iterdir()) - before}
    if code == 0:
        assert check_export(folder, name, "int8").name in made
    else:
        assert code == 1
        assert "not kept: mean difference" in one_error(capsys)
        assert not made


@pytest.mark.parametrize("exported", INSTALLED[:1], indirect=True)  # it is alike for all of them
def test_an_export_too_far_off_is_refused_and_leaves_nothing(
    exported, run_copy, capsys, monkeypatch
):
    """What was exported before is left as it is."""
    name, _ = exported
    before = {path: path.read_bytes() for path in run_copy.iterdir()}
    right = export_model.load_runtime

    def wrong(*words):
        say = right(*words)
        return lambda image, sex: say(image, sex) + 0.06

    monkeypatch.setattr(export_model, "load_runtime", wrong)
    assert export(run_copy, name) == 1
    line = one_error(capsys)
    assert "not kept" in line
    assert "0.06 months, allowed 0.05" in line
    assert {path: path.read_bytes() for path in run_copy.iterdir()} == before


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 0.3])
def test_what_agrees(bad):
    months = np.full(100, 90.0)
    off = parity.differences(months + 0.04, months)
    assert off == {
        "mean": pytest.approx(0.04),
        "p99": pytest.approx(0.04),
        "max": pytest.approx(0.04),
    }
    assert not parity.too_far(off, "f32")
    one_bad = np.where(np.arange(100) == 7, months + bad, months)
    assert parity.too_far(parity.differences(one_bad, months), "f32")
    assert bool(parity.too_far(parity.differences(one_bad, months), "int8")) == (bad != 0.3)
    assert parity.too_far(parity.differences(months + 0.26, months), "int8")


# -------------------------------------------------------------------------------------- choosing


def damage(path):
    with path.open("ab") as file:
        file.write(b"\0")


@pytest.mark.parametrize("part", ["model.keras", "export"])
def test_an_export_that_is_stale_or_damaged_is_told_of_and_not_used(
    part, exported, run_copy, capsys
):
    name, _ = exported
    forget_exports(run_copy, set(RUNTIMES) - {name})
    assert load_quickest(run_copy)
    assert capsys.readouterr().err == ""
    last = RUNTIMES[name].endings[-1]
    damage(run_copy / part if part == "model.keras" else run_copy / f"model{last}")
    assert load_quickest(run_copy) is None
    note = capsys.readouterr().err
    assert note.count("note: ") == 1
    assert f"export_model --model {run_copy} --format {name}" in note
    with pytest.raises(UserError, match="is of an earlier|changed since its check"):
        check_export(run_copy, name)
    if part == "model.keras":
        assert export(run_copy, name, "--out", run_copy / f"again{RUNTIMES[name].endings[0]}") == 0


def name_of_quickest(*args, **options):
    return load_quickest(*args, **options)[1]


def test_auto_takes_the_quickest_that_stands(run_copy, monkeypatch, capsys):
    """One that is not installed, not exported or can't be loaded is passed over."""
    missing = RUNTIMES["openvino"].package
    monkeypatch.setattr(runtimes, "find_spec", lambda name: None if name == missing else True)
    loaded = {"onnx": "onnx", "litert": "litert"}

    def load(name, path):
        if name not in loaded:
            raise UserError(f"can't load {name}")
        return loaded[name]

    monkeypatch.setattr(exports, "load_runtime", load)
    forget_exports(run_copy)
    assert load_quickest(run_copy) is None
    write_export(run_copy, "openvino", 1)
    assert load_quickest(run_copy) is None
    for name, ms, expected in (
        *(("litert", 3, "litert"), ("onnx", 4, "litert")),
        *(("litert", 5, "onnx"), ("onnx", 6, "litert")),
    ):
        write_export(run_copy, name, ms)
        assert name_of_quickest(run_copy) == expected
    assert capsys.readouterr().err == ""
    del loaded["litert"]
    assert name_of_quickest(run_copy) == "onnx"
    assert capsys.readouterr().err == "note: can't load litert\n"


def test_an_export_slower_than_keras_is_not_taken(run_copy, monkeypatch):
    """As on a machine with a GPU, which exports don't use."""
    monkeypatch.setattr(runtimes, "find_spec", lambda module: True)
    monkeypatch.setattr(exports, "load_runtime", lambda name, path: name)
    forget_exports(run_copy)
    write_export(run_copy, "onnx", 5, ms_keras=4)
    assert load_quickest(run_copy) is None
    for record in ("{}", "[1]", '{"ms_a_film": "5"}'):  # never timed; no record; damaged
        record_path(export_path(run_copy, "onnx")).write_text(record)
        assert load_quickest(run_copy) is None
    write_export(run_copy, "litert", 6, ms_keras=7)
    assert name_of_quickest(run_copy) == "litert"


def test_an_export_is_taken_for_few_films_as_it_spares_the_start_of_tensorflow(
    run_copy, monkeypatch
):
    monkeypatch.setattr(runtimes, "find_spec", lambda module: True)
    monkeypatch.setattr(exports, "load_runtime", lambda name, path: name)
    forget_exports(run_copy)
    write_export(run_copy, "onnx", 38, ms_keras=28)
    assert name_of_quickest(run_copy, n_films=5) == "onnx"
    assert load_quickest(run_copy, n_films=5000) is None


def write_export(folder, name, ms, ms_keras=1000):
    """An export as far as its record and hashes tell."""
    path = export_path(folder, name)
    for ending in RUNTIMES[name].endings:
        path.with_suffix(ending).touch()
    record = {
        "model_sha256": hash_file(folder / "model.keras"),
        "files_sha256": exports.hash_export(path, name),
        "ms_a_film": ms,
        "ms_a_film_keras": ms_keras,
    }
    record_path(path).write_text(json.dumps(record))


def test_mistakes_are_one_line_each(run_copy, tmp_path, inside, monkeypatch):
    forget_exports(run_copy)
    film = ROOT / "README.md"
    predicting = ["predict.py", film, "--model", run_copy, "--sex", "F"]
    export = ["inference_speed.export_model", "--model"]
    exporting = [*export, run_copy, "--format"]
    (tmp_path / "mine.onnx").write_text("mine")
    cases = [
        ([*predicting, "--precision", "int8"], ["--precision", "--runtime"]),
        ([*exporting, "onnx", "--precision", "f16"], ["onnx has no f16"]),
        ([*exporting, "torch"], ["torch"]),
    ]
    monkeypatch.setattr(runtimes, "find_spec", lambda module: None)
    for name, kind in RUNTIMES.items():
        words = [f"package {kind.package} is not installed", f"pip install {kind.package}"]
        cases += [([*predicting, "--runtime", name], words)]
        cases += [([*exporting, name], words)]
    for words, expected in cases:
        check_error_line(inside(*words), *expected)

    monkeypatch.setattr(runtimes, "find_spec", lambda module: True)
    command = f"python -m inference_speed.export_model --model {run_copy} --format"
    cases = [
        ([*predicting, "--runtime", "onnx"], [f"{command} onnx\n"]),
        (
            [*predicting, "--runtime", "litert", "--precision", "int8"],
            [f"{command} litert --precision int8\n"],
        ),
        ([*predicting, "--runtime", "onnx", "--precision", "f16"], ["no f16"]),
        ([*export, tmp_path, "--format", "onnx"], ["no trained run"]),
        ([*exporting, "onnx", "--out", tmp_path / "m.xml"], [".onnx", "--out"]),
        ([*exporting, "onnx", "--out", "/no/m.onnx"], ["no such folder"]),
        ([*exporting, "onnx", "--out", tmp_path / "mine.onnx"], ["already"]),
    ]
    for words, expected in cases:
        check_error_line(inside(*words), *expected)
    assert (tmp_path / "mine.onnx").read_text() == "mine"


def test_a_damaged_export_is_one_line(exported, run_copy):
    name, _ = exported
    path = export_path(run_copy, name)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(UserError, match=r"can't load the model.*Export it again"):
        load_runtime(name, path)


# ----------------------------------------------------------------------------- predict, evaluate


def predict_alone(*calls):
    """predict.py, once or more, in a fresh process that tells which heavy modules it imported."""
    calls = [[str(word) for word in words] for words in calls]
    code = (
        "import sys, predict\n"
        f"code = max([predict.main(words) for words in {calls!r}])\n"
        "heavy = {'tensorflow', 'keras', 'openvino_telemetry.main'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else code)"
    )
    return run_python("-c", code)


def test_predict_uses_an_export_without_tensorflow(exported, phantoms, inside, tmp_path):
    name, folder = exported
    words = [phantoms / "test", "--model", folder, "--csv", phantoms / "df_test.csv"]
    by_keras = inside("predict.py", *words, "--runtime", "keras", "--out", tmp_path / "keras.csv")
    assert by_keras.returncode == 0, by_keras.stderr
    named = [*words, "--runtime", name, "--out", tmp_path / "export.csv"]
    process = predict_alone(named, words)  # the second time it takes the quickest export by itself
    assert process.returncode == 0, process.stderr
    assert process.stderr == 2 * f"{RESEARCH_ONLY}\n"
    assert process.stdout.count(" (90 %: ") == 2 * 13
    one, two = (pd.read_csv(tmp_path / f"{kind}.csv") for kind in ("keras", "export"))
    assert len(two) == 13
    for column in ("months", "low", "high"):
        np.testing.assert_allclose(two[column], one[column], atol=0.06)


def test_views_are_averaged_in_every_runtime(exported, phantoms):
    from util.predicting.ensemble import Ensemble
    from util.predicting.members import read_members

    name, folder = exported
    films = parity.phantom_films(SIZE, "val", n=3)
    image, sex = films.pixels[..., None], films.sex[:, None]
    views = {}
    for runtime in ("keras", name):
        ensemble = Ensemble(read_members([folder]), [folder], views=5)
        ensemble.load(runtime)
        views[runtime] = ensemble.predictors[0](image, sex)
    np.testing.assert_allclose(views[name], views["keras"], atol=0.05)
    assert not np.allclose(views["keras"], keras_months(folder, image, sex), atol=0.05)


def test_evaluation_by_an_export_says_so(exported, phantoms):
    import evaluate

    name, folder = exported
    evaluate.main([str(folder), "--runtime", name])
    found = pd.read_csv(folder / f"evaluation_test_{name}_f32" / "predictions.csv")
    evaluate.main([str(folder)])
    expected = pd.read_csv(folder / "evaluation_test" / "predictions.csv")
    np.testing.assert_allclose(found["predicted"], expected["predicted"], atol=0.06)
    assert found["id"].tolist() == expected["id"].tolist()


def test_months_are_compared_in_whole_float32():
    """Also after a film that can't be predicted TensorFlow is as it was."""
    from tensorflow.config import experimental

    def predict(image, sex):
        assert not experimental.tensor_float_32_execution_enabled()
        raise ValueError("no film")

    assert experimental.tensor_float_32_execution_enabled()
    with pytest.raises(ValueError, match="no film"):
        parity.predict_sample(predict, parity.phantom_films(32, "val", n=1))
    assert experimental.tensor_float_32_execution_enabled()
