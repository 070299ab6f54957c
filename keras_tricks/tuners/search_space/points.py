"""The points of a search space: a grid over it, or all there are."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Container
from collections.abc import Iterable
from collections.abc import Iterator
from typing import Any

import keras_tuner
import numpy as np

from keras_tricks import _validation
from keras_tricks.tuners import seeds

# Above so many points a space counts as endless: it is sampled, not enumerated.
MAX_POINTS = 4096
# Random settings in a row, all tried before, that end a search of an endless space.
MAX_COLLISIONS = 50

Settings = dict[str, Any]


def is_active(hp: Any, settings: Settings) -> bool:
    """Whether all conditions of a hyperparameter hold."""
    return all(condition.is_active(settings) for condition in hp.conditions)


def complete(space: Iterable[Any], value_of: Callable[[Any], Any]) -> Settings:
    """Returns the settings in which each active hyperparameter has its `value_of`."""
    settings: Settings = {}
    for hp in space:  # Parents come before the hyperparameters that they switch on.
        if is_active(hp, settings):
            settings[hp.name] = value_of(hp)
    return settings


def keep_active(hyperparameters: Any) -> None:
    """Leaves values to active hyperparameters only, and gives those without any theirs.

    These are the defaults. KerasTuner's `ensure_active_values` draws them without a
    seed, and takes the value from one of two that have one name under different
    conditions.
    """
    values = hyperparameters.values
    for name in {hp.name for hp in hyperparameters.space} & values.keys():
        if not hyperparameters.is_active(name):
            del values[name]
    for hp in hyperparameters.space:
        if hyperparameters.is_active(hp):
            values.setdefault(hp.name, hp.default)


def walk(
    space: list[Any],
    choices: Callable[[Any], list[Any]],
    left_out: Container[Settings] = (),
) -> Iterator[Settings]:
    """Yields every combination of `choices`, the last hyperparameter's changing first.

    Inactive hyperparameters are left out, so that no combination comes twice.

    Args:
        space: The hyperparameters.
        choices: From a hyperparameter to its values.
        left_out: Combinations, and beginnings of combinations, that are passed over.
    """
    # Of each hyperparameter with a value so far: what else it can be, and the next
    # one's place. Functions that call themselves would be as deep as the space is long.
    open_: list[Iterator[tuple[Settings, int]]] = [iter([({}, 0)])]
    while open_:
        settings, index = next(open_[-1], (None, 0))
        if settings is None:
            open_.pop()
            continue
        if settings in left_out:
            continue
        while index < len(space) and not is_active(space[index], settings):
            index += 1
        if index == len(space):
            yield settings
        else:
            open_.append(_chosen(settings, space[index], choices, index + 1))


def _chosen(
    settings: Settings, hp: Any, choices: Callable[[Any], list[Any]], next_index: int
) -> Iterator[tuple[Settings, int]]:
    for value in choices(hp):
        yield {**settings, hp.name: value}, next_index


def grid_choices(hp: Any) -> list[Any]:
    """KerasTuner's values of a grid: the default, then `hp.values`.

    Those are all values of a hyperparameter with a step, and ten of one without.
    """
    return list(dict.fromkeys([hp.default, *values_of(hp)]))


def values_of(hp: Any) -> Iterable[Any]:
    """Returns `hp.values`, those of an Int as integers.

    By a logarithmic step KerasTuner multiplies them to floats there, and gives trials
    integers.
    """
    whole = isinstance(hp, keras_tuner.engine.hyperparameters.Int)
    return map(int, hp.values) if whole else hp.values


def all_choices(hp: Any) -> list[Any]:
    """Returns all values that a hyperparameter can take.

    Raises:
        OverflowError: If there are more than `MAX_POINTS`.
    """
    hp_types = keras_tuner.engine.hyperparameters
    if isinstance(hp, hp_types.Int) and hp.step is None:
        values: Iterable[Any] = range(hp.min_value, hp.max_value + 1)
    elif isinstance(hp, hp_types.Float) and hp.step is None:
        if hp.min_value < hp.max_value:
            raise OverflowError
        values = [hp.min_value]
    else:
        values = values_of(hp)
    first = list(dict.fromkeys(itertools.islice(values, MAX_POINTS + 1)))
    if len(first) > MAX_POINTS:
        raise OverflowError
    return first


def is_in_range(value: Any, hp: Any) -> bool:
    """Whether a hyperparameter can have a value."""
    hp_types = keras_tuner.engine.hyperparameters
    if not isinstance(hp, hp_types.Int | hp_types.Float):
        return any(value == other and type(value) is type(other) for other in hp.values)
    if not _validation.is_number(value):
        return False
    is_whole = not isinstance(hp, hp_types.Int) or float(value).is_integer()
    if not is_whole or not hp.min_value <= value <= hp.max_value:
        return False
    return hp.step is None or _is_on_a_step(value, hp)


def names_out_of_range(space: Iterable[Any], settings: Settings) -> set[str]:
    """Returns the names whose values lie in no range that is active."""
    active = [hp for hp in space if hp.name in settings and is_active(hp, settings)]
    within = {hp.name for hp in active if is_in_range(settings[hp.name], hp)}
    return {hp.name for hp in active} - within


def _is_on_a_step(value: float, hp: Any) -> bool:
    try:
        return any(math.isclose(value, other) for other in all_choices(hp))
    except OverflowError:  # Too many to be told apart.
        return True


def all_points(space: list[Any]) -> list[Settings] | None:
    """Returns all settings of a space, or None if there are too many to be listed."""
    try:
        found = list(itertools.islice(walk(space, all_choices), MAX_POINTS + 1))
    except OverflowError:
        return None
    return found if len(found) <= MAX_POINTS else None


def signature(space: Iterable[Any], settings: Settings) -> str:
    """Returns a text that is equal for equal settings, whatever their order."""
    names = {hp.name for hp in space}
    own = {name: value for name, value in settings.items() if name in names}
    return json.dumps(own, sort_keys=True)


def random_unseen(
    space: list[Any], seen: Collection[str], seed: int, trial_id: str
) -> Settings | None:
    """Returns random settings that are not among `seen`, or None if none are left.

    A function of the seed, the trial and the settings seen so far.

    Args:
        space: The hyperparameters.
        seen: Signatures of the settings to avoid.
        seed: The seed of the search.
        trial_id: The trial that the settings are for.
    """
    for collision in range(MAX_COLLISIONS):

        def drawn(hp: Any, collision: int = collision) -> Any:
            purpose = ("point", collision, hp.name)
            return hp.random_sample(seeds.derived_seed(seed, trial_id, *purpose))

        settings = complete(space, drawn)
        if signature(space, settings) not in seen:
            return settings
    unseen = [
        point
        for point in all_points(space) or []
        if signature(space, point) not in seen
    ]
    if not unseen:
        return None
    generator = np.random.default_rng(seeds.derived_seed(seed, trial_id, "unseen"))
    return unseen[generator.integers(len(unseen))]


def signatures(space: list[Any], trials: Iterable[Any]) -> set[str]:
    """Returns the signatures of the settings of KerasTuner trials."""
    return {signature(space, trial.hyperparameters.values) for trial in trials}
