"""Bayesian search: the process, the criterion, and what the suggestions are worth."""

import math
import time

import keras
import keras_tuner
import numpy as np
import pytest
from scipy import optimize
from scipy import stats
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process import kernels

from keras_tricks import tuners
from keras_tricks.tuners.oracles import bayesian
from keras_tricks.tuners.oracles import expected_improvement
from keras_tricks.tuners.oracles.gaussian_process import GaussianProcess
from keras_tricks.tuners.search_space import points
from keras_tricks.tuners.search_space.unit_cube import UnitCube

GENERATOR = np.random.default_rng(0)
FEATURES, AXES = GENERATOR.random((25, 4)), np.array([0, 1, 2, 2])
SCORES = np.sin(5 * FEATURES[:, 0]) + FEATURES[:, 2]
SCORES = (SCORES - SCORES.mean()) / SCORES.std()


def test_predictions_are_those_of_scikit_learn():
    """With the same parameters, of which two features share one length."""
    parameters = np.log([1.5, 0.01, 0.4, 0.8, 0.6])
    process = GaussianProcess(FEATURES, AXES, SCORES, parameters)
    kernel = 1.5 * kernels.Matern([0.4, 0.8, 0.6, 0.6], nu=2.5)
    theirs = GaussianProcessRegressor(kernel, alpha=0.01 + 1e-8, optimizer=None)
    theirs.fit(FEATURES, SCORES)
    new = GENERATOR.random((50, 4))
    expected = theirs.predict(new, return_std=True)
    for ours, wanted in zip(process.predict(new), expected, strict=True):
        np.testing.assert_allclose(ours, wanted, rtol=1e-5, atol=1e-7)


def test_the_gradient_is_that_of_the_density():
    process = GaussianProcess(FEATURES, AXES, SCORES)
    squares = np.zeros((3, 25, 25))
    for feature, axis in enumerate(AXES):
        column = FEATURES[:, feature]
        squares[axis] += (column[:, None] - column[None, :]) ** 2
    middles = np.zeros(5)
    at = np.array([0.3, -3.0, -1.0, 0.5, 0.1])
    error = optimize.check_grad(
        lambda p: process._loss(p, squares, middles)[0],
        lambda p: process._loss(p, squares, middles)[1],
        at,
    )
    assert error < 1e-4


def test_the_length_of_an_axis_that_does_nothing_is_the_longest():
    """The second axis has no part in the scores."""
    lengths = GaussianProcess(FEATURES, AXES, SCORES).parameters[2:]
    assert np.argmax(lengths) == 1


@pytest.mark.parametrize("z", [3.0, 0.0, -0.5, -1.5, -5.0, -30.0, -99.0, -101.0, -1e3])
def test_the_log_of_the_expected_improvement(z):
    """By integration where that does not underflow, else by its series."""
    found = float(expected_improvement.log_improvement(np.array([z]))[0])
    if z > -30:
        y = np.linspace(-40, z, 2_000_001)
        exact = math.log(np.trapezoid((z - y) * stats.norm.pdf(y), y))
    else:
        exact = stats.norm.logpdf(z) + math.log((1 - 3 / z**2 + 15 / z**4) / z**2)
    assert found == pytest.approx(exact, rel=1e-6)


def test_bad_scores_are_drawn_in_and_keep_their_order():
    scores = np.array([3.0, 1.0, 2.0, 1e6, 2.5])
    drawn = expected_improvement.standardized(scores)
    assert list(np.argsort(drawn)) == list(np.argsort(scores))
    assert drawn.mean() == pytest.approx(0)
    assert drawn.max() < 2.1
    assert not expected_improvement.standardized(np.ones(4)).any()


def space():
    hp = keras_tuner.HyperParameters()
    hp.Float("rate", 1e-5, 1.0, sampling="log")
    hp.Int("units", 4, 64, step=2, sampling="log")
    hp.Choice("kind", ["a", "b", "c"])
    hp.Fixed("fixed", 7)
    with hp.conditional_scope("kind", ["b", "c"]):
        hp.Float("momentum", 0.0, 1.0, step=0.25)
        hp.Boolean("flag")
        with hp.conditional_scope("flag", [True]):
            hp.Int("deep", 1, 3)
    return hp.space


def test_settings_and_rows_are_one_another():
    """Of random settings, inactive ones among them."""
    cube = UnitCube(space())
    for number in range(50):
        settings = points.random_unseen(space(), (), 0, str(number))
        row = cube.encoded([settings])
        assert cube.decoded(row[0]) == pytest.approx(settings)
        np.testing.assert_allclose(cube.snapped(row.copy()), row)


