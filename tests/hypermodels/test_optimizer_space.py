"""The search space of optimizers."""

import keras
import keras_tuner
import numpy as np
import pytest

from keras_tricks.hypermodels import hyper_optimizer
from keras_tricks.hypermodels.optimizer_space import optimizer_settings
from keras_tricks.optimizers import AdamWeightDecay
from keras_tricks.optimizers import ClippedOptimizer
from tests.hypermodels import cases

FLOAT = keras_tuner.engine.hyperparameters.Float
FIXED = keras_tuner.engine.hyperparameters.Fixed


def declared(**arguments):
    hp = keras_tuner.HyperParameters()
    hyper_optimizer(hp, 100, **arguments)
    return hp.space


def test_the_space_has_the_documented_names_and_ranges():
    ranges = {
        p.name: (p.min_value, p.max_value, p.sampling, p.default)
        for p in declared()
        if isinstance(p, FLOAT)
    }
    assert ranges == {
        "learning_rate": (1e-4, 1e-1, "log", 1e-3),
        "warmup_fraction": (0.0, 0.2, "linear", 0.1),
        "decay_power": (0.5, 2.0, "linear", 1.0),
        "global_clipnorm": (0.1, 15.0, "log", 1.0),
        "weight_decay": (1e-4, 0.3, "log", 0.01),
        "momentum": (0.8, 0.99, "linear", 0.9),
    }
    fixed = {p.name: p.value for p in declared() if isinstance(p, FIXED)}
    assert fixed == {"beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7}
    [choice] = [p for p in declared() if p.name not in ranges | fixed]
    assert choice.name == "optimizer"
    assert choice.values == ["adam", "nadam", "adamw", "sgd"]


@pytest.mark.parametrize(
    ("name", "optimizer"), [("weight_decay", "adamw"), ("momentum", "sgd")]
)
def test_a_number_of_one_optimizer_is_searched_with_that_one_only(name, optimizer):
    hp = keras_tuner.HyperParameters()
    hyper_optimizer(hp, 100)
    [parameter] = [p for p in hp.space if p.name == name]
    for choice in ("adam", "nadam", "adamw", "sgd"):
        hp.values["optimizer"] = choice
        assert hp.is_active(parameter) == (choice == optimizer)


@pytest.mark.parametrize(
    ("optimizers", "absent"),
    [
        (("adam",), {"weight_decay", "momentum"}),
        (("sgd",), {"weight_decay", "beta_1", "beta_2", "epsilon"}),
        (("adamw", "adam"), {"momentum"}),
    ],
)
def test_numbers_of_optimizers_that_are_no_choice_are_not_declared(optimizers, absent):
    names = {parameter.name for parameter in declared(optimizers=optimizers)}
    every = {parameter.name for parameter in declared()}
    assert every - names == absent


def test_the_range_of_the_rate_goes_with_its_default():
    """For fine-tuning, where all rates are smaller."""
    [rate] = [p for p in declared(learning_rate=1e-5) if p.name == "learning_rate"]
    assert (rate.min_value, rate.max_value) == pytest.approx((1e-6, 1e-3))
    assert rate.default == 1e-5


@pytest.mark.parametrize(
    ("optimizer", "numbers"),
    [
        ("adam", {"beta_1": 0.8, "beta_2": 0.95, "epsilon": 1e-3}),
        ("nadam", {"beta_1": 0.8, "beta_2": 0.95, "epsilon": 1e-3}),
        ("adamw", {"beta_1": 0.8, "beta_2": 0.95, "weight_decay": 0.2}),
        ("sgd", {"momentum": 0.85}),
    ],
)
def test_declared_numbers_reach_the_optimizer(optimizer, numbers):
    hp = cases.fixed(optimizer=optimizer, global_clipnorm=2.5, **numbers)
    made = hyper_optimizer(hp, 100)
    config = made.inner_optimizer.get_config()
    assert {name: config[name] for name in numbers} == numbers
    assert made.global_clipnorm == 2.5


def test_sgd_has_nesterov_momentum():
    optimizer = hyper_optimizer(cases.fixed(optimizer="sgd"), 100).inner_optimizer
    assert optimizer.nesterov
    assert optimizer.momentum == 0.9


def test_weight_decay_shrinks_kernels_but_neither_biases_nor_norms():
    """Without a gradient only the decay moves a weight: by rate * decay, as AdamW's."""
    model = keras.Sequential(
        [
            keras.Input((3,)),
            keras.layers.Dense(4),
            keras.layers.BatchNormalization(),
            keras.layers.LayerNormalization(),
        ]
    )
    weights = model.trainable_variables
    for weight in weights:
        weight.assign(keras.ops.ones(weight.shape))
    hp = cases.fixed(
        optimizer="adamw", weight_decay=0.1, learning_rate=0.5, warmup_fraction=0.0
    )
    optimizer = hyper_optimizer(hp, 100)
    optimizer.build(weights)
    optimizer.apply([keras.ops.zeros(weight.shape) for weight in weights], weights)
    decayed = {w.path.split("/", 1)[-1]: float(np.min(w)) for w in weights}
    kernel = {path: value for path, value in decayed.items() if "kernel" in path}
    assert list(kernel.values()) == pytest.approx([1 - 0.5 * 0.1])
    assert {decayed[path] for path in decayed.keys() - kernel} == {1.0}
    assert len(decayed) == 6


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
        ("adamw", AdamWeightDecay),
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
        ({"total_steps": 10, "learning_rate": 0.0}, "`learning_rate` must be .* > 0"),
        ({"total_steps": 10, "global_clipnorm": (1, 15)}, "must be three limits"),
        ({"total_steps": 10, "global_clipnorm": (1, 0.5, 15)}, "must be three limits"),
        ({"total_steps": 10, "global_clipnorm": (5, 5, 5)}, "must be three limits"),
        (
            {"total_steps": 10, "global_clipnorm": (0, 1, 2)},
            "`global_clipnorm` must be",
        ),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        hyper_optimizer(keras_tuner.HyperParameters(), **arguments)


@pytest.mark.parametrize("name", ["sgd", "rmsprop"])
def test_a_declared_optimizer_that_is_no_choice_is_refused(name):
    with pytest.raises(ValueError, match=r"one of 'adam', 'adamw'\. Received: "):
        hyper_optimizer(cases.fixed(optimizer=name), 10, optimizers=("adam", "adamw"))


@pytest.mark.parametrize("name", ["adam", "nadam", "adamw", "sgd"])
def test_an_optimizer_that_is_used_again_is_as_a_new_one(name):
    """In its configuration and in what its variables hold."""
    space = keras_tuner.HyperParameters()
    space.Fixed("optimizer", name)
    hyper_optimizer(space, 100)
    for number in ("beta_1", "beta_2", "epsilon"):
        space.values[number] = 0.5
    first, other = space.copy(), space.copy()
    generator = np.random.default_rng(0)
    for hp in space.space:
        if isinstance(hp, FLOAT) and space.is_active(hp):
            other.values[hp.name] = hp.prob_to_value(generator.random())
    optimizer = optimizer_settings(first, 100).optimizer()
    settings = optimizer_settings(other, 70)
    settings.set_in(optimizer)
    fresh = settings.optimizer()
    # Keras numbers the names that it makes up.
    fresh.inner_optimizer.name = optimizer.inner_optimizer.name
    for one, another in (
        (optimizer, fresh),
        (optimizer.inner_optimizer, fresh.inner_optimizer),
    ):
        assert one.get_config() == another.get_config()
        for variable, same in zip(one.variables, another.variables, strict=True):
            np.testing.assert_array_equal(variable.numpy(), same.numpy())


def adam_then_sgd(total_steps=100, **values):
    hp = keras_tuner.HyperParameters()
    hp.values.update(values)
    return optimizer_settings(hp, total_steps, optimizers=("adam_then_sgd",))


def test_adam_hands_over_to_sgd_at_a_fraction_of_the_run():
    settings = adam_then_sgd(switch_fraction=0.25, second_learning_rate=0.5)
    inner = settings.optimizer().inner_optimizer
    assert inner.at == 25
    kinds = [type(phase) for phase in inner.phases]
    assert kinds == [keras.optimizers.Adam, keras.optimizers.SGD]
    assert (inner.second.momentum, inner.second.nesterov) == (0.9, True)
    # SGD's rate falls to 0 at the run's last update, 75 after the switch.
    rates = inner.second._learning_rate([0, 75]).numpy()
    np.testing.assert_allclose(rates, [0.5, 0.0])
    assert adam_then_sgd(1).optimizer().inner_optimizer.at == 1


def test_a_switch_is_turned_into_another_one():
    reused = adam_then_sgd().optimizer()
    other = adam_then_sgd(switch_fraction=0.7, second_learning_rate=0.03, momentum=0.8)
    other.set_in(reused)
    # Names that Keras makes up have numbers.
    assert repr(reused) == repr(other.optimizer())
    second = reused.inner_optimizer.second
    assert (reused.inner_optimizer.at, second.momentum) == (70, 0.8)
