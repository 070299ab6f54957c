"""Searches that begin with known settings, or end when their time is up."""

import concurrent.futures
import re
import time
import warnings

import keras
import keras_tuner
import numpy as np
import pytest

from keras_tricks import tuners
from keras_tricks.tuners.search_space import points
from tests import sampling
from tests.tuners import forks
from tests.tuners import toys

X = np.linspace(-1, 1, 32, dtype="float32").reshape(-1, 1)
DATA = {"x": X, "y": 2 * X, "validation_data": (X, 2 * X), "verbose": 0}
KINDS = {
    "RandomSearch": {},
    "BayesianOptimization": {"num_initial_points": 2},
    "GridSearch": {},
    "QuasiRandomSearch": {},
    "OptunaSearch": {},
    "Hyperband": {"max_epochs": 3, "factor": 3},
}


class Scored(keras_tuner.HyperModel):
    """Its score is computed from its settings."""

    def build(self, hp):
        hp.Float("x", 0.0, 1.0, step=0.125, default=0.5)
        if hp.Choice("kind", ["a", "b"]) == "b":
            with hp.conditional_scope("kind", "b"):
                hp.Int("units", 1, 8)
        return keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])

    def fit(self, hp, model, **kwargs):
        return hp.get("x")


def made(kind, directory, hypermodel=None, **arguments):
    arguments = {**KINDS[kind], **arguments}
    if kind != "Hyperband":
        arguments.setdefault("max_trials", 5)
    return getattr(tuners, kind)(
        hypermodel or Scored(),
        keras_tuner.Objective("val_loss", "min") if hypermodel else None,
        seed=1,
        directory=directory,
        project_name="p",
        **arguments,
    )


def settings_of(tuner, count):
    trials = sorted(tuner.oracle.trials.values(), key=lambda t: int(t.trial_id))
    return [
        {n: v for n, v in t.hyperparameters.values.items() if "tuner/" not in n}
        for t in trials[:count]
    ]


GIVEN = [{"kind": "b", "units": 3, "x": 0.25}, "default", {"x": np.float32(0.75)}]
EXPECTED = [
    {"kind": "b", "units": 3, "x": 0.25},
    {"kind": "a", "x": 0.5},
    {"kind": "a", "x": 0.75},
]


@pytest.mark.parametrize("kind", KINDS)
def test_known_settings_are_the_first_trials(kind, tmp_path):
    """What one leaves out has its default; the others are the tuner's own."""
    tuner = made(kind, tmp_path)
    tuner.search(verbose=0, initial_settings=GIVEN)
    assert settings_of(tuner, 3) == EXPECTED
    table = tuner.leaderboard()
    first = table[table["trial_id"].astype(int) < 3]
    others = table[table["trial_id"].astype(int) >= 3]
    assert set(first["source"]) == {"initial_settings"}
    assert len(others) >= 2
    if kind != "Hyperband":  # It promotes them.
        assert set(others["source"]) == {"search"}


@pytest.mark.parametrize("kind", ["RandomSearch", "GridSearch", "OptunaSearch"])
def test_they_are_not_run_again(kind, tmp_path):
    """Neither when the search goes on, nor where they are given twice."""
    made(kind, tmp_path, max_trials=2).search(verbose=0, initial_settings=GIVEN[:2])
    tuner = made(kind, tmp_path, max_trials=6)
    tuner.search(verbose=0, initial_settings=[*GIVEN[:2], GIVEN[0], GIVEN[2]])
    assert settings_of(tuner, 3) == EXPECTED
    every = [tuple(sorted(s.items())) for s in settings_of(tuner, 6)]
    assert len(set(every)) == 6


@pytest.mark.exhaustive  # Two more processes begin.
def test_workers_begin_with_them(tmp_path):
    tuner = made("RandomSearch", tmp_path, max_trials=4)
    tuner.search(verbose=0, workers=2, initial_settings=GIVEN)
    assert settings_of(tuner, 3) == EXPECTED
    assert list(tuner.leaderboard()["source"]).count("initial_settings") == 3


