"""Run a script that ends with the process that started it: python util/child.py PID SCRIPT ...

A sweep, or a worker of a cluster, that is killed would leave its training behind, and the next
attempt at the same run would meet it. PID is the process that started it: when that is gone, this
one has another parent.
"""

import os
import runpy
import signal
import sys
import threading
import time
from pathlib import Path

CHECKED = 0.5  # seconds
STARTED_BY_A_SWEEP = "BONEAGE_SWEEP"  # an environment variable


def end_with(parent):
    """From now on end this process as soon as `parent` isn't its parent any more; not on Windows,
    where a process keeps its parent's number, and that of a venv is its launcher's."""
    if os.name == "nt":
        return

    def watch():
        while os.getppid() == parent:
            time.sleep(CHECKED)
        os._exit(1)  # wherever the main thread is

    threading.Thread(target=watch, daemon=True).start()


def why_it_failed(process):
    """Why a process failed, in one line: the last of its errors, or the signal that ended it."""
    if process.returncode < 0:
        name = signal.Signals(-process.returncode).name
        hint = ", as the system does when memory runs out" if name == "SIGKILL" else ""
        return f"its process was ended by {name}{hint}"
    lines = process.stderr.strip().splitlines()
    return lines[-1] if lines else f"ended with exit code {process.returncode}"


def main():
    parent, sys.argv = int(sys.argv[1]), sys.argv[2:]
    os.environ[STARTED_BY_A_SWEEP] = "1"
    sys.path[0] = str(Path(sys.argv[0]).parent)
    end_with(parent)
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    main()
