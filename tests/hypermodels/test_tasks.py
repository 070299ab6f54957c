"""Regressions and several labels an example, in every hypermodel of the package.

Scikit-learn and NumPy are the oracles of the metrics.
"""

import functools
import itertools
import re

import keras
import keras_tuner
import numpy as np
import pandas as pd
import pytest
import sklearn.metrics
import tensorflow as tf

from keras_tricks import tuners
from keras_tricks.hypermodels import HyperMLP
from keras_tricks.hypermodels.base import SupervisedHyperModel
from keras_tricks.hypermodels.tasks import metrics
from tests import sampling
from tests.hypermodels import cases

TASKS = cases.TASKS[1:]
SMALL = {"blocks": 1, "layers": 1, "filters": 32, "embedding_units": 64, "heads": 2}
MLP = cases.CASES["HyperMLP"]
X, CLASSES = MLP.data(96)
# Their mean is many deviations from 0, as that of years is.
NUMBERS = cases.labels("regression", CLASSES)
PAIRS = np.stack([NUMBERS, -1e-3 * NUMBERS], axis=1)


def mlp(task="regression", num_outputs=None, **kwargs):
    return HyperMLP((6,), task=task, num_outputs=num_outputs, plain=True, **kwargs)


def fit(hypermodel, *args, hp=None, **kwargs):
    hp = keras_tuner.HyperParameters() if hp is None else hp
    keras.utils.set_random_seed(0)
    model = hypermodel.build(hp)
    history = hypermodel.fit(hp, model, *args, verbose=0, **kwargs).history
    return model, history


@functools.cache
def trained(name, task):
    case = cases.CASES[name]
    x, classes = case.data(160)
    hp = cases.fixed(learning_rate=0.01, **SMALL)
    hypermodel = cases.of_task(case, task, epochs=3, batch_size=4, plain=True)
    y = cases.labels(task, classes)
    model, history = fit(hypermodel, cases.part(x, slice(120)), y[:120], hp=hp)
    return model, hypermodel.inputs_for(model, x), y, history


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("name", cases.CASES)
def test_every_hypermodel_learns_every_task(name, task):
    model, x, y, _ = trained(name, task)
    outputs = model.predict(x, verbose=0)
    if task == "regression":
        assert outputs.shape == (160, 1)
        errors = outputs[:, 0] - y
        assert np.sqrt(np.mean(errors**2)) < np.std(y) / 2
    else:
        assert outputs.shape == (160, cases.NUM_CLASSES)
        assert np.mean((outputs > 0) == y) > 0.8


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("name", cases.CASES)
def test_it_is_saved_and_loaded_with_what_it_knows_of_its_labels(name, task, tmp_path):
    model, x, y, _ = trained(name, task)
    model.save(tmp_path / "model.keras")
    restored = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(
        restored.predict(x, verbose=0), model.predict(x, verbose=0)
    )
    assert restored.evaluate(x, y, verbose=0) == model.evaluate(x, y, verbose=0)


def test_the_metrics_of_a_regression_are_those_of_scikit_learn():
    model, x, y, _ = trained("HyperMLP", "regression")
    found = model.evaluate(x, y, verbose=0, return_dict=True)
    outputs = model.predict(x, verbose=0)[:, 0]
    error = sklearn.metrics.mean_squared_error(y, outputs)
    assert found["rmse"] == pytest.approx(np.sqrt(error), rel=1e-4)
    mae = sklearn.metrics.mean_absolute_error(y, outputs)
    assert found["mae"] == pytest.approx(mae, rel=1e-4)
    assert found["r2"] == pytest.approx(sklearn.metrics.r2_score(y, outputs), abs=1e-4)
    # In deviations of what was trained on.
    assert found["loss"] == pytest.approx(error / np.var(y[:120]), rel=1e-4)


