"""Trials of one structure share a program, and may train together.

What each must be is known from `fit`, from a program that no other trial has used, and
from the same trial alone.
"""

import logging
import signal
import socket
from pathlib import Path

import keras
import keras_tuner
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from sklearn.model_selection import KFold

from keras_tricks import tuners
from keras_tricks.hypermodels import HyperMLP
from keras_tricks.training.packs import packing
from keras_tricks.tuners.results import records
from tests import sampling
from tests.tuners import forks
from tests.tuners import toys

TRIALS = 6


def fixed_build(hp):
    """A model whose trials differ in scalars only."""
    rate = hp.Float("rate", 1e-3, 1e-1, sampling="log")
    momentum = hp.Float("momentum", 0.1, 0.9)
    model = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(8, "tanh"),
            keras.layers.Dropout(0.3),
            keras.layers.Dense(1),
        ]
    )
    model.compile(
        keras.optimizers.SGD(rate, momentum),
        keras.losses.BinaryCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return model


def searched(directory, hypermodel=fixed_build, tuner_class=tuners.RandomSearch, **k):
    """Returns a tuner that has searched; arguments of `fit` are in `data`."""
    data = {**toys.toy_data(), **k.pop("data", {})}
    search = {"workers": k.pop("workers")} if "workers" in k else {}
    arguments = {"max_trials": TRIALS, "seed": 0, "directory": directory, **k}
    tuner = tuner_class(hypermodel, "val_loss", **arguments)
    tuner.search(**data, verbose=0, **search)
    return tuner


def fitted_eagerly(directory, hypermodel=fixed_build, **arguments):
    """The same by `fit`, of which each trial would be compiled anew."""
    tf.config.run_functions_eagerly(True)
    try:
        return searched(directory, hypermodel, reuse_programs=False, **arguments)
    finally:
        tf.config.run_functions_eagerly(False)


def all_curves(tuner):
    names = sorted(tuner.leaderboard()["trial_id"], key=int)
    return [tuner.curves(name) for name in names]


def assert_close(some, others, rtol=2e-5):
    """Whether two searches have the same trials, with nearly the same curves."""
    assert len(some) == len(others)
    for executions, other_executions in zip(some, others, strict=True):
        for curves, other in zip(executions, other_executions, strict=True):
            assert set(curves) == set(other)
            for name, curve in curves.items():
                np.testing.assert_allclose(curve, other[name], rtol=rtol)


def by_trial(tuner):
    return tuner.leaderboard().set_index("trial_id").sort_index()


@pytest.fixture(scope="module", name="reused")
def reused_fixture(tmp_path_factory):
    return searched(tmp_path_factory.mktemp("reused"))


def sizes_of_packs(monkeypatch):
    """Returns a list to which the size of each pack from now on is added."""
    sizes = []

    def run(program, trials, *args):
        if program.packed:
            sizes.append(len(trials))
        return original(program, trials, *args)

    original = packing.run
    monkeypatch.setattr(packing, "run", run)
    return sizes


@pytest.mark.parametrize("shuffle", sampling.only([True], [False, True]))
def test_a_shared_program_gives_the_bits_of_fit(shuffle, tmp_path):
    in_order = {"data": {"shuffle": shuffle}, "max_trials": 2}
    shared = searched(tmp_path / "shared", **in_order)
    fitted = searched(tmp_path / "fitted", reuse_programs=False, **in_order)
    assert shared.programs is not None
    assert fitted.programs is None
    assert all_curves(shared) == all_curves(fitted)
    for name in shared.leaderboard()["trial_id"]:
        models = [t.load_model(t.oracle.get_trial(name)) for t in (shared, fitted)]
        for one, other in zip(*(m.get_weights() for m in models), strict=True):
            np.testing.assert_array_equal(one, other)


def test_a_reused_program_gives_the_bits_of_a_fresh_one(reused, tmp_path):
    """One search whose trials share a program, and one that begins anew each time."""
    for number in (1, 2):
        anew = searched(tmp_path, max_trials=number)
    assert len(reused.programs.programs()) == 1
    assert all_curves(anew) == all_curves(reused)[:2]
    left = ["seconds", "rank"]
    pd.testing.assert_frame_equal(
        by_trial(anew).drop(columns=left),
        by_trial(reused).drop(columns=left)[:2],
        check_exact=True,
    )


@pytest.fixture(scope="module", name="packed_and_sizes")
def packed_and_sizes_fixture(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        sizes = sizes_of_packs(patch)
        return searched(tmp_path_factory.mktemp("packed"), packed_trials=4), sizes


def test_packs_give_what_each_trial_gives_alone(reused, packed_and_sizes):
    packed, sizes = packed_and_sizes
    assert sizes == [3, 3]
    assert_close(all_curves(packed), all_curves(reused))
    settings = ["rate", "momentum", "parameters", "status"]
    pd.testing.assert_frame_equal(
        by_trial(packed)[settings], by_trial(reused)[settings]
    )
    assert [r.executions[0].seed for r in packed._ended_records()] == [
        r.executions[0].seed for r in reused._ended_records()
    ]


def test_a_size_that_is_measured_changes_no_result(reused, tmp_path):
    assert_close(
        all_curves(searched(tmp_path, packed_trials="auto")), all_curves(reused)
    )


def test_the_best_weights_are_kept_as_those_of_trials_alone(reused, packed_and_sizes):
    packed, _ = packed_and_sizes
    paths = Path(packed.project_dir).glob("trial_*/checkpoint.weights.h5")
    folders = sorted(path.parent.name for path in paths)
    best = packed.leaderboard()["trial_id"][:3]
    assert folders == sorted(f"trial_{name}" for name in best)
    x, y = toys.toy_data()["validation_data"]
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    models = zip(packed.get_best_models(3), reused.get_best_models(3), strict=True)
    scores = packed.leaderboard()["val_loss"]
    for (model, alone), score in zip(models, scores, strict=False):
        assert float(loss(y, model.predict(x, verbose=0))) == pytest.approx(score, 1e-5)
        for one, other in zip(model.get_weights(), alone.get_weights(), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


def test_each_trial_of_a_pack_stops_by_itself(tmp_path):
    """At the epoch at which Keras stops it."""
    stopping = keras.callbacks.EarlyStopping("val_loss", 0.02, patience=1)
    data = {"epochs": 8, "callbacks": [stopping], "shuffle": False}
    arguments = {"data": data, "max_trials": 4}
    packed = searched(tmp_path / "packed", packed_trials=4, **arguments)
    fitted = searched(tmp_path / "fitted", reuse_programs=False, **arguments)
    lengths = [len(curves[0]["loss"]) for curves in all_curves(fitted)]
    assert len(set(lengths)) > 1
    assert_close(all_curves(packed), all_curves(fitted), rtol=1e-4)


def test_a_diverged_trial_of_a_pack_is_infeasible_and_harms_no_other(tmp_path):
    def build(hp):
        wild = hp.Boolean("wild")
        rate = hp.Float("rate", 1e-3, 1e-2)
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
        model.compile(keras.optimizers.SGD(1e30 if wild else rate), "mse")
        return model

    tuner = searched(tmp_path, build, packed_trials=TRIALS, max_trials=12)
    table = by_trial(tuner)
    wild = table["wild"].astype(bool)
    assert 0 < wild.sum() < 12
    assert (table.loc[wild, "status"] == records.INFEASIBLE).all()
    assert (table.loc[~wild, "status"] == records.COMPLETED).all()
    assert np.isfinite(table.loc[~wild, "val_loss"]).all()


def test_structures_are_packed_apart(tmp_path, monkeypatch):
    sizes = sizes_of_packs(monkeypatch)

    def build(hp):
        hp.Int("units", 1, 2)
        model = fixed_build(hp)
        twice = hp.get("units") == 2
        layers = [keras.Input((4,)), *([keras.layers.Dense(4)] if twice else [])]
        whole = keras.Sequential([*layers, keras.layers.Dense(1)])
        whole.compile(model.optimizer, model.loss, metrics=["accuracy"])
        return whole

    tuner = searched(tmp_path, build, max_trials=8, packed_trials=8)
    counts = by_trial(tuner)["units"].value_counts()
    assert sorted(sizes) == sorted(counts)
    alone = searched(tmp_path / "alone", build, max_trials=8)
    assert_close(all_curves(tuner), all_curves(alone))


def test_executions_and_folds_are_packed_and_kept_apart(tmp_path, monkeypatch):
    arguments = {
        "executions_per_trial": 2,
        "splits": KFold(2),
        "max_trials": 2,
        "data": {"validation_data": None},
    }
    alone = searched(tmp_path / "alone", **arguments)
    sizes = sizes_of_packs(monkeypatch)
    packed = searched(tmp_path / "packed", packed_trials=4, **arguments)
    assert sizes == [4, 4]
    assert [len(record.executions) for record in packed._ended_records()] == [4] * 2
    assert_close(all_curves(packed), all_curves(alone))
    np.testing.assert_allclose(
        by_trial(packed)["deviation"], by_trial(alone)["deviation"], rtol=1e-3
    )


@pytest.mark.parametrize(
    ("tuner_class", "arguments"),
    [
        (tuners.Hyperband, {"max_epochs": 2, "factor": 2, "max_trials": None}),
        pytest.param(
            tuners.OptunaSearch, {"sampler": "qmc"}, marks=pytest.mark.exhaustive
        ),
        pytest.param(tuners.QuasiRandomSearch, {}, marks=pytest.mark.exhaustive),
    ],
)
def test_algorithms_that_wait_for_no_score_run_the_same_trials(
    tuner_class, arguments, tmp_path
):
    alone = searched(tmp_path / "alone", tuner_class=tuner_class, **arguments)
    arguments = {"packed_trials": 3, **arguments}
    packed = searched(tmp_path / "packed", tuner_class=tuner_class, **arguments)
    pd.testing.assert_series_equal(by_trial(packed)["rate"], by_trial(alone)["rate"])
    assert_close(all_curves(packed), all_curves(alone))


@pytest.mark.parametrize(
    ("tuner_class", "arguments"),
    [
        (tuners.BayesianOptimization, {"num_initial_points": 2}),
        (tuners.OptunaSearch, {"sampler": "tpe"}),
    ],
)
def test_algorithms_that_look_at_scores_suggest_a_pack_of_different_trials(
    tuner_class, arguments, tmp_path, monkeypatch
):
    """The trials that are under way count, at a guessed score."""
    sizes = sizes_of_packs(monkeypatch)
    tuner = searched(
        tmp_path, tuner_class=tuner_class, packed_trials=3, max_trials=6, **arguments
    )
    assert sizes == [3, 3]
    table = tuner.leaderboard()
    assert (table["status"] == records.COMPLETED).all()
    assert table["rate"].nunique() == 6
    spread = np.log(table["rate"]).max() - np.log(table["rate"]).min()
    assert spread > 0.5


def test_a_pruner_ends_trials_of_a_pack(tmp_path):
    """By Optuna's own rule: those whose loss is above a limit."""
    optuna = pytest.importorskip("optuna", reason="Optuna is not installed")
    found = []
    for packed_trials in (None, TRIALS):
        tuner = searched(
            tmp_path / str(packed_trials),
            tuner_class=tuners.OptunaSearch,
            sampler="qmc",
            pruner=optuna.pruners.ThresholdPruner(upper=0.65),
            packed_trials=packed_trials,
            data={"epochs": 4},
        )
        found.append(
            [(e.state, len(e.intermediate_values)) for e in tuner.study.trials]
        )
    assert found[0] == found[1]
    assert {state.name for state, _ in found[0]} == {"COMPLETE", "PRUNED"}


class CountedSearch(tuners.RandomSearch):
    """Counts the models that are built; a subclass of a hypermodel builds them all."""

    num_built = 0

    def _built_model(self, hp):
        self.num_built += 1
        return super()._built_model(hp)


def test_networks_are_not_built_again_for_other_scalars(tmp_path, monkeypatch):
    """Two are: the second shows whether the others may do without."""
    space = keras_tuner.HyperParameters()
    for name, value in {"layers": 1, "units": 16, "optimizer": "adam"}.items():
        space.Fixed(name, value)
    x, y = toys.toy_data()["validation_data"]
    arguments = {
        "hypermodel": HyperMLP((4,), 2),
        "max_trials": 4,
        "data": {
            "y": toys.toy_data()["y"].astype("int32")[:, 0],
            "validation_data": (x, y.astype("int32")[:, 0]),
            "batch_size": None,
        },
    }
    found = []
    for number, packed_trials in enumerate((None, 4)):
        tuner = searched(
            tmp_path / str(number),
            tuner_class=CountedSearch,
            hyperparameters=space.copy(),
            packed_trials=packed_trials,
            **arguments,
        )
        assert tuner.num_built == 2
        assert by_trial(tuner)["dropout"].nunique() > 2
        found.append(all_curves(tuner))
    fitted = fitted_eagerly(
        tmp_path / "fitted", hyperparameters=space.copy(), **arguments
    )
    for curves in found:
        assert_close(curves, all_curves(fitted), rtol=2e-4)


class OwnStep(keras.Model):
    def train_step(self, data):
        return super().train_step(data)


def own_step(hp):
    inner = fixed_build(hp)
    model = OwnStep(inner.inputs, inner.outputs)
    model.compile(inner.optimizer, inner.loss, metrics=["accuracy"])
    return model


class OwnFit(keras_tuner.HyperModel):
    def build(self, hp):
        return fixed_build(hp)

    def fit(self, hp, model, *args, **kwargs):
        return model.fit(*args, **kwargs)


def batches(x, y):
    return tf.data.Dataset.from_tensor_slices((x, y)).batch(16)


def test_a_dataset_is_streamed_with_the_curves_that_fit_gives(tmp_path):
    """Also where a function makes it. The last batch is partial."""
    whole = toys.toy_data()
    training = batches(whole["x"][:60], whole["y"][:60])
    validation = batches(*whole["validation_data"])
    given = {"x": training, "y": None, "validation_data": validation}
    made = {**given, "x": lambda: training}
    for number, data in enumerate((given, made)):
        data["batch_size"] = None
        arguments = {"data": data, "max_trials": 3}
        shared = searched(tmp_path / f"shared{number}", packed_trials=3, **arguments)
        if number == 0:
            fitted = fitted_eagerly(tmp_path / "fitted", **arguments)
        assert len(shared.programs.programs()) == 1
        assert_close(all_curves(shared), all_curves(fitted))


@pytest.mark.parametrize(
    ("hypermodel", "data", "reason"),
    [
        (own_step, {}, "the model has its own `train_step`"),
        # Others are in test_search_arguments.py and test_epoch_callbacks.py.
        pytest.param(
            OwnFit(),
            {},
            "the hypermodel has its own `fit`",
            marks=pytest.mark.exhaustive,
        ),
        pytest.param(
            fixed_build,
            {
                "callbacks": [
                    keras.callbacks.LambdaCallback(
                        on_train_batch_end=lambda batch, logs: None
                    )
                ]
            },
            "the callback LambdaCallback has `on_train_batch_end`",
            marks=pytest.mark.exhaustive,
        ),
        pytest.param(
            fixed_build,
            {"validation_steps": 1},
            "`validation_steps`",
            marks=pytest.mark.exhaustive,
        ),
    ],
    ids=["train_step", "fit", "callback", "validation_steps"],
)
def test_what_is_not_understood_is_fitted_and_told_once(
    hypermodel, data, reason, tmp_path, caplog
):
    """With the scores that it has where nothing is shared."""
    arguments = {"hypermodel": hypermodel, "data": data, "max_trials": 3}
    with caplog.at_level(logging.INFO, "keras_tricks"):
        tuner = searched(tmp_path / "asked", packed_trials=2, **arguments)
    told = [
        record.getMessage()
        for record in caplog.records
        if reason in record.msg % record.args
    ]
    assert len(told) == 1
    fitted = searched(tmp_path / "fitted", reuse_programs=False, **arguments)
    assert all_curves(tuner) == all_curves(fitted)


def test_memory_that_runs_out_for_one_trial_makes_it_infeasible(tmp_path, monkeypatch):
    original, calls = packing.run, []

    def run(program, trials, *args):
        calls.append(len(trials))
        if len(calls) < 3:
            raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating")
        return original(program, trials, *args)

    monkeypatch.setattr(packing, "run", run)
    tuner = searched(tmp_path, packed_trials=2, max_trials=4)
    assert calls[:2] == [2, 1]
    table = by_trial(tuner)
    assert table["status"].tolist() == [records.INFEASIBLE] + [records.COMPLETED] * 3
    (record,) = (r for r in tuner._ended_records() if r.status == records.INFEASIBLE)
    assert "Out of memory with a batch size of 16" in record.error


def test_a_budget_keeps_models_from_being_built(tmp_path):
    """49 parameters for 64 samples: above one half, below one."""
    tuner = searched(
        tmp_path / "1", packed_trials=2, parameter_budget=1.0, max_trials=2
    )
    assert (by_trial(tuner)["status"] == records.COMPLETED).all()
    with pytest.raises(RuntimeError, match="None of the 2 trials has a score"):
        searched(tmp_path / "2", parameter_budget=0.5, packed_trials=2, max_trials=2)


def test_trials_are_on_disk_before_the_next_pack_begins(tmp_path, monkeypatch):
    original, ended = packing.run, []

    def run(program, trials, *args):
        ended.append(len(list(tmp_path.glob("*/trial_*/record.json"))))
        return original(program, trials, *args)

    monkeypatch.setattr(packing, "run", run)
    searched(tmp_path, packed_trials=2)
    assert ended == [0, 2, 4]


KILLED = """
import os, sys
from keras_tricks.training.packs import packing
from tests.tuners import test_shared_programs
original, packs = packing.run, []
def run(program, trials, *args):
    packs.append(len(trials))
    if len(packs) == 2:
        print("second pack", flush=True)
        os.kill(os.getpid(), 9)
    return original(program, trials, *args)
packing.run = run
test_shared_programs.searched("project", packed_trials=2)
"""


def test_a_killed_pack_loses_only_its_trials(reused, tmp_path, monkeypatch):
    with forks.started(KILLED, cwd=tmp_path) as process:
        process.join(300)
        assert process.exitcode == -signal.SIGKILL
    kept = sorted(tmp_path.glob("project/*/trial_*/record.json"))
    assert len(kept) == 2
    before = {path: path.stat().st_mtime_ns for path in kept}
    resumed = searched(tmp_path / "project", packed_trials=2)
    assert {path: path.stat().st_mtime_ns for path in kept} == before
    assert_close(all_curves(resumed), all_curves(reused))


# The ordinary run has packs in workers in test_shared_scores.py.
@pytest.mark.exhaustive
def test_workers_pack_their_trials(reused, tmp_path):
    tuner = searched(tmp_path, packed_trials=2, workers=2)
    assert (by_trial(tuner)["status"] == records.COMPLETED).all()
    assert_close(all_curves(tuner), all_curves(reused))


def test_a_worker_of_a_chief_shares_programs(reused, tmp_path):
    """KerasTuner's own variables, as on several machines."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    code = "from tests.tuners import test_shared_programs as t; t.searched('project')"

    def start(name):
        environment = {
            "KERASTUNER_TUNER_ID": name,
            "KERASTUNER_ORACLE_IP": "127.0.0.1",
            "KERASTUNER_ORACLE_PORT": str(port),
        }
        return forks.started(code, cwd=tmp_path, env=environment)

    with start("chief") as chief, start("tuner0") as tuner:
        forks.finished(tuner, 180)
        forks.finished(chief, 180)
    assert all_curves(searched(tmp_path / "project")) == all_curves(reused)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"packed_trials": 0}, "`packed_trials` must be"),
        ({"packed_trials": "all"}, '`packed_trials` must be .* "auto" or None'),
        ({"packed_trials": True}, '`packed_trials` must be .* "auto" or None'),
        ({"packed_trials": 2, "reuse_programs": False}, "needs `reuse_programs=True`"),
    ],
)
def test_bad_arguments_are_refused(arguments, message, tmp_path):
    with pytest.raises((ValueError, TypeError), match=message):
        tuners.RandomSearch(fixed_build, "val_loss", directory=tmp_path, **arguments)
