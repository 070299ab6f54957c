"""Models that agree in all numbers: what was traced of one is the other's step."""

import keras
import numpy as np
import pytest

from keras_tricks import tuners
from keras_tricks.training.compiled import signature
from keras_tricks.training.families import model_family

X = np.random.default_rng(0).integers(0, 20, (64, 5)).astype("int32")
Y = (X[:, :1] > 9).astype("float32")


def made(dropout=0.5, factor=2.0, weight=0.5, decay=0.0, slope=0.3):
    """Returns a model with numbers that somebody chose, in all places."""
    inputs = keras.Input((5,), dtype="int32")
    x = keras.layers.Embedding(20, 4)(inputs)
    x = keras.layers.GlobalMaxPooling1D()(keras.layers.Conv1D(4, 2)(x))
    x = keras.layers.LeakyReLU(slope)(keras.layers.Dropout(dropout)(x)) * factor
    outputs = keras.layers.Dense(1, kernel_regularizer=keras.regularizers.L2(0.01))(x)
    model = keras.Model(inputs, outputs)
    optimizer = keras.optimizers.SGD(0.1, momentum=0.5, weight_decay=decay)
    model.compile(optimizer, "mse", loss_weights=[weight])
    return model


@pytest.mark.parametrize("name", ["dropout", "factor", "weight", "decay", "slope"])
def test_models_agree_only_in_all_numbers(name):
    first, again = (signature.exact_signature(made(), None) for _ in range(2))
    assert first is not None
    assert first == again
    assert signature.exact_signature(made(**{name: 0.25}), None) != first
    assert signature.signature(made(), None) is None


class Own(keras.layers.Layer):
    def call(self, x):
        return x


def test_nothing_is_known_of_code_that_is_nobodys_library():
    model = keras.Sequential([keras.Input((5,)), Own(), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    assert signature.exact_signature(model, None) is None


def build(hp):
    model = made(dropout=hp.Choice("dropout", [0.3, 0.5]))
    model.optimizer.learning_rate = hp.Choice("rate", [0.05, 0.1])
    return model


def test_a_step_is_traced_once_for_each_number(tmp_path, monkeypatch):
    traced, capture = [], model_family.CapturedModel

    def captured(*args, **kwargs):
        traced.append(True)
        return capture(*args, **kwargs)

    monkeypatch.setattr(model_family, "CapturedModel", captured)
    found = {}
    for reuses in (False, True):
        tuner = tuners.GridSearch(
            build,
            "val_loss",
            seed=1,
            directory=tmp_path / str(reuses),
            reuse_programs=reuses,
        )
        tuner.search(X, Y, validation_data=(X, Y), epochs=2, verbose=0)
        board = tuner.leaderboard().set_index("trial_id").sort_index()
        found[reuses] = board["val_loss"].tolist()
    # The first step of all is traced twice, to see that it is the same again.
    assert len(traced) == 3
    assert len(tuner.programs.programs()) == 1
    assert found[True] == pytest.approx(found[False], rel=1e-6)
