import logging

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_tricks.training import ProgramCache
from keras_tricks.training import train
from keras_tricks.training.compiled.data import Data
from keras_tricks.training.compiled.data_order import epoch_order
from keras_tricks.training.compiled.functional_model import FunctionalModel
from keras_tricks.training.compiled.functional_model import rate_curve
from keras_tricks.training.families.initial_weights import InitialWeights
from keras_tricks.training.packs import memory
from keras_tricks.training.packs import pack_size
from keras_tricks.training.packs import packing
from tests.training import sweeps

LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def build(rate):
    return sweeps.mlp(keras.optimizers.SGD(rate))


# Compiled by the first test that needs them.
PROGRAMS = ProgramCache()


def train_digits(settings, build=build, **kwargs):
    training, validation = sweeps.digits()
    arguments = {
        "validation_data": validation,
        "epochs": 3,
        "batch_size": sweeps.BATCH_SIZE,
        "seeds": 0,
        "packed": 3,
        **kwargs,
    }
    return train(settings, build, *training, **arguments)


def test_the_weights_give_the_score_in_a_model_of_ones_own():
    (result,) = train_digits([0.1], cache=PROGRAMS)
    model = build(0.1)
    model.set_weights(result.weights)
    _, (x, y) = sweeps.digits()
    loss, _ = model.evaluate(x, y, batch_size=sweeps.BATCH_SIZE, verbose=0)
    assert loss == pytest.approx(result.score, rel=1e-5)
    assert result.score == result.curves["val_loss"].min()


def test_a_diverged_trial_ends_and_harms_no_neighbour():
    with_it = train_digits([0.1, 3e38, 0.2], seeds=[1, 2, 3], cache=PROGRAMS)
    without = train_digits([0.1, 0.1, 0.2], seeds=[1, 2, 3], cache=PROGRAMS)
    assert [result.diverged for result in with_it] == [False, True, False]
    assert with_it[1].num_epochs == 1
    for place in (0, 2):
        for a, b in zip(with_it[place].weights, without[place].weights, strict=True):
            np.testing.assert_array_equal(a, b)


def test_each_trial_stops_as_early_stopping_would_stop_it():
    rates = [0.05, 2.0, 8.0]
    results = train_digits(rates, epochs=8, patience=2, cache=PROGRAMS)
    whole = train_digits(rates, epochs=8, cache=PROGRAMS)
    for result, longer in zip(results, whole, strict=True):
        losses, best, waited, end = longer.curves["val_loss"], np.inf, 0, 8
        for epoch, loss in enumerate(losses):
            waited = 0 if loss < best else waited + 1
            best = min(best, loss)
            if waited >= 2:
                end = epoch + 1
                break
        assert result.num_epochs == end
        assert result.score == best
        np.testing.assert_array_equal(result.curves["val_loss"], losses[:end])
    assert len({result.num_epochs for result in results}) > 1


@pytest.mark.parametrize("packed", [None, 2])
def test_on_epoch_sees_each_epoch_and_ends_a_trial(packed):
    seen = []

    def on_epoch(number, epoch, logs):
        seen.append((number, epoch))
        return number == 1 and epoch == 0

    results = train_digits(
        [0.1, 0.2, 0.3], packed=packed, on_epoch=on_epoch, cache=PROGRAMS
    )
    assert sorted(seen) == [(0, 0), (0, 1), (0, 2), (1, 0), (2, 0), (2, 1), (2, 2)]
    assert [result.num_epochs for result in results] == [3, 1, 3]


def test_momentum_of_zero_is_another_program_than_momentum():
    def build(momentum):
        return sweeps.mlp(keras.optimizers.SGD(0.1, momentum=momentum))

    cache = ProgramCache()
    results = train_digits(
        [0.0, 0.5, 0.9],
        build,
        cache=cache,
        packed=None,
        epochs=1,
        validation_data=None,
    )
    assert len(cache.programs()) == 2
    assert len({result.score for result in results}) == 3


