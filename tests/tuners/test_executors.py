"""Searches whose trials an engine runs: equal to serial ones, whatever it does."""

import concurrent.futures
import dataclasses
import functools
import multiprocessing
import os
import pickle
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path

import distributed
import keras
import keras_tuner
import numpy as np
import pandas as pd
import pytest

import keras_tricks
from keras_tricks import _engine_call
from keras_tricks._engine_call import PayloadFile
from keras_tricks.tuners import BayesianOptimization
from keras_tricks.tuners import CoarseToFine
from keras_tricks.tuners import GridSearch
from keras_tricks.tuners import Hyperband
from keras_tricks.tuners import OptunaSearch
from keras_tricks.tuners import RandomSearch
from keras_tricks.tuners import RayExecutor
from keras_tricks.tuners import TooManyFailuresError
from keras_tricks.tuners.results import provenance
from keras_tricks.tuners.results import records
from keras_tricks.tuners.workers import engine_search
from keras_tricks.tuners.workers import engine_task
from keras_tricks.tuners.workers import engines
from keras_tricks.tuners.workers import gpus
from keras_tricks.tuners.workers import worker_payload
from tests import child_process
from tests.tuners import forks
from tests.tuners import toys

TRIALS = 6
DATA = toys.toy_data()


@pytest.fixture(scope="module", name="client")
def client_fixture():
    """Two worker processes, which keep what they have imported."""
    with (
        distributed.LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            processes=True,
            dashboard_address=None,
            memory_limit=None,
        ) as cluster,
        cluster.get_client() as client,
    ):
        yield client


def tuner_of(kind, folder, **arguments):
    arguments = {
        "objective": "val_loss",
        "max_trials": TRIALS,
        "seed": 3,
        "directory": folder,
        **arguments,
    }
    return kind(toys.build, **arguments)


def same(tuner, other):
    """Trials, settings, scores, curves and kept weights are the same, to the bit."""
    tables = [
        one.leaderboard()
        .drop(columns="seconds")
        .sort_values("trial_id", ignore_index=True)
        for one in (tuner, other)
    ]
    pd.testing.assert_frame_equal(*tables, check_exact=True)
    for trial_id in tables[0]["trial_id"]:
        assert tuner.curves(trial_id) == other.curves(trial_id)
    files = [
        {path.parent.name for path in (one._project.folder).glob("*/*.h5")}
        for one in (tuner, other)
    ]
    assert files[0] == files[1]
    mine, others = (one.get_best_models(1)[0].get_weights() for one in (tuner, other))
    for weights, expected in zip(mine, others, strict=True):
        np.testing.assert_array_equal(weights, expected)


ALL = {
    "random": (RandomSearch, {}),
    "by fit": (RandomSearch, {"reuse_programs": False, "executions_per_trial": 2}),
    "grid": (GridSearch, {}),
    # Its rungs go on with the weights of other trials.
    "hyperband": (Hyperband, {"max_trials": None, "max_epochs": 4, "factor": 2}),
    "qmc": (OptunaSearch, {"sampler": "qmc"}),
    "folds": (RandomSearch, {"splits": 2, "keep_checkpoints": 1}),
    "packed": (RandomSearch, {"packed_trials": 3}),
}


@pytest.fixture(name="threads")
def threads_fixture():
    """Two threads of this process, whose children begin as forks."""
    with forks.as_workers(), concurrent.futures.ThreadPoolExecutor(2) as pool:
        yield pool


@pytest.mark.parametrize("name", ALL)
def test_a_search_is_that_of_one_process(name, threads, tmp_path):
    kind, arguments = ALL[name]
    data = {**DATA, "epochs": 2} if name != "hyperband" else DATA
    if "splits" in arguments:
        data = {key: value for key, value in data.items() if key != "validation_data"}
    serial = tuner_of(kind, tmp_path / "serial", **arguments)
    serial.search(**data, verbose=0)
    elsewhere = tuner_of(kind, tmp_path / "elsewhere", **arguments)
    elsewhere.search(**data, verbose=0, executor=threads)
    assert len(elsewhere.leaderboard()) == len(serial.leaderboard()) >= 4
    if name == "hyperband":
        # With workers its brackets run side by side, so that its trials differ.
        assert set(elsewhere.leaderboard()["status"]) == {"COMPLETED"}
        return
    if name == "packed":
        # Packs of other trials, which differ by rounding.
        tables = [tuner.leaderboard() for tuner in (elsewhere, serial)]
        assert tables[0]["trial_id"].tolist() == tables[1]["trial_id"].tolist()
        np.testing.assert_allclose(*(one["val_loss"] for one in tables), rtol=1e-5)
        return
    same(elsewhere, serial)


