"""Journals whose lines are lost, doubled, moved, cut or changed."""

import json
import multiprocessing
import os
import random
import re
import threading
import time
import warnings
from pathlib import Path

import keras
import keras_tuner
import pytest

from keras_tricks import tuners
from keras_tricks.tuners import errors
from keras_tricks.tuners.optuna import journal
from keras_tricks.tuners.storage import files
from keras_tricks.tuners.storage import locks
from keras_tricks.tuners.storage import project_lock

optuna = pytest.importorskip("optuna", reason="Optuna is not installed")

STATES = optuna.trial.TrialState
UNIT = optuna.distributions.FloatDistribution(0.0, 1.0)


def written(path, number=5):
    """Writes a study of trials whose values are their numbers."""
    study = optuna.create_study(storage=journal.journal_storage(path), study_name="s")
    study.set_user_attr("who", "me")
    for n in range(number):
        trial = study.ask({"x": UNIT})
        trial.set_user_attr("n", n)
        study.tell(trial, float(n))
    return path.read_bytes().splitlines(keepends=True)


def read(path):
    """Returns number, state, value and attribute of each trial, and the warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        storage = journal.journal_storage(path)
        study = optuna.load_study(storage=storage, study_name="s")
        trials = [(t.state, t.value, t.user_attrs.get("n")) for t in study.trials]
    return trials, [str(warning.message) for warning in caught]


@pytest.fixture(autouse=True)
def quiet():
    optuna.logging.set_verbosity(optuna.logging.ERROR)


def is_creation(line):
    return json.loads(line)["op_code"] == 4


def test_a_journal_is_one_of_optuna_s(tmp_path):
    """Optuna's own backend reads the same from it, which a dashboard does."""
    path = tmp_path / "journal"
    written(path)
    backend = optuna.storages.journal.JournalFileBackend(str(path))
    storage = optuna.storages.JournalStorage(backend)
    theirs = optuna.load_study(storage=storage, study_name="s")
    trials, told = read(path)
    assert [(t.state, t.value, t.user_attrs.get("n")) for t in theirs.trials] == trials
    assert told == []
    # And it goes on writing there, at once: half a minute is its patience with a lock.
    begun = time.monotonic()
    theirs.tell(theirs.ask(), 7.0)
    assert time.monotonic() - begun < 15
    written_after, _ = read(path)
    assert written_after[5] == (STATES.COMPLETE, 7.0, None)
    assert os.listdir(tmp_path) == ["journal"]


@pytest.mark.parametrize("kind", ["JournalFileSymlinkLock", "JournalFileOpenLock"])
def test_a_writer_waits_for_one_with_optuna_s_backend(kind, tmp_path):
    path = tmp_path / "journal"
    written(path, 1)
    lock = getattr(optuna.storages.journal, kind)(str(path))
    lock.acquire()
    thread = threading.Thread(target=written_again, args=[path])
    before = path.read_bytes()
    thread.start()
    thread.join(1.0)
    assert thread.is_alive()
    assert path.read_bytes() == before
    lock.release()
    thread.join(60.0)
    assert not thread.is_alive()
    assert len(read(path)[0]) == 2


def written_again(path):
    study = optuna.load_study(storage=journal.journal_storage(path), study_name="s")
    study.tell(study.ask(), 1.0)


def test_nobody_of_ours_waits_for_a_writer_that_was_killed(tmp_path):
    path = tmp_path / "journal"
    written(path, 1)
    with journal._locked(path):
        left = Path(f"{path}.lock").read_bytes()
    Path(f"{path}.lock").write_bytes(left)
    begun = time.monotonic()
    written_again(path)
    assert time.monotonic() - begun < 15
    assert len(read(path)[0]) == 2