def test_penalties_and_label_smoothing_are_fed():
    def build(setting):
        l2, smoothing = setting
        model = keras.Sequential(
            [
                keras.Input((64,)),
                keras.layers.Dense(10, kernel_regularizer=keras.regularizers.L2(l2)),
            ]
        )
        loss = keras.losses.CategoricalCrossentropy(
            from_logits=True, label_smoothing=smoothing
        )
        model.compile(keras.optimizers.SGD(0.1), loss)
        return model

    (x, y), _ = sweeps.digits()
    y = np.eye(10, dtype="float32")[y]
    settings = [(0.01, 0.1), (0.5, 0.3)]
    cache = ProgramCache()
    results = train(
        settings, build, x, y, epochs=1, batch_size=32, packed=2, cache=cache
    )
    assert len(cache.programs()) == 1
    order = epoch_order(0, 0, len(x))
    for setting, result in zip(settings, results, strict=True):
        keras.utils.set_random_seed(0)
        model = build(setting)
        model.run_eagerly = True
        history = model.fit(x[order], y[order], batch_size=32, shuffle=False, verbose=0)
        loss = history.history["loss"][0]
        assert result.curves["loss"][0] == pytest.approx(loss, rel=1e-5)


class OwnStep(keras.Sequential):
    def train_step(self, data):
        return super().train_step(data)


def test_what_is_not_understood_is_trained_by_fit_and_the_reason_logged_once(caplog):
    def own(rate):
        model = OwnStep([keras.Input((64,)), keras.layers.Dense(10)])
        model.compile(keras.optimizers.SGD(rate), LOSS)
        return model

    def plain(rate):
        model = keras.Sequential([keras.Input((64,)), keras.layers.Dense(10)])
        model.compile(keras.optimizers.SGD(rate), LOSS)
        return model

    arguments = {"epochs": 1, "validation_data": None}
    with caplog.at_level(logging.WARNING):
        by_fit = train_digits([0.1, 0.2], own, **arguments)
    assert len(caplog.records) == 1
    assert "train_step" in caplog.text
    compiled_once = train_digits([0.1, 0.2], plain, **arguments)
    for one, other in zip(by_fit, compiled_once, strict=True):
        assert "train_step" in one.reason
        assert other.reason is None
        assert sweeps.largest_difference(one.weights, other.weights) < 1e-5


def test_copied_trials_are_those_that_are_built():
    settings = [(0.1, 0.2), (0.2, 0.0), (0.3, 0.5), (0.05, 0.4)]
    built = []

    def build(setting):
        built.append(setting)
        rate, dropout = setting
        return sweeps.mlp(sweeps.clipped(keras.optimizers.Adam(rate)), dropout=dropout)

    def compile_arguments(setting):
        return {
            "optimizer": sweeps.clipped(keras.optimizers.Adam(setting[0])),
            "loss": keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            "metrics": ["accuracy"],
            "rate": setting[1],
        }

    shared = {"seeds": [3, 1, 4, 1], "packed": None, "cache": ProgramCache()}
    copies = train_digits(
        settings,
        build,
        same_network=lambda setting: 0,
        compile_arguments=compile_arguments,
        **shared,
    )
    assert built == settings[:2]
    originals = train_digits(settings, build, **shared)
    for one, other in zip(copies, originals, strict=True):
        assert all(map(np.array_equal, one.weights, other.weights))


def test_wrong_compile_arguments_are_found_out_and_not_used():
    built = []

    def build(rate):
        built.append(rate)
        return sweeps.mlp(keras.optimizers.SGD(rate))

    train_digits(
        [0.1, 0.2, 0.3],
        build,
        same_network=lambda setting: 0,
        compile_arguments=lambda rate: {
            "optimizer": keras.optimizers.SGD(7 * rate),
            "loss": keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            "metrics": ["accuracy"],
        },
        cache=PROGRAMS,
    )
    assert built == [0.1, 0.2, 0.3]


