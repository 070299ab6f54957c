"""Pretrains a small Transformer encoder on masked words, then fine-tunes it BERT's way.

The text is the docstrings of Python's standard library; the classes of the second task
are the packages that they come from. Both trainings use BERT's recipe: warmup and
linear decay, gradients clipped to a norm of 1, Adam with decay and without bias
correction.
"""

import ast
import collections
import pathlib
import re
import sysconfig
import warnings

import command_line

# Options are read before TensorFlow loads, so that a bad one is told at once.
if __name__ == "__main__":
    OPTIONS = command_line.parse(
        __doc__,
        pretraining_epochs=10,
        epochs=6,
        seed=0,
        output="runs/bert_style_finetune",
    )

import keras
import matplotlib
import numpy as np
from keras import layers
from keras import ops

from keras_tricks.callbacks import GradientMonitor
from keras_tricks.callbacks import LearningRateHistory
from keras_tricks.optimizers import create_optimizer

matplotlib.use("Agg")  # Draws to files, so that no screen is needed.
import matplotlib.pyplot as plt

LENGTH, WIDTH, HEADS, LAYERS = 32, 64, 4, 2
VOCABULARY = 3000
PADDING, UNKNOWN, MASK, START = range(4)
MASKED_WORDS = 5  # of a text, about 15 % as in BERT
PACKAGES = 8
BATCH = 32


def main(options) -> None:
    keras.utils.set_random_seed(options.seed)

    texts, packages = docstrings()
    vocabulary, tokens = tokenized(texts)
    print(f"{len(texts):,} docstrings, a vocabulary of {len(vocabulary):,} words")
    encoder = build_encoder()
    pretrain(encoder, tokens, options.pretraining_epochs, options.seed)

    names = [name for name, _ in collections.Counter(packages).most_common(PACKAGES)]
    chosen = np.array([package in names for package in packages])
    labels = np.array([names.index(p) for p in packages if p in names])
    split = int(0.8 * len(labels))
    order = np.random.default_rng(options.seed).permutation(len(labels))
    train, test = order[:split], order[split:]
    x = tokens[chosen]
    print(f"Classes: {', '.join(names)}")

    model, history, norms = fine_tune(encoder, x[train], labels[train], options.epochs)
    _, accuracy = model.evaluate(x[test], labels[test], verbose=0)
    most_frequent = np.mean(labels[test] == 0)
    print(
        f"Test accuracy: {accuracy:.3f} of {len(test)} docstrings "
        f"(always the most frequent class: {most_frequent:.3f})"
    )
    path = options.output / "rate_and_norm.png"
    plot(history.learning_rate_per_update, norms, path)
    print(f"Wrote {path}")


def docstrings():
    """Returns the docstrings of the standard library and the packages they are from."""
    library = pathlib.Path(sysconfig.get_paths()["stdlib"])
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    texts, packages = [], []
    for path in sorted(library.glob("**/*.py")):
        package, *_ = path.relative_to(library).with_suffix("").parts
        if package in ("site-packages", "test", "idlelib", "lib2to3"):
            continue
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Old escapes in other people's code.
                tree = ast.parse(path.read_bytes())
        except (SyntaxError, ValueError):
            continue
        for node in ast.walk(tree):
            text = isinstance(node, documented) and ast.get_docstring(node)
            if text and len(text.split()) >= 8:
                texts.append(text)
                packages.append(package)
    return texts, packages


def tokenized(texts):
    """Returns the vocabulary and an array of token ids, padded, each from START on."""
    words = [re.findall(r"[a-z]+", text.lower()) for text in texts]
    counts = collections.Counter(word for text in words for word in text)
    known = [word for word, _ in counts.most_common(VOCABULARY - 4)]
    ids = {word: number for number, word in enumerate(known, start=4)}
    tokens = np.full((len(texts), LENGTH), PADDING, "int32")
    for row, text in zip(tokens, words, strict=True):
        row[0] = START
        numbers = [ids.get(word, UNKNOWN) for word in text[: LENGTH - 1]]
        row[1 : 1 + len(numbers)] = numbers
    return known, tokens


