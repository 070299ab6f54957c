"""A reduction of the schedule when a metric no longer improves."""

import contextlib
from typing import Any
from typing import Literal
from typing import get_args

import keras

from keras_tricks import _validation
from keras_tricks.callbacks.innermost import innermost_optimizer
from keras_tricks.optimizers import keras_hooks
from keras_tricks.schedules.display import shown
from keras_tricks.schedules.scaled import Scaled

Mode = Literal["auto", "min", "max"]
MODES = get_args(Mode)


class ReduceScheduleOnPlateau(keras.callbacks.Callback):
    """Reduces a learning rate schedule when a metric has stopped improving.

    `keras.callbacks.ReduceLROnPlateau` sets the rate itself and refuses an optimizer
    with a schedule. This one leaves the schedule as it is and reduces a multiplier
    in front of it:

    `rate(step) = multiplier * schedule(step)`

    When to reduce is decided by Keras's own callback: after `patience` epochs in
    which `monitor` did not improve by more than `min_delta`, the multiplier becomes
    `max(multiplier * factor, min_multiplier)`, and then `cooldown` epochs are not
    counted.

    The optimizer is not rebuilt. The schedule of the model's optimizer (inside
    `ClippedOptimizer` and `LossScaleOptimizer`, if it is wrapped) is put into
    `keras_tricks.schedules.scaled.Scaled` when `fit` begins; a `Scaled` that is there
    already, from you or from an earlier `fit`, is taken over with the multiplier that
    it has. On TensorFlow the compiled step reads the multiplier; on JAX it is traced
    again each time the multiplier changes.

    The multiplier is kept by everything that keeps the optimizer: by `.keras` files,
    which train on with it whether or not the callback is used again, and, where
    `fit` is given the callback again, by weight files and so by
    `keras.callbacks.BackupAndRestore` too. List this callback before those that
    save, so that they save what it decided. What it has counted (the best value, the
    epochs without improvement, the cooldown) starts anew with each `fit`, as that
    of Keras's callbacks does.

    Each epoch's `logs`, and so `history`, get `"learning_rate_multiplier"`: the
    multiplier of that epoch.

    Args:
        monitor: Name of the metric in `logs`.
        factor: What the multiplier is multiplied by, > 0 and < 1.
        patience: Epochs without improvement before a reduction.
        mode: `"min"` if less is better, `"max"` if more is, or `"auto"` to let Keras
            tell from the metric.
        min_delta: The least change that counts as an improvement.
        cooldown: Epochs after a reduction that are not counted.
        min_multiplier: The multiplier is not reduced below this.
        verbose: 1 to print each reduction, 0 to be quiet.

    Raises:
        TypeError: If an argument is of the wrong type; when `fit` begins, if the
            optimizer's learning rate is not a schedule.
        ValueError: If an argument is out of its range.

    Example:

    >>> import keras
    >>> import numpy as np
    >>> from keras_tricks.callbacks import ReduceScheduleOnPlateau
    >>> from keras_tricks.schedules import WarmupPolynomialDecay
    >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    >>> model.compile(keras.optimizers.SGD(WarmupPolynomialDecay(0.1, 100)), "mse")
    >>> never_better = ReduceScheduleOnPlateau("loss", patience=2, min_delta=1e9)
    >>> x = y = np.ones((4, 1))
    >>> history = model.fit(x, y, epochs=6, verbose=0, callbacks=[never_better])
    >>> history.history["learning_rate_multiplier"]
    [1.0, 1.0, 1.0, 0.5, 0.5, 0.25]
    """

    # There from `set_model` on.
    _state: "_MultiplierState"

    def __init__(
        self,
        monitor: str = "val_loss",
        factor: float = 0.5,
        patience: int = 10,
        mode: Mode = "auto",
        min_delta: float = 1e-4,
        cooldown: int = 0,
        min_multiplier: float = 0.0,
        verbose: int = 0,
    ):
        super().__init__()
        self.monitor = _validation.check_text("monitor", monitor)
        self.factor = _validation.check_float("factor", factor, exclusive=True)
        if self.factor >= 1:
            raise ValueError(
                "`factor` must be a number > 0 and < 1, or nothing is reduced. "
                f"{_validation.received('factor', factor)}"
            )
        self.patience = _validation.check_int("patience", patience)
        self.mode = _validation.check_choice("mode", mode, MODES)
        self.min_delta = _validation.check_float("min_delta", min_delta)
        self.cooldown = _validation.check_int("cooldown", cooldown)
        self.min_multiplier = _validation.check_float("min_multiplier", min_multiplier)
        self.verbose = _validation.check_int("verbose", verbose)
        self._plateau = keras.callbacks.ReduceLROnPlateau(
            monitor=self.monitor,
            factor=self.factor,
            patience=self.patience,
            mode=self.mode,
            min_delta=self.min_delta,
            cooldown=self.cooldown,
            min_lr=self.min_multiplier,
        )

    def __repr__(self) -> str:
        return shown.made(self)

    def set_model(self, model: keras.Model) -> None:
        super().set_model(model)
        if getattr(model, "optimizer", None) is None:
            return  # It is a `predict` of a model that was not compiled.
        # Before any `on_train_begin`, where BackupAndRestore loads what is saved.
        self._state = _multiplier_state(model)
        self._plateau.set_model(_MultiplierAsRate(model, self._state.multiplier))

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._plateau.on_train_begin(logs)
        self._plateau.best = None  # Older versions of Keras keep the last `fit`'s.

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._trace_again_if_needed()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        logs = {} if logs is None else logs
        before = self._state.value
        logs["learning_rate_multiplier"] = before
        # It adds a "learning_rate" of its own to what it is given.
        self._plateau.on_epoch_end(epoch, dict(logs))
        after = self._state.value
        if after != before:
            self._trace_again_if_needed()
            if self.verbose:
                print(
                    f"\nEpoch {epoch + 1}: ReduceScheduleOnPlateau reduces the "
                    f"schedule's multiplier to {after:g}."
                )

    def _trace_again_if_needed(self) -> None:
        """Replaces a compiled step that was made for something else.

        The first time it may hold the schedule as it was before it was wrapped. JAX
        makes a constant of a variable that is not the optimizer's own.
        """
        traced_with = self._state.traced_with
        is_constant = keras.backend.backend() == "jax"
        if traced_with is None or (is_constant and traced_with != self._state.value):
            self.model.make_train_function(force=True)
            self._state.traced_with = self._state.value


