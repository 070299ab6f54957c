"""A small Transformer classifier as a function of its weights.

One function for the TF1 graph and for Keras, so that only the optimizers differ.
"""

import numpy as np
import tensorflow as tf

VOCABULARY, LENGTH, WIDTH, HEADS, LAYERS, CLASSES = 30, 8, 16, 2, 1, 3


def initial_weights(seed=0):
    """TF1 names as in BERT -> values."""
    generator = np.random.default_rng(seed)

    def normal(*shape):
        return generator.normal(0, 0.1, shape).astype("float32")

    def zeros(*shape):
        return np.zeros(shape, "float32")

    def dense(scope, inputs, outputs):
        return {
            f"{scope}/kernel": normal(inputs, outputs),
            f"{scope}/bias": zeros(outputs),
        }

    def norm(scope):
        return {f"{scope}/gamma": zeros(WIDTH) + 1, f"{scope}/beta": zeros(WIDTH)}

    weights = {
        "bert/embeddings/word_embeddings": normal(VOCABULARY, WIDTH),
        "bert/embeddings/position_embeddings": normal(LENGTH, WIDTH),
        **norm("bert/embeddings/LayerNorm"),
    }
    for layer in range(LAYERS):
        scope = f"bert/encoder/layer_{layer}"
        for part in ("query", "key", "value"):
            weights |= dense(f"{scope}/attention/self/{part}", WIDTH, WIDTH)
        weights |= dense(f"{scope}/attention/output/dense", WIDTH, WIDTH)
        weights |= norm(f"{scope}/attention/output/LayerNorm")
        weights |= dense(f"{scope}/intermediate/dense", WIDTH, 2 * WIDTH)
        weights |= dense(f"{scope}/output/dense", 2 * WIDTH, WIDTH)
        weights |= norm(f"{scope}/output/LayerNorm")
    return weights | dense("classifier", WIDTH, CLASSES)


def batches(number, size=16, seed=1):
    """Batches of token ids, and labels that can be learnt from them."""
    generator = np.random.default_rng(seed)
    for _ in range(number):
        tokens = generator.integers(0, VOCABULARY, (size, LENGTH)).astype("int32")
        yield tokens, (tokens[:, 0] % CLASSES).astype("int32")


def loss(weights, tokens, labels):
    """The mean cross-entropy of one batch; `weights` maps names to tensors."""

    def dense(scope, x):
        return tf.matmul(x, weights[f"{scope}/kernel"]) + weights[f"{scope}/bias"]

    def norm(scope, x):
        mean, variance = tf.nn.moments(x, [-1], keepdims=True)
        x = (x - mean) * tf.math.rsqrt(variance + 1e-6)
        return x * weights[f"{scope}/gamma"] + weights[f"{scope}/beta"]

    def heads(x):
        x = tf.reshape(x, [-1, LENGTH, HEADS, WIDTH // HEADS])
        return tf.transpose(x, [0, 2, 1, 3])

    x = tf.gather(weights["bert/embeddings/word_embeddings"], tokens)
    x = norm(
        "bert/embeddings/LayerNorm", x + weights["bert/embeddings/position_embeddings"]
    )
    for layer in range(LAYERS):
        scope = f"bert/encoder/layer_{layer}"
        flat = tf.reshape(x, [-1, WIDTH])
        query, key, value = (
            heads(dense(f"{scope}/attention/self/{part}", flat))
            for part in ("query", "key", "value")
        )
        scores = tf.matmul(query, key, transpose_b=True) / (WIDTH / HEADS) ** 0.5
        context = tf.matmul(tf.nn.softmax(scores), value)
        context = tf.reshape(tf.transpose(context, [0, 2, 1, 3]), [-1, WIDTH])
        attended = norm(
            f"{scope}/attention/output/LayerNorm",
            flat + dense(f"{scope}/attention/output/dense", context),
        )
        hidden = tf.nn.gelu(dense(f"{scope}/intermediate/dense", attended))
        output = dense(f"{scope}/output/dense", hidden)
        x = norm(f"{scope}/output/LayerNorm", attended + output)
        x = tf.reshape(x, [-1, LENGTH, WIDTH])
    logits = dense("classifier", x[:, 0])
    return tf.reduce_mean(
        tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
    )
