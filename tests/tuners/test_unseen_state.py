"""What neither graphs nor attributes show: metrics that do not begin anew, counters.

Each model is searched as KerasTuner does, and by default; the curves must be the same.
"""

import collections
import itertools
import os
import sys
import threading
import types

import keras
import keras_tuner
import numpy as np
import pytest

from keras_tricks import training
from keras_tricks import tuners
from keras_tricks.training.families import python_state
from tests import sampling
from tests.tuners import toys

X = np.random.default_rng(0).normal(size=(70, 6)).astype("float32")
Y = (X[:, 0] * X[:, 1] + 0.3 * X[:, 2])[:, None]
VALIDATION = X[:22], Y[:22] + 0.1


class Sum(keras.metrics.Metric):
    """Adds up, from `initial` on; `reset` is what resetting sets, None for nothing."""

    def __init__(self, initial, reset):
        super().__init__(name="n")
        self.reset = reset
        start = keras.initializers.Constant(initial)
        self.total = self.add_weight(shape=(), name="total", initializer=start)

    def update_state(self, y, y_pred, sample_weight=None):
        self.total.assign_add(keras.ops.mean(keras.ops.abs(y - y_pred)))

    def result(self):
        return self.total / 2.0

    def reset_state(self):
        if self.reset is not None:
            self.total.assign(self.reset)


def with_metric(metric):
    def compiled(hp, model):
        rate = hp.Float("r", 0.01, 0.1)
        model.compile(keras.optimizers.Adam(rate), "mse", metrics=[metric()])

    return compiled


def with_factor(begin, factor):
    """A loss times a number that each trace changes, from where `begin` sets it."""

    def compiled(hp, model):
        begin()

        def loss(y, y_pred):
            return keras.ops.mean((y - y_pred) ** 2, -1) * float(factor())

        model.compile(keras.optimizers.SGD(hp.Float("r", 0.001, 0.01)), loss)

    return compiled


ITERATORS = [itertools.count()]
LOCAL = threading.local()


class CountingLoss(keras.losses.Loss):
    calls = 0

    def call(self, y, y_pred):
        CountingLoss.calls += 1
        return keras.ops.mean((y - y_pred) ** 2, -1) * (1 + CountingLoss.calls % 3)


def in_environment():
    number = int(os.environ["A_COUNTER"]) + 1
    os.environ["A_COUNTER"] = str(number)
    return number


def in_thread():
    LOCAL.number += 1
    return LOCAL.number


def counting_loss(hp, model):
    model.compile(keras.optimizers.SGD(hp.Float("r", 0.001, 0.01)), CountingLoss())


KINDS = {
    "never reset": with_metric(lambda: Sum(0.0, None)),
    "reset to another value": with_metric(lambda: Sum(0.0, 5.0)),
    "reset to what it begins with": with_metric(lambda: Sum(5.0, 5.0)),
    "iterator in a global": with_factor(
        lambda: ITERATORS.__setitem__(0, itertools.count(1)),
        lambda: next(ITERATORS[0]),
    ),
    "environment": with_factor(
        lambda: os.environ.__setitem__("A_COUNTER", "0"), in_environment
    ),
    "thread": with_factor(lambda: setattr(LOCAL, "number", 0), in_thread),
    "class of a loss": counting_loss,
}
# One of each: two metrics, and counters in a global, in the process and in a class.
SAMPLE = (*("reset to what it begins with", "iterator in a global", "class of a loss"),)
# Those of the sample that are packed as well; all others are.
PACKED = ("reset to what it begins with", "iterator in a global")
# Nothing but rates tells the trials of these apart.
SHARED = {"reset to what it begins with"}


def curves(compiled, directory, **arguments):
    def build(hp):
        model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(1)])
        compiled(hp, model)
        return model

    CountingLoss.calls = 0
    tuner = tuners.RandomSearch(
        build, "val_loss", max_trials=2, seed=3, directory=directory, **arguments
    )
    tuner.search(X, Y, validation_data=VALIDATION, batch_size=16, epochs=2, verbose=0)
    assert (tuner.leaderboard()["status"] == "COMPLETED").all()
    return [tuner.curves(trial_id)[0] for trial_id in ("0", "1")]


@pytest.mark.parametrize("name", sampling.only(SAMPLE, KINDS))
def test_scores_are_those_of_fit(name, tmp_path, caplog):
    right = curves(KINDS[name], tmp_path / "fit", reuse_programs=False)
    with caplog.at_level("INFO"):
        for packed in (None, 2) if name in PACKED or name not in SAMPLE else (None,):
            folder = tmp_path / str(packed)
            found = curves(KINDS[name], folder, packed_trials=packed)
            for one, other in zip(right, found, strict=True):
                for key, curve in one.items():
                    np.testing.assert_allclose(other[key], curve, 2e-4, 2e-6, key)
    assert ("Trained by `fit`" in caplog.text) == (name not in SHARED)