@pytest.mark.parametrize("kind", [BayesianOptimization, OptunaSearch])
def test_oracles_that_look_at_scores_suggest_whenever_a_worker_is_free(
    kind, threads, tmp_path
):
    tuner = tuner_of(kind, tmp_path, max_trials=9)
    tuner.search(**DATA, verbose=0, executor=threads, stop_hopeless=True)
    table = tuner.leaderboard()
    assert sorted(table["trial_id"]) == [str(number) for number in range(9)]
    assert set(table["status"]) == {"COMPLETED"}
    assert table["rate"].nunique() == 9


def errors_of(tuner):
    """Returns trial ID -> error."""
    return {record.trial_id: record.error for record in tuner._ended_records()}


def asked(outcome, folder, **arguments):
    arguments = {"max_trials": 4, "seed": 0, "directory": folder, **arguments}
    hypermodel = toys.Asked(lambda hp: outcome(hp.get("x")))
    return RandomSearch(hypermodel, **arguments)


def test_a_search_on_dask_is_that_of_one_process(client, tmp_path):
    serial = tuner_of(RandomSearch, tmp_path / "serial", max_trials=4)
    serial.search(**DATA, verbose=0)
    tuner = tuner_of(RandomSearch, tmp_path / "dask", max_trials=4)
    tuner.search(**DATA, verbose=0, executor=client)
    same(tuner, serial)


@pytest.mark.parametrize("whose", ["the trial's", "the worker's"])
def test_a_process_that_is_killed_costs_its_trial(whose, request, tmp_path):
    """It is run again, in another process, under the same ID."""
    is_childs = whose == "the trial's"
    executor = request.getfixturevalue("threads" if is_childs else "client")
    marks = tmp_path / "marks"
    marks.mkdir()

    def outcome(x):
        mark = marks / f"{x}"
        with open(mark, "a") as file:
            file.write(f"{os.getpid()}\n")
        if x > 0.5 and len(mark.read_text().splitlines()) == 1:
            victim = os.getpid() if is_childs else os.getppid()
            os.kill(victim, signal.SIGKILL)
            time.sleep(60)
        return x

    tuner = asked(outcome, tmp_path / "killed", max_trials=3)
    tuner.search(verbose=0, executor=executor)
    table = tuner.leaderboard()
    alone = asked(lambda x: x, tmp_path / "alone", max_trials=3)
    alone.search(verbose=0)
    assert (
        table["default_objective"].tolist()
        == alone.leaderboard()["default_objective"].tolist()
    )
    died = [x for x in table["x"] if x > 0.5]
    assert died
    for x in table["x"]:
        processes = (marks / f"{x}").read_text().splitlines()
        assert len(set(processes)) == (2 if x in died else 1)


def test_a_trial_that_fails_tells_its_error_and_the_search_goes_on(threads, tmp_path):
    def outcome(x):
        if x > 0.5:
            raise ArithmeticError(f"of {x}")
        return x

    tuner = asked(outcome, tmp_path)
    tuner.search(verbose=0, executor=threads)
    table = tuner.leaderboard().set_index("trial_id")
    failed = table[table["x"] > 0.5]
    assert len(failed)
    assert (failed["status"] == "FAILED").all()
    errors = errors_of(tuner)
    assert all("ArithmeticError: of 0." in errors[name] for name in failed.index)
    assert (table[table["x"] <= 0.5]["status"] == "COMPLETED").all()


