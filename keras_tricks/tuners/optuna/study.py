"""Finished searches as Optuna studies, for its analyses and plots."""

from __future__ import annotations

import datetime
import math
import os
from typing import TYPE_CHECKING
from typing import Any

from keras_tricks import _validation
from keras_tricks.tuners.optuna import space as optuna_space
from keras_tricks.tuners.optuna._import import check_place
from keras_tricks.tuners.optuna._import import optuna as optuna_module
from keras_tricks.tuners.optuna._import import quiet
from keras_tricks.tuners.results import records
from keras_tricks.tuners.results import tuner_methods

if TYPE_CHECKING:
    import optuna


def to_optuna_study(
    tuner: Any, storage: Any = None, study_name: str | None = None
) -> optuna.Study:
    """Returns the trials of a search as an Optuna study.

    For `optuna.importance`, `optuna.visualization` and optuna-dashboard. The names and
    ranges are those of the table in `optuna_space`. Each trial that has ended is one of
    the study's, with its score (each of a list of objectives), the objective's curve of
    the first execution (step 0 is the first epoch), and its ID, parameters and seconds
    as user attributes. Infeasible and failed trials are failed ones, without a value;
    what was their error is a user attribute.

    Needs Optuna, the extra `optuna` of this package.

    Args:
        tuner: Any tuner of this package, before, while or after it searches.
        storage: Where the study is made: None for memory, or what
            `optuna.create_study` takes.
        study_name: Its name.

    Raises:
        ImportError: If Optuna is not installed.
        TypeError: If `tuner` is no tuner of this package, or `storage` or `study_name`
            is none of the above.
        ValueError: If `storage` is a string that is no URL.

    Example:

    >>> import tempfile
    >>> import keras, keras_tuner
    >>> from keras_tricks.tuners import RandomSearch, to_optuna_study
    >>> class Parabola(keras_tuner.HyperModel):
    ...     def build(self, hp):
    ...         hp.Float("x", -1.0, 1.0), hp.Float("no_matter", 0.0, 1.0)
    ...         return keras.Sequential()
    ...     def fit(self, hp, model, **kwargs):
    ...         return hp.get("x") ** 2
    >>> tuner = RandomSearch(
    ...     Parabola(), max_trials=20, seed=0, directory=tempfile.mkdtemp())
    >>> tuner.search(verbose=0)
    >>> study = to_optuna_study(tuner)
    >>> bool(study.best_value == tuner.leaderboard()["default_objective"][0])
    True
    >>> sorted(study.best_params)
    ['no_matter', 'x']
    """
    module = optuna_module()
    if not isinstance(tuner, tuner_methods.Results):
        raise TypeError(
            "`tuner` must be a tuner of this package. "
            f"{_validation.received('tuner', tuner, True)}"
        )
    check_place(storage, study_name)
    is_url = isinstance(storage, str) and "://" in storage
    if isinstance(storage, str | os.PathLike) and not is_url:
        raise ValueError(
            "`storage` must be a URL, such as 'sqlite:///study.db', an Optuna storage, "
            f"or None. {_validation.received('storage', storage)}"
        )
    objective = tuner.oracle.objective
    ways = records.several(objective) or {objective.name: objective.direction}
    space = tuner.oracle.get_space().space
    with quiet():
        study = module.create_study(
            storage=storage,
            study_name=study_name,
            directions=[
                "maximize" if w == "max" else "minimize" for w in ways.values()
            ],
        )
        study.set_user_attr("objective", " + ".join(ways))
        study.add_trials(
            [_entry(record, space, module) for record in tuner._ended_records()]
        )
    return study


def _entry(record: records.TrialRecord, space: list[Any], module: Any) -> Any:
    params, distributions = optuna_space.encode(space, record.settings)
    completed = record.status == records.COMPLETED
    attributes = {
        "trial_id": record.trial_id,
        "attempt": 0,
        "settings": record.settings,
        "parameters": record.parameters,
        "seconds": record.seconds,
        "seed": record.seed,
        "score": record.score if completed else None,
        "objectives": record.objectives or None,
        "error": record.error if completed else record.error or record.status,
    }
    curves = record.executions[0].curves if record.executions else {}
    scores: list[Any] = [*record.objectives.values()] or [record.score]
    curve = curves.get(record.objective, [])
    states = module.trial.TrialState
    entry = module.trial.create_trial(
        state=states.COMPLETE if completed else states.FAIL,
        values=scores if completed else None,
        params=params,
        distributions=distributions,
        user_attrs={
            name: value for name, value in attributes.items() if value is not None
        },
        intermediate_values={
            epoch: float(value)
            for epoch, value in enumerate(curve)
            # Optuna's plots and pruners know no infinity.
            if isinstance(value, float) and math.isfinite(value)
        },
    )
    if record.seconds is not None:
        duration = datetime.timedelta(seconds=record.seconds)
        entry.datetime_start = entry.datetime_complete - duration
    return entry