class Late(Scored):
    """Asks for the units of layers that its first build does not have."""

    def build(self, hp):
        for number in range(hp.Int("layers", 1, 3)):
            hp.Int(f"units_{number}", 1, 8, default=2)
        return keras.Sequential()

    def fit(self, hp, model, **kwargs):
        return sum(v for v in hp.values.values() if isinstance(v, int))


@pytest.mark.parametrize("kind", ["RandomSearch", "OptunaSearch", "GridSearch"])
def test_names_that_appear_later_have_their_values(kind, tmp_path):
    tuner = tuners.__dict__[kind](
        Late(), seed=0, max_trials=3, directory=tmp_path, project_name="p"
    )
    given = {"layers": 3, "units_2": 7}
    tuner.search(verbose=0, initial_settings=[given])
    expected = {"layers": 3, "units_0": 2, "units_1": 2, "units_2": 7}
    assert settings_of(tuner, 1) == [expected]
    again = tuners.__dict__[kind](
        Late(), seed=0, max_trials=4, directory=tmp_path, project_name="p"
    )
    again.search(verbose=0, initial_settings=[given])
    assert settings_of(again, 4).count(expected) == 1


def test_a_name_that_no_trial_asks_for_is_a_warning(tmp_path):
    tuner = made("RandomSearch", tmp_path, max_trials=2)
    with pytest.warns(UserWarning, match=r"\['unit'\].* did you mean 'units'"):
        tuner.search(verbose=0, initial_settings=[{"kind": "b", "unit": 3}])


def test_a_name_that_the_others_switch_off_is_a_warning(tmp_path):
    tuner = made("RandomSearch", tmp_path, max_trials=2)
    with pytest.warns(UserWarning, match=r"name \['units'\], (which|for which)"):
        tuner.search(verbose=0, initial_settings=[{"kind": "a", "units": 3}])
    assert settings_of(tuner, 1) == [{"kind": "a", "x": 0.5}]


def test_settings_of_hyperband_lose_their_place_in_its_schedule(tmp_path):
    """Else a trial would go on from the weights of another search."""
    first = made("Hyperband", tmp_path / "first")
    first.search(verbose=0)
    tuner = made("Hyperband", tmp_path / "second")
    best = first.get_best_hyperparameters(1)
    assert any(name.startswith("tuner/") for name in best[0].values)
    tuner.search(verbose=0, initial_settings=best)
    values = tuner.oracle.trials["0"].hyperparameters.values
    assert "tuner/trial_id" not in values
    assert values["tuner/epochs"] == 1
    assert values["x"] == best[0].values["x"]


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"x": 0.5}, TypeError, "`initial_settings` must be a list"),
        ("default", TypeError, "`initial_settings` must be a list"),
        ([3], TypeError, r"`initial_settings\[0\]` must be a dictionary"),
        (["best"], ValueError, r"`initial_settings\[0\]` must be"),
        ([{}, {"x": 2.0}], ValueError, r"`initial_settings\[1\]\['x'\]` must be in"),
        (
            [{"x": "0.5"}],
            ValueError,
            r"\['x'\]` must be in the range .*Received: '0.5'",
        ),
        ([{"kind": "c"}], ValueError, r"\['kind'\]` must be in the range"),
        ([{"x": 0.3}], ValueError, r"must be in the range .*Received: 0.3"),
        ([{"x": float("nan")}], ValueError, r"must be in the range"),
        ([{1: 2}], TypeError, r"`initial_settings\[0\]` must be a dictionary"),
    ],
)
def test_settings_that_cannot_be_are_refused(given, error, message, tmp_path):
    """Before the first trial."""
    tuner = made("RandomSearch", tmp_path)
    with pytest.raises(error, match=message):
        tuner.search(verbose=0, initial_settings=given)
    assert not tuner.oracle.trials


class LateChoices(keras_tuner.HyperModel):
    """Asks for names that its first build does not have, and for one in `fit`."""

    def build(self, hp):
        for number in range(hp.Int("layers", 1, 3)):
            hp.Int(f"units_{number}", 4, 64, step=4)
            hp.Choice(f"kind_{number}", ["a", "b"])
        model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
        model.compile("sgd", "mse")
        return model

    def fit(self, hp, model, **kwargs):
        return model.fit(**kwargs, batch_size=hp.Choice("batch", [16, 32]))


