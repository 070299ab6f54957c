"""Callbacks that work by the epoch see the trial's own model, though programs train it.

The right curves are those of the same search with `reuse_programs=False`; what a
callback sees is known from the files that it writes and from Keras's `evaluate`.
"""

import contextlib
import csv
import functools
import importlib.util
import itertools
import logging
from pathlib import Path
from typing import Any
from typing import NamedTuple

import keras
import keras_tuner
import numpy as np
import pytest

from keras_tricks import tuners
from tests import sampling
from tests.tuners import differences
from tests.tuners.differences import dense

RATES = [0.02, 0.1]
X, Y = differences.regression()
VALIDATION = X[48:], Y[48:]
# Callbacks are copied for each trial: what they see is kept here.
SEEN: list[Any] = []


@pytest.fixture(autouse=True)
def _nothing_seen():
    SEEN.clear()


def build(hp, *others):
    rate = hp.Choice("rate", RATES)
    layers = [
        keras.Input((3,)),
        dense(4, "tanh"),
        keras.layers.BatchNormalization(),
        *others,
        keras.layers.Dense(1),
    ]
    model = keras.Sequential(layers)
    model.compile(keras.optimizers.SGD(rate, 0.5), "mse", metrics=["mae"])
    return model


def build_with_a_chosen_number(hp):
    """A model whose steps are traced to be compared."""
    return build(hp, keras.layers.Dropout(0.2))


def build_least(hp):
    """The model that is compiled soonest."""
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(hp.Choice("rate", RATES)), "mse")
    return model


def searched(
    directory,
    callbacks,
    objective="val_loss",
    hypermodel=build_with_a_chosen_number,
    **arguments,
):
    tuner = tuners.GridSearch(
        hypermodel,
        keras_tuner.Objective(objective, "min"),
        seed=0,
        directory=directory,
        **arguments,
    )
    data = {"x": X[:48], "y": Y[:48], "validation_data": VALIDATION}
    tuner.search(**data, epochs=3, batch_size=16, callbacks=callbacks, verbose=0)
    return tuner


def assert_same(tuner, other):
    curves, others = map(differences.curves_of, (tuner, other))
    assert len(curves) == len(others) == len(RATES)
    for one, right in zip(curves, others, strict=True):
        assert set(one) == set(right)
        for name, curve in one.items():
            np.testing.assert_allclose(curve, right[name], 1e-4, 1e-6, err_msg=name)


@contextlib.contextmanager
def reasons():
    """Gives a list, to which the lines are added that say why `fit` trains."""
    lines, logger = [], logging.getLogger("keras_tricks")

    class Keeps(logging.Handler):
        def emit(self, record):
            if "`fit`" in record.getMessage():
                lines.append(record.getMessage())

    handler, level = Keeps(), logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield lines
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


# Callbacks of one's own.


