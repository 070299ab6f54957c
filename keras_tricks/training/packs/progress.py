"""The course of a training: its length, its logs, its end."""

import dataclasses
import math
import numbers
import time
from collections.abc import Callable
from collections.abc import Sequence
from typing import Any
from typing import NamedTuple
from typing import Protocol

import numpy as np

# on_epoch(trial's number, epoch, its losses and metrics) -> whether it is to stop
OnEpoch = Callable[[int, int, dict[str, float]], bool | None]
# Losses and metrics of an epoch -> its score, of which the lowest is the best
ScoreOf = Callable[[dict[str, float]], float]


def last_loss(logs: dict[str, float]) -> float:
    """Returns the validation loss, or the training loss where there is none."""
    return logs["val_loss" if "val_loss" in logs else "loss"]


class TrialView(Protocol):
    """A trial in training, as a follower sees it."""

    @property
    def state(self) -> Any:
        """Its state now, a `steps.State` of NumPy arrays."""

    @property
    def rates(self) -> np.ndarray:
        """The learning rate of each step that is left."""

    def set_state(self, state: Any) -> None:
        """Has the training go on from another state."""

    def set_rates(self, rates: np.ndarray) -> None:
        """Has the training go on with other learning rates, as many as are left."""


class Follower:
    """Is told of one trial's epochs, and may change how it goes on.

    What is called is named as by `keras.callbacks.Callback`.
    """

    def on_train_begin(self, view: TrialView) -> None:
        """Called before the first epoch; again if the training has to start anew."""

    def on_epoch_begin(self, epoch: int, view: TrialView) -> None:
        """Called before an epoch."""

    def on_epoch_end(
        self, epoch: int, logs: dict[str, Any], view: TrialView
    ) -> bool | None:
        """Called with the losses and metrics of an epoch, to which it may add.

        Returns:
            True if the training is to end.
        """

    def on_train_end(self, view: TrialView) -> None:
        """Called after the last epoch."""


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """For how long trials are trained, and what is the best of it.

    Attributes:
        epochs: The number of the epoch after the last one.
        initial_epoch: The number of the first epoch; steps are counted from there.
        patience: Epochs without a better score that end a trial; None: none do.
        on_epoch: Called after each epoch of each trial with the trial's number, the
            epoch and the epoch's losses and metrics; True ends the trial.
        score_of: Tells how good an epoch was.
        followers: One for each trial, if there are any.
    """

    epochs: int
    initial_epoch: int = 0
    patience: int | None = None
    on_epoch: OnEpoch | None = None
    score_of: ScoreOf = last_loss
    followers: Sequence[Follower] | None = None

    def for_trials(self, trials: Sequence[int | None]) -> "RunConfig":
        """Returns the run of other trials: the first is known as `trials[0]`, ...

        None stands for a copy, of which nobody hears and which ends at once.
        """
        on_epoch = self.on_epoch

        def renumbered(trial: int, epoch: int, logs: dict[str, float]) -> bool | None:
            number = trials[trial]
            if number is None:
                return True
            return on_epoch is not None and on_epoch(number, epoch, logs)

        followers = self.followers
        if followers is not None:
            followers = [
                Follower() if number is None else followers[number] for number in trials
            ]
        return dataclasses.replace(self, on_epoch=renumbered, followers=followers)


class EpochTime(NamedTuple):
    """How long an epoch took.

    Attributes:
        seconds: From its beginning to its end.
        processor_seconds: The time of all processors that worked on it.
    """

    seconds: float
    processor_seconds: float

    @classmethod
    def now(cls) -> "EpochTime":
        """Returns the times now, of which differences tell."""
        return cls(time.perf_counter(), time.process_time())

    def since(self, earlier: "EpochTime") -> "EpochTime":
        """Returns how much later these times are."""
        return EpochTime(
            self.seconds - earlier.seconds,
            self.processor_seconds - earlier.processor_seconds,
        )


@dataclasses.dataclass
class TrainingResult:
    """How one trial went.

    Attributes:
        trainable: The weights of the best epoch.
        non_trainable: The best epoch's moving averages and the like.
        optimizer: The state of the optimizer after the best epoch.
        curves: Name (`loss`, `val_loss`, ...) -> float32 array, one number an epoch.
        best_epoch: The epoch with the best score; None if no score was finite.
        score: That score; infinite if none was finite.
        num_epochs: Epochs trained.
        diverged: Whether it ended because weights, losses and score were not finite.
        epoch_times: How long each epoch took, all trials of the pack together.
    """

    trainable: list[np.ndarray]
    non_trainable: list[np.ndarray]
    optimizer: list[np.ndarray]
    curves: dict[str, np.ndarray]
    best_epoch: int | None
    score: float
    num_epochs: int
    diverged: bool
    epoch_times: list[EpochTime]


class Progress:
    """What is known of one trial while it trains."""

    def __init__(self, run: RunConfig) -> None:
        self._run = run
        self.curves: dict[str, list[float]] = {}
        self.best_epoch: int | None = None
        self.score = math.inf
        self.waited = 0
        self.diverged = False
        self.may_be_lost = False
        self.active = True

    def add(self, number: int, epoch: int, logs: dict[str, float]) -> bool:
        """Takes in an epoch, and returns whether it is the best one until now."""
        for name, value in logs.items():
            if isinstance(value, numbers.Real):  # A callback may add anything.
                self.curves.setdefault(name, []).append(float(value))
        losses = [logs[name] for name in ("loss", "val_loss") if name in logs]
        score, patience = self._run.score_of(logs), self._run.patience
        self.may_be_lost = not all(map(math.isfinite, [score, *losses]))
        improved = math.isfinite(score) and score < self.score
        self.waited = 0 if improved else self.waited + 1
        if improved:
            self.score, self.best_epoch = score, epoch
        is_late = epoch > self._run.initial_epoch
        # As `keras.callbacks.EarlyStopping` counts.
        if patience is not None and self.waited >= patience and is_late:
            self.active = False
        on_epoch = self._run.on_epoch
        if on_epoch is not None and on_epoch(number, epoch, logs):
            self.active = False
        return improved

    def end_if_lost(self, weights: list) -> None:
        """Ends a trial of which no later epoch can be of use.

        A loss that is not finite does not say so: one label may be infinite, or a
        gradient may be clipped. Weights that are not finite stay so.
        """
        if self.active and self.may_be_lost:
            self.diverged = not all(np.isfinite(array).all() for array in weights)
            self.active = not self.diverged

    def outcome(
        self,
        trainable: list,
        non_trainable: list,
        optimizer: list,
        times: list[EpochTime],
    ) -> TrainingResult:
        """Returns how it went, with the state after the best epoch."""
        num_epochs = len(self.curves.get("loss", ()))
        return TrainingResult(
            trainable=trainable,
            non_trainable=non_trainable,
            optimizer=optimizer,
            curves={
                name: np.asarray(values, "float32")
                for name, values in self.curves.items()
            },
            best_epoch=self.best_epoch,
            score=self.score,
            num_epochs=num_epochs,
            diverged=self.diverged,
            epoch_times=times[:num_epochs],
        )