LATE = {
    "RandomSearch": {},
    "GridSearch": {},
    "QuasiRandomSearch": {},
    "BayesianOptimization": {"num_initial_points": 2},
    "BayesianOptimization, KerasTuner's": {
        "num_initial_points": 2,
        "engine": "keras_tuner",
    },
    "OptunaSearch": {},
    "Hyperband": {"max_epochs": 3, "factor": 3},
}


@pytest.mark.parametrize("kind", LATE)
def test_a_value_that_cannot_be_fails_its_trial_once_its_range_is_known(kind, tmp_path):
    """By name. What is on disk keeps no later search from going on."""

    def searched(count, given):
        arguments = {"max_trials": count} | LATE[kind]
        if kind == "Hyperband":
            del arguments["max_trials"]
        tuner = getattr(tuners, kind.partition(",")[0])(
            LateChoices(),
            keras_tuner.Objective("val_loss", "min"),
            seed=0,
            directory=tmp_path,
            project_name="p",
            **arguments,
        )
        tuner.search(**DATA, initial_settings=given)
        return tuner

    given = [
        {"layers": 2, "units_1": 9999},
        {"layers": 2, "kind_1": "zzz"},
        {"layers": 1, "batch": 32},
        {"layers": 2, "units_1": "0.3"},
        {"layers": 1, "batch": 17},
    ]
    tuner = searched(8, given)
    trials = sorted(tuner.oracle.trials.values(), key=lambda t: int(t.trial_id))
    assert len(trials) >= 6
    assert [t.message for t in trials if t.status == "FAILED"] == [
        AnyText(r"`initial_settings\[0\]\['units_1'\]` must be in the range .*: 9999"),
        AnyText(r"`initial_settings\[1\]\['kind_1'\]` must be in the range .*: 'zzz'"),
        AnyText(r"`initial_settings\[3\]\['units_1'\]` must be in the range .*: '0.3'"),
        AnyText(r"`initial_settings\[4\]\['batch'\]` must be in the range .*: 17"),
    ]
    with pytest.raises(ValueError, match=r"initial_settings\[0\]\['units_1'\]` must"):
        searched(10, given)
    again = searched(10, given[2:3]).oracle.trials.values()
    assert len(again) == (len(trials) if kind == "Hyperband" else 10)
    ended = [t.hyperparameters for t in again if t.status == "COMPLETED"]
    assert len(ended) == len(again) - 4
    assert not any(points.names_out_of_range(hp.space, hp.values) for hp in ended)


class AnyText(str):
    """Equal to any text in which it is found."""

    def __eq__(self, other):
        return re.search(self, other) is not None

    __hash__ = str.__hash__


def test_settings_for_which_there_is_no_trial_are_a_warning(tmp_path):
    """Those that were tried do not count, nor does one that is given twice."""
    with pytest.warns(UserWarning, match=r"number 1, 2 \(from 0\) will not be tried"):
        made("RandomSearch", tmp_path, max_trials=1).search(
            verbose=0, initial_settings=GIVEN
        )
    with pytest.warns(UserWarning, match=r"number 3 \(from 0\) .*max_trials=2, 1 tri"):
        made("RandomSearch", tmp_path, max_trials=2).search(
            verbose=0, initial_settings=[GIVEN[0], GIVEN[1], GIVEN[1], GIVEN[2]]
        )
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        made("RandomSearch", tmp_path, max_trials=3).search(
            verbose=0, initial_settings=GIVEN
        )


def test_a_whole_number_stays_one_in_a_name_that_appears_later(tmp_path):
    tuner = tuners.RandomSearch(Late(), max_trials=1, directory=tmp_path)
    tuner.search(verbose=0, initial_settings=[{"layers": 2, "units_1": 7.0}])
    value = settings_of(tuner, 1)[0]["units_1"]
    assert value == 7
    assert isinstance(value, int)


