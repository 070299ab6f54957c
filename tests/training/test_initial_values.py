"""Variables that wait for their values: the bits of a build that makes them at once."""

import copy
import tempfile

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_tricks import tuners
from keras_tricks.training.compiled import keras_hooks
from keras_tricks.training.families import initial_values
from tests.training import sweeps

# Of a matrix; the filters of `STFT` are of two convolutions.
INITIALIZERS = [
    kind
    for name, kind in sorted(vars(keras.initializers).items())
    if isinstance(kind, type)
    and name == kind.__name__
    and name not in ("Initializer", "STFT")
]
X = np.random.default_rng(0).normal(size=(64, 6)).astype("float32")
Y = (X[:, :1] > 0).astype("float32")
OPTIMIZERS = {
    "sequential": lambda: keras.optimizers.Adam(0.01),
    "functional": lambda: keras.optimizers.SGD(
        keras.optimizers.schedules.ExponentialDecay(0.1, 5, 0.5), momentum=0.9
    ),
    "half precision": lambda: sweeps.clipped(keras.optimizers.Adam(0.01)),
}


def made(kind):
    """Returns a model with all of Keras's initializers, and layers that draw seeds."""
    keras.utils.set_random_seed(5)
    layers, dtype = keras.layers, "float32"
    if kind == "half precision":
        dtype = "mixed_bfloat16"
    hidden = [
        layers.Dense(6, kernel_initializer=one(), dtype=dtype) for one in INITIALIZERS
    ]
    hidden += [layers.Dropout(0.1), layers.BatchNormalization(dtype=dtype)]
    if kind == "functional":
        inputs = keras.Input((4, 6), dtype="int32"), keras.Input((4, 6))
        x = layers.Embedding(9, 6)(layers.Reshape((24,))(inputs[0]))
        x = layers.MultiHeadAttention(2, 3, dropout=0.1)(x, x)
        y = layers.LSTM(6, recurrent_dropout=0.1)(inputs[1])
        y = layers.Conv1D(6, 3, bias_initializer=keras.initializers.Constant(2.0))(
            y[:, :, None]
        )
        x = layers.Add()([layers.Flatten()(x)[:, :6], layers.Flatten()(y)[:, :6]])
        for layer in hidden:
            x = layer(x)
        model = keras.Model(inputs, x)
    else:
        model = keras.Sequential([keras.Input((6,)), *hidden])
    model.compile(OPTIMIZERS[kind](), "mse", metrics=["mae"])
    return model


def variables_of(model):
    metrics = [variable for each in model.metrics for variable in each.variables]
    return [*model.variables, *model.optimizer.variables, *metrics]


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_values_that_wait_are_those_that_are_made_at_once(kind):
    right = [variable.numpy() for variable in variables_of(made(kind))]
    with initial_values.deferred():
        variables = variables_of(made(kind))
    waiting = [isinstance(v, keras_hooks.DeferredVariable) for v in variables]
    # The bias of an LSTM is made by a function of the layer's.
    assert waiting.count(False) == (kind == "functional")
    assert len(right) == len(variables)
    told = [np.asarray(keras_hooks.value_of(variable)) for variable in variables]
    assert [isinstance(v, keras_hooks.DeferredVariable) for v in variables] == waiting
    for variable, value, shown in zip(variables, right, told, strict=True):
        assert shown.dtype == value.dtype
        assert shown.tobytes() == value.tobytes()
        assert variable.numpy().tobytes() == value.tobytes()
        assert type(variable) is keras.Variable


def test_a_variable_that_was_read_is_one_like_any_other():
    def dense():
        layer = keras.layers.Dense(2, name="one")
        layer.build((None, 3))
        return layer

    with initial_values.deferred():
        layer, other = dense(), keras.Variable(0.5, dtype="float32")
        layer.bias.assign([1.0, 2.0])
        other.assign_add(1.0)
    assert layer.kernel.value.name == dense().kernel.value.name
    assert layer.bias.numpy().tolist() == [1.0, 2.0]
    assert float(other.numpy()) == 1.5
    assert isinstance(keras.Variable(0.5).value, tf.Variable)


def small():
    keras.utils.set_random_seed(3)
    hidden = keras.layers.Dense(4, "relu"), keras.layers.BatchNormalization()
    model = keras.Sequential([keras.Input((6,)), *hidden, keras.layers.Dense(1)])
    model.compile(keras.optimizers.Adam(0.01), "mse")
    return model


