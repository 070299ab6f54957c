"""The project of a tuner: its folder, whose search that is, and the trials in it."""

from __future__ import annotations

import dataclasses
import os
import warnings
from pathlib import Path
from typing import Any

import keras_tuner

from keras_tricks.tuners.compat.keras_tuner_hooks import ENDED
from keras_tricks.tuners.results import records
from keras_tricks.tuners.results import scores
from keras_tricks.tuners.search_space import ranges
from keras_tricks.tuners.storage import files
from keras_tricks.tuners.storage import identity
from keras_tricks.tuners.storage import project_lock
from keras_tricks.tuners.storage import seals
from keras_tricks.tuners.storage.identity import Identity


class Project:
    """A folder in which one search goes on, or is refused where it is another one.

    Args:
        folder: The folder, which need not be there.
        arguments: Those of the tuner's constructor that may not change; see
            `identity.arguments_of`.
    """

    def __init__(self, folder: Path, arguments: dict[str, Any]):
        self.folder = folder
        self._arguments = arguments
        # The search as it is now. None: its space is not known yet.
        self._identity: Identity | None = None
        # Whether the folder holds another search, without a trial that ended.
        self._is_stale = False
        self._saved_ranges: ranges.SavedRanges | None = None

    def clear(self) -> None:
        """Deletes the files of a search; see `project_lock.clear_project`."""
        project_lock.clear_project(self.folder)

    # Resuming.

    def resume(self, oracle: Any, kind: str | None, *, space_was_drawn: bool) -> bool:
        """Compares the search with the one in the folder.

        Args:
            oracle: The search's. It takes the seed of the project.
            kind: The kind of the tuner.
            space_was_drawn: Whether the space was found at random points.

        Returns:
            Whether there is something in the folder with which the search goes on.

        Raises:
            ValueError: If there are results of another search.
        """
        now = Identity(
            identity.objective_of(oracle.objective),
            oracle.given_seed,
            # Trials of this process may have asked for more since it was first seen.
            identity.space_of(oracle.get_space())
            if self._identity is None
            else self._identity.space,
            kind,
            self._arguments,
            oracle.roles.as_dict(),
        )
        self._identity = now
        has_trials = any(self.folder.glob("trial_*"))
        if not has_trials and not (self.folder / "oracle.json").exists():
            return False
        saved = Identity.read(self.folder)
        if saved is not None and not seals.Seal.of(self.folder).has_checksums:
            warnings.warn(
                f"The files of {self.folder} have no checksums, as those of an older "
                "version of keras_tricks: whether they were changed is not known",
                stacklevel=2,
            )
        # Found at random points, or by KerasTuner, which does not say when.
        may_grow = saved is None or (space_was_drawn and oracle.given_seed is None)
        saved = saved or self._identity_in_trials(now, oracle)
        differences = saved.differences(now, may_grow=may_grow)
        if differences and oracle.has_results():
            raise identity.refusal(self.folder, differences)
        self._is_stale = bool(differences)
        if not differences and saved.seed is not None:
            oracle.seed = saved.seed
        return not differences

    def begin(self, oracle: Any) -> None:
        """Makes the folder this search's, which is the only one to write there."""
        if self._is_stale:
            # Of another search, which has no trial that ended.
            files.remove_trials(self.folder, except_for=oracle.trials)
            self._is_stale = False
        for folder in self.folder.glob("trial_*"):
            files.check_trial_folder(folder)
        files.remove_temporary_files(self.folder)
        seals.seal(self.folder)
        if self._identity is not None:
            dataclasses.replace(self._identity, seed=oracle.seed).write(self.folder)

    def was_changed(self, oracle: Any) -> bool:
        """Whether another process has gone on with this search meanwhile."""
        return not self._is_stale and oracle.was_changed_on_disk()

    def remember_ranges(self, oracle: Any) -> None:
        """Keeps in mind the ranges that were saved, and that no build has shown yet."""
        if self._saved_ranges is not None or self._identity is None:
            return
        self._saved_ranges = ranges.SavedRanges()
        seen = self._identity.space or {}
        late = [
            (name, configuration)
            for name, configurations in identity.space_of(oracle.get_space()).items()
            for configuration in configurations
            if configuration not in seen.get(name, ())
        ]
        # Some follow from other values, so that another range is no other search.
        various = oracle.names_with_several_ranges() if late else ()
        for name, configuration in late:
            if name not in various:
                self._saved_ranges.add(name, configuration)

    def range_difference(self, known: Any, asked: Any) -> str | None:
        """Returns what a hyperparameter has of another range than it had before.

        Args:
            known: The hyperparameter of the search.
            asked: The one that is asked for under its name and conditions.

        Returns:
            One line; None where the ranges are the same.

        Raises:
            keras_tuner.errors.FatalValueError: If `known` is of the search that is
                resumed, so that this is another one.
        """
        name, saved = asked.name, self._saved_ranges
        before, now = identity.configuration(known), identity.configuration(asked)
        if before == now:
            if saved is not None:
                saved.confirm(name, before)
            return None
        difference = identity.range_difference(name, before, now)
        if saved is not None and saved.is_waiting(name, before):
            raise keras_tuner.errors.FatalValueError(
                str(identity.refusal(self.folder, [difference]))
            )
        return difference

    def _identity_in_trials(self, now: Identity, oracle: Any) -> Identity:
        """Returns what the files of a project without `search.json` tell of it."""
        objective = seed = space = None
        for record in records.read_all(self.folder).values():
            if now.objective is not None and len(now.objective) == 1:
                objective = [(record.objective, record.direction)]
            seed = record.seed if seed is None else seed
        try:
            state = oracle.read_state()
            seed = state["seed"]
            saved = keras_tuner.HyperParameters.from_config(state["hyperparameters"])
            # What only trials ask for is not known before the first.
            space = {
                name: configs
                for name, configs in identity.space_of(saved).items()
                if name in (now.space or {})
            }
        except Exception:  # KerasTuner reads a state without a schema.
            pass  # `reload` tells it.
        return Identity(objective, seed, space)

    # Trials.

    def ended_records(self, oracle: Any) -> list[records.TrialRecord]:
        """Returns the records of all trials that have ended, in their order."""
        on_disk = records.read_all(self.folder)
        # A worker's oracle is a proxy that knows no list of trials.
        trials = getattr(oracle, "trials", None)
        if trials is None:
            return list(on_disk.values())
        ended = [trial for trial in trials.values() if trial.status in ENDED]
        self._warn_of_lost_records([trial.trial_id for trial in ended])
        found = []
        for trial in sorted(ended, key=lambda t: scores.order(t.trial_id)):
            record = on_disk.get(trial.trial_id)
            told = records.TrialRecord.of_trial(trial, oracle.objective)
            if record is not None and record.agrees(told):
                found.append(record)
                continue
            # A project of KerasTuner's own tuners, or a lost file, has no record.
            found.append(told)
            if record is not None:
                path = self.folder / f"trial_{trial.trial_id}" / records.RECORD_FILE
                warnings.warn(
                    f"{path} is damaged (it disagrees with {oracle.told_by}: expected "
                    f"{told.outcome}, found {record.outcome}): skipped",
                    stacklevel=3,
                )
        return found

    def _warn_of_lost_records(self, trial_ids: list[str]) -> None:
        """Names the records that are gone from a project of this package."""
        if not (self.folder / identity.SEARCH_FILE).exists():
            return
        for trial_id in trial_ids:
            folder = self.folder / f"trial_{trial_id}"
            path = folder / records.RECORD_FILE
            # Trials of other processes have no folder here.
            if (folder / "trial.json").exists() and not os.path.lexists(path):
                warnings.warn(
                    f"{path} is missing: the trial's curves, parameters and seconds "
                    "are not known",
                    stacklevel=4,
                )
