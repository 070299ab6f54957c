"""Trials of one structure that train side by side, each with its own end."""

import dataclasses
import math
import time
from collections.abc import Callable
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from keras_tricks.training.data import Data
from keras_tricks.training.programs import Program
from keras_tricks.training.steps import State
from keras_tricks.training.trials import Trial

# on_epoch(trial's number, epoch, its losses and metrics) -> whether it is to stop
OnEpoch = Callable[[int, int, dict[str, float]], bool | None]


@dataclasses.dataclass
class Outcome:
    """How one trial went.

    Attributes:
        trainable: The weights of the best epoch.
        non_trainable: The best epoch's moving averages and the like.
        curves: Name (`loss`, `val_loss`, ...) -> float32 array, one number an epoch.
        best_epoch: The epoch with the lowest loss in validation, or in training where
            there is no validation, counted from 0; None if no loss was finite.
        score: That loss; infinite if none was finite.
        num_epochs: Epochs trained.
        diverged: Whether it ended because a loss was not finite.
        epoch_seconds: How long each epoch took, all trials of the pack together.
    """

    trainable: list[np.ndarray]
    non_trainable: list[np.ndarray]
    curves: dict[str, np.ndarray]
    best_epoch: int | None
    score: float
    num_epochs: int
    diverged: bool
    epoch_seconds: list[float]


class Progress:
    """What is known of one trial while it trains."""

    def __init__(self) -> None:
        self.curves: dict[str, list[float]] = {}
        self.best_epoch: int | None = None
        self.score = math.inf
        self.waited = 0
        self.diverged = False
        self.active = True

    def add(self, epoch: int, logs: dict[str, float], patience: int | None) -> bool:
        """Takes in an epoch, and returns whether it is the best one until now."""
        for name, value in logs.items():
            self.curves.setdefault(name, []).append(value)
        losses = [logs[name] for name in ("loss", "val_loss") if name in logs]
        if not all(map(math.isfinite, losses)):
            self.diverged, self.active = True, False
            return False
        self.waited += 1
        if losses[-1] < self.score:
            self.score, self.best_epoch, self.waited = losses[-1], epoch, 0
            return True
        # As `keras.callbacks.EarlyStopping` counts.
        if patience is not None and self.waited >= patience and epoch > 0:
            self.active = False
        return False

    def outcome(self, trainable: list, non_trainable: list, seconds: list) -> Outcome:
        """Returns how it went, with the weights of the best epoch."""
        num_epochs = len(self.curves.get("loss", ()))
        return Outcome(
            trainable=trainable,
            non_trainable=non_trainable,
            curves={
                name: np.asarray(values, "float32")
                for name, values in self.curves.items()
            },
            best_epoch=self.best_epoch,
            score=self.score,
            num_epochs=num_epochs,
            diverged=self.diverged,
            epoch_seconds=seconds[:num_epochs],
        )


def run(
    program: Program,
    trials: Sequence[Trial],
    data: Data,
    epochs: int,
    *,
    patience: int | None = None,
    on_epoch: OnEpoch | None = None,
) -> list[Outcome]:
    """Trains trials of one structure, together if `program` is a packed one.

    A trial ends when a loss is not finite, after `patience` epochs without a better
    one, or when `on_epoch` says so; the others go on, and nothing of it reaches them.

    Args:
        program: The compiled epochs.
        trials: The trials.
        data: What they train on.
        epochs: The most epochs.
        patience: See above; None trains to the end.
        on_epoch: Called after each epoch of each trial with the trial's number, the
            epoch and the epoch's losses and metrics; True ends the trial.
    """
    if not program.packed:
        return [
            outcome
            for number, trial in enumerate(trials)
            for outcome in _run(
                program, [trial], data, epochs, patience, _renumbered(on_epoch, number)
            )
        ]
    return _run(program, trials, data, epochs, patience, on_epoch)


def _renumbered(on_epoch: OnEpoch | None, number: int) -> OnEpoch | None:
    if on_epoch is None:
        return None
    return lambda _, epoch, logs: on_epoch(number, epoch, logs)


def _run(program, trials, data, epochs, patience, on_epoch) -> list[Outcome]:
    stacked = _stacked if program.packed else lambda states: states[0]
    state: State = stacked([trial.start for trial in trials])
    numbers = tf.constant(stacked([trial.numbers for trial in trials]))
    rates = stacked([trial.rates for trial in trials])
    progress = [Progress() for _ in trials]
    best = state.trainable, state.non_trainable
    seconds: list[float] = []
    for epoch in range(epochs):
        began = time.perf_counter()
        state, results = data.train_epoch(program, state, numbers, rates, epoch)
        validated = data.evaluate(program, state, numbers)
        results |= {f"val_{name}": value for name, value in validated.items()}
        logs = {name: np.atleast_1d(value.numpy()) for name, value in results.items()}
        seconds.append(time.perf_counter() - began)
        improved = _record(progress, epoch, logs, patience, on_epoch)
        if any(improved):
            mask = tf.constant(improved if program.packed else improved[0])
            best = _select(mask, (state.trainable, state.non_trainable), best)
        if not any(each.active for each in progress):
            break
    return _outcomes(program, progress, best, seconds)


def _record(progress, epoch, logs, patience, on_epoch) -> list[bool]:
    """Returns, for each trial, whether this epoch is its best one until now."""
    improved = []
    for number, each in enumerate(progress):
        if not each.active:
            improved.append(False)
            continue
        own = {name: float(values[number]) for name, values in logs.items()}
        improved.append(each.add(epoch, own, patience))
        if on_epoch is not None and on_epoch(number, epoch, own):
            each.active = False
    return improved


@tf.function(autograph=False, reduce_retracing=False)
def _select(mask, new, old):
    """Returns `new` for the trials in `mask` and `old` for the others."""

    def one(new, old):
        shape = tf.concat(
            [tf.shape(mask), tf.ones(len(new.shape) - len(mask.shape), tf.int32)], 0
        )
        return tf.where(tf.reshape(mask, shape), new, old)

    return tf.nest.map_structure(one, new, old)


def _outcomes(program, progress, best, seconds) -> list[Outcome]:
    trainable, non_trainable = tf.nest.map_structure(lambda t: np.asarray(t), best)

    def own(arrays: list, number: int) -> list:
        return [a[number] for a in arrays] if program.packed else arrays

    return [
        each.outcome(own(trainable, number), own(non_trainable, number), seconds)
        for number, each in enumerate(progress)
    ]


def _stacked(states):
    """Returns nested tensors or arrays with a first axis of trials."""
    if isinstance(states[0], np.ndarray):
        return np.stack(states)
    # NumPy's copy is quicker than one operation a tensor and a trial.
    return tf.nest.map_structure(
        lambda *tensors: tf.constant(np.stack([np.asarray(t) for t in tensors])),
        *states,
    )
