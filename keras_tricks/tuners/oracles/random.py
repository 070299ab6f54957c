"""The oracle of a random search."""

from __future__ import annotations

import keras_tuner

from keras_tricks.tuners.oracles.base import OracleMixin


class RandomSearchOracle(OracleMixin, keras_tuner.oracles.RandomSearchOracle):
    """KerasTuner's random search."""

    is_adaptive = False
    is_told_by_trials = True