@pytest.mark.parametrize("seed", range(20))
def test_a_lost_line_costs_its_own_trial_only(seed, tmp_path):
    path = tmp_path / "journal"
    lines = written(path)
    lost = random.Random(seed).randrange(len(lines))
    path.write_bytes(b"".join(lines[:lost] + lines[lost + 1 :]))
    trials, told = read(path)
    told_of = json.loads(lines[lost])
    number = told_of.get("trial_id", told_of.get("trial"))
    for n, trial in enumerate(trials):
        assert n == number or trial == (STATES.COMPLETE, float(n), n)
    is_last = number == 4 and is_creation(lines[lost])
    assert len(trials) == (4 if is_last else 5)
    # Nobody can miss the last line of a file.
    if lost < len(lines) - 1:
        (message,) = told
        assert "1 lines are missing" in message
        assert str(path) in message


def test_lines_that_are_lost_together_cost_their_trials(tmp_path):
    path = tmp_path / "journal"
    lines = written(path)
    creations = [n for n, line in enumerate(lines) if is_creation(line)]
    # From the second trial's first line to the fourth's.
    path.write_bytes(b"".join(lines[: creations[1]] + lines[creations[3] :]))
    trials, (message,) = read(path)
    assert [value for _, value, _ in trials] == [0.0, None, None, 3.0, 4.0]
    assert f"{creations[3] - creations[1]} lines are missing" in message


@pytest.mark.parametrize("seed", range(20))
def test_a_line_that_stands_there_twice_counts_once(seed, tmp_path):
    path = tmp_path / "journal"
    lines = written(path)
    whole, _ = read(path)
    rng = random.Random(seed)
    line = rng.randrange(len(lines))
    place = rng.randrange(line + 1, len(lines) + 1)
    path.write_bytes(b"".join([*lines[:place], lines[line], *lines[place:]]))
    trials, (message,) = read(path)
    assert trials == whole
    assert "twice" in message


def test_a_journal_that_was_copied_behind_itself_counts_once(tmp_path):
    path = tmp_path / "journal"
    lines = written(path)
    whole, _ = read(path)
    path.write_bytes(b"".join(lines + lines))
    assert read(path)[0] == whole


@pytest.mark.parametrize("seed", range(30))
def test_a_changed_line_is_skipped(seed, tmp_path):
    path = tmp_path / "journal"
    lines = written(path)
    rng = random.Random(seed)
    number = rng.randrange(len(lines))
    line = bytearray(lines[number])
    line[rng.randrange(len(line) - 1)] ^= 1 << rng.randrange(7)
    path.write_bytes(b"".join([*lines[:number], bytes(line), *lines[number + 1 :]]))
    told_of = json.loads(lines[number])
    lost = told_of.get("trial_id", told_of.get("trial"))
    trials, told = read(path)
    assert any("damaged line" in message for message in told)
    for n, trial in enumerate(trials):
        assert n == lost or trial == (STATES.COMPLETE, float(n), n)


