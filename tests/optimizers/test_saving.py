"""State that is stored once, and callbacks that store and change it.

That training goes on bit for bit in a new process after `.keras` was written is tested
for every optimizer in test_contract.py.
"""

import io
import zipfile

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_tricks.optimizers import ClippedOptimizer
from keras_tricks.optimizers import PercentileLimit
from tests.optimizers import test_contract as suite
from tests.optimizers.arrays import assert_same_bits
from tests.optimizers.small_steps import state_of


def optimizer_with_all_state():
    return ClippedOptimizer(
        keras.optimizers.AdamW(0.01, weight_decay=0.1, use_ema=True),
        global_clipnorm=PercentileLimit(50, window=3, min_updates=1),
        nonfinite="skip",
        gradient_accumulation_steps=3,
    )


def clipped_adam(**arguments):
    return ClippedOptimizer(keras.optimizers.Adam(0.01), **arguments)


@pytest.mark.usefixtures("uncompiled")
def test_a_file_holds_each_variable_once(tmp_path):
    model = suite.compiled_model(optimizer_with_all_state())
    suite.train(model)
    model.save(tmp_path / "model.keras")
    with zipfile.ZipFile(tmp_path / "model.keras") as archive:
        file = h5py.File(io.BytesIO(archive.read("model.weights.h5")))
    stored = []
    file["optimizer"].visititems(
        lambda name, item: stored.append(item[()]) if hasattr(item, "shape") else None
    )

    def order(arrays):
        return sorted((a.shape, a.tolist()) for a in map(np.asarray, arrays))

    assert order(stored) == order(state_of(model.optimizer))


def test_a_checkpoint_of_tensorflow_holds_each_variable_once(tmp_path):
    model = suite.compiled_model(optimizer_with_all_state())
    suite.train(model)
    checkpoint = tf.train.Checkpoint(optimizer=model.optimizer)
    path = checkpoint.save(tmp_path / "checkpoint")
    stored = [
        name
        for name, _ in tf.train.list_variables(path)
        if name.startswith("optimizer/") and "/_trainable_variables/" not in name
    ]
    # Every Keras optimizer has a counter and a rate of its own; the wrapper's are
    # unused, but TensorFlow stores them.
    assert len(stored) == len(model.optimizer.variables) + 2


def test_a_checkpoint_of_tensorflow_restores_training_bit_for_bit(tmp_path):
    model = suite.compiled_model(optimizer_with_all_state())
    suite.train(model)
    path = tf.train.Checkpoint(model=model, optimizer=model.optimizer).save(
        tmp_path / "checkpoint"
    )
    restored = suite.compiled_model(optimizer_with_all_state())
    restored.optimizer.build(restored.trainable_variables)
    tf.train.Checkpoint(model=restored, optimizer=restored.optimizer).restore(
        path
    ).assert_consumed()
    assert_same_bits(suite.train(restored), suite.train(model))
    assert_same_bits(state_of(restored.optimizer), state_of(model.optimizer))


def test_what_was_reported_and_changed_comes_back_from_a_file(tmp_path):
    model = suite.compiled_model(clipped_adam(global_clipnorm=1.0))
    model.optimizer.global_clipnorm = 0.25
    suite.train(model)
    model.save(tmp_path / "model.keras")
    before, after = (
        {
            "limit": optimizer.global_clipnorm,
            "norm": optimizer.gradient_norm,
            "updates": optimizer.num_updates,
            "clipped": optimizer.clipped_fraction,
        }
        for optimizer in (
            model.optimizer,
            keras.models.load_model(tmp_path / "model.keras").optimizer,
        )
    )
    assert before == after
    assert before["limit"] == 0.25
    assert before["updates"] == 8
    assert 0 < before["clipped"] <= 1


def test_weights_are_set_as_they_were_got():
    optimizers = [clipped_adam(global_clipnorm=limit) for limit in (1.0, 2.0)]
    trained, other = map(suite.compiled_model, optimizers)
    suite.train(trained)
    other.optimizer.build(other.trainable_variables)
    state = state_of(trained.optimizer)
    other.optimizer.set_weights(state)
    assert_same_bits(state_of(other.optimizer), state)


