"""Numbered layers: names that Keras and TF1 make up, such as `dense` and `dense_1`."""

import dataclasses
import re
from collections import Counter
from collections.abc import Iterable
from collections.abc import Mapping

import keras

from keras_tricks.parameters.keras_hooks import all_layers
from keras_tricks.tf1.name_maps import normalized

# The names of a layer and of the layers around it, and their numbers.
Scope = tuple[str, ...]
Numbers = tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Family:
    """The layers whose names differ by numbers alone, on both sides.

    Keras counts the layers of a class from the start of the process on, TF1 from the
    start of a graph: a model that was made after another one has other numbers than the
    same model in TF1.

    Attributes:
        checkpoint: Numbers -> last part of a name -> the name in the checkpoint.
        model: Numbers -> last part of a path -> the variable.
    """

    checkpoint: dict[Numbers, dict[str, str]]
    model: dict[Numbers, dict[str, keras.Variable]]

    def has_same_numbers(self) -> bool:
        """Whether the numbers are the same, as far as the side with fewer layers goes.

        The other side may go on: with a new head, or with one that is dropped.
        """
        return all(theirs == ours for theirs, ours in self._pairs())

    def in_order(self) -> list[tuple[str, keras.Variable]] | None:
        """Returns each name with the variable at its place, in the layers' order.

        `None` if the layers of the two sides are not as many, or are otherwise inside
        of one another, or do not hold variables of the same names.
        """
        pairs = self._pairs()
        if len(self.checkpoint) != len(self.model):
            return None
        for depth in range(1, len(pairs[0][0])):
            scopes = {(theirs[:depth], ours[:depth]) for theirs, ours in pairs}
            if any(len(set(side)) < len(scopes) for side in zip(*scopes, strict=True)):
                return None
        found = []
        for theirs, ours in pairs:
            names, variables = self.checkpoint[theirs], self.model[ours]
            if names.keys() != variables.keys():
                return None
            found += [(name, variables[last]) for last, name in names.items()]
        return found

    def names(self) -> list[str]:
        """Returns the names in the checkpoint."""
        return [name for layer in self.checkpoint.values() for name in layer.values()]

    def candidates(self) -> list[tuple[str, keras.Variable]]:
        """Returns each name with each variable that has its last part."""
        return [
            (name, layer[last])
            for names in self.checkpoint.values()
            for last, name in names.items()
            for layer in self.model.values()
            if last in layer
        ]

    def doubt(self, shapes: Mapping[str, tuple[int, ...]]) -> str:
        """Returns a text that shows both sides, and a map to begin with."""
        theirs = {
            _layer(names.values()): {last: shapes[n] for last, n in names.items()}
            for _, names in sorted(self.checkpoint.items())
        }
        ours = {
            _layer(v.path for v in layer.values()): {
                last: tuple(v.shape) for last, v in layer.items()
            }
            for _, layer in sorted(self.model.items())
        }
        begun: dict[str, str | None] = dict.fromkeys(self.names())
        for numbers, other in self._pairs():
            for last, name in self.checkpoint[numbers].items():
                if last in self.model[other]:
                    begun[name] = self.model[other][last].path
        return "\n".join(
            [
                "Keras has numbered these layers otherwise than the checkpoint, and "
                "which is which is not sure:",
                *_table("the checkpoint", theirs),
                *_table("the model", ours),
                "Say it in `variable_map`. If the first layers are the same on both "
                "sides, and so on, that is (None leaves a name out)",
                f"  {begun}",
            ]
        )

    def _pairs(self) -> list[tuple[Numbers, Numbers]]:
        return list(zip(sorted(self.checkpoint), sorted(self.model), strict=False))


