"""Traced steps: which are the same, and that they compute what the model does."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from keras_tricks.training import train
from keras_tricks.training.compiled import captured
from keras_tricks.training.compiled.captured import CapturedModel
from keras_tricks.training.compiled.functional_model import FunctionalModel
from keras_tricks.training.compiled.functional_model import UnsupportedModelError

X = np.linspace(-1, 1, 32, dtype="float32").reshape(8, 4)
Y = X.sum(axis=1, keepdims=True)


def regression(*layers, loss="mse", optimizer=None, inputs=(4,), **compiled):
    keras.utils.clear_session()
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input(inputs), *layers, keras.layers.Dense(1)])
    model.compile(optimizer or keras.optimizers.SGD(0.1), loss, **compiled)
    return model


def capture(model, x=X, y=Y, feeds=True):
    examples = tf.constant(x), tf.constant(y)
    spec = tf.nest.map_structure(
        lambda t: tf.TensorSpec([None, *t.shape[1:]], t.dtype), examples
    )
    steps = FunctionalModel(
        model, examples, (spec, spec), feeds_numbers=False, joins_weights=False
    )
    return CapturedModel(steps, feeds=feeds)


def scaled(factor):
    def loss(y, p):
        return factor * ops.mean(ops.square(y - p))

    return loss


def test_a_number_in_a_closure_is_fed():
    one, other = (capture(regression(loss=scaled(f))) for f in (0.5, 3.0))
    assert one.key == other.key
    assert one.numbers.tolist() != other.numbers.tolist()
    assert {0.5, 3.0} <= {*one.numbers, *other.numbers}


def test_numbers_that_are_not_fed_are_compared():
    keys = [capture(regression(loss=scaled(f)), feeds=False).key for f in (0.5, 3.0)]
    again = capture(regression(loss=scaled(0.5)), feeds=False).key
    assert keys[0] == again
    assert keys[0] != keys[1]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (lambda: scaled(0.5), lambda: "mae"),
        (lambda: lambda y, p: (y - p) ** 2, lambda: lambda y, p: (p - y) ** 3),
    ],
)
def test_other_operations_are_another_step(one, other):
    assert capture(regression(loss=one())).key != capture(regression(loss=other())).key


def table(values):
    constant = np.asarray(values, "float32")
    return keras.layers.Lambda(lambda x: x * constant)


def test_arrays_are_compared_by_their_values():
    keys = [capture(regression(table(row))).key for row in ([1, 2, 3, 4], [1, 2, 3, 5])]
    assert keys[0] == capture(regression(table([1, 2, 3, 4]))).key
    assert keys[0] != keys[1]


def eager_table(values):
    constant = tf.constant(values, tf.float32)
    return keras.layers.Lambda(lambda x: x * constant)


def test_tensors_from_outside_are_compared_by_their_values():
    rows = [1, 2, 3, 4], [1, 2, 3, 5]
    keys = [capture(regression(eager_table(row))).key for row in rows]
    assert keys[0] == capture(regression(eager_table([1, 2, 3, 4]))).key
    assert keys[0] != keys[1]


def branching(factor):
    return keras.layers.Lambda(
        lambda x: ops.cond(ops.sum(x) > 0, lambda: x * factor, lambda: x)
    )


def test_constants_within_branches_are_compared():
    keys = [capture(regression(branching(f))).key for f in (0.5, 3.0)]
    assert keys[0] == capture(regression(branching(0.5))).key
    assert keys[0] != keys[1]


def test_models_that_are_saved_otherwise_share_nothing():
    nested = keras.Sequential([keras.layers.Dense(2)])
    flat = regression(keras.layers.Dense(2))
    assert capture(flat).key != capture(regression(nested)).key


def test_the_names_of_what_is_logged_are_part_of_a_step():
    keys = [
        capture(regression(metrics=[keras.metrics.MeanSquaredError(name=name)])).key
        for name in ("a", "b", "a")
    ]
    assert keys[0] == keys[2]
    assert keys[0] != keys[1]


def test_a_number_that_decides_on_a_shape_is_compared():
    def layer(end):
        return keras.layers.Lambda(lambda x: x + ops.sum(ops.arange(0.0, end, 0.5)))

    keys = [capture(regression(layer(end))).key for end in (1.5, 2.5)]
    assert keys[0] != keys[1]


class Counter(keras.layers.Layer):
    def __init__(self):
        super().__init__()
        self.hidden = tf.Variable(1.0)

    def call(self, inputs):
        return inputs * self.hidden


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (
            lambda: keras.layers.Lambda(lambda x: x + tf.random.normal(tf.shape(x))),
            "RandomStandardNormal",
        ),
        (Counter, "the model hides"),
        (
            lambda: keras.layers.Lambda(
                lambda x: tf.ensure_shape(
                    tf.numpy_function(np.sin, [x], tf.float32), x.shape
                ),
                output_shape=(4,),
            ),
            "PyFunc",
        ),
    ],
    ids=["random", "variable", "python"],
)
def test_what_has_a_state_of_its_own_is_left_to_fit(layer, reason):
    with pytest.raises(UnsupportedModelError, match=reason):
        capture(regression(layer()))


def test_steps_of_one_model_compute_those_of_another_from_its_numbers():
    """What the other computes itself, eagerly, is right."""
    some = capture(regression(keras.layers.Dense(3, "tanh"), loss=scaled(0.5)))
    model = regression(keras.layers.Dense(3, "tanh"), loss=scaled(3.0))
    other = capture(regression(keras.layers.Dense(3, "tanh"), loss=scaled(3.0)))
    batch = tf.constant(X), tf.constant(Y)
    step = tf.function(some.train_step, autograph=False)
    state = step(other.start, tf.constant(other.numbers), tf.constant(0.1), batch)
    model.train_step(batch)
    for value, variable in zip(state.trainable, model.trainable_variables, strict=True):
        np.testing.assert_allclose(value, variable.numpy(), rtol=1e-6, atol=1e-7)
    results = tf.function(some.results, autograph=False)
    logs = results(state.metrics, tf.constant(other.numbers))
    np.testing.assert_allclose(
        logs["loss"], float(model.get_metrics_result()["loss"]), rtol=1e-6
    )


def test_a_step_is_the_one_that_was_traced_whatever_changes_later():
    scale = {"factor": 0.5}
    layer = keras.layers.Lambda(lambda x: x * scale["factor"])
    steps = capture(regression(layer))
    batch = tf.constant(X), tf.constant(Y)

    def tested():
        step = tf.function(steps.test_step, autograph=False)
        return step(steps.start, tf.constant(steps.numbers), batch).metrics[0].numpy()

    before = tested()
    scale["factor"] = 100.0
    assert tested() == before


def test_notes_are_dropped_and_nothing_else():
    """Attributes that begin with an underscore may be more than notes."""
    assert all(name.startswith("_") for name in captured._NOTES)


def test_a_step_may_wait_for_its_input():
    """A control edge from an argument, of which nothing is left in the program."""

    def loss(y, p):
        with tf.control_dependencies([y, p]):
            return tf.reduce_mean(tf.square(y - p))

    trained = train(
        [0.01, 0.1],
        lambda rate: regression(loss=loss, optimizer=keras.optimizers.SGD(rate)),
        X,
        Y,
        epochs=2,
        order_seed=None,
        packed=None,
    )
    for rate, each in zip((0.01, 0.1), trained, strict=True):
        assert each.reason is None
        model = regression(loss=loss, optimizer=keras.optimizers.SGD(rate))
        fitted = model.fit(X, Y, epochs=2, shuffle=False, verbose=0)
        np.testing.assert_allclose(each.curves["loss"], fitted.history["loss"], 1e-5)
