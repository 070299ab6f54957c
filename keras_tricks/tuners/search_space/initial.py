"""Initial settings: those that a search is given to begin with."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Iterable
from collections.abc import Iterator
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
            if ranges and not any(points.is_in_range(value, hp) for hp in ranges):
                where = f"initial_settings[{number}][{name!r}]"
                raise ValueError(_out_of_range(where, value, ranges))


def waiting(
    trials: Iterable[Any], space: list[Any], initial_settings: list[points.Settings]
) -> Iterator[int]:
    """Yields the numbers of the settings that no trial has; of doubles the first."""
    there = list(trials)
    for number, settings in enumerate(initial_settings):
        is_double = settings in initial_settings[:number]
        if not is_double and not any(is_of(trial, space, settings) for trial in there):
            yield number


def check_number(
    trials: Iterable[Any],
    space: list[Any],
    initial_settings: list[points.Settings],
    max_trials: int | None,
) -> None:
    """Warns of settings for which there will be no trial.

    Args:
        trials: The trials that there are.
        space: The hyperparameters of the search.
        initial_settings: What the search begins with.
        max_trials: The most trials of the search, if there is a limit.
    """
    if max_trials is None:
        return
    there = list(trials)
    numbers = list(waiting(there, space, initial_settings))
    left = max(max_trials - len(there), 0)
    if len(numbers) > left:
        warnings.warn(
            f"`max_trials` must leave a trial for each of `initial_settings`: number "
            f"{', '.join(map(str, numbers[left:]))} (from 0) will not be tried. "
            f"Received: max_trials={max_trials}, "
            f"{len(there)} trials that there are and {len(numbers)} settings to be "
            "tried",
            stacklevel=3,
        )


def check_asked(
    hp: keras_tuner.HyperParameters,
    asked: Any,
    initial_settings: Iterable[points.Settings],
) -> None:
    """Checks the value that a trial has for a name for which it asks now.

    Args:
        hp: The trial's hyperparameters.
        asked: The hyperparameter for which it asks.
        initial_settings: Where the value may come from.

    Raises:
        FailedTrialError: If the value lies outside of the range.
    """
    # Past what watches for the hypermodel's own looks.
    values: points.Settings = dict(dict.items(hp.values))
    name = asked.name
    if name not in values or not points.is_active(asked, values):
        return
    value = values[name]
    # The first range of a name is the one in force.
    ranges = [
        one for one in hp.space if one.name == name and points.is_active(one, values)
    ] or [asked]
    if not points.names_out_of_range(ranges, values):
        dict.__setitem__(hp.values, name, _converted(value, ranges[0]))
        return
    where = f"hp.values[{name!r}]"
    for number, settings in enumerate(initial_settings):
        if name in settings and settings[name] == value:
            where = f"initial_settings[{number}][{name!r}]"
    raise keras_tuner.errors.FailedTrialError(_out_of_range(where, value, ranges))


def _out_of_range(where: str, value: Any, ranges: Iterable[Any]) -> str:
    return (
        f"`{where}` must be in the range of {' or '.join(map(str, ranges))}. "
        f"Received: {value!r}"
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


def is_of_any(
    trial: Any, space: list[Any], initial_settings: Iterable[points.Settings]
) -> bool:
    """Whether a trial is that of one of the initial settings; see `is_of`."""
    return any(is_of(trial, space, settings) for settings in initial_settings)


def is_of(trial: Any, space: list[Any], settings: points.Settings) -> bool:
    """Whether a trial is that of the initial settings.

    Args:
        trial: KerasTuner's trial.
        space: The hyperparameters of the search.
        settings: The initial settings.
    """
    values = trial.hyperparameters.values
    if not values and space:
        return False  # Its files were lost.
    known = values.keys() | {hp.name for hp in space}
    if trial.status != "COMPLETED" and not settings.keys() <= known:
        return False  # A completed one has lost those for which it did not ask.
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


def _converted(value: Any, hp: Any) -> Any:
    if isinstance(hp, _hp_types.Int) and _validation.is_number(value):
        return int(value)
    if isinstance(hp, _hp_types.Float) and _validation.is_number(value):
        return float(value)
    return value
