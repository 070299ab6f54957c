"""The range test: a training through rising learning rates."""

from __future__ import annotations

import math
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Sequence
from typing import Any
from typing import Literal

import keras
import numpy as np

from keras_tricks import _validation
from keras_tricks.data import rows
from keras_tricks.probes import given_rates
from keras_tricks.probes import short_training
from keras_tricks.probes import smoothing as averages
from keras_tricks.probes import suggestions
from keras_tricks.probes.examples import Examples
from keras_tricks.probes.examples import as_fit_makes_it
from keras_tricks.probes.given_model import built_by
from keras_tricks.probes.given_model import check_model
from keras_tricks.probes.kept_model import kept
from keras_tricks.probes.range_result import RangeRun
from keras_tricks.probes.range_result import RangeTest
from keras_tricks.training.compiled.programs import ProgramCache
from keras_tricks.training.families.trial_state import seeded
from keras_tricks.training.train import train

# How often each rate of `mode="decades"` sees its batches; the last time counts.
_PASSES = 5


def learning_rate_range_test(
    model_or_build: keras.Model | Callable[[], keras.Model],
    x: Any,
    y: Any = None,
    *,
    start: float = 1e-7,
    end: float = 10.0,
    steps: int = 100,
    mode: Literal["exponential", "linear", "decades"] = "exponential",
    batch_size: int | None = None,
    sample_weight: Any = None,
    seeds: Sequence[int] | int = 0,
    smoothing: float = 0.8,
    packed: int | Literal["auto"] | None = "auto",
    callbacks: Sequence[keras.callbacks.Callback] | None = None,
) -> RangeTest:
    r"""Trains through rising learning rates, and says which one to begin with.

    Step `k` of `n = steps`, counted from 0, has the rate

    - `start * (end / start) ** (k / (n - 1))` with `mode="exponential"`;
    - `start + (end - start) * k / (n - 1)` with `"linear"`.

    With `"decades"` the rates are `start`, `10 * start`, ... up to `end`, and each is
    trained by itself: `steps` updates from the same weights on the same batches, which
    it sees five times.

    A training ends where its loss diverges: where it is not finite, or the smooth loss
    is above the first by more than the size of that, than what was gained, and than
    noise makes. Losses are smoothed by exponential averages, divided by
    `1 - smoothing ** k` so that their start has no bias, forward and then backward, so
    that they do not lag behind the rates.

    The suggestion is the rate at which the loss falls fastest (by the logarithm of the
    rate, unless the mode is `"linear"`); `suggestions` has a tenth of the rate of the
    lowest loss, too. With `"decades"` it is the rate with the lowest loss at the end,
    beside the highest that is stable: it ends below the start, and so do those
    between it and the best. For a schedule it is the peak.

    A model comes back as it was, bit for bit, also where the test is interrupted:
    weights, states of random generators and of the optimizer, metrics, schedule. What
    is not built yet is built. It is trained by its own `fit`, so that
    whatever `fit` takes is taken here, too.

    Of an optimizer that is a group of several, all keep their share of the largest rate
    where all rates are numbers, and have the same rate otherwise. Where gradients are
    accumulated over batches, a step takes as many batches.

    Args:
        model_or_build: A compiled model; or a function without arguments that returns
            one, which is called for each seed. With a function and `"decades"` the
            rates train side by side, by `training.train`; a model itself is trained
            at one rate after another.
        x: Examples as `fit` takes them: arrays, or what yields batches. Arrays are
            shuffled. What ends before the last step begins anew; a generator is read.
        y: Labels; None where `x` yields batches.
        start: The lowest rate, > 0; with `"linear"` 0 is one, too.
        end: The highest rate, > `start`.
        steps: Updates of a training, >= 1. Fewer than 10 suggest nothing.
        mode: See above.
        batch_size: Examples of a batch of arrays; None is 32.
        sample_weight: A weight for each example.
        seeds: Seed of the order of arrays, and of what a function builds; or several,
            whose median is the suggestion, or what the mean of their losses says
            where each alone is too noisy; their spread is told.
        smoothing: Weight of the past in smooth losses, from 0 to 1, 1 excluded.
        packed: With `"decades"` and a function, the most rates in one step; see
            `training.train`.
        callbacks: Callbacks of the training, as in `fit`. With `"decades"` and a
            function there may be none.

    Returns:
        A `RangeTest`, with `suggestion`, `reason`, `flag`, `plot()` and `to_frame()`.
        The suggestion is None, with the reason, where the loss is not finite at once,
        noise hides the answer, the range is too narrow or there are too few steps.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If an argument is out of its range; if the model is not compiled, or
            does not train by its optimizer.

    Example:

    >>> import keras, numpy
    >>> from keras_tricks.probes import learning_rate_range_test
    >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    >>> model.compile(keras.optimizers.SGD(0.01), "mse")
    >>> x = numpy.linspace(-2, 2, 64, dtype="float32")[:, None]
    >>> found = learning_rate_range_test(model, x, 3 * x + 1, start=1e-4, batch_size=64)
    >>> 0.003 < found.suggestion < 0.3
    True

    References:
        - Smith, [Cyclical Learning Rates for Training Neural Networks](
          https://arxiv.org/abs/1506.01186), 2015
        - Kingma and Ba, [Adam](https://arxiv.org/abs/1412.6980), 2014, section 3 (the
          average without bias)
    """
    mode_checked = _validation.check_choice(
        "mode", mode, ("exponential", "linear", "decades")
    )
    rates = _rates(mode_checked, start, end, steps)
    steps = _validation.check_int("steps", steps, minimum=1)
    smoothing = _validation.check_float("smoothing", smoothing, below=1.0)
    seed_list = _checked_seeds(seeds)
    if packed is not None and not (isinstance(packed, str) and packed == "auto"):
        packed = _validation.check_int("packed", packed, minimum=1)
    callbacks = _checked_callbacks(callbacks)
    check_model("model_or_build", model_or_build)
    examples = Examples.of(x, y, sample_weight, batch_size)
    test = _Test(model_or_build, examples, rates, smoothing, callbacks)
    if mode_checked != "decades":
        runs = test.ramps(seed_list, is_logarithmic=mode_checked == "exponential")
    else:
        runs = test.decades(seed_list, steps, packed)
    found = suggestions.of_seeds([run.found for run in runs if run.found is not None])
    if found.flag == "noise" and len(runs) > 1 and mode_checked != "decades":
        ramps = [test.ramp(run.losses, mode_checked == "exponential") for run in runs]
        found = suggestions.of_mean(ramps) or found
    if found.rate is None and any(not np.isfinite(run.losses).all() for run in runs):
        found = test.blamed_on_data() or found
    return RangeTest(mode_checked, found, tuple(runs))


