"""The state of Optuna's CMA-ES as numbers.

Optuna keeps the state in the study, as a pickle: whoever can write to the storage could
run code wherever the search is resumed. Here a study holds the same state as JSON
numbers, and pickles that a storage holds are passed over.
"""

from __future__ import annotations

import copy
import json
import pickle
import re
import warnings
from typing import Any

import numpy as np

# The attributes in which Optuna keeps a pickle, cut into pieces, and ours for them.
_PICKLED = re.compile(r"(?P<key>(?:cma|sepcma|cmawm):.*optimizer)(?::(?P<piece>\d+))?")
_NUMBERS = "numbers:"
# Some databases take no longer texts.
_PIECE = 2000


def without_pickles(attributes: dict[str, Any]) -> dict[str, Any]:
    """Returns the system attributes of an entry that Optuna has just made, to be kept.

    What it pickled in this process stands there as numbers.
    """
    kept = {n: value for n, value in attributes.items() if not _PICKLED.fullmatch(n)}
    for key, text in _joined(attributes).items():
        state = json.dumps(_as_numbers(pickle.loads(bytes.fromhex(text))))
        for number, start in enumerate(range(0, len(state), _PIECE)):
            kept[f"{_NUMBERS}{key}:{number}"] = state[start : start + _PIECE]
    return kept


def restored(history: list[Any]) -> list[Any]:
    """Returns a study's entries as Optuna's CMA-ES reads them.

    The last state is pickled from its numbers; pickles of a storage are left out.
    """
    entries, found = [], False
    for entry in reversed(history):
        attributes = entry.system_attrs
        kept = {
            name: value
            for name, value in attributes.items()
            if not _PICKLED.search(name)
        }
        # Optuna looks for the last one.
        if not found and entry.state.name == "COMPLETE":
            pickles = _pickles(attributes)
            found = bool(pickles)
            kept |= pickles
        if kept != attributes:
            entry = copy.copy(entry)
            entry.system_attrs = kept
        entries.append(entry)
    return entries[::-1]


def _pickles(attributes: dict[str, Any]) -> dict[str, str]:
    """Returns Optuna's attributes for the state whose numbers an entry holds."""
    numbers = {
        name.removeprefix(_NUMBERS): value
        for name, value in attributes.items()
        if name.startswith(_NUMBERS)
    }
    try:
        return {
            f"{key}:0": pickle.dumps(_of_numbers(json.loads(text))).hex()
            for key, text in _joined(numbers).items()
        }
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        warnings.warn(
            "The state of CMA-ES in the study is damaged "
            f"({type(error).__name__}: {error}): it goes on from an earlier one",
            stacklevel=2,
        )
        return {}


def _joined(attributes: dict[str, Any]) -> dict[str, str]:
    """Returns the texts that stand in pieces among attributes, by their keys."""
    pieces: dict[str, dict[int, str]] = {}
    for name, value in attributes.items():
        match = _PICKLED.fullmatch(name)
        if match is not None:
            number = int(match["piece"] or 0)
            pieces.setdefault(match["key"], {})[number] = value
    return {
        key: "".join(found[number] for number in range(len(found)))
        for key, found in pieces.items()
    }


def _classes() -> dict[str, type[Any]]:
    import cmaes

    return {cls.__name__: cls for cls in (cmaes.CMA, cmaes.SepCMA, cmaes.CMAwM)}


def _as_numbers(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, np.generic | np.ndarray):
        content = np.asarray(value).ravel().tolist()
        return {"array": content, "shape": value.shape, "dtype": value.dtype.name}
    if isinstance(value, list | tuple):
        return [_as_numbers(each) for each in value]
    cls = type(value)
    if _classes().get(cls.__name__) is not cls:
        raise TypeError(f"The state of CMA-ES holds {cls.__name__}, which is no number")
    state = value.__reduce_ex__(2)[2]
    # Whoever asks for the next point seeds it anew.
    return {
        "class": cls.__name__,
        "state": {n: _as_numbers(each) for n, each in state.items() if n != "_rng"},
    }


def _of_numbers(value: Any) -> Any:
    if isinstance(value, list):
        return [_of_numbers(each) for each in value]
    if not isinstance(value, dict):
        return value
    if "array" in value:
        # An index of nothing makes a scalar of an array without dimensions.
        return np.array(value["array"], value["dtype"]).reshape(value["shape"])[()]
    optimizer = object.__new__(_classes()[value["class"]])
    state = {str(name): _of_numbers(each) for name, each in value["state"].items()}
    if hasattr(optimizer, "__setstate__"):
        optimizer.__setstate__(state)
    else:
        optimizer.__dict__.update(state)
    return optimizer
