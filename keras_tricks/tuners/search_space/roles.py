"""Roles of hyperparameters: what a search asks about, and what it only has to tune."""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import re
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any

import keras_tuner

from keras_tricks import _validation
from keras_tricks.tuners.search_space import points

_REQUIRED = (
    '`roles` must be a dictionary with lists of names under "scientific" and '
    '"nuisance", and values by name under "fixed", each of which may be left out'
)
_KEYS = ("scientific", "nuisance", "fixed")


@dataclasses.dataclass(frozen=True)
class Roles:
    """What each hyperparameter is to a search, in the words of the tuning playbook.

    Attributes:
        scientific: Names of those whose effect is the question.
        nuisance: Names of those that are tuned so that the comparison is fair.
        fixed: Values of those that stay as they are, by name.

    Reference:
        Godbole, Dahl, Gilmer, Shallue and Nado,
        [Deep Learning Tuning Playbook](
        https://github.com/google-research/tuning_playbook), 2023
    """

    scientific: tuple[str, ...] = ()
    nuisance: tuple[str, ...] = ()
    fixed: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @classmethod
    def of(cls, given: Any) -> Roles:
        """Returns the roles that a tuner was given.

        Raises:
            TypeError: If something is of the wrong type.
            ValueError: If a key is unknown, or a name has several roles.
        """
        if given is None:
            return cls()
        if not isinstance(given, Mapping):
            raise TypeError(
                f"{_REQUIRED}. {_validation.received('roles', given, True)}"
            )
        unknown = [key for key in given if key not in _KEYS]
        names: dict[str, tuple[str, ...]] = {}
        for key in ("scientific", "nuisance"):
            listed = given.get(key, ())
            if isinstance(listed, str) or not isinstance(listed, Iterable):
                raise TypeError(
                    f"{_REQUIRED}. {_validation.received('roles', given, True)}"
                )
            names[key] = tuple(listed)
        fixed = given.get("fixed", {})
        if not isinstance(fixed, Mapping):
            raise TypeError(
                f"{_REQUIRED}. {_validation.received('roles', given, True)}"
            )
        every = [*names["scientific"], *names["nuisance"], *fixed]
        if unknown or not all(isinstance(name, str) and name for name in every):
            raise ValueError(f"{_REQUIRED}. {_validation.received('roles', given)}")
        twice = sorted({name for name in every if every.count(name) > 1})
        if twice:
            raise ValueError(
                "`roles` must give each hyperparameter one role. Received: "
                f"{', '.join(map(repr, twice))} more than once"
            )
        fixed = {name: _validation.plain(value) for name, value in fixed.items()}
        for name, value in fixed.items():
            if not isinstance(value, bool | int | float | str):
                raise ValueError(
                    "`roles` must fix hyperparameters at numbers, strings or bools. "
                    f"Received: {_validation.shown(value)} for {name!r}"
                )
        return cls(names["scientific"], names["nuisance"], dict(fixed))

    @property
    def names(self) -> list[str]:
        """All that have a role."""
        return [*self.scientific, *self.nuisance, *self.fixed]

    def as_dict(self) -> dict[str, Any]:
        """Returns the roles that are given to somebody, as JSON has them."""
        found = {
            "scientific": list(self.scientific),
            "nuisance": list(self.nuisance),
            "fixed": dict(self.fixed),
        }
        return {key: value for key, value in found.items() if value}

    def replaced(self, asked: Any) -> Any:
        """Returns what is asked for, or the fixed value in its place.

        Raises:
            keras_tuner.errors.FatalValueError: If the value is none of its range; it is
                a `ValueError` that ends the search.
        """
        if asked.name not in self.fixed:
            return asked
        value, types = self.fixed[asked.name], keras_tuner.engine.hyperparameters
        was_float = isinstance(getattr(asked, "value", None), float)
        if (isinstance(asked, types.Float) or was_float) and type(value) is int:
            value = float(value)
        is_fixed = isinstance(asked, types.Fixed)
        if not is_fixed and not points.is_in_range(value, asked):
            raise keras_tuner.errors.FatalValueError(
                f"`roles` must fix {asked.name!r} at a value of its range: {asked}. "
                f"Received: {_validation.shown(value)}"
            )
        return types.Fixed(asked.name, value, conditions=asked.conditions)

    @contextlib.contextmanager
    def in_force(self, hp: keras_tuner.HyperParameters) -> Iterator[None]:
        """Has what is asked for inside of a `with` block fixed."""
        retrieve = hp._retrieve
        hp._retrieve = lambda asked: retrieve(self.replaced(asked))
        try:
            yield
        finally:
            del hp._retrieve

    def fix(self, hyperparameters: keras_tuner.HyperParameters) -> bool:
        """Puts fixed values in the place of ranges, under the same conditions.

        Returns:
            Whether a value is another one than before.
        """
        before = dict(hyperparameters.values)
        for place, hp in enumerate(hyperparameters.space):
            if hp.name in self.fixed:
                hyperparameters.space[place] = self.replaced(hp)
        for hp in hyperparameters.space:
            if hp.name in self.fixed and hyperparameters.is_active(hp):
                hyperparameters.values[hp.name] = hp.default
        return hyperparameters.values != before

    def check_names(self, space: Iterable[Any]) -> None:
        """Raises if a name is a misspelled one of a space.

        One that is like none of them may be asked for later.

        Raises:
            ValueError: If it is.
        """
        known = {hp.name for hp in space}
        for name in self.names:
            if name in known:
                continue
            near = difflib.get_close_matches(name, known - set(self.names), n=1)
            # The units of a further layer are asked for by the trials that have it.
            if near and _without_digits(near[0]) != _without_digits(name):
                raise ValueError(
                    f"`roles` must name hyperparameters of the search; did you mean "
                    f"{near[0]!r}? Received: {name!r}"
                )

    def unknown_names(self, space: Iterable[Any], trials: Iterable[Any]) -> list[str]:
        """Returns the names that no trial has asked for."""
        known = {hp.name for hp in space}
        known.update(*(trial.hyperparameters.values for trial in trials))
        return [name for name in self.names if name not in known]


def _without_digits(name: str) -> str:
    return re.sub(r"[0-9]+", "", name)