def test_points_of_the_cube_become_settings_of_the_space():
    """What is inactive lies at its default, and what has steps on one of them."""
    cube = UnitCube(space())
    rows = cube.snapped(GENERATOR.random((300, cube.dimensions)))
    for row in rows:
        settings = cube.decoded(row)
        np.testing.assert_allclose(cube.encoded([settings])[0], row, atol=1e-9)
        assert settings["fixed"] == 7
        assert ("momentum" in settings) == (settings["kind"] != "a")
        assert ("deep" in settings) == settings.get("flag", False)
        assert settings["units"] in (4, 8, 16, 32, 64)


def test_a_choice_without_order_has_a_feature_for_each_value():
    """All of its values are as far from each other as two ends of an axis."""
    cube = UnitCube(space())
    rows = cube.encoded([{"kind": kind} for kind in "abc"])
    features, axes = cube.features(rows)
    assert features.shape[1] == cube.dimensions + 2
    assert list(axes).count(2) == 3
    distances = [np.linalg.norm(features[i] - features[j]) for i, j in [(0, 1), (1, 2)]]
    np.testing.assert_allclose(distances, 1.0)


class Function(keras_tuner.HyperModel):
    """A valley, idle axes, and a fifth of the space in which nothing has a score."""

    def build(self, hp):
        hp.Float("rate", 1e-5, 1.0, sampling="log")
        hp.Float("x", 0.0, 1.0)
        hp.Choice("kind", ["a", "b", "c"])
        hp.Float("idle", 0.0, 1.0)
        return keras.Sequential()

    def fit(self, hp, model, **kwargs):
        if hp["rate"] > 0.1:
            return float("nan")
        valley = 0.3 * (math.log10(hp["rate"]) + 2.5) ** 2 + (hp["x"] - 0.3) ** 2
        return valley + 0.1 * (hp["kind"] != "b")


def searched(folder, tuner_class=tuners.BayesianOptimization, **arguments):
    arguments = {"max_trials": 25, "seed": 0, **arguments}
    tuner = tuner_class(Function(), directory=folder, project_name="p", **arguments)
    tuner.search(verbose=0)
    return tuner


def test_it_finds_the_valley_and_leaves_what_is_infeasible(tmp_path):
    """Median of three seeds; a random search comes to 0.03 in 25 trials."""
    best, infeasible = [], []
    for seed in range(3):
        table = searched(tmp_path / str(seed), seed=seed).leaderboard()
        best.append(table["default_objective"][0])
        late = table[table["trial_id"].astype(int) >= 10]
        infeasible.append((late["status"] == "INFEASIBLE").mean())
    assert np.median(best) < 2e-3
    assert np.median(infeasible) < 0.2


def test_larger_may_be_better(tmp_path):
    class Negative(Function):
        def fit(self, hp, model, **kwargs):
            return {"score": -super().fit(hp, model)}

    tuner = tuners.BayesianOptimization(
        Negative(),
        keras_tuner.Objective("score", "max"),
        max_trials=25,
        seed=0,
        directory=tmp_path,
    )
    tuner.search(verbose=0)
    assert tuner.leaderboard()["score"][0] > -5e-3


def test_an_interrupted_search_suggests_what_it_would_have(tmp_path):
    """The fitted parameters are a function of the trials."""
    whole = searched(tmp_path / "whole", max_trials=22).leaderboard()
    for count in (9, 19, 22):
        tuner = searched(tmp_path / "parts", max_trials=count)
    parts = tuner.leaderboard()
    for table in (parts, whole):
        table["trial_id"] = table["trial_id"].astype(int)
        del table["seconds"]
    assert parts.equals(whole)


def test_small_spaces_are_searched_to_their_end(tmp_path):
    class Small(keras_tuner.HyperModel):
        def build(self, hp):
            hp.Int("x", 1, 6)
            hp.Boolean("flag")
            return keras.Sequential()

        def fit(self, hp, model, **kwargs):
            return hp["x"] + hp["flag"]

    tuner = tuners.BayesianOptimization(
        Small(), max_trials=50, seed=0, directory=tmp_path
    )
    tuner.search(verbose=0)
    assert len(tuner.leaderboard()) == 12


def test_a_space_of_nothing_has_one_trial(tmp_path):
    tuner = tuners.BayesianOptimization(
        lambda hp: keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)]),
        keras_tuner.Objective("loss", "min"),
        max_trials=5,
        num_initial_points=1,
        directory=tmp_path,
        optimizer="sgd",
        loss="mse",
    )
    x = np.ones((4, 1), "float32")
    tuner.search(x, x, epochs=1, verbose=0)
    assert len(tuner.leaderboard()) == 1


def oracle_of(count, pending=0):
    """An oracle after so many trials of `Function`, and some that run."""
    hp = keras_tuner.HyperParameters()
    Function().build(hp)
    oracle = bayesian.ExpectedImprovementOracle(
        objective=keras_tuner.Objective("score", "min"),
        num_initial_points=None,
        seed=0,
        hyperparameters=hp,
    )
    for number in range(count + pending):
        own = hp.copy()
        own.values = points.random_unseen(hp.space, (), 0, str(number))
        trial = keras_tuner.engine.trial.Trial(own, trial_id=str(number))
        trial.score = Function().fit(own, None)
        trial.status = "COMPLETED" if math.isfinite(trial.score) else "FAILED"
        if number >= count:
            trial.status, trial.score = "RUNNING", None
        oracle.trials[trial.trial_id] = trial
    return oracle


