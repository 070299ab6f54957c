"""The classifiers' loss, against its formula in float64 and against Keras's losses."""

import keras
import keras_tuner
import numpy as np
import pytest
import tensorflow as tf

import keras_tricks.losses
from keras_tricks.hypermodels.tasks.classification import hyper_loss
from keras_tricks.losses import ClassificationLoss
from tests.hypermodels import cases

NUM_CLASSES = 5
LABELS = np.arange(20) % NUM_CLASSES
LOGITS = np.random.default_rng(0).normal(scale=4, size=(20, NUM_CLASSES))
ONE_HOT = np.eye(NUM_CLASSES)[LABELS]

settings = pytest.mark.parametrize(
    ("smoothing", "gamma"), [(0, 0), (0.1, 0), (0, 2.0), (0, 0.5), (0.2, 1.0)]
)


def by_numpy(smoothing, gamma, logits=LOGITS, labels=LABELS):
    """The formula of the documentation for each example, in float64."""
    logits = np.asarray(logits, "float64")
    highest = logits.max(axis=-1, keepdims=True)
    log_p = logits - highest
    log_p = log_p - np.log(np.exp(log_p).sum(axis=-1, keepdims=True))
    classes = logits.shape[-1]
    q = (1 - smoothing) * np.eye(classes)[labels] + smoothing / classes
    return -(q * (1 - np.exp(log_p)) ** gamma * log_p).sum(axis=-1)


@settings
def test_the_loss_is_the_mean_of_its_formula(smoothing, gamma):
    loss = ClassificationLoss(smoothing, gamma)(LABELS, LOGITS)
    assert float(loss) == pytest.approx(by_numpy(smoothing, gamma).mean(), rel=1e-5)


@settings
def test_each_example_has_the_loss_of_the_formula(smoothing, gamma):
    loss = ClassificationLoss(smoothing, gamma, reduction="none")(LABELS, LOGITS)
    np.testing.assert_allclose(loss, by_numpy(smoothing, gamma), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
def test_without_the_focal_factor_it_is_keras_s_cross_entropy(smoothing):
    kerass = keras.losses.CategoricalCrossentropy(
        from_logits=True, label_smoothing=smoothing
    )
    loss = ClassificationLoss(smoothing)(LABELS, LOGITS)
    assert float(loss) == pytest.approx(float(kerass(ONE_HOT, LOGITS)), rel=1e-6)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0, 5.0])
def test_with_the_focal_factor_it_is_keras_s_focal_cross_entropy(gamma):
    """But for Keras's clipping of probabilities at 1e-7."""
    kerass = keras.losses.CategoricalFocalCrossentropy(
        alpha=1.0, gamma=gamma, from_logits=True
    )
    logits = LOGITS / 4
    loss = ClassificationLoss(focal_gamma=gamma)(LABELS, logits)
    assert float(loss) == pytest.approx(float(kerass(ONE_HOT, logits)), rel=1e-5)


@pytest.mark.parametrize("shape", [(20,), (20, 1)])
def test_labels_may_be_a_column(shape):
    loss = ClassificationLoss()(LABELS.reshape(shape), LOGITS)
    assert float(loss) == pytest.approx(by_numpy(0, 0).mean(), rel=1e-5)


@pytest.mark.parametrize("shape", [(2, 4), (2, 4, 1)])
def test_labels_have_the_shape_of_the_rows_of_logits(shape):
    logits, labels = LOGITS[:8].reshape(2, 4, NUM_CLASSES), LABELS[:8].reshape(shape)
    found = ClassificationLoss(reduction="none")(labels, logits)
    expected = by_numpy(0, 0, logits, LABELS[:8].reshape(2, 4))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("known", [True, False], ids=["known", "batch unknown"])
@pytest.mark.parametrize(
    "shape", [(4, 2), (8,), (2, 4, 1, 1), (2, 2), (2, 3, 1), (1, 2, 4), (2,), (2, 1, 4)]
)
def test_labels_of_another_shape_are_refused(shape, known):
    """As many or not: they would be given to other rows."""
    labels = np.zeros(shape, "int32")
    logits = np.zeros((2, 4, 3), "float32")
    specs = None
    if not known:
        specs = [tf.TensorSpec([None, *array.shape[1:]]) for array in (labels, logits)]
    loss = tf.function(ClassificationLoss().__call__, input_signature=specs)
    with pytest.raises(ValueError, match=r"Labels must be class numbers.*Received"):
        loss.get_concrete_function(*(() if specs else (labels, logits)))


@pytest.mark.parametrize("shape", [None, [None, None], [None, None, 1]])
def test_labels_of_unknown_shape_have_the_loss_of_the_formula(shape):
    logits, labels = LOGITS[:8].reshape(2, 4, NUM_CLASSES), LABELS[:8].reshape(2, 4)
    given = labels[..., None] if shape and len(shape) == 3 else labels
    loss = tf.function(
        ClassificationLoss().__call__,
        input_signature=[
            tf.TensorSpec(shape, "int32"),
            tf.TensorSpec([None, None, NUM_CLASSES]),
        ],
    )
    found = loss(tf.constant(given, "int32"), tf.constant(logits, "float32"))
    expected = by_numpy(0, 0, logits, labels).mean()
    assert float(found) == pytest.approx(expected, rel=1e-5)


def test_an_example_counts_as_much_as_its_weight():
    weights = np.arange(20) / 10
    loss = ClassificationLoss()(LABELS, LOGITS, sample_weight=weights)
    assert float(loss) == pytest.approx((by_numpy(0, 0) * weights).mean(), rel=1e-5)


