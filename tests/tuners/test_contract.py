"""What every tuner of the package keeps, whichever algorithm it runs."""

import functools
import inspect
import itertools
import json
import math
import pickle
import random
import sys
import warnings
from pathlib import Path

import keras
import keras_tuner
import numpy as np
import pandas as pd
import pytest

import keras_tricks.tuners
from tests import child_process
from tests import sampling
from tests.tuners import toys

TUNERS = {
    "BayesianOptimization": keras_tricks.tuners.BayesianOptimization,
    "GridSearch": keras_tricks.tuners.GridSearch,
    "Hyperband": keras_tricks.tuners.Hyperband,
    "OptunaSearch": keras_tricks.tuners.OptunaSearch,
    "QuasiRandomSearch": keras_tricks.tuners.QuasiRandomSearch,
    "RandomSearch": keras_tricks.tuners.RandomSearch,
}

# They try each point of a grid, or fill brackets, unless they are given a limit.
WITHOUT_TEN_TRIALS = {"GridSearch", "Hyperband"}

# For facts of what all tuners share: one oracle is KerasTuner's, the other is not.
two_tuners = pytest.mark.parametrize(
    "tuner_class",
    sampling.only(["OptunaSearch", "RandomSearch"], TUNERS),
    indirect=True,
)

# Those that draw by themselves, each in its own way.
DRAWING = ("BayesianOptimization", "OptunaSearch", "RandomSearch")

# What two runs with one seed may differ in.
DURATION = "seconds"


@pytest.fixture(scope="module", params=TUNERS, name="tuner_class")
def tuner_class_fixture(request):
    return TUNERS[request.param]


@pytest.fixture(scope="module", name="searched")
def searched_fixture(tuner_class, tmp_path_factory):
    return toys.search(tuner_class, tmp_path_factory.mktemp("searched"), seed=0)


def scored(tuner_class, directory, outcomes, **arguments):
    arguments = {"max_trials": 3, "seed": 0, **arguments}
    return tuner_class(toys.Scored(outcomes), directory=directory, **arguments)


def trial_files(tuner, name):
    paths = sorted(Path(tuner.project_dir).glob(f"trial_*/{name}"))
    return [json.loads(path.read_text()) for path in paths]


def assert_same_search(table, other):
    pd.testing.assert_frame_equal(
        table.drop(columns=DURATION), other.drop(columns=DURATION), check_exact=True
    )


def test_every_public_name_is_under_this_contract():
    public = {
        name: getattr(keras_tricks.tuners, name) for name in keras_tricks.tuners.__all__
    }
    assert TUNERS == {
        name: one
        for name, one in public.items()
        if inspect.isclass(one) and issubclass(one, keras_tuner.Tuner)
    }


def test_is_a_kerastuner_class_with_its_arguments(tuner_class):
    assert issubclass(tuner_class, keras_tuner.Tuner)
    stock = getattr(keras_tuner, tuner_class.__name__, None)
    if stock is None:
        assert tuner_class.__name__ in {"OptunaSearch", "QuasiRandomSearch"}
        return
    assert issubclass(tuner_class, stock)

    def arguments(some_class):
        parameters = inspect.signature(some_class).parameters.values()
        # The options of this package's tuners come by keyword only.
        return [
            (p.name, p.kind, p.default)
            for p in parameters
            if p.kind is not p.KEYWORD_ONLY
        ]

    assert arguments(tuner_class) == arguments(stock)


def test_runs_with_default_arguments(tuner_class, tmp_path, monkeypatch):
    """KerasTuner's defaults: ten trials, a number to minimize, the working folder."""
    monkeypatch.chdir(tmp_path)
    limit = {"max_trials": 10} if tuner_class.__name__ in WITHOUT_TEN_TRIALS else {}
    tuner = tuner_class(toys.Scored(float), **limit)
    tuner.search()
    assert tuner.hypermodel.fits == 10
    assert tuner.leaderboard()["default_objective"].tolist() == [*map(float, range(10))]
    assert (tmp_path / "untitled_project").is_dir()


