"""The origins of networks, compared to tell whether two networks are the same."""

from __future__ import annotations

import inspect
import types
from typing import Any

import keras
import keras_tuner

from keras_tricks._watched_values import WatchedValues

# The package's hypermodels; nobody else's module has this name.
_PACKAGE = f"{__package__}."
# No network depends on these: the first two are KerasTuner's (see `_shadows`), the
# others say what was trained on and built before.
_NOT_READ = frozenset(
    {"build", "_build", "total_steps", "_networks", "_read_before", "_as_whole"}
)
_ABSENT = object()


def is_of_package(hypermodel: keras_tuner.HyperModel, *methods: str) -> bool:
    """Whether this package defines each of the methods, for this object, too."""
    return all(
        name not in vars(hypermodel)
        and all(_is_ours(c) for c in type(hypermodel).__mro__ if name in vars(c))
        for name in methods
    )


def is_all_of_package(hypermodel: keras_tuner.HyperModel) -> bool:
    """Whether all code of a hypermodel is this package's.

    Other code may read anything to make a network: attributes that change between
    trials, variables of its module, a random generator. What it read is not known then.
    """
    classes = type(hypermodel).__mro__
    own = classes[: classes.index(keras_tuner.HyperModel)]
    return all(map(_is_ours, own)) and not any(
        _shadows(hypermodel, name) for name in vars(hypermodel)
    )


def _is_ours(cls: type) -> bool:
    """Whether a class is of this package, and none of its methods was replaced."""
    if cls in (keras_tuner.HyperModel, object):
        return True
    if not f"{cls.__module__}.".startswith(_PACKAGE):
        return False
    functions = (_function_of(value) for value in vars(cls).values())
    return all(
        inspect.isfunction(function) and f"{function.__module__}.".startswith(_PACKAGE)
        for function in functions
        if callable(function)
    )


def _function_of(value: Any) -> Any:
    if isinstance(value, staticmethod | classmethod):
        return value.__func__
    return value.fget if isinstance(value, property) else value


def _shadows(hypermodel: keras_tuner.HyperModel, name: str) -> bool:
    """Whether an attribute of the object hides one of its class."""
    value, cls = vars(hypermodel)[name], type(hypermodel)
    # KerasTuner keeps these two in each object. In a shallow copy they are still the
    # methods of the object that was copied.
    kept = {"build": "_build_wrapper", "_build": "build"}
    if name in kept:
        return not (
            isinstance(value, types.MethodType)
            and value.__self__ is hypermodel
            and value.__func__ is getattr(cls, kept[name])
        )
    return hasattr(cls, name)


def surroundings(hypermodel: keras_tuner.HyperModel) -> Any:
    """Returns what a network depends on beside the hyperparameters, to be compared.

    These are the hypermodel's attributes, which a user may change between two trials,
    and Keras's own settings.
    """
    attributes = {k: v for k, v in vars(hypermodel).items() if k not in _NOT_READ}
    policy = keras.config.dtype_policy()
    return _comparable(
        {
            **attributes,
            "keras": [
                type(policy).__name__,
                policy.name,
                keras.config.floatx(),
                keras.config.epsilon(),
                keras.config.image_data_format(),
            ],
        }
    )


class _Itself:
    """An object that nothing but itself equals: what it holds cannot be compared.

    A change inside of it goes unseen. None of the networks that `is_all_of_package`
    lets through reads such an object: the arguments of optimizers alone may be some,
    and these are read again for each trial.
    """

    def __init__(self, value: Any):
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Itself) and other.value is self.value

    __hash__ = None  # type: ignore[assignment]


def _comparable(value: Any) -> Any:
    """Returns what equals that of another value if the two are the same, types too."""
    kind = type(value)
    if value is None or kind in (bool, int, float, str, bytes):
        return kind, value  # As Python has it, 1 equals True and 1.0.
    if isinstance(value, list | tuple):  # Mean and deviation of targets have names.
        return kind, [_comparable(each) for each in value]
    if kind is dict:
        return kind, [(_comparable(k), _comparable(v)) for k, v in value.items()]
    return _Itself(value)


def what_was_read(
    values: WatchedValues, but: tuple[str, ...] = ()
) -> dict[str, Any] | None:
    """Returns the values that were looked at; None if that was as a whole.

    Args:
        values: Values of hyperparameters.
        but: Names to be left out.
    """
    if values.all_read:
        return None
    names = sorted(values.read.difference(but))
    return {name: _comparable(dict.get(values, name, _ABSENT)) for name in names}


def agree(values: dict[str, Any], read: dict[str, Any]) -> bool:
    """Whether hyperparameters have the values that `what_was_read` returned."""
    return all(
        _comparable(values.get(name, _ABSENT)) == value for name, value in read.items()
    )
