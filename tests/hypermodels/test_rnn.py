"""Recurrent networks: what they compute, padding, and what sequences must be."""

import keras
import keras_tuner
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from sklearn.model_selection import TimeSeriesSplit

from keras_tricks import tuners
from keras_tricks.hypermodels import HyperRNN
from keras_tricks.parameters import count_parameters
from tests.hypermodels import cases

LENGTH, FEATURES, CLASSES, UNITS = 7, 3, 2, 4
NAN = float("nan")
RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(6, LENGTH, FEATURES)).astype("float32")
Y = np.arange(6) % CLASSES


@pytest.fixture
def dtype_policy():
    """`dtype_policy(name)` sets Keras's policy for the rest of the test."""
    before = keras.config.dtype_policy()
    yield keras.config.set_dtype_policy
    keras.config.set_dtype_policy(before)


def network(length=LENGTH, mask_value=None, cudnn=False, **fixed):
    """A network in which each weight counts, always the same ones."""
    hypermodel = HyperRNN(length, FEATURES, CLASSES, mask_value=mask_value, cudnn=cudnn)
    model = hypermodel.network(cases.fixed(units=UNITS, **fixed))
    draw = np.random.default_rng(1)
    for weight in model.trainable_variables:
        weight.assign(draw.normal(scale=0.5, size=weight.shape))
    return model


def logits(model, x=X):
    return np.asarray(model(x, training=False))


# What the networks compute.


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def simple(x, state, kernel, recurrent, bias):
    h = np.tanh(x @ kernel + state[0] @ recurrent + bias)
    return h, (h,)


def lstm(x, state, kernel, recurrent, bias):
    h, c = state
    i, f, g, o = np.split(x @ kernel + h @ recurrent + bias, 4, axis=-1)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    h = sigmoid(o) * np.tanh(c)
    return h, (h, c)


def gru(x, state, kernel, recurrent, bias):
    """Cho et al. 2014, with the reset gate behind the product, as cuDNN has it."""
    (h,) = state
    xz, xr, xh = np.split(x @ kernel + bias[0], 3, axis=-1)
    hz, hr, hh = np.split(h @ recurrent + bias[1], 3, axis=-1)
    z = sigmoid(xz + hz)
    h = z * h + (1 - z) * np.tanh(xh + sigmoid(xr + hr) * hh)
    return h, (h,)


def outputs_of_layer(cell, x, weights):
    states = (np.zeros((len(x), UNITS)),) * (2 if cell is lstm else 1)
    outputs = []
    for step in range(x.shape[1]):
        h, states = cell(x[:, step], states, *weights)
        outputs.append(h)
    return np.stack(outputs, axis=1)


def expected_logits(model, cell, layers, bidirectional):
    """The recurrences in float64, step by step."""
    weights = [weight.numpy().astype("float64") for weight in model.trainable_variables]
    *weights, last_kernel, last_bias = weights
    x = X.astype("float64")
    for _ in range(layers):
        of_layer, weights = weights[:3], weights[3:]
        forwards = outputs_of_layer(cell, x, of_layer)
        if not bidirectional:
            x = last = forwards
            continue
        of_layer, weights = weights[:3], weights[3:]
        backwards = outputs_of_layer(cell, x[:, ::-1], of_layer)
        # Each direction ends where the other begins.
        last = np.concatenate([forwards, backwards], axis=-1)
        x = np.concatenate([forwards, backwards[:, ::-1]], axis=-1)
    return last[:, -1] @ last_kernel + last_bias


