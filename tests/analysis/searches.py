"""Searches whose truth is known, which train nothing."""

import math

import keras
import keras_tuner

from keras_tricks.tuners import RandomSearch


class Known(keras_tuner.HyperModel):
    """The best rate, 1, is beyond the range; "sgd" loses 3; 8 layers diverge.

    Dropout does not matter. Momentum is there for "sgd" alone.
    """

    def build(self, hp):
        hp.Choice("optimizer", ["adam", "sgd"])
        hp.Float("rate", 1e-4, 1e-1, sampling="log")
        hp.Int("layers", 1, 8)
        hp.Float("dropout", 0.0, 0.5)
        with hp.conditional_scope("optimizer", ["sgd"]):
            if hp.get("optimizer") == "sgd":
                hp.Float("momentum", 0.0, 0.9)
        return keras.Sequential()

    def fit(self, hp, model, *args, **kwargs):
        if hp.get("layers") == 8:
            return float("nan")
        loss = abs(math.log10(hp.get("rate"))) + 3.0 * (hp.get("optimizer") == "sgd")
        return {"val_loss": loss}


def searched(folder, name="known", hypermodel=None, trials=64, **arguments):
    """Returns a tuner that has searched."""
    tuner = RandomSearch(
        hypermodel or Known(),
        arguments.pop("objective", keras_tuner.Objective("val_loss", "min")),
        max_trials=trials,
        seed=arguments.pop("seed", 0),
        directory=folder,
        project_name=name,
        max_consecutive_failed_trials=trials,
        **arguments,
    )
    tuner.search(verbose=0)
    return tuner
