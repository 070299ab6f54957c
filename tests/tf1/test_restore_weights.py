"""BERT's checkpoints in ordinary Keras layers: names, layouts, reports, training on."""

import importlib
import re

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_tricks.optimizers import create_optimizer
from keras_tricks.schedules import WarmupPolynomialDecay
from keras_tricks.tf1 import Rename
from keras_tricks.tf1 import Reshape
from keras_tricks.tf1 import Split
from keras_tricks.tf1 import Transpose
from keras_tricks.tf1 import restore_optimizer
from keras_tricks.tf1 import restore_weights
from tests import tf1_reference
from tests.child_process import ROOT
from tests.tf1 import bert
from tests.tf1 import mlp

RUN = {"init_lr": 1e-3, "num_train_steps": 100, "num_warmup_steps": 20}
TOKENS, _ = next(bert.batches(1, seed=5))


@pytest.fixture(scope="module")
def example():
    """The module examples/bert_from_checkpoint.py."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "examples")
        return importlib.import_module("bert_from_checkpoint")


@pytest.fixture
def save(tmp_path):
    return lambda content: mlp.save_values(content, tmp_path / "model.ckpt")


@pytest.fixture
def classifier(example):
    """The example's network; TF1's has no dropout in the tests, either."""
    return example.build_classifier(bert.CONFIG, bert.CLASSES, dropout=0.0)


def batch(tokens):
    return [tokens, np.broadcast_to(bert.SEGMENTS, tokens.shape)]


def logits_in_tf1(values, **arguments):
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        weights = {name: tf.constant(value) for name, value in values.items()}
        return session.run(bert.logits(weights, tf.constant(TOKENS), **arguments))


def test_a_published_checkpoint_leaves_the_classifier_fresh(classifier, save):
    """No slots and no classifier, but the heads of the pretraining."""
    content = bert.values(bert.shapes(classifier=False) | bert.PRETRAINING)
    head = classifier.get_layer("classifier").kernel.numpy()
    report = restore_weights(classifier, save(content))
    assert len(report.restored) == len(bert.shapes(classifier=False))
    assert set(report.fresh) == {"classifier/kernel", "classifier/bias"}
    assert set(report.left_over) == set(bert.PRETRAINING)
    np.testing.assert_array_equal(classifier.get_layer("classifier").kernel, head)
    printed = str(report).splitlines()
    assert len(printed) < 15
    assert "Fresh, only in the model, as it was (2):" in printed
    assert "Left over, only in the checkpoint (7):" in printed


def test_logits_are_those_of_the_tf1_graph(classifier, save):
    """Fine-tuned: `output_weights` are (classes, units) there."""
    content = bert.values(bert.shapes())
    report = restore_weights(classifier, save(content))
    assert (report.fresh, report.left_over) == ({}, {})
    expected = logits_in_tf1(content)
    assert np.ptp(expected) > 1
    np.testing.assert_allclose(classifier(batch(TOKENS)), expected, atol=1e-5)


def test_slots_and_step_are_passed_over(classifier, save):
    content = bert.values(bert.shapes())
    slots = {f"{n}/{s}": v for n, v in content.items() for s in ("adam_m", "adam_v")}
    content |= slots | {"global_step": np.int64(1000)}
    report = restore_weights(classifier, save(content))
    assert set(report.of_optimizer) == {*slots, "global_step"}
    assert not report.left_over
    assert f"passed over ({len(slots) + 1}):" in str(report)


def test_a_run_goes_on_as_tf1_would(classifier, tmp_path):
    """Moments go through the same conversions as their weights.

    3e-4 is measured: where a gradient is all but 0 its rounding is divided by its own
    root. A moment that is not converted makes it 0.2.
    """
    initial = bert.values(bert.shapes())
    run = tf1_reference.BertRun(initial, bert.loss, **RUN)
    batches = list(bert.batches(30))
    run.run(batches[:15])
    checkpoint = run.save(tmp_path / "model.ckpt")
    at_stop = run.weights()
    run.run(batches[15:])
    optimizer = create_optimizer(**RUN)
    optimizer.build(classifier.trainable_variables)
    report = restore_optimizer(classifier, optimizer, checkpoint)
    assert report.global_step == 15
    cross_entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    classifier.compile(optimizer, cross_entropy)
    for tokens, labels in batches[15:]:
        classifier.train_on_batch(batch(tokens), labels)
    ours = {weight.path: weight.numpy() for weight in classifier.weights}
    apart = moved = 0.0
    for name, theirs in run.weights().items():
        mine = ours[report.restored[name]]
        if name == "output_weights":
            mine = mine.T
        apart += np.square(mine.reshape(theirs.shape) - theirs).sum()
        moved += np.square(theirs - at_stop[name]).sum()
    assert np.sqrt(apart / moved) < 1e-3


class KerasHubs(keras.layers.Layer):
    """A layer with the names of KerasHub's encoder layers."""

    def __init__(self, name):
        super().__init__(name=name)
        norm = keras.layers.LayerNormalization
        self.attend = keras.layers.MultiHeadAttention(
            bert.HEADS, bert.WIDTH // bert.HEADS, name="self_attention_layer"
        )
        self.norm_1 = norm(epsilon=1e-12, name="self_attention_layer_norm")
        self.norm_2 = norm(epsilon=1e-12, name="feedforward_layer_norm")
        self.dense_1 = keras.layers.Dense(
            bert.HIDDEN,
            lambda x: keras.activations.gelu(x, approximate=True),
            name="feedforward_intermediate_dense",
        )
        self.dense_2 = keras.layers.Dense(bert.WIDTH, name="feedforward_output_dense")

    def call(self, x, mask):
        x = self.norm_1(x + self.attend(x, x, attention_mask=mask))
        return self.norm_2(x + self.dense_2(self.dense_1(x)))


