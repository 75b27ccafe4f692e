"""Run folders and files that several processes work on (util/runs.py, run_folder.py, files.py,
environment.py)."""

import errno
import json
import os
import subprocess
from argparse import Namespace
from contextlib import nullcontext
from pathlib import Path

import pandas as pd
import pytest

from util import environment
from util.errors import UserError, first_line
from util.files import (
    check_new_folder,
    check_place,
    claim,
    new_folder,
    remove_temporaries,
    write_atomically,
    write_csv,
    write_json,
)
from util.finished_runs import find_folds, read_run
from util.predicting.members import check_same_files
from util.run_folder import open_run, record_environment, record_move
from util.run_options import changed_options, with_absolute_paths
from util.runs import Run
from util.split_records import check_same_folds
from util.start import record_start


def new_run(folder, name, weights="none"):
    """The options of a run that starts in a folder."""
    return Namespace(
        resume=False,
        run_name=name,
        results_dir=folder,
        verbose=0,
        data_dir=".",
        weights=weights,
        command=[],
    )


def test_one_of_two_runs_that_start_at_once_gets_the_folder(tmp_path):
    args = new_run(tmp_path, "a")
    (tmp_path / "a").mkdir()
    (
        tmp_path / "a" / ".boneage-node-1-config.json"
    ).touch()  # of a process that was killed meanwhile
    open_run(args, "").close()
    with pytest.raises(UserError, match="there is a run already"):
        open_run(args, "")
    assert Run(tmp_path / "a").read_json("config.json")["options"]["data_dir"]


def test_paths_of_a_run_are_the_same_from_any_folder(tmp_path):
    """So that it can be resumed from another one, and films of its start are found from there."""
    open_run(new_run(tmp_path, "a", "results/start"), "").close()
    options = Run(tmp_path / "a").config["options"]
    assert options["weights"] == str(Path("results/start").resolve())
    assert options["data_dir"] == str(Path.cwd())
    assert not changed_options(options | {"weights": "results/start"}, options)
    named = with_absolute_paths({"data_dir": "none", "weights": "none"})  # a folder of that name
    assert named == {"data_dir": str(Path("none").resolve()), "weights": "none"}
    open_run(new_run(tmp_path, "b", "imagenet"), "").close()
    assert Run(tmp_path / "b").config["options"]["weights"] == "imagenet"


def test_a_run_goes_on_where_its_films_were_moved(tmp_path):
    """That they are the same is seen by what is in them: `record_data`. Or where all was copied."""
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    args = new_run(tmp_path, "a", weights=str(tmp_path / "gone.h5"))
    args.data_dir = str(old)
    open_run(args, "").close()
    args.data_dir, args.resume = str(new), True
    args.weights = "imagenet"  # which is no place where something may have been moved to
    with pytest.raises(UserError, match="--weights .*gone.h5 -> imagenet"):
        open_run(args, "")
    (tmp_path / "gone.h5").touch()
    args.weights = str(tmp_path)  # a folder, where it was a file
    with pytest.raises(UserError, match="--weights .*gone.h5 -> "):
        open_run(args, "")
    (tmp_path / "gone.h5").unlink()
    args.weights = str(tmp_path / "moved.h5")
    run = open_run(args, "")
    assert run.config["options"]["data_dir"] == str(old)  # they may be others
    record_move(run, args)
    run.close()
    assert run.config["options"]["data_dir"] == str(new)


def test_a_full_disk_tells_the_file(tmp_path):
    def fill(path):
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space left") as caught:
        write_atomically(tmp_path / "a.json", fill)
    assert caught.value.filename == str(tmp_path / "a.json")


def test_a_file_that_can_not_be_written_is_told_by_its_own_name(tmp_path):
    """Not by the temporary one that stands in for it."""
    path = tmp_path / "gone" / "a.json"
    with pytest.raises(OSError, match="No such file") as caught:
        write_atomically(path, lambda file: file.write_text("{}"))
    assert caught.value.filename == str(path)


def test_a_full_disk_as_numpy_tells_of_it(tmp_path):
    def fill(path):
        raise OSError("110592 requested and 61312 written")

    with pytest.raises(OSError, match="^110592 requested and 61312 written$"):
        write_atomically(tmp_path / "a.npy", fill)


