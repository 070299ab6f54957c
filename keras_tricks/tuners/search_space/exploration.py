"""The builds by which a search finds its space, before the first trial."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from typing import Any

import keras_tuner

from keras_tricks.tuners import seeds
from keras_tricks.tuners.search_space import points
from keras_tricks.tuners.search_space.roles import Roles

# Random points, after one that cannot be built, at which the space is sought.
MAX_POINTS = 20


@contextlib.contextmanager
def repeatable(oracle: Any) -> Iterator[None]:
    """Has KerasTuner complete the settings that it explores in a repeatable way."""
    original = oracle.get_space

    def get_space() -> keras_tuner.HyperParameters:
        hp = original()
        hp.ensure_active_values = functools.partial(points.keep_active, hp)
        return hp

    oracle.get_space = get_space
    try:
        yield
    finally:
        del oracle.get_space


class Exploring(keras_tuner.HyperModel):
    """A hypermodel some of whose settings cannot be built.

    KerasTuner builds the default settings, and others for each condition, to see what
    hyperparameters there are. Where such a build fails by a `FailedTrialError` they are
    sought at random points; trials may find more of them.

    Args:
        hypermodel: The hypermodel.
        seed: The seed of the search.
        roles: What is fixed.
    """

    def __init__(self, hypermodel: Any, seed: int, roles: Roles):
        super().__init__()
        self._hypermodel = hypermodel
        self._seed = seed
        self._roles = roles
        self._scopes: list[Any] = []
        # Whether what was found depends on the seed.
        self.has_drawn = False

    def declare_hyperparameters(self, hp: keras_tuner.HyperParameters) -> None:
        self._hypermodel.declare_hyperparameters(hp)

    def build(self, hp: keras_tuner.HyperParameters) -> Any:
        """Registers the hyperparameters of a build in `hp`."""
        if self._is_built(hp):
            # What is fixed may ask for others than its default did.
            if self._roles.fix(hp):
                self.build(hp)
            return
        self._give_up_scopes(hp)
        self.has_drawn = True
        for number in range(MAX_POINTS):
            other = self._random_point(hp, number)
            is_built = self._is_built(other)
            hp.merge(other, overwrite=False)
            hp.active_scopes += other.active_scopes
            hp.inactive_scopes += other.inactive_scopes
            if is_built:
                return

    def _is_built(self, hp: keras_tuner.HyperParameters) -> bool:
        try:
            # The build may keep what it draws, for a later one.
            with seeds.global_generators_restored():
                seeds.set_random_seed(seeds.derived_seed(self._seed, "exploration"))
                with self._roles.in_force(hp):
                    self._hypermodel.build(hp)
        except keras_tuner.errors.FailedTrialError:
            return False
        finally:
            self._scopes += hp.inactive_scopes
        return True

    def _give_up_scopes(self, hp: keras_tuner.HyperParameters) -> None:
        """Calls those visited that `hp` was to visit: KerasTuner would try for ever."""
        hp.active_scopes += [
            scope
            for scope in self._scopes
            if all(condition.is_active(hp.values) for condition in scope)
        ]

    def _random_point(
        self, hp: keras_tuner.HyperParameters, number: int
    ) -> keras_tuner.HyperParameters:
        other = keras_tuner.HyperParameters.from_config(hp.get_config())
        other.values = points.complete(
            hp.space,
            lambda parameter: parameter.random_sample(
                seeds.derived_seed(self._seed, "exploration", number, parameter.name)
            ),
        )
        return other