@pytest.mark.parametrize("cudnn", [False, True])
@pytest.mark.parametrize("cell", [simple, lstm, gru])
@pytest.mark.parametrize(("layers", "bidirectional"), [(1, False), (2, True)])
def test_the_networks_are_the_papers_recurrences(cell, layers, bidirectional, cudnn):
    """On a CPU, what is meant for cuDNN has no kernel of its own."""
    model = network(
        cell=cell.__name__, layers=layers, bidirectional=bidirectional, cudnn=cudnn
    )
    expected = expected_logits(model, cell, layers, bidirectional)
    assert np.ptp(expected, axis=0).min() > 0.01
    np.testing.assert_allclose(logits(model), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("cell", ["lstm", "gru", "simple"])
def test_a_network_has_the_hand_counted_parameters(cell):
    gates = {"lstm": 4, "gru": 3, "simple": 1}[cell]
    # Keras's GRU has a bias for the input and one for the state.
    biases = 2 if cell == "gru" else 1
    model = network(cell=cell, layers=2, bidirectional=True)
    first = gates * UNITS * (FEATURES + UNITS + biases)
    second = gates * UNITS * (2 * UNITS + UNITS + biases)
    assert count_parameters(model) == 2 * (first + second) + (2 * UNITS + 1) * CLASSES


@pytest.mark.parametrize(("layers", "pooling"), [(1, "last"), (3, "last"), (2, "max")])
def test_dropout_stands_between_the_layers_and_at_the_end(layers, pooling):
    model = network(layers=layers, pooling=pooling)
    kinds = [type(layer).__name__ for layer in model.layers]
    kinds = [kind for kind in kinds if kind in ("RNN", "ScalarDropout")]
    assert kinds == ["RNN", "ScalarDropout"] * layers


def test_recurrent_dropout_is_that_of_the_cells_and_none_in_a_plain_network():
    for plain, expected in ((False, 0.25), (True, 0.0)):
        hypermodel = HyperRNN(LENGTH, FEATURES, CLASSES, plain=plain)
        model = hypermodel.network(cases.fixed(recurrent_dropout=0.25))
        [layer] = [each for each in model.layers if isinstance(each, keras.layers.RNN)]
        assert layer.cell.recurrent_dropout == expected


# Padding.


def padded(x, value, in_front=0, behind=2):
    return np.pad(
        x, ((0, 0), (in_front, behind), (0, 0)), constant_values=np.float32(value)
    )


@pytest.mark.parametrize(
    ("fixed", "mask_value"),
    [
        ({}, NAN),
        ({"cell": "gru"}, -1e30),
        ({"cell": "simple", "layers": 2}, 0.0),
        ({"layers": 2, "bidirectional": True}, NAN),
        ({"pooling": "max"}, 0.1),
        ({"pooling": "mean", "bidirectional": True}, NAN),
        ({"pooling": "attention", "cell": "gru"}, 1e4),
    ],
    ids=str,
)
def test_padding_at_either_end_changes_no_output(fixed, mask_value):
    expected = logits(network(**fixed))
    assert np.ptp(expected, axis=0).min() > 0.01
    for in_front, behind in ((0, 3), (2, 0), (1, 2)):
        x = padded(X, mask_value, in_front, behind)
        model = network(x.shape[1], mask_value, **fixed)
        np.testing.assert_allclose(logits(model, x), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_padding_changes_no_output_in_mixed_precision(policy, dtype_policy):
    dtype_policy(policy)
    expected = logits(network())
    assert expected.dtype == np.float32
    for value in (NAN, -1e30):
        model = network(LENGTH + 2, value)
        np.testing.assert_array_equal(logits(model, padded(X, value)), expected)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_padding_changes_no_gradient(bidirectional):
    """Of NaN, which a product with 0 would not be rid of."""

    def gradients(model, x):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(model(x) ** 2)
        return tape.gradient(loss, [v.value for v in model.trainable_variables])

    model = network(LENGTH + 2, NAN, bidirectional=bidirectional)
    found = gradients(model, padded(X, NAN))
    for one, other in zip(
        found, gradients(network(bidirectional=bidirectional), X), strict=True
    ):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_rows_of_zeros_count_unless_they_are_the_padding():
    zeros = padded(X, 0.0)
    alone = logits(network())
    for mask_value, counts in ((None, True), (NAN, True), (0.0, False)):
        with_zeros = logits(network(LENGTH + 2, mask_value), zeros)
        assert (np.abs(with_zeros - alone).max() > 1e-3) == counts


def test_batches_may_differ_in_length_where_none_is_given():
    model = network(None)
    for steps in (1, LENGTH):
        found = logits(model, X[:, :steps])
        np.testing.assert_allclose(found, logits(network(steps), X[:, :steps]), 1e-6)


# Rates and limits.


@pytest.mark.parametrize(
    ("length", "layers", "rate"),
    [(9, 1, 1e-3), (100, 1, 1e-3), (400, 1, 5e-4), (300, 3, 1e-3 / 3), (None, 4, 5e-4)],
)
def test_the_first_rate_falls_with_length_and_depth(length, layers, rate):
    hp = cases.fixed(layers=layers)
    HyperRNN(length, FEATURES, CLASSES, total_steps=9).build(hp)
    [found] = [each for each in hp.space if each.name == "learning_rate"]
    np.testing.assert_allclose(
        [found.default, found.min_value, found.max_value],
        [rate, rate / 10, rate * 100],
        rtol=1e-4,
    )


def test_the_range_of_rates_is_the_same_whatever_the_trials_layers():
    """A tuner warns of a name that is asked for with two ranges."""
    hp = keras_tuner.HyperParameters()
    hypermodel = HyperRNN(300, FEATURES, CLASSES, total_steps=9)
    hypermodel.build(hp)
    default = hp.get("learning_rate")
    for layers in (3, 2):
        trial = keras_tuner.HyperParameters.from_config(hp.get_config())
        trial.values |= {"layers": layers}
        model = hypermodel.build(trial)
        # None was declared anew, and the rate is the one of the trial.
        assert len(trial.space) == len(hp.space)
        rate = model.optimizer.inner_optimizer.get_config()["learning_rate"]
        assert rate["config"]["initial_learning_rate"] == default


def test_a_rate_that_is_given_stays():
    hypermodel = HyperRNN(
        900, FEATURES, CLASSES, optimizer_arguments={"learning_rate": 0.01}
    )
    hp = keras_tuner.HyperParameters()
    hypermodel.build(hp)
    assert hp.get("learning_rate") == 0.01


def test_gradients_are_clipped_at_one_to_fifteen():
    hp = keras_tuner.HyperParameters()
    model = HyperRNN(LENGTH, FEATURES, CLASSES, total_steps=9).build(hp)
    [found] = [each for each in hp.space if each.name == "global_clipnorm"]
    assert (found.min_value, found.default, found.max_value) == (1.0, 5.0, 15.0)
    assert model.optimizer.global_clipnorm == 5.0


# What sequences may be.


def fit(x, mask_value=None, length=LENGTH, y=Y, cudnn=False, **kwargs):
    hypermodel = HyperRNN(
        length, FEATURES, CLASSES, mask_value=mask_value, cudnn=cudnn, epochs=1
    )
    hp = cases.fixed(units=UNITS)
    model = hypermodel.build(hp)
    hypermodel.fit(hp, model, x, y, verbose=0, **kwargs)
    return model


def changed(value, row=2, step=3, feature=1):
    x = X.copy()
    x[row, step, feature] = value
    return x


@pytest.mark.usefixtures("uncompiled")
@pytest.mark.parametrize(
    "x",
    [
        X.astype("float64"),
        np.round(10 * X).astype("int64"),
        X > 0,
        X.astype("float16"),
        tf.constant(X),
        [X],
        {"sequence": X},
    ],
    ids=["float64", "int64", "bool", "float16", "a tensor", "in a list", "by name"],
)
def test_numbers_of_any_type_are_trained_on_as_float32(x):
    [array] = keras.tree.flatten(x)
    losses = []
    for data in (x, np.asarray(array).astype("float32")):
        keras.utils.set_random_seed(0)
        losses.append(fit(data).history.history["loss"])
    assert losses[0] == losses[1]


BAD = {
    "strings": (X.astype(str), None, r"sequences.astype.*Received: dtype=<U"),
    "objects": (X.astype(object), None, "Received: dtype=object"),
    "complex": (X + 0j, None, "Received: dtype=complex64"),
    "steps last": (X.swapaxes(1, 2), None, r"swapaxes\(x, 1, 2\)`.*\(6, 3, 7\)$"),
    "steps first": (X.swapaxes(0, 1), None, r"swapaxes\(x, 0, 1\)`.*\(7, 6, 3\)$"),
    "too short": (X[:, 1:], None, r"\(examples, 7, 3\)\. Received: .*\(6, 6, 3\)$"),
    "one step": (X[:, 0], None, r"Received: shape=\(6, 3\)$"),
    "a frame": (pd.DataFrame(X[:, 0]), None, r"Received: shape=\(6, 3\)$"),
    "ragged": ([x[: 2 + i] for i, x in enumerate(X)], None, "Pad .*mask_value=np.nan"),
    "nested lists": (X.tolist(), -7.0, "Pad .*value=-7.0.*x of type list$"),
    "a ragged tensor": (tf.ragged.constant([[[1.0]], []]), NAN, "Pad .*value=np.nan"),
    "NaN": (changed(NAN), None, "nan in row 2, step 3, feature 1$"),
    "NaN beside padding": (changed(NAN, step=0), NAN, "nan in row 2, step 0"),
    "infinity": (changed(-np.inf), 0.0, "-inf in row 2, step 3, feature 1$"),
    "beyond float32": (X.astype("float64") * 1e39, None, "inf in row 0, step 0"),
    "zeros inside": (changed(0, feature=slice(None)), 0.0, "between.*row 2, step 3$"),
    "zeros twice": (padded(changed(0, 2, 3, [0, 1, 2]), 0.0)[:, 2:], 0.0, "row 2, st"),
    "a gap": (changed(NAN, feature=slice(None)), NAN, "Fill gaps.*row 2, step 3$"),
    "nothing": (changed(NAN, 4, slice(None), slice(None)), NAN, "only .* in row 4$"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_sequence_is_refused_by_row_before_training(name):
    x, mask_value, message = BAD[name]
    with pytest.raises(keras_tuner.errors.FatalValueError, match=message):
        fit(x, mask_value)


def test_one_feature_may_need_an_axis_of_its_own():
    hypermodel = HyperRNN(LENGTH, 1, CLASSES)
    hp = keras_tuner.HyperParameters()
    with pytest.raises(ValueError, match=r"Perhaps `x\[..., None\]` is meant\."):
        hypermodel.fit(hp, hypermodel.build(hp), X[:, :, 0], Y)


@pytest.mark.parametrize("place", ["training", "validation", "dataset"])
def test_the_place_of_a_bad_step_is_named(place):
    good, bad = (X, Y), (changed(NAN), Y)
    if place == "dataset":
        x = tf.data.Dataset.from_tensor_slices(bad).batch(2)
        arguments, expected = {"x": x, "y": None}, r"in batch 1 of .*row 0, step 3"
    elif place == "validation":
        arguments = {"x": X, "validation_data": bad}
        expected = r"in `validation_data\[0\]` .*row 2, step 3"
    else:
        arguments = {"x": bad[0], "validation_data": good}
        expected = r"in `x` .*row 2, step 3"
    with pytest.raises(ValueError, match=expected):
        fit(**arguments)


class TwoSequences(HyperRNN):
    """A network of one's own, with other inputs than the one that is checked."""

    def network(self, hp):
        inputs = [keras.Input((None, 1)), keras.Input((2,))]
        x = keras.layers.GlobalAveragePooling1D()(inputs[0])
        x = keras.layers.Concatenate()([x, inputs[1]])
        return keras.Model(inputs, self.outputs(x))


@pytest.mark.usefixtures("uncompiled")
def test_a_network_of_ones_own_may_take_other_inputs():
    hypermodel = TwoSequences(LENGTH, FEATURES, CLASSES, epochs=1)
    hp = keras_tuner.HyperParameters()
    x = [X[:, :, :1], X[:, 0, :2]]
    history = hypermodel.fit(hp, hypermodel.build(hp), x, Y, verbose=0)
    assert len(history.history["loss"]) == 1


# Arguments.


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"sequence_length": 0}, ValueError, "`sequence_length` must be a wh.* >= 1"),
        ({"num_features": 0}, ValueError, "`num_features` must be a whole number >= 1"),
        ({"mask_value": np.inf}, ValueError, "`mask_value` must be"),
        ({"mask_value": "nan"}, TypeError, "`mask_value` must be"),
        ({"mask_value": True}, TypeError, "`mask_value` must be"),
        ({"cudnn": True, "jit_compile": True}, ValueError, "must be False or 'auto'"),
    ],
    ids=str,
)
def test_bad_arguments_are_refused_in_the_constructor(arguments, error, message):
    given = {"sequence_length": 5, "num_features": 2, "num_classes": 3, **arguments}
    with pytest.raises(error, match=message):
        HyperRNN(**given)


