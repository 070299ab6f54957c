"""Classifiers of token ids: what they compute, and that padding is no part of it."""

import keras
import keras_tuner
import numpy as np
import pytest
import tensorflow as tf

from keras_tricks import hypermodels
from keras_tricks.hypermodels import HyperTextCNN
from keras_tricks.hypermodels import HyperTextRCNN
from keras_tricks.parameters import count_parameters
from tests import sampling

VOCABULARY_SIZE = 20
LENGTH = 9
CLASSES = 3
WORDS = np.random.default_rng(0).integers(1, VOCABULARY_SIZE, size=(6, 5))
LABELS = np.arange(6) % CLASSES

EVERY_TEXT_HYPERMODEL = {
    name: getattr(hypermodels, name)
    for name in hypermodels.__all__
    if name.startswith("HyperText")
}
every_text_hypermodel = pytest.mark.parametrize(
    "hypermodel_class", EVERY_TEXT_HYPERMODEL.values(), ids=EVERY_TEXT_HYPERMODEL
)
# An encoder that knows positions sees another text where padding stands in front.
where_position_is_relative = pytest.mark.parametrize(
    "hypermodel_class", [HyperTextCNN, HyperTextRCNN]
)


@pytest.fixture
def dtype_policy():
    """`dtype_policy(name)` sets Keras's policy for the rest of the test."""
    before = keras.config.dtype_policy()
    yield keras.config.set_dtype_policy
    keras.config.set_dtype_policy(before)


def settings(**fixed):
    hp = keras_tuner.HyperParameters()
    for name, value in {"embedding_units": 8, "filters": 4, **fixed}.items():
        hp.Fixed(name, value)
    return hp


def network(hypermodel_class, length=LENGTH, **fixed):
    """A network in which each weight counts, the embedding of padding most of all."""
    hypermodel = hypermodel_class(VOCABULARY_SIZE, length, CLASSES)
    model = hypermodel.build(settings(**fixed))
    draw = np.random.default_rng(1)
    for weight in model.trainable_variables:
        weight.assign(draw.normal(scale=0.3, size=weight.shape))
    table = model.get_layer("embedding").embeddings
    table.assign(np.where(np.arange(VOCABULARY_SIZE)[:, None] == 0, 50.0, table))
    return model


def without_padding(model, hypermodel_class, **fixed):
    """A network with the weights of `model` and no room for padding."""
    short = network(hypermodel_class, length=WORDS.shape[1], **fixed)
    pairs = zip(short.trainable_variables, model.trainable_variables, strict=True)
    for target, source in pairs:
        # The encoder has learned a vector for each position, used or not.
        target.assign(source.numpy()[: target.shape[0]])
    return short


def padded(words, in_front):
    behind = LENGTH - words.shape[1] - in_front
    return np.pad(words, ((0, 0), (in_front, behind)))


def logits(model, ids):
    return model.predict(ids, verbose=0)


# Padding.


@pytest.mark.usefixtures("uncompiled")
@every_text_hypermodel
def test_padding_behind_the_text_changes_no_logit(hypermodel_class):
    model = network(hypermodel_class)
    expected = logits(without_padding(model, hypermodel_class), WORDS)
    assert np.ptp(expected, axis=0).min() > 0.01
    np.testing.assert_allclose(
        logits(model, padded(WORDS, 0)), expected, rtol=1e-6, atol=1e-6
    )


@pytest.mark.usefixtures("uncompiled")
@where_position_is_relative
@pytest.mark.parametrize("in_front", [1, 2, 4])
def test_padding_in_front_of_the_text_changes_no_logit(hypermodel_class, in_front):
    model = network(hypermodel_class)
    expected = logits(without_padding(model, hypermodel_class), WORDS)
    np.testing.assert_allclose(
        logits(model, padded(WORDS, in_front)), expected, rtol=1e-6, atol=1e-6
    )


@pytest.mark.usefixtures("uncompiled")
@where_position_is_relative
@pytest.mark.parametrize("pooling", ["mean", "attention"])
def test_padding_changes_no_logit_whatever_the_pooling(hypermodel_class, pooling):
    model = network(hypermodel_class, pooling=pooling)
    short = without_padding(model, hypermodel_class, pooling=pooling)
    for in_front in (0, 3):
        np.testing.assert_allclose(
            logits(model, padded(WORDS, in_front)),
            logits(short, WORDS),
            rtol=1e-6,
            atol=1e-6,
        )


