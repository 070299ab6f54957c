"""Counts held against hand counts, papers' figures and Keras's own."""

import logging

import keras
import pytest
import tensorflow as tf

from keras_tricks.parameters import count_parameters

layers = keras.layers

# A layer, the shape of its inputs, and its parameters by hand: trained, and not.
BY_HAND = {
    "dense": (lambda: layers.Dense(5), (None, 7), 7 * 5 + 5, 0),
    "dense without bias": (lambda: layers.Dense(5, use_bias=False), (2, 7), 35, 0),
    "convolution": (
        lambda: layers.Conv2D(8, (3, 5)),
        (None, 16, 16, 4),
        3 * 5 * 4 * 8 + 8,
        0,
    ),
    "convolution in 2 groups": (
        lambda: layers.Conv2D(8, 3, groups=2),
        (None, 16, 16, 4),
        3 * 3 * (4 // 2) * 8 + 8,
        0,
    ),
    "convolution over time": (
        lambda: layers.Conv1D(6, 3),
        (None, 10, 4),
        3 * 4 * 6 + 6,
        0,
    ),
    "transposed convolution": (
        lambda: layers.Conv2DTranspose(6, 3),
        (None, 8, 8, 4),
        3 * 3 * 6 * 4 + 6,
        0,
    ),
    "depthwise convolution": (
        lambda: layers.DepthwiseConv2D(3, depth_multiplier=2),
        (None, 8, 8, 4),
        3 * 3 * 4 * 2 + 4 * 2,
        0,
    ),
    "separable convolution": (
        lambda: layers.SeparableConv2D(6, 3, depth_multiplier=2),
        (None, 8, 8, 4),
        3 * 3 * 4 * 2 + (4 * 2) * 6 + 6,
        0,
    ),
    "LSTM": (lambda: layers.LSTM(6), (None, 9, 5), 4 * ((5 + 6) * 6 + 6), 0),
    "LSTM in both directions": (
        lambda: layers.Bidirectional(layers.LSTM(6)),
        (None, 9, 5),
        2 * 4 * ((5 + 6) * 6 + 6),
        0,
    ),
    # cuDNN's form has a bias of the inputs and one of the state.
    "GRU": (lambda: layers.GRU(6), (None, 9, 5), 3 * ((5 + 6) * 6 + 2 * 6), 0),
    "GRU of the paper": (
        lambda: layers.GRU(6, reset_after=False),
        (None, 9, 5),
        3 * ((5 + 6) * 6 + 6),
        0,
    ),
    "embedding": (lambda: layers.Embedding(11, 6), (None, 9), 11 * 6, 0),
    # Scale and offset are trained; the moving mean and variance are not.
    "batch norm": (lambda: layers.BatchNormalization(), (None, 8, 8, 6), 2 * 6, 2 * 6),
    "layer norm": (lambda: layers.LayerNormalization(), (None, 9, 6), 2 * 6, 0),
    "dropout, whose generator has a state": (
        lambda: layers.Dropout(0.5),
        (None, 6),
        0,
        0,
    ),
    "a layer that is applied to each step": (
        lambda: layers.TimeDistributed(layers.Dense(4)),
        (None, 9, 5),
        5 * 4 + 4,
        0,
    ),
}

every_layer = pytest.mark.parametrize(
    ("make", "input_shape", "trained", "frozen"), BY_HAND.values(), ids=BY_HAND.keys()
)


def small_model():
    """4 * 3 + 3 dense weights and 3 * 2 trained, 3 * 2 not trained, of the norm."""
    return keras.Sequential(
        [keras.Input((4,)), layers.Dense(3), layers.BatchNormalization()]
    )


def counts(what, **arguments):
    """The trained parameters, the others, and all of them."""
    return tuple(
        count_parameters(what, trainable, **arguments)
        for trainable in (True, False, None)
    )


def counts_by_keras(layer):
    return tuple(
        sum(int(tf.size(weight)) for weight in weights)
        for weights in (
            layer.trainable_weights,
            layer.non_trainable_weights,
            layer.weights,
        )
    )


@every_layer
def test_an_unbuilt_layer_has_as_many_as_by_hand(make, input_shape, trained, frozen):
    expected = (trained, frozen, trained + frozen)
    assert counts(make(), input_shape=input_shape) == expected


@every_layer
def test_a_function_that_makes_it_has_as_many(make, input_shape, trained, frozen):
    expected = (trained, frozen, trained + frozen)
    assert counts(make, input_shape=input_shape) == expected


@every_layer
def test_a_built_layer_has_as_many(make, input_shape, trained, frozen):
    layer = make()
    layer(keras.Input(batch_shape=input_shape))
    assert counts(layer) == (trained, frozen, trained + frozen)


@pytest.mark.parametrize(
    ("make", "by_hand"),
    [
        # Query, key and value: 16 to 3 heads of 4; and from the heads back to 16.
        (
            lambda: layers.MultiHeadAttention(3, 4),
            3 * (16 * 12 + 12) + 12 * 16 + 16,
        ),
        (
            lambda: layers.MultiHeadAttention(3, 4, value_dim=5, use_bias=False),
            2 * 16 * 12 + 16 * 15 + 15 * 16,
        ),
        # 4 heads of queries share 2 of keys and values.
        (
            lambda: layers.GroupQueryAttention(4, 4, 2),
            (16 * 16 + 16) + 2 * (16 * 8 + 8) + 16 * 16 + 16,
        ),
    ],
    ids=["multi-head", "with a value width", "grouped queries"],
)
def test_attention_has_as_many_as_by_hand(make, by_hand):
    def attend():
        tokens = keras.Input((9, 16))
        return keras.Model(tokens, make()(tokens, tokens))

    assert counts(attend) == counts(attend()) == (by_hand, 0, by_hand)


@pytest.mark.parametrize(
    ("num_layers", "width", "published"),
    [(12, 768, 109_482_240), (24, 1024, 335_141_888)],
    ids=["base", "large"],
)
def test_berts_encoders_have_the_published_numbers(num_layers, width, published):
    """With the pooler, as `num_parameters()` of the checkpoints in public use."""
    heads = width // 64

    def bert():
        ids = tuple(keras.Input((512,), dtype="int32") for _ in range(3))
        tokens, positions, types = ids
        x = layers.Add()(
            [
                layers.Embedding(30_522, width)(tokens),
                layers.Embedding(512, width)(positions),
                layers.Embedding(2, width)(types),
            ]
        )
        x = layers.LayerNormalization()(x)
        for _ in range(num_layers):
            attended = layers.MultiHeadAttention(heads, width // heads)(x, x)
            x = layers.LayerNormalization()(x + attended)
            hidden = layers.Dense(4 * width, "gelu")(x)
            x = layers.LayerNormalization()(x + layers.Dense(width)(hidden))
        pooled = layers.Dense(width, "tanh")(x[:, 0])
        return keras.Model(ids, [x, pooled])

    assert count_parameters(bert) == published


@pytest.mark.parametrize(
    ("trainable", "by_hand"), [(True, 15 + 6), (False, 6), (None, 15 + 12)]
)
def test_counts_equal_the_hand_count(trainable, by_hand):
    assert count_parameters(small_model(), trainable=trainable) == by_hand


def test_all_parameters_are_those_that_keras_counts():
    model = small_model()
    assert count_parameters(model, trainable=None) == model.count_params()


def test_the_state_of_optimizer_metrics_and_generators_is_no_parameter():
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3), layers.Dropout(0.5)])
    model.compile("adam", "mse", metrics=["mae"])
    model.optimizer.build(model.trainable_variables)
    assert counts(model) == (15, 0, 15)


