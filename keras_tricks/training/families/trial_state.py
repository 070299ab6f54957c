"""One setting that is to be trained: where it starts, and what is fed."""

import contextlib
import random
from collections.abc import Iterator
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from keras_tricks.training.compiled import keras_hooks
from keras_tricks.training.compiled import random_seed
from keras_tricks.training.compiled.functional_model import State
from keras_tricks.training.compiled.functional_model import Steps


class Holder(NamedTuple):
    """A Keras model, and its variables in the places of their values in a state."""

    model: keras.Model
    variables: State


class TrialState(NamedTuple):
    """What tells a trial from the others of its structure.

    Attributes:
        start: The state before the first step.
        numbers: The fed numbers: with their complements, float32 of shape (n, 2); or,
            where they are constants of a traced step, float64 of shape (n,).
        rates: The learning rate of each step, float32 of shape (steps,).
        holder: The trial's own model, where that of the steps may differ from it in
            what a file holds besides weights; None where it does not.
    """

    start: State
    numbers: np.ndarray
    rates: np.ndarray
    holder: Holder | None = None


def trial_of(
    functional: Steps, model: keras.Model, rates: np.ndarray, numbers: np.ndarray
) -> TrialState:
    """Returns the trial that a compiled model is the beginning of.

    Args:
        functional: The model whose program trains it, of the same structure.
        model: The model, not trained yet; it is only read.
        rates: The learning rate of each step.
        numbers: The fed numbers.
    """
    return TrialState(
        start=functional.start._replace(
            trainable=_values(model.trainable_variables),
            non_trainable=_values(model.non_trainable_variables),
            optimizer=optimizer_start(functional, _values(model.optimizer.variables)),
        ),
        numbers=numbers,
        rates=rates,
    )


def _values(variables: list) -> list:
    return [keras_hooks.value_of(variable) for variable in variables]


def optimizer_start(functional: Steps, own_values: list) -> list:
    """Returns the slots as the structure has them, with the trial's own other numbers.

    Args:
        functional: The model of the structure.
        own_values: The variables of the trial's optimizer, which is not built, or
            their values; a clip limit, for instance.
    """
    own = {
        id(known): tf.convert_to_tensor(value)
        for known, value in zip(functional.before_build, own_values, strict=True)
    }
    return [
        own.get(id(variable), start)
        for variable, start in zip(
            functional.variables.optimizer, functional.start.optimizer, strict=True
        )
    ]


@contextlib.contextmanager
def seeded(seed: int, *, after_build: bool = False) -> Iterator[None]:
    """Seeds Keras, Python, NumPy and TensorFlow; Python's and NumPy's are put back.

    Args:
        seed: The seed.
        after_build: Whether a trial was just built by it, and nothing else done.
    """
    with generators_put_back():
        random_seed.set_random_seed(seed, after_build=after_build)
        yield


@contextlib.contextmanager
def generators_put_back() -> Iterator[None]:
    """Leaves Python's and NumPy's global generators as they were."""
    python_state, numpy_state = random.getstate(), np.random.get_state()
    try:
        yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)
