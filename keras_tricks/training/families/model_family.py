"""Trials from settings, without a new Keras model for each where that can be."""

import contextlib
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_tricks._runtime_scalars import RuntimeScalars
from keras_tricks.parameters.keras_hooks import all_layers
from keras_tricks.training.compiled import keras_hooks
from keras_tricks.training.compiled import random_seed
from keras_tricks.training.compiled import runtime_scalars
from keras_tricks.training.compiled.captured import CapturedModel
from keras_tricks.training.compiled.data import Data
from keras_tricks.training.compiled.functional_model import FunctionalModel
from keras_tricks.training.compiled.functional_model import SharedStateError
from keras_tricks.training.compiled.functional_model import Steps
from keras_tricks.training.compiled.functional_model import UnsupportedModelError
from keras_tricks.training.compiled.functional_model import first_step
from keras_tricks.training.compiled.functional_model import is_of_libraries
from keras_tricks.training.compiled.functional_model import rate_curve
from keras_tricks.training.compiled.functional_model import rate_schedule
from keras_tricks.training.compiled.programs import ProgramCache
from keras_tricks.training.compiled.programs import numbers_of
from keras_tricks.training.compiled.signature import Signature
from keras_tricks.training.compiled.signature import compiled_signature
from keras_tricks.training.compiled.signature import exact_signature
from keras_tricks.training.compiled.signature import signature
from keras_tricks.training.families import initial_values
from keras_tricks.training.families import python_state
from keras_tricks.training.families import structure
from keras_tricks.training.families.initial_weights import InitialWeights
from keras_tricks.training.families.trial_state import Holder
from keras_tricks.training.families.trial_state import TrialState
from keras_tricks.training.families.trial_state import generators_put_back
from keras_tricks.training.families.trial_state import optimizer_start
from keras_tricks.training.families.trial_state import seeded
from keras_tricks.training.families.trial_state import trial_of

# The first is copied; the second shows whether the copy is right.
_BUILDS_BEFORE_COPIES = 2


