"""GradientMonitor against the gradients of a linear model, computed in NumPy."""

import csv
import math

import keras
import numpy as np
import pytest

from keras_tricks.callbacks import GradientMonitor
from keras_tricks.optimizers import ClippedOptimizer

RATE, LIMIT, BATCH_SIZE, BATCHES, EPOCHS = 0.05, 2.0, 4, 5, 2
KEYS = ["clipped_fraction", "gradient_norm", "skipped_updates"]


def data():
    generator = np.random.default_rng(0)
    x = generator.normal(size=(BATCHES * BATCH_SIZE, 3)).astype("float32")
    return x, (x @ [[1.0], [-2.0], [0.5]]).astype("float32")


def norms_by_hand(epochs=EPOCHS, batches_per_update=1, limit=LIMIT):
    """Of `0.5 * mean((x @ w - y)**2)`'s gradient, under clipped gradient descent."""
    x, y = (array.astype("float64") for array in data())
    w, norms = np.zeros((3, 1)), []
    size = BATCH_SIZE * batches_per_update
    for _ in range(epochs):
        for first in range(0, len(x), size):
            rows = slice(first, first + size)
            gradient = x[rows].T @ (x[rows] @ w - y[rows]) / size
            norms.append(np.linalg.norm(gradient))
            w -= RATE * gradient * limit / max(norms[-1], limit)
    return norms


def shares_by_hand(norms):
    """Of each epoch's updates until each, how many were above the limit."""
    above = np.reshape(norms, (-1, BATCHES)) > LIMIT
    shares = np.cumsum(above, axis=1) / np.arange(1, BATCHES + 1)
    assert 0 < shares.mean() < 1  # Some, not all.
    return shares.ravel().tolist()


def half_squared_error(y_true, y_pred):
    return 0.5 * keras.ops.square(y_pred - y_true)


