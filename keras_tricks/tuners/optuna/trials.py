"""The trials of an Optuna study that several processes run, without a chief.

An entry of the study is one attempt at a trial. Its user attributes say which trial it
is (`trial_id`), which attempt at it (`attempt`, counted from 0), its settings
(`settings`) and the process that made it (`owner`). Two processes may claim the same
attempt at the same moment: the entry with the lowest number has it, and the other one
is withdrawn. A storage numbers its entries one after the other, so that all processes
see the same winner.

While an attempt runs, its owner renews `heartbeat`. An attempt whose owner has died is
followed by a next one, with the same trial ID and settings. An attempt counts as ended
once the study holds its result, too: a score, or an error.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import time
import uuid
import weakref
from typing import Any

from keras_tricks.tuners import _processes
from keras_tricks.tuners import errors
from keras_tricks.tuners.optuna._import import optuna
from keras_tricks.tuners.optuna._import import quiet
from keras_tricks.tuners.optuna.heartbeat import Heartbeats
from keras_tricks.tuners.search_space import points
from keras_tricks.tuners.storage import files

WITHDRAWN = "withdrawn"

# Owner -> its view, of those in this process, where no sign of life is waited for.
_of_this_process: weakref.WeakValueDictionary[str, StudyTrials] = (
    weakref.WeakValueDictionary()
)


@dataclasses.dataclass(frozen=True)
class Attempt:
    """The attempt at a trial that counts: the latest one.

    Attributes:
        trial_id: The trial's ID: a number from 0. Where a storage has lost an entry,
            one is missing until the trial is run again.
        attempt: How many attempts were made before.
        entry: The study's entry, an `optuna.trial.FrozenTrial`.
    """

    trial_id: str
    attempt: int
    entry: Any

    @functools.cached_property
    def finished(self) -> bool:
        return _has_ended(self.entry)

    @property
    def score(self) -> Any:
        """Its score, if it has one."""
        return _score_of(self.entry)

    @property
    def owner(self) -> str:
        return self.entry.user_attrs.get("owner", "")

    @functools.cached_property
    def settings(self) -> points.Settings:
        return dict(self.entry.user_attrs["settings"])


def _has_ended(entry: Any) -> bool:
    """Whether a study knows the result of an attempt."""
    has_result = _score_of(entry) is not None or "error" in entry.user_attrs
    return entry.state.is_finished() and has_result


def _score_of(entry: Any) -> Any:
    """Returns the score that an entry tells: twice, so that one may be lost."""
    told = entry.user_attrs.get("score")
    is_complete = entry.state.name == "COMPLETE" and entry.values is not None
    if told is None and is_complete and len(entry.values) == 1:
        return entry.values[0]
    return told


def _is_attempt(entry: Any) -> bool:
    """Whether an entry of a study tells of an attempt, and not of something else."""
    found = entry.user_attrs
    trial_id, attempt = found.get("trial_id"), found.get("attempt")
    return (
        isinstance(trial_id, str)
        and files.TRIAL_ID.fullmatch(trial_id) is not None
        and str(int(trial_id)) == trial_id
        and type(attempt) is int
        and isinstance(found.get("settings"), dict)
        and isinstance(found.get("owner", ""), str)
    )


def _latest(trial_id: str, entries: dict[int, Any]) -> Attempt | None:
    """Returns the attempt that counts among the entries of a trial."""
    won: dict[int, Any] = {}
    for _, entry in sorted(entries.items()):
        if WITHDRAWN not in entry.user_attrs:
            won.setdefault(entry.user_attrs["attempt"], entry)
    latest = None
    for attempt, entry in sorted(won.items()):
        # An owner that was taken for dead may have come back and finished.
        if latest is None or not (
            latest.finished and latest.entry.state.name in ("COMPLETE", "PRUNED")
        ):
            latest = Attempt(trial_id, attempt, entry)
    return latest


class StudyTrials:
    """One process's view of the study, and its attempts.

    Args:
        study: An `optuna.Study`.
        storage: The `optuna.storages.BaseStorage` that holds it.
        lease_seconds: An attempt without a sign of life for so long may be repeated.
    """

    def __init__(self, study: Any, storage: Any, lease_seconds: float):
        self.study = study
        self.storage = storage
        self.lease_seconds = lease_seconds
        self.owner = f"{_processes.this_process()}:{uuid.uuid4().hex}"
        self._study_id = storage.get_study_id_from_name(study.study_name)
        self._heartbeats = Heartbeats(self._renew, lease_seconds / 4)
        _of_this_process[self.owner] = self
        # Entry number -> (signs of life, when they were first seen): no clocks are
        # compared.
        self._signs: dict[int, tuple[Any, float]] = {}
        self._begin_anew()

    def attempts(self) -> dict[str, Attempt]:
        """Returns the attempt that counts for each trial, in the trials' order."""
        self._refresh()
        return dict(self._latest)

    def _begin_anew(self) -> None:
        # The study's entries, of which those that are over stay as they are; None for
        # the others.
        self._final: list[Any] = []
        # Number of a trial -> its entries by number, and the attempt that counts.
        self._entries: dict[int, dict[int, Any]] = {}
        self._latest: dict[str, Attempt] = {}
        # Entries of `study.enqueue_trial` that nobody has taken.
        self._waiting: list[Any] = []

    def _refresh(self) -> None:
        """Takes over what the study has got since the last time."""
        entries = self.study.get_trials(deepcopy=False)
        if len(entries) < len(self._final):
            self._begin_anew()
        self._final += [None] * (len(entries) - len(self._final))
        changed: dict[int, None] = {}
        self._waiting = []
        for place, (entry, final) in enumerate(zip(entries, self._final, strict=True)):
            if entry is final:
                continue
            self._final[place] = entry if entry.state.is_finished() else None
            if entry.state.name == "WAITING":
                self._waiting.append(entry)
            if _is_attempt(entry):
                trial = int(entry.user_attrs["trial_id"])
                self._entries.setdefault(trial, {})[entry.number] = entry
                changed[trial] = None
        is_in_order = True
        for trial in sorted(changed):
            latest = _latest(str(trial), self._entries[trial])
            if latest is None:
                self._latest.pop(str(trial), None)
            else:
                if str(trial) not in self._latest:
                    is_in_order &= trial > int(next(reversed(self._latest), "-1"))
                self._latest[str(trial)] = latest
        if not is_in_order:
            self._latest = dict(sorted(self._latest.items(), key=lambda i: int(i[0])))

    def _entries_of(self, trial_id: str) -> list[Any]:
        """Returns all known entries of a trial, those that were withdrawn, too."""
        return [*self._entries.get(int(trial_id), {}).values()]

    def _next_trial(self, known: dict[str, Attempt]) -> tuple[str, int]:
        """Returns the ID of a trial to begin, and how many attempts at it there were.

        There were some if a storage has lost the one that counted. What others have
        begun since the last look at the study, `claim` will see.

        Args:
            known: The attempts of the trials that there are, in their order.
        """
        trial_id = str(len(known))
        if next(reversed(known), "-1") != str(len(known) - 1):
            trial_id = next(i for i in map(str, itertools.count()) if i not in known)
        before = [entry.user_attrs["attempt"] for entry in self._entries_of(trial_id)]
        return trial_id, max(before, default=-1) + 1

    def enqueued(self) -> list[Any]:
        """Returns the known entries of `study.enqueue_trial` that nobody has taken."""
        return list(self._waiting)

    def drop_enqueued(self, entry: Any) -> None:
        """Takes an entry off the queue: an attempt of its own tells of its settings."""
        self.set_attribute(entry.number, WITHDRAWN, True)
        state = optuna().trial.TrialState.FAIL
        self.storage.set_trial_state_values(self._storage_id(entry.number), state)

    def claim(
        self,
        trial_id: str,
        attempt: int,
        settings: points.Settings,
        params: dict[str, Any],
        distributions: dict[str, Any],
        system_attrs: dict[str, Any] | None = None,
    ) -> Any:
        """Returns the entry of a new attempt, or None if another process has it."""
        token = uuid.uuid4().hex
        self.study.add_trial(
            optuna().trial.create_trial(
                state=optuna().trial.TrialState.RUNNING,
                params=params,
                distributions=distributions,
                user_attrs={
                    "trial_id": trial_id,
                    "attempt": attempt,
                    "settings": settings,
                    "owner": self.owner,
                    "heartbeat": 0,
                    "token": token,
                },
                system_attrs=system_attrs,
            )
        )
        self._refresh()
        claims = [
            entry
            for entry in self._entries_of(trial_id)
            if entry.user_attrs["attempt"] == attempt
        ]
        (own,) = (entry for entry in claims if entry.user_attrs.get("token") == token)
        # Withdrawn ones count: whoever claimed first may be done already.
        if own.number != min(entry.number for entry in claims):
            self._withdraw(own)
            return None
        self._heartbeats.add(own.number)
        return own

    def repeat(self, stale: Attempt) -> Any:
        """Returns the entry of a next attempt at a trial, or None if it is another's.

        It has the settings of the stale one, which is called failed.
        """
        entry = stale.entry
        own = self.claim(
            stale.trial_id,
            stale.attempt + 1,
            stale.settings,
            entry.params,
            entry.distributions,
            entry.system_attrs,
        )
        if own is None:
            return None
        # What has ended since `claim` has looked, `_fail` leaves as it is.
        for other in self._entries_of(stale.trial_id):
            if other.number != own.number and not other.state.is_finished():
                self._fail(other)
        if self.attempts()[stale.trial_id].entry.number != own.number:
            # It was not dead, and has finished just now.
            self._withdraw(own)
            return None
        return own

    def is_stale(self, attempt: Attempt) -> bool:
        """Whether nobody works at an attempt any more."""
        if attempt.finished or attempt.owner == self.owner:
            return False
        if _processes.is_dead(attempt.owner):
            return True
        is_here = attempt.owner.startswith(f"{_processes.this_process()}:")
        if is_here:
            # Of an earlier search, or of one in another thread.
            other = _of_this_process.get(attempt.owner)
            if other is None or not other.runs(attempt):
                return True
        # A long call of C code keeps a process from giving signs while it works.
        heartbeat = attempt.entry.user_attrs.get("heartbeat")
        signs = heartbeat, None if is_here else _processes.work_of(attempt.owner)
        seen = self._signs.get(attempt.entry.number)
        if seen is None or seen[0] != signs:
            self._signs[attempt.entry.number] = (signs, time.monotonic())
            return False
        return time.monotonic() - seen[1] > self.lease_seconds

    def runs(self, attempt: Attempt) -> bool:
        """Whether this is the owner of an attempt, and at work at it."""
        return attempt.entry.number in self._heartbeats.numbers()

    def finish(
        self,
        entry: Any,
        state: str,
        values: list[float] | None,
        attributes: dict[str, Any],
    ) -> None:
        """Tells the study the end of an attempt, with the value of each objective.

        Raises:
            SupersededError: If another attempt has taken its place.
        """
        self._heartbeats.discard(entry.number)
        states = optuna().trial.TrialState
        try:
            for name, content in attributes.items():
                self.set_attribute(entry.number, name, content)
            with quiet():
                # A pruned trial has the last value that it reported.
                told = values if state == "COMPLETE" else None
                self.study.tell(entry.number, told, state=states[state])
        except (RuntimeError, ValueError) as error:
            if self._entry(entry.number).state.is_finished():
                raise errors.SupersededError from error
            raise

    def release(self) -> None:
        """Leaves the attempts that this process has begun to whoever comes."""
        for number in self._heartbeats.numbers():
            self._heartbeats.discard(number)
            if not self._entry(number).state.is_finished():
                self.set_attribute(number, "owner", "")

    def report(self, entry: Any, step: int, value: float) -> None:
        """Records an intermediate value."""
        self.storage.set_trial_intermediate_value(
            self._storage_id(entry.number), step, value
        )

    def should_prune(self, entry: Any) -> bool:
        """Whether the study's pruner would end an attempt now."""
        return self.study.pruner.prune(self.study, self._entry(entry.number))

    def set_attribute(self, number: int, name: str, content: Any) -> None:
        self.storage.set_trial_user_attr(self._storage_id(number), name, content)

    def set_parameter(self, number: int, name: str, value: Any, of: Any) -> None:
        """Adds a parameter that appeared while the attempt ran."""
        self.storage.set_trial_param(
            self._storage_id(number), name, of.to_internal_repr(value), of
        )

    def _renew(self, number: int) -> None:
        self.set_attribute(number, "heartbeat", uuid.uuid4().hex)

    def _withdraw(self, entry: Any) -> None:
        self._heartbeats.discard(entry.number)
        self.set_attribute(entry.number, WITHDRAWN, True)
        self._fail(entry)

    def _fail(self, entry: Any) -> None:
        try:
            with quiet():
                self.study.tell(entry.number, state=optuna().trial.TrialState.FAIL)
        except (RuntimeError, ValueError):
            if not self._entry(entry.number).state.is_finished():
                raise

    def _entry(self, number: int) -> Any:
        return self.storage.get_trial(self._storage_id(number))

    def _storage_id(self, number: int) -> int:
        return self.storage.get_trial_id_from_study_id_trial_number(
            self._study_id, number
        )