@pytest.mark.parametrize("task", ["classification", "multi_label"])
def test_the_metrics_of_classes_and_labels_are_those_of_scikit_learn(task):
    generator = np.random.default_rng(0)
    x = generator.normal(size=(400, 6)).astype("float32")
    scores = x[:, :3] + generator.normal(size=(400, 3))
    y = scores.argmax(axis=1) if task == "classification" else (scores > 1).astype(int)
    metrics = ("accuracy", "macro_f1", "auc")
    hypermodel = HyperMLP((6,), 3, task=task, metrics=metrics, epochs=2)
    model, _ = fit(hypermodel, x, y)
    found = model.evaluate(x, y, verbose=0, return_dict=True)
    logits = model.predict(x, verbose=0).astype("float64")
    if task == "classification":
        p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        chosen = logits.argmax(axis=1)
        accuracy = np.mean(chosen == y)
        area = sklearn.metrics.roc_auc_score(y, p, multi_class="ovr")
    else:
        chosen = (logits > 0).astype(int)
        accuracy = np.mean(chosen == y)
        area = sklearn.metrics.roc_auc_score(y, logits)
    f1 = sklearn.metrics.f1_score(y, chosen, average="macro")
    assert found["accuracy"] == pytest.approx(accuracy, abs=1e-5)
    assert found["macro_f1"] == pytest.approx(f1, abs=1e-5)
    # Keras adds up 200 trapezoids.
    assert found["auc"] == pytest.approx(area, abs=2e-3)


# Standardised targets.


def test_mean_and_deviation_are_those_that_are_trained_on():
    model, _ = fit(mlp(epochs=1), X, NUMBERS + X[:, 0], validation_split=0.25)
    scale = model.get_layer("outputs")
    seen = (NUMBERS + X[:, 0])[:72]
    assert float(scale.mean.numpy()[0]) == pytest.approx(seen.mean(), rel=1e-6)
    assert float(scale.deviation.numpy()[0]) == pytest.approx(seen.std(), rel=1e-5)


def arrays(x, y):
    return (x, y), {}


def frames(x, y):
    return (pd.DataFrame(x), pd.Series(y[:, 0], index=range(7, 7 + len(y)))), {}


def dataset(x, y):
    return (tf.data.Dataset.from_tensor_slices((x, y)).batch(16),), {}


class Batches(keras.utils.PyDataset):
    def __init__(self, x, y):
        super().__init__()
        self.x, self.y, self.reads = x, y, 0

    def __len__(self):
        return 6

    def __getitem__(self, index):
        self.reads += 1
        part = slice(16 * index, 16 * index + 16)
        return self.x[part], self.y[part]


def batches(x, y):
    return (Batches(x, y),), {}


@pytest.mark.parametrize("kind", [arrays, frames, dataset, batches])
def test_targets_of_any_kind_train_alike(kind):
    args, kwargs = kind(X, NUMBERS[:, None])
    model, _ = fit(mlp(epochs=1), *args, batch_size=None, shuffle=False, **kwargs)
    scale = model.get_layer("outputs")
    assert scale.mean.numpy()[0] == np.float32(NUMBERS.mean())
    assert scale.deviation.numpy()[0] == np.float32(NUMBERS.std())


def test_a_dataset_is_read_once_for_all_trainings():
    data = Batches(X, NUMBERS)
    hypermodel, hp = mlp(epochs=1), keras_tuner.HyperParameters()
    for _ in range(3):
        hypermodel.fit_arguments(hp, data)
        assert hypermodel._known_of_labels.mean == (NUMBERS.mean(),)
    assert data.reads == 6


def test_each_data_set_has_a_scale_of_its_own():
    hypermodel, hp = mlp(epochs=1), keras_tuner.HyperParameters()
    for factor in (1.0, 10.0, 1.0):
        model, _ = fit(hypermodel, X, factor * NUMBERS, hp=hp)
        mean = model.get_layer("outputs").mean.numpy()[0]
        assert mean == np.float32(factor * NUMBERS.mean())


