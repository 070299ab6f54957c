"""Histories: the curves of a training, from the objects and files that hold them."""

import csv
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from keras_tricks import _validation
from keras_tricks.diagnosis.metrics import as_number

_REQUIRED = (
    "`history` must be what `fit` returned, a dictionary or data frame of curves, a "
    "trial's record or record.json, a CSVLogger's file, or a folder of TensorBoard's "
    "event files"
)
# What CSVLogger and Keras write beside metrics.
_NO_METRICS = ("epoch", "learning_rate", "lr")
# What CSVLogger writes for what it does not know of an epoch.
_UNKNOWN = ("NA", "")
# What TensorBoard's callback writes into either folder.
_SIDES = {"train": "", "validation": "val_"}

Curves = dict[str, np.ndarray]


def curves_of(history: Any) -> Curves:
    """Returns the curves of a history: name -> one float64 an epoch.

    Args:
        history: See `diagnose`.

    Raises:
        TypeError: If it is nothing of the kind.
        ValueError: If a file cannot be read, or there is no curve.
        FileNotFoundError: If there is no such file.

    Example:

    >>> from keras_tricks.diagnosis.histories import curves_of
    >>> curves_of({"loss": [2.0, 1.0], "learning_rate": [0.1, 0.1]})
    {'loss': array([2., 1.])}
    """
    if isinstance(history, str):
        history = Path(_validation.check_text("history", history))
    if isinstance(history, os.PathLike):
        named = _read(Path(history))
    elif isinstance(getattr(history, "executions", None), list):
        named = _of_executions([run.curves for run in history.executions], history)
    else:
        named = getattr(history, "history", history)
    if hasattr(named, "to_dict") and hasattr(named, "columns"):
        named = {str(name): named[name].to_numpy() for name in named.columns}
    if not isinstance(named, Mapping):
        raise TypeError(
            f"{_REQUIRED}. {_validation.received('history', history, True)}"
        )
    curves = {
        str(name): _numbers(str(name), values)
        for name, values in named.items()
        if name not in _NO_METRICS
    }
    if not any(len(curve) for curve in curves.values()):
        raise ValueError(
            f"{_REQUIRED}, with one epoch at least. "
            f"{_validation.received('history', history)}"
        )
    return curves


def _numbers(name: str, values: Any) -> np.ndarray:
    try:
        array = np.array([_value(v) for v in values], "float64")
    except (TypeError, ValueError):
        raise TypeError(
            f"`history` must hold one number an epoch for {name!r}. "
            f"{_validation.received(name, values)}"
        ) from None
    if array.ndim != 1:
        raise TypeError(
            f"`history` must hold one number an epoch for {name!r}. Received: an array "
            f"of shape {array.shape}"
        )
    return array


def _value(value: Any) -> Any:
    if value is None:
        return math.nan
    return as_number(value) if np.ndim(value) and hasattr(value, "dtype") else value


def _of_executions(executions: list[Any], history: Any) -> Any:
    """Returns the curves of the only run of a record, or of its first."""
    if not executions:
        raise ValueError(
            f"{_REQUIRED}. Received: a record of a trial without a training"
        )
    return executions[0]


def _read(path: Path) -> Any:
    if path.is_dir():
        return _read_events(path)
    if path.suffix == ".json":
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            runs = [run["curves"] for run in content["executions"]]
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"{path} is no trial's record ({type(error).__name__}: {error}). "
                f"{_REQUIRED}."
            ) from error
        return _of_executions(runs, path)
    return _read_csv(path)


def _read_csv(path: Path) -> dict[str, list[float]]:
    """Returns the columns of a CSVLogger's file that hold numbers alone."""
    with open(path, newline="", encoding="utf-8") as file:
        try:
            lines = list(csv.DictReader(file, dialect=_dialect(file)))
        except (csv.Error, UnicodeDecodeError) as error:
            raise ValueError(
                f"{path} is no table of comma-separated values ({error}). {_REQUIRED}."
            ) from error
    columns: dict[str, list[float]] = {}
    for name in lines[0] if lines else ():
        if all(line[name] in _UNKNOWN for line in lines):
            continue  # Of a validation that never was.
        try:
            columns[name] = [_number(line[name]) for line in lines]
        except (TypeError, ValueError):
            continue
    if not columns:
        raise ValueError(f"{path} holds no column of numbers. {_REQUIRED}.")
    return columns


def _dialect(file: Any) -> Any:
    """Returns how a file separates its values: a CSVLogger may be told."""
    first = file.readline()
    file.seek(0)
    separator = next((s for s in (",", ";", "\t") if s in first), ",")
    return type("Separated", (csv.excel,), {"delimiter": separator})


def _number(text: str) -> float:
    return math.nan if text in _UNKNOWN else float(text)


def _read_events(folder: Path) -> dict[str, list[float]]:
    """Returns `epoch_loss` and the like of TensorBoard's callback, by Keras's names."""
    import tensorflow as tf

    found: dict[str, dict[int, float]] = {}
    for file in sorted(folder.rglob("events.out.tfevents*")):
        prefix = _SIDES.get(file.parent.name, "")
        for record in tf.data.TFRecordDataset(str(file)):
            event = tf.compat.v1.Event.FromString(record.numpy())
            for value in event.summary.value:
                name = value.tag.removeprefix("epoch_")
                if name == value.tag or name in _NO_METRICS:
                    continue
                number = (
                    tf.make_ndarray(value.tensor)
                    if value.HasField("tensor")
                    else value.simple_value
                )
                found.setdefault(prefix + name, {})[event.step] = float(number)
    if not found:
        raise ValueError(
            f"{folder} holds no event file of TensorBoard's callback with an "
            f"`epoch_loss`. {_REQUIRED}."
        )
    return {
        name: [values[step] for step in sorted(values)]
        for name, values in found.items()
    }
