"""Each training has a folder, and it alone writes into it (util/run_folder.py, runs.py)."""

import pytest
from commands import check_error_line

import train_advanced
from util import run_folder, runs
from util.errors import UserError
from util.run_folder import open_run


def test_a_run_is_never_overwritten(train, unbroken):
    before = {p: p.stat().st_mtime_ns for p in unbroken.rglob("*")}
    process, _ = train("unbroken")
    check_error_line(process, "--resume")
    assert before == {p: p.stat().st_mtime_ns for p in unbroken.rglob("*")}


@pytest.mark.parametrize("name", ["..", "new/..", ".", "{elsewhere}", ""])
def test_a_run_has_a_folder_of_its_own(inside, tmp_path, name):
    """Where a training ends before its first epoch, that is removed, with all that it holds."""
    name = name.format(elsewhere=tmp_path / "elsewhere")
    precious = tmp_path / "results" / "of_months" / "model.keras"
    precious.parent.mkdir(parents=True)
    precious.touch()
    where = ["--results_dir", precious.parent, "--run_name", name, "--data_dir", tmp_path / "none"]
    process = inside("train_advanced.py", *where)
    assert process.returncode == 2
    assert precious.exists()
    args = train_advanced.parse_args(["--results_dir", str(precious.parent)])
    args.run_name = f"{name}/.."  # as a program may ask for
    with pytest.raises(UserError, match="there is a run already"):
        open_run(args, "unnamed")
    assert precious.exists()


def test_a_folder_that_a_kill_left_empty_is_used(tmp_path):
    (tmp_path / "mine").mkdir()
    words = ["--results_dir", str(tmp_path), "--run_name", "mine"]
    open_run(train_advanced.parse_args(words), "sex")
    assert (tmp_path / "mine" / "config.json").exists()


def test_a_folder_of_folds_is_told_from_a_run(tmp_path):
    (tmp_path / "cv" / "fold_1").mkdir(parents=True)
    (tmp_path / "cv" / "fold_1" / "config.json").write_text("{}")
    words = ["--results_dir", str(tmp_path), "--run_name", "cv"]
    with pytest.raises(UserError, match="there are folds already.*Continue them with --folds"):
        open_run(train_advanced.parse_args(words), "sex")


# ----------------------------------------------------------------------------------- two at once


def test_of_two_runs_that_start_at_once_one_is_refused(tmp_path, monkeypatch):
    """Neither sees the folder of the other when it looks."""
    words = ["--results_dir", str(tmp_path), "--run_name", "mine"]
    open_run(train_advanced.parse_args(words), "sex")
    checks = []
    check = run_folder.check_free
    monkeypatch.setattr(
        run_folder, "check_free", lambda path: checks.append(path) or checks[1:] and check(path)
    )
    with pytest.raises(UserError, match="there is a run already"):
        open_run(train_advanced.parse_args(words), "sex")


def test_one_process_at_a_time_trains_a_run(train, unbroken, monkeypatch):
    fcntl = pytest.importorskip("fcntl", reason="Windows has no such locks")
    monkeypatch.setattr(runs, "LOCK_PAUSE", 0)
    with (unbroken / "log.txt").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # as the other process does
        process, _ = train("unbroken", "--resume")
        check_error_line(process, "another process is training this run")
    process, _ = train("unbroken", "--resume")
    assert process.returncode == 0


def test_a_training_that_is_just_ending_is_waited_for(unbroken, monkeypatch):
    pytest.importorskip("fcntl", reason="Windows has no such locks")
    other, mine = runs.Run(unbroken), runs.Run(unbroken)
    other.lock()
    waited = []

    def end_other(seconds):
        waited.append(seconds)
        other.close()

    monkeypatch.setattr(runs.time, "sleep", end_other)
    mine.lock()
    mine.close()
    assert waited == [runs.LOCK_PAUSE]
