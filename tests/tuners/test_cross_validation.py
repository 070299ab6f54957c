"""Folds of the data inside a trial."""

import keras
import keras_tuner
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import tensorflow as tf
from sklearn.model_selection import GroupKFold
from sklearn.model_selection import KFold
from sklearn.model_selection import ShuffleSplit
from sklearn.model_selection import StratifiedKFold
from sklearn.model_selection import TimeSeriesSplit

from keras_tricks._fit_call import FitCall
from keras_tricks.tuners import RandomSearch
from keras_tricks.tuners.trials import cross_validation
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
    [record] = tuner._ended_records()
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
    [record] = tuner._ended_records()
    assert len({execution.seed for execution in record.executions}) == 3
    assert [len(curve["val_loss"]) for curve in tuner.curves(record.trial_id)] == [
        2
    ] * 3


def test_validation_data_besides_are_refused(tmp_path):
    tuner = RandomSearch(Seen(), max_trials=1, directory=tmp_path, splits=[([0], [1])])
    with pytest.raises(ValueError, match="leave out `validation_data`"):
        tuner.search(X, Y, validation_data=(X, Y), verbose=0)
    assert not list(tmp_path.glob("*/trial_*"))


def test_what_is_no_splitter_is_refused(tmp_path):
    with pytest.raises(TypeError, match="must be a scikit-learn splitter"):
        RandomSearch(Seen(), max_trials=1, directory=tmp_path, splits=3.0)


# A number of folds, weights, and data of other kinds.

LABELS = np.repeat([0, 1, 2], 4)
WEIGHTS = np.linspace(0.1, 1.2, 12)


def call_of(*args, **kwargs):
    return FitCall.of(args, kwargs)


@pytest.mark.parametrize(
    "y",
    [
        LABELS,
        LABELS[:, None].astype("float32"),
        np.eye(3)[LABELS],
        pd.Series(LABELS),
        tf.constant(LABELS),
        np.array(["a", "b", "c"])[LABELS],
        [LABELS],
    ],
    ids=lambda y: type(y).__name__,
)
def test_a_number_of_folds_has_each_class_in_each(y):
    for seed in range(3):
        for train, test in cross_validation.check(4, call_of(X, y), seed=seed):
            assert np.bincount(LABELS[test]).tolist() == [1, 1, 1]
            assert sorted([*train, *test]) == list(range(12))


@pytest.mark.parametrize(
    "y",
    [
        np.linspace(0.0, 1.0, 12),
        np.arange(1980, 1992),  # Whole numbers, but no classes.
        np.linspace(0.0, 1.0, 24).reshape(12, 2),
        [LABELS, LABELS],
        None,
        np.array([0.0, np.nan] * 6),
    ],
)
def test_a_number_of_folds_without_classes_is_that_of_kfold(y):
    """KFold's sizes; which examples, the seed tells."""
    found = [cross_validation.check(5, call_of(X, y), seed=seed) for seed in (0, 0, 1)]
    for folds in found:
        assert [len(test) for _, test in folds] == [3, 3, 2, 2, 2]
        assert sorted(np.concatenate([test for _, test in folds])) == list(range(12))
    tests = [np.concatenate([test for _, test in folds]).tolist() for folds in found]
    assert tests[0] == tests[1] != tests[2]
    assert tests[0] != list(range(12))


def test_a_splitter_without_a_seed_draws_by_that_of_the_search(tmp_path):
    """So that trials, and both ways to train them, are compared on the same folds."""
    splitter = ShuffleSplit(2, test_size=0.25)
    hypermodel = Seen()
    tuner = RandomSearch(
        hypermodel, max_trials=3, seed=0, directory=tmp_path, splits=splitter
    )
    tuner.search(X, Y, verbose=0)
    tests = [fold[2].tolist() for fold in hypermodel.folds]
    assert tests[:2] == tests[2:4] == tests[4:]
    assert tests[0] != tests[1]
    assert tuner.options.splits is splitter


def test_weights_are_cut_with_the_folds_also_for_the_validation():
    folds = cross_validation.folds(
        [([0, 1, 2], [3, 4])], (X, Y), {"sample_weight": WEIGHTS, "class_weight": {}}
    )
    [((x, y), kwargs)] = folds
    assert x[:, 0].tolist() == [0, 1, 2]
    assert len(y) == 3
    assert kwargs["sample_weight"].tolist() == WEIGHTS[:3].tolist()
    assert kwargs["class_weight"] == {}
    x, y, weights = kwargs["validation_data"]
    assert (x[:, 0].tolist(), len(y)) == ([3, 4], 2)
    assert weights.tolist() == WEIGHTS[3:5].tolist()


