"""The learning rate of any optimizer, set from outside at each step."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from keras_tricks.optimizers.keras_hooks import given_rate
from keras_tricks.optimizers.keras_hooks import leaf_optimizers


class GivenRate(keras.optimizers.schedules.LearningRateSchedule):
    """The schedule whose rate is what a variable holds, at any step.

    Args:
        variable: The variable, or a number, which is what a file holds of it.
    """

    def __init__(self, variable: keras.Variable | float):
        self.variable = variable

    def __call__(self, step: Any) -> Any:
        return keras.ops.convert_to_tensor(self.variable)

    def get_config(self) -> dict[str, float]:
        return {"variable": float(keras.ops.convert_to_numpy(self.variable))}


def shares_of(optimizer: keras.optimizers.Optimizer) -> list[float]:
    """Returns the rate of each optimizer of a group, in shares of the largest.

    They are all 1 where one of them is no number, or none is above 0; and those of
    optimizers that follow each other.
    """
    if hasattr(optimizer, "inner_optimizer"):
        return shares_of(optimizer.inner_optimizer)
    if hasattr(optimizer, "phases"):
        return [1.0] * len(leaf_optimizers(optimizer))
    rates = [given_rate(leaf) for leaf in leaf_optimizers(optimizer)]
    numbers = [rate for rate in rates if isinstance(rate, float)]
    largest = max(numbers, default=0.0)
    if len(numbers) < len(rates) or not np.isfinite(largest) or largest <= 0.0:
        return [1.0] * len(rates)
    return [rate / largest for rate in numbers]


@contextlib.contextmanager
def rates_given(model: keras.Model) -> Iterator[Callable[[float], None]]:
    """Yields a function that sets the learning rate of a model's optimizer.

    Rates that are numbers are set, and are the caller's to put back; schedules are
    replaced, for which the step is traced anew, and are back at the end.

    Args:
        model: A compiled model.
    """
    leaves = leaf_optimizers(model.optimizer)
    shares = shares_of(model.optimizer)
    replaced: list[tuple[Any, Any]] = []
    setters: list[Callable[[float], None]] = []
    function = model.train_function
    try:
        for leaf in leaves:
            rate = given_rate(leaf)
            if isinstance(rate, float):
                setters.append(functools.partial(setattr, leaf, "learning_rate"))
                continue
            with model.distribute_strategy.scope():
                variable = keras.Variable(0.0, trainable=False, dtype="float32")
            replaced.append((leaf, rate))
            leaf.learning_rate = GivenRate(variable)
            setters.append(variable.assign)
        if replaced:
            model.train_function = None

        def set_rate(rate: float) -> None:
            for setter, share in zip(setters, shares, strict=True):
                setter(share * rate)

        yield set_rate
    finally:
        for leaf, rate in replaced:
            leaf.learning_rate = rate
        if replaced:
            model.train_function = function


def set_constant(optimizer: keras.optimizers.Optimizer, rate: float) -> None:
    """Gives an optimizer that has not been used a constant rate.

    Args:
        optimizer: An optimizer, or a wrapper or group of some.
        rate: The rate, of a group that of the largest.
    """
    leaves, shares = leaf_optimizers(optimizer), shares_of(optimizer)
    for leaf, share in zip(leaves, shares, strict=True):
        if isinstance(given_rate(leaf), float):
            leaf.learning_rate = share * rate
        else:
            leaf.learning_rate = keras.optimizers.schedules.PolynomialDecay(
                share * rate, 1, share * rate
            )


def batches_per_update(optimizer: keras.optimizers.Optimizer) -> int:
    """Returns over how many batches an optimizer adds up gradients."""
    count = 1
    while optimizer is not None:
        count *= getattr(optimizer, "gradient_accumulation_steps", None) or 1
        optimizer = getattr(optimizer, "inner_optimizer", None)
    return count
