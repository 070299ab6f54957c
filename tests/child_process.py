"""Run Python in a fresh process: another backend, a new interpreter, a whole script.

A child imports the same checkout as the tests do, whatever its working directory, and
turns warnings from our own code into errors, as pytest's settings do in the parent.
"""

import os
import signal
import subprocess
import sys
import textwrap
import warnings
from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# The interpreter's -W option matches whole module names only, so that it cannot say
# "keras_tricks and all below"; the filter is set in the child instead.
#
# Collecting garbage amid the objects that TensorFlow's import makes, which last, would
# take a quarter of its time.
_DRIVER = """
import gc, os, runpy, sys, warnings
gc.set_threshold(50_000)
warnings.filterwarnings("error", module=r"(keras_tricks|__main__)(\\.|$)")
del sys.argv[0]
sys.path[0] = os.path.dirname(os.path.abspath(sys.argv[0]))
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def script_in(folder: Path, code_or_script: str | Path, name: str) -> Path:
    """Returns a script, which is written if only its code is given.

    In a file, because tf.function needs the source of what it traces.
    """
    if isinstance(code_or_script, Path):
        return code_or_script
    script = folder / name
    script.write_text(textwrap.dedent(code_or_script), encoding="utf-8")
    return script


def run_script(
    script: Path,
    *arguments: str,
    cwd: Path,
    env: Mapping[str, str] | None = None,
    timeout_seconds: float = 300.0,
) -> subprocess.CompletedProcess[str]:
    """Runs a script as `__main__` and returns its status, stdout and stderr."""
    search_path = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, search_path)),
        "PYTHONIOENCODING": "utf-8",
        "PYTHONFAULTHANDLER": "1",
        **(env or {}),
    }
    return subprocess.run(
        [sys.executable, "-c", _DRIVER, str(script), *arguments],
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=timeout_seconds,
        check=False,
    )


def stdout_of(finished: subprocess.CompletedProcess[str]) -> str:
    """The printed text of a child that succeeded; a failed one fails the test."""
    if finished.returncode:
        pytest.fail(
            f"The child process ended with status {finished.returncode}.\n"
            f"--- its stdout ---\n{finished.stdout}"
            f"--- its stderr ---\n{finished.stderr}",
            pytrace=False,
        )
    return finished.stdout


def run_python(
    code_or_script: str | Path,
    *arguments: str,
    cwd: Path,
    env: Mapping[str, str] | None = None,
    timeout_seconds: float = 300.0,
) -> str:
    """Runs a script (a Path) or code (a str) in a child and returns its stdout.

    One that ends by a segmentation fault is run once more, and a warning says where it
    was: TensorFlow's threads have been seen to crash, rarely, with several replicas.
    """
    script = script_in(cwd, code_or_script, "child.py")
    options = {"cwd": cwd, "env": env, "timeout_seconds": timeout_seconds}
    finished = run_script(script, *arguments, **options)
    if finished.returncode == -signal.SIGSEGV:
        warnings.warn(
            f"{script.name} {' '.join(arguments)} crashed, and is run once more:\n"
            f"{finished.stderr[-4000:]}",
            stacklevel=2,
        )
        finished = run_script(script, *arguments, **options)
    return stdout_of(finished)
