"""Two searches in two threads of one process know nothing of each other."""

import threading

import keras
import numpy as np
import pytest

from keras_tricks.tuners import RandomSearch
from keras_tricks.tuners.storage import files
from tests import sampling

X = np.random.default_rng(0).normal(size=(32, 4)).astype("float32")
Y = X[:, :1]


def network(hp):
    """Starts from fixed weights: Keras's generators belong to the whole process."""
    starts = [keras.initializers.GlorotUniform(seed=n) for n in (1, 2)]
    layers = [
        keras.layers.Dense(8, "relu", kernel_initializer=starts[0]),
        keras.layers.Dense(1, kernel_initializer=starts[1]),
    ]
    model = keras.Sequential([keras.Input((4,)), *layers])
    model.compile(keras.optimizers.SGD(hp.Float("rate", 0.01, 0.2)), "mse")
    return model


def broken(hp):
    model = network(hp)
    model.fit = fails
    return model


def fails(*args, **kwargs):
    raise RuntimeError("of this search alone")


def search(build, folder, **arguments):
    tuner = RandomSearch(
        build, "val_loss", max_trials=6, seed=0, directory=folder, **arguments
    )
    tuner.search(
        X, Y, validation_data=(X, Y), epochs=2, batch_size=32, verbose=0, shuffle=False
    )
    return tuner


@pytest.mark.parametrize(
    "arguments", sampling.one_in(2, [{"packed_trials": 2}, {}]), ids=["packs", "one"]
)
def test_a_search_that_fails_is_not_seen_by_another(arguments, tmp_path):
    alone = search(network, tmp_path / "alone", **arguments).leaderboard()
    failed = []

    def fail_again_and_again():
        for number in range(5):
            try:
                search(broken, tmp_path / f"failing_{number}")
            except RuntimeError as error:
                failed.append(str(error))

    other = threading.Thread(target=fail_again_and_again)
    other.start()
    table = search(network, tmp_path / "beside", **arguments).leaderboard()
    other.join()
    assert len(failed) == 5
    assert all("3 trials failed" in text for text in failed)
    assert all("of this search alone" in text for text in failed)
    assert set(table["status"]) == {"COMPLETED"}
    columns = ["trial_id", "val_loss", "rate"]
    assert table[columns].to_dict() == alone[columns].to_dict()


def test_files_that_wait_are_those_of_one_thread(tmp_path):
    seen = []

    def write():
        files.write_text(tmp_path / "other.json", "{}")
        seen.append((tmp_path / "other.json").exists())

    with files.batched_fsync():
        files.write_text(tmp_path / "own.json", "{}")
        thread = threading.Thread(target=write)
        thread.start()
        thread.join()
        assert not (tmp_path / "own.json").exists()
    assert seen == [True]
    assert (tmp_path / "own.json").exists()
