"""What HyperFineTune makes of a backbone, and that the backbone is not touched."""

import keras
import keras_tuner
import numpy as np
import pytest
from keras import layers

from keras_tricks.hypermodels import HyperFineTune
from keras_tricks.hypermodels.layer_wise import layer_wise
from keras_tricks.optimizers import AdamWeightDecay
from keras_tricks.optimizers import ClippedOptimizer
from keras_tricks.parameters import count_parameters
from tests import sampling
from tests.hypermodels import cases

CLASSES = 3
DRAW = np.random.default_rng(0)
IMAGES = DRAW.normal(size=(12, 8, 8, 2)).astype("float32") + 3
FEATURES = DRAW.normal(size=(12, 6)).astype("float32")
TOKENS = np.array([[3, 7, 2, 0, 0], [5, 1, 4, 6, 0], [8, 8, 0, 0, 0]] * 4)
LABELS = np.arange(12) % CLASSES


def image_backbone():
    """Three stages of a convolution and its norm each."""
    x = inputs = keras.Input((8, 8, 2))
    for number in range(3):
        x = layers.Conv2D(4, 3, padding="same", name=f"conv_{number}")(x)
        x = layers.BatchNormalization(name=f"norm_{number}")(x)
        x = layers.ReLU()(x)
    return keras.Model(inputs, x, name="trained")


def dense_backbone(number_of_layers=4):
    """Layers that are named from the bottom to the top."""
    x = inputs = keras.Input((6,))
    for number in range(number_of_layers):
        x = layers.Dense(5, activation="tanh", name=f"dense_{number}")(x)
    return keras.Model(inputs, x)


def text_backbone(**kwargs):
    """An encoder such as KerasHub's: it takes and returns dictionaries."""
    inputs = {
        "token_ids": keras.Input((5,), dtype="int32", name="token_ids"),
        "padding_mask": keras.Input((5,), dtype="int32", name="padding_mask"),
    }
    mask = keras.ops.cast(inputs["padding_mask"][:, None, :], "bool")
    x = layers.Embedding(10, 8, name="embedding")(inputs["token_ids"])
    x = x + layers.MultiHeadAttention(2, 4, name="attention")(x, x, attention_mask=mask)
    pooled = layers.Dense(8, activation="tanh", name="pooled_dense")(x[:, 0])
    outputs = {"sequence_output": x, "pooled_output": pooled}
    return keras.Model(inputs, outputs, **kwargs)


def text_inputs(padding=0):
    token_ids = np.where(TOKENS == 0, padding, TOKENS)
    return {"token_ids": token_ids, "padding_mask": (TOKENS != 0).astype("int32")}


def built(backbone, total_steps=10, optimizer_arguments=None, fixed=(), **kwargs):
    hypermodel = HyperFineTune(
        backbone,
        CLASSES,
        total_steps=total_steps,
        optimizer_arguments=optimizer_arguments,
        **kwargs,
    )
    return hypermodel.build(cases.fixed(**dict(fixed)))


def values(model):
    return [variable.numpy().copy() for variable in model.variables]


def assert_equal(these, those):
    assert len(these) == len(those)
    for one, other in zip(these, those, strict=True):
        np.testing.assert_array_equal(one, other)


def assert_weights_equal(one, other):
    assert_equal(one.get_weights(), other.get_weights())


# The backbone.


@pytest.mark.usefixtures("uncompiled")
@pytest.mark.parametrize("frozen", sampling.only([2], [0, 2, 4]))
def test_the_backbone_is_not_touched(frozen):
    backbone = image_backbone()
    before, config = values(backbone), backbone.get_config()
    hypermodel = HyperFineTune(backbone, CLASSES, epochs=2, kind="image")
    hp = cases.fixed(frozen_stages=frozen)
    model = hypermodel.build(hp)
    hypermodel.fit(hp, model, IMAGES, LABELS, verbose=0)
    assert_equal(values(backbone), before)
    assert backbone.get_config() == config
    assert len(backbone.trainable_variables) == 12
    assert not {id(v) for v in backbone.variables} & {id(v) for v in model.variables}


