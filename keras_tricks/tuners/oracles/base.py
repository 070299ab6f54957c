"""KerasTuner's oracles: every seed counts, only finite scores win, no file is fatal."""

from __future__ import annotations

import copy
import itertools
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from typing import ClassVar
from typing import Literal
from typing import TypedDict

import keras_tuner
import numpy as np

from keras_tricks import _validation
from keras_tricks.diagnosis.metrics import known_direction
from keras_tricks.tuners import errors
from keras_tricks.tuners import seeds
from keras_tricks.tuners.compat import keras_tuner_hooks
from keras_tricks.tuners.deadline import Deadline
from keras_tricks.tuners.results import records
from keras_tricks.tuners.results import scores
from keras_tricks.tuners.search_space import initial
from keras_tricks.tuners.search_space import points
from keras_tricks.tuners.search_space.roles import Roles
from keras_tricks.tuners.storage import files
from keras_tricks.tuners.storage import seals

CHECKPOINT = "checkpoint.weights.h5"

# Arguments of KerasTuner's oracles that are numbers of something, and the least ones.
# To all but the retries, None means that there is no limit, or a default.
_COUNTS = {
    "max_trials": 1,
    "max_retries_per_trial": 0,
    "max_consecutive_failed_trials": 1,
    "num_initial_points": 1,
    "hyperband_iterations": 1,
}


class _Hyperparameters(TypedDict):
    space: list[dict[str, Any]]
    values: dict[str, Any]


class _TrialState(TypedDict):
    """What KerasTuner writes as `trial.json`."""

    trial_id: str
    hyperparameters: _Hyperparameters
    metrics: dict[str, Any]
    score: float | None
    best_step: int | None
    status: Literal["RUNNING", "COMPLETED", "INVALID", "FAILED", "IDLE", "STOPPED"]
    message: str | None


