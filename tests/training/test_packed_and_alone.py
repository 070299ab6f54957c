import functools
import itertools

import keras
import keras_tuner
import numpy as np
import pytest
import scipy.stats

from keras_tricks.hypermodels import HyperCNN
from keras_tricks.hypermodels import HyperTextCNN
from keras_tricks.hypermodels import HyperTextTransformer
from keras_tricks.optimizers import ClippedOptimizer
from keras_tricks.schedules import WarmupPolynomialDecay
from keras_tricks.training import ProgramCache
from keras_tricks.training import train
from keras_tricks.training.compiled.data_order import epoch_order
from tests import sampling
from tests.training import sweeps

BOTH_OR_EITHER = list(itertools.product((False, True), repeat=2))
RATES = (0.001, 0.003, 0.01)
TOLERANCE = 1e-5


def train_digits(settings, build, **kwargs):
    training, _ = sweeps.digits()
    arguments = {
        "epochs": 2,
        "batch_size": sweeps.BATCH_SIZE,
        "seeds": range(len(settings)),
        **kwargs,
    }
    results = train(settings, build, *training, **arguments)
    # What `fit` has trained would be compared with itself.
    assert [each.reason for each in results] == [None] * len(settings)
    return results


def assert_same(some, others, tolerance=TOLERANCE):
    for one, other in zip(some, others, strict=True):
        difference = sweeps.largest_difference(one.weights, other.weights)
        assert difference <= tolerance, (one.setting, difference)
        assert one.curves.keys() == other.curves.keys()


# Clipping is one code for all optimizers: those of the sample that are clipped. No
# search has Adagrad, and the others that are left out do what momentum and Adam do
# number by number, with as many variables or fewer; Nadam has one more, of no shape.
CLIPPED = ("momentum", "adam")
LEFT_OUT = ("sgd", "nesterov", "adamw", "rmsprop", "adagrad", "lion")
PAIRS = [
    (name, is_clipped) for is_clipped in (False, True) for name in sweeps.OPTIMIZERS
]
SAMPLE = [
    (name, is_clipped)
    for name, is_clipped in PAIRS
    if is_clipped == (name in CLIPPED) and name not in LEFT_OUT
]


@pytest.mark.parametrize(("name", "is_clipped"), sampling.only(SAMPLE, PAIRS))
def test_packed_weights_are_those_of_training_alone(name, is_clipped):
    def build(rate):
        optimizer = sweeps.OPTIMIZERS[name](rate)
        return sweeps.mlp(sweeps.clipped(optimizer) if is_clipped else optimizer)

    alone = train_digits(RATES, build, packed=None)
    together = train_digits(RATES, build, packed=3)
    assert_same(together, alone)
    assert not np.allclose(alone[0].weights[0], alone[2].weights[0], atol=1e-3)


@pytest.mark.parametrize(
    ("norm", "dropout"), sampling.only([(True, True)], BOTH_OR_EITHER)
)
def test_norms_and_dropout_of_packed_trials_are_those_of_training_alone(norm, dropout):
    def build(rate):
        return sweeps.mlp(
            keras.optimizers.Adam(0.003), norm=norm, dropout=rate if dropout else None
        )

    settings = (0.0, 0.2, 0.5)
    alone = train_digits(settings, build, packed=None)
    together = train_digits(settings, build, packed=3)
    assert_same(together, alone)


def test_each_trial_is_clipped_by_its_own_norm_and_limit():
    def build(limit):
        optimizer = ClippedOptimizer(keras.optimizers.SGD(0.1), global_clipnorm=limit)
        return sweeps.mlp(optimizer)

    limits = (0.01, 0.1, 100.0)
    together = train_digits(limits, build, packed=3, epochs=1)
    training, _ = sweeps.digits()
    for limit, result in zip(limits, together, strict=True):
        keras.utils.set_random_seed(result.seed)
        model = build(limit)
        model.run_eagerly = True
        model.fit(*_in_order(*training), batch_size=32, shuffle=False, verbose=0)
        assert sweeps.largest_difference(result.weights, model.get_weights()) < 1e-5


def _in_order(x, y):
    order = epoch_order(0, 0, len(x))
    return x[order], y[order]


def test_a_pack_of_one_is_the_trial_alone():
    def build(rate):
        return sweeps.mlp(keras.optimizers.Adam(rate), norm=True, dropout=0.3)

    assert_same(
        train_digits([0.01], build, packed=1), train_digits([0.01], build, packed=None)
    )


