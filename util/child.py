"""Run a script that ends with the process that started it: python util/child.py PID SCRIPT ...

A sweep, or a worker of a cluster, that is killed would leave its training behind, and the next
attempt at the same run would meet it. PID is the process that started it: when that is gone, this
one has another parent.
"""

import os
import runpy
import sys
import threading
import time
from pathlib import Path

CHECKED = 0.5  # seconds


def end_with(parent):
    """From now on end this process as soon as `parent` isn't its parent any more."""

    def watch():
        while os.getppid() == parent:
            time.sleep(CHECKED)
        os._exit(1)  # wherever the main thread is

    threading.Thread(target=watch, daemon=True).start()


def main():
    parent, sys.argv = int(sys.argv[1]), sys.argv[2:]
    sys.path[0] = str(Path(sys.argv[0]).parent)
    end_with(parent)
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    main()
