"""Counts held against hand counts and Keras's own."""

import keras
import pytest

from keras_tricks.parameters import check_parameter_budget
from keras_tricks.parameters import count_parameters

layers = keras.layers


def small_model():
    """4 * 3 + 3 dense weights and 3 * 2 trained, 3 * 2 not trained, of the norm."""
    return keras.Sequential(
        [keras.Input((4,)), layers.Dense(3), layers.BatchNormalization()]
    )


@pytest.mark.parametrize(
    ("trainable", "by_hand"), [(True, 15 + 6), (False, 6), (None, 15 + 12)]
)
def test_counts_equal_the_hand_count(trainable, by_hand):
    assert count_parameters(small_model(), trainable=trainable) == by_hand


def test_all_parameters_are_those_that_keras_counts():
    model = small_model()
    assert count_parameters(model, trainable=None) == model.count_params()


def test_a_shared_layer_counts_once():
    shared = layers.Dense(5)
    first, second = keras.Input((5,)), keras.Input((5,))
    model = keras.Model([first, second], [shared(first), shared(second)])
    assert count_parameters(model) == 5 * 5 + 5


def test_a_frozen_layer_is_not_trainable():
    model = small_model()
    model.layers[0].trainable = False
    assert count_parameters(model) == 6
    assert count_parameters(model, trainable=False) == 15 + 6


def test_an_unbuilt_model_is_refused_with_the_remedy():
    model = keras.Sequential([layers.Dense(3)])
    with pytest.raises(ValueError, match=r"call model.build\(input_shape\)"):
        count_parameters(model)


def test_what_is_no_model_is_refused():
    with pytest.raises(TypeError, match="`model` must be a Keras model or layer"):
        count_parameters([1, 2, 3])


@pytest.mark.parametrize(
    ("num_samples", "verdict"),
    [
        (210, "recommended"),
        (209, "within limit"),
        (42, "within limit"),
        (41, "over budget"),
    ],
)
def test_21_parameters_against_half_and_a_tenth_of_the_samples(num_samples, verdict):
    budget = check_parameter_budget(small_model(), num_samples)
    assert budget.parameters == 21
    assert budget.ratio == 21 / num_samples
    assert budget.verdict == verdict


def test_strict_raises_over_budget_only():
    check_parameter_budget(small_model(), 42, strict=True)
    with pytest.raises(ValueError, match="21 trainable parameters for 41 samples"):
        check_parameter_budget(small_model(), 41, strict=True)


@pytest.mark.parametrize("num_samples", [0, -1, True])
def test_samples_that_are_no_count_are_refused(num_samples):
    with pytest.raises(ValueError, match="`num_samples` must be positive"):
        check_parameter_budget(small_model(), num_samples)


def test_limits_that_contradict_each_other_are_refused():
    with pytest.raises(ValueError, match=r"recommended=0\.9, limit=0\.5"):
        check_parameter_budget(small_model(), 100, recommended=0.9)
