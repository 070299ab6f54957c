"""Layers that Keras numbers by itself, in checkpoints that number them otherwise."""

import ast

import keras
import numpy as np
import pytest

from keras_tricks.tf1 import Rename
from keras_tricks.tf1 import restore_optimizer
from keras_tricks.tf1 import restore_weights
from tests.tf1 import bert
from tests.tf1 import mlp


@pytest.fixture
def save(tmp_path):
    return lambda content: mlp.save_values(content, tmp_path / "model.ckpt")


def content_of(*layers, kernel=(4, 4), bias="bias"):
    """A checkpoint with these layers, each number another."""
    shapes = {}
    for layer in layers:
        shapes |= {f"{layer}/kernel": kernel, f"{layer}/{bias}": kernel[-1:]}
    return bert.values(shapes)


def dense_model(*names, name=None):
    layers = [keras.layers.Dense(4, name=layer) for layer in names]
    return keras.Sequential([keras.Input((4,)), *layers], name=name)


def assert_holds(layers, content, names):
    """Each layer holds what the checkpoint has under its name."""
    for layer, name in zip(layers, names, strict=True):
        np.testing.assert_array_equal(layer.kernel, content[f"{name}/kernel"])
        np.testing.assert_array_equal(layer.bias, content[f"{name}/bias"])


def refused(model, function):
    """Returns what is raised, and asserts that the weights are as before."""
    before = [weight.numpy() for weight in model.weights]
    with pytest.raises(ValueError, match="which is which is not sure") as caught:
        function()
    for weight, value in zip(model.weights, before, strict=True):
        np.testing.assert_array_equal(weight, value)
    return str(caught.value)


THREE = ("dense", "dense_1", "dense_2")


def test_a_model_made_after_another_is_matched_by_order(save):
    """TF1's graph begins with `dense`, the second model of a process does not."""
    dense_model(None, None)
    model = dense_model(None, None, None)
    assert model.layers[0].name not in ("dense", "dense_1")
    content = content_of(*THREE)
    report = restore_weights(model, save(content))
    assert_holds(model.layers, content, THREE)
    [note] = report.notes
    assert f"'dense/kernel' is '{model.layers[0].kernel.path}'" in note


@pytest.mark.parametrize("offset", [1, 2, 9, 30])
def test_slots_follow_what_is_matched_by_order(offset, save):
    model = dense_model(*(f"dense_{offset + i}" for i in range(3)))
    optimizer = mlp.built(keras.optimizers.SGD(1.0, momentum=0.9), model)
    content = content_of(*THREE)
    slots = {f"{name}/Momentum": value + 1 for name, value in content.items()}
    restore_optimizer(
        model, optimizer, save(content | slots | {"global_step": np.int64(3)})
    )
    assert_holds(model.layers, content, THREE)
    for velocity, weight in zip(optimizer.momentums, model.weights, strict=True):
        np.testing.assert_allclose(velocity, -(weight.numpy() + 1), rtol=1e-6)


def test_more_than_ten_layers_are_in_the_order_of_their_numbers(save):
    names = ["dense", *(f"dense_{i}" for i in range(1, 12))]
    content = content_of(*names)
    model = dense_model(*(f"dense_{i}" for i in range(1, 13)))
    restore_weights(model, save(content))
    assert_holds(model.layers, content, names)


# The layers of the checkpoint, those of the model, and what stands for the latter
# if the first ones are the same.
DOUBTFUL = [
    (THREE, ("dense_1", "dense_2"), ("dense", "dense_1")),
    (THREE[:2], ("dense_1", "dense_2", "dense_3"), ("dense", "dense_1")),
    (THREE, ("dense_7", "dense_8"), ("dense", "dense_1")),
    (THREE, ("dense", "dense_2"), ("dense", "dense_1")),
    (("dense_1", "dense_2"), THREE, ("dense_1", "dense_2")),
]


