"""Fine-tunes a BERT of ordinary Keras layers from a TensorFlow 1 checkpoint.

With `--checkpoint bert_model.ckpt --config bert_config.json` of a published BERT
(google-research/bert, uncased_L-2_H-128_A-2 for instance) it restores its weights;
without, it first writes a tiny checkpoint of random numbers, so that it runs without a
download. The task is made up: is a certain word in the second of two sentences?
"""

import json

import command_line


def check(options):
    if (options.checkpoint is None) != (options.config is None):
        raise ValueError("--checkpoint and --config must be given together")


# Options are read before TensorFlow loads, so that a bad one is told at once.
if __name__ == "__main__":
    OPTIONS = command_line.parse(
        __doc__,
        checkpoint=None,
        config=None,
        examples=3200,
        epochs=3,
        seed=0,
        output="runs/bert_from_checkpoint",
        check=check,
    )

# ruff: noqa: E402
import keras
import numpy as np
from keras import layers
from keras import ops

from keras_tricks.optimizers import create_optimizer
from keras_tricks.tf1 import restore_weights

TINY = {
    "vocab_size": 100,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 16,
    "type_vocab_size": 2,
}
LENGTH, BATCH = 16, 32
PADDING, WORD = 0, 50


def main(options) -> None:
    keras.utils.set_random_seed(options.seed)

    config, checkpoint = TINY, options.checkpoint
    if checkpoint is None:
        checkpoint = write_tiny_checkpoint(options.output / "bert_model.ckpt")
    else:
        config = json.loads(options.config.read_text(encoding="utf-8"))

    model = build_classifier(config, num_classes=2)
    print(restore_weights(model, str(checkpoint)))

    steps = options.epochs * -(-options.examples // BATCH)
    model.compile(
        create_optimizer(1e-3 if config is TINY else 5e-5, steps, steps // 10),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    x, y = pairs(options.examples, options.seed)
    x_val, y_val = pairs(1000, options.seed + 1)
    history = model.fit(
        x, y, BATCH, options.epochs, validation_data=(x_val, y_val), verbose=2
    )
    print(f"Validation accuracy: {history.history['val_accuracy'][-1]:.3f}")
    model.save(options.output / "classifier.keras")
    print(f"Wrote {options.output / 'classifier.keras'}")


def build_classifier(config: dict, num_classes: int, dropout: float = 0.1):
    """Returns a classifier of token ids and segments, (batch, length) each.

    The layers are named by the scopes of BERT's TF1 code, "_" for "/", which is all
    that `restore_weights` has to know.
    """
    width, heads = config["hidden_size"], config["num_attention_heads"]

    def norm(name):
        return layers.LayerNormalization(epsilon=1e-12, name=f"{name}_LayerNorm")

    def gelu(x):
        return keras.activations.gelu(x, approximate=True)

    tokens = keras.Input((None,), dtype="int32", name="tokens")
    segments = keras.Input((None,), dtype="int32", name="segments")
    words = ops.not_equal(tokens, PADDING)[:, None, :]
    x = Embeddings(config, name="bert_embeddings")(tokens, segments)
    x = layers.Dropout(dropout)(norm("bert_embeddings")(x))
    for number in range(config["num_hidden_layers"]):
        scope = f"bert_encoder_layer_{number}"
        attended = layers.MultiHeadAttention(
            heads, width // heads, dropout=dropout, name=f"{scope}_attention_self"
        )(x, x, attention_mask=words)
        attended = layers.Dropout(dropout)(attended)
        x = norm(f"{scope}_attention_output")(x + attended)
        hidden = layers.Dense(
            config["intermediate_size"], gelu, name=f"{scope}_intermediate_dense"
        )(x)
        hidden = layers.Dense(width, name=f"{scope}_output_dense")(hidden)
        x = norm(f"{scope}_output")(x + layers.Dropout(dropout)(hidden))
    pooled = layers.Dense(width, "tanh", name="bert_pooler_dense")(x[:, 0])
    pooled = layers.Dropout(dropout)(pooled)
    logits = layers.Dense(num_classes, name="classifier")(pooled)
    return keras.Model([tokens, segments], logits, name="bert_classifier")


@keras.saving.register_keras_serializable(package="bert_from_checkpoint")
class Embeddings(layers.Layer):
    """The sum of the embeddings of words, positions and segments."""

    def __init__(self, config, **kwargs):
        super().__init__(**kwargs)
        self.config = config
        width = config["hidden_size"]
        self.words, self.positions, self.segments = (
            layers.Embedding(config[size], width, name=name)
            for size, name in (
                ("vocab_size", "word_embeddings"),
                ("max_position_embeddings", "position_embeddings"),
                ("type_vocab_size", "token_type_embeddings"),
            )
        )

    def build(self, *shapes):
        for layer in (self.words, self.positions, self.segments):
            layer.build((None, None))
        self.built = True

    def call(self, tokens, segments):
        positions = self.positions(ops.arange(ops.shape(tokens)[1]))
        return self.words(tokens) + positions + self.segments(segments)

    def get_config(self):
        return {**super().get_config(), "config": self.config}


def pairs(count, seed):
    """Returns pairs of sentences of 7 words, and whether `WORD` is in the second one.

    The first ids are those of padding and of marks.
    """
    generator = np.random.default_rng(seed)
    words = generator.integers(10, 100, (count, 14))
    words[words == WORD] += 1
    half = np.arange(count) % 2
    place = generator.integers(0, 7, count) + 7 * half
    words[np.arange(count), place] = WORD
    start, separator = np.full((count, 1), 1), np.full((count, 1), 2)
    tokens = np.hstack([start, words[:, :7], separator, words[:, 7:]])
    segments = np.broadcast_to(np.arange(LENGTH) > 8, tokens.shape)
    return [tokens.astype("int32"), segments.astype("int32")], half


def write_tiny_checkpoint(prefix):
    """Writes what TF1's `Saver` leaves of a BERT before its training, and its path."""
    import tensorflow as tf

    width, hidden = TINY["hidden_size"], TINY["intermediate_size"]
    shapes = {
        "bert/embeddings/word_embeddings": (TINY["vocab_size"], width),
        "bert/embeddings/position_embeddings": (LENGTH, width),
        "bert/embeddings/token_type_embeddings": (2, width),
    }
    dense = {"bert/pooler/dense": (width, width)}
    norms = ["bert/embeddings/LayerNorm"]
    for number in range(TINY["num_hidden_layers"]):
        scope = f"bert/encoder/layer_{number}"
        for name in ("self/query", "self/key", "self/value", "output/dense"):
            dense[f"{scope}/attention/{name}"] = (width, width)
        dense[f"{scope}/intermediate/dense"] = (width, hidden)
        dense[f"{scope}/output/dense"] = (hidden, width)
        norms += [f"{scope}/attention/output/LayerNorm", f"{scope}/output/LayerNorm"]
    for name, shape in dense.items():
        shapes |= {f"{name}/kernel": shape, f"{name}/bias": shape[1:]}
    for name in norms:
        shapes |= {f"{name}/beta": (width,), f"{name}/gamma": (width,)}
    shapes["cls/predictions/output_bias"] = (TINY["vocab_size"],)
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        for name, shape in shapes.items():
            value = v1.truncated_normal_initializer(stddev=0.02)
            if name.endswith(("gamma", "beta", "bias")):
                value = v1.constant_initializer(float(name.endswith("gamma")))
            v1.get_variable(name, shape, initializer=value)
        session.run(v1.global_variables_initializer())
        return v1.train.Saver().save(session, str(prefix))


if __name__ == "__main__":
    main(OPTIONS)
