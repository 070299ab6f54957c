"""The unit cube of a search space: settings as rows of numbers from 0 to 1."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import keras_tuner
import numpy as np

from keras_tricks.tuners.search_space import points

# Hyperparameters with more values than this count as continuous ones.
MAX_VALUES = 1024

_hp_types = keras_tuner.engine.hyperparameters


class Axis:
    """One hyperparameter.

    Attributes:
        hp: The hyperparameter.
        values: All that it can be; empty where they are too many.
        codes: Where these lie on the axis.
        is_unordered: Whether the values have no order.
        default: Where the default lies.
    """

    def __init__(self, hp: Any):
        self.hp = hp
        self.values: list[Any] = []
        try:
            self.values = points.all_choices(hp)
        except OverflowError:
            pass
        if len(self.values) > MAX_VALUES:
            self.values = []
        self.is_unordered = (
            isinstance(hp, _hp_types.Choice) and not hp.ordered and len(self.values) > 2
        )
        self.codes = np.array([self.code(value) for value in self.values])
        self.default = self.code(hp.default)
        self._order = np.argsort(self.codes)
        ordered = self.codes[self._order]
        self._middles = (ordered[1:] + ordered[:-1]) / 2

    def code(self, value: Any) -> float:
        """Returns where a value lies; one out of the range at its end."""
        try:
            place = float(self.hp.value_to_prob(value))
        except (TypeError, ValueError):  # It is none of its values.
            return self.default
        return min(max(place, 0.0), 1.0) if math.isfinite(place) else self.default

    def indices(self, codes: np.ndarray) -> np.ndarray:
        """Returns which of the values is nearest to each code."""
        return self._order[np.searchsorted(self._middles, codes)]

    def value(self, code: float) -> Any:
        """Returns the value at a code."""
        if self.values:
            return self.values[int(self.indices(np.array([code]))[0])]
        return self.hp.prob_to_value(min(code, 1 - 1e-12))


class UnitCube:
    """A space of hyperparameters whose settings are rows of codes from 0 to 1.

    An axis goes by its hyperparameter's own scale, so that a logarithmic range is
    sampled evenly in the logarithm. One that is inactive has its default's code.

    Args:
        space: The hyperparameters, parents first.

    Attributes:
        dimensions: Axes, one for each hyperparameter that can vary.
    """

    def __init__(self, space: Iterable[Any]):
        self._space = list(space)
        axes = [Axis(hp) for hp in self._space]
        self._axes = [axis for axis in axes if len(axis.values) != 1]
        self._fixed = {
            id(axis.hp): axis.values[0] for axis in axes if len(axis.values) == 1
        }
        self._fixed_values = {
            hp.name: self._fixed[id(hp)] for hp in self._space if id(hp) in self._fixed
        }
        self.dimensions = len(self._axes)
        self._number = {id(axis.hp): n for n, axis in enumerate(self._axes)}
        self._named: dict[str, list[int]] = {}
        for number, axis in enumerate(self._axes):
            self._named.setdefault(axis.hp.name, []).append(number)

    def encoded(self, settings: Iterable[points.Settings]) -> np.ndarray:
        """Returns the rows of some settings, an array (settings, dimensions)."""
        rows = [
            [
                axis.code(one[axis.hp.name])
                if axis.hp.name in one and points.is_active(axis.hp, one)
                else axis.default
                for axis in self._axes
            ]
            for one in settings
        ]
        return np.array(rows, float).reshape(len(rows), self.dimensions)

    def decoded(self, row: np.ndarray) -> points.Settings:
        """Returns the settings of a row."""

        def value_of(hp: Any) -> Any:
            if id(hp) in self._fixed:
                return self._fixed[id(hp)]
            number = self._number[id(hp)]
            return self._axes[number].value(float(row[number]))

        return points.complete(self._space, value_of)

    def snapped(self, codes: np.ndarray) -> np.ndarray:
        """Returns the rows of settings that are nearest to some points of the cube."""
        codes = np.clip(codes, 0.0, 1.0)
        for number, axis in enumerate(self._axes):
            if axis.values:
                codes[:, number] = axis.codes[axis.indices(codes[:, number])]
            if axis.hp.conditions:
                active = self._active(axis.hp, codes)
                codes[:, number] = np.where(active, codes[:, number], axis.default)
        return codes

    def _active(self, hp: Any, codes: np.ndarray) -> np.ndarray:
        """Returns in which rows a hyperparameter's conditions hold."""
        active = np.ones(len(codes), bool)
        for condition in hp.conditions:
            holds = np.zeros(len(codes), bool)
            for number in self._named.get(condition.name, []):
                axis = self._axes[number]
                is_one = [condition.is_active({condition.name: v}) for v in axis.values]
                if is_one:
                    chosen = np.array(is_one)[axis.indices(codes[:, number])]
                    holds |= chosen & self._active(axis.hp, codes)
            if condition.name not in self._named:  # It is fixed.
                holds |= condition.is_active(self._fixed_values)
            active &= holds
        return active

    def features(self, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns what a model of distances sees of some rows.

        Returns:
            An array (rows, features), in which a choice without an order has a feature
            for each value, and the number of the axis of each feature.
        """
        columns, axes = [], []
        for number, axis in enumerate(self._axes):
            if axis.is_unordered:
                chosen = axis.indices(codes[:, number])
                # As far apart as the ends of another axis.
                one_hot = np.eye(len(axis.values))[chosen] / math.sqrt(2)
                columns.append(one_hot)
                axes += [number] * one_hot.shape[1]
            else:
                columns.append(codes[:, number : number + 1])
                axes.append(number)
        if not columns:
            return np.zeros((len(codes), 0)), np.zeros(0, int)
        return np.concatenate(columns, axis=1), np.array(axes)