class Positions(keras.layers.Embedding):
    def call(self, tokens):
        return super().call(keras.ops.arange(bert.LENGTH))


def keras_hubs_model(form, layer_names):
    """A classifier with the names of KerasHub's backbones; a name twice is shared."""
    tokens = keras.Input((bert.LENGTH,), dtype="int32")
    segments = keras.Input((bert.LENGTH,), dtype="int32")
    mask = keras.ops.not_equal(tokens, 0)[:, None, :]
    x = (
        keras.layers.Embedding(bert.VOCABULARY, bert.WIDTH, name="token_embedding")(
            tokens
        )
        + Positions(bert.LENGTH, bert.WIDTH, name="position_embedding")(tokens)
        + keras.layers.Embedding(2, bert.WIDTH, name="segment_embedding")(segments)
    )
    norm = keras.layers.LayerNormalization(epsilon=1e-12, name="embeddings_layer_norm")
    x = norm(x)
    made = {name: KerasHubs(name) for name in layer_names}
    for name in layer_names:
        x = made[name](x, mask)
    x = keras.layers.Dense(bert.WIDTH, "tanh", name="pooled_dense")(x[:, 0])
    logits = keras.layers.Dense(bert.CLASSES, name=form)(x)
    return keras.Model([tokens, segments], logits)


@pytest.mark.parametrize("root", ["bert", "electra"])
def test_keras_hubs_names(root, save):
    """ELECTRA's checkpoints have BERT's names under another root."""
    content = bert.values(bert.shapes())
    names = {name: name.replace("bert/", f"{root}/", 1) for name in content}
    model = keras_hubs_model("output", ["transformer_layer_0", "transformer_layer_1"])
    report = restore_weights(model, save({names[n]: v for n, v in content.items()}))
    assert (report.fresh, report.left_over) == ({}, {})
    np.testing.assert_allclose(model(batch(TOKENS)), logits_in_tf1(content), atol=1e-5)


@pytest.mark.parametrize("layer_name", ["transformer_layer_0", "group_0_inner_layer_0"])
def test_alberts_shared_layer(layer_name, save):
    """One layer, applied three times, is one layer of the checkpoint."""
    of_layer_0 = {n: s for n, s in bert.shapes().items() if "layer_1" not in n}
    content = bert.values(of_layer_0)
    model = keras_hubs_model("classifier", [layer_name] * 3)
    in_albert = {bert.in_alberts_names(name): v for name, v in content.items()}
    assert any("ffn_1/intermediate/output" in name for name in in_albert)
    report = restore_weights(model, save(in_albert))
    assert (report.fresh, report.left_over) == ({}, {})
    expected = logits_in_tf1(content, layers=3, shared=True)
    np.testing.assert_allclose(model(batch(TOKENS)), expected, atol=1e-5)


