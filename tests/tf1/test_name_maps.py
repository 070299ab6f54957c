"""Which TF1 names and Keras paths stand for each other."""

import types

import pytest

from keras_tricks.tf1 import name_maps


def index(*paths, model_name="classifier"):
    variables = [types.SimpleNamespace(path=path) for path in paths]
    return name_maps.NameIndex(variables, model_name)


QUERY = "bert/encoder/layer_0/attention/self/query/kernel"


@pytest.mark.parametrize(
    ("name", "path"),
    [
        (QUERY, QUERY),
        (f"{QUERY}:0", QUERY),
        (QUERY, f"classifier/{QUERY}"),
        (f"classifier/{QUERY}", QUERY),
        (QUERY, "bert_encoder_layer_0_attention_self_query/kernel"),
        (QUERY, "classifier/bert/encoder_layer_0_attention/self/query/kernel"),
        (
            "bert/embeddings/word_embeddings",
            "bert/embeddings/word_embeddings/embeddings",
        ),
        ("bert/embeddings/LayerNorm/gamma", "bert/embeddings/layer_norm/gamma"),
        ("bert/embeddings/LayerNorm/beta", "bert_embeddings_layer_normalization/beta"),
        ("a/LayerNorm_3/beta", "a/layer_normalization_3/beta"),
    ],
)
def test_a_name_stands_for_its_path(name, path):
    """The spellings that TF1 and Keras have for one variable are one."""
    others = (QUERY.replace("layer_0", "layer_10"), "a/layer_normalization/beta")
    assert index(*others, path).find(name).path == path


@pytest.mark.parametrize(
    ("name", "path"),
    [
        (QUERY, QUERY.replace("query", "key")),
        (QUERY, f"another_model/{QUERY}"),
        (QUERY, f"classifier/classifier/{QUERY}"),
        ("a/LayerNorm/gamma", "a/layer_norm_1/gamma"),
        ("a/MyLayerNorm/gamma", "a/Mylayer_norm/gamma"),
        ("bert/embeddings/word_embeddings", "bert/embeddings/embeddings"),
    ],
)
def test_another_name_does_not(name, path):
    """What is not known to be one variable is not taken for one."""
    with pytest.raises(name_maps.UnknownNameError):
        index(path).find(name)


def test_the_closest_spelling_wins():
    """A path that is the same is taken before one that is only alike."""
    paths = ("a/b/kernel", "classifier/a/b/kernel", "a_b/kernel")
    for path in paths:
        assert index(*paths).find(path).path == path


def test_two_equally_close_paths_are_ambiguous():
    """Neither is taken, and the error names both."""
    paths = ("a/layer_norm/gamma", "a/layer_normalization/gamma")
    with pytest.raises(name_maps.AmbiguousNameError) as error:
        index(*paths).find("a/LayerNorm/gamma")
    assert all(repr(path) in str(error.value) for path in paths)