def value_and_gradient(loss, labels, logits):
    logits = tf.constant(logits)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        value = loss(labels, logits)
    return value.numpy(), tape.gradient(value, logits).numpy()


@settings
@pytest.mark.parametrize("size", [1e2, 1e4, 1e30])
@pytest.mark.parametrize("label", [0, 1, 2])
def test_huge_logits_have_finite_losses_and_gradients(smoothing, gamma, size, label):
    logits = np.array([[size, -size, 0.0]], "float32")
    loss = ClassificationLoss(smoothing, gamma)
    value, gradient = value_and_gradient(loss, [label], logits)
    assert float(value) == pytest.approx(
        by_numpy(smoothing, gamma, logits, [label])[0], rel=1e-5, abs=1e-6
    )
    assert np.all(np.isfinite(gradient))


@settings
def test_the_gradient_is_that_of_the_formula(smoothing, gamma):
    """By central differences in float64."""
    loss = ClassificationLoss(smoothing, gamma)
    _, gradient = value_and_gradient(loss, LABELS, LOGITS.astype("float32"))
    expected = np.zeros_like(LOGITS)
    for index in np.ndindex(*LOGITS.shape):
        up, down = LOGITS.copy(), LOGITS.copy()
        up[index] += 1e-5
        down[index] -= 1e-5
        difference = by_numpy(smoothing, gamma, up) - by_numpy(smoothing, gamma, down)
        expected[index] = difference.mean() / 2e-5
    np.testing.assert_allclose(gradient, expected, rtol=1e-3, atol=1e-6)


@settings
def test_in_half_precision_the_loss_is_right_to_three_digits(smoothing, gamma):
    logits = LOGITS.astype("float16")
    loss = ClassificationLoss(smoothing, gamma, dtype="float16", reduction="none")
    value, gradient = value_and_gradient(loss, LABELS, logits)
    assert value.dtype == "float16"
    expected = by_numpy(smoothing, gamma, logits)
    np.testing.assert_allclose(value, expected, rtol=5e-3, atol=5e-3)
    assert np.all(np.isfinite(gradient))


@settings
def test_huge_logits_in_half_precision_have_finite_gradients(smoothing, gamma):
    logits = np.array([[3e4, -3e4, 0.0], [8.0, -8.0, 0.0]], "float16")
    loss = ClassificationLoss(smoothing, gamma, dtype="float16")
    _, gradient = value_and_gradient(loss, [0, 0], logits)
    assert np.all(np.isfinite(gradient))


def test_the_loss_is_saved_with_its_numbers():
    loss = ClassificationLoss(0.1, 2.0)
    restored = keras.losses.deserialize(keras.losses.serialize(loss))
    assert float(restored(LABELS, LOGITS)) == float(loss(LABELS, LOGITS))
    assert (restored.label_smoothing, restored.focal_gamma) == (0.1, 2.0)


def test_the_loss_shows_its_numbers():
    shown = "ClassificationLoss(label_smoothing=0.1, focal_gamma=2.0)"
    assert repr(ClassificationLoss(0.1, 2.0)) == shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"label_smoothing": -0.1}, "`label_smoothing` must be a finite number >= 0"),
        (
            {"label_smoothing": 1.0},
            "`label_smoothing` must be .* < 1",
        ),
        ({"focal_gamma": -1.0}, "`focal_gamma` must be a finite number >= 0"),
    ],
    ids=str,
)
def test_numbers_out_of_their_range_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        ClassificationLoss(**arguments)


@pytest.mark.parametrize(
    ("declared", "expected"),
    [
        ({}, (0.0, 0.0)),
        ({"label_smoothing": 0.1}, (0.1, 0.0)),
        ({"loss": "focal"}, (0.0, 2.0)),
        ({"loss": "focal", "focal_gamma": 0.5}, (0.0, 0.5)),
        ({"loss": "cross_entropy", "focal_gamma": 0.5}, (0.0, 0.0)),
    ],
    ids=str,
)
def test_the_loss_is_cross_entropy_unless_declared_otherwise(declared, expected):
    loss = hyper_loss(cases.fixed(**declared))
    assert (loss.label_smoothing, loss.focal_gamma) == expected


def test_the_loss_is_not_searched_by_default():
    hp = keras_tuner.HyperParameters()
    hyper_loss(hp)
    assert {parameter.name for parameter in hp.space} >= {"loss", "label_smoothing"}
    assert {type(p) for p in hp.space} == {type(cases.fixed(loss="x").space[0])}


OLD_CONFIG = {
    "module": "keras_tricks.hypermodels.losses",
    "class_name": "ClassificationLoss",
    "config": {
        "name": "classification_loss",
        "reduction": "sum_over_batch_size",
        "label_smoothing": 0.1,
        "focal_gamma": 2.0,
    },
    "registered_name": "keras_tricks>ClassificationLoss",
}


def test_a_loss_that_was_saved_before_it_moved_is_loaded(run_python):
    """Also where nothing but `keras_tricks` was imported."""
    loss = keras.losses.deserialize(OLD_CONFIG)
    assert (loss.label_smoothing, loss.focal_gamma) == (0.1, 2.0)
    registered = keras.saving.get_registered_name(ClassificationLoss)
    assert registered == OLD_CONFIG["registered_name"]
    printed = run_python(
        f"""
        import keras, sys
        import keras_tricks
        loss = keras.losses.deserialize({OLD_CONFIG!r})
        print(loss.label_smoothing, "keras_tuner" in sys.modules)
        """
    )
    assert printed.split() == ["0.1", "False"]


def test_the_old_place_offers_the_same_class():
    assert ClassificationLoss is keras_tricks.losses.ClassificationLoss
