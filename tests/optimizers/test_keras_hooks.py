"""The private names that the package uses are where it expects them."""

import keras
import pytest
import tensorflow as tf

ADAPT = "adapt keras_tricks/optimizers/keras_hooks.py"


def moved(name):
    return f"{name} has moved in Keras {keras.__version__}, TensorFlow {tf.__version__}"


@pytest.mark.parametrize(
    "name",
    [
        "_all_reduce_sum_gradients",
        "_apply_weight_decay",
        "_check_variables_are_known",
        "_get_variable_index",
    ],
)
def test_keras_optimizers_still_have_the_private_method(name):
    method = getattr(keras.optimizers.Optimizer, name, None)
    assert callable(method), f"{moved('Optimizer.' + name)}: {ADAPT}"


@pytest.mark.parametrize("name", ["_iterations", "_learning_rate"])
def test_keras_optimizers_still_have_the_private_variable(name):
    variable = getattr(keras.optimizers.SGD(0.1), name, None)
    assert isinstance(variable, keras.Variable), (
        f"{moved('Optimizer.' + name)}: {ADAPT}"
    )


@pytest.mark.parametrize("name", ["_accumulated_gradients", "_trainable_variables"])
def test_keras_optimizers_still_keep_the_private_list(name):
    optimizer = keras.optimizers.SGD(0.1, gradient_accumulation_steps=2)
    optimizer.build([keras.Variable([1.0])])
    kept = getattr(optimizer, name, ())
    assert len(kept) == 1, f"{moved('Optimizer.' + name)}: {ADAPT}"


def test_a_schedule_is_still_what_keras_keeps_as_the_rate():
    schedule = keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.5)
    kept = getattr(keras.optimizers.SGD(schedule), "_learning_rate", None)
    assert kept is schedule, f"{moved('Optimizer._learning_rate')}: {ADAPT}"


def test_keras_optimizers_still_keep_the_averages_under_their_private_name():
    optimizer = keras.optimizers.SGD(0.1, use_ema=True)
    optimizer.build([keras.Variable([1.0])])
    averages = getattr(optimizer, "_model_variables_moving_average", ())
    assert len(averages) == 1, (
        f"{moved('Optimizer._model_variables_moving_average')}: {ADAPT}"
    )


def test_keras_optimizers_still_list_counter_and_rate_before_all_other_state():
    optimizer = keras.optimizers.SGD(0.1, momentum=0.9)
    optimizer.build([keras.Variable([1.0])])
    first_two = [variable.name for variable in optimizer._variables[:2]]
    assert first_two == ["iteration", "learning_rate"], (
        f"{moved('Optimizer._variables')}: {ADAPT}"
    )
    assert len(optimizer._variables) == 3


def test_keras_still_sums_over_the_replicas_by_the_method_that_is_taken_over():
    """An update calls it once, with pairs of gradients and variables."""
    optimizer, calls = keras.optimizers.SGD(1.0), []

    def take_over(pairs):
        calls.append([gradient for gradient, _ in pairs])
        return pairs

    object.__setattr__(optimizer, "_all_reduce_sum_gradients", take_over)
    gradient = tf.constant([2.0])
    optimizer.apply([gradient], [keras.Variable([1.0])])
    assert calls == [[gradient]], f"{moved('the sum over the replicas')}: {ADAPT}"


@pytest.mark.parametrize(
    "name", ["interim.maybe_merge_call", "strategy_supports_no_merge_call"]
)
def test_tensorflow_still_has_the_internal_function(name):
    found = tf.__internal__.distribute
    for part in name.split("."):
        found = getattr(found, part, None)
    assert callable(found), f"{moved('tf.__internal__.distribute.' + name)}: {ADAPT}"
