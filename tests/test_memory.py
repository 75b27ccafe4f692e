"""Commands start anew with memory in huge pages where the machine offers them."""

import os
import subprocess
import sys

import pytest
from conftest import ROOT

from util.memory import HUGE_PAGES, TUNABLES

COMMAND = """
import os, sys
from pathlib import Path
from util import memory
from util.errors import run_command
memory.OFFER = Path(sys.argv[1])
run_command(lambda: print(os.environ.get(memory.TUNABLES), sys.argv[2:], os.getpid()))
"""


def run(offer, **environment):
    """What a command says of its memory and its words, and whether its process is the first."""
    inherited = {name: value for name, value in os.environ.items() if name != TUNABLES}
    words = [sys.executable, "-c", COMMAND, str(offer), "two words", "--verbose"]
    process = subprocess.Popen(
        words, env=inherited | environment, stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    return out.replace(str(process.pid), "same process").strip()


@pytest.mark.parametrize(
    ("offer", "expected"),
    [
        ("always [madvise] never", HUGE_PAGES),
        ("[always] madvise never", None),
        ("always madvise [never]", None),
        (None, None),
    ],
)
def test_huge_pages_are_asked_for_where_they_are_given_on_request(offer, expected, tmp_path):
    file = tmp_path / "enabled"
    if offer:
        file.write_text(offer)
    assert run(file) == f"{expected} ['two words', '--verbose'] same process"


def test_what_the_user_set_wins(tmp_path):
    (tmp_path / "enabled").write_text("always [madvise] never")
    told = run(tmp_path / "enabled", **{TUNABLES: "glibc.malloc.hugetlb=0"})
    assert told.startswith("glibc.malloc.hugetlb=0 ")