class DrawsInBuild(keras.layers.Layer):
    def build(self, input_shape):
        self.kernel = self.add_weight(
            shape=(input_shape[-1],), initializer=keras.initializers.RandomNormal()
        )

    def call(self, inputs):
        return inputs * self.kernel


def model_of(*layers):
    return keras.Sequential([keras.Input((6, 8)), *layers])


def agree(weights, model, seed):
    """Whether a model that was built after `set_random_seed(seed)` starts so."""
    variables = [*model.trainable_variables, *model.non_trainable_variables]
    return all(
        np.array_equal(value, variable.numpy())
        for value, variable in zip(weights(seed), variables, strict=True)
    )


@pytest.mark.parametrize("seed", [0, 1, 12345])
def test_initial_weights_are_those_of_a_build_with_the_seed(seed):
    def model():
        return model_of(
            keras.layers.Conv1D(4, 3, kernel_initializer="he_normal"),
            keras.layers.BatchNormalization(),
            keras.layers.GRU(4),
            keras.layers.Dropout(0.5),
            keras.layers.Dense(3, kernel_initializer="truncated_normal"),
        )

    keras.utils.set_random_seed(7)
    weights = InitialWeights(model(), seed=7)
    keras.utils.set_random_seed(seed)
    assert agree(weights, model(), seed)


@pytest.mark.parametrize("seed", [0, 12345])
def test_initial_weights_of_attention_are_those_of_a_build(seed):
    def model():
        inputs = keras.Input((6, 8))
        attention = keras.layers.MultiHeadAttention(2, key_dim=3)
        return keras.Model(inputs, attention(inputs, inputs))

    keras.utils.set_random_seed(7)
    weights = InitialWeights(model(), seed=7)
    keras.utils.set_random_seed(seed)
    assert agree(weights, model(), seed)


def test_an_initializer_that_nobody_kept_shows_in_the_next_model():
    keras.utils.set_random_seed(7)
    weights = InitialWeights(model_of(DrawsInBuild()), seed=7)
    keras.utils.set_random_seed(8)
    assert not agree(weights, model_of(DrawsInBuild()), 8)


@pytest.mark.parametrize(
    "schedule",
    [
        0.25,
        keras.optimizers.schedules.ExponentialDecay(0.1, 3, 0.5),
        keras.optimizers.schedules.CosineDecay(0.1, 10, warmup_steps=3),
    ],
)
def test_the_curve_of_rates_is_the_schedule_step_by_step(schedule):
    curve = rate_curve(sweeps.clipped(keras.optimizers.SGD(schedule)), 12)
    expected = [
        schedule if isinstance(schedule, float) else float(schedule(tf.constant(step)))
        for step in range(12)
    ]
    np.testing.assert_allclose(curve, expected, rtol=3e-7)


def test_memory_of_a_trial_counts_each_copy():
    model = build(0.1)
    training, _ = sweeps.digits()
    data = Data(training, None, batch_size=32, order_seed=0)
    functional = FunctionalModel(model, data.sample, data.specs)
    weights = 4 * sum(int(np.prod(w.shape)) for w in model.get_weights())
    counters = 8 + 4  # The optimizer's iterations, and its rate.
    metrics = 4 * (2 + 2)  # Sum and count of the loss and of the accuracy.
    expected = 2 * (weights + counters + metrics) + weights + weights
    assert memory.bytes_per_trial(functional) == expected
    assert memory.largest_pack(functional, memory_limit=10 * expected + 1) == 10
    assert memory.largest_pack(functional, memory_limit=1) == 1


def test_a_pack_that_does_not_fit_is_split():
    sizes = _sizes_of_packs(memory_limit=1, packed=4)
    assert sizes == [1] * 5


def test_packs_are_of_equal_size_and_the_last_is_filled_up():
    assert _sizes_of_packs(packed=4) == [3, 3]


def test_a_pack_that_runs_out_of_memory_is_halved(caplog):
    fails = iter([True])

    def run(*args, **kwargs):
        if next(fails, False):
            raise tf.errors.ResourceExhaustedError(None, None, "out of memory")
        return packing.run(*args, **kwargs)

    assert _sizes_of_packs(packed=5, run=run) == [5, 3, 3]
    assert "Out of memory" in caplog.text


