"""What Python remembers from one call of a model to the next."""

import collections
import contextlib
import functools
import itertools
import random
import sys
import types
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_tricks.training.steps import NotUnderstood

_PLAIN = (bool, int, float, complex, str, bytes, type(None))
# Their code remembers nothing that a step computes by, but in variables.
_LIBRARIES = sys.stdlib_module_names | {
    "keras",
    "keras_tricks",
    "keras_tuner",
    "ml_dtypes",
    "numpy",
    "optree",
    "tensorflow",
    "wrapt",
}
_LEAVES = (keras.Variable, keras.KerasTensor, tf.Tensor, tf.Variable)
# What is nearest to the model comes first; more objects are not looked at.
_MAX_OBJECTS = 50_000
# Of a list or dictionary, beside its length.
_MAX_ITEMS = 200


@contextlib.contextmanager
def unchanged(model: keras.Model) -> Iterator[None]:
    """Raises if calling `model` inside changes what the next call may go by.

    Its steps are then other ones each time that they are traced, and `fit` traces them
    at its own times. Looked at are the attributes of objects and of classes, the
    variables that functions close over, and the globals of their modules, wherever the
    model, its losses and its metrics lead to code that is not a library's.

    Raises:
        NotUnderstood: If Python's or NumPy's global generator has drawn, or if a value
            is another one or has gone.
    """
    generators, before = _global_generators(), _Remembered(model).values
    yield
    if generators != _global_generators():
        raise NotUnderstood("a step draws by Python's or NumPy's global generator")
    after = _Remembered(model).values
    for owner, name in {**before, **after}:
        # An owner that is seen once only was made by the call, or dropped.
        if (owner, None) in before and (owner, None) in after:
            _, was = before.get((owner, name), (None, None))
            _, now = after.get((owner, name), (None, None))
            if was != now:
                whose = after[owner, None][1]
                raise NotUnderstood(
                    f"{name!r} of {whose} changes when a step is traced"
                )


def _global_generators() -> str:
    kind, keys, *position = np.random.get_state()
    return repr((random.getstate(), kind, np.asarray(keys).tobytes(), position))


class _Remembered:
    """Plain values that a model's own code can reach.

    Attributes:
        values: By the identity of an owner (an object, a class or a function) and a
            name: the owner, which keeps its identity, and the value. The globals that
            a function uses are the function's. The name None is for a description of
            the owner.
    """

    def __init__(self, model: keras.Model):
        self.values: dict[tuple[int, str | None], tuple[Any, Any]] = {}
        self._seen: dict[int, Any] = {}
        todo = collections.deque([model])
        while todo and len(self._seen) < _MAX_OBJECTS:
            value = todo.popleft()
            if id(value) not in self._seen:
                self._seen[id(value)] = value
                todo.extend(itertools.islice(self._parts(value), _MAX_OBJECTS))

    def _parts(self, value: Any) -> Iterable[Any]:
        """Notes what is plain in an object, and returns what else it leads to."""
        if isinstance(value, (*_PLAIN, *_LEAVES, types.ModuleType, np.ndarray)):
            return []
        if isinstance(value, Mapping):
            return _items_of(value)
        if isinstance(value, (list, tuple, set, frozenset)):
            return list(value)
        if isinstance(value, functools.partial):
            return [value.func, value.args, value.keywords]
        if isinstance(value, types.MethodType):
            return [value.__self__, value.__func__]
        if isinstance(value, types.FunctionType):
            return self._parts_of_function(value)
        if isinstance(value, type):
            return self._parts_of_class(value)
        return self._parts_of_object(value)

    def _parts_of_function(self, function: types.FunctionType) -> Iterable[Any]:
        wrapped = getattr(function, "__wrapped__", None)
        if _is_of_library(function):
            return [] if wrapped is None else [wrapped]
        names, cells = function.__code__.co_freevars, function.__closure__ or ()
        inside = {n: _content(c) for n, c in zip(names, cells, strict=True)}
        inside |= vars(function) | _defaults(function)
        for name in _names_in(function.__code__) & function.__globals__.keys():
            inside.setdefault(name, function.__globals__[name])
        self._note(function, f"the function {function.__qualname__!r}", inside)
        return [*inside.values(), wrapped]

    def _parts_of_class(self, kind: type) -> Iterable[Any]:
        if _is_of_library(kind):
            return []
        inside = {n: v for n, v in vars(kind).items() if not n.startswith("__")}
        self._note(kind, f"the class {kind.__qualname__!r}", inside)
        return [*map(_function_of, vars(kind).values()), *kind.__bases__]

    def _parts_of_object(self, value: Any) -> Iterable[Any]:
        try:
            inside = dict(vars(value))
        except TypeError:
            inside = {}
        kind = type(value)
        if not _is_of_library(kind):
            if any(map(_is_of_keras, kind.__mro__)):
                # Keras takes notes in attributes of its own.
                used = _attributes_in(kind)
                own = {n: v for n, v in inside.items() if n[0] != "_" or n in used}
            else:
                own = inside
            self._note(value, f"an object of {kind.__qualname__!r}", own)
        return [*inside.values(), kind]

    def _note(self, owner: Any, description: str, values: Mapping[str, Any]) -> None:
        self.values.setdefault((id(owner), None), (owner, description))
        for name, value in values.items():
            plain = _plain(value)
            if plain is not None:
                self.values[id(owner), name] = owner, plain


