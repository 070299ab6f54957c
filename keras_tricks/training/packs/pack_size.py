"""The number of trials that train together: given, or measured."""

import logging
import math
import os
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence

import tensorflow as tf

from keras_tricks.training.compiled.data import Data
from keras_tricks.training.compiled.functional_model import Steps
from keras_tricks.training.compiled.programs import SIDE_BY_SIDE
from keras_tricks.training.compiled.programs import Program
from keras_tricks.training.compiled.programs import ProgramCache
from keras_tricks.training.compiled.vectorized_map import is_worth_vectorizing
from keras_tricks.training.families import structure
from keras_tricks.training.families.trial_state import TrialState
from keras_tricks.training.packs import memory
from keras_tricks.training.packs import packing
from keras_tricks.training.packs.progress import EpochTime
from keras_tricks.training.packs.progress import RunConfig
from keras_tricks.training.packs.progress import TrainingResult

_LOG = logging.getLogger(__name__)

# Beyond it more trials in a step hardly make it cheaper for each.
AUTO_SIZE = 64
# From so many steps on, of all trials but one, a step of all of them together is worth
# its tracing, which takes as long as some thousand steps of a small network.
_WORTH_VECTORIZING = 2500
# What such a step spares of the time of a small network's, about.
_SPARED = 0.75
# Seconds above which the share of a trial in a step of all may be longer than a step of
# it alone: it takes longer than to begin a step's operations.
_SLOW_STEP = 1e-3
# How long a pack is traced if a trial alone takes 1, which is so many seconds at least.
_TRACING_OF_PACKS = 1.5
_LEAST_TRACING = 0.5

_BESIDE_EACH_OTHER = (
    "The trials of a pack run beside each other, since a step of all of them cannot be "
    "had for this model, or would be slow on a processor. That may be no faster than "
    'one after the other: "auto" in place of the number takes what is faster.'
)

# (number of the first trial, of the one after the last, size of packs or 0) -> outcomes
_Train = Callable[[int, int, int], Iterator[list[TrainingResult]]]


def train_group(
    cache: ProgramCache,
    functional: Steps,
    trials: Sequence[TrialState],
    data: Data,
    run: RunConfig,
    *,
    packed: int | str | None,
    jit_compile: bool = False,
    memory_limit: int | None = None,
    told: set[str] | None = None,
) -> Iterator[list[TrainingResult]]:
    """Trains trials of one structure, in packs of the size that `packed` says.

    Args:
        cache: Where the programs are.
        functional: The model of the structure.
        trials: The trials.
        data: What they train on.
        run: For how long.
        packed: See `keras_tricks.training.train`.
        jit_compile: Whether XLA compiles the steps.
        memory_limit: See `memory.largest_pack`.
        told: What the log was told already, of which it is not told again.

    Yields:
        The outcomes of the trials of each pack, as soon as it has ended.
    """

    def train(first: int, end: int, size: int) -> Iterator[list[TrainingResult]]:
        program = cache.program(functional, packed=size > 0, jit_compile=jit_compile)
        rest = run.for_trials(range(first, end))
        return _train_packs(program, trials[first:end], data, rest, max(size, 1))

    known = set() if told is None else told

    def tell(message: str) -> None:
        if message not in known:
            known.add(message)
            _LOG.warning("%s", message)

    most = len(trials)
    reason = structure.reason_not_vectorized(functional.model)
    if packed is None or reason is not None:
        if packed is not None:
            tell(f"Trained one by one, since {reason}.")
        yield from train(0, most, 0)
        return
    fitting = memory.largest_pack(functional, memory_limit)
    if packed != "auto":
        size = _even(min(int(packed), fitting), most)
        for pack in train(0, most, size):
            yield pack
            if size > 1 and not is_worth_vectorizing(functional):
                tell(_BESIDE_EACH_OTHER)
        return
    size = _even(min(AUTO_SIZE, fitting), most)
    if size < 2:
        yield from train(0, most, 0)
        return
    yield from _train_faster(
        train,
        # Once it has been traced, a step may have shown that it is not.
        lambda: is_worth_vectorizing(functional),
        most,
        size,
        run.epochs - run.initial_epoch,
        data.steps_per_epoch,
    )


