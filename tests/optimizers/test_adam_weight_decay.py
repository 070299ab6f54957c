"""AdamWeightDecay against NumPy, and its choice of what decays."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_tricks.optimizers import AdamWeightDecay

RATE, DECAY, BETA_1, BETA_2, EPSILON = 0.1, 0.05, 0.9, 0.99, 1e-6


def formula(weight, gradients, *, decayed=True, bias_correction=False, factor=1.0):
    """The class's formula, in float64."""
    weight = np.array(weight, np.float64)
    m, v = np.zeros_like(weight), np.zeros_like(weight)
    for step, gradient in enumerate(gradients):
        g = np.array(gradient, np.float64)
        m = BETA_1 * m + (1 - BETA_1) * g
        v = BETA_2 * v + (1 - BETA_2) * g**2
        update = m / (np.sqrt(v) + EPSILON)
        if bias_correction:
            update *= np.sqrt(1 - BETA_2 ** (step + 1)) / (1 - BETA_1 ** (step + 1))
        update += DECAY * weight * decayed
        weight = weight - RATE * factor * update
    return weight


GRADIENTS = np.random.default_rng(0).normal(size=(20, 3)).astype("float32")
START = np.array([1.0, -2.0, 0.5], "float32")


def trained(gradients=GRADIENTS, name="kernel", **arguments):
    variable = keras.Variable(START, name=name)
    optimizer = AdamWeightDecay(RATE, DECAY, BETA_1, BETA_2, EPSILON, **arguments)
    for gradient in gradients:
        optimizer.apply([tf.constant(gradient)], [variable])
    return variable.numpy()


@pytest.mark.parametrize("bias_correction", [False, True])
def test_updates_are_those_of_the_formula(bias_correction):
    expected = formula(START, GRADIENTS, bias_correction=bias_correction)
    weights = trained(bias_correction=bias_correction)
    np.testing.assert_allclose(weights, expected, rtol=1e-5)


def test_with_bias_correction_it_is_keras_adamw():
    """Tiny gradients, beside which the place of epsilon shows."""
    gradients = 1e-5 * GRADIENTS
    variable = keras.Variable(START)
    optimizer = keras.optimizers.AdamW(RATE, DECAY, BETA_1, BETA_2, EPSILON)
    for gradient in gradients:
        optimizer.apply([tf.constant(gradient)], [variable])
    weights = trained(gradients, bias_correction=True)
    np.testing.assert_allclose(weights, variable.numpy(), rtol=1e-5)


def test_an_excluded_weight_does_not_decay():
    expected = formula(START, GRADIENTS, decayed=False)
    np.testing.assert_allclose(trained(name="bias"), expected, rtol=1e-5)


def test_a_multiplier_scales_the_rate_of_the_weights_it_matches():
    weights = trained(learning_rate_multipliers={"ker": 0.5, "kernel": 100.0})
    np.testing.assert_allclose(
        weights, formula(START, GRADIENTS, factor=0.5), rtol=1e-5
    )
    unmatched = trained(learning_rate_multipliers={"encoder": 0.5})
    np.testing.assert_allclose(unmatched, formula(START, GRADIENTS), rtol=1e-5)


def test_rows_of_a_sparse_gradient_that_repeat_count_as_their_sum():
    """TF1 makes the gradient dense first; Keras's Adam squares each row by itself."""
    rows = tf.IndexedSlices(
        tf.constant([[3.0], [4.0]]), tf.constant([1, 1]), tf.constant([3, 1])
    )
    start = np.ones((3, 1), "float32")
    variable = keras.Variable(start, name="embeddings")
    optimizer = AdamWeightDecay(RATE, DECAY, BETA_1, BETA_2, EPSILON)
    optimizer.apply([rows], [variable])
    expected = formula(start, [[[0.0], [7.0], [0.0]]])
    np.testing.assert_allclose(variable.numpy(), expected, rtol=1e-5)


def bert_like_model():
    layers = keras.layers
    inputs = keras.Input((4,), dtype="int32")
    x = layers.Embedding(5, 4, name="embeddings")(inputs)
    x = layers.LayerNormalization(name="attention_norm")(x)
    x = layers.LayerNormalization()(x)
    x = layers.Dense(2, name="dense")(layers.Flatten()(x))
    return keras.Model(inputs, x)


DECAYED = {"embeddings/embeddings", "dense/kernel"}


def test_norms_and_biases_are_excluded_however_keras_spells_them():
    model = bert_like_model()
    optimizer = AdamWeightDecay(RATE)
    optimizer.build(model.trainable_variables)
    report = optimizer.weight_decay_report()
    assert {path for path, decays in report.items() if decays} == DECAYED
    assert len(report) == 7


NORMS = {
    "LayerNormalization": {},
    "BatchNormalization": {},
    "GroupNormalization": {"groups": 2},
    "RMSNormalization": {},
    "UnitNormalization": {},
    "SpectralNormalization": None,  # Wraps a layer, whose kernel decays.
}


def decayed(layers, **arguments):
    """The paths that decay in a model of these layers over vectors of 4."""
    model = keras.Sequential([keras.Input((3, 4)), *layers], name="model")
    optimizer = AdamWeightDecay(RATE, **arguments)
    optimizer.build(model.trainable_variables)
    report = optimizer.weight_decay_report()
    return {path for path, decays in report.items() if decays}


def test_every_normalization_of_keras_is_in_the_table():
    public = {
        name
        for name in dir(keras.layers)
        # The layer Normalization standardizes data, and is not trained.
        if name.endswith("Normalization") and name != "Normalization"
    }
    assert public <= set(NORMS)


