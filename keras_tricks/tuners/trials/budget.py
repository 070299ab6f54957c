"""Trials that are rejected before their model is built, since it is too large."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING
from typing import Any

import keras
import keras_tuner

from keras_tricks import _validation
from keras_tricks import parameters
from keras_tricks._fit_call import FitCall
from keras_tricks.parameters import budget
from keras_tricks.tuners import errors
from keras_tricks.tuners.compat import keras_hooks
from keras_tricks.tuners.compat.keras_settings import KerasSettings
from keras_tricks.tuners.trials import arrays

if TYPE_CHECKING:
    from keras_tricks.tuners._typing import HyperModelLike


class OverBudget(keras.Sequential):
    """Stands for a model that was not built. It has no weights."""

    def __init__(self, budget: parameters.ParameterBudget):
        super().__init__(name="over_budget")
        # Past Keras's tracking, which would look into it.
        object.__setattr__(self, "budget", budget)


class WithinBudget(keras_tuner.HyperModel):
    """A hypermodel that builds only models that the data can carry.

    Before a model is built, its parameters are counted without allocating them. One
    that is over budget costs neither memory nor training: its trial ends with an
    `InfeasibleTrialError`. The tuners of this package do the same when they are given
    `parameter_budget`; this class is for KerasTuner's own, for a hypermodel whose
    `fit` takes its data in another way, and for a budget other than the data's.

    Args:
        hypermodel: A `keras_tuner.HyperModel`, or a function from `hp` to a model.
        num_samples: Training samples, or the data: see `check_parameter_budget`.
        limit: The largest number of trainable parameters per sample.
        input_shape: The inputs' shape, batch axis included, for models that are not
            built when the hypermodel returns them: see `count_parameters`.

    Raises:
        TypeError: If `hypermodel` is neither, or `num_samples` no number or data.
        ValueError: If `num_samples` or `limit` is not positive.

    Example:

    >>> import keras, keras_tuner
    >>> from keras_tricks.tuners import WithinBudget
    >>> def build(hp):
    ...     units = hp.Int("units", 1, 1_000_000_000)
    ...     return keras.Sequential([keras.Input((4,)), keras.layers.Dense(units)])
    >>> hypermodel = WithinBudget(build, num_samples=1000)
    >>> hp = keras_tuner.HyperParameters()
    >>> hp.values["units"] = 100
    >>> hypermodel.build(hp).count_params()
    500
    >>> hp.values["units"] = 1_000_000_000
    >>> hypermodel.build(hp).budget.parameters
    5000000000
    """

    def __init__(
        self,
        hypermodel: HyperModelLike,
        num_samples: Any,
        limit: float = 0.5,
        *,
        input_shape: Any = None,
    ):
        check_hypermodel(hypermodel)
        super().__init__(name=getattr(hypermodel, "name", None))
        self.hypermodel: Any = hypermodel
        self.num_samples = budget.number_of_samples(num_samples)
        self.limit = checked_limit("limit", limit)
        self.input_shape = input_shape

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        """Returns the model of `hp`, or an `OverBudget` in its place."""
        build = self.hypermodel.build if self._has_methods else self.hypermodel
        try:
            with KerasSettings.kept():
                found = parameters.check_parameter_budget(
                    lambda: _as_it_is(_checked_model(build(hp))),
                    self.num_samples,
                    self.limit,
                    recommended=min(0.1, self.limit),
                    input_shape=self.input_shape,
                )
        except _NoModelError as error:
            return error.received  # The tuner says what it should have been.
        # Not raised here: tuners also build when they only want to see the space.
        return OverBudget(found) if found.verdict == "over budget" else build(hp)

    def declare_hyperparameters(self, hp: keras_tuner.HyperParameters) -> None:
        if isinstance(self.hypermodel, keras_tuner.HyperModel):
            self.hypermodel.declare_hyperparameters(hp)

    def fit(
        self,
        hp: keras_tuner.HyperParameters,
        model: keras.Model,
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        """Trains `model` as the hypermodel does, or raises `InfeasibleTrialError`."""
        if isinstance(model, OverBudget):
            raise errors.InfeasibleTrialError(
                str(model.budget), model.budget.parameters
            )
        if self._has_methods and hasattr(self.hypermodel, "fit"):
            return self.hypermodel.fit(hp, model, *args, **kwargs)
        return model.fit(*args, **kwargs)

    @property
    def _has_methods(self) -> bool:
        """Whether it is an object with methods; KerasTuner calls what it can call."""
        return isinstance(self.hypermodel, keras_tuner.HyperModel) or not callable(
            self.hypermodel
        )


class _NoModelError(Exception):
    """What `build` returned is no model."""

    def __init__(self, received: Any):
        super().__init__()
        self.received = received


def size_of(make: Callable[[], keras.Model], input_shape: Any) -> int:
    """Returns the number of trainable parameters of the models that `make` makes.

    Args:
        make: Returns a model, which is not allocated here.
        input_shape: The inputs', batch axis included, or a structure of shapes.
    """
    return parameters.count_parameters(
        lambda: _as_it_is(make()), input_shape=input_shape
    )


def _as_it_is(model: keras.Model) -> keras.Model:
    """Returns a model of which Keras knows if it has no weights yet."""
    if model.built and not keras_hooks.is_built(model):
        model.built = False
    return model


def _checked_model(model: Any) -> keras.Model:
    if not isinstance(model, keras.Model):
        raise _NoModelError(model)
    return model


def check_hypermodel(hypermodel: Any) -> None:
    """Raises `TypeError` unless models can be built by it."""
    if not (callable(hypermodel) or callable(getattr(hypermodel, "build", None))):
        raise TypeError(
            "`hypermodel` must be a keras_tuner.HyperModel, or a function from "
            f"`hp` to a model. {_validation.received('hypermodel', hypermodel)}"
        )


def checked_limit(name: str, limit: Any) -> float:
    """Returns a limit of parameters per sample, if it is one."""
    hint = ", of trainable parameters per training sample, for instance 0.5"
    return _validation.check_float(name, limit, exclusive=True, hint=hint)


def within_budget_of(
    hypermodel: HyperModelLike, limit: float, call: FitCall
) -> WithinBudget:
    """Returns `hypermodel` within `limit` parameters for each sample of the data.

    Raises:
        ValueError: If there are no data among the arguments.
    """
    data = call["x"]
    if data is None:
        raise ValueError(
            "`parameter_budget` needs the training data as the first argument of "
            "`search`, or as `x`. For a hypermodel that takes its data otherwise, wrap "
            "it in WithinBudget(hypermodel, num_samples=...)."
        )
    num_samples = budget.number_of_samples(data)
    return WithinBudget(
        hypermodel,
        call.num_training_examples(num_samples),
        limit,
        input_shape=input_shape_of(data),
    )


def known_input_shape(data: Any) -> Any:
    """Returns what `input_shape_of` does, or None where the data do not tell it."""
    try:
        return None if data is None else input_shape_of(data)
    except (AttributeError, TypeError, ValueError):
        return None


def input_shape_of(data: Any) -> Any:
    """Returns the shape, or structure of shapes, of a batch of inputs."""
    found = arrays.as_arrays(data)
    batch = data if found is None else found[0]
    if hasattr(data, "element_spec"):
        batch = data.element_spec
    elif isinstance(data, keras.utils.PyDataset):
        batch = data[0]
    if found is None and batch is not data and isinstance(batch, tuple):
        batch = batch[0]
    return _shapes(batch)


def _shapes(batch: Any) -> Any:
    if isinstance(batch, dict):
        return {name: _shapes(inner) for name, inner in batch.items()}
    if isinstance(batch, tuple | list):
        return [_shapes(inner) for inner in batch]
    return (None, *batch.shape[1:])
