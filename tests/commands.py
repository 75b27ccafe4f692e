"""Commands of the project in processes of their own, and the one line in which they fail."""

import os
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
SMALL_BACKBONE = ROOT / "tests" / "small_backbone.py"


def listen_to_signals():
    """For `preexec_fn`: as a terminal starts a command. A test run in the background, or under
    nohup, ignores signals, and so would its children."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        signal.signal(getattr(signal, name), signal.SIG_DFL)


def run_python(*words, cwd=ROOT, **environment):
    """Run Python with these words, and more variables of the environment, in a process of its own;
    returns it when it has ended."""
    return subprocess.run(
        [sys.executable, *map(str, words)],
        cwd=cwd,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=600,
        preexec_fn=None if os.name == "nt" else listen_to_signals,
    )


def run_as_command(code, before="", **environment):
    """Run code as a command of the toolkit, after other code; without `run_command` it is a program
    that uses it."""
    # compiled: an interrupt that leaves `exec` of a text ends Python 3.13 without an exit code
    run = f"run_command(lambda: exec(compile({code!r}, 'code', 'exec')))"
    lines = ["from util.errors import run_command", before, run]
    return run_python("-c", "\n".join(lines), **environment)


def check_error_line(process, *words):
    """Fail unless a command ended with exit code 2 and one error line, which holds these words."""
    assert process.returncode == 2, process.stdout + process.stderr
    assert process.stderr.startswith("error: "), process.stderr
    assert process.stderr.count("\n") == 1, process.stderr
    for word in words:
        assert word in process.stderr
