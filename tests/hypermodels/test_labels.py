"""Labels that are no class numbers end a search before anything is trained."""

import functools

import keras
import keras_tuner
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from keras_tricks import tuners
from keras_tricks.hypermodels import HyperMLP
from keras_tricks.hypermodels.base import SupervisedHyperModel
from keras_tricks.hypermodels.tasks.class_numbers import check_labels
from keras_tricks.losses import ClassificationLoss
from tests.hypermodels import cases

MLP = cases.CASES["HyperMLP"]
X, Y = MLP.data(48)  # Of three classes: 0, 1, 2, 0, 1 and so on.
NAMES = np.array(["ant", "bee", "cat"])

GOOD = {
    "int64": Y,
    "a column": Y[:, None],
    "uint8": Y.astype("uint8"),
    "bool": Y > 0,
    "whole float32": Y.astype("float32"),
    "whole float16": Y.astype("float16"),
    "a tensor": tf.constant(Y),
    "a bfloat16 tensor": tf.cast(Y, "bfloat16"),
    "a Series with an index of its own": pd.Series(Y, index=range(7, 7 + len(Y))),
    "a DataFrame": pd.DataFrame({"label": Y}),
    "one output in a list": [Y],
}
# Each with what the message says of it.
BAD = {
    "1 to 3": (Y + 1, "Subtract 1 .*Received: 3 in row 2$"),
    "-1 for a class": (np.where(Y == 2, -1, Y), "LabelEncoder.*: -1 in row 2$"),
    "fractions": (Y / 2, "LabelEncoder.*: 0.5 in row 1$"),
    "NaN": (np.where(Y == 1, np.nan, Y), "Leave out .*: nan in row 1$"),
    "a gap in a Series": (pd.Series([0, 1, 2, None] * 12), "Leave out.*nan in row 3$"),
    "infinity": (np.where(Y == 1, np.inf, Y), ": inf in row 1$"),
    "a year": (2000 + Y[:, None], ": 2000 in row 0$"),
    "what wraps around to a class": (Y + 2**32, ": 4294967296 in row 0$"),
    "one-hot": (np.eye(3)[Y], r"np.argmax\(y, axis=-1\).*shape=\(48, 3\)$"),
    "several columns": (np.stack([Y, Y], 1), r"shape=\(48, 2\)$"),
    "strings": (NAMES[Y], "StringLookup.*LabelEncoder.*: 'ant' in row 0$"),
    "objects": (NAMES.astype(object)[Y], "StringLookup.*: 'ant' in row 0$"),
    "a tensor of strings": (tf.constant(NAMES[Y]), "StringLookup.*b'ant' in row 0$"),
    "numbers as objects": (Y.astype(object), "astype.*dtype=object, 0 in row 0$"),
    "complex numbers": (Y + 0j, "astype.*dtype=complex128"),
}


def batches(x, y):
    return tf.data.Dataset.from_tensor_slices((x, y)).batch(16)


class Batches(keras.utils.PyDataset):
    def __init__(self, x, y):
        super().__init__()
        self.x, self.y = x, y
        self.taken = 0

    def __len__(self):
        return 3

    def __getitem__(self, index):
        self.taken += 1
        part = slice(16 * index, 16 * index + 16)
        return self.x[part], self.y[part]


def fit(hypermodel, *args, **kwargs):
    hp = keras_tuner.HyperParameters()
    model = hypermodel.build(hp)
    before = model.get_weights()
    try:
        hypermodel.fit(hp, model, *args, epochs=1, verbose=0, **kwargs)
    except keras_tuner.errors.FatalValueError:
        for now, then in zip(model.get_weights(), before, strict=True):
            np.testing.assert_array_equal(now, then)
        raise
    return model


@pytest.mark.usefixtures("uncompiled")
@pytest.mark.parametrize("kind", GOOD)
def test_class_numbers_of_any_type_train_as_those_of_int64(kind):
    found = weights_after(GOOD[kind])
    expected = weights_after((Y > 0).astype(int)) if kind == "bool" else of_int64()
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def weights_after(labels):
    keras.utils.set_random_seed(0)
    return fit(MLP.make(plain=True), X, labels).get_weights()


@functools.cache
def of_int64():
    return weights_after(Y)


@pytest.mark.parametrize("kind", BAD)
def test_what_is_no_class_number_is_refused_by_its_row_before_training(kind):
    labels, message = BAD[kind]
    with pytest.raises(
        ValueError, match=rf"labels in `y` must be .* 0 to 2.*{message}"
    ):
        fit(MLP.make(), X, labels)


@pytest.mark.parametrize("kind", ["1 to 3", "one-hot", "NaN", "strings"])
def test_those_of_the_validation_are_refused(kind):
    labels, message = BAD[kind]
    with pytest.raises(ValueError, match=rf"in `validation_data\[1\]` .*{message}"):
        fit(MLP.make(), X, Y, validation_data=(X, labels))
    with pytest.raises(ValueError, match="labels in batch 0 of the dataset must be"):
        fit(MLP.make(), X, Y, validation_data=batches(X, labels))


@pytest.mark.parametrize("make", [batches, Batches])
def test_those_of_a_dataset_are_refused_by_batch_and_row(make):
    labels = np.where(np.arange(48) == 37, 3, Y)
    with pytest.raises(ValueError, match=r"batch 2 of the dataset.*: 3 in row 5$"):
        fit(MLP.make(), make(X, labels))
    weights = np.ones(48)
    with_weights = tf.data.Dataset.from_tensor_slices((X, labels, weights)).batch(16)
    with pytest.raises(ValueError, match=r"batch 2 of the dataset.*: 3 in row 5$"):
        fit(MLP.make(), with_weights)


