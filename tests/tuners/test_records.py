"""The files and the table of trials."""

import json
import math
import os
import platform
import subprocess
import traceback
from pathlib import Path

import keras
import keras_tuner
import numpy as np
import pandas as pd
import pytest

from keras_tricks.tuners import GridSearch
from keras_tricks.tuners import RandomSearch
from keras_tricks.tuners import seeds
from keras_tricks.tuners.results import leaderboard
from keras_tricks.tuners.results import provenance
from keras_tricks.tuners.results import records
from keras_tricks.tuners.trials import objectives
from tests import child_process
from tests.tuners import toys

LOSS = keras_tuner.Objective("val_loss", "min")


def record(trial_id="0", **fields):
    fields = {"status": "COMPLETED", "score": 1.0, **fields}
    return records.TrialRecord(
        trial_id=trial_id, objective="val_loss", direction="min", **fields
    )


def test_a_record_comes_back_from_its_file_as_it_was(tmp_path):
    execution = records.ExecutionRecord(5)
    execution.append_epoch({"loss": np.float32(0.1), "rate": math.inf})
    execution.append_epoch({"loss": np.float32(0.3), "rate": 1})
    assert execution.curves == {
        "loss": [float(np.float32(0.1)), float(np.float32(0.3))],
        "rate": [math.inf, 1.0],
    }
    written = record(settings={"units": 3}, executions=[execution])
    folder = tmp_path / "trial_0"
    folder.mkdir()
    written.write(folder)
    assert records.TrialRecord.read(folder) == written


def test_a_write_that_fails_leaves_the_old_record(tmp_path, monkeypatch):
    record(score=1.0).write(tmp_path)

    def full(source, target):
        raise OSError("No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        record(score=2.0).write(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["record.json"]
    assert json.loads((tmp_path / "record.json").read_text())["score"] == 1.0


def test_a_damaged_record_is_named_and_kerastuners_trial_serves(tmp_path):
    tuner = RandomSearch(toys.Scored(float), max_trials=2, seed=0, directory=tmp_path)
    tuner.search(verbose=0)
    path = tmp_path / "untitled_project" / "trial_1" / "record.json"
    path.write_text(path.read_text()[:40])
    with pytest.warns(UserWarning, match=r"trial_1.record\.json"):
        table = tuner.leaderboard()
    assert table["default_objective"].tolist() == [0.0, 1.0]
    assert table["parameters"].isna().tolist() == [False, True]


def test_a_project_of_kerastuners_own_search_can_be_read(tmp_path):
    class Stock(keras_tuner.RandomSearch):
        def run_trial(self, trial, verbose):
            return trial.hyperparameters.Float("x", 0.0, 1.0)

    stock = Stock(max_trials=3, seed=1, directory=tmp_path)
    stock.search(verbose=0)
    tuner = RandomSearch(toys.Scored(float), max_trials=3, directory=tmp_path)
    expected = [trial.score for trial in stock.oracle.get_best_trials(3)]
    assert tuner.leaderboard()["default_objective"].tolist() == expected


def test_columns_of_a_hyperparameter_called_like_one_of_ours_are_told_apart():
    table = leaderboard.table_of([record(settings={"rank": 7, "x": 1})], LOSS, ["x"])
    assert table.columns.tolist() == [
        *("rank", "trial_id", "val_loss", "best_epoch"),
        *("parameters", "seconds", "status", "x", "hp_rank"),
    ]
    assert (table["rank"][0], table["hp_rank"][0]) == (1, 7)


def test_an_integer_stays_one_beside_a_missing_value():
    table = leaderboard.table_of(
        [record("0", settings={"units": 32}), record("1")], LOSS, ["units"]
    )
    assert table["units"].astype("string").tolist()[0] == "32"
    assert table["units"].isna().tolist() == [False, True]


def test_the_leaderboard_of_no_trials_is_empty(tmp_path):
    table = RandomSearch(toys.Scored(float), directory=tmp_path).leaderboard()
    assert len(table) == 0
    assert table.columns.tolist()[-4:] == ["w", "x", "y", "z"]


@pytest.mark.parametrize("cause", [None, KeyError("cause")])
def test_the_error_is_what_follows_the_last_frames(cause):
    try:
        raise ValueError("two\n  lines") from cause
    except ValueError:
        formatted = traceback.format_exc()
    assert records.error_in(formatted) == "ValueError: two\n  lines"


@pytest.mark.parametrize("message", ["Infeasible: val_loss is nan", None])
def test_a_message_that_is_no_traceback_is_the_error(message):
    assert records.error_in(message) == message


def test_seeds_are_those_of_the_written_formula():
    """The first four bytes that `printf '7/3/1' | sha256sum` prints."""
    assert seeds.derived_seed(7, "03", 1) == 0xE745B62F


class Doubled(keras_tuner.HyperModel):
    """Two executions of a trial score twice its number, and twice that plus 3."""

    fits = 0

    def build(self, hp):
        hp.Float("x", 0.0, 1.0)
        return keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])

    def fit(self, hp, model, *args, callbacks=(), **kwargs):
        self.fits += 1
        for callback in callbacks:
            if hasattr(callback, "filepath"):  # KerasTuner's checkpoint.
                callback.set_model(model)
                callback.on_epoch_end(0, {})
        trial, execution = divmod(self.fits - 1, 2)
        return 2.0 * trial + 3.0 * execution


