"""LearningRateHistory against what a weight with a constant gradient shows."""

import keras
import numpy as np
import pytest
from keras.optimizers.schedules import CosineDecay

from keras_tricks.callbacks import LearningRateHistory
from keras_tricks.callbacks import ReduceScheduleOnPlateau
from keras_tricks.optimizers import ClippedOptimizer
from keras_tricks.schedules import NoamSchedule
from keras_tricks.schedules import WarmupPolynomialDecay
from tests.callbacks import constant_gradient


def fit(optimizer, epochs=3, before=(), after=(), **arguments):
    """Returns the history and the rates as the weight shows them."""
    model = constant_gradient.compiled_model(optimizer)
    callbacks = [*before, LearningRateHistory(), *after]
    return constant_gradient.fit(model, epochs, callbacks, **arguments)


def assert_recorded(history, rates):
    np.testing.assert_allclose(
        history.learning_rate_per_update, rates, rtol=1e-4, atol=1e-6
    )


class OneNumberForAllSteps(keras.optimizers.schedules.LearningRateSchedule):
    def __call__(self, step):
        return 0.25

    def get_config(self):
        return {}


RATES = {
    "warmup and decay": lambda: WarmupPolynomialDecay(0.5, 12, 4),
    "noam": lambda: NoamSchedule(4, 5),
    # Keras's own refuses a vector of steps when it warms up.
    "scalar steps only": lambda: CosineDecay(0.1, 8, warmup_target=0.5, warmup_steps=4),
    "one number": OneNumberForAllSteps,
    "float": lambda: 0.25,
}


@pytest.mark.parametrize("rate", RATES.values(), ids=RATES)
def test_each_recorded_rate_is_the_one_the_weight_moved_by(rate):
    history, rates = fit(keras.optimizers.SGD(rate()))
    assert len(rates) == 12
    assert_recorded(history, rates)
    last_of_each_epoch = history.learning_rate_per_update[3::4]
    assert history.history["learning_rate"] == last_of_each_epoch


@pytest.mark.parametrize(
    "wrap",
    [
        ClippedOptimizer,
        lambda inner: keras.optimizers.LossScaleOptimizer(ClippedOptimizer(inner)),
    ],
    ids=["clipped", "loss scale and clipped"],
)
def test_wrapped_optimizers_are_recorded_as_plain_ones(wrap):
    inner = keras.optimizers.SGD(WarmupPolynomialDecay(0.5, 12, 4))
    assert_recorded(*fit(wrap(inner)))


def test_a_second_fit_records_its_own_updates():
    model = constant_gradient.compiled_model(
        keras.optimizers.SGD(WarmupPolynomialDecay(0.5, 12, 4))
    )
    callback = LearningRateHistory()
    constant_gradient.fit(model, 1, [callback])
    history, rates = constant_gradient.fit(model, 2, [callback])
    assert len(rates) == 8
    assert_recorded(history, rates)


def test_with_accumulation_there_is_one_rate_for_each_real_update():
    """3 batches an update, 4 batches an epoch: updates at batches 2, 5, 8 and 11."""
    optimizer = keras.optimizers.SGD(
        WarmupPolynomialDecay(0.5, 12, 4), gradient_accumulation_steps=3
    )
    history, rates = fit(optimizer)
    assert np.flatnonzero(rates).tolist() == [2, 5, 8, 11]
    assert_recorded(history, rates[[2, 5, 8, 11]])
    np.testing.assert_allclose(
        history.history["learning_rate"], rates[[2, 5, 11]], rtol=1e-4
    )


def test_an_epoch_without_an_update_logs_the_rate_of_the_next():
    """8 batches an update, 4 an epoch: the first epoch makes none."""
    optimizer = keras.optimizers.SGD(
        WarmupPolynomialDecay(0.5, 12, 4), gradient_accumulation_steps=8
    )
    history, rates = fit(optimizer, epochs=2)
    assert_recorded(history, rates[[7]])
    np.testing.assert_allclose(
        history.history["learning_rate"], rates[[7, 7]], rtol=1e-4
    )


@pytest.mark.parametrize("position", ["before", "after"])
@pytest.mark.parametrize(
    ("rate", "callback"),
    [
        (
            lambda: WarmupPolynomialDecay(0.5, 12, 4),
            lambda: ReduceScheduleOnPlateau("never_better", patience=1, mode="min"),
        ),
        (
            lambda: 0.5,
            lambda: keras.callbacks.ReduceLROnPlateau(
                "never_better", factor=0.5, patience=1, mode="min"
            ),
        ),
        (
            lambda: 0.5,
            lambda: keras.callbacks.LearningRateScheduler(lambda epoch: 0.1 / 2**epoch),
        ),
    ],
    ids=["ReduceScheduleOnPlateau", "ReduceLROnPlateau", "LearningRateScheduler"],
)
def test_changes_between_epochs_are_recorded_whatever_the_order(
    rate, callback, position
):
    history, rates = fit(keras.optimizers.SGD(rate()), **{position: [callback()]})
    assert rates[-1] != pytest.approx(rates[0])
    assert_recorded(history, rates)


def test_rates_go_to_the_callbacks_that_read_the_logs(tmp_path):
    log = tmp_path / "log.csv"
    fit(keras.optimizers.SGD(0.25), after=[keras.callbacks.CSVLogger(log)])
    header, *rows = log.read_text().splitlines()
    column = header.split(",").index("learning_rate")
    assert [float(row.split(",")[column]) for row in rows] == [0.25] * 3


def test_several_updates_an_execution_are_all_recorded():
    optimizer = keras.optimizers.SGD(WarmupPolynomialDecay(0.5, 12, 4))
    model = constant_gradient.compiled_model(optimizer, steps_per_execution=4)
    history, moved = constant_gradient.fit(model, 3, [LearningRateHistory()])
    per_epoch = np.reshape(history.learning_rate_per_update, (3, 4)).sum(axis=1)
    np.testing.assert_allclose(per_epoch, moved, rtol=1e-4)


def test_an_update_that_the_loss_scale_skips_is_not_recorded():
    """The first scale, 2**127, overflows until it has been halved often enough."""
    optimizer = keras.optimizers.LossScaleOptimizer(
        keras.optimizers.SGD(WarmupPolynomialDecay(0.5, 12, 4, join="shift")),
        initial_scale=2.0**127,
    )
    # A batch of two has a mean of two gradients, each 2**126.
    model = constant_gradient.compiled_model(optimizer)
    model.layers[0].kernel.assign([[1.0]])
    ones = np.full((8, 1), 8.0, "float32")
    seen = constant_gradient.WeightAfterEachBatch()
    history = model.fit(
        ones,
        ones,
        batch_size=2,
        epochs=3,
        verbose=0,
        callbacks=[LearningRateHistory(), seen],
    )
    made = int(optimizer.iterations)
    assert 0 < made < 12
    assert len(history.learning_rate_per_update) == made
    # The gradient is 8. Skipped updates, and the first of the warmup, move nothing.
    moved = seen.rates[12 - made :] / 8
    np.testing.assert_allclose(history.learning_rate_per_update, moved, rtol=1e-4)
