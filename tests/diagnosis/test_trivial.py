"""What constant predictions reach, held against Keras and against other constants."""

import keras
import numpy as np
import pytest

from keras_tricks.diagnosis import trivial_score

RANDOM = np.random.default_rng(0)
CLASSES = RANDOM.choice(4, 200, p=[0.4, 0.3, 0.2, 0.1])
ONE_HOT = np.eye(4)[CLASSES]
LABELS = (RANDOM.random((200, 3)) < [0.1, 0.5, 0.8]).astype(float)
TARGETS = RANDOM.gamma(2.0, size=(200, 2))


def mean(loss, y, prediction):
    """Keras's loss of a prediction that is the same for all rows."""
    rows = np.broadcast_to(prediction, (len(y), np.size(prediction)))
    return float(np.mean(loss(y, rows)))


@pytest.mark.parametrize(
    ("name", "y", "best"),
    [
        ("sparse_categorical_crossentropy", CLASSES, np.bincount(CLASSES) / 200),
        (
            "sparse_categorical_crossentropy",
            CLASSES[:, None],
            np.bincount(CLASSES) / 200,
        ),
        ("categorical_crossentropy", ONE_HOT, np.bincount(CLASSES) / 200),
        ("binary_crossentropy", LABELS, LABELS.mean(axis=0)),
        ("mean_squared_error", TARGETS, TARGETS.mean(axis=0)),
        ("mean_absolute_error", TARGETS, np.median(TARGETS, axis=0)),
    ],
)
def test_it_is_the_loss_of_the_best_constant(name, y, best):
    loss = getattr(keras.losses, name)
    score = trivial_score(y, name)
    assert score == pytest.approx(mean(loss, y, best), rel=1e-5)
    for _ in range(50):
        other = np.abs(best + RANDOM.normal(0.0, 0.05, np.shape(best)))
        if name.endswith("crossentropy"):
            other = np.clip(other, 0.01, 0.99)
        if "categorical" in name:
            other = other / other.sum()
        assert mean(loss, y, other) >= score - 1e-6


def test_accuracies_are_those_of_the_most_frequent():
    assert trivial_score([0, 0, 0, 1], "accuracy") == 0.75
    assert trivial_score(np.eye(2)[[0, 0, 0, 1]], "categorical_accuracy") == 0.75
    labels = [[0, 1], [0, 1], [1, 1], [0, 0]]
    assert trivial_score(labels, "binary_accuracy") == 0.75
    assert trivial_score([7, 7, 9], "sparse_categorical_accuracy") == pytest.approx(
        2 / 3
    )


def test_of_soft_labels_the_largest_is_the_class():
    soft = [[0.1, 0.9], [0.9, 0.1], [0.1, 0.9]]
    assert trivial_score(soft, "categorical_accuracy") == pytest.approx(2 / 3)


@pytest.mark.parametrize("shape", [(4,), (4, 1)])
def test_one_output_may_have_an_axis(shape):
    """Of 0, 1, 1 and 4 the mean is 1.5 and the median 1."""
    y = np.reshape([0.0, 1.0, 1.0, 4.0], shape)
    assert trivial_score(y, "mse") == pytest.approx((2.25 + 0.25 + 0.25 + 6.25) / 4)
    assert trivial_score(y, "mae") == pytest.approx((1 + 0 + 0 + 3) / 4)
    ones = np.minimum(y, 1)
    entropy = -0.25 * np.log(0.25) - 0.75 * np.log(0.75)
    assert trivial_score(ones, "binary_accuracy") == 0.75
    assert trivial_score(ones, "binary_crossentropy") == pytest.approx(entropy)
    assert trivial_score(ones, "accuracy") == 0.75


def test_names_of_one_metric_agree():
    squared = trivial_score(TARGETS, "mean_squared_error")
    assert trivial_score(TARGETS, "mse") == squared
    assert trivial_score(TARGETS, "rmse") == pytest.approx(squared**0.5)
    assert trivial_score([5.0] * 3, "mse") == 0.0


@pytest.mark.parametrize(
    ("y", "metric", "message"),
    [
        ([0, 1], "hinge", "`metric` must be one of"),
        ([np.array([0, 1]), np.array([1.5, 2.0])], "mse", "one array, of one output"),
        (["a", "b"], "accuracy", "`y` must be an array of numbers"),
        ([], "mse", "at least one"),
        ([0.0, float("nan")], "mse", "finite"),
        ([0.5, 1.0], "accuracy", "whole class numbers"),
        ([-1, 1], "accuracy", "whole class numbers"),
        ([[1.0, 1.0]], "categorical_crossentropy", "one-hot rows"),
        ([0, 2], "binary_crossentropy", "zeros and ones"),
        ([0, 1.1], "binary_accuracy", "zeros and ones"),
        ([0, -0.5], "binary_accuracy", "zeros and ones"),
        ([[0, 1], [0.5, 0.4]], "accuracy", "one-hot rows"),
        ([[0, 1], [1.5, -0.5]], "accuracy", "one-hot rows"),
        ([[0], [0.5]], "accuracy", "whole class numbers"),
        (3.0, "mse", r"shape \(n,\) or \(n, k\)"),
        (np.zeros((3, 0)), "mse", "at least one"),
        (np.zeros((2, 2, 2)), "mse", r"shape \(n,\) or \(n, k\)"),
    ],
)
def test_what_does_not_fit_is_refused(y, metric, message):
    with pytest.raises((TypeError, ValueError), match=message):
        trivial_score(y, metric)
