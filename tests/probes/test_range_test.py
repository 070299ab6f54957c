"""The range test: its numbers by hand, and the model as it was before."""

import random

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from keras_tricks.data import BalancedBatches
from keras_tricks.optimizers import ClippedOptimizer
from keras_tricks.optimizers import SwitchedOptimizer
from keras_tricks.optimizers.keras_hooks import leaf_optimizers
from keras_tricks.probes import learning_rate_range_test
from keras_tricks.schedules import Warmup

RNG = np.random.default_rng(0)
X = RNG.normal(size=(100, 4)).astype("float32")
Y = (X @ RNG.normal(size=(4, 1))).astype("float32")


def group(*of_rank):
    return keras.optimizers.MultiOptimizer(lambda v: of_rank[len(v.shape) - 1])


OPTIMIZERS = {
    "adam": keras.optimizers.Adam,
    "schedule": lambda: keras.optimizers.SGD(Warmup(0.1, 10), momentum=0.9),
    "function": lambda: keras.optimizers.SGD(lambda: 0.1),
    "rate of 0": lambda: keras.optimizers.SGD(0.0),
    "clipped": lambda: ClippedOptimizer(
        keras.optimizers.Adam(Warmup(0.1, 10)), global_clipnorm=1.0
    ),
    "group": lambda: group(keras.optimizers.SGD(0.1), keras.optimizers.Adam(0.01)),
    "averages": lambda: keras.optimizers.Adam(use_ema=True),
    "switched": lambda: SwitchedOptimizer(
        keras.optimizers.Adam(), keras.optimizers.SGD(0.1), at=1000
    ),
}


def network(optimizer, **kwargs):
    keras.utils.set_random_seed(0)
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(4, "relu"),
            layers.BatchNormalization(),
            layers.Dropout(0.1),
            layers.Dense(1),
        ]
    )
    model.compile(optimizer, "mse", metrics=["mae"], **kwargs)
    return model


def state_of(model):
    """Returns all that a step changes, in bytes."""
    owners = [model, model.optimizer, *leaf_optimizers(model.optimizer)]
    variables = [variable for owner in owners for variable in owner.variables]
    variables += model.metrics_variables
    rates = [leaf._learning_rate for leaf in leaf_optimizers(model.optimizer)]
    generators = str(random.getstate()), np.random.get_state()[1].tobytes()
    own = model.stop_training, model.history, model.steps_per_execution
    values = [np.asarray(v.numpy()).tobytes() for v in variables]
    return values, [*map(id, rates)], generators, own


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_model_comes_back_bit_for_bit(name, uncompiled):
    if name == "group" and not hasattr(keras.optimizers, "MultiOptimizer"):
        pytest.skip("This Keras has no MultiOptimizer.")
    model = network(OPTIMIZERS[name]())
    model.fit(X, Y, epochs=1, verbose=0)
    before = state_of(model)
    learning_rate_range_test(model, X, Y, steps=12)
    assert state_of(model) == before


def test_an_interrupted_test_leaves_the_model_as_it_was_and_able_to_train():
    class Interrupt(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 3:
                raise KeyboardInterrupt

    model, twin = (network(keras.optimizers.SGD(Warmup(0.1, 10))) for _ in "ab")
    for each in (model, twin):
        each.steps_per_execution = 2
        each.fit(X, Y, shuffle=False, verbose=0)
    before = state_of(model)
    with pytest.raises(KeyboardInterrupt):
        learning_rate_range_test(model, X, Y, steps=12, callbacks=[Interrupt()])
    assert state_of(model) == before
    for each in (model, twin):
        each.fit(X, Y, shuffle=False, verbose=0)
    for weight, other in zip(model.get_weights(), twin.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, other)


def quadratic(sharpness, build=keras.optimizers.SGD):
    """A loss of sharpness * w**2 / 2 for any batch, from w = 1."""
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    model.layers[-1].set_weights([np.ones((1, 1))])
    model.compile(build(0.01), loss=lambda y, p: 0.5 * sharpness * p**2)
    return model


def test_losses_are_those_of_a_loop_by_hand():
    """SGD on L * w**2 / 2 multiplies w by 1 - rate * L."""
    found = learning_rate_range_test(
        quadratic(4.0),
        np.ones((32, 1)),
        np.ones((32, 1)),
        steps=60,
        start=1e-3,
        end=1.0,
    )
    w, by_hand = 1.0, []
    for rate in np.geomspace(1e-3, 1.0, 60)[: len(found.losses)]:
        by_hand.append(2.0 * w**2)
        w *= 1.0 - rate * 4.0
    np.testing.assert_allclose(found.losses, by_hand, rtol=1e-4, atol=1e-9)


@pytest.mark.parametrize("sharpness", [0.5, 20.0])
def test_it_stops_soon_after_the_highest_rate_that_is_stable(sharpness):
    """SGD on a quadratic diverges above 2 / L, from what is left of the weights."""
    x = np.eye(2, dtype="float32")[np.arange(64) % 2] * [1.0, 0.2]
    wide = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, use_bias=False)])
    wide.layers[-1].set_weights([np.eye(2)])
    wide.compile(
        keras.optimizers.SGD(0.01),
        loss=lambda y, p: sharpness * keras.ops.sum(p**2, axis=-1),
    )
    found = learning_rate_range_test(wide, x, x, start=1e-5, end=100.0, batch_size=64)
    # Half of the rows have a loss of L * w**2 each.
    limit = 2.0 / sharpness
    assert limit < found.diverged_at < 10.0 * limit
    assert 0.01 * limit < found.suggestion < limit


