"""Two optimizers, one after the other: equal to compiling anew by hand."""

import keras
import numpy as np
import pytest

from keras_tricks.callbacks import LearningRateHistory
from keras_tricks.callbacks import SwitchOnPlateau
from keras_tricks.optimizers import ClippedOptimizer
from keras_tricks.optimizers import SwitchedOptimizer
from keras_tricks.schedules import WarmupPolynomialDecay
from tests.optimizers import small_steps
from tests.optimizers import test_contract as suite
from tests.optimizers.arrays import assert_same_bits


def adam():
    return keras.optimizers.Adam(WarmupPolynomialDecay(0.05, 8, 2))


def momentum():
    return keras.optimizers.SGD(
        WarmupPolynomialDecay(0.05, 20), momentum=0.9, nesterov=True
    )


def fit(model, epochs=2, callbacks=()):
    x, y = suite.data()
    return model.fit(
        x,
        y,
        batch_size=8,
        epochs=epochs,
        shuffle=False,
        verbose=0,
        callbacks=[*callbacks],
    )


@pytest.fixture(scope="module")
def by_hand():
    """Weights after two epochs with Adam, and two with SGD, compiled anew."""
    model = suite.compiled_model(adam(), jit_compile=False)
    fit(model)
    model.compile(momentum(), "mse", jit_compile=False)
    fit(model)
    return model.get_weights()


@pytest.mark.parametrize("around", ["alone", "clipped"])
def test_it_equals_the_first_and_then_the_second_compiled_by_hand(by_hand, around):
    optimizer = switched = SwitchedOptimizer(adam(), momentum(), at=8)
    if around == "clipped":
        # A power of two that is not reached changes no bit.
        optimizer = ClippedOptimizer(switched, global_clipnorm=2.0**20)
    model = suite.compiled_model(optimizer, jit_compile=False)
    history = fit(model, epochs=4, callbacks=[LearningRateHistory()])
    assert_same_bits(model.get_weights(), by_hand)
    assert [int(o.iterations) for o in (optimizer, *switched.phases)] == [16, 8, 8]
    expected = [
        *WarmupPolynomialDecay(0.05, 8, 2)(np.arange(8)).numpy(),
        *WarmupPolynomialDecay(0.05, 20)(np.arange(8)).numpy(),
    ]
    np.testing.assert_allclose(history.learning_rate_per_update, expected, rtol=1e-6)


def test_on_a_plateau_the_callback_switches(by_hand):
    """No loss falls by 1e9, so that the second epoch is one without improvement."""
    switched = SwitchedOptimizer(adam(), momentum(), at="plateau")
    model = suite.compiled_model(ClippedOptimizer(switched), jit_compile=False)
    fit(model, 4, [SwitchOnPlateau("loss", patience=1, min_delta=1e9)])
    assert switched.switched_at == 8
    assert_same_bits(model.get_weights(), by_hand)


def test_a_plateau_that_nobody_looks_for_is_told():
    model = suite.compiled_model(SwitchedOptimizer(adam(), momentum(), at="plateau"))
    with pytest.warns(UserWarning, match="SwitchOnPlateau"):
        fit(model, 1)
    model = suite.compiled_model(SwitchedOptimizer(adam(), momentum(), at=3))
    with pytest.raises(ValueError, match='at="plateau"'):
        fit(model, 1, [SwitchOnPlateau("loss")])
    with pytest.raises(ValueError, match='"plateau"'):
        model.optimizer.switch()


def test_the_rate_is_the_active_ones():
    optimizer = SwitchedOptimizer(
        keras.optimizers.Adam(0.1), keras.optimizers.SGD(0.2), at=1
    )
    assert float(optimizer.learning_rate) == pytest.approx(0.1)
    optimizer.learning_rate = 0.3
    optimizer.apply([keras.ops.ones(2)], [keras.Variable([0.0, 0.0])])
    assert float(optimizer.learning_rate) == pytest.approx(0.2)
    optimizer.learning_rate = 0.4
    rates = [float(phase.learning_rate) for phase in optimizer.phases]
    assert rates == pytest.approx([0.3, 0.4])


def swats(gradients, tolerance):
    """Algorithm 1 of the paper in float64: when it switches, and to what rate."""
    rate, beta_1, beta_2, epsilon = 0.01, 0.9, 0.999, 1e-7
    m = v = np.zeros_like(gradients[0])
    mean = 0.0
    for k, g in enumerate(gradients, start=1):
        m = beta_1 * m + (1 - beta_1) * g
        v = beta_2 * v + (1 - beta_2) * g**2
        correction = np.sqrt(1 - beta_2**k) / (1 - beta_1**k)
        p = -rate * correction * m / (np.sqrt(v) + epsilon)
        own = p @ p / -(p @ g)
        mean = beta_2 * mean + (1 - beta_2) * own
        found = mean / (1 - beta_2**k)
        if k > 1 and abs(found - own) < tolerance:
            return k, found
    raise AssertionError("no switch")


