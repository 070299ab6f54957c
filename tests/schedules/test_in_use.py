"""Every schedule where schedules are used: in `fit`, in checkpoints, in loops.

To trace one training step for all schedules instead of one for each, they train side
by side: each has one output of a linear model to itself, and SGD gets a vector of
rates, one for each output.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_tricks.schedules.base import Schedule
from keras_tricks.schedules.compose import Joined
from keras_tricks.schedules.compose import PerUpdate
from keras_tricks.schedules.compose import Shifted
from keras_tricks.schedules.warmup import Warmup
from tests.interruption import InterruptAt
from tests.interruption import Interruption
from tests.schedules import families


def three_deep():
    """One of Keras's own inside three of ours."""
    cosine = keras.optimizers.schedules.CosineDecay(0.1, families.RUN_STEPS)
    return Shifted(Warmup(Joined([cosine, 0.05], [12]), families.WARMUP_STEPS), 1)


BUILDERS = [*families.BUILDERS, ("three deep", three_deep)]
LABELS = [label for label, _ in BUILDERS]

# Of 3 updates each, so that the first epoch ends during warmup.
EPOCHS = 7
UPDATES_PER_EPOCH = 3
UPDATES = EPOCHS * UPDATES_PER_EPOCH
ROWS_PER_UPDATE = 6


@keras.saving.register_keras_serializable(package="tests")
class SideBySide(Schedule):
    """The vector of the rates of several schedules at one step."""

    def __init__(self, schedules):
        super().__init__()
        self.schedules = schedules

    def rate(self, step):
        return keras.ops.stack([schedule(step) for schedule in self.schedules])


def all_schedules():
    return [build() for _, build in BUILDERS]


def compiled_model(schedules, **optimizer_arguments):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(len(BUILDERS))])
    optimizer = keras.optimizers.SGD(
        SideBySide(schedules), momentum=0.9, **optimizer_arguments
    )
    model.compile(optimizer, "mse")
    return model


def data(rows):
    random = np.random.default_rng(0)
    x = random.normal(size=(rows, 1)).astype("float32")
    return x, random.normal(size=(rows, len(BUILDERS))).astype("float32")


def train(model, callbacks=(), first_epoch=0, last_epoch=EPOCHS):
    """Trains with the same batches in each epoch, and returns the kernel."""
    model.fit(
        *data(UPDATES_PER_EPOCH * ROWS_PER_UPDATE),
        batch_size=ROWS_PER_UPDATE,
        shuffle=False,
        epochs=last_epoch,
        initial_epoch=first_epoch,
        callbacks=list(callbacks),
        verbose=0,
    )
    return kernel(model)


def kernel(model):
    return np.asarray(model.get_weights()[0])[0]


def assert_equal(trained, expected):
    different = np.flatnonzero(trained != expected)
    assert [LABELS[number] for number in different] == []


def assert_close(trained, expected):
    different = ~np.isclose(trained, expected, rtol=1e-4, atol=1e-6)
    assert [LABELS[number] for number in np.flatnonzero(different)] == []


def trained_from_ones():
    """The kernel after training from weights that are the same on every backend."""
    model = compiled_model(all_schedules())
    model.set_weights([np.ones_like(weights) for weights in model.get_weights()])
    return train(model)


def saved_during_warmup(path):
    """Saves a model after its first epoch, and returns it."""
    model = compiled_model(all_schedules())
    train(model, last_epoch=1)
    model.save(path)
    return model


def go_on(model):
    """Trains on a model that was saved, and returns the kernel."""
    return train(model, first_epoch=1)


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory):
    """The folder of a training that was interrupted in its second epoch.

    Each callback that keeps a state has kept that after the first.
    """
    folder = tmp_path_factory.mktemp("interrupted")
    model = compiled_model(all_schedules())
    callbacks = [
        keras.callbacks.ModelCheckpoint(folder / "{epoch}.keras"),
        keras.callbacks.ModelCheckpoint(
            folder / "{epoch}.weights.h5", save_weights_only=True
        ),
        keras.callbacks.BackupAndRestore(folder / "backup"),
        InterruptAt(1),
    ]
    with pytest.raises(Interruption):
        train(model, callbacks)
    return folder


@pytest.fixture(scope="module")
def uninterrupted():
    return train(compiled_model(all_schedules()))


def test_accumulated_batches_train_like_batches_that_are_larger():
    """3 batches of 2 rows an update, against one batch of the same 6 rows."""
    batches = 3
    x, y = data(UPDATES * ROWS_PER_UPDATE)
    accumulating = compiled_model(
        [PerUpdate(schedule, batches) for schedule in all_schedules()],
        gradient_accumulation_steps=batches,
    )
    larger = compiled_model(all_schedules())
    for model, batch_size in (
        (accumulating, ROWS_PER_UPDATE // batches),
        (larger, ROWS_PER_UPDATE),
    ):
        model.fit(x, y, batch_size=batch_size, shuffle=False, verbose=0)
    assert int(accumulating.optimizer.iterations) == UPDATES
    assert_close(kernel(accumulating), kernel(larger))


def test_a_model_checkpoint_goes_on_bit_for_bit(uninterrupted, interrupted):
    during_warmup = keras.models.load_model(interrupted / "1.keras")
    assert int(during_warmup.optimizer.iterations) == UPDATES_PER_EPOCH
    assert_equal(train(during_warmup, first_epoch=1), uninterrupted)


def test_a_checkpoint_of_the_weights_goes_on_bit_for_bit(uninterrupted, interrupted):
    resumed = compiled_model(all_schedules())
    resumed.optimizer.build(resumed.trainable_variables)
    resumed.load_weights(interrupted / "1.weights.h5")
    assert_equal(train(resumed, first_epoch=1), uninterrupted)


def test_backup_and_restore_goes_on_bit_for_bit(uninterrupted, interrupted):
    backup = keras.callbacks.BackupAndRestore(interrupted / "backup")
    restarted = compiled_model(all_schedules())
    assert_equal(train(restarted, [backup]), uninterrupted)
    assert int(restarted.optimizer.iterations) == UPDATES


def test_a_clone_compiled_from_the_config_trains_the_same(uninterrupted):
    model = compiled_model(all_schedules())
    clone = keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    clone.compile_from_config(model.get_compile_config())
    assert_equal(train(clone), uninterrupted)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_a_loop_of_ones_own_moves_a_weight_by_the_sum_of_the_rates(jit_compile):
    schedules = all_schedules()
    optimizer = keras.optimizers.SGD(SideBySide(schedules))
    weights = keras.Variable(np.zeros(len(BUILDERS), "float32"))
    optimizer.build([weights])

    @tf.function(jit_compile=jit_compile)
    def update():
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(weights.value)
        optimizer.apply(tape.gradient(loss, [weights.value]), [weights])

    for _ in range(UPDATES):
        update()
    one_by_one = [[float(s(step)) for step in range(UPDATES)] for s in schedules]
    assert_close(np.asarray(weights), -np.sum(one_by_one, axis=1))
