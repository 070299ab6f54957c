"""How many trials of a structure train together: told, or measured."""

import logging
import math
from collections.abc import Sequence

import tensorflow as tf

from keras_tricks.training import memory
from keras_tricks.training import packing
from keras_tricks.training import structure
from keras_tricks.training.packing import Data
from keras_tricks.training.packing import OnEpoch
from keras_tricks.training.packing import Outcome
from keras_tricks.training.programs import ProgramCache
from keras_tricks.training.steps import FunctionalModel
from keras_tricks.training.trials import Trial

_LOG = logging.getLogger(__name__)

# Beyond it more trials in a step hardly make it cheaper for each.
AUTO_SIZE = 64
# What vectorising a step costs, in seconds, about.
_TRACING = 1.5


def train_group(
    cache: ProgramCache,
    functional: FunctionalModel,
    trials: Sequence[Trial],
    data: Data,
    epochs: int,
    *,
    packed: int | str | None,
    jit_compile: bool = False,
    patience: int | None = None,
    on_epoch: OnEpoch | None = None,
    memory_limit: int | None = None,
) -> list[Outcome]:
    """Trains trials of one structure, in packs of the size that `packed` says.

    Args:
        cache: Where the programs are.
        functional: The model of the structure.
        trials: The trials.
        data: What they train on.
        epochs: The most epochs of each.
        packed: See `keras_tricks.training.train`.
        jit_compile: Whether XLA compiles the steps.
        patience: See `packing.run`.
        on_epoch: See `packing.run`.
        memory_limit: See `memory.largest_pack`.
    """
    outcomes: list[Outcome] = []

    def train(end: int, size: int) -> list[Outcome]:
        new = _train_packs(
            cache.program(functional, packed=size > 0, jit_compile=jit_compile),
            trials[len(outcomes) : end],
            data,
            epochs,
            max(size, 1),
            patience,
            _shifted(on_epoch, len(outcomes)),
        )
        outcomes.extend(new)
        return new

    most = len(trials)
    reason = structure.why_not_vectorized(functional.model)
    if packed is None or reason is not None:
        if packed is not None:
            _log_once(f"Trained one by one, since {reason}.")
        train(most, 0)
        return outcomes
    fitting = memory.largest_pack(functional, memory_limit)
    if packed != "auto":
        train(most, min(int(packed), fitting))
        return outcomes
    alone = _seconds(train(1, 0)[0])
    size = min(AUTO_SIZE, fitting, most - 1)
    if alone * epochs * (most - 1) < _TRACING or size < 2:
        train(most, 0)
    else:
        together = _seconds(train(1 + size, size)[0]) / size
        train(most, size if together < alone else 0)
    return outcomes


def _train_packs(program, trials, data, epochs, size, patience, on_epoch):
    """Trains packs of equal size: another size would have to be traced anew."""
    if not trials:
        return []
    size = min(size, len(trials))
    size = math.ceil(len(trials) / math.ceil(len(trials) / size))
    outcomes: list[Outcome] = []
    while len(outcomes) < len(trials):
        first = len(outcomes)
        pack = list(trials[first : first + size])
        padded = pack + [pack[-1]] * (size - len(pack))
        ours = _shifted(on_epoch, first, len(pack))
        try:
            new = packing.run(
                program, padded, data, epochs, patience=patience, on_epoch=ours
            )
        except tf.errors.ResourceExhaustedError:
            if size == 1:
                raise
            size = math.ceil(size / 2)
            _LOG.warning("Out of memory; going on with packs of %d trials.", size)
            continue
        outcomes += new[: len(pack)]
    return outcomes


def _shifted(on_epoch, first: int, number: int | None = None):
    """Returns `on_epoch` for a part of the trials, which copies at its end are not."""
    if on_epoch is None:
        return None

    def of_part(trial, epoch, logs):
        if number is not None and trial >= number:
            return False
        return on_epoch(first + trial, epoch, logs)

    return of_part


def _seconds(outcome: Outcome) -> float:
    """Returns the seconds of an epoch; the first one traces."""
    return min(outcome.epoch_seconds[1:] or outcome.epoch_seconds)


_logged: set[str] = set()


def _log_once(message: str) -> None:
    if message not in _logged:
        _logged.add(message)
        _LOG.warning("%s", message)
