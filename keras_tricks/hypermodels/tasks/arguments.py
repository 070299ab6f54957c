"""The arguments of hypermodels that say what is learned."""

from __future__ import annotations

from typing import Any
from typing import Literal
from typing import get_args

from keras_tricks import _validation
from keras_tricks.hypermodels.tasks.classification import Classification
from keras_tricks.hypermodels.tasks.multi_label import MultiLabel
from keras_tricks.hypermodels.tasks.regression import Regression
from keras_tricks.hypermodels.tasks.regression import Scale

TaskName = Literal["classification", "multi_label", "regression"]
TASKS = dict(
    zip(get_args(TaskName), (Classification, MultiLabel, Regression), strict=True)
)


def checked_counts(
    task: str, num_classes: Any, num_outputs: Any
) -> tuple[int | None, int | None]:
    """Returns the number of classes or the number of outputs, the other one None."""
    name, given = "num_outputs", num_outputs
    if task == "regression":
        name, given = "num_classes", num_classes
    if given is not None:
        other = "num_outputs" if name == "num_classes" else "num_classes"
        raise ValueError(
            f"`{name}` must be left out for task={task!r}, which takes `{other}`. "
            f"{_validation.received(name, given)}"
        )
    if task == "regression":
        number = 1 if num_outputs is None else num_outputs
        return None, _validation.check_int("num_outputs", number, minimum=1)
    minimum = 2 if task == "classification" else 1
    return _validation.check_int("num_classes", num_classes, minimum=minimum), None


def checked_metrics(task: str, metrics: Any) -> tuple[str, ...]:
    """Returns the names of the metrics of a task, its default ones for None."""
    if metrics is None:
        return TASKS[task].default_metrics
    if not isinstance(metrics, tuple | list):
        raise TypeError(
            "`metrics` must be a tuple of names. "
            f"{_validation.received('metrics', metrics, True)}"
        )
    known = tuple(TASKS[task].metrics)
    found = tuple(_validation.check_choice("metrics", m, known) for m in metrics)
    if len(set(found)) < len(found):
        raise ValueError(
            "`metrics` must name each metric once. "
            f"{_validation.received('metrics', metrics)}"
        )
    return found


def checked_scale(task: str, scale: Any, num_outputs: int | None) -> Scale | None:
    """Returns mean and deviation of the targets of a regression, or None."""
    if scale is None:
        return None
    parts = scale if isinstance(scale, tuple | list) and len(scale) == 2 else ()
    rows = [part if isinstance(part, tuple | list) else (part,) for part in parts]
    if task != "regression" or [len(row) for row in rows] != [num_outputs] * 2:
        raise ValueError(
            "`target_scale` must be (mean, deviation) of the targets of a regression, "
            "two numbers or two tuples of as many as `num_outputs`. "
            f"{_validation.received('target_scale', scale)}"
        )
    low = -_validation.GREATEST
    return Scale(
        _validation.check_floats("target_scale", rows[0], minimum=low),
        _validation.check_floats("target_scale", rows[1], exclusive=True),
    )