def test_a_journal_goes_on_behind_what_is_lost(tmp_path):
    path = tmp_path / "journal"
    lines = written(path)
    creations = [n for n, line in enumerate(lines) if is_creation(line)]
    path.write_bytes(b"".join(lines[: creations[2]] + lines[creations[2] + 1 :]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        storage = journal.journal_storage(path)
        study = optuna.load_study(storage=storage, study_name="s")
        study.tell(study.ask(), 9.0)
    trials, _ = read(path)
    assert [value for _, value, _ in trials] == [0.0, 1.0, None, 3.0, 4.0, 9.0]


def test_the_first_line_may_be_lost(tmp_path):
    path = tmp_path / "journal"
    lines = written(path)
    path.write_bytes(b"".join(lines[1:]))
    trials, _ = read(path)
    assert [value for _, value, _ in trials] == [0.0, 1.0, 2.0, 3.0, 4.0]


def test_a_journal_of_optuna_s_own_is_taken_and_continued(tmp_path):
    path = tmp_path / "journal"
    backend = optuna.storages.journal.JournalFileBackend(str(path))
    storage = optuna.storages.JournalStorage(backend)
    theirs = optuna.create_study(storage=storage, study_name="s")
    theirs.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=3)
    ours = optuna.load_study(storage=journal.journal_storage(path), study_name="s")
    ours.tell(ours.ask(), 9.0)
    assert [t.value for t in ours.trials] == [t.value for t in theirs.trials]
    lines = path.read_bytes().splitlines(keepends=True)
    # Their lines have no marks: one of another shape is skipped nevertheless.
    entry = json.loads(next(line for line in lines if is_creation(line)))
    of_range = optuna.distributions.distribution_to_json(UNIT)
    for change in (
        {"study_id": "x"},
        {"datetime_start": "yesterday"},
        {"params": {"x": 1.0}, "distributions": {"x": "{}"}},
        {"params": {"x": -1.0}, "distributions": {"x": of_range}},
        {"op_code": 99},
        {"op_code": -1},
        {"state": 17},
    ):
        odd = json.dumps({**entry, **change}).encode() + b"\n"
        path.write_bytes(b"".join([*lines, odd]))
        trials, (message,) = read(path)
        assert "damaged line" in message
        assert len(trials) == 4


# Searches.


class Scored(keras_tuner.HyperModel):
    def build(self, hp):
        hp.Float("x", 0.0, 1.0)
        return keras.Sequential()

    def fit(self, hp, model, *args, **kwargs):
        return hp.get("x")


def search(folder, trials=5):
    tuner = tuners.OptunaSearch(
        Scored(), max_trials=trials, seed=0, directory=folder, project_name="p"
    )
    tuner.search(verbose=0)
    return tuner.leaderboard()


@pytest.mark.parametrize("seed", range(6))
def test_a_search_ends_whatever_line_is_lost(seed, tmp_path):
    search(tmp_path)
    path = tmp_path / "p" / "study.journal"
    lines = path.read_bytes().splitlines(keepends=True)
    rng = random.Random(seed)
    kept = [line for line in lines if rng.random() > 0.2]
    path.write_bytes(b"".join(kept))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        table = search(tmp_path, trials=7)
    assert sorted(table["trial_id"]) == [str(n) for n in range(7)]
    assert (table["default_objective"] == table["x"]).all()
    assert (table["status"] == "COMPLETED").all()


def test_a_trial_whose_creation_is_lost_is_run_again(tmp_path):
    whole = search(tmp_path)
    path = tmp_path / "p" / "study.journal"
    lines = path.read_bytes().splitlines(keepends=True)
    creations = [n for n, line in enumerate(lines) if is_creation(line)]
    del lines[creations[1]]
    path.write_bytes(b"".join(lines))
    with pytest.warns(UserWarning, match="1 lines are missing"):
        table = search(tmp_path)
    # Of five trials, four are those of before.
    assert len(set(table["x"]) & set(whole["x"])) >= 4
    assert sorted(table["trial_id"]) == [str(n) for n in range(5)]


def test_a_search_goes_on_from_another_tuner_s_study(tmp_path):
    tuner = tuners.RandomSearch(
        Scored(), max_trials=4, seed=0, directory=tmp_path, project_name="r"
    )
    tuner.search(verbose=0)
    url = f"sqlite:///{tmp_path}/studies.db"
    tuners.to_optuna_study(tuner, url, "study")
    on = tuners.OptunaSearch(
        Scored(),
        max_trials=6,
        storage=url,
        study_name="study",
        directory=tmp_path,
        project_name="o",
    )
    on.search(verbose=0)
    table = on.leaderboard()
    assert sorted(table["trial_id"]) == [str(n) for n in range(6)]
    before = tuner.leaderboard().set_index("trial_id")["x"]
    after = table.set_index("trial_id")["x"]
    assert after[before.index].tolist() == before.tolist()
    assert (table["default_objective"] == table["x"]).all()


def test_an_entry_of_somebody_else_is_no_trial(tmp_path):
    url = f"sqlite:///{tmp_path}/studies.db"
    study = optuna.create_study(storage=url, study_name="study")
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=2)
    for odd in ({"trial_id": 3}, {"trial_id": "x", "attempt": 0}, {"attempt": -1}):
        study.add_trial(optuna.trial.create_trial(value=1.0, user_attrs=odd))
    on = tuners.OptunaSearch(
        Scored(), max_trials=2, storage=url, study_name="study", directory=tmp_path
    )
    on.search(verbose=0)
    assert sorted(on.leaderboard()["trial_id"]) == ["0", "1"]


