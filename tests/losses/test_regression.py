"""RegressionLoss against its formulas in float64 and against Keras's losses."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_tricks.losses import RegressionLoss

GENERATOR = np.random.default_rng(0)
TARGETS = GENERATOR.normal(size=(20, 3))
OUTPUTS = GENERATOR.normal(scale=2, size=(20, 3))
DEVIATIONS = (0.1, 1.0, 30.0)


def by_numpy(kind, delta=1.0, quantile=0.5, deviation=1.0):
    error = (TARGETS - OUTPUTS) / np.asarray(deviation)
    size = np.abs(error)
    losses = {
        "mse": error**2,
        "mae": size,
        "huber": np.where(size <= delta, error**2 / 2, delta * (size - delta / 2)),
        "quantile": np.where(error >= 0, quantile * error, (quantile - 1) * error),
    }
    return losses[kind].mean(axis=1)


@pytest.mark.parametrize("deviation", [1.0, 7.0, DEVIATIONS])
@pytest.mark.parametrize("kind", ["mse", "mae", "huber", "quantile"])
def test_each_example_has_the_loss_of_the_formula(kind, deviation):
    settings = {"delta": 0.7, "quantile": 0.9, "deviation": deviation}
    loss = RegressionLoss(kind, **settings, reduction="none")(TARGETS, OUTPUTS)
    np.testing.assert_allclose(loss, by_numpy(kind, **settings), rtol=1e-5)


@pytest.mark.parametrize(
    ("kind", "kerass"),
    [
        ("mse", keras.losses.MeanSquaredError()),
        ("mae", keras.losses.MeanAbsoluteError()),
        ("huber", keras.losses.Huber(delta=0.7)),
    ],
)
def test_without_a_deviation_it_is_keras_s_loss(kind, kerass):
    loss = RegressionLoss(kind, delta=0.7)(TARGETS, OUTPUTS)
    assert float(loss) == pytest.approx(float(kerass(TARGETS, OUTPUTS)), rel=1e-6)


@pytest.mark.parametrize("quantile", [0.1, 0.5, 0.8])
def test_the_quantile_s_loss_is_least_at_the_quantile(quantile):
    """The oracle is NumPy's quantile of the same numbers."""
    sample = np.random.default_rng(1).exponential(size=401)
    loss = RegressionLoss("quantile", quantile=quantile)
    candidates = np.sort(sample)
    losses = [float(loss(sample, np.full((401, 1), c))) for c in candidates]
    assert candidates[np.argmin(losses)] == pytest.approx(np.quantile(sample, quantile))


def test_a_vector_of_targets_is_a_column():
    """Keras's own broadcasting would compare each target with every output."""
    found = RegressionLoss(reduction="none")(TARGETS[:, 0], OUTPUTS[:, :1])
    np.testing.assert_allclose(found, (TARGETS - OUTPUTS)[:, 0] ** 2, rtol=1e-5)


@pytest.mark.parametrize(
    ("targets", "outputs"),
    [((20,), (20, 3)), ((20, 1), (20, 3)), ((1, 3), (20, 3)), ((3,), (3, 3))],
)
@pytest.mark.parametrize("known", [True, False], ids=["known", "batch unknown"])
def test_shapes_that_would_broadcast_are_refused(targets, outputs, known):
    arrays = [np.zeros(shape, "float32") for shape in (targets, outputs)]
    specs = None
    if not known:
        specs = [tf.TensorSpec([None, *array.shape[1:]]) for array in arrays]
        if targets[0] == 1:
            specs[0] = tf.TensorSpec([1, 3])
            specs[1] = tf.TensorSpec([20, 3])
    loss = tf.function(RegressionLoss().__call__, input_signature=specs)
    with pytest.raises(ValueError, match=r"Targets must have .*Received: shape"):
        loss.get_concrete_function(*(() if specs else arrays))


@pytest.mark.parametrize("kind", ["mse", "mae", "huber", "quantile"])
def test_gradients_of_huge_errors_are_finite_where_the_loss_is_linear(kind):
    outputs = tf.constant([[1e30]])
    with tf.GradientTape() as tape:
        tape.watch(outputs)
        loss = RegressionLoss(kind)([[0.0]], outputs)
    gradient = float(tape.gradient(loss, outputs)[0, 0])
    assert np.isfinite(gradient)
    assert np.isfinite(loss) == (kind != "mse")


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "rmse"},
        {"delta": 0},
        {"quantile": 0},
        {"quantile": 1},
        {"deviation": 0},
        {"deviation": [1.0, -1.0]},
    ],
    ids=str,
)
def test_what_is_out_of_range_is_refused(wrong):
    [name] = wrong
    with pytest.raises(ValueError, match=f"`{name}` must be"):
        RegressionLoss(**wrong)


@pytest.mark.parametrize("deviation", [2.0, DEVIATIONS])
def test_it_is_made_anew_from_its_configuration(deviation):
    loss = RegressionLoss("huber", 0.3, 0.2, deviation)
    again = keras.losses.deserialize(keras.losses.serialize(loss))
    assert float(again(TARGETS, OUTPUTS)) == float(loss(TARGETS, OUTPUTS))