FRAME = pd.DataFrame({"a": np.arange(12.0)}, index=range(12, 0, -1))


@pytest.mark.parametrize(
    ("x", "read"),
    [
        ([X, -X], lambda x: x[0][:, 0]),
        ((X, -X), lambda x: -x[1][:, 0]),
        ({"p": {"q": X}}, lambda x: x["p"]["q"][:, 0]),
        (FRAME, lambda x: x["a"].to_numpy()),
        (FRAME["a"], lambda x: x.to_numpy()),
        (tf.constant(X), lambda x: x.numpy()[:, 0]),
        (tf.ragged.constant([[v] for v in range(12)]), lambda x: x.to_list()),
        (scipy.sparse.coo_matrix(X), lambda x: x.toarray()[:, 0]),
        (X.astype(str), lambda x: x[:, 0].astype(float)),
    ],
    ids=lambda x: type(x).__name__,
)
@pytest.mark.parametrize(
    "fold", [([5, 0, 7], [1, 2]), (np.arange(12) < 3, np.arange(12) > 9)], ids=str
)
def test_rows_are_taken_of_whatever_has_some(x, read, fold):
    [((x_train, _), kwargs)] = cross_validation.folds([fold], (x, Y), {})
    parts = x_train, kwargs["validation_data"][0]
    for found, indices in zip(parts, fold, strict=True):
        expected = np.arange(12.0)[np.asarray(indices)]
        assert type(found) is type(x) or scipy.sparse.issparse(x) or tf.is_tensor(x)
        np.testing.assert_array_equal(np.ravel(read(found)), expected)


def test_data_by_name_stay_by_name():
    [(args, kwargs)] = cross_validation.folds([([0], [1])], (), {"x": X, "y": Y})
    assert args == ()
    assert kwargs["x"].tolist() == [[0.0]]
    assert kwargs["validation_data"][0].tolist() == [[1.0]]


def test_data_without_labels_have_validation_data_without_labels():
    [(_, kwargs)] = cross_validation.folds([([0], [1])], (X,), {})
    assert [part.tolist() for part in kwargs["validation_data"]] == [[[1.0]]]


@pytest.mark.parametrize("reuse_programs", [False, True])
def test_a_model_with_weights_is_trained_on_each_fold_as_by_fit(
    reuse_programs, tmp_path
):
    def build(hp):
        hp.Float("unused", 0.0, 1.0)
        inputs = [keras.Input((1,)), keras.Input((1,))]
        hidden = keras.layers.concatenate(inputs)
        outputs = keras.layers.Dense(1, kernel_initializer="ones")(hidden)
        model = keras.Model(inputs, outputs)
        model.compile(keras.optimizers.SGD(0.001), "mse")
        return model

    splits = [([0, 2, 4, 6], [1, 3]), ([1, 3, 5, 7, 9], [0, 2])]
    wanted = []
    for train, test in splits:
        history = build(keras_tuner.HyperParameters()).fit(
            [X[train], X[train] ** 2],
            Y[train],
            sample_weight=WEIGHTS[train],
            validation_data=([X[test], X[test] ** 2], Y[test], WEIGHTS[test]),
            epochs=2,
            verbose=0,
        )
        wanted.append(history.history["val_loss"])
    tuner = RandomSearch(
        build,
        "val_loss",
        max_trials=1,
        directory=tmp_path,
        splits=splits,
        reuse_programs=reuse_programs,
    )
    x = [X, X**2]
    tuner.search(x, Y, sample_weight=WEIGHTS, epochs=2, verbose=0)
    found = [curves["val_loss"] for curves in tuner.curves("0")]
    np.testing.assert_allclose(found, wanted, rtol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"validation_data": (X, Y)}, ValueError, "leave out `validation_data`"),
        ({"validation_split": 0.5}, ValueError, "leave out `validation_split`"),
        ({"y": Y[:5]}, ValueError, "as many rows in all arrays. Received: 12 in x"),
        ({"sample_weight": Y[:5]}, ValueError, "12 in x and 5 in sample_weight"),
        ({"x": [[1.0], [2.0]]}, TypeError, "needs arrays.*Received: x of type list"),
        ({"y": Y.tolist()}, TypeError, "Received: y of type list"),
        ({"x": tf.data.Dataset.range(3), "y": None}, TypeError, "RangeDataset"),
        ({"x": iter([X]), "y": None}, TypeError, "Received: x of type list_iterator"),
        ({"x": None}, TypeError, "Received: x of type NoneType"),
    ],
)
def test_what_has_no_folds_is_refused_before_the_first_trial(
    arguments, error, message, tmp_path
):
    tuner = RandomSearch(Seen(), max_trials=1, directory=tmp_path, splits=KFold(3))
    with pytest.raises(error, match=message):
        tuner.search(**{"x": X, "y": Y, "verbose": 0, **arguments})
    assert not list(tmp_path.glob("*/trial_*"))