@pytest.mark.usefixtures("uncompiled")
@pytest.mark.parametrize("cell", ["lstm", "gru", "simple"])
def test_the_rcnn_s_contexts_reach_over_padding_inside_of_the_text(cell):
    model = network(HyperTextRCNN, cell=cell)
    short = without_padding(model, HyperTextRCNN, cell=cell)
    gaps = np.insert(WORDS, [0, 1, 3, 5], 0, axis=1)
    assert gaps.shape[1] == LENGTH
    np.testing.assert_allclose(
        logits(model, gaps), logits(short, WORDS), rtol=1e-6, atol=1e-6
    )


@pytest.mark.usefixtures("uncompiled")
@every_text_hypermodel
@pytest.mark.parametrize(
    ("policy", "last_place"),
    [("mixed_float16", 2.0**-10), ("mixed_bfloat16", 2.0**-7)],
)
def test_masks_survive_mixed_precision(
    hypermodel_class, policy, last_place, dtype_policy
):
    """The embedding of padding, of 50s, would show in any digit of the logits."""
    dtype_policy(policy)
    model = network(hypermodel_class)
    short = without_padding(model, hypermodel_class)
    found, expected = logits(model, padded(WORDS, 0)), logits(short, WORDS)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=0, atol=4 * last_place)


# What the networks compute.


def convolutional_logits(model, widths):
    """Kim's network in float64, a window at a time, for texts without padding."""
    weights = [weight.numpy().astype("float64") for weight in model.trainable_variables]
    table, *filters, last_kernel, last_bias = weights
    embedded = table[WORDS]
    pooled = []
    for number, width in enumerate(widths):
        kernel, bias = filters[2 * number : 2 * number + 2]
        left = (width - 1) // 2
        rows = np.pad(embedded, ((0, 0), (left, width - 1 - left), (0, 0)))
        windows = [rows[:, i : i + width] for i in range(WORDS.shape[1])]
        features = [
            np.maximum(np.einsum("bwe,wef->bf", window, kernel) + bias, 0)
            for window in windows
        ]
        pooled.append(np.max(features, axis=0))
    return np.concatenate(pooled, axis=1) @ last_kernel + last_bias


# XLA compiles each filter in the same way, whatever its width.
@pytest.mark.parametrize(
    ("widths", "jit_compile"),
    sampling.only(
        [("3 4 5", False), ("2 3 4", False), ("5", False), ("2 3 4", True)],
        [(w, jit) for w in ("3 4 5", "2 3 4", "5") for jit in (False, True)],
    ),
)
def test_the_cnn_is_the_largest_value_of_each_filter_over_the_text(widths, jit_compile):
    model = network(HyperTextCNN, filter_widths=widths)
    model.compile(jit_compile=jit_compile, run_eagerly=not jit_compile)
    expected = convolutional_logits(model, [int(width) for width in widths.split()])
    for in_front in (0, 4):
        np.testing.assert_allclose(
            logits(model, padded(WORDS, in_front)), expected, rtol=1e-5, atol=1e-5
        )


def contexts(embedded, kernel, recurrent_kernel, bias):
    """The paper's equations 1 and 2: the context of a word, from the words before."""
    context = np.zeros((len(embedded), len(recurrent_kernel)))
    of_each_word = []
    for position in range(embedded.shape[1]):
        of_each_word.append(context)
        context = np.tanh(
            context @ recurrent_kernel + embedded[:, position] @ kernel + bias
        )
    return np.stack(of_each_word, axis=1)