def test_an_option_that_is_newer_than_a_run_counts_where_it_is_not_at_its_default():
    started = {"lr": 0.1, "preset": None}
    defaults = {"preset": "demo", "grain": 0.0, "keep_epoch": "best", "bn": "auto"}
    assert changed_options(started, {"lr": 0.1} | defaults) == ""
    assert changed_options(started, {"lr": 0.1, "preset": None, "grain": 12.0}).startswith(
        "--grain"
    )
    assert changed_options(started, {"lr": 0.2, "preset": None}) == "--lr 0.1 -> 0.2"


@pytest.mark.parametrize(("tries", "name"), [(2, "new"), (1, "old")])
def test_a_file_that_another_program_has_open_is_moved_later(tmp_path, monkeypatch, tries, name):
    """As on Windows, where it can't be replaced meanwhile."""
    monkeypatch.setattr("util.files.MORE_TRIES", tries)
    monkeypatch.setattr("util.files.PAUSE", 0)
    replace, left = Path.replace, iter([True, True, False])

    def replace_when_closed(path, target):
        if next(left):
            raise PermissionError(13, "used by another program", str(path))
        replace(path, target)

    monkeypatch.setattr(Path, "replace", replace_when_closed)
    (tmp_path / "table.csv").write_text("old")
    with nullcontext() if name == "new" else pytest.raises(PermissionError):
        write_atomically(tmp_path / "table.csv", lambda file: file.write_text("new"))
    assert (tmp_path / "table.csv").read_text() == name
    assert len(list(tmp_path.iterdir())) == 1


def test_a_temporary_file_that_another_program_looks_at_stops_nothing(tmp_path, monkeypatch):
    """Windows does not remove it then."""

    def refuse(path, missing_ok=False):
        raise PermissionError(13, "used by another program", str(path))

    monkeypatch.setattr(Path, "unlink", refuse)
    write_json(tmp_path / "a.json", {}, claim)
    remove_temporaries(tmp_path)
    assert (tmp_path / "a.json").exists()


@pytest.mark.parametrize("links", [True, False])
def test_a_new_file_is_written_over_none(tmp_path, monkeypatch, links):
    if not links:
        monkeypatch.setattr("os.link", lambda *_: (_ for _ in ()).throw(OSError("no links")))
    write_json(tmp_path / "a.json", {"first": True}, claim)
    with pytest.raises(FileExistsError):
        write_json(tmp_path / "a.json", {}, claim)
    assert json.loads((tmp_path / "a.json").read_text()) == {"first": True}
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_a_folder_of_something_hidden_is_no_place_for_a_run(tmp_path):
    (tmp_path / "a" / ".git").mkdir(parents=True)
    args = new_run(tmp_path, "a")
    with pytest.raises(UserError, match="there is a run already"):
        open_run(args, "")


def test_a_file_that_another_job_removes_is_none(tmp_path, monkeypatch):
    (tmp_path / "model.keras").touch()
    with monkeypatch.context() as patch:
        patch.setattr("pathlib.Path.exists", lambda _: True)  # as it was a moment ago
        assert Run(tmp_path / "a").read_json("config.json") is None
        assert Run(tmp_path / "model.keras").read_json("config.json") is None  # no folder


@pytest.mark.parametrize("content", ["", "[]", '{"options": {'])
def test_a_damaged_file_of_a_run_is_named(tmp_path, content):
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(UserError, match="damaged file of the run"):
        Run(tmp_path).read_json("config.json")


@pytest.mark.parametrize(
    "content",
    [
        "{}",
        '{"options": {"model_type": "sex"}, "data": {}}',
        '{"options": {"model_type": "sex", "fit": "hand", "img_size": "96"}, "data": {}}',
        '{"options": {"model_type": "sex", "fit": "hand", "img_size": 0}, "data": {}}',
        '{"options": {"model_type": "sex", "fit": "hand", "img_size": 96}, "data": []}',
        '{"options": []}',
    ],
)
def test_a_config_that_is_none_is_named(tmp_path, content):
    run = tmp_path / "fold_1"
    run.mkdir()
    (run / "config.json").write_text(content)
    (run / "model.keras").touch()
    with pytest.raises(UserError, match="config.json is not as this version"):
        read_run(run)
    if "model_type" not in content:
        with pytest.raises(UserError, match="config.json is not as this version"):
            find_folds(tmp_path)


