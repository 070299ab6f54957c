"""Balanced batches: counts, decks, and the same batches for all trials of a search."""

import logging

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from keras_tricks.data import BalancedBatches
from keras_tricks.training import train
from keras_tricks.tuners import RandomSearch

GENERATOR = np.random.default_rng(0)
Y = GENERATOR.permutation(np.repeat([0, 1, 2], [80, 15, 5]))
X = GENERATOR.normal(size=(100, 4)) + Y[:, None]


def batches(**arguments):
    arguments = {"batch_size": 8, "seed": 3, **arguments}
    return BalancedBatches(X, Y, **arguments)


def test_each_batch_holds_the_classes_equally():
    """Of 8 places 3 classes have 2 each, and 2 are left: each class has 2 of 3."""
    made = batches()
    counts = np.array([np.bincount(y, minlength=3) for _, y in made])
    assert len(counts) == 13  # ceil(100 / 8)
    assert {*counts.ravel()} == {2, 3}
    np.testing.assert_array_equal(counts.sum(axis=1), 8)
    np.testing.assert_array_equal(counts[:12].sum(axis=0), 32)


def test_rows_are_dealt_to_the_last_one_over_epochs():
    """The order of an epoch is the same whether those before it were read or not."""
    made = batches()
    dealt = np.concatenate([made.rows_of(epoch) for epoch in range(6)])
    np.testing.assert_array_equal(batches().rows_of(5), dealt[-104:])
    assert (made.rows_of(0) != made.rows_of(1)).any()
    for code, size in enumerate([80, 15, 5]):
        shown = np.bincount(dealt, minlength=100)[Y == code]
        assert np.ptp(shown) <= 1, (code, size)


def test_there_may_be_more_classes_than_places():
    """Of 50 classes 20 have a place in a batch; in five batches each has two."""
    labels = np.repeat(np.arange(50), 2)
    made = BalancedBatches(np.arange(100), labels, 20, seed=0, steps_per_epoch=3)
    shown = [labels[made.rows_of(epoch)].reshape(3, 20) for epoch in range(5)]
    assert all(len({*batch}) == 20 for batch in np.concatenate(shown))
    assert {*np.bincount(np.ravel(shown))} == {6}


def test_a_dataset_without_labels_is_balanced_by_others():
    dataset = tf.data.Dataset.from_tensor_slices(X)
    made = BalancedBatches(dataset, None, 8, seed=3, labels=Y)
    assert len(made.examples) == 1
    np.testing.assert_array_equal(made.rows_of(0), batches().rows_of(0))


def test_several_labels_are_balanced_step_by_step():
    members = GENERATOR.random((200, 3)) < [0.6, 0.2, 0.05]
    made = BalancedBatches(np.arange(200), members, 20, seed=0)
    shown = np.sum([y.sum(axis=0) for _, y in made], axis=0)
    # Rows of a rare label bring others along; without balance it is 12 to 1.
    assert shown.max() < 2 * shown.min()


def test_rows_without_labels_are_a_label_of_their_own():
    """Of rows that have one label or none, all three kinds are shown equally often."""
    members = np.zeros((200, 2), int)
    members[:150, 0] = members[150:190, 1] = 1
    made = BalancedBatches(np.arange(200), members, 20, seed=0)
    kinds = [[*y.sum(axis=0), 20 - y.sum()] for _, y in made]
    assert np.ptp(np.cumsum(kinds, axis=0), axis=1).max() == 1


@pytest.mark.parametrize("dtype", ["float64", "float32", "longdouble", "int64"])
def test_a_series_is_a_column_as_in_fit(dtype):
    made = batches()
    x = BalancedBatches(pd.Series(X[:, 0].astype(dtype)), Y, 8, seed=3)[0][0]
    expected = X[made.rows_of(0)[:8], :1].astype(dtype)
    np.testing.assert_allclose(x, expected.reshape(x.shape), rtol=1e-6)
    assert x.ndim == (1 if dtype == "longdouble" else 2)


def test_weights_undo_the_shift():
    """The weighted share of each class is that of the data, by the formula."""
    made = batches(undo_shift=True, batch_size=6)
    weights, labels = (np.concatenate([b[i] for b in made]) for i in (2, 1))
    shares = np.bincount(labels, weights) / weights.sum()
    np.testing.assert_allclose(shares, [0.80, 0.15, 0.05], rtol=1e-6)
    own = batches(undo_shift=True, sample_weight=np.full(100, 2.0))
    np.testing.assert_allclose(own.examples[2], 2 * made.examples[2])


