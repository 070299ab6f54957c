"""A model that is trained for a while and comes back as it was."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_tricks.optimizers import SwitchedOptimizer
from keras_tricks.parameters.keras_hooks import all_layers
from keras_tricks.training.families.trial_state import generators_put_back

# Of the model: what `fit` sets beside variables.
_SET_BY_FIT = ("stop_training", "history", "train_function", "steps_per_execution")


class KeptState:
    """The values of all variables of a model, of its optimizers and of its metrics.

    Args:
        model: A compiled model.
    """

    def __init__(self, model: keras.Model):
        self._model = model
        self._values: dict[int, tuple[Any, np.ndarray]] | None = None

    def take(self) -> None:
        """Takes the values, unless they were taken before; builds the optimizer.

        Raises:
            ValueError: If the model has layers that are not built.
        """
        if self._values is not None:
            return
        model = self._model
        names = [layer.name for layer in unbuilt_layers(model) if layer is not model]
        # Layers without weights may never be marked as built.
        if (names and not model.built) or not model.trainable_variables:
            what = ", ".join(names[:3]) or "weights"
            if model.built and not names and model.weights:
                raise ValueError(
                    "The model must have something to train: set `trainable` of some "
                    f"layers, and compile it again. Received: {model!r}, of which all "
                    "weights are frozen"
                )
            raise ValueError(
                "The model must be built, as it cannot be put back otherwise: call it "
                f"on a batch before. Received: {model!r}, of which {what} are not there"
            )
        if not model.optimizer.built:
            with model.distribute_strategy.scope():
                model.optimizer.build(model.trainable_variables)
        self._values = {
            id(variable): (variable, np.array(variable.numpy()))
            for variable in variables_of(model)
        }

    def put_back(self) -> None:
        """Gives the variables the values that were taken.

        Raises:
            ValueError: If there are variables that were made since.
        """
        if self._values is None:
            return
        for variable, value in self._values.values():
            variable.assign(value)
        # Metrics have variables when they have seen a batch.
        for metric in self._model.metrics:
            if any(id(variable) not in self._values for variable in metric.variables):
                metric.reset_state()
        known = {*self._values, *map(id, self._model.metrics_variables)}
        late = [v for v in variables_of(self._model) if id(v) not in known]
        if late:
            names = ", ".join(getattr(v, "path", v.name) for v in late[:3])
            raise ValueError(
                "The model must have its variables before the first step, as they "
                "cannot be put back otherwise: train it on a batch before. Received: a "
                f"model whose first step makes {len(late)} variables ({names})"
            )


@contextlib.contextmanager
def kept(model: keras.Model, *, step_by_step: bool = True) -> Iterator[KeptState]:
    """Yields the state of a model, which is put back at the end whatever happens.

    The compiled step, and Python's and NumPy's global generators, are put back, too.
    The state is taken by `KeptState.take`, once `fit` has made all that it makes before
    the first step.

    Args:
        model: A compiled model.
        step_by_step: Whether `fit` makes one step at a time meanwhile, whatever
            `steps_per_execution` is.
    """
    state = KeptState(model)
    known = {name: getattr(model, name) for name in _SET_BY_FIT if hasattr(model, name)}
    switched = switched_within(model.optimizer)
    was_watched = switched is not None and switched.is_watched

    def put_back() -> None:
        for name in _SET_BY_FIT:
            if name in known:
                setattr(model, name, known[name])
            elif hasattr(model, name):
                delattr(model, name)
        if switched is not None:
            switched.is_watched = was_watched

    with generators_put_back():
        try:
            if switched is not None:
                switched.is_watched = True  # It would miss its callback.
            if step_by_step and model.steps_per_execution != 1:
                model.steps_per_execution = 1
                model.train_function = None
            yield state
        except BaseException:
            put_back()
            with contextlib.suppress(ValueError):
                state.put_back()  # Its own error would hide this one.
            raise
        put_back()
        state.put_back()


def switched_within(optimizer: Any) -> SwitchedOptimizer | None:
    """Returns the optimizer that is switched during training, if there is one."""
    while hasattr(optimizer, "inner_optimizer"):
        optimizer = optimizer.inner_optimizer
    return optimizer if isinstance(optimizer, SwitchedOptimizer) else None


def unbuilt_layers(model: keras.Model) -> list[keras.Layer]:
    """Returns the layers of a model, and itself, that are not built."""
    return [layer for layer in all_layers(model) if not layer.built]


def variables_of(model: keras.Model) -> list[Any]:
    """Returns all variables that a step of a model may change, each once.

    Weights, states of random generators, metrics, and optimizers wherever the model has
    some; also TensorFlow's own variables among the attributes of layers.
    """
    found: dict[int, Any] = {}

    def add(variables: Any) -> None:
        found.update({id(variable): variable for variable in variables})

    add([*model.variables, *model.metrics_variables, *model.optimizer.variables])
    for layer in all_layers(model):
        for value in _held(vars(layer), set()):
            add([value] if isinstance(value, tf.Variable) else value.variables)
    # A variable of Keras's holds one of TensorFlow's.
    inner = {id(v.value) for v in found.values() if isinstance(v, keras.Variable)}
    return [variable for key, variable in found.items() if key not in inner]


def _held(value: Any, seen: set[int]) -> Iterator[Any]:
    """Yields what has a state in a nest of lists and dicts, in whatever order."""
    if isinstance(
        value, tf.Variable | keras.optimizers.Optimizer | keras.metrics.Metric
    ):
        yield value
    elif isinstance(value, dict | list | tuple) and id(value) not in seen:
        seen.add(id(value))
        for each in value.values() if isinstance(value, dict) else value:
            yield from _held(each, seen)
