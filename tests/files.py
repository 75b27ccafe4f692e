"""Files that a test copies, changes or names in an odd way."""

import json
import shutil
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

names_of_bytes = pytest.mark.skipif(
    sys.platform != "linux", reason="other systems have names in Unicode alone"
)


def copy_data(folder, target):
    """A copy of a data folder to write into or to spoil, without what was made from it."""
    made = shutil.ignore_patterns("cache", "*_CLAHE")
    return Path(shutil.copytree(folder, target, ignore=made))


def exchange(one, two):
    """Give two files each other's name."""
    content = one.read_bytes()
    one.write_bytes(two.read_bytes())
    two.write_bytes(content)


@contextmanager
def edit_json(path):
    """What a JSON file holds, for the block to change."""
    content = json.loads(path.read_text())
    yield content
    path.write_text(json.dumps(content))
