"""The report of a search that runs, written by a process of its own."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import time
import warnings
from pathlib import Path

import keras_tricks
from keras_tricks import _validation

# A page that is written anew more often cannot be read.
_SECONDS = 60.0
# How long the end of a search waits for its last page.
_PATIENCE = 120.0


class LiveReport:
    """Rewrites a search's page when trials have ended, at most once a minute.

    The page is what `keras-tricks report` makes of the folder, in another process, so
    that the search neither waits for it nor fails with it. What goes wrong there is a
    warning.

    Args:
        folder: Of the search.
        path: Of the page.

    Raises:
        TypeError: If `path` is no path.
        ValueError: If it is empty, or a folder.
        ImportError: If plotly is missing.
        FileNotFoundError: If the folder in which the page shall be is not there.
    """

    def __init__(self, folder: Path, path: str | os.PathLike[str]):
        if not isinstance(path, str | os.PathLike):
            raise TypeError(
                "`report` must be the path of a page, or None. "
                f"{_validation.received('report', path, True)}"
            )
        if importlib.util.find_spec("plotly") is None:
            raise ImportError("`report` needs plotly: python -m pip install plotly")
        if not os.fspath(path) or Path(path).is_dir():
            raise ValueError(
                "`report` must be the path of a file. "
                f"{_validation.received('report', str(path))}"
            )
        # Wherever the process goes meanwhile.
        self._folder, self._path = folder.absolute(), Path(path).absolute()
        if not self._path.parent.is_dir():
            raise FileNotFoundError(
                "`report` must be a path in a folder that is there. "
                f"{_validation.received('report', str(path))}"
            )
        self._running: subprocess.Popen[bytes] | None = None
        self._begun = -_SECONDS
        self._has_warned = False

    def trial_finished(self) -> None:
        """Begins a new page, unless one is being written or was a minute ago."""
        if time.monotonic() < self._begun + _SECONDS or not self._has_ended():
            return
        self._begin("--reload", str(int(_SECONDS)))

    def finish(self, *, waits: bool = True) -> None:
        """Writes the last page, which does not reload itself.

        Args:
            waits: Whether to wait for it. An interrupted search ends at once.
        """
        try:
            if self._running is not None:
                # It would replace the last one.
                self._running.wait(_PATIENCE if waits else 10.0)
                self._has_ended()
            self._begin()
            if waits and self._running is not None:
                self._running.wait(_PATIENCE)
                self._has_ended()
        except subprocess.TimeoutExpired:
            self._warn("it takes too long")

    def _begin(self, *options: str) -> None:
        self._begun = time.monotonic()
        environment = dict(os.environ)
        # As this process has found the package.
        root = str(Path(keras_tricks.__file__).parent.parent)
        known = environment.get("PYTHONPATH")
        environment["PYTHONPATH"] = os.pathsep.join([root, *([known] if known else [])])
        command = [sys.executable, "-m", "keras_tricks", "report", str(self._folder)]
        try:
            self._running = subprocess.Popen(
                [*command, "-o", str(self._path), *options],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                # Ctrl-C is for the search, which then has its last page written.
                start_new_session=True,
            )
        except OSError as error:
            self._warn(str(error))

    def _has_ended(self) -> bool:
        """Whether no page is being written now; tells what went wrong with one."""
        if self._running is None:
            return True
        status = self._running.poll()
        if status is None:
            return False
        if self._running.stderr is not None:
            told = self._running.stderr.read().decode(errors="replace").strip()
            self._running.stderr.close()
            if status:
                self._warn(told.splitlines()[-1] if told else f"status {status}")
        self._running = None
        return True

    def _warn(self, reason: str) -> None:
        if not self._has_warned:
            self._has_warned = True
            warnings.warn(
                f"The page {self._path} could not be written: {reason}", stacklevel=4
            )
