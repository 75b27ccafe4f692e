"""Processes that end with the one that started them.

A sweep, or a worker of a cluster, that is killed would leave its training behind, and the next
attempt at the same run would meet it: `python util/processes.py PID SCRIPT ...` runs a script that
ends when PID, which started it, is gone. Other work is asked and answered as JSON, in a process
whose memory is its own, and which takes nothing with it when it is killed.
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
STARTED_BY_A_SWEEP = "BONEAGE_SWEEP"  # an environment variable


class ProcessFailed(Exception):
    """A process that ended without a result; the message is the reason."""


def python_path():
    """PYTHONPATH of processes that import the project: its folder, and what the user has there."""
    return os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))


def end_with(parent):
    """From now on end this process as soon as `parent` isn't its parent any more; not on Windows,
    where a process keeps its parent's number, and that of a venv is its launcher's."""
    if os.name == "nt":
        return

    def watch():
        while os.getppid() == parent:
            time.sleep(POLL_SECONDS)
        os._exit(1)  # wherever the main thread is

    threading.Thread(target=watch, daemon=True).start()


def why_it_failed(process):
    """Why a process failed, in one line: the last of its errors, of which a traceback has the first
    line behind it, or the signal that ended it."""
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


def run_alone(module, **arguments):
    """Run `python -m module` with the arguments as JSON; returns what `answer` printed there."""
    process = subprocess.run(
        [sys.executable, "-m", module, str(os.getpid()), json.dumps(arguments)],
        env={**os.environ, "PYTHONPATH": python_path()},
        capture_output=True,
        text=True,
        errors="replace",
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


def run_script():
    parent, sys.argv = int(sys.argv[1]), sys.argv[2:]
    os.environ[STARTED_BY_A_SWEEP] = "1"
    sys.path[0] = str(Path(sys.argv[0]).parent)
    end_with(parent)
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    run_script()
