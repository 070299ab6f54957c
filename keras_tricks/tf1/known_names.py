"""Known names: how Keras models spell the variables of BERT, ALBERT and ELECTRA."""

import re

# In the order in which they are tried. Each pattern may make a further spelling of each
# spelling that the patterns before it have made.
_SPELLINGS: tuple[tuple[str, str], ...] = (
    # ALBERT keeps one layer, which it applies again and again, under other names.
    (r"(?<=/inner_group_)(\d+)/attention_1/", r"\1/attention/"),
    (r"(?<=/inner_group_)(\d+)/LayerNorm/", r"\1/attention/output/LayerNorm/"),
    (r"(?<=/inner_group_)(\d+)/LayerNorm_1/", r"\1/output/LayerNorm/"),
    (r"(?<=/inner_group_)(\d+)/ffn_1/intermediate/output/", r"\1/output/"),
    (r"(?<=/inner_group_)(\d+)/ffn_1/intermediate/dense/", r"\1/intermediate/dense/"),
    (r"/transformer/group_(\d+)/inner_group_0/", r"/layer_\1/"),
    # Keras's MultiHeadAttention has its output layer inside.
    (r"/attention(_1)?/output/dense/", r"/attention\1/self/attention_output/"),
    (
        r"/attention(_1)?/self/(query|key|value|attention_output)/",
        r"/attention\1/\2/",
    ),
    # A model of one encoder does not need the scope around it.
    (r"^(bert|electra|albert)/", r""),
    (r"^(.*/)?pooler/dense/", r"\1pooler/"),
    # A classifier's weights have no scope in BERT's `run_classifier.py`.
    (r"^output_(weights|bias)$", r"output/output_\1"),
    (r"^output_(weights|bias)$", r"classifier/output_\1"),
    (r"^output_(weights|bias)$", r"logits/output_\1"),
    (r"/output_weights$", r"/kernel"),
    (r"/output_bias$", r"/bias"),
    # KerasHub's backbones.
    (r"^embeddings/word_embeddings$", r"token_embedding/embeddings"),
    (r"^embeddings/position_embeddings$", r"position_embedding/embeddings"),
    (r"^embeddings/token_type_embeddings$", r"segment_embedding/embeddings"),
    (r"^embeddings/LayerNorm/", r"embeddings_layer_norm/"),
    (r"^embeddings_project/", r"embeddings_projection/"),
    (r"^encoder/embedding_hidden_mapping_in/", r"embedding_projection/"),
    (r"^encoder/layer_(\d+)/", r"transformer_layer_\1/"),
    (
        r"^encoder/transformer/group_(\d+)/inner_group_(\d+)/",
        r"group_\1_inner_layer_\2/",
    ),
    (
        r"^((?:transformer|group_\d+_inner)_layer_\d+)/attention/"
        r"(query|key|value|attention_output)/",
        r"\1/self_attention_layer/\2/",
    ),
    (
        r"^((?:transformer|group_\d+_inner)_layer_\d+)/attention/output/LayerNorm/",
        r"\1/self_attention_layer_norm/",
    ),
    (
        r"^((?:transformer|group_\d+_inner)_layer_\d+)/(intermediate|output)/dense/",
        r"\1/feedforward_\2_dense/",
    ),
    (
        r"^((?:transformer|group_\d+_inner)_layer_\d+)/output/LayerNorm/",
        r"\1/feedforward_layer_norm/",
    ),
    (r"^pooler/(?!dense/)", r"pooled_dense/"),
)


def spellings(name: str) -> list[str]:
    """Returns the further names by which a Keras model may know a TF1 variable.

    Args:
        name: The name of a variable of BERT, ALBERT or ELECTRA; others have none.

    Example:

    >>> from keras_tricks.tf1.known_names import spellings
    >>> spellings("bert/pooler/dense/bias")
    ['pooler/dense/bias', 'bert/pooler/bias', 'pooler/bias', 'pooled_dense/bias']
    """
    found = [name]
    for pattern, replacement in _SPELLINGS:
        for spelling in list(found):
            other = re.sub(pattern, replacement, spelling)
            if other not in found:
                found.append(other)
    return found[1:]
