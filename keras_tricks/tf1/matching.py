"""Matching the names of a checkpoint with the variables of a model and an optimizer."""

from collections.abc import Callable
from typing import Any

import keras

from keras_tricks import _validation
from keras_tricks.tf1 import name_maps
from keras_tricks.tf1.slots import SLOT_NAMES
from keras_tricks.tf1.slots import OptimizerState

_GLOBAL_STEP = "global_step"
_POWERS = ("beta1_power", "beta2_power")


class Matching:
    """Which variable each name of a checkpoint stands for.

    Args:
        model: The model.
        state: The variables of its optimizer.
        names: The names in the checkpoint.
        variable_map: The user's map or function.

    Attributes:
        matched: Name -> variable of the model or the optimizer.
        left_out: Names that the user's map leaves out.
        powers: Names of the powers of Adam's betas, if the optimizer is an Adam.
        unmatched: The other names.

    Raises:
        TypeError: If `variable_map`, or what it gives, is of the wrong type.
        ValueError: If `variable_map` names what does not exist, or a name stands for
            several variables, or several names for one.
    """

    def __init__(
        self,
        model: keras.Model,
        state: OptimizerState,
        names: list[str],
        variable_map: name_maps.VariableMap,
    ):
        self._state = state
        self._weights = list(model.weights)
        self._index = name_maps.NameIndex(self._weights, model.name)
        self._variables = [*self._weights, state.counter, *state.slots]
        self._names = dict.fromkeys(names)
        self._map, self._function = _dictionary_and_function(variable_map, self._names)
        self._faults: list[str] = []
        self.matched: dict[str, keras.Variable] = {}
        self.left_out: list[str] = []
        self.powers: list[str] = []
        self.unmatched: list[str] = []
        heads = {name: _head(name, self._names) for name in names}
        for name, head in heads.items():
            if head is None:
                self._match(name)
        for name, head in heads.items():
            if head is not None:
                self._match_slot(name, head)
        self._check_one_to_one()
        if self._faults:
            raise ValueError(
                "Each name of the checkpoint must stand for one variable:\n  "
                + "\n  ".join(self._faults)
            )

    def name_of(self, variable: keras.Variable) -> str | None:
        """Returns the name that stands for `variable`, or `None`."""
        for name, other in self.matched.items():
            if other is variable:
                return name
        return None

    def without_name(self) -> list:
        """Returns the variables that no name stands for."""
        named = {id(variable) for variable in self.matched.values()}
        return [v for v in self._variables if id(v) not in named]

    def _match(self, name: str) -> None:
        if name in self._map:
            self._use(name, self._map[name])
        elif name == _GLOBAL_STEP:
            self.matched[name] = self._state.counter
        elif name in _POWERS and self._state.is_adam:
            self.powers.append(name)
        elif self._function is not None:
            self._use(name, self._function(name))
        else:
            try:
                self.matched[name] = self._index.find(name)
            except name_maps.UnknownNameError:
                self.unmatched.append(name)
            except name_maps.AmbiguousNameError as error:
                self._faults.append(f"{error}. Name one in `variable_map`.")

    def _match_slot(self, name: str, head: str) -> None:
        if name in self._map:
            self._use(name, self._map[name])
            return
        slot = None
        if head in self.matched:
            slot = self._state.slot(self.matched[head], name.rpartition("/")[2])
        if slot is not None:
            self.matched[name] = slot
        elif head in self.left_out:
            self.left_out.append(name)
        else:
            self.unmatched.append(name)

    def _use(self, name: str, target: Any) -> None:
        """Takes what the user's map gives for `name`."""
        if target is None:
            self.left_out.append(name)
        elif isinstance(target, str):
            try:
                self.matched[name] = self._find(target)
            except LookupError as error:
                self._faults.append(
                    f"`variable_map` gives {target!r} for {name!r}: {error}"
                )
        elif not isinstance(target, keras.Variable):
            raise TypeError(
                "`variable_map` must give a path, a Keras variable or None. Received: "
                f"{target!r} for {name!r}"
            )
        elif any(target is variable for variable in self._variables):
            self.matched[name] = target
        else:
            self._faults.append(
                f"`variable_map` gives the variable {target.path!r} for {name!r}, "
                "which belongs neither to the model nor to the optimizer"
            )

    def _find(self, path: str) -> keras.Variable:
        for variable in (self._state.counter, *self._state.slots):
            if variable.path == path:
                return variable
        return self._index.find(path)

    def _check_one_to_one(self) -> None:
        names_by_variable: dict[int, list[str]] = {}
        for name, variable in self.matched.items():
            names_by_variable.setdefault(id(variable), []).append(name)
        for names in names_by_variable.values():
            if len(names) > 1:
                self._faults.append(
                    f"{', '.join(map(repr, names))} stand for one variable, "
                    f"{self.matched[names[0]].path!r}"
                )


def _head(name: str, names: dict) -> str | None:
    """Returns the name of the variable whose slot `name` is, if it is a slot."""
    head, _, last = name.rpartition("/")
    return head if last in SLOT_NAMES and head in names else None


def _dictionary_and_function(
    variable_map: name_maps.VariableMap, names: dict
) -> tuple[dict[str, Any], Callable[[str], Any] | None]:
    if variable_map is None:
        return {}, None
    if callable(variable_map):
        return {}, variable_map
    try:
        if isinstance(variable_map, str):  # One that is empty would be a dictionary.
            raise TypeError("a string")
        given = dict(variable_map)
    except (TypeError, ValueError):
        raise TypeError(
            "`variable_map` must be a dictionary from TF1 names to Keras paths, or a "
            f"function. {_validation.received('variable_map', variable_map)}"
        ) from None
    named = {name_maps.without_output(name): target for name, target in given.items()}
    unknown = [name for name in named if name not in names]
    if unknown:
        raise ValueError(
            "`variable_map` must map names that are in the checkpoint. Received: "
            f"{', '.join(map(repr, unknown))}, which it does not hold. It holds: "
            f"{', '.join(map(repr, names))}"
        )
    return named, None
