"""The sweep over backbones: goes on after a failure, skips what is done, ends with a table."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from subprocess import CompletedProcess

import pandas as pd
import pytest
from commands import ROOT, check_error_line, listen_to_signals
from files import copy_data, edit_json

import util.sweeping.sweep
from train_advanced import parse_args
from util.errors import UserError
from util.processes import ProcessFailed, why_it_failed
from util.sweeping.ray_sweep import check_ray
from util.sweeping.sweep import (
    add_feature_views,
    check_films_exist,
    format_time,
    plan_runs,
    report_estimate,
    share_of,
)
from util.sweeping.sweep_table import changed_splits, row_of_run

OPTIONS = ("--weights", "none", "--img_size", "64", "--epochs_frozen", "1", "--batch_size", "8")


@pytest.fixture(scope="module")
def sweep(command, phantoms, tmp_path_factory):
    """Run a sweep of a backbone that fails (too small films) and one that doesn't, as a process or
    `by` other means."""
    results = tmp_path_factory.mktemp("backbone_results")

    def run(*words, backbones=("xception", "mobilenet"), name="tiny", by=command):
        where = ["--results_dir", results, "--sweep", name]
        if "--summarise" not in words:
            where += ["--data_dir", phantoms, "--backbones", *backbones, "--no_estimate", *OPTIONS]
        return by("run_all_backbones.py", *where, *words), results / name

    return run


@pytest.fixture(scope="module")
def first(sweep):
    return sweep()


def test_a_failure_is_a_row_and_not_the_end(first):
    """S15, D22."""
    process, folder = first
    assert process.returncode == 1
    table = pd.read_csv(folder / "summary.csv").set_index("backbone")
    assert table["status"].to_dict() == {"mobilenet": "done", "xception": "failed"}
    assert "Use 71 or more" in table["reason"]["xception"]
    assert "Use 71 or more" in process.stdout
    assert "Traceback" not in process.stderr


def test_rows_are_those_of_the_runs_in_months(first):
    folder = first[1]
    row = pd.read_csv(folder / "summary.csv").set_index("backbone").loc["mobilenet"]
    predictions = pd.read_csv(folder / "mobilenet" / "predictions_test.csv")
    assert row["test_mae"] == pytest.approx(predictions["error"].abs().mean())
    assert row["n"] == len(predictions)
    assert row["ci95_low"] < row["test_mae"] < row["ci95_high"]
    assert row["films_per_second"] > 0
    assert row["parameters"] > 3_000_000
    performance = json.loads((folder / "mobilenet_performance.json").read_text())
    assert performance["test_mae"] == row["test_mae"]
    assert performance["options"]["img_size"] == 64
    assert (folder / "backbones.png").stat().st_size > 10_000


def test_what_is_done_is_skipped(first, sweep, inside):
    folder = first[1]
    before = {p: p.stat().st_mtime_ns for p in (folder / "mobilenet").rglob("*")}
    process, _ = sweep(backbones=["mobilenet"], by=inside)
    assert process.returncode == 0
    assert "done already" in process.stdout
    assert before == {p: p.stat().st_mtime_ns for p in (folder / "mobilenet").rglob("*")}
    assert "median baseline" in process.stdout  # the table comes all the same


def test_other_options_are_no_part_of_the_same_sweep(first, sweep, inside):
    process, _ = sweep("--lr", "0.5", by=inside)
    check_error_line(process, "--lr 0.001 -> 0.5")


def test_another_backbone_needs_the_options_of_the_others(first, sweep, inside):
    """One table ranks them all; what holds for each of them alone may differ."""
    more = {"backbones": ["vgg16"], "by": inside}
    process, folder = sweep("--lr", "0.5", "--dry_run", **more)
    check_error_line(process, "mobilenet of this sweep was started", "--lr 0.001 -> 0.5")
    config = folder / "mobilenet" / "config.json"
    known = config.read_text()
    started = json.loads(known)
    started["options"]["weights"] = str(Path("w/mobilenet.h5").resolve())
    config.write_text(json.dumps(started))
    process, _ = sweep("--weights", "w/{backbone}.h5", "--dry_run", **more)
    config.write_text(known)
    assert process.returncode == 0, process.stderr


@pytest.mark.parametrize("words", [[], ["--dry_run"], ["--dry_run", "--no_estimate"]])
def test_a_wrong_data_folder_is_told_once(words, inside, tmp_path):
    where = ["--data_dir", tmp_path / "away", "--results_dir", tmp_path / "results"]
    process = inside("run_all_backbones.py", *where, *words)
    check_error_line(process, "no data folder", "away")
    assert not process.stdout
    assert not list(tmp_path.iterdir())


def test_a_table_without_ages_is_told_before_anything_starts(phantoms, inside, tmp_path):
    folder = copy_data(phantoms, tmp_path / "Data")
    (folder / "df_val.csv").write_text("id,sex\n1,M\n")
    process = inside("run_all_backbones.py", "--data_dir", folder, "--results_dir", tmp_path)
    check_error_line(process, "no column for boneage", "df_val.csv")
    assert not process.stdout


def test_without_an_estimate_there_is_no_total(monkeypatch, capsys, tmp_path):
    def fail(*_, **__):
        raise ProcessFailed("error: no")

    monkeypatch.setattr(util.sweeping.sweep, "run_alone", fail)
    report_estimate(plan_runs(tmp_path, ["vgg16"], []))
    first, last = capsys.readouterr().out.strip().splitlines()
    assert "--no_estimate" in first
    assert last == "vgg16                error: no"


def test_an_estimate_is_the_sum_of_what_is_left(monkeypatch, capsys, tmp_path):
    """And a backbone that is named twice is trained once."""
    monkeypatch.setattr(util.sweeping.sweep, "run_alone", lambda *_, **options: {"seconds": 3000})
    runs = plan_runs(tmp_path, ["vgg16", "mobilenet", "vgg16", "vgg19"], [])
    assert [run.backbone for run in runs] == ["vgg16", "mobilenet", "vgg19"]
    runs[1].folder.mkdir()
    runs[1].write_json("metrics.json", {"test": {}})
    report_estimate(runs)
    lines = capsys.readouterr().out.split("\n")
    assert [line for line in lines if "about" in line] == [
        "vgg16                about 50 min",
        "vgg19                about 50 min",
        "in all about 1 h 40 min, one by one here",
    ]


def test_films_are_needed_by_unfinished_runs_alone(tmp_path):
    [run] = plan_runs(tmp_path, ["vgg16"], ["--data_dir", str(tmp_path / "away")])
    with pytest.raises(UserError, match="no data folder"):
        check_films_exist([run])
    run.folder.mkdir()
    run.write_json("metrics.json", {"test": {}})
    check_films_exist([run])


def test_a_failure_that_another_job_removes_is_none(monkeypatch, tmp_path):
    [run] = plan_runs(tmp_path, ["vgg16"], [])
    with monkeypatch.context() as patch:
        patch.setattr(Path, "exists", lambda _: True)  # as it was a moment ago
        assert row_of_run(run, None)["status"] == "to do"
    run.fail("films too small", "a note\nerror: films too small")
    assert row_of_run(run, None)["reason"] == "films too small"
    assert "a note" in run.failure_file.read_text()


def test_a_run_is_no_folder_of_a_sweep(small_run, inside):
    words = ["--results_dir", small_run.parent, "--sweep", small_run.name]
    check_error_line(inside("run_all_backbones.py", *words), "that is a run", "another --sweep")


def test_a_folder_of_folds_is_no_folder_of_a_sweep(inside, tmp_path):
    (tmp_path / "cv" / "fold_1").mkdir(parents=True)
    (tmp_path / "cv" / "fold_1" / "config.json").write_text("{}")
    words = ["--results_dir", tmp_path, "--sweep", "cv", "--dry_run"]
    check_error_line(inside("run_all_backbones.py", *words), "or its folds", "another --sweep")


def test_a_dry_run_writes_nothing(sweep, inside):
    backbones = ["mobilenet", "vgg16"]
    process, folder = sweep("--dry_run", name="dry", backbones=backbones, by=inside)
    assert process.returncode == 0
    assert "train_advanced.py" in process.stdout
    assert "--backbone vgg16" in process.stdout
    assert not folder.exists()


def test_the_name_of_the_backbone_goes_into_options(sweep, inside):
    words = ["--dry_run", "--weights", "w/{backbone}.h5"]
    process, _ = sweep(*words, name="named", backbones=["vgg16"], by=inside)
    assert "--weights w/vgg16.h5" in process.stdout


@pytest.mark.parametrize(
    ("words", "added"),
    [
        ("", ["--feature_views", "3"]),
        ("--model_type baseline", ["--feature_views", "3"]),
        ("--feature_views 0", []),
        ("--feature_views=0", []),
        ("--augment none", ["--feature_views", "1"]),
        ("--fine_tune", []),
        ("--epochs_frozen 0", []),
        ("--model_type attn_sex", []),
        ("--strategy mirrored", []),
    ],
)
def test_heads_are_trained_on_features_where_nothing_else_trains(words, added):
    args = parse_args(words.split())
    assert add_feature_views(words.split(), args) == [*words.split(), *added]


def test_shares_are_the_same_everywhere_and_miss_nothing(tmp_path):
    names = ["vgg16", "mobilenet", "xception", "resnet50", "vgg19"]
    shares = [share_of(plan_runs(tmp_path, names, []), i, 3) for i in (1, 2, 3)]
    got = [[run.backbone for run in share] for share in shares]
    assert got == [["vgg16", "resnet50"], ["mobilenet", "vgg19"], ["xception"]]


def test_jobs_of_an_array_make_one_table(first, sweep, inside):
    process, folder = sweep("--shard", "1/2", name="array", by=inside)
    assert process.returncode == 1
    assert "to do: mobilenet" in process.stdout
    shutil.copytree(first[1] / "mobilenet", folder / "mobilenet")  # as if share 2 had trained it
    process, _ = sweep("--shard", "2/2", name="array", by=inside)
    assert process.returncode == 0, process.stderr  # the other share failed, not this one
    assert "--backbone xception" not in process.stdout
    process, _ = sweep("--summarise", name="array", by=inside)
    assert process.returncode == 1
    table = pd.read_csv(folder / "summary.csv").set_index("backbone")
    assert table["status"].to_dict() == {"mobilenet": "done", "xception": "failed"}
    assert "xception failed: films too small" in process.stdout
    assert "median baseline" in process.stdout


def test_the_smallest_validation_error_comes_first(first, sweep, inside):
    """Chosen by its test error, the first of many would be better by luck."""
    folder = first[1].with_name("two")
    for backbone, val_mae, mae in (("mobilenet", 21.0, 10.0), ("mobilenet_v2", 11.0, 20.0)):
        shutil.copytree(first[1] / "mobilenet", folder / backbone)
        with edit_json(folder / backbone / "config.json") as config:
            config["options"]["backbone"] = backbone
        with edit_json(folder / backbone / "metrics.json") as metrics:
            metrics["val"]["mae"] = val_mae
            metrics["test"] |= {"mae": mae, "mae_ci95": [mae - 1, mae + 1]}
    process, _ = sweep("--summarise", name="two", by=inside)
    assert process.returncode == 0, process.stderr
    order = ["mobilenet_v2", "mobilenet"]
    assert pd.read_csv(folder / "summary.csv")["backbone"].tolist() == order
    words = process.stdout.split()
    assert [word for word in words if word in order] == order


def test_a_backbone_more_keeps_the_rows_of_the_others(first, sweep, inside):
    """And a table of runs with other films says so."""
    for backbone in ("mobilenet", "mobilenet_v2"):
        folder = first[1].with_name("more") / backbone
        shutil.copytree(first[1] / "mobilenet", folder)
        with edit_json(folder / "config.json") as config:
            config["options"]["backbone"] = backbone
            config["data"]["train"]["fingerprint"] = 15 * "0" + "1"  # digits, but no number
            for split, fact in (("val", "fingerprint"), ("test", "files")):
                config["data"][split][fact] = backbone
    one, folder = sweep(name="more", backbones=["mobilenet"], by=inside)
    two, _ = sweep(name="more", backbones=["mobilenet_v2"], by=inside)
    table = pd.read_csv(folder / "summary.csv")
    assert sorted(table["backbone"]) == ["mobilenet", "mobilenet_v2"]
    assert "note: val, test films changed between these runs" in two.stdout
    assert "films changed" not in one.stdout
    shutil.rmtree(folder / "mobilenet")  # a row of a run that is gone can't be compared
    sweep("--summarise", name="more", by=inside)
    assert pd.read_csv(folder / "summary.csv")["backbone"].tolist() == ["mobilenet_v2"]


def test_runs_in_the_table_of_an_earlier_version_are_compared_by_what_it_holds():
    done = pd.DataFrame({"train_films": ["a", "a"], "val_films": ["a", "b"]})
    assert changed_splits(done) == ["val"]


def test_a_failure_stays_in_the_table_until_it_is_mended(first, sweep, inside):
    process, folder = sweep("--summarise", by=inside)
    table = pd.read_csv(folder / "summary.csv").set_index("backbone")
    assert table["status"].to_dict() == {"mobilenet": "done", "xception": "failed"}
    assert "error: xception failed: " in process.stdout


def test_neither_a_folder_without_runs_nor_a_mistyped_sweep_is_summarised(inside, tmp_path):
    (tmp_path / "sex").mkdir()
    for words in ([], ["--sweep", "typo"]):
        where = ["--results_dir", tmp_path, *words]
        process = inside("run_all_backbones.py", *where, "--summarise")
        check_error_line(process, "no sweep to summarise")
    assert list(tmp_path.rglob("*")) == [tmp_path / "sex"]


@pytest.mark.parametrize("content", ["", "backbone;status\nmobilenet;done\n", "backbone\n224\n"])
def test_a_table_that_is_none_any_more_is_told_before_any_training(
    inside, tmp_path, phantoms, content
):
    (tmp_path / "sex").mkdir()
    (tmp_path / "sex" / "summary.csv").write_text(content)
    words = ["--results_dir", tmp_path, "--data_dir", phantoms, "--backbones", "mobilenet"]
    process = inside("run_all_backbones.py", *words, *OPTIONS, "--no_estimate")
    check_error_line(process, "not the table of a sweep")
    assert not (tmp_path / "sex" / "mobilenet").exists()
    process = inside("run_all_backbones.py", "--results_dir", tmp_path, "--summarise")
    check_error_line(process, "not the table of a sweep")
    assert (tmp_path / "sex" / "summary.csv").read_text() == content


@pytest.mark.skipif(os.name == "nt", reason="Windows has no signals")
@pytest.mark.parametrize("interrupt", ["killpg", "kill"])
def test_ctrl_c_leaves_a_training_the_time_to_end(tmp_path, interrupt):
    """Which removes the folder of a run that has no epoch yet; killed, it would stay. In the
    background of a script it ignores SIGINT."""
    (tmp_path / "train.py").write_text(
        "import pathlib, signal, time\n"
        "from util.errors import run_command\n"
        "def main():\n"
        "    try:\n        pathlib.Path('begun').touch()\n        time.sleep(60)\n"
        "    except KeyboardInterrupt:\n        time.sleep(0.2)\n        pathlib.Path('ended').touch()\n"
        f"if {interrupt == 'kill'}: signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "run_command(main)\n"
    )
    code = (
        "import sys; from util.sweeping import sweep; sweep.TIME_TO_NOTICE = 2; "
        "sweep.run_to_its_end([sys.executable, 'train.py'])"
    )
    sweep = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        start_new_session=True,
        preexec_fn=listen_to_signals,
    )
    wait_until((tmp_path / "begun").exists)
    # the group, as Ctrl-C does, or the sweep alone
    getattr(os, interrupt)(sweep.pid, signal.SIGINT)
    assert b"KeyboardInterrupt" in sweep.communicate(timeout=60)[1]
    assert (tmp_path / "ended").exists()


def test_a_training_ends_with_the_process_that_started_it(tmp_path):
    """A killed worker must not leave a training behind that works on the same run."""
    beat = tmp_path / "beat"
    (tmp_path / "work.py").write_text(
        "import time, pathlib\n"
        f"while True:\n    pathlib.Path({str(beat)!r}).write_text(str(time.time()))\n"
        "    time.sleep(0.05)\n"
    )
    child = [sys.executable, str(ROOT / "util" / "processes.py")]
    code = f"import os, subprocess; subprocess.run({child} + [str(os.getpid()), 'work.py'])"
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path)
    wait_until(beat.exists)
    parent.kill()
    parent.wait()
    wait_until(lambda: time.time() - beat.stat().st_mtime > 3)


def wait_until(met, seconds=60):
    end = time.time() + seconds
    while not met():
        assert time.time() < end
        time.sleep(0.05)


RAY = find_spec("ray") is not None


@pytest.mark.skipif(RAY, reason="Ray is installed")
def test_ray_is_asked_for_by_name(sweep, inside):
    process, folder = sweep("--ray", name="no_ray", by=inside)
    check_error_line(process, "the package ray is not installed (--ray). Do: pip")
    assert not folder.exists()


@pytest.mark.skipif(not RAY, reason="needs Ray")
@pytest.mark.parametrize(
    ("gpus", "strategy", "error"),
    [(2, "none", "a run uses one GPU"), (None, "mirrored", "a run gets only one GPU")],
)
def test_gpus_and_strategy_must_fit(gpus, strategy, error):
    with pytest.raises(UserError, match=error):
        check_ray(gpus, strategy)


@pytest.mark.full
@pytest.mark.skipif(not RAY, reason="needs Ray")
def test_ray_goes_on_after_a_failure_and_a_killed_worker(phantoms, tmp_path):
    words = ["--data_dir", phantoms, "--results_dir", tmp_path, "--sweep", "ray", "--ray"]
    options = [*OPTIONS, "--epochs_frozen", "8", "--feature_views", "0", "--patience", "0"]
    sweep = subprocess.Popen(
        [sys.executable, str(ROOT / "run_all_backbones.py"), *map(str, words), *options]
        + ["--no_estimate", "--backbones", "xception", "mobilenet"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    run = tmp_path / "ray" / "mobilenet"
    log = run / "log.txt"
    wait_until(lambda: log.exists() and log.read_text().count(" films/s") == 2, seconds=300)
    os.kill(parent_of(f"{run.parent} --run_name mobilenet"), signal.SIGKILL)
    printed, _ = sweep.communicate(timeout=600)
    assert sweep.returncode == 1  # xception: films too small
    table = pd.read_csv(tmp_path / "ray" / "summary.csv").set_index("backbone")
    assert table["status"].to_dict() == {"mobilenet": "done", "xception": "failed"}, printed
    assert pd.read_csv(run / "history.csv")["epoch"].tolist() == list(range(1, 9))
    assert log.read_text().count("frozen: epochs 1 to 8,") == 2  # it was started twice
    assert log.read_text().count(" films/s") in (8, 9)  # and did not begin anew
    assert "median baseline" in printed


def parent_of(words):
    """The process that started the one with these words in its command line."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if words in (folder / "cmdline").read_text().replace("\0", " "):
                return int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])
        except OSError:  # it ended meanwhile
            continue
    raise AssertionError(f"no process with {words}")


