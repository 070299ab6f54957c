"""Tests that take seconds each, which an ordinary run of the tests leaves out.

slow_tests.txt names files, test functions and single cases, a line each: those that
took two seconds of processor time or more, but for one case at least of each function
whose fact nothing else shows. They carry the mark `slow` and run in `.ci/run`, or with
`python -m pytest -m "not exhaustive"`. `--durations=50` shows what belongs there.
"""

from collections.abc import Iterable
from pathlib import Path

import pytest

LIST = Path(__file__).with_suffix(".txt")


def mark(items: Iterable[pytest.Item]) -> set[str]:
    """Marks the slow ones of some tests. Returns the lines that name one of them."""
    lines, found = set(LIST.read_text(encoding="utf-8").splitlines()), set()
    for item in items:
        function = item.nodeid.partition("[")[0]
        names = {item.nodeid, function, function.partition("::")[0]} & lines
        if names:
            item.add_marker("slow")
            found |= names
    return found


def check_all(found: set[str]) -> None:
    """Raises if a line of the list names no test."""
    lines = LIST.read_text(encoding="utf-8").splitlines()
    gone = [line for line in lines if line not in found]
    if gone:
        raise pytest.UsageError(f"{LIST.name} names tests that there are not: {gone}")
