"""The search space of optimizers."""

import keras
import keras_tuner
import pytest

from keras_tricks.hypermodels import hyper_optimizer
from keras_tricks.optimizers import ClippedOptimizer


def test_the_space_has_the_documented_names_and_ranges():
    hp = keras_tuner.HyperParameters()
    hyper_optimizer(hp, 100)
    ranges = {
        p.name: (p.min_value, p.max_value, p.sampling)
        for p in hp.space
        if p.name != "optimizer"
    }
    assert ranges == {
        "learning_rate": (1e-4, 1e-1, "log"),
        "warmup_fraction": (0.0, 0.2, "linear"),
        "decay_power": (0.5, 2.0, "linear"),
        "global_clipnorm": (0.1, 10.0, "log"),
    }


def test_the_rate_peaks_after_the_warmup_and_ends_at_zero():
    hp = keras_tuner.HyperParameters()
    hp.Fixed("warmup_fraction", 0.1)
    hp.Fixed("learning_rate", 0.5)
    optimizer = hyper_optimizer(hp, 100)
    weight = keras.Variable([0.0])
    rates = []
    for _ in range(101):
        rates.append(float(optimizer.learning_rate))
        optimizer.apply([keras.ops.array([0.0])], [weight])
    assert rates.index(max(rates)) == 10
    assert max(rates) == 0.5
    assert rates[100] == 0.0


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("adam", keras.optimizers.Adam),
        ("nadam", keras.optimizers.Nadam),
        ("adamw", keras.optimizers.AdamW),
        ("sgd", keras.optimizers.SGD),
    ],
)
def test_each_choice_is_the_keras_optimizer_in_a_clipping_wrapper(name, expected):
    optimizer = hyper_optimizer(keras_tuner.HyperParameters(), 100, optimizers=(name,))
    assert isinstance(optimizer, ClippedOptimizer)
    assert type(optimizer.inner_optimizer) is expected
    assert optimizer.global_clipnorm == 1.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"total_steps": 0}, "`total_steps` must be a whole number >= 1"),
        ({"total_steps": 10, "optimizers": ("rmsprop",)}, "'adam', 'nadam'"),
        ({"total_steps": 10, "optimizers": ()}, "at least one optimizer"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        hyper_optimizer(keras_tuner.HyperParameters(), **arguments)