@pytest.mark.parametrize(
    ("splits", "groups", "message"),
    [
        (GroupKFold(3), None, "`splits=GroupKFold` needs the tuner's `groups`"),
        (KFold(13), None, "n_splits=13 greater than the number of samples"),
        (13, None, "n_splits=13 greater than the number of samples"),
        (GroupKFold(2), np.arange(5), "as many as the examples, 12. Received: 5"),
        ([], None, "at least one fold"),
        ([([0, 1], [12])], None, "indices below 12"),
        ([([0, 1], [])], None, "none of them empty"),
        ([([0.5], [1])], None, "indices below 12"),
        ([[0, 1, 2]], None, r"pairs \(train, test\)"),
        ([0, 1], None, r"pairs \(train, test\)"),
    ],
)
def test_folds_that_the_data_do_not_have_are_refused_before_the_first_trial(
    splits, groups, message, tmp_path
):
    tuner = RandomSearch(
        Seen(), max_trials=1, directory=tmp_path, splits=splits, groups=groups
    )
    with pytest.raises(ValueError, match=message):
        tuner.search(X, Y, verbose=0)
    assert not list(tmp_path.glob("*/trial_*"))


@pytest.mark.parametrize(
    ("splits", "groups", "error", "message"),
    [
        (1, None, ValueError, "at least 2 folds"),
        (True, None, TypeError, "must be a scikit-learn splitter"),
        (KFold(3).split(X), None, TypeError, "must be a scikit-learn splitter"),
        (3, np.arange(12), ValueError, r"such as GroupKFold\(3\)"),
        ("3", None, TypeError, "number of folds.*Received: splits='3'"),
        (b"x", None, TypeError, "number of folds.*Received: splits=b'x'"),
        (None, np.arange(12), ValueError, "`groups` needs `splits`"),
    ],
)
def test_the_constructor_refuses_what_makes_no_folds(
    splits, groups, error, message, tmp_path
):
    with pytest.raises(error, match=message):
        RandomSearch(Seen(), directory=tmp_path, splits=splits, groups=groups)


def test_preprocessing_without_folds_is_refused(tmp_path):
    with pytest.raises(ValueError, match="`preprocess` needs `splits`"):
        RandomSearch(Seen(), directory=tmp_path, preprocess=lambda x: x)


def test_stratification_by_several_outputs_is_refused(tmp_path):
    tuner = RandomSearch(Seen(), directory=tmp_path, splits=StratifiedKFold(3))
    message = "StratifiedKFold` needs one column of labels.* dict with 2 outputs"
    with pytest.raises(ValueError, match=message):
        tuner.search(X, {"a": Y, "b": Y}, verbose=0)


def test_a_function_that_stands_for_data_is_cut_too(tmp_path):
    _, folds = search(tmp_path, TimeSeriesSplit(3), x=lambda: X)
    assert len(folds) == 3
    assert folds[0][0].tolist() == [0.0, 1.0, 2.0]


def test_a_validation_split_of_zero_is_none(tmp_path):
    tuner = RandomSearch(Seen(), max_trials=1, directory=tmp_path, splits=KFold(3))
    tuner.search(X, Y, validation_split=0.0, verbose=0)
    assert len(tuner._ended_records()) == 1


def test_reruns_are_scored_by_the_mean_of_the_folds_of_the_search(tmp_path):
    """The score of a fold is the mean of its test part, whatever the seed."""
    hypermodel = Seen()
    tuner = RandomSearch(hypermodel, max_trials=1, seed=0, directory=tmp_path, splits=3)
    tuner.search(X, Y, verbose=0)
    [record] = tuner._ended_records()
    [reruns] = tuner.confirm(top=1, reruns=2).reruns
    assert reruns.scores == pytest.approx((record.score, record.score))
    assert reruns.failed == 0
    in_search, again = hypermodel.folds[:3], hypermodel.folds[3:]
    assert [fold[2].tolist() for fold in again[::2]] == [
        fold[2].tolist() for fold in in_search
    ]
