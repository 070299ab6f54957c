"""What a search writes and keeps with each trial does not grow with those before."""

import collections
import functools
import gc
import shutil
import time
import weakref

import keras
import keras_tuner
import numpy as np
import pytest

from keras_tricks import tuners
from keras_tricks.tuners.results import scores
from keras_tricks.tuners.search_space import asked_for
from keras_tricks.tuners.search_space import points
from keras_tricks.tuners.search_space.unit_cube import UnitCube
from keras_tricks.tuners.storage import files
from keras_tricks.tuners.trials.old_objects import OldObjects

TUNERS = [
    tuners.RandomSearch,
    tuners.QuasiRandomSearch,
    tuners.GridSearch,
    functools.partial(tuners.Hyperband, max_epochs=1, hyperband_iterations=None),
    tuners.BayesianOptimization,
]
TRIALS = 60


class LateNames(keras_tuner.HyperModel):
    """Scores its settings; some ask for one name more when they are fitted."""

    def __init__(self, in_fit=None):
        super().__init__()
        self.fits = 0
        self.in_fit = in_fit

    def build(self, hp):
        self.score = sum(hp.Float(name, 0.0, 1.0) for name in "ab")
        return keras.Sequential()

    def fit(self, hp, model, **kwargs):
        self.fits += 1
        late = hp.Float("late", 1.0, 2.0) if hp.get("a") > 0.8 else 0.0
        if self.in_fit is not None:
            self.in_fit(self.fits)
        return self.score + late


def search(tuner_class, folder, hypermodel, **arguments):
    tuner = tuner_class(
        hypermodel,
        keras_tuner.Objective("score", "min"),
        max_trials=TRIALS,
        seed=3,
        directory=folder,
        project_name="project",
        **arguments,
    )
    tuner.search(verbose=0)
    return tuner


def seen(tuner):
    """What a user sees of it, but for the time it took."""
    oracle = tuner.oracle
    return (
        tuner.leaderboard().drop(columns="seconds").to_csv(),
        oracle.start_order,
        [one.name for one in oracle.get_space().space],
        {trial_id: trial.get_state() for trial_id, trial in oracle.trials.items()},
    )


@pytest.mark.parametrize("tuner_class", TUNERS)
def test_a_search_that_is_killed_between_two_saves_goes_on_as_if_it_were_not(
    tmp_path, tuner_class
):
    """Each copy is what a process leaves that is killed while a trial trains."""
    project, copies = tmp_path / "whole" / "project", tmp_path / "copies"

    def copy_folder(fit):
        if fit > TRIALS - 5:
            shutil.copytree(project, copies / str(fit) / "project")

    whole = search(tuner_class, tmp_path / "whole", LateNames(copy_folder))
    behind = {
        fit - len(files.read_json(copy / "project" / "oracle.json")["start_order"]): fit
        for copy in copies.iterdir()
        for fit in [int(copy.name)]
    }
    assert max(behind) > 1, "No save was late, so that nothing is shown."
    killed_in = behind[max(behind)]
    hypermodel = LateNames()
    resumed = search(tuner_class, copies / str(killed_in), hypermodel)
    assert hypermodel.fits == TRIALS - killed_in + 1
    assert seen(resumed) == seen(whole)


@pytest.mark.parametrize("tuner_class", TUNERS)
def test_the_search_is_saved_whole_at_its_end_and_rarely_before(
    tmp_path, monkeypatch, tuner_class
):
    written = []
    write = files.write_json

    def counted(path, *args, **kwargs):
        written.append(files.Path(path).name)
        write(path, *args, **kwargs)

    monkeypatch.setattr(files, "write_json", counted)
    tuner = search(tuner_class, tmp_path, LateNames())
    state = files.read_json(tmp_path / "project" / "oracle.json")
    assert len(state["end_order"]) == TRIALS
    assert state["start_order"] == tuner.oracle.start_order
    # A trial is written when it begins, when it has a score and when it ends.
    assert written.count("trial.json") <= 3 * TRIALS
    assert written.count("oracle.json") < 1.5 * TRIALS


def test_a_trial_that_is_to_be_tried_again_is_saved_with_its_attempts(tmp_path):
    class Failing(LateNames):
        def fit(self, hp, model, **kwargs):
            super().fit(hp, model)
            if self.fits in (50, 51):
                if self.fits == 51:
                    shutil.copytree(tmp_path / "killed", tmp_path / "left")
                raise ValueError("It fails.")
            return 1.0

    retries = {"max_retries_per_trial": 1}
    search(tuners.RandomSearch, tmp_path / "killed", Failing(), **retries)
    state = files.read_json(tmp_path / "left" / "project" / "oracle.json")
    assert state["run_times"]["49"] == 1


