"""Searches in several processes: equal to serial ones, whichever process dies."""

import contextlib
import importlib
import os
import pickle
import random
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
import types
from pathlib import Path

import keras
import keras_tuner
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from keras_tricks import _child_process
from keras_tricks.tuners import RandomSearch
from keras_tricks.tuners.storage import project_lock
from keras_tricks.tuners.workers import gpus
from keras_tricks.tuners.workers import lending
from keras_tricks.tuners.workers import pool
from keras_tricks.tuners.workers import worker_payload
from tests import child_process
from tests import sampling
from tests.tuners import fault_search
from tests.tuners import forks
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


def forked_beside(process):
    """Numbers of the workers that a process has begun by `forks.as_workers`."""
    return [pid for pid in children_of(forks.server_pid()) if pid != process.pid]


KILLED = """
    import sys
    from tests.tuners import fault_search, forks, toys
    if __name__ == "__main__":
        tuner = fault_search.tuner_in(sys.argv[1], int(sys.argv[2]), seconds=0.5)
        with forks.as_workers():
            tuner.search(**toys.toy_data(), verbose=0, workers=2)
    """


@pytest.mark.skipif(
    not Path("/proc/self/task").exists(),
    reason="the processes to kill are found in /proc, which is not there",
)
def test_killed_processes_cost_no_trial_and_change_no_score(serial, tmp_path):
    """Of two workers one is killed, then the searching process; then all go on."""
    log = tmp_path / "fits.log"

    def begun():
        return log.read_text().count("begin") if log.exists() else 0

    with forks.started(KILLED, str(tmp_path), str(TRIALS), cwd=tmp_path) as search:
        wait_for(lambda: begun() >= 1)
        before = begun()
        worker = random.Random(3).choice(forked_beside(search))
        os.kill(worker, signal.SIGKILL)
        wait_for(lambda: begun() > before)
        children = forked_beside(search)
        search.kill()
        search.join()
        # Without their parent they end, at once or within a heartbeat.
        wait_for(lambda: not any(map(is_alive, children)), seconds=3)
    tuner = fault_search.tuner_in(tmp_path, TRIALS, seconds=0.5)
    with forks.as_workers():
        tuner.search(**toys.toy_data(), verbose=0, workers=2)
    last = log.read_text().splitlines()[-1].split()[-1]
    assert time.time() - float(last) < 4.0
    same(tuner.leaderboard(), serial.leaderboard())
    for trial_id in serial.leaderboard()["trial_id"]:
        assert tuner.curves(trial_id) == serial.curves(trial_id)


# Windows has no files that a process inherits by their number.


def test_workers_connect_by_a_socket_where_they_inherit_no_files(
    serial, tmp_path, monkeypatch
):
    monkeypatch.setattr(_child_process, "INHERITS_FILES", False)
    tuner = fault_search.tuner_in(tmp_path, TRIALS)
    tuner.search(**toys.toy_data(), verbose=0, workers=2)
    same(tuner.leaderboard(), serial.leaderboard())


def test_only_the_process_that_was_started_gets_the_connection(monkeypatch):
    """One that comes first, without the key, is sent away."""
    begun = []

    class WithAStranger(subprocess.Popen):
        def __init__(self, command, **options):
            place = next(part for part in command if part.startswith("127.0.0.1:"))
            stranger = socket.create_connection(("127.0.0.1", int(place[10:])))
            stranger.sendall(b"x" * 32)
            begun.append(stranger)
            # In place of a module of ours, which would import for long.
            program = command[command.index("-c") + 1]
            program = program.rpartition("importlib")[0] + (
                "from multiprocessing import connection\n"
                "connection.Connection(int(place)).send('here')"
            )
            command[command.index("-c") + 1] = program
            super().__init__(command, **options)

    own = types.SimpleNamespace(**{**vars(subprocess), "Popen": WithAStranger})
    monkeypatch.setattr(_child_process, "subprocess", own)
    monkeypatch.setattr(_child_process, "INHERITS_FILES", False)
    process, line = _child_process.started("none", environment=dict(os.environ))
    assert line.recv() == "here"
    assert begun[0].recv(1) == b""
    begun[0].close()
    line.close()
    assert process.wait(10) == 0


def test_a_process_that_does_not_connect_is_told(monkeypatch):
    class Asleep(subprocess.Popen):
        def __init__(self, command, **options):
            super().__init__(
                [sys.executable, "-c", "import time; time.sleep(60)"], **options
            )

    own = types.SimpleNamespace(**{**vars(subprocess), "Popen": Asleep})
    monkeypatch.setattr(_child_process, "subprocess", own)
    monkeypatch.setattr(_child_process, "INHERITS_FILES", False)
    monkeypatch.setattr(_child_process, "CONNECT_SECONDS", 0.5)
    with pytest.raises(RuntimeError, match=r"did not connect within 0\.5 s"):
        _child_process.started("none", environment=dict(os.environ))


