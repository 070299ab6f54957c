"""Oversampling: counts by hand, and what it must not do."""

import numpy as np
import pandas as pd
import pytest

from keras_tricks.data import oversample

Y = np.repeat([0, 1, 2], [70, 29, 1])
X = np.arange(100)


@pytest.mark.parametrize(
    ("to", "expected"),
    [
        ("majority", [70, 70, 70]),
        (0.5, [70, 35, 35]),
        ({1: 40}, [70, 40, 1]),
        ({2: 80, 0: 70}, [70, 29, 80]),
    ],
)
def test_classes_have_the_counts_that_were_asked_for(to, expected):
    x, y = oversample(X, Y, to=to, seed=0)
    assert np.bincount(y).tolist() == expected
    np.testing.assert_array_equal(y, Y[x])
    # Each row of a class is there as often as another one, or once more.
    copies = np.bincount(x, minlength=100)
    assert copies.min() >= 1
    for code in range(3):
        assert np.ptp(copies[Y == code]) <= 1


def test_the_order_is_a_function_of_the_seed():
    one, other = (oversample(X, Y, seed=seed)[0] for seed in (1, 2))
    np.testing.assert_array_equal(one, oversample(X, Y, seed=1)[0])
    assert (one != other).any()


@pytest.mark.parametrize(
    ("to", "said"), [({0: 3}, "at least the 70 rows"), ({"0": 99}, "0, 1, 2")]
)
def test_counts_that_cannot_be_are_refused(to, said):
    with pytest.raises(ValueError, match=said):
        oversample(X, Y, to=to, seed=0)
    with pytest.raises(ValueError, match=r"that there are: 0, .*, 8, 9 \.\.\.\. "):
        oversample(X, X, to={"a": 3}, seed=0)


def test_rows_that_are_validated_on_are_told():
    frame = pd.DataFrame({"a": X * 1.0, "b": X})
    with pytest.warns(UserWarning, match="10 of the 10 rows of `validation_data`"):
        oversample(frame, Y, seed=0, validation_data=(frame[90:], Y[90:]))
    oversample(frame[:90], Y[:90], seed=0, validation_data=(frame[90:], Y[90:]))


def test_samplers_of_imbalanced_learn_choose_rows():
    over = pytest.importorskip("imblearn.over_sampling")
    under = pytest.importorskip("imblearn.under_sampling")
    x, y = X[:99], Y[:99]
    sampler = over.RandomOverSampler(random_state=0)
    more, labels = oversample(x, y, seed=0, sampler=sampler)
    assert np.bincount(labels).tolist() == [70, 70]
    np.testing.assert_array_equal(labels, y[more])
    _, labels = oversample(x, y, seed=0, sampler=under.NearMiss())
    assert np.bincount(labels).tolist() == [29, 29]
    with pytest.raises(ValueError, match="sample_indices_"):
        oversample(x, y, seed=0, sampler=over.SMOTE())
