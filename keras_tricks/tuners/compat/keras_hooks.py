"""The private Keras names that the tuners use, and why.

| private name | seen in Keras | why no public one serves |
|---|---|---|
| `Model._compile_config` | 3.11, 3.15 | what `compile` was given; the public `get_compile_config` serializes it, which a loss or a schedule of one's own may not allow |
| `global_state.set_global_attribute` | 3.11, 3.15 | forgets a dtype policy, so that the next one follows `set_floatx` again; the public `clear_session` empties much else |
"""  # noqa: E501

from __future__ import annotations

from typing import Any

import keras
from keras.src.backend.common import global_state

from keras_tricks.parameters.keras_hooks import all_layers


def is_built(model: keras.Model) -> bool:
    """Whether a model has the weights that it will be trained with.

    `build`, called from the constructor of a class without a `build` of its own, marks
    a model as built and leaves its layers without weights, which loading passes over.
    """
    if type(model).build is not keras.Model.build:
        return model.built
    return all(layer.built for layer in all_layers(model))


def compile_arguments(model: keras.Model) -> dict[str, Any]:
    """Returns what `model.compile` was given, or nothing if it was not called."""
    config = getattr(model, "_compile_config", None)
    return {} if config is None else dict(config.config)


def dtype_policy_that_was_set() -> Any:
    """Returns Keras's dtype policy, or None where it is that of `floatx`."""
    policy = keras.config.dtype_policy()
    return None if policy.name == keras.config.floatx() else policy


def set_dtype_policy(policy: Any) -> None:
    """Sets Keras's dtype policy; None: that of `floatx`, whatever this will be then."""
    if policy is None:
        global_state.set_global_attribute("dtype_policy", None)
    else:
        keras.config.set_dtype_policy(policy)