@pytest.mark.parametrize("layer", [n for n, a in NORMS.items() if a is not None])
@pytest.mark.parametrize("name", [None, "norm1", "attention_norm", "ln_f"])
def test_the_weights_of_no_normalization_decay(layer, name):
    if not hasattr(keras.layers, layer):
        pytest.skip(f"Keras {keras.__version__} has no {layer}")
    norm = getattr(keras.layers, layer)(name=name, **NORMS[layer])
    assert decayed([norm, keras.layers.Dense(2, name="dense")]) == {
        "model/dense/kernel"
    }


class Block(keras.layers.Layer):
    """One of a stranger's, whose path has layers within layers."""

    def __init__(self):
        super().__init__(name="block")
        self.norm = keras.layers.RMSNormalization(name="pre_norm")
        self.dense = keras.layers.Dense(4, name="scale_up")

    def build(self, shape):
        self.norm.build(shape)
        self.dense.build(shape)

    def call(self, x):
        return self.dense(self.norm(x))


requires_rms = pytest.mark.skipif(
    not hasattr(keras.layers, "RMSNormalization"),
    reason=f"Keras {keras.__version__} has no RMSNormalization",
)


@requires_rms
def test_the_scale_of_a_norm_within_a_layer_does_not_decay():
    """A name that merely contains the word is a weight as any other."""
    [path] = decayed([Block()])
    assert path.endswith("scale_up/kernel")


def test_a_kernel_within_a_spectral_normalization_decays():
    dense = keras.layers.Dense(2, name="dense")
    [path] = decayed([keras.layers.SpectralNormalization(dense)])
    assert path.endswith("kernel")


@pytest.mark.parametrize("layer", ["Attention", "AdditiveAttention"])
def test_the_scale_of_an_attention_is_no_norm_s(layer):
    inputs = keras.Input((3, 4))
    options = {"use_scale": True}
    outputs = getattr(keras.layers, layer)(**options)([inputs, inputs])
    model = keras.Model(inputs, outputs)
    optimizer = AdamWeightDecay(RATE)
    optimizer.build(model.trainable_variables)
    assert list(optimizer.weight_decay_report().values()) == [True]


@requires_rms
def test_without_bert_s_patterns_the_scale_of_a_norm_decays():
    norm = keras.layers.RMSNormalization(name="norm")
    assert decayed([norm], exclude_from_weight_decay=["bias"]) == {"model/norm/scale"}


def test_patterns_see_the_whole_path_under_jax_too(run_shared):
    printed = run_shared(
        """
        from tests.optimizers import test_adam_weight_decay as here
        optimizer = here.AdamWeightDecay(0.1)
        model = here.bert_like_model()
        optimizer.build(model.trainable_variables)
        report = optimizer.weight_decay_report()
        print(*sorted(path for path, decays in report.items() if decays))
        """,
        backend="jax",
    )
    assert set(printed.split()) == DECAYED


def test_keras_own_method_excludes_further_weights():
    model = bert_like_model()
    optimizer = AdamWeightDecay(RATE)
    optimizer.exclude_from_weight_decay(
        var_list=[model.get_layer("dense").kernel], var_names=["embed"]
    )
    optimizer.build(model.trainable_variables)
    assert not any(optimizer.weight_decay_report().values())
    with pytest.raises(ValueError, match="before the optimizer is built"):
        optimizer.exclude_from_weight_decay(var_names=["kernel"])


def test_the_report_needs_the_weights():
    with pytest.raises(ValueError, match=r"optimizer.build\(model"):
        AdamWeightDecay(RATE).weight_decay_report()


@pytest.mark.parametrize(
    ("arguments", "error", "named"),
    [
        ({"weight_decay": -0.1}, ValueError, "weight_decay"),
        ({"weight_decay": None}, TypeError, "weight_decay"),
        ({"beta_1": 1.0}, ValueError, "beta_1"),
        ({"beta_2": -0.5}, ValueError, "beta_2"),
        ({"epsilon": 0}, ValueError, "epsilon"),
        ({"bias_correction": 1}, TypeError, "bias_correction"),
        ({"exclude_from_weight_decay": "bias"}, TypeError, "exclude_from_weight_decay"),
        ({"exclude_from_weight_decay": ["("]}, ValueError, "exclude_from_weight_decay"),
        ({"learning_rate_multipliers": {"a": -1}}, ValueError, "learning_rate_mult"),
    ],
)
def test_bad_arguments_are_named(arguments, error, named):
    with pytest.raises(error, match=f"`{named}.* must .*Received"):
        AdamWeightDecay(RATE, **arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"learning_rate": keras.optimizers.schedules.CosineDecay(0.1, 9)},
        {"learning_rate": 0.1, "use_ema": True, "ema_momentum": 0.9},
        {"exclude_from_weight_decay": None, "learning_rate_multipliers": {"a/": 0.5}},
        {"weight_decay": 0.1, "bias_correction": True, "global_clipnorm": 1.0},
    ],
    ids=["defaults", "schedule", "averages", "patterns", "numbers"],
)
def test_what_it_shows_makes_it_again(arguments):
    optimizer = AdamWeightDecay(**arguments)
    names = {**vars(keras.optimizers.schedules), "AdamWeightDecay": AdamWeightDecay}
    again = eval(repr(optimizer), names)
    assert again.get_config() == optimizer.get_config()
