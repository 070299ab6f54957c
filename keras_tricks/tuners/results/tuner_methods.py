"""The methods by which tuners show results: tables, curves, models, notes."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any

import keras
import keras_tuner
import numpy as np

from keras_tricks import _validation
from keras_tricks.tuners import errors
from keras_tricks.tuners.compat import keras_tuner_hooks
from keras_tricks.tuners.results import confirmation
from keras_tricks.tuners.results import leaderboard
from keras_tricks.tuners.results import records
from keras_tricks.tuners.results import scores
from keras_tricks.tuners.storage import files

if TYPE_CHECKING:
    import pandas as pd


class Results(keras_tuner_hooks.TunerHooks):
    """The part of `TunerMixin` that reads a project and annotates it."""

    project_dir: str
    options: Any
    _ended_records: Callable[[], list[records.TrialRecord]]
    _logs_are_known: Callable[[], bool]
    _searched_with: tuple[tuple[Any, ...], dict[str, Any]] | None

    def note(
        self,
        trial_id: str,
        *,
        why: str | None = None,
        outcome: str | None = None,
        next: str | None = None,
    ) -> None:
        """Keeps a note on a trial: in the leaderboard, and beside the records.

        Args:
            trial_id: The trial's ID, as in the leaderboard.
            why: The reason for the trial.
            outcome: What came of it.
            next: What follows from it. None leaves what was noted before; an empty
                text deletes it.

        Raises:
            TypeError: If a note is no text.
            ValueError: If there is no such trial, or if `notes.json` cannot be read:
                it would be overwritten.
        """
        given = {"why": why, "outcome": outcome, "next": next}
        for name, text in given.items():
            if text is not None and not isinstance(text, str):
                raise TypeError(
                    f"`{name}` must be a text or None. "
                    f"{_validation.received(name, text)}"
                )
        known = {record.trial_id for record in self._ended_records()}
        known.update(getattr(self.oracle, "trials", ()))
        trial_id = _one_of(known, trial_id)
        notes = records.read_notes(self.project_dir)
        note = notes.setdefault(trial_id, {})
        note.update((name, text) for name, text in given.items() if text is not None)
        records.write_notes(self.project_dir, notes)

    def _digest_of(self, trial_id: str) -> str | None:
        """Returns what the record says of a trial's weights.

        Raises:
            ForeignFileError: If the record is another trial's: so are the weights.
        """
        folder = self.get_trial_dir(trial_id)
        if not os.path.lexists(os.path.join(folder, records.RECORD_FILE)):
            return None
        try:
            return records.TrialRecord.read(folder).weights
        except errors.ForeignFileError:
            raise
        except errors.DamagedFileError as error:
            warnings.warn(
                f"{error}. Whether the weights beside it are those of trial "
                f"{trial_id} is not checked.",
                stacklevel=2,
            )
            return None

    def load_model(self, trial: Any) -> keras.Model:
        """Returns the model of a trial with the weights of its best epoch.

        Its optimizer begins anew.

        Raises:
            ValueError: If it has no score, or its weights were not kept.
        """
        if trial.status == "FAILED":
            why = (trial.message or "no message").strip().splitlines()[-1]
            raise ValueError(
                f"Trial {trial.trial_id} must have ended with a score for its model to "
                f"be loaded. Received: a trial that failed ({why})"
            )
        kept = self.options.keep_checkpoints
        path = self._checkpoint_file(trial.trial_id)
        if kept is not None and not path.exists():
            best = self.oracle.get_best_trials(kept)
            if all(each.trial_id != trial.trial_id for each in best):
                raise ValueError(
                    f"The weights of trial {trial.trial_id} were not kept: only those "
                    f"of the best trials are. Received: keep_checkpoints={kept} (None "
                    f"keeps all), and no file {path}"
                )
        return self._loaded_model(trial)

    def get_best_hyperparameters(
        self, num_trials: int = 1
    ) -> list[keras_tuner.HyperParameters]:
        """Returns the settings of the best trials, best first, at most `num_trials`.

        Raises:
            TypeError: If `num_trials` is not a number.
            ValueError: If it is not a whole number from 1 on.
        """
        num_trials = _validation.check_int("num_trials", num_trials, minimum=1)
        best = self.oracle.get_best_trials(num_trials)
        return [trial.hyperparameters for trial in best]

    def get_best_models(self, num_models: int = 1) -> list[keras.Model]:
        """Returns the models of the best trials, best first.

        Args:
            num_models: At most as many as `keep_checkpoints`.

        Raises:
            ValueError: If more are asked for than weights were kept.
        """
        num_models = _validation.check_int("num_models", num_models, minimum=1)
        best = self.oracle.get_best_trials(num_models)
        kept = self.options.keep_checkpoints
        if kept is not None and len(best) > kept:
            raise ValueError(
                f"`num_models` must be at most `keep_checkpoints`, {kept}: the weights "
                "of other trials are deleted when they end. "
                f"Received: num_models={num_models}"
            )
        return [self.load_model(trial) for trial in best]

    def leaderboard(self, path: str | Path | None = None) -> pd.DataFrame:
        """Returns the table of all trials that have ended, best first.

        Two searches with one seed give the same table, apart from `seconds`.

        Args:
            path: Where to write the table as CSV, too.

        Returns:
            A DataFrame with the columns `rank` (from 1; none without a score),
            `trial_id`, the score under the objective's name (of a list of objectives
            the sum as `multi_objective`, and each by its name), `best_epoch` (from 1),
            `parameters` (trainable ones), `seconds`, `status`, then one column for
            each hyperparameter, empty where it is inactive. Trials whose score is NaN
            or infinite (`INFEASIBLE`) and trials that raised an error (`FAILED`) stand
            at the bottom. A hyperparameter whose name is one of those columns' is
            called `hp_` and its name. Where trials have several executions,
            `deviation` follows the score: the standard deviation over them. Notes
            follow `status`.
        """
        if path is not None and not isinstance(path, str | os.PathLike):
            raise TypeError(
                "`path` must be a path or None. "
                f"{_validation.received('path', path, True)}"
            )
        space = self.oracle.get_space().space
        table = leaderboard.table_of(
            self._ended_records(), self.oracle.objective, [hp.name for hp in space]
        )
        if path is not None:
            files.write_text(path, table.to_csv(index=False))
        return table

    def pareto_front(self) -> pd.DataFrame:
        """Returns the trials that no other one beats in all objectives.

        A trial beats another one if it is as good in each objective, and better in
        one. For a search whose `objective` is a list.

        Returns:
            The rows of `leaderboard()` that are left, in their order.

        Raises:
            ValueError: If there is one objective only.

        Reference:
            Deb et al., "A Fast and Elitist Multiobjective Genetic Algorithm: NSGA-II",
            2002.
        """
        directions = records.several(self.oracle.objective)
        if not directions:
            raise ValueError(
                "`objective` must be a list of objectives for a Pareto front. "
                f"{_validation.received('objective', self.oracle.objective.name)}"
            )
        table = self.leaderboard()
        table = table[table["status"] == records.COMPLETED]
        signs = [scores.sign(direction) for direction in directions.values()]
        values = table[[*directions]].to_numpy("float64") * signs
        is_beaten = [
            bool(((values <= own).all(axis=1) & (values < own).any(axis=1)).any())
            for own in values
        ]
        return table[[not beaten for beaten in is_beaten]].reset_index(drop=True)

    def confirm(
        self,
        *fit_args: Any,
        top: int = 3,
        reruns: int = 5,
        baseline: float | None = None,
        **fit_kwargs: Any,
    ) -> confirmation.Confirmation:
        """Trains the best trials again, with seeds that the search did not use.

        The best score of a search is also the luckiest. A trial of `Hyperband` is
        trained from epoch 0 to the last of its rung. Run twice with the same arguments,
        `confirm` trains nothing twice: arrays are compared by their contents, functions
        and callbacks by their code and what they hold. With a dataset, a generator or
        the like, whose contents cannot be compared, it trains each time.

        Args:
            *fit_args: As of `search`; those of the last one if there are none.
            top: How many trials, >= 1.
            reruns: Trainings of each, >= 2.
            baseline: A score that the first should beat.
            **fit_kwargs: As `fit_args`.

        Returns:
            The scores, their means and deviations, and whether the first beats the
            second and the baseline beyond the spread (Welch's test at 95 %); `print`
            shows it.

        Raises:
            ValueError: If `top` or `reruns` is too small, no trial has a score, or no
                data are known: those of a search in another process are not.
            RuntimeError: If a training ends with an error, which the message holds. One
                that diverges has no score, and is counted.
        """
        if not fit_args and not fit_kwargs:
            if self._searched_with is None and self._logs_are_known():
                raise ValueError(
                    "`confirm` needs the data of the search, which went on in another "
                    "process: `confirm(x, y, epochs=..., validation_data=...)`, as "
                    "`search` was called. Received: no arguments"
                )
            fit_args, fit_kwargs = self._searched_with or ((), {})
        return confirmation.confirm(
            self, fit_args, fit_kwargs, top=top, reruns=reruns, baseline=baseline
        )

    def curves(self, trial_id: str) -> list[dict[str, list[float]]]:
        """Returns the learning curves of a trial.

        Args:
            trial_id: As in the leaderboard.

        Returns:
            One dict for each execution, from the metric to a list of one value an
            epoch.

        Raises:
            ValueError: If no trial with that ID has ended.
        """
        ended = {record.trial_id: record for record in self._ended_records()}
        record = ended[_one_of(ended, trial_id)]
        return [execution.curves for execution in record.executions]


def _one_of(known: Collection[str], trial_id: Any) -> str:
    """Returns a trial's ID as KerasTuner writes it; its number will do.

    Raises:
        ValueError: If it is not among those that are known.
    """
    is_number = isinstance(trial_id, int | np.integer) and not isinstance(
        trial_id, bool
    )
    name = _validation.shown(int(trial_id)) if is_number else trial_id
    if not isinstance(name, str) or name not in known:
        raise ValueError(
            f"`trial_id` must be one of {sorted(known, key=scores.order)}. "
            f"{_validation.received('trial_id', trial_id)}"
        )
    return name
