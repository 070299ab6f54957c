"""The private name of Keras's by which an epoch's end is told from a reset."""

from keras.src.trainers.epoch_iterator import EpochIterator

from keras_tricks.data import keras_hooks
from tests.data import test_batches


class Told:
    """Data that note whether they are set back."""

    num_batches = 1

    def __init__(self):
        self.resets = []

    def on_epoch_end(self):
        self.resets.append(keras_hooks.is_reset())


def test_a_reset_is_told_from_the_end_of_an_epoch():
    data = Told()
    iterator = object.__new__(EpochIterator)
    iterator.data_adapter = data
    iterator.reset()
    data.on_epoch_end()
    assert data.resets == [True, False]


def test_a_loop_of_ones_own_ends_an_epoch():
    made = test_batches.batches()
    made.on_epoch_end()
    assert made.epoch == 1
