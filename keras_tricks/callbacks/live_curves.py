"""Curves that are drawn anew after every epoch."""

from __future__ import annotations

import math
import os
import threading
import warnings
from collections.abc import Mapping
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_tricks import _plotting
from keras_tricks import _validation
from keras_tricks.callbacks import curve_picture
from keras_tricks.callbacks.curve_picture import Run
from keras_tricks.callbacks.innermost import innermost_optimizer
from keras_tricks.callbacks.painter import NotebookPicture
from keras_tricks.callbacks.painter import Painter
from keras_tricks.diagnosis import histories
from keras_tricks.diagnosis.metrics import as_number
from keras_tricks.diagnosis.metrics import known_direction
from keras_tricks.schedules.display import shown

_KINDS = (".png", ".svg")
_BLOCKS = "▁▂▃▄▅▆▇█"
_BLOCKS_SHOWN = 40


class LiveCurves(keras.callbacks.Callback):
    """Draws the learning curves after every epoch: one picture, always whole.

    Each metric has a panel with training and validation and a mark at the best epoch,
    if its name tells whether less or more of it is better; of a metric of several
    values, such as one a class, it is their mean. The learning rate is below. The file
    is replaced as a whole, so that a viewer which follows it never sees half of one. In
    a notebook the picture is shown too, and changes in place.

    Drawing happens in a thread beside the training, which it neither holds up nor ends:
    where it takes longer than an epoch the next picture has both epochs, and what fails
    (a full disk, say) is a warning. When `fit` returns, the last picture is there.

    Args:
        path: Where the picture is written, a `.png` or `.svg`; its folder is made. None
            writes none.
        metrics: The metrics to show, by their names on training data; by default all.
        title: What stands above the picture.
        terminal: Whether each epoch prints a line for each metric, with its course in
            block characters.

    Raises:
        ImportError: If matplotlib is missing.
        TypeError: If an argument is of the wrong type.
        ValueError: If `path` has another ending.

    Example:

    >>> import tempfile
    >>> import keras
    >>> import numpy as np
    >>> from keras_tricks.callbacks import LiveCurves
    >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    >>> model.compile("sgd", "mse")
    >>> folder = tempfile.mkdtemp()
    >>> history = model.fit(np.ones((8, 1)), np.ones((8, 1)), epochs=3, verbose=0,
    ...                     callbacks=[LiveCurves(f"{folder}/curves.png")])
    >>> open(f"{folder}/curves.png", "rb").read()[1:4]
    b'PNG'
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = "live_curves.png",
        *,
        metrics: Sequence[str] | None = None,
        title: str | None = None,
        terminal: bool = False,
    ):
        super().__init__()
        self.path = _checked_path(path)
        self.metrics = _checked_metrics(metrics)
        self.title = None if title is None else _validation.check_text("title", title)
        self.terminal = _validation.check_flag("terminal", terminal)
        _plotting.require_matplotlib("LiveCurves")
        self._epochs: list[int] = []
        self._logs: list[dict[str, float]] = []
        self._rates: list[float] = []
        self._painter: Painter | None = None

    def __repr__(self) -> str:
        return shown.made(self)

    def __getstate__(self) -> dict[str, Any]:
        # Threads are not copied; each training has its own.
        return {**vars(self), "_painter": None}

    @property
    def run(self) -> Run:
        """The curves so far."""
        names = dict.fromkeys(name for logs in self._logs for name in logs)
        rates = np.array(self._rates)
        return Run(
            np.array(self._epochs, int),
            {
                name: np.array([logs.get(name, np.nan) for logs in self._logs])
                for name in names
            },
            rates if np.isfinite(rates).any() else None,
        )

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._painter = Painter(self._draw, NotebookPicture.made())

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        logs = dict(logs or {})
        while self._epochs and self._epochs[-1] >= epoch:  # Another training.
            for kept in (self._epochs, self._logs, self._rates):
                kept.pop()
        rate = logs.pop("learning_rate", None)
        self._epochs.append(epoch)
        self._rates.append(self._rate() if rate is None else float(rate))
        self._logs.append({name: as_number(value) for name, value in logs.items()})
        self._tell_of_unknown(logs)
        if self.terminal:
            print("\n".join(_lines(self.run, self.metrics)))
        self._paint(self.run)

    def _paint(self, run: Run) -> None:
        if self._painter is not None:
            self._painter.paint(run)

    def _tell_of_unknown(self, logs: dict[str, Any]) -> None:
        """Warns, after a training's first epoch, of metrics that `fit` does not log."""
        if self.metrics is None or len(self._logs) > 1:
            return
        known = dict.fromkeys(name.removeprefix("val_") for name in logs)
        unknown = [name for name in self.metrics if name not in known]
        if unknown:
            warnings.warn(
                "`metrics` must name what `fit` logs on training data: "
                f"{', '.join(known)}. Received: {unknown}, which are not drawn",
                stacklevel=2,
            )

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        if self._painter is not None:
            self._painter.finish()
            self._painter = None

    def _rate(self) -> float:
        optimizer = getattr(self.model, "optimizer", None)
        if optimizer is None:  # A search may train without a model, by a program.
            return math.nan
        rate = innermost_optimizer(optimizer).learning_rate
        return float(keras.ops.convert_to_numpy(rate))

    def _draw(self, run: Run) -> tuple[str, bytes]:
        """Writes the picture of a run, and returns its kind and content."""
        figure = curve_picture.figure_of({"": run}, self.title, self.metrics)
        kind = "png" if self.path is None else self.path.suffix[1:].lower()
        content = curve_picture.drawn(figure, kind)
        if self.path is not None:
            replace_file(self.path, content)
        return kind, content

    @staticmethod
    def compare(
        runs: Mapping[str, Any],
        path: str | os.PathLike[str] = "compared_curves.png",
        *,
        metrics: Sequence[str] | None = None,
        title: str | None = None,
    ) -> Path:
        """Draws the curves of several trainings into one picture.

        Args:
            runs: Label -> what `fit` returned, a `LiveCurves`, or another history that
                `keras_tricks.diagnosis.diagnose` takes.
            path: Where to write it, a `.png` or `.svg`.
            metrics: See `LiveCurves`.
            title: See `LiveCurves`.

        Returns:
            The path.

        Raises:
            TypeError: If `runs` is no dictionary of histories.
            ValueError: If it is empty, or `path` has another ending.

        Example:

        >>> import tempfile
        >>> from keras_tricks.callbacks import LiveCurves
        >>> runs = {"small": {"loss": [2.0, 1.5]}, "large": {"loss": [2.0, 1.0]}}
        >>> path = LiveCurves.compare(runs, tempfile.mkdtemp() + "/both.png")
        >>> path.name
        'both.png'
        """
        _plotting.require_matplotlib("LiveCurves")
        checked = _checked_path(path)
        if checked is None or not isinstance(runs, Mapping) or not runs:
            name, value = ("path", path) if checked is None else ("runs", runs)
            error = ValueError if isinstance(value, Mapping) else TypeError
            raise error(
                "`runs` must be a dictionary of histories, and `path` a path. "
                f"{_validation.received(name, value)}"
            )
        figure = curve_picture.figure_of(
            {str(label): run_of(history) for label, history in runs.items()},
            None if title is None else _validation.check_text("title", title),
            _checked_metrics(metrics),
        )
        replace_file(checked, curve_picture.drawn(figure, checked.suffix[1:].lower()))
        return checked


