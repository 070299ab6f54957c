"""The oracle of a quasi-random search: trial i has point i of a sequence."""

from __future__ import annotations

from typing import Any

import keras_tuner

from keras_tricks.tuners.oracles.base import OracleMixin
from keras_tricks.tuners.search_space.quasi_random import dimension_names
from keras_tricks.tuners.search_space.quasi_random import stratified_settings_at
from keras_tricks.tuners.search_space.roles import Roles


class _Sequence(keras_tuner.Oracle):
    """Gives trial i the i-th of the distinct settings of the sequence."""

    seed: int
    roles: Roles

    def __init__(self, *, sequence: str, **kwargs: Any):
        super().__init__(**kwargs)
        self.sequence = sequence
        self.dimensions: list[str] = []

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        space = self.get_space().space
        self.dimensions = dimension_names(space, self.dimensions)
        settings = stratified_settings_at(
            self.sequence,
            self.seed,
            space,
            self.dimensions,
            int(trial_id),
            self.roles.scientific,
        )
        if settings is not None:
            return {"status": "RUNNING", "values": settings}
        return {"status": "IDLE" if self.ongoing_trials else "STOPPED", "values": None}

    def get_state(self) -> dict[str, Any]:
        return {**super().get_state(), "dimensions": self.dimensions}

    def set_state(self, state: dict[str, Any]) -> None:
        super().set_state(state)
        self.dimensions = state["dimensions"]


class QuasiRandomOracle(OracleMixin, _Sequence):
    """Suggests the points of a scrambled Sobol or Halton sequence."""

    is_adaptive = False
    is_told_by_trials = True

    def untold_state(self) -> Any:
        """Returns the order of the dimensions, too: that in which they were found."""
        return super().untold_state(), list(self.dimensions)
