"""Chosen settings, trained again with seeds of their own."""

from __future__ import annotations

import dataclasses
import statistics
from pathlib import Path
from typing import Any

import keras_tuner

from keras_tricks._fit_call import FitCall
from keras_tricks.tuners import cross_validation
from keras_tricks.tuners import judgement
from keras_tricks.tuners import keras_tuner_hooks
from keras_tricks.tuners import one_trial
from keras_tricks.tuners import records
from keras_tricks.tuners import seeds


@dataclasses.dataclass(frozen=True)
class Reruns:
    """The scores of several trainings of the same settings.

    Attributes:
        settings: The hyperparameters.
        scores: One score for each training that had one.
        failed: How many had none.
    """

    settings: dict[str, Any]
    scores: tuple[float, ...]
    failed: int = 0

    @property
    def mean(self) -> float:
        """Of the scores; NaN without any."""
        return statistics.fmean(self.scores) if self.scores else float("nan")

    @property
    def deviation(self) -> float:
        """Their standard deviation, with n - 1; NaN for fewer than two."""
        return statistics.stdev(self.scores) if len(self.scores) > 1 else float("nan")


def rerun(
    tuner: Any,
    settings: dict[str, Any],
    reruns: int,
    *,
    name: str,
    fit_args: tuple[Any, ...] = (),
    fit_kwargs: dict[str, Any] | None = None,
) -> Reruns:
    """Trains `settings` again, each time with a seed that the search has not used.

    The trainings are trials of a search of their own, in a folder within the project,
    so that what was run already is not run again.

    Args:
        tuner: The search that the settings come from.
        settings: Values of the active hyperparameters, as in a record.
        reruns: How many trainings, >= 1.
        name: Of the folder; the same name means the same seeds.
        fit_args: What `search` was given.
        fit_kwargs: The same.
    """
    from keras_tricks.tuners.searches import RandomSearch  # It imports this one.

    call, rest = judgement.fit_call(tuner.hypermodel, fit_args, fit_kwargs or {})
    call = call.replace(verbose=0)
    splits = tuner.splits
    if splits is not None:
        # The folds are those of the search, so that scores can be compared.
        data = FitCall(*one_trial.with_data(call.args, call.kwargs))
        splits = cross_validation.check(splits, data, tuner.groups, tuner.oracle.seed)
    with keras_tuner_hooks.silent_reload():
        executions = RandomSearch(
            tuner.hypermodel,
            tuner.oracle.objective,
            max_trials=1,
            seed=seeds.derived_seed(tuner.oracle.seed, "reruns", name),
            hyperparameters=fixed(tuner.oracle.get_space(), settings),
            tune_new_entries=False,
            executions_per_trial=reruns,
            keep_checkpoints=1,
            reuse_programs=tuner.reuse_programs,
            packed_trials=tuner.packed_trials,
            splits=splits,
            groups=tuner.groups,
            preprocess=tuner.preprocess,
            directory=Path(tuner.project_dir) / "reruns",
            project_name=f"{name}_{reruns}",
        )
    # What was compiled for the search serves its best settings, too.
    executions.programs = tuner.programs
    try:
        executions.search(*call.args, *rest, **call.kwargs)
    except RuntimeError:
        # All of them diverged or failed, which is a result.
        pass
    scores = [
        score
        for record in executions._ended_records()
        if record.status == records.COMPLETED
        for score in _scores_of(record, reruns)
    ]
    return Reruns(settings, tuple(scores), failed=reruns - len(scores))


def _scores_of(record: records.TrialRecord, reruns: int) -> list[float]:
    """Returns the score of each rerun that has one: the mean of its folds."""
    found = []
    for number in range(reruns):
        # Each fold is trained on that often before the next.
        scores = [each.score for each in record.executions[number::reruns]]
        if scores and None not in scores:
            found.append(statistics.fmean(scores))  # type: ignore[arg-type]
    return found


def fixed(
    space: keras_tuner.HyperParameters, settings: dict[str, Any]
) -> keras_tuner.HyperParameters:
    """Returns a space in which each name of `settings` has that value only."""
    entries = [
        {
            "class_name": "Fixed",
            "config": {
                "name": entry["config"]["name"],
                "value": settings[entry["config"]["name"]],
                "conditions": entry["config"]["conditions"],
            },
        }
        for entry in space.get_config()["space"]
        if entry["config"]["name"] in settings
    ]
    return keras_tuner.HyperParameters.from_config(
        {"space": entries, "values": dict(settings)}
    )
