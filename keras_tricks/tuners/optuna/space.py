"""KerasTuner's hyperparameters as Optuna's distributions.

| KerasTuner | Optuna |
|---|---|
| `Float`, `Int`, linear, with a step or without | the same range and step |
| `Float`, `Int`, `"log"` without a step | the same range, `log=True` |
| `Float`, `Int`, `"reverse_log"` without a step | `<name> mirrored`: `min + max - value`, `log=True` |
| `"log"` and `"reverse_log"` with a step | `<name> step`: which of its values, counted from 0 |
| `Choice`, `Boolean` | a category for each value; Optuna knows no order of them |
| `Fixed` | nothing |

Two hyperparameters of one name, under different conditions, are told apart by them:
`units [kind=cnn]`.
"""  # noqa: E501

from __future__ import annotations

import collections
import dataclasses
import decimal
from collections.abc import Callable
from typing import Any

import keras_tuner

from keras_tricks.tuners.optuna._import import optuna
from keras_tricks.tuners.search_space import points


@dataclasses.dataclass
class Parameter:
    """One hyperparameter, as Optuna sees it.

    Attributes:
        name: Optuna's name of it.
        distribution: Optuna's distribution.
        to_value: From Optuna's value to KerasTuner's.
        from_value: Back.
    """

    name: str
    distribution: Any
    to_value: Callable[[Any], Any]
    from_value: Callable[[Any], Any]


def parameters(space: list[Any]) -> list[tuple[Any, Parameter | None]]:
    """Returns each hyperparameter with its `Parameter`; None for a fixed one."""
    named = collections.Counter(hp.name for hp in space)
    return [
        (hp, parameter(hp, hp.name if named[hp.name] == 1 else _name_in_full(hp)))
        for hp in space
    ]


def suggest(space: list[Any], trial: Any) -> points.Settings:
    """Returns the settings that an Optuna trial suggests; only active ones are asked.

    Args:
        space: The hyperparameters, parents first.
        trial: An `optuna.trial.Trial`.
    """
    settings: points.Settings = {}
    for hp, one in parameters(space):
        if points.is_active(hp, settings):
            value = hp.default if one is None else one.to_value(_suggested(trial, one))
            settings[hp.name] = value
    return settings


def decode(space: list[Any], values: dict[str, Any]) -> points.Settings:
    """Returns KerasTuner's settings of values by Optuna's names, or by KerasTuner's.

    Args:
        space: The hyperparameters.
        values: Name -> value, such as `study.enqueue_trial` is given.
    """
    known = {one.name: (hp.name, one) for hp, one in parameters(space) if one}
    settings: points.Settings = {}
    for name, value in values.items():
        if name in known and known[name][0] != name:
            name, one = known[name]
            value = one.to_value(value)
        settings[name] = value
    return settings


def encode(
    space: list[Any], settings: points.Settings
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns Optuna's parameters of some settings, and their distributions.

    What an initial setting has outside of a range is left out.
    """
    values: dict[str, Any] = {}
    distributions: dict[str, Any] = {}
    for hp, one in parameters(space):
        if one is None or hp.name not in settings:
            continue
        is_one = points.is_in_range(settings[hp.name], hp)
        if is_one and points.is_active(hp, settings):
            values[one.name] = one.from_value(settings[hp.name])
            distributions[one.name] = one.distribution
    return values, distributions


def parameter(hp: Any, name: str) -> Parameter | None:
    """Returns a hyperparameter as Optuna sees it, or None if it is fixed."""
    hp_types = keras_tuner.engine.hyperparameters
    if isinstance(hp, hp_types.Fixed):
        return None
    if not isinstance(hp, hp_types.Int | hp_types.Float):
        return _categories(name, list(hp.values))
    if hp.sampling == "linear":
        return _linear(hp, name)
    if hp.step is not None:
        return _steps(hp, name)
    kind = type(hp.min_value)
    low, high = hp.min_value, hp.max_value
    distribution = _class_of(hp)(low, high, log=True)
    if hp.sampling == "log":
        return Parameter(name, distribution, kind, kind)

    def mirrored(value: Any) -> Any:
        # Clipped, since floats may land beside the limits.
        return kind(min(max(low + high - value, low), high))

    return Parameter(f"{name} mirrored", distribution, mirrored, mirrored)


def _linear(hp: Any, name: str) -> Parameter:
    if isinstance(hp, keras_tuner.engine.hyperparameters.Float) and hp.step is None:
        distribution = _class_of(hp)(hp.min_value, hp.max_value)
        return Parameter(name, distribution, float, float)
    values = list(points.values_of(hp))
    low, step = (decimal.Decimal(str(number)) for number in (hp.min_value, hp.step))
    # In decimals, as Optuna counts; KerasTuner's sums of floats are a little off.
    decimals = [type(hp.min_value)(low + step * n) for n in range(len(values))]
    distribution = _class_of(hp)(decimals[0], decimals[-1], step=hp.step)

    def index(value: Any) -> int:
        return min(max(round((value - hp.min_value) / hp.step), 0), len(values) - 1)

    return Parameter(
        name,
        distribution,
        lambda value: values[index(value)],
        lambda value: decimals[index(value)],
    )


def _steps(hp: Any, name: str) -> Parameter:
    # Optuna has no such range; categories would hide the order of the values from it.
    values = list(points.values_of(hp))
    distribution = optuna().distributions.IntDistribution(0, len(values) - 1)

    def index(value: Any) -> int:
        # By closeness: a float may have come through other sums than these.
        return min(range(len(values)), key=lambda n: abs(values[n] - value))

    return Parameter(f"{name} step", distribution, lambda n: values[n], index)


def _categories(name: str, values: list[Any]) -> Parameter:
    distribution = optuna().distributions.CategoricalDistribution(
        list(dict.fromkeys(values))
    )
    return Parameter(name, distribution, lambda value: value, lambda value: value)


def _class_of(hp: Any) -> Any:
    distributions = optuna().distributions
    if isinstance(hp, keras_tuner.engine.hyperparameters.Int):
        return distributions.IntDistribution
    return distributions.FloatDistribution


def _suggested(trial: Any, one: Parameter) -> Any:
    distributions = optuna().distributions
    of = one.distribution
    if isinstance(of, distributions.CategoricalDistribution):
        return trial.suggest_categorical(one.name, of.choices)
    if isinstance(of, distributions.IntDistribution):
        return trial.suggest_int(one.name, of.low, of.high, step=of.step, log=of.log)
    return trial.suggest_float(one.name, of.low, of.high, step=of.step, log=of.log)


def _name_in_full(hp: Any) -> str:
    conditions = ", ".join(
        f"{condition.name}={'|'.join(map(str, condition.values))}"
        for condition in hp.conditions
    )
    return f"{hp.name} [{conditions}]"