class Tied(layers.Layer):
    """Multiplies by the kernel of another layer, as its own weight."""

    def __init__(self, dense):
        super().__init__()
        self.kernel = dense.kernel

    def build(self, input_shape):
        pass

    def call(self, inputs):
        return keras.ops.matmul(inputs, self.kernel)


def tied_model():
    dense, inputs = layers.Dense(5, use_bias=False), keras.Input((5,))
    hidden = dense(inputs)
    return keras.Model(inputs, Tied(dense)(hidden))


@pytest.mark.parametrize("what", [tied_model(), tied_model], ids=["model", "function"])
def test_a_weight_of_two_layers_counts_once(what):
    first, second = tied_model().layers[1:]
    assert count_parameters(first) == count_parameters(second) == 5 * 5
    assert count_parameters(what) == 5 * 5


def test_a_shared_layer_counts_once():
    shared = layers.Dense(5)
    first, second = keras.Input((5,)), keras.Input((5,))
    model = keras.Model([first, second], [shared(first), shared(second)])
    assert count_parameters(model) == 5 * 5 + 5


def test_a_variable_that_a_list_has_twice_counts_once():
    ours, tensorflows = keras.Variable([1.0, 2.0]), tf.Variable([1.0, 2.0, 3.0])
    assert count_parameters([ours, tensorflows, ours, tensorflows]) == 2 + 3


