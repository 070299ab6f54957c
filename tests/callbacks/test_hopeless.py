"""Trainings that are ended, and those that are not, by what their curves say."""

import logging
import math
import types

import keras
import keras_tuner
import numpy as np
import pytest

from keras_tricks import tuners
from keras_tricks.callbacks import StopHopeless
from keras_tricks.diagnosis import trivial_score


def ended_at(callback, epochs, *, first=0, **curves):
    """Shows a callback curves; returns the epoch at which it ends them, or None."""
    callback.set_params({"epochs": epochs})
    callback.set_model(types.SimpleNamespace(stop_training=False))
    callback.on_train_begin()
    length = len(next(iter(curves.values())))
    for epoch in range(length):
        logs = {n: v[epoch] for n, v in curves.items() if not math.isinf(v[epoch])}
        callback.on_epoch_end(first + epoch, logs)
        if callback.model.stop_training:
            assert callback.stopped_epoch == first + epoch
            assert callback.reason
            return first + epoch
    assert callback.stopped_epoch is callback.reason is None
    return None


def falling(epochs=50, floor=0.2):
    return floor + 2.0 / np.arange(1, epochs + 1)


def test_a_curve_that_falls_is_not_ended():
    curve = falling()
    callback = StopHopeless(trivial=2.5, baseline=0.3)
    assert ended_at(callback, 50, loss=curve, val_loss=curve) is None


@pytest.mark.parametrize("bad", [math.nan, -math.nan])
@pytest.mark.parametrize("name", ["loss", "val_loss"])
def test_one_that_is_not_finite_is_ended_at_once_but_for_the_warmup(bad, name):
    curves = {"loss": falling(), "val_loss": falling()}
    curves[name] = np.concatenate([curves[name][:3], [bad] * 10])
    assert ended_at(StopHopeless(), 50, **curves) == 3
    assert ended_at(StopHopeless(warmup_epochs=6), 50, **curves) == 6


def test_what_was_not_finite_in_the_warmup_does_not_count_after_it():
    curve = np.concatenate([[math.nan] * 3, falling(47, floor=0.5)])
    stop = StopHopeless(baseline=0.1, trivial=3.0, warmup_epochs=3)
    assert 8 < ended_at(stop, 50, loss=curve, val_loss=curve) < 40
    good = StopHopeless(baseline=0.6, trivial=3.0, warmup_epochs=3)
    assert ended_at(good, 50, loss=curve, val_loss=curve) is None


def test_one_that_rises_above_where_it_began_is_ended_and_one_that_rises_less_is_not():
    random = np.random.default_rng(0)
    noise = random.normal(0.0, 0.01, 40)
    diverging = np.concatenate([falling(10), np.linspace(0.4, 9.0, 30)]) + noise
    at = ended_at(StopHopeless("loss"), 40, loss=diverging)
    assert 10 < at < 25
    # Validation that gets worse while training goes on is for early stopping.
    assert ended_at(StopHopeless(), 40, loss=falling(40), val_loss=diverging) is None
    # A rate that rises in the warmup, and what comes back from it.
    hill = np.concatenate([np.linspace(2.3, 5.0, 8), 2.0 / np.arange(1, 33)])
    assert ended_at(StopHopeless("loss", warmup_epochs=9), 40, loss=hill) is None


def test_a_plateau_is_not_ended():
    """At first nothing is learned for a while, then everything."""
    random = np.random.default_rng(1)
    curve = np.concatenate([np.full(30, 1.2), np.full(20, 0.1)])
    curve = curve + random.normal(0.0, 0.01, 50)
    assert ended_at(StopHopeless(trivial=1.6), 50, loss=curve, val_loss=curve) is None


def test_one_no_better_than_the_trivial_predictor_is_ended_after_a_fair_time():
    curve = np.full(100, 2.31)
    callback = StopHopeless(trivial=2.3)
    assert ended_at(callback, 100, loss=curve, val_loss=curve) == 25
    assert "no better than the 2.3" in callback.reason
    patient = StopHopeless(trivial=2.3, fair_share=0.5, warmup_epochs=3)
    assert ended_at(patient, 100, loss=curve, val_loss=curve) == 50
    once_better = curve.copy()
    once_better[2] = 2.2
    assert ended_at(callback, 100, loss=curve, val_loss=once_better) is None