def test_keras_hubs_own_backbones(save):
    """Their pooled output is that of the TF1 graph."""
    keras_hub = pytest.importorskip(
        "keras_hub", reason="KerasHub is not installed; its names are tested without it"
    )
    backbone = keras_hub.models.BertBackbone(
        vocabulary_size=bert.VOCABULARY,
        num_layers=bert.LAYERS,
        num_heads=bert.HEADS,
        hidden_dim=bert.WIDTH,
        intermediate_dim=bert.HIDDEN,
        max_sequence_length=bert.LENGTH,
    )
    content = bert.values(bert.shapes())
    report = restore_weights(backbone, save(content))
    assert not report.fresh
    assert set(report.left_over) == {"output_weights", "output_bias"}
    outputs = backbone(
        {
            "token_ids": TOKENS,
            "segment_ids": batch(TOKENS)[1],
            "padding_mask": TOKENS > 0,
        }
    )
    pooled = outputs["pooled_output"].numpy()
    expected = logits_in_tf1(content) - content["output_bias"]
    np.testing.assert_allclose(
        pooled @ content["output_weights"].T, expected, atol=1e-5
    )


def dense_model(*names, inputs=4, units=4):
    layers = [keras.layers.Dense(units, name=name) for name in names]
    return keras.Sequential([keras.Input((inputs,)), *layers])


def test_rules_rename_cut_and_turn(save):
    """A fused, transposed kernel of two layers."""
    model = dense_model("a", "b")
    fused = np.arange(32, dtype="f4").reshape(8, 4)
    content = {"net/ab/w": fused, "net/ab/bias": np.arange(8, dtype="f4")}
    report = restore_weights(
        model,
        save(content),
        [
            Transpose("ab/w$"),
            Split("ab/w$", ["a/kernel", "b/kernel"], axis=1),
            Split("(.*)/ab/bias$", [r"a/bias", r"b/bias"]),
        ],
    )
    assert report.restored["net/ab/w[1]"].endswith("b/kernel")
    np.testing.assert_array_equal(model.get_layer("b").kernel, fused.T[:, 4:])
    np.testing.assert_array_equal(model.get_layer("b").bias, np.arange(4, 8))
    assert "Transpose(pattern='ab/w$', axes=None), Split(" in str(report)


def test_slots_go_through_the_rules_of_their_weights(save):
    model = dense_model("a", "b")
    optimizer = mlp.built(create_optimizer(1e-3, 100), model)
    values = bert.values({"ab/kernel": (4, 8), "ab/bias": (8,)})
    content = dict(values)
    for name, value in values.items():
        content |= {f"{name}/adam_m": value + 1, f"{name}/adam_v": value + 2}
    content["global_step"] = np.int64(3)
    rules = [
        Split(f"ab/{part}", [f"a/{part}", f"b/{part}"]) for part in ("kernel", "bias")
    ]
    restore_optimizer(model, optimizer, save(content), rules)
    moments = optimizer.inner_optimizer.momentums
    np.testing.assert_array_equal(moments[2], values["ab/kernel"][:, 4:] + 1)
    np.testing.assert_array_equal(moments[3], values["ab/bias"][4:] + 1)


def test_renames_follow_one_another_beside_a_map(save):
    model = dense_model("encoder_0", "encoder_1", "head")
    content = bert.values(
        {
            f"net/block{block}/{part}": (4, 4) if part == "w" else (4,)
            for block in (1, 2)
            for part in ("w", "b")
        }
        | {"top/kernel": (4, 4), "top/bias": (4,)}
    )
    report = restore_weights(
        model,
        save(content),
        [
            {"top/kernel": "head/kernel", "top/bias": "head/bias"},
            Rename("^net/block1/", "encoder_0/"),
            Rename("^net/block2/", "encoder_1/"),
            Rename("/w$", "/kernel"),
            Rename("/b$", "/bias"),
        ],
    )
    assert report.restored["net/block2/w"].endswith("encoder_1/kernel")
    assert (report.fresh, report.left_over) == ({}, {})


