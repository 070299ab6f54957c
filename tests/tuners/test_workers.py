"""Searches in several processes: equal to serial ones, whichever process dies."""

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import keras
import keras_tuner
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from keras_tricks.tuners import RandomSearch
from keras_tricks.tuners.storage import project_lock
from keras_tricks.tuners.workers import pool
from tests import child_process
from tests.tuners import fault_search
from tests.tuners import toys

TRIALS = 6


def same(table, other):
    pd.testing.assert_frame_equal(
        table.drop(columns="seconds"), other.drop(columns="seconds"), check_exact=True
    )


@pytest.fixture(scope="module", name="serial")
def serial_fixture(tmp_path_factory):
    folder = tmp_path_factory.mktemp("serial")
    tuner = fault_search.tuner_in(folder, TRIALS)
    tuner.search(**toys.toy_data(), verbose=0)
    return tuner


def children_of(pid):
    path = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in path.read_text().split()] if path.exists() else []


def is_alive(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def wait_for(condition, seconds=300):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


@pytest.mark.skipif(
    not Path("/proc/self/task").exists(),
    reason="the processes to kill are found in /proc, which is not there",
)
def test_killed_processes_cost_no_trial_and_change_no_score(serial, tmp_path):
    """Two workers, of which two are killed, then the searching process; then again."""
    log = tmp_path / "fits.log"
    generator = random.Random(3)
    environment = {**os.environ, "PYTHONPATH": str(child_process.ROOT)}

    def start():
        return subprocess.Popen(
            [sys.executable, fault_search.__file__, str(tmp_path), "2", str(TRIALS)],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            encoding="utf-8",
        )

    def begun():
        return log.read_text().count("begin") if log.exists() else 0

    search = start()
    try:
        wait_for(lambda: begun() >= 1)
        for _ in range(2):
            before = begun()
            os.kill(generator.choice(children_of(search.pid)), signal.SIGKILL)
            wait_for(lambda before=before: begun() > before)
        children = children_of(search.pid)
        search.kill()
        search.communicate()
        # Without their parent they end, at once or within a heartbeat.
        wait_for(lambda: not any(map(is_alive, children)), seconds=3)
        search = start()
        printed, _ = search.communicate(timeout=120)
        ended = time.time()
    finally:
        search.kill()
    assert search.returncode == 0
    assert printed.count("trial ") <= TRIALS
    lines = [line.split() for line in log.read_text().splitlines()]
    # From the last training to the end of the process, the interpreter's included.
    assert ended - float(lines[-1][-1]) < 4.0
    tuner = fault_search.tuner_in(tmp_path, TRIALS)
    same(tuner.leaderboard(), serial.leaderboard())
    for trial_id in serial.leaderboard()["trial_id"]:
        assert tuner.curves(trial_id) == serial.curves(trial_id)


class Worker(keras_tuner.HyperModel):
    """Ends as `outcome(hp)` says, with the process number in the record."""

    def __init__(self, outcome):
        super().__init__()
        self.outcome = outcome

    def build(self, hp):
        hp.Float("x", 0.0, 1.0)
        return keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])

    def fit(self, hp, model, *args, **kwargs):
        return self.outcome(hp, *args)


def search(outcome, directory, *args, **arguments):
    count = arguments.pop("workers", 2)
    arguments = {"max_trials": 4, "seed": 0, "directory": directory, **arguments}
    tuner = RandomSearch(Worker(outcome), **arguments)
    tuner.search(*args, verbose=0, workers=count)
    return tuner


def test_a_worker_that_dies_each_time_costs_one_trial(tmp_path, monkeypatch):
    monkeypatch.setattr(pool, "MAX_LEASES", 2)

    def outcome(hp):
        if hp.get("x") > 0.9:
            os._exit(3)
        return hp.get("x")

    drawn = search(lambda hp: hp.get("x"), tmp_path / "all", workers=1).leaderboard()
    assert (drawn["x"] > 0.9).sum() == 1
    table = search(outcome, tmp_path / "some").leaderboard()
    assert table["x"].tolist() == drawn["x"].tolist()
    assert table["status"].tolist() == ["COMPLETED"] * 3 + ["FAILED"]


def test_a_silent_worker_is_replaced(tmp_path, monkeypatch):
    """It is stopped as by Ctrl-Z, and answers no more."""
    monkeypatch.setattr(pool, "SILENT_SECONDS", 3.0)
    flag = tmp_path / "stopped"

    def outcome(hp):
        if not flag.exists():
            flag.write_text("")
            os.kill(os.getpid(), signal.SIGSTOP)
        return hp.get("x")

    table = search(outcome, tmp_path, max_trials=2).leaderboard()
    assert table["status"].tolist() == ["COMPLETED"] * 2