def test_one_that_cannot_get_to_the_baseline_is_ended_and_one_that_can_is_not():
    random = np.random.default_rng(2)
    curve = falling(floor=0.5) + random.normal(0.0, 0.005, 50)
    hopeless = StopHopeless(baseline=0.1, verbose=0)
    at = ended_at(hopeless, 50, loss=curve, val_loss=curve)
    assert 5 < at < 40
    assert "would reach 0.1 with a chance of" in hopeless.reason
    assert ended_at(StopHopeless(baseline=0.56), 50, loss=curve, val_loss=curve) is None
    sure = StopHopeless(baseline=0.1, confidence=1.0)
    assert ended_at(sure, 50, loss=curve, val_loss=curve) is None


def test_of_an_accuracy_more_is_better():
    accuracy = 0.6 - 0.4 / np.arange(1, 51)
    assert ended_at(
        StopHopeless("val_accuracy", baseline=0.9), 50, val_accuracy=accuracy
    )
    assert not ended_at(
        StopHopeless("val_accuracy", baseline=0.55, trivial=0.1),
        50,
        val_accuracy=accuracy,
    )
    assert ended_at(StopHopeless("gain", mode="max", baseline=0.9), 50, gain=accuracy)


def test_a_fit_that_goes_on_counts_its_own_epochs_and_those_that_are_left():
    curve = falling(floor=0.5)
    first = ended_at(StopHopeless(baseline=0.1), 50, val_loss=curve)
    later = ended_at(StopHopeless(baseline=0.1), 150, first=100, val_loss=curve)
    assert later == first + 100


def test_epochs_without_validation_are_not_taken_for_values():
    curve = np.full(60, np.inf)
    curve[4::5] = falling(12, floor=0.5)
    at = ended_at(StopHopeless(baseline=0.05), 60, loss=falling(60), val_loss=curve)
    assert at is not None
    assert at >= 19  # There are four values then.


def test_a_metric_that_is_not_logged_is_named():
    with pytest.raises(ValueError, match=r"`monitor` must be one of .*loss.*'aucc'"):
        ended_at(StopHopeless("aucc"), 5, loss=falling())


def test_a_metric_of_which_more_is_better_is_known_or_asked_for():
    rising = 0.56 + 0.38 * np.linspace(0.0, 1.0, 40)
    stop = StopHopeless("val_binary_io_u", trivial=0.45)
    assert ended_at(stop, 40, val_binary_io_u=rising) is None
    with pytest.raises(ValueError, match=r"`monitor` must tell .*'answer'"):
        StopHopeless("answer", trivial=0.45)
    stop = StopHopeless("answer", trivial=0.45, mode="max")
    assert ended_at(stop, 40, answer=rising) is None


def test_of_several_values_the_mean_counts():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3, "softmax")])
    model.compile("sgd", "categorical_crossentropy", metrics=[keras.metrics.F1Score()])
    stop = StopHopeless("f1_score", trivial=2.0, fair_share=0.0)
    x, y = np.ones((6, 2)), np.eye(3)[[0, 1, 2] * 2]
    model.fit(x, y, epochs=9, verbose=0, callbacks=[stop])
    assert stop.stopped_epoch == 5


def test_a_metric_on_validation_data_that_never_comes_is_told():
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse", run_eagerly=True)
    with pytest.warns(UserWarning, match="no 'val_loss' in what `fit` logged, loss"):
        model.fit(
            np.ones((4, 1)), np.ones(4), verbose=0, callbacks=[StopHopeless(baseline=0)]
        )


def build(hp):
    rate = hp.Choice("rate", [1e-7, 0.3, 1e30])
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(rate), "mse")
    return model


def test_searches_end_the_same_trials_in_every_way(tmp_path, caplog):
    random = np.random.default_rng(3)
    x = random.normal(size=(64, 4)).astype("float32")
    y = x.sum(axis=1) + 5.0
    curves = {}
    for way in ({"reuse_programs": False}, {}, {"packed_trials": 3}):
        stop = StopHopeless(trivial=trivial_score(y, "mse"))
        tuner = tuners.GridSearch(
            build,
            keras_tuner.Objective("val_loss", "min"),
            seed=0,
            directory=tmp_path / str(way),
            **way,
        )
        with caplog.at_level(logging.INFO, "keras_tricks"):
            tuner.search(
                x, y, validation_data=(x, y), epochs=12, verbose=0, callbacks=[stop]
            )
        records = tuner._ended_records()
        curves[str(way)] = [len(r.executions[0].curves["loss"]) for r in records]
    by_fit, *others = curves.values()
    assert by_fit[1] == 12
    assert by_fit[0] < 12
    assert others == [by_fit, by_fit]
    assert not [r for r in caplog.records if "StopHopeless" in r.getMessage()]