class MadeInBuild(keras.Model):
    """A layer that is applied twice, and one that is made once the input is known."""

    def __init__(self):
        super().__init__()
        self.shared = layers.Dense(5)

    def build(self, input_shape):
        self.shared.build(input_shape)
        self.last = layers.Dense(input_shape[-1] + 1)
        self.last.build(input_shape)

    def call(self, inputs):
        return self.last(self.shared(self.shared(inputs)))


class MadeInCall(keras.Model):
    """The same, without a `build`."""

    def __init__(self):
        super().__init__()
        self.shared = layers.Dense(5)
        self.last = None

    def call(self, inputs):
        if self.last is None:
            self.last = layers.Dense(inputs.shape[-1] + 1)
        return self.last(self.shared(self.shared(inputs)))


@pytest.mark.parametrize("subclass", [MadeInBuild, MadeInCall])
def test_shared_and_lazily_made_layers_of_a_subclass_count_once(subclass):
    by_hand = (5 * 5 + 5) + (5 * 6 + 6)
    expected = (by_hand, 0, by_hand)
    assert counts(subclass(), input_shape=(None, 5)) == expected
    assert counts(lambda: subclass(), input_shape=(None, 5)) == expected


def test_a_class_is_a_function_that_makes_a_model():
    by_hand = (5 * 5 + 5) + (5 * 6 + 6)
    assert count_parameters(MadeInCall, input_shape=(None, 5)) == by_hand


def test_a_frozen_layer_is_not_trainable():
    model = small_model()
    model.layers[0].trainable = False
    assert count_parameters(model) == 6
    assert count_parameters(model, trainable=False) == 15 + 6


def test_a_frozen_model_has_nothing_to_train():
    model = small_model()
    model.trainable = False
    assert counts(model) == (0, 15 + 12, 15 + 12)


def test_a_layer_that_is_frozen_before_it_is_built_is_not_trainable():
    model = keras.Sequential([layers.Dense(3), layers.Dense(2)])
    model.layers[0].trainable = False
    frozen, trained = 4 * 3 + 3, 3 * 2 + 2
    assert counts(model, input_shape=(None, 4)) == (trained, frozen, trained + frozen)


def test_a_layer_that_is_frozen_in_the_function_is_not_trainable():
    def fine_tuned():
        model = small_model()
        model.layers[0].trainable = False
        return model

    assert counts(fine_tuned) == (6, 15 + 6, 15 + 12)


def dense_with_lora():
    """Trained: the bias, and matrices of 8 * 2 and 2 * 4. Frozen: the kernel."""
    layer = layers.Dense(4)
    layer.build((None, 8))
    layer.enable_lora(2)
    return layer


def embedding_with_lora():
    """Trained: matrices of 10 * 3 and 3 * 4. Frozen: the embeddings."""
    layer = layers.Embedding(10, 4)
    layer.build((None, 7))
    layer.enable_lora(3)
    return layer


