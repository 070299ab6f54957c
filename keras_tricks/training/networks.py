"""Trials from settings, without a new Keras model for each where that can be."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_tricks.training import fed_numbers
from keras_tricks.training import keras_hooks
from keras_tricks.training import structure
from keras_tricks.training.data import Data
from keras_tricks.training.initial_weights import InitialWeights
from keras_tricks.training.programs import ProgramCache
from keras_tricks.training.programs import numbers_of
from keras_tricks.training.steps import FunctionalModel
from keras_tricks.training.steps import NotUnderstood
from keras_tricks.training.steps import rate_curve
from keras_tricks.training.trials import Trial
from keras_tricks.training.trials import optimizer_start
from keras_tricks.training.trials import seeded
from keras_tricks.training.trials import trial_of

# The first is copied; the second shows whether the copy is right.
_BUILDS_BEFORE_COPIES = 2


class Network:
    """The settings whose networks differ in nothing but fed numbers and the seed.

    The first two are built. From the third on only an optimizer is made, and initial
    weights are computed, provided that this would have given the second setting's
    trial bit for bit; else all are built.

    Args:
        build: Function from a setting to a compiled model.
        compile_arguments: Function from a setting to `optimizer`, `loss`, `metrics`
            and `rate`; None has all settings built.
    """

    def __init__(
        self,
        build: Callable[[Any], keras.Model],
        compile_arguments: Callable[[Any], dict[str, Any]] | None = None,
    ):
        self._build = build
        self._compile_arguments = compile_arguments
        self._num_built = 0
        self._model: keras.Model | None = None

    def trial(
        self, cache: ProgramCache, setting: Any, seed: int, data: Data, num_steps: int
    ) -> tuple[FunctionalModel, Trial]:
        """Returns a setting's trial and the model whose program trains it.

        Args:
            cache: Where the programs are.
            setting: What `build` takes.
            seed: Of the initial weights and of what is drawn in training.
            data: What it will train on.
            num_steps: Updates of the whole run.

        Raises:
            NotUnderstood: If it must be trained by its own `fit`.
        """
        copied = None
        if self._compile_arguments is not None and self._model is not None:
            # Not seeded: optimizers draw nothing, and TensorFlow's `set_seed` empties
            # the cache that makes single operations quick.
            arguments = dict(self._compile_arguments(setting))
            copied = self._copy(cache, arguments, seed, num_steps)
            if copied is not None and self._num_built >= _BUILDS_BEFORE_COPIES:
                return copied
        built = self._built(cache, setting, seed, data, num_steps)
        if copied is not None and not _equal(copied, built):
            self._compile_arguments = self._model = None
        return built

    def _built(self, cache, setting, seed, data, num_steps):
        with seeded(seed):
            model = self._build(setting)
        reason = structure.why_not_compiled_once(model)
        if reason is not None:
            raise NotUnderstood(reason)
        self._num_built += 1
        signature, numbers = structure.signature(model), numbers_of(model)
        if self._compile_arguments is not None and self._num_built == 1:
            self._model = model
            self._order = [*model.trainable_variables, *model.non_trainable_variables]
            self._signature = signature.network
            self._penalties = [p.get() for p in fed_numbers.penalty_places(model)]
            self._weights = InitialWeights(model, seed)
        functional = cache.find(signature, numbers)
        if functional is None:
            optimizer = model.optimizer
            before = [tf.convert_to_tensor(v) for v in optimizer.variables]
            rates = rate_curve(optimizer, num_steps)
            # The model is changed from here on; what the trial needs was read.
            functional = cache.add(signature, model, *data.examples())
            start = functional.start._replace(
                optimizer=optimizer_start(functional, before)
            )
            return functional, Trial(start, fed_numbers.as_fed(numbers), rates)
        return functional, trial_of(functional, model, num_steps)

    def _copy(self, cache, arguments, seed, num_steps):
        optimizer, loss = arguments["optimizer"], arguments["loss"]
        signature = structure.Signature(
            self._signature,
            structure.compiled_signature(optimizer, loss, arguments.get("metrics")),
        )
        numbers = [
            *(place.get() for place in fed_numbers.places(optimizer, loss)),
            *self._penalties,
        ]
        functional = cache.find(signature, numbers)
        if functional is None:
            return None
        values = self._weights(seed)
        self._set_rate(values, arguments.get("rate"))
        num_trainable = len(functional.variables.trainable)
        start = functional.start._replace(
            trainable=values[:num_trainable],
            non_trainable=values[num_trainable:],
            optimizer=optimizer_start(functional, optimizer.variables),
        )
        rates = rate_curve(optimizer, num_steps)
        return functional, Trial(start, fed_numbers.as_fed(numbers), rates)

    def _set_rate(self, values: list, rate: float | None) -> None:
        if rate is None:
            return
        index = {id(variable): place for place, variable in enumerate(self._order)}
        for layer in keras_hooks.all_layers(self._model):
            if "rate" in getattr(layer, "fed_by_variables", ()):
                for variable, value in layer.fed_variables(rate=rate):
                    values[index[id(variable)]] = np.asarray(value, variable.dtype)


def _equal(one: tuple, other: tuple) -> bool:
    """Whether two trials are the same, bit for bit."""
    if one[0] is not other[0]:
        return False
    parts = (tf.nest.flatten(trial) for _, trial in (one, other))
    return all(
        np.array_equal(np.asarray(a), np.asarray(b), equal_nan=True)
        for a, b in zip(*parts, strict=True)
    )