@pytest.mark.parametrize("packed", [None, 3])
def test_a_program_that_is_used_again_gives_the_bits_of_a_new_one(packed):
    def build(rate):
        return sweeps.mlp(sweeps.clipped(keras.optimizers.Adam(rate)), dropout=0.3)

    cache = ProgramCache()
    _, validation = sweeps.digits()
    arguments = {"packed": packed, "validation_data": validation if packed else None}
    train_digits([0.1, 0.2, 0.3], build, seeds=9, cache=cache, **arguments)
    num_programs = len(cache.programs())
    again = train_digits(RATES, build, cache=cache, **arguments)
    assert len(cache.programs()) == num_programs
    new = train_digits(RATES, build, **arguments)
    for one, other in zip(again, new, strict=True):
        assert all(map(np.array_equal, one.weights, other.weights))
        for name in other.curves:
            np.testing.assert_array_equal(one.curves[name], other.curves[name])


def with_a_schedule(peak):
    schedule = WarmupPolynomialDecay(peak, decay_steps=21, warmup_steps=5)
    return sweeps.mlp(keras.optimizers.Adam(schedule), norm=True, dropout=0.2)


@functools.cache
def history_of_fit(peak, seed):
    training, validation = sweeps.digits()
    keras.utils.set_random_seed(seed)
    fitted = with_a_schedule(peak).fit(
        *training,
        batch_size=sweeps.BATCH_SIZE,
        epochs=3,
        shuffle=False,
        validation_data=validation,
        validation_batch_size=sweeps.BATCH_SIZE,
        verbose=0,
    )
    return fitted.history


@pytest.mark.parametrize("packed", [None, 2])
def test_losses_are_those_of_fit_to_rounding(packed):
    peaks = (0.003, 0.01)
    _, validation = sweeps.digits()
    results = train_digits(
        peaks,
        with_a_schedule,
        packed=packed,
        order_seed=None,
        epochs=3,
        validation_data=validation,
    )
    for peak, result in zip(peaks, results, strict=True):
        history = history_of_fit(peak, result.seed)
        assert history.keys() == result.curves.keys()
        for name, values in history.items():
            np.testing.assert_allclose(result.curves[name], values, rtol=2e-5)


def test_packed_trials_rank_as_they_do_alone():
    rates = list(np.geomspace(1e-4, 1.0, 32))

    def build(rate):
        return sweeps.mlp(keras.optimizers.Adam(rate), dropout=0.2)

    def compile_arguments(rate):
        return {
            "optimizer": keras.optimizers.Adam(rate),
            "loss": keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            "metrics": ["accuracy"],
        }

    shared = {
        "validation_data": sweeps.digits()[1],
        "seeds": 0,
        "same_network": lambda rate: "mlp",
        "compile_arguments": compile_arguments,
    }
    alone = train_digits(rates, build, packed=None, **shared)
    together = train_digits(rates, build, packed=16, **shared)
    correlation = scipy.stats.kendalltau(
        [result.score for result in alone], [result.score for result in together]
    )
    assert correlation.statistic >= 0.98


def hyper_cnn():
    return HyperCNN((8, 8, 1), 10, **PLAIN), _images(), {"filters": 16, "blocks": 1}


def hyper_text_cnn():
    return HyperTextCNN(50, 12, 3, **PLAIN), _texts(), {"filters": 32}


def hyper_text_transformer():
    hypermodel = HyperTextTransformer(50, 12, 3, **PLAIN)
    return hypermodel, _texts(), {"embedding_units": 64, "heads": 2, "blocks": 1}


PLAIN = {"total_steps": 35, "plain": True}


def _images():
    (x, y), _ = sweeps.digits()
    return x.reshape(-1, 8, 8, 1), y


def _texts():
    generator = np.random.default_rng(0)
    texts = generator.integers(1, 50, size=(sweeps.NUM_TRAINING, 12), dtype="int32")
    return texts, texts[:, 0] % 3


@pytest.mark.parametrize(
    "a_hypermodel",
    sampling.only(
        [hyper_cnn, hyper_text_transformer],
        [hyper_cnn, hyper_text_cnn, hyper_text_transformer],
    ),
)
def test_hypermodels_train_together_as_they_do_alone(a_hypermodel):
    hypermodel, (x, y), structural = a_hypermodel()
    scalar = {"learning_rate": (0.0003, 0.001), "global_clipnorm": (0.5, 2.0)}

    def build(trial):
        hp = keras_tuner.HyperParameters()
        for name, value in structural.items():
            hp.Fixed(name, value)
        for name, values in scalar.items():
            hp.Fixed(name, values[trial])
        return hypermodel.build(hp)

    arguments = {"epochs": 2, "batch_size": sweeps.BATCH_SIZE, "seeds": [1, 2]}
    alone = train([0, 1], build, x, y, packed=None, **arguments)
    together = train([0, 1], build, x, y, packed=2, **arguments)
    # A bias of all keys changes no attention: its gradient is rounding errors.
    kept = [not weight.path.endswith("key/bias") for weight in build(0).weights]
    for one, other in zip(together, alone, strict=True):
        weights = (itertools.compress(r.weights, kept) for r in (one, other))
        assert sweeps.largest_difference(*weights) <= TOLERANCE
        assert one.reason is None
