"""Batch sizes: predictions by hand, and throughput of models that are slow."""

import time

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_tricks.probes import BatchSize
from keras_tricks.probes import BatchSizes
from keras_tricks.probes import probe_batch_sizes
from keras_tricks.probes import step_memory
from keras_tricks.probes.kept_model import variables_of

X = np.zeros((64, 4), "float32")
Y = np.zeros((64, 1), "float32")


def found_of(rates, spread=0.0, **others):
    sizes = [
        BatchSize(n, True, None, None, n / r, r, (r * (1 - spread), r * (1 + spread)))
        for n, r in rates.items()
    ]
    return BatchSizes(tuple(sizes), **others)


@pytest.mark.parametrize(
    ("rates", "recommended", "saturates_at"),
    [
        ({16: 100, 32: 190, 64: 300}, 64, None),
        ({16: 100, 32: 190, 64: 195, 128: 180}, 32, 32),
        # Three times 4 % are 12 %.
        ({16: 100, 32: 104, 48: 108, 64: 112}, 48, 48),
        ({16: 100, 32: 90, 64: 80}, 16, 16),
        # A dip that is made up for.
        ({16: 100, 32: 90, 64: 150}, 64, None),
    ],
)
def test_the_largest_that_raises_throughput_is_recommended(
    rates, recommended, saturates_at
):
    found = found_of(rates)
    assert (found.recommended, found.saturates_at) == (recommended, saturates_at)


def test_what_chance_may_make_is_no_gain():
    rates = {16: 100, 32: 106}
    assert found_of(rates, spread=0.01).recommended == 32
    assert found_of(rates, spread=0.2).recommended == 16


class Slow(keras.Model):
    """A step takes 2 ms and, from 16 examples on, 2 ms more for each 16; 64 fail."""

    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(1)

    def call(self, x):
        return self.dense(x)

    def train_step(self, data):
        size = len(data[0])
        if size >= 64:
            raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating")
        time.sleep(0.002 * max(1.0, size / 16))
        return super().train_step(data)


def test_throughput_is_that_of_the_steps_until_memory_is_out():
    model = Slow()
    model.compile("sgd", "mse", run_eagerly=True)
    model.fit(X[:8], Y[:8], verbose=0)
    before = [variable.numpy().tobytes() for variable in variables_of(model)]
    found = probe_batch_sizes(model, X, Y, sizes=[2, 4, 32, 64, 48], seconds=0.02)
    assert [each.size for each in found.sizes] == [2, 4, 32, 48, 64]
    assert [each.fits for each in found.sizes] == [True] * 4 + [False]
    assert (found.largest, found.sizes[-1].note) == (48, "out of memory")
    assert found.recommended >= 32
    for each in found.measured:
        least = 0.002 * max(1.0, each.size / 16)
        assert each.step_seconds >= least
        assert each.examples_per_second == pytest.approx(each.size / each.step_seconds)
    assert before == [variable.numpy().tobytes() for variable in variables_of(model)]


def wide(units=64):
    model = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(units, "relu"), keras.layers.Dense(1)]
    )
    model.compile("adam", "mse")
    return model


def test_memory_is_predicted_by_the_layers_outputs():
    """An example has 4 + 1 numbers, 64 of the hidden layer, and their gradients."""
    model = wide()
    model.optimizer.build(model.trainable_variables)
    fixed, per_example = step_memory.predicted_bytes(model, (X[:1], Y[:1]))
    numbers = 4 * 64 + 64 + 64 + 1
    # Weights and two moments of Adam's.
    assert 3 * 4 * numbers <= fixed <= 6 * 4 * numbers
    assert 4 * (64 + 5) <= per_example <= 4 * (3 * 64 + 20)


def test_loops_have_no_prediction():
    model = keras.Sequential([keras.Input((5, 4)), keras.layers.LSTM(2)])
    model.compile("sgd", "mse")
    batch = np.zeros((1, 5, 4), "float32"), np.zeros((1, 2), "float32")
    assert step_memory.predicted_bytes(model, batch) is None


def test_what_is_predicted_not_to_fit_is_not_run():
    ran = []

    class Noted(keras.Sequential):
        def fit(self, x, **kwargs):
            ran.append(int(x.element_spec[0].shape[0]))
            return super().fit(x, **kwargs)

    def build():
        model = Noted(
            [keras.Input((4,)), keras.layers.Dense(64), keras.layers.Dense(1)]
        )
        model.compile("sgd", "mse")
        return model

    fixed, per_example = step_memory.predicted_bytes(build(), (X[:1], Y[:1]))
    limit = int(fixed + 20 * per_example)
    found = probe_batch_sizes(build, X, Y, seconds=0.01, memory_limit=limit)
    assert ran == [16]
    notes = [each.note for each in found.sizes]
    assert notes == ["", "predicted not to fit", "32 does not fit"]
    assert "the largest that fits" in found.reason


DATA = {
    "dataset": lambda: tf.data.Dataset.from_tensor_slices((X, Y)).batch(5),
    "without end": lambda: tf.data.Dataset.from_tensor_slices((X, Y)).batch(7).repeat(),
    "generator": lambda: ((X[:9], Y[:9]) for _ in range(4)),
}


@pytest.mark.parametrize("name", DATA)
def test_a_stream_is_read_as_far_as_the_largest_size_goes(name):
    found = probe_batch_sizes(wide(2), DATA[name](), sizes=[16, 32], seconds=0.01)
    assert found.largest == 32
    assert [*found.table["size"]] == [16, 32]


def test_layers_that_are_never_marked_as_built_do_not_matter():
    texts = np.array(["a b", "c"] * 16)
    vectors = keras.layers.TextVectorization(output_sequence_length=4)
    vectors.adapt(texts)
    layers = [keras.layers.Embedding(9, 2), keras.layers.Flatten()]
    model = keras.Sequential([vectors, *layers, keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    assert probe_batch_sizes(model, texts, np.ones(32), seconds=0.01).largest == 32


def test_few_examples_are_one_batch():
    found = probe_batch_sizes(wide(2), X[:5], Y[:5], seconds=0.01)
    assert found.recommended == 5
    labels = [text.get_text() for text in found.plot().get_legend().get_texts()]
    assert "recommended: 5" in labels
    assert "re-tun" not in str(found)
    assert "Do not tune it for the validation score" in str(found)


def test_sizes_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="at most the number of examples, 64"):
        probe_batch_sizes(wide(2), X, Y, sizes=[16, 128])
    model = keras.Sequential([keras.Input(batch_shape=(8, 4)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="batches of any size"):
        probe_batch_sizes(model, X, Y)


def test_lists_of_inputs_and_outputs_are_those_of_fit():
    inputs = [keras.Input((4,)), keras.Input((4,))]
    joined = keras.layers.concatenate(inputs)
    outputs = [keras.layers.Dense(1)(joined), keras.layers.Dense(1)(joined)]
    model = keras.Model(inputs, outputs)
    model.compile("sgd", ["mse", "mse"], run_eagerly=True)
    found = probe_batch_sizes(model, [X, X], [Y, Y], sizes=[8], seconds=0.01)
    assert found.recommended == 8