def recurrent_logits(model):
    """Lai et al.'s network in float64, for texts without padding."""
    table = model.get_layer("embedding").embeddings.numpy().astype("float64")
    cells = {
        layer.go_backwards: [weight.numpy() for weight in layer.trainable_variables]
        for layer in model.layers
        if isinstance(layer, keras.layers.RNN)
    }
    kernel, bias, last_kernel, last_bias = (
        weight.numpy() for weight in model.trainable_variables[-4:]
    )
    embedded = table[WORDS]
    left = contexts(embedded, *cells[False])
    right = contexts(embedded[:, ::-1], *cells[True])[:, ::-1]
    words = np.concatenate([left, embedded, right], axis=-1)
    return np.tanh(words @ kernel + bias).max(axis=1) @ last_kernel + last_bias


@pytest.mark.parametrize("jit_compile", [False, True])
def test_the_rcnn_s_contexts_are_those_of_the_paper_without_the_word(jit_compile):
    model = network(HyperTextRCNN, cell="simple", context_units=32)
    model.compile(jit_compile=jit_compile, run_eagerly=not jit_compile)
    expected = recurrent_logits(model)
    for in_front in (0, 2, 4):
        np.testing.assert_allclose(
            logits(model, padded(WORDS, in_front)), expected, rtol=1e-4, atol=1e-5
        )


@pytest.mark.parametrize("cell", ["lstm", "gru", "simple"])
def test_the_rcnn_has_the_hand_counted_parameters(cell):
    gates = {"lstm": 4, "gru": 3, "simple": 1}[cell]
    # Keras's GRU has a bias for the input and one for the state.
    biases = 2 if cell == "gru" else 1
    model = network(HyperTextRCNN, cell=cell, context_units=32, units=64)
    assert count_parameters(model) == (
        VOCABULARY_SIZE * 8
        + 2 * gates * 32 * (8 + 32 + biases)
        + (32 + 8 + 32 + 1) * 64
        + (64 + 1) * CLASSES
    )


def test_an_unknown_cell_is_refused_with_the_choices():
    with pytest.raises(ValueError, match=r"`cell` must be one of 'lstm', 'gru'"):
        network(HyperTextRCNN, cell="LSTM")


def class_norms(max_norm):
    """Norms of the last layer's weights of a class, after steps that make them grow."""
    keras.utils.set_random_seed(0)
    hp = settings(max_norm=max_norm, learning_rate=0.1, optimizer="adam")
    hypermodel = HyperTextCNN(VOCABULARY_SIZE, LENGTH, CLASSES, epochs=5, batch_size=2)
    model = hypermodel.build(hp)
    hypermodel.fit(hp, model, padded(WORDS, 0), LABELS, verbose=0)
    return np.linalg.norm(model.get_layer("logits").kernel.numpy(), axis=0)


@pytest.mark.usefixtures("uncompiled")
def test_the_norm_of_a_class_s_weights_stays_below_max_norm():
    assert class_norms(max_norm=0.0).min() > 0.5
    np.testing.assert_array_less(class_norms(max_norm=0.5), 0.5 * (1 + 1e-6))


# Ids out of the vocabulary.


class Batches(keras.utils.PyDataset):
    def __init__(self, x, y):
        super().__init__()
        self.x, self.y = x, y

    def __len__(self):
        return 3

    def __getitem__(self, index):
        part = slice(2 * index, 2 * index + 2)
        return self.x[part], self.y[part]


GOOD = padded(WORDS, 0)
AS_DATA = {
    "arrays": lambda x: ((x, LABELS), {}),
    "keywords": lambda x: ((), {"x": x, "y": LABELS}),
    "tf.data": lambda x: (
        (tf.data.Dataset.from_tensor_slices((x, LABELS)).batch(2),),
        {},
    ),
    "PyDataset": lambda x: ((Batches(x, LABELS),), {}),
    "validation arrays": lambda x: ((GOOD, LABELS), {"validation_data": (x, LABELS)}),
    "validation tf.data": lambda x: (
        (GOOD, LABELS),
        {"validation_data": tf.data.Dataset.from_tensor_slices((x, LABELS)).batch(2)},
    ),
    "validation PyDataset": lambda x: (
        (GOOD, LABELS),
        {"validation_data": Batches(x, LABELS)},
    ),
}