@pytest.mark.usefixtures("uncompiled")
def test_each_build_starts_from_the_backbone_s_weights():
    backbone = image_backbone()
    hypermodel, hp = HyperFineTune(backbone, CLASSES, epochs=1), cases.fixed()
    first = hypermodel.build(hp)
    hypermodel.fit(hp, first, IMAGES, LABELS, verbose=0)
    second = hypermodel.build(hp)
    assert_weights_equal(second.get_layer("backbone"), backbone)
    learned = first.get_layer("backbone").get_weights()[0]
    assert np.any(learned != backbone.get_weights()[0])


def test_a_build_starts_from_the_weights_that_the_backbone_has_by_then():
    backbone = dense_backbone()
    hypermodel = HyperFineTune(backbone, CLASSES)
    backbone.set_weights([weight + 1 for weight in backbone.get_weights()])
    model = hypermodel.build(cases.fixed())
    assert_weights_equal(model.get_layer("backbone"), backbone)


@pytest.mark.usefixtures("uncompiled")
def test_the_features_of_the_model_are_the_backbone_s():
    backbone = dense_backbone()
    model = built(backbone)
    kernel, bias = model.get_layer("logits").get_weights()
    expected = backbone.predict(FEATURES, verbose=0) @ kernel + bias
    np.testing.assert_allclose(
        model.predict(FEATURES, verbose=0), expected, rtol=1e-5, atol=1e-6
    )


def shared_layer_backbone():
    shared, inputs = layers.Dense(6, name="shared"), keras.Input((6,))
    return keras.Model(inputs, shared(shared(inputs)))


def nested_backbone():
    inner = dense_backbone()
    inputs = keras.Input((6,))
    return keras.Model(inputs, layers.Dense(4)(inner(layers.Dense(6)(inputs))))


def shared_with_a_nested_model_backbone():
    shared, inner_inputs = layers.Dense(6, name="shared"), keras.Input((6,))
    inner = keras.Model(inner_inputs, layers.ReLU()(shared(inner_inputs)))
    inputs = keras.Input((6,))
    return keras.Model(inputs, inner(shared(inputs)))


def sequential_backbone():
    return keras.Sequential([keras.Input((6,)), layers.Dense(4), nested_in_sequence()])


def nested_in_sequence():
    return keras.Sequential([keras.Input((4,)), layers.Dense(5)])


@pytest.mark.usefixtures("uncompiled")
@pytest.mark.parametrize(
    "make",
    [
        shared_layer_backbone,
        nested_backbone,
        shared_with_a_nested_model_backbone,
        sequential_backbone,
    ],
)
def test_shared_layers_and_nested_models_are_copied_as_they_are(make):
    backbone = make()
    model = built(backbone)
    copy = model.get_layer("backbone")
    assert len(copy.trainable_variables) == len(backbone.trainable_variables)
    assert not {id(v) for v in copy.variables} & {id(v) for v in backbone.variables}
    np.testing.assert_allclose(
        copy.predict(FEATURES, verbose=0), backbone.predict(FEATURES, verbose=0)
    )


def test_a_layer_that_the_user_froze_remains_frozen_inside_and_out():
    backbone = text_backbone()
    backbone.get_layer("attention").trainable = False
    model = built(backbone)
    paths = [variable.path for variable in model.trainable_variables]
    assert paths == ["embedding/embeddings", *paths[1:]]
    assert not [path for path in paths if "attention" in path]


def test_the_parameters_are_counted_without_the_weights():
    expected = {"frozen_stages=0": 4 * (5 * 5 + 5) + 6 * 5 - 25 + 5 * 3 + 3}
    expected["frozen_stages=3"] = (5 * 5 + 5) + 5 * 3 + 3
    backbone = dense_backbone()
    found = {
        f"frozen_stages={frozen}": count_parameters(
            lambda frozen=frozen: built(backbone, fixed={"frozen_stages": frozen})
        )
        for frozen in (0, 3)
    }
    assert found == expected


# Functions.


