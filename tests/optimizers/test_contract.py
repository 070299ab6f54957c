"""What holds for every optimizer of the package."""

import keras
import numpy as np
import pytest

import keras_tricks.optimizers
from keras_tricks.optimizers import ClippedOptimizer
from keras_tricks.schedules import WarmupPolynomialDecay

# Public name -> functions that build one for small models.
OPTIMIZERS = {
    "ClippedOptimizer": [
        lambda: ClippedOptimizer(keras.optimizers.Adam(0.01), global_clipnorm=0.5),
        lambda: ClippedOptimizer(
            keras.optimizers.SGD(WarmupPolynomialDecay(0.1, 100, 10), momentum=0.9),
            global_clipnorm=0.1,
        ),
        lambda: ClippedOptimizer(keras.optimizers.Adam(0.01)),
    ],
}

every_optimizer = pytest.mark.parametrize(
    "build",
    [build for builders in OPTIMIZERS.values() for build in builders],
    ids=[f"{name}-{i}" for name, builders in OPTIMIZERS.items() for i in range(3)],
)


def data():
    x = np.random.default_rng(0).normal(size=(32, 4)).astype("float32")
    return x, x.sum(axis=1, keepdims=True)


def compiled_model(optimizer, **compile_arguments):
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(3), keras.layers.Dense(1)]
    )
    model.compile(optimizer, "mse", **compile_arguments)
    return model


def train(model, epochs=2):
    model.fit(*data(), batch_size=8, epochs=epochs, shuffle=False, verbose=0)
    return model.get_weights()


def assert_equal_weights(weights, expected):
    for a, b in zip(weights, expected, strict=True):
        np.testing.assert_array_equal(a, b)


def test_every_public_optimizer_is_in_the_suite():
    assert set(keras_tricks.optimizers.__all__) == set(OPTIMIZERS)


@every_optimizer
def test_fit_lowers_the_loss(build):
    model = compiled_model(build())
    before = model.evaluate(*data(), verbose=0)
    train(model, epochs=10)
    assert model.evaluate(*data(), verbose=0) < before


@every_optimizer
@pytest.mark.parametrize(
    "compile_arguments", [{"run_eagerly": True}, {"jit_compile": True}], ids=str
)
def test_eager_and_xla_training_equal_graph_training(build, compile_arguments):
    expected = train(compiled_model(build(), jit_compile=False))
    weights = train(compiled_model(build(), **compile_arguments))
    for a, b in zip(weights, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


@every_optimizer
def test_the_config_gives_the_same_training_back(build):
    optimizer = build()
    config = keras.saving.serialize_keras_object(optimizer)
    restored = keras.saving.deserialize_keras_object(config)
    assert_equal_weights(
        train(compiled_model(restored)), train(compiled_model(optimizer))
    )


@every_optimizer
def test_training_goes_on_bit_for_bit_after_saving_and_loading(build, tmp_path):
    model = compiled_model(build())
    train(model)
    model.save(tmp_path / "model.keras")
    restored = keras.models.load_model(tmp_path / "model.keras")
    assert_equal_weights(train(restored), train(model))


@every_optimizer
def test_a_custom_loop_equals_fit(build):
    import tensorflow as tf

    expected = train(compiled_model(build(), jit_compile=False), epochs=1)
    model = compiled_model(build())
    optimizer, (x, y) = model.optimizer, data()

    @tf.function
    def step(x, y):
        with tf.GradientTape() as tape:
            loss = keras.ops.mean(keras.ops.square(model(x, training=True) - y))
        gradients = tape.gradient(loss, model.trainable_variables)
        return optimizer.apply_gradients(
            zip(gradients, model.trainable_variables, strict=True)
        )

    for start in range(0, 32, 8):
        step(tf.constant(x[start : start + 8]), tf.constant(y[start : start + 8]))
    for a, b in zip(model.get_weights(), expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)
    assert int(optimizer.iterations) == 4


def test_training_under_jax_equals_training_under_tensorflow(run_python):
    script = """
        import sys
        import numpy as np
        from tests.optimizers import test_contract as suite
        for builders in suite.OPTIMIZERS.values():
            for build in builders:
                model = suite.compiled_model(build())
                start = [np.full(w.shape, 0.1) for w in model.get_weights()]
                model.set_weights(start)
                weights = suite.train(model)
                print(*np.concatenate([w.ravel() for w in weights]))
    """
    results = [
        np.array(run_python(script, env={"KERAS_BACKEND": name}).split(), float)
        for name in ("tensorflow", "jax")
    ]
    np.testing.assert_allclose(*results, rtol=1e-4, atol=1e-6)