def _train_faster(
    train: _Train,
    is_vectorized: Callable[[], bool],
    most: int,
    size: int,
    num_epochs: int,
    steps_per_epoch: int,
) -> Iterator[list[TrainingResult]]:
    """Trains trials in the way that is faster, alone or in packs.

    Each way is traced first, which in a short search takes longer than anything else:
    the other one is tried only if it may spare more than that.

    Args:
        train: Trains some of them.
        is_vectorized: Tells whether a step of a pack is one of all its trials.
        most: How many trials there are.
        size: How many are a pack.
        num_epochs: Of a trial.
        steps_per_epoch: Updates of an epoch.
    """
    first = 0
    in_packs, alone = _Pace(), _Pace()
    spared_steps = steps_per_epoch * num_epochs * (most - 1)
    is_packed_first = is_vectorized() and spared_steps >= _WORTH_VECTORIZING
    if is_packed_first:
        for pack in train(0, size, size):
            in_packs.add(pack)
            first += len(pack)
            yield pack
        if in_packs.epoch_seconds / steps_per_epoch < _SLOW_STEP:
            yield from train(first, most, size)
            return
    while first < most and not alone.is_known:
        (one,) = train(first, first + 1, 0)
        alone.add(one)
        first += 1
        yield one
    if not is_packed_first:
        rest = most - first
        spared = _SPARED if is_vectorized() else alone.idle
        tracing = _TRACING_OF_PACKS * max(alone.tracing, _LEAST_TRACING)
        if alone.epoch_seconds * num_epochs * rest * spared > tracing:
            size = _even(size, rest)
            for pack in train(first, first + size, size):
                in_packs.add(pack)
                first += len(pack)
                yield pack
    is_faster = in_packs.epoch_seconds < alone.epoch_seconds
    yield from train(first, most, size if is_faster else 0)


class _Pace:
    """How long the epochs of a program take.

    Attributes:
        epoch_seconds: Of a trial, without the tracing where that is known; infinite
            before anything was added.
        tracing: How many seconds longer the first epoch took.
        idle: Which share of the processors that can run trials of a pack side by side
            had nothing to do.
        is_known: Whether an epoch was seen that traced nothing.
    """

    def __init__(self) -> None:
        self.epoch_seconds = math.inf
        self.tracing = 0.0
        self.idle = 0.0
        self.is_known = False
        self._epochs: list[EpochTime] = []

    def add(self, pack: list[TrainingResult]) -> None:
        """Adds the trials of a pack, or one alone."""
        self._epochs += pack[0].epoch_times
        fastest = min(self._epochs[1:] or self._epochs, key=lambda each: each.seconds)
        self.is_known = len(self._epochs) > 1
        self.epoch_seconds = fastest.seconds / len(pack)
        self.tracing = self._epochs[0].seconds - fastest.seconds
        cores = min(_num_cores(), SIDE_BY_SIDE)
        busy = fastest.processor_seconds / max(fastest.seconds, 1e-9)
        self.idle = max(1 - busy / cores, 0.0)


def _num_cores() -> int:
    """Returns how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):  # Not on macOS and Windows.
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _even(size: int, count: int) -> int:
    """Returns the size of packs that are as many, and as even as can be."""
    size = min(size, count)
    return math.ceil(count / math.ceil(count / size)) if size else 0


def _train_packs(
    program: Program,
    trials: Sequence[TrialState],
    data: Data,
    run: RunConfig,
    size: int,
) -> Iterator[list[TrainingResult]]:
    """Trains packs of equal size: another size would have to be traced anew."""
    first = 0
    while first < len(trials):
        pack = list(trials[first : first + size])
        copies = size - len(pack)
        numbers = [*range(first, first + len(pack)), *[None] * copies]
        try:
            outcomes = packing.run(
                program, pack + [pack[-1]] * copies, data, run.for_trials(numbers)
            )
        except tf.errors.ResourceExhaustedError:
            if size == 1:
                raise
            size = math.ceil(size / 2)
            _LOG.warning("Out of memory; going on with packs of %d trials.", size)
            continue
        yield outcomes[: len(pack)]
        first += len(pack)