def test_a_function_is_called_at_each_build_and_its_model_is_trained_itself():
    made = []

    def backbone():
        keras.utils.set_random_seed(7)
        made.append(dense_backbone())
        return made[-1]

    hypermodel = HyperFineTune(backbone, CLASSES)
    assert not made
    models = [hypermodel.build(cases.fixed()) for _ in range(2)]
    assert len(made) == 2
    assert_weights_equal(*made)
    for model, own in zip(models, made, strict=True):
        ids = {id(v) for v in model.get_layer("backbone").variables}
        assert ids == {id(v) for v in own.variables}


def test_a_function_that_returns_one_model_twice_is_refused():
    backbone = dense_backbone()
    hypermodel = HyperFineTune(lambda: backbone, CLASSES)
    hypermodel.build(cases.fixed())
    with pytest.raises(ValueError, match="must return a new model at each call"):
        hypermodel.build(cases.fixed())


# Frozen stages.


def moved(model, x, epochs=2):
    """The names of the backbone's layers of which a weight is another after `fit`."""
    backbone = model.get_layer("backbone")
    before = {layer.name: layer.get_weights() for layer in backbone.layers}
    model.run_eagerly = True
    model.fit(x, LABELS, epochs=epochs, batch_size=4, verbose=0)
    return [
        name
        for name, weights in before.items()
        if any(
            np.any(old != new)
            for old, new in zip(
                weights, backbone.get_layer(name).get_weights(), strict=True
            )
        )
    ]


@pytest.mark.parametrize("frozen", range(5))
def test_frozen_stages_do_not_move_and_the_others_do(frozen):
    model = built(dense_backbone(), fixed={"frozen_stages": frozen, "learning_rate": 1})
    head = model.get_layer("logits").get_weights()
    names = [f"dense_{number}" for number in range(4)]
    assert moved(model, FEATURES) == names[frozen:]
    assert np.any(model.get_layer("logits").get_weights()[0] != head[0])


@pytest.mark.parametrize("frozen", range(4))
def test_frozen_batch_norms_keep_their_statistics(frozen):
    model = built(
        image_backbone(), kind="image", stages=3, fixed={"frozen_stages": frozen}
    )
    numbers = range(frozen, 3)
    expected = [f"{kind}_{number}" for number in numbers for kind in ("conv", "norm")]
    assert moved(model, IMAGES) == expected


def test_frozen_batch_norms_work_as_in_inference():
    backbone = image_backbone()
    model = built(backbone, kind="image", stages=3, fixed={"frozen_stages": 3})
    copy = model.get_layer("backbone")
    np.testing.assert_array_equal(copy(IMAGES, training=True), copy(IMAGES))
    learning = built(backbone, kind="image").get_layer("backbone")
    difference = learning(IMAGES, training=True) - learning(IMAGES)
    assert np.abs(difference).max() > 0.1


def test_there_are_at_most_as_many_stages_as_layers():
    hp = keras_tuner.HyperParameters()
    HyperFineTune(dense_backbone(), CLASSES, stages=100).build(hp)
    [frozen] = [p for p in hp.space if p.name == "frozen_stages"]
    assert (frozen.min_value, frozen.max_value, frozen.default) == (0, 4, 0)


@pytest.mark.parametrize(
    ("stages", "sizes"), [(1, [4]), (2, [2, 2]), (3, [1, 2, 1]), (4, [1, 1, 1, 1])]
)
def test_stages_are_of_about_equal_size(stages, sizes):
    frozen_layers = []
    for frozen in range(1, stages + 1):
        model = built(dense_backbone(), stages=stages, fixed={"frozen_stages": frozen})
        dense = model.get_layer("backbone").layers[1:]
        frozen_layers.append(sum(not layer.trainable for layer in dense))
    assert np.diff([0, *frozen_layers]).tolist() == sizes


