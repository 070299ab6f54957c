"""Decks are dealt alike in any stretch, and batches drawn from them."""

import itertools

import numpy as np
import pytest

from keras_tricks.data import decks
from keras_tricks.data import draws

SEED = (3, 1)


@pytest.mark.parametrize("size", [1, 7, 512, 700, 1024, 1500])
def test_any_stretch_is_that_of_the_whole(size):
    whole = decks.dealt(SEED, size, 0, 4000)
    assert len(whole) == 4000
    for round_ in whole[: 4000 // size * size].reshape(-1, size):
        np.testing.assert_array_equal(np.sort(round_), np.arange(size))
    for start, stop in [(0, 1), (1000, 1100), (1023, 1025), (1, 3999), (2048, 2100)]:
        found = decks.dealt(SEED, size, start, stop)
        np.testing.assert_array_equal(found, whole[start:stop])
    endless = [*itertools.islice(decks.endless(SEED, size), 4000)]
    np.testing.assert_array_equal(endless, whole)
    for start, stop in [(0, 0), (5, 5), (7, 5)]:
        assert decks.dealt(SEED, size, start, stop).tolist() == []


@pytest.mark.parametrize(("size", "width"), [(3, 2), (4, 2), (5, 1), (6, 4), (7, 6)])
def test_rows_go_round_a_deck(size, width):
    """After so many rows as the size has each number came as often as the width."""
    whole = decks.rotated(SEED, size, width, 0, 6 * size)
    assert whole.shape == (6 * size, width)
    assert all(len({*row}) == width for row in whole)
    for rows in whole.reshape(6, size, width):
        assert {*np.bincount(rows.ravel())} == {width}
    for start, stop in [(0, 1), (1, 4), (size, 2 * size + 1), (4 * size - 1, 5 * size)]:
        found = decks.rotated(SEED, size, width, start, stop)
        np.testing.assert_array_equal(found, whole[start:stop])
        counted = decks.count_rotated(SEED, size, width, start)
        expected = np.bincount(whole[:start].ravel(), minlength=size)
        np.testing.assert_array_equal(counted, expected)
    assert decks.rotated(SEED, size, 0, 2, 5).shape == (3, 0)
    assert decks.rotated(SEED, size, width, 5, 5).shape == (0, width)
    assert decks.count_rotated(SEED, size, 0, 9).tolist() == [0] * size


def test_labels_that_were_shown_equally_often_come_in_an_order_of_chance():
    """Of five labels, one a row, each comes once in five places, in some order."""
    members = np.eye(5, dtype=bool)[np.arange(20) % 5]
    orders = set()
    for epoch in range(20):
        found = draws.of_several_labels(members, 0, epoch, 2, 5) % 5
        assert [sorted(row) for row in found.tolist()] == [[0, 1, 2, 3, 4]] * 2
        np.testing.assert_array_equal(found[0], found[1])
        orders.add(tuple(found[0].tolist()))
    assert len(orders) > 10


def test_the_rows_of_a_batch_are_mixed_within_it():
    rows = np.arange(40).reshape(2, 20)
    one, other = (draws.mixed(rows, 0, epoch) for epoch in (0, 1))
    assert one.dtype == np.int32
    assert (one != other).any()
    for found in (one, other):
        np.testing.assert_array_equal(np.sort(found.reshape(2, 20), axis=1), rows)
        assert (found != rows.ravel()).any()


def test_a_deck_is_shuffled_and_the_next_one_otherwise():
    first, second = decks.dealt(SEED, 9, 0, 18).reshape(2, 9).tolist()
    assert sorted(first) == sorted(second) == list(range(9))
    assert len({tuple(first), tuple(second), tuple(range(9))}) == 3
