import functools
import gc
import os
from collections.abc import Callable
from pathlib import Path

import hypothesis
import pytest

from tests import child_process

# Before TensorFlow is imported anywhere: its notices bury the report of a failure.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

# Importing TensorFlow leaves half a million objects that live as long as the process:
# looking through them for garbage took a quarter of the tests' time.
gc.set_threshold(50_000)

# The same draws in each run, however slow the machine: what fails can be run again.
hypothesis.settings.register_profile("repeatable", derandomize=True, deadline=None)
hypothesis.settings.load_profile("repeatable")


def pytest_collection_finish() -> None:
    """What the tests' modules have imported is not looked at again."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def run_python(tmp_path: Path) -> Callable[..., str]:
    """`run_python(code_or_script, *arguments, env=None)` in a child process.

    The child works in the test's temporary directory. Returns what it printed; a child
    that fails fails the test and shows its stderr.
    """
    return functools.partial(child_process.run_python, cwd=tmp_path)
