"""Searches on an Optuna study: spaces, seeds, pruning, records."""

import json
import math
import sys

import keras
import keras_tuner
import numpy as np
import pytest

from keras_tricks.tuners import OptunaSearch
from keras_tricks.tuners import RandomSearch
from keras_tricks.tuners import to_optuna_study
from keras_tricks.tuners.compat import optuna_hooks
from keras_tricks.tuners.optuna import samplers
from keras_tricks.tuners.optuna import space as optuna_space
from tests import sampling
from tests.tuners import toys

optuna = pytest.importorskip("optuna", reason="Optuna is not installed")

COMPLETE = optuna.trial.TrialState.COMPLETE
FAIL = optuna.trial.TrialState.FAIL
PRUNED = optuna.trial.TrialState.PRUNED


class Spaces(keras_tuner.HyperModel):
    """Every kind of hyperparameter; the score is a sum that has its best inside."""

    def build(self, hp):
        hp.Float("float", -1.0, 1.0)
        hp.Float("step", 0.1, 0.7, step=0.1)
        hp.Float("log", 1e-4, 1.0, sampling="log")
        hp.Float("log_step", 1e-3, 10.0, step=10, sampling="log")
        hp.Float("reverse", 1.0, 100.0, sampling="reverse_log")
        hp.Int("int", -3, 3)
        hp.Int("int_step", 1, 12, step=4)
        hp.Int("int_log", 1, 64, sampling="log")
        hp.Int("int_reverse", 1, 64, sampling="reverse_log")
        hp.Int("int_log_step", 4, 32, step=2, sampling="log")
        hp.Choice("ordered", [1, 2, 4])
        hp.Choice("kind", ["a", "b"])
        hp.Boolean("bool")
        hp.Fixed("fixed", 3)
        with hp.conditional_scope("kind", ["a"]):
            hp.Int("units", 1, 4)
        with hp.conditional_scope("kind", ["b"]):
            hp.Choice("filters", [10, 20])
        return keras.Sequential()

    def fit(self, hp, model, *args, **kwargs):
        return hp.get("float") ** 2 + hp.get("step")


def space_of(hypermodel):
    tuner_hp = keras_tuner.HyperParameters()
    hypermodel.build(tuner_hp)
    return tuner_hp.space


def search(folder, hypermodel, **arguments):
    arguments = {"max_trials": 12, "seed": 0, "directory": folder, **arguments}
    tuner = OptunaSearch(hypermodel, **arguments)
    tuner.search(verbose=0)
    return tuner


def settings(tuner):
    trials = sorted(tuner.oracle.trials.values(), key=lambda t: int(t.trial_id))
    return [trial.hyperparameters.values for trial in trials]


@pytest.fixture(scope="module", name="searched")
def searched_fixture(tmp_path_factory):
    return search(tmp_path_factory.mktemp("optuna"), Spaces(), max_trials=30)


def test_every_value_is_one_that_kerastuner_could_have_drawn(searched):
    sets = {
        "step": [0.1 + 0.1 * n for n in range(7)],
        "log_step": [1e-3 * 10.0**n for n in range(5)],
        "int": range(-3, 4),
        "int_step": [1, 5, 9],
        "int_log": range(1, 65),
        "int_reverse": range(1, 65),
        "int_log_step": [4, 8, 16, 32],
        "ordered": [1, 2, 4],
        "kind": ["a", "b"],
        "bool": [True, False],
        "fixed": [3],
    }
    for values in settings(searched):
        for name, allowed in sets.items():
            assert values[name] in list(allowed)
            assert type(values[name]) is type(next(iter(allowed)))
        assert -1 <= values["float"] <= 1
        assert 1e-4 <= values["log"] <= 1
        assert 1 <= values["reverse"] <= 100
        assert values.get("units") in (
            [1, 2, 3, 4] if values["kind"] == "a" else [None]
        )
        assert values.get("filters") in ([None] if values["kind"] == "a" else [10, 20])


def test_a_project_may_get_another_name(tmp_path):
    """Its study is known by the folder, whatever that was called at first."""
    first = search(tmp_path, Spaces(), max_trials=3, project_name="before")
    (tmp_path / "before").rename(tmp_path / "after")
    again = search(tmp_path, Spaces(), max_trials=4, project_name="after")
    assert settings(again)[:3] == settings(first)
    assert len(again.study.trials) == 4


