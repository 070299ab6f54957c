"""An oracle that asks an Optuna study, which any number of processes may share."""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Container
from pathlib import Path
from typing import Any
from typing import ClassVar

import keras_tuner

from keras_tricks import _validation
from keras_tricks.tuners import errors
from keras_tricks.tuners.optuna import journal
from keras_tricks.tuners.optuna import pruning
from keras_tricks.tuners.optuna import samplers
from keras_tricks.tuners.optuna import space as optuna_space
from keras_tricks.tuners.optuna._import import check_place
from keras_tricks.tuners.optuna._import import failures_named
from keras_tricks.tuners.optuna._import import optuna
from keras_tricks.tuners.optuna._import import quiet
from keras_tricks.tuners.optuna.trials import Attempt
from keras_tricks.tuners.optuna.trials import StudyTrials
from keras_tricks.tuners.oracles.base import OracleMixin
from keras_tricks.tuners.results import records
from keras_tricks.tuners.results import scores
from keras_tricks.tuners.search_space import initial
from keras_tricks.tuners.search_space import once_each
from keras_tricks.tuners.search_space import points
from keras_tricks.tuners.search_space import quasi_random

JOURNAL_FILE = "study.journal"
POLL_SECONDS = 0.25


def _names_failures(method: Any) -> Any:
    """Has a method of the oracle name the storage where that fails."""

    @functools.wraps(method)
    def named(self: Any, *args: Any, **kwargs: Any) -> Any:
        with failures_named(self.storage):
            return method(self, *args, **kwargs)

    return named