class ModelFamily:
    """The settings whose networks differ in nothing but fed numbers and the seed.

    The first two are built. From the third on only an optimizer is made, and initial
    weights are computed, provided that this would have given the second setting's
    trial bit for bit; else all are built.

    Args:
        build: Function from a setting to a compiled model.
        compile_arguments: Function from a setting to `optimizer`, `loss`, `metrics`
            and `rate`; None has all settings built.
        joins_weights: Whether a step may carry all weights in one vector.
        build_seeds: Whether `build` itself seeds Keras, by the seed of its trial.
        code: What `build` runs of the user's: a function or a hypermodel; None if it is
            `build` itself.
    """

    def __init__(
        self,
        build: Callable[[Any], keras.Model],
        compile_arguments: Callable[[Any], dict[str, Any]] | None = None,
        *,
        joins_weights: bool = True,
        build_seeds: bool = False,
        code: Any = None,
    ):
        self._build = build
        self._code = build if code is None else code
        self._build_seeds = build_seeds
        self._compile_arguments = compile_arguments
        self._joins_weights = joins_weights
        self._num_built = 0
        self._model: keras.Model | None = None

    def trial(
        self, cache: ProgramCache, setting: Any, seed: int, data: Data, num_steps: int
    ) -> tuple[Steps, TrialState]:
        """Returns a setting's trial and the model whose program trains it.

        Args:
            cache: Where the programs are.
            setting: What `build` takes.
            seed: Of the initial weights and of what is drawn in training.
            data: What it will train on.
            num_steps: Updates of the whole run.

        Raises:
            UnsupportedModelError: If it must be trained by its own `fit`.
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

    def _built(
        self, cache: ProgramCache, setting: Any, seed: int, data: Data, num_steps: int
    ) -> tuple[Steps, TrialState]:
        before, settings = keras_hooks.VariablesBefore(), keras_hooks.settings()
        generators = generators_put_back() if self._build_seeds else seeded(seed)
        with (
            generators,
            keras_hooks.names_put_back(),
            initial_values.deferred(),
            random_seed.build_watched(),
        ):
            model = self._build(setting)
        self._num_built += 1
        reason = structure.reason_not_compiled_once(model)
        shared = structure.reason_not_of_one_trial(model, before)
        if shared is None:
            reachable = python_state.before_a_build(self._code)
            shared = structure.reason_kept_by_code(model, before, reachable)
        if shared is not None:
            raise SharedStateError(reason or shared)
        if keras_hooks.settings()[0] != settings[0]:
            reason = "the build sets Keras's `floatx`"
        if reason is not None:
            raise UnsupportedModelError(reason)
        is_alone = not any(variable in before for variable in model.variables)
        try:
            return self._understood(cache, model, is_alone, seed, data, num_steps)
        except UnsupportedModelError:
            raise
        except Exception as error:
            # Whether the model trains is for `fit` to find out.
            raise UnsupportedModelError(
                f"its step cannot be traced ({type(error).__name__}: {error})"
            ) from error

    def _understood(
        self,
        cache: ProgramCache,
        model: keras.Model,
        is_alone: bool,
        seed: int,
        data: Data,
        num_steps: int,
    ) -> tuple[Steps, TrialState]:
        """Returns the steps that are proven to be the model's, and its trial.

        What other models have in common with it may change before a program is traced,
        so that its steps are traced now.
        """
        optimizer = model.optimizer
        before = [keras_hooks.value_of(v) for v in optimizer.variables]
        schedule = rate_schedule(optimizer)
        with contextlib.ExitStack() as stack:
            if not is_of_libraries(schedule):
                stack.enter_context(python_state.unchanged(schedule))
            rates = rate_curve(optimizer, num_steps, first_step(optimizer))
        proven = signature(model, data.specs) if is_alone else None
        if proven is None:
            # What is compared by tracing has to be built.
            self._compile_arguments = None
            exact = exact_signature(model, data.specs) if is_alone else None
            known = None if exact is None else cache.remembered(exact)
            if known is not None:
                return known[0], trial_of(known[0], model, rates, known[1])
            key, compared = _compared(cache, model, data, before, rates)
            if exact is not None:
                cache.remember(exact, key, compared[1].numbers)
            return compared
        if self._compile_arguments is not None and self._num_built == 1:
            self._model = model
            self._network_signature = proven.network
            self._order = [*model.trainable_variables, *model.non_trainable_variables]
            self._penalties = [p.get() for p in runtime_scalars.penalty_places(model)]
            self._weights = InitialWeights(model, seed)
        key = proven, self._joins_weights
        numbers = numbers_of(model)
        steps = cache.find(key, numbers)
        if steps is not None:
            fed = runtime_scalars.as_fed(numbers)
            return steps, trial_of(steps, model, rates, fed)
        # The model is changed from here on; what the trial needs was read.
        steps = FunctionalModel(
            model,
            data.sample,
            data.specs,
            joins_weights=self._joins_weights,
        )
        cache.add(key, steps)
        start = steps.start._replace(optimizer=optimizer_start(steps, before))
        return steps, TrialState(start, runtime_scalars.as_fed(numbers), rates)

    def _copy(
        self, cache: ProgramCache, arguments: dict[str, Any], seed: int, num_steps: int
    ) -> tuple[Steps, TrialState] | None:
        optimizer, loss = arguments["optimizer"], arguments["loss"]
        compiled = compiled_signature(self._model, arguments)
        if compiled is None:
            return None
        proven = Signature(self._network_signature, compiled)
        numbers = [
            *(place.get() for place in runtime_scalars.places(optimizer, loss)),
            *self._penalties,
        ]
        functional = cache.find((proven, self._joins_weights), numbers)
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
        return functional, TrialState(start, runtime_scalars.as_fed(numbers), rates)

    def _set_rate(self, values: list, rate: float | None) -> None:
        if rate is None:
            return
        index = {id(variable): place for place, variable in enumerate(self._order)}
        for layer in all_layers(self._model):
            if isinstance(layer, RuntimeScalars) and "rate" in layer.fed_by_variables:
                for variable, value in layer.fed_variables(rate=rate):
                    values[index[id(variable)]] = np.asarray(value, variable.dtype)


def _compared(
    cache: ProgramCache,
    model: keras.Model,
    data: Data,
    before: list[tf.Tensor],
    rates: np.ndarray,
) -> tuple[Any, tuple[Steps, TrialState]]:
    """Returns the steps that were traced of a model, or of one before it.

    Before them, and the trial, comes the key by which the cache knows the steps.
    """
    with python_state.unchanged(model):
        functional = FunctionalModel(
            model,
            data.sample,
            data.specs,
            feeds_numbers=False,
            joins_weights=False,
        )
        # XLA wants to know some numbers beforehand, and which ones is not told.
        feeds = not model.jit_compile
        own = CapturedModel(functional, feeds=feeds)
        if cache.find(own.key, own.numbers) is None:
            # What Python keeps elsewhere (a file, the environment) is seen by its
            # effect alone, once for each program.
            _check_same(own, CapturedModel(functional, feeds=feeds))
    start = own.start._replace(optimizer=optimizer_start(own, before))
    steps = cache.find(own.key, own.numbers)
    if steps is None:
        cache.add(own.key, own)
        steps = own
    trial = TrialState(start, own.numbers, rates, Holder(model, own.variables))
    return own.key, (steps, trial)


def _check_same(one: CapturedModel, other: CapturedModel) -> None:
    """Raises if a step is another one when it is traced a second time."""
    numbers = one.numbers, other.numbers
    if one.key != other.key or not np.array_equal(*numbers, equal_nan=True):
        raise UnsupportedModelError("a step is another one each time that it is traced")


def _equal(one: tuple, other: tuple) -> bool:
    """Whether two trials are the same, bit for bit."""
    if one[0] is not other[0]:
        return False
    parts = (tf.nest.flatten(trial[:3]) for _, trial in (one, other))
    return all(
        np.array_equal(np.asarray(a), np.asarray(b), equal_nan=True)
        for a, b in zip(*parts, strict=True)
    )
