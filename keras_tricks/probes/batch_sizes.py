"""The probe of batch sizes: what fits, and how fast it trains."""

from __future__ import annotations

import gc
import itertools
import re
import time
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import psutil
import tensorflow as tf

from keras_tricks import _validation
from keras_tricks.data import rows
from keras_tricks.probes.batch_result import BatchSize
from keras_tricks.probes.batch_result import BatchSizes
from keras_tricks.probes.examples import Examples
from keras_tricks.probes.examples import as_fit_makes_it
from keras_tricks.probes.given_model import built_by
from keras_tricks.probes.given_model import check_model
from keras_tricks.probes.kept_model import KeptState
from keras_tricks.probes.kept_model import kept
from keras_tricks.probes.step_memory import predicted_bytes
from keras_tricks.training.families.trial_state import seeded
from keras_tricks.training.packs.memory import available_bytes

_SMALLEST, _LARGEST = 16, 8192
# The first steps are traced and compiled, and find their memory.
_WARMUP = 3
_FEWEST_STEPS, _MOST_STEPS = 5, 200
# Of the free memory of a computer, whose other processes need some, too.
_USABLE_SHARE = 0.9
_OUT_OF_MEMORY = re.compile(r"out of memory|\bOOM\b|failed to allocate", re.IGNORECASE)


def probe_batch_sizes(
    build: keras.Model | Callable[[], keras.Model],
    x: Any,
    y: Any = None,
    *,
    sizes: Sequence[int] | None = None,
    sample_weight: Any = None,
    seconds: float = 0.5,
    minimal_gain: float = 0.05,
    memory_limit: int | None = None,
) -> BatchSizes:
    """Says which batch sizes fit into memory, and which one trains fastest.

    Each size trains for a while by the model's own `fit`, on one batch that is read
    again and again, from the smallest size to the first that does not fit. The
    recommended one is the largest that still raises throughput, examples a second: by
    `minimal_gain` over the last that did.

    Before it runs, the memory of a step is predicted: weights and the optimizer's state
    as they are, and the gradients, inputs and activations of the traced step, each for
    as long as it is needed. On a GPU a size that is out of memory is caught, and the
    peak of the allocator is read. On a CPU it would end the process: sizes that are
    predicted to need more than 0.9 of what is free are not run, nor those for which
    what the last size has taken leaves no room.

    Throughput is that of the device; reading and preparing of the data come on top.

    Args:
        build: A function without arguments that returns a compiled model; or one, which
            comes back as it was. The same model trains with all sizes.
        x: Examples as `fit` takes them, arrays or what yields batches, of which as many
            are read as the largest size has.
        y: Labels; None where `x` yields batches.
        sizes: Batch sizes, each at most the number of examples. None are the powers of
            two from 16 to 8192, which are multiples of 16, too, as far as there are
            examples.
        sample_weight: A weight for each example.
        seconds: How long each size is measured, > 0, after three steps to warm up, and
            for 5 steps at least and 200 at most.
        minimal_gain: The share by which throughput has to rise to count, >= 0.
        memory_limit: Bytes that may be used; None is what is free.

    Returns:
        A `BatchSizes`, with `recommended`, `largest`, `reason`, `advice`, `table` and
        `plot()`.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If an argument is out of its range; if the model is not compiled, or
            knows batches of one size alone.

    Example:

    >>> import keras, numpy
    >>> from keras_tricks.probes import probe_batch_sizes
    >>> def build():
    ...     model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(1)])
    ...     model.compile("sgd", "mse")
    ...     return model
    >>> x, y = numpy.ones((64, 8), "float32"), numpy.ones((64, 1), "float32")
    >>> found = probe_batch_sizes(build, x, y, sizes=[16, 64], seconds=0.01)
    >>> found.recommended, found.largest
    (64, 64)

    Reference:
        Godbole, Dahl, Gilmer, Shallue and Nado, [Deep Learning Tuning Playbook](
        https://github.com/google-research/tuning_playbook), 2023, "Choosing the batch
        size"
    """
    check_model("build", build)
    given_sizes = None if sizes is None else _checked_sizes(sizes)
    seconds = _validation.check_float("seconds", seconds, exclusive=True)
    minimal_gain = _validation.check_float("minimal_gain", minimal_gain)
    if memory_limit is not None:
        memory_limit = _validation.check_int("memory_limit", memory_limit, minimum=1)
    most = _LARGEST if given_sizes is None else max(given_sizes)
    given = Examples.of(x, y, sample_weight)
    examples = given.first_rows(most)
    wanted = _sizes(given_sizes, examples.num_rows)
    if isinstance(build, keras.Model):
        model = build
    else:
        with seeded(0):
            model = built_by("build", build)
    _check_sizes_are_free(model)
    Examples(examples, None).build(model)
    with kept(model, step_by_step=False) as state:
        state.take()
        found = _Probe(model, examples, state, seconds, memory_limit).each(wanted)
    return BatchSizes(tuple(found), minimal_gain)


