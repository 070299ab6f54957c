"""What counts as labels and as probabilities, at the edge of either."""

import keras
import numpy as np
import pytest

from keras_tricks.diagnosis import predictions


@pytest.mark.parametrize("total", [0.981, 1.0, 1.019])
def test_rows_that_sum_to_1_within_the_rounding_of_float16_are_probabilities(total):
    rows = total * np.array([[0.9, 0.1], [0.3, 0.7]])
    np.testing.assert_allclose(
        predictions.as_probabilities(rows), [[0.9, 0.1], [0.3, 0.7]]
    )


@pytest.mark.parametrize(
    "rows",
    [
        [[0.5, 0.5], [0.5, 0.479]],
        [[0.5, 0.5], [0.521, 0.5]],
        [[0.0, 1.0], [-0.1, 1.1]],
        [[0.0, 1.0], [1.01, -0.005]],
        [[800.0, 0.0], [0.0, 0.0]],
    ],
)
def test_others_are_logits(rows):
    """By the logarithm of the quotient of two probabilities."""
    found = predictions.as_probabilities(np.array(rows))
    expected = 1.0 / (1.0 + np.exp(np.diff(rows, axis=1)[:, 0]))
    np.testing.assert_allclose(found[:, 0], expected)
    np.testing.assert_allclose(found.sum(axis=1), 1.0)


@pytest.mark.parametrize("shape", [(3,), (3, 1)])
@pytest.mark.parametrize(
    ("outputs", "expected"),
    [
        ([0.0, 0.25, 1.0], [0.0, 0.25, 1.0]),
        ([0.0, -1.0, 1.0], [0.5, 1 / (1 + np.e), np.e / (1 + np.e)]),
        ([0.0, 0.0, 1.5], [0.5, 0.5, 1 / (1 + np.exp(-1.5))]),
    ],
)
def test_one_output_is_that_of_class_1(outputs, expected, shape):
    found = predictions.as_probabilities(np.reshape(outputs, shape))
    np.testing.assert_allclose(found[:, 1], expected)
    np.testing.assert_allclose(found.sum(axis=1), 1.0)


def test_the_first_row_that_is_not_finite_is_told():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Identity()])
    outputs = np.ones((5, 2))
    outputs[2, 1], outputs[4, 0] = np.nan, np.inf
    with pytest.raises(ValueError, match=r"predicts \[1.0, nan\] for row 2"):
        predictions.predicted(model, outputs, None)


def test_predictions_of_several_axes_are_none_of_classes():
    model = keras.Sequential([keras.Input((2, 2)), keras.layers.Identity()])
    with pytest.raises(ValueError, match=r"one number a class.*\(3, 2, 2\)"):
        predictions.predicted(model, np.ones((3, 2, 2)), None)


@pytest.mark.parametrize(
    ("y", "expected"),
    [
        ([[0, 1], [1, 0]], [1, 0]),
        ([[True, False], [False, True]], [0, 1]),
        (np.array([[2], [0]], np.uint8), [2, 0]),
        ([0.0, 3.0], [0, 3]),
    ],
)
def test_class_numbers_and_one_hot_rows_are_labels(y, expected):
    assert predictions.label_numbers(y).tolist() == expected


@pytest.mark.parametrize(
    ("y", "match"),
    [
        ([[1, 0], [1, 1], [0, 0]], r"row 1 with \[1, 1\]"),
        ([[1, 0], [0, 1], [0, 0]], r"row 2 with \[0, 0\]"),
        ([[1, 0], [2, -1]], r"row 1 with \[2, -1\]"),
        ([0, 0.5, -1], "0.5 in row 1"),
        ([0, 1, np.inf], "inf in row 2"),
        (np.zeros((2, 1, 1)), "Received: y="),
        (3, "Received: y="),
        ([1j, 0], "Received: y="),
    ],
)
def test_what_is_no_label_is_told_with_its_row(y, match):
    with pytest.raises(ValueError, match=match):
        predictions.label_numbers(y)


def test_rows_of_nests_are_those_of_each_part():
    array = np.arange(6).reshape(3, 2)
    rows = np.array([2, 0])
    nest = {"a": array, "b": [array[:, 0], (array,)]}
    found = predictions.rows_of(nest, rows)
    np.testing.assert_array_equal(found["a"], [[4, 5], [0, 1]])
    np.testing.assert_array_equal(found["b"][0], [4, 0])
    np.testing.assert_array_equal(found["b"][1][0], [[4, 5], [0, 1]])
    assert isinstance(found["b"][1], tuple)
    assert predictions.rows_of([7, 8, 9], rows).tolist() == [9, 7]
    assert predictions.rows_of([], np.array([], int)).tolist() == []