@pytest.mark.usefixtures("uncompiled")
def test_a_frozen_layer_of_layers_is_still_frozen_when_loaded(tmp_path):
    model = built(text_backbone(), stages=2, fixed={"frozen_stages": 2})
    x = text_inputs()
    model.fit(x, LABELS, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert [v.path for v in loaded.trainable_variables] == [
        v.path for v in model.trainable_variables
    ]
    assert int(loaded.optimizer.iterations) == 1
    assert_equal(
        [v.numpy() for v in loaded.optimizer.variables],
        [v.numpy() for v in model.optimizer.variables],
    )
    np.testing.assert_array_equal(
        loaded.predict(x, verbose=0), model.predict(x, verbose=0)
    )


# Rates by layer.


def first_updates(optimizer, layer_decay):
    """The first update of each variable, from equal weights and without a warmup."""
    keras.utils.set_random_seed(0)
    backbone = dense_backbone()
    model = built(
        backbone,
        optimizer_arguments={"optimizers": (optimizer,), "learning_rate": 0.01},
        fixed={
            "layer_decay": layer_decay,
            "warmup_fraction": 0.0,
            "dropout": 0.0,
        },
    )
    model.get_layer("logits").kernel.assign(np.eye(5, 3))
    before = [variable.numpy() for variable in model.trainable_variables]
    model.run_eagerly = True
    model.fit(FEATURES, LABELS, batch_size=12, verbose=0)
    after = [variable.numpy() for variable in model.trainable_variables]
    return [new - old for old, new in zip(before, after, strict=True)]


@pytest.mark.parametrize("optimizer", ["adam", "nadam", "adamw", "sgd"])
def test_the_first_updates_shrink_by_the_factor_a_stage(optimizer):
    """Kernel and bias of four layers, and of the head."""
    whole = first_updates(optimizer, 1.0)
    shrunk = first_updates(optimizer, 0.7)
    expected = np.repeat(0.7 ** np.array([4, 3, 2, 1, 0.0]), 2)
    for one, other, factor in zip(whole, shrunk, expected, strict=True):
        assert np.abs(one).max() > 1e-4
        # Weights of about 1 are stored to 1e-7.
        np.testing.assert_allclose(other, factor * one, rtol=1e-4, atol=2e-7)


@pytest.mark.usefixtures("uncompiled")
def test_with_sgd_the_updates_are_gradients_times_the_rates_of_the_stages():
    keras.utils.set_random_seed(0)
    backbone = dense_backbone()
    arguments = {"optimizers": ("sgd",), "learning_rate": 0.1}
    fixed = {"layer_decay": 0.5, "warmup_fraction": 0.0, "momentum": 0.0}
    fixed |= {"dropout": 0.0, "global_clipnorm": 1e6}
    model = built(backbone, optimizer_arguments=arguments, fixed=fixed, stages=2)
    epsilon, before = 1e-3, model.get_weights()
    gradients = []
    # The gradient of the mean loss, by differences, for one number of each kernel.
    kernels = [i for i, weight in enumerate(before) if weight.ndim == 2]
    for index in kernels:
        losses = []
        for sign in (1, -1):
            weights = [weight.copy() for weight in before]
            weights[index][0, 0] += sign * epsilon
            model.set_weights(weights)
            losses.append(mean_loss(model))
        gradients.append((losses[0] - losses[1]) / (2 * epsilon))
    model.set_weights(before)
    model.fit(FEATURES, LABELS, batch_size=12, verbose=0)
    updates = [
        model.get_weights()[index][0, 0] - before[index][0, 0] for index in kernels
    ]
    rates = 0.1 * np.array([0.25, 0.25, 0.5, 0.5, 1.0])
    np.testing.assert_allclose(updates, -rates * gradients, rtol=2e-2, atol=2e-6)


def mean_loss(model):
    logits = model.predict(FEATURES, verbose=0).astype("float64")
    log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return -log_p[np.arange(12), LABELS].mean()


def test_factors_go_by_what_learns_when_stages_are_frozen():
    model = built(
        dense_backbone(), fixed={"layer_decay": 0.5, "frozen_stages": 2}, stages=4
    )
    factors = model.optimizer.inner_optimizer.factors
    assert factors == [0.25, 0.25, 0.5, 0.5, 1, 1]


def test_without_layer_decay_the_optimizer_is_keras_s():
    model = built(dense_backbone())
    assert type(model.optimizer.inner_optimizer) is keras.optimizers.Adam


@pytest.mark.parametrize(
    "optimizer", sampling.only(["adamw", "sgd"], ["adam", "nadam", "adamw", "sgd"])
)
def test_training_goes_on_from_a_saved_file_as_if_it_had_not_stopped(
    optimizer, tmp_path
):
    keras.utils.set_random_seed(0)
    model = built(
        dense_backbone(),
        optimizer_arguments={"optimizers": (optimizer,), "learning_rate": 0.01},
        fixed={"layer_decay": 0.7, "dropout": 0.0, "frozen_stages": 1},
    )
    fit = {"batch_size": 4, "shuffle": False, "verbose": 0}
    model.run_eagerly = True
    model.fit(FEATURES, LABELS, **fit)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    loaded.run_eagerly = True
    model.fit(FEATURES, LABELS, **fit)
    loaded.fit(FEATURES, LABELS, **fit)
    assert_weights_equal(loaded, model)
    assert int(loaded.optimizer.iterations) == 6


@pytest.mark.parametrize(
    "policy", sampling.only(["float32"], ["float32", "mixed_float16"])
)
def test_compiled_layer_wise_training_equals_eager_training(policy):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    losses = []
    try:
        for how in ({"jit_compile": True}, {"run_eagerly": True, "jit_compile": False}):
            keras.utils.set_random_seed(0)
            fixed = {"layer_decay": 0.5, "dropout": 0.0, "learning_rate": 1e-3}
            model = built(dense_backbone(2), fixed=fixed)
            for name, value in how.items():
                setattr(model, name, value)
            fit = {"epochs": 3, "batch_size": 4, "shuffle": False, "verbose": 0}
            losses.append(model.fit(FEATURES, LABELS, **fit).history["loss"])
    finally:
        keras.config.set_dtype_policy(before)
    # Half precision keeps three digits.
    rtol = 1e-5 if policy == "float32" else 5e-3
    np.testing.assert_allclose(*losses, rtol=rtol)
    assert losses[0][-1] < losses[0][0]


def test_adamw_by_layer_leaves_the_same_weights_without_decay():
    """Biases and what norms have learned, as in `hyper_optimizer`."""
    model = built(
        image_backbone(),
        kind="image",
        optimizer_arguments={"optimizers": ("adamw",)},
        fixed={"layer_decay": 0.5},
    )
    inner = model.optimizer.inner_optimizer
    assert isinstance(inner, AdamWeightDecay)
    inner.build(model.trainable_variables)
    report = inner.weight_decay_report()
    assert {path for path, decays in report.items() if decays} == {
        path for path in report if path.endswith("kernel")
    }


# Outputs.


@pytest.mark.usefixtures("uncompiled")
def test_the_sequence_output_is_pooled_without_its_padding():
    model = built(text_backbone())
    found = model.predict(text_inputs(), verbose=0)
    np.testing.assert_array_equal(
        model.predict(text_inputs(padding=9), verbose=0), found
    )
    backbone = model.get_layer("backbone")
    features = backbone.predict(text_inputs(), verbose=0)
    # Where its query is 0, attention is the mean over the words.
    means = [
        row[words != 0].mean(axis=0)
        for row, words in zip(features, TOKENS, strict=True)
    ]
    kernel, bias = model.get_layer("logits").get_weights()
    np.testing.assert_allclose(found, means @ kernel + bias, rtol=1e-5, atol=1e-6)


@pytest.mark.usefixtures("uncompiled")
def test_the_schedule_spans_the_updates_that_fit_makes_of_a_dictionary():
    hypermodel, hp = HyperFineTune(text_backbone(), CLASSES, epochs=3), cases.fixed()
    model = hypermodel.build(hp)
    hypermodel.fit(hp, model, text_inputs(), LABELS, batch_size=5, verbose=0)
    assert hypermodel.total_steps == int(model.optimizer.iterations) == 3 * 3


def test_what_only_other_outputs_need_is_left_out():
    names = {
        layer.name for layer in built(text_backbone()).get_layer("backbone").layers
    }
    assert {"embedding", "attention"} <= names
    assert "pooled_dense" not in names


@pytest.mark.usefixtures("uncompiled")
def test_another_output_is_chosen_by_its_name():
    backbone = text_backbone()
    model = built(backbone, output="pooled_output")
    pooled = backbone.predict(text_inputs(), verbose=0)["pooled_output"]
    kernel, bias = model.get_layer("logits").get_weights()
    np.testing.assert_allclose(
        model.predict(text_inputs(), verbose=0), pooled @ kernel + bias, rtol=1e-5
    )


def token_backbone(mask_zero):
    tokens = keras.Input((5,), dtype="int32")
    return keras.Model(tokens, layers.Embedding(10, 8, mask_zero=mask_zero)(tokens))


@pytest.mark.usefixtures("uncompiled")
@pytest.mark.parametrize(
    ("mask_zero", "mask"),
    [(True, None), (False, lambda tokens: keras.ops.not_equal(tokens, 0))],
    ids=["Keras's mask", "a function"],
)
def test_masked_positions_are_not_pooled(mask_zero, mask):
    backbone = token_backbone(mask_zero)
    model = built(backbone, mask=mask, fixed={"pooling": "mean"})
    table = backbone.get_weights()[0]
    means = [table[words[words != 0]].mean(axis=0) for words in TOKENS]
    kernel, bias = model.get_layer("logits").get_weights()
    np.testing.assert_allclose(
        model.predict(TOKENS, verbose=0), means @ kernel + bias, rtol=1e-5, atol=1e-6
    )


@pytest.mark.usefixtures("uncompiled")
@pytest.mark.parametrize(
    ("pooling", "pooled"),
    # An attention starts with equal weights.
    [("mean", np.mean), ("max", np.max), ("attention", np.mean)],
)
def test_images_are_pooled_over_all_positions(pooling, pooled):
    backbone = image_backbone()
    model = built(backbone, kind="image", fixed={"pooling": pooling})
    features = pooled(backbone.predict(IMAGES, verbose=0), axis=(1, 2))
    kernel, bias = model.get_layer("logits").get_weights()
    np.testing.assert_allclose(
        model.predict(IMAGES, verbose=0), features @ kernel + bias, rtol=1e-4, atol=1e-5
    )


@pytest.mark.usefixtures("uncompiled")
def test_volumes_are_pooled_over_all_positions():
    inputs = keras.Input((3, 4, 5, 2))
    model = built(keras.Model(inputs, inputs * 2.0), kind="image")
    x = np.random.default_rng(0).normal(size=(2, 3, 4, 5, 2)).astype("float32")
    kernel, bias = model.get_layer("logits").get_weights()
    expected = 2 * x.mean(axis=(1, 2, 3)) @ kernel + bias
    np.testing.assert_allclose(
        model.predict(x, verbose=0), expected, rtol=1e-4, atol=1e-6
    )


# Defaults.


@pytest.mark.parametrize(
    ("kind", "rate", "dropout"), [("text", 1e-5, 0.1), ("image", 1e-3, 0.2)]
)
def test_the_kind_sets_the_rate_and_the_dropout(kind, rate, dropout):
    hp = keras_tuner.HyperParameters()
    HyperFineTune(dense_backbone(), CLASSES, kind=kind).build(hp)
    assert hp.values["learning_rate"] == rate
    assert hp.values["dropout"] == dropout
    assert hp.values["layer_decay"] == 1
    [rates] = [p for p in hp.space if p.name == "learning_rate"]
    np.testing.assert_allclose(
        [rates.min_value, rates.max_value], [rate / 10, rate * 100]
    )


def test_a_rate_that_is_given_takes_the_place_of_the_default():
    hp = keras_tuner.HyperParameters()
    arguments = {"learning_rate": 3e-4, "optimizers": ("adamw",)}
    HyperFineTune(dense_backbone(), CLASSES, optimizer_arguments=arguments).build(hp)
    assert hp.values["learning_rate"] == 3e-4
    assert hp.values["optimizer"] == "adamw"


# Errors.


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(4)

    def call(self, inputs):
        return self.dense(inputs)


def test_a_model_that_knows_no_inputs_is_refused_with_the_remedy():
    unbuilt = keras.Sequential([layers.Dense(4)])
    for backbone in (Subclassed(), unbuilt):
        with pytest.raises(ValueError, match=r"keras.Model\(inputs, backbone\(inputs"):
            HyperFineTune(backbone, CLASSES)
    inputs = keras.Input((6,))
    model = built(lambda: keras.Model(inputs, Subclassed()(inputs)))
    assert count_parameters(model) == (6 * 4 + 4) + (4 * 3 + 3)


def test_a_backbone_that_cannot_be_made_anew_is_refused_with_the_remedy():
    inputs = keras.Input((6,))
    outer = keras.Model(inputs, Grows()(inputs))
    with pytest.raises(ValueError, match=r"gives 1 weights instead of 2.* a function"):
        HyperFineTune(outer, CLASSES).build(cases.fixed())


class Grows(layers.Layer):
    """A layer that makes one weight more in the first object than in others."""

    made = 0

    def build(self, input_shape):
        type(self).made += 1
        for _ in range(2 if self.made == 1 else 1):
            self.add_weight(shape=(2,))

    def call(self, inputs):
        return inputs * 2.0


@pytest.mark.parametrize("backbone", ["bert", None, layers.Dense(3)], ids=str)
def test_what_is_no_model_is_refused(backbone):
    with pytest.raises(TypeError, match=r"`backbone` must be a keras.Model, or a func"):
        HyperFineTune(backbone, CLASSES)


@pytest.mark.parametrize(
    "function", [lambda units: None, lambda *, units: None, keras.Sequential.add]
)
def test_a_function_that_takes_arguments_is_refused(function):
    with pytest.raises(TypeError, match=r"`backbone` must take no arguments.*missing"):
        HyperFineTune(function, CLASSES)


def doubled(x):
    return 2 * x


@pytest.mark.parametrize(
    "layer", [layers.Lambda(doubled), layers.Dense(3, activation=doubled)]
)
def test_layers_that_keras_does_not_load_are_refused_with_the_remedy(layer):
    inputs = keras.Input((6,))
    message = r"(?s)cannot be made anew from its .*(safe_mode|doubled).* a function"
    with pytest.raises(ValueError, match=message) as caught:
        built(keras.Model(inputs, layer(inputs)))
    assert caught.value.__cause__ is not None


def test_inputs_of_other_outputs_are_left_out_by_a_model_without_them():
    inputs = {name: keras.Input((6,), name=name) for name in ("encoder", "decoder")}
    encoded = layers.Dense(4, activation="tanh")(inputs["encoder"])
    decoded = layers.Dense(3)(encoded) + layers.Dense(3)(inputs["decoder"])
    whole = keras.Model(inputs, {"encoded": encoded, "decoded": decoded})
    part = keras.Model({"encoder": whole.input["encoder"]}, whole.output["encoded"])
    assert set(built(whole, output="encoded").input) == {"encoder", "decoder"}
    model = built(part)
    assert set(model.input) == {"encoder"}
    x = {"encoder": FEATURES, "decoder": FEATURES}
    np.testing.assert_array_equal(
        model.get_layer("backbone")({"encoder": FEATURES}), whole(x)["encoded"]
    )


def test_a_function_that_returns_no_model_is_refused():
    with pytest.raises(TypeError, match=r"must return a keras.Model. Received: 3"):
        built(lambda: 3)


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ({"kind": "audio"}, ValueError, "`kind` must be one of 'text', 'image'"),
        ({"stages": 0}, ValueError, "`stages` must be a whole number >= 1"),
        ({"mask": "tokens"}, TypeError, "`mask` must be a function"),
    ],
    ids=["kind", "stages", "mask"],
)
def test_wrong_arguments_are_refused_in_the_constructor(wrong, error, message):
    with pytest.raises(error, match=message):
        HyperFineTune(dense_backbone(), CLASSES, **wrong)


