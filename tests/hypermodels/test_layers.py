"""The layers that the hypermodels share, against Keras's and against NumPy."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from keras_tricks._runtime_scalars import RuntimeScalars
from keras_tricks.hypermodels.layers import ScalarDropout
from keras_tricks.hypermodels.layers import SequencePooling
from keras_tricks.hypermodels.layers import ZeroPadding

POLICIES = ["float32", "mixed_float16"]


def normal(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def in_training(layer, mode):
    def call(x):
        return layer(x, training=True)

    return call if mode == "eager" else tf.function(call)


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("mode", ["eager", "graph"])
@pytest.mark.parametrize("rate", [0.0, 0.1, 0.3, 0.5, 0.7, 0.99])
def test_dropout_drops_and_scales_as_keras_does_bit_for_bit(policy, mode, rate):
    """Over several calls, so that the generators go on alike, too."""
    ours = ScalarDropout(rate, seed=7, dtype=policy)
    keras_s = keras.layers.Dropout(rate, seed=7, dtype=policy)
    x = normal(64, 33)
    call, expected = (in_training(layer, mode) for layer in (ours, keras_s))
    for _ in range(3):
        output, wanted = call(x), expected(x)
        assert output.dtype == wanted.dtype
        np.testing.assert_array_equal(output, wanted)
    dropped = np.mean(output.numpy() == 0)
    assert abs(dropped - rate) < 0.05


@pytest.mark.parametrize("policy", POLICIES)
def test_dropout_is_the_identity_outside_of_training(policy):
    x = ops.convert_to_tensor(normal(4, 5), "float16" if "16" in policy else "float32")
    layer = ScalarDropout(0.5, dtype=policy)
    np.testing.assert_array_equal(layer(x), x)
    np.testing.assert_array_equal(layer(x, training=False), x)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_a_rate_changed_after_tracing_takes_effect_without_a_new_trace(jit_compile):
    layer, traces = ScalarDropout(0.5, seed=3), []
    x = ops.ones((100, 100))

    @tf.function(jit_compile=jit_compile, autograph=False)
    def call(x):
        traces.append(x)
        return layer(x, training=True)

    call(x)
    for rate in (0.0, 0.25, 0.9):
        layer.rate = rate
        output = call(x).numpy()
        assert np.mean(output == 0) == pytest.approx(rate, abs=0.02)
        kept = np.float32(1 / (1 - rate))
        np.testing.assert_array_equal(output[output != 0], kept)
    assert len(traces) == 1


def test_a_changed_rate_drops_what_keras_drops_with_that_rate():
    layer = ScalarDropout(0.5, seed=11)
    layer.rate = 0.2
    x = normal(50, 50)
    expected = keras.layers.Dropout(0.2, seed=11)(x, training=True)
    np.testing.assert_array_equal(layer(x, training=True), expected)


def test_the_gradient_of_dropout_is_its_scale_where_it_keeps():
    layer, x = ScalarDropout(0.3, seed=0), tf.constant(normal(40, 40))
    with tf.GradientTape() as tape:
        tape.watch(x)
        output = layer(x, training=True)
    expected = np.where(output.numpy() == 0, 0, np.float32(1 / 0.7))
    np.testing.assert_array_equal(tape.gradient(output, x), expected)


def with_dropout(rate):
    layers = [keras.Input((4,)), keras.layers.Dense(3), ScalarDropout(rate)]
    return keras.Sequential(layers)


def test_saved_weights_do_not_bring_their_rate_along(tmp_path):
    source, target = with_dropout(0.5), with_dropout(0.1)
    source.save_weights(tmp_path / "of.weights.h5")
    target.load_weights(tmp_path / "of.weights.h5")
    np.testing.assert_array_equal(target.layers[0].kernel, source.layers[0].kernel)
    assert target.layers[-1].rate == 0.1
    x = np.ones((1000, 4), "float32")
    assert np.mean(target(x, training=True).numpy() == 0) < 0.2


def test_a_saved_model_has_the_rate_last_set(tmp_path):
    model = with_dropout(0.5)
    model.layers[-1].rate = 0.2
    assert model.layers[-1].get_config()["rate"] == 0.2
    model.save(tmp_path / "model.keras")
    restored = keras.models.load_model(tmp_path / "model.keras")
    assert restored.layers[-1].rate == 0.2
    x = np.ones((1000, 4), "float32")
    dropped = np.mean(restored(x, training=True).numpy() == 0)
    assert dropped == pytest.approx(0.2, abs=0.05)


def test_the_rate_is_no_trainable_weight():
    assert ScalarDropout(0.5).trainable_variables == []


@pytest.mark.parametrize("rate", [-0.1, 1, 1.5, True, float("nan")])
def test_a_rate_that_is_no_share_is_refused(rate):
    error = TypeError if rate is True else ValueError
    with pytest.raises(error, match="`rate` must be"):
        ScalarDropout(rate)
    layer = ScalarDropout(0.5)
    with pytest.raises(error, match=f"Received: rate={rate}"):
        layer.rate = rate


# Whole, with gaps, a single position, and masked throughout.
MASK = np.array([[1, 1, 1, 1], [0, 1, 0, 1], [1, 0, 0, 0], [0, 0, 0, 0]], bool)
QUERY = np.random.default_rng(1).normal(size=5)


def pooled_by_numpy(method, x, mask):
    """A row and a position at a time, in float64."""
    rows = []
    for row, valid in zip(x.astype("float64"), mask, strict=True):
        kept = row[valid]
        if method == "first":
            rows.append(row[0])
        elif not len(kept):
            rows.append(np.zeros(row.shape[-1]))
        elif method == "attention":
            weights = np.exp(kept @ QUERY)
            rows.append(weights @ kept / weights.sum())
        else:
            rows.append({"max": np.max, "mean": np.mean}[method](kept, axis=0))
    return np.stack(rows)


def pooling(method, dtype="float32"):
    layer = SequencePooling(method, dtype=dtype)
    layer.build((None, 4, 5))
    if method == "attention":
        layer.query.assign(QUERY)
    return layer


every_method = pytest.mark.parametrize("method", ["max", "mean", "attention", "first"])


@every_method
@pytest.mark.parametrize(
    ("policy", "tolerance"), [("float32", 1e-6), ("mixed_float16", 4e-3)]
)
@pytest.mark.parametrize("offset", [0.0, -20.0])
def test_pooling_is_over_the_positions_that_are_not_masked(
    method, policy, tolerance, offset
):
    """With an offset all inputs are negative, less than what masked ones look like."""
    x = normal(4, 4, 5) + np.float32(offset)
    pooled = pooling(method, policy)(x, mask=MASK)
    assert pooled.dtype == ("float16" if "16" in policy else "float32")
    x = x.astype(pooled.dtype.name)
    expected = pooled_by_numpy(method, x, MASK)
    scale = np.abs(expected).max()
    np.testing.assert_allclose(pooled, expected, rtol=0, atol=tolerance * scale)


@every_method
def test_pooling_without_a_mask_is_over_all_positions(method):
    x = normal(4, 4, 5)
    expected = pooled_by_numpy(method, x, np.ones((4, 4), bool))
    np.testing.assert_allclose(pooling(method)(x), expected, rtol=1e-5, atol=1e-6)


@every_method
@pytest.mark.parametrize("policy", POLICIES)
def test_masked_positions_get_no_gradient(method, policy):
    layer, x = pooling(method, policy), tf.constant(normal(4, 4, 5))
    with tf.GradientTape() as tape:
        tape.watch(x)
        output = ops.sum(ops.cast(layer(x, mask=MASK), "float32") ** 2)
    gradient = tape.gradient(output, x).numpy()
    used = MASK if method != "first" else np.arange(4) == np.zeros((4, 1))
    assert np.all(np.isfinite(gradient))
    assert np.all(gradient[~used] == 0)
    assert np.any(gradient[used] != 0)


@every_method
def test_the_mask_that_a_layer_before_set_is_taken(method):
    ids = np.where(MASK, 3, 0)
    table = normal(4, 5)
    embedding = keras.layers.Embedding(4, 5, mask_zero=True)
    embedding.build()
    embedding.embeddings.assign(table)
    expected = pooled_by_numpy(method, table[ids], MASK)
    output = pooling(method)(embedding(ids))
    np.testing.assert_allclose(output, expected, rtol=1e-5, atol=1e-6)


@every_method
def test_pooling_is_saved_with_its_method_and_its_query(method, tmp_path):
    inputs = keras.Input((4, 5))
    model = keras.Model(inputs, pooling(method)(inputs))
    model.save(tmp_path / "model.keras")
    restored = keras.models.load_model(tmp_path / "model.keras")
    x = normal(4, 4, 5)
    expected = pooled_by_numpy(method, x, np.ones((4, 4), bool))
    np.testing.assert_allclose(restored(x), expected, rtol=1e-5, atol=1e-6)


def test_an_unknown_pooling_is_refused_with_the_choices():
    with pytest.raises(ValueError, match="one of 'max', 'mean', 'attention', 'first'"):
        SequencePooling("median")


@pytest.mark.parametrize("policy", POLICIES)
def test_masked_positions_are_zero_to_a_convolution(policy):
    x = normal(4, 4, 5)
    output = ZeroPadding(dtype=policy)(x, mask=MASK)
    expected = np.where(MASK[:, :, None], x, 0).astype(output.dtype.name)
    np.testing.assert_array_equal(output, expected)


def test_without_a_mask_no_position_is_set_to_zero():
    x = normal(4, 4, 5)
    np.testing.assert_array_equal(ZeroPadding()(x), x)


def test_a_dropout_says_what_its_variables_hold():
    """Its class is the sign, and no attribute of a name that others use, too."""
    assert issubclass(ScalarDropout, RuntimeScalars)
    layer = ScalarDropout(0.5)
    assert set(ScalarDropout.fed_by_variables) <= set(layer.get_config())
    ((variable, value),) = layer.fed_variables(rate=0.75)
    assert variable is layer.rate_and_scale
    assert value == [0.75, 4.0]
    layer.rate = 0.75
    np.testing.assert_array_equal(variable.numpy(), np.float32(value))


def test_a_layer_that_draws_is_none_of_them_by_the_name_of_a_method():
    class Board(keras.layers.Layer):
        fed_by_variables = ("width",)

        def draw(self, shape):
            return shape

    assert not isinstance(Board(), RuntimeScalars)


def test_a_layer_that_leaves_something_open_cannot_be_made():
    class Half(keras.layers.Layer, RuntimeScalars):
        fed_by_variables = ("rate",)

    with pytest.raises(TypeError, match="draw"):
        Half()


def test_the_hypermodels_need_no_tensorflow_on_another_backend(run_python):
    code = """
    import sys
    import keras_tricks.hypermodels
    print("tensorflow" in sys.modules)
    """
    assert run_python(code, env={"KERAS_BACKEND": "jax"}).split() == ["False"]
