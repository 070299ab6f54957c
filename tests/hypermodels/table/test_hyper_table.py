"""Frames in `fit` and in searches: what is known is known of the training rows."""

import json

import keras
import keras_tuner
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from keras_tricks import tuners
from keras_tricks.hypermodels import HyperTable
from keras_tricks.training.packs import packing
from tests.hypermodels import cases

ROWS = 90
SMALL = {"layers": 1, "units": 32, "trunk": "mlp", "numbers": "standard"}


def make(frame=None, **options):
    frame = cases.table(labels()) if frame is None else frame
    return HyperTable(frame, 3, **{"epochs": 2, "batch_size": 16, **options})


def labels(rows=ROWS):
    return np.arange(rows) % 3


def data(rows=ROWS):
    return cases.table(labels(rows)), labels(rows)


def known_by(hypermodel, *args, **fit):
    """What the rows say that a `fit` with these arguments would train on."""
    hypermodel.fit_arguments(keras_tuner.HyperParameters(), *args, **fit)
    return hypermodel._statistics


def assert_same(one, other):
    for part, its in zip(
        keras.tree.flatten(one), keras.tree.flatten(other), strict=True
    ):
        np.testing.assert_array_equal(part, its)


def test_rows_for_validation_say_nothing():
    x, y = data()
    hypermodel = make()
    expected = known_by(hypermodel, x[:60], y[:60])
    assert_same(known_by(hypermodel, x, y, validation_split=1 / 3), expected)
    validation = {"validation_data": (x[60:], y[60:])}
    assert_same(known_by(hypermodel, x[:60], y[:60], **validation), expected)
    whole = known_by(hypermodel, x, y)
    assert np.any(np.asarray(whole[1]) != np.asarray(expected[1]))


def means_in_units(model, columns):
    """The means in the layer of the numbers, of the two columns of the case."""
    [means] = [w.numpy() for w in model.weights if w.path.endswith("/means")]
    scales = [column.scales[0] for column in columns[:2]]
    return [m * unit + origin for m, (origin, unit) in zip(means, scales, strict=False)]


WAYS = {"programs": {}, "fit": {"reuse_programs": False}}


def searched(folder, hypermodel, x, y, max_trials=1, fit=None, **options):
    hp = keras_tuner.HyperParameters()
    for name, value in SMALL.items():
        hp.Fixed(name, value)
    hp.Float("learning_rate", 1e-3, 1e-2)
    tuner = tuners.RandomSearch(
        hypermodel,
        "val_loss",
        max_trials=max_trials,
        seed=0,
        hyperparameters=hp,
        tune_new_entries=False,
        directory=folder,
        **options,
    )
    tuner.search(x, y, verbose=0, **(fit or {}))
    return tuner


@pytest.mark.parametrize("way", WAYS)
def test_a_fold_s_model_knows_its_training_rows(way, tmp_path):
    x, y = data()
    rows = np.random.default_rng(0).permutation(ROWS)
    fold = rows[:50], rows[50:]
    hypermodel = make()
    tuner = searched(tmp_path, hypermodel, x, y, splits=[fold], **WAYS[way])
    [model] = tuner.get_best_models(1)
    expected = x.iloc[fold[0]][["first", "second"]].mean()
    found = means_in_units(model, hypermodel.columns)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    # And tells them from others.
    assert np.all(abs(x[["first", "second"]].mean() - found) > 1e-3)


@pytest.mark.parametrize("splits", [None, 3], ids=["a split", "folds"])
def test_programs_of_trials_together_train_as_fit_does(splits, tmp_path, monkeypatch):
    """Frames of other rows in each fold, a target with an index of its own, weights."""
    sizes, original = [], packing.run

    def run(program, trials, *args):
        sizes.append(len(trials))
        return original(program, trials, *args)

    monkeypatch.setattr(packing, "run", run)
    x, y = data()
    y = pd.Series(y, index=np.arange(ROWS) + 1000)
    # In front of a norm a bias has a gradient of rounding errors alone.
    plain = make(plain=True)
    fit = {"sample_weight": np.linspace(0.5, 1.5, ROWS)}
    fit |= {} if splits else {"validation_split": 0.3}
    options = {"splits": splits, "max_trials": 3, "fit": fit}
    together = searched(tmp_path / "a", plain, x, y, packed_trials=3, **options)
    # All trials of a fold are one pack.
    assert sizes == [3] * (splits or 1)
    alone = searched(tmp_path / "b", plain, x, y, reuse_programs=False, **options)
    scores = [
        t.leaderboard().set_index("trial_id")["val_loss"] for t in (together, alone)
    ]
    np.testing.assert_allclose(*map(pd.Series.sort_index, scores), rtol=1e-4)


def test_trials_on_a_frame_have_one_network_and_one_set_of_arrays():
    x, y = data()
    hypermodel, hp = make(), keras_tuner.HyperParameters()
    first, _ = hypermodel.fit_arguments(hp, x, y)
    hypermodel.build(hp)
    again, _ = hypermodel.fit_arguments(hp, x.copy(), y)
    for name, array in first[0].items():
        assert again[0][name] is array
    assert hypermodel.same_network(hp) == 0
    changed, _ = hypermodel.fit_arguments(hp, x[::-1], y)
    assert changed[0]["codes"] is not first[0]["codes"]


