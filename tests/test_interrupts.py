"""Trainings that are interrupted, or find the disk full: what they say and leave behind."""

import gc
import os
import signal
from contextlib import suppress

import pytest
from commands import run_as_command

from util import epoch_end, errors, training
from util.run_folder import STARTED_BY_A_SWEEP
from util.saved_state import write_state


@pytest.mark.skipif(os.name == "nt", reason="Windows lacks these signals")
@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)])
def test_a_command_that_is_ended_from_outside_cleans_up(name, code):
    process = run_as_command(
        f"import signal\ntry: signal.raise_signal(signal.{name})\nfinally: print('cleaned up')"
    )
    assert process.returncode == code
    by = "" if name == "SIGINT" else f" by {name}"
    assert (process.stdout, process.stderr) == ("cleaned up\n", f"interrupted{by}\n")


@pytest.mark.skipif(os.name == "nt", reason="Windows lacks this signal")
def test_a_second_signal_cuts_nothing_off():
    """As a terminal that closes sends one by the shell and one by the system."""
    process = run_as_command(
        "import signal\n"
        "try: signal.raise_signal(signal.SIGHUP)\n"
        "finally: signal.raise_signal(signal.SIGHUP); print('cleaned up')"
    )
    assert (process.returncode, process.stdout) == (129, "cleaned up\n")


@pytest.mark.skipif(os.name == "nt", reason="Windows lacks this signal")
def test_a_signal_that_the_caller_ignores_stays_ignored():
    ignore = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)"  # as nohup does
    process = run_as_command("signal.raise_signal(signal.SIGHUP)", ignore)
    assert process.returncode == 0, process.stderr


@pytest.mark.parametrize(
    ("name", "words", "in_a_sweep", "told"),
    [
        ("interrupted", [], "", "--resume --run_name interrupted"),
        ("nested/of two words", [], "", "--resume --run_name 'nested/of two words'"),
        ("interrupted_folds", ["--folds", "2"], "", "--run_name interrupted_folds"),
        ("interrupted_sweep", [], "1", "the same command of the sweep"),
    ],
)
def test_an_interrupted_training_says_how_to_go_on(
    train, monkeypatch, name, words, in_a_sweep, told
):
    def interrupted(*of_run):
        write_state(*of_run)
        raise KeyboardInterrupt

    write_state = epoch_end.write_state
    monkeypatch.setattr(epoch_end, "write_state", interrupted)
    monkeypatch.setenv(STARTED_BY_A_SWEEP, in_a_sweep)
    process, _ = train(name, *words)
    assert process.returncode == 130
    assert f"{told}\n" in process.stdout


def test_with_a_full_disk_folds_say_how_to_go_on(train, monkeypatch):
    def fill(*of_run):
        write_state(*of_run)
        raise OSError(28, "No space left on device", "state.npz")

    monkeypatch.setattr(epoch_end, "write_state", fill)
    process, _ = train("full", "--folds", "2")
    assert process.returncode == 2
    assert "to resume: the same command with --resume --run_name full\n" in process.stdout


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (KeyboardInterrupt(), "interrupted"),
        (MemoryError("no 9 GiB"), "error: out of memory (no 9 GiB)"),
    ],
)
def test_a_run_without_a_state_leaves_no_folder(train, monkeypatch, error, told):
    def fail(*_):
        raise error

    monkeypatch.setattr(epoch_end, "write_state", fail)
    process, run = train("stateless")
    assert process.stderr.startswith(told)
    assert process.stderr.count("\n") == 1
    assert "--resume" not in process.stdout
    assert ("nothing is kept" in process.stdout) == isinstance(error, KeyboardInterrupt)
    assert not run.exists()


def test_an_interrupted_epoch_leaves_no_thread_that_reads_films(train, monkeypatch):
    """Python can't end beside them, and would at times say "terminate called" or wait for ever."""

    within = []

    def interrupt(*_, **__):
        within.append(count_iterators())
        raise KeyboardInterrupt

    gc.collect()
    before = count_iterators()
    monkeypatch.setattr(epoch_end.EndOfEpoch, "on_train_batch_end", interrupt)
    process, _ = train("in_the_middle")
    assert process.returncode == 130
    assert count_iterators() == before < within[0]


def count_iterators():
    """The running readers of datasets."""
    return sum(type(thing).__name__ == "OwnedIterator" for thing in gc.get_objects())


def test_an_interrupt_that_keras_swallows_ends_the_training(train, monkeypatch):
    def swallow(*args):
        with suppress(BaseException):  # as Keras does in places while it traces the first step
            signal.raise_signal(signal.SIGINT)
        return training_batches(*args)

    training_batches = training.training_batches
    monkeypatch.setattr(training, "training_batches", swallow)
    monkeypatch.setattr(errors, "interrupted", False)  # and so after this test
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        process, run = train("swallowed")
    finally:
        signal.signal(signal.SIGINT, before)
    assert process.returncode == 130
    assert process.stderr == "interrupted\n"
    assert not run.exists()
