"""Signatures, held against what is traced of the same models."""

import functools

import keras
import pytest
import tensorflow as tf

from keras_tricks.optimizers import AdamWeightDecay
from keras_tricks.optimizers import ClippedOptimizer
from keras_tricks.schedules import NoamSchedule
from keras_tricks.training.compiled import signature as signatures
from keras_tricks.training.compiled.captured import CapturedModel
from keras_tricks.training.compiled.functional_model import FunctionalModel
from keras_tricks.training.compiled.programs import numbers_of
from keras_tricks.training.compiled.signature import signature
from tests.training import sweeps
from tests.tuners import differences

SPECS = "any", None


def adam(**kwargs):
    return keras.optimizers.Adam(**{"learning_rate": 0.1, **kwargs})


def of_mlp(optimizer, **kwargs):
    keras.utils.clear_session()
    found = signature(sweeps.mlp(optimizer, **kwargs), SPECS)
    assert found is not None
    return found


def test_trials_that_differ_in_fed_numbers_have_one_signature():
    some = of_mlp(
        ClippedOptimizer(
            adam(learning_rate=NoamSchedule(8), beta_2=0.99, weight_decay=0.1),
            global_clipnorm=1.0,
        ),
        dropout=0.1,
    )
    others = of_mlp(
        ClippedOptimizer(
            adam(learning_rate=NoamSchedule(16), beta_2=0.9, weight_decay=0.2),
            global_clipnorm=2.0,
        ),
        dropout=0.7,
    )
    assert some == others


@pytest.mark.parametrize(
    "other",
    [
        lambda: of_mlp(adam(), units=8),
        lambda: of_mlp(adam(), norm=True),
        lambda: of_mlp(adam(), dropout=0.5),
        lambda: of_mlp(adam(amsgrad=True)),
        lambda: of_mlp(adam(learning_rate=NoamSchedule(16))),
        lambda: of_mlp(adam(weight_decay=0.1)),
        lambda: of_mlp(keras.optimizers.Nadam(0.1)),
        lambda: of_mlp(ClippedOptimizer(adam(), global_clipnorm=1.0)),
        lambda: of_mlp(ClippedOptimizer(adam(), clipnorm=1.0)),
    ],
)
def test_what_changes_the_computation_changes_the_signature(other):
    assert other() != of_mlp(adam())


def test_names_that_are_excluded_from_decay_are_in_the_signature():
    def excluding(*names):
        optimizer = keras.optimizers.AdamW(0.1)
        optimizer.exclude_from_weight_decay(var_names=list(names))
        return of_mlp(optimizer)

    assert excluding("bias") == excluding("bias")
    assert excluding("bias") != excluding("kernel")


def test_rate_multipliers_of_layers_are_in_the_signature():
    def times(factor):
        multipliers = {"dense": factor}
        return of_mlp(AdamWeightDecay(0.1, learning_rate_multipliers=multipliers))

    assert times(0.5) == times(0.5)
    assert times(0.5) != times(0.25)


def test_the_kind_of_the_data_is_in_the_signature():
    model = sweeps.mlp(adam())
    assert signature(model, SPECS) == signature(model, SPECS)
    assert signature(model, SPECS) != signature(model, ("other", None))


def test_names_of_metrics_are_in_the_signature():
    def named(name):
        model = sweeps.mlp(adam())
        metric = keras.metrics.SparseCategoricalAccuracy(name=name)
        model.compile("sgd", "sparse_categorical_crossentropy", metrics=[metric])
        return signature(model, SPECS)

    assert named("a") == named("a")
    assert named("a") != named("b")


def test_settings_of_keras_are_in_the_signature():
    before, epsilon = of_mlp(adam()), keras.config.epsilon()
    try:
        keras.config.set_epsilon(1e-3)
        assert of_mlp(adam()) != before
    finally:
        keras.config.set_epsilon(epsilon)
    assert of_mlp(adam()) == before


