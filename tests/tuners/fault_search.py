"""A search that is killed by tests: run as a script, it may be killed itself, too.

Usage: python fault_search.py FOLDER WORKERS TRIALS [--search NAME] [--storage WHERE]
                              [--log FILE] [--executor NAME]
"""

import argparse
import contextlib
import os
import time
from pathlib import Path

import keras_tuner

from keras_tricks.tuners import OptunaSearch
from keras_tricks.tuners import RandomSearch
from tests.tuners import toys

STUDY = "faults"


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


def tuner_in(
    folder, trials, log=None, seconds=0.0, search="random", storage=None, **arguments
):
    """Returns the tuner, serial or not.

    Args:
        folder: Of the project.
        trials: At most.
        log: Of the trainings; by default a file in the folder.
        seconds: How long a training lasts at least.
        search: `"random"` or `"optuna"`. The latter takes the sampler that looks at no
            score, so that its settings depend on no order in which trials end.
        storage: Of the study; by default a journal file in the folder.
        **arguments: Others of the tuner's.
    """
    arguments = {
        "objective": "val_loss",
        "max_trials": trials,
        "seed": 0,
        "directory": folder,
        # Those of killed workers come in any order, and are none.
        "max_consecutive_failed_trials": 1,
        **arguments,
    }
    hypermodel = Logged(log or Path(folder) / "fits.log", seconds)
    if search == "random":
        return RandomSearch(hypermodel, **arguments)
    storage = storage or str(Path(folder) / "study.journal")
    return OptunaSearch(
        hypermodel, sampler="qmc", storage=storage, study_name=STUDY, **arguments
    )


@contextlib.contextmanager
def executor_of(name, workers):
    """Gives what runs the trials: an engine on this machine, or None for none."""
    if name == "dask":
        import distributed

        with (
            distributed.LocalCluster(
                workers, threads_per_worker=1, dashboard_address=None, memory_limit=None
            ) as cluster,
            cluster.get_client() as client,
        ):
            yield client
    elif name == "ray":
        import ray

        ray.init(num_cpus=workers, include_dashboard=False, log_to_driver=False)
        yield ray
        ray.shutdown()
    else:
        yield None


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("workers", type=int)
    parser.add_argument("trials", type=int)
    parser.add_argument("--search", default="random")
    parser.add_argument("--storage")
    parser.add_argument("--log")
    parser.add_argument("--executor")
    options = parser.parse_args()
    tuner = tuner_in(
        options.folder,
        options.trials,
        options.log,
        0.5,
        options.search,
        options.storage,
    )
    with executor_of(options.executor, options.workers) as executor:
        workers = options.workers if executor is None else None
        tuner.search(**toys.toy_data(), workers=workers, executor=executor)
    print("ended", time.time())
