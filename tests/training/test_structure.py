import keras
import pytest
import tensorflow as tf

from keras_tricks.optimizers import ClippedOptimizer
from keras_tricks.training.compiled import keras_hooks
from keras_tricks.training.compiled import runtime_scalars
from keras_tricks.training.compiled.data import Data
from keras_tricks.training.compiled.functional_model import FunctionalModel
from keras_tricks.training.compiled.programs import numbers_of
from keras_tricks.training.compiled.runtime_scalars import AttributeRef
from keras_tricks.training.compiled.runtime_scalars import RuntimeScalar
from keras_tricks.training.families import structure
from tests.training import sweeps


def adam(**kwargs):
    return keras.optimizers.Adam(**{"learning_rate": 0.1, **kwargs})


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
    assert reason in structure.reason_not_compiled_once(model())


def test_recurrent_layers_cannot_be_vectorized():
    layers = [keras.Input((3, 2)), keras.layers.LSTM(4), keras.layers.Dense(1)]
    model = compiled(keras.Sequential(layers))
    assert structure.reason_not_compiled_once(model) is None
    assert "lstm" in structure.reason_not_vectorized(model)
    assert structure.reason_not_vectorized(sweeps.mlp(adam())) is None


def test_a_fed_number_remembers_decisions():
    owner = {"momentum": 0.5}
    number = RuntimeScalar(AttributeRef("momentum", owner, "momentum"))
    with runtime_scalars.installed([number]):
        assert owner["momentum"] is number
    assert owner["momentum"] == 0.5
    assert number.accepts(0.0)
    assert number != 0
    assert number.accepts(0.7)
    assert not number.accepts(0.0)


def test_what_training_changes_must_have_been_made_by_the_build():
    backbone = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    optimizer = keras.optimizers.SGD(0.1)
    before = keras_hooks.VariablesBefore()

    def reason(model):
        return structure.reason_not_of_one_trial(model, before)

    def on_top(optimizer=None):
        return compiled(keras.Sequential([backbone, keras.layers.Dense(1)]), optimizer)

    assert "kernel" in reason(on_top())
    backbone.trainable = False
    assert reason(on_top()) is None
    assert "optimizer" in reason(on_top(optimizer))
    own = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    assert reason(compiled(own)) is None


def test_what_numbers_decide_is_known_before_a_program_is_traced():
    """Else trials that decide otherwise would wait for one program."""
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3, "softmax")])
    model.compile("sgd", keras.losses.CategoricalCrossentropy(label_smoothing=0.0))
    names = [
        place.name for place in runtime_scalars.places(model.optimizer, model.loss)
    ]
    numbers = numbers_of(model)
    data = Data((tf.zeros((2, 2)), tf.one_hot([0, 1], 3)), None, 2, order_seed=0)
    steps = FunctionalModel(model, data.sample, data.specs)
    assert steps.accepts(numbers)
    numbers[names.index("loss.label_smoothing")] = 0.1
    assert not steps.accepts(numbers)