class Adds(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        logs["own"] = 2 * logs["val_loss"] + epoch


class Looks(keras.callbacks.Callback):
    """Keeps what the model tells of itself, beside what is logged."""

    def on_epoch_end(self, epoch, logs=None):
        x, y = VALIDATION
        error = np.mean((self.model.predict(x, batch_size=16, verbose=0) - y) ** 2)
        evaluated = self.model.evaluate(x, y, batch_size=16, verbose=0)[0]
        total = sum(float(np.abs(w).sum()) for w in self.model.get_weights())
        steps = int(self.model.optimizer.iterations)
        SEEN.append((logs["val_loss"], error, evaluated, total, steps))


class Stops(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        if epoch == 1:
            self.model.stop_training = True


class Halves(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        self.model.set_weights([w / 2 for w in self.model.get_weights()])


class HalvesAtFirst(keras.callbacks.Callback):
    def on_train_begin(self, logs=None):
        self.model.set_weights([w / 2 for w in self.model.get_weights()])


class HalvesOneVariable(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        kernel = self.model.layers[0].kernel
        kernel.assign(kernel / 2)


class HalvesRate(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        self.model.optimizer.learning_rate = self.model.optimizer.learning_rate / 2


class HalvesMomentum(keras.callbacks.Callback):
    """What a program may have been traced with."""

    def on_epoch_begin(self, epoch, logs=None):
        self.model.optimizer.momentum = self.model.optimizer.momentum / 2


class Course(keras.callbacks.Callback):
    """Keeps which of its methods are called, in their order."""

    def on_train_begin(self, logs=None):
        SEEN.append(("train begins", dict(self.params), sorted(logs or {})))

    def on_epoch_begin(self, epoch, logs=None):
        SEEN.append(("epoch begins", epoch, sorted(logs or {})))

    def on_epoch_end(self, epoch, logs=None):
        SEEN.append(("epoch ends", epoch, sorted(logs)))

    def on_train_end(self, logs=None):
        SEEN.append(("train ends", len(self.model.history.epoch), sorted(logs or {})))


class ByTheBatch(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        SEEN.append(batch)


class ByTheTestedBatch(keras.callbacks.Callback):
    def on_test_batch_end(self, batch, logs=None):
        SEEN.append(batch)


class Inherits(ByTheBatch):
    def on_epoch_end(self, epoch, logs=None):
        pass


def stops_early(**arguments):
    return keras.callbacks.EarlyStopping("val_loss", patience=1, **arguments)


CALLBACKS = {
    "Adds": lambda folder: Adds(),
    "Looks": lambda folder: Looks(),
    "Stops": lambda folder: Stops(),
    "Halves": lambda folder: Halves(),
    "HalvesAtFirst": lambda folder: HalvesAtFirst(),
    "HalvesOneVariable": lambda folder: HalvesOneVariable(),
    "HalvesRate": lambda folder: HalvesRate(),
    "Course": lambda folder: Course(),
    "CSVLogger": lambda folder: keras.callbacks.CSVLogger(folder / "log.csv"),
    "ReduceLROnPlateau": lambda folder: keras.callbacks.ReduceLROnPlateau(
        "val_loss", factor=0.01, patience=1, min_delta=100.0
    ),
    "LearningRateScheduler": lambda folder: keras.callbacks.LearningRateScheduler(
        lambda epoch, rate: rate * 0.1**epoch
    ),
    "LambdaCallback": lambda folder: keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: SEEN.append(dict(logs))
    ),
    "EarlyStopping": lambda folder: stops_early(min_delta=0.5),
    "EarlyStopping with weights": lambda folder: stops_early(
        min_delta=0.5, restore_best_weights=True
    ),
    "TerminateOnNaN": lambda folder: keras.callbacks.TerminateOnNaN(),
    "weights": lambda folder: keras.callbacks.ModelCheckpoint(
        str(folder / "{epoch}_{val_loss:.7f}.weights.h5"), save_weights_only=True
    ),
    "whole model": lambda folder: keras.callbacks.ModelCheckpoint(
        str(folder / "{epoch}_{val_loss:.7f}.keras")
    ),
}
OBJECTIVES = {"Adds": "own"}
# What these do before the first step a model tells only if all of its code is known.
EARLY = ("HalvesAtFirst", "HalvesOneVariable", "HalvesRate", "Course")
PACKED = ("Adds", "Looks", "Stops", "Halves", "HalvesRate", "LearningRateScheduler")


def hypermodel_for(name):
    return build if name in EARLY else build_with_a_chosen_number


class Run(NamedTuple):
    """A search, and what was to be seen of it.

    Attributes:
        tuner: After the search.
        programs: How many models it has compiled programs of.
        reasons: The lines that say why `fit` trains.
        seen: What the callbacks kept.
        folder: Where they write.
    """

    tuner: Any
    programs: int
    reasons: list[str]
    seen: list[Any]
    folder: Path


@pytest.fixture(scope="module", name="run_with")
def run_with_fixture(tmp_path_factory):
    """Returns a function from a callback's name to a search, which runs once."""

    @functools.cache
    def run_with(name, **arguments):
        directory = tmp_path_factory.mktemp("run")
        folder = directory / "files"
        folder.mkdir()
        SEEN.clear()
        with reasons() as lines:
            tuner = searched(
                directory,
                [CALLBACKS[name](folder)],
                OBJECTIVES.get(name, "val_loss"),
                hypermodel_for(name),
                **arguments,
            )
        programs = differences.number_of_programs(tuner)
        return Run(tuner, programs, lines, list(SEEN), folder)

    return run_with


MAX_USED = ("EarlyStopping", "ReduceLROnPlateau", "Looks", "HalvesOneVariable")


@pytest.mark.parametrize("name", sampling.only(MAX_USED, CALLBACKS))
def test_trials_are_what_fit_makes_of_them(name, run_with):
    """And `fit` need not train them."""
    run = run_with(name)
    assert_same(run.tuner, run_with(name, reuse_programs=False).tuner)
    assert not run.reasons
    assert run.programs == 1


@pytest.mark.parametrize("name", sampling.only(["Looks", "HalvesRate"], PACKED))
def test_trials_of_a_pack_are_what_fit_makes_of_them(name, run_with):
    run = run_with(name, packed_trials=2)
    assert_same(run.tuner, run_with(name, reuse_programs=False).tuner)
    assert not run.reasons


def test_a_rate_is_really_lowered(run_with):
    plain, lowered = run_with("CSVLogger"), run_with("ReduceLROnPlateau")
    for one, other in zip(
        differences.curves_of(plain.tuner),
        differences.curves_of(lowered.tuner),
        strict=True,
    ):
        # From the third epoch on.
        differences_of = np.abs(np.subtract(one["loss"], other["loss"]))
        assert (differences_of[:2] < 1e-5).all()
        assert differences_of[2] > 1e-3


@pytest.mark.parametrize("arguments", [{}, {"packed_trials": 2}], ids=str)
def test_the_model_has_the_weights_of_the_epoch(arguments, run_with):
    """Of its own trial: what it predicts has the loss that is logged."""
    seen = run_with("Looks", **arguments).seen
    assert len(seen) == 3 * len(RATES)
    for logged, error, evaluated, _, _ in seen:
        assert error == pytest.approx(logged, 1e-4)
        assert evaluated == pytest.approx(logged, 1e-4)
    # Two trials, three epochs of three steps.
    assert len({total for *_, total, _ in seen}) == 3 * len(RATES)
    assert sorted(steps for *_, steps in seen) == [3, 3, 6, 6, 9, 9]


@pytest.mark.parametrize(
    ("name", "arguments"),
    sampling.one_in(
        3, itertools.product(["weights", "whole model"], [{}, {"packed_trials": 2}])
    ),
    ids=str,
)
def test_files_hold_what_was_logged(name, arguments, run_with):
    """Of each epoch of each trial: their names have the validation losses."""
    run = run_with(name, **arguments)
    losses = [
        loss
        for curves in differences.curves_of(run.tuner)
        for loss in curves["val_loss"]
    ]
    files = list(run.folder.iterdir())
    assert len(files) == len(losses) == 3 * len(RATES)
    model = run.tuner.hypermodel.build(keras_tuner.HyperParameters())
    x, y = VALIDATION
    for file in files:
        if name == "weights":
            model.load_weights(file)
        else:
            model = keras.models.load_model(file)
        loss = np.mean((model(x, training=False).numpy() - y) ** 2)
        said = file.name.partition("_")[2].removesuffix(".weights.h5")
        assert loss == pytest.approx(float(said.removesuffix(".keras")), 1e-4)
        assert min(abs(loss - each) for each in losses) < 1e-4 * loss


def test_a_log_file_has_the_curves_of_the_last_trial(run_with):
    """Each trial begins it anew, as with `fit`."""
    run = run_with("CSVLogger")
    with open(run.folder / "log.csv") as file:
        rows = list(csv.DictReader(file))
    curves = differences.curves_of(run.tuner)[-1]
    assert [int(row["epoch"]) for row in rows] == [0, 1, 2]
    for name in ("loss", "mae", "val_loss", "val_mae"):
        written = [float(row[name]) for row in rows]
        np.testing.assert_allclose(written, curves[name], rtol=1e-6)


def test_callbacks_are_called_as_fit_calls_them(run_with):
    right = run_with("Course", reuse_programs=False).seen
    assert right == run_with("Course").seen


@pytest.fixture(scope="module", name="adding")
def adding_fixture(tmp_path_factory):
    """Returns a search with `Adds`, and what a callback behind it saw of that."""
    SEEN.clear()
    last = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: SEEN.append(logs.get("own"))
    )
    tuner = searched(tmp_path_factory.mktemp("adding"), [Adds(), last], "own")
    return tuner, list(SEEN)


def test_callbacks_see_what_those_before_them_logged(adding):
    tuner, seen = adding
    curves = differences.curves_of(tuner)
    assert [value for each in curves for value in each["own"]] == seen
    assert sorted(tuner.leaderboard()["own"]) == sorted(min(c["own"]) for c in curves)


def test_the_best_model_is_that_of_the_epoch_that_a_callback_called_best(adding):
    """`Adds` adds the epoch: so the first one may be best, though others fit better."""
    tuner, _ = adding
    (model,) = tuner.get_best_models()
    loss = model.evaluate(*VALIDATION, batch_size=16, verbose=0)[0]
    row = tuner.leaderboard().iloc[0]
    assert 2 * loss + row["best_epoch"] - 1 == pytest.approx(row["own"], 1e-4)


@pytest.mark.parametrize(
    ("callback", "name"),
    sampling.one_in(
        5,
        [
            (Inherits(), "Inherits"),
            (ByTheBatch(), "ByTheBatch"),
            (ByTheTestedBatch(), "ByTheTestedBatch"),
            (
                keras.callbacks.LambdaCallback(
                    on_train_batch_end=lambda batch, logs: None
                ),
                "LambdaCallback",
            ),
            (
                keras.callbacks.ModelCheckpoint(
                    "never.weights.h5", save_freq=100, save_weights_only=True
                ),
                "ModelCheckpoint",
            ),
        ],
    ),
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_works_by_the_batch_is_fitted_and_named_once_a_search(
    callback, name, tmp_path
):
    """Also in the second search of a process."""
    arguments = {"callbacks": [callback], "hypermodel": build_least}
    fitted = searched(tmp_path / "fitted", reuse_programs=False, **arguments)
    seen = list(SEEN)
    for number in range(2):
        SEEN.clear()
        with reasons() as lines:
            tuner = searched(tmp_path / str(number), **arguments)
        (line,) = lines
        assert name in line
        assert seen == SEEN
        assert differences.curves_of(tuner) == differences.curves_of(fitted)


class LeavesTheLayer(keras.callbacks.Callback):
    def on_train_begin(self, logs=None):
        self.model.layers[0].trainable = False


class StopsAtOnce(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        self.model.stop_training = epoch == 1


class SetsTheRate(keras.callbacks.Callback):
    def set_model(self, model):
        super().set_model(model)
        model.optimizer.learning_rate = 0.5


CHANGES = [HalvesMomentum, LeavesTheLayer, StopsAtOnce, SetsTheRate]
# A number of the optimizer's, alone; and what is trained, in a pack. Above, others
# change rates and stop.
CHANGED = [(HalvesMomentum, {}), (LeavesTheLayer, {"packed_trials": 2})]


@pytest.mark.parametrize(
    ("callback", "arguments"),
    sampling.only(CHANGED, itertools.product(CHANGES, [{}, {"packed_trials": 2}])),
)
def test_what_a_callback_changes_before_the_first_step_is_as_in_fit(
    callback, arguments, tmp_path
):
    """Where a program would be another one, `fit` trains."""
    fitted = searched(tmp_path / "fitted", [callback()], reuse_programs=False)
    assert_same(searched(tmp_path / "shared", [callback()], **arguments), fitted)


@pytest.mark.skipif(
    importlib.util.find_spec("tensorboard") is None, reason="tensorboard is missing"
)
def test_tensorboard_writes_events_of_each_trial(tmp_path):
    callback = keras.callbacks.TensorBoard(str(tmp_path / "logs"))
    fitted = searched(tmp_path / "fitted", [callback], reuse_programs=False)
    assert_same(searched(tmp_path / "shared", [callback]), fitted)
    assert list((tmp_path / "logs").rglob("*tfevents*"))


class Raises(keras.callbacks.Callback):
    """Raises an error of trials whose rate is high, in one of Keras's hooks."""

    def __init__(self, hook, error):
        super().__init__()
        self.hook, self.error = hook, error

    def on_epoch_end(self, epoch, logs=None):
        self.told("on_epoch_end", epoch)

    def on_train_end(self, logs=None):
        self.told("on_train_end", None)

    def told(self, hook, epoch):
        rate = float(self.model.optimizer.learning_rate)
        SEEN.append((rate, hook, epoch))
        if hook == self.hook and epoch in (1, None) and rate > 0.05:
            raise self.error


def searched_with_errors(directory, hook, error, **arguments):
    tuner = tuners.RandomSearch(
        build_of_a_rate,
        "val_loss",
        max_trials=6,
        seed=0,
        directory=directory,
        max_consecutive_failed_trials=9,
        **arguments,
    )
    data = {"validation_data": VALIDATION, "epochs": 3, "verbose": 0}
    tuner.search(X[:48], Y[:48], callbacks=[Raises(hook, error)], **data)
    trials = tuner.oracle.trials.values()
    scores = [trial.score for trial in trials if trial.score is not None]
    told = sorted(SEEN, key=str)
    SEEN.clear()
    return told, [trial.status for trial in trials], scores


def build_of_a_rate(hp):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(hp.Float("rate", 0.01, 0.1)), "mse")
    return model


@pytest.mark.parametrize("hook", ["on_epoch_end", "on_train_end"])
def test_an_error_in_a_callback_is_that_of_its_trial_alone(hook, tmp_path, caplog):
    """Those beside it in a pack go on, and no callback is told anything twice."""
    ways: list[dict[str, Any]] = [{"packed_trials": 3}, {"packed_trials": "auto"}, {}]
    told, status, expected = searched_with_errors(
        tmp_path / "fit", hook, RuntimeError("mine"), reuse_programs=False
    )
    assert {"FAILED", "COMPLETED"} == set(status)
    for number, way in enumerate(ways):
        with caplog.at_level(logging.INFO, logger="keras_tricks"):
            found = searched_with_errors(
                tmp_path / str(number), hook, RuntimeError("mine"), **way
            )
        assert found[:2] == (told, status)
        assert found[2] == pytest.approx(expected, 1e-5)
    assert "Trained by `fit`" not in caplog.text


@pytest.mark.parametrize("packed_trials", [None, 3])
def test_a_fatal_error_in_a_callback_ends_the_search(packed_trials, tmp_path):
    with pytest.raises(keras_tuner.errors.FatalTypeError):
        searched_with_errors(
            tmp_path,
            "on_epoch_end",
            keras_tuner.errors.FatalTypeError("mine"),
            packed_trials=packed_trials,
        )
