"""The private KerasTuner names that this package uses, and why.

Everything else in the package uses public KerasTuner only. Each name below has a test
of its own, so that a KerasTuner release that moves one of them fails there, by name.

| private name | seen in KerasTuner | why no public one serves |
|---|---|---|
| `Tuner._build_hypermodel` | 1.4.7, 1.4.8 | the only place between `clear_session`, which drops Keras's global seed, and the build of the model, which draws from it |
| `Tuner._configure_tensorboard_dir` | 1.4.7, 1.4.8 | imports tensorboard for every trial, whether or not there is a TensorBoard callback; TensorFlow no longer brings tensorboard from 2.21 on |
| `Oracle._check_consecutive_failures` | 1.4.7, 1.4.8 | raises before the failed trial is saved, with the last message only, and counts a diverged trial as a fault of the program |
| `Oracle._seed_state` | 1.4.7, 1.4.8 | the seed of the next random setting, which grows by one with each: searches with seeds 0 and 1 would share nearly all their settings |
| `Oracle._display` | 1.4.7, 1.4.8 | prints the settings of every trial through our progress bar; the public `verbose` would do, if `search` did not set it |
| `BayesianOptimizationOracle._random_state` | 1.4.7, 1.4.8 | is not saved, so that a resumed search would repeat the random starting points of the first trials |
"""  # noqa: E501

from collections.abc import Iterable
from typing import Any

import keras
import keras_tuner
import numpy as np

from keras_tricks.tuners import seeds


def has_tensorboard(callbacks: Iterable[Any]) -> bool:
    """Whether a TensorBoard callback, by KerasTuner's own test, is among them."""
    return any(type(callback).__name__ == "TensorBoard" for callback in callbacks)


class TunerHooks:
    """Goes before `keras_tuner.Tuner` and calls methods where it has none."""

    def on_build_begin(self) -> None:
        """Called when Keras's state is clear, just before a model is built."""

    def on_build_end(self, model: keras.Model) -> None:
        """Called when a model has been built."""

    def _build_hypermodel(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        self.on_build_begin()
        model = super()._build_hypermodel(hp)  # type: ignore[misc]
        self.on_build_end(model)
        return model

    def _configure_tensorboard_dir(self, callbacks, trial, execution=0):
        if has_tensorboard(callbacks):
            super()._configure_tensorboard_dir(  # type: ignore[misc]
                callbacks, trial, execution
            )


class OracleHooks:
    """Goes before a `keras_tuner.Oracle`: quiet, and without its limit of failures."""

    seed: int
    _display: Any

    def quieten(self) -> None:
        """Stops KerasTuner's own printing."""
        self._display.verbose = 0

    def seed_suggestion(self, trial_id: str) -> None:
        """Makes random settings a function of the search's seed and the trial."""
        self._seed_state = seeds.derived_seed(self.seed, trial_id, "settings")

    def _check_consecutive_failures(self):
        # The tuner counts, after the trial has been saved.
        pass


class BayesianOracleHooks(OracleHooks):
    """The same for `keras_tuner.oracles.BayesianOptimizationOracle`."""

    def seed_suggestion(self, trial_id: str) -> None:
        """Seeds the points from which the best suggestion is sought, too."""
        super().seed_suggestion(trial_id)
        seed = seeds.derived_seed(self.seed, trial_id, "starting points")
        self._random_state = np.random.RandomState(seed)