@pytest.mark.parametrize(
    ("fixed", "message"),
    [
        ({"cell": "LSTM"}, "`cell` must be one of 'lstm', 'gru'"),
        ({"pooling": "first"}, "`pooling` must be one of 'last', 'max'"),
        ({"recurrent_dropout": 1.0}, "`recurrent_dropout` must be"),
    ],
    ids=str,
)
def test_settings_of_no_use_are_refused_with_the_choices(fixed, message):
    with pytest.raises(ValueError, match=message):
        network(**fixed)


@pytest.mark.parametrize(
    ("fixed", "message"),
    [
        ({"recurrent_dropout": 0.1}, "`recurrent_dropout` must be 0.0 with cudnn"),
        ({"activation": "relu"}, "`activation` must be 'tanh' with cudnn=True"),
    ],
    ids=str,
)
def test_what_cudnn_cannot_do_is_refused_rather_than_done_slowly(fixed, message):
    with pytest.raises(ValueError, match=message):
        network(cudnn=True, **fixed)


def test_cudnn_takes_padding_behind_a_sequence_alone():
    for in_front, behind in ((1, 0), (1, 1)):
        x = padded(X, NAN, in_front, behind)
        with pytest.raises(ValueError, match=r"cuDNN takes padding behind.*in row 0$"):
            fit(x, NAN, x.shape[1], cudnn=True)


