"""Several processes search on one study: nothing is lost, and nothing runs twice."""

import json
import os
import signal
import time

import pytest

from tests import postgresql
from tests.tuners import forks
from tests.tuners import toys

optuna = pytest.importorskip("optuna", reason="Optuna is not installed")

from keras_tricks.tuners import OptunaSearch  # noqa: E402
from keras_tricks.tuners import errors  # noqa: E402
from keras_tricks.tuners.optuna import journal  # noqa: E402 - it needs Optuna, too.
from keras_tricks.tuners.optuna import trials  # noqa: E402

TRIALS = 10
RUNNING = optuna.trial.TrialState.RUNNING
COMPLETE = optuna.trial.TrialState.COMPLETE
PRUNED = optuna.trial.TrialState.PRUNED
FAIL = optuna.trial.TrialState.FAIL

# Arguments: its name, the storage, and the fit (from 0) in which it hangs.
WORKER = """
import sys, time
from pathlib import Path
import keras, keras_tuner
import numpy as np
from keras_tricks.tuners import OptunaSearch

name, storage, hangs = sys.argv[1:]

class Slow(keras_tuner.HyperModel):
    fits = 0

    def build(self, hp):
        hp.Float("x", 0.0, 1.0)
        hp.Choice("kind", ["a", "b"])
        return keras.Sequential()

    def fit(self, hp, model, *args, **kwargs):
        with open(f"{name}.log", "a") as log:
            log.write(f"{hp.get('x')!r}\\n")
        if self.fits == int(hangs):
            time.sleep(600)
        self.fits += 1
        time.sleep(0.1)
        # The second term is drawn from what the trial was seeded with.
        return hp.get("x") + np.random.random()

tuner = OptunaSearch(
    Slow(), max_trials=TRIALS, sampler="qmc", storage=storage, study_name="shared",
    seed=3, directory=name)
tuner.search(verbose=0)
table = tuner.leaderboard().set_index("trial_id")["default_objective"]
Path(f"{name}.json").write_text(table.to_json(double_precision=15))
""".replace("TRIALS", str(TRIALS))


def begun(folder, name):
    """The settings of the trials that a worker has begun, in order."""
    path = folder / f"{name}.log"
    return path.read_text().splitlines() if path.exists() else []


def worker(folder, name, storage, hangs=-1):
    return forks.started(WORKER, name, storage, str(hangs), cwd=folder)


