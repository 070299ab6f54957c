"""Training a list of settings of one model, compiled once."""

import dataclasses
import logging
from collections.abc import Callable
from collections.abc import Hashable
from collections.abc import Iterable
from collections.abc import Sequence
from typing import Any
from typing import Literal

import keras
import numpy as np
import tensorflow as tf

from keras_tricks import _validation
from keras_tricks.data import BalancedBatches
from keras_tricks.training.compiled import programs
from keras_tricks.training.compiled.data import Data
from keras_tricks.training.compiled.data import is_stream
from keras_tricks.training.compiled.functional_model import Steps
from keras_tricks.training.compiled.functional_model import UnsupportedModelError
from keras_tricks.training.families import python_state
from keras_tricks.training.families.model_family import ModelFamily
from keras_tricks.training.families.trial_state import TrialState
from keras_tricks.training.families.trial_state import seeded
from keras_tricks.training.packs import fit_fallback
from keras_tricks.training.packs import pack_size
from keras_tricks.training.packs import packing
from keras_tricks.training.packs import progress

_LOG = logging.getLogger(__name__)


@dataclasses.dataclass
class Trained:
    """One setting, trained.

    Attributes:
        setting: The setting.
        seed: Its seed.
        weights: The best epoch's, in the order of `keras.Model.set_weights`.
        curves: Name (`loss`, `val_loss`, ...) -> float32 array, one number an epoch.
        best_epoch: Epoch of the lowest validation loss (training loss without a
            validation), counted from 0; None if no loss was finite.
        score: That loss; infinite if none was finite.
        num_epochs: Epochs trained.
        diverged: Whether it ended because weights, losses and score were not finite.
        reason: Why it was trained by its own `fit`; None if it was compiled once.

    Example:

    >>> import numpy
    >>> from keras_tricks.training import Trained
    >>> losses = {"loss": numpy.array([0.5, 0.25], "float32")}
    >>> Trained(0.1, 0, [], losses, best_epoch=1, score=0.25, num_epochs=2,
    ...         diverged=False).score
    0.25
    """

    setting: Any
    seed: int
    weights: list[np.ndarray]
    curves: dict[str, np.ndarray]
    best_epoch: int | None
    score: float
    num_epochs: int
    diverged: bool
    reason: str | None = None


