"""Hyperparameter search: KerasTuner's tuners, with repeatable and recorded trials.

Each name loads when it is first asked for, so that what only reads a search's files,
such as the commands `leaderboard` and `report`, does without TensorFlow.
"""

import importlib
from typing import TYPE_CHECKING
from typing import Any

if TYPE_CHECKING:
    from keras_tricks.tuners.bayesian_optimization import BayesianOptimization
    from keras_tricks.tuners.coarse_to_fine import CoarseToFine
    from keras_tricks.tuners.coarse_to_fine import Round
    from keras_tricks.tuners.errors import DamagedFileError
    from keras_tricks.tuners.errors import InfeasibleTrialError
    from keras_tricks.tuners.errors import ProjectInUseError
    from keras_tricks.tuners.errors import StorageError
    from keras_tricks.tuners.errors import TooManyFailuresError
    from keras_tricks.tuners.grid_search import GridSearch
    from keras_tricks.tuners.hyperband import Hyperband
    from keras_tricks.tuners.optuna.study import to_optuna_study
    from keras_tricks.tuners.optuna_search import OptunaSearch
    from keras_tricks.tuners.quasi_random_search import QuasiRandomSearch
    from keras_tricks.tuners.random_search import RandomSearch
    from keras_tricks.tuners.results.confirmation import Confirmation
    from keras_tricks.tuners.trials.budget import WithinBudget
    from keras_tricks.tuners.workers.ray_executor import RayExecutor

__all__ = [
    "BayesianOptimization",
    "CoarseToFine",
    "Confirmation",
    "DamagedFileError",
    "GridSearch",
    "Hyperband",
    "InfeasibleTrialError",
    "OptunaSearch",
    "ProjectInUseError",
    "QuasiRandomSearch",
    "RandomSearch",
    "RayExecutor",
    "Round",
    "StorageError",
    "TooManyFailuresError",
    "WithinBudget",
    "to_optuna_study",
]

_MODULES = {
    "BayesianOptimization": "bayesian_optimization",
    "CoarseToFine": "coarse_to_fine",
    "Confirmation": "results.confirmation",
    "DamagedFileError": "errors",
    "GridSearch": "grid_search",
    "Hyperband": "hyperband",
    "InfeasibleTrialError": "errors",
    "OptunaSearch": "optuna_search",
    "ProjectInUseError": "errors",
    "QuasiRandomSearch": "quasi_random_search",
    "RandomSearch": "random_search",
    "RayExecutor": "workers.ray_executor",
    "Round": "coarse_to_fine",
    "StorageError": "errors",
    "TooManyFailuresError": "errors",
    "WithinBudget": "trials.budget",
    "to_optuna_study": "optuna.study",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
