"""HyperFineTune on backbones that people have: KerasHub's BERT and Keras Applications.

They are tiny, or without trained weights: nothing is downloaded.
"""

import itertools

import keras
import keras_tuner
import numpy as np
import pytest

from keras_tricks import tuners
from keras_tricks.hypermodels import HyperFineTune
from tests import sampling
from tests.hypermodels import cases

CLASSES = 3
LABELS = np.arange(48) % CLASSES
LENGTH = 8


def hub():
    return pytest.importorskip(
        "keras_hub", reason="KerasHub, the extra `hub`, is not installed"
    )


def bert():
    return hub().models.BertBackbone(
        vocabulary_size=30,
        num_layers=4,
        num_heads=2,
        hidden_dim=16,
        intermediate_dim=32,
        dropout=0.0,
        max_sequence_length=LENGTH,
    )


def texts(padding=0):
    """Tokens of which the first tells the class, and padding behind the fifth."""
    tokens = np.random.default_rng(0).integers(4, 30, size=(48, LENGTH))
    tokens[:, 0] = 1 + LABELS
    is_text = np.arange(LENGTH) < 5
    return {
        "token_ids": np.where(is_text, tokens, padding),
        "segment_ids": np.zeros((48, LENGTH), int),
        "padding_mask": is_text * np.ones((48, 1), int),
    }


def mobile_net():
    return keras.applications.MobileNetV2(
        input_shape=(32, 32, 3), include_top=False, weights=None, alpha=0.35
    )


def efficient_net():
    return keras.applications.EfficientNetB0(
        input_shape=(32, 32, 3), include_top=False, weights=None
    )


def images():
    noise = np.random.default_rng(0).uniform(0, 100, size=(48, 32, 32, 3))
    return (noise + 100 * np.eye(3)[LABELS][:, None, None]).astype("float32")


BACKBONES = {
    "bert": (bert, texts, "text"),
    "mobile_net": (mobile_net, images, "image"),
    "efficient_net": (efficient_net, images, "image"),
}
backbones = pytest.mark.parametrize(
    "name", sampling.only(["bert", "mobile_net"], BACKBONES)
)


def made(name, **kwargs):
    make, inputs, kind = BACKBONES[name]
    arguments = {"epochs": 1, "batch_size": 16, **kwargs}
    return HyperFineTune(make(), CLASSES, kind=kind, **arguments), inputs()


def stage_of_variables(model, stages):
    """By hand: the number of the stage of each weight, by its layer's place."""
    layers = [layer for layer in model.get_layer("backbone").layers if layer.weights]
    bounds = np.linspace(0, len(layers), stages + 1).round().astype(int)
    return {
        variable.path: number
        for number, (start, end) in enumerate(itertools.pairwise(bounds))
        for layer in layers[start:end]
        for variable in layer.trainable_variables
    }


@backbones
def test_rates_shrink_from_stage_to_stage(name):
    """SGD's first update is in proportion to the rate: gradients are alike."""
    whole, _ = first_updates(name, 1.0)
    shrunk, stages = first_updates(name, 0.5)
    seen = set()
    for one, other, stage in zip(whole, shrunk, stages, strict=True):
        factor = 0.5 ** (4 - stage)
        if np.abs(one).max() > 1e-6:
            seen.add(factor)
            np.testing.assert_allclose(other, factor * one, rtol=0.02, atol=1e-7)
    assert seen == {1.0, 0.5, 0.25, 0.125, 0.0625}


def first_updates(name, decay):
    """What the first step adds to each weight, and the stage of each."""
    keras.utils.set_random_seed(0)
    hypermodel, inputs = made(name, total_steps=2, batch_size=48)
    hp = cases.fixed(
        layer_decay=decay,
        optimizer="sgd",
        learning_rate=1e-3,
        warmup_fraction=0.0,
        dropout=0.0,
    )
    model = hypermodel.build(hp)
    before = [v.numpy() for v in model.trainable_variables]
    model.fit(inputs, LABELS, batch_size=48, epochs=1, shuffle=False, verbose=0)
    after = [v.numpy() for v in model.trainable_variables]
    stages = stage_of_variables(model, 4)
    return (
        [new - old for new, old in zip(after, before, strict=True)],
        [stages.get(v.path, 4) for v in model.trainable_variables],
    )