def infeasible_near_an_edge(seed):
    """Which of 50 trials fail where half of the space does, the best at its edge."""
    hp = keras_tuner.HyperParameters()
    for name in "abc":
        hp.Float(name, 0.0, 1.0)
    oracle = bayesian.ExpectedImprovementOracle(
        objective=keras_tuner.Objective("score", "min"),
        num_initial_points=None,
        seed=seed,
        hyperparameters=hp,
    )
    fails = []
    for number in range(50):
        own = hp.copy()
        own.values = oracle.populate_space(str(number))["values"]
        a, b, c = (own.values[name] for name in "abc")
        trial = keras_tuner.engine.trial.Trial(own, trial_id=str(number))
        fails.append(a > 0.5)
        trial.status = "FAILED" if a > 0.5 else "COMPLETED"
        trial.score = None if a > 0.5 else 0.5 - a + (b - 0.3) ** 2 + (c - 0.6) ** 2
        oracle.trials[trial.trial_id] = trial
    best = min(t.score for t in oracle.trials.values() if t.score is not None)
    return fails, best


def test_a_half_that_is_known_to_be_infeasible_is_left_though_the_best_is_at_its_edge():
    """Without a look at the nearest trials four fifths of the suggestions fail."""
    found = [infeasible_near_an_edge(seed) for seed in range(3)]
    assert np.mean([fails[20:] for fails, _ in found]) < 0.55
    assert np.median([best for _, best in found]) < 0.01


def test_suggestions_beside_each_other_differ():
    """Those of a pack, of which none has ended."""
    oracle = oracle_of(20)
    found = []
    for number in range(20, 28):
        values = oracle.populate_space(str(number))["values"]
        found.append(values)
        own = oracle.hyperparameters.copy()
        own.values = values
        trial = keras_tuner.engine.trial.Trial(own, trial_id=str(number))
        trial.status = "RUNNING"
        oracle.trials[trial.trial_id] = trial
    rows = UnitCube(oracle.hyperparameters.space).encoded(found)
    distances = np.linalg.norm(rows[:, None] - rows[None], axis=-1)
    apart = distances[~np.eye(8, dtype=bool)]
    assert apart.min() > 0.02


def test_a_suggestion_takes_milliseconds():
    """50 ms at 100 trials are asked for, 64 of them running; ten times that is let."""
    oracle = oracle_of(100, pending=64)
    oracle.populate_space("164")
    began = time.process_time()
    for number in range(165, 170):
        oracle.populate_space(str(number))
    assert (time.process_time() - began) / 5 < 0.5


def test_keras_tuners_engine_is_taken_by_name_or_by_its_arguments(tmp_path):
    theirs = bayesian.BayesianOptimizationOracle
    for number, own in enumerate(
        ({"engine": "keras_tuner"}, {"alpha": 1e-3}, {"beta": 1.0})
    ):
        tuner = tuners.BayesianOptimization(
            Function(), max_trials=1, directory=tmp_path / str(number), **own
        )
        assert isinstance(tuner.oracle, theirs)
        assert isinstance(tuner, keras_tuner.BayesianOptimization)
    with pytest.raises(ValueError, match="`alpha` and `beta` must not be given"):
        tuners.BayesianOptimization(Function(), engine="log_ei", beta=1.0)
    with pytest.raises(ValueError, match="`engine` must be"):
        tuners.BayesianOptimization(Function(), engine="gp")


def test_a_project_keeps_its_engine(tmp_path):
    searched(tmp_path, max_trials=2)
    with pytest.raises(ValueError, match="engine: saved 'log_ei', now 'keras_tuner'"):
        searched(tmp_path, max_trials=3, engine="keras_tuner")


@pytest.mark.parametrize("unit", [1e-300, 1e-30, 1e30, 1e300])
@pytest.mark.filterwarnings("error")
def test_the_unit_of_scores_does_not_matter(unit):
    """Nor do squares of them overflow or vanish."""
    scores = np.array([0.3, 0.1, 0.7, 0.2, 5.0])
    expected = expected_improvement.standardized(scores)
    found = expected_improvement.standardized(unit * scores)
    np.testing.assert_allclose(found, expected, rtol=1e-9)


@pytest.mark.filterwarnings("error")
def test_improvements_of_any_size_give_no_warning():
    z = np.array([-1e5, -99.0, -1.0, 0.0, 40.0, 1e5])
    found = expected_improvement.log_improvement(z)
    assert np.isfinite(found).all()
    assert (np.diff(found) > 0).all()