def test_a_missing_hypermodel_is_refused(tuner_class, tmp_path):
    with pytest.raises(ValueError, match=r"Received: hypermodel=None"):
        tuner_class(directory=tmp_path)


def test_a_subclass_may_run_trials_of_its_own(tuner_class, tmp_path):
    """KerasTuner's documented use as an optimizer of any function."""

    class Parabola(tuner_class):
        def run_trial(self, trial, shift):
            return (trial.hyperparameters.Float("x", -1.0, 1.0) - shift) ** 2

    tuner = Parabola(max_trials=4, seed=0, directory=tmp_path)
    tuner.search(0.5)
    table = tuner.leaderboard()
    np.testing.assert_array_equal(table["default_objective"], (table["x"] - 0.5) ** 2)


@pytest.mark.parametrize("seed", [0.5, "7"])
def test_a_seed_that_is_no_integer_is_refused(tuner_class, tmp_path, seed):
    with pytest.raises(TypeError, match="Received: seed="):
        tuner_class(toys.build, "val_loss", seed=seed, directory=tmp_path)


@pytest.mark.parametrize("seed", [0, np.int64(3)])
def test_any_integer_is_the_seed_of_the_search(tuner_class, tmp_path, seed):
    tuner = tuner_class(toys.build, "val_loss", seed=seed, directory=tmp_path)
    tuner.save()
    state = json.loads((tmp_path / "untitled_project" / "oracle.json").read_text())
    assert state["seed"] == seed


@pytest.mark.parametrize("tuner_class", sampling.only(DRAWING, TUNERS), indirect=True)
def test_another_seed_gives_another_search(tuner_class, searched, tmp_path):
    other = toys.search(tuner_class, tmp_path, seed=1, max_trials=2).leaderboard()
    table = searched.leaderboard()
    assert set(other["val_loss"]).isdisjoint(table["val_loss"])
    if tuner_class.__name__ != "GridSearch":  # A grid has no seed.
        assert set(other["rate"]).isdisjoint(table["rate"])


CHILD = """
import pickle, random, sys
sys.modules["tensorboard"] = None  # Every import of it fails.
import keras_tricks.tuners
import numpy as np
from tests.tuners import toys
found = {}
for number, name in enumerate(sys.argv[1:]):
    random.seed(number)
    np.random.seed(number)
    tuner = toys.search(getattr(keras_tricks.tuners, name), name, seed=0)
    table = tuner.leaderboard()
    curves = [tuner.curves(trial_id) for trial_id in table["trial_id"]]
    found[name] = table, curves
with open("found.pickle", "wb") as file:
    pickle.dump(found, file)
"""


@pytest.fixture(scope="module", name="searched_by_a_child")
def searched_by_a_child_fixture(tmp_path_factory):
    """Gives table and curves of a tuner, from a process that has no tensorboard."""

    @functools.cache
    def found(are_drawing):
        folder = tmp_path_factory.mktemp("child")
        names = [name for name in TUNERS if (name in DRAWING) == are_drawing]
        child_process.run_python(CHILD, *names, cwd=folder)
        return pickle.loads((folder / "found.pickle").read_bytes())

    return lambda name: found(name in DRAWING)[name]


@pytest.mark.parametrize("tuner_class", sampling.only(DRAWING, TUNERS), indirect=True)
def test_one_seed_gives_one_search_in_any_process_without_tensorboard(
    tuner_class, searched, searched_by_a_child
):
    """Also when the global generators stand elsewhere, as they do there."""
    table, curves = searched_by_a_child(tuner_class.__name__)
    assert_same_search(table, searched.leaderboard())
    assert curves == [searched.curves(trial_id) for trial_id in table["trial_id"]]


def test_a_tensorboard_callback_without_tensorboard_is_refused_first(
    tuner_class, tmp_path, monkeypatch
):
    loaded = [name for name in sys.modules if name.startswith("tensorboard.")]
    for name in ["tensorboard", *loaded]:
        monkeypatch.setitem(sys.modules, name, None)
    TensorBoard = type("TensorBoard", (keras.callbacks.Callback,), {})
    tuner = scored(tuner_class, tmp_path, float)
    with pytest.raises(ImportError, match="pip install tensorboard"):
        tuner.search(callbacks=[TensorBoard()])
    assert tuner.hypermodel.fits == 0


