"""inference_speed: every case is a row, fairly timed, and the analysis reads what was written."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from commands import ROOT, check_error_line, listen_to_signals, run_python

from inference_speed import analyze_inference_results as analyze
from inference_speed import compute_inference_speed as compute
from inference_speed import convert, parity, routes, speed_plots, timing
from inference_speed.comparison import compare_backbones, read_benchmark
from util.backbones import BACKBONES
from util.errors import UserError
from util.predicting.runtimes import RUNTIMES

TIMED = routes.DEFAULT_ROUTES[:3]  # predict, compiled, and the first runtime that is installed
OLD_COLUMNS = {
    *("backbone", "batch_size", "mean_inference_time_s", "std_inference_time_s"),
    *("min_inference_time_s", "max_inference_time_s", "median_inference_time_s"),
    *("time_per_image_s", "images_per_second", "time_per_image_ms", "total_params"),
    *("trainable_params", "non_trainable_params", "num_runs", "img_height", "img_width"),
    *("img_channels", "timestamp", "tensorflow_version", "gpu_info", "system_info"),
}


def start(name, *words, **options):
    """Start `python -m inference_speed.<name>` as a user would."""
    return subprocess.Popen(
        [sys.executable, "-m", f"inference_speed.{name}", *map(str, words)],
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        **options,
        preexec_fn=None if os.name == "nt" else listen_to_signals,
    )


def finish(process):
    """Return (exit code, stdout, stderr) of a started process."""
    out, err = process.communicate(timeout=600)
    return process.returncode, out, err


def csv_in(folder):
    (path,) = folder.glob("inference_speed_*.csv")
    return path


@pytest.fixture(scope="module")
def benchmark(tmp_path_factory):
    """One real benchmark: (exit code, out, err), its CSV."""
    folder = tmp_path_factory.mktemp("benchmark")
    process = start(
        *("compute_inference_speed", "--backbones", "mobilenet"),
        *("--batch_sizes", 2, "--num_runs", 2, "--img_height", 72, "--img_width", 72),
        *("--routes", *TIMED, "--results_dir", folder),
    )
    return finish(process), csv_in(folder)


def test_each_route_has_a_colour_of_its_own():
    assert len(set(speed_plots.COLOURS)) >= len(routes.ROUTES)


def test_every_case_is_a_row_and_numbers_agree(benchmark):
    (code, out, err), path = benchmark
    assert code == 0, err
    assert sum(line.startswith("mobilenet ") for line in out.splitlines()) == len(TIMED)
    assert f"{len(TIMED)} of {len(TIMED)} timed, 0 failed: {path}\n" in out
    good = pd.read_csv(path)
    assert list(good.columns) == list(compute.COLUMNS)
    assert set(good.columns) >= OLD_COLUMNS
    assert set(good["status"]) == {"ok"}
    assert set(good["backbone"]) == {"mobilenet"}
    assert set(good["batch_size"]) == {2}
    assert good["route"].tolist() == TIMED
    mean, size = good["mean_inference_time_s"], good["batch_size"]
    np.testing.assert_allclose(good["images_per_second"], size / mean)
    np.testing.assert_allclose(good["time_per_image_s"], mean / size)
    np.testing.assert_allclose(good["time_per_image_ms"], 1000 * mean / size)
    names = [f"{name}_inference_time_s" for name in ("min", "median", "p95", "max")]
    assert (good[names[0]] > 0).all()
    assert (good[names].diff(axis=1).iloc[:, 1:] >= 0).all(axis=None)
    assert (good["std_inference_time_s"] >= 0).all()
    assert (good[["load_s", "first_call_s", "file_mb"]] > 0).all(axis=None)
    assert (good["max_off_months"] < 0.05).all()
    assert (good.loc[good["route"] == "predict", "times_as_fast_as_predict"] == 1).all()


def test_rows_say_what_was_timed_and_where(benchmark):
    good = pd.read_csv(benchmark[1])
    assert (good["trainable_params"] + good["non_trainable_params"] == good["total_params"]).all()
    assert (good["total_params"] > 1e6).all()
    assert good["peak_memory_mb"].between(50, 10_000).all()
    assert set(good["tensorflow_version"]) == {version("tensorflow")}
    assert set(good["keras_version"]) == {version("keras")}
    assert set(good["img_height"]) == set(good["img_width"]) == {72}
    assert good[["processor", "gpu_info", "system_info", "timestamp"]].notna().all(axis=None)


def test_a_failed_case_is_a_row_and_one_error_line(benchmark, tmp_path, monkeypatch, capsys):
    """On the screen, in the CSV, and in its analysis."""
    monkeypatch.setattr(compute, "run_case", lambda case: timing.time_case(**case))
    words = ["--backbones", "inception_v3", "--batch_sizes", "1", "2", "--img_size", "72"]
    assert compute.main([*words, "--routes", *TIMED, "--results_dir", str(tmp_path)]) == 1
    out, err = capsys.readouterr()
    failed = pd.read_csv(csv_in(tmp_path))
    n = 2 * len(TIMED)
    assert f"0 of {n} timed, {n} failed" in out
    cases = failed[["backbone", "batch_size", "route"]].apply(tuple, axis=1)
    assert len(failed) == cases.nunique() == n
    assert failed["status"].str.contains("films too small").all()
    assert failed["mean_inference_time_s"].isna().all()
    line = f"inception_v3, batch 1 2, {' '.join(TIMED)}: films too small"
    assert err.count("error: ") == 1
    assert f"error: {line}" in err
    both = tmp_path / "both.csv"
    pd.concat([pd.read_csv(benchmark[1]), failed]).to_csv(both, index=False)
    analyze.main(["--csv_file", str(both), "--no_plots"])
    assert line in capsys.readouterr().out
    assert pd.read_csv(tmp_path / "speed_comparison_both.csv")["backbone"].tolist() == ["mobilenet"]


def test_analysis_of_a_real_benchmark(benchmark, capsys):
    path = benchmark[1]
    assert analyze.main(["--results_dir", str(path.parent), "--save_plots"]) is None
    assert "mobilenet" in capsys.readouterr().out
    time = path.stem.removeprefix("inference_speed_")
    comparison = pd.read_csv(path.with_name(f"speed_comparison_{time}.csv"))
    assert comparison["backbone"].tolist() == ["mobilenet"]
    picture = path.with_name(f"inference_analysis_plots_{time}.png").read_bytes()
    assert picture.startswith(b"\x89PNG")


# --------------------------------------------------------------------------------------- timing


@pytest.fixture
def calls():
    """Predictors that write down their calls in the list that is returned beside them."""
    made = []

    def predictor(name, result):
        def predict(image, sex):
            made.append(name)
            return result(len(image))

        return predict

    def broken(n):
        raise MemoryError("no room\nfor it")

    results = {
        "a": np.zeros,
        "b": np.ones,
        "broken": broken,
        "wrong": lambda n: np.zeros((n, 1)),
        "nan": lambda n: np.full(n, np.nan),
    }
    return {name: predictor(name, result) for name, result in results.items()}, made


def test_routes_take_turns_and_the_warm_up_does_not_count(calls):
    predictors, made = calls
    films = np.zeros((3, 8, 8, 1), np.uint8), np.zeros((3, 1), np.float32)
    both = {name: predictors[name] for name in "ab"}
    seconds, failures = timing.call_in_turns(both, *films, num_runs=4)
    assert failures == {}
    rounds = 1 + timing.WARM_UP_CALLS + 4
    assert len(seconds["a"]) == len(seconds["b"]) == rounds
    assert timing.WARM_UP_CALLS > 0
    assert made == (["a", "b", "b", "a"] * rounds)[: 2 * rounds]


def test_a_route_that_fails_leaves_the_others_running(calls):
    films = np.zeros((2, 8, 8, 1), np.uint8), np.zeros((2, 1), np.float32)
    predictors = {name: calls[0][name] for name in ("broken", "a", "wrong", "nan")}
    seconds, failures = timing.call_in_turns(predictors, *films, num_runs=2)
    assert failures["broken"] == "MemoryError: no room"
    assert "2 finite months" in failures["wrong"]
    assert "2 finite months" in failures["nan"]
    assert list(seconds) == ["a"]
    assert len(seconds["a"]) == 1 + timing.WARM_UP_CALLS + 2


def test_statistics_leave_the_first_calls_out():
    slow = [50.0] + [9.0] * timing.WARM_UP_CALLS
    by_predict = [*slow, 0.4, 0.4, 0.9, 8.0]
    numbers = timing.statistics([*slow, 0.1, 0.2, 0.3, 0.8], 4, by_predict)
    assert numbers["mean_inference_time_s"] == pytest.approx(0.35)
    assert numbers["std_inference_time_s"] == pytest.approx(0.310913, abs=1e-6)
    assert numbers["median_inference_time_s"] == pytest.approx(0.25)
    assert numbers["p95_inference_time_s"] == pytest.approx(0.725)
    assert numbers["images_per_second"] == pytest.approx(4 / 0.35)
    assert numbers["times_as_fast_as_predict"] == 3.5  # median of 4, 2, 3 and 10, turn by turn
    alone = timing.statistics([*slow, 0.1], 1)
    assert alone["std_inference_time_s"] is None
    assert "times_as_fast_as_predict" not in alone


def test_phantom_films_are_drawn_alike_again():
    films = parity.phantom_films(96, "test", "pad", n=3)
    assert films.pixels.shape == (3, 96, 96)
    assert films.pixels.dtype == np.uint8
    assert np.ptp(films.pixels) > 100
    assert not np.array_equal(films.pixels[0], films.pixels[1])
    assert set(films.sex) <= {0, 1}
    assert films.sex.dtype == np.float32
    again = parity.phantom_films(96, "test", "pad", n=3)
    assert np.array_equal(films.pixels, again.pixels)


@pytest.mark.parametrize("inputs", [1, 2])
def test_all_routes_give_the_same_months(inputs, tmp_path):
    import keras

    image, sex = keras.Input((16, 16, 1), name="image"), keras.Input((1,), name="sex")
    pixels = keras.layers.Flatten()(image)
    told = keras.layers.Concatenate()([pixels, sex])
    if inputs == 1:
        model = keras.Model(image, keras.layers.Dense(1)(pixels))
    else:
        model = keras.Model([image, sex], keras.layers.Dense(1)(told))
    films = parity.phantom_films(16, "test", "pad", n=3)
    months = {}
    for name in routes.DEFAULT_ROUTES:
        folder = tmp_path / name
        folder.mkdir()
        predict = routes.ROUTES[name].load(routes.ROUTES[name].save(model, folder, None))
        months[name] = predict(films.pixels[..., None], films.sex[:, None])
    for name, values in months.items():
        timing.check_months(values, 3)
        np.testing.assert_allclose(values, months["predict"], rtol=1e-4, err_msg=name)
    assert np.ptp(months["predict"]) > 0


def test_precisions_have_tolerances_and_default_routes_exist():
    precisions = {p for runtime in RUNTIMES.values() for p in runtime.precisions}
    assert precisions == parity.TOLERANCES.keys()
    assert {"predict", "compiled"} <= set(routes.DEFAULT_ROUTES)
    assert all(name in RUNTIMES for name in set(routes.DEFAULT_ROUTES) - {"predict", "compiled"})


needs_runtime = pytest.mark.skipif(not TIMED[2:], reason="no runtime is installed")


def test_a_runtime_without_its_converter_is_no_default_route(monkeypatch):
    monkeypatch.setattr(convert, "require_runtime", lambda *_: None)  # all are installed
    monkeypatch.setattr(convert, "NEEDED", {("onnx", "f32"): ["no-such-package"]})
    assert [name for name in RUNTIMES if not convert.has_converter(name)] == ["onnx"]


@needs_runtime
def test_a_route_of_a_runtime_needs_less_than_keras(benchmark):
    """Loaded in a process of its own without TensorFlow; it says the months of Keras."""
    table = pd.read_csv(benchmark[1])
    keras, other = (table[table["route"] == route] for route in TIMED[1:])
    assert len(other) == len(keras) == 1
    assert other["peak_memory_mb"].max() < 0.6 * keras["peak_memory_mb"].min()
    assert other["max_off_months"].max() < 0.05
    assert other["file_mb"].max() < 20


@needs_runtime
@pytest.mark.full
def test_every_runtime_needs_less_than_keras():
    names = routes.DEFAULT_ROUTES[1:]
    result = timing.time_case("mobilenet", 2, 32, "sex", "none", None, 1, names)
    keras, *others = (result["routes"][name] for name in names)
    for other in others:
        assert other["status"] == "ok"
        assert other["peak_memory_mb"] < 0.6 * keras["peak_memory_mb"]
        assert other["max_off_months"] < 0.05
        assert other["file_mb"] < 20


def test_peak_memory_is_that_of_the_process_alone():
    """Whatever the process that starts it holds."""
    held = np.ones(2**29 // 8)
    code = "from inference_speed.cold_start import *;print(peak_memory_mb())"
    alone = float(run_python("-c", code).stdout)
    assert 5 < alone < held.nbytes / 2**20


@pytest.fixture
def small_model(monkeypatch):
    """Cases are timed with one dense layer, without a cold start."""
    import keras

    image, sex = keras.Input((32, 32, 1), name="image"), keras.Input((1,), name="sex")
    features = keras.layers.Concatenate()([keras.layers.Flatten()(image), sex])
    model = keras.Model([image, sex], keras.layers.Dense(1)(features))
    monkeypatch.setattr(timing, "get_model", lambda *_: model)
    monkeypatch.setattr(timing, "run_alone", lambda *_, **__: {})


def test_a_missing_package_is_a_failed_row_that_names_it(small_model, monkeypatch):
    monkeypatch.setattr("util.predicting.runtimes.find_spec", lambda module: None)
    result = timing.time_case("mobilenet", 1, 32, "sex", "none", None, 1, ["onnx", "compiled"])
    assert result["routes"]["compiled"]["status"] == "ok"
    status = result["routes"]["onnx"]["status"]
    assert status == "the package onnxruntime is not installed. Do: pip install onnxruntime"


def test_a_route_that_says_other_months_has_failed(small_model, monkeypatch):
    right = routes.ROUTES["compiled"]

    def load(path):
        predict = right.load(path)
        return lambda image, sex: predict(image, sex) + 0.06

    monkeypatch.setitem(routes.ROUTES, "compiled", right._replace(load=load))
    result = timing.time_case("mobilenet", 1, 32, "sex", "none", None, 1, ["compiled"])
    assert "too many months off Keras" in result["routes"]["compiled"]["status"]


def test_the_model_of_a_run_is_timed(tmp_path, monkeypatch):
    options = {"backbone": "vgg16", "model_type": "attn_sex", "img_size": 96}
    (tmp_path / "config.json").write_text(
        json.dumps({"options": options | {"fit": "hand"}, "data": {}})
    )
    for name in ("model.keras", "calibration.json"):
        (tmp_path / name).touch()
    cases = []
    monkeypatch.setattr(compute, "run_case", lambda case: cases.append(case) or timed_result(case))
    words = ["--model", str(tmp_path), "--batch_sizes", "1", "--routes", "compiled"]
    assert compute.main([*words, "--results_dir", str(tmp_path)]) == 0
    assert cases == [
        {"run": str(tmp_path), "batch_size": 1, "num_runs": 10, "routes": ["compiled"]}
        | options
        | {"weights": str(tmp_path)}
    ]


# ------------------------------------------------------------------------------------ processes


def first_child(process):
    """Wait for the process that times a case, and return its id."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    while process.poll() is None:
        with suppress(OSError):  # a process may end between two looks
            for child in children.read_text().split():
                if b"inference_speed/timing.py" in Path(f"/proc/{child}/cmdline").read_bytes():
                    return int(child)
        time.sleep(0.02)
    return pytest.fail(f"ended before a case began: {finish(process)}")