def test_what_cannot_be_read_first_needs_a_scale():
    def generate():
        while True:
            yield X[:16], NUMBERS[:16]

    steps = {"steps_per_epoch": 2, "epochs": 1}
    with pytest.raises(ValueError, match=r"target_scale=\(mean, deviation\).*Received"):
        fit(mlp(), generate(), **steps)
    model, _ = fit(mlp(target_scale=(2005.0, 4.0)), generate(), **steps)
    assert model.get_layer("outputs").mean.numpy().tolist() == [2005.0]
    assert model.loss.deviation == 4.0


def test_the_loss_is_the_same_in_any_unit():
    """Up to rounding: kilometres or millimetres make no difference to the training."""
    histories = [
        fit(mlp(epochs=2), X, factor * (NUMBERS - 2000))[1] for factor in (1.0, 1e6)
    ]
    np.testing.assert_allclose(histories[0]["loss"], histories[1]["loss"], rtol=1e-3)
    np.testing.assert_allclose(
        1e6 * np.asarray(histories[0]["mae"]), histories[1]["mae"], rtol=1e-3
    )


def test_targets_that_do_not_vary_are_learned_as_they_are():
    model, history = fit(mlp(epochs=1), X, np.full(96, 7.0))
    assert model.get_layer("outputs").deviation.numpy()[0] == 1.0
    assert np.isfinite(history["loss"]).all()


def test_several_targets_have_a_scale_each():
    model, history = fit(mlp(num_outputs=2, epochs=20, batch_size=8), X, PAIRS)
    outputs = model.predict(X, verbose=0)
    assert np.all(np.abs(outputs - PAIRS).mean(axis=0) < PAIRS.std(axis=0) / 2)
    assert history["loss"][-1] < 0.25


@pytest.mark.parametrize("loss", ["mse", "mae", "huber", "quantile"])
def test_every_loss_is_a_choice(loss):
    hp = cases.fixed(loss=loss, huber_delta=0.5, quantile=0.25, learning_rate=0.01)
    model, history = fit(mlp(epochs=3, batch_size=4), X, NUMBERS, hp=hp)
    assert model.loss.kind == loss
    assert history["loss"][-1] < history["loss"][0]


def test_a_quantile_lies_above_its_share_of_the_targets():
    generator = np.random.default_rng(0)
    x = np.zeros((2000, 6), "float32")
    y = generator.exponential(size=2000) + 100
    hp = cases.fixed(loss="quantile", quantile=0.9, learning_rate=0.03)
    model, _ = fit(mlp(epochs=10), x, y, hp=hp)
    share = np.mean(y <= model.predict(x, verbose=0)[:, 0])
    assert share == pytest.approx(0.9, abs=0.02)


def test_labels_are_balanced_by_what_is_trained_on():
    y = np.zeros((96, 3), int)
    y[::4, 0] = 1
    y[:, 1] = 1
    hp = cases.fixed(balance=0.5)
    model, _ = fit(HyperMLP((6,), 3, task="multi_label", epochs=1), X, y, hp=hp)
    # A label that all have, and one that none has, cannot be balanced.
    assert model.loss.positive_weights == (3.0, 1.0, 1.0)
    assert model.loss.balance == 0.5


@pytest.mark.parametrize("task", TASKS)
def test_xla_trains_as_the_graph_does(task):
    losses = []
    for jit_compile in (False, True):
        hypermodel = cases.of_task(MLP, task, epochs=2, jit_compile=jit_compile)
        hp = cases.fixed(dropout=0.0, learning_rate=1e-3)
        y = cases.labels(task, CLASSES)
        losses.append(fit(hypermodel, X, y, hp=hp, shuffle=False)[1]["loss"])
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-4)


# Wrong labels.