@pytest.mark.parametrize(("n", "end"), [(5, "run_4"), (7, "run_4 and 2 more")])
def test_a_wrong_folder_is_told_with_the_runs_nearby(tmp_path, n, end):
    results = tmp_path / "results"
    for number in range(n):
        (results / f"run_{number}").mkdir(parents=True)
        (results / f"run_{number}" / "config.json").write_text("{}")
    with pytest.raises(UserError) as error:
        read_run(results)
    names = [str(results / f"run_{number}") for number in range(4)]
    assert str(error.value).endswith(f"Runs nearby: {', '.join(names)}, {results / end}.")


def test_the_log_takes_names_that_are_not_unicode(tmp_path):
    run = Run(tmp_path, verbose=0)
    run.log("run folder \udce9")
    assert "run folder" in (tmp_path / "log.txt").read_text()


def test_runs_without_a_name_that_start_together_have_folders_of_their_own(tmp_path):
    args = new_run(tmp_path, None)
    runs = [open_run(args, "sex_xception") for _ in range(3)]
    assert len({run.folder for run in runs}) == 3
    for run in runs:
        run.close()


def test_what_a_killed_process_left_is_removed_and_nothing_else(tmp_path):
    for name in (".boneage-a-12-state.npz", "state.npz", ".boneage-b-7-log.txt", ".my-own-notes"):
        (tmp_path / name).touch()
    remove_temporaries(tmp_path, older=60)
    assert len(list(tmp_path.iterdir())) == 4
    remove_temporaries(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".my-own-notes", "state.npz"]


def test_a_run_that_is_discarded_is_gone_at_once(tmp_path, monkeypatch):
    """Also where the process is killed meanwhile: half a folder would be in the way of the next."""

    def killed(folder, ignore_errors=False):
        if folder.exists():
            raise KeyboardInterrupt

    run = Run(tmp_path / "run", verbose=0)
    run.folder.mkdir()
    run.write_json("config.json", {})
    monkeypatch.setattr("util.runs.shutil.rmtree", killed)
    with pytest.raises(KeyboardInterrupt):
        run.discard()
    assert not run.folder.exists()


def test_a_run_of_the_longest_name_is_discarded_too(tmp_path):
    run = Run(tmp_path / (255 * "x"), verbose=0)
    run.folder.mkdir()
    run.write_json("config.json", {})
    run.discard()
    assert not run.folder.exists()


def test_a_folder_that_holds_anything_is_not_written_into(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / ".DS_Store").touch()  # somebody looked
    assert new_folder(tmp_path / "out") == tmp_path / "out"
    (tmp_path / "out" / "mine").touch()
    assert new_folder(tmp_path / "out") == tmp_path / "out_2"


def test_a_table_never_takes_the_name_of_another(tmp_path):
    """Not even of one that was written after the name was looked at, as by another process."""
    path, table = tmp_path / "ages.csv", pd.DataFrame({"months": [1, 2, 3]})
    write_csv(path, table, claim)
    with pytest.raises(UserError, match="the file is there already"):
        write_csv(path, table + 1, claim)
    pd.testing.assert_frame_equal(pd.read_csv(path), table)


def test_a_place_without_rights_is_told_before_any_work(tmp_path, monkeypatch):
    check_place(tmp_path / "new" / "folder")
    (tmp_path / "notes.txt").touch()
    with pytest.raises(UserError, match="not a folder"):
        check_place(tmp_path / "notes.txt" / "folder")
    monkeypatch.setattr("os.access", lambda path, _: path != tmp_path)
    with pytest.raises(UserError, match="no permission to write"):
        check_place(tmp_path / "new" / "folder")


def test_an_empty_folder_without_rights_is_told_before_any_work(tmp_path, monkeypatch):
    (tmp_path / "empty").mkdir()
    check_new_folder(tmp_path / "empty")
    monkeypatch.setattr("os.access", lambda path, _: path != tmp_path / "empty")
    with pytest.raises(UserError, match="no permission to write"):
        check_new_folder(tmp_path / "empty")