def two_outputs():
    inputs = keras.Input((6,))
    return keras.Model(inputs, [inputs * 2.0, inputs * 3.0])


def scores():
    inputs = keras.Input(())
    return keras.Model(inputs, inputs * 2.0)


@pytest.mark.parametrize(
    ("make", "arguments", "message"),
    [
        (text_backbone, {"output": "logits"}, r"\['pooled_output', 'sequence_output'"),
        (dense_backbone, {"output": "logits"}, "`output` is for a backbone that"),
        (two_outputs, {}, r"keras.Model\(backbone.input, backbone.output\[0\]\)"),
        (scores, {}, r"must return \(batch, features\)"),
        (dense_backbone, {"fixed": {"layer_decay": 1.5}}, "`layer_decay` must be a fi"),
        (dense_backbone, {"fixed": {"layer_decay": 0.0}}, "must be a finite number >"),
        (image_backbone, {"fixed": {"pooling": "first"}}, "one of 'mean', 'max'"),
        (dense_backbone, {"fixed": {"frozen_stages": -1}}, "`frozen_stages` must be a"),
        (dense_backbone, {"fixed": {"frozen_stages": 1.5}}, "frozen_stages=1.5"),
        (dense_backbone, {"fixed": {"frozen_stages": 5}}, "must be at most 4"),
    ],
)
def test_what_cannot_be_classified_is_refused_when_the_model_is_built(
    make, arguments, message
):
    with pytest.raises(ValueError, match=message):
        built(make(), **arguments)