ROWS = cases.labels("multi_label", CLASSES)
WRONG = {
    "regression: NaN": (
        {"task": "regression"},
        np.where(np.arange(96) == 3, np.nan, NUMBERS),
        "Leave out .*: nan in row 3$",
    ),
    "regression: infinite": (
        {"task": "regression"},
        np.where(np.arange(96) == 3, -np.inf, NUMBERS),
        ": -inf in row 3$",
    ),
    "regression: beyond float32": (
        {"task": "regression"},
        np.where(np.arange(96) == 3, 1e39, NUMBERS),
        r": 1e\+39 in row 3$",
    ),
    "regression: too many columns": (
        {"task": "regression"},
        PAIRS,
        r"\(examples,\) or \(examples, 1\).*`num_outputs` is 1.*shape=\(96, 2\)",
    ),
    "regression: a vector for two": (
        {"task": "regression", "num_outputs": 2},
        NUMBERS,
        r"of shape \(examples, 2\)\. .*shape=\(96,\)",
    ),
    "regression: a column of two": (
        {"task": "regression", "num_outputs": 2},
        NUMBERS[:, None],
        r"shape=\(96, 1\)",
    ),
    "regression: NaN of two": (
        {"task": "regression", "num_outputs": 2},
        np.where(PAIRS == PAIRS[5, 1], np.nan, PAIRS),
        "nan in row 2, column 1$",
    ),
    "regression: strings": (
        {"task": "regression"},
        np.array(["3.5"] * 96),
        "'3.5' in row 0",
    ),
    "multi_label: class numbers": (
        {"num_classes": 3, "task": "multi_label"},
        np.asarray(CLASSES),
        r"rows of 0 and 1.*`?task=\"classification\"`?.*shape=\(96,\)",
    ),
    "multi_label: another width": (
        {"num_classes": 3, "task": "multi_label"},
        ROWS[:, :2],
        r"shape=\(96, 2\)",
    ),
    "multi_label: counts": (
        {"num_classes": 3, "task": "multi_label"},
        ROWS * 2,
        "2 in row 0, column [01]$",
    ),
    "multi_label: probabilities": (
        {"num_classes": 3, "task": "multi_label"},
        ROWS * 0.9,
        "0.9 in row 0, column [01]$",
    ),
    "multi_label: NaN": (
        {"num_classes": 3, "task": "multi_label"},
        np.where(ROWS == 1, np.nan, 0),
        "nan in row 0, column [01]$",
    ),
}


@pytest.mark.parametrize("place", ["y", "validation"])
@pytest.mark.parametrize("kind", WRONG)
def test_wrong_labels_are_refused_by_row_and_value_before_training(kind, place):
    arguments, labels, message = WRONG[kind]
    hypermodel, hp = HyperMLP((6,), **arguments), keras_tuner.HyperParameters()
    model = hypermodel.build(hp)
    rows = 96, *labels.shape[1:]
    good = {"regression": np.zeros(96), "multi_label": np.zeros((96, 3))}[
        arguments["task"]
    ]
    if arguments.get("num_outputs") == 2:
        good = np.zeros((96, 2))
    given = {"x": X, "y": labels}
    if place == "validation":
        given = {"x": X, "y": good, "validation_data": (X, labels)}
    assert rows == labels.shape
    with pytest.raises(keras_tuner.errors.FatalValueError, match=message) as raised:
        hypermodel.fit(hp, model, **given, verbose=0)
    assert ("validation_data" in str(raised.value)) == (place == "validation")


def test_a_wrong_label_of_a_dataset_is_refused_by_its_batch():
    wrong = np.where(np.arange(96) == 35, np.nan, NUMBERS)
    with pytest.raises(ValueError, match=r"in batch 2 of the dataset .*nan in row 3$"):
        fit(mlp(), tf.data.Dataset.from_tensor_slices((X, wrong)).batch(16))


def test_whole_numbers_and_booleans_are_labels_and_targets():
    fit(mlp(epochs=1), X, CLASSES.astype("int64"))
    fit(HyperMLP((6,), 3, task="multi_label", epochs=1), X, ROWS.astype(bool))


# Where float32 has no digits.


@pytest.mark.parametrize(
    "targets",
    [
        1.7e9 + 200 * X[:, 0].astype("float64"),  # Seconds since 1970.
        1.7e9 + 10 * X[:, 0].astype("float64"),
        1.7e12 + 6e5 * X[:, 0].astype("float64"),  # Milliseconds.
        2.46e6 + np.linspace(0, 1, 96),  # Julian days.
        10**18 + 1000 * np.arange(96),
        1e-40 * X[:, 0].astype("float64"),
    ],
    ids=["seconds", "a minute", "milliseconds", "days", "int64", "tiny"],
)
def test_targets_that_float32_cannot_tell_apart_are_refused(targets):
    with pytest.raises(ValueError, match=r"Subtract an offset .*Received: targets"):
        fit(mlp(), X, targets)


