"""The networks of HyperTextTransformer."""

import itertools

import keras
import numpy as np
import pytest

from keras_tricks.hypermodels import HyperTextTransformer
from keras_tricks.hypermodels.text.transformer import PositionEmbedding
from keras_tricks.parameters import count_parameters
from tests import sampling
from tests.hypermodels import cases

VOCABULARY_SIZE, LENGTH, CLASSES = 20, 6, 3
TOKENS = np.array([[3, 7, 7, 19, 2, 0], [5, 1, 0, 0, 0, 0], [4, 8, 15, 16, 11, 9]])


@pytest.fixture
def dtype_policy():
    """`dtype_policy(name)` sets Keras's policy for the rest of the test."""
    before = keras.config.dtype_policy()
    yield keras.config.set_dtype_policy
    keras.config.set_dtype_policy(before)


def network(length=LENGTH, plain=False, **fixed):
    """A network in which each weight counts."""
    hypermodel = HyperTextTransformer(VOCABULARY_SIZE, length, CLASSES, plain=plain)
    model = hypermodel.network(cases.fixed(**{"embedding_units": 8, **fixed}))
    draw = np.random.default_rng(0)
    for weight in model.trainable_variables:
        weight.assign(draw.normal(scale=0.4, size=weight.shape))
    return model


# The encoder in float64.


def gelu(x):
    """`x * P(X <= x)` for a normal X, by numerical integration of its density."""
    grid = np.linspace(-12, 12, 240_001)
    density = np.exp(-(grid**2) / 2) / np.sqrt(2 * np.pi)
    steps = (density[1:] + density[:-1]) / 2 * np.diff(grid)
    return x * np.interp(x, grid, np.concatenate([[0], np.cumsum(steps)]))


def softmax(x):
    exponential = np.exp(x - x.max())
    return exponential / exponential.sum()


def layer_norm(x, gamma, beta):
    mean = x.mean(axis=-1, keepdims=True)
    variance = ((x - mean) ** 2).mean(axis=-1, keepdims=True)
    return (x - mean) / np.sqrt(variance + 1e-6) * gamma + beta


def attention(x, query, key, value, output):
    """The paper's multi-head attention of a text to itself, a head at a time."""
    (wq, bq), (wk, bk), (wv, bv), (wo, bo) = query, key, value, output
    result = np.zeros_like(x) + bo
    for head in range(wq.shape[1]):
        q = x @ wq[:, head] + bq[head]
        k = x @ wk[:, head] + bk[head]
        v = x @ wv[:, head] + bv[head]
        scores = q @ k.T / np.sqrt(q.shape[-1])
        result += np.stack([softmax(row) for row in scores]) @ v @ wo[head]
    return result


def logits_of_a_text(words, weights, layers, plain, activation):
    """The class's docstring for the words of one text, of which none is padding."""
    weights = iter(weights)

    def pairs(count):
        return [(next(weights), next(weights)) for _ in range(count)]

    def norm(x):
        return x if plain else layer_norm(x, *pairs(1)[0])

    x = next(weights)[words] + next(weights)[: len(words)]
    for _ in range(layers):
        x = x + attention(norm(x), *pairs(4))
        normed = norm(x)
        [(kernel_1, bias_1), (kernel_2, bias_2)] = pairs(2)
        x = x + activation(normed @ kernel_1 + bias_1) @ kernel_2 + bias_2
    x = norm(x)
    x = softmax(x @ next(weights)) @ x
    [(kernel, bias)] = pairs(1)
    assert next(weights, None) is None
    return x @ kernel + bias


def expected_logits(model, layers=1, plain=False, activation=gelu):
    weights = [weight.numpy().astype("float64") for weight in model.trainable_variables]
    return np.stack(
        [
            logits_of_a_text(row[row > 0], weights, layers, plain, activation)
            for row in TOKENS
        ]
    )


@pytest.mark.usefixtures("uncompiled")
@pytest.mark.parametrize("plain", [True, False])
@pytest.mark.parametrize(("layers", "heads"), [(1, 2), (2, 4)])
def test_the_logits_are_those_of_the_equations_in_float64(layers, heads, plain):
    model = network(plain=plain, layers=layers, heads=heads)
    expected = expected_logits(model, layers, plain)
    assert np.ptp(expected, axis=0).min() > 0.01
    np.testing.assert_allclose(
        model.predict(TOKENS, verbose=0), expected, rtol=1e-4, atol=1e-5
    )


def test_the_compiled_logits_are_those_of_the_equations():
    model = network()
    model.compile(jit_compile=True)
    np.testing.assert_allclose(
        model.predict(TOKENS, verbose=0), expected_logits(model), rtol=1e-4, atol=1e-5
    )


@pytest.mark.usefixtures("uncompiled")
def test_another_activation_takes_the_place_of_gelu():
    model = network(activation="relu")
    np.testing.assert_allclose(
        model.predict(TOKENS, verbose=0),
        expected_logits(model, activation=lambda x: np.maximum(x, 0)),
        rtol=1e-4,
        atol=1e-5,
    )


