"""The arguments of one call of `keras.Model.fit`, bound to its signature."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import math
from typing import Any

import keras

# What stays positional where it was: a `fit` of one's own may name them otherwise.
_DATA = 2


@functools.cache
def _defaults() -> dict[str, Any]:
    """Returns the arguments of `keras.Model.fit` in order, each with its default."""
    parameters = [*inspect.signature(keras.Model.fit).parameters.values()][1:]
    return {parameter.name: parameter.default for parameter in parameters}


@dataclasses.dataclass(frozen=True)
class FitCall:
    """What a `fit` was given; every reader of such arguments asks this object.

    `call["epochs"]` is what was given, by its place or by its name, or Keras's default.
    `fit(*call.args, **call.kwargs)` makes the call.

    Attributes:
        args: The data, as far as they were given by their places.
        kwargs: All other arguments by name. Names that Keras's `fit` does not have
            are those of a hypermodel's own `fit`; they are handed on and never read.

    Example:

    >>> from keras_tricks._fit_call import FitCall
    >>> call = FitCall.of(([1.0], [0], 16), {"epochs": 3})
    >>> call["batch_size"], call["epochs"], call["validation_freq"]
    (16, 3, 1)
    >>> call.replace(epochs=5).kwargs
    {'batch_size': 16, 'epochs': 5}
    """

    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    @classmethod
    def of(cls, args: tuple[Any, ...], kwargs: dict[str, Any]) -> FitCall:
        """Returns the call that is given `args` and `kwargs`.

        Raises:
            TypeError: If there are more positional arguments than `fit` has, or if one
                of them is given by its name, too.
        """
        names = [*_defaults()]
        if len(args) > len(names):
            raise TypeError(
                f"`fit` takes at most {len(names)} positional arguments. "
                f"Received: {len(args)} of them"
            )
        placed = dict(zip(names, args, strict=False))
        twice = sorted(placed.keys() & kwargs.keys())
        if twice:
            raise TypeError(
                f"`{twice[0]}` must be given by its place or by its name. "
                "Received: both"
            )
        moved = {name: placed[name] for name in names[_DATA : len(args)]}
        return cls(tuple(args[:_DATA]), {**moved, **kwargs})

    def is_given(self, name: str) -> bool:
        """Whether an argument was given at all, by its place or by its name."""
        return name in self.kwargs or name in [*_defaults()][: len(self.args)]

    def __getitem__(self, name: str) -> Any:
        default = _defaults()[name]
        place = [*_defaults()].index(name)
        return (
            self.args[place]
            if place < len(self.args)
            else self.kwargs.get(name, default)
        )

    def replace(self, **changes: Any) -> FitCall:
        """Returns the call with other values, each in the place where it was."""
        placed = [*_defaults()][: len(self.args)]
        args = [
            changes.pop(name, value)
            for name, value in zip(placed, self.args, strict=True)
        ]
        return FitCall(tuple(args), {**self.kwargs, **changes})

    def without(self, *names: str) -> FitCall:
        """Returns the call without some of the arguments that were given by name."""
        return FitCall(
            self.args, {k: v for k, v in self.kwargs.items() if k not in names}
        )

    def unknown(self) -> list[str]:
        """Returns the names that `keras.Model.fit` does not have."""
        return [name for name in self.kwargs if name not in _defaults()]

    # What Keras makes of them.

    @property
    def callbacks(self) -> list[Any]:
        """The callbacks, a list also where one alone was given."""
        given = self["callbacks"]
        if given is None:
            return []
        return list(given) if isinstance(given, list | tuple) else [given]

    @property
    def validation_share(self) -> float:
        """The share of the examples that `fit` itself sets aside for validation."""
        if self["validation_data"] is not None:
            return 0.0
        return float(self["validation_split"] or 0.0)

    @property
    def has_validation(self) -> bool:
        """Whether there is anything to validate on."""
        return self["validation_data"] is not None or self.validation_share > 0

    def num_training_examples(self, num_examples: int) -> int:
        """Returns how many of `num_examples` are trained on: the first ones."""
        return math.floor(num_examples * (1 - self.validation_share))

    @property
    def array_batch_size(self) -> int:
        """Examples of a batch where the data are arrays."""
        return 32 if self["batch_size"] is None else int(self["batch_size"])