def test_a_tensorboard_callback_is_configured_as_by_kerastuner(tuner_class, tmp_path):
    pytest.importorskip(
        "tensorboard.plugins.hparams.api",
        reason="tensorboard is not installed, and is not required",
    )
    TensorBoard = type("TensorBoard", (keras.callbacks.Callback,), {})
    seen = []

    class Watched(toys.Scored):
        def fit(self, hp, model, *args, callbacks, **kwargs):
            seen.append(callbacks[0].log_dir)
            return super().fit(hp, model)

    callback = TensorBoard()
    callback.log_dir = tmp_path / "logs"
    tuner = tuner_class(Watched(float), max_trials=1, directory=tmp_path)
    tuner.search(callbacks=[callback])
    assert [Path(folder) for folder in seen] == [tmp_path / "logs/0/execution0"]


@two_tuners
def test_executions_are_seeded_apart(tuner_class, tmp_path):
    tuner = toys.search(
        tuner_class, tmp_path, seed=0, max_trials=1, executions_per_trial=2
    )
    first, second = tuner.curves("0")
    assert first["loss"] != second["loss"]
    mean = np.mean([min(first["val_loss"]), min(second["val_loss"])])
    assert tuner.leaderboard()["val_loss"].tolist() == [mean]


def test_the_leaderboard_is_sorted_by_kerastuners_scores(searched):
    trials = trial_files(searched, "trial.json")
    expected = sorted(trials, key=lambda trial: trial["score"])
    table = searched.leaderboard()
    assert table["rank"].tolist() == [1, 2, 3]
    assert table["trial_id"].tolist() == [trial["trial_id"] for trial in expected]
    assert table["val_loss"].tolist() == [trial["score"] for trial in expected]
    best = searched.get_best_hyperparameters()[0].values
    for name in ("layers", "units", "rate"):
        assert table[name][0] == best[name]


@two_tuners
def test_a_score_to_maximize_is_sorted_downwards(tuner_class, tmp_path):
    score = keras_tuner.Objective("gain", "max")
    scores = [2.0, 5.0, 1.0, 5.0]

    class Gain(toys.Scored):
        def fit(self, hp, model, *args, **kwargs):
            return {"gain": super().fit(hp, model)}

    tuner = tuner_class(
        Gain(scores.__getitem__), score, max_trials=4, seed=0, directory=tmp_path
    )
    tuner.search()
    table = tuner.leaderboard()
    assert table["gain"].tolist() == [5.0, 5.0, 2.0, 1.0]
    # Of equals the first one started is first.
    assert table["trial_id"].tolist() == ["1", "3", "0", "2"]
    assert [t.trial_id for t in tuner.oracle.get_best_trials(4)] == ["1", "3", "0", "2"]


def test_an_inactive_hyperparameter_is_missing_from_the_leaderboard(searched):
    table = searched.leaderboard()
    inactive = table["layers"] == 1
    assert inactive.any()
    assert not inactive.all()
    assert table["units_2"].isna().tolist() == inactive.tolist()


def test_parameters_are_those_of_the_settings(searched):
    """Hand count: dense layers of 4 -> units (-> units_2) -> 1, with biases."""
    for row in searched.leaderboard().itertuples():
        widths = [4, row.units] + ([row.units_2] if row.layers == 2 else []) + [1]
        pairs = itertools.pairwise(widths)
        assert row.parameters == sum((n + 1) * m for n, m in pairs)


def test_records_on_disk_hold_the_whole_history(searched):
    table = searched.leaderboard().set_index("trial_id")
    recorded = trial_files(searched, "record.json")
    assert [record["trial_id"] for record in recorded] == ["0", "1", "2"]
    for record in recorded:
        (execution,) = record["executions"]
        curve = execution["curves"]["val_loss"]
        assert execution["curves"].keys() == {
            *("loss", "accuracy", "val_loss", "val_accuracy")
        }
        assert len(curve) == toys.EPOCHS
        assert record["score"] == min(curve)
        assert record["best_epoch"] == 1 + curve.index(min(curve))
        assert record["seed"] == 0
        assert record["status"] == "COMPLETED"
        assert record["seconds"] > 0
        assert record["error"] is None
        row = table.loc[record["trial_id"]]
        assert record["settings"].items() <= row.to_dict().items()
        assert searched.curves(record["trial_id"]) == [execution["curves"]]


