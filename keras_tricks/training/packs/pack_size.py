"""The number of trials that train together: given, or measured."""

import logging
import math
from collections.abc import Iterator
from collections.abc import Sequence

import tensorflow as tf

from keras_tricks.training.compiled.data import Data
from keras_tricks.training.compiled.functional_model import Steps
from keras_tricks.training.compiled.programs import Program
from keras_tricks.training.compiled.programs import ProgramCache
from keras_tricks.training.families import structure
from keras_tricks.training.families.trial_state import TrialState
from keras_tricks.training.packs import memory
from keras_tricks.training.packs import packing
from keras_tricks.training.packs.progress import RunConfig
from keras_tricks.training.packs.progress import TrainingResult

_LOG = logging.getLogger(__name__)

# Beyond it more trials in a step hardly make it cheaper for each.
AUTO_SIZE = 64
# What vectorising a step costs, in seconds, about.
_TRACING = 1.5


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

    most = len(trials)
    reason = structure.reason_not_vectorized(functional.model)
    if packed is None or reason is not None:
        if packed is not None:
            told = set() if told is None else told
            message = f"Trained one by one, since {reason}."
            if message not in told:
                told.add(message)
                _LOG.warning("%s", message)
        yield from train(0, most, 0)
        return
    fitting = memory.largest_pack(functional, memory_limit)
    if packed != "auto":
        yield from train(0, most, min(int(packed), fitting))
        return
    (first,) = train(0, 1, 0)
    yield first
    size = min(AUTO_SIZE, fitting, most - 1)
    alone = _seconds(first[0])
    num_epochs = run.epochs - run.initial_epoch
    if alone * num_epochs * (most - 1) < _TRACING or size < 2:
        yield from train(1, most, 0)
        return
    for pack in train(1, 1 + size, size):
        yield pack
        together = _seconds(pack[0]) / len(pack)
    yield from train(1 + size, most, size if together < alone else 0)


def _train_packs(
    program: Program,
    trials: Sequence[TrialState],
    data: Data,
    run: RunConfig,
    size: int,
) -> Iterator[list[TrainingResult]]:
    """Trains packs of equal size: another size would have to be traced anew."""
    if not trials:
        return
    size = min(size, len(trials))
    size = math.ceil(len(trials) / math.ceil(len(trials) / size))
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


def _seconds(outcome: TrainingResult) -> float:
    """Returns the seconds of an epoch; the first one traces."""
    return min(outcome.epoch_seconds[1:] or outcome.epoch_seconds)