def test_a_search_in_which_all_fails_ends(threads, tmp_path):
    def outcome(x):
        raise ArithmeticError("always")

    tuner = asked(outcome, tmp_path, max_trials=50)
    with pytest.raises(TooManyFailuresError, match="ArithmeticError: always"):
        tuner.search(verbose=0, executor=threads)
    assert len(tuner.leaderboard()) < 10


def test_an_error_of_the_search_reaches_whoever_called(threads, tmp_path):
    tuner = tuner_of(RandomSearch, tmp_path)
    with pytest.raises(keras_tuner.errors.FatalTypeError, match="epochz"):
        tuner.search(**DATA, epochz=3, verbose=0, executor=threads)


def counted_data(marks):
    with open(marks, "a") as file:
        file.write(f"{os.getpid()}\n")
    return DATA["x"]


def test_a_function_that_returns_data_is_called_there(threads, tmp_path):
    marks = tmp_path / "marks"
    tuner = tuner_of(RandomSearch, tmp_path)
    data = {**DATA, "x": functools.partial(counted_data, str(marks))}
    tuner.search(**data, verbose=0, executor=threads)
    processes = set(marks.read_text().split())
    assert processes
    assert str(os.getpid()) not in processes
    assert set(tuner.leaderboard()["status"]) == {"COMPLETED"}


def test_rounds_of_a_search_run_there_too(threads, tmp_path):
    def search(name, **where):
        tuner = CoarseToFine(
            toys.build,
            "val_loss",
            rounds=2,
            trials_per_round=5,
            seed=0,
            directory=tmp_path / name,
        )
        tuner.search(**DATA, verbose=0, **where)
        rounds = [one.tuner.leaderboard() for one in tuner.rounds_run]
        return [table.set_index("trial_id")["val_loss"].to_dict() for table in rounds]

    assert search("there", executor=threads) == search("here")


def test_files_of_a_trial_come_back(threads, tmp_path):
    """Those that callbacks of the hypermodel write into its folder, too."""
    tuner = tuner_of(RandomSearch, tmp_path, max_trials=2)
    tuner.search(**DATA, verbose=0, executor=threads)
    found = {path.name for path in (tmp_path / "untitled_project/trial_0").iterdir()}
    assert {"record.json", "trial.json", "checkpoint.weights.h5"} <= found


def test_a_deadline_holds_there_and_the_search_resumes(threads, tmp_path):
    def outcome(x):
        time.sleep(0.2)
        return x

    tuner = asked(outcome, tmp_path, max_trials=30)
    tuner.search(verbose=0, executor=threads, max_seconds=1.5)
    ended = len(tuner.leaderboard())
    assert 0 < ended < 30
    again = asked(outcome, tmp_path, max_trials=ended + 2)
    again.search(verbose=0, executor=threads)
    assert len(again.leaderboard()) == ended + 2


def test_a_deadline_holds_for_what_waits_in_the_engine(tmp_path):
    """One trial at a time runs, and others wait: none of these begins after it."""
    begun = tmp_path / "begun"

    def outcome(x):
        with open(begun, "a") as file:
            file.write("x")
        time.sleep(2.0)
        return x

    tuner = asked(outcome, tmp_path, max_trials=6)
    with forks.as_workers(), concurrent.futures.ThreadPoolExecutor(1) as threads:
        # The first trial runs alone, to learn the space.
        tuner.search(verbose=0, executor=threads, workers=4, max_seconds=3.0)
    assert 1 <= len(begun.read_text()) <= 2
    assert len(tuner.leaderboard()) == len(begun.read_text())