# Locks.


@pytest.mark.parametrize("system", ["POSIX", "Windows"])
def test_a_lock_survives_whoever_reads_its_file(system, tmp_path, monkeypatch):
    if system == "Windows":
        pytest.importorskip("filelock", reason="filelock is not installed")
        monkeypatch.setattr(locks, "fcntl", None)
    path = tmp_path / "lock"
    with locks.FileLock(path) as file:
        file.write(b"holder")
        assert path.read_bytes() == b"holder"
        with pytest.raises(locks.IsLockedError), locks.FileLock(path):
            pass
        with pytest.raises(locks.IsLockedError), locks.FileLock(path):
            pass
    with locks.FileLock(path):
        pass


def test_on_windows_a_second_search_in_a_folder_is_told(tmp_path, monkeypatch):
    pytest.importorskip("filelock", reason="filelock is not installed")
    monkeypatch.setattr(locks, "fcntl", None)
    folder = tmp_path / "p"
    with project_lock.ProjectLock(folder):
        with pytest.raises(errors.ProjectInUseError, match="this process is searching"):
            project_lock.clear_project(folder)
    (folder / "oracle.json").write_text("{}")
    project_lock.clear_project(folder)
    assert not (folder / "oracle.json").exists()


@pytest.mark.skipif(
    "fork" not in multiprocessing.get_all_start_methods(), reason="there is no fork"
)
def test_a_forked_child_does_not_hold_the_lock(tmp_path):
    context = multiprocessing.get_context("fork")
    may_end = context.Event()
    with locks.FileLock(tmp_path / "lock"), warnings.catch_warnings():
        # Python warns of forks beside threads, of which TensorFlow has many.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = context.Process(target=may_end.wait, args=(60,))
        child.start()
    try:
        with locks.FileLock(tmp_path / "lock"):
            assert child.is_alive()
    finally:
        may_end.set()
        child.join()


def test_one_thread_writes_at_a_time(tmp_path):
    path = tmp_path / "journal"
    study = optuna.create_study(storage=journal.journal_storage(path), study_name="s")

    def add():
        own = optuna.load_study(storage=journal.journal_storage(path), study_name="s")
        for _ in range(10):
            own.tell(own.ask(), 1.0)

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    numbers = [json.loads(line)["line"] for line in path.read_bytes().splitlines()]
    assert numbers == list(range(len(numbers)))
    assert len(study.trials) == 40


def test_a_checksum_tells_every_change():
    content = {"score": 0.1, "list": [1, None, "x"], "nan": float("nan")}
    marked = json.loads(json.dumps(files.with_checksum(content)))
    assert re.fullmatch("[0-9a-f]{16}", marked["checksum"])
    assert files.parsed(marked, dict)["score"] == 0.1
    for changed in ({"score": 0.2}, {"list": [1, None]}, {"more": 1}):
        with pytest.raises(ValueError, match="changed since"):
            files.parsed({**marked, **changed}, dict)


def test_a_file_of_gigabytes_without_a_line_is_refused_unread(tmp_path):
    path = tmp_path / "journal"
    path.touch()
    os.truncate(path, 2**35)
    with pytest.raises(ValueError, match="holds something else"):
        journal.journal_storage(path)


def test_a_line_that_grows_without_an_end_is_told(tmp_path):
    path = tmp_path / "journal"
    written(path, 1)
    study = optuna.load_study(storage=journal.journal_storage(path), study_name="s")
    os.truncate(path, 2**35)
    with pytest.raises(errors.StorageError, match="has got a line of 64 MiB or more"):
        assert study.trials