@pytest.mark.parametrize("offset", [0.0, 2000.0, -1e5])
def test_the_metrics_keep_their_digits_far_from_0(offset):
    """Oracle: NumPy in float64 of the predictions."""
    y = offset + 5 * X[:, 0].astype("float64")
    model, _ = fit(mlp(epochs=5, batch_size=8), X, y)
    found = model.evaluate(X, y, verbose=0, return_dict=True)
    errors = model.predict(X, verbose=0)[:, 0].astype("float64") - y
    assert found["rmse"] == pytest.approx(np.sqrt(np.mean(errors**2)), rel=5e-3)
    r2 = 1 - np.mean(errors**2) / np.var(y)
    assert found["r2"] == pytest.approx(r2, abs=5e-3)


# What Keras would take otherwise than meant.


@pytest.mark.parametrize("task", TASKS)
def test_class_weights_are_for_classes(task):
    hypermodel, y = cases.of_task(MLP, task), cases.labels(task, CLASSES)
    with pytest.raises(ValueError, match=r"`class_weight` .*Pass `sample_weight`"):
        fit(hypermodel, X, y, class_weight={0: 1.0, 1: 0.0, 2: 0.0})


@pytest.mark.parametrize("dtype", ["Int64", "category"])
@pytest.mark.parametrize("task", ["classification", "regression"])
def test_columns_of_pandas_s_own_types_are_refused_with_the_remedy(task, dtype):
    y = pd.Series(cases.labels(task, CLASSES)).astype("int64").astype(dtype)
    with pytest.raises(keras_tuner.errors.FatalValueError, match=r"y\.to_numpy\("):
        fit(cases.of_task(MLP, task), X, y)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"class_weight": "balanced"}, "a dictionary .*compute_class_weight"),
        ({"y": CLASSES.tolist()}, r"`numpy\.asarray\(y\)`"),
        ({"epochs": 0}, "`epochs` must be a whole number >= 1"),
    ],
    ids=["class_weight", "y", "epochs"],
)
def test_arguments_of_fit_that_keras_would_not_explain_are_refused(given, message):
    with pytest.raises(ValueError, match=message):
        fit(MLP.make(), **{"x": X, "y": CLASSES, **given})


def test_fit_wants_hyperparameters_and_model_first():
    hypermodel, hp = MLP.make(), keras_tuner.HyperParameters()
    with pytest.raises(TypeError, match=r"`hp` must be .*fit\(hp, model, x, y\)"):
        hypermodel.fit(X, CLASSES)
    with pytest.raises(TypeError, match="`model` must be a Model"):
        hypermodel.fit(hp, None, X, CLASSES)


@pytest.mark.parametrize(
    ("name", "fixed"),
    [
        ("HyperMLP", {"dropout": 1.2}),
        ("HyperCNN", {"blocks": 6}),
        ("HyperTextCNN", {"pooling": "last"}),
        ("HyperTextTransformer", {"pooling": "sum"}),
    ],
    ids=str,
)
def test_a_setting_of_no_use_is_refused_by_its_own_name(name, fixed):
    [setting] = fixed
    with pytest.raises(ValueError, match=f"`{setting}` must be"):
        cases.CASES[name].make().build(cases.fixed(**fixed))


