"""A child process for many scripts: TensorFlow's start costs more than most of them.

Each script runs as `__main__`, in a namespace and a folder of its own. Of what earlier
ones did to the process, Keras's global state, warnings and modules of the script's own
folder are undone; what asks for more, such as a new process, is for child_process.py.
"""

import atexit
import functools
import json
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest

from tests import child_process

TIMEOUT_SECONDS = 300.0

_SERVER = """
import contextlib, gc, io, json, os, runpy, sys, traceback, warnings

gc.set_threshold(50_000)
warnings.filterwarnings("error", module=r"(keras_tricks|__main__)(\\.|$)")
import keras

answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)  # What a library prints past Python is no answer.
policy, search_path = keras.config.dtype_policy(), list(sys.path)

for line in sys.stdin:
    cwd, script, *arguments = json.loads(line)
    gc.collect()
    gc.freeze()
    keras.utils.clear_session()
    keras.config.set_dtype_policy(policy)
    os.chdir(cwd)
    sys.argv = [script, *arguments]
    sys.path[:] = [os.path.dirname(script), *search_path[1:]]
    modules = set(sys.modules)
    printed, error = io.StringIO(), ""
    with contextlib.redirect_stdout(printed), warnings.catch_warnings():
        try:
            runpy.run_path(script, run_name="__main__")
        except BaseException:
            error = traceback.format_exc()
    for name in set(sys.modules) - modules:
        origin = getattr(sys.modules[name], "__file__", None) or ""
        if os.path.dirname(origin) == os.path.dirname(script):
            del sys.modules[name]
    print(json.dumps([printed.getvalue(), error]), file=answers, flush=True)
"""


class SharedProcess:
    """Starts with the first script, and ends with the tests."""

    def __init__(self, backend: str):
        self._errors = tempfile.TemporaryFile("w+", encoding="utf-8")
        search_path = [str(child_process.ROOT), os.environ.get("PYTHONPATH", "")]
        self._process = subprocess.Popen(
            [sys.executable, "-c", _SERVER],
            env={
                **os.environ,
                "KERAS_BACKEND": backend,
                "PYTHONPATH": os.pathsep.join(filter(None, search_path)),
                "PYTHONIOENCODING": "utf-8",
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            encoding="utf-8",
        )
        atexit.register(self.end)

    def run(self, script: Path, *arguments: str, cwd: Path) -> str:
        """Returns what a script prints; a script that fails fails the test."""
        watch = threading.Timer(TIMEOUT_SECONDS, self._process.kill)
        watch.start()
        try:
            request = json.dumps([str(cwd), str(script), *arguments])
            print(request, file=self._process.stdin, flush=True)
            answer = self._process.stdout.readline()
        finally:
            watch.cancel()
        if not answer:
            self._errors.seek(0)
            pytest.fail(f"The process ended.\n{self._errors.read()}", pytrace=False)
        printed, error = json.loads(answer)
        if error:
            pytest.fail(
                f"--- stdout ---\n{printed}--- error ---\n{error}", pytrace=False
            )
        return printed

    def end(self) -> None:
        self._process.stdin.close()
        self._process.wait()


_process_of = functools.cache(SharedProcess)


def run(
    code_or_script: str | Path,
    *arguments: str,
    cwd: Path,
    backend: str = "tensorflow",
) -> str:
    """Runs a script (a Path) or code (a str) and returns its stdout."""
    script = child_process.script_in(cwd, code_or_script, "shared.py")
    return _process_of(backend).run(script, *arguments, cwd=cwd)
