"""Points that fill a space evenly: scrambled Sobol and Halton sequences."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Collection
from collections.abc import Iterable
from collections.abc import Iterator
from typing import Any

import keras_tuner
import numpy as np

from keras_tricks.tuners import seeds
from keras_tricks.tuners.search_space import points

# The scrambling of a coordinate depends on how many there are, so that a search uses
# the first ones of more than it needs: a new hyperparameter then changes no other.
DIMENSIONS = (64, 1024, 21201)
# A hyperparameter with more values than this has no stratum for each.
MAX_STRATA = 16


def unit_points(sequence: str, seed: int, dimensions: int, count: int) -> np.ndarray:
    """Returns the first points of a scrambled sequence in the unit cube.

    Args:
        sequence: `"sobol"` or `"halton"`.
        seed: The seed of the search.
        dimensions: Coordinates of a point.
        count: How many points.

    Returns:
        A float64 array of shape `(count, dimensions)`: the first coordinates of
        scipy's sequence in 64 dimensions (or in 1024, or 21201, where they do not
        suffice).

    Raises:
        ValueError: If there are more than 21201 dimensions, which Sobol's sequence is
            not defined for.
    """
    if dimensions > DIMENSIONS[-1]:
        raise ValueError(
            f"A quasi-random search can have {DIMENSIONS[-1]} hyperparameters. "
            f"Received: {dimensions} of them"
        )
    # Sobol's points are balanced in blocks of 2^m, and scipy warns about others.
    block = 1 << max(count - 1, 0).bit_length()
    return _block(sequence, seed, dimensions, block)[:count]


@functools.lru_cache(maxsize=16)  # Each trial of a search asks for one point more.
def _block(sequence: str, seed: int, dimensions: int, count: int) -> np.ndarray:
    from scipy.stats import qmc  # Here, because it is slow to import.

    engine_class = {"sobol": qmc.Sobol, "halton": qmc.Halton}[sequence]
    engine = engine_class(
        next(size for size in DIMENSIONS if size >= dimensions),
        scramble=True,
        seed=np.random.default_rng(seeds.derived_seed(seed, "sequence")),
    )
    # A copy: the coordinates that are left out are most of the memory.
    points_of_block = engine.random(count)[:, :dimensions].copy()
    points_of_block.flags.writeable = False
    return points_of_block


def settings_of(
    space: list[Any], names: list[str], point: np.ndarray
) -> points.Settings:
    """Returns the settings at a point of the unit cube, coordinate i for `names[i]`."""
    coordinates = dict(zip(names, point.tolist(), strict=False))
    return points.complete(
        space, lambda hp: hp.prob_to_value(coordinates.get(hp.name, 0.5))
    )


def dimension_names(space: list[Any], known: list[str]) -> list[str]:
    """Returns the names of the coordinates: the `known` ones, then new ones by name."""
    tuned = (hp for hp in space if not isinstance(hp, _FIXED))
    new = {hp.name for hp in tuned} - set(known)
    return [*known, *sorted(new)]


_FIXED = keras_tuner.engine.hyperparameters.Fixed


def settings_at(
    sequence: str, seed: int, space: list[Any], names: list[str], index: int
) -> points.Settings | None:
    """Returns number `index` of the distinct settings of a sequence.

    Settings that the sequence had before are passed over. In a small space, those that
    the sequence has not reached after many points follow in the order of a grid.

    Args:
        sequence: `"sobol"` or `"halton"`.
        seed: The seed of the search.
        space: The hyperparameters.
        names: Those that have a coordinate, in order.
        index: From 0.

    Returns:
        The settings, or None if the space has no more.
    """
    everything = points.all_points(space)
    if everything is None:
        cube = unit_points(sequence, seed, len(names), index + 1)
        return settings_of(space, names, cube[index])
    cube = unit_points(sequence, seed, len(names), 16 * len(everything))
    # One by one, since few of them are needed.
    found = itertools.chain(
        (settings_of(space, names, point) for point in cube), everything
    )
    return next(itertools.islice(_distinct(space, found), index, None), None)


def stratified_settings_at(
    sequence: str,
    seed: int,
    space: list[Any],
    names: list[str],
    index: int,
    scientific: Collection[str],
) -> points.Settings | None:
    """Returns the settings of trial `index` where some values are compared fairly.

    Each combination of the scientific hyperparameters' values is a stratum: blocks of
    trials have each of them once, in a random order, and the trials of a stratum have
    the points of a sequence of its own, which fill the rest of the space evenly.

    Args:
        sequence: See `settings_at`.
        seed: See `settings_at`.
        space: See `settings_at`.
        names: See `settings_at`.
        index: See `settings_at`.
        scientific: Names. Those with conditions, or with many values, make no strata.
    """
    asked = [hp for hp in space if hp.name in scientific and not hp.conditions]
    choices = {hp.name: _few_choices(hp) for hp in asked}
    choices = {name: values for name, values in choices.items() if values}
    strata = [
        dict(zip(choices, values, strict=True))
        for values in itertools.product(*choices.values())
    ]
    if len(strata) < 2:
        return settings_at(sequence, seed, space, names, index)
    block, place = divmod(index, len(strata))
    order = np.random.default_rng(seeds.derived_seed(seed, "strata", block))
    number = int(order.permutation(len(strata))[place])
    inside = [
        _FIXED(hp.name, strata[number][hp.name]) if hp.name in choices else hp
        for hp in space
    ]
    own_seed = seeds.derived_seed(seed, "stratum", number)
    return settings_at(sequence, own_seed, inside, names, block)


def _few_choices(hp: Any) -> list[Any]:
    """Returns all values of a hyperparameter that has few of them."""
    try:
        values = points.all_choices(hp)
    except OverflowError:
        return []
    return values if len(values) <= MAX_STRATA else []


def _distinct(
    space: list[Any], found: Iterable[points.Settings]
) -> Iterator[points.Settings]:
    seen: set[str] = set()
    for one in found:
        signature = points.signature(space, one)
        if signature not in seen:
            seen.add(signature)
            yield one