def test_scales_are_kerastuners():
    """Random points: half of them below the middle of the scale, give or take."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    space = space_of(Spaces())
    found = [optuna_space.suggest(space, study.ask()) for _ in range(1000)]
    median = {
        name: float(np.median([values[name] for values in found]))
        for name in ("log", "reverse", "int_log", "int_reverse")
    }
    # Within four standard errors of the rank of 200 points, 28, on a logarithmic scale.
    for value, middle, ratio in [
        (median["log"], 1e-2, 1e4),
        (101 - median["reverse"], 10, 100),
        (median["int_log"], 8, 64),
        (65 - median["int_reverse"], 8, 64),
    ]:
        assert abs(math.log(value / middle)) < 0.15 * math.log(ratio)


def test_the_study_holds_the_settings_in_optunas_terms(searched):
    entries = searched.study.trials
    for values, entry in zip(settings(searched), entries, strict=True):
        assert entry.user_attrs["settings"] == values
        assert entry.params["int"] == values["int"]
        assert entry.params["log"] == values["log"]
        assert 1e-3 * 10.0 ** entry.params["log_step step"] == values["log_step"]
        assert entry.params["int_reverse mirrored"] == 65 - values["int_reverse"]
        assert entry.params.get("units") == values.get("units")
        assert entry.params.get("filters") == values.get("filters")
        assert "fixed" not in entry.params
    scores = [entry.value for entry in entries]
    table = searched.leaderboard().set_index("trial_id")["default_objective"]
    assert scores == [table[str(number)] for number in range(30)]


def test_settings_and_parameters_are_each_others_inverse():
    """For a thousand random settings of KerasTuner's own."""
    space = space_of(Spaces())
    for seed in range(1000):
        hp = keras_tuner.HyperParameters()
        for one in space:
            hp.merge([one])
            if hp.is_active(one):
                hp.values[one.name] = one.random_sample(seed)
        params, distributions = optuna_space.encode(space, hp.values)
        entry = optuna.trial.create_trial(
            value=0.0, params=params, distributions=distributions
        )
        decoded = optuna_space.suggest(space, optuna.trial.FixedTrial(entry.params))
        assert decoded.keys() == hp.values.keys()
        for name, value in decoded.items():
            if isinstance(value, float):
                value = pytest.approx(value, rel=1e-12)
            assert hp.values[name] == value


def test_two_hyperparameters_of_one_name_are_told_apart_by_their_conditions():
    hp = keras_tuner.HyperParameters()
    hp.Choice("kind", ["a", "b"])
    with hp.conditional_scope("kind", ["a"]):
        hp.Int("units", 1, 4)
    with hp.conditional_scope("kind", ["b"]):
        hp.Choice("units", [10, 20])
    for kind, units in [("a", 3), ("b", 20)]:
        params, _ = optuna_space.encode(hp.space, {"kind": kind, "units": units})
        assert params == {"kind": kind, f"units [kind={kind}]": units}


def made_sampler(name):
    if name == "cmaes":
        pytest.importorskip("cmaes", reason="the package cmaes is not installed")
    if name == "gp":
        pytest.importorskip("torch", reason="the package torch is not installed")
    if name == "instance":
        return optuna.samplers.TPESampler(n_startup_trials=4)
    return name


@pytest.mark.parametrize(
    ("sampler", "trials", "at_least"),
    [("tpe", 40, 25), ("cmaes", 40, 25), ("gp", 24, 13)],
)
def test_a_sampler_that_looks_at_scores_is_no_random_search(
    tmp_path, sampler, trials, at_least
):
    """A random point is in the disc of half the square's area every other time.

    By chance 25 of 30 or more would be there in one of 6000 searches, and 13 of 14 or
    more in one of 1000.
    """

    class Bowl(Spaces):
        def build(self, hp):
            hp.Float("x", -1.0, 1.0)
            hp.Float("y", -1.0, 1.0)
            return keras.Sequential()

        def fit(self, hp, model, *args, **kwargs):
            return hp.get("x") ** 2 + hp.get("y") ** 2

    tuner = search(tmp_path, Bowl(), max_trials=trials, sampler=made_sampler(sampler))
    scores = [trial.value for trial in tuner.study.trials]
    # The first ten are random ones.
    assert sum(score < 2 / math.pi for score in scores[10:]) >= at_least