def test_best_settings_of_another_search_are_taken(tmp_path):
    first = made("RandomSearch", tmp_path / "first")
    first.search(verbose=0)
    tuner = made("QuasiRandomSearch", tmp_path / "second")
    tuner.search(verbose=0, initial_settings=first.get_best_hyperparameters(2))
    best = [hp.values for hp in first.get_best_hyperparameters(2)]
    assert settings_of(tuner, 2) == best


def test_what_a_study_enqueues_comes_first(tmp_path):
    """Optuna's own way to say it, for a search that any process resumes."""
    tuner = made("OptunaSearch", tmp_path)
    tuner.study.enqueue_trial({"kind": "b", "units": 5, "x": 0.125})
    tuner.study.enqueue_trial({"x": 0.875})
    tuner.search(verbose=0)
    assert settings_of(tuner, 2) == [
        {"kind": "b", "units": 5, "x": 0.125},
        {"kind": "a", "x": 0.875},
    ]
    assert not tuner.oracle.shared.enqueued()
    assert len(tuner.leaderboard()) == 5


def test_a_trial_looks_at_the_study_three_times(tmp_path, monkeypatch):
    """Before it, after it has claimed its entry, and at its end: a look may be slow."""
    tuner = made("OptunaSearch", tmp_path)
    asked = []
    get_trials = tuner.study.get_trials

    def counted(*arguments, **named):
        asked.append(named)
        return get_trials(*arguments, **named)

    monkeypatch.setattr(tuner.study, "get_trials", counted)
    tuner.search(verbose=0)
    trials = len(tuner.leaderboard())
    # The last question finds that there are trials enough.
    assert len(asked) <= 3 * trials + 3


def test_rounds_begin_with_them_once(tmp_path):
    search = tuners.CoarseToFine(
        Scored(), rounds=2, trials_per_round=6, seed=0, directory=tmp_path
    )
    search.search(verbose=0, initial_settings=GIVEN[:2])
    assert settings_of(search.rounds_run[0].tuner, 2) == EXPECTED[:2]


# A time limit.


class Slow(keras_tuner.HyperModel):
    """Trains for as long as it is let."""

    def build(self, hp):
        model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
        rate = hp.Float("rate", 1e-4, 1e-1, sampling="log")
        model.compile(keras.optimizers.SGD(rate), "mse")
        return model


class Waits(keras.callbacks.Callback):
    """Makes an epoch last, in `fit` and in shared programs."""

    def on_epoch_end(self, epoch, logs=None):
        time.sleep(0.1)


WAYS = {
    "fit": {"reuse_programs": False},
    "shared programs": {},
    "packs": {"packed_trials": 4},
}


@pytest.mark.parametrize("way", WAYS)
def test_a_search_ends_when_its_time_is_up(way, tmp_path):
    """Trials end with their epoch, are marked, and the next search goes on."""
    arguments = {"max_trials": 4, **WAYS[way]}
    tuner = made("RandomSearch", tmp_path, Slow(), **arguments)
    began = time.monotonic()
    tuner.search(**DATA, epochs=1000, callbacks=[Waits()], max_seconds=1)
    assert 1 <= time.monotonic() - began < 60
    table = tuner.leaderboard()
    assert 1 <= len(table) <= 4
    assert set(table["status"]) == {"COMPLETED"}
    assert set(table["stopped_by"]) == {"max_seconds"}
    [curves] = tuner.curves(table["trial_id"][0])
    assert 1 <= len(curves["loss"]) < 1000
    assert table["val_loss"][0] == pytest.approx(min(curves["val_loss"]))
    if way == "fit":
        assert len(table) == 1
        again = made("RandomSearch", tmp_path, Slow(), **arguments)
        again.search(**DATA, epochs=2)
        table = again.leaderboard()
        assert len(table) == 4
        assert list(table["stopped_by"]).count("max_seconds") == 1


