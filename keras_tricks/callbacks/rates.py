"""A record of the learning rate of each update."""

from typing import Any

import keras
import numpy as np

from keras_tricks.callbacks.innermost import innermost_optimizer
from keras_tricks.optimizers import SwitchedOptimizer
from keras_tricks.optimizers import keras_hooks
from keras_tricks.schedules.display import shown
from keras_tricks.schedules.display.curve import curve
from keras_tricks.schedules.scaled import Scaled


class LearningRateHistory(keras.callbacks.Callback):
    """Records the learning rate that each update was made with.

    - `logs["learning_rate"]` of each epoch is the rate of its last update, so that
      `history`, `CSVLogger`, `TensorBoard` and whatever reads `logs` have it. Callbacks
      of your own that read it are listed after this one. An epoch without an update,
      which gradient accumulation can bring about, logs the rate of the next.
    - `history.learning_rate_per_update`, where `history` is what `fit` returns and
      `model.history` during it, is a list with one number for each update of the
      `fit`. It is beside the dict `history.history`, not in it: what reads that dict,
      KerasTuner for instance, expects one value for each epoch.

    With `gradient_accumulation_steps=k` an update is made once in k batches, with the
    rate that the schedule has at the last of them. Updates that `LossScaleOptimizer`
    skips are not counted.

    Nothing is copied from the device during an epoch: when it ends, the schedule is
    evaluated once for all the steps of the epoch (step by step if it does not take
    a vector). A learning rate that is a number, and the multiplier of a `Scaled`
    schedule, are read when the first batch of an epoch begins. So a callback may set
    them at any time outside an epoch, as `LearningRateScheduler`, `ReduceLROnPlateau`
    and `ReduceScheduleOnPlateau` do, whatever the order of the callbacks; one that
    sets them between the batches of an epoch is recorded from the next epoch on.

    Example:

    >>> import keras
    >>> import numpy as np
    >>> from keras_tricks.callbacks import LearningRateHistory
    >>> from keras_tricks.schedules import WarmupPolynomialDecay
    >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    >>> model.compile(keras.optimizers.SGD(WarmupPolynomialDecay(1.0, 8)), "mse")
    >>> history = model.fit(np.ones((4, 1)), np.ones((4, 1)), batch_size=1, epochs=2,
    ...                     verbose=0, callbacks=[LearningRateHistory()])
    >>> history.history["learning_rate"]
    [0.625, 0.125]
    >>> history.learning_rate_per_update
    [1.0, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125]
    """

    def __init__(self) -> None:
        super().__init__()
        self._per_update: list[float] = []
        self._first_update = 0
        self._settable = [1.0]
        self._epoch_has_begun = False

    def __repr__(self) -> str:
        return shown.made(self)

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._optimizer = innermost_optimizer(self.model.optimizer)
        self._per_update = []

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._epoch_has_begun = False

    def on_train_batch_begin(
        self, batch: int, logs: dict[str, Any] | None = None
    ) -> None:
        # Not when the epoch begins: other callbacks may set the rate there.
        if not self._epoch_has_begun:
            self._epoch_has_begun = True
            self._first_update = _updates_of(self._optimizer)
            self._settable = [_settable_part(o) for o in _phases(self._optimizer)]

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if not self._epoch_has_begun:
            return  # There was no batch.
        updates = np.arange(self._first_update, _updates_of(self._optimizer))
        shown = updates if len(updates) else np.array([self._first_update])
        rates = self._rates(shown)
        self._per_update += rates[: len(updates)]
        if logs is not None:
            logs["learning_rate"] = rates[-1]
        self.model.history.learning_rate_per_update = self._per_update

    def _rates(self, updates: np.ndarray) -> list[float]:
        """Returns the rates of updates that were made in the epoch that ends."""
        phases = _phases(self._optimizer)
        rates = _rates_of(phases[0], updates, self._settable[0])
        if len(phases) > 1:
            switched_at = self._optimizer.switched_at
            if switched_at is not None and updates[-1] >= switched_at:
                # The rate may have been found in the switch.
                settable = _settable_part(phases[1])
                is_second = updates >= switched_at
                own = (updates - switched_at)[is_second]
                rates[is_second] = _rates_of(phases[1], own, settable)
        return rates.tolist()


def _phases(optimizer: keras.optimizers.Optimizer) -> tuple:
    """Returns the optimizers that follow each other, or the only one."""
    is_switched = isinstance(optimizer, SwitchedOptimizer)
    return optimizer.phases if is_switched else (optimizer,)


def _rates_of(
    optimizer: keras.optimizers.Optimizer, updates: np.ndarray, settable: float
) -> np.ndarray:
    schedule = keras_hooks.schedule_of(optimizer)
    if schedule is None:
        return np.full(len(updates), settable, "float32")
    # The schedule is given the number of batches, of which k make an update.
    batches_per_update = optimizer.gradient_accumulation_steps or 1
    steps = batches_per_update * updates + batches_per_update - 1
    if isinstance(schedule, Scaled):
        # Its own multiplier may have been changed since.
        schedule = schedule.schedule
    return np.float32(settable) * curve(schedule, steps)


def _updates_of(optimizer: keras.optimizers.Optimizer) -> int:
    return int(keras.ops.convert_to_numpy(optimizer.iterations))


def _settable_part(optimizer: keras.optimizers.Optimizer) -> float:
    """Returns what a callback can set: a rate that is a number, or a multiplier."""
    schedule = keras_hooks.schedule_of(optimizer)
    if schedule is None:
        return float(keras.ops.convert_to_numpy(optimizer.learning_rate))
    if isinstance(schedule, Scaled):
        return float(keras.ops.convert_to_numpy(schedule.multiplier))
    return 1.0
