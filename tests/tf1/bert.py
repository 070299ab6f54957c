"""BERT's network as a function of its TF1 variables, with ALBERT's and ELECTRA's names.

It is written from the description of the papers and the shapes of published
checkpoints; a TF1 graph and the Keras models of the tests are compared by it.
"""

import numpy as np
import tensorflow as tf

VOCABULARY, LENGTH, WIDTH, HIDDEN, HEADS, LAYERS, CLASSES = 40, 12, 16, 32, 4, 2, 3
CONFIG = {
    "vocab_size": VOCABULARY,
    "hidden_size": WIDTH,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "intermediate_size": HIDDEN,
    "max_position_embeddings": LENGTH,
    "type_vocab_size": 2,
}
# What a published checkpoint holds of the pretraining.
PRETRAINING = {
    "cls/predictions/transform/dense/kernel": (WIDTH, WIDTH),
    "cls/predictions/transform/dense/bias": (WIDTH,),
    "cls/predictions/transform/LayerNorm/gamma": (WIDTH,),
    "cls/predictions/transform/LayerNorm/beta": (WIDTH,),
    "cls/predictions/output_bias": (VOCABULARY,),
    "cls/seq_relationship/output_weights": (2, WIDTH),
    "cls/seq_relationship/output_bias": (2,),
}
SEGMENTS = (np.arange(LENGTH) >= LENGTH // 2).astype("int32")


def _dense(scope, inputs, outputs):
    return {f"{scope}/kernel": (inputs, outputs), f"{scope}/bias": (outputs,)}


def _norm(scope):
    return {f"{scope}/gamma": (WIDTH,), f"{scope}/beta": (WIDTH,)}


def shapes(root="bert", *, classifier=True):
    """BERT's variables and their shapes."""
    found = {
        f"{root}/embeddings/word_embeddings": (VOCABULARY, WIDTH),
        f"{root}/embeddings/position_embeddings": (LENGTH, WIDTH),
        f"{root}/embeddings/token_type_embeddings": (2, WIDTH),
        **_norm(f"{root}/embeddings/LayerNorm"),
    }
    for layer in range(LAYERS):
        scope = f"{root}/encoder/layer_{layer}"
        for part in ("self/query", "self/key", "self/value", "output/dense"):
            found |= _dense(f"{scope}/attention/{part}", WIDTH, WIDTH)
        found |= _norm(f"{scope}/attention/output/LayerNorm")
        found |= _dense(f"{scope}/intermediate/dense", WIDTH, HIDDEN)
        found |= _dense(f"{scope}/output/dense", HIDDEN, WIDTH)
        found |= _norm(f"{scope}/output/LayerNorm")
    found |= _dense(f"{root}/pooler/dense", WIDTH, WIDTH)
    if classifier:
        found |= {"output_weights": (CLASSES, WIDTH), "output_bias": (CLASSES,)}
    return found


def in_alberts_names(name):
    """ALBERT's name for a variable of BERT's, of its only layer."""
    for bert, albert in {
        "encoder/layer_0/": "encoder/transformer/group_0/inner_group_0/",
        "attention/output/LayerNorm": "LayerNorm",
        "inner_group_0/output/LayerNorm": "inner_group_0/LayerNorm_1",
        "inner_group_0/output/dense": "inner_group_0/ffn_1/intermediate/output/dense",
        "inner_group_0/intermediate": "inner_group_0/ffn_1/intermediate",
        "inner_group_0/attention/": "inner_group_0/attention_1/",
    }.items():
        name = name.replace(bert, albert)
    return name


def values(shapes, seed=0):
    """Random values, another for each number."""
    generator = np.random.default_rng(seed)
    return {
        name: (generator.normal(0, 0.3, shape) + name.endswith("gamma")).astype("f4")
        for name, shape in shapes.items()
    }


def logits(weights, tokens, *, layers=LAYERS, shared=False):
    """The classifier's logits of token ids, (batch, LENGTH), padded with 0.

    `weights` maps BERT's names to tensors; with `shared` the first layer is applied
    `layers` times, as in ALBERT.
    """
    pooled = _pooled(weights, tokens, layers, shared)
    product = tf.matmul(pooled, weights["output_weights"], transpose_b=True)
    return product + weights["output_bias"]


def loss(weights, tokens, labels):
    """The mean cross-entropy of a batch."""
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(
        labels=labels, logits=logits(weights, tokens)
    )
    return tf.reduce_mean(losses)


def batches(number, size=16, seed=1):
    """Batches of token ids, padded, and labels that can be learnt from them."""
    generator = np.random.default_rng(seed)
    for _ in range(number):
        tokens = generator.integers(1, VOCABULARY, (size, LENGTH)).astype("int32")
        tokens[np.arange(LENGTH) >= generator.integers(3, LENGTH + 1, (size, 1))] = 0
        yield tokens, (tokens[:, 1] % CLASSES).astype("int32")


def _pooled(weights, tokens, layers, shared):
    def dense(scope, x):
        return x @ weights[f"{scope}/kernel"] + weights[f"{scope}/bias"]

    def norm(scope, x):
        mean, variance = tf.nn.moments(x, [-1], keepdims=True)
        x = (x - mean) * tf.math.rsqrt(variance + 1e-12)
        return x * weights[f"{scope}/gamma"] + weights[f"{scope}/beta"]

    def gelu(x):
        inner = np.float32(np.sqrt(2 / np.pi)) * (x + 0.044715 * x**3)
        return 0.5 * x * (1 + tf.tanh(inner))

    def heads(x):
        x = tf.reshape(x, [-1, LENGTH, HEADS, WIDTH // HEADS])
        return tf.transpose(x, [0, 2, 1, 3])

    hidden = (
        tf.gather(weights["bert/embeddings/word_embeddings"], tokens)
        + weights["bert/embeddings/position_embeddings"]
        + tf.gather(weights["bert/embeddings/token_type_embeddings"], SEGMENTS)
    )
    hidden = tf.reshape(norm("bert/embeddings/LayerNorm", hidden), [-1, WIDTH])
    adder = (1 - tf.cast(tokens[:, None, None, :] > 0, tf.float32)) * -10000.0
    for layer in range(layers):
        scope = f"bert/encoder/layer_{0 if shared else layer}"
        query, key, value = (
            heads(dense(f"{scope}/attention/self/{part}", hidden))
            for part in ("query", "key", "value")
        )
        scores = tf.matmul(query, key, transpose_b=True) / np.sqrt(WIDTH // HEADS)
        context = tf.transpose(tf.nn.softmax(scores + adder) @ value, [0, 2, 1, 3])
        context = tf.reshape(context, [-1, WIDTH])
        context = dense(f"{scope}/attention/output/dense", context)
        hidden = norm(f"{scope}/attention/output/LayerNorm", hidden + context)
        between = gelu(dense(f"{scope}/intermediate/dense", hidden))
        between = dense(f"{scope}/output/dense", between)
        hidden = norm(f"{scope}/output/LayerNorm", hidden + between)
    first = tf.reshape(hidden, [-1, LENGTH, WIDTH])[:, 0]
    return tf.tanh(dense("bert/pooler/dense", first))
