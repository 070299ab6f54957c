"""What has rows, what is a batch, and which labels are told apart."""

from typing import NamedTuple

import keras
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import tensorflow as tf

from keras_tricks.data import BalancedBatches
from keras_tricks.data import fewer_classes
from keras_tricks.data import labels
from keras_tricks.data import oversample
from keras_tricks.data import rows
from keras_tricks.data import stratified_subset

X = np.arange(12.0).reshape(6, 2)
Y = np.array([0, 0, 0, 0, 1, 1])


@pytest.mark.parametrize(
    "leaf",
    [
        tf.ragged.constant([[1.0], [2.0, 3.0]]),
        tf.sparse.from_dense([[1.0, 0.0]]),
        object(),
        [1.0, 2.0],
        np.float32(3.0),
        np.array(3.0),
        np.array(["a"]),
        np.array([1j]),
        np.ones(2, np.longdouble),
        pd.Series([1, 2], dtype="Int64"),
        pd.DataFrame({"a": pd.Series([1, 2], dtype="Int64")}),
    ],
    ids=lambda leaf: type(leaf).__name__,
)
def test_what_keras_makes_no_array_of_numbers_of_is_none(leaf):
    with pytest.raises(rows.NotAnArrayError):
        rows.keras_array(leaf)


@pytest.mark.parametrize(
    ("leaf", "dtype", "shape"),
    [
        (np.ones(2), "float32", (2,)),
        (np.ones((2, 1), "float16"), "float32", (2, 1)),
        (np.ones(2, ">i4"), "int32", (2,)),
        (np.ones(2, bool), "bool", (2,)),
        (np.ones(2, "uint8"), "uint8", (2,)),
        (tf.ones(2, tf.bfloat16), "float32", (2,)),
        (pd.Series([1, 2]), "int64", (2, 1)),
        (pd.DataFrame({"a": [1.0], "b": [2]}), "float32", (1, 2)),
        (pd.DataFrame({"a": [1], "b": [2]}), "int64", (1, 2)),
    ],
)
def test_arrays_have_the_form_that_fit_gives_them(leaf, dtype, shape):
    found = rows.keras_array(leaf)
    assert (found.dtype, found.shape) == (dtype, shape)
    assert rows.keras_array(None) is None


@pytest.mark.parametrize(
    ("vector", "expected"),
    [
        (np.array([0, 1, 0]), True),
        (np.array([0.0, 1.0]), True),
        (np.array([True, False]), True),
        (np.array([1]), False),
        (np.array(1), False),
        (np.array([[0, 1]]), False),
        (np.array([0, 0]), False),
        (np.array([1, 1]), False),
        (np.array([2, -1]), False),
        (np.array(["0", "1"]), False),
    ],
)
def test_a_one_hot_label_is_a_vector_with_a_single_1(vector, expected):
    assert rows._is_one_hot(vector) is expected


@pytest.mark.parametrize(
    ("elements", "batch_size"),
    [
        ((np.ones((4, 3)), np.ones(4)), None),
        ((np.ones((4, 3)), np.eye(3)[[0, 1, 2, 0]]), None),  # As long as the features.
        ((np.ones((4, 3)), np.eye(2)[[0, 1, 1, 0]]), None),
        ((np.ones((4, 3)),), None),
        ((np.ones((4, 2)), np.ones((4, 2))), 2),  # Two examples with labels 1 and 1.
    ],
)
def test_batches_are_told_from_examples(elements, batch_size):
    dataset = tf.data.Dataset.from_tensor_slices(elements)
    found = rows.read(dataset)
    assert (found.batch_size, found.num_rows) == (batch_size, 4 * (batch_size or 1))
    batches = rows.read(dataset.batch(3))
    assert (batches.batch_size, batches.num_rows) == (3, 4)


def test_one_column_is_that_of_the_classes():
    classes = np.array([2, 0, 1])
    assert labels.one_column(None) is None
    for given in (classes, classes[:, None], np.eye(3)[classes]):
        assert labels.one_column(given).tolist() == [2, 0, 1]
    several = np.array([[1, 1], [0, 1]])
    assert labels.one_column(several) is several