class OracleMixin(keras_tuner_hooks.OracleHooks):
    """What our oracles share. Stands before KerasTuner's oracle in the bases.

    An oracle with a state of its own, beyond KerasTuner's `get_state`, overrides
    `on_reloaded`. One whose methods the workers of `search(..., workers=)` may call
    names them in `remote_methods`.

    Attributes:
        given_seed: The seed that was asked for, or None.
        keep_checkpoints: Trials whose weights stay on disk, or None for all.
        continues_trials: Whether a trial may begin with the weights of an earlier one.
            Weights are then kept until the search ends.
        is_adaptive: Whether a suggestion depends on the trials before, so that it
            is the better the more of them have ended.
        remote_methods: Names of the methods that a worker process may call.
        assumed_answers: Name of a method -> what a trial is answered that calls it
            where nobody can be asked; the call is made when the trial has ended.
        is_told_by_trials: Whether all that a save writes, but `untold_state`, comes
            back from the trials' files.
        has_workers: Whether several processes run its trials now.
        roles: What hyperparameters are to the search.
        initial_settings: What a search is given to begin with.
        deadline: When no further trial begins.
    """

    trials: dict[str, Any]
    objective: Any
    hyperparameters: Any
    max_trials: int | None

    continues_trials: bool = False
    is_adaptive: bool = True
    is_told_by_trials: bool = False
    # Whether they are the first trials as they are, without a place in a schedule.
    places_initial_settings: bool = True
    remote_methods: tuple[str, ...] = ("completed_scores",)
    assumed_answers: ClassVar[dict[str, Any]] = {}
    # Where the end of a trial stands, and what becomes of one whose files are lost.
    told_by: str = "trial.json"
    what_of_lost_trials: str = "is run again"

    def __init__(self, *, seed: int | None = None, roles: Any = None, **kwargs: Any):
        seed = _validation.check_seed("seed", seed)
        for name, minimum in _COUNTS.items():
            is_none = kwargs.get(name) is None and name != "max_retries_per_trial"
            if name in kwargs and not is_none:
                kwargs[name] = _validation.check_int(
                    name, kwargs[name], minimum=minimum
                )
        for name in ("tune_new_entries", "allow_new_entries"):
            if name in kwargs:
                kwargs[name] = _validation.check_flag(name, kwargs[name])
        kwargs["objective"] = checked_objective(kwargs.get("objective"))
        check_hyperparameters(kwargs.get("hyperparameters"))
        if kwargs.get("hyperparameters"):
            # What this search finds besides is not to be in the next one's.
            kwargs["hyperparameters"] = copy.deepcopy(kwargs["hyperparameters"])
        self.roles = Roles.of(roles)
        super().__init__(seed=seed, **kwargs)
        self.given_seed = seed
        if seed is not None:
            # KerasTuner takes a random seed where it is given 0.
            self.seed = seed
        self.keep_checkpoints: int | None = None
        self.has_workers = False
        self.initial_settings: list[points.Settings] = []
        # Of these, those whose trials have ended: they are looked for no more.
        self._given_ended: list[points.Settings] = []
        # Of the project's files, once it is known.
        self._seal: seals.Seal | None = None
        self.deadline = Deadline()
        self._lost: set[str] = set()
        # Trial ID -> what it asked for, until now and in all; see `asked_for`.
        self._asked_for: dict[str, list[str] | None] = {}
        self._asked_in_all: dict[str, list[str] | None] = {}
        # Trials whose weights are known not to be on disk.
        # Of all trials, of those of `_looked_through` so far, which may have weights.
        self._dropped: set[str] = set()
        self._undropped: dict[str, None] = {}
        self._looked_through: tuple[Any, int] = (None, 0)
        # How many trials had begun, and ended, at the last save; and what else it told.
        self._saved_trials = 0
        self._saved_rest: Any = None
        self.quieten()

    # Suggestions.

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """Returns the settings of a trial: a function of seed, trial and results.

        Settings that were tried before are replaced by others, as long as there are.
        """
        given = self.next_initial_values() if self.places_initial_settings else None
        if given is not None:
            return {"status": "RUNNING", "values": given}
        self.seed_suggestion(trial_id)
        response = super().populate_space(trial_id)
        values = response.get("values")
        if response["status"] == "RUNNING" and self.is_duplicate(values or {}):
            values = self.replacement(trial_id)
            status = "STOPPED" if values is None else "RUNNING"
            return {"status": status, "values": values}
        return response

    def check_initial_settings(self, settings: list[points.Settings]) -> None:
        """Warns of initial settings for which `max_trials` leaves no trial."""
        space = self.hyperparameters.space
        initial.check_number(self.trials.values(), space, settings, self.max_trials)

    def next_initial_values(self) -> dict[str, Any] | None:
        """Returns the first of the initial settings that no trial has, or None."""
        left = [one for one in self.initial_settings if one not in self._given_ended]
        if not left:
            return None
        space, trials = self.hyperparameters.space, self.trials.values()
        for number in initial.waiting(trials, space, left):
            return initial.values_of(space, left[number])
        ended = [trial for trial in trials if trial.status in keras_tuner_hooks.ENDED]
        self._given_ended += [
            one for one in left if any(initial.is_of(t, space, one) for t in ended)
        ]
        return None

    def replacement(self, trial_id: str) -> dict[str, Any] | None:
        """Returns settings in place of a duplicate, or None if none are left."""
        return self.unseen_values()

    def remaining_values(self) -> dict[str, Any] | None:
        """Returns settings of a small space that are left, at random, or None."""
        every = points.all_points(self.hyperparameters.space)
        left = [values for values in every or () if not self.is_duplicate(values)]
        if not left:
            return None
        seed = seeds.derived_seed(self.seed, str(len(self.trials)), "what is left")
        return left[np.random.default_rng(seed).integers(len(left))]

    @keras_tuner.synchronized
    def create_trial(self, tuner_id: str) -> Any:
        """Returns the next trial to run; those that were interrupted come first."""
        if self.deadline.is_over:
            return _nothing_more()
        trial = super().create_trial(tuner_id)
        if trial.trial_id not in self._lost or trial.status != "RUNNING":
            return trial
        self._lost.discard(trial.trial_id)
        # Neither its settings nor its result could be read: both are made anew.
        self.forget_values(trial.trial_id)
        del self.trials[trial.trial_id], self.ongoing_trials[tuner_id]
        response = self.populate_space(trial.trial_id)
        self.trials[trial.trial_id] = trial
        self.trials = _sorted(self.trials)
        if response["status"] != "RUNNING":
            trial.status = "FAILED"
            trial.message = "Its files were lost, and no settings are left to be tried."
            self.end_order.append(trial.trial_id)
            self._save_trial(trial)
            return self.create_trial(tuner_id)
        trial.hyperparameters = self.hyperparameters.copy()
        trial.hyperparameters.values = response["values"]
        self._record_values(trial)
        self.ongoing_trials[tuner_id] = trial
        self._save_trial(trial)
        self.save()
        return trial

    def give_back(self, trial: Any) -> None:
        """Takes back a trial that the deadline keeps from beginning.

        It stays as it is: the next search begins with what this one has left running.
        """

    @keras_tuner.synchronized
    def end_trial(self, trial: Any) -> None:
        """Ends a trial, and drops the weights that are no longer among the best."""
        self._forget_unused_names(trial)
        super().end_trial(trial)
        if not self.continues_trials:
            self.drop_checkpoints()

    def _forget_unused_names(self, trial: Any) -> None:
        """Warns of initial settings that the trial did not ask for, and drops them."""
        space, values = trial.hyperparameters.space, trial.hyperparameters.values
        if trial.status != "COMPLETED":
            return  # An error may have kept it from asking.
        for settings in self.initial_settings:
            if initial.is_of(trial, space, settings):
                message = initial.unused_names(values, space, settings)
                if message is not None:
                    warnings.warn(message, stacklevel=2)
                for name in settings.keys() - {hp.name for hp in space}:
                    values.pop(name, None)

    def drop_checkpoints(self) -> None:
        """Deletes the weights of the trials that ended outside of the best ones."""
        if self.keep_checkpoints is None:
            return
        best = {trial.trial_id for trial in self.best_with_weights()}
        for trial in self._with_weights():
            if trial.trial_id not in best and trial.status in keras_tuner_hooks.ENDED:
                self._dropped.add(trial.trial_id)
                del self._undropped[trial.trial_id]
                path = self.folder / f"trial_{trial.trial_id}" / CHECKPOINT
                path.unlink(missing_ok=True)

    def best_with_weights(self) -> list[Any]:
        """Returns the trials whose weights stay on disk, best first."""
        return self._best(self._with_weights())[: self.keep_checkpoints]

    def _with_weights(self) -> list[Any]:
        """Returns the trials whose weights may be on disk: all that were ever best."""
        trials, number = self._looked_through
        if trials is not self.trials or len(self.trials) < number:
            self._undropped, number = {}, 0
        for trial_id in itertools.islice(self.trials, number, None):
            if trial_id not in self._dropped:
                self._undropped[trial_id] = None
        self._looked_through = self.trials, len(self.trials)
        return [self.trials[trial_id] for trial_id in self._undropped]

    def checkpoint_candidates(self, found: dict[str, float]) -> list[str]:
        """Returns those of the trials that end now whose weights would be kept.

        Args:
            found: Trial ID -> score, of which the lowest is the best.
        """
        if not found or self.keep_checkpoints is None or self.continues_trials:
            return list(found)
        sign = scores.sign(self.objective.direction)
        best = self.best_with_weights()
        known = {trial.trial_id: sign * trial.score for trial in best} | found
        # Those that score alike may be told apart otherwise by the oracle.
        last = sorted(known.values())[: self.keep_checkpoints][-1]
        return [trial_id for trial_id, score in found.items() if score <= last]

    def update_space_early(self, trial: Any, asked_for: list[str] | None) -> None:
        """Takes over what a model asked for, before the trial has ended.

        Args:
            trial: The trial.
            asked_for: The names of what it asked for so far; None where all count.
        """
        self.update_space(trial.hyperparameters)
        self.record_values(trial)
        self._asked_for[trial.trial_id] = asked_for or None

    def completed_scores(self, trial_id: str) -> dict[str, float]:
        """Returns trial ID -> score of the completed trials, in their order.

        Args:
            trial_id: Of these, those that had as many epochs as this one, where the
                oracle decides how many.
        """
        epochs = _epochs_of(self.trials[trial_id])
        return {
            known_id: trial.score
            for known_id, trial in self.trials.items()
            if trial.status == "COMPLETED"
            and scores.is_feasible(trial.score)
            and _epochs_of(trial) == epochs
        }

    def asked_for(self, trial: Any) -> list[str] | None:
        """Returns the names that a trial asked for; None where all count.

        An error may have kept a trial that failed from asking for more.
        """
        if trial.status not in keras_tuner_hooks.ENDED:
            return self._asked_for.get(trial.trial_id)
        if trial.trial_id not in self._asked_in_all:
            if self._seal is None or not self._seal.has_checksums:
                # Read once, and not for every trial of a search that is resumed.
                self._seal = seals.Seal.of(self.folder)
            record = self._record_of(trial.trial_id, self._seal)
            is_whole = record is not None and record.status != records.FAILED
            names = record.asked_for if record is not None and is_whole else None
            self._asked_in_all[trial.trial_id] = names
        return self._asked_in_all[trial.trial_id]

    def names_with_several_ranges(self) -> set[str]:
        """Returns the hyperparameters that trials asked for with another range, too."""
        seal = seals.Seal.of(self.folder)
        found = (self._record_of(trial_id, seal) for trial_id in self.trials)
        return {name for r in found if r is not None for name in r.several_ranges}

    @property
    def verbose(self) -> int:
        """Always 0: our tuners show the progress themselves."""
        return 0

    @verbose.setter
    def verbose(self, value: int | str) -> None:
        # `search` hands fit's verbosity to the oracle, which must stay silent.
        pass

    def get_best_trials(self, num_trials: int = 1) -> list[Any]:
        """Returns the best completed trials, at most `num_trials`, best first.

        Unlike KerasTuner's it never fills up with failed trials, and trials of equal
        score stand in the order in which they were started.
        """
        return self._best(self.trials.values())[:num_trials]

    def _best(self, trials: Iterable[Any]) -> list[Any]:
        completed = [
            trial
            for trial in trials
            if trial.status == "COMPLETED" and scores.is_feasible(trial.score)
        ]
        completed.sort(key=lambda trial: scores.order(trial.trial_id))
        return scores.best_first(completed, self.objective.direction)

    # Saving and resuming.

    def is_save_due(self) -> bool:
        """Whether it is, once a twentieth of the trials is new where these tell it all.

        A save takes the longer the more trials there are.
        """
        return (
            not self.is_told_by_trials
            or self._trials_to_save() > 1.05 * self._saved_trials
            or self.are_trials_waiting
            or self.untold_state() != self._saved_rest
        )

    def _trials_to_save(self) -> int:
        return len(self.start_order) + len(self.end_order)

    def untold_state(self) -> Any:
        """Returns what the trials' files do not tell, to be compared."""
        return len(self.hyperparameters.space)

    def save_now(self) -> None:
        """Saves all but the trials, whole or not at all."""
        super().save_now()
        self._saved_trials = self._trials_to_save()
        self._saved_rest = self.untold_state()

    def reload(self) -> None:
        """Reads the project's folder, as far as it can be read.

        What is damaged or missing is named in a warning. A trial without `trial.json`
        comes back from its `record.json`, or is run again under its ID. Without
        `oracle.json` the order and the space come back from the trials.
        """
        fresh = copy.deepcopy(self.hyperparameters)
        self._asked_for.clear()
        self._asked_in_all.clear()
        self._given_ended.clear()
        self._seal = None
        problems: list[str] = []
        state: dict[str, Any] | None = None
        try:
            state = self.read_state()
        except errors.DamagedFileError as error:
            problems.append(f"{error}: restored from the trials")
        self.trials = self._read_trials(state or {}, problems)
        if state is not None:
            try:
                # Trials that were running are found by their status.
                self.set_state({**state, "ongoing_trials": {}})
            except Exception as error:  # KerasTuner reads it, without a schema.
                problems.append(
                    f"{self.folder / 'oracle.json'} is damaged "
                    f"({type(error).__name__}: {error}): restored from the trials"
                )
                state = None
        if state is None:
            self.hyperparameters = copy.deepcopy(fresh)
            self.forget_history()
            for trial in self.trials.values():
                self.update_space(trial.hyperparameters)
        self.update_space(fresh)
        self.restore_history(self.trials.values())
        for trial_id in self._lost:
            self.trials[trial_id].hyperparameters = self.get_space()
            self.trials[trial_id].hyperparameters.values = {}
        self.on_reloaded(rebuilt=state is None)
        for problem in problems:
            warnings.warn(problem, stacklevel=2)

    def on_reloaded(self, rebuilt: bool) -> None:
        """Called after `reload`, with all trials in place.

        Args:
            rebuilt: Whether `oracle.json` could not be read, so that `set_state` was
                not called, or not to its end.
        """

    def has_results(self) -> bool:
        """Whether the project's folder holds a trial that has ended."""
        trials = self._read_trials({}, [])
        self._lost.clear()
        return any(t.status in keras_tuner_hooks.ENDED for t in trials.values())

    def _read_trials(
        self, state: dict[str, Any], problems: list[str]
    ) -> dict[str, Any]:
        """Returns all trials; stand-ins for those that are lost."""
        found: dict[str, Any] = {}
        missing: dict[str, None] = {}
        seal = seals.Seal.of(self.folder)
        self._lost = set()
        there = [
            folder.name for folder in self.folder.glob("trial_*") if folder.is_dir()
        ]
        listed, unknown = self._listed(state, there)
        folders = {f"trial_{trial_id}": True for trial_id in listed}
        for name in there:
            folders.setdefault(name, False)
        if unknown:
            problems.append(
                f"{self.folder / 'oracle.json'} is damaged (start_order: expected the "
                f"search's trials, found {len(unknown)} others, of which the first is "
                f"{_validation.shown(unknown[0])}): skipped"
            )
        for name, is_listed in folders.items():
            trial_id, told = files.trial_id_of(name), list[str]()
            trial = None if trial_id is None else self._read_trial(trial_id, told, seal)
            if trial_id is not None and trial is not None:
                found[trial_id] = trial
            elif trial_id is not None and (
                # Without a list, whatever has a file is one that was lost.
                is_listed or (not state and any((self.folder / name).iterdir()))
            ):
                missing[trial_id] = None
            else:
                told = [f"{self.folder / name} is no trial of this search: skipped"]
            problems += told
        missing.update(dict.fromkeys(_gaps(found)))
        for trial_id in missing:
            if trial_id not in found:
                self._lost.add(trial_id)
                found[trial_id] = _stand_in(trial_id)
        return _sorted(found)

    def _listed(
        self, state: dict[str, Any], there: list[str]
    ) -> tuple[list[str], list[str]]:
        """Returns the trials of a list which may be some, and the rest of the list.

        Args:
            state: What `oracle.json` holds.
            there: The names of the trials' folders.
        """
        found = [files.trial_id_of(name) for name in there]
        numbers = [int(trial_id) for trial_id in found if trial_id is not None]
        # Trials are counted: one whose folder is gone is below the last, or the limit.
        limit = max([self.max_trials or 0, *(n + 1 for n in numbers if n < 10**9)])
        listed: dict[str, None] = {}
        unknown = []
        for trial_id in _strings(state.get("start_order")):
            is_number = files.TRIAL_ID.fullmatch(trial_id) and len(trial_id) < 10
            if is_number and int(trial_id) < limit:
                listed[trial_id] = None
            else:
                unknown.append(trial_id)
        return [*listed], unknown

    def _read_trial(self, trial_id: str, problems: list[str], seal: seals.Seal) -> Any:
        folder = self.folder / f"trial_{trial_id}"
        if folder.is_symlink():
            problems.append(
                f"{folder} is a symbolic link, which is not followed: trial {trial_id} "
                f"{self.what_of_lost_trials}"
            )
            return None
        try:
            state = seal.read(folder / "trial.json", _TrialState)
            if state["trial_id"] != trial_id:
                raise errors.DamagedFileError(
                    f"{folder / 'trial.json'} is another trial's "
                    f"(trial_id={state['trial_id']!r})"
                )
            return _trial_of(state, folder)
        except errors.DamagedFileError as error:
            damage = error
        trial = self._trial_of_record(folder)
        if trial is not None:
            problems.append(f"{damage}: restored from {records.RECORD_FILE}")
        else:
            problems.append(f"{damage}: trial {trial_id} {self.what_of_lost_trials}")
        return trial

    def _record_of(
        self, trial_id: str, seal: seals.Seal | None = None
    ) -> records.TrialRecord | None:
        try:
            return records.TrialRecord.read(self.folder / f"trial_{trial_id}", seal)
        except errors.DamagedFileError:
            return None

    def _trial_of_record(self, folder: Path) -> Any:
        """Returns the trial that a record tells of, or None."""
        record = self._record_of(folder.name.removeprefix("trial_"))
        if record is None:
            return None
        trial = _stand_in(record.trial_id)
        trial.hyperparameters = self.get_space()
        trial.hyperparameters.values = dict(record.settings)
        trial.message = record.traceback
        trial.status = "FAILED"
        if record.status == records.COMPLETED and record.score is not None:
            trial.status = "COMPLETED"
            trial.score = record.score
            trial.best_step = (record.best_epoch or 1) - 1
            trial.metrics.register(record.objective, direction=record.direction)
            trial.metrics.update(record.objective, record.score, step=trial.best_step)
        elif record.status == records.INFEASIBLE:
            trial.message = f"Infeasible: {record.error}"
        return trial

    update_space: Any
    get_space: Any
    set_state: Any


