"""Name maps: from the names of TF1 variables to Keras variables."""

import re
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from keras_tricks import _validation
from keras_tricks.tf1 import conversions
from keras_tricks.tf1 import joining

NameMap = Mapping[str, Any] | Callable[[str], Any] | conversions.Rule | joining.Join
VariableMap = NameMap | Sequence[NameMap] | None

# Whole words, between "/" and "_".
_LAYER_NORM = re.compile(r"(?<![^/_])(?:LayerNorm|layer_normalization)(?![^/_])")


class UnknownNameError(LookupError):
    """No variable has the name."""


class AmbiguousNameError(LookupError):
    """Several variables have the name.

    Args:
        name: The name.
        paths: Their paths, which may be the same.
    """

    def __init__(self, name: str, paths: list[str]):
        different = list(dict.fromkeys(paths))
        # Where all have one path, it names none of them.
        of = " of the path" if len(different) == 1 else ":"
        listed = ", ".join(map(repr, different))
        super().__init__(
            f"{name!r} stands for {len(paths)} variables{of} {listed}. "
            "Give the one that is meant as a variable, such as "
            f"layer.{paths[0].rpartition('/')[2]}, in `variable_map`"
        )


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
                raise AmbiguousNameError(name, [variable.path for variable in found])
            if found:
                return found[0]
        raise UnknownNameError(f"no variable has the name {name!r}")


class UserMap:
    """What `variable_map` says: names, a function, and rules.

    Args:
        variable_map: What the user gave: one of them or a list.
        names: The names in the checkpoint.

    Attributes:
        named: TF1 name -> path, variable or `None`.
        function: The function from a TF1 name to one of these, or `None`.
        rules: The rules in their order.

    Raises:
        TypeError: If it is of the wrong type.
        ValueError: If it names what the checkpoint does not hold, or a rule applies
            to none of the names.
    """

    def __init__(self, variable_map: VariableMap, names: Iterable[str]):
        self.named: dict[str, Any] = {}
        self.function: Callable[[str], Any] | None = None
        self.rules: list[conversions.Rule] = []
        names = list(names)
        if variable_map is None:
            return
        parts = (
            variable_map if isinstance(variable_map, list | tuple) else [variable_map]
        )
        for part in parts:
            if isinstance(part, conversions.Rule):
                self.rules.append(part)
            elif callable(part) and self.function is None:
                self.function = part
            else:
                self.named |= _named(part, variable_map)
        self._check(names)

    def _check(self, names: list[str]) -> None:
        unknown = [name for name in self.named if name not in names]
        if unknown:
            raise ValueError(
                "`variable_map` must map names that are in the checkpoint. Received: "
                f"{', '.join(map(repr, unknown))}, which it does not hold. It holds: "
                f"{', '.join(map(repr, names))}"
            )
        for rule in self.rules:
            if not any(rule.applies_to(name) for name in names):
                raise ValueError(
                    "`variable_map` must hold rules for names that are in the "
                    f"checkpoint. Received: {rule}, whose pattern is found in none of "
                    f"its {len(names)} names, such as {', '.join(map(repr, names[:3]))}"
                )

    def check_layouts(self, weights: list[str]) -> None:
        """Raises if a rule of layout goes by names of slots, which follow theirs."""
        for rule in self.rules:
            if not isinstance(rule, conversions.Rename) and not any(
                rule.applies_to(name) for name in weights
            ):
                raise ValueError(
                    "`variable_map` must hold rules for the names of weights, whose "
                    f"slots follow them. Received: {rule}"
                )

    def renamed(self, name: str) -> str:
        """Returns the name under which the Keras variable is to be looked for."""
        original = name
        for rule in self.rules:
            if isinstance(rule, conversions.Rename) and rule.applies_to(original):
                name = rule.renamed(name)
        return name

    def parts(self, name: str) -> list[str] | None:
        """Returns the names of the parts into which a variable is split, or `None`."""
        for rule in self.rules:
            if isinstance(rule, conversions.Split) and rule.applies_to(name):
                return rule.names(name)
        return None

    def conversion(self, name: str, part: int = 0) -> conversions.Conversion | None:
        """Returns the conversion that the rules make of a name; `None` without one."""
        layouts = tuple(
            rule
            for rule in self.rules
            if isinstance(rule, conversions.Layout | conversions.Split)
            and rule.applies_to(name)
        )
        return conversions.Conversion(layouts, part) if layouts else None


def _named(part: Any, variable_map: Any) -> dict[str, Any]:
    try:
        if isinstance(part, str):  # One that is empty would be a dictionary.
            raise TypeError("a string")
        given = dict(part)
    except (TypeError, ValueError):
        raise TypeError(
            "`variable_map` must be a dictionary from TF1 names to Keras paths, a "
            "function, a rule such as Rename or Transpose, or a list of these. "
            f"{_validation.received('variable_map', variable_map)}"
        ) from None
    for name in given:
        if not isinstance(name, str):
            raise TypeError(
                "`variable_map` must map names, which are strings. "
                f"{_validation.received('variable_map', variable_map)}"
            )
    return {without_output(name): target for name, target in given.items()}
