"""docs/DEFECTS.md names a test, or a reason, for each known defect of earlier tools."""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "DEFECTS.md").read_text()


def test_every_test_that_is_named_exists():
    named = re.findall(r"`(test_\w+)::(test_\w+)`", PAGE)
    assert len(named) > 30
    for module, name in named:
        text = (ROOT / "tests" / f"{module}.py").read_text()
        assert f"def {name}(" in text, f"{module}::{name}"


def test_every_defect_has_a_row():
    listed = set(re.findall(r"\b([DS]\d+)\b", PAGE.split("|---|---|---|")[1]))
    assert listed == {f"D{i}" for i in range(1, 31)} | {f"S{i}" for i in range(1, 23)}
