"""Examples in the documentation run, and its commands are understood."""

import importlib
import re
import shlex

import pytest
from conftest import ROOT

import train_advanced


def blocks_of(page, language):
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)


def python_commands(page):
    """Every command of a page that starts Python with a script or a module of the project."""
    lines = "\n".join(blocks_of(page, "bash")).replace("\\\n", " ").splitlines()
    commands = [shlex.split(line, comments=True) for line in lines]
    return [words[1:] for words in commands if words and words[0] in ("python", ".venv/bin/python")]


@pytest.mark.parametrize("page", ["util/README.md"])
def test_examples_run(page):
    blocks = blocks_of(page, "python")
    assert len(blocks) >= 3
    exec(compile("\n".join(blocks), page, "exec"), {})


def test_there_are_commands():
    scripts = {words[0] for words in python_commands("README.md")}
    assert {"-m", "import_data.py", "train_advanced.py", "evaluate.py", "predict.py"} <= scripts


@pytest.mark.parametrize("words", python_commands("README.md"), ids=shlex.join)
def test_commands_of_the_readme_are_understood(words):
    """Their options exist and have an effect beside the others; nothing is run."""
    script, *words = words[1:] if words[0] == "-m" else words
    module = importlib.import_module(script.removesuffix(".py"))
    parsed = module.parse_args(words)
    if isinstance(parsed, tuple):  # what a sweep doesn't know itself goes to train_advanced.py
        train_advanced.parse_args(parsed[1])