@pytest.mark.parametrize(
    "names",
    [
        np.array([b"a", b"b"]),
        np.array(["2026-11-30", "2026-12-01"], "datetime64[D]"),
        np.array([False, True]),
    ],
)
def test_classes_may_be_bytes_days_and_flags(names):
    x, y = stratified_subset(X, names[Y], 3, seed=0)
    assert len(x) == 3
    assert [*y].count(names[0]) == 2
    if names.dtype.kind == "S":
        assert len(fewer_classes(X, names[Y], ["a", b"b"])[0]) == 6


@pytest.mark.parametrize(
    ("size", "number"), [(2, 2), (0.34, 2), (0.4, 2), (0.42, 3), (1.0, 6), (6, 6)]
)
def test_a_size_is_a_count_or_a_share(size, number):
    assert len(stratified_subset(X, Y, size, seed=0)[0]) == number
    assert len(stratified_subset(X, 0 * Y, 1, seed=0)[0]) == 1
    assert len(stratified_subset(X, 0 * Y, 0.01, seed=0)[0]) == 1


@pytest.mark.parametrize("size", [0, -1, 0.0, -0.5, 1.5, 7, np.nan, "2", None, True])
def test_other_sizes_are_refused(size):
    said = "at most the 6 rows" if size == 7 else "a( whole)? number of rows"
    with pytest.raises((TypeError, ValueError), match=f"`size` must be {said}"):
        stratified_subset(X, 0 * Y, size, seed=0)


@pytest.mark.parametrize(
    "held_out", [(X,), (X, Y, None, None), X[:2], "xy", np.zeros((3, 2))]
)
def test_validation_data_are_two_or_three_parts(held_out):
    with pytest.raises(TypeError, match="`validation_data` must be"):
        oversample(X, Y, seed=0, validation_data=held_out)


@pytest.mark.parametrize(
    ("x", "held_out"),
    [
        (X, X.astype("float32")),
        (X.astype(int), X.astype("int8")),
        (scipy.sparse.csr_matrix(X), X),
        (np.array([list("ab")] * 6), np.array([list("ab")] * 6)),
        ([X, X[:, 0]], [X, X[:, 0]]),
    ],
)
def test_rows_are_known_again_by_their_values(x, held_out):
    for data in ((held_out, Y), (held_out, Y, np.ones(6))):
        with pytest.warns(UserWarning, match="6 of the 6 rows"):
            oversample(x, Y, seed=0, validation_data=data)


def test_rows_of_which_a_part_differs_are_others(recwarn):
    held_out = [X, X[:, 0] + 1]
    oversample([X, X[:, 0]], Y, seed=0, validation_data=(held_out, Y))
    oversample(X, Y, seed=0, validation_data=(X[:, ::-1], Y))
    assert not [one for one in recwarn if one.category is UserWarning]


def test_batches_are_counted_from_either_end():
    made = BalancedBatches(X, Y, 2, seed=0, steps_per_epoch=4)
    assert len(made) == made.num_batches == 4
    chosen = made.rows_of(0).reshape(4, 2)
    for index in range(-4, 4):
        np.testing.assert_array_equal(made[index][0], X[chosen[index]])
    for index in (-5, 4):
        with pytest.raises(IndexError):
            made[index]
    assert len(BalancedBatches(X, Y, 4, seed=0)) == 2
    assert (
        BalancedBatches(X, Y, 4, seed=None).seed
        != BalancedBatches(X, Y, 4, seed=None).seed
    )


def test_weights_of_several_axes_are_multiplied():
    """Of 2 classes of 4 and 2 of 6 rows: 2 * 4 / 6 and 2 * 2 / 6."""
    own = np.arange(12.0).reshape(6, 2)
    shift = np.array([4 / 3, 2 / 3])[Y]
    made = BalancedBatches(X, Y, 2, seed=0, sample_weight=own, undo_shift=True)
    np.testing.assert_allclose(made.examples[2], own * shift[:, None])
    made = BalancedBatches(X, Y, 2, seed=0, undo_shift=True)
    np.testing.assert_allclose(made.examples[2], shift)
    assert made.examples[2].dtype == keras.config.floatx()
    with pytest.raises(ValueError, match="where there is no `y`"):
        BalancedBatches(X, None, 2, seed=0, labels=Y, undo_shift=True)


