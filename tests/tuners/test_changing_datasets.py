"""A dataset that differs from reading to reading shows trials the batches of `fit`."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_tricks.tuners import RandomSearch
from tests import sampling

_GENERATOR = np.random.default_rng(0)
X = _GENERATOR.normal(size=(40, 6)).astype("float32")
Y = (2 * X[:, :1] + _GENERATOR.normal(size=(40, 1))).astype("float32")


def plain():
    return tf.data.Dataset.from_tensor_slices((X, Y))


def shuffled():
    return plain().shuffle(40, seed=3)


def generated():
    """Returns a dataset whose source changes with each reading."""
    readings = []

    def examples():
        readings.append(None)
        for row in np.random.default_rng(len(readings)).permutation(40):
            yield X[row], Y[row]

    return tf.data.Dataset.from_generator(
        examples, output_signature=plain().element_spec
    )


DATASETS = {
    "shuffled": lambda: (shuffled().batch(8), plain().batch(8)),
    "shuffled by the global seed": lambda: (
        plain().shuffle(40).batch(8),
        plain().batch(8),
    ),
    "cached, shuffled, prefetched": lambda: (
        plain().cache().shuffle(40, seed=3).batch(8).prefetch(2),
        plain().batch(8),
    ),
    "repeated": lambda: (shuffled().repeat(2).batch(8), plain().batch(8)),
    "validation shuffled": lambda: (
        shuffled().batch(8, drop_remainder=True),
        shuffled().take(20).batch(8),
    ),
    "generated, of known length": lambda: (
        generated().batch(8).apply(tf.data.experimental.assert_cardinality(5)),
        plain().batch(8),
    ),
    "generated": lambda: (generated().batch(8), plain().batch(8)),
    "validation filtered": lambda: (
        shuffled().batch(8),
        shuffled().filter(lambda x, y: x[0] > 0).take(7).batch(8),
    ),
}


def build(hp):
    model = keras.Sequential(
        [keras.Input((6,)), keras.layers.Dense(4, "relu"), keras.layers.Dense(1)]
    )
    optimizer = keras.optimizers.SGD(hp.Choice("rate", [0.01, 0.05, 0.1]))
    model.compile(optimizer, "mse", metrics=["mae"])
    return model


class Looks(keras.callbacks.Callback):
    """Looks at the model, which is made for it."""

    def on_epoch_end(self, epoch, logs=None):
        self.model.get_weights()


def scores(directory, data, callbacks=(), **arguments):
    keras.utils.set_random_seed(1)
    training, validation = DATASETS[data]()
    tuner = RandomSearch(
        build, "val_loss", max_trials=2, seed=0, directory=directory, **arguments
    )
    tuner.search(
        training,
        validation_data=validation,
        epochs=3,
        callbacks=[each() for each in callbacks],
        verbose=0,
    )
    found = [trial.score for _, trial in sorted(tuner.oracle.trials.items())]
    assert len(found) == 2
    return found


# Each kind once; "generated" is below.
SAMPLE = [
    ("shuffled by the global seed", ()),
    ("validation shuffled", (Looks,)),
    ("generated, of known length", ()),
]


@pytest.mark.parametrize(
    ("data", "callbacks"),
    sampling.only(SAMPLE, itertools.product(DATASETS, [(), (Looks,)])),
    ids=lambda value: value if isinstance(value, str) else f"{len(value)} callbacks",
)
@pytest.mark.filterwarnings("ignore:.*ran out of data", "ignore:.*shuffle=True")
def test_trials_see_the_batches_of_fit(tmp_path, data, callbacks):
    right = scores(tmp_path / "fit", data, callbacks, reuse_programs=False)
    shared = scores(tmp_path / "shared", data, callbacks)
    np.testing.assert_allclose(shared, right, rtol=1e-5)


@pytest.mark.filterwarnings("ignore:.*ran out of data", "ignore:.*shuffle=True")
def test_a_dataset_of_unknown_length_is_left_to_fit_and_the_log_says_so(
    tmp_path, caplog
):
    right = scores(tmp_path / "fit", "generated", reuse_programs=False)
    packed = scores(tmp_path / "packed", "generated", packed_trials=2)
    np.testing.assert_allclose(packed, right, rtol=1e-5)
    assert "assert_cardinality" in caplog.text


def test_the_first_trial_of_a_pack_sees_the_batches_of_fit(tmp_path):
    right = scores(tmp_path / "fit", "shuffled", reuse_programs=False)
    packed = scores(tmp_path / "packed", "shuffled", packed_trials=2)
    np.testing.assert_allclose(packed[0], right[0], rtol=1e-5)