class _MultiplierState(keras.layers.Layer):
    """Carries the multiplier into every file that holds the optimizer's state.

    As an attribute of the optimizer it is saved beside it. The optimizer's own list
    of variables is left as it is, so that its state can be exchanged with that of an
    optimizer without a multiplier.
    """

    def __init__(self, multiplier: keras.Variable):
        super().__init__(name="learning_rate_multiplier", trainable=False)
        self.multiplier = multiplier
        self.traced_with: float | None = None

    @property
    def value(self) -> float:
        return float(keras.ops.convert_to_numpy(self.multiplier))

    def save_own_variables(self, store: Any) -> None:
        store["0"] = keras.ops.convert_to_numpy(self.multiplier)

    def load_own_variables(self, store: Any) -> None:
        # A file that was written without the callback says nothing.
        if "0" in store.keys():
            self.multiplier.assign(store["0"])


class _MultiplierAsRate:
    """The model as `ReduceLROnPlateau` sees it: its rate is the multiplier."""

    def __init__(self, model: keras.Model, multiplier: keras.Variable):
        self._model = model
        self._multiplier = multiplier

    @property
    def optimizer(self) -> "_MultiplierAsRate":
        return self

    @property
    def metrics(self) -> list:
        return self._model.metrics

    @property
    def learning_rate(self) -> keras.Variable:
        return self._multiplier

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        self._multiplier.assign(value)


def _multiplier_state(model: keras.Model) -> _MultiplierState:
    """Returns the multiplier of the model's schedule, put there if there is none."""
    optimizer = innermost_optimizer(model.optimizer)
    schedule = keras_hooks.schedule_of(optimizer)
    if schedule is None:
        raise TypeError(
            "ReduceScheduleOnPlateau needs an optimizer whose learning rate is a "
            "schedule; for one whose rate is a number there is "
            "keras.callbacks.ReduceLROnPlateau. "
            f"{_validation.received('learning_rate', optimizer.learning_rate)}"
        )
    if not isinstance(schedule, Scaled):
        with _variables_on_all_replicas(model):
            schedule = Scaled(schedule)
        optimizer.learning_rate = schedule
    state = getattr(optimizer, "learning_rate_multiplier", None)
    if state is None or state.multiplier is not schedule.multiplier:
        state = _MultiplierState(schedule.multiplier)
        optimizer.learning_rate_multiplier = state
    return state


def _variables_on_all_replicas(
    model: keras.Model,
) -> contextlib.AbstractContextManager[Any]:
    if keras.backend.backend() == "tensorflow":
        return model.distribute_strategy.scope()
    return contextlib.nullcontext()