def made_model(rate=0.1):
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(rate, momentum=0.9), loss)
    return model


@pytest.fixture(scope="module")
def by_hand():
    """Mean losses of `train_on_batch` on the rows of three epochs, and the weights."""
    model, made, x = made_model(), batches(), X.astype("float32")
    losses = []
    for epoch in range(3):
        of_batches = []
        for rows in made.rows_of(epoch).reshape(-1, 8):
            model.reset_metrics()  # Older Keras goes on with the mean.
            of_batches.append(model.train_on_batch(x[rows], Y[rows]))
        losses.append(np.mean(of_batches))
    return losses, model.get_weights()


@pytest.mark.parametrize("kind", ["batches", "dataset", "workers", "epoch by epoch"])
def test_fit_sees_the_rows_of_each_epoch(kind, by_hand):
    """Also where building the model reads a batch before the first epoch."""
    model, made = made_model(), batches(workers=2 if kind == "workers" else 1)
    data = made.as_dataset() if kind == "dataset" else made
    arguments = {"shuffle": False, "verbose": 0}
    if kind == "epoch by epoch":
        losses = [model.fit(data, **arguments).history["loss"][0] for _ in range(3)]
    else:
        losses = model.fit(data, epochs=3, **arguments).history["loss"]
    np.testing.assert_allclose(losses, by_hand[0], rtol=1e-5)
    for one, other in zip(model.get_weights(), by_hand[1], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5)
    assert made.epoch == (0 if kind == "dataset" else 3)


def test_a_dataset_counts_whole_readings_alone():
    made = batches()
    dataset = made.as_dataset()
    next(iter(dataset))
    for epoch in range(2):
        x, y = map(np.concatenate, zip(*dataset, strict=True))
        np.testing.assert_array_equal(y, Y[made.rows_of(epoch)])
        np.testing.assert_allclose(x, X[made.rows_of(epoch)], rtol=1e-6)


def test_a_sweep_sees_the_rows_of_each_epoch(by_hand):
    results = train(
        [0.1, 0.01], lambda rate: made_model(rate), batches(), epochs=3, packed=2
    )
    assert [result.reason for result in results] == [None, None]
    np.testing.assert_allclose(results[0].curves["loss"], by_hand[0], rtol=1e-4)


def test_a_search_shares_programs_and_has_the_scores_of_fit(tmp_path, caplog):
    caplog.set_level(logging.INFO, logger="keras_tricks")

    def build(hp):
        return made_model(hp.Choice("rate", [0.01, 0.03, 0.1]))

    def scores(name, **arguments):
        tuner = RandomSearch(
            build,
            "val_loss",
            max_trials=3,
            seed=0,
            directory=tmp_path,
            project_name=name,
            **arguments,
        )
        data = batches(undo_shift=True)
        tuner.search(data, epochs=2, validation_data=(X, Y), verbose=0)
        return tuner.leaderboard().sort_values("trial_id")["val_loss"].to_numpy()

    shared, packed = scores("shared"), scores("packed", packed_trials=3)
    assert "Trained by `fit`" not in caplog.text
    by_fit = scores("fit", reuse_programs=False)
    np.testing.assert_allclose(shared, by_fit, rtol=1e-6)
    np.testing.assert_allclose(packed, by_fit, rtol=1e-5)


def test_what_is_no_row_is_refused():
    ragged = tf.ragged.constant([[1.0], [2.0, 3.0]])
    with pytest.raises(TypeError, match="RaggedTensor"):
        BalancedBatches(ragged, [0, 1], 2, seed=0)
    days = np.array(["2026-11-30", "2026-12-01"], "datetime64[D]")
    with pytest.raises(TypeError, match=r"of numbers or texts.*datetime64"):
        BalancedBatches(days, [0, 1], 2, seed=0)
    several = np.array([[1, 1], [0, 1]])
    with pytest.raises(ValueError, match="`undo_shift`"):
        BalancedBatches(np.zeros(2), several, 2, seed=0, undo_shift=True)
    with pytest.raises(IndexError):
        batches()[13]