def test_a_gaussian_process_leaves_a_region_that_diverges(tmp_path):
    """Half of the space, next to which the best scores lie.

    Of ten later trials at random, two or fewer would be there in one of 18 searches.
    """

    class Cliff(Spaces):
        def build(self, hp):
            hp.Float("x", 0.0, 2.0)
            hp.Float("y", 0.0, 1.0)
            return keras.Sequential()

        def fit(self, hp, model, *args, **kwargs):
            x, y = hp.get("x"), hp.get("y")
            return 2 - x + (y - 0.5) ** 2 if x < 1 else math.inf

    tuner = search(tmp_path, Cliff(), max_trials=20, sampler=made_sampler("gp"))
    states = [entry.state for entry in tuner.study.trials]
    assert FAIL in states[:10]
    assert states[10:].count(FAIL) <= 2


@pytest.mark.parametrize(("direction", "worst"), [("minimize", 3.0), ("maximize", 1.0)])
def test_a_failed_trial_is_shown_to_the_sampler_as_the_worst(direction, worst):
    study = optuna.create_study(direction=direction)
    for value in (1.0, None, 3.0):
        trial = study.ask()
        trial.suggest_float("x", 0.0, 1.0)
        study.tell(trial, value, state=FAIL if value is None else COMPLETE)
    running = study.ask()
    shown = samplers.impute_failures(study.trials, [direction])
    assert [entry.value for entry in shown] == [1.0, worst, 3.0, None]
    assert [entry.params for entry in shown] == [e.params for e in study.trials]
    assert shown[3].number == running.number
    # Without any score there is no worst one.
    assert samplers.impute_failures(study.trials[1:2], [direction]) == [study.trials[1]]


class Stopping(Spaces):
    def __init__(self, stop_after):
        super().__init__()
        self.stop_after = stop_after

    def fit(self, hp, model, *args, **kwargs):
        if self.stop_after == 0:
            raise KeyboardInterrupt
        self.stop_after -= 1
        return super().fit(hp, model)


@pytest.mark.parametrize(
    "sampler",
    # One of each sort of state: none but trials, a population, and one of one's own.
    sampling.only(
        ["gp", "cmaes", "instance"], ["tpe", "gp", "cmaes", "qmc", "instance"]
    ),
)
def test_a_resumed_search_suggests_what_an_uninterrupted_one_does(tmp_path, sampler):
    def run(folder, hypermodel, max_trials=16):
        return search(
            folder, hypermodel, max_trials=max_trials, sampler=made_sampler(sampler)
        )

    expected = settings(run(tmp_path / "whole", Spaces()))
    for stop_after in (3, 5):
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "parts", Stopping(stop_after))
    resumed = run(tmp_path / "parts", Spaces())
    assert settings(resumed) == expected
    # The two that were interrupted were begun anew.
    assert len(resumed.study.get_trials(states=(FAIL,))) == 2
    assert len(resumed.study.get_trials(states=(COMPLETE,))) == 16


def test_a_samplers_generators_are_all_seeded():
    """`LazyRandomState`: two samplers, each with a random one inside."""
    first, second = (optuna.samplers.TPESampler(seed=seed) for seed in (1, 2))
    assert optuna_hooks.reseed(first, 5) == optuna_hooks.reseed(second, 5) == 2

    def drawn(sampler):
        study = optuna.create_study(sampler=sampler)
        return study.ask().suggest_float("x", 0, 1)

    assert drawn(first) == drawn(second)


def test_a_small_space_is_exhausted_without_a_repetition(tmp_path):
    class Small(Spaces):
        def build(self, hp):
            hp.Choice("a", ["x", "y"])
            hp.Int("b", 1, 4)
            return keras.Sequential()

        def fit(self, hp, model, *args, **kwargs):
            return float(hp.get("b"))

    tuner = search(tmp_path, Small(), max_trials=50)
    found = [tuple(values.values()) for values in settings(tuner)]
    assert len(found) == len(set(found)) == 8