def _sorted(trials: dict[str, Any]) -> dict[str, Any]:
    """Files come in any order; a Gaussian process's last bits depend on it."""
    return dict(sorted(trials.items(), key=lambda item: scores.order(item[0])))


def _trial_of(state: _TrialState, folder: Path) -> Any:
    """Returns KerasTuner's trial of what `trial.json` holds.

    Raises:
        DamagedFileError: If KerasTuner cannot make one of it.
    """
    try:
        return keras_tuner.engine.trial.Trial.from_state(state)
    except Exception as error:  # Whatever stands in the space, or in the metrics.
        raise errors.DamagedFileError(
            f"{folder / 'trial.json'} is damaged ({type(error).__name__}: {error})"
        ) from error


def _stand_in(trial_id: str) -> Any:
    # Invalid, as a trial that waits to be run again: no model is shown it.
    return keras_tuner.engine.trial.Trial(
        keras_tuner.HyperParameters(), trial_id=trial_id, status="INVALID"
    )


def _nothing_more() -> Any:
    return keras_tuner.engine.trial.Trial(
        keras_tuner.HyperParameters(), status="STOPPED"
    )


def _strings(value: Any) -> list[str]:
    return [v for v in value if isinstance(v, str)] if isinstance(value, list) else []


def _gaps(trial_ids: Iterable[str]) -> list[str]:
    """Returns the IDs missing below the highest: a new trial gets the next number."""
    numbers = {int(name): name for name in trial_ids if name.isdecimal()}
    if not numbers:
        return []
    width = len(numbers[max(numbers)])
    return [
        f"{number:0{width}d}" for number in range(max(numbers)) if number not in numbers
    ]


