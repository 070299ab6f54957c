"""A real Keras model that shows callbacks the state of a trial in training."""

from typing import Any

import keras
import numpy as np

from keras_tricks.optimizers.keras_hooks import leaf_optimizers
from keras_tricks.training.compiled import keras_hooks
from keras_tricks.training.compiled.functional_model import State
from keras_tricks.training.compiled.functional_model import Steps
from keras_tricks.training.compiled.functional_model import UnsupportedModelError
from keras_tricks.training.compiled.functional_model import first_step
from keras_tricks.training.compiled.functional_model import make_metrics
from keras_tricks.training.compiled.functional_model import rate_curve
from keras_tricks.training.compiled.programs import numbers_of
from keras_tricks.training.compiled.signature import signature
from keras_tricks.training.packs.progress import TrialView


class LiveModel:
    """Holds what a program knows of a trial while callbacks look at it.

    Callbacks see weights, the optimizer's state and its learning rate, and may set
    them: what they set is what the training goes on with.

    Args:
        model: A model as the trial's, compiled and not trained; it belongs to this
            object from now on.
        steps: The steps that train the trial, with separate weights.
        examples: A few examples, or the specs of a batch, for which Keras makes the
            metrics' variables.
        num_steps: Updates of the whole run.

    Raises:
        UnsupportedModelError: If the model has other variables than the steps.
    """

    def __init__(self, model: keras.Model, steps: Steps, examples: Any, num_steps: int):
        self.model = model
        self._optimizer = model.optimizer
        self._first_step = first_step(model.optimizer)
        self._num_steps = num_steps
        make_metrics(model, examples)
        model.optimizer.build(model.trainable_variables)
        self._variables = [
            *model.trainable_variables,
            *model.non_trainable_variables,
            *model.optimizer.variables,
        ]
        self._metrics = model.metrics_variables
        shown = [*_shown(steps.start), *steps.start.metrics]
        shapes = [tuple(v.shape) for v in [*self._variables, *self._metrics]]
        if shapes != [tuple(value.shape) for value in shown]:
            raise UnsupportedModelError("callbacks look at a model of another form")
        model.stop_training = False
        self._methods = [_NotAnew(model, "train"), _NotAnew(model, "test")]
        self._iterations = _index_of(model.optimizer.iterations, self._variables)
        (leaf,) = leaf_optimizers(model.optimizer)
        self._rate = _index_of(keras_hooks.rate_of(leaf), self._variables)
        self._rates = rate_curve(self._optimizer, num_steps, self._first_step)
        # What the variables hold, once they have been set.
        self._values: list[Any] = []
        self._state = self._python_state()

    def check(self) -> None:
        """Checks that callbacks have changed nothing but variables.

        Raises:
            UnsupportedModelError: If they have, or if that cannot be told.
        """
        now = self._python_state()
        if now != self._state or now[0] is None:
            raise UnsupportedModelError(
                "a callback changes the model before its first step"
            )

    def _python_state(self) -> tuple[Any, ...]:
        """Returns what a step would be traced by."""
        return signature(self.model, None), numbers_of(self.model)

    def show(self, view: TrialView) -> None:
        """Gives the model the state of the trial."""
        state = view.state
        values = _shown(state)
        if self._rate is not None:
            # The program is fed the rate, the variable of which stays as it was.
            values[self._rate] = self._rates[0]
        before = self._values or [None] * len(values)
        for variable, value, held in zip(self._variables, values, before, strict=True):
            # To set a variable takes longer than to see that it need not be.
            if held is None or not _is_same(value, held):
                variable.assign(value)
        for variable, value in zip(self._metrics, state.metrics, strict=True):
            variable.assign(value)
        self._values = values

    def begin_epoch(self) -> None:
        """Clears the metrics, as `fit` does before callbacks hear of an epoch."""
        self.model.reset_metrics()

    def _check_functions(self) -> None:
        """Raises if a callback has replaced what `fit` calls for each batch."""
        for method in self._methods:
            if getattr(self.model, method.made) is not method.function:
                raise UnsupportedModelError(f"a callback sets `{method.made}`")

    def take_over(self, view: TrialView) -> None:
        """Has the training go on with what callbacks have changed.

        Raises:
            RuntimeError: If one of them compiled the model again.
        """
        if self.model.optimizer is not self._optimizer:
            raise RuntimeError("A callback must not compile the model in training.")
        self._check_functions()
        values = [variable.numpy() for variable in self._variables]
        if not all(map(_is_same, values, self._values)):
            state = view.state
            num_trainable = len(state.trainable)
            end = num_trainable + len(state.non_trainable)
            view.set_state(
                State(
                    values[:num_trainable],
                    values[num_trainable:end],
                    values[end:],
                    state.metrics,
                )
            )
        if self._iterations is not None:
            # A schedule goes by the step that a callback has set.
            moved = values[self._iterations] - self._values[self._iterations]
            self._first_step += int(moved)
        self._values = values
        left = len(view.rates)
        done = self._num_steps - left
        rates = rate_curve(self._optimizer, left, self._first_step + done)
        if not _is_same(rates, self._rates[len(self._rates) - left :]):
            self._rates = rates
            view.set_rates(rates)


class _NotAnew:
    """Stands for a method of a model that makes a function of `fit`.

    `fit` has made its own before callbacks see an epoch, and keeps it. Who makes it
    anew has it traced again, of a model that may be another one by now.

    Args:
        model: The model, whose method this takes the place of.
        kind: `"train"` or `"test"`.

    Attributes:
        made: The name of what it makes.
        function: What it has made.
    """

    def __init__(self, model: keras.Model, kind: str):
        self._model = model
        self._name = f"make_{kind}_function"
        self._method = getattr(model, self._name)
        self.made = f"{kind}_function"
        self.function = getattr(model, self.made)
        object.__setattr__(model, self._name, self)

    def __call__(self, force: bool = False) -> Any:
        if force:
            raise UnsupportedModelError(f"a callback calls `{self._name}(force=True)`")
        result = self._method()
        self.function = getattr(self._model, self.made)
        return result


def _index_of(variable: Any, variables: list[Any]) -> int | None:
    found = (n for n, each in enumerate(variables) if each is variable)
    return next(found, None)


def _shown(state: State) -> list[Any]:
    return [*state.trainable, *state.non_trainable, *state.optimizer]


def _is_same(one: np.ndarray, other: np.ndarray) -> bool:
    return np.array_equal(one, other, equal_nan=one.dtype.kind == "f")