# Which ids are wrong is decided after the data were read: each kind with one or two.
@pytest.mark.parametrize(
    ("kind", "wrong"),
    sampling.one_in(
        2, [(k, wrong) for k in AS_DATA for wrong in (-1, VOCABULARY_SIZE, 10**6)]
    ),
)
def test_an_id_out_of_the_vocabulary_is_named_before_training(kind, wrong):
    ids = GOOD.copy()
    ids[-1, 2] = wrong  # In the last batch.
    hypermodel = HyperTextCNN(VOCABULARY_SIZE, LENGTH, CLASSES)
    hp = settings()
    model = hypermodel.build(hp)
    before = model.get_weights()
    arguments, keywords = AS_DATA[kind](ids)
    with pytest.raises(
        ValueError, match=rf"vocabulary_size={VOCABULARY_SIZE}.*the id {wrong}$"
    ):
        hypermodel.fit(hp, model, *arguments, epochs=1, verbose=0, **keywords)
    for now, then in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(now, then)


@pytest.mark.usefixtures("uncompiled")
@pytest.mark.parametrize("kind", ["arrays", "PyDataset", "validation tf.data"])
def test_the_largest_id_of_the_vocabulary_is_trained_on(kind):
    largest = VOCABULARY_SIZE - 1
    assert GOOD.max() == largest
    keras.utils.set_random_seed(0)
    hypermodel = HyperTextCNN(VOCABULARY_SIZE, LENGTH, CLASSES, epochs=1, batch_size=3)
    hp = settings(warmup_fraction=0.0, pooling="mean")  # Each word has a part in it.
    model = hypermodel.build(hp)
    table = model.get_layer("embedding").embeddings
    before = table.numpy()
    arguments, keywords = AS_DATA[kind](GOOD)
    history = hypermodel.fit(hp, model, *arguments, verbose=0, **keywords).history
    assert np.abs(table.numpy() - before)[largest].min() > 0
    assert ("val_loss" in history) == kind.startswith("validation")


def test_an_endless_dataset_is_read_as_far_as_it_is_trained_on():
    ids = np.tile(GOOD, (2, 1))
    ids[-1, 2] = VOCABULARY_SIZE
    data = tf.data.Dataset.from_tensor_slices((ids, np.tile(LABELS, 2))).batch(2)
    hypermodel = HyperTextCNN(VOCABULARY_SIZE, LENGTH, CLASSES, epochs=1)
    hypermodel.check_ids(data.repeat(), batches=5)
    with pytest.raises(ValueError, match=f"the id {VOCABULARY_SIZE}$"):
        hypermodel.check_ids(data.repeat(), batches=6)


# Arguments.


@every_text_hypermodel
@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("vocabulary_size", (0, LENGTH, CLASSES)),
        ("vocabulary_size", (1, LENGTH, CLASSES)),
        ("sequence_length", (VOCABULARY_SIZE, 0, CLASSES)),
        ("num_classes", (VOCABULARY_SIZE, LENGTH, 0)),
    ],
)
def test_sizes_too_small_are_refused_in_the_constructor(
    hypermodel_class, name, arguments
):
    with pytest.raises(ValueError, match=f"`{name}` must be a whole number >= "):
        hypermodel_class(*arguments)


def test_a_text_shorter_than_the_widest_filter_is_refused_with_the_remedy():
    with pytest.raises(
        ValueError, match=r"at least 5, the widest filter: pad .*sequence_length=4$"
    ):
        HyperTextCNN(VOCABULARY_SIZE, 4, CLASSES)
    narrow = HyperTextCNN(VOCABULARY_SIZE, 4, CLASSES, filter_widths=((2, 4),))
    assert narrow.build(settings()).input_shape == (None, 4)


@pytest.mark.parametrize("widths", [(), ((),), ((3,), ())])
def test_filter_widths_without_a_width_are_refused(widths):
    with pytest.raises(ValueError, match="must be a tuple of tuples of widths"):
        HyperTextCNN(VOCABULARY_SIZE, LENGTH, CLASSES, filter_widths=widths)


@pytest.mark.parametrize("width", [0, -3, 2.5])
def test_a_width_that_is_no_number_of_words_is_refused(width):
    with pytest.raises(ValueError, match="`filter_widths` must be a whole number >= 1"):
        HyperTextCNN(VOCABULARY_SIZE, LENGTH, CLASSES, filter_widths=((3, width),))