@pytest.mark.parametrize("with_optimizer", [False, True])
@pytest.mark.parametrize(("theirs", "ours", "meant"), DOUBTFUL)
def test_a_head_that_is_dropped_or_new_leaves_the_rest_in_doubt(
    theirs, ours, meant, with_optimizer, save
):
    """Both lists are shown, and the map below them is taken as it is printed."""
    model = dense_model(*ours)
    content = content_of(*theirs)
    path = save(content)

    def restore(variable_map=None, strict=True):
        if not with_optimizer:
            return restore_weights(model, path, variable_map, strict=strict)
        optimizer = mlp.built(keras.optimizers.SGD(1.0), model)
        return restore_optimizer(model, optimizer, path, variable_map, strict=strict)

    message = refused(model, restore)
    for layer in theirs:
        assert f"the checkpoint has {layer}: bias (4,), kernel (4, 4)" in message
    for layer in model.layers:
        assert f"the model has {model.name}/{layer.name}: kernel (4, 4)" in message
    [printed] = [line for line in message.splitlines() if line.startswith("  {")]

    before = [weight.numpy() for weight in model.weights]
    report = restore(strict=False)
    assert set(report.left_over) == set(content)
    assert report.restored == {}
    assert "which is which is not sure" in str(report)
    for weight, value in zip(model.weights, before, strict=True):
        np.testing.assert_array_equal(weight, value)

    restore(ast.literal_eval(printed.strip()), strict=not with_optimizer)
    assert_holds(model.layers[: len(meant)], content, meant)


@pytest.mark.parametrize(
    ("theirs", "ours"), [(THREE, THREE[:2]), (THREE[:2], THREE), (THREE[1:], THREE[1:])]
)
def test_the_same_numbers_are_the_same_layers(theirs, ours, save):
    """With a head that is dropped, or is new, behind them."""
    model = dense_model(*ours)
    content = content_of(*theirs)
    restore_weights(model, save(content))
    both = [name for name in ours if name in theirs]
    layers = [layer for layer in model.layers if layer.name in both]
    assert_holds(layers, content, both)


def test_layers_that_do_not_fit_in_their_order_are_in_doubt(save):
    model = dense_model("dense_1", "dense_2")
    content = content_of("dense") | content_of("dense_1", kernel=(4, 9))
    path = save(content)
    message = refused(model, lambda: restore_weights(model, path))
    assert "the checkpoint has dense_1: bias (9,), kernel (4, 9)" in message


def test_a_head_that_fits_nothing_is_fresh(save):
    """Another head under another number, beside layers with names of their own."""
    model = dense_model("hidden", "dense_1")
    content = content_of("hidden") | content_of("dense", kernel=(4, 9))
    report = restore_weights(model, save(content))
    assert set(report.left_over) == {"dense/kernel", "dense/bias"}
    assert len(report.fresh) == 2


def test_names_that_are_chosen_mean_what_they_say(save):
    """A number behind another word than the class's is not Keras's."""
    model = dense_model("block_1", "block_2")
    content = content_of("block", "block_1", "block_2")
    report = restore_weights(model, save(content))
    assert_holds(model.layers, content, ["block_1", "block_2"])
    assert set(report.left_over) == {"block/kernel", "block/bias"}


def test_a_rename_of_the_scope_leaves_the_doubt(save):
    model = dense_model("dense_1", "dense_2")
    path = save(content_of(*(f"net/{name}" for name in THREE)))
    scope = Rename("^net/", "")
    refused(model, lambda: restore_weights(model, path, scope))


def test_a_rename_that_numbers_anew_is_taken_at_its_word(save):
    model = dense_model("dense_1", "dense_2", "dense_3")
    content = content_of("net/dense", "net/dense_1")
    rules = [Rename("^net/dense/", "dense_2/"), Rename("^net/dense_1/", "dense_3/")]
    restore_weights(model, save(content), rules)
    assert_holds(model.layers[1:], content, ["net/dense", "net/dense_1"])


