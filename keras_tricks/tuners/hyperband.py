"""Hyperband: many trials for few epochs, the best of them for more."""

from __future__ import annotations

import collections
import copy
import dataclasses
from collections.abc import Iterable
from collections.abc import Iterator
from typing import TYPE_CHECKING
from typing import Any

import keras
import keras_tuner

from keras_tricks import _validation
from keras_tricks.tuners import judgement
from keras_tricks.tuners import keras_tuner_hooks
from keras_tricks.tuners import oracles
from keras_tricks.tuners import points
from keras_tricks.tuners.searches import HyperModelLike
from keras_tricks.tuners.searches import ObjectiveLike
from keras_tricks.tuners.tuner import TunerMixin

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from keras_tricks.tuners.arguments_by_name import HyperbandArguments


@dataclasses.dataclass(frozen=True)
class Rung:
    """The trials of a bracket that run for the same number of epochs.

    Attributes:
        bracket: How often the bracket's best trials are promoted (s in the paper).
        number: Of the rung in its bracket, from 0 (i in the paper).
        trials: How many there are if all trials of the rung below have a score.
        epochs: For how many epochs in all each of them is trained.
    """

    bracket: int
    number: int
    trials: int
    epochs: int


def schedule(max_epochs: int, factor: int) -> list[list[Rung]]:
    """Returns the brackets of one iteration of Hyperband, in the paper's order.

    With `R` epochs and the factor `eta`, the bracket `s` of `s_max = floor(log_eta R)`
    begins with `n = ceil((s_max + 1) eta^s / (s + 1))` trials; its rung `i` has
    `floor(n / eta^i)` of them, each trained for `R / eta^(s - i)` epochs (rounded up).

    Example:

    >>> from keras_tricks.tuners.hyperband import schedule
    >>> for rungs in schedule(max_epochs=9, factor=3):
    ...     print([(rung.trials, rung.epochs) for rung in rungs])
    [(9, 1), (3, 3), (1, 9)]
    [(5, 3), (1, 9)]
    [(3, 9)]
    """
    last = 0
    while factor ** (last + 1) <= max_epochs:
        last += 1
    return [
        [
            Rung(
                bracket=bracket,
                number=number,
                trials=_ceil_of((last + 1) * factor**bracket, bracket + 1)
                // factor**number,
                epochs=_ceil_of(max_epochs, factor ** (bracket - number)),
            )
            for number in range(bracket + 1)
        ]
        for bracket in range(last, -1, -1)
    ]