def train(
    settings: Sequence[Any],
    build: Callable[[Any], keras.Model],
    x: Any,
    y: Any = None,
    *,
    sample_weight: Any = None,
    validation_data: Any = None,
    epochs: int,
    batch_size: int = 32,
    seeds: Sequence[int] | int = 0,
    patience: int | None = None,
    packed: int | Literal["auto"] | None = "auto",
    jit_compile: bool = False,
    order_seed: int | None = 0,
    same_network: Callable[[Any], Hashable] | None = None,
    compile_arguments: Callable[[Any], dict[str, Any]] | None = None,
    on_epoch: progress.OnEpoch | None = None,
    memory_limit: int | None = None,
    cache: programs.ProgramCache | None = None,
) -> list[Trained]:
    """Trains each setting of a model and returns weights, curves and scores.

    Settings are grouped by structure. One program is compiled for each and trains all
    of its settings; what tells them apart (learning rates and schedules, weight decay,
    betas, momentum, clip limits, the rate of `ScalarDropout`, initial weights) is fed
    to it. With `packed`, several are trained in one step.

    A setting that is trained with others ends with the weights that it has when it is
    trained alone, up to float32 rounding; and with the same bits if `packed` is None.
    What cannot be compiled once (see `Trained.reason`) is trained by its own `fit`, and
    the reason is logged.

    Args:
        settings: Anything that `build` takes.
        build: Function from a setting to a compiled Keras model, not trained yet.
        x: Examples, an array or a list, tuple or dict of arrays, which are kept on the
            device; or a `tf.data.Dataset` of batches `(x, y)`, or `(x, y, weights)`.
            All settings of a step see a batch of it together, so that it is read once
            an epoch for each pack; where it shuffles anew at each reading, settings
            that are not in one pack see other batches; or `data.BalancedBatches`.
        y: Labels, an array or one for each output; None with a dataset.
        sample_weight: A weight for each example, if they have any.
        validation_data: `(x, y)` or `(x, y, weights)` that decides on the best epoch,
            or a dataset of batches.
        epochs: Epochs of a run, unless it ends early.
        batch_size: Examples a step; the last batch of an epoch may have fewer. A
            dataset has batches of its own.
        seeds: Seed of each setting, or one for all: of its initial weights and
            dropout. `build` is called after `keras.utils.set_random_seed(seed)`.
        patience: Epochs without a better validation loss after which a setting ends;
            None trains to the end.
        packed: The most settings in one step; None trains one after the other;
            `"auto"` takes what is faster for each structure: many steps of a small
            network in packs, a few one after the other; else it measures.
        jit_compile: Whether XLA compiles the steps.
        order_seed: Seed of the order of the examples, the same for all settings; None
            leaves them as they are, and with a dataset it is not used.
        same_network: Function that returns the same key for settings whose networks
            differ in nothing. With it `build` runs once or twice for a key, instead of
            once for each setting; needs `compile_arguments`.
        compile_arguments: Function from a setting to its `optimizer`, `loss` and
            `metrics`, as `build` compiles with; and `rate`, the rate of all layers of
            type `ScalarDropout`, if there are any.
        on_epoch: Called after each epoch with the number of the setting, the epoch,
            and its losses and metrics; True ends the setting.
        memory_limit: Bytes that a pack may take; None is half of what is free.
        cache: Programs of earlier calls, and a place for new ones.

    Returns:
        One result for each setting, in their order.

    Raises:
        ValueError: If an argument is out of its range.

    Example:

    >>> import keras, numpy
    >>> from keras_tricks.training import train
    >>> def build(learning_rate):
    ...     model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    ...     model.compile(keras.optimizers.SGD(learning_rate), "mse")
    ...     return model
    >>> x = numpy.linspace(-1, 1, 64, dtype="float32")[:, None]
    >>> results = train([0.001, 0.1], build, x, 2 * x, epochs=5, batch_size=8)
    >>> results[1].score < results[0].score
    True
    """
    is_scalar = getattr(settings, "shape", None) == ()
    if (
        isinstance(settings, str | dict)
        or not isinstance(settings, Iterable)
        or is_scalar
    ):
        raise TypeError(
            "`settings` must be a list of settings. "
            f"{_validation.received('settings', settings, True)}"
        )
    settings = list(settings)
    _validation.check_function("build", build, "a function from a setting to a model")
    seeds = _checked_seeds(seeds, len(settings))
    packed, epochs, batch_size, patience = _checked_counts(
        packed=packed, epochs=epochs, batch_size=batch_size, patience=patience
    )
    memory_limit = _checked_limit(memory_limit)
    jit_compile = _validation.check_flag("jit_compile", jit_compile)
    order_seed = _checked_order_seed(order_seed)
    _check(same_network, compile_arguments, on_epoch, cache)
    sweep = _Sweep(
        settings,
        seeds,
        _data(x, y, sample_weight, validation_data, batch_size, order_seed),
        progress.RunConfig(epochs, patience=patience, on_epoch=on_epoch),
    )
    num_steps = epochs * sweep.data.steps_per_epoch
    cache = programs.ProgramCache() if cache is None else cache
    networks: dict[Hashable, ModelFamily] = {}
    groups: dict[int, list[tuple[int, Steps, TrialState]]] = {}
    for number, (setting, seed) in enumerate(zip(settings, seeds, strict=True)):
        key = same_network(setting) if same_network is not None else None
        network = networks.setdefault(key, ModelFamily(build, compile_arguments))
        before = python_state.before_a_build(build)
        try:
            functional, trial = network.trial(
                cache, setting, seed, sweep.data, num_steps
            )
        except UnsupportedModelError as error:
            before.put_back()  # It is built again.
            sweep.train_alone(number, build, str(error))
        else:
            groups.setdefault(id(functional), []).append((number, functional, trial))
    for group in groups.values():
        numbers, functionals, trials = zip(*group, strict=True)
        packs = pack_size.train_group(
            cache,
            functionals[0],
            trials,
            sweep.data,
            sweep.run.for_trials(numbers),
            packed=packed,
            jit_compile=jit_compile,
            memory_limit=memory_limit,
        )
        try:
            outcomes = [outcome for pack in packs for outcome in pack]
        except (tf.errors.ResourceExhaustedError, MemoryError):
            raise
        except Exception as error:
            # Whether it is the model's own error shows where `fit` trains it.
            for number in numbers:
                sweep.train_alone(number, build, packing.reason_of(error))
            continue
        for number, outcome in zip(numbers, outcomes, strict=True):
            sweep.add(number, outcome, packing.weights_of(functionals[0], outcome))
    return sweep.results()


def _data(
    x: Any,
    y: Any,
    sample_weight: Any,
    validation_data: Any,
    batch_size: int,
    order_seed: int | None,
) -> Data:
    """Returns the data of all settings."""
    if isinstance(validation_data, tuple | list):
        validation_data = _on_device(*validation_data)
    if not isinstance(x, BalancedBatches):
        examples = _on_device(x, y, sample_weight)
        return Data(examples, validation_data, batch_size, order_seed)
    _check_only(y, sample_weight, "BalancedBatches, which have labels and weights")
    return Data(
        _on_device(*x.examples),
        validation_data,
        x.batch_size,
        None,
        validation_batch_size=batch_size,
        rows_of=x.rows_of,
    )


def _check_only(y: Any, sample_weight: Any, what: str) -> None:
    """Raises if there is something beside an `x` that has all."""
    if y is not None or sample_weight is not None:
        raise ValueError(
            f"`y` and `sample_weight` must be left out where `x` is {what}. Received: "
            f"y={y!r}, sample_weight={sample_weight!r}"
        )