def fitted():
    model = small()
    model.fit(X, Y, shuffle=False, verbose=0)
    return model


def restored():
    model, other = small(), small()
    model.layers[0].kernel.assign_add(np.ones((6, 4)))
    with tempfile.TemporaryDirectory() as folder:
        path = tf.train.Checkpoint(model=model).save(f"{folder}/saved")
        tf.train.Checkpoint(model=other).restore(path).expect_partial()
    return other


def updated():
    model = small()
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(model(X) ** 2)
    gradients = tape.gradient(loss, model.trainable_variables)
    model.optimizer.apply(gradients, model.trainable_variables)
    return model


def nested():
    with initial_values.deferred():
        small()
    return small()


# What a build may do with its model, or with another one, before it returns one.
USES = [fitted, restored, updated, nested, lambda: copy.deepcopy(small())]


@pytest.mark.parametrize("use", USES)
def test_a_model_that_is_used_in_its_build_is_the_same(use):
    right = [variable.numpy().tobytes() for variable in variables_of(use())]
    with initial_values.deferred():
        found = [variable.numpy().tobytes() for variable in variables_of(use())]
    assert found == right


class Own(keras.initializers.Initializer):
    def __call__(self, shape, dtype=None):
        return keras.ops.full(shape, np.random.normal(), dtype)


def test_what_may_yield_another_value_later_is_made_at_once():
    generator = keras.random.SeedGenerator(3)
    array = np.ones(2, "float32")
    with initial_values.deferred():
        found = [
            keras.Variable(keras.initializers.GlorotUniform(generator), (2, 2)),
            keras.Variable(keras.initializers.Constant(array), (2,)),
            keras.Variable(Own(), (2,)),
            keras.Variable(lambda shape, dtype: keras.ops.ones(shape, dtype), (2,)),
            keras.Variable(array),
        ]
    assert all(type(variable) is keras.Variable for variable in found)
    array[:] = 7.0
    assert found[-1].numpy().tolist() == [1.0, 1.0]


FROZEN = keras.layers.Dense(3, trainable=False, kernel_initializer="orthogonal")
FROZEN.build((None, 6))
# What is done in a build, beside making layers, by name.
BUILDS = {
    "assigns": lambda layer, model: layer.bias.assign(np.full(3, 0.5)),
    "reads": lambda layer, model: model.layers[-1].kernel.assign(
        layer.kernel[:3, :1] * 2
    ),
}
INITIALIZED = {
    "own": Own,
    "generator": lambda: keras.initializers.HeNormal(keras.random.SeedGenerator(4)),
}


def build(hp):
    case = hp.Choice("case", [*BUILDS, *INITIALIZED, "frozen", "adapts", "saved"])
    first = INITIALIZED.get(case, lambda: "glorot_uniform")()
    layer = keras.layers.Dense(3, "tanh", kernel_initializer=first)
    if case == "frozen":
        layer = FROZEN
    layers = [layer, keras.layers.Dense(1)]
    if case == "adapts":
        layers.insert(0, keras.layers.Normalization())
        layers[0].adapt(X)
    model = keras.Sequential([keras.Input((6,)), *layers])
    if case == "saved":
        model.load_weights(build.file)
    if case in BUILDS:
        BUILDS[case](layer, model)
    rate = hp.Choice("rate", [0.1, 0.2])
    model.compile(keras.optimizers.SGD(rate, momentum=0.5), "mse")
    return model


def test_a_build_that_looks_at_values_gives_the_scores_of_fit(tmp_path):
    build.file = str(tmp_path / "saved.weights.h5")
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(3, "tanh")])
    model.add(keras.layers.Dense(1))
    model.save_weights(build.file)
    found = {}
    for reuses in (False, True):
        tuner = tuners.GridSearch(
            build,
            "val_loss",
            seed=1,
            directory=tmp_path / str(reuses),
            reuse_programs=reuses,
        )
        tuner.search(X, Y, validation_data=(X, Y), epochs=2, verbose=0)
        board = tuner.leaderboard().set_index("trial_id").sort_index()
        assert (board["status"] == "COMPLETED").all()
        found[reuses] = board["val_loss"].tolist()
    assert len(found[False]) == 14
    assert found[True] == found[False]