def test_decades_are_the_same_one_by_one_and_side_by_side():
    """And as `fit` has them, for a rate that is neither of the model's."""

    def build():
        keras.utils.set_random_seed(0)
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
        model.compile(keras.optimizers.SGD(Warmup(0.5, 3)), "mse")
        return model

    arguments = {"mode": "decades", "start": 1e-4, "end": 1.0, "steps": 10}
    alone = learning_rate_range_test(build(), X, Y, **arguments)
    packed = learning_rate_range_test(build, X, Y, packed=5, **arguments)
    np.testing.assert_allclose(alone.rates, [1e-4, 1e-3, 1e-2, 1e-1, 1.0])
    np.testing.assert_allclose(alone.losses, packed.losses, rtol=1e-4)
    assert alone.suggestion == packed.suggestion == pytest.approx(0.1)


def test_the_same_seed_gives_the_same_losses_and_several_a_spread():
    def build():
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
        model.compile("sgd", "mse")
        return model

    arguments = {"steps": 40, "start": 1e-4, "end": 100.0}
    found = learning_rate_range_test(build, X, Y, seeds=[0, 1, 2], **arguments)
    again = learning_rate_range_test(build, X, Y, seeds=[1], **arguments)
    np.testing.assert_array_equal(found.runs[1].losses, again.losses)
    least, greatest = found.spread
    assert least <= found.suggestion <= greatest
    assert [*found.to_frame().groupby("seed").size()] == [
        len(run.rates) for run in found.runs
    ]


DATA = {
    "frames": lambda: (pd.DataFrame(X), pd.Series(Y[:, 0])),
    "lists": lambda: (X.tolist(), Y.tolist()),
    "dataset of one batch": lambda: (
        tf.data.Dataset.from_tensors((X, Y)),
        None,
    ),
    "dataset without end": lambda: (
        tf.data.Dataset.from_tensors((X, Y)).repeat(),
        None,
    ),
    "dataset of unknown length": lambda: (
        tf.data.Dataset.from_tensors((X, Y)).filter(lambda x, y: True),
        None,
    ),
    "batches": lambda: (BalancedBatches(X, np.arange(100) % 2, 100, seed=0), None),
    "generator": lambda: (((X, Y) for _ in range(12)), None),
    "no order": lambda: (X, Y),
}


@pytest.fixture(scope="module")
def linear():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    return model


@pytest.mark.parametrize("name", DATA)
def test_each_form_of_the_data_is_read_as_often_as_need_be(name, linear):
    x, y = DATA[name]()
    size = None if y is None else 100
    found = learning_rate_range_test(linear, x, y, steps=12, batch_size=size)
    assert len(found.losses) == 12
    if name != "batches":
        whole = float(np.mean((linear.predict(X, verbose=0) - Y) ** 2))
        assert found.losses[0] == pytest.approx(whole, rel=1e-5)


def test_weights_and_accumulated_batches_count():
    """Where the second half weighs nothing, it does not matter."""
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(gradient_accumulation_steps=2), "mse")
    weights = np.repeat([2.0, 0.0], 50)
    found = learning_rate_range_test(
        model, X, Y, sample_weight=weights, steps=10, batch_size=50
    )
    expected = np.mean((model.predict(X[:50], verbose=0) - Y[:50]) ** 2)
    # Two batches of 50 are all rows once.
    assert found.losses[0] == pytest.approx(float(expected), rel=1e-4)