class OptunaOracle(OracleMixin, keras_tuner.Oracle):
    """Trials of an Optuna study; the study is right wherever the files differ.

    Args:
        sampler: See `OptunaSearch`.
        pruner: See `OptunaSearch`.
        storage: See `OptunaSearch`.
        study_name: See `OptunaSearch`.
        lease_seconds: See `OptunaSearch`.
        **kwargs: Of `keras_tuner.Oracle`.
    """

    remote_methods = (*OracleMixin.remote_methods, "report", "pruned_after")
    assumed_answers: ClassVar[dict[str, Any]] = {"report": False, "pruned_after": None}
    is_told_by_trials = True
    told_by = "the study"
    what_of_lost_trials = "is as the study tells it"

    seed: int
    given_seed: int | None

    def __init__(
        self,
        *,
        sampler: Any,
        pruner: Any,
        storage: Any,
        study_name: str | None,
        lease_seconds: float,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        check_place(storage, study_name)
        self.sampler = samplers.checked_sampler(sampler)
        # Of a list of objectives, each by itself.
        self.directions = records.several(self.objective) or {
            self.objective.name: self.objective.direction
        }
        if len(self.directions) > 1:
            _check_several(sampler, pruner)
        self.is_adaptive = self.sampler != "qmc"
        self.pruner = samplers.made_pruner(pruner)
        self.storage = _absolute(storage)
        self.study_name = study_name
        self.lease_seconds = lease_seconds
        self.study: Any = None
        self.shared: StudyTrials | None = None
        self._dimensions: list[str] = []
        # Trial ID -> the entry of the attempt that runs here.
        self._entries: dict[str, Any] = {}
        self._pruning = pruning.Pruning()
        self._signatures = once_each.signatures()
        # Trial ID -> a trial that has ended here as the attempt has in the study.
        self._agreeing: dict[str, tuple[Any, Attempt]] = {}

    @_names_failures
    def connect(self, folder: Path) -> None:
        """Opens the study, and makes it where there is none.

        Raises:
            ValueError: If the study has another objective, direction or seed.
            StorageError: If the storage cannot be read, or is none.
        """
        storage = self.storage
        if storage is None:
            storage = folder / JOURNAL_FILE
        if isinstance(storage, Path) or (
            isinstance(storage, str) and "://" not in storage
        ):
            storage = journal.journal_storage(storage)
        directions = [
            "maximize" if direction == "max" else "minimize"
            for direction in self.directions.values()
        ]
        name = self.study_name or folder.name
        with quiet():
            storage = optuna().storages.get_storage(storage)
            names = optuna().get_all_study_names(storage)
            if self.storage is None and self.study_name is None and len(names) == 1:
                # Of this project, whatever its folder was called then.
                [name] = names
            arguments = {
                "storage": storage,
                "study_name": name,
                # Suggestions are made beside the study: see `optuna_samplers`.
                "sampler": optuna().samplers.RandomSampler(),
                "pruner": self.pruner,
            }
            if name in names:
                # Nothing is written: the storage may be read only.
                self.study = optuna().load_study(**arguments)
            else:
                self.study = optuna().create_study(
                    directions=directions, load_if_exists=True, **arguments
                )
        self._check("direction", self._saved_directions(), directions)
        self._check(
            "objective", *self._agreed("objective", " + ".join(self.directions))
        )
        seed, _ = self._agreed("seed", self.seed)
        if self.given_seed is not None:
            self._check("seed", seed, self.given_seed)
        self.seed = seed
        self.shared = StudyTrials(self.study, storage, self.lease_seconds)
        self._synchronize()

    def _agreed(self, name: str, own: Any) -> tuple[Any, Any]:
        """Returns what the study says, and what this search says; tells it the latter.

        A study knows neither objective nor seed before its first search.
        """
        if name not in self.study.user_attrs:
            self.study.set_user_attr(name, own)
        return self.study.user_attrs[name], own

    def _saved_directions(self) -> list[str]:
        return [direction.name.lower() for direction in self.study.directions]

    def _check(self, what: str, saved: Any, now: Any) -> None:
        if saved != now:
            raise ValueError(
                f"The study {self.study.study_name!r} is another search: its {what} is "
                f"{saved!r}, that of this one is {now!r}. Pass another `study_name`."
            )

    @property
    def can_prune(self) -> bool:
        """Whether trials may be ended before their last epoch."""
        return not isinstance(self.pruner, optuna().pruners.NopPruner)

    @property
    def _study_trials(self) -> StudyTrials:
        if self.shared is None:
            raise RuntimeError("The oracle is not connected to a study.")
        return self.shared

    # What KerasTuner's tuner asks.

    @_names_failures
    @keras_tuner.synchronized
    def create_trial(self, tuner_id: str) -> Any:
        """Returns the next trial to run, of those that no process runs."""
        if tuner_id in self.ongoing_trials:
            return self.ongoing_trials[tuner_id]
        self.tuner_ids.add(tuner_id)
        trial = None if self.deadline.is_over else self._next_trial()
        if trial is not None:
            trial.status = "RUNNING"
            trial.message = None
            self._pruning.begin(trial.trial_id)
            self.trials[trial.trial_id] = trial
            self.ongoing_trials[tuner_id] = trial
            if trial.trial_id not in self.start_order:
                self.start_order.append(trial.trial_id)
            self._save_trial(trial)
            self.save()
            return trial
        status = "STOPPED"
        if not self.deadline.is_over and any(
            not one.finished for one in self._study_trials.attempts().values()
        ):
            # Others run the last ones; should they die, there is work to do.
            status = "IDLE"
            if not self.ongoing_trials:
                time.sleep(POLL_SECONDS)
        else:
            self.tuner_ids.discard(tuner_id)
        return self._new_trial("", {}, status)

    @_names_failures
    @keras_tuner.synchronized
    def end_trial(self, trial: Any) -> None:
        """Tells the study, and then ends the trial here.

        Killed in between, the study's word counts when the search is resumed.
        """
        entry = self._entries.get(trial.trial_id)
        try:
            if entry is not None and trial.status != "INVALID":
                self._tell(entry, trial)
        except errors.SupersededError:
            entry = None
        super().end_trial(trial)
        ended = self.trials[trial.trial_id]
        if ended.status == "INVALID":
            return  # It is tried again, as the same attempt.
        try:
            if entry is not None and trial.trial_id in self._entries:
                self._tell(entry, ended)
        except errors.SupersededError:
            pass
        self._entries.pop(trial.trial_id, None)
        self._synchronize()

    def _tell(self, entry: Any, trial: Any) -> None:
        shared = self._study_trials
        del self._entries[trial.trial_id]
        settings = trial.hyperparameters.values
        space = trial.hyperparameters.space
        values, distributions = optuna_space.encode(space, settings)
        known = entry.params
        for name, value in values.items():
            if name not in known:
                shared.set_parameter(entry.number, name, value, distributions[name])
        if trial.status == "COMPLETED":
            own = self.trials[trial.trial_id]
            score = float(own.metrics.get_best_value(self.objective.name))
            values = records.values_of(own.metrics, self.objective)
            pruned = self.pruned_after(trial.trial_id) is not None
            state = "PRUNED" if pruned else "COMPLETE"
            attributes = {"score": score, "objectives": values}
            numbers = [*values.values()] or [score]
        else:
            state, numbers = "FAIL", None
            attributes = {"error": trial.message or ""}
        if initial.is_of_any(trial, space, self.initial_settings):
            attributes["source"] = records.INITIAL
        shared.finish(entry, state, numbers, {"settings": settings, **attributes})

    @_names_failures
    def report(self, trial_id: str, epoch: int, score: float) -> bool:
        """Tells the study an epoch's score. Returns whether the trial shall end now."""
        entry = self._entries.get(trial_id)
        return entry is not None and self._pruning.report(
            self._study_trials, entry, trial_id, epoch, score
        )

    def pruned_after(self, trial_id: str) -> int | None:
        """Returns how many epochs a pruned trial had, or None."""
        return self._pruning.pruned_after(trial_id)

    @_names_failures
    def release(self) -> None:
        """Leaves the trial that was interrupted to whoever resumes the search."""
        if self.shared is not None:
            self.shared.release()
            self._entries.clear()

    def on_reloaded(self, rebuilt: bool) -> None:
        """Forgets the trials of others, which the study tells."""
        own = {
            trial_id: trial
            for trial_id, trial in self.trials.items()
            if (self.folder / f"trial_{trial_id}" / "trial.json").exists()
        }
        self.trials = own
        self.start_order = [one for one in self.start_order if one in own]
        self.end_order = [one for one in self.end_order if one in own]

    # The next trial.

    def _next_trial(self) -> Any:
        shared = self._study_trials
        while True:
            attempts = self._synchronize()
            running = {trial.trial_id for trial in self.ongoing_trials.values()}
            for attempt in attempts.values():
                if attempt.finished or attempt.trial_id in running:
                    continue
                if attempt.owner == shared.owner:  # It failed, or its worker did.
                    return self.trials[attempt.trial_id]
                if shared.is_stale(attempt):
                    entry = shared.repeat(attempt)
                    if entry is not None:
                        self._entries[attempt.trial_id] = entry
                        return self._new_trial(attempt.trial_id, attempt.settings)
            if self.max_trials and len(attempts) >= self.max_trials:
                return None
            trial_id, attempt_number = shared._next_trial(attempts)
            found = self._suggested(trial_id, list(attempts.values()))
            if found is None:
                return None
            settings, params, distributions, system_attrs = found
            entry = shared.claim(
                trial_id,
                attempt_number,
                settings,
                params,
                distributions,
                system_attrs,
            )
            if entry is not None:
                self._entries[trial_id] = entry
                return self._new_trial(trial_id, settings)

    def _suggested(self, trial_id: str, attempts: list[Any]) -> Any:
        """Returns settings that no trial has, and how Optuna writes them, or None."""
        space = self.get_space().space
        settings_of_trials = ((one.trial_id, one.settings) for one in attempts)
        seen = {*self._signatures.of_settings(space, settings_of_trials)}
        given = self.next_initial_values() or self._enqueued_values(space, seen)
        if given is not None:
            return given, *optuna_space.encode(space, given), None
        if self.sampler == "qmc":
            self._dimensions = quasi_random.dimension_names(space, self._dimensions)
            settings = quasi_random.settings_at(
                "sobol", self.seed, space, self._dimensions, int(trial_id)
            )
            if settings is None:
                return None
            return settings, *optuna_space.encode(space, settings), None
        history = samplers.impute_failures(
            [attempt.entry for attempt in attempts], self._saved_directions()
        )
        for settings, entry in samplers.suggestions(
            self.sampler, space, self.study, history, self.seed, trial_id
        ):
            if points.signature(space, settings) not in seen:
                return settings, entry.params, entry.distributions, entry.system_attrs
        settings = points.random_unseen(space, seen, self.seed, trial_id)
        if settings is None:
            return None
        return settings, *optuna_space.encode(space, settings), None

    def _enqueued_values(
        self, space: list[Any], seen: Container[str]
    ) -> points.Settings | None:
        """Returns the first settings of `study.enqueue_trial` that no trial has.

        What a trial has is taken off the queue.
        """
        for entry in self._study_trials.enqueued():
            given = entry.system_attrs.get("fixed_params", {})
            settings = optuna_space.decode(space, given)
            values = initial.values_of(space, settings)
            if points.signature(space, values) not in seen:
                return values
            self._study_trials.drop_enqueued(entry)
        return None

    # The trials of all processes.

    def _synchronize(self) -> dict[str, Attempt]:
        """Takes over what the study knows; returns its attempts."""
        attempts = self._study_trials.attempts()
        running = {trial.trial_id for trial in self.ongoing_trials.values()}
        trials = {}
        for trial_id, attempt in attempts.items():
            local = self.trials.get(trial_id)
            known, told = self._agreeing.get(trial_id, (None, None))
            if local is None or local is not known or attempt is not told:
                local = self._agreed_on(local, attempt, trial_id in running)
            trials[trial_id] = local
        self.trials = trials
        return attempts

    def _agreed_on(self, local: Any, attempt: Attempt, is_running: bool) -> Any:
        """Returns the trial that there is here, if it is as the study tells it."""
        if local is None or (not is_running and not _agrees(local, attempt)):
            local = self._trial_of(attempt)
        if attempt.finished and not is_running:
            self._agreeing[attempt.trial_id] = local, attempt
        return local

    def _trial_of(self, attempt: Attempt) -> Any:
        """Returns another process's trial as the study tells it."""
        trial = self._new_trial(attempt.trial_id, attempt.settings)
        attributes = attempt.entry.user_attrs
        trial.source = attributes.get("source", records.SEARCH)
        if attempt.finished:
            score = attempt.score
            trial.message = attributes.get("error")
            trial.status = "FAILED"
            if scores.is_feasible(score):
                trial.status, trial.score = "COMPLETED", score
                several = attributes.get("objectives", {})
                found = {self.objective.name: score, **several}
                for name, value in found.items():
                    way = self.directions.get(name, self.objective.direction)
                    trial.metrics.register(name, direction=way)
                    trial.metrics.update(name, value)
        return trial

    def _new_trial(
        self, trial_id: str, settings: points.Settings, status: str = "RUNNING"
    ) -> Any:
        hyperparameters = self.get_space()
        hyperparameters.values = dict(settings)
        return keras_tuner.engine.trial.Trial(
            hyperparameters, trial_id=trial_id, status=status
        )

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """Unused: a trial's ID and settings come from the study together."""
        raise NotImplementedError


def _check_several(sampler: Any, pruner: Any) -> None:
    """Refuses what knows one objective only.

    Raises:
        ValueError: If the sampler or the pruner does.
    """
    names = samplers.OF_SEVERAL
    if isinstance(sampler, str) and sampler not in names:
        raise ValueError(
            f"`sampler` must be one of {names}, or an Optuna sampler, where "
            f"`objective` is a list. {_validation.received('sampler', sampler)}"
        )
    if pruner is not None:
        raise ValueError(
            "`pruner` must be None where `objective` is a list: Optuna prunes by one "
            f"objective. {_validation.received('pruner', pruner)}"
        )


def _absolute(storage: Any) -> Any:
    """Returns a storage whose place stays the same wherever the process goes."""
    if isinstance(storage, str) and "://" in storage:
        beginning, slashes, path = storage.partition(":///")
        # A file of SQLite; neither its memory nor a URI of its own.
        if beginning.startswith("sqlite") and slashes and path[:1] not in ("", ":"):
            if not path.startswith("file:"):
                storage = f"{beginning}:///{Path(path).absolute()}"
    elif isinstance(storage, str | os.PathLike):
        storage = Path(storage).absolute()
    return storage


def _agrees(trial: Any, attempt: Attempt) -> bool:
    """Whether a trial has ended here as it has in the study."""
    if not attempt.finished:
        return trial.status in ("RUNNING", "INVALID")
    score = attempt.score
    if scores.is_feasible(score):
        return trial.status == "COMPLETED" and trial.score == score
    return trial.status == "FAILED"