NUMBER_OF_BUILDS = 0


class Builds:
    number = 0


def in_global():
    global NUMBER_OF_BUILDS
    NUMBER_OF_BUILDS += 1
    return NUMBER_OF_BUILDS


def in_class():
    Builds.number += 1
    return Builds.number


def in_container(container):
    def count():
        container.append(len(container))
        return len(container)

    return count


def by_iterator():
    numbers = itertools.count(1)
    return lambda: next(numbers)


def build_counters():
    """Returns functions that count their calls, each in another way."""
    global NUMBER_OF_BUILDS
    NUMBER_OF_BUILDS = Builds.number = 0
    of_list, of_deque = in_container([]), in_container(collections.deque())
    return [in_global, in_class, of_list, of_deque, by_iterator()]


class AddsALoss(keras.layers.Layer):
    """Is trained by `fit`, for which the model is built once more."""

    def call(self, x):
        self.add_loss(0.01 * keras.ops.mean(x**2))
        return x


class Reads(keras.callbacks.Callback):
    """Has a model of its own, for which the trial's is built once more."""

    def on_epoch_end(self, epoch, logs=None):
        self.model.get_weights()


def counted_curves(directory, layers, callbacks, **arguments):
    """Searches models whose losses tell how many were built before them."""
    counters = build_counters()

    def build(hp):
        numbers = [count() for count in counters]
        model = keras.Sequential([keras.Input((6,)), *layers(), keras.layers.Dense(1)])
        model.compile(
            keras.optimizers.SGD(hp.Float("r", 0.001, 0.01)),
            lambda y, p: sum(numbers) * keras.ops.mean((y - p) ** 2, -1),
        )
        return model

    tuner = tuners.RandomSearch(
        build, "val_loss", max_trials=3, seed=3, directory=directory, **arguments
    )
    data = {"validation_data": VALIDATION, "batch_size": 16, "epochs": 2}
    tuner.search(X, Y, **data, callbacks=callbacks, verbose=0)
    return [tuner.curves(trial_id)[0]["loss"] for trial_id in ("0", "1", "2")]


BUILT_AGAIN = {
    "for fit": (lambda: [AddsALoss()], []),
    "for callbacks": (list, [Reads()]),
}


@pytest.mark.parametrize(
    ("why", "packed_trials"),
    sampling.one_in(3, itertools.product(BUILT_AGAIN, [None, 2])),
)
def test_a_model_that_is_built_again_counts_once(why, packed_trials, tmp_path):
    """What a build counts must not tell that a trial's model was built twice."""
    layers, callbacks = BUILT_AGAIN[why]
    right = counted_curves(tmp_path / "fit", layers, callbacks, reuse_programs=False)
    found = counted_curves(
        tmp_path / "shared", layers, callbacks, packed_trials=packed_trials
    )
    np.testing.assert_allclose(found, right, 2e-4)


KEPT = {}
LAST = None


class KeepsInAttribute(keras_tuner.HyperModel):
    """Goes on from the weights of the model that it built last."""

    def build(self, hp):
        model = straight_line(hp)
        if hasattr(self, "model"):
            model.set_weights(self.model.get_weights())
        self.model = model
        return model


class KeepsALayer(keras_tuner.HyperModel):
    """Goes on from the weights of a layer alone, in a dictionary of its module."""

    def build(self, hp):
        model = straight_line(hp)
        if "layer" in KEPT:
            model.layers[-1].set_weights(KEPT["layer"].get_weights())
        KEPT["layer"] = model.layers[-1]
        return model


def keeps_in_global(hp):
    global LAST
    model = straight_line(hp)
    if LAST is not None:
        model.set_weights([variable.numpy() for variable in LAST])
    LAST = model.variables
    return model


def keeps_in_module(hp):
    model = straight_line(hp)
    if hasattr(toys, "kept_model"):
        model.set_weights(toys.kept_model.get_weights())
    toys.kept_model = model
    return model


def keeps_in_imported_module(hp):
    import a_module_of_the_user

    model = straight_line(hp)
    if a_module_of_the_user.model is not None:
        model.set_weights(a_module_of_the_user.model.get_weights())
    a_module_of_the_user.model = model
    return model


def keeps_in_list():
    models = []

    def build(hp):
        model = straight_line(hp)
        if models:
            model.set_weights(models[-1].get_weights())
        models.append(model)
        return model

    return build


def straight_line(hp):
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(hp.Float("r", 0.01, 0.1)), "mse")
    return model


