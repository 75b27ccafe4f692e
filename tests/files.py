"""Files that a test copies, changes, names in an odd way or reads as code."""

import ast
import json
import re
import shutil
import sys
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pandas as pd
import pytest

OURS = re.compile(r"(util|hand_crop|modeling(_advanced)?|preprocessing)\b")
names_of_bytes = pytest.mark.skipif(
    sys.platform != "linux" or pd.__version__ < "3",
    reason="other systems have names in Unicode alone, and pandas 2 takes all others for one",
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


def modules_behind(name, but=()):
    """A module, and all of the project that it imports, anywhere, `but` for some and for errors,
    files and threads."""
    names, found = [name], set()
    while names:
        found.add(name := names.pop())
        tree = ast.walk(ast.parse(Path(find_spec(name).origin).read_bytes()))
        imported = {node.module for node in tree if isinstance(node, ast.ImportFrom)}
        ours = {module for module in imported if OURS.match(module)}
        names += ours - found - {*but, "util.errors", "util.files", "util.parallel"}
    return found