def test_a_reshape_is_to_the_shape_of_the_variable(save):
    model = dense_model("a")
    content = {"a/kernel": np.arange(16, dtype="f4"), "a/bias": np.zeros(4, "f4")}
    restore_weights(model, save(content), Reshape("a/kernel"))
    np.testing.assert_array_equal(
        model.get_layer("a").kernel, np.arange(16).reshape(4, 4)
    )


def unchanged(model, function):
    """Runs what must raise, and asserts that the weights are as before."""
    before = [weight.numpy() for weight in model.weights]
    with pytest.raises((TypeError, ValueError)) as caught:
        function()
    for weight, value in zip(model.weights, before, strict=True):
        np.testing.assert_array_equal(weight, value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        (Transpose("a/weights"), "pattern is found in none"),
        (Transpose("a/kernel", [0, 2]), r"Transpose.*does not fit \(4, 4\)"),
        (Reshape("a/kernel", [3, 4]), r"Reshape.*does not fit \(4, 4\)"),
        (Reshape("a/kernel", [2, 8]), r"which becomes \(2, 8\)"),
        (Split("a/kernel", ["a/kernel", "b/kernel", "c"]), "'c' for 'a/kernel\\[2\\]'"),
        ([Transpose("a/kernel"), 3], "must be a dictionary .* or a list of these"),
    ],
)
def test_rules_that_do_not_fit_change_nothing(rules, message, save):
    model = dense_model("a")
    path = save(bert.values({"a/kernel": (4, 4), "a/bias": (4,)}))
    raised = unchanged(model, lambda: restore_weights(model, path, rules))
    assert re.search(message, raised), raised


@pytest.mark.parametrize(
    ("make", "error", "named"),
    [
        (lambda: Transpose(3), TypeError, "pattern"),
        (lambda: Transpose("("), ValueError, "pattern"),
        (lambda: Transpose("a", "01"), TypeError, "axes"),
        (lambda: Reshape("a", [1.5]), ValueError, r"shape\[0\]"),
        (lambda: Rename("a", None), TypeError, "replacement"),
        (lambda: Rename("a", r"\2"), ValueError, "replacement"),
        (lambda: Split("a", "bc"), TypeError, "into"),
        (lambda: Split("a", []), ValueError, "into"),
        (lambda: Split("a", ["b", "c"], axis=None), TypeError, "axis"),
    ],
)
def test_bad_rules_are_refused_when_they_are_made(make, error, named):
    with pytest.raises(error, match=f"`{named}`"):
        make()


def test_a_layer_that_is_torn_is_refused_or_noted(classifier, save):
    """A misspelt name would leave a part of a layer as it was initialized."""
    content = bert.values(bert.shapes())
    query = "bert/encoder/layer_1/attention/self/query/kernel"
    content["bert/encoder/layer_1/attention/self/querry/kernel"] = content.pop(query)
    path = save(content)
    raised = unchanged(classifier, lambda: restore_weights(classifier, path))
    assert "'bert/encoder/layer_1' of the checkpoint" in raised
    assert "querry" in raised
    assert "'bert_encoder_layer_1' of the model" in raised
    report = restore_weights(classifier, path, strict=False)
    assert len(report.notes) == 2
    assert len(report.restored) == len(bert.shapes()) - 1


def test_an_average_is_taken_by_name(save):
    """Beside the weight itself it is a second source, which is refused."""
    model = dense_model("a")
    values = bert.values({"a/kernel": (4, 4), "a/bias": (4,)})
    averages = {f"{n}/ExponentialMovingAverage": v + 1 for n, v in values.items()}
    path = save(values | averages)
    rule = Rename("/ExponentialMovingAverage$", "")
    raised = unchanged(model, lambda: restore_weights(model, path, rule))
    assert "stand for one variable" in raised
    left_out = {"a/kernel": None, "a/bias": None}
    restore_weights(model, path, [left_out, rule])
    np.testing.assert_array_equal(model.layers[0].kernel, values["a/kernel"] + 1)
    layout = Transpose("kernel/ExponentialMovingAverage")
    raised = unchanged(model, lambda: restore_weights(model, path, layout))
    assert "must hold rules for the names of weights" in raised