class _Sweep:
    """The results of the settings, as they come."""

    def __init__(
        self,
        settings: list[Any],
        seeds: list[int],
        data: Data,
        run: progress.RunConfig,
    ):
        self.data = data
        self.run = run
        self._settings = settings
        self._seeds = seeds
        self._trained: dict[int, Trained] = {}
        self._reasons: set[str] = set()

    def train_alone(self, number: int, build: Callable, reason: str) -> None:
        """Trains a setting by `fit`, and logs why if that is news."""
        if reason not in self._reasons:
            self._reasons.add(reason)
            _LOG.warning("Trained by `fit`, one by one, since %s.", reason)
        with seeded(self._seeds[number]):
            model = build(self._settings[number])
        run = self.run.for_trials([number])
        outcome, weights = fit_fallback.run(model, self.data, run)
        self.add(number, outcome, weights, reason)

    def add(
        self,
        number: int,
        outcome: progress.TrainingResult,
        weights: list[np.ndarray],
        reason: str | None = None,
    ) -> None:
        self._trained[number] = Trained(
            setting=self._settings[number],
            seed=self._seeds[number],
            weights=weights,
            curves=outcome.curves,
            best_epoch=outcome.best_epoch,
            score=outcome.score,
            num_epochs=outcome.num_epochs,
            diverged=outcome.diverged,
            reason=reason,
        )

    def results(self) -> list[Trained]:
        return [self._trained[number] for number in range(len(self._settings))]


def _on_device(x: Any, y: Any = None, sample_weight: Any = None) -> Any:
    """Returns `(x, y)`, with weights if there are any, as tensors; or a dataset."""
    if is_stream(x):
        what = "a dataset, whose elements are `(x, y)` or `(x, y, weights)`"
        _check_only(y, sample_weight, what)
        return x
    if y is None:
        raise ValueError("`y` must be given where `x` is no dataset. Received: y=None")
    parts = (x, y) if sample_weight is None else (x, y, sample_weight)
    return tuple(_tensors(part) for part in parts)


def _tensors(nest: Any) -> Any:
    """Returns nested tensors, tuples in the place of lists as `fit` hands them on."""
    if isinstance(nest, dict):
        return {key: _tensors(value) for key, value in nest.items()}
    holds_arrays = any(hasattr(leaf, "shape") for leaf in tf.nest.flatten(nest))
    if isinstance(nest, list | tuple) and holds_arrays:
        return tuple(map(_tensors, nest))
    return tf.convert_to_tensor(nest)


def _checked_seeds(seeds: Sequence[int] | int, number: int) -> list[int]:
    given = seeds
    seeds = _validation.plain(seeds)
    if _validation.is_number(seeds):
        return [_checked_seed(seeds)] * number
    if isinstance(seeds, bool | str | dict) or not isinstance(seeds, Iterable):
        raise TypeError(
            "`seeds` must be a whole number, or a list of those. "
            f"{_validation.received('seeds', given, True)}"
        )
    seeds = [_checked_seed(seed) for seed in seeds]
    if len(seeds) != number:
        raise ValueError(
            f"`seeds` must be one for each of the {number} settings, or one for all. "
            f"Received: {len(seeds)} seeds"
        )
    return seeds


def _checked_seed(seed: Any) -> int:
    """Returns a seed, if Keras can take it."""
    number = _validation.check_int("seeds", seed)
    if number >= 2**32:
        raise ValueError(
            "`seeds` must be below 2**32, as NumPy's are. "
            f"{_validation.received('seeds', seed)}"
        )
    return number


def _checked_order_seed(seed: Any) -> int | None:
    return None if seed is None else _validation.check_int("order_seed", seed)


def _checked_limit(limit: Any) -> int | None:
    return (
        None
        if limit is None
        else _validation.check_int("memory_limit", limit, minimum=1)
    )


def _checked_counts(
    *, packed: Any, epochs: Any, batch_size: Any, patience: Any
) -> tuple[int | Literal["auto"] | None, int, int, int | None]:
    """Returns the numbers of something, or raises if one is out of its range."""
    if packed is not None and not (isinstance(packed, str) and packed == "auto"):
        packed = _validation.check_int("packed", packed, minimum=1)
    if patience is not None:
        patience = _validation.check_int("patience", patience, minimum=1)
    return (
        packed,
        _validation.check_int("epochs", epochs, minimum=1),
        _validation.check_int("batch_size", batch_size, minimum=1),
        patience,
    )


def _check(
    same_network: Any, compile_arguments: Any, on_epoch: Any, cache: Any
) -> None:
    """Raises if a function or the cache of `train` is none."""
    for name, function in (
        ("same_network", same_network),
        ("compile_arguments", compile_arguments),
        ("on_epoch", on_epoch),
    ):
        if function is not None:
            _validation.check_function(name, function)
    if cache is not None and not isinstance(cache, programs.ProgramCache):
        raise TypeError(
            "`cache` must be a ProgramCache or None. "
            f"{_validation.received('cache', cache, True)}"
        )
    if (same_network is None) != (compile_arguments is None):
        raise ValueError(
            "`same_network` and `compile_arguments` must be given together. Received: "
            f"same_network={same_network!r}, compile_arguments={compile_arguments!r}"
        )
