"""Optuna's samplers and pruners by name, and seeded for one trial."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any
from typing import Literal
from typing import get_args

from keras_tricks import _validation
from keras_tricks.tuners import seeds
from keras_tricks.tuners.compat import optuna_hooks
from keras_tricks.tuners.optuna import cmaes
from keras_tricks.tuners.optuna._import import optuna
from keras_tricks.tuners.optuna._import import quiet
from keras_tricks.tuners.optuna._import import require
from keras_tricks.tuners.optuna.space import suggest
from keras_tricks.tuners.search_space import points

Sampler = Literal["tpe", "gp", "cmaes", "qmc", "nsga2"]
SAMPLERS = get_args(Sampler)
# Of NSGA-II. Optuna's 50 would be random points in most searches of networks.
POPULATION = 20
# Optuna's others know one objective.
OF_SEVERAL = ("tpe", "qmc", "nsga2")
Pruner = Literal["median", "hyperband"]
PRUNERS = get_args(Pruner)


def checked_sampler(sampler: Any) -> Any:
    """Returns `sampler`, if it is one and can run.

    Raises:
        ImportError: If Optuna needs a package for it that is not there.
        ValueError: If it is neither a name nor a sampler.
    """
    samplers = optuna().samplers
    is_name = isinstance(sampler, str) and sampler in SAMPLERS
    if not is_name and not isinstance(sampler, samplers.BaseSampler):
        raise ValueError(
            f"`sampler` must be one of {SAMPLERS}, or an Optuna sampler. "
            f"{_validation.received('sampler', sampler)}"
        )
    if is_name and sampler == "gp":
        require("torch", 'the sampler "gp"')
    if is_name and sampler == "cmaes":
        require("cmaes", 'the sampler "cmaes"')
    return sampler


def made_pruner(pruner: Any) -> Any:
    """Returns an Optuna pruner.

    Raises:
        ValueError: If `pruner` is neither None nor a name nor a pruner.
    """
    pruners = optuna().pruners
    if pruner is None:
        return pruners.NopPruner()
    if isinstance(pruner, str) and pruner == "median":
        return pruners.MedianPruner()
    if isinstance(pruner, str) and pruner == "hyperband":
        return pruners.HyperbandPruner()
    if not isinstance(pruner, pruners.BasePruner):
        raise ValueError(
            f"`pruner` must be None, one of {PRUNERS}, or an Optuna pruner. "
            f"{_validation.received('pruner', pruner)}"
        )
    return pruner


def seeded(sampler: Any, seed: int) -> Any:
    """Returns a sampler that draws from `seed`, without a history of its own."""
    samplers = optuna().samplers
    with quiet():
        if sampler == "tpe":
            # The trials that run elsewhere are not suggested a second time.
            return samplers.TPESampler(seed=seed, constant_liar=True)
        if sampler == "nsga2":
            return samplers.NSGAIISampler(population_size=POPULATION, seed=seed)
        if sampler == "gp":
            return samplers.GPSampler(seed=seed)
        if sampler == "cmaes":
            return samplers.CmaEsSampler(seed=seed, warn_independent_sampling=False)
        own = copy.deepcopy(sampler)
    optuna_hooks.reseed(own, seed)
    return own


def impute_failures(history: list[Any], directions: list[str]) -> list[Any]:
    """Returns entries in which those that failed have the worst scores of the others.

    Optuna's samplers pass over failed trials. A Gaussian process then knows nothing of
    a region that diverges, and suggests it again and again.

    Args:
        history: The entries. One without a score to compare with stays as it is.
        directions: `"minimize"` or `"maximize"`, for each objective.
    """
    states = optuna().trial.TrialState
    scores = [entry.values for entry in history if entry.state == states.COMPLETE]
    if not scores:
        return history
    worst = [
        max(found) if direction == "minimize" else min(found)
        for direction, found in zip(directions, zip(*scores, strict=True), strict=True)
    ]

    def judged(entry: Any) -> Any:
        if entry.state != states.FAIL:
            return entry
        return optuna().trial.create_trial(
            state=states.COMPLETE,
            values=worst,
            params=entry.params,
            distributions=entry.distributions,
            system_attrs=entry.system_attrs,
        )

    return [judged(entry) for entry in history]


def suggestion(
    sampler: Any, space: list[Any], study: Any, history: list[Any]
) -> tuple[points.Settings, Any]:
    """Asks a sampler for settings, without a trace in the study.

    Args:
        sampler: An Optuna sampler.
        space: The hyperparameters.
        study: The study, for its name, directions and pruner.
        history: The entries that the sampler shall see.

    Returns:
        The settings, and the sampler's entry for them, an `optuna.trial.FrozenTrial`.
    """
    with quiet():
        # In memory, so that a killed process leaves no half of a suggestion.
        scratch = optuna().create_study(
            study_name=study.study_name,
            directions=study.directions,
            sampler=sampler,
            pruner=study.pruner,
        )
        scratch.add_trials(cmaes.restored(history))
        trial = scratch.ask()
        settings = suggest(space, trial)
        entry = copy.copy(scratch.get_trials(deepcopy=False)[-1])
        entry.system_attrs = cmaes.without_pickles(entry.system_attrs)
        return settings, entry


def suggestions(
    sampler: Any,
    space: list[Any],
    study: Any,
    history: list[Any],
    seed: int,
    trial_id: str,
) -> Iterator[tuple[points.Settings, Any]]:
    """Yields a few suggestions for one trial, each from another seed."""
    for collision in range(4):
        derived = seeds.derived_seed(seed, trial_id, "settings", collision)
        yield suggestion(seeded(sampler, derived), space, study, history)