@pytest.mark.parametrize("frozen", ["2", True])
def test_frozen_stages_that_are_no_number_are_refused(frozen):
    with pytest.raises(TypeError, match="`frozen_stages` must be a whole number"):
        built(dense_backbone(), fixed={"frozen_stages": frozen})


@pytest.mark.parametrize(
    ("mask", "received"),
    [
        (lambda tokens: tokens[:, :1] != 0, r"\(None, 1\)"),
        (lambda tokens: tokens[:, 0] != 0, r"\(None,\)"),
        (lambda tokens: (tokens != 0)[..., None], r"\(None, 5, 1\)"),
        (lambda tokens: tokens[:, :4] != 0, r"\(None, 4\)"),
        (lambda tokens: np.ones((1, 1)), r"\(1, 1\)"),
        (lambda tokens: None, "None"),
        (lambda tokens: [True] * 5, r"\[True"),
    ],
)
def test_a_mask_of_another_shape_is_refused(mask, received):
    message = rf"`mask` must return \(batch, 5\).* Received: {received}"
    with pytest.raises(ValueError, match=message):
        built(token_backbone(False), mask=mask)


def test_a_mask_for_which_there_are_no_positions_is_refused():
    for backbone, kind in ((dense_backbone(), "text"), (image_backbone(), "image")):
        with pytest.raises(ValueError, match="`mask` is for a backbone that returns"):
            built(backbone, kind=kind, mask=lambda x: x[..., 0] != 0)


