"""Each private Keras name of the tuners is where they expect it."""

import keras

from keras_tricks.tuners.compat import keras_hooks


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


def test_a_model_whose_layers_have_no_weights_is_not_built():
    class Marked(keras.Model):
        def __init__(self):
            super().__init__()
            self.inner = keras.layers.Dense(1)
            self.built = True

        def call(self, inputs):
            return self.inner(inputs)

    model = Marked()
    assert not keras_hooks.is_built(model)
    model(keras.ops.ones((1, 2)))
    assert keras_hooks.is_built(model)


def test_a_dtype_policy_that_nobody_set_follows_floatx():
    """`global_state.set_global_attribute`: after it was read, too."""
    before = keras_hooks.dtype_policy_that_was_set(), keras.config.floatx()
    try:
        keras.config.set_dtype_policy("mixed_bfloat16")
        keras_hooks.set_dtype_policy(None)
        assert keras_hooks.dtype_policy_that_was_set() is None
        keras_hooks.set_dtype_policy(None)
        keras.config.set_floatx("float64")
        assert keras.layers.Dense(1).dtype_policy.name == "float64"
    finally:
        keras.config.set_floatx(before[1])
        keras_hooks.set_dtype_policy(before[0])
