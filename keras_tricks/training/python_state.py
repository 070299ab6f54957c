"""What Python remembers from one call of a model to the next."""

import contextlib
import random
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from keras_tricks.training import keras_hooks
from keras_tricks.training.steps import NotUnderstood

_PLAIN = (bool, int, float, str, type(None))


@contextlib.contextmanager
def unchanged(model: keras.Model) -> Iterator[None]:
    """Raises if calling `model` inside changes what the next call may go by.

    Its steps are then other ones each time that they are traced, and `fit` traces them
    at its own times.

    Raises:
        NotUnderstood: If Python's or NumPy's global generator has drawn, or if a layer
            of somebody else's has set an attribute.
    """
    before = _state(model)
    yield
    after = _state(model)
    if before["random"] != after["random"]:
        raise NotUnderstood("a step draws by Python's or NumPy's global generator")
    for name, attributes in before["layers"].items():
        if attributes != after["layers"].get(name):
            raise NotUnderstood(f"the layer {name!r} sets attributes when it is called")


def _state(model: keras.Model) -> dict[str, Any]:
    layers = {}
    for layer in keras_hooks.all_layers(model):
        if not type(layer).__module__.startswith(("keras.", "keras_tricks.")):
            layers[layer.name] = {
                name: value
                for name, value in vars(layer).items()
                # Keras takes notes, too.
                if isinstance(value, _PLAIN) and not name.startswith("_")
            }
    kind, keys, *position = np.random.get_state()
    generators = repr((random.getstate(), kind, np.asarray(keys).tobytes(), position))
    return {"random": generators, "layers": layers}