def test_times_are_no_targets_and_no_remedy_cuts_numbers():
    times = np.datetime64("2026-01-01") + np.arange(96)
    with pytest.raises(ValueError, match="timedelta64"):
        fit(mlp(), X, times)
    with pytest.raises(ValueError, match=r'astype\("float32"\)'):
        fit(mlp(), X, NUMBERS.astype(object))


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_examples_without_batches_or_labels_are_refused(task):
    y = cases.labels(task, CLASSES)
    with pytest.raises(ValueError, match=r"must give batches .*\.batch\(32\)"):
        fit(cases.of_task(MLP, task), tf.data.Dataset.from_tensor_slices((X, y)))
    with pytest.raises(ValueError, match="`y` must hold the labels"):
        fit(cases.of_task(MLP, task), X)


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
@pytest.mark.parametrize("name", ["HyperMLP", "HyperCNN"])
def test_features_that_are_not_finite_are_refused_by_row(name, wrong):
    x, y = cases.CASES[name].data(12)
    x.reshape(12, -1)[7, 3] = wrong
    with pytest.raises(ValueError, match=f"finite numbers.* {wrong} in row 7$"):
        fit(cases.CASES[name].make(), x, y)
    good, _ = cases.CASES[name].data(12)
    with pytest.raises(ValueError, match=r"in `validation_data\[0\]` must be finite"):
        fit(cases.CASES[name].make(), good, y, validation_data=(x, y))


def test_a_regression_whose_targets_nobody_knows_is_not_compiled():
    hp = keras_tuner.HyperParameters()
    assert not mlp(total_steps=9).build(hp).compiled
    assert mlp(total_steps=9, target_scale=(3.0, 2.0)).build(hp).compiled


def test_the_area_under_the_curve_is_of_what_occurs():
    """Oracle: scikit-learn, for the labels that have both ones and zeros."""
    draw = np.random.default_rng(0)
    logits = draw.normal(size=(300, 4)).astype("float32")
    rows = (logits + draw.normal(size=(300, 4)) > 1).astype(int)
    rows[:, 1], rows[:, 3] = 0, 1
    metric = metrics.MultiLabelAUC(4)
    metric.update_state(rows, logits)
    expected = sklearn.metrics.roc_auc_score(rows[:, [0, 2]], logits[:, [0, 2]])
    assert float(metric.result()) == pytest.approx(expected, abs=2e-3)
    assert float(metric.result()) == pytest.approx(expected, abs=2e-3)
    again = metrics.MultiLabelAUC.from_config(metric.get_config())
    again.update_state(rows, logits)
    assert float(again.result()) == float(metric.result())
    classes = rows[:, 0] * 2
    metric = metrics.ClassificationAUC(3)
    metric.update_state(classes, logits[:, :3])
    p = np.exp(logits[:, :3]) / np.exp(logits[:, :3]).sum(axis=1, keepdims=True)
    expected = [sklearn.metrics.roc_auc_score(classes == k, p[:, k]) for k in (0, 2)]
    assert float(metric.result()) == pytest.approx(np.mean(expected), abs=2e-3)


def test_a_network_of_one_s_own_may_have_outputs_of_another_shape():
    class Twice(SupervisedHyperModel):
        def network(self, hp):
            inputs = keras.Input((6,))
            return keras.Model(inputs, keras.layers.Dense(2)(inputs))

    hypermodel = Twice(task="regression", num_outputs=1, metrics=(), epochs=1)
    fit(hypermodel, X, PAIRS)
    with pytest.raises(ValueError, match="nan in row 0, column 0"):
        fit(hypermodel, X, PAIRS * np.nan)


# Arguments.


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"task": "ranking"}, "`task` must be one of 'classification', 'multi_label'"),
        (
            {"num_outputs": 3},
            "`num_outputs` must be left out for task='classification'",
        ),
        (
            {"num_classes": 3, "task": "regression"},
            "`num_classes` must be left out .* takes `num_outputs`",
        ),
        ({"num_classes": 3, "target_scale": None, "metrics": ("loss",)}, "`metrics`"),
        ({"task": "regression", "num_outputs": 0}, "`num_outputs` must be a whole"),
        ({"task": "multi_label", "num_classes": 0}, "`num_classes` must be a whole"),
        ({"num_classes": 1}, "`num_classes` must be a whole number >= 2"),
        ({"num_classes": 3, "metrics": ("rmse",)}, "`metrics` must be one of 'accu"),
        ({"task": "regression", "metrics": ("r2", "r2")}, "each metric once"),
        ({"num_classes": 3, "target_scale": (0.0, 1.0)}, "of a regression"),
        ({"task": "regression", "target_scale": 3.0}, r"must be \(mean, deviation\)"),
        ({"task": "regression", "target_scale": (0.0, 0.0)}, "`target_scale` must be"),
        (
            {"task": "regression", "num_outputs": 2, "target_scale": (0.0, 1.0)},
            "as many as `num_outputs`",
        ),
    ],
    ids=str,
)
def test_arguments_that_do_not_go_together_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        HyperMLP((6,), **arguments)


