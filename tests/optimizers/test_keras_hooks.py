"""The private Keras names that the package uses are where it expects them."""

import keras
import pytest


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