def test_scores_that_are_no_numbers_are_told_as_failed(tmp_path):
    outcomes = [1.0, math.nan, -math.inf, ValueError("broken"), 2.0]
    tuner = search(tmp_path, toys.Scored(outcomes.__getitem__), max_trials=5)
    entries = tuner.study.trials
    assert [e.state for e in entries] == [COMPLETE, FAIL, FAIL, FAIL, COMPLETE]
    assert [e.value for e in entries] == [1.0, None, None, None, 2.0]
    assert "default_objective is -inf" in entries[2].user_attrs["error"]
    assert "ValueError: broken" in entries[3].user_attrs["error"]
    assert tuner.study.best_value == 1.0


def test_a_retried_trial_is_one_entry_of_the_study(tmp_path):
    outcomes = [ValueError("once"), 1.0]
    tuner = search(
        tmp_path,
        toys.Scored(outcomes.__getitem__),
        max_trials=1,
        max_retries_per_trial=1,
    )
    (entry,) = tuner.study.trials
    assert (entry.state, entry.value) == (COMPLETE, 1.0)


class Curves(keras_tuner.HyperModel):
    """Trains nothing, but shows `fit` curves: of trial n, `level(n)` in all epochs."""

    def __init__(self, levels, epochs=6):
        super().__init__()
        self.levels = iter(levels)
        self.epochs = epochs

    def build(self, hp):
        hp.Float("x", 0.0, 1.0)
        model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
        model.compile("sgd", "mse", run_eagerly=True)
        return model

    def fit(self, hp, model, *args, callbacks, **kwargs):
        level = next(self.levels)
        shown = keras.callbacks.LambdaCallback(
            on_epoch_end=lambda epoch, logs: logs.update(shown=level - epoch / 100)
        )
        x = np.zeros((4, 1), "float32")
        return model.fit(
            x, x, epochs=self.epochs, callbacks=[shown, *callbacks], verbose=0
        )


SHOWN = keras_tuner.Objective("shown", "min")


def test_the_pruner_ends_a_trial_that_falls_behind_with_its_score_so_far(tmp_path):
    """The median of 1 and 2 is below 9 from the first epoch that is asked about."""
    tuner = OptunaSearch(
        Curves([1.0, 2.0, 9.0, 0.5]),
        SHOWN,
        max_trials=4,
        pruner=optuna.pruners.MedianPruner(n_startup_trials=2, n_warmup_steps=2),
        seed=0,
        directory=tmp_path,
    )
    tuner.search(verbose=0)
    assert [len(tuner.curves(str(n))[0]["shown"]) for n in range(4)] == [6, 6, 3, 6]
    entries = tuner.study.trials
    assert [e.state for e in entries] == [COMPLETE, COMPLETE, PRUNED, COMPLETE]
    assert entries[2].intermediate_values == {0: 9.0, 1: 8.99, 2: 8.98}
    table = tuner.leaderboard().set_index("trial_id")
    assert table["shown"].to_dict() == {"0": 0.95, "1": 1.95, "2": 8.98, "3": 0.45}
    assert set(table["status"]) == {"COMPLETED"}
    record = json.loads(
        (tmp_path / "untitled_project" / "trial_2" / "record.json").read_text()
    )
    assert record["error"] == "Pruned after epoch 3"


def test_later_executions_of_a_pruned_trial_end_after_the_same_epoch(tmp_path):
    tuner = OptunaSearch(
        Curves([1.0, 1.0, 9.0, 9.0]),
        SHOWN,
        max_trials=2,
        executions_per_trial=2,
        pruner=optuna.pruners.MedianPruner(n_startup_trials=1, n_warmup_steps=3),
        seed=0,
        directory=tmp_path,
    )
    tuner.search(verbose=0)
    lengths = [[len(c["shown"]) for c in tuner.curves(n)] for n in ("0", "1")]
    assert lengths == [[6, 6], [4, 4]]


