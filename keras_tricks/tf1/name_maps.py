"""Name maps: from the names of TF1 variables to Keras variables."""

import re
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
from typing import Any

VariableMap = Mapping[str, Any] | Callable[[str], Any] | None

# Whole words, between "/" and "_".
_LAYER_NORM = re.compile(r"(?<![^/_])(?:LayerNorm|layer_normalization)(?![^/_])")


class UnknownNameError(LookupError):
    """No variable has the name."""


class AmbiguousNameError(LookupError):
    """Several variables have the name."""


def normalized(name: str) -> str:
    """Returns `name` in the spelling in which TF1 names and Keras paths are compared.

    Without an output number (":0"); `LayerNorm` and `layer_normalization` are
    `layer_norm`, a number after them is kept; a last part `embeddings`, which is what
    Keras calls the weight of an `Embedding` layer, is dropped.

    Args:
        name: A TF1 variable's name or a Keras variable's path.

    Example:

    >>> from keras_tricks.tf1.name_maps import normalized
    >>> normalized("bert/embeddings/LayerNorm/gamma:0")
    'bert/embeddings/layer_norm/gamma'
    >>> normalized("bert/embeddings/word_embeddings/embeddings")
    'bert/embeddings/word_embeddings'
    """
    parts = without_output(name).split("/")
    if len(parts) > 1 and parts[-1] == "embeddings":
        parts.pop()
    return _LAYER_NORM.sub("layer_norm", "/".join(parts))


def without_output(name: str) -> str:
    """Returns the name of a TF1 variable without the ":0" of its tensor."""
    return re.sub(r":\d+$", "", name)


class NameIndex:
    """Finds variables by their path or by a TF1 name.

    A name stands for the variable whose path is, in this order: the same; the same
    once both are `normalized`; the same without a first part that is the model's name,
    on either side; the same if "/" and "_" are not told apart, since the name of a
    Keras layer cannot hold a "/" (a layer `bert_encoder_layer_0_output_dense` has the
    scope `bert/encoder/layer_0/output/dense`).

    Args:
        variables: Keras variables.
        model_name: The name of the model.
    """

    def __init__(self, variables: Iterable, model_name: str):
        prefix = f"{model_name}/"
        self._keys: tuple[Callable[[str], str], ...] = (
            lambda name: name,
            normalized,
            lambda name: normalized(name).removeprefix(prefix),
            lambda name: normalized(name).removeprefix(prefix).replace("/", "_"),
        )
        self._tables: list[dict[str, list]] = [{} for _ in self._keys]
        for variable in variables:
            for key, table in zip(self._keys, self._tables, strict=True):
                table.setdefault(key(variable.path), []).append(variable)

    def find(self, name: str) -> Any:
        """Returns the variable that `name` stands for.

        Raises:
            UnknownNameError: If there is none.
            AmbiguousNameError: If there are several.
        """
        for key, table in zip(self._keys, self._tables, strict=True):
            found = table.get(key(name), [])
            if len(found) > 1:
                paths = ", ".join(repr(variable.path) for variable in found)
                raise AmbiguousNameError(
                    f"{name!r} stands for {len(found)} variables: {paths}"
                )
            if found:
                return found[0]
        raise UnknownNameError(f"no variable has the name {name!r}")