def search(outcome, directory, *args, **arguments):
    count = arguments.pop("workers", 2)
    arguments = {"max_trials": 4, "seed": 0, "directory": directory, **arguments}
    tuner = RandomSearch(toys.Asked(outcome), **arguments)
    tuner.search(*args, verbose=0, workers=count)
    return tuner


@pytest.fixture(name="forked_workers")
def forked_workers_fixture():
    with forks.as_workers():
        yield


@pytest.fixture(scope="module", name="troubled")
def troubled_fixture(tmp_path_factory):
    """A search of four trials, of which three trouble their workers.

    Gives the leaderboard, by trial, and the numbers of the troubles, in their order.
    """
    folder = tmp_path_factory.mktemp("troubled")
    drawn = search(lambda hp: hp.get("x"), folder / "all", workers=1).leaderboard()
    # The first trial runs alone.
    drawn = drawn.set_index("trial_id")["x"].to_dict()
    stops, works, dies = (drawn[trial_id] for trial_id in "123")

    def outcome(hp):
        number = hp.get("x")
        with open(folder / f"{number}", "a") as file:
            file.write("x")
        if number == dies:
            os._exit(3)
        if number == stops and tries_of(number) == 1:
            os.kill(os.getpid(), signal.SIGSTOP)
        if number == works:
            usual = sys.getswitchinterval()
            sys.setswitchinterval(60.0)
            end = time.monotonic() + 4.0
            while time.monotonic() < end:
                pass
            sys.setswitchinterval(usual)
        return number

    def tries_of(number):
        return len((folder / f"{number}").read_text())

    with pytest.MonkeyPatch.context() as patch, forks.as_workers():
        patch.setattr(lending, "MAX_LEASES", 2)
        patch.setattr(pool, "SILENT_SECONDS", 1.5)
        table = search(outcome, folder / "some").leaderboard()
    table = table.set_index("trial_id")
    assert table["x"].to_dict() == drawn
    return table["status"], [tries_of(number) for number in (stops, works, dies)]


def test_a_worker_that_dies_each_time_costs_one_trial(troubled):
    status, (_, _, tries) = troubled
    assert status["3"] == "FAILED"
    assert tries == 2
    assert (status.drop("3") == "COMPLETED").all()


def test_a_silent_worker_is_replaced(troubled):
    """It is stopped as by Ctrl-Z, and answers no more."""
    status, (tries, _, _) = troubled
    assert status["1"] == "COMPLETED"
    assert tries == 2


def test_a_worker_that_is_silent_and_at_work_is_left_alone(troubled):
    """Its other threads do not run, as beside one long call of C code."""
    status, (_, tries, _) = troubled
    assert status["2"] == "COMPLETED"
    assert tries == 1


