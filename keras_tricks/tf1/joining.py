"""Joins: several variables of a checkpoint as one of Keras's."""

import dataclasses
import re
from collections.abc import Iterable
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_tricks import _validation
from keras_tricks.tf1.conversions import check_template
from keras_tricks.tf1.reader import CheckpointReader


@dataclasses.dataclass(frozen=True)
class Join:
    r"""Several variables of the checkpoint as one, the reverse of a `Split`.

    Joins come before all other rules, whose patterns are searched in the name of the
    whole. Slots are joined as their weights are.

    Args:
        parts: Regular expressions, each searched in the TF1 names, in the order in
            which the parts follow one another.
        into: The name of the whole, under which its Keras variable is looked for; `\1`
            is the first group of a part's pattern.
        axis: The axis along which they follow one another.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If there are fewer than two parts, or one is no regular expression;
            in a restore, if a part is missing or the shapes do not fit.

    Example:

    >>> from keras_tricks.tf1 import Join
    >>> join = Join([r"(.*)/q/kernel$", r"(.*)/k/kernel$"], r"\1/qk/kernel", axis=1)
    >>> join.wholes(["layer_0/k/kernel", "layer_0/q/kernel", "out/kernel"])
    {'layer_0/qk/kernel': ['layer_0/q/kernel', 'layer_0/k/kernel']}
    """

    parts: Sequence[str]
    into: str
    axis: int = -1

    def __post_init__(self) -> None:
        if isinstance(self.parts, str) or not isinstance(self.parts, Sequence):
            raise TypeError(
                "`parts` must be a list of patterns. "
                f"{_validation.received('parts', self.parts)}"
            )
        if len(self.parts) < 2:
            raise ValueError(
                "`parts` must hold at least two patterns. "
                f"{_validation.received('parts', self.parts)}"
            )
        _validation.check_text("into", self.into)
        for number, pattern in enumerate(self.parts):
            _validation.check_text(f"parts[{number}]", pattern)
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(
                    f"`parts[{number}]` must be a regular expression ({error}). "
                    f"{_validation.received(f'parts[{number}]', pattern)}"
                ) from error
            check_template(pattern, "into", self.into)
        object.__setattr__(self, "parts", tuple(self.parts))
        axis = _validation.check_int("axis", self.axis, minimum=-(2**31))
        object.__setattr__(self, "axis", axis)

    def wholes(self, names: Iterable[str]) -> dict[str, list[str]]:
        """Returns the name of each whole with the names of its parts, in their order.

        Raises:
            ValueError: If there is none, or a weight lacks a part or has one twice.
        """
        names = list(names)
        known = set(names)
        found: dict[str, list[list[str]]] = {}
        for name in names:
            head, slash, last = name.rpartition("/")
            weight, slot = (head, slash + last) if head in known else (name, "")
            for number, pattern in enumerate(self.parts):
                match = re.search(pattern, weight)
                if match:
                    whole = match.expand(self.into) + slot
                    found.setdefault(whole, [[] for _ in self.parts])[number] += [name]
        if not found:
            raise ValueError(
                "`variable_map` must hold rules for names that are in the checkpoint. "
                f"Received: {self}, whose patterns are found in none of its "
                f"{len(names)} names, such as {', '.join(map(repr, names[:3]))}"
            )
        wholes = {}
        for whole, parts in found.items():
            if all(len(part) == 1 for part in parts):
                wholes[whole] = [part[0] for part in parts]
            elif whole.rpartition("/")[0] not in found:  # A weight, not a slot.
                raise ValueError(
                    f"{self} must find one name for each part of {whole!r}. It finds "
                    f"{', '.join(str(part) for part in parts)}"
                )
        return wholes


class JoinedReader:
    """A checkpoint with wholes in place of their parts.

    Args:
        reader: The checkpoint.
        joins: What is joined.

    Attributes:
        path: The checkpoint's path.
        shapes: Name -> shape.
        notes: A sentence for each join.

    Raises:
        ValueError: If a join does not fit the checkpoint.
    """

    def __init__(self, reader: CheckpointReader, joins: Iterable[Join]):
        self._reader = reader
        self.path = reader.path
        self.shapes = dict(reader.shapes)
        self.notes: list[str] = []
        self._wholes: dict[str, tuple[list[str], int]] = {}
        for join in joins:
            for whole, parts in join.wholes(reader.shapes).items():
                self._add(join, whole, parts)
            self.notes.append(f"By {join}.")
        self.shapes = dict(sorted(self.shapes.items()))

    def _add(self, join: Join, whole: str, parts: list[str]) -> None:
        shapes = [self._reader.shapes[part] for part in parts]
        try:
            zeros = [np.broadcast_to(np.float32(0), shape) for shape in shapes]
            shape = np.concatenate(zeros, join.axis).shape
        except ValueError as error:
            raise ValueError(f"{join} does not fit {shapes}: {error}") from error
        for part in parts:
            if self.shapes.pop(part, None) is None:
                raise ValueError(f"{join} must not join {part!r} a second time")
        if whole in self.shapes:
            raise ValueError(
                f"{join} must make names that the checkpoint does not hold. It makes "
                f"{whole!r}"
            )
        self.shapes[whole] = shape
        self._wholes[whole] = parts, join.axis

    def dtype(self, name: str) -> np.dtype:
        """Returns the NumPy dtype of a variable."""
        parts, _ = self._wholes.get(name, ([name], 0))
        return self._reader.dtype(parts[0])

    def read(self, name: str) -> np.ndarray:
        """Returns the value of a variable.

        Raises:
            OSError: If the files do not hold it whole.
        """
        if name not in self._wholes:
            return self._reader.read(name)
        parts, axis = self._wholes[name]
        return np.concatenate([self._reader.read(part) for part in parts], axis)


def taken_out(variable_map: Any) -> tuple[Any, list[Join]]:
    """Returns a user's map without its joins, and these."""
    if isinstance(variable_map, Join):
        return None, [variable_map]
    if not isinstance(variable_map, list | tuple):
        return variable_map, []
    joins = [part for part in variable_map if isinstance(part, Join)]
    return [part for part in variable_map if not isinstance(part, Join)], joins
