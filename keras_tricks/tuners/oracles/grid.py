"""The oracle of a grid search: the first point that no trial has."""

from __future__ import annotations

from typing import Any

import keras_tuner

from keras_tricks.tuners.compat import keras_tuner_hooks
from keras_tricks.tuners.oracles.base import OracleMixin
from keras_tricks.tuners.search_space import points
from keras_tricks.tuners.search_space.asked_for import Covered


class _FirstUntried(keras_tuner.oracles.GridSearchOracle):
    """Takes the first point that no trial has: nothing to save, nothing to lose.

    KerasTuner keeps its place in the grid in memory only, so that a resumed search of
    its own ends at once.
    """

    trials: dict[str, Any]
    asked_for: Any

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        space = self.get_space().space
        names = {hp.name for hp in space}
        ended, running = Covered(), Covered()
        for trial in self.trials.values():
            values = trial.hyperparameters.values
            own = {name: values[name] for name in names & values.keys()}
            if not own and names:
                continue  # Its files were lost: it is going to have a point again.
            is_ended = trial.status in keras_tuner_hooks.ENDED
            (ended if is_ended else running).add(own, self.asked_for(trial))
        for settings in points.walk(space, points.grid_choices, left_out=ended):
            # One that runs may ask for more before it ends.
            if settings not in running:
                return {"status": "RUNNING", "values": settings}
        # A running trial may still add a hyperparameter.
        return {"status": "IDLE" if self.ongoing_trials else "STOPPED", "values": None}


class GridSearchOracle(OracleMixin, _FirstUntried):
    """KerasTuner's grid, in its order."""

    is_adaptive = False