def with_layer(layer, **compiled):
    model = keras.Sequential([keras.Input((4,)), layer, keras.layers.Dense(1)])
    model.compile(**{"optimizer": "sgd", "loss": "mse", **compiled})
    return model


def replaced_call():
    layer = keras.layers.Dense(2)
    layer.call = lambda inputs: inputs[:, :2]
    return layer


class OwnDense(keras.layers.Dense):
    pass


@pytest.mark.parametrize(
    "model",
    [
        lambda: with_layer(OwnDense(2)),
        lambda: with_layer(replaced_call()),
        lambda: with_layer(keras.layers.Dense(2, lambda x: x)),
        lambda: with_layer(keras.layers.Lambda(lambda x: x)),
        lambda: with_layer(keras.layers.Dense(2), loss=lambda y, p: y - p),
        lambda: with_layer(keras.layers.Dense(2), metrics=[lambda y, p: y - p]),
        lambda: with_layer(keras.layers.Dense(2), loss_weights=[0.5]),
        lambda: with_layer(keras.layers.Dense(2, kernel_regularizer="l1")),
        lambda: with_layer(keras.layers.Dropout(0.5)),
        lambda: with_layer(keras.layers.Dense(2), loss=keras.losses.Huber(0.5)),
    ],
)
def test_nothing_is_proven_of_somebody_elses_code_or_of_chosen_numbers(model):
    assert signature(model(), SPECS) is None


def test_nothing_is_proven_where_a_method_of_keras_was_replaced(monkeypatch):
    assert signature(with_layer(keras.layers.Dense(2)), SPECS) is not None
    monkeypatch.setattr(keras.layers.Dense, "call", lambda self, inputs: inputs)
    assert signature(with_layer(keras.layers.Dense(2)), SPECS) is None


def test_known_layers_and_optimizers_are_those_of_keras():
    for names, module in (
        (signatures.LAYERS, keras.layers),
        (signatures.OPTIMIZERS, keras.optimizers),
    ):
        exported = [each for each in vars(module).values() if isinstance(each, type)]
        assert names <= {each.__name__ for each in exported}


def traced_key(model, kind):
    """Returns what is traced of a model, its numbers among it."""
    arrays = kind.arrays()
    examples = keras.tree.map_structure(
        lambda a: tf.constant(a[:2]), (arrays["x"], arrays["y"])
    )
    spec = tf.nest.map_structure(
        lambda t: tf.TensorSpec([None, *t.shape[1:]], t.dtype), examples
    )
    steps = FunctionalModel(
        model, examples, (spec, spec), feeds_numbers=False, joins_weights=False
    )
    return CapturedModel(steps, feeds=False).key


@functools.cache
def proven_alike():
    """Returns the kinds of difference whose two models have one signature."""
    found = []
    for name, kind in differences.KINDS.items():
        with differences.Process():
            both = []
            for value in kind.values:
                keras.utils.clear_session()
                keras.utils.set_random_seed(0)
                try:
                    model = kind.model(value)
                except ValueError:
                    continue  # Not every Keras takes each kind.
                if model.built and model.compiled:
                    both.append((signature(model, SPECS), numbers_of(model)))
        if len(both) == 2 and None not in (both[0][0], both[1][0]):
            if both[0][0] == both[1][0]:
                found.append((name, both[0][1] != both[1][1]))
    return found


def test_models_of_one_signature_have_one_graph():
    """Of all kinds of difference, those that are not seen are in fed numbers."""
    found = proven_alike()
    assert [name for name, _ in found]  # Or nothing would be shown.
    for name, differs_in_fed_numbers in found:
        if differs_in_fed_numbers:
            continue
        kind = differences.KINDS[name]
        with differences.Process():
            keys = []
            for value in kind.values:
                keras.utils.clear_session()
                keras.utils.set_random_seed(0)
                keys.append(traced_key(kind.model(value), kind))
        assert keys[0] == keys[1], name