def test_a_padding_mask_that_does_not_fit_the_output_needs_another():
    inputs = {
        "x": keras.Input((8, 2), name="x"),
        "padding_mask": keras.Input((8,), name="padding_mask"),
    }
    halved = layers.AveragePooling1D(2)(inputs["x"])
    outputs = halved * keras.ops.ones_like(inputs["padding_mask"][:, :4, None])
    backbone = keras.Model(inputs, outputs)
    with pytest.raises(ValueError, match=r"`mask` must return \(batch, 4\).*None, 8"):
        built(backbone)
    built(backbone, mask=lambda given: given["padding_mask"][:, ::2])


@pytest.mark.parametrize("length", [None, 5])
@pytest.mark.parametrize("batch", [1, None])
def test_masks_of_the_right_shape_are_taken(batch, length):
    tokens = keras.Input((length,), dtype="int32")
    backbone = keras.Model(tokens, layers.Embedding(10, 8)(tokens))

    def mask(tokens):
        return np.ones((1, 5)) if batch else tokens != 0

    built(backbone, mask=mask)


def test_rates_by_layer_are_refused_for_an_unknown_optimizer():
    optimizer = ClippedOptimizer(keras.optimizers.Lion(1e-4), global_clipnorm=1.0)
    with pytest.raises(
        ValueError, match=r"Adam, Nadam, AdamWeightDecay, SGD. Received: Lion"
    ):
        layer_wise(optimizer, [1.0])


def test_factors_that_are_too_few_are_refused():
    optimizer = ClippedOptimizer(keras.optimizers.Adam(1e-4), global_clipnorm=1.0)
    scaled = layer_wise(optimizer, [1.0])
    with pytest.raises(ValueError, match=r"there are 2. Received: 1 factors"):
        scaled.build([keras.Variable(1.0), keras.Variable(2.0)])
