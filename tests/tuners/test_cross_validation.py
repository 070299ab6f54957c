"""Folds of the data inside a trial."""

import keras
import keras_tuner
import numpy as np
import pytest
from sklearn.model_selection import GroupKFold
from sklearn.model_selection import StratifiedKFold
from sklearn.model_selection import TimeSeriesSplit

from keras_tricks.tuners import RandomSearch
from tests.tuners import toys

X = np.arange(12.0)[:, None]
Y = np.repeat([0, 1], 6)


class Seen(keras_tuner.HyperModel):
    """Keeps what each fold was given; the score is the mean of its test part."""

    def __init__(self):
        super().__init__()
        self.folds = []

    def build(self, hp):
        hp.Float("rate", 0.0, 1.0)
        return keras.Sequential()

    def fit(self, hp, model, x, y, validation_data, **kwargs):
        self.folds.append((x[:, 0], y, validation_data[0][:, 0], validation_data[1]))
        return float(np.mean(validation_data[0]))


def search(directory, splits, x=X, y=Y, **arguments):
    hypermodel = Seen()
    tuner = RandomSearch(
        hypermodel,
        max_trials=1,
        seed=0,
        directory=directory,
        splits=splits,
        **arguments,
    )
    tuner.search(x, y, verbose=0)
    return tuner, hypermodel.folds


@pytest.mark.parametrize("splits", [StratifiedKFold(3), TimeSeriesSplit(3)], ids=repr)
def test_a_trial_is_trained_on_the_folds_of_scikit_learn(tmp_path, splits):
    _, folds = search(tmp_path, splits)
    expected = list(splits.split(X, Y))
    assert len(folds) == 3
    for (x_train, y_train, x_test, y_test), (train, test) in zip(
        folds, expected, strict=True
    ):
        np.testing.assert_array_equal(x_train, X[train, 0])
        np.testing.assert_array_equal(y_train, Y[train])
        np.testing.assert_array_equal(x_test, X[test, 0])
        np.testing.assert_array_equal(y_test, Y[test])


def test_the_record_has_each_folds_score_their_mean_and_their_deviation(tmp_path):
    tuner, folds = search(tmp_path, TimeSeriesSplit(3))
    scores = [x_test.mean() for _, _, x_test, _ in folds]
    [record] = tuner.ended_records()
    assert [execution.score for execution in record.executions] == scores
    assert record.score == pytest.approx(np.mean(scores))
    assert record.score_deviation == pytest.approx(np.std(scores, ddof=1))


def test_groups_stay_together(tmp_path):
    groups = np.arange(12) // 2
    _, folds = search(tmp_path, GroupKFold(3), groups=groups)
    for x_train, _, x_test, _ in folds:
        assert not set(groups[x_train.astype(int)]) & set(groups[x_test.astype(int)])


def test_preprocessing_is_fitted_to_the_training_part_alone(tmp_path):
    def center(x_train):
        mean = x_train.mean()
        return lambda x: x - mean

    _, folds = search(tmp_path, TimeSeriesSplit(3), preprocess=center)
    for (x_train, _, x_test, _), (train, test) in zip(
        folds, TimeSeriesSplit(3).split(X), strict=True
    ):
        assert x_train.mean() == pytest.approx(0)
        np.testing.assert_allclose(x_test, X[test, 0] - X[train].mean())


def test_a_list_of_index_pairs_serves_too(tmp_path):
    _, [(x_train, _, x_test, _)] = search(tmp_path, [([0, 1, 2], [3])])
    assert (x_train.tolist(), x_test.tolist()) == ([0, 1, 2], [3])


def test_a_real_model_is_built_anew_for_each_fold(tmp_path):
    data = toys.toy_data()
    tuner = RandomSearch(
        toys.build,
        "val_loss",
        max_trials=1,
        seed=0,
        directory=tmp_path,
        splits=StratifiedKFold(3),
    )
    tuner.search(data["x"], data["y"][:, 0], epochs=2, verbose=0)
    [record] = tuner.ended_records()
    assert len({execution.seed for execution in record.executions}) == 3
    assert [len(curve["val_loss"]) for curve in tuner.curves(record.trial_id)] == [
        2
    ] * 3


def test_validation_data_besides_are_refused(tmp_path):
    tuner = RandomSearch(Seen(), max_trials=1, directory=tmp_path, splits=[([0], [1])])
    with pytest.raises(RuntimeError, match="leave out `validation_data`"):
        tuner.search(X, Y, validation_data=(X, Y), verbose=0)


def test_what_is_no_splitter_is_refused(tmp_path):
    with pytest.raises(TypeError, match="must be a scikit-learn splitter"):
        RandomSearch(Seen(), max_trials=1, directory=tmp_path, splits=3)
