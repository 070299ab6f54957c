"""State that a model's code keeps in Python from one call to the next."""

import collections
import contextlib
import copy
import functools
import io
import itertools
import logging
import math
import pathlib
import random
import sys
import types
import warnings
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_tricks.training.compiled.functional_model import UnsupportedModelError

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
# Folders of packages that were installed.
_INSTALLED = frozenset(("site-packages", "dist-packages"))
_CONTAINERS = (list, dict, set, collections.deque)
# Nothing is read of a logger.
_LEAVES = (keras.KerasTensor, tf.Tensor, logging.Logger, logging.Handler)
_VARIABLES = (keras.Variable, tf.Variable)
# Of those a copy goes on from where the original is.
_ITERATORS: tuple[type, ...] = (
    itertools.count,
    itertools.cycle,
    type(iter([])),
    type(iter(())),
    type(iter(range(0))),
)
# What was read of those cannot be read again.
_READ_ONCE = (types.GeneratorType, tf.data.Dataset, tf.data.Iterator)
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
    model, its losses and its metrics lead to code that is not a library's. What has
    changed is put back, so that `fit` begins where it would have begun.

    Raises:
        UnsupportedModelError: If Python's or NumPy's global generator has drawn, or if
            a value is another one or has gone.
    """
    generators, remembered = _global_generators(), Remembered(model)
    reason = None
    try:
        yield
    except UnsupportedModelError as error:
        reason = error
    drawn = generators != _global_generators()
    changed = remembered.put_back()
    if drawn:
        raise UnsupportedModelError(
            "a step draws by Python's or NumPy's global generator"
        )
    if changed is not None:
        raise UnsupportedModelError(
            f"{changed} changes when a step is traced"
        ) from reason
    if reason is not None:
        raise reason


def _global_generators() -> str:
    kind, keys, *position = np.random.get_state()
    return repr((random.getstate(), kind, np.asarray(keys).tobytes(), position))


class Remembered:
    """Plain values that a model's own code, or another object's, can reach.

    Args:
        root: The object.
        but_for: Classes whose instances are left out, with what they lead to.

    Attributes:
        values: By the identity of an owner (an object, a class or a function) and a
            name: the owner, which keeps its identity, and the value. The globals that
            a function uses are the function's, as are the attributes of modules. The
            name None is for a description of the owner.
    """

    def __init__(self, root: Any, but_for: tuple[type, ...] = ()):
        self._root, self._but_for = root, but_for
        self.values: dict[tuple[int, str | None], tuple[Any, Any]] = {}
        # By the identity of an owner: the names that were noted, and all that it has.
        self._names: dict[int, set[str]] = {}
        self._all_names: dict[int, set[str]] = {}
        # What stood there, and what was in it if it is a container.
        self._contents: dict[tuple[int, str | None], tuple[Any, Any]] = {}
        self._seen: dict[int, Any] = {}
        self._variables: dict[int, tuple[Any, np.ndarray]] = {}
        todo = collections.deque([root])
        while todo and len(self._seen) < _MAX_OBJECTS:
            value = todo.popleft()
            if id(value) not in self._seen:
                self._seen[id(value)] = value
                parts = itertools.islice(self._parts(value), _MAX_OBJECTS)
                todo.extend(part for part in parts if not isinstance(part, _PLAIN))

    @property
    def read_once(self) -> str | None:
        """The class of something that code may read, and cannot read again, if any."""
        for value in self._seen.values():
            if isinstance(value, _READ_ONCE) or _is_read(value):
                return type(value).__name__
        return None

    def shares_memory(self, arrays: Iterable[np.ndarray]) -> bool:
        """Whether code can reach what is in one of some arrays."""
        reached = [v for v in self._seen.values() if isinstance(v, np.ndarray)]
        return any(
            np.may_share_memory(array, each) for array in arrays for each in reached
        )

    def leads_to(self, kinds: tuple[type, ...]) -> bool:
        """Whether code can reach an object of one of some classes."""
        return bool(self.reached(kinds))

    def reached(self, kinds: tuple[type, ...]) -> list[Any]:
        """Returns the objects of some classes that code can reach."""
        return [value for value in self._seen.values() if isinstance(value, kinds)]

    def put_back(self) -> str | None:
        """Sets what is another one now to what it was.

        What a build has put where there was nothing is taken away.

        Returns:
            Which one that was, the first of several; None if there was none.
        """
        later = Remembered(self._root, self._but_for)
        before, after = self.values, later.values
        changed = self._put_back_variables()
        for owner, name in {**before, **after}:
            # An owner that is seen once only was made by the call, or dropped.
            if (owner, None) not in before or (owner, None) not in after:
                continue
            _, was = before.get((owner, name), (None, None))
            _, now = after.get((owner, name), (None, None))
            if was != now:
                changed = changed or f"{name!r} of {after[owner, None][1]}"
                if (owner, name) in before:
                    _put_back(
                        before[owner, name][0], name, *self._contents[owner, name]
                    )
        if self._but_for:
            for identity, names in later._names.items():
                owner, description = after[identity, None]
                for name in names - self._all_names.get(identity, names):
                    changed = changed or f"{name!r} of {description}"
                    _take_away(owner, name)
        return changed

    def _put_back_variables(self) -> str | None:
        changed = None
        for variable, content in self._variables.values():
            now = variable.numpy()
            if now.tobytes() != content.tobytes():
                changed = changed or f"the variable {variable.name!r}"
                variable.assign(content)
        return changed

    def _parts(self, value: Any) -> Iterable[Any]:
        """Notes what is plain in an object, and returns what else it leads to."""
        leaves = *_LEAVES, types.ModuleType, np.ndarray, *self._but_for
        if isinstance(value, leaves):
            return []
        if isinstance(value, _VARIABLES):
            self._note_variable(value)
            return []
        if isinstance(value, Mapping):
            return _items_of(value)
        if isinstance(value, (list, tuple, set, frozenset, collections.deque)):
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

    def _note_variable(self, variable: Any) -> None:
        # Weights are large, and belong to a model.
        if self._but_for and math.prod(variable.shape) <= _MAX_ITEMS:
            self._variables[id(variable)] = variable, variable.numpy()

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
        imported = map(sys.modules.get, _names_in(function.__code__))
        parts = [*inside.values(), wrapped]
        for module in [*inside.values(), *imported]:
            if isinstance(module, types.ModuleType):
                parts += self._parts_of_module(module, function)
        return parts

    def _parts_of_module(
        self, module: types.ModuleType, function: types.FunctionType
    ) -> Iterable[Any]:
        """Notes what a function can read of a module that is no library's."""
        if module.__name__.partition(".")[0] in _LIBRARIES:
            return []
        names = _names_in(function.__code__) & vars(module).keys()
        values = {name: vars(module)[name] for name in names}
        self._note(module, f"the module {module.__name__!r}", values)
        self._all_names[id(module)] |= vars(module).keys()
        # The code of packages that others have made is large.
        is_installed = not _INSTALLED.isdisjoint(
            pathlib.PurePath(getattr(module, "__file__", None) or "").parts
        )
        return [] if is_installed else values.values()

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
        # An import is not repeated.
        names = {n for n, v in values.items() if not isinstance(v, types.ModuleType)}
        self._names.setdefault(id(owner), set()).update(names)
        self._all_names.setdefault(id(owner), set()).update(values)
        for name, value in values.items():
            plain = _plain(value)
            if plain is not None:
                self.values[id(owner), name] = owner, plain
                self._contents[id(owner), name] = value, _content_of(value)