def test_a_worker_that_is_silent_and_at_work_is_left_alone(tmp_path, monkeypatch):
    """Its other threads do not run, as beside one long call of C code."""
    monkeypatch.setattr(pool, "SILENT_SECONDS", 1.5)
    tries = tmp_path / "tries"

    def outcome(hp):
        with open(tries, "a") as file:
            file.write("x")
        usual = sys.getswitchinterval()
        sys.setswitchinterval(60.0)
        end = time.monotonic() + 4.0
        while time.monotonic() < end:
            pass
        sys.setswitchinterval(usual)
        return hp.get("x")

    table = search(outcome, tmp_path, max_trials=1, workers=2).leaderboard()
    assert table["status"].tolist() == ["COMPLETED"]
    assert tries.read_text() == "x"


BUSY = """
    import os, pathlib, sys, threading
    import keras, keras_tuner
    from keras_tricks.tuners import RandomSearch
    from keras_tricks.tuners.storage import project_lock

    class Busy(keras_tuner.HyperModel):
        def build(self, hp):
            hp.Float("x", 0.0, 1.0)
            return keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
        def fit(self, hp, model, **kwargs):
            pathlib.Path(f"worker_{os.getpid()}").touch()
            10 ** 100_000_000 % 7  # Some minutes in which no thread of Python runs.

    if __name__ == "__main__":
        before = set(threading.enumerate())
        tuner = RandomSearch(Busy(), max_trials=2, directory=".")
        try:
            tuner.search(workers=2, verbose=0)
        except KeyboardInterrupt:
            files = [os.readlink(f"/proc/self/fd/{fd}")
                     for fd in os.listdir("/proc/self/fd")
                     if os.path.exists(f"/proc/self/fd/{fd}")]
            print("interrupted;", "open:", [f for f in files if os.getcwd() in f],
                  "threads:", list(set(threading.enumerate()) - before))
    """


@pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux ends a process with its parent"
)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_of_a_search_that_is_ended(number, tmp_path):
    """No process, thread, open file or lock after 5 s, whatever its workers are at."""
    path = tmp_path / "script.py"
    path.write_text(textwrap.dedent(BUSY))
    parent = subprocess.Popen(
        [sys.executable, str(path)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(child_process.ROOT)},
        stdout=subprocess.PIPE,
        encoding="utf-8",
    )
    try:
        wait_for(lambda: list(tmp_path.glob("worker_*")))
        time.sleep(1.0)
        children = children_of(parent.pid)
        begun = time.monotonic()
        parent.send_signal(number)
        printed, _ = parent.communicate(timeout=5)
    finally:
        parent.kill()
    wait_for(lambda: not any(map(is_alive, children)), seconds=2)
    assert time.monotonic() - begun < 5.0
    assert len(children) == 2
    if number == signal.SIGINT:
        assert printed == "interrupted; open: [] threads: []\n"
    with project_lock.ProjectLock(tmp_path / "untitled_project"):
        pass


