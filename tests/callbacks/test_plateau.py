"""ReduceScheduleOnPlateau against Keras's ReduceLROnPlateau and hand counts."""

import keras
import numpy as np
import pytest

from keras_tricks.callbacks import ReduceScheduleOnPlateau
from keras_tricks.optimizers import ClippedOptimizer
from keras_tricks.schedules import WarmupPolynomialDecay
from keras_tricks.schedules.scaled import Scaled
from tests import sampling
from tests.callbacks import constant_gradient
from tests.interruption import InterruptAt
from tests.interruption import Interruption

BATCHES = 4
EPOCHS = 5
RUN = BATCHES * EPOCHS


def schedule():
    return WarmupPolynomialDecay(1.0, 2 * RUN, warmup_steps=3)


def scheduled_rates(updates=RUN):
    return np.asarray(schedule()(np.arange(updates)))


def halving(**arguments):
    """Halves after each epoch but the first, whose value is the best so far."""
    return ReduceScheduleOnPlateau("never_better", patience=1, mode="min", **arguments)


# The multipliers of the epochs that `halving` makes, by hand.
HALVED = [1.0, 1.0, 0.5, 0.25, 0.125]


def assert_rates(rates, multipliers, first_epoch=0):
    epochs = len(multipliers)
    scheduled = scheduled_rates()[first_epoch * BATCHES :][: epochs * BATCHES]
    expected = scheduled * np.repeat(multipliers, BATCHES)
    np.testing.assert_allclose(rates, expected, rtol=1e-4, atol=1e-6)


WRAPPERS = {
    "plain": lambda inner: inner,
    "clipped": ClippedOptimizer,
    "loss scale": keras.optimizers.LossScaleOptimizer,
    "both": lambda inner: keras.optimizers.LossScaleOptimizer(ClippedOptimizer(inner)),
}


@pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=WRAPPERS)
def test_each_update_is_made_with_the_multiplied_rate(wrap):
    model = constant_gradient.compiled_model(wrap(keras.optimizers.SGD(schedule())))
    history, rates = constant_gradient.fit(model, EPOCHS, [halving()])
    assert history.history["learning_rate_multiplier"] == HALVED
    assert_rates(rates, HALVED)


def test_xla_takes_over_each_multiplier():
    optimizer = keras.optimizers.SGD(schedule())
    model = constant_gradient.compiled_model(optimizer, jit_compile=True)
    _, rates = constant_gradient.fit(model, EPOCHS, [halving()])
    assert_rates(rates, HALVED)


def test_a_step_that_was_compiled_before_the_callback_came_is_replaced():
    model = constant_gradient.compiled_model(keras.optimizers.SGD(schedule()))
    constant_gradient.fit(model, 1)
    _, rates = constant_gradient.fit(model, 4, [halving()])
    assert_rates(rates, HALVED[:4], first_epoch=1)


def test_the_optimizer_and_its_state_stay():
    optimizer = keras.optimizers.Adam(schedule())
    model = constant_gradient.compiled_model(optimizer)
    constant_gradient.fit(model, 1)
    variables = optimizer.variables
    constant_gradient.fit(model, 1, [halving()])
    assert model.optimizer is optimizer
    assert [id(v) for v in optimizer.variables] == [id(v) for v in variables]
    assert int(optimizer.iterations) == 2 * BATCHES


def test_the_decision_is_that_of_keras_on_a_settable_rate():
    """The values of the metric are drawn; Keras's own callback is the oracle."""
    values = np.random.default_rng(0).normal(size=30).tolist()
    arguments = {"patience": 2, "cooldown": 2, "min_delta": 0.1, "mode": "max"}
    keras_own = keras.callbacks.ReduceLROnPlateau(
        "metric", factor=0.5, min_lr=0.1, **arguments
    )
    ours = ReduceScheduleOnPlateau(
        "metric", factor=0.5, min_multiplier=0.1, **arguments
    )
    expected = replay(keras_own, keras.optimizers.SGD(1.0), values, "learning_rate")
    multipliers = replay(
        ours, keras.optimizers.SGD(schedule()), values, "learning_rate_multiplier"
    )
    assert multipliers == expected
    assert set(expected) == {1.0, 0.5, 0.25, 0.125, float(np.float32(0.1))}


def replay(callback, optimizer, values, key):
    callback.set_model(constant_gradient.compiled_model(optimizer))
    callback.on_train_begin()
    seen = []
    for epoch, value in enumerate(values):
        logs = {"metric": value}
        callback.on_epoch_begin(epoch)
        callback.on_epoch_end(epoch, logs)
        seen.append(logs[key])
    return seen


