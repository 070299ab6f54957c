"""The private Keras names that `parameters` uses, and why.

| private name | seen in Keras | why no public one serves |
|---|---|---|
| `Layer._flatten_layers` | 3.11 to 3.15 | `Model.layers` shows a model's layers; a layer's own (the four projections of `MultiHeadAttention`, a wrapped layer) have no public name |
| `Optimizer._var_key`, `add_variable_from_reference` (of the base class) | 3.11 to 3.15 | TensorFlow's look at a variable's value, which one that is only counted does not have; the base class's do not |
| `python_random` in the module of `keras.random.SeedGenerator` | 3.11 to 3.15 | layers without a seed draw one from Python's generator, which must not move on because something was counted |

A test names each, so that a Keras release that moves one of them fails there.
"""  # noqa: E501

import contextlib
import sys
from collections.abc import Callable
from collections.abc import Iterator
from typing import Any

import keras

OPTIMIZER_METHODS = ("_var_key", "add_variable_from_reference")
SEED_SOURCE = "python_random"


def all_layers(layer: keras.Layer) -> list[keras.Layer]:
    """Returns `layer` and all that it contains, containers before contents."""
    return layer._flatten_layers(include_self=True, recursive=True)


def inner_layers(layer: keras.Layer) -> list[keras.Layer]:
    """Returns the layers that `layer` contains itself."""
    return layer._flatten_layers(include_self=False, recursive=False)


def optimizer_methods_without_values() -> dict[str, Callable[..., Any]]:
    """Returns the base class's methods where a backend's want a variable's value."""
    lineage = keras.optimizers.Optimizer.__mro__
    return {
        name: [vars(owner)[name] for owner in lineage if name in vars(owner)][-1]
        for name in OPTIMIZER_METHODS
    }


@contextlib.contextmanager
def seeds_drawn_from(source: Any) -> Iterator[None]:
    """Lets layers without a seed draw theirs by `source.randint`."""
    module = sys.modules[keras.random.SeedGenerator.__module__]
    original = getattr(module, SEED_SOURCE)
    setattr(module, SEED_SOURCE, source)
    try:
        yield
    finally:
        setattr(module, SEED_SOURCE, original)
