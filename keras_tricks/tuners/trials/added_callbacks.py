"""Callbacks that a search adds to those of its trials."""

from __future__ import annotations

import copy
import dataclasses
import statistics
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import keras_tuner

from keras_tricks import _plotting
from keras_tricks import _validation
from keras_tricks._fit_call import FitCall
from keras_tricks.callbacks import LiveCurves
from keras_tricks.callbacks import StopHopeless
from keras_tricks.callbacks import curve_picture
from keras_tricks.callbacks.curve_picture import Run
from keras_tricks.callbacks.live_curves import replace_file
from keras_tricks.callbacks.live_curves import run_of
from keras_tricks.callbacks.painter import NotebookPicture
from keras_tricks.callbacks.painter import Painter
from keras_tricks.diagnosis import trivial_score
from keras_tricks.tuners.results import records
from keras_tricks.tuners.results import scores
from keras_tricks.tuners.trials import objectives
from keras_tricks.tuners.trials.context import RunningTrial

STOP_HOPELESS = "stop_hopeless"
CURVES_FILE = "live_curves.png"
# Trials that have to be there before their median is what others shall reach.
_TRIALS_OF_A_MEDIAN = 10
_SECONDS_BETWEEN_PICTURES = 0.5

# Trial ID -> the score of a completed trial, of those of as many epochs as another.
Scores = Callable[[RunningTrial], dict[str, float]]


@dataclasses.dataclass(frozen=True)
class Wanted:
    """Which callbacks a search adds to those of each trial.

    Attributes:
        stop_hopeless: Whether trials that lead nowhere are ended.
        live_curves: Whether the curves of the running trial are drawn.
        trivial: What a predictor reaches that looks at no input, if that is known.
    """

    stop_hopeless: bool = False
    live_curves: bool = False
    trivial: float | None = None

    @classmethod
    def of(
        cls, stop_hopeless: Any, live_curves: Any, objective: Any, call: FitCall
    ) -> Wanted:
        """Returns what the arguments of `search` ask for.

        Raises:
            ImportError: If curves are to be drawn and matplotlib is missing.
            TypeError: If one of them is no bool.
            ValueError: If there are several objectives.
        """
        stops = _validation.check_flag("stop_hopeless", stop_hopeless)
        draws = _validation.check_flag("live_curves", live_curves)
        if draws:
            _plotting.require_matplotlib("live_curves=True")
        if not stops:
            return cls(live_curves=draws)
        names = objectives.objective_names(objective)
        if len(names) > 1:
            raise ValueError(
                "`stop_hopeless=True` needs a single objective, since a trial that "
                "cannot get far in one may be good in another. Give `callbacks=` a "
                "`StopHopeless` of your own. Received: the objectives "
                f"{', '.join(names)}"
            )
        return cls(stops, draws, _trivial_of(names[0], call))


def _trivial_of(objective: str, call: FitCall) -> float | None:
    """Returns what the best constant prediction scores, where labels tell.

    Losses may hold penalties and weights, of which the labels know nothing.
    """
    y = call["y"]
    if objective.startswith("val_"):
        given = call["validation_data"]
        if given is not None:
            is_pair = isinstance(given, list | tuple) and len(given) in (2, 3)
            y = given[1] if is_pair else None
        elif y is not None and call.validation_share:
            try:
                y = y[call.num_training_examples(len(y)) :]
            except Exception:
                return None
    if y is None:
        return None
    try:
        return trivial_score(y, objective.removeprefix("val_"))
    except (TypeError, ValueError):
        return None  # Another metric, or several outputs.


class AddedCallbacks:
    """Makes the callbacks that a search adds to those of a trial.

    Args:
        wanted: Which of them.
        objective: The search's.
        folder: That of the project.
        scores_of: Returns the scores of the completed trials.
        has_rungs: Whether trials may have few epochs by the tuner's own choice.
    """

    def __init__(
        self,
        wanted: Wanted,
        objective: Any,
        folder: Path,
        scores_of: Scores,
        *,
        has_rungs: bool = False,
    ):
        self._wanted = wanted
        self._has_rungs = has_rungs
        self._told: set[str] = set()
        self._objective = objective
        self._folder = folder
        self._scores_of = scores_of
        self._board = CurveBoard(folder / CURVES_FILE) if wanted.live_curves else None

    def of(self, running: RunningTrial | None) -> list[keras.callbacks.Callback]:
        """Returns those of one training of a trial."""
        added: list[keras.callbacks.Callback] = []
        if running is None:
            return added
        if self._wanted.stop_hopeless:
            added.append(
                StopHopelessTrial(
                    running,
                    lambda: self._median(running),
                    self._tell_of_few_epochs,
                    self._objective.name,
                    trivial=self._wanted.trivial,
                    mode=self._objective.direction,
                )
            )
        if self._board is not None:
            added.append(TrialCurves(self._board, running, lambda: self._best(running)))
        return added

    def check_heard(self, running: RunningTrial) -> None:
        """Warns, once, if the callbacks of a trial that was trained saw nothing."""
        wanted = [
            name
            for name in ("stop_hopeless", "live_curves")
            if getattr(self._wanted, name)
        ]
        if wanted and not running.callbacks_were_called:
            self._tell(
                f"`{'` and `'.join(wanted)}` saw no training: a `fit`, or a "
                "`run_trial`, of one's own has to hand the `callbacks` that it is "
                "given on to `model.fit`."
            )

    def finish(self) -> None:
        """Waits for the last picture."""
        if self._board is not None:
            self._board.finish()

    def _tell_of_few_epochs(self, epochs: int, least: int) -> None:
        if not self._has_rungs:
            self._tell(
                f"`stop_hopeless` needs trainings of more than {least} epochs, and "
                f"those of this search have {epochs} (each `fit` counts by itself): "
                "none is ended but where it is not finite."
            )

    def _tell(self, message: str) -> None:
        if message not in self._told:
            self._told.add(message)
            warnings.warn(message, stacklevel=3)

    def _median(self, running: RunningTrial) -> float | None:
        known = self._scores_of(running)
        if len(known) < _TRIALS_OF_A_MEDIAN:
            return None
        return statistics.median(known.values())

    def _best(self, running: RunningTrial) -> tuple[str, Run] | None:
        known, sign = self._scores_of(running), scores.sign(self._objective.direction)
        if not known:
            return None
        best = min(known, key=lambda trial_id: sign * known[trial_id])
        try:
            record = records.TrialRecord.read(self._folder / f"trial_{best}")
            curves = record.executions[0].curves
            run = run_of({k: v for k, v in curves.items() if k != "learning_rate"})
        except Exception:
            return None  # A picture is not worth a search.
        return f"trial {best}, the best so far", run


