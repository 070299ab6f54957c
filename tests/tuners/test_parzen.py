"""The densities of good trials and of others, and when a search goes by them."""

import types

import keras_tuner
import numpy as np
import pytest

from keras_tricks.tuners.oracles import bayesian
from keras_tricks.tuners.oracles import parzen
from keras_tricks.tuners.search_space.unit_cube import UnitCube

GENERATOR = np.random.default_rng(0)


def feasible(rows):
    return np.zeros(len(rows))


def first(cube, rows, scores, seed, log_feasible=feasible):
    generator = np.random.default_rng(seed)
    return next(parzen.suggestions(cube, rows, scores, log_feasible, generator))


def oracle_of(hp):
    return bayesian.ExpectedImprovementOracle(
        objective=keras_tuner.Objective("score", "min"),
        num_initial_points=None,
        seed=0,
        hyperparameters=hp,
    )


def trial_of(hp, oracle, number, score, status="COMPLETED"):
    """The trial that the oracle suggests, told of with a function of its settings."""
    own = hp.copy()
    own.values = oracle.populate_space(str(number))["values"]
    trial = keras_tuner.engine.trial.Trial(own, trial_id=str(number))
    trial.status = status
    trial.score = score(own) if status == "COMPLETED" else None
    oracle.trials[trial.trial_id] = trial
    return own


def cube_of(dimensions):
    hp = keras_tuner.HyperParameters()
    for number in range(dimensions):
        hp.Float(f"x{number}", 0.0, 1.0)
    return UnitCube(hp.space)


def test_a_density_is_the_mean_of_normal_ones_and_of_the_uniform_one():
    from scipy.stats import multivariate_normal

    rows, at = GENERATOR.random((7, 3)), GENERATOR.random((5, 3))
    width = 0.2 * 7 ** (-1 / 7)  # Scott's rule, for 7 rows of 3 dimensions.
    kernels = [multivariate_normal(row, width**2 * np.eye(3)).pdf(at) for row in rows]
    expected = (np.sum(kernels, axis=0) + 1) / 8
    found = parzen.log_density(cube_of(3), rows, at)
    np.testing.assert_allclose(found, np.log(expected), rtol=1e-10)


@pytest.mark.parametrize("dimensions", [1, 300])
def test_a_density_is_a_number_in_any_number_of_dimensions(dimensions):
    rows = GENERATOR.random((40, dimensions))
    at = GENERATOR.random((5, dimensions))
    assert np.isfinite(parzen.log_density(cube_of(dimensions), rows, at)).all()
    none = parzen.log_density(cube_of(dimensions), rows[:0], at)
    np.testing.assert_allclose(none, 0)  # The uniform density.


def test_suggestions_lie_near_the_good_trials_and_are_functions_of_the_seed():
    cube = cube_of(2)
    rows = GENERATOR.random((100, 2))
    distances = np.linalg.norm(rows - [0.3, 0.7], axis=1)
    settings = [first(cube, rows, distances, seed) for seed in (*range(20), 0)]
    assert settings[0] == settings[-1]
    found = cube.encoded(settings)
    away = np.linalg.norm(found - [0.3, 0.7], axis=1)
    assert np.median(away) < 0.15
    # A uniform point lies 0.4 away.
    assert np.median(away) < 0.5 * np.median(distances)


def test_trials_without_a_score_count_among_the_others():
    cube = cube_of(1)
    scored = np.linspace(0, 1, 11)[:, None]
    failed = np.full((30, 1), 0.2)
    rows, scores = (
        np.concatenate([scored, failed]),
        np.minimum(np.abs(scored[:, 0] - 0.2), np.abs(scored[:, 0] - 0.8)),
    )
    found = [first(cube, rows, scores, seed)["x0"] for seed in range(20)]
    assert np.mean(np.abs(np.array(found) - 0.2) < 0.1) < 0.2
    assert np.mean(np.abs(np.array(found) - 0.8) < 0.1) > 0.5


def test_what_is_feasible_comes_first():
    cube, rows = cube_of(1), np.linspace(0, 1, 40)[:, None]
    scores = np.abs(rows[:, 0] - 0.5)
    left = [
        first(cube, rows, scores, seed, lambda at: np.where(at[:, 0] < 0.5, 0.0, -50))
        for seed in range(20)
    ]
    assert all(settings["x0"] < 0.5 for settings in left)


@pytest.mark.parametrize("count", [8, 31, 61])
def test_a_search_ends_when_a_small_space_is_exhausted(count):
    """One whose 24 candidates have all been tried long before."""
    hp = keras_tuner.HyperParameters()
    hp.Int("a", 1, count)
    oracle = oracle_of(hp)
    settings = [
        trial_of(hp, oracle, number, lambda own: own.get("a") % 7.0)
        for number in range(count)
    ]
    values = [own.get("a") for own in settings]
    assert sorted(values) == list(range(1, count + 1))
    assert oracle.populate_space(str(count))["status"] == "STOPPED"


def test_every_second_suggestion_of_a_long_search_is_one_of_these(monkeypatch):
    asked = []

    def suggestions(cube, rows, scores, log_feasible, generator):
        asked.append((len(rows), len(scores)))
        yield {"x0": 0.25}

    monkeypatch.setattr(bayesian.parzen, "suggestions", suggestions)
    hp = keras_tuner.HyperParameters()
    hp.Float("x0", 0.0, 1.0)
    oracle = oracle_of(hp)
    # The first fails, and the 31st runs.
    status = {0: "FAILED", 30: "RUNNING"}
    settings = [
        trial_of(
            hp,
            oracle,
            number,
            lambda own: (own.get("x0") - 0.7) ** 2,
            status.get(number, "COMPLETED"),
        )
        for number in range(34)
    ]
    found = [own.get("x0") for own in settings]
    assert asked == [(31, 29), (33, 31)]
    assert found[31] == 0.25
    assert found[33] != 0.25  # It was tried before.


def test_the_cost_of_a_suggestion_is_bounded_in_long_searches():
    """Of 2,000 trials the model is made of the best ones and of others of all ranks."""
    trials = [
        types.SimpleNamespace(trial_id=str(number), score=float(score))
        for number, score in enumerate(GENERATOR.permutation(2000))
    ]
    for sign in (1, -1):
        kept = [sign * one.score for one in bayesian._best_and_others(trials, sign)]
        assert len(kept) == len(set(kept)) == bayesian.MOST
        best = sorted(sign * one.score for one in trials)
        assert kept[:250] == best[:250]
        # The others lie 7 ranks apart.
        assert np.all(np.diff(kept[250:]) == 7)
    assert bayesian._best_and_others(trials[:500], 1) == trials[:500]