@pytest.mark.usefixtures("uncompiled")
def test_an_endless_dataset_is_read_as_far_as_an_epoch_goes():
    labels = np.where(np.arange(48) == 37, 3, Y)
    endless = batches(X, labels).repeat()
    fit(MLP.make(), endless, steps_per_epoch=2)
    with pytest.raises(ValueError, match="batch 2 of the dataset"):
        fit(MLP.make(), endless, steps_per_epoch=3)


def test_a_dataset_is_read_once_for_all_trials():
    hypermodel, data = MLP.make(), Batches(X, Y)
    hp = keras_tuner.HyperParameters()
    for _ in range(3):
        hypermodel.fit_arguments(hp, data)
    assert data.taken == 3
    hypermodel.num_classes = 2  # Now it is wrong.
    with pytest.raises(ValueError, match="since num_classes=2"):
        hypermodel.fit_arguments(hp, data)


def test_another_dataset_in_the_place_of_one_that_is_gone_is_read():
    hypermodel, hp = MLP.make(), keras_tuner.HyperParameters()
    for _ in range(20):
        hypermodel.fit_arguments(hp, Batches(X, Y))
        with pytest.raises(ValueError, match="3 in row 2"):
            hypermodel.fit_arguments(hp, Batches(X, Y + 1))


def test_an_array_that_is_written_to_is_looked_at_again():
    hypermodel, hp = MLP.make(), keras_tuner.HyperParameters()
    labels = Y.copy()
    hypermodel.fit_arguments(hp, X, labels)
    labels += 1
    with pytest.raises(ValueError, match="Subtract 1"):
        hypermodel.fit_arguments(hp, X, labels)


def test_reading_a_dataset_that_draws_leaves_what_the_training_draws():
    class Drawing(Batches):
        def __getitem__(self, index):
            np.random.uniform()
            return super().__getitem__(index)

    hypermodel, data = MLP.make(), Drawing(X, Y)
    found = []
    for _ in range(2):
        keras.utils.set_random_seed(3)
        hypermodel.fit_arguments(keras_tuner.HyperParameters(), data)
        found.append(np.random.uniform())
    assert data.taken == 3
    np.random.seed(3)
    assert found == [np.random.uniform()] * 2


@pytest.mark.usefixtures("uncompiled")
def test_labels_are_the_business_of_whoever_brings_the_loss():
    class Tagged(HyperMLP):
        def compile_arguments(self, hp, total_steps, **kwargs):
            arguments = super().compile_arguments(hp, total_steps, **kwargs)
            loss = keras.losses.CategoricalCrossentropy(from_logits=True)
            return {**arguments, "loss": loss}

    model = fit(Tagged((6,), 3, plain=True), X, np.eye(3)[Y])
    assert int(model.optimizer.iterations) == 2


@pytest.mark.usefixtures("uncompiled")
def test_a_network_of_one_s_own_may_have_several_labels_an_example():
    class Pairs(SupervisedHyperModel):
        def network(self, hp):
            inputs = keras.Input((6,))
            return keras.Model(
                inputs, self.outputs(keras.layers.Reshape((2, 3))(inputs))
            )

    pairs = np.stack([Y, Y], 1)
    model = fit(Pairs(3), X, pairs)
    assert int(model.optimizer.iterations) == 2
    with pytest.raises(ValueError, match=r"3 in row 2, column 1$"):
        fit(Pairs(3), X, pairs + np.array([0, 1]))


@pytest.mark.parametrize("arguments", [{}, {"reuse_programs": False}], ids=str)
def test_a_search_ends_with_the_first_trial_and_trains_nothing(arguments, tmp_path):
    tuner = tuners.RandomSearch(
        MLP.make(epochs=1), "val_loss", max_trials=9, directory=tmp_path, **arguments
    )
    with pytest.raises(keras_tuner.errors.FatalValueError, match="Subtract 1"):
        tuner.search(X, Y + 1, validation_split=0.25, verbose=0)
    assert len(tuner.oracle.trials) == 1
    assert not [t for t in tuner.oracle.trials.values() if t.status == "COMPLETED"]


def test_labels_of_another_length_are_left_to_keras():
    check_labels(Y[:5], 3)
    with pytest.raises(ValueError, match="cardinality"):
        fit(MLP.make(), X, Y[:5])


# The loss on its own.


@pytest.mark.parametrize("label", [3, -1, 0.5, float("nan"), float("inf"), -1e10])
@pytest.mark.parametrize("jit_compile", [False, True])
def test_a_label_that_is_none_makes_the_loss_and_its_gradients_nan(label, jit_compile):
    """And leaves the other rows as they are: log(3) and softmax - one_hot."""
    loss = ClassificationLoss(reduction="none")
    logits = tf.zeros((2, 3))

    @tf.function(jit_compile=jit_compile)
    def step(labels):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            losses = loss(labels, logits)
        return losses, tape.gradient(losses, logits)

    losses, gradients = step(tf.constant([1.0, label]))
    np.testing.assert_allclose(losses[0], np.log(3), rtol=1e-6)
    np.testing.assert_allclose(gradients[0], [1 / 3, -2 / 3, 1 / 3], rtol=1e-6)
    assert np.isnan(losses[1])
    assert np.isnan(gradients[1]).all()


def test_one_hot_labels_are_refused_by_the_loss():
    with pytest.raises(ValueError, match=r"np.argmax.*shape \(2, 3\), logits of"):
        ClassificationLoss()(np.eye(3)[[0, 1]], np.zeros((2, 3)))
