"""A search by several worker processes that survives when one of them is killed.

    python examples/search_with_workers.py [--workers N] [--trials N] [--epochs N]
                                           [--seed N] [--output FOLDER]

Searches `HyperMLP` on scikit-learn's digits. Interrupt it, or kill it, and start it
again: finished trials are not run a second time, and the leaderboard is the one that
a single process would have printed.
"""

import argparse
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--trials", type=int, default=12)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=Path("runs/search_with_workers"))
    options = parser.parse_args()

    # After the options, since TensorFlow takes seconds to load.
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    from keras_tricks.hypermodels import HyperMLP
    from keras_tricks.tuners import RandomSearch

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
    tuner.search(
        x_train,
        y_train,
        validation_data=(x_validation, y_validation),
        workers=options.workers,
    )
    table = tuner.leaderboard()
    shown = ["rank", "trial_id", "val_accuracy", "seconds", "units", "optimizer"]
    print(table[shown].head(5).to_string(index=False))
    path = options.output / "leaderboard.csv"
    table.to_csv(path, index=False)
    print(f"Wrote {path}")


if __name__ == "__main__":
    main()