class StopHopelessTrial(StopHopeless):
    """Ends a hopeless training of a trial, and has its record say why.

    Args:
        running: The trial.
        find_baseline: Returns what it has to reach, or None, when it begins.
        tell_of_few_epochs: Called with the epochs of a training that was too short to
            be ended, and how many are too few.
        monitor: See `StopHopeless`.
        **arguments: Those of `StopHopeless`.
    """

    def __init__(
        self,
        running: RunningTrial,
        find_baseline: Callable[[], float | None],
        tell_of_few_epochs: Callable[[int, int], None],
        monitor: str,
        **arguments: Any,
    ):
        super().__init__(monitor, **arguments)
        self._running = running
        self._find_baseline = find_baseline
        self._tell_of_few_epochs = tell_of_few_epochs
        self._last_epoch = -1

    def __deepcopy__(self, memo: Any) -> StopHopelessTrial:
        # KerasTuner copies callbacks for each execution, which begins anew anyway.
        made = copy.copy(self)
        made._begin()
        return made

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        super().on_train_begin(logs)
        self._running.callbacks_were_called = True
        self.baseline = self._find_baseline()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if self.monitor not in (logs or {}) and not self.monitor.startswith("val_"):
            raise keras_tuner.errors.FatalValueError(
                "`stop_hopeless=True` needs an objective that `fit` logs: "
                f"{', '.join(sorted(logs or {}))}. Received: the objective "
                f"{self.monitor!r}"
            )
        self._last_epoch = epoch
        super().on_epoch_end(epoch, logs)
        if self.reason is not None:
            self._running.stopped_by = f"{STOP_HOPELESS}: {self.reason}"

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        super().on_train_end(logs)
        epochs = (self.params or {}).get("epochs") or 0
        if 0 < self._epochs <= self.min_epochs + 1 and self._last_epoch + 1 >= epochs:
            self._tell_of_few_epochs(self._epochs, self.min_epochs + 1)


class TrialCurves(LiveCurves):
    """Has the curves of a trial drawn, before those of the best trial so far.

    Args:
        board: What draws the curves of the search.
        running: The trial.
        find_best: Returns the label and the curves of the best trial, or None.
    """

    def __init__(
        self,
        board: CurveBoard,
        running: RunningTrial,
        find_best: Callable[[], tuple[str, Run] | None],
    ):
        super().__init__(None, title=f"trial {running.trial_id}")
        self._running = running
        self._board = board
        self._find_best = find_best
        self._best: tuple[str, Run] | None = None

    def __deepcopy__(self, memo: Any) -> TrialCurves:
        return TrialCurves(self._board, self._running, self._find_best)

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._running.callbacks_were_called = True
        self._best = self._find_best()

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """The search waits for the last picture."""

    def _paint(self, run: Run) -> None:
        self._board.show(self.title, run, self._best)


class CurveBoard:
    """The picture of a search: the running trial, and behind it the best so far."""

    def __init__(self, path: Path):
        self._path = path
        self._painter = Painter(
            self._draw, NotebookPicture.made(), _SECONDS_BETWEEN_PICTURES
        )

    def show(self, title: str | None, run: Run, behind: tuple[str, Run] | None) -> None:
        """Has the curves drawn soon."""
        self._painter.paint((title, run, behind))

    def finish(self) -> None:
        """Waits for the last picture."""
        self._painter.finish()

    def _draw(self, shown: Any) -> tuple[str, bytes]:
        title, run, behind = shown
        figure = curve_picture.figure_of({"": run}, title, behind=behind)
        content = curve_picture.drawn(figure, "png")
        replace_file(self._path, content)
        return "png", content


# They look at losses and metrics only.
WITHOUT_MODEL = (StopHopelessTrial, TrialCurves)
