"""Subsets keep the shares of classes; what a label may look like does not matter."""

import keras
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import tensorflow as tf

from keras_tricks.data import fewer_classes
from keras_tricks.data import stratified_subset
from keras_tricks.data import stratify

# 70, 29 and 1 rows: 7, 2.9 and 0.1 of ten. Each class is there, and the remainders go
# to the second.
CODES = np.random.default_rng(0).permutation(np.repeat([0, 1, 2], [70, 29, 1]))
EXPECTED = [7, 2, 1]
X = np.arange(300, dtype="float32").reshape(100, 3)
NAMES = np.array(["a", "b", "c"])

LABELS = {
    "integers": CODES,
    "floats from 1": (CODES + 1).astype("float32"),
    "one column": CODES[:, None],
    "one-hot": np.eye(3)[CODES],
    "texts": NAMES[CODES],
    "objects": NAMES[CODES].astype(object),
    "a list": CODES.tolist(),
    "a series": pd.Series(CODES, index=np.arange(100)[::-1] * 7),
    "a category": pd.Series(pd.Categorical(NAMES[CODES])),
    "pandas's own integers": pd.Series(CODES, dtype="Int64"),
    "a frame": pd.DataFrame({"label": CODES}),
    "a tensor": tf.constant(CODES),
    "a tensor of texts": tf.constant(NAMES[CODES]),
    "one output": {"out": CODES},
}


def codes_of(y):
    y = y["out"] if isinstance(y, dict) else y
    array = np.asarray(y)
    if array.ndim == 2 and array.shape[1] > 1:
        return array.argmax(axis=1)
    _, codes = np.unique(array.ravel().astype(str), return_inverse=True)
    return codes


@pytest.mark.parametrize("kind", LABELS)
def test_classes_keep_their_shares_and_rows_their_labels(kind):
    y = LABELS[kind]
    x, part = stratified_subset(X, y, 0.1, seed=0)
    assert type(part) is type(y)
    rows = (x[:, 0] / 3).astype(int)
    np.testing.assert_array_equal(rows, np.unique(rows))  # In their order, each once.
    np.testing.assert_array_equal(codes_of(part), CODES[rows])
    assert np.bincount(CODES[rows]).tolist() == EXPECTED


@pytest.mark.parametrize(
    ("counts", "size", "expected"),
    [
        ([50, 30, 20], 11, [6, 3, 2]),  # 5.5, 3.3 and 2.2.
        ([97, 1, 1, 1], 5, [2, 1, 1, 1]),  # 4.85 and three times 0.05.
        ([4, 3, 3], 9, [3, 3, 3]),  # 3.6, 2.7 and 2.7.
    ],
)
def test_remainders_go_to_the_largest_and_each_class_is_there(counts, size, expected):
    labels = np.repeat(np.arange(len(counts)), counts)
    _, part = stratified_subset(labels, labels, size, seed=0)
    assert np.bincount(part).tolist() == expected


@pytest.mark.parametrize(
    ("x", "row"),
    [
        (pd.DataFrame(X, index=np.arange(100) + 5), lambda x: x.to_numpy()),
        ({"a": X, "b": [str(i) for i in range(100)]}, lambda x: x["a"]),
        ([X, X[:, 0]], lambda x: x[0]),
        (X.tolist(), np.asarray),
        (tf.constant(X), np.asarray),
        (scipy.sparse.coo_matrix(X), lambda x: x.toarray()),
    ],
)
def test_inputs_of_any_kind_give_the_same_rows(x, row):
    expected, _ = stratified_subset(X, CODES, 20, seed=3)
    found, _ = stratified_subset(x, CODES, 20, seed=3)
    np.testing.assert_array_equal(row(found), expected)


