"""Initial settings: those that a search is given to begin with."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable
from typing import Any

import keras_tuner

from keras_tricks import _validation
from keras_tricks.tuners.search_space import points

DEFAULT = "default"

_hp_types = keras_tuner.engine.hyperparameters


def checked(initial_settings: Any) -> list[points.Settings]:
    """Returns the settings as dictionaries, of which the defaults are an empty one.

    Raises:
        TypeError: If they are no list of dictionaries and of `"default"`.
        ValueError: If a text is another one.
    """
    if initial_settings is None:
        return []
    if not isinstance(initial_settings, list | tuple):
        raise TypeError(
            "`initial_settings` must be a list of dictionaries from names of "
            "hyperparameters to values. "
            f"{_validation.received('initial_settings', initial_settings, True)}"
        )
    found = []
    for number, settings in enumerate(initial_settings):
        name = f"initial_settings[{number}]"
        if isinstance(settings, keras_tuner.HyperParameters):
            settings = settings.values
        if isinstance(settings, str):
            _validation.check_choice(name, settings, (DEFAULT,))
            settings = {}
        if not isinstance(settings, dict) or not all(
            isinstance(key, str) for key in settings
        ):
            raise TypeError(
                f'`{name}` must be a dictionary from names to values, or "{DEFAULT}". '
                f"{_validation.received(name, settings, True)}"
            )
        found.append(
            {
                key: _validation.plain(value)
                for key, value in settings.items()
                # A trial's place in a schedule of Hyperband's is no setting.
                if not key.startswith("tuner/")
            }
        )
    return found


def check_values(
    space: Iterable[Any], initial_settings: Iterable[points.Settings]
) -> None:
    """Checks the values whose hyperparameters are known.

    Raises:
        ValueError: If one lies outside of its range.
    """
    known: dict[str, list[Any]] = {}
    for hp in space:
        known.setdefault(hp.name, []).append(hp)
    for number, settings in enumerate(initial_settings):
        for name, value in settings.items():
            ranges = known.get(name)
            if ranges and not any(_is_in(value, hp) for hp in ranges):
                raise ValueError(
                    f"`initial_settings[{number}][{name!r}]` must be in the range of "
                    f"{' or '.join(map(str, ranges))}. Received: {value!r}"
                )


def values_of(space: list[Any], settings: points.Settings) -> points.Settings:
    """Returns what a trial is given: the settings, and defaults for all else.

    Values for names that the space does not have yet are kept for when it has.
    """
    names = {hp.name for hp in space}
    later = {name: value for name, value in settings.items() if name not in names}
    return later | points.complete(
        space, lambda hp: _converted(settings.get(hp.name, hp.default), hp)
    )


def is_of(values: points.Settings, space: list[Any], settings: points.Settings) -> bool:
    """Whether a trial with these values is that of the initial settings."""
    if not values and space:
        return False  # Its files were lost.
    wanted = values_of(space, settings)
    return all(values.get(name, value) == value for name, value in wanted.items())


def unused_names(
    values: points.Settings, space: Iterable[Any], settings: points.Settings
) -> str | None:
    """Returns a sentence on the names that a trial did not use, or None."""
    known = sorted({hp.name for hp in space})
    unknown = [name for name in settings if name not in known]
    inactive = [name for name in settings if name in known and name not in values]
    if inactive and not unknown:
        return (
            f"`initial_settings` name {inactive}, which the other settings switch off"
        )
    if not unknown:
        return None
    near = difflib.get_close_matches(unknown[0], known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"it asked for {known}"
    return f"`initial_settings` name {unknown}, for which the trial did not ask; {hint}"


def _is_in(value: Any, hp: Any) -> bool:
    if isinstance(hp, _hp_types.Int | _hp_types.Float):
        if not _validation.is_number(value):
            return False
        is_whole = not isinstance(hp, _hp_types.Int) or float(value).is_integer()
        if not is_whole or not hp.min_value <= value <= hp.max_value:
            return False
        return hp.step is None or _is_on_a_step(value, hp)
    return any(value == other and type(value) is type(other) for other in hp.values)


def _is_on_a_step(value: float, hp: Any) -> bool:
    try:
        return any(math.isclose(value, other) for other in points.all_choices(hp))
    except OverflowError:  # Too many to be told apart.
        return True


def _converted(value: Any, hp: Any) -> Any:
    if isinstance(hp, _hp_types.Int) and _validation.is_number(value):
        return int(value)
    if isinstance(hp, _hp_types.Float) and _validation.is_number(value):
        return float(value)
    return value
