"""Points that fill the search space evenly: scrambled Sobol and Halton sequences."""

from __future__ import annotations

from typing import TYPE_CHECKING
from typing import Any
from typing import Literal
from typing import get_args

import keras_tuner

from keras_tricks import _validation
from keras_tricks.tuners._typing import HyperModelLike
from keras_tricks.tuners._typing import ObjectiveLike
from keras_tricks.tuners.oracles.quasi_random import QuasiRandomOracle
from keras_tricks.tuners.trials.options import TunerOptions
from keras_tricks.tuners.tuner import TunerMixin

Sequence = Literal["sobol", "halton"]
SEQUENCES = get_args(Sequence)
if TYPE_CHECKING:
    from typing_extensions import Unpack

    from keras_tricks.tuners._typing import Packed
    from keras_tricks.tuners._typing import RolesLike
    from keras_tricks.tuners._typing import TunerArguments
    from keras_tricks.tuners.trials.cross_validation import Preprocess


class QuasiRandomSearch(TunerMixin, keras_tuner.Tuner):
    """Quasi-random search: points that leave no gaps, as random ones do.

    Trial i (from 0) has point i of a low-discrepancy sequence in the unit cube, each
    coordinate mapped through its hyperparameter's own scale. With the same number of
    trials the points come closer to the optimum than random ones if few of the
    hyperparameters matter. Like a random search, and unlike a Bayesian one, it may run
    any number of trials at a time without a loss.

    A point is a function of the seed and the trial alone. The hyperparameters that are
    known at the start take the coordinates in the order of their names, those that
    appear later the next ones, so that they move no other. In a space of few points,
    those that come again are left out, and the search ends when all have been tried.
    What it shares with the other tuners is told at `RandomSearch`.

    Args:
        hypermodel: See `RandomSearch`.
        objective: See `RandomSearch`.
        max_trials: Trials to run at most. For `"sobol"` a power of 2 is best.
        sequence: `"sobol"` or `"halton"`, scrambled.
        seed: Seed of the scrambling and of every trial's training. None draws one.
        hyperparameters: See `RandomSearch`.
        tune_new_entries: See `RandomSearch`.
        allow_new_entries: See `RandomSearch`.
        max_retries_per_trial: See `RandomSearch`.
        max_consecutive_failed_trials: See `RandomSearch`.
        parameter_budget: See `RandomSearch`.
        keep_checkpoints: See `RandomSearch`.
        packed_trials: See `RandomSearch`.
        reuse_programs: See `RandomSearch`.
        splits: See `RandomSearch`.
        groups: See `RandomSearch`.
        preprocess: See `RandomSearch`.
        roles: See `RandomSearch`. Scientific hyperparameters of few values have equally
            many trials for each combination of them, and each combination a sequence of
            its own for the others.
        **kwargs: See `RandomSearch`.

    Raises:
        TypeError: See `RandomSearch`.
        ValueError: If `sequence` is neither. See also `RandomSearch`.

    Example:

    >>> import tempfile
    >>> import keras, keras_tuner
    >>> from keras_tricks.tuners import QuasiRandomSearch
    >>> class Parabola(keras_tuner.HyperModel):
    ...     def build(self, hp):
    ...         hp.Float("x", 0.0, 4.0)
    ...         return keras.Sequential()
    ...     def fit(self, hp, model, **kwargs):
    ...         return (hp.get("x") - 2) ** 2
    >>> tuner = QuasiRandomSearch(
    ...     Parabola(), max_trials=4, seed=0, directory=tempfile.mkdtemp())
    >>> tuner.search(verbose=0)
    >>> sorted(tuner.leaderboard()["x"].astype(int))  # One in each quarter.
    [0, 1, 2, 3]

    Reference:
        Bousquet et al., "Critical Hyper-Parameters: No Random, No Cry", 2017; the
        sequences are `scipy.stats.qmc`'s.
    """

    def __init__(
        self,
        hypermodel: HyperModelLike | None = None,
        objective: ObjectiveLike | None = None,
        max_trials: int | None = 10,
        sequence: Sequence = "sobol",
        seed: int | None = None,
        hyperparameters: keras_tuner.HyperParameters | None = None,
        tune_new_entries: bool = True,
        allow_new_entries: bool = True,
        max_retries_per_trial: int = 0,
        max_consecutive_failed_trials: int = 3,
        *,
        parameter_budget: float | None = None,
        keep_checkpoints: int | None = 3,
        packed_trials: Packed = None,
        reuse_programs: bool = True,
        splits: Any = None,
        groups: Any = None,
        preprocess: Preprocess | None = None,
        roles: RolesLike | None = None,
        **kwargs: Unpack[TunerArguments],
    ):
        _validation.check_choice("sequence", sequence, SEQUENCES)
        oracle = QuasiRandomOracle(
            roles=roles,
            sequence=sequence,
            objective=objective,
            max_trials=max_trials,
            seed=seed,
            hyperparameters=hyperparameters,
            tune_new_entries=tune_new_entries,
            allow_new_entries=allow_new_entries,
            max_retries_per_trial=max_retries_per_trial,
            max_consecutive_failed_trials=max_consecutive_failed_trials,
        )
        options = TunerOptions(
            parameter_budget=parameter_budget,
            keep_checkpoints=keep_checkpoints,
            packed_trials=packed_trials,
            reuse_programs=reuse_programs,
            splits=splits,
            groups=groups,
            preprocess=preprocess,
        )
        TunerMixin.__init__(self, oracle, hypermodel, options, **kwargs)