@pytest.mark.skipif(
    not Path("/proc/self/fd").exists(), reason="open files are found in /proc"
)
def test_nothing_is_left_of_a_search_that_an_error_in_a_callback_ends(tmp_path):
    """One trial fails for good, while the other keeps Python from doing anything."""
    failed = tmp_path / "failed"

    class Fails(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            failed.write_text(str(time.time()))
            raise keras_tuner.errors.FatalValueError("in a callback")

    class OneIsBusy(Worker):
        def fit(self, hp, model, *args, callbacks, **kwargs):
            number = 0
            while True:  # The first to make a file is the one of that number.
                with contextlib.suppress(FileExistsError):
                    (tmp_path / str(number)).touch(exist_ok=False)
                    break
                number += 1
            if number == 1:
                10**100_000_000 % 7
            elif number == 2:
                for callback in callbacks:
                    callback.on_epoch_end(0, {"score": 1.0})
            return {"score": 1.0}  # The first shows that there are no more settings.

    threads, children = set(threading.enumerate()), children_of(os.getpid())
    tuner = RandomSearch(
        OneIsBusy(None), keras_tuner.Objective("score", "max"), directory=tmp_path
    )
    with pytest.raises(keras_tuner.errors.FatalValueError, match="in a callback"):
        tuner.search(callbacks=[Fails()], workers=2, verbose=0)
    assert time.time() - float(failed.read_text()) < 5.0
    assert set(threading.enumerate()) <= threads
    assert set(children_of(os.getpid())) <= set(children)
    opened = [os.path.realpath(path) for path in Path("/proc/self/fd").iterdir()]
    assert not [path for path in opened if path.startswith(str(tmp_path))]
    with project_lock.ProjectLock(tuner.project_dir):
        pass


def test_workers_that_always_fail_end_and_all_their_errors_are_told(tmp_path):
    def outcome(hp):
        if hp.get("x") > 0.5:
            raise ValueError("too large")
        raise KeyError("too small")

    with pytest.raises(RuntimeError, match="All 2 workers ended") as caught:
        search(outcome, tmp_path, max_trials=20, max_consecutive_failed_trials=3)
    assert "ValueError: too large" in str(caught.value)
    assert "KeyError: 'too small'" in str(caught.value)
    tuner = RandomSearch(Worker(outcome), max_trials=20, seed=0, directory=tmp_path)
    assert len(tuner.leaderboard()) == 6


def test_neither_settings_nor_data_depend_on_the_number_of_workers(tmp_path):
    """Also where models ask for more as trials go on, and `fit` for its own.

    The data are what a function returns, which each process calls for itself.
    """

    def data():
        return tf.data.Dataset.from_tensor_slices(np.arange(4.0))

    class Growing(Worker):
        def build(self, hp):
            for layer in range(hp.Int("layers", 1, 4)):
                hp.Int(f"units_{layer}", 1, 1000)
            return keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])

        def fit(self, hp, model, data, **kwargs):
            total = sum(element.numpy() for element in data)
            return float(hp.Int("batch_size", 1, 1000) + total)

    def table(count):
        arguments = {"max_trials": 8, "seed": 0, "directory": tmp_path / str(count)}
        tuner = RandomSearch(Growing(None), **arguments)
        tuner.search(data, verbose=0, workers=count)
        return tuner.leaderboard()

    alone = table(1)
    # By hand: the data add up to 6.
    assert (alone["default_objective"] == alone["batch_size"] + 6).all()
    same(table(2), alone)


def test_what_stops_a_search_stops_one_with_workers(tmp_path):
    def outcome(hp):
        raise keras_tuner.errors.FatalValueError("never mind the rest")

    with pytest.raises(keras_tuner.errors.FatalValueError, match="never mind") as error:
        search(outcome, tmp_path)
    assert "In a worker process" in str(error.value.__cause__)


def test_data_that_cannot_be_sent_are_named_with_the_remedy(tmp_path):
    data = tf.data.Dataset.range(3)
    with pytest.raises(TypeError, match="argument 0 of search cannot be sent") as error:
        search(lambda hp, data: 0.0, tmp_path, data)
    assert "a function without arguments that returns them" in str(error.value)
    tuner = RandomSearch(Worker(None), directory=tmp_path)
    with pytest.raises(TypeError, match="`source` cannot be sent"):
        tuner.search(source=(n for n in range(3)), workers=2)


@pytest.mark.parametrize("count", [0, 1.5, True, "2"])
def test_a_number_of_workers_that_is_none_is_refused(tmp_path, count):
    with pytest.raises((TypeError, ValueError), match="Received: workers="):
        search(float, tmp_path, workers=count)