def test_a_file_of_other_counts_is_told_and_the_rest_is_loaded(tmp_path):
    model = suite.compiled_model(clipped_adam(global_clipnorm=1.0))
    suite.train(model)
    model.save_weights(tmp_path / "model.weights.h5")
    other = suite.compiled_model(clipped_adam())
    other.optimizer.build(other.trainable_variables)
    with pytest.warns(UserWarning, match="holds 3 variables, and 2 were expected"):
        other.load_weights(tmp_path / "model.weights.h5")
    assert other.optimizer.num_updates == 0
    assert_same_bits(
        state_of(other.optimizer.inner_optimizer),
        state_of(model.optimizer.inner_optimizer),
    )


class Stop(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 2:
            raise InterruptedError


@pytest.mark.usefixtures("uncompiled")
def test_backup_and_restore_continues_bit_for_bit(tmp_path):
    x, y = suite.data()

    def fit(model, *callbacks):
        model.fit(
            x, y, batch_size=8, epochs=4, shuffle=False, verbose=0, callbacks=callbacks
        )
        return model.get_weights()

    def build():
        return suite.compiled_model(optimizer_with_all_state())

    def backup():
        return keras.callbacks.BackupAndRestore(tmp_path / "backup")

    with pytest.raises(InterruptedError):
        fit(build(), backup(), Stop())
    continued = build()
    assert_same_bits(fit(continued, backup()), fit(build()))
    # 8 of the batches came after the interruption, and 8 before.
    assert continued.optimizer.num_updates == 16 // 3


def nothing(optimizer):
    return optimizer


def fit_with(optimizer, make_callback):
    """Weights and rate after `fit` with validation and a callback."""
    x, y = suite.data()
    model = suite.compiled_model(optimizer)
    model.fit(
        x,
        y,
        batch_size=8,
        epochs=3,
        shuffle=False,
        verbose=0,
        validation_data=(x, y),
        callbacks=[make_callback()],
    )
    return model.get_weights(), float(model.optimizer.learning_rate)


@pytest.mark.usefixtures("uncompiled")
@pytest.mark.parametrize(
    ("make_inner", "make_callback", "around"),
    [
        (
            lambda: keras.optimizers.Adam(0.1, use_ema=True, ema_momentum=0.9),
            lambda: keras.callbacks.SwapEMAWeights(swap_on_epoch=True),
            nothing,
        ),
        (
            lambda: keras.optimizers.Adam(0.1, use_ema=True, ema_momentum=0.9),
            lambda: keras.callbacks.SwapEMAWeights(swap_on_epoch=True),
            keras.optimizers.LossScaleOptimizer,
        ),
        (
            lambda: keras.optimizers.SGD(0.01),
            # No loss falls by 100, so that the rate falls after every epoch.
            lambda: keras.callbacks.ReduceLROnPlateau(
                monitor="loss", patience=1, min_delta=100.0
            ),
            nothing,
        ),
        (
            lambda: keras.optimizers.SGD(0.01),
            lambda: keras.callbacks.LearningRateScheduler(
                lambda epoch: 0.01 / 2**epoch
            ),
            nothing,
        ),
    ],
    ids=[
        "SwapEMAWeights",
        "SwapEMAWeights-LossScaleOptimizer",
        "ReduceLROnPlateau",
        "LearningRateScheduler",
    ],
)
def test_a_callback_does_what_it_does_to_the_inner_optimizer_alone(
    make_inner, make_callback, around
):
    # A power of two that is not reached changes no bit.
    wrapped = ClippedOptimizer(make_inner(), global_clipnorm=1024.0)
    weights, rate = fit_with(around(wrapped), make_callback)
    expected, expected_rate = fit_with(around(make_inner()), make_callback)
    assert_same_bits(weights, expected)
    assert rate == expected_rate


class Terse(keras.optimizers.SGD):
    """An optimizer of someone who writes down only what is given to it."""

    def __init__(self, learning_rate):
        super().__init__(learning_rate)

    def get_config(self):
        return {"learning_rate": 0.5}


def test_an_optimizer_with_a_terse_config_is_restored():
    config = ClippedOptimizer(Terse(0.5), clipnorm=1.0).get_config()
    restored = ClippedOptimizer.from_config(config, custom_objects={"Terse": Terse})
    assert type(restored.inner_optimizer) is Terse
    assert float(restored.learning_rate) == 0.5