@pytest.mark.parametrize(
    ("make", "trained", "frozen"),
    [
        (dense_with_lora, 4 + 8 * 2 + 2 * 4, 8 * 4),
        (embedding_with_lora, 10 * 3 + 3 * 4, 10 * 4),
    ],
)
def test_lora_trains_its_matrices_instead_of_the_weights(make, trained, frozen):
    expected = (trained, frozen, trained + frozen)
    assert counts(make()) == counts(make) == counts_by_keras(make()) == expected


def test_an_unbuilt_layer_that_asks_for_lora_has_its_matrices():
    layer = layers.Dense(4, lora_rank=2)
    assert counts(layer, input_shape=(None, 8)) == (28, 32, 60)


def quantized_dense():
    """Trained: the bias. Not trained: the integers, and 4 scales of them."""
    layer = layers.Dense(4)
    layer.build((None, 8))
    layer.quantize("int8")
    return layer


def test_of_a_quantized_layer_the_bias_is_trained():
    expected = (4, 8 * 4 + 4, 8 * 4 + 4 + 4)
    assert counts(quantized_dense()) == counts_by_keras(quantized_dense()) == expected
    assert counts(quantized_dense) == expected


def test_an_unbuilt_layer_with_a_quantized_policy_has_its_scales():
    layer = layers.Dense(4, dtype="int8_from_float32")
    assert counts(layer, input_shape=(None, 8)) == (4, 36, 40)


def test_a_list_of_tensorflows_variables_counts():
    variables = [tf.Variable(tf.zeros((3, 2))), tf.Variable(1.0, trainable=False)]
    assert counts(variables) == (6, 1, 7)


def test_a_list_of_keras_variables_counts():
    assert counts(small_model().weights) == (15 + 6, 6, 15 + 12)


def test_no_variables_are_0_parameters():
    assert counts([]) == (0, 0, 0)


def test_a_tensorflow_module_counts_with_the_modules_in_it():
    inner, outer = tf.Module(), tf.Module()
    inner.kernel = tf.Variable(tf.zeros((3, 2)))
    outer.inner = inner
    outer.steps = tf.Variable(0, trainable=False)
    outer.again = inner.kernel
    assert counts(outer) == (6, 1, 7)


def test_a_tf1_graph_counts_what_it_trains_and_its_global_variables():
    with tf.Graph().as_default() as graph:
        tf.compat.v1.get_variable("kernel", (3, 2))
        tf.compat.v1.get_variable("global_step", (), tf.int64, trainable=False)
        tf.compat.v1.get_variable(
            "seen", (4,), None, None, None, False, ["local_variables"]
        )
        tf.compat.v1.get_variable(
            "bias", (2,), collections=["local_variables", "trainable_variables"]
        )
    assert counts(graph) == (3 * 2 + 2, 1, 3 * 2 + 2 + 1)


def test_a_variable_of_unknown_shape_is_refused():
    variable = tf.Variable(tf.zeros((3,)), shape=tf.TensorShape([None]))
    with pytest.raises(ValueError, match="The shape of each variable must be known"):
        count_parameters([variable])


@pytest.mark.parametrize("shape", [tf.TensorShape(None), tf.TensorShape([2, None])])
def test_a_tf1_variable_of_unknown_shape_is_refused(shape):
    with tf.Graph().as_default() as graph:
        values = tf.compat.v1.placeholder(tf.float32, shape)
        tf.compat.v1.Variable(values, validate_shape=False)
    with pytest.raises(ValueError, match=r"must be known\. Received: .*Variable"):
        count_parameters(graph)


@pytest.mark.parametrize(
    "what",
    [
        lambda: keras.Sequential([layers.Dense(3)]),
        keras.Sequential([layers.Dense(3)]),
        layers.Dense(3),
    ],
    ids=["function", "model", "layer"],
)
def test_an_unknown_input_shape_is_refused_with_the_call_that_gives_it(what):
    call = r"count_parameters\(model, input_shape=\(None, \.\.\.\)\)"
    with pytest.raises(ValueError, match=f"input shape is not known.*{call}"):
        count_parameters(what)


