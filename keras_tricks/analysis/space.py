"""The space of a search: its hyperparameters, from wherever the search comes.

KerasTuner's own classes would have to load Keras and its backend for this.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np

from keras_tricks.tuners.search_space import scales

# Of a frame: numbers of more values than this have a range, and of fewer are a choice.
_VALUES = 6
# Ranges of whole numbers, or with a step, that have more values are continuous.
_MOST_VALUES = 1024


@dataclasses.dataclass(frozen=True)
class Hyperparameter:
    """A choice, or a range.

    Attributes:
        name: Its name.
        values: All that it can be, in order; empty where these are too many.
        is_ordered: Whether the order of the values means something.
        min_value: The lower end of a range; None of a choice.
        max_value: The upper end.
        sampling: The scale of a range: `"linear"`, `"log"` or `"reverse_log"`.
        step: Of a range; on a logarithmic scale it is a factor.
        conditions: Names, and the values that those must have for it to count.
    """

    name: str
    values: tuple[Any, ...] = ()
    is_ordered: bool = True
    min_value: Any = None
    max_value: Any = None
    sampling: str = "linear"
    step: Any = None
    conditions: tuple[tuple[str, tuple[Any, ...]], ...] = ()

    @property
    def has_range(self) -> bool:
        """Whether it is a range of more than one number."""
        return self.min_value is not None and self.min_value < self.max_value

    @property
    def is_unordered(self) -> bool:
        """Whether there is no way from one value to another, past a third."""
        return not self.is_ordered and len(self.values) > 2

    def is_in(self, settings: dict[str, Any]) -> bool:
        """Whether settings have a value of it, and not of another of its name."""
        return self.name in settings and all(
            settings.get(name) in values for name, values in self.conditions
        )

    def value_of(self, value: Any) -> Any:
        """Returns which of its values a trial's is: of several kinds it is the text."""
        if self.min_value is not None:
            return value
        # First, since 1 and "1" are different values whose choice is one of texts.
        return repr(value) if repr(value) in self.values else value

    @property
    def places(self) -> np.ndarray:
        """Where its values lie, from 0 to 1 on its scale."""
        if self.has_range:
            return np.array([self.place(value) for value in self.values])
        return np.linspace(0.0, 1.0, len(self.values))

    def place(self, value: Any) -> float:
        """Returns where a trial's value lies, from 0 to 1 on its scale.

        A value that is none of its own lies at the nearest end, or in the middle.
        """
        if self.has_range:
            ends = self.min_value, self.max_value
            low, high = (scales.scaled(self, end) for end in ends)
            try:
                place = (scales.scaled(self, value) - low) / (high - low)
            except (TypeError, ValueError):
                return 0.5
            return min(max(place, 0.0), 1.0) if math.isfinite(place) else 0.5
        value = self.value_of(value)
        if value not in self.values:
            return 0.5
        return float(self.places[self.values.index(value)])


def of_configuration(kind: str, config: dict[str, Any]) -> Hyperparameter:
    """Returns a hyperparameter as KerasTuner saves it.

    Args:
        kind: The name of its class.
        config: What its `get_config` returns.
    """
    conditions = tuple(
        (condition["config"]["name"], tuple(condition["config"]["values"]))
        for condition in config.get("conditions", ())
    )
    found: dict[str, Any] = {"name": config["name"], "conditions": conditions}
    if kind in ("Int", "Float"):
        step = config.get("step")
        if kind == "Int" and step is None:
            step = 1 if config["sampling"] == "linear" else None
        return _range(
            found,
            *(config["min_value"], config["max_value"]),
            *(config.get("sampling") or "linear", step),
        )
    if kind == "Boolean":
        return Hyperparameter(values=(False, True), is_ordered=False, **found)
    if kind == "Fixed":
        return Hyperparameter(values=(config["value"],), **found)
    values = tuple(config["values"])
    return Hyperparameter(values=values, is_ordered=bool(config["ordered"]), **found)


def of_distribution(name: str, distribution: Any) -> Hyperparameter:
    """Returns the hyperparameter of one of Optuna's distributions."""
    if hasattr(distribution, "choices"):
        return _choice(name, list(distribution.choices))
    low, high = distribution.low, distribution.high
    return _range(
        {"name": name},
        *(low, high),
        *(("log", None) if distribution.log else ("linear", distribution.step)),
    )


def of_distributions(name: str, distributions: list[Any]) -> Hyperparameter:
    """Returns the hyperparameter of distributions that differ from trial to trial."""
    last = of_distribution(name, distributions[-1])
    ranges = [of_distribution(name, each) for each in distributions]
    if last.min_value is None or any(each.min_value is None for each in ranges):
        return last
    return _range(
        {"name": name},
        min(each.min_value for each in ranges),
        max(each.max_value for each in ranges),
        *(last.sampling, last.step),
    )


def of_values(name: str, values: list[Any]) -> Hyperparameter:
    """Returns the hyperparameter that some values may be of."""
    distinct = list({repr(value): value for value in values}.values())
    are_numbers = all(
        isinstance(v, int | float | np.number) and not isinstance(v, bool | np.bool_)
        for v in distinct
    )
    if not are_numbers or len(distinct) <= _VALUES:
        return _choice(name, distinct or [""])
    numbers = np.array(distinct, float)
    low, high = float(numbers.min()), float(numbers.max())
    sampling = "log" if _is_logarithmic(np.array(values, float)) else "linear"
    if all(number == int(number) for number in distinct):
        step = 1 if sampling == "linear" else None
        return _range({"name": name}, int(low), int(high), sampling, step)
    return _range({"name": name}, low, high, sampling, None)


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


def _range(
    found: dict[str, Any], low: Any, high: Any, sampling: str, step: Any
) -> Hyperparameter:
    return Hyperparameter(
        values=_values_between(low, high, sampling, step),
        min_value=low,
        max_value=high,
        sampling=sampling,
        step=step,
        **found,
    )


def _values_between(low: Any, high: Any, sampling: str, step: Any) -> tuple[Any, ...]:
    """Returns all values of a range, or none where they are too many."""
    if low == high:
        return (low,)
    is_whole = isinstance(low, int)
    if step is None and not is_whole:
        return ()
    if step is not None and sampling != "linear":
        # A factor, which KerasTuner counts in.
        count = int(math.log(high / low, step) + 1e-9) + 1
        values = [low * step**number for number in range(min(count, _MOST_VALUES + 1))]
    else:
        step = step or 1
        count = int((high - low) / step + 1e-9) + 1
        values = [low + number * step for number in range(min(count, _MOST_VALUES + 1))]
    if count > _MOST_VALUES:
        return ()
    return tuple(int(value) for value in values) if is_whole else tuple(values)


def _choice(name: str, values: list[Any]) -> Hyperparameter:
    """Returns a choice; of values of several kinds, or of other ones, by their text."""
    plain = [v.item() if isinstance(v, np.generic) else v for v in values]
    kinds = {type(value) for value in plain}
    if not (len(kinds) == 1 and kinds <= {int, float, str, bool}):
        plain = [repr(value) for value in plain]
    # KerasTuner takes numbers for ordered.
    is_ordered = kinds <= {int, float}
    return Hyperparameter(name, tuple(plain), is_ordered)