# Searches.


def test_trials_that_share_a_program_score_as_by_fit(tmp_path):
    """Padded sequences, two settings of each of two cells, two trials at a time."""

    def scores(folder, **arguments):
        hp = keras_tuner.HyperParameters()
        hp.Choice("cell", ["lstm", "gru"])
        hp.Float("dropout", 0.0, 0.5)
        hp.Float("learning_rate", 1e-3, 1e-1, sampling="log")
        hp.Fixed("units", UNITS)
        tuner = tuners.RandomSearch(
            HyperRNN(LENGTH + 2, FEATURES, CLASSES, mask_value=NAN, batch_size=3),
            "val_loss",
            max_trials=4,
            seed=0,
            hyperparameters=hp,
            tune_new_entries=False,
            directory=tmp_path / folder,
            **arguments,
        )
        data = padded(X, NAN), Y
        tuner.search(*data, validation_data=data, epochs=2, shuffle=False, verbose=0)
        return tuner.leaderboard().sort_values("trial_id")["val_loss"].to_numpy()

    shared = scores("shared", packed_trials=2)
    assert len(set(shared)) == 4
    np.testing.assert_allclose(shared, scores("fit", reuse_programs=False), rtol=1e-5)


# Forecasts.

WINDOW, HORIZON = 6, 2


