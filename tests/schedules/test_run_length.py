"""Schedules of a `fit` from its data; how many updates `fit` makes is the oracle."""

import functools
import inspect

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

import keras_tricks.schedules
from keras_tricks.schedules import OneCycle
from keras_tricks.schedules import WarmupPolynomialDecay
from keras_tricks.schedules import WarmupStableDecay

# Schedules with an end: the argument that says where it is.
LENGTHS = {
    WarmupPolynomialDecay: "decay_steps",
    WarmupStableDecay: "total_steps",
    OneCycle: "total_steps",
}
every_schedule = pytest.mark.parametrize("schedule", LENGTHS)

EXAMPLES, BATCH, EPOCHS = 25, 10, 4
X = np.ones((EXAMPLES, 2), "float32")
Y = np.ones((EXAMPLES, 1), "float32")


def test_every_schedule_with_an_end_is_in_the_table():
    classes = [vars(keras_tricks.schedules)[n] for n in keras_tricks.schedules.__all__]
    ended = {
        c
        for c in classes
        if isinstance(c, type)
        and {"total_steps", "decay_steps"} & set(inspect.signature(c).parameters)
    }
    assert ended == set(LENGTHS)


def updates_of_fit(data, **arguments):
    """How many updates `fit` makes."""
    x = data[0] if isinstance(data, tuple) else data
    if isinstance(x, dict):
        inputs = {name: keras.Input((2,), name=name) for name in x}
        outputs = keras.layers.Add()(list(inputs.values()))
    elif isinstance(x, list):
        inputs = [keras.Input((2,)) for _ in x]
        outputs = keras.layers.Add()(inputs)
    else:
        inputs = outputs = keras.Input((2,))
    model = keras.Model(inputs, keras.layers.Dense(1)(outputs))
    model.compile("sgd", "mse")
    model.fit(*(data if isinstance(data, tuple) else (data,)), verbose=0, **arguments)
    return int(model.optimizer.iterations)


class Batches(keras.utils.PyDataset):
    def __len__(self):
        return 3

    def __getitem__(self, index):
        rows = slice(index * BATCH, (index + 1) * BATCH)
        return X[rows], Y[rows]


def single_examples():
    return tf.data.Dataset.from_tensor_slices((X, Y[:, 0]))


def of_lengths(*lengths):
    """Single examples, sequences of numbers, whose shape is `(None,)`."""
    return tf.data.Dataset.from_tensor_slices(list(lengths)).map(
        lambda length: tf.ones([length])
    )


# What `fit` is given, and its batch size.
DATA = {
    "pair of arrays": lambda: ((X, Y), BATCH),
    "no batch size": lambda: ((X, Y), None),
    "list of inputs": lambda: (([X, X], Y), BATCH),
    "dict of inputs": lambda: (({"a": X, "b": X}, Y), BATCH),
    "frame and series": lambda: ((pd.DataFrame(X), pd.Series(Y[:, 0])), BATCH),
    "tensors": lambda: ((tf.constant(X), tf.constant(Y)), BATCH),
    "one batch of all": lambda: ((X, Y), 100),
    "dataset": lambda: (single_examples().batch(BATCH), None),
    "dataset, drop_remainder": lambda: (
        single_examples().batch(BATCH, drop_remainder=True),
        None,
    ),
    "dataset, shuffled, prefetched": lambda: (
        single_examples().shuffle(9).batch(BATCH).prefetch(2),
        None,
    ),
    "dataset of a generator": lambda: (
        tf.data.Dataset.from_generator(
            lambda: ((X[:1], Y[:1]) for _ in range(7)),
            output_signature=(tf.TensorSpec((None, 2)), tf.TensorSpec((None, 1))),
        ).apply(tf.data.experimental.assert_cardinality(7)),
        None,
    ),
    "PyDataset": lambda: (Batches(), None),
}


@functools.cache
def updates_of_kind(kind):
    data, batch_size = DATA[kind]()
    return updates_of_fit(data, batch_size=batch_size, epochs=EPOCHS)


@every_schedule
@pytest.mark.parametrize("kind", DATA)
@pytest.mark.filterwarnings("ignore::UserWarning")  # Keras's, of PyDataset.
def test_the_run_is_as_long_as_fit(schedule, kind):
    data, batch_size = DATA[kind]()
    made = schedule.from_epochs(
        0.1, num_examples=data, batch_size=batch_size, epochs=EPOCHS
    )
    assert getattr(made, LENGTHS[schedule]) == updates_of_kind(kind)


