"""Files written whole or not at all."""

import json
import os
from pathlib import Path


def write_atomically(path, write):
    """Write a file under a temporary name and rename it: readers see all of it or nothing.

    `write` gets the temporary path, in the same folder and with the same ending.
    """
    path = Path(path)
    temporary = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        write(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path, content):
    write_atomically(path, lambda file: file.write_text(json.dumps(content, indent=2) + "\n"))


def write_csv(path, table):
    """Write a pandas frame without its index."""
    write_atomically(path, lambda file: table.to_csv(file, index=False))