BUSY = """
    import contextlib, os, pathlib, sys, threading
    import keras, keras_tuner
    from keras_tricks.tuners import RandomSearch
    from keras_tricks.tuners.storage import project_lock
    from tests.tuners import forks

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
        is_forked = sys.argv[1] == "forked"
        try:
            with forks.as_workers() if is_forked else contextlib.nullcontext():
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
@pytest.mark.parametrize(
    "number",
    sampling.only(
        # To Python, SIGTERM is like SIGKILL.
        [signal.SIGINT, signal.SIGKILL],
        [signal.SIGINT, signal.SIGTERM, signal.SIGKILL],
    ),
)
def test_nothing_is_left_of_a_search_that_is_ended(number, tmp_path):
    """No process, thread, open file or lock after 5 s, whatever its workers are at.

    A search that is interrupted ends its workers; with one that is killed they end by
    the way in which it has started them.
    """
    how = "forked" if number == signal.SIGINT else "started"
    with forks.started(BUSY, how, cwd=tmp_path) as parent:
        wait_for(lambda: list(tmp_path.glob("worker_*")))
        time.sleep(1.0)
        found = {"forked": forked_beside, "started": lambda p: children_of(p.pid)}
        children = found[how](parent)
        begun = time.monotonic()
        os.kill(parent.pid, number)
        parent.join(5)
        wait_for(lambda: not any(map(is_alive, children)), seconds=2)
        assert time.monotonic() - begun < 5.0
        assert len(children) == 2
        if number == signal.SIGINT:
            assert forks.finished(parent) == "interrupted; open: [] threads: []\n"
        else:
            assert parent.exitcode == -number
    with project_lock.ProjectLock(tmp_path / "untitled_project"):
        pass


@pytest.mark.skipif(
    not Path("/proc/self/fd").exists(), reason="open files are found in /proc"
)
@pytest.mark.usefixtures("forked_workers")
def test_nothing_is_left_of_a_search_that_an_error_in_a_callback_ends(tmp_path):
    """One trial fails for good, while the other keeps Python from doing anything."""
    failed = tmp_path / "failed"

    class Fails(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            failed.write_text(str(time.time()))
            raise keras_tuner.errors.FatalValueError("in a callback")

    class OneIsBusy(toys.Asked):
        def fit(self, hp, model, *args, callbacks, **kwargs):
            number = 0
            while True:  # The first to make a file is the one of that number.
                with contextlib.suppress(FileExistsError):
                    with open(tmp_path / str(number), "x") as file:
                        file.write(str(os.getpid()))
                    break
                number += 1
            if number == 1:
                10**100_000_000 % 7
            elif number == 2:
                for callback in callbacks:
                    callback.on_epoch_end(0, {"score": 1.0})
            return {"score": 1.0}  # The first shows that there are no more settings.

    threads = set(threading.enumerate())
    tuner = RandomSearch(
        OneIsBusy(None), keras_tuner.Objective("score", "max"), directory=tmp_path
    )
    fatal = keras_tuner.errors.FatalValueError
    with pytest.raises(fatal, match="in a callback") as error:
        tuner.search(callbacks=[Fails()], workers=2, verbose=0)
    assert "In a worker process" in str(error.value.__cause__)
    assert time.time() - float(failed.read_text()) < 5.0
    assert set(threading.enumerate()) <= threads
    workers = {int((tmp_path / name).read_text()) for name in "012"}
    assert len(workers) == 2
    assert not any(map(is_alive, workers))
    opened = [os.path.realpath(path) for path in Path("/proc/self/fd").iterdir()]
    assert not [path for path in opened if path.startswith(str(tmp_path))]
    with project_lock.ProjectLock(tuner.project_dir):
        pass


@pytest.mark.usefixtures("forked_workers")
def test_workers_that_always_fail_end_and_all_their_errors_are_told(tmp_path):
    def outcome(hp):
        if hp.get("x") > 0.5:
            raise ValueError("too large")
        raise KeyError("too small")

    with pytest.raises(RuntimeError, match="All 2 workers ended") as caught:
        search(outcome, tmp_path, max_trials=20, max_consecutive_failed_trials=3)
    assert "ValueError: too large" in str(caught.value)
    assert "KeyError: 'too small'" in str(caught.value)
    tuner = RandomSearch(toys.Asked(outcome), max_trials=20, seed=0, directory=tmp_path)
    assert len(tuner.leaderboard()) == 6


@pytest.mark.usefixtures("forked_workers")
def test_neither_settings_nor_data_depend_on_the_number_of_workers(tmp_path):
    """Also where models ask for more as trials go on, and `fit` for its own.

    The data are what a function returns, which each process calls for itself.
    """

    def data():
        return tf.data.Dataset.from_tensor_slices(np.arange(4.0))

    class Growing(toys.Asked):
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


def test_data_that_cannot_be_sent_are_named_with_the_remedy(tmp_path):
    data = tf.data.Dataset.range(3)
    with pytest.raises(TypeError, match="argument 0 of search cannot be sent") as error:
        search(lambda hp, data: 0.0, tmp_path, data)
    assert "a function without arguments that returns them" in str(error.value)
    tuner = RandomSearch(toys.Asked(None), directory=tmp_path)
    with pytest.raises(TypeError, match="`source` cannot be sent"):
        tuner.search(source=(n for n in range(3)), workers=2)


@pytest.mark.parametrize("count", [0, 1.5, True, "2"])
def test_a_number_of_workers_that_is_none_is_refused(tmp_path, count):
    with pytest.raises((TypeError, ValueError), match="Received: workers="):
        search(float, tmp_path, workers=count)


def test_gpus_are_those_that_this_process_may_use(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3, GPU-1a,-1")
    assert gpus.visible() == ["3", "GPU-1a"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert gpus.visible() == []


def test_a_chief_lends_the_trial_of_a_dead_worker_anew(serial, tmp_path):
    """KerasTuner's variables, as on several machines: the chief would wait for ever."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path / "fits.log"

    def start(name):
        environment = {
            "KERASTUNER_TUNER_ID": name,
            "KERASTUNER_ORACLE_IP": "127.0.0.1",
            "KERASTUNER_ORACLE_PORT": str(port),
            "KERAS_TRICKS_LEASE_SECONDS": "4",
        }
        script = Path(fault_search.__file__)
        arguments = [str(tmp_path), "1", str(TRIALS)]
        return forks.started(script, *arguments, cwd=tmp_path, env=environment)

    with start("chief") as chief, start("tuner0") as dies, start("tuner1") as goes_on:
        key = f" {dies.pid} "
        wait_for(lambda: log.exists() and key in log.read_text(), 120)
        dies.kill()
        dies.join()
        forks.finished(goes_on, 120)
        after = time.monotonic()
        forks.finished(chief, 60)
        assert time.monotonic() - after < 4.0
    tuner = fault_search.tuner_in(tmp_path, TRIALS)
    same(tuner.leaderboard(), serial.leaderboard())