def test_gpus_are_those_that_this_process_may_use(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3, GPU-1a,-1")
    assert pool._visible_gpus() == ["3", "GPU-1a"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert pool._visible_gpus() == []


def test_a_chief_lends_the_trial_of_a_dead_worker_anew(serial, tmp_path):
    """KerasTuner's variables, as on several machines: the chief would wait for ever."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path / "fits.log"

    def start(name):
        environment = {
            **os.environ,
            "PYTHONPATH": str(child_process.ROOT),
            "KERASTUNER_TUNER_ID": name,
            "KERASTUNER_ORACLE_IP": "127.0.0.1",
            "KERASTUNER_ORACLE_PORT": str(port),
            "KERAS_TRICKS_LEASE_SECONDS": "4",
        }
        arguments = [fault_search.__file__, str(tmp_path), "1", str(TRIALS)]
        return subprocess.Popen(
            [sys.executable, *arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    processes = [start(name) for name in ("chief", "tuner0", "tuner1")]
    try:
        key = f" {processes[1].pid} "
        wait_for(lambda: log.exists() and key in log.read_text(), 120)
        processes[1].kill()
        processes[1].wait()
        processes[2].wait(120)
        after = time.monotonic()
        processes[0].wait(60)
        assert time.monotonic() - after < 4.0
    finally:
        for process in processes:
            process.kill()
            process.wait()
    assert processes[0].returncode == processes[2].returncode == 0
    tuner = fault_search.tuner_in(tmp_path, TRIALS)
    same(tuner.leaderboard(), serial.leaderboard())


def test_a_worker_of_a_chief_cannot_delete_the_project(tmp_path, monkeypatch):
    search(lambda hp: hp.get("x"), tmp_path, workers=1)
    monkeypatch.setenv("KERASTUNER_TUNER_ID", "tuner1")
    monkeypatch.setenv("KERASTUNER_ORACLE_IP", "127.0.0.1")
    monkeypatch.setenv("KERASTUNER_ORACLE_PORT", "1")
    RandomSearch(Worker(None), directory=tmp_path, overwrite=True)
    assert len(list(tmp_path.glob("*/trial_*/record.json"))) == 4
    tuner = RandomSearch(Worker(None), directory=tmp_path)
    with pytest.raises(ValueError, match="`workers` must be 1 in a process of KerasT"):
        tuner.search(workers=2)


# What strangers' modules do when they are imported, by the modules' names.
AT_IMPORT = {
    "makes_tensors": """
        import tensorflow as tf
        SCALE = tf.constant(2.0)
        DATA = tf.data.Dataset.from_tensor_slices(tf.random.uniform((8, 2), seed=1))
    """,
    "draws": """
        import random
        import keras
        import numpy as np
        keras.utils.set_random_seed(7)
        NUMBER = random.random() + np.random.normal()
    """,
    "sets_a_policy": """
        import keras
        keras.config.set_dtype_policy("mixed_bfloat16")
        keras.config.set_epsilon(1e-5)
    """,
    "registers": """
        import keras
        @keras.saving.register_keras_serializable("stranger")
        def squared(x):
            return keras.ops.square(x)
        @keras.saving.register_keras_serializable("stranger")
        class Doubled(keras.layers.Layer):
            def call(self, x):
                return 2 * x
    """,
    "builds_a_model": """
        import keras
        BASE = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
        BASE.trainable = False
    """,
    "reads_a_file": """
        import pathlib
        TEXT = pathlib.Path("numbers.txt").read_text()
    """,
}
SCRIPT = """
    import sys
    import keras
    import numpy as np
    import tensorflow as tf
    tf.config.threading.set_intra_op_parallelism_threads(2)
    import makes_tensors, draws, sets_a_policy, registers, builds_a_model, reads_a_file
    from keras.saving import get_registered_object as registered
    from keras_tricks.tuners import RandomSearch

    @keras.saving.register_keras_serializable("main")
    def own_loss(y, p):
        return keras.ops.mean(keras.ops.square(y - p)) * 3.0

    def build(hp):
        units = hp.Int("units", 1, 4)
        model = keras.Sequential([keras.Input((2,))])
        model.add(keras.layers.Rescaling(float(makes_tensors.SCALE)))
        model.add(registers.Doubled())
        model.add(keras.layers.Dense(units, activation=registered("stranger>squared")))
        model.add(keras.layers.Dense(len(reads_a_file.TEXT)))
        model.add(keras.layers.Dense(1))
        loss = registered("main>own_loss")
        model.compile(keras.optimizers.SGD(1e-2 + 0 * draws.NUMBER), loss)
        return model

    if __name__ == "__main__":
        x = np.stack([*makes_tensors.DATA.as_numpy_iterator()])
        base = builds_a_model.BASE.get_weights()[0]
        for workers in (1, 2):
            tuner = RandomSearch(
                build, "loss", max_trials=3, seed=0, directory=f"of_{workers}"
            )
            tuner.search(x, x.sum(1), epochs=2, verbose=0, workers=workers)
            tuner.leaderboard(f"{workers}.csv")
            print(keras.config.dtype_policy().name, keras.config.epsilon())
"""


def test_modules_may_do_at_import_what_they_like(tmp_path):
    """The scores of both searches are equal; see `AT_IMPORT`."""
    for name, text in AT_IMPORT.items():
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(text))
    (tmp_path / "numbers.txt").write_text("123")
    (tmp_path / "script.py").write_text(textwrap.dedent(SCRIPT))
    done = child_process.run_script(tmp_path / "script.py", cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("mixed_bfloat16 1e-05") == 2
    alone, lent = (pd.read_csv(tmp_path / f"{n}.csv") for n in (1, 2))
    assert set(alone["status"]) == {"COMPLETED"}
    same(alone, lent)
