"""Trials of one structure that train side by side, each with its own end."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_tricks.training.compiled.data import Data
from keras_tricks.training.compiled.functional_model import State
from keras_tricks.training.compiled.functional_model import Steps
from keras_tricks.training.compiled.functional_model import UnsupportedModelError
from keras_tricks.training.compiled.programs import Program
from keras_tricks.training.families.trial_state import TrialState
from keras_tricks.training.packs.progress import EpochTime
from keras_tricks.training.packs.progress import Follower
from keras_tricks.training.packs.progress import Progress
from keras_tricks.training.packs.progress import RunConfig
from keras_tricks.training.packs.progress import TrainingResult


def run(
    program: Program, trials: Sequence[TrialState], data: Data, run: RunConfig
) -> list[TrainingResult]:
    """Trains trials of one structure, together if `program` is a packed one.

    A trial ends when its weights are no longer finite, or when `run` says so; the
    others go on, and nothing of it reaches them.

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


class _Pack:
    """The trials of one run, which a program trains together, or the only one."""

    def __init__(self, program: Program, trials: Sequence[TrialState]):
        self.is_packed = program.packed
        stacked = _stacked if self.is_packed else lambda states: states[0]
        self._state: State = stacked([trial.start for trial in trials])
        # The state as arrays, once somebody has asked for them or changed them.
        self._arrays: State | None = None
        self._is_changed = False
        self.numbers = tf.constant(stacked([trial.numbers for trial in trials]))
        self.rates = np.array(stacked([trial.rates for trial in trials]))
        self.num_steps = 0

    @property
    def state(self) -> State:
        """The state of all trials, tensors."""
        if self._is_changed:
            self._state = tf.nest.map_structure(tf.constant, self._arrays)
            # Tensors may share the memory of arrays, which are changed in place.
            self._arrays, self._is_changed = None, False
        return self._state

    @state.setter
    def state(self, state: State) -> None:
        self._state, self._arrays, self._is_changed = state, None, False

    def arrays(self) -> State:
        """Returns the state of all trials, arrays.

        A trial's part of an array is had at once, that of a tensor by an operation.
        """
        if self._arrays is None:
            self._arrays = tf.nest.map_structure(np.array, self._state)
        return self._arrays

    def set_arrays(self, number: int, state: State) -> None:
        """Changes the state of one trial."""

        def set_own(array: np.ndarray, own: Any) -> None:
            array[number if self.is_packed else ...] = own

        tf.nest.map_structure(set_own, self.arrays(), state)
        self._is_changed = True

    def next_rates(self, count: int) -> tf.Tensor:
        """Returns the rates of the next steps."""
        return tf.constant(self.rates[..., self.num_steps : self.num_steps + count])


class _View:
    """One trial of a pack; see `progress.TrialView`."""

    def __init__(self, pack: _Pack, number: int):
        self._pack = pack
        self._number = number

    @property
    def state(self) -> State:
        return tf.nest.map_structure(
            lambda array: np.array(self._own(array)), self._pack.arrays()
        )

    @property
    def rates(self) -> np.ndarray:
        return self._own(self._pack.rates)[self._pack.num_steps :].copy()

    def set_state(self, state: State) -> None:
        self._pack.set_arrays(self._number, state)

    def set_rates(self, rates: np.ndarray) -> None:
        self._own(self._pack.rates)[self._pack.num_steps :] = rates

    def _own(self, array: Any) -> Any:
        return array[self._number] if self._pack.is_packed else array


