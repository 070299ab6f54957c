"""The progress of a search: a bar on a terminal, lines elsewhere."""

import contextlib
import sys
import time
from collections.abc import Callable
from typing import Any

import keras
import rich.console
import rich.progress

from keras_tricks.tuners.results import records


class QuietFit(keras.callbacks.ProgbarLogger):
    """Takes the place of `fit`'s own progress lines and prints none.

    Keras adds its logger only where it finds none among the callbacks. Passing
    `verbose=0` on instead would break hypermodels whose `fit` sets it already.
    """

    def set_params(self, params: dict[str, Any]) -> None:
        super().set_params({**params, "verbose": 0})


class StopTraining(keras.callbacks.Callback):
    """Ends a training where a function says so.

    Args:
        stops: Called after each epoch with whether it was the last one.
    """

    def __init__(self, stops: Callable[[bool], bool]):
        super().__init__()
        self._stops = stops

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if self._stops(epoch + 1 >= self.params["epochs"]):
            self.model.stop_training = True

    def __deepcopy__(self, memo: Any) -> "StopTraining":
        return self  # KerasTuner copies callbacks for each execution.


class SearchProgress:
    """Counts trials, keeps the best score and guesses the time left. Shows nothing.

    Args:
        objective: The name of the score.
        better_than: Whether its first argument is a better score than its second.
        total: Trials of the search, or None if it has no limit.
        finished: Trials that ended in an earlier run of the search.
        best: The best score of those.
    """

    def __init__(
        self,
        objective: str,
        better_than: Callable[[float, float], bool],
        total: int | None,
        finished: int = 0,
        best: float | None = None,
    ):
        self.objective = objective
        self.better_than = better_than
        self.total = total
        self.finished = finished
        self.best = best
        self._finished_before = finished
        self._started = time.monotonic()

    def start(self) -> None:
        """Called before the first trial."""
        self._started = time.monotonic()

    def trial_finished(self, record: records.TrialRecord) -> None:
        """Called when a trial has ended and will not be tried again."""
        self.finished += 1
        if record.status == records.COMPLETED and record.score is not None:
            if self.best is None or self.better_than(record.score, self.best):
                self.best = record.score

    def stop(self) -> None:
        """Called after the last trial, or when the search was interrupted."""

    @property
    def seconds_left(self) -> float | None:
        """Mean duration of this run's trials, times the number that is left."""
        here = self.finished - self._finished_before
        if self.total is None or here == 0 or self.finished >= self.total:
            return None
        elapsed = time.monotonic() - self._started
        return (self.total - self.finished) * elapsed / here


class PlainProgress(SearchProgress):
    """One line a finished trial, for files and pipes."""

    def trial_finished(self, record: records.TrialRecord) -> None:
        super().trial_finished(record)
        say(self.line(record))

    def line(self, record: records.TrialRecord) -> str:
        of = " done" if self.total is None else f"/{self.total}"
        parts = [f"{self.finished}{of}", f"trial {record.trial_id}"]
        if record.status == records.COMPLETED and record.score is not None:
            parts.append(f"{self.objective} {format_score(record.score)}")
        else:
            reason = (record.error or "").partition("\n")[0]
            parts.append(f"{record.status.lower()}: {reason}")
        if self.best is not None:
            parts.append(f"best {format_score(self.best)}")
        if record.seconds is not None:
            parts.append(format_duration(record.seconds))
        if self.seconds_left is not None:
            parts.append(f"about {format_duration(self.seconds_left)} left")
        return "  ".join(parts)


class BarProgress(SearchProgress):
    """A bar on a terminal. What anything else prints appears above it."""

    def __init__(
        self, *args: Any, console: rich.console.Console | None = None, **kwargs: Any
    ):
        super().__init__(*args, **kwargs)
        self._bar = rich.progress.Progress(
            rich.progress.TextColumn("trials"),
            rich.progress.BarColumn(),
            rich.progress.MofNCompleteColumn(),
            rich.progress.TextColumn("{task.fields[best]}", markup=False),
            rich.progress.TimeElapsedColumn(),
            rich.progress.TextColumn("{task.fields[left]}", markup=False),
            console=console,
            refresh_per_second=4,
        )
        self._task = self._bar.add_task(
            "", total=self.total, completed=self.finished, **self._fields()
        )

    def start(self) -> None:
        super().start()
        with contextlib.suppress(*_OF_OUTPUT):
            self._bar.start()

    def trial_finished(self, record: records.TrialRecord) -> None:
        super().trial_finished(record)
        with contextlib.suppress(*_OF_OUTPUT):
            self._bar.update(self._task, completed=self.finished, **self._fields())

    def stop(self) -> None:
        with contextlib.suppress(*_OF_OUTPUT):
            self._bar.stop()

    def _fields(self) -> dict[str, Any]:
        best = left = ""
        if self.best is not None:
            best = f"best {self.objective} {format_score(self.best)}"
        if self.seconds_left is not None:
            left = f"about {format_duration(self.seconds_left)} left"
        return {"best": best, "left": left}


def progress_class(verbose: int | str) -> type[SearchProgress]:
    """Returns the display for `search`'s `verbose`, here and now."""
    if verbose == 0:
        return SearchProgress
    try:
        # None: the process was started without one.
        is_terminal = sys.stdout is not None and sys.stdout.isatty()
    except ValueError:  # It was closed.
        is_terminal = False
    is_plain = not is_terminal or rich.console.Console().is_dumb_terminal
    return PlainProgress if is_plain else BarProgress


# What a closed stream, a full disk or a pipe without a reader raises.
_OF_OUTPUT = (OSError, ValueError)


def say(text: str) -> None:
    """Prints a line, as far as it can be: no search ends for want of an output."""
    with contextlib.suppress(*_OF_OUTPUT):
        try:
            print(text, flush=True)
        except UnicodeEncodeError:
            print(text.encode("ascii", "backslashreplace").decode(), flush=True)


def format_score(score: float) -> str:
    """Four significant digits.

    >>> from keras_tricks.tuners.results.progress import format_score
    >>> format_score(0.961)
    '0.9610'
    """
    return f"{score:#.4g}"


def format_duration(seconds: float) -> str:
    """A duration in the unit that suits it.

    >>> from keras_tricks.tuners.results.progress import format_duration
    >>> [format_duration(seconds) for seconds in (2.14, 35.2, 600, 12000)]
    ['2.1 s', '35 s', '10 min', '3 h 20 min']
    """
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    if seconds < 119.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 120:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"
