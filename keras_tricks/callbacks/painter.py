"""A thread that draws, and the place in a notebook where what it drew is shown."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable
from typing import Any


class Painter:
    """Draws the latest of what it is given, in a thread that ends when it is done.

    Args:
        draw: Writes a picture of it, and returns the picture's kind and content.
        notebook: Where the picture is shown, too.
        pause_seconds: Between two pictures.
    """

    def __init__(
        self,
        draw: Callable[[Any], tuple[str, bytes]],
        notebook: NotebookPicture | None,
        pause_seconds: float = 0.0,
    ):
        self._draw = draw
        self._notebook = notebook
        self._pause_seconds = pause_seconds
        self._is_finishing = threading.Event()
        self._lock = threading.Lock()
        self._latest: Any = None
        self._thread: threading.Thread | None = None
        self._error: Exception | None = None
        self._has_failed = False

    def paint(self, shown: Any) -> None:
        """Has something drawn, now or once what is being drawn is finished."""
        self._tell()
        if self._has_failed:
            return
        with self._lock:
            self._latest = shown
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, daemon=True)
                self._thread.start()

    def finish(self) -> None:
        """Waits for the last picture."""
        self._is_finishing.set()
        thread = self._thread
        if thread is not None:
            thread.join()
        self._is_finishing.clear()
        self._tell()

    def _work(self) -> None:
        while True:
            with self._lock:
                shown, self._latest = self._latest, None
                if shown is None:
                    self._thread = None
                    return
            try:
                kind, content = self._draw(shown)
                if self._notebook is not None:
                    self._notebook.show(kind, content)
            except Exception as error:
                self._error = error
            self._is_finishing.wait(self._pause_seconds)

    def _tell(self) -> None:
        """Warns of what has failed, once; what it watches goes on."""
        error, self._error = self._error, None
        if error is not None and not self._has_failed:
            self._has_failed = True
            warnings.warn(
                f"LiveCurves draws no more: {type(error).__name__}: {error}",
                stacklevel=2,
            )


class NotebookPicture:
    """The place in a notebook where the picture is."""

    def __init__(self, display: Any):
        self._display = display

    @classmethod
    def made(cls) -> NotebookPicture | None:
        """Returns an empty one; None outside of notebooks."""
        try:
            from IPython import get_ipython
            from IPython.display import HTML
            from IPython.display import display
        except ImportError:
            return None
        if not hasattr(get_ipython(), "kernel"):
            return None
        return cls(display(HTML(""), display_id=True))

    def show(self, kind: str, content: bytes) -> None:
        from IPython.display import SVG
        from IPython.display import Image

        shown_as = SVG if kind == "svg" else Image
        self._display.update(shown_as(data=content))