@pytest.fixture(scope="module", name="doubled")
def doubled_fixture(tmp_path_factory):
    tuner = RandomSearch(
        Doubled(),
        max_trials=5,
        executions_per_trial=2,
        seed=0,
        directory=tmp_path_factory.mktemp("doubled"),
    )
    tuner.search(verbose=0)
    return tuner


def test_every_executions_score_is_kept_with_the_deviation(doubled):
    """Of n and n + 3 the deviation with n - 1 is 3 / sqrt(2)."""
    for number, found in enumerate(doubled._ended_records()):
        assert [e.score for e in found.executions] == [2.0 * number, 2.0 * number + 3]
        assert found.score == 2.0 * number + 1.5
        assert found.score_deviation == pytest.approx(3 / math.sqrt(2), rel=1e-12)
    table = doubled.leaderboard()
    assert table.columns[2:4].tolist() == ["default_objective", "deviation"]


def test_a_history_scores_as_its_best_epoch():
    history = keras.callbacks.History()
    history.history = {"val_loss": [3.0, 1.0, 2.0], "loss": [0.0, 0.0, 0.0]}
    assert objectives.score_of(history, LOSS) == 1.0
    assert objectives.score_of(history, keras_tuner.Objective("val_loss", "max")) == 3.0
    assert objectives.score_of(history, keras_tuner.Objective("gone", "max")) is None


def test_a_record_tells_versions_and_commit(doubled):
    found = doubled._ended_records()[0]
    assert found.versions["python"] == platform.python_version()
    assert found.versions["keras"] == keras.__version__
    assert found.versions["numpy"] == np.__version__
    asked = subprocess.run(
        ["git", "rev-parse", "HEAD"], capture_output=True, encoding="utf-8"
    )
    if asked.returncode:
        assert found.git_commit is None
    else:
        assert found.git_commit.removesuffix("+changes") == asked.stdout.strip()


