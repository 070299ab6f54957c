"""The networks of HyperMLP."""

import keras
import keras_tuner
import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from keras_tricks.hypermodels import HyperMLP
from keras_tricks.parameters import count_parameters
from tests.hypermodels import cases


def network(shape=(6,), plain=False, **fixed):
    return HyperMLP(shape, 3, plain=plain).network(cases.fixed(**fixed))


def test_the_default_model_has_the_hand_counted_parameters():
    expected = (6 * 128 + 128) + 2 * 128 + (128 * 3 + 3)
    assert count_parameters(network()) == expected


def test_the_largest_model_has_the_hand_counted_parameters():
    expected = (6 * 512 + 512) + 2 * (512 * 512 + 512) + 3 * 2 * 512 + (512 * 3 + 3)
    assert count_parameters(network(layers=3, units=512)) == expected


def test_an_input_shape_of_several_axes_is_flattened():
    assert count_parameters(network((2, 3))) == count_parameters(network((6,)))


def test_a_plain_model_is_dense_layers_with_relu_between():
    keras.utils.set_random_seed(0)
    model = network(plain=True, layers=2, units=16)
    x = np.random.default_rng(0).normal(size=(5, 6)).astype("float32")
    weights = [weight.astype("float64") for weight in model.get_weights()]
    hidden = x
    for kernel, bias in [weights[:2], weights[2:4]]:
        hidden = np.maximum(hidden @ kernel + bias, 0)
    expected = hidden @ weights[4] + weights[5]
    np.testing.assert_allclose(model(x), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("shape", [(0,), (-1,), (2.5,), (4, 0)])
def test_a_shape_without_features_is_refused(shape):
    with pytest.raises(ValueError, match="`input_shape` must hold whole numbers >= 1"):
        HyperMLP(shape, 3)


def test_the_default_model_tells_digits_apart():
    """On scikit-learn's digits, a held-out fifth: at least 97 % are right."""
    x, y = load_digits(return_X_y=True)
    x, test_x, y, test_y = train_test_split(
        (x / 16).astype("float32"), y, test_size=0.2, stratify=y, random_state=0
    )
    keras.utils.set_random_seed(0)
    hypermodel, hp = HyperMLP((64,), 10), keras_tuner.HyperParameters()
    model = hypermodel.build(hp)
    hypermodel.fit(hp, model, x, y, verbose=0)
    _, accuracy = model.evaluate(test_x, test_y, verbose=0)
    assert accuracy >= 0.97
