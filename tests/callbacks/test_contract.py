"""What holds for every callback of the package."""

import copy
import functools
import inspect

import keras
import keras_tuner
import numpy as np
import pytest

import keras_tricks.callbacks
from keras_tricks.callbacks import GradientMonitor
from keras_tricks.callbacks import LearningRateHistory
from keras_tricks.callbacks import ReduceScheduleOnPlateau
from keras_tricks.callbacks import StopHopeless
from keras_tricks.callbacks import SwitchOnPlateau
from keras_tricks.optimizers import ClippedOptimizer
from keras_tricks.schedules import WarmupPolynomialDecay

# Public name -> function that builds one that watches the training and, as long as
# the loss improves, leaves it alone, and what it adds to the logs.
CALLBACKS = {
    "LearningRateHistory": (LearningRateHistory, "learning_rate"),
    "ReduceScheduleOnPlateau": (
        lambda: ReduceScheduleOnPlateau("loss", patience=2),
        "learning_rate_multiplier",
    ),
}

every_callback = pytest.mark.parametrize(
    ("build", "key"), CALLBACKS.values(), ids=CALLBACKS
)

OPTIMIZERS = {
    "plain": lambda schedule: keras.optimizers.Adam(schedule),
    "clipped": lambda schedule: ClippedOptimizer(
        keras.optimizers.Adam(schedule), global_clipnorm=1.0
    ),
}

EPOCHS = 3


def train(build_optimizer, callbacks, epochs=EPOCHS):
    """Returns the history and the weights of a short run."""
    keras.utils.set_random_seed(0)
    # Small, so that no scaled gradient overflows float16 and no update is skipped.
    x = np.random.default_rng(0).uniform(0.0, 0.1, (8, 2)).astype("float32")
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    schedule = WarmupPolynomialDecay(0.1, 40, 4)
    model.compile(build_optimizer(schedule), "mse")
    history = model.fit(
        x, x.sum(axis=1), batch_size=2, epochs=epochs, callbacks=callbacks, verbose=0
    )
    return history.history, model.get_weights()


@functools.cache
def unwatched(build_optimizer, policy):
    assert keras.config.dtype_policy().name == policy
    return train(build_optimizer, [])


def assert_watch(callbacks, build_optimizer):
    """The run with callbacks is that without them, and each epoch is logged.

    Args:
        callbacks: Pairs of a function that builds one and what it adds to the logs.
        build_optimizer: From a schedule to an optimizer.
    """
    history, weights = train(build_optimizer, [build() for build, _ in callbacks])
    plain_history, plain_weights = unwatched(
        build_optimizer, keras.config.dtype_policy().name
    )
    for with_callback, without in zip(weights, plain_weights, strict=True):
        np.testing.assert_array_equal(with_callback, without)
    for _, key in callbacks:
        assert history.pop(key) == pytest.approx(EXPECTED[key])
    assert history == plain_history


# By hand: the rates at steps 3, 7 and 11, the last of the epochs, of a warmup to 0.1
# over 4 updates and a decay over 40.
EXPECTED = {
    "learning_rate": [0.1 * 3 / 4, 0.1 * 33 / 40, 0.1 * 29 / 40],
    "learning_rate_multiplier": [1.0, 1.0, 1.0],
}


# They need an optimizer of their own, and so have tests of their own, in
# test_gradients.py and, of the switch, in tests/optimizers/test_switched.py.
ELSEWHERE = {"GradientMonitor", "LiveCurves", "StopHopeless", "SwitchOnPlateau"}


def test_every_public_callback_is_in_the_suite():
    assert set(keras_tricks.callbacks.__all__) == set(CALLBACKS) | ELSEWHERE


@every_callback
@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_watching_changes_no_bit_of_the_training(build, key, optimizer):
    assert_watch([(build, key)], optimizer)


def test_watching_changes_no_bit_of_training_in_mixed_precision():
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        # `compile` wraps it once more, to scale the loss.
        assert_watch(CALLBACKS.values(), OPTIMIZERS["clipped"])
    finally:
        keras.config.set_dtype_policy(before)


UNDER_JAX = """
import keras
from tests.callbacks import test_contract

test_contract.assert_watch(
    test_contract.CALLBACKS.values(), test_contract.OPTIMIZERS["clipped"]
)
print(keras.backend.backend())
"""


def test_watching_changes_no_bit_of_the_training_under_jax(run_shared):
    """By all of them together; what each does alone is seen above."""
    assert run_shared(UNDER_JAX, backend="jax") == "jax\n"


def test_copies_made_before_training_do_the_same():
    """KerasTuner copies the callbacks for each trial."""
    callbacks = [build() for build, _ in CALLBACKS.values()]
    history, _ = train(OPTIMIZERS["plain"], copy.deepcopy(callbacks))
    for _, key in CALLBACKS.values():
        assert history[key] == pytest.approx(EXPECTED[key])


@every_callback
def test_evaluate_and_predict_take_the_callback(build, key):
    """It has nothing to add there: the results are those without it."""
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    x = np.ones((4, 2), "float32")
    for method, arguments in (("predict", (x,)), ("evaluate", (x, x[:, :1]))):
        if method == "evaluate":
            model.compile(keras.optimizers.SGD(WarmupPolynomialDecay(0.1, 40)), "mse")
        run = getattr(model, method)
        with_callback = run(*arguments, verbose=0, callbacks=[build()])
        np.testing.assert_array_equal(with_callback, run(*arguments, verbose=0))


def test_all_together_go_through_a_search_of_keras_tuner(tmp_path):
    """KerasTuner reads the whole history and expects one value for each epoch."""

    def build_model(hp):
        model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        rate = hp.Float("rate", 0.01, 0.1)
        model.compile(keras.optimizers.SGD(WarmupPolynomialDecay(rate, 8)), "mse")
        return model

    class Search(keras_tuner.RandomSearch):
        def run_trial(self, trial, *arguments, **keywords):
            histories.append(
                self.hypermodel.build(trial.hyperparameters).fit(*arguments, **keywords)
            )
            return histories[-1]

    histories = []
    tuner = Search(
        build_model, keras_tuner.Objective("loss", "min"), 2, directory=tmp_path
    )
    x = np.ones((4, 2), "float32")
    callbacks = [build() for build, _ in CALLBACKS.values()]
    tuner.search(x, x[:, :1], epochs=2, verbose=0, callbacks=callbacks)
    assert len(histories) == 2
    for history in histories:
        assert {len(values) for values in history.history.values()} == {2}
        assert {"learning_rate", "learning_rate_multiplier"} < set(history.history)


@pytest.mark.parametrize(
    "callback",
    [
        GradientMonitor(verbose=0),
        LearningRateHistory(),
        ReduceScheduleOnPlateau("loss", factor=0.3, patience=3, mode="max"),
        StopHopeless("val_f1", trivial=0.5, mode="max", warmup_epochs=2),
        SwitchOnPlateau("accuracy", patience=3, mode="max"),
    ],
    ids=lambda callback: type(callback).__name__,
)
def test_what_a_callback_shows_makes_it_again(callback):
    again = eval(repr(callback), vars(keras_tricks.callbacks))
    names = inspect.signature(type(callback)).parameters
    assert [getattr(again, n) for n in names] == [getattr(callback, n) for n in names]
    assert repr(again) == repr(callback)