@pytest.mark.parametrize("mode", small_steps.MODES)
def test_swats_switches_when_and_to_what_the_paper_says(mode):
    tolerance = 4e-4
    gradients = np.random.default_rng(3).normal(size=(40, 20)) + 0.5
    step, rate = swats(gradients, tolerance)
    assert 5 < step < 40
    optimizer = SwitchedOptimizer(
        keras.optimizers.Adam(0.01),
        keras.optimizers.SGD(7.0, momentum=0.75),
        at="swats",
        tolerance=tolerance,
    )
    # Two weights are one vector.
    variables = small_steps.variables_of([np.zeros(12, "f"), np.zeros(8, "f")])
    update = small_steps.stepper(optimizer, variables, mode)
    for gradient in gradients.astype("float32"):
        update(gradient[:12], gradient[12:])
    assert optimizer.switched_at == step
    found = float(optimizer.second.learning_rate)
    assert found == pytest.approx((1 - 0.75) * rate, rel=1e-3)
    assert int(optimizer.first.iterations) == step


def test_a_rate_is_found_for_a_switch_at_a_step():
    """Of plain SGD the projected rate is its own."""
    optimizer = SwitchedOptimizer(
        keras.optimizers.SGD(0.125), keras.optimizers.SGD(9.0), at=3, find_rate=True
    )
    start = small_steps.random_arrays(0)
    small_steps.weights_after(optimizer, start, [start] * 3, "graph")
    assert float(optimizer.learning_rate) == pytest.approx(0.125, rel=1e-4)


def test_three_optimizers_follow_each_other():
    def sgd(rate):
        return keras.optimizers.SGD(rate)

    optimizer = SwitchedOptimizer(
        sgd(1.0), SwitchedOptimizer(sgd(10.0), sgd(100.0), at=1), at=2
    )
    ones = [np.ones(1, "float32")]
    [weight] = small_steps.weights_after(
        optimizer, [np.zeros(1, "float32")], [ones] * 4
    )
    assert weight.tolist() == [-112.0]


def test_a_scaled_loss_is_unscaled_once():
    def scaled(kind, rate):
        return kind(rate, loss_scale_factor=8.0)

    model = suite.compiled_model(
        SwitchedOptimizer(
            scaled(keras.optimizers.Adam, 0.01),
            scaled(keras.optimizers.SGD, 0.01),
            at=2,
        )
    )
    fit(model, 1)
    plain = suite.compiled_model(
        SwitchedOptimizer(keras.optimizers.Adam(0.01), keras.optimizers.SGD(0.01), at=2)
    )
    fit(plain, 1)
    assert_same_bits(model.get_weights(), plain.get_weights())
    config = keras.saving.serialize_keras_object(model.optimizer)
    restored = keras.saving.deserialize_keras_object(config)
    assert restored.loss_scale_factor == 8.0


SGD = keras.optimizers.SGD


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: (ClippedOptimizer(SGD(0.1)), SGD(0.1)), "no wrapper"),
        (lambda: (SGD(0.1), SGD(0.1, gradient_accumulation_steps=2)), "accumulate"),
        (lambda: (SGD(0.1, loss_scale_factor=2.0), SGD(0.1)), "loss_scale_factor"),
        (lambda: (SGD(0.1),) * 2, "another optimizer"),
    ],
)
def test_optimizers_that_do_not_suit_are_refused(make, said):
    with pytest.raises(ValueError, match=said):
        SwitchedOptimizer(*make(), at=2)


@pytest.mark.parametrize("second", [keras.optimizers.Adam(0.1), momentum()])
def test_a_rate_is_found_for_a_number_of_sgd_alone(second):
    with pytest.raises(ValueError, match="`second` must"):
        SwitchedOptimizer(SGD(0.1), second, at="swats")


def test_a_switch_before_the_first_update_is_one_at_step_0():
    optimizer = SwitchedOptimizer(adam(), momentum(), at="plateau")
    optimizer.build([keras.Variable([1.0])])
    assert optimizer.switched_at is None
    optimizer.switch()
    assert optimizer.switched_at == 0
    assert optimizer.active is optimizer.phases[1]


def test_a_file_keeps_when_the_switch_was_made(tmp_path):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    optimizer = SwitchedOptimizer(adam(), momentum(), at="plateau")
    model.compile(optimizer, "mse", run_eagerly=True)
    model.train_on_batch(np.ones((4, 2)), np.ones((4, 1)))
    optimizer.switch()
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.optimizer.switched_at == 1
