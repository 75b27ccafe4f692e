"""How a command gets its memory."""

import os
import sys
from pathlib import Path

OFFER = Path("/sys/kernel/mm/transparent_hugepage/enabled")
TUNABLES, HUGE_PAGES = "GLIBC_TUNABLES", "glibc.malloc.hugetlb=1"


def use_huge_pages():
    """Start this command anew with memory in huge pages, where Linux gives them on request, as on
    Debian and Ubuntu: the processor then has fewer addresses of large arrays to look up, which
    makes trainings and predictions faster (docs/SPEED.md).

    The C library (glibc 2.35 or newer) reads the request only when a process starts. What the user
    has set in the shell wins; help, and a command in a debugger, need none.
    """
    try:
        offered = "[madvise]" in OFFER.read_text()
    except OSError:  # no Linux
        return
    idle = sys.gettrace() or {"-h", "--help"} & set(sys.argv)
    if offered and TUNABLES not in os.environ and not idle:
        os.environ[TUNABLES] = HUGE_PAGES
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
