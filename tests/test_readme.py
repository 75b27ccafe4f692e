"""Examples in the documentation run."""

import re

import pytest
from conftest import ROOT


@pytest.mark.parametrize("page", ["util/README.md"])
def test_examples_run(page):
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
    assert len(blocks) >= 3
    exec(compile("\n".join(blocks), page, "exec"), {})
