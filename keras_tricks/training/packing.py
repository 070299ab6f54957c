"""Trials of one structure that train side by side, each with its own end."""

import time
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from keras_tricks.training.data import Data
from keras_tricks.training.programs import Program
from keras_tricks.training.progress import Outcome
from keras_tricks.training.progress import Progress
from keras_tricks.training.progress import Run
from keras_tricks.training.steps import FunctionalModel
from keras_tricks.training.steps import State
from keras_tricks.training.trials import Trial


def run(
    program: Program, trials: Sequence[Trial], data: Data, run: Run
) -> list[Outcome]:
    """Trains trials of one structure, together if `program` is a packed one.

    A trial ends when a loss is not finite, or when `run` says so; the others go on, and
    nothing of it reaches them.

    Args:
        program: The compiled epochs.
        trials: The trials.
        data: What they train on.
        run: For how long.
    """
    if program.packed:
        return _run(program, trials, data, run)
    return [
        outcome
        for number, trial in enumerate(trials)
        for outcome in _run(program, [trial], data, run.for_trials([number]))
    ]


def _run(program, trials, data, run) -> list[Outcome]:
    stacked = _stacked if program.packed else lambda states: states[0]
    state: State = stacked([trial.start for trial in trials])
    numbers = tf.constant(stacked([trial.numbers for trial in trials]))
    rates = stacked([trial.rates for trial in trials])
    progress = [Progress(run) for _ in trials]
    best = state.trainable, state.non_trainable
    seconds: list[float] = []
    for epoch in range(run.initial_epoch, run.epochs):
        began = time.perf_counter()
        first = (epoch - run.initial_epoch) * data.steps_per_epoch
        now = tf.constant(rates[..., first : first + data.steps_per_epoch])
        state, results = data.train_epoch(program, state, numbers, now, epoch)
        validated = data.evaluate(program, state, numbers)
        results |= {f"val_{name}": value for name, value in validated.items()}
        logs = {name: np.atleast_1d(value.numpy()) for name, value in results.items()}
        seconds.append(time.perf_counter() - began)
        improved = _record(progress, epoch, logs)
        if any(improved):
            mask = tf.constant(improved if program.packed else improved[0])
            best = _select(mask, (state.trainable, state.non_trainable), best)
        if not any(each.active for each in progress):
            break
    return _outcomes(program, progress, best, seconds)


def _record(progress, epoch, logs) -> list[bool]:
    """Returns, for each trial, whether this epoch is its best one until now."""
    return [
        each.active
        and each.add(
            number, epoch, {name: float(v[number]) for name, v in logs.items()}
        )
        for number, each in enumerate(progress)
    ]


@tf.function(autograph=False, reduce_retracing=False)
def _select(mask, new, old):
    """Returns `new` for the trials in `mask` and `old` for the others."""

    def one(new, old):
        shape = tf.concat(
            [tf.shape(mask), tf.ones(len(new.shape) - len(mask.shape), tf.int32)], 0
        )
        return tf.where(tf.reshape(mask, shape), new, old)

    return tf.nest.map_structure(one, new, old)


def _outcomes(program, progress, best, seconds) -> list[Outcome]:
    trainable, non_trainable = tf.nest.map_structure(lambda t: np.asarray(t), best)

    def own(arrays: list, number: int) -> list:
        return [a[number] for a in arrays] if program.packed else arrays

    return [
        each.outcome(own(trainable, number), own(non_trainable, number), seconds)
        for number, each in enumerate(progress)
    ]


def weights_of(functional: FunctionalModel, outcome: Outcome) -> list[np.ndarray]:
    """Returns the weights of a trial in the order of `keras.Model.set_weights`.

    Args:
        functional: The model of the trial's structure.
        outcome: How the trial went.
    """
    variables = functional.variables
    value = {
        id(variable): array
        for variable, array in zip(
            [*variables.trainable, *variables.non_trainable],
            [*outcome.trainable, *outcome.non_trainable],
            strict=True,
        )
    }
    return [value[id(weight)] for weight in functional.model.weights]


def _stacked(states):
    """Returns nested tensors or arrays with a first axis of trials."""
    if isinstance(states[0], np.ndarray):
        return np.stack(states)
    # NumPy's copy is quicker than one operation a tensor and a trial.
    return tf.nest.map_structure(
        lambda *tensors: tf.constant(np.stack([np.asarray(t) for t in tensors])),
        *states,
    )
