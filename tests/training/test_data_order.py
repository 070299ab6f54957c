import numpy as np
import pytest

from keras_tricks.training.compiled.data_order import epoch_order


def test_an_epoch_shows_each_example_once():
    assert sorted(epoch_order(3, 5, 100)) == list(range(100))


def test_the_order_is_that_of_numpys_generator_for_seed_and_epoch():
    expected = np.random.default_rng([3, 5]).permutation(100)
    np.testing.assert_array_equal(epoch_order(3, 5, 100), expected)


def test_epochs_and_seeds_differ():
    orders = {
        tuple(epoch_order(seed, epoch, 50)) for seed in (0, 1) for epoch in (0, 1)
    }
    assert len(orders) == 4


def test_without_a_seed_examples_stay_in_place():
    assert epoch_order(None, 7, 4).tolist() == [0, 1, 2, 3]


def test_a_negative_seed_is_refused():
    with pytest.raises(ValueError, match="order_seed=-1"):
        epoch_order(-1, 0, 4)