needs_proc = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc")


@needs_proc
def test_a_killed_case_is_a_row_with_its_reason(tmp_path):
    process = start(
        *("compute_inference_speed", "--backbones", "mobilenet", "--batch_sizes", 1),
        *("--img_size", 64, "--results_dir", tmp_path, "--routes", "predict", "compiled"),
    )
    os.kill(first_child(process), signal.SIGKILL)
    code, _, err = finish(process)
    assert code == 1
    assert "error: mobilenet, batch 1, predict compiled: its process was ended by SIGKILL" in err
    table = pd.read_csv(csv_in(tmp_path))
    assert len(table) == 2
    assert table["status"].str.contains("SIGKILL").all()


@needs_proc
def test_ctrl_c_ends_cleanly(tmp_path):
    process = start(
        *("compute_inference_speed", "--backbones", "mobilenet", "--batch_sizes", 1),
        *("--img_size", 64, "--results_dir", tmp_path, "--routes", "predict", "compiled"),
    )
    child = first_child(process)
    process.send_signal(signal.SIGINT)
    code, _, err = finish(process)
    assert code == 130
    assert err == "interrupted\n"
    assert not list(tmp_path.iterdir())
    assert ends(child)


@needs_proc
def test_a_case_ends_with_its_benchmark(tmp_path):
    process = start(
        *("compute_inference_speed", "--backbones", "mobilenet", "--batch_sizes", 1),
        *("--img_size", 64, "--results_dir", tmp_path, "--num_runs", 100_000),
    )
    child = first_child(process)
    process.kill()
    process.wait()
    assert ends(child)


