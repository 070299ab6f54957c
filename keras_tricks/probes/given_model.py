"""The model of a probe: one that is there, or what a function builds."""

import inspect
from typing import Any

import keras

from keras_tricks import _validation

_WHAT = "a compiled Keras model, or a function that returns one"


def check_model(name: str, model_or_build: Any) -> None:
    """Raises if an argument is neither a compiled model nor a function.

    Args:
        name: The argument's name.
        model_or_build: Its value.
    """
    if isinstance(model_or_build, keras.Model):
        _check_compiled(name, model_or_build)
    else:
        _validation.check_function(name, model_or_build, _WHAT)


def built_by(name: str, build: Any) -> keras.Model:
    """Returns the compiled model that a function builds, or raises."""
    try:
        inspect.signature(build).bind()
    except TypeError as error:
        raise TypeError(
            f"`{name}` must be {_WHAT}, and take no arguments. Received: {build!r}, of "
            f"which {error}"
        ) from None
    except ValueError:  # It tells no signature.
        pass
    model = build()
    if not isinstance(model, keras.Model):
        raise TypeError(
            f"`{name}` must be {_WHAT}. Received: a function that returns {model!r}"
        )
    _check_compiled(name, model)
    return model


def _check_compiled(name: str, model: keras.Model) -> None:
    if not model.compiled or model.optimizer is None:
        raise ValueError(
            f"`{name}` must be compiled, with an optimizer: `model.compile(...)`. "
            f"Received: {model!r}, which is not"
        )
