"""The oracle of a Bayesian search."""

from __future__ import annotations

from typing import Any

import keras_tuner

from keras_tricks.tuners.compat import keras_tuner_hooks
from keras_tricks.tuners.oracles.base import OracleMixin


class BayesianOptimizationOracle(
    keras_tuner_hooks.BayesianOracleHooks,
    OracleMixin,
    keras_tuner.oracles.BayesianOptimizationOracle,
):
    """KerasTuner's Bayesian optimization."""

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        self.gpr.random_state = self.seed