def test_a_frame_that_changes_is_read_again():
    x, y = data()
    hypermodel = make()
    before = known_by(hypermodel, x, y)
    x["second"] = x["second"] + 100 * (x.index == 0)
    assert np.any(known_by(hypermodel, x, y)[1] != before[1])


def test_a_search_goes_on_and_its_model_takes_frames_in_another_process(
    run_shared, tmp_path
):
    x, y = data()
    fit = {"validation_split": 0.3}
    tuner = searched(tmp_path, make(), x, y, max_trials=2, fit=fit)
    [model] = tuner.get_best_models(1)
    best = tuner.oracle.get_best_trials(1)[0].trial_id
    expected = make().predictor(model).predict(x, verbose=0)
    printed = run_shared(
        f"""
        import json
        from tests.hypermodels.table import test_hyper_table as table

        x, y = table.data()
        hypermodel = table.make()
        tuner = table.searched(
            {str(tmp_path)!r}, hypermodel, x, y, max_trials=3, fit={fit!r}
        )
        names = [trial.trial_id for trial in tuner.oracle.get_best_trials(3)]
        model = tuner.get_best_models(3)[names.index({best!r})]
        found = hypermodel.predictor(model).predict(x[::-1], verbose=0)
        print(json.dumps([len(names), found[::-1].tolist()]))
        """
    )
    number, found = json.loads(printed.splitlines()[-1])
    assert number == 3
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.usefixtures("uncompiled")
@pytest.mark.parametrize(
    "frame",
    [
        {"only": np.arange(9.0)},
        {"only": list("abcabcabc")},
        {"only": np.full(9, np.nan)},
        {"only": [None] * 9},
        {"only": np.ones(9)},
        {"only": [f"id {row}" for row in range(9)]},
        {"only": pd.date_range("2024-01-01", periods=9)},
    ],
    ids=["numbers", "texts", "gaps", "no texts", "constant", "names", "dates"],
)
@pytest.mark.parametrize("numbers", ["standard", "piecewise"])
def test_one_column_of_any_kind_trains_to_finite_weights(frame, numbers):
    """Nine rows in batches of four: the last batch is of one."""
    hypermodel = make(frame, batch_size=4, epochs=1)
    hp = cases.fixed(**{**SMALL, "numbers": numbers})
    model = hypermodel.build(hp)
    hypermodel.fit(hp, model, frame, np.arange(9) % 3, verbose=0)
    assert all(np.isfinite(weight.numpy()).all() for weight in model.weights)
    assert np.isfinite(hypermodel.predictor(model).predict(frame, verbose=0)).all()


X, Y = data(12)
WRONG = {
    "a dataset": (
        (tf.data.Dataset.from_tensor_slices((np.zeros((4, 2)), np.zeros(4))),),
        {},
        "table in `x`.*give the whole table",
    ),
    "no table": (([1, 2], Y), {}, "table in `x` must be a pandas"),
    "validation without labels": (
        (X, Y),
        {"validation_data": X},
        r"must be `\(x, y\)`",
    ),
    "a column is missing": (
        (X, Y),
        {"validation_data": (X.drop(columns="word"), Y)},
        r"`validation_data` must have the columns.*\['word'\]",
    ),
    "labels": ((X, Y + 1), {}, "Subtract 1 from labels"),
}


@pytest.mark.parametrize(("args", "fit", "message"), WRONG.values(), ids=WRONG)
def test_what_is_no_table_ends_a_search_at_once(args, fit, message):
    hypermodel, hp = make(), keras_tuner.HyperParameters()
    model = hypermodel.build(hp)
    with pytest.raises(keras_tuner.errors.FatalValueError, match=message):
        hypermodel.fit(hp, model, *args, verbose=0, **fit)


@pytest.mark.parametrize("name", ["trunk", "numbers"])
def test_an_unknown_choice_is_refused(name):
    hypermodel = HyperTable({"a": [1.0, 2.0]}, num_classes=2)
    with pytest.raises(ValueError, match=f"`{name}` must be one of"):
        hypermodel.network(cases.fixed(**{name: "transformer"}))


def test_it_trains_on_jax(run_python):
    code = """
        import keras, keras_tuner, numpy as np
        from keras_tricks.hypermodels import HyperTable
        draw = np.random.default_rng(0)
        x = {"a": draw.normal(size=64), "b": np.where(draw.random(64) < 0.5, "u", "v")}
        x["a"][3] = np.nan
        for numbers in ("piecewise", "standard"):
            table = HyperTable(x, task="regression", epochs=2)
            hp = keras_tuner.HyperParameters()
            hp.Fixed("numbers", numbers)
            model = table.build(hp)
            history = table.fit(hp, model, x, draw.normal(size=64), verbose=0).history
            print(np.isfinite(history["loss"]).all())
        """
    assert run_python(code, env={"KERAS_BACKEND": "jax"}).split() == ["True"] * 2


def test_a_column_that_tells_next_to_nothing_is_warned_of():
    texts = [f"{number:.3f}" for number in np.random.default_rng(0).normal(size=100)]
    with pytest.warns(UserWarning, match=r"'a' has 9\d categories in 100 rows.*to_num"):
        HyperTable({"a": texts}, num_classes=2)
