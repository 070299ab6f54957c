"""What is made of the settings of trials, once for each while the space is the same."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterable
from typing import Any
from typing import Generic
from typing import TypeVar

from keras_tricks.tuners.search_space import points

Prepared = TypeVar("Prepared")
Made = TypeVar("Made")


class OnceEach(Generic[Prepared, Made]):
    """A function of settings that remembers its results by trial.

    Args:
        prepare: Called with the space whenever that has changed.
        function: Called with what `prepare` returned and the settings of a trial, when
            these are new or have changed.
    """

    def __init__(
        self,
        prepare: Callable[[list[Any]], Prepared],
        function: Callable[[Prepared, points.Settings], Made],
    ):
        self._prepare, self._function = prepare, function
        self._ranges: list[Any] | None = None
        self._prepared: Prepared
        # Trial ID -> its settings, and what was made of them.
        self._known: dict[str, tuple[points.Settings, Made]] = {}

    def prepared(self, space: list[Any]) -> Prepared:
        """Returns what is prepared for a space."""
        ranges = ranges_of(space)
        if ranges != self._ranges:
            self._ranges, self._known = ranges, {}
            self._prepared = self._prepare(space)
        return self._prepared

    def of(self, space: list[Any], trials: Iterable[Any]) -> list[Made]:
        """Returns what is made of each of KerasTuner's trials."""
        return self.of_settings(
            space, ((trial.trial_id, trial.hyperparameters.values) for trial in trials)
        )

    def of_settings(
        self, space: list[Any], settings: Iterable[tuple[str, points.Settings]]
    ) -> list[Made]:
        """Returns what is made of settings, each with the ID of its trial."""
        prepared, known, found = self.prepared(space), self._known, []
        # As plain as can be: it goes over all trials for each suggestion.
        for trial_id, one in settings:
            entry = known.get(trial_id)
            if entry is None or entry[0] != one:
                made = self._function(prepared, one)
                entry = known[trial_id] = dict(one), made
            found.append(entry[1])
        return found


def signatures() -> OnceEach[list[Any], str]:
    """Returns what makes signatures; see `points.signature`."""
    return OnceEach(list, points.signature)


def ranges_of(space: Iterable[Any]) -> list[Any]:
    """Returns what is equal for equal hyperparameters."""
    return [(type(hp), hp.get_config()) for hp in space]
