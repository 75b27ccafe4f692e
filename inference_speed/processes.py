"""Work in a process of its own, asked and answered as JSON: its memory is its own, and one that is
killed takes nothing with it."""

import json
import os
import signal
import subprocess
import sys

from util.child import end_with


class ProcessFailed(Exception):
    """A process that ended without a result; the message is the reason."""


def run_alone(module, **arguments):
    """Run `python -m module` with the arguments as JSON; returns what `answer` printed there."""
    process = subprocess.run(
        [sys.executable, "-m", module, str(os.getpid()), json.dumps(arguments)],
        capture_output=True,
        text=True,
    )
    if process.returncode == 0:
        return json.loads(process.stdout.splitlines()[-1])
    if process.returncode > 0:
        raise ProcessFailed((process.stderr.strip().splitlines() or ["no reason given"])[-1])
    name = signal.Signals(-process.returncode).name
    hint = ", as the system does when memory runs out" if name == "SIGKILL" else ""
    raise ProcessFailed(f"its process was ended by {name}{hint}")


def answer(function):
    """Be such a process: call the function, and print what it returns as the last line. Ends with
    the process that asked, which may be interrupted or killed."""
    parent, arguments = sys.argv[1:]
    end_with(int(parent))
    print("\n" + json.dumps(function(**json.loads(arguments))))