def wait_for(condition, what, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            pytest.fail(f"Waited {seconds} s for {what}.")
        time.sleep(0.05)


def finish(folder, name, process):
    forks.finished(process, 180)
    return json.loads((folder / f"{name}.json").read_text())


@pytest.fixture(scope="module", name="serial_scores")
def serial_scores_fixture(tmp_path_factory):
    folder = tmp_path_factory.mktemp("serial")
    with worker(folder, "alone", str(folder / "study.journal")) as process:
        return finish(folder, "alone", process)


def check_two_workers_one_killed(folder, storage, study_of, serial_scores):
    with worker(folder, "killed", storage, hangs=2) as killed:
        wait_for(lambda: len(begun(folder, "killed")) == 3, "its third trial")
        with worker(folder, "other", storage) as other:
            wait_for(lambda: begun(folder, "other"), "the other's first trial")
            os.kill(killed.pid, signal.SIGKILL)
            scores = finish(folder, "other", other)
    assert scores == serial_scores
    study = study_of(storage)
    complete = study.get_trials(states=(COMPLETE,))
    numbers = sorted(int(entry.user_attrs["trial_id"]) for entry in complete)
    assert numbers == list(range(TRIALS))
    assert not study.get_trials(states=(RUNNING,))
    # The trial that hung was begun twice, with the same settings; every other once.
    first, second = begun(folder, "killed"), begun(folder, "other")
    assert len(first) + len(second) == TRIALS + 1
    assert set(first) & set(second) == {first[2]}


def test_a_killed_workers_trial_is_run_again_from_a_journal_file(
    tmp_path, serial_scores
):
    def study_of(path):
        # By Optuna's own reader: the file has its format.
        backend = optuna.storages.journal.JournalFileBackend(path)
        storage = optuna.storages.JournalStorage(backend)
        return optuna.load_study(storage=storage, study_name="shared")

    storage = str(tmp_path / "study.journal")
    check_two_workers_one_killed(tmp_path, storage, study_of, serial_scores)


@pytest.fixture(name="postgresql_url")
def postgresql_url_fixture():
    reason = postgresql.reason_not_to_run()
    if reason is not None:
        pytest.skip(reason)
    with postgresql.server() as url:
        yield url


def test_a_killed_workers_trial_is_run_again_from_postgresql(
    tmp_path, serial_scores, postgresql_url
):
    def study_of(url):
        return optuna.load_study(storage=url, study_name="shared")

    check_two_workers_one_killed(tmp_path, postgresql_url, study_of, serial_scores)


def test_the_workers_of_one_search_are_pruned_and_score_as_one_process(tmp_path):
    """Trained models; the pruner lets those go on whose loss is below a limit."""
    found = []
    for workers in (1, 2):
        tuner = OptunaSearch(
            toys.build_eagerly,
            "val_loss",
            max_trials=6,
            sampler="qmc",
            pruner=optuna.pruners.ThresholdPruner(upper=0.7),
            seed=0,
            directory=tmp_path / str(workers),
        )
        with forks.as_workers():
            tuner.search(**toys.toy_data(), verbose=0, workers=workers)
        entries = sorted(
            tuner.study.trials, key=lambda entry: int(entry.user_attrs["trial_id"])
        )
        found.append([(e.state, e.value, e.intermediate_values) for e in entries])
    assert found[0] == found[1]
    assert {state for state, _, _ in found[0]} == {COMPLETE, PRUNED}


# Two processes' views of one study, in one process.


@pytest.fixture(name="views")
def views_fixture(tmp_path):
    def view(lease_seconds=60.0):
        storage = journal.journal_storage(tmp_path / "study.journal")
        study = optuna.create_study(
            storage=storage, study_name="shared", load_if_exists=True
        )
        return trials.StudyTrials(study, storage, lease_seconds)

    return view


def test_of_two_claims_of_one_attempt_the_first_wins(views):
    first, second = views(), views()
    assert first.claim("0", 0, {"x": 1}, {}, {}) is not None
    assert second.claim("0", 0, {"x": 2}, {}, {}) is None
    (attempt,) = first.attempts().values()
    assert attempt.settings == {"x": 1}
    assert [entry.state for entry in first.study.trials] == [RUNNING, FAIL]


def test_an_owner_that_gives_no_sign_of_life_loses_its_trial(views):
    """Its process lives, so that the lease decides, as between two machines."""
    silent, waiting = views(), views(lease_seconds=0.3)
    entry = silent.claim("0", 0, {"x": 1}, {}, {})
    (attempt,) = waiting.attempts().values()
    assert not waiting.is_stale(attempt)
    time.sleep(0.4)
    assert waiting.is_stale(attempt)
    repeated = waiting.repeat(attempt)
    (attempt,) = waiting.attempts().values()
    assert (attempt.attempt, attempt.settings) == (1, {"x": 1})
    assert attempt.owner == waiting.owner
    # It was only slow: it learns that its result does not count.
    with pytest.raises(errors.SupersededError):
        silent.finish(entry, "COMPLETE", 1.0, {"score": 1.0})
    waiting.finish(repeated, "COMPLETE", 2.0, {"score": 2.0})
    assert [entry.value for entry in waiting.study.trials] == [None, 2.0]


def test_signs_of_life_keep_a_trial(views):
    working, waiting = views(lease_seconds=0.4), views(lease_seconds=0.4)
    entry = working.claim("0", 0, {}, {}, {})
    end = time.monotonic() + 1.2
    while time.monotonic() < end:
        (attempt,) = waiting.attempts().values()
        assert not waiting.is_stale(attempt)
        time.sleep(0.05)
    working.finish(entry, "COMPLETE", 1.0, {})


def test_a_result_that_comes_while_the_trial_is_repeated_counts(views):
    slow, hasty = views(), views(lease_seconds=0.1)
    entry = slow.claim("0", 0, {}, {}, {})
    (attempt,) = hasty.attempts().values()
    hasty.is_stale(attempt)
    time.sleep(0.2)
    assert hasty.is_stale(attempt)
    slow.finish(entry, "COMPLETE", 1.0, {"score": 1.0})
    assert hasty.repeat(attempt) is None
    (attempt,) = hasty.attempts().values()
    assert (attempt.attempt, attempt.entry.value) == (0, 1.0)
    assert not hasty.study.get_trials(states=(RUNNING,))


# The journal file.


def test_a_journal_cut_off_at_any_byte_can_be_read_and_written(tmp_path):
    whole = tmp_path / "whole.journal"
    study = optuna.create_study(
        storage=journal.journal_storage(whole), study_name="cut"
    )
    for value in (1.0, 2.0):
        study.tell(study.ask(), value)
    content = whole.read_bytes()
    ends = [0, *(n + 1 for n, byte in enumerate(content) if byte == ord("\n"))]
    for size in range(ends[-4], len(content)):
        path = tmp_path / "cut.journal"
        path.write_bytes(content[:size])
        again = optuna.load_study(
            storage=journal.journal_storage(path), study_name="cut"
        )
        known = len(again.trials)
        again.set_user_attr("written", size)
        again.tell(again.ask(), 3.0)
        # Optuna's own reader finds no line that is half one and half another.
        backend = optuna.storages.journal.JournalFileBackend(str(path))
        read = optuna.load_study(
            storage=optuna.storages.JournalStorage(backend), study_name="cut"
        )
        assert read.user_attrs == {"written": size}
        assert len(read.trials) == known + 1
        assert read.trials[-1].value == 3.0


def test_a_damaged_line_is_named_and_skipped(tmp_path):
    path = tmp_path / "study.journal"
    storage = journal.journal_storage(path)
    study = optuna.create_study(storage=storage, study_name="damaged")
    study.set_user_attr("first", 1)
    offset = path.stat().st_size
    with open(path, "a") as file:
        file.write("@#!\n")
    with pytest.warns(UserWarning, match=rf"study\.journal, byte {offset}"):
        study.set_user_attr("second", 2)
    with pytest.warns(UserWarning, match="Skipped a damaged line"):
        again = optuna.load_study(
            storage=journal.journal_storage(path), study_name="damaged"
        )
    assert again.user_attrs == study.user_attrs == {"first": 1, "second": 2}


def test_a_full_disk_leaves_the_journal_as_it_was(tmp_path):
    """A limit on the file's size stands for the disk's."""
    forks.run_python(
        """
        import os, resource, signal
        import optuna
        from keras_tricks.tuners import errors
        from keras_tricks.tuners.optuna import journal
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        storage = journal.journal_storage("study.journal")
        study = optuna.create_study(storage=storage, study_name="full")
        study.set_user_attr("small", 1)
        size = os.path.getsize("study.journal")
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 50, size + 50))
        try:
            study.set_user_attr("large", "x" * 1000)
        except errors.StorageError as error:
            assert "study.journal" in str(error)
        else:
            raise AssertionError("It was written.")
        assert os.path.getsize("study.journal") == size
        """,
        cwd=tmp_path,
    )
    storage = journal.journal_storage(tmp_path / "study.journal")
    study = optuna.load_study(storage=storage, study_name="full")
    assert study.user_attrs == {"small": 1}
