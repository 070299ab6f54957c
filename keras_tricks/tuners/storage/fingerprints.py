"""Fingerprints: what tells one argument from another, in any process, as JSON.

Equal arguments have equal descriptions, whatever the addresses of their objects. What
is of a library (this package, Keras, scikit-learn, Python's own) goes by its name: its
version is kept elsewhere. What is the user's goes by its code and its contents.
"""

from __future__ import annotations

import ast
import contextlib
import dis
import enum
import functools
import hashlib
import inspect
import json
import math
import pathlib
import random
import re
import sys
import sysconfig
import textwrap
import types
from typing import Any

import keras
import numpy as np

_PACKAGE = __name__.partition(".")[0]
# Of a class: what Python itself keeps there.
_OF_PYTHON = re.compile(r"__(?!init__|call__|iter__|next__|getitem__|len__)\w+__")
_ADDRESS = " at 0x"
_SAME_BY_REPR = (pathlib.PurePath, np.dtype, np.ufunc, enum.Enum, complex, range, slice)
# Objects further in than that, or beyond that number, go by the names of their classes.
_MAX_DEPTH = 12
_MAX_OBJECTS = 10_000


def described(value: Any) -> Any:
    """Returns what is equal for equal values, in any process, and can be written.

    Example:

    >>> from keras_tricks.tuners.storage import fingerprints
    >>> def times(k):
    ...     return lambda x: k * x
    >>> fingerprints.described(times(2)) == fingerprints.described(times(2))
    True
    >>> fingerprints.described(times(2))["closure"], fingerprints.described(max)
    ({'k': 2}, 'builtins.max')
    """
    return _Description().of(value)


def digest(value: Any) -> str | None:
    """Returns a short name of all that a value holds, or None if that is not known.

    What a dataset, a generator or an unknown object will yield is not known. A function
    is known by its code and by the values that it refers to.

    Example:

    >>> import numpy as np
    >>> from keras_tricks.tuners.storage import fingerprints
    >>> ones = fingerprints.digest({"x": np.ones(3), "epochs": 2})
    >>> ones == fingerprints.digest({"x": np.ones(3), "epochs": 2})
    True
    >>> fingerprints.digest({"x": iter([1])}) is None
    True
    """
    description = _Description(with_all_globals=True)
    text = _text(description.of(value))
    return _hash(text.encode()) if description.is_whole else None


def differences(name: str, saved: Any, now: Any) -> list[str]:
    """Returns one line for each place in which two descriptions differ."""
    if saved == now:
        return []
    if isinstance(saved, dict) and isinstance(now, dict):
        return [
            line
            for key in {**saved, **now}
            for line in differences(f"{name} {key}", saved.get(key), now.get(key))
        ]
    return [f"{name}: saved {saved!r}, now {now!r}"]