def test_outside_of_a_repository_there_is_no_commit(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert provenance.git_commit() is None


def test_the_weights_of_the_best_three_are_kept(doubled):
    kept = sorted(Path(doubled.project_dir).glob("trial_*/checkpoint.weights.h5"))
    assert [path.parent.name for path in kept] == ["trial_0", "trial_1", "trial_2"]
    assert len(doubled.get_best_models(3)) == 3
    with pytest.raises(ValueError, match=r"at most `keep_checkpoints`, 3.*=4"):
        doubled.get_best_models(4)
    with pytest.raises(ValueError, match="weights of trial 4 were not kept"):
        doubled.load_model(doubled.oracle.get_trial("4"))


def test_weights_that_nothing_has_saved_are_named_as_such(tmp_path):
    """A `fit` that hands on no callbacks, one of which saves the weights."""

    class Swallows(keras_tuner.HyperModel):
        def build(self, hp):
            model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
            model.compile("sgd", "mse")
            return model

        def fit(self, hp, model, *args, callbacks=(), **kwargs):
            return model.fit(*args, **kwargs)

    tuner = RandomSearch(Swallows(), "loss", max_trials=1, directory=tmp_path)
    tuner.search(np.ones((4, 1)), np.ones((4, 1)), verbose=0)
    with pytest.raises(ValueError, match="must hand its `callbacks`"):
        tuner.get_best_models()


@pytest.mark.parametrize("keep", [0, -1, 1.5, True])
def test_a_number_of_checkpoints_that_is_none_is_refused(tmp_path, keep):
    with pytest.raises((TypeError, ValueError), match="Received: keep_checkpoints="):
        RandomSearch(toys.Scored(float), directory=tmp_path, keep_checkpoints=keep)


def test_notes_stand_in_the_records_and_in_the_leaderboard(tmp_path):
    tuner = RandomSearch(toys.Scored(float), max_trials=2, seed=0, directory=tmp_path)
    tuner.search(verbose=0)
    tuner.note("1", why="the default was too slow")
    tuner.note("1", outcome="slower", next="fewer layers")
    tuner.note("1", next="none")
    table = tuner.leaderboard().set_index("trial_id")
    assert table.loc["1", ["why", "outcome", "next"]].tolist() == [
        *("the default was too slow", "slower", "none")
    ]
    assert table.loc["0", ["why", "outcome", "next"]].isna().all()
    assert tuner._ended_records()[1].note["outcome"] == "slower"
    with pytest.raises(TypeError, match="`why` must be a text or None"):
        tuner.note("1", why=3)
    with pytest.raises(ValueError, match=r"one of \['0', '1'\]. Received: .*'17'"):
        tuner.note("17", why="never shown")


def test_the_leaderboard_is_written_as_csv(doubled, tmp_path):
    table = doubled.leaderboard(tmp_path / "table.csv")
    read = pd.read_csv(tmp_path / "table.csv", dtype={"trial_id": "string"})
    assert read["default_objective"].tolist() == table["default_objective"].tolist()
    assert read.columns.tolist() == table.columns.tolist()


def test_memory_does_not_grow_with_the_trials(tmp_path):
    """At most 2 MiB a trial, over 40 trials after the first ten."""
    printed = child_process.run_python(
        """
        import gc
        gc.set_threshold(700, 10, 10)  # Python's own, as users have it.
        import keras
        from keras_tricks.tuners import RandomSearch
        from tests.tuners import toys

        def rss():
            for line in open("/proc/self/status"):
                if line.startswith("VmRSS"):
                    return int(line.split()[1]) / 1024

        found = []

        class Watched(RandomSearch):
            def on_trial_end(self, trial):
                super().on_trial_end(trial)
                found.append(rss())

        def build(hp):
            rate = hp.Float("rate", 1e-3, 1e-1)
            model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
            loss = keras.losses.BinaryCrossentropy(from_logits=True)
            model.compile(keras.optimizers.SGD(rate), loss, jit_compile=False)
            return model

        tuner = Watched(build, "loss", max_trials=50, seed=0, directory=".")
        data = toys.toy_data()
        tuner.search(data["x"], data["y"], batch_size=64, verbose=0)
        print((found[-1] - found[9]) / 40)
        """,
        cwd=tmp_path,
        timeout_seconds=600,
    )
    assert float(printed.splitlines()[-1]) < 2.0


def test_the_model_of_a_trial_that_failed_is_refused_with_its_error(tmp_path):
    class Fails(keras_tuner.HyperModel):
        def build(self, hp):
            if hp.Choice("units", [1, 2]) == 2:
                raise keras_tuner.errors.FailedTrialError("two units are too many")
            model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
            model.compile("sgd", "mse")
            return model

    tuner = GridSearch(Fails(), "loss", directory=tmp_path)
    tuner.search(np.ones((4, 1)), np.ones((4, 1)), verbose=0)
    ended, failed = (tuner.oracle.trials[name] for name in sorted(tuner.oracle.trials))
    with pytest.raises(ValueError, match=r"trial that failed .*two units are too many"):
        tuner.load_model(failed)
    assert tuner.load_model(ended).built