@pytest.mark.parametrize("arguments", [{"metrics": "rmse"}, {"num_outputs": "1"}])
def test_arguments_of_another_type_are_refused(arguments):
    with pytest.raises(TypeError, match=f"`{next(iter(arguments))}` must be"):
        HyperMLP((6,), task="regression", **arguments)


def test_an_unknown_loss_is_refused_when_the_model_is_built():
    message = re.escape("`loss` must be one of 'mse', 'mae', 'huber', 'quantile'")
    with pytest.raises(ValueError, match=message):
        mlp(total_steps=1).build(cases.fixed(loss="cross_entropy"))


# Searches.


def searched(folder, arguments, loss, y, **options):
    """The tuner after four trials, and their scores in the order of their numbers."""
    hp = cases.fixed(optimizer="adam", units=16, layers=1, loss=loss)
    hp.Float("learning_rate", 1e-3, 1e-1, sampling="log")
    hp.Float("huber_delta", 0.5, 2.0)
    hp.Float("quantile", 0.2, 0.8)
    hp.Float("balance", 0.0, 1.0)
    tuner = tuners.RandomSearch(
        HyperMLP((6,), epochs=2, batch_size=16, plain=True, **arguments),
        "val_loss",
        max_trials=4,
        seed=0,
        hyperparameters=hp,
        directory=folder,
        **options,
    )
    split = {} if "splits" in options else {"validation_split": 0.25}
    tuner.search(X, y, verbose=0, **split)
    trials = sorted(tuner.oracle.trials.values(), key=lambda trial: trial.trial_id)
    assert [trial.status for trial in trials] == ["COMPLETED"] * 4
    return tuner, [trial.score for trial in trials]


SEARCHES = {
    "huber": ({"task": "regression"}, "huber", NUMBERS),
    "quantiles of two": ({"task": "regression", "num_outputs": 2}, "quantile", PAIRS),
    "labels": ({"num_classes": 3, "task": "multi_label"}, "focal", ROWS),
}


@pytest.mark.parametrize(
    ("kind", "splits"),
    sampling.only(
        [("huber", None), ("huber", 3), ("labels", None)],
        itertools.product(SEARCHES, (None, 3)),
    ),
)
def test_shared_and_packed_trials_score_as_those_trained_alone(kind, splits, tmp_path):
    own = {} if splits is None else {"splits": splits}
    _, alone = searched(
        tmp_path / "alone", *SEARCHES[kind], **own, reuse_programs=False
    )
    _, shared = searched(tmp_path / "shared", *SEARCHES[kind], **own)
    _, packed = searched(tmp_path / "packed", *SEARCHES[kind], **own, packed_trials=4)
    np.testing.assert_allclose(shared, alone, rtol=1e-5)
    np.testing.assert_allclose(packed, alone, rtol=1e-4)
    assert len(set(alone)) == 4


def test_a_regression_shares_one_program(tmp_path):
    """Huber's delta and the deviation are numbers that it is fed."""
    tuner, _ = searched(tmp_path, *SEARCHES["huber"])
    assert len(tuner.programs.programs()) == 1


def test_the_best_model_predicts_in_the_data_s_unit(tmp_path):
    tuner, _ = searched(tmp_path, *SEARCHES["huber"])
    [model] = tuner.get_best_models(1)
    outputs = model.predict(X, verbose=0)[:, 0]
    assert np.all(np.abs(outputs - NUMBERS) < 20)