class _Description:
    """Describes one value, however it refers to itself.

    Args:
        with_all_globals: Whether all globals that a function looks at count. Numbers,
            texts, arrays and functions count in any case.

    Attributes:
        is_whole: Whether all that was seen is told by its contents.
    """

    def __init__(self, with_all_globals: bool = False):
        self.with_all_globals = with_all_globals
        self.is_whole = True
        # Those around the one that is being described.
        self._around: list[int] = []
        self._number = 0
        self._in_library = False

    def of(self, value: Any) -> Any:
        value = value.item() if isinstance(value, np.generic) else value
        if isinstance(value, float) and not math.isfinite(value):
            return repr(value)  # NaN is not equal to itself.
        if _is_plain(value):
            return value
        if id(value) in self._around:
            return f"the same {type(value).__qualname__} again"
        self._number += 1
        if len(self._around) > _MAX_DEPTH or self._number > _MAX_OBJECTS:
            return self._unknown(value)
        self._around.append(id(value))
        try:
            return self._of_object(value)
        finally:
            self._around.pop()

    def _of_object(self, value: Any) -> Any:
        if isinstance(value, _SAME_BY_REPR):
            return repr(value)
        if isinstance(value, bytes | bytearray):
            return f"{len(value)} bytes, SHA-256 {_hash(value)}"
        if isinstance(value, keras.optimizers.Optimizer | keras.Loss | keras.Metric):
            return self._of_keras(value)
        if isinstance(value, keras.Layer):
            self.is_whole = False  # Its weights are not looked at.
            return self._of_keras(value)
        if isinstance(value, dict):
            return {str(key): self.of(each) for key, each in value.items()}
        if _is_array(value) or _holds_arrays(value):
            try:
                return self._of_arrays(value)
            except Exception:  # A placeholder, or a tensor of another device.
                return self._unknown(value)
        if isinstance(value, set | frozenset):
            return sorted((self.of(each) for each in value), key=_text)
        if isinstance(value, list | tuple):
            return [self.of(each) for each in value]
        if hasattr(value, "tocsr") and hasattr(value, "shape"):
            return self._of_arrays(_of_sparse(value))
        state = _state_of_generator(value)
        if state is not None:
            return f"{type(value).__qualname__}, state SHA-256 {state}"
        if isinstance(value, type):
            return self._of_class(value)
        if isinstance(value, functools.partial):
            parts = {"args": value.args, "keywords": value.keywords}
            return self._of_parts({"partial": value.func, **parts})
        if isinstance(value, types.MethodType):
            return self._of_parts({"method": value.__func__, "self": value.__self__})
        if isinstance(value, types.FunctionType):
            return self._of_function(value)
        if isinstance(value, types.BuiltinFunctionType):
            return self._of_builtin(value)
        name = getattr(value, "__qualname__", None)
        if isinstance(name, str) and _is_of_library(value):
            return f"{value.__module__}.{name}"
        return self._of_instance(value)

    def _of_parts(self, parts: dict[str, Any]) -> dict[str, Any]:
        """Describes the parts of a value that has some."""
        return {
            name: self.of(part)
            for name, part in parts.items()
            if part is not None and not (isinstance(part, tuple | dict) and not part)
        }

    def _of_keras(self, value: Any) -> Any:
        try:
            config = keras.saving.serialize_keras_object(value)
            config = json.loads(json.dumps(config))
        except Exception:  # As many errors as there are `get_config`s.
            return self._of_instance(value)
        if isinstance(value, keras.Loss):
            # Their configurations leave numbers out.
            config = {**config, "attributes": _plain(vars(value))}
        code = self._code_of_class(type(value))
        config = config if code is None else {**config, "code": code}
        return _shortened(_without_numbers(config))

    def _of_arrays(self, value: Any) -> str:
        leaves = keras.tree.flatten(value)
        found = hashlib.sha256()
        for leaf in leaves:
            array = np.asarray(leaf)
            found.update(repr((array.dtype.str, array.shape)).encode())
            if array.dtype.hasobject:
                found.update(_text(self.of(array.tolist())).encode())
            else:
                found.update(np.ascontiguousarray(array).view(np.uint8).data)
        return f"{len(leaves)} arrays, SHA-256 {found.hexdigest()[:12]}"

    def _of_function(self, function: types.FunctionType) -> Any:
        name = f"{function.__module__}.{function.__qualname__}"
        if _is_of_library(function):
            return name
        return {
            "name": name,
            "code": _code_of(function),
            **self._of_parts(
                {
                    "defaults": function.__defaults__,
                    "keywords": function.__kwdefaults__,
                    "closure": _closure_of(function),
                    "globals": self._globals_that_count(function),
                }
            ),
        }

    def _globals_that_count(self, function: types.FunctionType) -> dict[str, Any]:
        """Returns the globals that a function looks at, but for what may be a world."""
        return {
            name: value
            for name, value in _globals_of(function).items()
            if self.with_all_globals
            or isinstance(value, types.FunctionType | np.generic)
            or _is_plain(value)
            or _is_array(value)
        }

    def _of_builtin(self, function: types.BuiltinFunctionType) -> Any:
        owner = function.__self__
        if owner is None or isinstance(owner, types.ModuleType):
            return f"{function.__module__}.{function.__qualname__}"
        return self._of_parts({"method": function.__qualname__, "self": owner})

    def _of_class(self, cls: type) -> Any:
        name = f"{cls.__module__}.{cls.__qualname__}"
        code = self._code_of_class(cls)
        return name if code is None else {"name": name, "code": code}

    def _code_of_class(self, cls: type) -> str | None:
        """Returns a digest of what a user's class, and its bases, define."""
        members = {
            f"{owner.__qualname__}.{name}": self.of(_function_of(member))
            for owner in cls.__mro__
            if not _is_of_library(owner)
            for name, member in vars(owner).items()
            if not _OF_PYTHON.fullmatch(name)
            and (callable(_function_of(member)) or _is_plain(member))
        }
        if not members and _is_of_library(cls):
            return None
        return f"SHA-256 {_hash(_text(members).encode())}"

    def _of_instance(self, value: Any) -> Any:
        if isinstance(value, types.ModuleType):
            return value.__name__
        cls = type(value)
        is_callback = isinstance(value, keras.callbacks.Callback)
        if not is_callback:
            self.is_whole = False
        is_of_library = _is_of_library(cls)
        if is_of_library and not is_callback:
            text = _repr_of(value)
            # NumPy leaves out most of a long array.
            if text and _ADDRESS not in text and "..." not in text:
                return text
        attributes = getattr(value, "__dict__", None)
        # What a library keeps inside of its own objects is a world of its own.
        is_inner = is_of_library and self._in_library
        if attributes is None or hasattr(value, "__next__") or is_inner:
            return self._unknown(value)
        before, self._in_library = self._in_library, is_of_library
        try:
            found = self._of_parts({str(name): v for name, v in attributes.items()})
        finally:
            self._in_library = before
        described_class = self._of_class(cls)
        return {"class": described_class, **found} if found else described_class

    def _unknown(self, value: Any) -> str:
        self.is_whole = False
        return type(value).__qualname__


