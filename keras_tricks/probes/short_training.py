"""A few steps of `fit` at given learning rates, and the loss of each."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_tricks import _validation
from keras_tricks.probes.kept_model import KeptState
from keras_tricks.probes.kept_model import switched_within


def losses_of(
    model: keras.Model,
    given: dict[str, Any],
    rates: np.ndarray,
    set_rate: Callable[[float], None],
    state: KeptState,
    *,
    accumulated: int = 1,
    callbacks: Sequence[Any] = (),
    is_over: Callable[[np.ndarray], bool] = lambda losses: False,
) -> np.ndarray:
    """Trains, and returns the loss before each update, as many as there were.

    Args:
        model: The model, whose `steps_per_execution` is 1.
        given: The data, and other arguments of `fit`.
        rates: The rate of each update.
        set_rate: Function that sets it.
        state: Takes the state before the first step.
        accumulated: Batches of an update, whose mean loss is taken.
        callbacks: Callbacks of the user's.
        is_over: Function of the losses so far: whether to end.

    Raises:
        ValueError: If a step has no loss, no update was made, or the optimizer was
            switched meanwhile.
    """
    steps = _Steps(rates, set_rate, accumulated, is_over)
    switched = switched_within(model.optimizer)
    phase_before = None if switched is None else switched.switched_at
    with warnings.catch_warnings():
        # Of data that do not know their length, which begin anew.
        warnings.filterwarnings("ignore", "Your input ran out of data")
        model.fit(
            **given,
            shuffle=False,
            verbose=0,
            callbacks=[_BeforeAll(state), *callbacks, steps],
        )
    if steps.num_batches < accumulated * len(rates) and not model.stop_training:
        raise ValueError(
            f"`x` must yield {accumulated * len(rates)} batches, or be able to begin "
            f"anew. Received: x, which yields {steps.num_batches}"
        )
    if not steps.is_over and model.stop_training:
        raise ValueError(
            "`callbacks` must not end the training. Received: callbacks, of which one "
            f"ended it after {len(steps.losses)} of {len(rates)} steps"
        )
    if switched is not None and switched.switched_at != phase_before:
        raise ValueError(
            "`steps` must end before the optimizer is switched, or its phases be "
            f"tested one by one. Received: steps={len(rates)}, and a switch at step "
            f"{switched.switched_at}"
        )
    return np.array(steps.losses)


class _BeforeAll(keras.callbacks.Callback):
    """Takes the state of the model when all is built and nothing is trained."""

    def __init__(self, state: KeptState):
        super().__init__()
        self._state = state

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._state.take()


class _Steps(keras.callbacks.Callback):
    """Sets the rate of each update, and notes its loss."""

    def __init__(
        self,
        rates: np.ndarray,
        set_rate: Callable[[float], None],
        accumulated: int,
        is_over: Callable[[np.ndarray], bool],
    ):
        super().__init__()
        self._rates = rates
        self._set_rate = set_rate
        self._accumulated = accumulated
        self._ends = is_over
        self._batches: list[float] = []
        self.num_batches = 0
        self.losses: list[float] = []
        self.is_over = False  # By itself, and not by another callback.

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._updates_before = _updates_of(self.model)

    def on_train_batch_begin(
        self, batch: int, logs: dict[str, Any] | None = None
    ) -> None:
        # The loss of each batch, instead of the mean of an epoch.
        self.model.reset_metrics()
        self._set_rate(float(self._rates[len(self.losses)]))

    def on_train_batch_end(
        self, batch: int, logs: dict[str, Any] | None = None
    ) -> None:
        self.num_batches += 1
        self._batches.append(_loss_in(logs))
        if len(self._batches) < self._accumulated:
            return
        self.losses.append(float(np.mean(self._batches)))
        self._batches = []
        losses = np.array(self.losses)
        is_last = len(losses) == len(self._rates)
        if is_last or not np.isfinite(losses[-1]) or self._ends(losses):
            self.is_over = self.model.stop_training = True

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        is_finite = bool(np.isfinite(self.losses).all())
        if (
            is_finite
            and self.losses
            and self._updates_before == _updates_of(self.model)
        ):
            raise ValueError(
                "The model's `train_step` must update by `model.optimizer`, whose rate "
                "is what is tested. Received: a model whose optimizer "
                f"({type(self.model.optimizer).__name__}) has made no step"
            )


def _updates_of(model: keras.Model) -> int:
    return int(keras.ops.convert_to_numpy(model.optimizer.iterations))


def _loss_in(logs: Any) -> float:
    loss = (logs or {}).get("loss")
    if loss is None:
        raise ValueError(
            "The model's `train_step` must return its loss as `loss`. "
            f"{_validation.received('logs', sorted(logs or {}))}"
        )
    return float(np.mean(keras.ops.convert_to_numpy(loss)))