@pytest.mark.parametrize("batch_size", [None, 16, 100])
def test_a_dataset_gives_the_same_rows_with_their_weights(batch_size):
    weights = np.arange(100, dtype="float32")
    dataset = tf.data.Dataset.from_tensor_slices((X, np.eye(3)[CODES], weights))
    if batch_size:
        dataset = dataset.batch(batch_size)
    part, nothing = stratified_subset(dataset, None, 20, seed=3)
    assert nothing is None
    assert len(part.element_spec[0].shape) == (2 if batch_size else 1)
    if batch_size:
        assert len(next(iter(part))[0]) == min(batch_size, 20)
    whole = part if batch_size else part.batch(7)
    x, y, kept = map(np.concatenate, zip(*whole, strict=True))
    expected = stratified_subset(X, np.eye(3)[CODES], 20, seed=3, sample_weight=weights)
    for one, other in zip((x, y, kept), expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_dataset_without_labels_is_given_some():
    dataset = tf.data.Dataset.from_tensor_slices(X)
    part, _ = stratified_subset(dataset, None, 20, seed=3, labels=CODES)
    expected, _ = stratified_subset(X, CODES, 20, seed=3)
    np.testing.assert_array_equal(np.stack([*part]), expected)
    with pytest.raises(TypeError, match="`labels` be given"):
        stratified_subset(dataset, None, 20, seed=3)


def test_the_whole_is_the_whole():
    x, y = stratified_subset(X, CODES, 1.0, seed=0)
    np.testing.assert_array_equal(x, X)
    np.testing.assert_array_equal(y, CODES)


def test_groups_stay_whole():
    groups = np.arange(100) // 5
    x, y = stratified_subset(X, CODES, 0.2, seed=0, groups=groups)
    rows = (x[:, 0] / 3).astype(int)
    assert {*np.bincount(groups[rows])} == {0, 5}
    assert {*y} == {0, 1, 2}
    assert 10 <= len(rows) <= 30


@pytest.mark.parametrize(
    ("groups", "said"),
    [
        (np.arange(99), r"each of the 100 rows\. Received: shape=\(99,\)"),
        (np.array([1, "a"] * 50, dtype=object), "numbers or texts"),
        (np.zeros((100, 1)), "one group for each"),
    ],
)
def test_groups_that_are_none_are_refused(groups, said):
    with pytest.raises(ValueError, match=said):
        stratified_subset(X, CODES, 0.2, seed=0, groups=groups)


def test_whole_groups_come_as_near_to_the_number_as_they_can():
    """Groups of one row reach it; one of four rows of five is nearer to 4 than all."""
    x, y = np.arange(20), np.zeros(20, int)
    assert len(stratified_subset(x, y, 7, seed=0, groups=x)[0]) == 7
    for seed in range(5):
        rows = stratified_subset(x[:5], y[:5], 4, seed=seed, groups=[0, 0, 0, 0, 1])[0]
        assert rows.tolist() == [0, 1, 2, 3]


def test_each_of_several_labels_keeps_its_share():
    members = np.random.default_rng(0).random((200, 4)) < [0.5, 0.3, 0.1, 0.01]
    _, part = stratified_subset(np.arange(200), members, 0.25, seed=0)
    assert len(part) == 50
    assert (part.sum(0) >= 1).all()
    assert np.abs(part.sum(0) - members.sum(0) / 4).max() <= 1


@pytest.mark.parametrize(
    ("y", "size", "said"),
    [
        (CODES, 101, "at most the 100 rows"),
        (CODES, 2, "at least 3 rows, one of each class"),
        (CODES, 0.001, "which is 1 of 100 rows"),
        (np.where(CODES == 2, np.nan, CODES), 0.1, "in row"),
        (np.linspace(0, 1, 100), 0.1, "labels=numpy.digitize"),
        (np.full((100, 2), 0.5), 0.1, "argmax"),
        (np.zeros((100, 2, 2), int), 0.1, r"shape=\(100, 2, 2\)"),
        (np.zeros((100, 0), int), 0.1, r"shape=\(100, 0\)"),
        (np.array([1, "a"] * 50, dtype=object), 0.1, "of one kind"),
        ({"a": CODES, "b": CODES}, 0.1, "several outputs"),
        (CODES[:50], 0.1, "100 in x and 50 in y"),
    ],
)
def test_labels_that_are_none_are_refused(y, size, said):
    with pytest.raises(ValueError, match=said):
        stratified_subset(X, y, size, seed=0)


def test_labels_of_other_rows_are_refused():
    with pytest.raises(ValueError, match=r"each of the 100 rows\. Received: 50 "):
        stratified_subset(X, CODES, 0.1, seed=0, labels=CODES[:50])


@pytest.mark.parametrize(
    ("wanted", "places", "part"),
    [([1.0, 2.0], [9, 1], 1), ([1.0, 1.0], [3, 2], 0), ([5.0, 1.0], [0, 2], 1)],
)
def test_a_row_goes_where_it_is_wanted_most_then_where_most_are(wanted, places, part):
    """The order of iterative stratification; a part that is full takes none."""
    arrays = np.array(wanted), np.array(places)
    for seed in range(5):
        generator = np.random.default_rng(seed)
        assert stratify._part_that_wants(*arrays, generator) == part


def test_a_dataset_of_unknown_size_is_refused():
    dataset = tf.data.Dataset.from_tensor_slices((X, CODES))
    for endless in (dataset.filter(lambda x, y: True), dataset.repeat()):
        with pytest.raises(ValueError, match="of known size"):
            stratified_subset(endless, None, 0.1, seed=0)
    with pytest.raises(TypeError, match="generator"):
        stratified_subset((row for row in X), CODES, 0.1, seed=0)


def test_the_most_frequent_classes_are_left_and_numbered():
    x, y = fewer_classes(X, CODES)
    np.testing.assert_array_equal(x, X[CODES < 2])
    np.testing.assert_array_equal(y, CODES[CODES < 2])
    _, column = fewer_classes(X, LABELS["one-hot"], [2, 0])
    np.testing.assert_array_equal(column, np.eye(2)[CODES[CODES != 1] // 2])
    _, texts = fewer_classes(X, LABELS["texts"], ["a", "c"])
    assert {*texts} == {"a", "c"}


@pytest.mark.parametrize("kind", LABELS)
def test_numbered_labels_have_the_form_that_they_had(kind):
    _, left = fewer_classes(X, LABELS[kind], 2)
    assert type(left) is type(LABELS[kind])
    np.testing.assert_array_equal(codes_of(left), CODES[CODES < 2])


def test_the_classes_that_a_model_confuses_are_left(capsys):
    """A model that takes half of 5 for 2, and 1 for 0 and for 5 now and then."""
    labels = np.repeat([0, 1, 2, 5], 20)
    taken = labels.copy()
    taken[np.flatnonzero(labels == 5)[:10]] = 2
    taken[np.flatnonzero(labels == 1)[:3]] = [0, 0, 5]
    model = keras.Sequential([keras.Input((6,)), keras.layers.Identity()])
    outputs = np.eye(6, dtype="float32")[taken]
    x, y = fewer_classes(outputs, labels, model=model, relabel=False)
    assert {*y} == {2, 5}
    assert len(x) == 40
    assert not capsys.readouterr().out
    _, more = fewer_classes(outputs, labels, 3, model=model, relabel=False)
    assert {*more} == {1, 2, 5}
    right = np.eye(6, dtype="float32")[labels]
    _, first = fewer_classes(right, labels, 3, model=model, relabel=False)
    assert {*first} == {0, 1, 2}  # Nothing is confused.
    with pytest.raises(ValueError, match="a number for each class"):
        fewer_classes(outputs[:, :1], labels, model=keras.Sequential([model.layers[0]]))


@pytest.mark.parametrize("names", [["a", "b", "c"], [-1, 0, 1], [7, 8, 9]])
def test_outputs_are_those_of_the_sorted_classes_where_no_number_tells(names):
    """The model takes the last class for the first one."""
    outputs = np.eye(3, dtype="float32")[[0, 1, 0, 0, 1, 2]]
    labels = np.array(names)[[0, 1, 2, 0, 1, 2]]
    model = keras.Sequential([keras.Input((3,)), keras.layers.Identity()])
    _, left = fewer_classes(outputs, labels, model=model, relabel=False)
    assert {*left.tolist()} == {names[0], names[2]}
