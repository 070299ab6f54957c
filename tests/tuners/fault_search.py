"""A search that is killed by tests: run as a script, it may be killed itself, too.

Usage: python fault_search.py FOLDER WORKERS TRIALS
"""

import os
import sys
import time
from pathlib import Path

import keras_tuner

from keras_tricks.tuners import RandomSearch
from tests.tuners import toys


class Logged(keras_tuner.HyperModel):
    """Writes down which process begins and ends a training, and when.

    Args:
        log: The file.
        seconds: How long a training lasts at least.
    """

    def __init__(self, log, seconds=0.0):
        super().__init__()
        self.log = str(log)
        self.seconds = seconds

    def build(self, hp):
        return toys.build(hp)

    def fit(self, hp, model, *args, **kwargs):
        key = f"{hp.get('rate'):.17g} {os.getpid()}"
        self.write(f"begin {key}")
        history = super().fit(hp, model, *args, **kwargs)
        time.sleep(self.seconds)
        self.write(f"end {key}")
        return history

    def write(self, line):
        with open(self.log, "a", encoding="utf-8") as file:
            file.write(f"{line} {time.time()}\n")


def tuner_in(folder, trials, log="fits.log", seconds=0.0):
    """Returns the tuner, serial or not."""
    return RandomSearch(
        Logged(Path(folder) / log, seconds),
        "val_loss",
        max_trials=trials,
        seed=0,
        directory=folder,
        # Those of killed workers come in any order, and are none.
        max_consecutive_failed_trials=1,
    )


if __name__ == "__main__":
    folder, workers, trials = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    tuner = tuner_in(folder, trials, seconds=0.5)
    tuner.search(**toys.toy_data(), workers=workers)
    print("ended", time.time())
