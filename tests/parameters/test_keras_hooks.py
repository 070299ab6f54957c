"""The private names that the package uses are where it expects them."""

import keras
import pytest
import tensorflow as tf

from keras_tricks.parameters import keras_hooks

ADAPT = "adapt keras_tricks/parameters/keras_hooks.py"


def moved(name):
    return f"{name} has moved in Keras {keras.__version__}, TensorFlow {tf.__version__}"


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (keras.Layer, "_flatten_layers"),
        *((keras.optimizers.Optimizer, name) for name in keras_hooks.OPTIMIZER_METHODS),
    ],
)
def test_keras_still_has_the_private_method(owner, name):
    method = getattr(owner, name, None)
    assert callable(method), f"{moved(f'{owner.__name__}.{name}')}: {ADAPT}"


def test_keras_base_class_still_tells_variables_apart_without_their_values():
    methods = keras_hooks.optimizer_methods_without_values()
    variable = object()
    assert methods["_var_key"](None, variable) == id(variable)
    origin = methods["add_variable_from_reference"].__module__
    assert "tensorflow" not in origin, f"{moved('the base class')}: {ADAPT}"


def test_keras_still_draws_the_seeds_of_layers_from_pythons_generator():
    class Source:
        def randint(self, low, high):
            return 5

    with keras_hooks.seeds_drawn_from(Source()):
        drawn = keras.random.SeedGenerator().state
    assert int(keras.ops.convert_to_numpy(drawn)[0]) == 5, (
        f"{moved('the seed')}: {ADAPT}"
    )


def test_keras_optimizers_still_ask_for_the_key_of_each_variable():
    class Asked(keras.optimizers.SGD):
        asked = ()

        def _var_key(self, variable):
            self.asked = (*self.asked, variable.path)
            return id(variable)

    optimizer, variable = Asked(0.1), keras.Variable([1.0], name="weight")
    optimizer.build([variable])
    assert variable.path in optimizer.asked, f"{moved('Optimizer._var_key')}: {ADAPT}"


def nested():
    """A model of a model and an attention layer, with four projections of its own."""
    inputs = keras.Input((3, 4))
    inner = keras.Sequential([keras.layers.Dense(4, name="first")], name="inner")
    attention = keras.layers.MultiHeadAttention(2, 2, name="attention")
    hidden = inner(inputs)
    return keras.Model(inputs, attention(hidden, hidden), name="outer")


def test_a_container_comes_before_its_contents():
    names = [layer.name for layer in keras_hooks.all_layers(nested())]
    assert names.index("outer") < names.index("inner") < names.index("first")
    assert names.index("outer") < names.index("attention") < names.index("query")


def test_all_layers_include_those_that_a_layer_keeps_to_itself():
    names = [layer.name for layer in keras_hooks.all_layers(nested())]
    assert {"query", "key", "value", "attention_output"} < set(names)


def test_inner_layers_are_one_level_of_them():
    model = nested()
    names = [layer.name for layer in keras_hooks.inner_layers(model)]
    assert names[1:] == ["inner", "attention"]
    attention = {inner.name for inner in keras_hooks.inner_layers(model.layers[-1])}
    assert {"query", "key", "value", "attention_output"} <= attention
