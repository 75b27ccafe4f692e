"""Processes that end with the process that started them.

Without this, the training of a sweep or of a cluster's worker that was killed would keep running,
and the next attempt at the same run would collide with it.
`python util/processes.py PID SCRIPT ...` runs a script of the project and ends when PID, which
started it, is gone. `run_alone` and `answer` exchange JSON with such a process, which has its own
memory and can be killed without harm to this one.
"""

import json
import os
import runpy
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
POLL_SECONDS = 0.5


class ProcessFailed(Exception):
    """A process that ended without a result; the message is the reason."""


def end_with(parent):
    """From now on, end this process as soon as `parent` is no longer its parent. Not on Windows:
    there a process keeps the number of a dead parent, and in a venv its parent is the launcher."""
    if os.name == "nt":
        return

    def watch():
        while os.getppid() == parent:
            time.sleep(POLL_SECONDS)
        os._exit(1)  # wherever the main thread is

    threading.Thread(target=watch, daemon=True).start()


def why_it_failed(process):
    """Return why a process failed, in one line.

    It is the signal that ended the process, or the last line of its errors. After a traceback it is
    the first line of the exception; without errors it is the exit code.
    """
    if process.returncode < 0:
        name = signal.Signals(-process.returncode).name
        hint = ", as the system does when memory runs out" if name == "SIGKILL" else ""
        return f"its process was ended by {name}{hint}"
    lines = process.stderr.strip().splitlines()
    if not lines:
        return f"ended with exit code {process.returncode}"
    tracebacks = [i for i, line in enumerate(lines) if line.startswith("Traceback")]
    if tracebacks and not lines[-1].startswith("error: "):
        behind = lines[tracebacks[-1] + 1 :]
        return next((line for line in behind if line and line[0] != " "), lines[-1])
    return lines[-1]


def command_for(script, *words):
    """Return the command that runs a script of the project in a process that ends with this one."""
    return [sys.executable, __file__, str(os.getpid()), str(ROOT / script), *words]


def run_alone(script, **arguments):
    """Run a script of the project with the arguments as JSON; returns what `answer` printed there.
    Raises ProcessFailed with the reason when it fails."""
    process = subprocess.run(
        command_for(script, json.dumps(arguments)), capture_output=True, text=True, errors="replace"
    )
    if process.returncode == 0:
        return json.loads(process.stdout.splitlines()[-1])
    raise ProcessFailed(why_it_failed(process))


def answer(function):
    """Be the script that `run_alone` runs: call the function with its arguments, and print the
    result as the last line."""
    from util import errors  # not found when this file is run as a script

    errors.in_command = True
    print("\n" + json.dumps(function(**json.loads(sys.argv[1]))))


def run_script():
    parent, sys.argv = int(sys.argv[1]), sys.argv[2:]
    sys.path[0] = str(ROOT)  # it was the folder of this file
    end_with(parent)
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    run_script()
