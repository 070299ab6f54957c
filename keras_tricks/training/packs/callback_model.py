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
        self._rates = self._rates_now()
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
        self._values = _shown(view.state)
        for variable, value in zip(self._variables, self._values, strict=True):
            variable.assign(value)
        for variable, value in zip(self._metrics, view.state.metrics, strict=True):
            variable.assign(value)
        if not self._has_schedule():
            # The program is fed the rate, the variable of which stays as it was.
            self.model.optimizer.learning_rate = self._rates[0]
            self._values = [variable.numpy() for variable in self._variables]

    def begin_epoch(self) -> None:
        """Clears the metrics, as `fit` does before callbacks hear of an epoch."""
        self.model.reset_metrics()

    def take_over(self, view: TrialView) -> None:
        """Has the training go on with what callbacks have changed.

        Raises:
            RuntimeError: If one of them compiled the model again.
        """
        if self.model.optimizer is not self._optimizer:
            raise RuntimeError("A callback must not compile the model in training.")
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
        rates = self._rates_now()
        if not _is_same(rates, self._rates):
            self._rates = rates
            left = len(view.rates)
            view.set_rates(rates[len(rates) - left :])

    def _has_schedule(self) -> bool:
        (leaf,) = leaf_optimizers(self.model.optimizer)
        return not isinstance(keras_hooks.rate_of(leaf), keras.Variable)

    def _rates_now(self) -> np.ndarray:
        """Returns the rate of each step of the run, as the optimizer has it now."""
        return rate_curve(self._optimizer, self._num_steps, self._first_step)


def _shown(state: State) -> list[Any]:
    return [*state.trainable, *state.non_trainable, *state.optimizer]


def _is_same(one: np.ndarray, other: np.ndarray) -> bool:
    return np.array_equal(one, other, equal_nan=one.dtype.kind == "f")