def families(
    model: keras.Model, weights: Iterable[keras.Variable], names: Mapping[str, str]
) -> list[Family]:
    """Returns the families that have layers on both sides.

    Args:
        model: The model, whose layers' names tell whether Keras has made them up.
        weights: Those of its weights that are looked for by their names.
        names: Name in the checkpoint -> name under which it is looked for.
    """
    made_up = {
        normalized(layer.name) for layer in all_layers(model) if _is_made_up(layer)
    }
    weights = list(weights)
    prefix = ""
    if model.name in made_up and any(
        w.path.startswith(f"{model.name}/") for w in weights
    ):
        prefix = model.name
    count = Counter(weight.path for weight in weights)
    found: dict[Scope, Family] = {}
    for weight in weights:
        if count[weight.path] > 1:  # No name stands for it.
            continue
        scope, last = _scope(weight.path, model.name, prefix)
        kind = tuple(f"{_base(p)}_*" if p in made_up else p for p in scope)
        if kind != scope and "lora_" not in last:
            family = found.setdefault(kind, Family({}, {}))
            family.model.setdefault(_numbers(scope, kind), {})[last] = weight
    for name, renamed in names.items():
        scope, last = _scope(renamed, model.name, prefix)
        for kind, family in found.items():
            if _is_of_kind(scope, kind):
                layer = family.checkpoint.setdefault(_numbers(scope, kind), {})
                layer[last] = name
    return [family for family in found.values() if family.checkpoint]


def order_notes(by_order: Mapping[str, str]) -> list[str]:
    """Returns a sentence about the names that were matched by order, if there are."""
    if not by_order:
        return []
    pairs = [f"{name!r} is {path!r}" for name, path in by_order.items()]
    more = f"; and {len(pairs) - 4} more" if len(pairs) > 4 else ""
    return [
        "Keras has numbered layers otherwise than the checkpoint. They are as many and "
        f"their shapes fit, so that they are matched by their order: "
        f"{'; '.join(pairs[:4])}{more}."
    ]


def layer_number(name: str) -> int:
    """Returns the number of the layer that a variable is in, -1 if it has none."""
    return _number(name.rpartition("/")[0])


def _layer(names: Iterable[str]) -> str:
    return next(iter(names)).rpartition("/")[0]


def _table(
    title: str, layers: Mapping[str, Mapping[str, tuple[int, ...]]]
) -> list[str]:
    return [
        f"  {title} has {layer}: "
        + ", ".join(f"{last} {shape}" for last, shape in parts.items())
        for layer, parts in layers.items()
    ]


def _number(name: str) -> int:
    match = re.search(r"_(\d+)$", name)
    return int(match.group(1)) if match else -1


def _base(name: str) -> str:
    return re.sub(r"_\d+$", "", name)


def _is_made_up(layer: keras.Layer) -> bool:
    """Whether the layer's name is what Keras makes of the name of its class."""
    # `Bidirectional` puts the direction in front of its layers' names.
    base = re.sub("^(forward|backward)_", "", _base(layer.name))
    class_name = type(layer).__name__
    return base.replace("_", "") == class_name.replace("_", "").lower()


def _scope(path: str, model_name: str, prefix: str) -> tuple[Scope, str]:
    """Returns the names of the layers around a variable, and its last part.

    Without the model's name; but with it, on both sides, if it is a `prefix` that is
    numbered itself.
    """
    scope, _, last = path.rpartition("/")
    # The "/" at the end keeps a layer `embeddings`, which is no variable.
    scope = normalized(f"{scope}/").removesuffix("/")
    if not prefix:
        scope = f"{scope}/".removeprefix(f"{model_name}/").removesuffix("/")
    elif _base(scope.partition("/")[0]) != _base(prefix):
        scope = f"{prefix}/{scope}"
    return tuple(scope.split("/")), last


def _is_of_kind(scope: Scope, kind: Scope) -> bool:
    return len(scope) == len(kind) and all(
        f"{_base(part)}_*" == wanted if wanted.endswith("_*") else part == wanted
        for part, wanted in zip(scope, kind, strict=True)
    )


def _numbers(scope: Scope, kind: Scope) -> Numbers:
    return tuple(
        _number(part)
        for part, wanted in zip(scope, kind, strict=True)
        if wanted.endswith("_*")
    )