def _ceil_of(numerator: int, denominator: int) -> int:
    return -(-numerator // denominator)


class _Brackets(keras_tuner.oracles.HyperbandOracle):
    """Fills the brackets place by place, each trial's written among its values.

    KerasTuner fills them in the order in which workers happen to ask, and a bracket
    with a failed trial never reaches its end.
    """

    max_trials: int | None
    seed: int
    trials: dict[str, Any]
    has_workers: bool

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        members = self._members()
        is_waiting = False
        for iteration, rungs in self._rungs():
            below: list[Any] | None = None
            for rung in rungs:
                there = members[iteration, rung.bracket, rung.number]
                response = self._next_of(rung, iteration, there, below)
                if response is not None:
                    return response
                if not {trial.status for trial in there.values()} <= _ENDED:
                    is_waiting = True
                    break
                if not there and below is None:
                    # Every point of a small space has been tried.
                    return self._nothing_now()
                below = self._best_first(there)
            if is_waiting and not self.has_workers:
                # In one process nothing is gained by trials of the next bracket.
                return {"status": "IDLE", "values": None}
        return self._nothing_now()

    def _rungs(self) -> Iterator[tuple[int, list[Rung]]]:
        brackets = schedule(self.max_epochs, self.factor)
        iteration = 0
        while iteration < self.hyperband_iterations:
            for rungs in brackets:
                yield iteration, rungs
            iteration += 1

    def _nothing_now(self) -> dict[str, Any]:
        # A running trial may still add a hyperparameter, and with it new settings.
        return {"status": "IDLE" if self.ongoing_trials else "STOPPED", "values": None}

    def _members(self) -> dict[tuple[int, ...], dict[int, Any]]:
        """Returns the trials of each rung by their numbers in it."""
        found: dict[tuple[int, ...], dict[int, Any]] = collections.defaultdict(dict)
        for trial in self.trials.values():
            place = _place_of(trial)
            if place is not None:
                found[place[:-1]][place[-1]] = trial
        return found

    def _next_of(
        self,
        rung: Rung,
        iteration: int,
        there: dict[int, Any],
        below: list[Any] | None,
    ) -> dict[str, Any] | None:
        """Returns the first trial that is missing in a rung, if one can begin."""
        size = rung.trials if below is None else min(rung.trials, len(below))
        number = next((n for n in range(size) if n not in there), None)
        if number is None:
            return None
        if below is None:
            return self._drawn(rung, iteration, number)
        return self._promoted(below[number], rung, iteration, number)

    def _best_first(self, members: dict[int, Any]) -> list[Any]:
        scored = [
            trial
            for _, trial in sorted(members.items())
            if trial.status == "COMPLETED" and oracles.is_feasible(trial.score)
        ]
        sign = -1 if self.objective.direction == "max" else 1
        return sorted(scored, key=lambda trial: sign * trial.score)

    def _drawn(self, rung: Rung, iteration: int, number: int) -> dict[str, Any] | None:
        space = self.get_space().space
        seen = points.signatures(space, self.trials.values())
        own = _tuner_values(rung, 0, iteration, number)
        name = _name([own[name] for name in PLACE])
        values = points.random_unseen(space, seen, self.seed, name)
        if values is None:
            return None
        return {"status": "RUNNING", "values": {**values, **own}}

    def _promoted(
        self, past: Any, rung: Rung, iteration: int, number: int
    ) -> dict[str, Any]:
        values = past.hyperparameters.values
        past_epochs = values["tuner/epochs"]
        values = {
            **values,
            **_tuner_values(rung, past_epochs, iteration, number),
            "tuner/trial_id": past.trial_id,
        }
        return {"status": "RUNNING", "values": values}


_ENDED = {"COMPLETED", "FAILED"}
# What a trial's place in the schedule is called among its values.
PLACE = ("tuner/iteration", "tuner/bracket", "tuner/round", "tuner/number")


def _tuner_values(
    rung: Rung, initial_epoch: int, iteration: int, number: int
) -> dict[str, int]:
    """The names by which KerasTuner's `run_trial` knows what to train, and `PLACE`."""
    return {
        "tuner/epochs": rung.epochs,
        "tuner/initial_epoch": initial_epoch,
        "tuner/bracket": rung.bracket,
        "tuner/round": rung.number,
        "tuner/iteration": iteration,
        "tuner/number": number,
    }


def _place_of(trial: Any) -> tuple[int, ...] | None:
    """Returns iteration, bracket, rung and number of a trial, None if it is lost.

    By them its settings are drawn and its training is seeded: they are the same in
    whatever order the trials are run.
    """
    values = trial.hyperparameters.values
    place = tuple(values.get(name) for name in PLACE)
    return None if None in place else place


def _name(place: Iterable[int]) -> str:
    return ".".join(map(str, place))


class HyperbandOracle(oracles.OracleMixin, _Brackets):
    """Hyperband, as in the paper."""

    # A rung waits for the one below.
    looks_at_scores = False
    continues_trials = True
    hyperband_iterations: float

    def set_state(self, state: dict[str, Any]) -> None:
        """Restores what was saved, but for the number of iterations: it may grow."""
        iterations = self.hyperband_iterations
        super().set_state(state)
        self.hyperband_iterations = iterations

    def drop_checkpoints(self) -> None:
        """Deletes weights once no trial can be promoted any more."""
        following = str(len(self.trials))
        if _Brackets.populate_space(self, following)["status"] == "STOPPED":
            super().drop_checkpoints()


class Hyperband(TunerMixin, keras_tuner_hooks.HyperbandHooks):
    """Hyperband: brackets of trials whose best are trained on, for more epochs.

    A drop-in subclass of `keras_tuner.Hyperband`; what it adds is told at
    `RandomSearch`. Each bracket begins with random trials of few epochs and promotes
    the best of them, rung by rung; a promoted trial goes on from the weights of the
    best epoch of the trial below it. See `hyperband.schedule` for the sizes: those of
    the paper, which are up to one trial a rung smaller than KerasTuner's.

    A rung begins when all trials of the one below have ended, and settings and seeds
    belong to a trial's place in its rung, so that a resumed or repeated search promotes
    the same trials. With `search(..., workers=)` the brackets run side by side: trials
    get their numbers in another order, and have the same settings and scores. Failed
    and infeasible trials are not promoted; the bracket goes on without them.

    Args:
        hypermodel: See `RandomSearch`. Its `fit` must pass `epochs` and
            `initial_epoch` on to the model's.
        objective: See `RandomSearch`.
        max_epochs: Epochs of the trials that come through all rungs (R in the paper).
            It takes the place of the `epochs` given to `search`.
        factor: One trial in `factor` is promoted (eta in the paper).
        hyperband_iterations: How often all brackets are run. None or 0 goes on for
            ever, or up to `max_trials`.
        seed: See `RandomSearch`.
        hyperparameters: See `RandomSearch`.
        tune_new_entries: See `RandomSearch`.
        allow_new_entries: See `RandomSearch`.
        max_retries_per_trial: See `RandomSearch`.
        max_consecutive_failed_trials: See `RandomSearch`.
        **kwargs: See `RandomSearch`, and `max_trials`: trials of all rungs to run at
            most. None, the default, runs all brackets.

    Raises:
        TypeError: See `RandomSearch`.
        ValueError: If `max_epochs` is no integer from 1 on, or `factor` none from 2
            on. See also `RandomSearch`.

    Example:

    >>> import tempfile
    >>> import keras, numpy as np
    >>> from keras_tricks.tuners import Hyperband
    >>> def build(hp):
    ...     rate = hp.Float("rate", 1e-3, 1e-1, sampling="log")
    ...     model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    ...     model.compile(keras.optimizers.SGD(rate), "mse")
    ...     return model
    >>> x = np.linspace(0, 1, 32, dtype="float32")[:, None]
    >>> tuner = Hyperband(
    ...     build, "loss", max_epochs=3, seed=0, directory=tempfile.mkdtemp())
    >>> tuner.search(x, 2 * x, verbose=0)
    >>> [len(tuner.curves(str(n))[0]["loss"]) for n in range(6)]
    [1, 1, 1, 2, 3, 3]

    Reference:
        Li et al., "Hyperband: A Novel Bandit-Based Approach to Hyperparameter
        Optimization", JMLR 18, 2018, Algorithm 1.
    """

    def __init__(
        self,
        hypermodel: HyperModelLike | None = None,
        objective: ObjectiveLike | None = None,
        max_epochs: int = 100,
        factor: int = 3,
        hyperband_iterations: int | None = 1,
        seed: int | None = None,
        hyperparameters: keras_tuner.HyperParameters | None = None,
        tune_new_entries: bool = True,
        allow_new_entries: bool = True,
        max_retries_per_trial: int = 0,
        max_consecutive_failed_trials: int = 3,
        **kwargs: Unpack[HyperbandArguments],
    ):
        max_epochs = _validation.check_int("max_epochs", max_epochs, minimum=1)
        factor = _validation.check_int("factor", factor, minimum=2)
        max_trials = kwargs.pop("max_trials", None)
        oracle = HyperbandOracle(
            objective=objective,
            max_epochs=max_epochs,
            factor=factor,
            hyperband_iterations=hyperband_iterations,
            seed=seed,
            hyperparameters=hyperparameters,
            tune_new_entries=tune_new_entries,
            allow_new_entries=allow_new_entries,
            max_retries_per_trial=max_retries_per_trial,
            max_consecutive_failed_trials=max_consecutive_failed_trials,
        )
        if max_trials is None and hyperband_iterations:
            brackets = schedule(max_epochs, factor)
            in_one = sum(rung.trials for rungs in brackets for rung in rungs)
            # Known beforehand, so that the search can tell the time that is left.
            max_trials = hyperband_iterations * in_one
        oracle.max_trials = max_trials
        TunerMixin.__init__(self, oracle, hypermodel, **kwargs)

    def load_model(self, trial: Any) -> keras.Model:
        """Returns the model of a trial; see `Results.load_model`.

        Its own weights are those that count, also where those that it began with were
        not kept.
        """
        alone = copy.copy(trial)
        alone.hyperparameters = trial.hyperparameters.copy()
        alone.hyperparameters.values.pop("tuner/trial_id", None)
        return super().load_model(alone)

    def _seed_name(self, trial: Any) -> str:
        """Returns the place of a trial, by which it is seeded."""
        place = _place_of(trial)
        return super()._seed_name(trial) if place is None else _name(place)

    def _fit_arguments_of(
        self, trial: Any, fit_args: tuple[Any, ...], fit_kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Returns what `fit` is given: the rung's epochs for those of `search`."""
        values = trial.hyperparameters.values
        call, rest = judgement.fit_call(self.hypermodel, fit_args, fit_kwargs)
        call = call.replace(
            epochs=values["tuner/epochs"], initial_epoch=values["tuner/initial_epoch"]
        )
        return (*call.args, *rest), call.kwargs
