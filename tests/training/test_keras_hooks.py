"""The private names of Keras that `training` needs are still there."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_tricks.parameters.keras_hooks import all_layers
from keras_tricks.training.compiled import keras_hooks
from tests.training import sweeps


@pytest.mark.parametrize(
    "name",
    ["_apply_weight_decay", "_backend_update_step", "_var_key", "stateless_apply"],
)
def test_the_base_class_of_all_backends_has(name):
    base = keras_hooks._ANY_BACKEND
    assert name in vars(base)
    assert issubclass(keras.optimizers.Optimizer, base)


def test_a_functional_optimizer_updates_the_scope_and_not_the_variables():
    weight = keras.Variable([1.0, 2.0])
    optimizer = keras.optimizers.SGD(0.5)
    keras_hooks.make_functional(optimizer)
    optimizer.build([weight])
    with keras.StatelessScope([(weight, tf.constant([10.0, 20.0]))]) as scope:
        optimizer.apply([tf.constant([2.0, 4.0])])
    assert scope.get_current_value(weight).numpy().tolist() == [9.0, 18.0]
    assert weight.numpy().tolist() == [1.0, 2.0]


def test_the_rate_comes_from_where_it_is_fed():
    optimizer = sweeps.clipped(keras.optimizers.SGD(0.5))
    keras_hooks.feed_learning_rate(optimizer, lambda: 0.125)
    assert optimizer.learning_rate == 0.125


def test_the_rate_of_is_the_schedule_or_the_variable():
    schedule = keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.5)
    assert keras_hooks.rate_of(keras.optimizers.SGD(schedule)) is schedule
    rate = keras_hooks.rate_of(keras.optimizers.SGD(0.25))
    assert isinstance(rate, keras.Variable)
    assert float(rate.numpy()) == 0.25


def test_nadams_product_is_among_its_variables():
    optimizer = keras.optimizers.Nadam(0.1)
    optimizer.build([keras.Variable([5.0])])
    found = [float(np.sum(variable.numpy())) for variable in optimizer.variables]
    # The counter, the rate, two moments, and the product.
    assert sorted(found) == pytest.approx([0.0, 0.0, 0.0, 0.1, 1.0])


def test_label_smoothing_is_among_the_arguments_of_a_loss():
    loss = keras.losses.CategoricalCrossentropy(label_smoothing=0.25)
    assert keras_hooks.keyword_arguments(loss)["label_smoothing"] == 0.25


def test_what_is_excluded_from_decay_is_read():
    optimizer = keras.optimizers.AdamW(0.1)
    assert not keras_hooks.goes_by_names(optimizer)
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    assert keras_hooks.goes_by_names(optimizer)
    assert not keras_hooks.excludes_variables_from_decay(optimizer)
    other = keras.optimizers.AdamW(0.1)
    other.exclude_from_weight_decay(var_list=[keras.Variable([1.0])])
    assert keras_hooks.excludes_variables_from_decay(other)


def test_all_layers_come_with_the_model_first():
    model = sweeps.mlp(keras.optimizers.SGD(0.1))
    layers = all_layers(model)
    assert layers[0] is model
    assert {type(layer).__name__ for layer in layers[1:]} >= {"Dense", "Activation"}


def test_both_branches_are_computed_and_the_right_one_taken():
    with keras_hooks.both_branches():
        taken = [
            float(keras.ops.cond(tf.constant(p), lambda: 1.0, lambda: 2.0))
            for p in (True, False)
        ]
    assert taken == [1.0, 2.0]


def test_conversions_hold_only_inside_of_their_context():
    from tensorflow.python.ops.parallel_for import pfor

    def doubled(operation, inputs):
        assert operation.type == "Erf"
        return [2 * inputs[0]]

    def erf():
        vectorized = tf.function(lambda x: tf.vectorized_map(tf.math.erf, x))
        return vectorized(tf.constant([0.0, 100.0])).numpy().tolist()

    before = dict(pfor._pfor_converter_registry)
    with keras_hooks.conversions({"Erf": keras_hooks.Conversion(doubled)}):
        assert erf() == [0.0, 200.0]
    assert erf() == [0.0, 1.0]
    assert pfor._pfor_converter_registry == before


def test_tensorflow_still_lists_devices_with_their_memory():
    from tensorflow.python.client import device_lib

    devices = device_lib.list_local_devices()
    assert any(device.device_type == "CPU" for device in devices)
    assert all(device.memory_limit > 0 for device in devices)
    if not any(device.device_type == "GPU" for device in devices):
        assert keras_hooks.gpu_memory() is None


def test_readings_leave_a_shuffled_dataset_as_fit_leaves_it():
    def shuffled():
        values = np.arange(16, dtype="float32")[:, None]
        dataset = tf.data.Dataset.from_tensor_slices((values, values))
        return dataset.shuffle(16, seed=3).batch(8)

    def rest(dataset):
        return [x.numpy().ravel().tolist() for x, _ in dataset]

    fitted, read = shuffled(), shuffled()
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    model.fit(fitted, epochs=3, verbose=0)
    for _ in range(3):
        with keras_hooks.reading(read) as batches:
            next(batches)
            next(batches)
    assert rest(read) == rest(fitted)


def test_a_variable_takes_its_value_by_the_methods_of_its_parent():
    assert "_value" in vars(keras.Variable(1.0))
    for name in ("_initialize", "_initialize_with_initializer"):
        assert name not in vars(keras.Variable)
        assert callable(getattr(super(keras.Variable, keras.Variable(1.0)), name))
    with keras_hooks.values_deferred(lambda initializer: True):
        assert {"_initialize", "_initialize_with_initializer"} <= {
            *vars(keras.Variable)
        }
    assert "_initialize" not in vars(keras.Variable)


def test_tensorflows_context_has_the_seed_and_the_functions():
    from tensorflow.python.eager import context

    eager = context.context()
    keras.utils.set_random_seed(5)
    assert eager._seed == 5
    state = eager._rng.getstate()  # `_rng` draws the seeds that no operation is given.
    keras.utils.set_random_seed(5)
    assert eager._rng.getstate() == state
    square = tf.function(lambda x: x**2).get_concrete_function(tf.constant(1.0))
    assert square.name.decode() in eager.list_function_names()
    assert eager.get_function_def(square.name.decode()).node_def
