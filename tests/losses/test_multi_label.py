"""MultiLabelLoss against its formula in float64 and against Keras's losses."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_tricks.losses import MultiLabelLoss

GENERATOR = np.random.default_rng(0)
LABELS = GENERATOR.integers(0, 2, size=(20, 4))
LOGITS = GENERATOR.normal(scale=3, size=(20, 4))
WEIGHTS = (4.0, 0.5, 1.0, 20.0)


def by_numpy(smoothing=0.0, gamma=0.0, weights=(1.0,) * 4, balance=1.0):
    """The formula of the documentation for each example, in float64."""
    p = 1 / (1 + np.exp(-LOGITS))
    q = (1 - smoothing) * LABELS + smoothing / 2
    w = np.asarray(weights) ** balance
    positive = w * q * (1 - p) ** gamma * np.log(p)
    negative = (1 - q) * p**gamma * np.log(1 - p)
    return -(positive + negative).mean(axis=1)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"label_smoothing": 0.1},
        {"focal_gamma": 2.0},
        {"positive_weights": WEIGHTS},
        {"positive_weights": WEIGHTS, "balance": 0.5},
        {"label_smoothing": 0.2, "focal_gamma": 1.5, "positive_weights": WEIGHTS},
    ],
    ids=str,
)
def test_each_example_has_the_loss_of_the_formula(settings):
    loss = MultiLabelLoss(**settings, reduction="none")(LABELS, LOGITS)
    expected = by_numpy(
        settings.get("label_smoothing", 0),
        settings.get("focal_gamma", 0),
        settings.get("positive_weights", (1.0,) * 4),
        settings.get("balance", 1.0),
    )
    np.testing.assert_allclose(loss, expected, rtol=1e-5)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_without_the_focal_factor_it_is_keras_s_binary_cross_entropy(smoothing):
    kerass = keras.losses.BinaryCrossentropy(
        from_logits=True, label_smoothing=smoothing
    )
    loss = MultiLabelLoss(smoothing)(LABELS, LOGITS)
    assert float(loss) == pytest.approx(float(kerass(LABELS, LOGITS)), rel=1e-6)


@pytest.mark.parametrize("gamma", [0.5, 2.0, 5.0])
def test_with_the_focal_factor_it_is_keras_s_focal_loss(gamma):
    kerass = keras.losses.BinaryFocalCrossentropy(gamma=gamma, from_logits=True)
    loss = MultiLabelLoss(focal_gamma=gamma)(LABELS, LOGITS)
    assert float(loss) == pytest.approx(float(kerass(LABELS, LOGITS)), rel=1e-4)


@pytest.mark.parametrize("wrong", [2, -1, 0.5, np.nan])
def test_what_is_no_label_has_the_loss_nan_and_so_have_the_gradients(wrong):
    labels = LABELS.astype("float32")
    labels[3, 1] = wrong
    logits = tf.constant(LOGITS, "float32")
    with tf.GradientTape() as tape:
        tape.watch(logits)
        losses = MultiLabelLoss(reduction="none")(labels, logits)
    assert np.flatnonzero(np.isnan(losses)).tolist() == [3]
    assert np.isnan(tape.gradient(losses, logits)[3, 1])


@pytest.mark.parametrize("size", [1e2, 1e4, 1e30])
def test_huge_logits_have_finite_gradients(size):
    logits = tf.constant([[size, -size]], "float32")
    for gamma in (0.0, 0.5, 2.0):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            loss = MultiLabelLoss(focal_gamma=gamma)([[0, 0]], logits)
        assert np.isfinite(loss)
        assert np.all(np.isfinite(tape.gradient(loss, logits)))


@pytest.mark.parametrize("shape", [(20,), (20, 3), (1, 4), (20, 4, 1)])
def test_labels_of_another_shape_are_refused(shape):
    with pytest.raises(ValueError, match=r"Labels, 0 or 1, must .*Received: shape"):
        MultiLabelLoss()(np.zeros(shape), LOGITS)


@pytest.mark.parametrize(
    "wrong",
    [
        {"label_smoothing": 1.0},
        {"focal_gamma": -1},
        {"positive_weights": [1.0, 0.0]},
        {"positive_weights": [float("nan")]},
        {"balance": -0.1},
    ],
    ids=str,
)
def test_numbers_out_of_range_are_refused(wrong):
    [name] = wrong
    with pytest.raises(ValueError, match=f"`{name}` must be"):
        MultiLabelLoss(**wrong)


def test_it_is_made_anew_from_its_configuration():
    loss = MultiLabelLoss(0.1, 2.0, WEIGHTS, 0.5)
    again = keras.losses.deserialize(keras.losses.serialize(loss))
    assert repr(again) == repr(loss)
    assert float(again(LABELS, LOGITS)) == float(loss(LABELS, LOGITS))