class Embeddings(layers.Layer):
    """Words and positions, and logits of words from the same table."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        start = keras.initializers.TruncatedNormal(stddev=0.02)
        self.words = layers.Embedding(VOCABULARY, WIDTH, start, name="word_embeddings")
        self.places = layers.Embedding(LENGTH, WIDTH, start, name="position_embeddings")
        self.norm = layers.LayerNormalization(name="layer_norm")

    def call(self, tokens):
        return self.norm(self.words(tokens) + self.places(ops.arange(LENGTH)))

    def logits(self, hidden):
        return ops.matmul(hidden, ops.transpose(self.words.embeddings))


def build_encoder():
    tokens = keras.Input((LENGTH,), dtype="int32")
    attended = ops.expand_dims(tokens != PADDING, 1)
    x = Embeddings(name="embeddings")(tokens)
    for number in range(LAYERS):
        scope = f"layer_{number}"
        attention = layers.MultiHeadAttention(
            HEADS, WIDTH // HEADS, dropout=0.1, name=f"{scope}_attention"
        )
        x = x + attention(x, x, attention_mask=attended)
        x = layers.LayerNormalization(name=f"{scope}_attention_layer_norm")(x)
        hidden = layers.Dense(4 * WIDTH, "gelu", name=f"{scope}_intermediate")(x)
        x = x + layers.Dense(WIDTH, name=f"{scope}_output")(hidden)
        x = layers.LayerNormalization(name=f"{scope}_output_layer_norm")(x)
    return keras.Model(tokens, x, name="encoder")


class MaskedWords(keras.Model):
    """Predicts the words that were masked from the others."""

    def __init__(self, encoder):
        super().__init__()
        self.encoder = encoder

    def call(self, inputs, training=False):
        tokens, places = inputs
        hidden = self.encoder(tokens, training=training)
        masked = ops.take_along_axis(hidden, ops.expand_dims(places, -1), axis=1)
        return self.encoder.get_layer("embeddings").logits(masked)


def pretrain(encoder, tokens, epochs, seed):
    generator = np.random.default_rng(seed)
    # Words among which MASKED_WORDS can be chosen; padding is not predicted.
    lengths = (tokens != PADDING).sum(axis=1)
    tokens, lengths = tokens[lengths > MASKED_WORDS], lengths[lengths > MASKED_WORDS]
    keys = generator.random(tokens.shape)
    keys[(np.arange(LENGTH) >= lengths[:, None]) | (np.arange(LENGTH) == 0)] = 2
    places = np.argsort(keys, axis=1)[:, :MASKED_WORDS].astype("int32")
    words = np.take_along_axis(tokens, places, axis=1)
    hidden = tokens.copy()
    np.put_along_axis(hidden, places, MASK, axis=1)
    model = MaskedWords(encoder)
    steps = epochs * -(-len(tokens) // BATCH)
    model.compile(
        create_optimizer(1e-3, num_train_steps=steps, num_warmup_steps=steps // 10),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    history = model.fit((hidden, places), words, BATCH, epochs, verbose=0)
    losses = history.history["loss"]
    print(f"Pretraining, {steps} steps: loss {losses[0]:.2f} -> {losses[-1]:.2f} nats")


def fine_tune(encoder, x, labels, epochs):
    """Returns the trained classifier, its history, and its gradient norms."""
    inputs = keras.Input((LENGTH,), dtype="int32")
    # Masked words alone teach the first position little: pool over the words instead.
    pooled = layers.GlobalAveragePooling1D()(encoder(inputs), mask=inputs != PADDING)
    logits = layers.Dense(PACKAGES, name="classifier")(layers.Dropout(0.1)(pooled))
    model = keras.Model(inputs, logits)
    steps = epochs * -(-len(x) // BATCH)
    model.compile(
        create_optimizer(1e-3, num_train_steps=steps, num_warmup_steps=steps // 10),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    monitor = GradientMonitor()
    callbacks = [LearningRateHistory(), monitor]
    history = model.fit(x, labels, BATCH, epochs, verbose=0, callbacks=callbacks)
    return model, history, monitor.norms


def plot(rates, norms, path):
    figure, (above, below) = plt.subplots(
        2, sharex=True, figsize=(8, 6), layout="constrained"
    )
    above.plot(rates)
    above.set(title="Fine-tuning with BERT's recipe", ylabel="learning rate")
    below.plot(norms, linewidth=0.8)
    below.axhline(1.0, color="gray", linestyle=":", label="clip limit")
    below.set(
        xlabel="step (optimizer updates)",
        ylabel="global gradient norm, before clipping",
        yscale="log",
    )
    below.legend()
    for axes in (above, below):
        axes.grid(alpha=0.3)
    figure.savefig(path, dpi=120)
    plt.close(figure)


if __name__ == "__main__":
    main(OPTIONS)
