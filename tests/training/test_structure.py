import keras
import pytest

from keras_tricks.optimizers import AdamWeightDecay
from keras_tricks.optimizers import ClippedOptimizer
from keras_tricks.schedules import NoamSchedule
from keras_tricks.training import structure
from keras_tricks.training.fed_numbers import FedNumber
from keras_tricks.training.fed_numbers import Place
from tests.training import sweeps


def adam(**kwargs):
    return keras.optimizers.Adam(**{"learning_rate": 0.1, **kwargs})


def signature(optimizer, **kwargs):
    return structure.signature(sweeps.mlp(optimizer, **kwargs))


def test_trials_that_differ_in_fed_numbers_have_one_structure():
    some = signature(
        ClippedOptimizer(adam(beta_2=0.99, weight_decay=0.1), global_clipnorm=1.0),
        dropout=0.1,
    )
    others = signature(
        ClippedOptimizer(
            adam(learning_rate=NoamSchedule(16), beta_2=0.9, weight_decay=0.2),
            global_clipnorm=2.0,
        ),
        dropout=0.7,
    )
    assert some == others


@pytest.mark.parametrize(
    "other",
    [
        lambda: signature(adam(), units=8),
        lambda: signature(adam(), norm=True),
        lambda: signature(adam(), dropout=0.5),
        lambda: signature(adam(amsgrad=True)),
        lambda: signature(adam(weight_decay=0.1)),
        lambda: signature(keras.optimizers.Nadam(0.1)),
        lambda: signature(ClippedOptimizer(adam(), global_clipnorm=1.0)),
        lambda: signature(ClippedOptimizer(adam(), clipnorm=1.0)),
    ],
)
def test_what_changes_the_computation_changes_the_structure(other):
    assert other() != signature(adam())


def test_names_that_are_excluded_from_decay_are_structure():
    def excluding(*names):
        optimizer = keras.optimizers.AdamW(0.1)
        optimizer.exclude_from_weight_decay(var_names=list(names))
        return signature(optimizer)

    assert excluding("bias") == excluding("bias")
    assert excluding("bias") != excluding("kernel")


def test_rate_multipliers_of_layers_are_structure():
    def times(factor):
        multipliers = {"dense": factor}
        return signature(AdamWeightDecay(0.1, learning_rate_multipliers=multipliers))

    assert times(0.5) == times(0.5)
    assert times(0.5) != times(0.25)


class OwnStep(keras.Sequential):
    def train_step(self, data):
        return super().train_step(data)


class OwnOptimizer(keras.optimizers.SGD):
    pass


def compiled(model, optimizer=None):
    model.compile(optimizer or keras.optimizers.SGD(0.1), "mse")
    return model


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (lambda: keras.Sequential([keras.layers.Dense(1)]), "not compiled"),
        (lambda: compiled(keras.Sequential([keras.layers.Dense(1)])), "not built"),
        (
            lambda: compiled(OwnStep([keras.Input((2,)), keras.layers.Dense(1)])),
            "its own `train_step`",
        ),
        (lambda: sweeps.mlp(OwnOptimizer(0.1)), "OwnOptimizer"),
        (lambda: sweeps.mlp(adam(use_ema=True)), "averages"),
        (lambda: sweeps.mlp(adam(gradient_accumulation_steps=2)), "accumulates"),
        (lambda: sweeps.mlp(keras.optimizers.SGD(lambda: 0.1)), "learning rate"),
        (
            lambda: sweeps.mlp(
                ClippedOptimizer(adam(), global_clipnorm=1.0, nonfinite="skip")
            ),
            'nonfinite="skip"',
        ),
        (
            lambda: sweeps.mlp(keras.optimizers.LossScaleOptimizer(adam())),
            "LossScaleOptimizer",
        ),
    ],
)
def test_what_is_not_understood_is_said(model, reason):
    assert reason in structure.why_not_compiled_once(model())


def test_recurrent_layers_cannot_be_vectorized():
    layers = [keras.Input((3, 2)), keras.layers.LSTM(4), keras.layers.Dense(1)]
    model = compiled(keras.Sequential(layers))
    assert structure.why_not_compiled_once(model) is None
    assert "lstm" in structure.why_not_vectorized(model)
    assert structure.why_not_vectorized(sweeps.mlp(adam())) is None


def test_a_fed_number_remembers_decisions():
    owner = {"momentum": 0.5}
    number = FedNumber(Place("momentum", owner, "momentum"))
    assert owner["momentum"] is number
    assert number.accepts(0.0)
    assert number != 0
    assert number.accepts(0.7)
    assert not number.accepts(0.0)
