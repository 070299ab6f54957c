"""The parameters of a model, by layer and by group of layers."""

import dataclasses
import re
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from typing import Any

import keras

from keras_tricks.parameters import keras_hooks
from keras_tricks.parameters.counting import size_of
from keras_tricks.parameters.counting import variables_of


@dataclasses.dataclass(frozen=True)
class ParameterRow:
    """A layer, or a group of layers.

    Attributes:
        path: Names of the layers from the model down to this one, joined by `/`.
        level: How many layers it lies in, from 0.
        shapes: Shapes of its own variables, by name; a name's second variable has a
            number after it.
        trainable: Parameters that training changes, those of inner layers included.
        frozen: The other parameters.
        dtype: The variables' dtype; several are joined by `, `.
        bytes: What all of them take.
        share: Of all the model's parameters, 0 to 1.
    """

    path: str
    level: int
    shapes: dict[str, tuple[int, ...]]
    trainable: int
    frozen: int
    dtype: str
    bytes: int
    share: float


def by_layer(model: keras.Layer, depth: int | None = None) -> tuple[ParameterRow, ...]:
    """Returns a row for each layer with parameters, at most `depth` levels of them."""
    row = _row_maker(model)
    return tuple(
        row("/".join(node.names), len(node.names) - 1, node.own, node.all)
        for node in _nodes(model)
        if node.all and (depth is None or len(node.names) <= depth)
    )


def by_pattern(
    model: keras.Layer, pattern: re.Pattern[str]
) -> tuple[ParameterRow, ...]:
    """Returns a row for each text that `pattern` finds in the layers' paths."""
    groups: dict[str, list[Any]] = {}
    others: list[Any] = []
    for node in _nodes(model):
        if not node.own:
            continue
        found = pattern.search("/".join(node.names))
        name = found and found.group(1 if pattern.groups else 0)
        # A group that takes no part in the match has found nothing either.
        target = others if name is None else groups.setdefault(name, [])
        target.extend(node.own)
    row = _row_maker(model)
    named = [row(name, 0, [], variables) for name, variables in groups.items()]
    return (*named, row("(other)", 0, [], others)) if others else tuple(named)


def bytes_of(variable: Any) -> int:
    """Returns what a variable's elements take, at least a byte each."""
    dtype = keras.backend.standardize_dtype(variable.dtype)
    bits = re.search(r"\d+", dtype)
    return size_of(variable) * max(1, int(bits.group()) // 8 if bits else 1)


@dataclasses.dataclass(frozen=True)
class _Node:
    """A layer with the variables that no layer before it has."""

    names: tuple[str, ...]
    own: list[Any]
    all: list[Any]


def _nodes(model: keras.Layer) -> Iterator[_Node]:
    inner = keras_hooks.inner_layers(model)
    seen: set[int] = set()
    if not inner:
        yield from _walk(model, (), seen)
        return
    children = [node for layer in inner for node in _walk(layer, (), seen)]
    own = [v for v in variables_of(model) if id(v) not in seen]
    if own:
        yield _Node((model.name,), own, own)
    yield from children


def _walk(layer: keras.Layer, outer: tuple[str, ...], seen: set[int]) -> list[_Node]:
    names = (*outer, layer.name)
    variables = [v for v in variables_of(layer) if id(v) not in seen]
    inner = [
        node
        for inner_layer in keras_hooks.inner_layers(layer)
        for node in _walk(inner_layer, names, seen)
    ]
    own = [v for v in variables if id(v) not in seen]
    seen.update(id(v) for v in own)
    return [_Node(names, own, variables), *inner]


def _row_maker(
    model: keras.Layer,
) -> Callable[[str, int, Iterable[Any], list[Any]], ParameterRow]:
    trained = {id(variable) for variable in variables_of(model, trainable=True)}
    total = sum(map(size_of, variables_of(model)))

    def row(
        path: str, level: int, own: Iterable[Any], variables: list[Any]
    ) -> ParameterRow:
        size = sum(map(size_of, variables))
        trainable = sum(size_of(v) for v in variables if id(v) in trained)
        dtypes = (keras.backend.standardize_dtype(v.dtype) for v in variables)
        return ParameterRow(
            path=path,
            level=level,
            shapes=_shapes(own),
            trainable=trainable,
            frozen=size - trainable,
            dtype=", ".join(dict.fromkeys(dtypes)),
            bytes=sum(map(bytes_of, variables)),
            share=size / total if total else 0.0,
        )

    return row


def _shapes(variables: Iterable[Any]) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {}
    for variable in variables:
        name, number = variable.name, 1
        while name in shapes:
            name, number = f"{variable.name}_{number}", number + 1
        shapes[name] = tuple(variable.shape)
    return shapes