def test_a_search_that_is_interrupted_ends_what_it_has_submitted(client, tmp_path):
    """A training stops with its epoch, and nothing is left in the cluster."""
    log = tmp_path / "epochs"

    class Slow(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            with open(log, "a") as file:
                file.write("x")
            time.sleep(0.3)

    def interrupt():
        while not log.exists():
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    tuner = tuner_of(RandomSearch, tmp_path, reuse_programs=False)
    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        tuner.search(
            **{**DATA, "epochs": 1000}, callbacks=[Slow()], verbose=0, executor=client
        )
    deadline = time.monotonic() + 20
    while any(client.processing().values()) and time.monotonic() < deadline:
        time.sleep(0.1)
    time.sleep(1.5)
    epochs = len(log.read_text())
    time.sleep(1.5)
    assert len(log.read_text()) == epochs
    # The same command goes on.
    tuner.search(**{**DATA, "epochs": 1}, verbose=0, executor=client)
    assert len(tuner.leaderboard()) == TRIALS


# Other executors.


class Jobs:
    """Gives tasks to a pool as submitit does: its futures have no callbacks."""

    class Job:
        def __init__(self, future):
            self._future = future
            self.cancel = future.cancel
            self.done = future.done
            self.result = future.result

    def __init__(self, pool):
        self._pool = pool

    def submit(self, function, *args):
        return self.Job(self._pool.submit(function, *args))


@pytest.fixture(scope="module", name="processes")
def processes_fixture():
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
        yield pool


@pytest.mark.parametrize("kind", ["pool", "jobs"])
def test_any_executor_of_processes_will_do(kind, processes, tmp_path):
    serial = tuner_of(RandomSearch, tmp_path / "serial", max_trials=3)
    serial.search(**DATA, verbose=0)
    executor = {"pool": processes, "jobs": Jobs(processes)}[kind]
    workers = {"pool": None, "jobs": 1}[kind]
    tuner = tuner_of(RandomSearch, tmp_path / kind, max_trials=3)
    tuner.search(**DATA, verbose=0, executor=executor, workers=workers)
    same(tuner, serial)


def test_a_pool_that_breaks_ends_the_search_with_what_it_has(tmp_path):
    def outcome(x):
        if x > 0.5:
            os.kill(os.getppid(), signal.SIGKILL)
            time.sleep(60)
        return x

    context = multiprocessing.get_context("spawn")
    tuner = asked(outcome, tmp_path)
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
        with pytest.raises(RuntimeError, match=r"broken.*call `search` again"):
            tuner.search(verbose=0, executor=pool)
    assert all(x <= 0.5 for x in tuner.leaderboard()["x"])


class Engine(concurrent.futures.Executor):
    """Does with each task what a function makes of it, at once and here."""

    _max_workers = 2

    def __init__(self, outcome):
        self._outcome = outcome
        self.tasks = []

    def submit(self, function, payload, task):
        self.tasks.append(pickle.loads(task))
        future = concurrent.futures.Future()
        try:
            future.set_result(self._outcome(function, payload, task))
        except BaseException as error:
            future.set_exception(error)
        return future


def test_what_an_engine_loses_is_submitted_again_and_given_up_in_the_end(tmp_path):
    def outcome(function, payload, task):
        trial_id = engine.tasks[-1].trials[0]["trial_id"]
        if trial_id == "1":
            raise _engine_call.ChildDiedError("its process ended with status -9")
        lost = [t for t in engine.tasks if t.trials[0]["trial_id"] == trial_id]
        if trial_id == "2" and len(lost) == 1:
            raise concurrent.futures.CancelledError("lost dependencies")
        if trial_id == "3" and len(lost) == 1:
            return b""
        return function(payload, task)

    engine = Engine(outcome)
    tuner = asked(lambda x: x, tmp_path)
    with forks.as_workers():
        tuner.search(verbose=0, executor=engine)
    table = tuner.leaderboard().set_index("trial_id")
    assert table["status"].to_dict() == {
        "0": "COMPLETED",
        "1": "FAILED",
        "2": "COMPLETED",
        "3": "COMPLETED",
    }
    assert "its process ended with status -9" in errors_of(tuner)["1"]
    tries = [task.trials[0]["trial_id"] for task in engine.tasks]
    assert [tries.count(trial_id) for trial_id in "0123"] == [1, 5, 2, 2]


@pytest.fixture(name="no_pauses")
def no_pauses_fixture(monkeypatch):
    monkeypatch.setattr(engine_search, "_MOST_SECONDS_BETWEEN_TRIES", 0.0)


@pytest.mark.parametrize(
    "error",
    [
        OSError("no machine"),
        KeyError("no machine"),
        concurrent.futures.CancelledError("no machine"),
        _engine_call.CannotBeginError("no machine"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_engine_that_loses_everything_ends_the_search_and_fails_no_trial(
    error, no_pauses, tmp_path
):
    def outcome(function, payload, task):
        raise error

    tuner = asked(lambda x: x, tmp_path)
    with pytest.raises(RuntimeError, match=r"loses all .*no machine"):
        tuner.search(verbose=0, executor=Engine(outcome))
    tuner.search(verbose=0)
    assert set(tuner.leaderboard()["status"]) == {"COMPLETED"}


def test_a_machine_that_can_begin_nothing_costs_no_trial(no_pauses, tmp_path, caplog):
    """A sick one is free for the next task at once, which a healthy one is not."""

    class HalfSick(concurrent.futures.ThreadPoolExecutor):
        is_busy = False

        def submit(self, *call):
            if self.is_busy:
                future = concurrent.futures.Future()
                future.set_exception(FileNotFoundError("no /tmp here"))
                return future
            self.is_busy = True
            future = super().submit(*call)
            future.add_done_callback(lambda _: setattr(self, "is_busy", False))
            return future

    tuner = tuner_of(RandomSearch, tmp_path / "engine")
    with forks.as_workers(), HalfSick(1) as pool:
        pool._max_workers = 2
        tuner.search(**DATA, verbose=0, executor=pool)
    serial = tuner_of(RandomSearch, tmp_path / "serial")
    serial.search(**DATA, verbose=0)
    same(tuner, serial)
    told = [record.message for record in caplog.records]
    assert sum("no /tmp here" in message for message in told) == 1


def test_a_child_that_ends_before_it_has_begun_is_no_trial_s_fault(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "ends_at_once.py").write_text("raise SystemExit(3)")
    (tmp_path / "ends_later.py").write_text(
        "import os\n"
        "from multiprocessing import connection\n"
        "def main(descriptor, folder):\n"
        "    line = connection.Connection(descriptor)\n"
        "    line.recv_bytes(), line.recv_bytes(), line.send_bytes(b'')\n"
        "    os._exit(4)\n"
    )
    path = [str(tmp_path)]
    at_once = _engine_call.EngineCall("at once", "ends_at_once", {}, path)
    with pytest.raises(_engine_call.CannotBeginError, match="status 3"):
        at_once(b"payload", b"task")
    later = _engine_call.EngineCall("later", "ends_later", {}, path)
    with pytest.raises(_engine_call.ChildDiedError, match="status 4"):
        later(b"payload", b"task")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    with pytest.raises(_engine_call.CannotBeginError, match="FileNotFoundError"):
        later(b"payload", b"task")


def test_a_worker_of_another_version_is_refused(tmp_path, monkeypatch):
    """Its seeds may be others, and what it is sent is code of this version."""
    tuner = tuner_of(RandomSearch, tmp_path)
    payload = worker_payload.payload(tuner, (), {})
    monkeypatch.setattr(keras_tricks, "__version__", "0.1.9")
    with pytest.raises(RuntimeError, match=r"0\.2.*Received: .*keras_tricks 0\.1\.9"):
        worker_payload.spec_of(payload)


def test_versions_are_those_of_the_process_that_ran_a_trial(
    threads, tmp_path, monkeypatch, caplog
):
    own = provenance.versions
    monkeypatch.setattr(provenance, "versions", lambda: {**own(), "keras": "3.0.0"})
    tuner = asked(lambda x: x, tmp_path)
    tuner.search(verbose=0, executor=threads)
    record = records.TrialRecord.read(tuner._project.folder / "trial_0")
    assert record.versions == own() != tuner._runner.session.provenance[0]
    told = [r.message for r in caplog.records if "other versions" in r.message]
    assert len(told) == 1
    assert "(here 3.0.0)" in told[0]


@pytest.mark.parametrize("workers", [None, 2])
@pytest.mark.parametrize("grows_by", ["itself", "hand"])
def test_a_dask_cluster_without_workers_gets_some_and_they_are_waited_for(
    workers, grows_by, tmp_path
):
    with (
        forks.as_workers(),
        distributed.LocalCluster(
            n_workers=0, threads_per_worker=1, processes=False, dashboard_address=None
        ) as cluster,
        cluster.get_client() as client,
    ):
        if grows_by == "itself":
            cluster.adapt(minimum=0, maximum=2, interval="100 ms")
        else:
            later = threading.Timer(3.0, cluster.scale, [1])
            later.start()
        tuner = asked(lambda x: x, tmp_path)
        tuner.search(verbose=0, executor=client, workers=workers)
    assert set(tuner.leaderboard()["status"]) == {"COMPLETED"}


@pytest.mark.parametrize(
    ("future", "message"),
    [(None, "must return a future"), ("text", "what the submitted function returns")],
)
def test_what_is_no_executor_after_all_is_told(future, message, tmp_path):
    class Odd(Engine):
        def submit(self, *call):
            return None if future is None else super().submit(*call)

    tuner = asked(lambda x: x, tmp_path)
    with pytest.raises(TypeError, match=message):
        tuner.search(verbose=0, executor=Odd(lambda *call: future))


@pytest.mark.parametrize("number", [0, -3, True, "two"])
def test_an_executor_with_no_sensible_number_of_workers_is_refused(number, tmp_path):
    engine = Engine(lambda *call: call)
    engine._max_workers = number
    with pytest.raises(ValueError, match="`workers` must say how many"):
        asked(lambda x: x, tmp_path).search(verbose=0, executor=engine)


def test_a_process_without_the_package_is_told(tmp_path):
    def outcome(function, payload, task):
        raise ModuleNotFoundError("No module named 'keras_tricks'")

    tuner = asked(lambda x: x, tmp_path)
    with pytest.raises(RuntimeError, match=r"needs this version of keras_tricks"):
        tuner.search(verbose=0, executor=Engine(outcome))


def test_calls_in_this_process_share_nothing_with_it(tmp_path):
    """Trials run in children, whatever the executor is."""
    serial = tuner_of(RandomSearch, tmp_path / "serial", max_trials=3)
    serial.search(**DATA, verbose=0)
    here = Engine(lambda function, *arguments: function(*arguments))
    tuner = tuner_of(RandomSearch, tmp_path / "here", max_trials=3)
    with forks.as_workers():
        tuner.search(**DATA, verbose=0, executor=here)
    same(tuner, serial)


def test_a_file_outside_of_its_trial_is_refused(tmp_path):
    def outcome(function, payload, task):
        files = {"../../stolen": b"x"}
        ended = engine_task.Ended(pickle.loads(task).trials[0], [], [], files)
        return pickle.dumps(engine_task.Outcome([ended]))

    tuner = asked(lambda x: x, tmp_path)
    with pytest.raises(ValueError, match="outside of its trial"):
        tuner.search(verbose=0, executor=Engine(outcome))
    assert not list(tmp_path.rglob("stolen"))


class OwnPool(concurrent.futures.ThreadPoolExecutor):
    pass


def test_whoever_subclasses_a_pool_still_has_one(client):
    def kind_of(executor):
        return type(engines.engine_of(executor, 1, None, 1.0)).__name__

    class OwnClient(distributed.Client):
        pass

    with OwnPool(1) as pool, OwnClient(client.scheduler.address) as own:
        assert kind_of(pool) == "Pool"
        assert kind_of(own) == kind_of(own.get_executor()) == "Dask"
        assert kind_of(Engine(None)) == "Engine"


def test_a_dask_client_that_is_closed_is_told(client, tmp_path):
    closed = distributed.Client(client.scheduler.address)
    closed.close()
    with pytest.raises(RuntimeError, match=r"client of `executor` is closed"):
        asked(len, tmp_path).search(verbose=0, executor=closed)


def test_a_payload_is_over_with_its_file_and_with_its_process():
    payload = PayloadFile.of(b"content")
    assert payload.read() == b"content"
    assert not payload.is_over
    begun_later = dataclasses.replace(payload, begun=payload.begun + 100.0)
    ended = dataclasses.replace(payload, owner=2**22 + 1)
    assert begun_later.is_over
    assert ended.is_over
    os.unlink(payload.path)
    assert payload.is_over


def test_what_killed_processes_have_left_is_removed():
    """Of this machine alone, and not what belongs to others that live."""
    folder = Path(tempfile.gettempdir())
    here = _engine_call._prefix_here()
    gone = [folder / f"{here}{2**22 + 1}_a", folder / f"{here}{2**22 + 1}_b.search"]
    gone[0].mkdir()
    gone[1].touch()
    kept = [
        folder / f"{here}{os.getppid()}_a",
        folder / f"keras_tricks_x_{2**22 + 1}_a",
    ]
    try:
        for path in kept:
            path.touch()
        os.unlink(PayloadFile.of(b"").path)
        assert [path.exists() for path in gone] == [False, False]
        assert [path.exists() for path in kept] == [True, True]
    finally:
        for path in kept:
            path.unlink()


def test_nothing_is_left_of_a_search_that_has_ended(tmp_path):
    search = """
        import concurrent.futures, glob, sys
        from tests.tuners import test_executors as tests

        if __name__ == "__main__":
            with concurrent.futures.ThreadPoolExecutor(1) as threads:
                tuner = tests.tuner_of(tests.RandomSearch, ".", max_trials=1)
                tuner.search(**tests.DATA, verbose=0, executor=threads)
            print(len(tuner.leaderboard()))
        """
    place = tmp_path / "temporary"
    place.mkdir()
    printed = child_process.run_python(search, cwd=tmp_path, env={"TMPDIR": str(place)})
    assert printed.splitlines()[-1] == "1"
    assert not list(place.glob("keras_tricks_*"))


def test_a_payload_that_somebody_changed_is_not_read(tmp_path):
    payload = PayloadFile.of(b"content")
    with open(payload.path, "ab") as file:
        file.write(b"!")
    try:
        with pytest.raises(ValueError, match="not what the searching process wrote"):
            payload.read()
    finally:
        os.unlink(payload.path)


@pytest.mark.parametrize(
    ("executor", "error", "message"),
    [
        (lambda: "dask", TypeError, r"must be an object with the `submit`"),
        (
            lambda: concurrent.futures.ProcessPoolExecutor,
            TypeError,
            "must be an object",
        ),
        (lambda: 4, TypeError, "must be an object"),
        (lambda: Jobs(None), ValueError, r"`workers` must say how many trials"),
    ],
)
def test_what_is_no_executor_is_refused(executor, error, message, tmp_path):
    tuner = asked(lambda x: x, tmp_path)
    with pytest.raises(error, match=message):
        tuner.search(verbose=0, executor=executor())
    assert not len(tuner.leaderboard())


def test_arguments_that_an_executor_has_no_use_for_are_refused(tmp_path, client):
    with pytest.raises(ValueError, match="`live_curves` needs trials on this machine"):
        asked(len, tmp_path).search(verbose=0, executor=client, live_curves=True)
    pruned = tuner_of(OptunaSearch, tmp_path / "pruned", pruner="median")
    with pytest.raises(ValueError, match="`pruner` must be None where an `executor`"):
        pruned.search(**DATA, verbose=0, executor=client)
    with pytest.raises(
        ValueError, match=r"Dask workers that offer so many.*--resources"
    ):
        asked(len, tmp_path).search(verbose=0, executor=client, gpus_per_trial=1)
    with pytest.raises(ValueError, match="`gpus_per_trial` needs an engine"):
        asked(len, tmp_path).search(
            verbose=0, executor=Engine(None), gpus_per_trial=0.5
        )
    with pytest.raises(ValueError, match="`gpus_per_trial` needs `workers`"):
        asked(len, tmp_path).search(verbose=0, gpus_per_trial=0.5)


# GPUs, of which there are none here.


@pytest.mark.parametrize(
    ("names", "count", "per_trial", "expected"),
    [
        ("", 3, None, []),
        ("01", 3, None, ["0", "1", "0"]),
        ("01", 2, 1, ["0", "1"]),
        ("0123", 2, 2, ["0,1", "2,3"]),
        ("01", 4, 0.5, ["0", "0", "1", "1"]),
        ("0", 3, 1 / 3, ["0", "0", "0"]),
    ],
)
def test_gpus_are_dealt_out(names, count, per_trial, expected):
    assert gpus.dealt(list(names), count, per_trial) == expected


@pytest.mark.parametrize(
    ("names", "count", "per_trial"),
    [("", 2, 1), ("01", 3, 1), ("012", 2, 2), ("0", 3, 0.5)],
)
def test_too_few_gpus_are_told(names, count, per_trial):
    with pytest.raises(ValueError, match=rf"This process has {len(names)}: "):
        gpus.dealt(list(names), count, per_trial)


@pytest.mark.parametrize("wrong", [0, -1, 1.5, float("nan")])
def test_a_number_of_gpus_that_is_none_is_refused(wrong):
    with pytest.raises(ValueError, match="gpus_per_trial"):
        gpus.checked(wrong)


def seen_gpus(marks, x):
    with open(marks, "a") as file:
        file.write(os.environ.get("CUDA_VISIBLE_DEVICES", "all") + "\n")
    time.sleep(0.5)
    return x


def test_local_workers_see_their_own_gpus(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    tuner = asked(functools.partial(seen_gpus, str(tmp_path / "marks")), tmp_path)
    with forks.as_workers():
        tuner.search(verbose=0, workers=2, gpus_per_trial=1)
    assert set((tmp_path / "marks").read_text().split()) == {"4", "7"}


def seen_setting(marks, x):
    with open(marks, "a") as file:
        file.write(os.environ.get("TF_ENABLE_ONEDNN_OPTS", "none"))
        file.write(os.environ.get("TF_CONFIG", "none"))
    return x


def test_variables_that_change_numbers_travel_and_others_do_not(
    processes, tmp_path, monkeypatch
):
    processes.submit(int, "1").result()  # Its process has begun.
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    monkeypatch.setenv("TF_CONFIG", "{}")
    outcome = functools.partial(seen_setting, str(tmp_path / "marks"))
    asked(outcome, tmp_path, max_trials=1).search(verbose=0, executor=processes)
    assert (tmp_path / "marks").read_text() == "0none"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork")
def test_a_fork_begins_without_the_children_of_its_parent(monkeypatch):
    monkeypatch.setattr(_engine_call, "_every", {"a child"})
    pid = os.fork()
    if pid == 0:
        os._exit(len(_engine_call._every))
    assert os.waitpid(pid, 0)[1] == 0
    assert _engine_call._every == {"a child"}


def test_without_ray_its_executor_tells_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ImportError, match="pip install ray"):
        RayExecutor()


RAY = """
    import os, sys, time
    import ray
    from keras_tricks.tuners import RayExecutor
    from tests.tuners import test_executors as tests
    from pathlib import Path

    if __name__ == "__main__":
        folder = Path(sys.argv[1])
        ray.init(num_cpus=2, num_gpus=2, include_dashboard=False,
                 log_to_driver=False)
        serial = tests.tuner_of(tests.RandomSearch, folder / "serial")
        serial.search(**tests.DATA, verbose=0)
        tuner = tests.tuner_of(tests.RandomSearch, folder / "ray")
        tuner.search(**tests.DATA, verbose=0, executor=ray)
        tests.same(tuner, serial)
        outcome = tests.functools.partial(tests.seen_gpus, str(folder / "marks"))
        tuner = tests.asked(outcome, folder / "gpus", max_trials=6)
        tuner.search(verbose=0, executor=RayExecutor(), gpus_per_trial=1)
        print("same", len(tuner.leaderboard()),
              sorted(set((folder / "marks").read_text().split())))
    """


def test_ray_runs_trials_and_gives_them_gpus(tmp_path):
    pytest.importorskip("ray", reason="Ray is an extra of its own: `ray`")
    printed = child_process.run_python(RAY, str(tmp_path), cwd=tmp_path)
    assert printed.splitlines()[-1] == "same 6 ['0', '1']"
