import functools
import gc
import os
from collections.abc import Callable
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from tests import child_process
from tests import shared_process
from tests import slow_tests

# Before TensorFlow is imported anywhere: its notices bury the report of a failure.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

# Before NumPy is. Gaussian processes of some dozen trials gain nothing by threads, and
# those of two test processes wait for each other: twice the processor time was spent.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# Importing TensorFlow leaves half a million objects that live as long as the process:
# looking through them for garbage took a quarter of the tests' time.
gc.set_threshold(50_000)

# The same draws in each run, however slow the machine: what fails can be run again.
hypothesis.settings.register_profile("repeatable", derandomize=True, deadline=None)
hypothesis.settings.load_profile("repeatable")


# Half a minute or more each, the longest first. They begin before the others, so that
# at the end no process waits long for another one's last file.
LONG_FILES = (
    "tests/tuners/test_fit_arguments.py",
    "tests/tuners/test_shared_scores.py",
    "tests/tuners/test_stock_numbers.py",
    "tests/tuners/test_epoch_callbacks.py",
    "tests/tuners/test_workers.py",
    "tests/test_examples.py",
    "tests/tuners/test_shared_programs.py",
    "tests/test_readme.py",
    "tests/training/test_packed_and_alone.py",
    "tests/optimizers/test_distribution.py",
    "tests/tuners/test_contract.py",
    "tests/hypermodels/test_contract.py",
    "tests/schedules/test_contract.py",
    "tests/optimizers/test_contract.py",
    "tests/tuners/test_hyperband.py",
    "tests/tuners/test_optuna_processes.py",
    "tests/tuners/test_optuna.py",
)


def pytest_configure(config: pytest.Config) -> None:
    # pytest-xdist would begin with the files that have most tests.
    config.option.loadscopereorder = False


@pytest.hookimpl(tryfirst=True)  # Before they are chosen by their marks.
def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    found = slow_tests.mark(items)
    if config.args_source == pytest.Config.ArgsSource.TESTPATHS:
        slow_tests.check_all(found)
    ranks = {name: rank for rank, name in enumerate(LONG_FILES)}
    items.sort(key=lambda item: ranks.get(item.nodeid.split("::")[0], len(ranks)))


def pytest_runtest_setup() -> None:
    """What was imported, and what earlier tests have left, is not looked at again.

    TensorFlow keeps most of it for good. Each trial clears Keras's session, and with it
    looks through all objects: after some dozens of trainings that would take longer
    than to train.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _frozen_objects_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """To count what was frozen above takes each search a tenth of a second."""
    monkeypatch.setattr(gc, "get_freeze_count", lambda: 1_000_000)


@pytest.fixture
def run_python(tmp_path: Path) -> Callable[..., str]:
    """`run_python(code_or_script, *arguments, env=None)` in a child process.

    The child works in the test's temporary directory. Returns what it printed; a child
    that fails fails the test and shows its stderr.
    """
    return functools.partial(child_process.run_python, cwd=tmp_path)


@pytest.fixture
def run_shared(tmp_path: Path) -> Callable[..., str]:
    """`run_shared(code_or_script, *arguments, backend="tensorflow")`, as `run_python`.

    The process is there already: it has run other tests' scripts, and costs no start.
    """
    return functools.partial(shared_process.run, cwd=tmp_path)


@pytest.fixture
def uncompiled() -> Iterator[None]:
    """What would be traced runs eagerly: a few steps take less time than a trace."""
    import tensorflow as tf

    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)