class _Probe:
    """Trains a model with batches of one size after another."""

    def __init__(
        self,
        model: keras.Model,
        examples: rows.Examples,
        state: KeptState,
        seconds: float,
        memory_limit: int | None,
    ):
        self._model = model
        self._examples = examples
        self._state = state
        self._seconds = seconds
        self._is_on_gpu = bool(tf.config.list_logical_devices("GPU"))
        self._limit = memory_limit
        if memory_limit is None:
            self._limit = int(_USABLE_SHARE * available_bytes())
        self._must_obey = memory_limit is not None or not self._is_on_gpu
        self._predicted = predicted_bytes(model, self._batch(1))
        # After the first size, so that it has all that does not depend on the size.
        self._resident: int | None = None

    def each(self, sizes: list[int]) -> list[BatchSize]:
        """Returns what became of each size."""
        found: list[BatchSize] = []
        for size in sizes:
            refusal = self._refusal(size, found)
            if refusal:
                found.append(
                    BatchSize(size, False, self._prediction(size), note=refusal)
                )
            else:
                found.append(self._measured(size))
            if self._resident is None:
                self._resident = _resident_bytes()
        return found

    def _prediction(self, size: int) -> int | None:
        if self._predicted is None:
            return None
        fixed, per_example = self._predicted
        return int(fixed + size * per_example)

    def _refusal(self, size: int, found: list[BatchSize]) -> str:
        """Returns why a size is not tried, empty if it is."""
        if found and not found[-1].fits:
            return f"{found[-1].size} does not fit"
        if not self._must_obey:
            return ""
        assert self._limit is not None
        predicted = self._prediction(size) or 0
        if predicted > self._limit:
            return "predicted not to fit"
        if self._resident is not None and not self._is_on_gpu:
            taken = _resident_bytes() - self._resident
            if taken * size / found[-1].size > self._limit:
                return f"{found[-1].size} leaves no room for it"
        return ""

    def _batch(self, size: int) -> tuple[Any, ...]:
        order = np.arange(size)

        def as_tensor(leaf: Any) -> tf.Tensor:
            return tf.convert_to_tensor(as_fit_makes_it(rows.take(leaf, order)))

        parts = [part for part in self._examples.parts if part is not None]
        # Of a list a dataset would make one tensor.
        nests = (rows.map_leaves(as_tensor, part) for part in parts)
        return tuple(map(keras.tree.lists_to_tuples, nests))

    def _measured(self, size: int) -> BatchSize:
        clock = _Clock(self._seconds)
        predicted = self._prediction(size)
        self._forget_peak()
        try:
            batches = tf.data.Dataset.from_tensors(self._batch(size)).repeat()
            self._model.fit(batches, callbacks=[clock], shuffle=False, verbose=0)
        except Exception as error:
            if not _is_out_of_memory(error):
                raise
            gc.collect()
            return BatchSize(size, False, predicted, note="out of memory")
        per_call = size * self._model.steps_per_execution
        lower, median, upper = np.quantile(
            per_call / np.array(clock.times), [0.25, 0.5, 0.75]
        )
        return BatchSize(
            size,
            True,
            predicted,
            self._peak(),
            size / float(median),
            float(median),
            (float(lower), float(upper)),
        )

    def _forget_peak(self) -> None:
        if self._is_on_gpu:
            tf.config.experimental.reset_memory_stats("GPU:0")

    def _peak(self) -> int | None:
        if not self._is_on_gpu:
            return None
        return int(tf.config.experimental.get_memory_info("GPU:0")["peak"])


class _Clock(keras.callbacks.Callback):
    """Measures the time of each call of the step, and ends the training in time."""

    def __init__(self, seconds: float):
        super().__init__()
        self._seconds = seconds
        self._calls = 0
        self.times: list[float] = []

    def on_train_batch_begin(
        self, batch: int, logs: dict[str, Any] | None = None
    ) -> None:
        self._start = time.perf_counter()

    def on_train_batch_end(
        self, batch: int, logs: dict[str, Any] | None = None
    ) -> None:
        # A device may still be at it until somebody wants the numbers.
        keras.tree.map_structure(keras.ops.convert_to_numpy, logs or {})
        elapsed = time.perf_counter() - self._start
        self._calls += 1
        if self._calls <= _WARMUP:
            return
        self.times.append(elapsed)
        is_long = sum(self.times) >= self._seconds
        if len(self.times) >= _MOST_STEPS or (
            is_long and len(self.times) >= _FEWEST_STEPS
        ):
            self.model.stop_training = True


def _is_out_of_memory(error: Exception) -> bool:
    if isinstance(error, tf.errors.ResourceExhaustedError | MemoryError):
        return True
    is_of_device = isinstance(error, tf.errors.OpError | RuntimeError)
    return is_of_device and bool(_OUT_OF_MEMORY.search(str(error)))


def _resident_bytes() -> int:
    return int(psutil.Process().memory_info().rss)


def _sizes(sizes: list[int] | None, num_rows: int) -> list[int]:
    """Returns the sizes to try, or raises if there are too few rows for one."""
    if sizes is None:
        powers = [
            2**k for k in itertools.takewhile(lambda k: 2**k <= num_rows, range(14))
        ]
        return [power for power in powers if power >= _SMALLEST] or [num_rows]
    if sizes[-1] > num_rows:
        raise ValueError(
            f"`sizes` must be at most the number of examples, {num_rows}. "
            f"{_validation.received('sizes', sizes)}"
        )
    return sizes


def _checked_sizes(sizes: Any) -> list[int]:
    given = sizes
    sizes = _validation.plain(sizes)
    if _validation.is_number(sizes):
        sizes = [sizes]
    if isinstance(sizes, bool | str | dict) or not isinstance(sizes, Iterable):
        raise TypeError(
            "`sizes` must be a list of whole numbers. "
            f"{_validation.received('sizes', given, True)}"
        )
    checked = {_validation.check_int("sizes", size, minimum=1) for size in sizes}
    if not checked:
        raise ValueError(
            "`sizes` must hold at least one size. "
            f"{_validation.received('sizes', given)}"
        )
    return sorted(checked)


def _check_sizes_are_free(model: keras.Model) -> None:
    shapes = [tensor.shape for tensor in getattr(model, "inputs", None) or []]
    if any(shape[0] is not None for shape in shapes):
        raise ValueError(
            "`build` must return a model that takes batches of any size. "
            f"Received: a model with inputs of shape {shapes}"
        )
