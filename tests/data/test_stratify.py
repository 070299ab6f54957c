"""How rows are divided among classes and groups, counted by hand."""

import numpy as np
import pytest

from keras_tricks.data import stratify


@pytest.mark.parametrize(
    ("counts", "number", "expected"),
    [
        ([5, 5], 5, [3, 2]),  # 2.5 each: the first one.
        ([6, 3, 1], 5, [3, 1, 1]),  # 3, 1.5 and 0.5.
        ([98, 1, 1], 50, [48, 1, 1]),  # 49, 0.5 and 0.5, of which each needs 1.
        ([10, 10, 1, 1], 4, [1, 1, 1, 1]),
        ([1, 1, 1], 3, [1, 1, 1]),
        ([1, 2, 6], 8, [1, 2, 5]),  # 0.89, 1.78 and 5.33.
        ([1, 1, 7], 8, [1, 1, 6]),  # 0.89 twice and 6.22.
    ],
)
def test_shares_are_in_proportion_and_one_at_least(counts, number, expected):
    assert stratify.shares_of(np.array(counts), number).tolist() == expected


def test_groups_are_taken_by_least_squares():
    """Of 10 rows 5 are aimed at, 2.5 of either label.

    Groups have (3, 0), (0, 3), (2, 2) rows. Whichever is first for label 0, (3, 0) is
    0.25 + 6.25 off, (2, 2) 0.5: it is taken. With (3, 0), too, it would be 6.5.
    """
    labels = np.repeat([0, 1, 0, 1], [3, 3, 2, 2])
    groups = np.repeat([0, 1, 2], [3, 3, 4])
    members = labels[:, None] == np.arange(2)
    for seed in range(8):
        generator = np.random.default_rng(seed)
        found = stratify.by_groups(members, groups, 5, generator)
        assert found.tolist() == [6, 7, 8, 9]


def test_groups_come_until_one_more_is_farther_off():
    """Single rows of one label, 2 aimed at; then a group of 3 is as near as none."""
    members, groups = np.ones((6, 1), bool), np.arange(6)
    for number in range(1, 6):
        generator = np.random.default_rng(number)
        found = stratify.by_groups(members, groups, number, generator)
        assert len(found) == number
    for seed in range(8):
        generator = np.random.default_rng(seed)
        # Of groups of 2, 2 and 2 rows 3 are aimed at: 2 and 4 are as near; it stops.
        found = stratify.by_groups(members, groups // 2, 3, generator)
        assert len(found) == 2


def test_the_rarest_label_gets_a_group_though_it_is_too_large():
    """A label of one row in the largest group of 8 of 10, where 2 are aimed at."""
    members = np.zeros((10, 2), bool)
    members[:, 0] = True
    members[0, 1] = True
    groups = np.repeat([0, 1, 2], [8, 1, 1])
    found = stratify.by_groups(members, groups, 2, np.random.default_rng(0))
    assert found.tolist() == [*range(8)]


@pytest.mark.parametrize("number", [3, 4, 10, 19])
def test_as_many_rows_of_several_labels_are_chosen_as_asked_for(number):
    """Also rows without a label, and a label that no row has."""
    members = np.zeros((20, 4), bool)
    members[:8, 0] = members[6:12, 1] = members[14, 2] = True
    for seed in range(5):
        generator = np.random.default_rng(seed)
        chosen = stratify.by_members(members, number, generator)
        assert len({*chosen}) == len(chosen) == number
        assert (members[chosen].sum(axis=0)[:3] >= 1).all()


@pytest.mark.parametrize("seed", range(5))
def test_a_group_that_brings_the_counts_no_nearer_is_left(seed):
    """Three rows of each of two labels, a group each, for 1.5 of each: 1 is as near."""
    members = np.repeat(np.eye(2, dtype=bool), 3, axis=0)
    generator = np.random.default_rng(seed)
    chosen = stratify.by_groups(members, np.arange(6), 3, generator)
    assert members[chosen].sum(axis=0).tolist() == [1, 1]


def test_a_row_that_is_wanted_alike_goes_to_either_part():
    generator = np.random.default_rng(0)
    alike = np.array([1.0, 1.0]), np.array([2, 2])
    parts = [stratify._part_that_wants(*alike, generator) for _ in range(50)]
    assert set(parts) == {0, 1}