def test_auto_mode_knows_that_accuracy_goes_up():
    """Rising accuracies are improvements; as something to minimize they are none."""
    model = constant_gradient.compiled_model(
        keras.optimizers.SGD(schedule()), metrics=["accuracy"]
    )
    callback = ReduceScheduleOnPlateau("accuracy", patience=1)
    ones = np.ones((2, 1), "float32")
    model.evaluate(ones, ones, verbose=0)  # builds the metrics
    callback.set_model(model)
    callback.on_train_begin()
    for epoch in range(4):
        logs = {"accuracy": 0.1 * epoch}
        callback.on_epoch_end(epoch, logs)
    assert logs["learning_rate_multiplier"] == 1.0


def test_a_second_fit_goes_on_with_the_multiplier_and_counts_anew():
    """As with ReduceLROnPlateau, of which the rate stays and the rest is reset."""
    model = constant_gradient.compiled_model(keras.optimizers.SGD(schedule()))
    callback = halving()
    constant_gradient.fit(model, 3, [callback])
    history, _ = constant_gradient.fit(model, 2, [callback])
    assert history.history["learning_rate_multiplier"] == [0.25, 0.25]


def test_a_scaled_schedule_of_the_users_is_not_wrapped_again():
    scaled = Scaled(schedule(), 0.5)
    model = constant_gradient.compiled_model(keras.optimizers.SGD(scaled))
    history, rates = constant_gradient.fit(model, 3, [halving()])
    assert history.history["learning_rate_multiplier"] == [0.5, 0.5, 0.25]
    assert_rates(rates, [0.5, 0.5, 0.25])
    assert float(keras.ops.convert_to_numpy(scaled.multiplier)) == 0.125


def test_verbose_prints_each_reduction(capsys):
    model = constant_gradient.compiled_model(keras.optimizers.SGD(schedule()))
    constant_gradient.fit(model, 3, [halving(verbose=1)])
    printed = capsys.readouterr().out
    assert "Epoch 2: ReduceScheduleOnPlateau" in printed
    assert "multiplier to 0.5." in printed
    assert "Epoch 3: ReduceScheduleOnPlateau" in printed
    assert printed.count("ReduceScheduleOnPlateau") == 2


def test_a_metric_that_is_not_there_is_named_in_a_warning():
    model = constant_gradient.compiled_model(keras.optimizers.SGD(schedule()))
    callback = ReduceScheduleOnPlateau("val_los", mode="min")
    with pytest.warns(UserWarning, match="`val_los` which is not available"):
        constant_gradient.fit(model, 1, [callback])


@pytest.mark.parametrize("wrap", [WRAPPERS["plain"], WRAPPERS["both"]])
def test_backup_and_restore_goes_on_with_the_reduced_multiplier(wrap, tmp_path):
    def run(*more):
        model = constant_gradient.compiled_model(wrap(keras.optimizers.SGD(schedule())))
        backup = keras.callbacks.BackupAndRestore(tmp_path / "backup")
        return constant_gradient.fit(model, EPOCHS, [halving(), backup, *more])

    with pytest.raises(Interruption):
        run(InterruptAt(3))
    history, rates = run()
    # Epochs 3 and 4; the first of a fit is its best, so that it reduces nothing.
    assert history.history["learning_rate_multiplier"] == [0.25, 0.25]
    assert_rates(rates, [0.25, 0.25], first_epoch=3)


def test_weights_of_a_checkpoint_bring_the_multiplier_with_them(tmp_path):
    path = tmp_path / "epoch.weights.h5"
    checkpoint = keras.callbacks.ModelCheckpoint(path, save_weights_only=True)
    model = constant_gradient.compiled_model(keras.optimizers.SGD(schedule()))
    constant_gradient.fit(model, 3, [halving(), checkpoint])

    resumed = constant_gradient.compiled_model(keras.optimizers.SGD(schedule()))
    callback = halving()
    callback.set_model(resumed)
    resumed.optimizer.build(resumed.trainable_variables)
    resumed.load_weights(path)
    history, rates = constant_gradient.fit(resumed, 2, [callback])
    assert history.history["learning_rate_multiplier"] == [0.25, 0.25]
    assert_rates(rates, [0.25, 0.25], first_epoch=3)


RESUME_WITHOUT_THE_CALLBACK = """
import warnings
import keras
import keras_tricks
from tests.callbacks import constant_gradient

warnings.simplefilter("error", UserWarning)
keras.saving.register_keras_serializable("tests")(constant_gradient.first_output)
model = keras.models.load_model("model.keras")
before = int(model.optimizer.iterations)
_, rates = constant_gradient.fit(model, 2)
print(before, *rates)
"""


def test_a_saved_model_goes_on_with_it_in_a_new_process_without_the_callback(
    run_shared, tmp_path
):
    """The optimizer's whole state is there too, and nothing is warned of."""
    keras.saving.register_keras_serializable("tests")(constant_gradient.first_output)
    path = tmp_path / "model.keras"
    model = constant_gradient.compiled_model(
        ClippedOptimizer(keras.optimizers.SGD(schedule(), momentum=0.0))
    )
    checkpoint = keras.callbacks.ModelCheckpoint(path)
    constant_gradient.fit(model, 3, [halving(), checkpoint])
    printed = run_shared(RESUME_WITHOUT_THE_CALLBACK)
    before, *rates = printed.split()
    assert int(before) == 3 * BATCHES
    assert_rates([float(rate) for rate in rates], [0.25, 0.25], first_epoch=3)