def test_two_towers_of_one_name_are_ambiguous(save):
    """By the spellings of known models, too."""

    def tower():
        tokens = keras.Input((bert.LENGTH,), dtype="int32")
        layer = keras.layers.Embedding(
            bert.VOCABULARY, bert.WIDTH, name="token_embedding"
        )
        return keras.Model(tokens, layer(tokens))

    tokens = keras.Input((bert.LENGTH,), dtype="int32")
    outputs = keras.layers.Dense(bert.CLASSES, name="classifier")(tower()(tokens))
    model = keras.Model(tokens, [outputs, tower()(tokens)])
    path = save(bert.values(bert.shapes()))
    raised = unchanged(model, lambda: restore_weights(model, path, strict=False))
    assert "'bert/embeddings/word_embeddings': " in raised
    assert "stands for 2 variables" in raised


def test_a_head_goes_into_one_layer(save):
    layers = [
        keras.layers.Dense(bert.WIDTH, name="classifier"),
        keras.layers.Dense(bert.CLASSES, name="output"),
    ]
    model = keras.Sequential([keras.Input((bert.WIDTH,)), *layers])
    shapes = {"output_weights": (bert.CLASSES, bert.WIDTH), "output_bias": (3,)}
    report = restore_weights(model, save(bert.values(shapes)))
    assert all("output/" in path for path in report.restored.values())


@pytest.mark.parametrize("end", ["attention_1", "attention_1_self"])
def test_alberts_own_scopes_of_attention(end, save):
    scope = "bert/encoder/transformer/group_0/inner_group_0/attention_1"
    content = {}
    for part in ("self/query", "self/key", "self/value", "output/dense"):
        content[f"{scope}/{part}/kernel"] = (16, 16)
        content[f"{scope}/{part}/bias"] = (16,)
    x = keras.Input((4, 16))
    name = scope.replace("/", "_").removesuffix("attention_1") + end
    layer = keras.layers.MultiHeadAttention(4, 4, name=name)
    model = keras.Model(x, layer(x, x))
    report = restore_weights(model, save(bert.values(content)))
    assert not report.fresh


def test_numbers_that_are_lost_are_a_warning(save):
    model = dense_model("a")
    content = bert.values({"a/kernel": (4, 4), "a/bias": (4,)})
    content["a/bias"][1] = np.nan
    with pytest.warns(UserWarning, match=r"1 variables hold NaN .*a/bias"):
        restore_weights(model, save(content))


def test_the_name_of_a_file_is_no_prefix(save):
    model = dense_model("a")
    path = save(bert.values({"a/kernel": (4, 4), "a/bias": (4,)}))
    raised = unchanged(model, lambda: restore_weights(model, f"{path}.index"))
    assert "must be the prefix" in raised
    assert repr(str(path)) in raised


def test_what_adapts_a_layer_may_be_fresh(save):
    model = dense_model("a")
    model.layers[0].enable_lora(2)
    report = restore_weights(
        model, save(bert.values({"a/kernel": (4, 4), "a/bias": (4,)}))
    )
    assert len(report.fresh) == 2


def test_a_checkpoint_of_something_else_is_refused(classifier, save):
    path = save(bert.values({"conv/kernel": (3, 3), "conv/bias": (3,)}))
    raised = unchanged(classifier, lambda: restore_weights(classifier, path))
    assert "None of the model's weights is in the checkpoint" in raised
    assert "conv/kernel" in raised


def test_a_head_of_other_classes_is_left_out_by_name(example, save):
    """Its shapes do not fit, which is said with the remedy."""
    model = example.build_classifier(bert.CONFIG, 2)
    path = save(bert.values(bert.shapes()))
    raised = unchanged(model, lambda: restore_weights(model, path))
    assert "'output_weights' has the shape (3, 16)" in raised
    assert "None leaves a name out" in raised
    left_out = {"output_weights": None, "output_bias": None}
    report = restore_weights(model, path, left_out)
    assert report.left_out == ("output_bias", "output_weights")
    assert set(report.fresh) == {"classifier/kernel", "classifier/bias"}


def test_fewer_layers_than_the_checkpoint_has(example, save):
    """The layers above are left over, whole."""
    config = bert.CONFIG | {"num_hidden_layers": 1}
    model = example.build_classifier(config, bert.CLASSES)
    report = restore_weights(model, save(bert.values(bert.shapes())))
    assert not report.fresh
    assert all("layer_1" in name for name in report.left_over)