def windows(features, demand):
    """All windows of a series, and what follows each."""
    targets = np.lib.stride_tricks.sliding_window_view(demand[WINDOW:], HORIZON)
    [(x, y)] = keras.utils.timeseries_dataset_from_array(
        features, targets, sequence_length=WINDOW, batch_size=len(targets)
    )
    return x.numpy(), y.numpy()


def test_a_gap_as_long_as_a_window_and_its_targets_keeps_each_step_in_one_part():
    """Each step of the series is its own number."""
    series = np.arange(100)
    x, y = windows(series[:, None], series)
    np.testing.assert_array_equal(x[7, :, 0], np.arange(7, 7 + WINDOW))
    np.testing.assert_array_equal(y[7], np.arange(7 + WINDOW, 7 + WINDOW + HORIZON))
    assert y[-1, -1] == 99
    for gap, overlaps in ((WINDOW + HORIZON - 1, False), (WINDOW + HORIZON - 2, True)):
        for train, test in TimeSeriesSplit(4, gap=gap).split(x):
            assert (y[train].max() >= x[test].min()) == overlaps


def r2_of_forecasts(folder, features, demand):
    """The mean over folds of a search's only trial, whose targets are noise."""
    tuner = tuners.RandomSearch(
        HyperRNN(
            WINDOW, features.shape[1], task="regression", num_outputs=HORIZON, epochs=25
        ),
        keras_tuner.Objective("val_r2", "max"),
        max_trials=1,
        seed=0,
        hyperparameters=cases.fixed(units=16, learning_rate=0.01),
        tune_new_entries=False,
        splits=TimeSeriesSplit(2, gap=WINDOW + HORIZON - 1),
        directory=folder,
    )
    tuner.search(*windows(features, demand), verbose=0)
    return tuner.leaderboard()["val_r2"][0]