@backbones
def test_frozen_stages_stay_and_the_file_gives_the_same_outputs(name, tmp_path):
    hypermodel, inputs = made(name)
    hp = cases.fixed(frozen_stages=3, layer_decay=0.8, learning_rate=1e-2)
    model = hypermodel.build(hp)
    before = {v.path: v.numpy() for v in model.get_layer("backbone").weights}
    hypermodel.fit(hp, model, inputs, LABELS, verbose=0)
    moved = {
        v.path
        for v in model.get_layer("backbone").weights
        if not np.array_equal(v.numpy(), before[v.path])
    }
    trainable = {v.path for v in model.get_layer("backbone").trainable_weights}
    assert trainable <= moved | {p for p in trainable if p.endswith("key/bias")}
    statistics = {p for p in moved - trainable if "moving" in p}
    assert moved == (moved & trainable) | statistics
    model.save(tmp_path / "model.keras")
    restored = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(
        restored.predict(inputs, verbose=0), model.predict(inputs, verbose=0)
    )
    assert len(restored.trainable_weights) == len(model.trainable_weights)


def test_padding_changes_no_logit_of_bert():
    hypermodel, inputs = made("bert")
    model = hypermodel.build(keras_tuner.HyperParameters())
    np.testing.assert_array_equal(
        model.predict(texts(padding=9), verbose=0), model.predict(inputs, verbose=0)
    )


def deberta():
    return hub().models.DebertaV3Backbone(
        vocabulary_size=30,
        num_layers=1,
        num_heads=2,
        hidden_dim=8,
        intermediate_dim=16,
        dropout=0.0,
        max_sequence_length=LENGTH,
        bucket_size=8,
    )


def vision_transformer():
    return hub().models.ViTBackbone(
        image_shape=(32, 32, 3),
        patch_size=8,
        num_layers=1,
        num_heads=2,
        hidden_dim=8,
        mlp_dim=16,
    )


@pytest.mark.parametrize(
    ("make", "inputs", "kind"),
    [(deberta, texts, "text"), (vision_transformer, images, "image")],
)
@pytest.mark.parametrize("by_function", [False, True])
def test_backbones_that_only_their_class_can_make_are_saved_and_loaded(
    make, inputs, kind, by_function, tmp_path
):
    backbone, x = make(), inputs()
    if isinstance(x, dict):
        del x["segment_ids"]
    given = make if by_function else backbone
    hypermodel = HyperFineTune(given, CLASSES, kind=kind, epochs=1, stages=2)
    hp = cases.fixed(frozen_stages=1, learning_rate=1e-2)
    model = hypermodel.build(hp)
    if not by_function:
        np.testing.assert_array_equal(model.get_layer("backbone")(x), backbone(x))
    hypermodel.fit(hp, model, x, LABELS, verbose=0)
    model.save(tmp_path / "model.keras")
    restored = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(
        restored.predict(x, verbose=0), model.predict(x, verbose=0)
    )
    trainable = [v.path for v in model.trainable_variables]
    assert [v.path for v in restored.trainable_variables] == trainable
    lowest = model.get_layer("backbone").weights[0].path
    assert "embedding" in lowest
    assert lowest not in trainable


@pytest.mark.parametrize(
    ("name", "options"),
    sampling.only(
        [("bert", "shared")],
        itertools.product(["bert", "mobile_net"], ["shared", "packed"]),
    ),
)
def test_searches_score_as_those_that_train_each_trial_alone(name, options, tmp_path):
    make, inputs, kind = BACKBONES[name]
    backbone, x, scores = make(), inputs(), []
    ways = {"alone": {"reuse_programs": False}, "packed": {"packed_trials": 3}}
    for way in ("alone", options):
        hp = cases.fixed(optimizer="adamw", layer_decay=0.8, dropout=0.0)
        hp.Float("learning_rate", 1e-4, 1e-2, sampling="log")
        tuner = tuners.RandomSearch(
            HyperFineTune(backbone, CLASSES, kind=kind, epochs=1, batch_size=16),
            "val_loss",
            max_trials=3,
            seed=0,
            hyperparameters=hp,
            tune_new_entries=False,
            directory=tmp_path / way,
            **ways.get(way, {}),
        )
        tuner.search(x, LABELS, validation_data=(x, LABELS), verbose=0)
        trials = sorted(tuner.oracle.trials.values(), key=lambda t: t.trial_id)
        scores.append([trial.score for trial in trials])
    np.testing.assert_allclose(scores[1], scores[0], rtol=1e-4)
    assert len(set(scores[0])) == 3