@pytest.mark.parametrize("place", ["here", "workers", "executor"])
def test_packs_that_have_not_begun_are_left_to_the_next_search(place, tmp_path):
    """Several are taken ahead, and would otherwise all have one epoch each."""
    arguments = {"max_trials": 30, "packed_trials": 2}
    tuner = made("RandomSearch", tmp_path, Slow(), **arguments)
    settings = {"epochs": 1000, "callbacks": [Waits()], "max_seconds": 6}
    with forks.as_workers(), concurrent.futures.ThreadPoolExecutor(2) as threads:
        settings |= {
            "here": {},
            "workers": {"workers": 2},
            "executor": {"executor": threads},
        }[place]
        tuner.search(**DATA, **settings)
    first = tuner.leaderboard()
    # A pack each of two workers, and the trial by which they learn the space; none
    # where a busy machine has not begun by then.
    assert len(first) <= (2 if place == "here" else 5)
    assert list(first.get("stopped_by", ())) == len(first) * ["max_seconds"]
    again = made("RandomSearch", tmp_path, Slow(), **arguments)
    again.search(**DATA, epochs=2)
    table = again.leaderboard()
    assert set(table["status"]) == {"COMPLETED"}
    assert len(table) == 30
    assert list(table.get("stopped_by", ())).count("max_seconds") == len(first)
    lengths = {one: len(again.curves(one)[0]["loss"]) for one in table["trial_id"]}
    assert {lengths[one] for one in lengths.keys() - set(first["trial_id"])} == {2}


def test_a_search_with_time_enough_is_as_without_a_limit(tmp_path):
    scores = []
    for number, own in enumerate(({}, {"max_seconds": 3600})):
        tuner = made("RandomSearch", tmp_path / str(number), Slow(), max_trials=2)
        tuner.search(**DATA, epochs=2, **own)
        assert "stopped_by" not in tuner.leaderboard()
        scores.append(list(tuner.leaderboard()["val_loss"]))
    assert scores[0] == scores[1]


@pytest.mark.parametrize("workers", sampling.one_in(2, [1, 2]))
def test_no_trial_begins_when_the_time_is_up(workers, tmp_path):
    """Also in worker processes, and where the oracle shares a study."""
    tuner = made("OptunaSearch", tmp_path, max_trials=1000)
    tuner.search(verbose=0, workers=workers, max_seconds=1)
    count = len(tuner.leaderboard())
    assert count < 1000
    tuner = made("OptunaSearch", tmp_path, max_trials=count + 1)
    tuner.search(verbose=0)
    assert len(tuner.leaderboard()) == count + 1


@pytest.mark.parametrize("value", [0, -1, float("nan"), "10", None.__class__, True])
def test_limits_that_are_no_time_are_refused(value, tmp_path):
    tuner = made("RandomSearch", tmp_path)
    with pytest.raises((TypeError, ValueError), match="`max_seconds` must be"):
        tuner.search(verbose=0, max_seconds=value)


def test_rounds_that_had_no_time_have_an_empty_leaderboard(tmp_path):
    tuner = tuners.CoarseToFine(
        toys.Scored(float), rounds=2, trials_per_round=2, seed=0, directory=tmp_path
    )
    tuner.search(verbose=0, max_seconds=1e-9)
    assert len(tuner.leaderboard()) == 0
    tuner.search(verbose=0)
    assert len(tuner.leaderboard()) == 4


def test_processes_that_share_a_study_know_which_trials_were_initial(tmp_path):
    """The second one finds all trials there, and runs none."""
    pytest.importorskip("optuna", reason="Optuna is not installed")
    tables = []
    for name in ("one", "other"):
        hypermodel = toys.Scored(lambda number: float(number))
        tuner = tuners.OptunaSearch(
            hypermodel,
            max_trials=3,
            sampler="qmc",
            seed=0,
            storage=tmp_path / "study.journal",
            study_name="shared",
            directory=tmp_path / name,
        )
        tuner.search(initial_settings=["default", {"w": 0.25}], verbose=0)
        tables.append(tuner.leaderboard().sort_values("trial_id"))
    assert hypermodel.fits == 0
    expected = ["initial_settings", "initial_settings", "search"]
    assert [table["source"].tolist() for table in tables] == [expected] * 2