class _Test:
    """A range test of one model, or of what a function builds."""

    def __init__(
        self,
        model_or_build: Any,
        examples: Examples,
        rates: np.ndarray,
        smoothing: float,
        callbacks: list[Any],
    ):
        self._model_or_build = model_or_build
        self._examples = examples
        self._rates = rates
        self._smoothing = smoothing
        self._callbacks = callbacks
        self._is_built_anew = not isinstance(model_or_build, keras.Model)

    def blamed_on_data(self) -> suggestions.Suggestion | None:
        """Returns what to say of a loss that is not finite because the data are not."""
        arrays = self._examples.arrays
        if arrays is None:
            return None
        for name, part in zip(("x", "y", "sample_weight"), arrays.parts, strict=False):
            for leaf in keras.tree.flatten(part):
                values = np.asarray(leaf)
                if values.dtype.kind != "f" or np.isfinite(values).all():
                    continue
                row = int(np.argwhere(~np.isfinite(values))[0][0])
                return suggestions.Suggestion(
                    None,
                    f"The loss is not finite, and so is `{name}`, first in row {row}: "
                    "no rate helps against that.",
                    "not finite",
                )
        return None

    def ramp(self, losses: np.ndarray, is_logarithmic: bool) -> suggestions.Ramp:
        """Returns the losses with what they were made by."""
        return suggestions.Ramp(self._rates, losses, self._smoothing, is_logarithmic)

    def ramps(self, seeds: list[int], *, is_logarithmic: bool) -> list[RangeRun]:
        """Returns a training through all rates for each seed."""
        return [self._trained(seed, is_logarithmic) for seed in seeds]

    def _trained(self, seed: int, is_logarithmic: bool) -> RangeRun:
        model = self._model(seed)
        self._examples.build(model)
        count = given_rates.batches_per_update(model.optimizer)
        given = self._examples.shuffled(count * len(self._rates), seed)
        with kept(model) as state, given_rates.rates_given(model) as set_rate:
            losses = short_training.losses_of(
                model,
                given,
                self._rates,
                set_rate,
                state,
                accumulated=count,
                callbacks=self._callbacks,
                is_over=lambda each: averages.has_diverged(each, self._smoothing),
            )
        ramp = self.ramp(losses, is_logarithmic)
        tried = self._rates[: len(losses)]
        return RangeRun(seed, tried, losses, ramp.smoothed, ramp.suggestion())

    def decades(
        self, seeds: list[int], steps: int, packed: int | Literal["auto"] | None
    ) -> list[RangeRun]:
        """Returns a training at each rate for each seed."""
        cache = ProgramCache()
        runs = []
        for seed in seeds:
            part, num_batches = self._examples.part(math.ceil(steps / _PASSES), seed)
            passes = max(1, round(steps / num_batches)) if num_batches else 1
            if self._is_built_anew and _is_packable(part):
                curves = self._side_by_side(part, passes, seed, packed, cache)
            else:
                curves = self._one_by_one(part, num_batches, passes, seed)
            each = suggestions.Decades(self._rates, tuple(curves))
            losses = each.losses
            found = each.suggestion()
            runs.append(RangeRun(seed, self._rates, losses, losses, found, each.curves))
        return runs

    def _side_by_side(
        self,
        part: Examples,
        passes: int,
        seed: int,
        packed: int | Literal["auto"] | None,
        cache: ProgramCache,
    ) -> list[np.ndarray]:
        if self._callbacks:
            raise ValueError(
                "`callbacks` must be left out where the rates of a function train side "
                "by side; give the model itself. "
                f"{_validation.received('callbacks', self._callbacks)}"
            )
        same = _SameWeights()

        def build(rate: float) -> keras.Model:
            model = built_by("model_or_build", self._model_or_build)
            same.give(model)
            given_rates.set_constant(model.optimizer, rate)
            return model

        x, y, weights = _as_arrays(part)
        trained = train(
            [float(rate) for rate in self._rates],
            build,
            x,
            y,
            sample_weight=weights,
            epochs=passes,
            batch_size=part.batch_size,
            seeds=seed,
            order_seed=seed,
            packed=packed,
            cache=cache,
        )
        return [np.asarray(each.curves["loss"], "float64") for each in trained]

    def _one_by_one(
        self, part: Examples, num_batches: int, passes: int, seed: int
    ) -> list[np.ndarray]:
        model = self._model(seed)
        self._examples.build(model)
        count = given_rates.batches_per_update(model.optimizer)
        updates = max(1, passes * num_batches // count)
        given = part.shuffled(updates * count, seed)
        curves = []
        with kept(model) as state, given_rates.rates_given(model) as set_rate:
            for rate in self._rates:
                losses = short_training.losses_of(
                    model,
                    given,
                    np.full(updates, rate),
                    set_rate,
                    state,
                    accumulated=count,
                    callbacks=self._callbacks,
                )
                state.put_back()
                parts = np.array_split(losses, min(passes, len(losses)))
                curves.append(np.array([np.mean(each) for each in parts]))
        return curves

    def _model(self, seed: int) -> keras.Model:
        if not self._is_built_anew:
            return self._model_or_build
        with seeded(seed):
            return built_by("model_or_build", self._model_or_build)


class _SameWeights:
    """Gives each of several models the weights of the first."""

    def __init__(self) -> None:
        self._weights: list[np.ndarray] | None = None

    def give(self, model: keras.Model) -> None:
        """Sets the weights, unless they are so already.

        Raises:
            ValueError: If the model is another one.
        """
        weights = model.get_weights()
        if self._weights is None:
            self._weights = weights
            return
        shapes = [w.shape for w in weights], [w.shape for w in self._weights]
        if shapes[0] != shapes[1]:
            raise ValueError(
                "`model_or_build` must return the same model each time. Received: "
                f"models with weights of shapes {shapes[1]} and {shapes[0]}"
            )
        if not all(map(np.array_equal, weights, self._weights)):
            model.set_weights(self._weights)


def _is_packable(part: Examples) -> bool:
    return part.arrays is None or part.arrays.y is not None


def _as_arrays(part: Examples) -> tuple[Any, Any, Any]:
    """Returns `x`, `y` and weights, arrays as `fit` would make them."""
    if part.arrays is None:
        return part.stream, None, None
    parts = [rows.map_leaves(as_fit_makes_it, each) for each in part.arrays.parts]
    x, y, weights = [*parts, None, None][:3]
    return x, y, weights


def _rates(mode: str, start: Any, end: Any, steps: Any) -> np.ndarray:
    start = _validation.check_float("start", start, exclusive=mode != "linear")
    end = _validation.check_float("end", end, exclusive=True)
    steps = _validation.check_int("steps", steps, minimum=1)
    if start >= end:
        raise ValueError(
            f"`start` must be below `end`. Received: start={start}, end={end}"
        )
    if mode == "linear":
        return np.linspace(start, end, steps)
    if mode == "exponential":
        return np.geomspace(start, end, steps)
    count = math.floor(math.log10(end / start) + 1e-9) + 1
    return start * 10.0 ** np.arange(count)


def _checked_seeds(seeds: Any) -> list[int]:
    given = seeds
    seeds = _validation.plain(seeds)
    if not _validation.is_number(seeds):
        is_list = isinstance(seeds, Iterable) and not isinstance(seeds, str | dict)
        if not is_list or isinstance(seeds, bool):
            raise TypeError(
                "`seeds` must be a whole number, or a list of those. "
                f"{_validation.received('seeds', given, True)}"
            )
    else:
        seeds = [seeds]
    checked = [_validation.check_int("seeds", seed) for seed in seeds]
    if not checked or max(checked) >= 2**32 or len(set(checked)) < len(checked):
        raise ValueError(
            "`seeds` must be one or several different whole numbers below 2**32. "
            f"{_validation.received('seeds', given)}"
        )
    return checked


def _checked_callbacks(callbacks: Any) -> list[Any]:
    if callbacks is None:
        return []
    given = callbacks if isinstance(callbacks, list | tuple) else [callbacks]
    if not all(isinstance(each, keras.callbacks.Callback) for each in given):
        raise TypeError(
            "`callbacks` must be a list of Keras callbacks. "
            f"{_validation.received('callbacks', callbacks, True)}"
        )
    return list(given)