def test_weights_saved_with_the_callback_load_without_it_and_the_other_way(tmp_path):
    """What only one of the two has is no error; the momenta are there."""

    def build():
        optimizer = keras.optimizers.SGD(schedule(), momentum=0.9)
        model = constant_gradient.compiled_model(optimizer)
        optimizer.build(model.trainable_variables)
        return model

    without, with_callback = build(), build()
    constant_gradient.fit(without, 2)
    constant_gradient.fit(with_callback, 3, [halving()])
    for source, target in ((with_callback, build()), (without, with_callback)):
        path = tmp_path / "model.weights.h5"
        source.save_weights(path)
        target.load_weights(path)
        for loaded, saved in zip(
            target.optimizer.variables, source.optimizer.variables, strict=True
        ):
            np.testing.assert_array_equal(loaded, saved)


UNDER_JAX = """
import keras
from tests.callbacks import test_plateau
from tests.callbacks import constant_gradient

label = {label!r}
optimizer = test_plateau.WRAPPERS[label](keras.optimizers.SGD(test_plateau.schedule()))
model = constant_gradient.compiled_model(optimizer)
if label == "clipped":
    # As from weights that are loaded after the step was compiled.
    constant_gradient.fit(model, 1, [test_plateau.halving()])
    model.optimizer.inner_optimizer.learning_rate_multiplier.multiplier.assign(0.5)
    _, rates = constant_gradient.fit(model, 4, [test_plateau.halving()])
    test_plateau.assert_rates(rates, [0.5, 0.5, 0.25, 0.125], first_epoch=1)
else:
    _, rates = constant_gradient.fit(
        model, test_plateau.EPOCHS, [test_plateau.halving()]
    )
    test_plateau.assert_rates(rates, test_plateau.HALVED)
print(keras.backend.backend())
"""


@pytest.mark.parametrize("label", sampling.only(["clipped", "both"], WRAPPERS))
def test_under_jax_the_compiled_step_follows_the_multiplier(label, run_shared):
    assert run_shared(UNDER_JAX.format(label=label), backend="jax") == "jax\n"


UNDER_MIRRORED = """
import keras
import tensorflow as tf
import keras_tricks.callbacks
from tests.callbacks import test_plateau
from tests.callbacks import constant_gradient

two = [tf.config.LogicalDeviceConfiguration()] * 2
(cpu,) = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpu, two)
with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
    optimizer = keras.optimizers.SGD(test_plateau.schedule())
    model = constant_gradient.compiled_model(optimizer)
recording = keras_tricks.callbacks.LearningRateHistory()
history, rates = constant_gradient.fit(
    model, test_plateau.EPOCHS, [test_plateau.halving(), recording]
)
test_plateau.assert_rates(rates, test_plateau.HALVED)
test_plateau.assert_rates(history.learning_rate_per_update, test_plateau.HALVED)
print("followed")
"""


def test_two_replicas_follow_the_multiplier_and_are_recorded_as_one(run_python):
    assert "followed" in run_python(UNDER_MIRRORED)


def test_a_rate_that_is_a_number_is_sent_to_keras_own_callback():
    model = constant_gradient.compiled_model(keras.optimizers.SGD(0.1))
    with pytest.raises(TypeError, match=r"ReduceLROnPlateau.*Received: learning_rate="):
        constant_gradient.fit(model, 1, [halving()])


@pytest.mark.parametrize(
    ("arguments", "error", "named"),
    [
        ({"monitor": None}, TypeError, "monitor"),
        ({"factor": 1.0}, ValueError, "factor"),
        ({"factor": 0.0}, ValueError, "factor"),
        ({"factor": "half"}, TypeError, "factor"),
        ({"patience": -1}, ValueError, "patience"),
        ({"patience": 1.5}, ValueError, "patience"),
        ({"min_delta": -1e-3}, ValueError, "min_delta"),
        ({"cooldown": -1}, ValueError, "cooldown"),
        ({"min_multiplier": float("nan")}, ValueError, "min_multiplier"),
        ({"verbose": -1}, ValueError, "verbose"),
    ],
)
def test_bad_arguments_are_named_with_what_was_received(arguments, error, named):
    with pytest.raises(error, match=rf"`{named}` must be .*Received: {named}="):
        ReduceScheduleOnPlateau(**arguments)


def test_an_unknown_mode_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match=r"'auto', 'min', 'max'.*'up'"):
        ReduceScheduleOnPlateau(mode="up")
