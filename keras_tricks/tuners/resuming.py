"""A search that goes on where it was, or is refused where another one was."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import keras_tuner

from keras_tricks.tuners.compat import keras_tuner_hooks
from keras_tricks.tuners.results import records
from keras_tricks.tuners.search_space import ranges
from keras_tricks.tuners.storage import files
from keras_tricks.tuners.storage import project


class Resuming(keras_tuner_hooks.TunerHooks):
    """The part of `TunerMixin` that knows what the project's folder held before."""

    project_dir: str
    _local_oracle: Any
    _identity: project.Identity | None
    # Those that may not change; see `project.arguments_of`.
    _arguments: dict[str, Any]
    # Whether the folder holds another search, without a trial that ended.
    _is_fresh: bool
    _session: Any

    def _begin_project(self) -> None:
        """Makes the folder this search's, when it is the only one to write there."""
        folder = Path(self.project_dir)
        oracle = self._local_oracle
        if not self._is_fresh and oracle.was_changed_on_disk():
            self.reload()
        if self._is_fresh:
            # Of another search, which has no trial that ended.
            files.remove_trials(folder, except_for=oracle.trials)
            self._is_fresh = False
        files.remove_temporary_files(folder)
        if self._identity is not None:
            dataclasses.replace(self._identity, seed=oracle.seed).write(folder)
        self._session.objective_is_proven = any(
            trial.status == "COMPLETED" for trial in oracle.trials.values()
        )

    def _on_space_populated(self) -> None:
        """Resumes the project in the folder, or refuses one of another search."""
        if self._in_worker:
            return
        oracle = self._local_oracle
        folder = Path(self.project_dir)
        now = project.Identity(
            project.objective_of(oracle.objective),
            oracle.given_seed,
            # Trials of this process may have asked for more since it was first seen.
            project.space_of(oracle.get_space())
            if self._identity is None
            else self._identity.space,
            project.kind_of(self),
            self._arguments,
        )
        self._identity = now
        if not (folder / "oracle.json").exists() and not any(folder.glob("trial_*")):
            return
        saved = project.Identity.read(folder)
        # Found at random points, or by KerasTuner, which does not say when.
        may_grow = saved is None or (
            self._space_was_drawn and oracle.given_seed is None
        )
        saved = saved or self._identity_in_trials(now)
        differences = saved.differences(now, may_grow=may_grow)
        if differences and oracle.has_results():
            raise project.refusal(folder, differences)
        self._is_fresh = bool(differences)
        if not differences:
            if saved.seed is not None:
                oracle.seed = saved.seed
            oracle.reload()
            self._remember_ranges(now.space or {})
            self._reload_state()

    def _remember_ranges(self, seen: project.Space) -> None:
        """Keeps in mind the ranges that were saved, and that no build has shown yet."""
        if self._saved_ranges is not None:
            return
        self._saved_ranges = ranges.SavedRanges()
        oracle = self._local_oracle
        late = [
            (name, configuration)
            for name, configurations in project.space_of(oracle.get_space()).items()
            for configuration in configurations
            if configuration not in seen.get(name, ())
        ]
        # Some follow from other values, so that another range is no other search.
        various = oracle.names_with_several_ranges() if late else ()
        for name, configuration in late:
            if name not in various:
                self._saved_ranges.add(name, configuration)

    def _identity_in_trials(self, now: project.Identity) -> project.Identity:
        """Returns what the files of a project without `search.json` tell of it."""
        objective = seed = space = None
        for record in records.read_all(self.project_dir).values():
            if now.objective is not None and len(now.objective) == 1:
                objective = [[record.objective, record.direction]]
            seed = record.seed if seed is None else seed
        try:
            state = self._local_oracle.read_state()
            seed = state["seed"]
            saved = keras_tuner.HyperParameters.from_config(state["hyperparameters"])
            # What only trials ask for is not known before the first.
            space = {
                name: configs
                for name, configs in project.space_of(saved).items()
                if name in (now.space or {})
            }
        except Exception:  # KerasTuner reads a state without a schema.
            pass  # `reload` tells it.
        return project.Identity(objective, seed, space)