@pytest.mark.parametrize("make", [list, dict])
def test_input_shapes_may_be_a_list_or_a_dict(make):
    class Two(keras.Model):
        def __init__(self):
            super().__init__()
            self.first, self.second = layers.Dense(3), layers.Dense(3)

        def call(self, inputs):
            first, second = inputs.values() if make is dict else inputs
            return self.first(first) + self.second(second)

    shapes = {"a": (None, 4), "b": (None, 5)}
    input_shape = shapes if make is dict else list(shapes.values())
    assert count_parameters(Two(), input_shape=input_shape) == 5 * 3 + 6 * 3


def test_counting_an_unbuilt_model_leaves_it_unbuilt():
    model = keras.Sequential([layers.Dense(3), layers.Dense(2)])
    assert count_parameters(model, input_shape=(None, 4)) == 15 + 8
    assert not model.built
    assert model.weights == []
    # Another shape is as good as the first.
    assert count_parameters(model, input_shape=(None, 5)) == 18 + 8


def test_a_model_without_a_configuration_is_refused_with_the_remedy():
    class Sized(keras.Model):
        def __init__(self, sizes):
            super().__init__()
            self.dense = layers.Dense(sum(sizes))

        def call(self, inputs):
            return self.dense(inputs)

    remedy = r"count_parameters\(lambda: make_model\(\), input_shape=\.\.\.\)"
    with pytest.raises(ValueError, match=f"cannot be had.*{remedy}"):
        count_parameters(Sized(iter((1, 2))), input_shape=(None, 4))
    assert count_parameters(lambda: Sized(iter((1, 2))), input_shape=(None, 4)) == 15


def test_a_layer_that_the_configuration_does_not_tell_is_not_overlooked():
    model = MadeInBuild()
    model.later = layers.Dense(7)
    with pytest.raises(ValueError, match="does not tell all of its layers"):
        count_parameters(model, input_shape=(None, 5))


@pytest.mark.parametrize("what", [[1, 2, 3], 7, None, "dense", {"kernel": 1}])
def test_what_has_no_parameters_is_refused(what):
    with pytest.raises(TypeError, match="`what` must be a Keras model or layer"):
        count_parameters(what)


@pytest.mark.parametrize("made", [7, None, "dense", {}])
def test_a_function_that_makes_no_model_is_refused(made):
    with pytest.raises(TypeError, match="must return a Keras model or layer"):
        count_parameters(lambda: made)


@pytest.mark.parametrize("trainable", ["yes", 2, [True]])
def test_trainable_that_is_none_of_the_three_is_refused(trainable):
    with pytest.raises(TypeError, match="`trainable` must be True, False or None"):
        count_parameters(small_model(), trainable)


@pytest.mark.parametrize(
    ("trainable", "text"),
    [
        (True, "wide has 1,001,000 trainable parameters"),
        (False, "wide has 0 non-trainable parameters"),
        (None, "wide has 1,001,000 parameters"),
    ],
)
def test_the_number_is_logged_when_asked(caplog, trainable, text):
    layer = layers.Dense(1000, name="wide")
    with caplog.at_level(logging.INFO, logger="keras_tricks"):
        count_parameters(layer, trainable, input_shape=(None, 1000), log=True)
    records = [r for r in caplog.records if r.name.startswith("keras_tricks")]
    assert [(r.levelname, r.getMessage()) for r in records] == [("INFO", text)]
    assert records[0].name == "keras_tricks.parameters.counting"


def test_nothing_is_logged_unasked(caplog):
    with caplog.at_level(logging.DEBUG, logger="keras_tricks"):
        count_parameters(small_model())
    assert not [r for r in caplog.records if r.name.startswith("keras_tricks")]