# Functions and classes.


def _is_of_library(value: Any) -> bool:
    """Whether a function or class is found in a library by its name, which will do.

    What a library's function has made, a wrapper for instance, is not found so.
    """
    name = getattr(value, "__module__", None)
    if not isinstance(name, str) or name == "__main__" or name not in sys.modules:
        return False
    module = sys.modules[name]
    package = name.partition(".")[0]
    if package != _PACKAGE and not _is_installed(module):
        return False
    if isinstance(value, type):
        return True  # Also one made inside of a function, since it is made there.
    found: Any = module
    for part in value.__qualname__.split("."):
        found = getattr(found, part, None)
    return found is value


def _is_installed(module: types.ModuleType) -> bool:
    file = getattr(module, "__file__", None)
    if file is None:
        return module.__name__ in sys.builtin_module_names
    parts = pathlib.Path(file).parts
    if "site-packages" in parts or "dist-packages" in parts:
        return True
    folders = (sysconfig.get_path(name) for name in ("stdlib", "platstdlib"))
    return any(pathlib.Path(file).is_relative_to(each) for each in folders if each)


def _code_of(function: types.FunctionType) -> str:
    """Returns a digest of what a function does, without comments and line numbers."""
    code, text = function.__code__, None
    if code.co_name != "<lambda>":
        with contextlib.suppress(OSError, TypeError, SyntaxError, ValueError):
            tree = ast.parse(textwrap.dedent(inspect.getsource(code)))
            text = ast.unparse(_without_docstrings(tree))
    if text is None:
        text = repr(_bytecode(code))
    return f"SHA-256 {_hash(text.encode())}"


def _without_docstrings(tree: ast.AST) -> ast.AST:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            if ast.get_docstring(node) is not None:
                node.body = node.body[1:] or [ast.Pass()]
    return tree


def _bytecode(code: types.CodeType) -> tuple[Any, ...]:
    constants = [
        _bytecode(each)
        if isinstance(each, types.CodeType)
        # The order of a set of strings is another one in each process.
        else sorted(map(repr, each))
        if isinstance(each, frozenset)
        else repr(each)
        for each in code.co_consts
    ]
    return code.co_code, constants, code.co_names, code.co_varnames, code.co_freevars