def test_curves_of_an_unknown_trial_name_the_known_ones(searched):
    with pytest.raises(ValueError, match=r"'0', '1', '2'.*Received: trial_id='9'"):
        searched.curves("9")


def test_the_best_model_scores_as_recorded(searched):
    with warnings.catch_warnings():
        # Of an optimizer whose state is not loaded, as nobody has asked.
        warnings.simplefilter("error", UserWarning)
        model = searched.get_best_models()[0]
    x, y = toys.toy_data()["validation_data"]
    score = searched.leaderboard()["val_loss"][0]
    assert model.evaluate(x, y, verbose=0)[0] == pytest.approx(score, rel=1e-6)


@two_tuners
def test_each_trial_is_on_disk_before_the_next(tuner_class, tmp_path):
    def finished(_):
        return float(len(list(tmp_path.glob("untitled_project/trial_*/record.json"))))

    tuner = scored(tuner_class, tmp_path, finished)
    tuner.search()
    scores = [trial["score"] for trial in trial_files(tuner, "trial.json")]
    assert scores == [0.0, 1.0, 2.0]


def test_a_finished_search_is_taken_up_and_not_run_again(tuner_class, searched):
    class Refusing(keras_tuner.HyperModel):
        def build(self, hp):
            return toys.build_of(tuner_class)(hp)

        def fit(self, hp, model, *args, **kwargs):
            raise AssertionError("A finished trial was run again.")

    tuner = tuner_class(
        Refusing(),
        "val_loss",
        max_trials=3,
        directory=searched.directory,
        **toys.EXTRA_ARGUMENTS[tuner_class.__name__],
    )
    tuner.search()
    pd.testing.assert_frame_equal(tuner.leaderboard(), searched.leaderboard())


# Interrupted grids and brackets are in files of their own.
@pytest.mark.parametrize(
    "tuner_class",
    sampling.only(["OptunaSearch", "RandomSearch"], TUNERS),
    indirect=True,
)
def test_an_interrupted_search_ends_as_if_it_had_not_been(
    tuner_class, searched, tmp_path
):
    class Interrupted(keras_tuner.HyperModel):
        fits = 0

        def build(self, hp):
            return toys.build_of(tuner_class)(hp)

        def fit(self, hp, model, *args, **kwargs):
            if self.fits == 1:
                raise KeyboardInterrupt
            self.fits += 1
            return super().fit(hp, model, *args, **kwargs)

    with pytest.raises(KeyboardInterrupt):
        toys.search(tuner_class, tmp_path, seed=0, hypermodel=Interrupted())
    resumed = toys.search(tuner_class, tmp_path, seed=0)
    assert_same_search(resumed.leaderboard(), searched.leaderboard())
    # Two of the three trials began anew, in this process.
    for trial_id in searched.leaderboard()["trial_id"]:
        assert resumed.curves(trial_id) == searched.curves(trial_id)


@two_tuners
def test_a_trial_that_diverges_in_training_is_never_best(tuner_class, tmp_path):
    def build(hp):
        rate = hp.Choice("rate", [1e-2, 1e30])
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
        eagerly = toys.build_of(tuner_class) is toys.build_eagerly
        model.compile(keras.optimizers.SGD(rate), "mse", run_eagerly=eagerly)
        return model

    tuner = tuner_class(build, "val_loss", max_trials=2, seed=0, directory=tmp_path)
    tuner.search(**toys.toy_data())
    table = tuner.leaderboard()
    assert table["rate"].tolist() == [1e-2, 1e30]
    assert table["status"].tolist() == ["COMPLETED", "INFEASIBLE"]
    assert not math.isfinite(table["val_loss"][1])
    diverged = table["trial_id"][1]
    # A shared program ends it with the epoch in which it diverged; `fit` goes on.
    epochs = toys.EPOCHS if toys.build_of(tuner_class) is toys.build_eagerly else 1
    assert len(tuner.curves(diverged)[0]["val_loss"]) == epochs
    assert [t.hyperparameters["rate"] for t in tuner.oracle.get_best_trials(2)] == [
        1e-2
    ]


