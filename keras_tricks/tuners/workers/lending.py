"""Lending the trials of a search, whoever runs them: processes of ours, or an engine's.

The process that calls `search` keeps the oracle and is the only one to write its
state. It lends a trial as the oracle's state of it, and takes back the state in which
the trial ended, with the metrics that it had. Whoever runs it has the same seeds as a
search in one process.

- A trial whose worker is gone is lent again: the same ID, settings and seeds. One that
  has cost `MAX_LEASES` workers their lives is given up as failed.
- What a trial asks for beyond the known space is learned when it is lent, as far as
  `build` asks for it; where only `fit` does, the first trial runs alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras_tuner

from keras_tricks.parameters.abstract_build import built_abstractly
from keras_tricks.tuners._typing import SearchingTuner
from keras_tricks.tuners.compat.keras_settings import KerasSettings
from keras_tricks.tuners.compat.keras_tuner_hooks import ENDED
from keras_tricks.tuners.results import records
from keras_tricks.tuners.search_space.asked_for import AskedFor

MAX_LEASES = 5


class Lender:
    """Takes trials from the oracle of a search, and brings them back.

    Args:
        tuner: The tuner that searches.

    Attributes:
        is_exhausted: Whether the oracle has no trial more, as far as is known.
        must_learn_space: Whether the next trial is to run alone.
        crash_count: Trial ID -> how many workers the trial has cost.
        crashes_without_progress: How many workers went since a trial last ended.
        has_completed: Whether a trial has had a score.
    """

    def __init__(self, tuner: SearchingTuner):
        self.tuner = tuner
        self.oracle = tuner.oracle
        self.folder = Path(tuner.project_dir)
        self.is_exhausted = False
        self.crash_count: dict[str, int] = {}
        self.crashes_without_progress = 0
        self.has_completed = False
        self._leases = 0
        # What only `fit` asks for is known after a trial.
        ended = any(t.status in ENDED for t in self.oracle.trials.values())
        self.must_learn_space = not ended and not tuner._logs_are_known()

    def search(self) -> None:
        """Runs the trials that are left, and ends what runs them, whatever happens."""
        self.oracle.has_workers = True
        try:
            self.run()
        finally:
            self.oracle.has_workers = False
            self.stop()

    def run(self) -> None:
        """Lends trials and takes them back until there are none left."""
        raise NotImplementedError

    def stop(self) -> None:
        """Ends what still runs."""
        raise NotImplementedError

    def next_trial(self) -> Any:
        """Returns a trial that is lent from now on, or None if there is none."""
        self._leases += 1
        tuner_id = f"worker{self._leases}"
        trial = self.oracle.create_trial(tuner_id)
        self.oracle.tuner_ids.discard(tuner_id)
        self.is_exhausted = trial.status == "STOPPED"
        if trial.status != "RUNNING":
            return None
        self._learn_space(trial)
        return trial

    def _learn_space(self, trial: Any) -> None:
        """Adds what the model of a trial asks for, which the next trial shall have.

        A search in one process learns it when the trial ends.
        """
        hp, asked_for = trial.hyperparameters.copy(), AskedFor()
        hypermodel = self.tuner.hypermodel
        if hypermodel is None:
            return
        try:
            with (
                KerasSettings.kept(),
                asked_for.asked(hp),
                self.tuner._ranges_watched(hp),
            ):
                built_abstractly(lambda: hypermodel.build(hp))
        except Exception:
            return  # The trial itself will tell.
        trial.hyperparameters = hp
        self.oracle.update_space_early(trial, asked_for.names)

    def are_dangerous(self, trial_ids: Any) -> bool:
        """Whether a trial among these has cost a worker its life.

        Such a trial is run alone, lest it cost others theirs.
        """
        return any(map(self.crash_count.get, trial_ids))

    def take_back(self, state: dict[str, Any], updates: Any) -> str:
        """Ends a trial that was lent; returns what the oracle makes of it.

        Args:
            state: The oracle's state of the trial, as whoever ran it left it.
            updates: The metrics that it had, and the steps of these.
        """
        trial = keras_tuner.engine.trial.Trial.from_state(state)
        self.oracle.trials[trial.trial_id].metrics.metrics.clear()
        for metrics, step in updates:
            self.oracle.update_trial(trial.trial_id, metrics, step=step)
        self._end(trial)
        return str(self.oracle.trials[trial.trial_id].status)

    def _end(self, trial: Any) -> None:
        """Ends a trial as the oracle does, and shows it."""
        self.oracle.end_trial(trial)
        self.tuner.save()
        self.crashes_without_progress = 0
        self.is_exhausted = False
        status = self.oracle.trials[trial.trial_id].status
        if status not in ENDED:
            return
        self.must_learn_space = False
        record = records.TrialRecord.read(self.folder / f"trial_{trial.trial_id}")
        self.has_completed |= record.status == records.COMPLETED
        self.tuner._show(record)
        self.on_ended(record)

    def on_ended(self, record: records.TrialRecord) -> None:
        """Called when a trial has ended for good, with its record."""

    def lend_again(self, trial: Any, why: str) -> None:
        """Leaves a trial, whose worker is gone, to another, or gives it up."""
        self.is_exhausted = False
        crashes = self.crash_count.get(trial.trial_id, 0) + 1
        self.crash_count[trial.trial_id] = crashes
        if crashes < MAX_LEASES:
            self.oracle.run_again(trial.trial_id)
            return
        trial.status = "FAILED"
        trial.message = (
            f"It cost {crashes} worker processes their lives; the last {why}"
        )
        record = records.TrialRecord.of_trial(trial, self.oracle.objective)
        record.seed = self.oracle.seed
        record.write(self.folder / f"trial_{trial.trial_id}")
        self._end(trial)