def ends(pid, seconds=60):
    """Whether a process ends in time."""
    deadline = time.monotonic() + seconds
    while is_running(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not is_running(pid)


def is_running(pid):
    """Whether a process is there and has not ended: one that did may wait for init to take note."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def timed_result(case):
    """What a case gives, without timing."""
    numbers = timing.statistics([1.0] * (1 + timing.WARM_UP_CALLS + 2), case["batch_size"])
    facts = {"total_params": 7, "trainable_params": 7, "non_trainable_params": 0}
    facts |= {"peak_memory_mb": 500.0, "load_s": 1.0, "file_mb": 3.0, "max_off_months": 0.0}
    return {"try_other_sizes": True, "routes": dict.fromkeys(case["routes"], facts | numbers)}


def test_an_interrupted_benchmark_keeps_its_rows(tmp_path, monkeypatch, capsys):
    def run_case(case):
        if case["batch_size"] == 4:
            raise KeyboardInterrupt
        return timed_result(case)

    monkeypatch.setattr(compute, "run_case", run_case)
    words = ["--backbones", "vgg16", "--batch_sizes", "1", "2", "4", "8"]
    words += ["--routes", "predict", "compiled"]
    with pytest.raises(KeyboardInterrupt):
        compute.main([*words, "--results_dir", str(tmp_path)])
    table = pd.read_csv(csv_in(tmp_path))
    assert table["batch_size"].tolist() == [1, 1, 2, 2]
    assert "4 rows are kept" in capsys.readouterr().out


def test_after_a_killed_case_the_other_batch_sizes_go_on(tmp_path, monkeypatch):
    failed = {"status": "killed"}

    def run_case(case):
        if case["batch_size"] == 2:
            return {"try_other_sizes": True, "routes": dict.fromkeys(case["routes"], failed)}
        return timed_result(case)

    monkeypatch.setattr(compute, "run_case", run_case)
    words = ["--backbones", "vgg16", "vgg19", "--batch_sizes", "1", "2", "4", "4"]
    words += ["--routes", "predict", "compiled"]
    assert compute.main([*words, "--results_dir", str(tmp_path / "new")]) == 1
    table = pd.read_csv(csv_in(tmp_path / "new"), dtype={"total_params": str})
    assert table["batch_size"].tolist() == [1, 1, 2, 2, 4, 4] * 2
    assert table["status"].tolist() == ["ok", "ok", "killed", "killed", "ok", "ok"] * 2
    assert table["total_params"].dropna().unique().tolist() == ["7"]


def test_no_csv_is_overwritten(tmp_path):
    assert len({compute.new_csv(tmp_path) for _ in range(4)}) == 4


# -------------------------------------------------------------------------------------- options


def test_defaults_are_those_of_earlier_versions():
    args = compute.parse_args([])
    assert args.backbones == list(BACKBONES)[:15]
    assert args.backbones[-1] == "convnext_large"
    assert (args.batch_sizes, args.num_runs, args.img_size) == ([1, 4, 8, 16, 32], 10, 500)
    assert args.weights == "none"
    assert compute.parse_args(["--img_height", "96", "--img_width", "96"]).img_size == 96


def test_mistakes_of_the_benchmark_are_one_line_each(tmp_path, inside, monkeypatch):
    monkeypatch.setattr(compute, "run_case", lambda case: pytest.fail("a benchmark began"))
    monkeypatch.chdir(tmp_path)
    weights = tmp_path / "weights.h5"
    weights.write_text("x")
    cases = [
        (["--img_height", 500, "--img_width", 400], ["square", "--img_height 500"]),
        (["--img_height", 500], ["square"]),
        (["--img_size", 64, "--img_height", 96, "--img_width", 96], ["square", "--img_size 64"]),
        (["--img_size", 8], ["8 is too small"]),
        (["--batch_sizes", 0], ["0 is too small"]),
        (["--batch_sizes"], ["--batch_sizes"]),
        (["--num_runs", "many"], ["--num_runs"]),
        (["--backbones", "resnet18"], ["resnet18"]),
        (["--routes", "torch"], ["torch"]),
        (["--model", tmp_path], ["no trained run"]),
        (["--model", tmp_path, "--img_size", 64], ["--img_size has no effect", "--model"]),
        (["--weights", tmp_path / "no.h5"], ["no such weights file", "no.h5"]),
        (["--weights", weights], ["for one backbone", "--backbones"]),
        (["--backbones", "vgg16", "--results_dir", weights], ["--results_dir", "weights.h5"]),
    ]
    for words, expected in cases:
        check_error_line(inside("inference_speed.compute_inference_speed", *words), *expected)
    assert list(tmp_path.iterdir()) == [weights]


# ------------------------------------------------------------------------------------- analysis


def write_benchmark(path, medians, **columns):
    """A CSV of cases {(backbone, route, batch size): median seconds}."""
    rows = [
        {"backbone": name, "route": route, "batch_size": size, "median_inference_time_s": median}
        for (name, route, size), median in medians.items()
    ]
    table = pd.DataFrame(rows)
    table["mean_inference_time_s"] = 2 * table["median_inference_time_s"]
    table = table.assign(total_params=4_000_000, status="ok", peak_memory_mb=600.0, **columns)
    table.to_csv(path, index=False)
    return table


CASES = {
    ("vgg16", "predict", 1): 0.5,
    ("vgg16", "compiled", 1): 0.2,
    ("vgg16", "compiled", 8): 0.8,
    ("mobilenet", "predict", 1): 0.06,
    ("mobilenet", "predict", 8): 0.16,
    ("mobilenet", "compiled", 1): 0.02,
    ("mobilenet", "compiled", 8): 0.2,
}


def test_comparison_of_known_times(tmp_path):
    write_benchmark(tmp_path / "t.csv", CASES)
    table = compare_backbones(read_benchmark(tmp_path / "t.csv")[0]).round(2).set_index("backbone")
    assert table.index.tolist() == ["mobilenet", "vgg16"]  # the quickest first
    assert table["best_route"].tolist() == ["predict", "compiled"]
    assert table["best_throughput"].tolist() == [50, 10]
    assert table["best_throughput_batch_size"].tolist() == [8, 8]
    assert table["single_image_time_ms"].tolist() == [60, 200]
    assert table["single_image_throughput"].tolist() == [16.67, 5]
    assert table["compiled_speedup"].tolist() == [3, 2.5]
    assert table["parameters_millions"].tolist() == [4, 4]


def test_csv_of_earlier_versions_is_read(tmp_path, capsys):
    path = tmp_path / "inference_speed_20250101_000000.csv"
    cases = {key: value for key, value in CASES.items() if key[1] == "predict"}
    write_benchmark(path, cases, img_height=500, img_width=500)
    table = pd.read_csv(path).drop(columns=["route", "status", "peak_memory_mb"])
    table.to_csv(path, index=False)
    assert analyze.main(["--results_dir", str(tmp_path)]) is None
    out = capsys.readouterr().out
    assert "500 x 500 pixels" in out
    assert "failed" not in out
    comparison = pd.read_csv(tmp_path / "speed_comparison_20250101_000000.csv")
    assert comparison["best_route"].tolist() == ["predict", "predict"]
    assert comparison["peak_memory_mb"].isna().all()
    assert (tmp_path / "inference_analysis_plots_20250101_000000.png").stat().st_size > 10_000


@pytest.mark.parametrize("name", ["backbone", "batch_size", "route", "total_params"])
def test_a_case_with_an_empty_cell_is_told_and_not_compared(tmp_path, capsys, name):
    path = tmp_path / "inference_speed_x.csv"
    table = write_benchmark(path, CASES).astype({name: object})
    lost = table["route"] == "compiled"
    table.loc[lost, name] = ""
    table.to_csv(path, index=False)
    analyze.main(["--csv_file", str(path), "--no_plots"])
    assert "values are missing" in capsys.readouterr().out
    assert pd.read_csv(tmp_path / "speed_comparison_x.csv")["compiled_speedup"].isna().all()


def test_names_of_digits_and_endless_numbers_are_read(tmp_path, capsys):
    path = tmp_path / "inference_speed_x.csv"
    table = write_benchmark(path, CASES).astype({"total_params": float})
    table.loc[table["backbone"] == "vgg16", "total_params"] = np.inf
    table.assign(backbone=table["backbone"].replace("mobilenet", "224")).to_csv(path, index=False)
    analyze.main(["--csv_file", str(path), "--no_plots"])
    assert "values are missing" in capsys.readouterr().out
    assert pd.read_csv(tmp_path / "speed_comparison_x.csv", dtype=str)["backbone"].tolist() == [
        "224"
    ]
    table.assign(num_runs="five").to_csv(path, index=False)
    with pytest.raises(UserError, match="num_runs has a non-numeric value"):
        analyze.main(["--csv_file", str(path), "--no_plots"])


def test_newest_benchmark_with_rows_is_the_default(tmp_path, capsys):
    for age, name in enumerate(("b", "a")):
        path = tmp_path / f"inference_speed_{name}.csv"
        write_benchmark(path, CASES)
        os.utime(path, (1000 - age, 1000 - age))
    (tmp_path / "inference_speed_c.csv").touch()  # of a benchmark that has just begun
    analyze.main(["--results_dir", str(tmp_path), "--no_plots"])
    assert capsys.readouterr().out.startswith(f"{tmp_path}/inference_speed_b.csv\n")
    assert not list(tmp_path.glob("inference_analysis_plots*"))


def test_without_single_films(tmp_path, capsys):
    """Batch 1 was not timed: dashes in the table, an empty panel in the picture."""
    path = tmp_path / "inference_speed_x.csv"
    write_benchmark(path, {("vgg16", "compiled", 8): 0.8})
    analyze.main(["--csv_file", str(path)])
    assert capsys.readouterr().out.count(" -") == 2
    assert (tmp_path / "inference_analysis_plots_x.png").exists()


def test_each_benchmark_has_a_comparison_of_its_own(tmp_path):
    for name in ("1", "2"):
        write_benchmark(tmp_path / f"inference_speed_{name}.csv", CASES)
        analyze.main(["--results_dir", str(tmp_path), "--no_plots"])
    assert {path.name for path in tmp_path.glob("speed_comparison*")} == {
        "speed_comparison_1.csv",
        "speed_comparison_2.csv",
    }


def test_mistakes_of_the_analysis_are_one_line_each(tmp_path, inside):
    (tmp_path / "empty").mkdir()
    good, failed, short = (tmp_path / name for name in ("good.csv", "failed.csv", "short.csv"))
    table = write_benchmark(good, CASES)
    table.assign(status="too small").to_csv(failed, index=False)
    table.drop(columns=["median_inference_time_s"]).to_csv(short, index=False)
    (tmp_path / "words.csv").write_text(good.read_text().replace("0.06", "quick"))
    (tmp_path / "picture.csv").write_bytes(b"\x89PNG\r\n\x1a\n\xff\xfe\x00")
    (tmp_path / "nothing.csv").touch()
    cases = [
        (["--results_dir", tmp_path / "nowhere"], ["no such folder", "nowhere"]),
        (["--results_dir", tmp_path / "empty"], ["no inference_speed_*.csv", "compute"]),
        (["--csv_file", tmp_path / "none.csv"], ["no such file", "none.csv"]),
        (["--csv_file", tmp_path / "empty"], ["no such file"]),
        (["--csv_file", tmp_path / "picture.csv"], ["not a CSV", "picture.csv"]),
        (["--csv_file", tmp_path / "nothing.csv"], ["not a CSV", "nothing.csv"]),
        (["--csv_file", short], ["no column median_inference_time_s", "short.csv"]),
        (["--csv_file", tmp_path / "words.csv"], ["median_inference_time_s has a non-numeric"]),
        (["--csv_file", failed], ["no timed case", "too small"]),
        (["--csv_file", good, "--save_plots", "--no_plots"], ["--no_plots"]),
        (["--csv_file", good, "--results_dir", tmp_path], ["--results_dir"]),
    ]
    for words, expected in cases:
        check_error_line(inside("inference_speed.analyze_inference_results", *words), *expected)
    assert not list(tmp_path.glob("speed_comparison*"))
