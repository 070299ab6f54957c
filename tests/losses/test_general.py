"""ClassificationLoss for a model of one's own, against Keras's on one-hot labels.

Its formula has its tests in hypermodels/test_losses.py.
"""

import functools

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from keras_tricks.losses import ClassificationLoss
from tests import sampling

CLASSES = 3
GENERATOR = np.random.default_rng(0)
X = GENERATOR.normal(size=(60, 4)).astype("float32")
LABELS = (X[:, :CLASSES] + GENERATOR.normal(size=(60, CLASSES))).argmax(axis=1)
ONE_HOT = np.eye(CLASSES, dtype="float32")[LABELS]


def own_model(loss, **arguments):
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(8, "relu"), keras.layers.Dense(CLASSES)]
    )
    model.compile(keras.optimizers.SGD(0.1), loss, **arguments)
    return model


def trained(loss, labels, **arguments):
    """The losses of the epochs, and the weights; eagerly, unless it is compiled."""
    model = own_model(loss, **{"run_eagerly": not arguments, **arguments})
    history = model.fit(X, labels, batch_size=20, epochs=3, shuffle=False, verbose=0)
    return history.history["loss"], model.get_weights()


def of_keras(smoothing, gamma):
    if gamma:
        return keras.losses.CategoricalFocalCrossentropy(
            alpha=1.0, gamma=gamma, from_logits=True, label_smoothing=smoothing
        )
    return keras.losses.CategoricalCrossentropy(
        from_logits=True, label_smoothing=smoothing
    )


@functools.cache
def trained_by_keras(smoothing, gamma):
    return trained(of_keras(smoothing, gamma), ONE_HOT)


LOSSES = [(0, 0), (0.1, 0), (0, 2.0), (0, 0.5), (0.2, 1.5)]


@pytest.mark.parametrize(
    ("smoothing", "gamma", "jit_compile"),
    sampling.only(
        [*((*loss, False) for loss in LOSSES), (0, 0, True), (0.2, 1.5, True)],
        [(*loss, jit_compile) for jit_compile in (False, True) for loss in LOSSES],
    ),
)
def test_training_on_class_numbers_is_keras_s_on_one_hot(smoothing, gamma, jit_compile):
    losses, weights = trained(
        ClassificationLoss(smoothing, gamma),
        LABELS,
        **({"jit_compile": True} if jit_compile else {}),
    )
    expected, expected_weights = trained_by_keras(smoothing, gamma)
    np.testing.assert_allclose(losses, expected, rtol=1e-5)
    for weight, other in zip(weights, expected_weights, strict=True):
        np.testing.assert_allclose(weight, other, rtol=1e-4, atol=1e-6)
    assert losses[-1] < losses[0]


@pytest.mark.parametrize(
    "labels",
    [
        LABELS.astype("int64"),
        LABELS.astype("uint8"),
        LABELS.astype("float32"),
        LABELS[:, None],
        tf.constant(LABELS),
        pd.Series(LABELS),
    ],
    ids=["int64", "uint8", "floats", "column", "tensor", "series"],
)
def test_labels_come_in_every_form(labels):
    losses, _ = trained(ClassificationLoss(0.1, 2.0), labels)
    expected, _ = trained_by_keras(0.1, 2.0)
    np.testing.assert_allclose(losses, expected, rtol=1e-5)


def test_each_pixel_has_its_label():
    logits = GENERATOR.normal(size=(2, 5, 4, CLASSES)).astype("float32")
    labels = GENERATOR.integers(CLASSES, size=(2, 5, 4))
    one_hot = np.eye(CLASSES, dtype="float32")[labels]
    found = ClassificationLoss(0.1, 2.0)(labels, logits)
    assert float(found) == pytest.approx(float(of_keras(0.1, 2.0)(one_hot, logits)))


def test_class_weights_count_as_with_keras():
    arguments = {"class_weight": {0: 1.0, 1: 2.0, 2: 0.5}, "epochs": 2}
    losses = [
        own_model(loss, run_eagerly=True)
        .fit(X, labels, shuffle=False, verbose=0, **arguments)
        .history["loss"]
        for loss, labels in (
            (ClassificationLoss(0.1), LABELS),
            (of_keras(0.1, 0), ONE_HOT),
        )
    ]
    np.testing.assert_allclose(*losses, rtol=1e-5)


def test_one_hot_labels_are_refused_with_what_to_do():
    with pytest.raises(ValueError, match=r"class numbers.*np.argmax.*Received"):
        own_model(ClassificationLoss()).fit(X, ONE_HOT, verbose=0)


@pytest.mark.parametrize("gamma", [0.0, 2.0])
def test_a_class_that_cannot_be_adds_nothing(gamma):
    logits = tf.constant([[1.0, 2.0, -np.inf], [0.0, -np.inf, -np.inf]])
    labels = np.array([0, 0])
    with tf.GradientTape() as tape:
        tape.watch(logits)
        loss = ClassificationLoss(focal_gamma=gamma, reduction=None)(labels, logits)
    others = 1 / (1 + np.exp(-1.0))
    expected = np.array([-np.log(1 - others) * others**gamma, 0.0])
    np.testing.assert_allclose(loss, expected, rtol=1e-6, atol=1e-7)
    assert np.isfinite(tape.gradient(loss, logits)).all()


def test_a_label_beyond_the_classes_shows_as_nan():
    model = own_model(ClassificationLoss())
    history = model.fit(X, LABELS + 1, epochs=1, verbose=0)
    assert np.isnan(history.history["loss"]).all()


def test_accuracy_is_that_of_class_numbers():
    model = own_model(ClassificationLoss(), metrics=["accuracy"])
    found = model.evaluate(X, LABELS, verbose=0, return_dict=True)["accuracy"]
    predicted = model.predict(X, verbose=0).argmax(axis=1)
    assert found == pytest.approx((predicted == LABELS).mean())


def test_a_saved_model_is_loaded_and_goes_on(tmp_path):
    model = own_model(ClassificationLoss(0.1, 2.0))
    model.fit(X, LABELS, shuffle=False, verbose=0)
    model.save(tmp_path / "model.keras")
    restored = keras.models.load_model(tmp_path / "model.keras")
    results = [
        m.fit(X, LABELS, shuffle=False, verbose=0).history["loss"]
        for m in (model, restored)
    ]
    np.testing.assert_allclose(*results, rtol=1e-6)
