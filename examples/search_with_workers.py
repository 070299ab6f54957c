"""A search by several worker processes that survives when one of them is killed.

Searches `HyperMLP` on scikit-learn's digits. Interrupt it, or kill it, and start it
again: finished trials are not run a second time, and the leaderboard is the one that
a single process would have printed. With `--executor dask` or `--executor ray` an
engine on this machine runs the trials: install the extra `dask` or `ray` for them.
"""

import contextlib
import os

import command_line

# Options are read before TensorFlow loads, so that a bad one is told at once.
if __name__ == "__main__":
    OPTIONS = command_line.parse(
        __doc__,
        workers=2,
        executor=("none", "dask", "ray"),
        trials=12,
        epochs=20,
        seed=0,
        output="runs/search_with_workers",
    )

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from keras_tricks.hypermodels import HyperMLP
from keras_tricks.tuners import RandomSearch


@contextlib.contextmanager
def executor_of(name, workers):
    """Gives a client of an engine with so many workers, or None for none."""
    if name == "dask":
        from dask import distributed

        cluster = distributed.LocalCluster(workers, threads_per_worker=1)
        with cluster, distributed.Client(cluster) as client:
            yield client
    elif name == "ray":
        import ray

        ray.init(num_cpus=workers)
        yield ray
        ray.shutdown()
    else:
        yield None


def main(options) -> None:
    images, labels = load_digits(return_X_y=True)
    x_train, x_validation, y_train, y_validation = train_test_split(
        (images / 16).astype("float32"), labels, random_state=0, stratify=labels
    )
    tuner = RandomSearch(
        HyperMLP((64,), num_classes=10, epochs=options.epochs),
        "val_accuracy",
        max_trials=options.trials,
        seed=options.seed,
        directory=options.output,
        project_name="search",
    )
    with executor_of(options.executor, options.workers) as executor:
        tuner.search(
            x_train,
            y_train,
            validation_data=(x_validation, y_validation),
            workers=options.workers,
            executor=executor,
        )
    table = tuner.leaderboard()
    shown = ["rank", "trial_id", "val_accuracy", "seconds", "units", "optimizer"]
    print(table[shown].head(5).to_string(index=False))
    path = options.output / "leaderboard.csv"
    table.to_csv(path, index=False)
    print(f"Wrote {path}")


if __name__ == "__main__":
    main(OPTIONS)