def test_what_trials_leave_is_kept_from_the_collector_and_garbage_is_not(monkeypatch):
    monkeypatch.undo()  # Of conftest.py: what is frozen is counted here.
    frozen = gc.get_freeze_count()
    gc.unfreeze()

    def collect_until(condition):
        begun = time.monotonic()
        while not condition():
            assert time.monotonic() - begun < 60, "It does not come to that."
            gc.collect()
            old_objects.add_what_lasts()

    class Node:
        pass

    try:
        with OldObjects() as old_objects:
            before = gc.get_freeze_count()
            lasting = [[number] for number in range(300_000)]
            node = Node()
            node.itself, is_gone = node, weakref.ref(node)
            collect_until(lambda: gc.get_freeze_count() > before + 270_000)
            # It is garbage that was frozen while it was none.
            del node
            lasting += [[number] for number in range(300_000)]
            collect_until(lambda: is_gone() is None)
        assert gc.get_freeze_count() == 0
    finally:
        gc.unfreeze()
        if frozen:
            gc.collect()
            gc.freeze()


@pytest.mark.parametrize("tuner_class", TUNERS)
def test_a_suggestion_looks_at_the_settings_of_a_trial_once(
    tmp_path, monkeypatch, tuner_class
):
    """Not at those of all trials before, which would take longer with each."""
    calls = collections.Counter()
    signature, encoded = points.signature, UnitCube.encoded
    add = asked_for.Covered.add

    def counted(name, function):
        def call(*arguments):
            calls[name] += 1
            return function(*arguments)

        return call

    monkeypatch.setattr(points, "signature", counted("signature", signature))
    monkeypatch.setattr(UnitCube, "encoded", counted("encoded", encoded))
    monkeypatch.setattr(asked_for.Covered, "add", counted("add", add))
    search(tuner_class, tmp_path, LateNames())
    # The space grows once, and each trial is looked at while it runs and afterwards.
    # Of each suggestion a few are looked at that turn out to be its settings.
    assert max(calls.values(), default=0) < 8 * TRIALS < TRIALS**2 / 2


@pytest.mark.parametrize(
    "tuner_class", [one for one in TUNERS if not isinstance(one, functools.partial)]
)
def test_the_best_are_found_among_few_and_are_those_of_all(
    tmp_path, monkeypatch, tuner_class
):
    """What ends, and what an engine is told, is not compared with every trial before.

    Hyperband keeps the weights of all until its search ends.
    """
    oracle = search(tuner_class, tmp_path, LateNames(), keep_checkpoints=3).oracle
    calls = collections.Counter()
    is_feasible = scores.is_feasible

    def counted(score):
        calls["is_feasible"] += 1
        return is_feasible(score)

    best = [trial.trial_id for trial in oracle.get_best_trials(3)]
    monkeypatch.setattr(scores, "is_feasible", counted)
    assert [trial.trial_id for trial in oracle.best_with_weights()] == best
    assert calls["is_feasible"] <= 3 + 1
    # Read anew, all are looked at once.
    oracle.reload()
    assert [trial.trial_id for trial in oracle.best_with_weights()] == best


def test_a_grid_is_walked_as_if_it_were_walked_anew_for_each_trial(tmp_path):
    """Against the first point that no trial has, by KerasTuner's order."""
    hp = keras_tuner.HyperParameters()
    hp.Choice("a", [1, 2, 3])
    hp.Boolean("b")
    with hp.conditional_scope("b", [True]):
        hp.Int("c", 0, 3)
    hp.Choice("d", ["x", "y"])
    generator = np.random.default_rng(0)
    oracle = tuners.GridSearch(
        lambda hp: None,
        keras_tuner.Objective("score", "min"),
        hyperparameters=hp,
        directory=tmp_path,
    ).oracle
    every = list(points.walk(hp.space, points.grid_choices))
    running, given = [], []
    while True:
        trial = oracle.create_trial(f"worker {len(given)}")
        if trial.status != "RUNNING":
            break
        given.append(trial.hyperparameters.values)
        running.append(trial)
        while running and generator.random() < 0.6:
            ended = running.pop(generator.integers(len(running)))
            ended.status = "FAILED" if generator.random() < 0.3 else "COMPLETED"
            if ended.status == "COMPLETED":
                oracle.update_trial(ended.trial_id, {"score": 1.0})
            oracle.end_trial(ended)
    assert given == every
