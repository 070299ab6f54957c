"""The oracle of a grid search: the first point that no trial has."""

from __future__ import annotations

from typing import Any

import keras_tuner

from keras_tricks.tuners.oracles.base import OracleMixin
from keras_tricks.tuners.search_space import points
from keras_tricks.tuners.search_space.asked_for import Covered
from keras_tricks.tuners.search_space.once_each import ranges_of


class _FirstUntried(keras_tuner.oracles.GridSearchOracle):
    """Takes the first point that no trial has: nothing to save, nothing to lose.

    KerasTuner keeps its place in the grid in memory only, so that a resumed search of
    its own ends at once.
    """

    trials: dict[str, Any]
    end_order: list[str]
    asked_for: Any
    _walk: _Walk | None = None

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        space = self.get_space().space
        if self._walk is None or not self._walk.is_of(space, self.end_order):
            self._walk = _Walk(space, self.end_order)
        walk = self._walk
        names = {hp.name for hp in space}

        def add(trial: Any, covered: Covered) -> None:
            values = trial.hyperparameters.values
            own = {name: values[name] for name in names & values.keys()}
            # Without any its files were lost: it is going to have a point again.
            if own or not names:
                covered.add(own, self.asked_for(trial))

        for ended_id in walk.newly_ended():
            add(self.trials[ended_id], walk.ended)
        # One that runs may ask for more before it ends.
        running = Covered()
        for running_id in self.trials.keys() - walk.ended_ids:
            add(self.trials[running_id], running)
        settings = walk.first_outside(running)
        if settings is not None:
            return {"status": "RUNNING", "values": settings}
        # A running trial may still add a hyperparameter.
        return {"status": "IDLE" if self.ongoing_trials else "STOPPED", "values": None}


class _Walk:
    """A way through the grid that passes each point once.

    Args:
        space: The hyperparameters.
        end_order: The IDs of the trials that have ended; it grows.

    Attributes:
        ended: The points of these.
        ended_ids: Their IDs, of those that were looked at.
    """

    def __init__(self, space: list[Any], end_order: list[str]):
        self.ended = Covered()
        self.ended_ids: set[str] = set()
        self._ranges = ranges_of(space)
        self._end_order = end_order
        self._points = points.walk(space, points.grid_choices, left_out=self.ended)
        # Points that were passed while no trial with them had ended.
        self._open: list[points.Settings] = []

    def is_of(self, space: list[Any], end_order: list[str]) -> bool:
        """Whether it is a way through this space, and of this list."""
        return self._end_order is end_order and self._ranges == ranges_of(space)

    def newly_ended(self) -> list[str]:
        """Returns the IDs of the trials that have ended since the last call."""
        new = self._end_order[len(self.ended_ids) :]
        self.ended_ids.update(new)
        return new

    def first_outside(self, running: Covered) -> points.Settings | None:
        """Returns the first point that neither ended nor running trials have."""
        self._open = [one for one in self._open if one not in self.ended]
        for settings in self._open:
            if settings not in running:
                return settings
        for settings in self._points:
            self._open.append(settings)
            if settings not in running:
                return settings
        return None


class GridSearchOracle(OracleMixin, _FirstUntried):
    """KerasTuner's grid, in its order."""

    is_adaptive = False
    is_told_by_trials = True