def test_without_a_pruner_curves_are_in_the_study_all_the_same(tmp_path):
    tuner = OptunaSearch(Curves([1.0]), SHOWN, max_trials=1, seed=0, directory=tmp_path)
    tuner.search(verbose=0)
    (entry,) = tuner.study.trials
    assert list(entry.intermediate_values) == list(range(6))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sampler": "annealing"}, r"`sampler` must be.*Received: sampler='annealing'"),
        ({"pruner": "brutal"}, r"`pruner` must be.*Received: pruner='brutal'"),
        ({"lease_seconds": 0}, "Received: lease_seconds=0"),
        ({"storage": "a.journal", "overwrite": True}, "other processes may share"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        OptunaSearch(toys.Scored(float), directory=tmp_path, **arguments)


def test_a_study_of_another_search_is_refused_with_the_difference(tmp_path):
    storage = str(tmp_path / "study.journal")

    def joined(name, **arguments):
        return OptunaSearch(
            toys.Scored(float),
            directory=tmp_path,
            project_name=name,
            study_name="shared",
            storage=storage,
            **arguments,
        )

    first = joined("first", objective="val_loss", seed=5)
    with pytest.raises(ValueError, match="its seed is 5, that of this one is 6"):
        joined("second", objective="val_loss", seed=6)
    with pytest.raises(ValueError, match=r"its direction is \['minimize'\]"):
        joined("third", objective="val_accuracy", seed=5)
    with pytest.raises(ValueError, match="its objective is 'val_loss'"):
        joined("fourth", objective="loss", seed=5)
    # Without a seed of its own it takes the study's.
    assert joined("fifth", objective="val_loss").oracle.seed == first.oracle.seed == 5


def test_overwrite_makes_a_new_study_in_the_folder(tmp_path):
    search(tmp_path, toys.Scored(float), max_trials=3)
    again = search(tmp_path, toys.Scored(float), max_trials=2, overwrite=True)
    assert len(again.study.trials) == 2


def test_a_missing_optuna_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ImportError, match=r"python -m pip install optuna cmaes"):
        OptunaSearch(toys.Scored(float), directory=tmp_path)
    with pytest.raises(ImportError, match=r"python -m pip install optuna cmaes"):
        to_optuna_study(RandomSearch(toys.Scored(float), directory=tmp_path))


@pytest.mark.parametrize(("sampler", "package"), [("gp", "torch"), ("cmaes", "cmaes")])
def test_a_package_that_a_sampler_needs_is_named(
    tmp_path, monkeypatch, sampler, package
):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=f"pip install {package}"):
        OptunaSearch(toys.Scored(float), sampler=sampler, directory=tmp_path)


def test_a_finished_search_becomes_a_study(tmp_path):
    outcomes = [0.3, math.nan, 0.1, ValueError("broken")]

    class Noted(toys.Scored):
        def build(self, hp):
            hp.Float("rate", 1e-3, 1e-1, sampling="log")
            hp.Fixed("fixed", 1)
            return super().build(hp)

    tuner = RandomSearch(
        Noted(outcomes.__getitem__), max_trials=4, seed=0, directory=tmp_path
    )
    tuner.search(verbose=0)
    study = to_optuna_study(tuner)
    assert [e.state for e in study.trials] == [COMPLETE, FAIL, COMPLETE, FAIL]
    assert study.best_value == 0.1
    assert study.best_trial.user_attrs["trial_id"] == "2"
    best = tuner.get_best_hyperparameters()[0].values
    assert study.best_params == {n: best[n] for n in ("rate", *"wxyz")}
    assert study.best_trial.distributions["rate"] == (
        optuna.distributions.FloatDistribution(1e-3, 1e-1, log=True)
    )


def test_a_study_has_the_curve_of_each_trial(tmp_path):
    tuner = toys.search(
        RandomSearch, tmp_path, seed=0, max_trials=2, hypermodel=toys.build_eagerly
    )
    study = to_optuna_study(tuner)
    for number, entry in enumerate(study.trials):
        curve = tuner.curves(str(number))[0]["val_loss"]
        assert entry.intermediate_values == dict(enumerate(curve))
        seconds = tuner.leaderboard().set_index("trial_id")["seconds"][str(number)]
        assert entry.duration.total_seconds() == pytest.approx(seconds, abs=1e-5)
