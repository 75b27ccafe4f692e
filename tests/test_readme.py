"""Examples in the documentation run, and its commands are understood."""

import importlib
import re
import shlex
from contextlib import redirect_stdout
from io import StringIO

import pytest
from commands import ROOT
from packaging.requirements import Requirement

import predict
import train_advanced
from util.augmentation import STRENGTHS
from util.backbones import BACKBONES, MODEL_TYPES
from util.predicting.film_ages import COLUMNS
from util.predicting.runtimes import RUNTIMES
from util.presets import PRESETS
from util.radiographs import FITS
from util.training_options import LOSS_TYPES


def blocks_of(page, language):
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)


def python_commands(page):
    """Every command of a page that starts Python with a script or a module of the project."""
    lines = "\n".join(blocks_of(page, "bash")).replace("\\\n", " ").splitlines()
    commands = [shlex.split(line, comments=True) for line in lines]
    return [words[1:] for words in commands if words and words[0] in ("python", ".venv/bin/python")]


def test_examples_run():
    blocks = blocks_of("util/README.md", "python")
    assert len(blocks) >= 3
    exec("\n".join(blocks), {})


PAGES = [
    *("README.md", "ADVANCED_ATTENTION_README.md", "clahe/README.md", "hand_crop/README.md"),
    *("inference_speed/README.md", "docs/SCALE.md", "docs/RUNS.md", "docs/PREDICTIONS.md"),
]
COMMANDS = [
    words
    for page in PAGES
    for words in python_commands(page)
    if not words[-1].startswith("clahe.")  # run as they are in test_brief.py
]


def test_there_are_commands():
    scripts = {words[0] for words in python_commands("README.md")}
    assert {"import_data.py", "train_advanced.py", "evaluate.py", "predict.py"} <= scripts
    assert not [page for page in PAGES if not python_commands(page)]


def test_the_page_on_the_library_names_every_module():
    page = (ROOT / "util" / "README.md").read_text()
    files = [path for path in (ROOT / "util").rglob("*.py") if path.stem != "__init__"]
    modules = [path.relative_to(ROOT / "util").as_posix() for path in files]
    assert len(modules) > 60
    assert [name for name in modules if f"`{name}`" not in page] == []
    named = re.findall(r"^\| (`[^|]*`) \|", page, re.MULTILINE)
    rows = [name for row in named for name in re.findall(r"`(\S+[.]py)`", row)]
    assert [name for name in rows if not (ROOT / "util" / name).exists()] == []


def test_the_page_of_options_names_every_choice():
    page = (ROOT / "docs" / "OPTIONS.md").read_text()
    choices = [*LOSS_TYPES, *PRESETS, *STRENGTHS, *RUNTIMES, *MODEL_TYPES, *FITS]
    assert [name for name in choices if f"`{name}`" not in page] == []
    assert f"{len(BACKBONES)} networks" in page


def test_the_page_of_predictions_and_the_help_name_every_column():
    page = (ROOT / "docs" / "PREDICTIONS.md").read_text()
    assert [name for name in COLUMNS if f"`{name}`" not in page] == []
    with redirect_stdout(StringIO()) as out, pytest.raises(SystemExit):
        predict.parse_args(["--help"])
    words = re.findall(r"\w+", out.getvalue().partition("--out FILE")[2].partition("--explain")[0])
    assert [name for name in COLUMNS if name not in words] == []


def test_what_the_page_on_attention_imports_is_there():
    (block,) = blocks_of("ADVANCED_ATTENTION_README.md", "python")
    exec("\n".join(line for line in block.splitlines() if line.startswith("from ")), {})


@pytest.mark.parametrize("words", COMMANDS, ids=shlex.join)
def test_commands_of_the_documentation_are_understood(words):
    """Their options exist and have an effect beside the others; nothing is run."""
    script, *words = words[1:] if words[0] == "-m" else words
    module = importlib.import_module(script.removesuffix(".py"))
    parsed = module.parse_args(words)
    if isinstance(parsed, tuple):  # what a sweep doesn't know itself goes to train_advanced.py
        train_advanced.parse_args(parsed[1])


def test_the_pinned_versions_are_among_those_that_are_asked_for():
    def requirements(name):
        lines = (ROOT / name).read_text().splitlines()
        return [Requirement(line) for line in lines if line and not line.startswith("#")]

    pinned = {req.name: str(req.specifier)[2:] for req in requirements("constraints.txt")}
    for asked in requirements("requirements.txt"):
        assert pinned[asked.name] in asked.specifier, asked
