"""Processes that begin where TensorFlow and Keras are imported already.

They are forked by `multiprocessing`'s fork server, which is started once and has used
neither: an interpreter of its own would import for longer than most tests run. They do
what the children of `tests.child_process` do.
"""

import contextlib
import gc
import importlib
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import traceback
import types
import warnings
from collections.abc import Iterator
from collections.abc import Mapping
from multiprocessing import forkserver
from multiprocessing import process as processes
from multiprocessing import reduction
from pathlib import Path
from typing import Any

import pytest

from keras_tricks import _child_process
from tests import child_process

_CONTEXT = multiprocessing.get_context("forkserver")
# Not this package, which may be another one until the path is set.
_CONTEXT.set_forkserver_preload(["keras", "keras_tuner", "optuna", "pandas"])


@contextlib.contextmanager
def started(
    code_or_script: str | Path,
    *arguments: str,
    cwd: Path,
    env: Mapping[str, str] | None = None,
) -> Iterator[Any]:
    """Starts a script (a Path) or code (a str) as `__main__`, and kills it at last."""
    script = child_process.script_in(cwd, code_or_script, "child.py")
    # Elsewhere than the process works, which may look at its open files.
    with tempfile.TemporaryDirectory() as printed:
        process = _CONTEXT.Process(
            target=_run,
            args=(str(script), arguments, str(cwd), dict(env or {}), printed),
            name=printed,
        )
        process.start()
        try:
            yield process
        finally:
            process.kill()
            process.join()


def finished(process: Any, timeout_seconds: float = 300.0) -> str:
    """Returns the stdout of a process that ends; a failed one fails the test."""
    process.join(timeout_seconds)
    stdout, stderr = (
        (Path(process.name) / name).read_text(encoding="utf-8", errors="replace")
        for name in ("stdout", "stderr")
    )
    if process.exitcode != 0:
        pytest.fail(
            f"The child process ended with status {process.exitcode}.\n"
            f"--- its stdout ---\n{stdout}--- its stderr ---\n{stderr}",
            pytrace=False,
        )
    return stdout


def run_python(code_or_script: str | Path, *arguments: str, **options: Any) -> str:
    """Runs a script (a Path) or code (a str) and returns its stdout."""
    with started(code_or_script, *arguments, **options) as process:
        return finished(process)


def _run(script, arguments, cwd, environment, printed):
    os.chdir(cwd)
    os.environ.update(environment)
    # What begins processes here, too, is to find the fork server that there is.
    forkserver._forkserver.ensure_running = lambda: None
    # Shells have what they start in the background ignore Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, name in ((1, "stdout"), (2, "stderr")):
        file = open(Path(printed) / name, "w", encoding="utf-8", buffering=1)
        os.dup2(file.fileno(), number)
        setattr(sys, name, file)
    # Each trial looks for garbage: what was imported is none.
    gc.freeze()
    warnings.filterwarnings("error", module=r"(keras_tricks|__main__)(\.|$)")
    sys.argv = [script, *arguments]
    sys.path.insert(0, str(Path(script).parent))
    try:
        runpy.run_path(script, run_name="__main__")
    except Exception:
        traceback.print_exc()
        sys.exit(1)


def server_pid() -> int:
    """The number of the process that all others here are children of."""
    return forkserver._forkserver._forkserver_pid


@contextlib.contextmanager
def as_workers() -> Iterator[None]:
    """The workers of searches begin here, too: each would import for five seconds.

    Not for tests of how a worker starts, what it imports, or whether it ends with its
    parent, which is the fork server.
    """
    with pytest.MonkeyPatch.context() as patch:
        own = types.SimpleNamespace(**{**vars(subprocess), "Popen": _ForkedWorker})
        patch.setattr(_child_process, "subprocess", own)
        yield


class _Descriptor:
    """An open file that a process is sent; there it is a number of its own."""

    def __init__(self, number):
        self._number = number

    def __reduce__(self):
        return _detached, (reduction.DupFd(self._number),)


def _detached(duplicate):
    return duplicate.detach()


class _ForkedWorker:
    """What `_child_process` uses of `subprocess.Popen`."""

    def __init__(self, arguments, env, pass_fds, stdout=None, **_):
        # As `_child_process` has them.
        module, *more = arguments[arguments.index("-c") + 4 :]
        [descriptor] = pass_fds
        number = 1 if stdout is None else stdout.fileno()
        files = [_Descriptor(descriptor), _Descriptor(number)]
        self._process = _CONTEXT.Process(
            target=_work, args=(*files, env, list(sys.path), os.getcwd(), module, more)
        )
        self._process.start()
        # Else `multiprocessing` would end it, or wait for it, where the pool does not.
        processes._children.discard(self._process)
        self.pid = self._process.pid

    @property
    def returncode(self):
        return self._process.exitcode

    def wait(self, timeout=None):
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired("worker", timeout)

    def kill(self):
        self._process.kill()


def _work(connection, log, environment, search_path, cwd, module, arguments):
    os.chdir(cwd)
    os.environ.update(environment)
    sys.path[:] = search_path
    for number in (1, 2):
        os.dup2(log, number)
    # Each trial looks for garbage: what was imported is none.
    gc.freeze()
    importlib.import_module(module).main(connection, *arguments)