KEEPERS = {
    "attribute": KeepsInAttribute,
    "layer in a global": KeepsALayer,
    "variables in a global": lambda: keeps_in_global,
    "list that is closed over": keeps_in_list,
    "attribute of a module": lambda: keeps_in_module,
    "module that the build imports": lambda: keeps_in_imported_module,
}


def scores_of_keeper(name, directory, **arguments):
    global LAST
    LAST = None
    KEPT.clear()
    vars(toys).pop("kept_model", None)
    sys.modules["a_module_of_the_user"].model = None
    tuner = tuners.RandomSearch(
        KEEPERS[name](), "loss", max_trials=4, seed=0, directory=directory, **arguments
    )
    tuner.search(X, Y, epochs=2, batch_size=16, verbose=0)
    return tuner.leaderboard().sort_values("trial_id")["loss"].tolist()


@pytest.fixture(autouse=True)
def _module_of_the_user(monkeypatch):
    name = "a_module_of_the_user"
    monkeypatch.setitem(sys.modules, name, types.ModuleType(name))


@pytest.mark.parametrize("name", KEEPERS)
def test_models_that_a_build_keeps_are_found_trained(name, tmp_path, caplog):
    right = scores_of_keeper(name, tmp_path / "fit", reuse_programs=False)
    with caplog.at_level("INFO"):
        for packed in (None, 4):
            found = scores_of_keeper(name, tmp_path / str(packed), packed_trials=packed)
            np.testing.assert_allclose(found, right, 2e-4)
    assert "the code that builds the model keeps" in caplog.text


def test_models_that_a_build_keeps_are_found_trained_by_train():
    def losses(reuse):
        models = []

        def build(rate):
            model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(1)])
            model.compile(keras.optimizers.SGD(rate), "mse", run_eagerly=not reuse)
            if models:
                model.set_weights(models[-1].get_weights())
            models.append(model)
            return model

        results = training.train(
            [0.01, 0.02, 0.03], build, X, Y, epochs=2, batch_size=16, seeds=[1, 2, 3]
        )
        return [result.curves["loss"] for result in results], len(models)

    right, number = losses(reuse=False)
    found, found_number = losses(reuse=True)
    np.testing.assert_allclose(found, right, 2e-4)
    assert found_number == number == 3


class KeepsAnEncoder(keras_tuner.HyperModel):
    """Keeps a model of some layers of its own, to be used after the search."""

    def build(self, hp):
        inputs = keras.Input((6,))
        self.encoder = keras.Model(inputs, keras.layers.Dense(2)(inputs))
        model = keras.Model(inputs, keras.layers.Dense(6)(self.encoder.output))
        model.compile(keras.optimizers.SGD(hp.Float("r", 0.01, 0.1)), "mse")
        return model


def test_an_encoder_that_is_kept_is_trained_after_the_search(tmp_path):
    encoders = []
    for reuse in (False, True):
        hypermodel = KeepsAnEncoder()
        tuner = tuners.RandomSearch(
            hypermodel,
            "loss",
            max_trials=2,
            seed=0,
            directory=tmp_path / str(reuse),
            reuse_programs=reuse,
        )
        tuner.search(X, X, epochs=2, verbose=0)
        encoders.append(hypermodel.encoder.get_weights()[0])
    np.testing.assert_allclose(encoders[1], encoders[0], 2e-4)


def test_what_a_build_finds_in_a_module_is_not_taken_away():
    """Though a function that notices it is reached only after the build."""
    module = types.ModuleType("a_module")
    module.number, module.other = 1, 2

    def reads_other():
        return module.other

    def build():
        build.kept = [module.number, reads_other]
        module.new = 3

    before = python_state.before_a_build(build)
    build()
    assert before.put_back() is not None
    assert vars(module).items() >= {"number": 1, "other": 2}.items()
    assert not hasattr(module, "new")
    assert not hasattr(build, "kept")


def test_a_model_that_no_build_makes_may_be_kept(tmp_path, caplog):
    """A part that all trials have in common, and that stays as it is."""
    base = keras.Sequential([keras.Input((6,)), keras.layers.Dense(4)])
    base.trainable = False

    def build(hp):
        model = keras.Sequential([keras.Input((6,)), base, keras.layers.Dense(1)])
        model.compile(keras.optimizers.SGD(hp.Float("r", 0.01, 0.1)), "mse")
        return model

    with caplog.at_level("INFO"):
        tuner = tuners.RandomSearch(
            build, "loss", max_trials=2, seed=0, directory=tmp_path
        )
        tuner.search(X, Y, epochs=1, verbose=0)
    assert "Trained by `fit`" not in caplog.text
