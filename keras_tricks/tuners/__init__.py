"""Hyperparameter search: KerasTuner's tuners, with repeatable and recorded trials."""

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
    "Round",
    "StorageError",
    "TooManyFailuresError",
    "WithinBudget",
    "to_optuna_study",
]