class OwnStep(keras.Model):
    """Trains by a step of its own, and counts in a variable of TensorFlow's."""

    def __init__(self, reports="loss", own_optimizer=None):
        super().__init__()
        self.dense = keras.layers.Dense(1)
        self.count = tf.Variable(0.0, trainable=False)
        self.reports = reports
        self.own_optimizer = own_optimizer

    def call(self, x):
        return self.dense(x)

    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((self(x) - y) ** 2)
        gradients = tape.gradient(loss, self.trainable_variables)
        optimizer = self.own_optimizer or self.optimizer
        optimizer.apply(gradients, self.trainable_variables)
        self.count.assign_add(1.0)
        return {self.reports: loss}


def test_a_step_of_ones_own_is_what_trains():
    model = OwnStep()
    model.compile("sgd")
    found = learning_rate_range_test(model, X, Y, steps=10, start=0.1)
    assert len(found.losses) == 10
    assert float(model.count) == 0.0
    model.fit(X, Y, verbose=0)


REFUSED = {
    "`loss`": lambda: OwnStep(reports="error"),
    "`model.optimizer`": lambda: OwnStep(own_optimizer=keras.optimizers.SGD()),
}


@pytest.mark.parametrize("message", REFUSED)
def test_a_step_that_cannot_be_tested_is_refused(message):
    model = REFUSED[message]()
    model.compile("sgd")
    with pytest.raises(ValueError, match=message):
        learning_rate_range_test(model, X, Y, steps=10)


def test_a_switch_within_the_test_is_refused(uncompiled):
    phases = keras.optimizers.Adam(), keras.optimizers.SGD(0.1)
    model = network(SwitchedOptimizer(*phases, at=5))
    with pytest.raises(ValueError, match="`steps` must end before"):
        learning_rate_range_test(model, X, Y, steps=10)
    assert model.optimizer.switched_at is None


def test_data_that_end_and_cannot_begin_anew_are_refused(linear):
    batches = ((X, Y) for _ in range(4))
    with pytest.raises(ValueError, match=r"must yield 12 batches.*yields 4"):
        learning_rate_range_test(linear, batches, steps=12)


def test_models_that_are_not_compiled_or_not_the_same_are_refused():
    plain = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    with pytest.raises(ValueError, match="must be compiled"):
        learning_rate_range_test(plain, X, Y)
    units = iter(range(1, 99))

    def build():
        layers = [keras.layers.Dense(next(units)), keras.layers.Dense(1)]
        model = keras.Sequential([keras.Input((4,)), *layers])
        model.compile("sgd", "mse")
        return model

    with pytest.raises(ValueError, match="must return the same model each time"):
        learning_rate_range_test(build, X, Y, mode="decades", start=0.01, steps=5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"start": 1.0, "end": 1.0}, "`start` must be below `end`"),
        ({"seeds": [1, 1]}, "`seeds` must be one or several different"),
        ({"seeds": []}, "`seeds` must be one or several different"),
    ],
)
def test_ranges_and_seeds_without_sense_are_refused(arguments, message, linear):
    with pytest.raises(ValueError, match=message):
        learning_rate_range_test(linear, X, Y, **arguments)


def test_a_picture_shows_what_is_suggested(linear):
    found = learning_rate_range_test(linear, X, Y, steps=60, start=1e-4, batch_size=100)
    ax = found.plot()
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels[:2] == ["loss", f"steepest: {found.suggestion:.1e}"]
    assert ax.get_xscale() == "log"
    with pytest.raises(TypeError, match="`ax` must be a matplotlib"):
        found.plot(3)
    assert f"{found.suggestion:.2g}" in found._repr_html_()


@pytest.mark.parametrize("name", ["x", "y"])
def test_data_that_are_not_finite_are_named(linear, name, uncompiled):
    data = {"x": np.ones((128, 4), "float32"), "y": np.ones((128, 1), "float32")}
    data[name][100] = np.nan
    found = learning_rate_range_test(linear, **data, steps=30, start=1e-12)
    assert found.flag == "not finite"
    assert f"so is `{name}`, first in row 100" in found.reason


def test_a_callback_that_ends_the_test_is_refused(linear, uncompiled):
    class Ends(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.model.stop_training = batch == 9

    x, y = np.ones((128, 4), "float32"), np.ones((128, 1), "float32")
    with pytest.raises(ValueError, match="one ended it after 10 of 60 steps"):
        learning_rate_range_test(linear, x, y, steps=60, callbacks=[Ends()])


def test_what_cannot_train_or_be_built_is_named():
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.trainable = False
    model.compile("sgd", "mse")
    x = np.ones((64, 1), "float32")
    with pytest.raises(ValueError, match="all weights are frozen"):
        learning_rate_range_test(model, x, x)
    with pytest.raises(TypeError, match=r"take no arguments.*missing a required"):
        learning_rate_range_test(lambda units: model, x, x)
