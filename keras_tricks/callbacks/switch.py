"""The switch of an optimizer when a metric no longer improves."""

from typing import Any

import keras

from keras_tricks import _validation
from keras_tricks.callbacks.plateau import MODES
from keras_tricks.callbacks.plateau import Mode
from keras_tricks.optimizers import SwitchedOptimizer
from keras_tricks.schedules.display import shown


class SwitchOnPlateau(keras.callbacks.Callback):
    """Switches a `SwitchedOptimizer` when a metric has stopped improving.

    After `patience` epochs in which `monitor` did not improve by more than `min_delta`,
    the second optimizer takes over. When to switch is decided by Keras's own
    `ReduceLROnPlateau`; the learning rate is left alone. The optimizer, made with
    `at="plateau"`, may be inside `ClippedOptimizer` and `LossScaleOptimizer`, and its
    state, saved with the model, holds the switch. What the callback has counted starts
    anew with each `fit`.

    Args:
        monitor: Name of the metric in `logs`.
        patience: Epochs without improvement before the switch.
        mode: `"min"` if less is better, `"max"` if more is, or `"auto"` to let Keras
            tell from the metric.
        min_delta: The least change that counts as an improvement.
        verbose: 1 to print the switch, 0 to be quiet.

    Raises:
        TypeError: If an argument is of the wrong type; when `fit` begins, if the
            model's optimizer is none that can be switched.
        ValueError: If an argument is out of its range; when `fit` begins, if the
            optimizer was not made with `at="plateau"`.

    Example:

    >>> import keras
    >>> import numpy as np
    >>> from keras_tricks.callbacks import SwitchOnPlateau
    >>> from keras_tricks.optimizers import SwitchedOptimizer
    >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    >>> optimizer = SwitchedOptimizer(
    ...     keras.optimizers.Adam(), keras.optimizers.SGD(0.01, 0.9), at="plateau")
    >>> model.compile(optimizer, "mse")
    >>> never_better = SwitchOnPlateau("loss", patience=2, min_delta=1e9)
    >>> x = y = np.ones((4, 1))
    >>> _ = model.fit(x, y, epochs=6, verbose=0, callbacks=[never_better])
    >>> optimizer.switched_at  # One update an epoch; the first is the best one.
    3
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        patience: int = 5,
        mode: Mode = "auto",
        min_delta: float = 1e-4,
        verbose: int = 0,
    ):
        super().__init__()
        self.monitor = _validation.check_text("monitor", monitor)
        self.patience = _validation.check_int("patience", patience)
        self.mode = _validation.check_choice("mode", mode, MODES)
        self.min_delta = _validation.check_float("min_delta", min_delta)
        self.verbose = _validation.check_int("verbose", verbose)
        self._plateau = keras.callbacks.ReduceLROnPlateau(
            monitor=self.monitor,
            factor=0.5,
            patience=self.patience,
            mode=self.mode,
            min_delta=self.min_delta,
        )

    def __repr__(self) -> str:
        return shown.made(self)

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._optimizer = _switched_optimizer(self.model.optimizer)
        self._optimizer.is_watched = True
        self._plateau.set_model(_SwitchAsRate(self.model, self._optimizer))
        self._plateau.on_train_begin(logs)
        self._plateau.best = None  # Older versions of Keras keep the last `fit`'s.

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if self._optimizer.switched_at is not None:
            return
        # It adds a "learning_rate" of its own to what it is given.
        self._plateau.on_epoch_end(epoch, dict(logs or {}))
        if self.verbose and self._optimizer.switched_at is not None:
            name = type(self._optimizer.second).__name__
            print(f"\nEpoch {epoch + 1}: SwitchOnPlateau switches to {name}.")


class _SwitchAsRate:
    """The model as `ReduceLROnPlateau` sees it: setting the rate is the switch."""

    def __init__(self, model: keras.Model, optimizer: SwitchedOptimizer):
        self._model = model
        self._optimizer = optimizer

    @property
    def optimizer(self) -> "_SwitchAsRate":
        return self

    @property
    def metrics(self) -> list:
        return self._model.metrics

    @property
    def learning_rate(self) -> float:
        return 1.0

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        self._optimizer.switch()


def _switched_optimizer(optimizer: Any) -> SwitchedOptimizer:
    while hasattr(optimizer, "inner_optimizer"):
        optimizer = optimizer.inner_optimizer
    if not isinstance(optimizer, SwitchedOptimizer):
        raise TypeError(
            "The model's optimizer must be a SwitchedOptimizer, also inside of "
            f"ClippedOptimizer. Received: {type(optimizer).__name__}"
        )
    if optimizer.at != "plateau":
        raise ValueError(
            'The model\'s SwitchedOptimizer must be made with at="plateau". '
            f"{_validation.received('at', optimizer.at)}"
        )
    return optimizer