def _closure_of(function: types.FunctionType) -> dict[str, Any]:
    found = {}
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    for name, cell in cells:
        with contextlib.suppress(ValueError):  # It is empty, as yet.
            found[name] = cell.cell_contents
    return found


def _globals_of(function: types.FunctionType) -> dict[str, Any]:
    """Returns the globals that a function looks at, or one that is made in it."""
    names, codes = set[str](), [function.__code__]
    while codes:
        code = codes.pop()
        for instruction in dis.get_instructions(code):
            if instruction.opname == "LOAD_GLOBAL":
                names.add(instruction.argval)
        codes += [each for each in code.co_consts if isinstance(each, types.CodeType)]
    known = function.__globals__
    return {name: known[name] for name in sorted(names & known.keys())}


def _function_of(member: Any) -> Any:
    """Returns the function in a member of a class."""
    if isinstance(member, staticmethod | classmethod):
        return member.__func__
    return member.fget if isinstance(member, property) else member


# Values.


def _state_of_generator(value: Any) -> str | None:
    """Returns a digest of the state of a random generator, or None if it is none."""
    if isinstance(value, np.random.RandomState):
        state: Any = value.get_state(legacy=False)
    elif isinstance(value, np.random.Generator):
        state = value.bit_generator.state
    elif isinstance(value, np.random.BitGenerator):
        state = value.state
    elif isinstance(value, random.Random):
        state = value.getstate()
    else:
        return None
    state = keras.tree.map_structure(
        lambda leaf: leaf.tolist() if isinstance(leaf, np.ndarray) else leaf, state
    )
    return _hash(repr(state).encode())


def _of_sparse(matrix: Any) -> list[Any]:
    rows = matrix.tocsr()
    return [rows.data, rows.indices, rows.indptr, np.asarray(rows.shape)]


def _without_numbers(config: Any) -> Any:
    """Returns the config of a Keras object without the numbers that Keras gives.

    The third `SGD` of a process is called `"sgd_2"`.
    """
    if isinstance(config, list):
        return [_without_numbers(each) for each in config]
    if not isinstance(config, dict):
        return config
    found = {key: _without_numbers(value) for key, value in config.items()}
    if isinstance(found.get("name"), str):
        found["name"] = re.sub(r"_\d+$", "", found["name"])
    return found


def _shortened(config: Any) -> Any:
    """Returns a config with 0.1 for 0.10000000149011612, which a variable makes of it.

    Numbers that are no float32 stay as they are.
    """
    if isinstance(config, dict):
        return {key: _shortened(value) for key, value in config.items()}
    if isinstance(config, list):
        return [_shortened(value) for value in config]
    if isinstance(config, float):
        with np.errstate(over="ignore"):
            single = np.float32(config)
        return float(str(single)) if float(single) == config else config
    return config


def _holds_arrays(value: Any) -> bool:
    """Whether a list consists of arrays, and of numbers or None among them."""
    if not isinstance(value, list | tuple):
        return False
    leaves = keras.tree.flatten(value)
    return any(map(_is_array, leaves)) and all(
        leaf is None or isinstance(leaf, int | float) or _is_array(leaf)
        for leaf in leaves
    )


def _is_array(value: Any) -> bool:
    return hasattr(value, "__array__") and hasattr(value, "shape")


def _is_plain(value: Any) -> bool:
    if isinstance(value, enum.Enum):
        return False
    return value is None or isinstance(value, bool | int | float | str)


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    """Returns those of some values that JSON can hold."""
    return {
        name: _plain(value) if isinstance(value, dict) else value
        for name, value in values.items()
        if _is_plain(value) or isinstance(value, dict)
    }


def _repr_of(value: Any) -> str:
    try:
        return repr(value)
    except Exception:
        return ""


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _hash(data: Any) -> str:
    return hashlib.sha256(data).hexdigest()[:12]
