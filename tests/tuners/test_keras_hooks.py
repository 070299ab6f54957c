"""Each private Keras name of the tuners is where they expect it."""

import keras

from keras_tricks.tuners import keras_hooks


def test_what_compile_was_given_is_kept_as_it_was():
    """`Model._compile_config`: the objects themselves, also those that do not save."""

    def loss(y, predicted):
        return keras.ops.mean(y - predicted)

    metric = keras.metrics.MeanAbsoluteError()
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    assert keras_hooks.compile_arguments(model) == {}
    model.compile("sgd", loss, metrics=[metric], jit_compile=False)
    given = keras_hooks.compile_arguments(model)
    assert given["optimizer"] is model.optimizer
    assert given["jit_compile"] is False
    assert given["loss"] is loss
    assert given["metrics"][0] is metric