def test_nothing_of_the_future_leaks_into_a_forecast(tmp_path):
    """What is to be forecast is noise, and a step tells that of `HORIZON` steps ago.

    So the steps that follow a window are a code for its targets.
    """
    noise = np.random.default_rng(0).normal(size=400).astype("float32")
    series = np.stack([noise[HORIZON:], noise[:-HORIZON]], axis=1)
    assert r2_of_forecasts(tmp_path / "right", series, noise[HORIZON:]) < 0.05
    # Windows that end where the code for their targets does show it at once.
    late = 2 * HORIZON
    leaking = series[late:], noise[HORIZON:-late]
    assert r2_of_forecasts(tmp_path / "leaking", *leaking) > 0.8


def test_folds_of_a_dataset_of_windows_are_refused_with_what_they_need(tmp_path):
    series = np.arange(50.0)
    dataset = keras.utils.timeseries_dataset_from_array(series[:, None], series, WINDOW)
    tuner = tuners.RandomSearch(
        HyperRNN(WINDOW, 1, task="regression"),
        "val_loss",
        max_trials=1,
        splits=TimeSeriesSplit(2, gap=WINDOW),
        directory=tmp_path,
    )
    with pytest.raises(TypeError, match="`splits` needs arrays, of which it takes"):
        tuner.search(dataset)


@pytest.mark.parametrize("length", [WINDOW, None])
def test_a_wave_is_forecast_better_than_by_its_last_period(length):
    """The noise has a deviation of 0.3, the seasonal error that of two: 0.42.

    Least squares over the period, two numbers from six, would err by
    `0.3 * sqrt(1 + 2 / 6)`, which is 0.35. Windows come as a dataset of batches.
    """
    random = np.random.default_rng(0)
    series = np.sin(np.arange(700) * 2 * np.pi / WINDOW) + 0.3 * random.normal(size=700)
    training, validation = (
        keras.utils.timeseries_dataset_from_array(part[:, None], part[WINDOW:], WINDOW)
        for part in (series[:500], series[500:])
    )
    hypermodel = HyperRNN(length, 1, task="regression", epochs=10)
    keras.utils.set_random_seed(0)
    hp = cases.fixed(units=16, learning_rate=0.01)
    model = hypermodel.build(hp)
    fit = hypermodel.fit(hp, model, training, validation_data=validation, verbose=0)
    assert 0.27 < fit.history["val_rmse"][-1] < (0.42 + 0.35) / 2