def _sizes_of_packs(run=packing.run, **kwargs):
    sizes = []

    def counting(program, trials, *args, **more):
        sizes.append(len(trials))
        return run(program, trials, *args, **more)

    with pytest.MonkeyPatch.context() as patch:
        fake = type("packing", (), {"run": staticmethod(counting)})
        patch.setattr(pack_size, "packing", fake)
        rates = [0.1, 0.2, 0.3, 0.4, 0.5]
        results = train_digits(rates, epochs=1, cache=PROGRAMS, **kwargs)
    alone = train_digits(rates, epochs=1, packed=None, cache=PROGRAMS)
    for one, other in zip(results, alone, strict=True):
        assert sweeps.largest_difference(one.weights, other.weights) < 1e-5
    return sizes


def test_the_programs_that_were_used_last_are_kept():
    cache = ProgramCache(max_models=2)
    for units in (8, 16, 8, 24):
        setting = [0.1]
        training, _ = sweeps.digits()
        train(
            setting,
            lambda rate, units=units: sweeps.mlp(
                sweeps.OPTIMIZERS["sgd"](rate), units=units
            ),
            *training,
            epochs=1,
            packed=None,
            cache=cache,
        )
    kept = [program.functional.model.layers[0].units for program in cache.programs()]
    assert kept == [8, 24]


def test_few_trials_are_not_worth_vectorizing():
    cache = ProgramCache()
    train_digits([0.1, 0.2], packed="auto", cache=cache, epochs=1, validation_data=None)
    assert [program.packed for program in cache.programs()] == [False]


def test_packs_that_may_be_no_faster_are_told_of_once(caplog):
    training, _ = sweeps.digits()
    sizes = {"small": 8, "too large for a processor's cache": 6000}
    told = {}
    for name, units in sizes.items():
        caplog.clear()
        train(
            [0.1, 0.2, 0.3, 0.4],
            lambda rate, units=units: sweeps.mlp(
                sweeps.OPTIMIZERS["sgd"](rate), units=units
            ),
            *(array[:64] for array in training),
            epochs=1,
            packed=2,
        )
        told[name] = [m for m in caplog.messages if "beside each other" in m]
    assert [len(messages) for messages in told.values()] == [0, 1]
    assert '"auto"' in told["too large for a processor's cache"][0]


def test_jit_compiled_packs_give_the_same_losses():
    results = train_digits([0.1, 0.2], epochs=1, packed=2, jit_compile=True)
    others = train_digits([0.1, 0.2], epochs=1, packed=None, cache=PROGRAMS)
    for one, other in zip(results, others, strict=True):
        np.testing.assert_allclose(
            one.curves["val_loss"], other.curves["val_loss"], rtol=1e-5
        )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"packed": 0}, "packed"),
        ({"epochs": 0}, "epochs"),
        ({"patience": 0}, "patience"),
        ({"seeds": [1]}, "1 seeds"),
        ({"same_network": lambda setting: 0}, "compile_arguments"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        train_digits([0.1, 0.2], **arguments)


def test_averages_of_the_weights_are_kept_beside_them_to_the_end():
    """`fit` puts them in their place once, when it ends."""
    (x, y), validation = sweeps.digits()

    def build(rate):
        made = keras.Sequential([keras.Input(x.shape[1:]), keras.layers.Dense(10)])
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        made.compile(keras.optimizers.Adam(rate, use_ema=True), loss)
        return made

    given = {"validation_data": validation, "batch_size": 64, "epochs": 3}
    (result,) = train([0.1], build, x, y, seeds=5, order_seed=None, **given)
    keras.utils.set_random_seed(5)
    model = build(0.1)
    model.run_eagerly = True
    history = model.fit(x, y, shuffle=False, verbose=0, **given).history
    np.testing.assert_allclose(
        result.curves["val_loss"], history["val_loss"], rtol=1e-5
    )