def test_leaving_a_layer_out_settles_the_rest(save):
    model = dense_model("dense_1", "dense_2")
    content = content_of(*THREE)
    left_out = {"dense/kernel": None, "dense/bias": None}
    restore_weights(model, save(content), left_out)
    assert_holds(model.layers, content, THREE[1:])


class Block(keras.layers.Layer):
    """Layers inside of one, all of which are numbered."""

    def __init__(self, *names, name):
        super().__init__(name=name)
        self.inner = [keras.layers.Dense(4, name=layer) for layer in names]

    def call(self, x):
        for layer in self.inner:
            x = layer(x)
        return x


def test_layers_inside_of_numbered_ones_are_matched_by_order(save):
    """TF1 counts in each scope anew, Keras goes on."""
    scopes = [f"{block}/{dense}" for block in ("block", "block_1") for dense in THREE]
    content = content_of(*scopes)
    blocks = [
        Block("dense_4", "dense_5", "dense_6", name="block_1"),
        Block("dense_7", "dense_8", "dense_9", name="block_2"),
    ]
    model = keras.Sequential([keras.Input((4,)), *blocks])
    restore_weights(model, save(content))
    assert_holds([d for block in blocks for d in block.inner], content, scopes)


def test_a_model_may_be_numbered_itself(save):
    """One of two models of the checkpoint is in doubt, the only one is not."""
    model = dense_model("dense_1", "dense_2", name="sequential_1")
    scopes = [f"sequential/{name}" for name in THREE[:2]]
    content = content_of(*scopes)
    restore_weights(model, save(content))
    assert_holds(model.layers, content, scopes)
    other = content_of("sequential_1/dense_1", "sequential_1/dense_2")
    path = save(content | other)
    refused(model, lambda: restore_weights(model, path))
    left_out = dict.fromkeys(content)
    restore_weights(model, path, left_out)
    assert_holds(model.layers, other, ["sequential_1/dense_1", "sequential_1/dense_2"])


def test_blocks_of_another_size_are_in_doubt(save):
    """Three and one layer are not two and two."""
    blocks = [
        Block("dense_4", "dense_5", name="block_1"),
        Block("dense_6", "dense_7", name="block_2"),
    ]
    model = keras.Sequential([keras.Input((4,)), *blocks])
    path = save(content_of(*(f"block/{name}" for name in THREE), "block_1/dense"))
    refused(model, lambda: restore_weights(model, path))


def test_other_classes_are_counted_in_the_same_way(save):
    """`LayerNorm` is TF1's word; `Bidirectional` names its layers by itself."""
    layers = [
        keras.layers.LayerNormalization(name=f"layer_normalization_{i}") for i in (1, 2)
    ]
    for number in (1, 2):
        lstm = keras.layers.LSTM(2, return_sequences=True, name=f"lstm_{number}")
        layers.append(keras.layers.Bidirectional(lstm, name=f"bidirectional_{number}"))
    model = keras.Sequential([keras.Input((3, 4)), *layers])
    names = {}
    for weight in model.weights:
        name = weight.path.removeprefix(f"{model.name}/").replace("_1/", "/")
        name = name.replace("layer_normalization", "LayerNorm").replace("_2/", "_1/")
        names[name] = weight
    assert "bidirectional_1/forward_lstm_1/lstm_cell/kernel" in names
    content = bert.values({n: tuple(w.shape) for n, w in names.items()})
    assert not restore_weights(model, save(content)).fresh
    for name, weight in names.items():
        np.testing.assert_array_equal(weight, content[name])


def test_layers_of_one_path_are_matched_by_no_order(save):
    """What no name tells apart, no place does."""
    model = keras.Sequential([keras.Input((4,)), Block("dense", "dense", name="a")])
    path = save(content_of("a/dense_1"))
    with pytest.raises(ValueError, match="None of the model's weights"):
        restore_weights(model, path)