def test_a_worker_of_a_chief_cannot_delete_the_project(tmp_path, monkeypatch):
    search(lambda hp: hp.get("x"), tmp_path, workers=1)
    monkeypatch.setenv("KERASTUNER_TUNER_ID", "tuner1")
    monkeypatch.setenv("KERASTUNER_ORACLE_IP", "127.0.0.1")
    monkeypatch.setenv("KERASTUNER_ORACLE_PORT", "1")
    RandomSearch(toys.Asked(None), directory=tmp_path, overwrite=True)
    assert len(list(tmp_path.glob("*/trial_*/record.json"))) == 4
    tuner = RandomSearch(toys.Asked(None), directory=tmp_path)
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
    import pathlib, sys, time
    import keras
    import numpy as np
    import tensorflow as tf
    tf.config.threading.set_intra_op_parallelism_threads(2)
    import makes_tensors, draws, sets_a_policy, registers, builds_a_model, reads_a_file
    from keras.saving import get_registered_object as registered
    from keras_tricks.tuners import RandomSearch

    sys.path.append(pathlib.Path("of_a_path"))

    @keras.saving.register_keras_serializable("main")
    def own_loss(y, p):
        factor = 3.0 + sys.flags.quiet + sys.flags.optimize
        return keras.ops.mean(keras.ops.square(y - p)) * factor

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
        print(time.time())
"""


@pytest.fixture(
    scope="module", name="of_a_script", params=sampling.one_in(2, ["-q", "-O"])
)
def of_a_script_fixture(request, tmp_path_factory):
    """A script that searches alone and with workers, in the folder of its data.

    Gives the folder, what it printed, and when it had ended.
    """
    folder = tmp_path_factory.mktemp("script")
    here, code = folder / "here", folder / "code"
    here.mkdir()
    code.mkdir()
    for name, text in AT_IMPORT.items():
        (code / f"{name}.py").write_text(textwrap.dedent(text))
    (code / "script.py").write_text(textwrap.dedent(SCRIPT))
    (here / "numbers.txt").write_text("123")
    for name in ("keras_tricks", "numpy", "threading"):
        (here / f"{name}.py").write_text("raise SystemExit('from here')")
    done = subprocess.run(
        [sys.executable, request.param, str(code / "script.py")],
        cwd=here,
        env={**os.environ, "PYTHONPATH": str(child_process.ROOT)},
        capture_output=True,
        encoding="utf-8",
    )
    ended = time.time()
    assert done.returncode == 0, done.stderr[-3000:]
    return here, done.stdout, ended


def test_modules_may_do_at_import_what_they_like(of_a_script):
    """The scores of both searches are equal; see `AT_IMPORT`."""
    folder, printed, _ = of_a_script
    assert printed.count("mixed_bfloat16 1e-05") == 2
    alone, lent = (pd.read_csv(folder / f"{n}.csv") for n in (1, 2))
    assert set(alone["status"]) == {"COMPLETED"}
    same(alone, lent)


def test_workers_import_what_the_searching_process_imports(of_a_script):
    """Not what lies in the working folder; and they have the interpreter's flags.

    On these the loss depends.
    """
    folder, _, _ = of_a_script
    assert set(pd.read_csv(folder / "2.csv")["status"]) == {"COMPLETED"}


def test_the_interpreter_ends_when_the_search_has(of_a_script):
    _, printed, ended = of_a_script
    assert ended - float(printed.splitlines()[-1]) < 4.0


class Registered(keras.layers.Layer):
    """Of a module that a worker finds."""


def test_a_class_whose_module_no_worker_finds_is_left_out(tmp_path, monkeypatch):
    """It may be registered by what the search has nothing to do with."""
    (tmp_path / "elsewhere.py").write_text(
        "import keras\n"
        "@keras.saving.register_keras_serializable('elsewhere')\n"
        "class Other(keras.layers.Layer): pass\n"
    )
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    importlib.import_module("elsewhere")
    keras.saving.register_keras_serializable("found")(Registered)
    sent = pickle.dumps(worker_payload.CustomObjects.now())
    monkeypatch.setattr(sys, "path", sys.path[1:])
    monkeypatch.delitem(sys.modules, "elsewhere")
    objects = keras.saving.get_custom_objects()
    del objects["elsewhere>Other"], objects["found>Registered"]
    pickle.loads(sent)
    assert objects.pop("found>Registered") is Registered
    assert "elsewhere>Other" not in objects
