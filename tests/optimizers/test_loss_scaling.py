"""Scaled losses: gradients are unscaled once, and clipped after that."""

import keras
import numpy as np
import pytest

from keras_tricks.optimizers import ClippedOptimizer
from tests.optimizers import numpy_reference
from tests.optimizers import test_contract as suite
from tests.optimizers.arrays import assert_close
from tests.optimizers.arrays import assert_same_bits
from tests.optimizers.small_steps import MODES
from tests.optimizers.small_steps import applied
from tests.optimizers.small_steps import random_arrays
from tests.optimizers.small_steps import sgd
from tests.optimizers.small_steps import state_of
from tests.optimizers.small_steps import stepper
from tests.optimizers.small_steps import variables_of

SCALE = 2.0**10

every_mode = pytest.mark.parametrize("mode", MODES)
LossScaleOptimizer = keras.optimizers.LossScaleOptimizer


def scaled_and_clipped():
    """Gradients as they come from a scaled loss, and what is to be applied."""
    gradients = random_arrays(0)
    expected = numpy_reference.clipped("global_clipnorm", gradients, 2.0)
    return [np.float32(SCALE) * g for g in gradients], expected


@every_mode
def test_a_loss_scale_optimizer_around_it_unscales_once_and_before_clipping(mode):
    gradients, expected = scaled_and_clipped()
    optimizer = LossScaleOptimizer(
        ClippedOptimizer(sgd(), global_clipnorm=2.0), initial_scale=SCALE
    )
    assert_close(applied(optimizer, gradients, mode=mode), expected, atol=1e-6)
    norm = numpy_reference.global_norm(random_arrays(0))
    assert optimizer.inner_optimizer.gradient_norm == pytest.approx(norm, rel=1e-6)


@every_mode
def test_the_loss_scale_factor_of_the_inner_optimizer_unscales_once(mode):
    gradients, expected = scaled_and_clipped()
    inner = keras.optimizers.SGD(1.0, loss_scale_factor=SCALE)
    optimizer = ClippedOptimizer(inner, global_clipnorm=2.0)
    # This is what fit multiplies the loss by.
    assert float(optimizer.scale_loss(1.0)) == SCALE
    assert_close(applied(optimizer, gradients, mode=mode), expected, atol=1e-6)


def test_the_loss_scale_factor_comes_back_from_the_config():
    inner = keras.optimizers.SGD(1.0, loss_scale_factor=SCALE)
    optimizer = ClippedOptimizer(inner, global_clipnorm=2.0)
    for _ in range(2):
        optimizer = ClippedOptimizer.from_config(optimizer.get_config())
    gradients, expected = scaled_and_clipped()
    assert float(optimizer.scale_loss(1.0)) == SCALE
    assert_close(applied(optimizer, gradients), expected, atol=1e-6)


def test_a_power_of_two_as_loss_scale_changes_no_bit_of_fit():
    def weights(**arguments):
        inner = keras.optimizers.Adam(0.01, **arguments)
        return suite.train(
            suite.compiled_model(ClippedOptimizer(inner, global_clipnorm=0.5))
        )

    assert_same_bits(weights(loss_scale_factor=SCALE), weights())


@every_mode
def test_a_loss_scale_optimizer_halves_its_scale_and_updates_nothing(mode):
    clipped = ClippedOptimizer(keras.optimizers.Adam(0.1), global_clipnorm=2.0)
    optimizer = LossScaleOptimizer(clipped, initial_scale=SCALE)
    variables = variables_of(random_arrays(0))
    step = stepper(optimizer, variables, mode)
    step(*random_arrays(1))
    weights, state = [v.numpy() for v in variables], state_of(clipped)
    step(*[np.full_like(g, np.inf) for g in random_arrays(2)])
    assert_same_bits([v.numpy() for v in variables], weights)
    assert_same_bits(state_of(clipped), state)
    assert float(optimizer.dynamic_scale) == SCALE / 2


def test_mixed_float16_in_compile_gives_what_unscaled_float32_gives():
    """One loss scaler only; and the model's weights move by the limit."""
    limit = 0.01
    reference = suite.compiled_model(ClippedOptimizer(sgd(), global_clipnorm=limit))
    x, y = suite.data()
    # Small errors, whose gradients float16 holds in spite of the loss scale of 2**15.
    y = reference(x).numpy() + 0.02 * y
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = suite.compiled_model(ClippedOptimizer(sgd(), global_clipnorm=limit))
    finally:
        keras.config.set_dtype_policy(policy)
    optimizer = model.optimizer
    assert type(optimizer) is LossScaleOptimizer
    assert type(optimizer.inner_optimizer) is ClippedOptimizer
    assert type(optimizer.inner_optimizer.inner_optimizer) is keras.optimizers.SGD
    before = model.get_weights()
    model.fit(x, y, batch_size=32, epochs=1, verbose=0)
    moved = [b - a for a, b in zip(model.get_weights(), before, strict=True)]
    assert numpy_reference.global_norm(moved) == pytest.approx(limit, rel=1e-4)
    reference.fit(x, y, batch_size=32, epochs=1, verbose=0)
    norms = [o.gradient_norm for o in (optimizer.inner_optimizer, reference.optimizer)]
    # float16 has 11 bits, of which the small errors lose some.
    assert norms[0] == pytest.approx(norms[1], rel=0.05)
    expected = [b - a for a, b in zip(reference.get_weights(), before, strict=True)]
    assert_close(moved, expected, rtol=0, atol=0.05 * limit)


ADAM = keras.optimizers.Adam


@pytest.mark.parametrize(
    ("build_inner", "error", "remedy"),
    [
        (lambda: "adam", TypeError, r"ClippedOptimizer\(keras.optimizers.Adam"),
        (lambda: ADAM, TypeError, r"ClippedOptimizer\(keras.optimizers.Adam"),
        (lambda: ADAM(1e-3, clipnorm=1.0), ValueError, "Leave out `clipnorm`"),
        (lambda: ADAM(1e-3, clipvalue=1.0), ValueError, "Leave out `clipvalue`"),
        (lambda: ADAM(1e-3, global_clipnorm=1.0), ValueError, "`global_clipnorm`"),
        (lambda: ClippedOptimizer(ADAM(1e-3)), ValueError, "Use one wrapper"),
        (
            lambda: LossScaleOptimizer(ADAM(1e-3)),
            ValueError,
            r"LossScaleOptimizer\(ClippedOptimizer\(...\)\)",
        ),
        (
            lambda: ADAM(1e-3, gradient_accumulation_steps=4),
            ValueError,
            "Leave out `gradient_accumulation_steps` of Adam .* ClippedOptimizer",
        ),
    ],
    ids=[
        "a name",
        "a class",
        "clipnorm",
        "clipvalue",
        "global_clipnorm",
        "a wrapper",
        "a loss scaler",
        "accumulation",
    ],
)
def test_inner_optimizers_that_cannot_be_wrapped_are_refused_with_the_remedy(
    build_inner, error, remedy
):
    with pytest.raises(error, match=rf"{remedy}"):
        ClippedOptimizer(build_inner(), global_clipnorm=1.0)
