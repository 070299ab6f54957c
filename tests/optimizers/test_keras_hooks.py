"""The private Keras names that the package uses are where it expects them."""

import keras
import pytest

from keras_tricks.optimizers import keras_hooks


@pytest.mark.parametrize(
    "name", ["_all_reduce_sum_gradients", "_clip_gradients", "_untrack_variable"]
)
def test_keras_optimizers_still_have_the_private_method(name):
    assert callable(getattr(keras.optimizers.Optimizer, name, None)), (
        f"keras.optimizers.Optimizer.{name} has moved in Keras {keras.__version__}: "
        "adapt keras_tricks/optimizers/keras_hooks.py"
    )


@pytest.mark.parametrize("name", ["_iterations", "_learning_rate"])
def test_keras_optimizers_still_have_the_private_attribute(name):
    assert isinstance(getattr(keras.optimizers.SGD(0.1), name, None), keras.Variable), (
        f"keras.optimizers.Optimizer.{name} has moved in Keras {keras.__version__}: "
        "adapt keras_tricks/optimizers/keras_hooks.py"
    )


def test_the_schedule_of_an_optimizer_is_the_object_it_was_given():
    schedule = keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.5)
    assert keras_hooks.schedule_of(keras.optimizers.SGD(schedule)) is schedule, (
        "keras.optimizers.Optimizer._learning_rate is no longer the schedule in Keras "
        f"{keras.__version__}: adapt keras_tricks/optimizers/keras_hooks.py"
    )


def test_an_optimizer_whose_rate_is_a_number_has_no_schedule():
    assert keras_hooks.schedule_of(keras.optimizers.SGD(0.1)) is None