@every_schedule
def test_a_number_of_examples_is_their_arrays(schedule):
    expected = updates_of_kind("pair of arrays")
    same = [
        EXAMPLES,
        25.0,
        np.int64(EXAMPLES),
        np.array(EXAMPLES),
        tf.constant(EXAMPLES),
    ]
    for number in (*same, X, (X, None)):
        made = schedule.from_epochs(
            0.1, num_examples=number, batch_size=BATCH, epochs=EPOCHS
        )
        assert getattr(made, LENGTHS[schedule]) == expected == 12


@every_schedule
@pytest.mark.parametrize("batched", [False, True])
def test_a_batch_size_says_what_is_done_with_single_examples(schedule, batched):
    """Beside a dataset of batches it repeats what the dataset says."""
    dataset = single_examples()
    expected = updates_of_fit(dataset.batch(BATCH), epochs=EPOCHS)
    made = schedule.from_epochs(
        0.1,
        num_examples=dataset.batch(BATCH) if batched else dataset,
        batch_size=BATCH,
        epochs=EPOCHS,
    )
    assert getattr(made, LENGTHS[schedule]) == expected


class OneBatch(Batches):
    def __len__(self):
        return 1


@every_schedule
@pytest.mark.parametrize(
    ("data", "batch_size"),
    [
        (single_examples().batch(EXAMPLES), EXAMPLES),
        (single_examples().batch(100), 100),  # One batch, smaller than that.
        (single_examples().batch(20), 20),  # 20 and 5.
        (Batches(), BATCH),
        (OneBatch(), BATCH + 1),
    ],
    ids=["all", "more than all", "two batches", "PyDataset", "PyDataset, one batch"],
)
@pytest.mark.filterwarnings("ignore::UserWarning")  # Keras's, of PyDataset.
def test_a_batch_size_may_repeat_that_of_batches(schedule, data, batch_size):
    made = schedule.from_epochs(
        0.1, num_examples=data, batch_size=batch_size, epochs=EPOCHS
    )
    assert getattr(made, LENGTHS[schedule]) == updates_of_fit(data, epochs=EPOCHS)


@every_schedule
@pytest.mark.parametrize(
    "pair",
    [lambda x: (x, x[1:]), lambda x: (x, tf.zeros(2)), lambda x: (x, tf.size(x))],
    ids=["sequences", "vector", "number"],
)
def test_parts_of_different_lengths_are_single_examples(schedule, pair):
    """25 of them are 3 batches of 10."""
    dataset = of_lengths(*range(3, 3 + EXAMPLES)).map(pair)
    made = schedule.from_epochs(0.1, num_examples=dataset, batch_size=BATCH, epochs=4)
    assert getattr(made, LENGTHS[schedule]) == 12


def test_warmup_and_decay_are_shares_rounded_down():
    arguments = {"num_examples": 25, "batch_size": 10, "epochs": 4}
    decay = WarmupPolynomialDecay.from_epochs(1e-3, warmup_fraction=0.3, **arguments)
    assert decay.warmup_steps == 3  # int(12 * 0.3), as BERT rounds
    stable = WarmupStableDecay.from_epochs(1e-3, **arguments)
    assert (stable.warmup_steps, stable.decay_steps) == (1, 2)
    shortest = WarmupStableDecay.from_epochs(1e-3, num_examples=1, epochs=1)
    assert (shortest.total_steps, shortest.decay_steps) == (1, 1)
    cycle = OneCycle.from_epochs(0.1, warmup_fraction=0.25, **arguments)
    np.testing.assert_array_equal(
        cycle(np.arange(13)), OneCycle(0.1, 12, warmup_fraction=0.25)(np.arange(13))
    )


@every_schedule
def test_other_arguments_go_to_the_constructor(schedule):
    given = {
        WarmupPolynomialDecay: {"join": "shift", "end_learning_rate": 0.01},
        WarmupStableDecay: {"decay": "cosine", "end_learning_rate": 0.01},
        OneCycle: {"anneal": "linear", "three_phase": True},
    }[schedule]
    made = schedule.from_epochs(0.1, num_examples=100, epochs=2, **given)
    assert {name: getattr(made, name) for name in given} == given


