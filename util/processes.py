"""Work in a process of its own, asked and answered as JSON: its memory is its own, and one that is
killed takes nothing with it."""

import json
import os
import subprocess
import sys
from pathlib import Path

from util.child import end_with, why_it_failed

ROOT = Path(__file__).resolve().parent.parent


class ProcessFailed(Exception):
    """A process that ended without a result; the message is the reason."""


def python_path():
    """PYTHONPATH of processes that import the project: its folder, and what the user has there."""
    return os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))


def run_alone(module, **arguments):
    """Run `python -m module` with the arguments as JSON; returns what `answer` printed there."""
    process = subprocess.run(
        [sys.executable, "-m", module, str(os.getpid()), json.dumps(arguments)],
        env={**os.environ, "PYTHONPATH": python_path()},
        capture_output=True,
        text=True,
    )
    if process.returncode == 0:
        return json.loads(process.stdout.splitlines()[-1])
    raise ProcessFailed(why_it_failed(process))


def answer(function):
    """Be such a process: call the function, and print what it returns as the last line. Ends with
    the process that asked, which may be interrupted or killed."""
    parent, arguments = sys.argv[1:]
    end_with(int(parent))
    print("\n" + json.dumps(function(**json.loads(arguments))))