def _plain(value: Any) -> Any:
    """Returns a value that can be compared with a later one, or None."""
    if isinstance(value, _PLAIN):
        # NaN is unlike itself.
        return type(value), repr(value)
    if isinstance(value, np.ndarray) and value.size <= _MAX_ITEMS:
        return "array", value.tobytes() if value.dtype != object else value.size
    if isinstance(value, itertools.count):
        return repr(value)
    if isinstance(value, random.Random):
        return "generator", value.getstate()
    if isinstance(value, np.random.Generator):
        return "generator", repr(value.bit_generator.state)
    if isinstance(value, np.random.RandomState):
        return "generator", repr(value.get_state())
    if isinstance(value, Mapping):
        return len(value), _plain_items(_items_of(value))
    if isinstance(value, (list, set, frozenset)):
        return len(value), _plain_items(value)
    return None


def _plain_items(values: Iterable[Any]) -> list[Any]:
    first = itertools.islice(values, _MAX_ITEMS)
    return [repr(value) for value in first if isinstance(value, _PLAIN)]


def _items_of(mapping: Mapping) -> list[Any]:
    """Returns values without asking for those that a mapping would have to make."""
    kind: type = type(mapping)
    if issubclass(kind, dict):
        return list(dict.values(mapping))  # type: ignore[arg-type]
    return list(mapping.values()) if _is_of_library(kind) else []


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # Not assigned yet.
        return None


def _defaults(function: types.FunctionType) -> dict[str, Any]:
    code, values = function.__code__, function.__defaults__ or ()
    names = code.co_varnames[: code.co_argcount][-len(values) or code.co_argcount :]
    return dict(zip(names, values, strict=True)) | (function.__kwdefaults__ or {})


def _function_of(member: Any) -> Any:
    """Returns the function behind a method of any kind."""
    if isinstance(member, property):
        return member.fget
    return getattr(member, "__func__", member)


def _names_in(code: types.CodeType) -> set[str]:
    """Returns the names that code uses, within inner functions, too."""
    inner = [c for c in code.co_consts if isinstance(c, types.CodeType)]
    return {*code.co_names}.union(*map(_names_in, inner))


def _attributes_in(kind: type) -> set[str]:
    """Returns the names that the methods of classes of somebody's own use."""
    functions = [
        _function_of(member)
        for each in kind.__mro__
        if not _is_of_library(each)
        for member in vars(each).values()
    ]
    codes = [f.__code__ for f in functions if isinstance(f, types.FunctionType)]
    return set().union(*map(_names_in, codes))


def _is_of_keras(kind: type) -> bool:
    return kind.__module__.partition(".")[0] == "keras"


def _is_of_library(value: Any) -> bool:
    module = getattr(value, "__module__", None)
    return isinstance(module, str) and module.partition(".")[0] in _LIBRARIES