class WithoutLength(keras.utils.PyDataset):
    def __getitem__(self, index):
        return X, Y


ALIKE = tf.data.Dataset.from_tensor_slices((X, X))


@every_schedule
@pytest.mark.parametrize(
    ("data", "batch_size", "error", "named"),
    [
        (0, 10, ValueError, "num_examples"),
        (2.5, 10, ValueError, "num_examples"),
        ("25", 10, TypeError, "num_examples"),
        (None, 10, TypeError, "num_examples"),
        (iter([(X, Y)]), 10, TypeError, "num_examples"),
        ([1, 2, 3], 10, TypeError, "num_examples"),
        ([], 10, TypeError, "num_examples"),
        ((X, Y[:-1]), 10, ValueError, "num_examples"),
        (X[:0], 10, ValueError, "num_examples"),
        (25, 0, ValueError, "batch_size"),
        (25, "10", TypeError, "batch_size"),
        (single_examples().batch(10).repeat(), None, ValueError, "num_examples"),
        (single_examples().filter(lambda *_: True), 10, ValueError, "num_examples"),
        (single_examples().take(0), 10, ValueError, "num_examples"),
        (single_examples(), None, ValueError, "batch_size"),
        (tf.data.Dataset.range(25), None, ValueError, "batch_size"),
        (iter(single_examples()), 10, TypeError, "num_examples"),
        # Batches of 2, or examples of 2 numbers: nothing tells.
        (ALIKE, 10, ValueError, "batch_size"),
        (ALIKE.batch(5, drop_remainder=True), 10, ValueError, "batch_size"),
        (WithoutLength(), None, ValueError, "num_examples"),
        # Batches of other sizes, or single examples of any length: nothing tells.
        (single_examples().batch(10), 20, ValueError, "batch_size"),
        (single_examples().batch(10), 5, ValueError, "batch_size"),
        (single_examples().batch(30), 20, ValueError, "batch_size"),
        (of_lengths(3, 5, 3), 2, ValueError, "batch_size"),
        (of_lengths(2, 2, 2).map(lambda x: (x, x)), 32, ValueError, "batch_size"),
        (Batches(), 5, ValueError, "batch_size"),
        (Batches(), 2 * BATCH, ValueError, "batch_size"),
    ],
    ids=lambda value: getattr(value, "__name__", type(value).__name__),
)
def test_sizes_that_are_not_known_are_refused(schedule, data, batch_size, error, named):
    with pytest.raises(error, match=rf"`{named}` must .*Received"):
        schedule.from_epochs(0.1, num_examples=data, batch_size=batch_size, epochs=2)


def test_the_lengths_that_tell_nothing_are_told():
    with pytest.raises(ValueError, match=r"have the lengths 3, 5, batch_size=2"):
        OneCycle.from_epochs(
            0.1, num_examples=of_lengths(3, 5, 3), batch_size=2, epochs=2
        )


@pytest.mark.parametrize("name", ["warmup_fraction", "decay_fraction"])
@pytest.mark.parametrize("fraction", [-0.1, 1.5, float("nan")])
def test_fractions_out_of_their_range_are_refused(name, fraction):
    with pytest.raises(ValueError, match=rf"`{name}` must be .*Received: {name}="):
        WarmupStableDecay.from_epochs(
            0.1, num_examples=100, epochs=2, **{name: fraction}
        )


@pytest.mark.parametrize("epochs", [0, -1, 1.5])
def test_epochs_must_be_whole(epochs):
    with pytest.raises(ValueError, match="`epochs` must be"):
        OneCycle.from_epochs(0.1, num_examples=100, epochs=epochs)


@pytest.mark.parametrize("batch_size", [None, 5])
def test_batches_of_an_unknown_rank_are_counted(batch_size):
    """As functions of Python's leave them, which Keras trains on."""

    def unknown(x, y):
        return tf.py_function(lambda *parts: parts, [x, y], [X.dtype, Y.dtype])

    data = tf.data.Dataset.from_tensor_slices((X, Y)).map(unknown).batch(5)
    assert data.element_spec[0].shape.rank is None
    schedule = WarmupPolynomialDecay.from_epochs(
        0.1, num_examples=data, batch_size=batch_size, epochs=2
    )
    assert schedule.decay_steps == 2 * -(-len(X) // 5)
