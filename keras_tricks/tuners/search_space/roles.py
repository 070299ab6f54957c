"""Roles of hyperparameters: what a search asks about, and what it only has to tune."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterable
from collections.abc import Mapping
from typing import Any

import keras_tuner

from keras_tricks import _validation

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

    def fix(self, hyperparameters: keras_tuner.HyperParameters) -> bool:
        """Puts fixed values in the place of ranges, under the same conditions.

        Returns:
            Whether a value is another one than before.
        """
        before = dict(hyperparameters.values)
        for place, hp in enumerate(hyperparameters.space):
            if hp.name in self.fixed:
                fixed = keras_tuner.engine.hyperparameters.Fixed(
                    hp.name, self.fixed[hp.name], conditions=hp.conditions
                )
                hyperparameters.space[place] = fixed
        for hp in hyperparameters.space:
            if hp.name in self.fixed and hyperparameters.is_active(hp):
                hyperparameters.values[hp.name] = self.fixed[hp.name]
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
            [*near] = difflib.get_close_matches(name, known - set(self.names), n=1)
            if near:
                raise ValueError(
                    f"`roles` must name hyperparameters of the search; did you mean "
                    f"{near[0]!r}? Received: {name!r}"
                )

    def unknown_names(self, space: Iterable[Any]) -> list[str]:
        """Returns the names that no trial has asked for."""
        known = {hp.name for hp in space}
        return [name for name in self.names if name not in known]