def test_wrong_options_end_the_sweep_at_once(inside):
    process = inside("run_all_backbones.py", "--epochs_frozn", "3")
    check_error_line(process, "--epochs_frozn")


@pytest.mark.full
def test_an_estimate_comes_first(command, phantoms, tmp_path):
    (tmp_path / "util").mkdir()  # a package of the user's, of the same name as ours
    (tmp_path / "util" / "__init__.py").touch()
    process = command(
        *("run_all_backbones.py", "--data_dir", phantoms, "--results_dir", tmp_path),
        *("--dry_run", "--backbones", "xception", "mobilenet", *OPTIONS, "--fine_tune"),
        cwd=tmp_path,
    )
    assert process.returncode == 0
    assert "mobilenet            about 1 min" in process.stdout
    assert "in all about 1 min, without xception" in process.stdout


def test_times_and_reasons_are_short():
    assert format_time(7500) == "2 h 5 min"
    assert format_time(3600) == "1 h 0 min"
    assert format_time(3) == "1 min"
    errors = "Traceback\n  ...\nValueError: x\n\n"
    assert why_it_failed(CompletedProcess([], 1, "", errors)) == "ValueError: x"
    errors = "a note\nTraceback (most recent call last):\n  ...\nOpError: Graph error\n\nat\n\t [[MatMul]]\n"
    assert why_it_failed(CompletedProcess([], 1, "", errors)) == "OpError: Graph error"
    assert why_it_failed(CompletedProcess([], 2, "", "a note\nerror: y\n")) == "error: y"
    assert why_it_failed(CompletedProcess([], 3, "", "")) == "ended with exit code 3"
    killed = why_it_failed(CompletedProcess([], -9, "", "a warning of before"))
    assert killed.startswith("its process was ended by SIGKILL")
