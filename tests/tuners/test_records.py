"""The files and the table of trials."""

import json
import math
import os
import traceback

import keras_tuner
import numpy as np
import pytest

from keras_tricks.tuners import RandomSearch
from keras_tricks.tuners import records
from keras_tricks.tuners import seeds
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
    written.write(tmp_path)
    assert records.TrialRecord.read(tmp_path / "record.json") == written


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
    table = records.leaderboard([record(settings={"rank": 7, "x": 1})], LOSS, ["x"])
    assert table.columns.tolist() == [
        *("rank", "trial_id", "val_loss", "best_epoch"),
        *("parameters", "seconds", "status", "x", "hp_rank"),
    ]
    assert (table["rank"][0], table["hp_rank"][0]) == (1, 7)


def test_an_integer_stays_one_beside_a_missing_value():
    table = records.leaderboard(
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