class LogsOfEachBatch(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.logs = []

    def on_train_batch_end(self, batch, logs=None):
        self.logs.append(dict(logs))


def fit(
    optimizer=None, callbacks=(), epochs=EPOCHS, y=None, compile_arguments=(), **limits
):
    """Trains a linear model; returns model, history and the logs of each batch."""
    if optimizer is None:
        limits = {"global_clipnorm": LIMIT, **limits}
        optimizer = ClippedOptimizer(keras.optimizers.SGD(RATE), **limits)
    layer = keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")
    model = keras.Sequential([keras.Input((3,)), layer])
    model.compile(optimizer, loss=half_squared_error, **dict(compile_arguments))
    x, targets = data()
    seen = LogsOfEachBatch()
    history = model.fit(
        x,
        targets if y is None else y,
        batch_size=BATCH_SIZE,
        epochs=epochs,
        shuffle=False,
        verbose=0,
        callbacks=[*callbacks, seen],
    )
    return model, history.history, seen.logs


def assert_norms_are_those_of_numpy(**compile_arguments):
    monitor = GradientMonitor()
    _, history, logs = fit(callbacks=[monitor], compile_arguments=compile_arguments)
    norms = norms_by_hand()
    shares = shares_by_hand(norms)
    assert monitor.norms == pytest.approx(norms, rel=1e-5)
    assert [batch["gradient_norm"] for batch in logs] == monitor.norms
    assert [batch["clipped_fraction"] for batch in logs] == pytest.approx(shares)
    means = np.reshape(norms, (EPOCHS, BATCHES)).mean(axis=1)
    assert history["gradient_norm"] == pytest.approx(means, rel=1e-5)
    assert history["clipped_fraction"] == pytest.approx(shares[BATCHES - 1 :: BATCHES])
    assert history["skipped_updates"] == [0] * EPOCHS


@pytest.mark.parametrize("jit_compile", [False, True])
def test_norms_and_shares_are_those_of_numpy(jit_compile):
    assert_norms_are_those_of_numpy(jit_compile=jit_compile)


def targets_with_nan_from(batch, until=BATCHES):
    _, y = data()
    y[batch * BATCH_SIZE : until * BATCH_SIZE] = np.nan
    return y


def test_skipped_updates_are_counted_and_left_out_of_the_epochs_mean():
    monitor = GradientMonitor()
    _, history, logs = fit(
        callbacks=[monitor], epochs=1, y=targets_with_nan_from(1, 3), nonfinite="skip"
    )
    assert [math.isnan(norm) for norm in monitor.norms] == [0, 1, 1, 0, 0]
    assert [batch["skipped_updates"] for batch in logs] == [0, 1, 2, 2, 2]
    assert history["skipped_updates"] == [2]
    finite = [norm for norm in monitor.norms if not math.isnan(norm)]
    assert finite[0] == pytest.approx(norms_by_hand()[0], rel=1e-5)
    assert history["gradient_norm"] == pytest.approx([np.mean(finite)])
    assert history["clipped_fraction"] == [np.mean(np.array(finite) > LIMIT)]


def assert_run_ends_after_the_first_skip_too_many(**compile_arguments):
    monitor = GradientMonitor()
    with pytest.raises(RuntimeError, match=r"3 updates in a row.*_skips=2"):
        fit(
            callbacks=[monitor],
            y=targets_with_nan_from(1),
            nonfinite="skip",
            max_consecutive_skips=2,
            compile_arguments=compile_arguments,
        )
    # One good update, and the three that were skipped.
    assert [math.isnan(norm) for norm in monitor.norms] == [0, 1, 1, 1]
    assert np.isfinite(monitor.model.get_weights()[0]).all()


def test_too_many_skips_in_a_row_end_a_run_that_xla_compiled():
    assert_run_ends_after_the_first_skip_too_many(jit_compile=True)


UNDER_JAX = """
import keras
from tests.callbacks import test_gradients

test_gradients.assert_norms_are_those_of_numpy()
test_gradients.assert_run_ends_after_the_first_skip_too_many()
print(keras.backend.backend())
"""


def test_under_jax_values_are_those_of_the_batch_that_ended(run_shared):
    """The same facts as above, in a child."""
    assert run_shared(UNDER_JAX, backend="jax") == "jax\n"


def test_a_loss_scaler_around_it_shows_norms_of_unscaled_gradients():
    monitor = GradientMonitor()
    inner = ClippedOptimizer(keras.optimizers.SGD(RATE), global_clipnorm=LIMIT)
    scaler = keras.optimizers.LossScaleOptimizer(inner, initial_scale=1024.0)
    fit(scaler, [monitor])
    assert monitor.norms == pytest.approx(norms_by_hand(), rel=1e-5)


def test_with_accumulation_there_is_one_norm_for_each_update():
    """It is that of the mean gradient, which is the gradient of the larger batch."""
    monitor = GradientMonitor()
    _, history, logs = fit(callbacks=[monitor], gradient_accumulation_steps=BATCHES)
    expected = norms_by_hand(batches_per_update=BATCHES)
    assert len(expected) == EPOCHS
    assert monitor.norms == pytest.approx(expected, rel=1e-5)
    assert history["gradient_norm"] == pytest.approx(expected, rel=1e-5)
    # Nothing to show before the first update.
    shown = ["gradient_norm" in batch for batch in logs[:BATCHES]]
    assert shown == [False] * (BATCHES - 1) + [True]


def test_an_epoch_without_an_update_logs_nan_and_no_share():
    _, history, _ = fit(
        callbacks=[GradientMonitor()], gradient_accumulation_steps=2 * BATCHES
    )
    assert [math.isnan(norm) for norm in history["gradient_norm"]] == [True, False]
    assert history["skipped_updates"] == [0, 0]


def test_a_second_fit_starts_anew():
    monitor = GradientMonitor()
    model, _, _ = fit(callbacks=[monitor])
    x, y = data()
    history = model.fit(
        x, y, BATCH_SIZE, epochs=1, shuffle=False, verbose=0, callbacks=[monitor]
    )
    expected = norms_by_hand(epochs=EPOCHS + 1)[-BATCHES:]
    assert monitor.norms == pytest.approx(expected, rel=1e-5)
    share = np.mean(np.array(expected) > LIMIT)
    assert history.history["clipped_fraction"] == [share]


def test_watching_changes_no_bit_of_the_training():
    watched, history, _ = fit(callbacks=[GradientMonitor()])
    alone, plain_history, _ = fit()
    np.testing.assert_array_equal(watched.get_weights()[0], alone.get_weights()[0])
    assert {key: history[key] for key in history if key not in KEYS} == plain_history


@pytest.mark.parametrize(("clipped", "says_so"), [(5, False), (6, True)])
def test_a_line_says_if_more_than_half_of_ten_updates_were_clipped(
    clipped, says_so, capsys
):
    """The limit is far below every norm in the first updates, then far above."""
    limit = keras.optimizers.schedules.PiecewiseConstantDecay(
        [clipped - 1], [1e-3, 1e3]
    )
    monitor = GradientMonitor()
    fit(callbacks=[monitor], global_clipnorm=limit)
    printed = capsys.readouterr().out
    assert printed.count("\n") == says_so
    if says_so:
        assert "6 of 10 updates (60%) were clipped;" in printed
        assert f"the median norm was {np.median(monitor.norms):.3g}." in printed
        assert "lower the learning rate" in printed


@pytest.mark.parametrize("verbose", [0, 1])
def test_the_line_names_the_limit_and_may_be_turned_off(verbose, capsys):
    fit(callbacks=[GradientMonitor(verbose=verbose)], global_clipnorm=0.001)
    printed = capsys.readouterr().out
    assert printed.startswith(
        "GradientMonitor: 10 of 10 updates (100%) were clipped at "
        "global_clipnorm=0.001; "
        if verbose
        else ""
    )
    assert bool(printed) == bool(verbose)


def test_a_csv_file_gets_the_values_of_each_epoch(tmp_path):
    log = tmp_path / "log.csv"
    _, history, _ = fit(
        callbacks=[GradientMonitor(), keras.callbacks.CSVLogger(str(log))]
    )
    with log.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for key in KEYS:
        assert [float(row[key]) for row in rows] == pytest.approx(history[key])


def test_tensorboard_shows_the_norm_of_each_update(tmp_path):
    pytest.importorskip(
        "tensorboard", reason="keras.callbacks.TensorBoard needs tensorboard"
    )
    import tensorflow as tf

    board = keras.callbacks.TensorBoard(
        tmp_path, update_freq="batch", write_graph=False
    )
    monitor = GradientMonitor()
    fit(callbacks=[monitor, board])
    shown = {}
    for file in tmp_path.glob("train/events*"):
        for event in tf.compat.v1.train.summary_iterator(str(file)):
            for value in event.summary.value:
                if value.tag == "batch_gradient_norm":
                    shown[event.step] = float(tf.make_ndarray(value.tensor))
    assert [shown[step] for step in sorted(shown)] == pytest.approx(monitor.norms)


def test_a_model_without_a_clipped_optimizer_is_refused_with_the_call_to_make():
    with pytest.raises(
        ValueError, match=r"compile\(ClippedOptimizer\(.*Received: .*optimizer SGD"
    ):
        fit(keras.optimizers.SGD(RATE), [GradientMonitor()])


def test_evaluate_and_predict_leave_it_alone():
    """It has no word in them, whatever the optimizer."""
    model, _, _ = fit(keras.optimizers.SGD(RATE))
    x, y = data()
    monitor = GradientMonitor()
    model.predict(x, verbose=0, callbacks=[monitor])
    model.evaluate(x, y, verbose=0, callbacks=[monitor])
    assert monitor.norms == []