def run_of(history: Any) -> Run:
    """Returns the curves of a history, or of a `LiveCurves`."""
    if isinstance(history, LiveCurves):
        return history.run
    curves = histories.curves_of(history)
    length = max(map(len, curves.values()))
    padded = {
        name: np.pad(values, (0, length - len(values)), constant_values=np.nan)
        for name, values in curves.items()
    }
    return Run(np.arange(length), padded)


def _checked_path(path: Any) -> Path | None:
    if path is None:
        return None
    if not isinstance(path, str | os.PathLike):
        raise TypeError(
            f"`path` must be a path or None. {_validation.received('path', path, True)}"
        )
    checked = Path(path)
    if checked.suffix.lower() not in _KINDS:
        raise ValueError(
            f"`path` must end in .png or .svg. {_validation.received('path', path)}"
        )
    return checked


def _checked_metrics(metrics: Any) -> list[str] | None:
    if metrics is None:
        return None
    is_list = isinstance(metrics, list | tuple)
    if not is_list or not all(isinstance(name, str) and name for name in metrics):
        raise TypeError(
            "`metrics` must be a list of names. "
            f"{_validation.received('metrics', metrics)}"
        )
    return list(metrics)


def replace_file(path: Path, content: bytes) -> None:
    """Writes a file that is there whole, or as it was before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        beside.write_bytes(content)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def _lines(run: Run, metrics: Sequence[str] | None) -> list[str]:
    """Returns a line for each curve, with its last value and its best epoch."""
    lines = []
    for name, values in run.curves.items():
        if metrics is not None and name.removeprefix("val_") not in metrics:
            continue
        known = np.flatnonzero(np.isfinite(values))
        if not len(known):
            continue
        last = values[known][-_BLOCKS_SHOWN:]
        low, high = last.min(), last.max()
        heights = (last - low) / (high - low) if high > low else last * 0.0
        course = "".join(_BLOCKS[round(7 * height)] for height in heights)
        line, direction = f"{name:>16} {course} {last[-1]:.4g}", known_direction(name)
        if direction is not None:
            find = np.argmin if direction == "min" else np.argmax
            best = known[int(find(values[known]))]
            line += f"  best {values[best]:.4g} at epoch {run.epochs[best] + 1}"
        lines.append(line)
    return lines