@two_tuners
@pytest.mark.parametrize("direction", ["min", "max"])
def test_scores_that_are_no_numbers_neither_win_nor_stop_the_search(
    tuner_class, tmp_path, direction
):
    scores = [math.nan, -math.inf, math.inf, math.nan, 3.0, 4.0]

    class Reported(toys.Scored):
        def fit(self, hp, model, *args, **kwargs):
            return {"size": super().fit(hp, model)}

    tuner = tuner_class(
        Reported(scores.__getitem__),
        keras_tuner.Objective("size", direction),
        max_trials=6,
        max_retries_per_trial=1,
        seed=0,
        directory=tmp_path,
    )
    tuner.search()
    assert tuner.hypermodel.fits == 6
    table = tuner.leaderboard()
    assert table["size"].tolist()[:2] == sorted(scores[4:], reverse=direction == "max")
    assert table["rank"].isna().tolist() == [False] * 2 + [True] * 4
    assert table["status"].tolist() == ["COMPLETED"] * 2 + ["INFEASIBLE"] * 4
    best = tuner.oracle.get_best_trials(6)
    assert [trial.score for trial in best] == table["size"].tolist()[:2]
    error = trial_files(tuner, "record.json")[1]["error"]
    assert error == "size is -inf"


@two_tuners
def test_failures_in_a_row_stop_the_search_and_tell_each_error(tuner_class, tmp_path):
    errors = [
        ValueError("no such thing"),
        KeyError("lost"),
        ValueError("no such thing"),
    ]
    tuner = scored(tuner_class, tmp_path, errors.__getitem__)
    with pytest.raises(RuntimeError) as caught:
        tuner.search()
    message = str(caught.value)
    assert "max_consecutive_failed_trials" in message
    assert "trial 0, 2: ValueError: no such thing\n" in message
    assert "trial 1: KeyError: 'lost'" in message
    assert tuner.hypermodel.fits == 3
    # KerasTuner leaves the last of them as RUNNING.
    statuses = [trial["status"] for trial in trial_files(tuner, "trial.json")]
    assert statuses == ["FAILED"] * 3


@two_tuners
def test_a_search_without_a_single_score_tells_each_error(tuner_class, tmp_path):
    outcomes = [ValueError("first\nand more"), math.nan]
    tuner = scored(tuner_class, tmp_path, outcomes.__getitem__, max_trials=2)
    with pytest.raises(RuntimeError) as caught:
        tuner.search()
    assert str(caught.value) == (
        "None of the 2 trials has a score.\n"
        "trial 0: ValueError: first\nand more\n"
        "trial 1: default_objective is nan"
    )
    assert tuner.leaderboard()["status"].tolist() == ["INFEASIBLE", "FAILED"]
    assert tuner.get_best_hyperparameters() == []


@two_tuners
def test_a_retried_trial_counts_once(tuner_class, tmp_path):
    outcomes = [ValueError("once"), 1.0, 2.0]
    tuner = scored(
        tuner_class,
        tmp_path,
        outcomes.__getitem__,
        max_trials=2,
        max_retries_per_trial=1,
    )
    tuner.search()
    table = tuner.leaderboard()
    assert table["default_objective"].tolist() == [1.0, 2.0]
    assert table["status"].tolist() == ["COMPLETED", "COMPLETED"]


@two_tuners
def test_a_search_leaves_the_global_generators_as_they_were(tuner_class, tmp_path):
    """An unseeded search after a seeded one still draws a seed of its own."""
    tuner = scored(tuner_class, tmp_path, float, max_trials=1)
    random.seed(11)
    np.random.seed(11)
    expected = random.random(), np.random.random()
    random.seed(11)
    np.random.seed(11)
    tuner.search()
    assert (random.random(), np.random.random()) == expected