def _epochs_of(trial: Any) -> Any:
    """Returns the epochs that the oracle gives a trial; None where it gives none."""
    return trial.hyperparameters.values.get("tuner/epochs")


def checked_objective(objective: Any) -> Any:
    """Returns an objective of which KerasTuner can tell what is best.

    A metric that KerasTuner does not know, such as `"val_r2"`, has the direction that
    its name is known for.

    Raises:
        TypeError: If it is no objective, and no list of them.
        ValueError: If nothing says whether it is to be made small or large.
    """
    several = objective if isinstance(objective, list) else [objective]
    are_objectives = bool(several) and all(
        isinstance(each, str | keras_tuner.Objective) and each for each in several
    )
    if objective is not None and not are_objectives:
        raise TypeError(
            "`objective` must be the name of a metric, a `keras_tuner.Objective`, a "
            "list of those that is not empty, or None. "
            f"{_validation.received('objective', objective, True)}"
        )
    told = [_with_direction(each, objective) for each in several]
    return told if isinstance(objective, list) else told[0]


def _with_direction(one: Any, objective: Any) -> Any:
    """Returns one objective, with a direction where KerasTuner knows none."""
    try:
        keras_tuner.Oracle(objective=one)
    except ValueError as error:
        direction = known_direction(one) if isinstance(one, str) else None
        if direction is not None:
            return keras_tuner.Objective(one, direction)
        raise ValueError(
            "`objective` must tell its direction where its name does not: "
            '`keras_tuner.Objective("val_f1", "max")`. '
            f"{_validation.received('objective', objective)}"
        ) from error
    return one


def check_hyperparameters(hyperparameters: Any) -> None:
    """Checks that hyperparameters are some, or None.

    Raises:
        TypeError: If they are not.
    """
    if hyperparameters is not None and not isinstance(
        hyperparameters, keras_tuner.HyperParameters
    ):
        raise TypeError(
            "`hyperparameters` must be a `keras_tuner.HyperParameters` or None. "
            f"{_validation.received('hyperparameters', hyperparameters, True)}"
        )
