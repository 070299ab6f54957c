"""Ranges of hyperparameters that come from elsewhere than a tuner."""

from __future__ import annotations

from typing import Any

import keras_tuner
import numpy as np

# Numbers of more values than this have a range, and of fewer are a choice.
_VALUES = 6


def of_values(name: str, values: list[Any]) -> Any:
    """Returns the hyperparameter that some values may be of."""
    hp = keras_tuner.HyperParameters()
    distinct = list({repr(value): value for value in values}.values())
    are_numbers = all(
        isinstance(v, int | float | np.number) and not isinstance(v, bool | np.bool_)
        for v in distinct
    )
    if are_numbers and len(distinct) > _VALUES:
        numbers = np.array(distinct, float)
        low, high = float(numbers.min()), float(numbers.max())
        sampling = "log" if _is_logarithmic(np.array(values, float)) else "linear"
        if all(number == int(number) for number in distinct):
            hp.Int(name, int(low), int(high), sampling=sampling)
        else:
            hp.Float(name, low, high, sampling=sampling)
    else:
        _choice(hp, name, distinct or [""])
    return hp.space[0]


def has_infinity(values: list[Any]) -> bool:
    """Whether there are infinite numbers among too many for a choice."""
    are_infinite = [isinstance(v, float | np.floating) and np.isinf(v) for v in values]
    return any(are_infinite) and len({repr(value) for value in values}) > _VALUES


def _is_logarithmic(numbers: np.ndarray) -> bool:
    """Whether the logarithms of some numbers lie more evenly than they do."""
    from scipy import stats

    if numbers.min() <= 0:
        return False

    def distance(places: np.ndarray) -> float:
        even = (places - places.min()) / np.ptp(places)
        return float(stats.kstest(even, "uniform").statistic)

    return distance(np.log(numbers)) < distance(numbers)


def of_distribution(name: str, distribution: Any) -> Any:
    """Returns the hyperparameter of one of Optuna's distributions."""
    hp = keras_tuner.HyperParameters()
    if hasattr(distribution, "choices"):
        _choice(hp, name, list(distribution.choices))
        return hp.space[0]
    low, high = distribution.low, distribution.high
    is_whole = isinstance(low, int) and isinstance(high, int)
    sampling = "log" if distribution.log else "linear"
    # KerasTuner counts steps on a logarithmic scale otherwise.
    step = None if distribution.log else distribution.step
    make = hp.Int if is_whole else hp.Float
    make(name, low, high, step=step, sampling=sampling)
    return hp.space[0]


def value_of(hp: Any, value: Any) -> Any:
    """Returns which of a hyperparameter's values a trial's is: one may be its text."""
    if not isinstance(hp, keras_tuner.engine.hyperparameters.Choice):
        return value
    # First, since 1 and "1" are different values whose choice is one of texts.
    return repr(value) if repr(value) in hp.values else value


def _choice(hp: keras_tuner.HyperParameters, name: str, values: list[Any]) -> None:
    """Adds a choice; of values of several kinds, or of other ones, by their text."""
    plain = [v.item() if isinstance(v, np.generic) else v for v in values]
    kinds = {type(value) for value in plain}
    if len(kinds) == 1 and kinds <= {int, float, str, bool}:
        hp.Choice(name, plain)
    else:
        hp.Choice(name, [repr(value) for value in plain])