def before_a_build(build: Any) -> Remembered:
    """Returns what a build may change, to be put back before the model is built again.

    Layers and optimizers that were there before are left out: they belong to variables,
    which are not put back.

    Args:
        build: The function or hypermodel that builds models.
    """
    return Remembered(build, (keras.layers.Layer, keras.optimizers.Optimizer))


def _content_of(value: Any) -> Any:
    """Returns what a container or an iterator holds now; None for a plain value."""
    if isinstance(value, (*_CONTAINERS, *_ITERATORS, np.ndarray)):
        return _copied(value)
    if isinstance(value, random.Random):
        return value.getstate()
    if isinstance(value, np.random.Generator):
        return value.bit_generator.state
    if isinstance(value, np.random.RandomState):
        return value.get_state()
    return None


def _is_read(value: Any) -> bool:
    """Whether this is an open file that can be read."""
    return isinstance(value, io.IOBase) and not value.closed and value.readable()


def _copied(value: Any) -> Any:
    with warnings.catch_warnings():
        # Python 3.14 no longer copies those of itertools.
        warnings.simplefilter("ignore", DeprecationWarning)
        if isinstance(value, itertools.cycle):
            # A plain copy goes through the same inner iterator.
            reduced: Any = value.__reduce__()
            _, (inner,), state = reduced
            made: Any = itertools.cycle(copy.copy(inner))
            made.__setstate__(copy.deepcopy(state))
            return made
        return copy.copy(value)


