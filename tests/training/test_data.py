"""A stream of batches trains as arrays with the same batches do."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_tricks.training import train
from keras_tricks.training.compiled import vectorized_map
from keras_tricks.training.compiled.data import Data
from keras_tricks.training.packs import memory
from tests.training import sweeps

SETTINGS = (0.003, 0.01)


def build(rate):
    return sweeps.mlp(sweeps.clipped(keras.optimizers.Adam(rate)), dropout=0.3)


def batches(x, y):
    return tf.data.Dataset.from_tensor_slices((x, y)).batch(sweeps.BATCH_SIZE)


def trained(*data, build=build, **kwargs):
    return train(SETTINGS, build, *data, epochs=3, seeds=[1, 2], **kwargs)


def assert_same_bits(some, others):
    for one, other in zip(some, others, strict=True):
        assert all(map(np.array_equal, one.weights, other.weights))
        assert one.curves.keys() == other.curves.keys()
        for name, curve in other.curves.items():
            np.testing.assert_array_equal(one.curves[name], curve)


@pytest.mark.parametrize("packed", [None, 2])
def test_a_dataset_gives_the_bits_of_arrays(packed):
    training, validation = sweeps.digits()
    streamed = trained(
        batches(*training), validation_data=batches(*validation), packed=packed
    )
    kept = trained(
        *training,
        validation_data=validation,
        batch_size=sweeps.BATCH_SIZE,
        order_seed=None,
        packed=packed,
    )
    assert_same_bits(streamed, kept)


def test_large_trials_see_each_batch_of_a_dataset_together(monkeypatch):
    monkeypatch.setattr(vectorized_map, "LARGEST_VECTORIZED", 0)
    monkeypatch.setattr(memory.tf.config, "list_logical_devices", lambda kind: [])
    training, validation = sweeps.digits()
    read = []

    def note(x, y):
        read.append(len(x))
        return x, y

    noted = batches(*training).map(
        lambda x, y: tf.numpy_function(note, (x, y), (tf.float32, tf.int32))
    )
    spec = batches(*training).element_spec
    noted = noted.map(lambda *xy: tuple(map(_with_shape, xy, spec)))
    together = trained(noted, validation_data=validation, packed=2)
    num_batches = -(-sweeps.NUM_TRAINING // sweeps.BATCH_SIZE)
    assert len(read) == 3 * num_batches
    assert read[-1] == sweeps.NUM_TRAINING % sweeps.BATCH_SIZE
    alone = trained(batches(*training), validation_data=validation, packed=None)
    assert_same_bits(together, alone)


def _with_shape(tensor, spec):
    tensor.set_shape(spec.shape)
    return tensor


def test_a_dataset_of_unknown_length_is_counted():
    training, _ = sweeps.digits()
    dataset = batches(*training).filter(lambda x, y: True)
    data = Data(dataset, None, batch_size=1, order_seed=None)
    assert data.steps_per_epoch == -(-sweeps.NUM_TRAINING // sweeps.BATCH_SIZE)


class OwnStep(keras.Sequential):
    def train_step(self, data):
        return super().train_step(data)


def test_fit_takes_a_dataset_where_nothing_is_compiled_once():
    def own(rate):
        model = OwnStep([keras.Input((64,)), keras.layers.Dense(10)])
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.SGD(rate), loss)
        return model

    training, validation = sweeps.digits()
    streamed = trained(
        batches(*training), build=own, validation_data=batches(*validation)
    )
    kept = trained(
        *training,
        build=own,
        validation_data=validation,
        batch_size=sweeps.BATCH_SIZE,
        order_seed=None,
    )
    for one, other in zip(streamed, kept, strict=True):
        assert "train_step" in one.reason
        assert sweeps.largest_difference(one.weights, other.weights) < 1e-6


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda dataset: dataset.repeat(), "must end"),
        (lambda dataset: dataset.map(lambda x, y: (x, y, y, y)), "weights"),
        (lambda dataset: dataset.map(lambda x, y: x), "weights"),
    ],
)
def test_datasets_that_are_no_epochs_are_refused(change, message):
    training, _ = sweeps.digits()
    with pytest.raises(ValueError, match=message):
        trained(change(batches(*training)))


def test_labels_beside_a_dataset_are_refused():
    training, _ = sweeps.digits()
    with pytest.raises(ValueError, match="left out"):
        trained(batches(*training), training[1])
