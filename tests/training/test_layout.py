"""One vector of all weights trains as the weights themselves do."""

import keras
import numpy as np
import pytest

from keras_tricks.training import train
from keras_tricks.training.compiled import flat_weights
from keras_tricks.training.compiled import functional_model
from keras_tricks.training.compiled import vectorized_map
from keras_tricks.training.packs import memory
from tests import sampling
from tests.training import sweeps


def train_digits(build, settings=(0.001, 0.01), **kwargs):
    (x, y), validation = sweeps.digits()
    arguments = {"epochs": 5, "batch_size": 32, "seeds": [1, 2], **kwargs}
    return train(settings, build, x, y, validation_data=validation, **arguments)


BY_NUMBER = ("sgd", "momentum", "nesterov", "adam", "nadam", "rmsprop", "lion")


# The others are these with a term more or less.
@pytest.mark.parametrize(
    "name", sampling.only(["momentum", "nadam", "rmsprop"], BY_NUMBER)
)
def test_joined_weights_are_those_of_separate_ones(name, monkeypatch):
    made = []

    def noted(model, may_join, choose=flat_weights.layout_of):
        made.append(choose(model, may_join))
        return made[-1]

    def build(rate):
        return sweeps.mlp(sweeps.clipped(sweeps.OPTIMIZERS[name](rate)), dropout=0.2)

    monkeypatch.setattr(functional_model, "layout_of", noted)
    joined = train_digits(build, packed=None)
    monkeypatch.setattr(
        functional_model,
        "layout_of",
        lambda model, _: flat_weights.SeparateWeights(model.trainable_variables),
    )
    separate = train_digits(build, packed=None)
    assert [type(each) for each in made] == [flat_weights.FlatWeights]
    for one, other in zip(joined, separate, strict=True):
        assert sweeps.largest_difference(one.weights, other.weights) <= 1e-5


def embedded(optimizer):
    return _compiled(keras.layers.Embedding(9, 4), keras.layers.Flatten(), optimizer)


def constrained(optimizer):
    limit = keras.constraints.MaxNorm(1.0)
    return _compiled(keras.layers.Dense(3, kernel_constraint=limit), optimizer)


def _compiled(*layers_and_optimizer):
    *layers, optimizer = layers_and_optimizer
    model = keras.Sequential([keras.Input((2,)), *layers, keras.layers.Dense(1)])
    model.compile(optimizer, "mse")
    return model


@pytest.mark.parametrize(
    "model",
    [
        embedded(keras.optimizers.Adam()),
        constrained(keras.optimizers.Adam()),
        sweeps.mlp(keras.optimizers.AdamW(0.1)),
        sweeps.mlp(keras.optimizers.Adam(clipnorm=1.0)),
        sweeps.mlp(keras.optimizers.Adafactor()),
    ],
    ids=["sparse", "constraint", "decay", "clipnorm", "adafactor"],
)
def test_weights_that_an_optimizer_tells_apart_stay_separate(model):
    assert isinstance(flat_weights.layout_of(model), flat_weights.SeparateWeights)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_trials_side_by_side_have_the_bits_of_each_alone(monkeypatch, jit_compile):
    def build(rate):
        return sweeps.mlp(keras.optimizers.Adam(rate), norm=True, dropout=0.3)

    monkeypatch.setattr(vectorized_map, "LARGEST_VECTORIZED", 0)
    monkeypatch.setattr(memory.tf.config, "list_logical_devices", lambda kind: [])
    together = train_digits(build, packed=2, jit_compile=jit_compile)
    alone = train_digits(build, packed=None, jit_compile=jit_compile)
    for one, other in zip(together, alone, strict=True):
        assert all(map(np.array_equal, one.weights, other.weights))
        for name, curve in other.curves.items():
            np.testing.assert_allclose(one.curves[name], curve, rtol=1e-6)