def _place_of(iterator: Any) -> str:
    """Returns where an iterator is, without moving it on."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        _, arguments, *state = iterator.__reduce__()
    if isinstance(iterator, itertools.cycle):
        # What was read already, and where the inner one is.
        (inner,) = arguments
        place = inner.__reduce__()[2:] if isinstance(inner, _ITERATORS) else ()
        return repr((len(state[0][0]), place))
    if isinstance(iterator, itertools.count):
        return repr(iterator)
    return repr((state, len(arguments[0])))


def _put_back(owner: Any, name: Any, value: Any, content: Any) -> None:
    """Sets an attribute, a closed-over variable or a global to what it was."""
    if isinstance(value, np.ndarray):
        value[...] = content
    elif isinstance(value, (list, collections.deque)):
        value.clear()
        value.extend(content)
    elif isinstance(value, (dict, set)):
        value.clear()
        value.update(content)
    elif isinstance(value, random.Random):
        value.setstate(content)
    elif isinstance(value, np.random.Generator):
        value.bit_generator.state = content
    elif isinstance(value, np.random.RandomState):
        value.set_state(content)
    else:
        # Nobody can turn back an iterator: a copy takes its place.
        value = content if isinstance(value, _ITERATORS) else value
        if isinstance(owner, types.FunctionType):
            _set_in_function(owner, name, value)
        else:
            setattr(owner, name, value)


def _take_away(owner: Any, name: str) -> None:
    """Deletes an attribute or a global, or empties a closed-over variable."""
    if not isinstance(owner, types.FunctionType):
        delattr(owner, name)
    elif name in owner.__code__.co_freevars:
        assert owner.__closure__ is not None
        del owner.__closure__[owner.__code__.co_freevars.index(name)].cell_contents
    elif name in vars(owner):
        delattr(owner, name)
    else:
        owner.__globals__.pop(name, None)


def _set_in_function(function: types.FunctionType, name: str, value: Any) -> None:
    if name in function.__code__.co_freevars:
        place = function.__code__.co_freevars.index(name)
        assert function.__closure__ is not None
        function.__closure__[place].cell_contents = value
    elif name in vars(function):
        setattr(function, name, value)
    elif name in function.__globals__:
        function.__globals__[name] = value


def _plain(value: Any) -> Any:
    """Returns a value that can be compared with a later one, or None."""
    if isinstance(value, _PLAIN):
        return _comparable(value)
    if isinstance(value, np.ndarray) and value.size <= _MAX_ITEMS:
        return "array", value.tobytes() if value.dtype != object else value.size
    if isinstance(value, _ITERATORS):
        return "iterator", _place_of(value)
    if isinstance(value, random.Random):
        return "generator", value.getstate()
    if isinstance(value, np.random.Generator):
        return "generator", repr(value.bit_generator.state)
    if isinstance(value, np.random.RandomState):
        return "generator", repr(value.get_state())
    if isinstance(value, Mapping):
        return len(value), _plain_items(_items_of(value))
    if isinstance(value, (list, set, frozenset, collections.deque)):
        return len(value), _plain_items(value)
    return None


def _plain_items(values: Iterable[Any]) -> list[Any]:
    first = itertools.islice(values, _MAX_ITEMS)
    return [_comparable(value) for value in first if isinstance(value, _PLAIN)]


def _comparable(value: Any) -> tuple[type, Any]:
    # NaN is unlike itself; a long text is to be compared, not copied.
    is_float = isinstance(value, (float, complex))
    return type(value), repr(value) if is_float else value


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