def test_a_start_that_was_trained_anew_is_refused(tmp_path):
    """The run that goes on would take the months of the new one's labels."""
    start, run = Run(tmp_path / "start", verbose=0), Run(tmp_path / "run", verbose=0)
    for folder in (start.folder, run.folder):
        folder.mkdir()
    start.path("model.keras").touch()
    start.write_json("calibration.json", {})
    options = {"weights": "none", "model_type": "sex", "img_size": 64, "fit": "hand"}
    facts = {"options": options, "data": {"train": {"fingerprint": "a"}}}
    start.write_json("config.json", facts | {"started": "monday"})
    run.write_json("config.json", facts)
    args = Namespace(weights=str(start.folder), img_size=64, fit="hand")
    record_start(run, args)
    known = run.config
    start.write_json("config.json", facts | {"started": "monday", "resumed": ["tuesday"]})
    record_start(run, args)  # a start that was resumed to write its metrics is the same
    assert run.config == known
    start.path("model.keras").write_bytes(b"anew")
    with pytest.raises(UserError, match="weights to start from have changed"):
        record_start(run, args)


def test_runs_of_earlier_versions_are_compared_by_what_they_kept():
    def config(test="a", **kept):
        facts = {"n": 9, "mean": 100.0, "fingerprint": "a"} | kept
        return {"data": {"train": facts, "val": facts, "test": facts | {"fingerprint": test}}}

    known = [config(), config(male=4), config(bytes=5, male=4), config(files="5", bytes=5, male=4)]
    check_same_folds(known, "cv")
    others = ({"test": "b"}, {"mean": 100.1}, {"male": 5}, {"bytes": 6}, {"files": "6"})
    for other in others:
        with pytest.raises(UserError, match="changed between the folds"):
            check_same_folds([*known, config(**other)], "cv")
    for other in known:
        check_same_files([Namespace(config=known[-1]), Namespace(config=other)], "test")


def test_the_code_of_a_run_is_told_where_this_project_is_the_checkout(tmp_path, monkeypatch):
    """And changed where one of its files was, not where films lie beside the scripts."""
    root = tmp_path / "project"
    (root / "util").mkdir(parents=True)
    (root / "util" / "environment.py").touch()
    monkeypatch.setattr(environment, "__file__", str(root / "util" / "environment.py"))
    for name in [name for name in os.environ if name.startswith("GIT_")]:  # as a hook has them
        monkeypatch.delenv(name)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)  # no signatures, no hooks

    def git(folder, *words):
        identity = ("-c", "user.name=a", "-c", "user.email=a@b")
        command = ["git", "-C", folder, *identity, *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    def commit(folder):
        git(folder, "init")
        git(folder, "add", ".")
        git(folder, "commit", "-m", "all")
        return git(folder, "rev-parse", "HEAD")

    commit(tmp_path)
    assert environment.git_commit() is None
    known = commit(root)
    (root / "film.png").touch()
    assert environment.git_commit() == known
    assert environment.git_changes() == b""
    git(root, "config", "diff.noprefix", "true")  # as some users have it
    (root / "util" / "environment.py").write_text("changed")
    assert environment.git_commit() == known + "+"

    run = open_run(new_run(tmp_path / "results", "a"), "")
    record_environment(run)
    assert run.config["git_commit"] == known + "+"
    assert "\n+changed\n" in run.path("code.patch").read_text()
    git(root, "checkout", ".")
    git(root, "apply", run.path("code.patch"))
    assert (root / "util" / "environment.py").read_text() == "changed"
    record_environment(run)  # it goes on with the same code, and with other code
    (root / "util" / "environment.py").write_text("again")
    record_environment(run)
    assert sorted(path.name for path in run.folder.glob("*.patch")) == [
        *("code.patch", "code_2.patch")
    ]
    assert b"\n+again\n" in run.path("code_2.patch").read_bytes()


def test_the_reason_of_a_failed_write_is_told_where_it_has_no_number():
    assert first_line(OSError("4096 requested and 0 written")) == "4096 requested and 0 written"
    assert first_line(OSError(28, "No space left on device", "x")) == "No space left on device"