@pytest.mark.parametrize("rate", [WarmupPolynomialDecay(1e-3, 1000, 100), 1e-3])
def test_a_schedule_at_its_end_is_a_warning(rate, save, recwarn):
    """1,000 of 1,000 steps: nothing would train."""
    model = dense_model("a")
    optimizer = mlp.built(keras.optimizers.Adam(rate), model)
    shapes = {"a/kernel": (4, 4), "a/bias": (4,)}
    content = bert.values(shapes)
    for name, shape in shapes.items():
        content |= {
            f"{name}/{slot}": np.ones(shape, "f4") for slot in ("Adam", "Adam_1")
        }
    path = save(content | {"global_step": np.int64(1000)})
    restore_optimizer(model, optimizer, path)
    warned = [
        str(w.message) for w in recwarn if "schedule is at its end" in str(w.message)
    ]
    assert len(warned) == (rate != 1e-3)
    for message in warned:
        assert "0.0 from update 1000 on" in message


@pytest.mark.parametrize("name", ["embeddings", "token_and_position_embedding"])
def test_an_encoder_of_another_family_does_not_take_berts(name, save):
    """KerasHub's RoBERTa and DistilBERT name their encoders as its BERT does."""

    class Embeddings(keras.layers.Layer):
        def build(self, shape):
            self.words = keras.layers.Embedding(
                bert.VOCABULARY, bert.WIDTH, name="token_embedding"
            )
            self.words.build(shape)

        def call(self, tokens):
            return self.words(tokens)

    tokens = keras.Input((bert.LENGTH,), dtype="int32")
    x = Embeddings(name=name)(tokens)
    for number in range(2):
        x = KerasHubs(f"transformer_layer_{number}")(x, keras.ops.ones((1, 1, 1)))
    model = keras.Model(tokens, x)
    checkpoint = save(bert.values(bert.shapes()))
    before = [weight.numpy() for weight in model.weights]
    with pytest.raises(ValueError, match="such as RoBERTa or DistilBERT"):
        restore_weights(model, checkpoint)
    for weight, value in zip(model.weights, before, strict=True):
        np.testing.assert_array_equal(weight, value)
    report = restore_weights(model, checkpoint, strict=False)
    assert "'bert/encoder' of the checkpoint is restored, but" in str(report)
    # Whoever means it says so.
    restore_weights(model, checkpoint, {"bert/embeddings/word_embeddings": None})


def test_a_generator_does_not_take_the_discriminators_weights(save):
    """ELECTRA's checkpoints have both; paths in a functional model have no scope."""
    values = bert.values(
        {
            f"{scope}/encoder/layer_0/intermediate/dense/{name}": shape
            for scope in ("electra", "generator")
            for name, shape in {"kernel": (4, 4), "bias": (4,)}.items()
        }
    )
    dense = keras.layers.Dense(4, name="encoder_layer_0_intermediate_dense")
    x = keras.Input((4,))
    inner = keras.Model(x, dense(x), name="generator")
    model = keras.Model(x, inner(x))
    with pytest.raises(ValueError, match="'generator' inside of the model has weights"):
        restore_weights(model, save(values))
    leave = {name: None for name in values if name.startswith("electra/")}
    report = restore_weights(model, save(values), [leave, Rename("^generator/", "")])
    kernel = values["generator/encoder/layer_0/intermediate/dense/kernel"]
    np.testing.assert_array_equal(dense.kernel, kernel)
    assert len(report.left_out) == 2
    # A model of its own has the name of the scope, which says what it is.
    dense.kernel.assign(0 * kernel)
    restore_weights(inner, save(values))
    np.testing.assert_array_equal(dense.kernel, kernel)


@pytest.mark.parametrize("version", [1, 2])
def test_a_partitioned_variable_is_read_whole(version, tmp_path):
    """In both of TF1's formats."""
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        with v1.variable_scope("a", partitioner=v1.fixed_size_partitioner(3)):
            parts = v1.get_variable("kernel", (6, 4))
        v1.get_variable("a/bias", (4,))
        session.run(v1.global_variables_initializer())
        expected = session.run(parts.as_tensor())
        saver = v1.train.Saver(write_version=version)
        prefix = saver.save(session, str(tmp_path / "model.ckpt"))
    model = dense_model("a", inputs=6)
    assert not restore_weights(model, prefix).fresh
    np.testing.assert_array_equal(model.get_layer("a").kernel, expected)