def _run(
    program: Program, trials: Sequence[TrialState], data: Data, run: RunConfig
) -> list[TrainingResult]:
    pack = _Pack(program, trials)
    progress = [Progress(run) for _ in trials]
    followed = [
        (follower, _View(pack, number))
        for number, follower in enumerate(run.followers or ())
    ]
    best = pack.state[:3]
    times: list[EpochTime] = []
    for follower, view in followed:
        follower.on_train_begin(view)
    for epoch in range(run.initial_epoch, run.epochs):
        for each, (follower, view) in zip(progress, followed, strict=False):
            if each.active:
                follower.on_epoch_begin(epoch, view)
        began = EpochTime.now()
        rates = pack.next_rates(data.steps_per_epoch)
        pack.state, results = data.train_epoch(
            program, pack.state, pack.numbers, rates, epoch
        )
        pack.num_steps += data.steps_per_epoch
        pack.state, validated = data.evaluate(program, pack.state, pack.numbers)
        results |= {f"val_{name}": value for name, value in validated.items()}
        logs = {name: np.atleast_1d(value.numpy()) for name, value in results.items()}
        times.append(EpochTime.now().since(began))
        before = [each.active for each in progress]
        improved = _record(progress, followed, epoch, logs)
        if any(improved):
            mask = tf.constant(improved if program.packed else improved[0])
            best = _select(mask, pack.state[:3], best)
        if not data.is_read_anew():
            _end_lost(program, progress, pack.state)
        # What they do to the weights comes after the best ones were kept.
        for each, was_active, (follower, view) in zip(
            progress, before, followed, strict=False
        ):
            if was_active and not each.active:
                follower.on_train_end(view)
        if not any(each.active for each in progress):
            break
    for each, (follower, view) in zip(progress, followed, strict=False):
        if each.active:
            follower.on_train_end(view)
    return _outcomes(program, progress, best, times)


def _record(
    progress: list[Progress],
    followed: list[tuple[Follower, _View]],
    epoch: int,
    logs: dict[str, np.ndarray],
) -> list[bool]:
    """Returns, for each trial, whether this epoch is its best one until now."""
    improved = [False] * len(progress)
    view: Any  # None where nobody follows the trials.
    for number, each in enumerate(progress):
        if not each.active:
            continue
        own = {name: float(values[number]) for name, values in logs.items()}
        follower, view = followed[number] if followed else (None, None)
        ends = follower is not None and follower.on_epoch_end(epoch, own, view)
        improved[number] = each.add(number, epoch, own)
        each.active &= not ends
    return improved


def _end_lost(program: Program, progress: list[Progress], state: State) -> None:
    """Ends the trials whose weights have diverged."""
    if not any(each.active and each.may_be_lost for each in progress):
        return
    weights = [np.asarray(tensor) for tensor in state.trainable]
    for number, each in enumerate(progress):
        own = [array[number] for array in weights] if program.packed else weights
        each.end_if_lost(own)


@tf.function(autograph=False, reduce_retracing=False)
def _select(mask: tf.Tensor, new: Any, old: Any) -> Any:
    """Returns `new` for the trials in `mask` and `old` for the others."""

    def one(new: tf.Tensor, old: tf.Tensor) -> tf.Tensor:
        shape = tf.concat(
            [tf.shape(mask), tf.ones(len(new.shape) - len(mask.shape), tf.int32)], 0
        )
        return tf.where(tf.reshape(mask, shape), new, old)

    return tf.nest.map_structure(one, new, old)


def _outcomes(
    program: Program, progress: list[Any], best: Any, times: list[EpochTime]
) -> list[TrainingResult]:
    best = tf.nest.map_structure(lambda t: np.asarray(t), best)

    def own(arrays: list, number: int) -> list:
        return [a[number] for a in arrays] if program.packed else arrays

    return [
        each.outcome(*(own(arrays, number) for arrays in best), times)
        for number, each in enumerate(progress)
    ]


def reason_of(error: Exception) -> str:
    """Returns why `fit` trains what a program was to train."""
    if isinstance(error, UnsupportedModelError):
        return str(error)
    first_line = str(error).strip().partition("\n")[0]
    return f"a program raised {type(error).__name__}: {first_line}"


def put_into_model(
    steps: Steps, trial: TrialState, outcome: TrainingResult
) -> keras.Model:
    """Returns a Keras model with the weights of a trial and its optimizer's state.

    Args:
        steps: The steps that trained the trial.
        trial: The trial.
        outcome: How the trial went.
    """
    holder = trial.holder or steps
    variables = holder.variables
    for variable, value in zip(
        [*variables.trainable, *variables.non_trainable, *variables.optimizer],
        [*outcome.trainable, *outcome.non_trainable, *outcome.optimizer],
        strict=True,
    ):
        variable.assign(value)
    return holder.model


def weights_of(functional: Steps, outcome: TrainingResult) -> list[np.ndarray]:
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


def _stacked(states: list[Any]) -> Any:
    """Returns nested tensors or arrays with a first axis of trials."""
    if isinstance(states[0], np.ndarray):
        return np.stack(states)
    # NumPy's copy is quicker than one operation a tensor and a trial.
    return tf.nest.map_structure(
        lambda *tensors: tf.constant(np.stack([np.asarray(t) for t in tensors])),
        *states,
    )