class Pair(NamedTuple):
    """A nest with names."""

    one: np.ndarray
    other: list


def test_rows_of_a_nest_have_the_types_of_the_whole():
    masked = np.ma.masked_greater(X, 3.0)
    nest = [(X, X), Pair(X, [X]), {"a": masked}]
    one, pair, named = rows.take(nest, np.array([5, 0]))
    assert type(one) is tuple
    assert type(pair) is Pair
    assert type(pair.other) is list
    for array in (*one, pair.one, *pair.other):
        np.testing.assert_array_equal(array, X[[5, 0]])
    assert named["a"].mask.tolist() == [[True, True], [False, False]]
    assert type(rows.take([X, X], np.array([1]))) is list
    assert rows.take((1, 2, 3), np.array([2, 0])) == (3, 1)
    assert rows.take(None, np.array([0])) is None


def test_columns_of_a_frame_become_one_type():
    """Flags beside numbers would be an array of objects, which is none of numbers."""
    for dtype in ("float64", "float16"):
        numbers = np.arange(3.0).astype(dtype)
        frame = pd.DataFrame({"a": numbers, "b": [True, False, True]})
        array = rows._as_table(frame)
        assert array.dtype == "float32"
        assert array.tolist() == [[0, 1], [1, 0], [2, 1]]


def test_rows_can_be_taken_of_arrays_and_not_of_sparse_tensors():
    assert rows.has_rows({"a": X, "b": [Y, None]})
    assert not rows.has_rows(tf.sparse.from_dense(X))
    assert not rows.has_rows([X, tf.sparse.from_dense(X)])
    assert not rows.has_rows(None)


def test_examples_of_several_shapes_are_refused():
    spec = tf.TensorSpec((4, None), "float32")
    dataset = tf.data.Dataset.from_generator(
        lambda: (np.zeros((4, n), "float32") for n in (2, 3)), output_signature=spec
    ).apply(tf.data.experimental.assert_cardinality(2))
    with pytest.raises(ValueError, match="have one shape"):
        rows.read(dataset)


def test_rows_that_differ_behind_a_column_of_texts_are_others(recwarn):
    texts = np.array(["a"] * 6)
    oversample(
        {"a": texts, "b": X}, Y, seed=0, validation_data=({"a": texts, "b": X + 9}, Y)
    )
    assert not [one for one in recwarn if one.category is UserWarning]


def test_a_class_without_rows_needs_none():
    names = pd.Series(pd.Categorical(["a", "b"] * 3, categories=["a", "b", "unused"]))
    assert {*stratified_subset(X, names, 2, seed=0)[1]} == {"a", "b"}


def test_a_label_alone_is_none_of_rows():
    with pytest.raises(TypeError, match="`labels` must be an array of labels"):
        stratified_subset(X, Y, 2, seed=0, labels=np.array(1))


def test_longer_floats_become_those_of_keras():
    """Keras knows none of more than 64 bits."""
    batches = BalancedBatches(np.ones((6, 2), np.longdouble), Y, 2, seed=0)
    assert batches[0][0].dtype == "float32"
    numbers = pd.Series([1, 2, None, 4, 5, 6], dtype="Int64")
    assert stratified_subset(numbers, Y, 6, seed=0)[0].dtype == "Int64"


@pytest.mark.parametrize("shape", [(6,), (6, 1)])
def test_chosen_classes_have_the_axes_that_labels_had(shape):
    labels = np.array([0, 1, 2, 2, 1, 0]).reshape(shape)
    kept = fewer_classes(X, labels, [0, 2])[1]
    assert kept.shape == (4, *shape[1:])
    assert kept.ravel().tolist() == [0, 1, 1, 0]
