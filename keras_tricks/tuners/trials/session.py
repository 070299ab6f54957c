"""One search: what belongs to it alone, and not to the tuner."""

from __future__ import annotations

import dataclasses
from typing import Any

from keras_tricks.tuners.compat.keras_settings import KerasSettings
from keras_tricks.tuners.deadline import Deadline
from keras_tricks.tuners.results import progress
from keras_tricks.tuners.results.live_report import LiveReport
from keras_tricks.tuners.trials import objectives
from keras_tricks.tuners.trials.added_callbacks import Wanted
from keras_tricks.tuners.trials.context import RunningTrial
from keras_tricks.tuners.trials.old_objects import OldObjects

# What a record says of a trial that had no time for its last epochs.
MAX_SECONDS = "max_seconds"


@dataclasses.dataclass
class SearchSession:
    """What a search knows while it runs.

    Attributes:
        progress: What it shows.
        splits: The folds of the data, None for one training on all of them.
        shows_fit: Whether `fit` prints its own lines.
        fit_arguments: What the names that `fit` logs depend on, None if these cannot
            be known.
        provenance: Versions of packages, and the commit of the working directory.
        keras_settings: What is in force when a build begins.
        consecutive_failures: Failed trials, one after the other, up to now.
        objective_is_proven: Whether a trial has had a score.
        several_ranges: Names of hyperparameters that were asked for with two ranges.
        input_shape: The shape, or structure of shapes, of a batch of inputs; None where
            it is not known, or of no use.
        unknown_arguments: Names of what `search` was given that Keras's `fit` does not
            have, and the values as text.
        initial_settings: What it was given to begin with.
        deadline: When it ends.
        added_callbacks: Which callbacks it adds to those of each trial.
        report: The page that is written meanwhile.
        old_objects: What the garbage collector need not look at.
    """

    progress: progress.SearchProgress
    splits: Any = None
    shows_fit: bool = False
    fit_arguments: objectives.FitArguments | None = None
    provenance: tuple[dict[str, str], str | None] = ({}, None)
    keras_settings: KerasSettings | None = None
    consecutive_failures: int = 0
    objective_is_proven: bool = False
    several_ranges: set[str] = dataclasses.field(default_factory=set)
    input_shape: Any = None
    unknown_arguments: dict[str, str] = dataclasses.field(default_factory=dict)
    initial_settings: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    deadline: Deadline = dataclasses.field(default_factory=Deadline)
    added_callbacks: Wanted = dataclasses.field(default_factory=Wanted)
    report: LiveReport | None = None
    old_objects: OldObjects = dataclasses.field(default_factory=OldObjects)

    def cuts_off(self, running: RunningTrial | None, *, is_last_epoch: bool) -> bool:
        """Returns whether a training is to end here, and marks its trial if so."""
        if is_last_epoch or not self.deadline.is_over:
            return False
        if running is not None:
            running.stopped_by = MAX_SECONDS
        return True

    @classmethod
    def idle(cls, objective: Any, splits: Any) -> SearchSession:
        """Returns what holds while there is no search."""
        return cls(progress.SearchProgress("", objective.better_than, None), splits)
