"""The `repr` of objects: the class, and the arguments that it was made with."""

import inspect
from collections.abc import Iterable
from typing import Any

from keras_tricks import _validation


def call(class_name: str, arguments: Iterable[tuple[str, Any]]) -> str:
    """Returns the call that makes an object: `Class(name=value, ...)`."""
    inside = ", ".join(f"{name}={value_of(value)}" for name, value in arguments)
    return f"{class_name}({inside})"


def made(thing: Any) -> str:
    """Returns the call of an object that keeps its constructor's arguments."""
    names = inspect.signature(type(thing)).parameters
    return call(type(thing).__name__, ((name, getattr(thing, name)) for name in names))


def value_of(value: Any) -> str:
    """Returns the `repr` of a value; Keras's objects by class and configuration.

    Keras's schedules and optimizers have no `repr` of their own: of these it is what
    differs from the defaults.
    """
    if isinstance(value, list):
        return f"[{', '.join(map(value_of, value))}]"
    if inspect.isfunction(value):
        return value.__name__
    if isinstance(value, dict) and {"class_name", "config"} <= value.keys():
        config = value["config"]
        items = config.items() if isinstance(config, dict) else ()
        return call(str(value["class_name"]), items)
    if type(value).__repr__ is not object.__repr__ or not hasattr(value, "get_config"):
        return _validation.shown(value)
    try:
        config = dict(value.get_config())
    except Exception:  # A class of the user's, which cannot be saved.
        return f"{type(value).__name__}(...)"
    defaults = inspect.signature(type(value).__init__).parameters
    return call(
        type(value).__name__,
        (
            (name, given)
            for name, given in config.items()
            if name not in defaults or repr(given) != repr(defaults[name].default)
        ),
    )
