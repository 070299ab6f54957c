"""The oracle of Hyperband: brackets, filled place by place."""

from __future__ import annotations

import collections
import dataclasses
import itertools
from collections.abc import Iterable
from collections.abc import Iterator
from typing import Any

import keras_tuner

from keras_tricks.tuners.compat import keras_tuner_hooks
from keras_tricks.tuners.oracles.base import OracleMixin
from keras_tricks.tuners.results import scores
from keras_tricks.tuners.search_space import once_each
from keras_tricks.tuners.search_space import points


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
    next_initial_values: Any

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        self._signatures = once_each.signatures()
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._known_trials = self.trials
        self._num_known = 0
        # Those whose settings are their own: others have those of one below.
        self._drawn_trials: list[Any] = []
        # The trials of each rung by their numbers in it.
        self._members: dict[tuple[int, ...], dict[int, Any]] = collections.defaultdict(
            dict
        )
        # Brackets of which each trial has ended.
        self._num_full = 0

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        self._find_members()
        is_waiting = False
        for iteration, rungs in self._rungs():
            below: list[Any] | None = None
            for rung in rungs:
                there = self._members[iteration, rung.bracket, rung.number]
                response = self._next_of(rung, iteration, there, below)
                if response is not None:
                    return response
                if not all(map(_has_ended, there.values())):
                    is_waiting = True
                    break
                if not there and below is None:
                    # Every point of a small space has been tried.
                    return self._nothing_now()
                below = self._best_first(there)
            if is_waiting and not self.has_workers:
                # In one process nothing is gained by trials of the next bracket.
                return {"status": "IDLE", "values": None}
            if not is_waiting:
                self._num_full += 1
        return self._nothing_now()

    def _find_members(self) -> None:
        """Finds the places of the trials that are new."""
        is_known = self._known_trials is self.trials
        if not is_known or len(self.trials) < self._num_known:
            self._begin_anew()
        for trial in itertools.islice(self.trials.values(), self._num_known, None):
            place = place_of(trial)
            if place is not None:
                self._members[place[:-1]][place[-1]] = trial
            if "tuner/trial_id" not in trial.hyperparameters.values:
                self._drawn_trials.append(trial)
        self._num_known = len(self.trials)

    def _rungs(self) -> Iterator[tuple[int, list[Rung]]]:
        """Yields the brackets with their iterations, those that are full left out."""
        brackets = schedule(self.max_epochs, self.factor)
        number = self._num_full
        while number < self.hyperband_iterations * len(brackets):
            iteration, which = divmod(number, len(brackets))
            yield iteration, brackets[which]
            number += 1

    def _nothing_now(self) -> dict[str, Any]:
        # A running trial may still add a hyperparameter, and with it new settings.
        return {"status": "IDLE" if self.ongoing_trials else "STOPPED", "values": None}

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
            if trial.status == "COMPLETED" and scores.is_feasible(trial.score)
        ]
        return scores.best_first(scored, self.objective.direction)

    def _drawn(self, rung: Rung, iteration: int, number: int) -> dict[str, Any] | None:
        space = self.get_space().space
        # Should one below a promoted trial be lost, it is drawn as before.
        seen = set(self._signatures.of(space, self._drawn_trials))
        own = _tuner_values(rung, 0, iteration, number)
        name = place_name([own[name] for name in PLACE])
        values = self.next_initial_values()
        if values is None:
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


def _has_ended(trial: Any) -> bool:
    """Whether a trial has ended, and been scored if it was completed."""
    is_scored = trial.status != "COMPLETED" or trial.score is not None
    return trial.status in keras_tuner_hooks.ENDED and is_scored


def place_of(trial: Any) -> tuple[int, ...] | None:
    """Returns iteration, bracket, rung and number of a trial, None if it is lost.

    By them its settings are drawn and its training is seeded: they are the same in
    whatever order the trials are run.
    """
    values = trial.hyperparameters.values
    place = tuple(values.get(name) for name in PLACE)
    return None if None in place else place


def place_name(place: Iterable[int]) -> str:
    """Returns the name by which a trial at a place is seeded."""
    return ".".join(map(str, place))


class HyperbandOracle(OracleMixin, _Brackets):
    """Hyperband, as in the paper."""

    # A rung waits for the one below.
    is_adaptive = False
    continues_trials = True
    is_told_by_trials = True
    places_initial_settings = False
    hyperband_iterations: float

    def set_state(self, state: dict[str, Any]) -> None:
        """Restores what was saved, but for what the search itself says.

        Raises:
            ValueError: If that is of another schedule.
        """
        for name in ("max_epochs", "factor"):
            expected, found = getattr(self, name), state.get(name)
            if expected != found:
                raise ValueError(f"{name}: expected {expected}, found {found!r}")
        iterations = self.hyperband_iterations
        super().set_state(state)
        # It may grow.
        self.hyperband_iterations = iterations

    def drop_checkpoints(self) -> None:
        """Deletes weights once no trial can be promoted any more."""
        following = str(len(self.trials))
        if _Brackets.populate_space(self, following)["status"] == "STOPPED":
            super().drop_checkpoints()