# Parameters.


def hand_counted(units, layers, factor, vocabulary_size=VOCABULARY_SIZE):
    norm = 2 * units
    attention = 4 * (units * units + units)
    feed_forward = 2 * factor * units * units + factor * units + units
    return (
        vocabulary_size * units
        + LENGTH * units
        + layers * (2 * norm + attention + feed_forward)
        + norm
        + units  # The query of the pooling.
        + units * CLASSES
        + CLASSES
    )


@pytest.mark.parametrize(
    ("fixed", "expected"),
    [
        ({"embedding_units": 128}, hand_counted(128, 1, 2)),
        ({"embedding_units": 64, "layers": 4}, hand_counted(64, 4, 2)),
        ({"feed_forward_factor": 4, "heads": 8}, hand_counted(8, 1, 4)),
        ({"pooling": "mean"}, hand_counted(8, 1, 2) - 8),
    ],
    ids=str,
)
def test_the_parameters_are_as_counted_by_hand(fixed, expected):
    assert count_parameters(network(**fixed)) == expected


def test_heads_divide_the_attention_and_cost_nothing():
    assert count_parameters(network(heads=2)) == count_parameters(network(heads=8))


# Padding.


@pytest.mark.usefixtures("uncompiled")
@pytest.mark.parametrize(
    ("pooling", "length"),
    sampling.only(
        [("attention", 7), ("mean", 12), ("max", 12), ("first", 7)],
        itertools.product(["attention", "mean", "max", "first"], [7, 12]),
    ),
)
def test_more_padding_changes_no_logit(pooling, length):
    short, long = network(pooling=pooling), network(length, pooling=pooling)
    for target, source in zip(
        long.trainable_variables, short.trainable_variables, strict=True
    ):
        if target.shape == source.shape:
            target.assign(source)
        else:
            target.assign(np.concatenate([source, target[LENGTH:]]))
    padded = np.pad(TOKENS, ((0, 0), (0, length - LENGTH)))
    np.testing.assert_allclose(
        long.predict(padded, verbose=0),
        short.predict(TOKENS, verbose=0),
        rtol=1e-5,
        atol=1e-6,
    )


@pytest.mark.usefixtures("uncompiled")
@pytest.mark.parametrize("policy", ["float32", "mixed_float16", "mixed_bfloat16"])
def test_what_padding_is_embedded_as_changes_no_logit(policy, dtype_policy):
    dtype_policy(policy)
    model = network(layers=2)
    before = model.predict(TOKENS, verbose=0)
    table = model.get_layer("embedding").embeddings
    table.assign(np.where(np.arange(VOCABULARY_SIZE)[:, None] == 0, 100.0, table))
    np.testing.assert_array_equal(model.predict(TOKENS, verbose=0), before)


@pytest.mark.usefixtures("uncompiled")
@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
def test_a_text_of_padding_alone_has_the_last_bias_as_logits(policy, dtype_policy):
    dtype_policy(policy)
    model = network()
    bias = model.get_layer("logits").bias.numpy()
    found = model.predict(np.zeros((2, LENGTH), "int32"), verbose=0)
    np.testing.assert_array_equal(found, [bias, bias])


@pytest.mark.usefixtures("uncompiled")
@pytest.mark.parametrize(
    ("policy", "tolerance"), [("mixed_float16", 0.02), ("mixed_bfloat16", 0.15)]
)
def test_mixed_precision_gives_float32_logits_near_the_equations(
    policy, tolerance, dtype_policy
):
    dtype_policy(policy)
    model = network()
    found = model.predict(TOKENS, verbose=0)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected_logits(model), rtol=0, atol=tolerance)


@pytest.mark.usefixtures("uncompiled")
def test_words_in_another_order_have_other_logits():
    model = network()
    found = model.predict(np.array([[1, 2, 3, 0, 0, 0], [3, 2, 1, 0, 0, 0]]), verbose=0)
    assert np.abs(found[0] - found[1]).max() > 0.01


# Positions.


def test_positions_start_from_a_truncated_normal_distribution():
    keras.utils.set_random_seed(0)
    layer = PositionEmbedding(stddev=0.5)
    layer.build((None, 200, 100))
    values = layer.embeddings.numpy()
    # A normal distribution cut at two deviations keeps 0.8796 of its deviation.
    np.testing.assert_allclose(values.std(), 0.5 * 0.8796, rtol=0.02)
    assert 0.99 < np.abs(values).max() <= 1


def test_positions_are_added_to_each_text():
    layer = PositionEmbedding()
    inputs = np.random.default_rng(0).normal(size=(3, 4, 5)).astype("float32")
    outputs = layer(inputs)
    added = np.broadcast_to(layer.embeddings.numpy(), inputs.shape)
    np.testing.assert_array_equal(outputs, inputs + added)


def test_a_negative_deviation_is_refused():
    with pytest.raises(ValueError, match=r"`stddev` must be a finite number >= 0"):
        PositionEmbedding(stddev=-0.1)
