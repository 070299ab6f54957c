"""What lies in a folder or in a file is no reason to delete, to write or to run it."""

import ctypes
import errno
import json
import os
import pathlib
import pickle
import shutil
import sqlite3
import subprocess
import sys
import warnings

import keras
import keras_tuner
import numpy as np
import pytest

from keras_tricks import tuners
from keras_tricks.tuners import errors
from keras_tricks.tuners.optuna import cmaes
from keras_tricks.tuners.optuna import journal
from keras_tricks.tuners.results import provenance
from keras_tricks.tuners.storage import files
from keras_tricks.tuners.storage import locks
from tests import child_process


class Scored(keras_tuner.HyperModel):
    """Its score is its only setting, and nothing is trained."""

    def build(self, hp):
        hp.Float("x", 0.0, 1.0)
        return keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])

    def fit(self, hp, model, *args, **kwargs):
        return hp.get("x")


def tuner_in(directory, tuner_class=tuners.RandomSearch, **arguments):
    arguments = {"max_trials": 3, "seed": 0, **arguments}
    return tuner_class(Scored(), directory=directory, project_name="p", **arguments)


def searched(directory, **arguments):
    tuner = tuner_in(directory, **arguments)
    tuner.search(verbose=0)
    return tuner


# Storage.


def a_database(path):
    with sqlite3.connect(path) as database:
        database.execute("create table studies (name text)")
    database.close()


@pytest.mark.parametrize("name", ["study.db", "study"])
def test_a_database_is_left_as_it_is_and_its_url_told(name, tmp_path):
    path = tmp_path / name
    a_database(path)
    before = path.read_bytes()
    with pytest.raises(ValueError, match=f"sqlite:///{path}"):
        tuner_in(tmp_path, tuners.OptunaSearch, storage=path)
    assert path.read_bytes() == before
    assert {p.name for p in tmp_path.iterdir()} - {"p"} == {name}


def test_a_name_of_a_database_that_is_not_there_gets_the_url_too(tmp_path):
    with pytest.raises(ValueError, match="sqlite:///"):
        tuner_in(tmp_path, tuners.OptunaSearch, storage=str(tmp_path / "new.sqlite3"))


@pytest.mark.parametrize(
    "content",
    [
        b"some notes of mine\n",
        b"notes without an end",
        b'{"a": 1}\n{"b": 2}\n',
        b"{\n",
        b"\0" * 100,
        b"[1, 2]\n",
    ],
)
def test_a_file_that_is_no_journal_is_left_as_it_is(content, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="holds something else"):
        tuner_in(tmp_path, tuners.OptunaSearch, storage=path)
    assert path.read_bytes() == content


def test_a_folder_is_no_storage(tmp_path):
    with pytest.raises(ValueError, match="is a folder"):
        tuner_in(tmp_path, tuners.OptunaSearch, storage=tmp_path)


@pytest.mark.parametrize("damage", [lambda text: b"", lambda text: b"{x\n" + text])
def test_an_empty_file_and_a_journal_that_is_damaged_at_its_start_are_taken(
    damage, tmp_path
):
    whole = tmp_path / "whole"
    journal.journal_storage(whole).create_new_study([1], "s")
    path = tmp_path / "damaged"
    path.write_bytes(damage(whole.read_bytes()))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        storage = journal.journal_storage(path)
        names = [study.study_name for study in storage.get_all_studies()]
    assert names == (["s"] if path.stat().st_size else [])


@pytest.mark.parametrize("length", [1, 5, 11, 20])
def test_a_journal_whose_first_writer_was_killed_is_taken(length, tmp_path):
    path = tmp_path / "journal"
    journal.journal_storage(path).create_new_study([1], "s")
    path.write_bytes(path.read_bytes()[:length])
    journal.journal_storage(path).create_new_study([1], "other")
    (study,) = journal.journal_storage(path).get_all_studies()
    assert study.study_name == "other"


# Links.


@pytest.mark.parametrize("name", ["search.lock", "study.journal"])
def test_a_link_in_the_place_of_a_file_is_not_followed(name, tmp_path):
    target = tmp_path / "target"
    target.write_text("of somebody else")
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / name).symlink_to(target)
    with pytest.raises((errors.StorageError, ValueError)) as caught:
        searched(tmp_path, tuner_class=tuners.OptunaSearch)
    assert str(target) in str(caught.value) or name in str(caught.value)
    assert target.read_text() == "of somebody else"


def test_the_message_names_the_link_and_its_target(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "target")
    with pytest.raises(errors.StorageError, match=r"link, to .*target\."):
        files.opened_to_append(tmp_path / "link")
    assert not (tmp_path / "target").exists()


# File systems.


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EINVAL])
def test_a_file_system_without_locks_is_named_as_such(number, tmp_path, monkeypatch):
    def refuse(*args):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(locks.fcntl, "flock", refuse)
    with pytest.raises(errors.StorageError, match="without file locks"):
        searched(tmp_path)


# Projects.


def test_a_trial_s_file_cannot_name_another_folder(tmp_path):
    searched(tmp_path, keep_checkpoints=1)
    other = tmp_path / "other" / "trial_0"
    shutil.copytree(tmp_path / "p" / "trial_0", other)
    (other / "checkpoint.weights.h5").write_text("weights")
    path = tmp_path / "p" / "trial_1" / "trial.json"
    state = {**files.read_json(path), "trial_id": "1/../../../other/trial_0"}
    files.write_json(path, state)
    with pytest.warns(UserWarning, match="another trial's"):
        tuner = searched(tmp_path, keep_checkpoints=1, max_trials=4)
    assert (other / "checkpoint.weights.h5").read_text() == "weights"
    assert sorted(tuner.leaderboard()["trial_id"]) == ["0", "1", "2", "3"]


def test_folders_that_are_no_trials_are_named_and_left(tmp_path):
    project = searched(tmp_path).project_dir
    for name in ("trial_60", "trial_x", "trial_\u00b2", "trial_1 (copy)"):
        (tmp_path / "p" / name).mkdir()
    shutil.copy(f"{project}/trial_1/trial.json", f"{project}/trial_1 (copy)")
    shutil.copytree(f"{project}/trial_1", f"{project}/trial_7")
    with pytest.warns(UserWarning, match="is no trial") as caught:
        tuner = searched(tmp_path, max_trials=5)
    told = " ".join(str(warning.message) for warning in caught)
    for name in ("trial_60", "trial_x", "trial_\u00b2", "trial_1 (copy)", "trial_7"):
        assert f"{name} is no trial of this search" in told
        assert (tmp_path / "p" / name).exists()
    with pytest.warns(UserWarning, match=r"trial_7.*is another trial's"):
        table = tuner.leaderboard()
    assert sorted(table["trial_id"]) == ["0", "1", "2", "3", "4"]


def test_overwriting_deletes_searches_alone(tmp_path):
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "code.py").write_text("x = 1")
    with pytest.raises(ValueError, match=r"no search's: code\.py"):
        tuner_in(tmp_path, overwrite=True)
    assert (tmp_path / "p" / "code.py").read_text() == "x = 1"
    (tmp_path / "p" / "code.py").unlink()
    tuner_in(tmp_path, overwrite=True).search(verbose=0)
    assert len(searched(tmp_path, overwrite=True, seed=1).leaderboard()) == 3


def test_overwriting_leaves_what_no_search_wrote(tmp_path):
    searched(tmp_path)
    (tmp_path / "p" / "thesis.tex").write_text("text")
    (tmp_path / "p" / "plots").mkdir()
    tuner_in(tmp_path, overwrite=True)
    left = {path.name for path in (tmp_path / "p").iterdir()}
    assert left == {"thesis.tex", "plots", "search.lock"}


@pytest.mark.parametrize("directory", ["gs://bucket/a", "ram://a", "s3://bucket"])
def test_a_url_is_no_directory(directory, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for given in (directory, pathlib.Path(directory)):
        with pytest.raises(ValueError, match="`directory` must be a folder"):
            tuner_in(given)
        with pytest.raises(ValueError, match="`directory` must be a folder"):
            tuners.CoarseToFine(Scored(), directory=given)
    assert list(tmp_path.iterdir()) == []


def as_other_users():
    """Takes from root, in a child, the right to write wherever it likes."""
    drop_from_bounding_set, of_write, of_read = 24, 1, 2
    for capability in (of_write, of_read):
        ctypes.CDLL(None).prctl(drop_from_bounding_set, capability)


@pytest.mark.skipif(sys.platform != "linux", reason="root is restrained as on Linux")
def test_a_project_that_cannot_be_written_can_be_read(tmp_path):
    """Its leaderboard and models are there; a search says what is the matter."""
    scores = {}
    for tuner_class in (tuners.RandomSearch, tuners.OptunaSearch):
        name = tuner_class.__name__
        tuner = tuner_class(
            Scored(), max_trials=2, seed=0, directory=tmp_path, project_name=name
        )
        tuner.search(verbose=0)
        scores[name] = tuner.leaderboard()["default_objective"].tolist()
    (tmp_path / "child.py").write_text(READ_ONLY)
    for path in [tmp_path, *tmp_path.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        done = subprocess.run(
            [sys.executable, "-B", "child.py"],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(child_process.ROOT)},
            capture_output=True,
            encoding="utf-8",
            preexec_fn=as_other_users,
        )
    finally:
        for path in [tmp_path, *tmp_path.rglob("*")]:
            path.chmod(0o755)
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(done.stdout.split("\n")[-2]) == scores


READ_ONLY = """
import json, warnings
import keras, keras_tuner
from keras_tricks import tuners
from keras_tricks.tuners import errors
from tests.tuners.test_trust import Scored

warnings.simplefilter("error", UserWarning)
scores = {}
for tuner_class in (tuners.RandomSearch, tuners.OptunaSearch):
    tuner = tuner_class(
        Scored(), max_trials=3, seed=0, directory=".",
        project_name=tuner_class.__name__)
    scores[tuner_class.__name__] = tuner.leaderboard()["default_objective"].tolist()
    assert tuner.get_best_hyperparameters()
    try:
        tuner.search(verbose=0)
    except errors.StorageError as error:
        assert "Permission denied" in str(error), error
    else:
        raise AssertionError("it could be written")
print(json.dumps(scores))
"""


def test_a_search_of_kerastuner_is_overwritten(tmp_path):
    theirs = keras_tuner.RandomSearch(
        Scored(), max_trials=2, directory=tmp_path, project_name="p"
    )
    theirs.search(verbose=0)
    assert len(searched(tmp_path, overwrite=True).leaderboard()) == 3


# Programs.


def test_what_a_repository_s_settings_name_is_not_run(tmp_path, monkeypatch):
    def git(*arguments):
        subprocess.run(["git", *arguments], check=True, cwd=tmp_path)

    git("init", "-q")
    (tmp_path / "file").write_text("")
    git("add", "file")
    git("-c", "user.name=a", "-c", "user.email=a", "commit", "-qm", "a")
    monitor = tmp_path / "monitor"
    monitor.write_text(f"#!/bin/sh\ntouch {tmp_path}/was_run\n")
    monitor.chmod(0o755)
    git("config", "core.fsmonitor", str(monitor))
    git("status", "--short")
    assert (tmp_path / "was_run").exists()  # Or nothing would be shown.
    (tmp_path / "was_run").unlink()
    monkeypatch.chdir(tmp_path)
    assert len(provenance.git_commit()) == 40
    assert not (tmp_path / "was_run").exists()


# Numbers.

COUNTS = [
    *("max_trials", "max_consecutive_failed_trials", "executions_per_trial"),
    *("max_retries_per_trial", "num_initial_points", "hyperband_iterations"),
]


@pytest.mark.parametrize("wrong", [-1, 0.5, float("nan"), "", [], True], ids=repr)
@pytest.mark.parametrize("name", COUNTS)
def test_counts_are_whole_numbers(name, wrong, tmp_path):
    kind = {
        "num_initial_points": tuners.BayesianOptimization,
        "hyperband_iterations": tuners.Hyperband,
    }.get(name, tuners.RandomSearch)
    with pytest.raises((ValueError, TypeError), match=f"`{name}` must be a whole"):
        tuner_in(tmp_path, kind, **{name: wrong})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", sorted({*COUNTS} - {"max_retries_per_trial"}))
def test_a_count_of_nothing_is_refused(name, tmp_path):
    test_counts_are_whole_numbers(name, 0, tmp_path)


def test_counts_may_be_numpy_s(tmp_path):
    assert len(searched(tmp_path, max_trials=np.int64(2)).leaderboard()) == 2


@pytest.mark.parametrize("wrong", [0, -1.0, float("nan"), "1", None, True], ids=repr)
def test_a_lease_lasts(wrong, tmp_path):
    with pytest.raises((ValueError, TypeError), match="lease_seconds"):
        tuner_in(tmp_path, tuners.OptunaSearch, lease_seconds=wrong)


# Pickles.


class Bomb:
    """Whoever unpickles it makes a folder."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("kind", ["journal", "database"])
def test_a_pickle_in_a_study_is_not_run(kind, tmp_path):
    """Each way in which Optuna's CMA-ES keeps its state, under each of its names."""
    optuna = pytest.importorskip("optuna", reason="Optuna is not installed")
    pytest.importorskip("cmaes", reason="cmaes is not installed")
    storage = tmp_path / "journal"
    if kind == "database":
        storage = f"sqlite:///{tmp_path}/studies.db"
    arguments = {"storage": storage, "study_name": "s", "sampler": "cmaes"}
    tuner = tuner_in(tmp_path, tuners.OptunaSearch, max_trials=6, **arguments)
    tuner.search(verbose=0)
    pickled = pickle.dumps(Bomb(tmp_path / "was_run")).hex()
    names = [
        f"{prefix}:{middle}optimizer:0"
        for prefix in ("cma", "sepcma", "cmawm")
        for middle in ("", "restart_1:", "0:")
    ]
    for entry in tuner.study.trials:
        bomb = optuna.trial.create_trial(
            value=0.5,
            params=entry.params,
            distributions=entry.distributions,
            user_attrs={**entry.user_attrs, "trial_id": str(6 + entry.number)},
            system_attrs={**entry.system_attrs, **dict.fromkeys(names, pickled)},
        )
        tuner.study.add_trial(bomb)
    own = optuna.samplers.CmaEsSampler(seed=0, n_startup_trials=1)
    for sampler in ("cmaes", own):
        trials = len(tuner.study.trials) + 2
        tuner_in(
            tmp_path,
            tuners.OptunaSearch,
            max_trials=trials,
            **{**arguments, "sampler": sampler},
        ).search(verbose=0)
    assert not (tmp_path / "was_run").exists()


@pytest.mark.parametrize(
    "options", [{}, {"use_separable_cma": True}, {"with_margin": True}]
)
def test_cma_es_goes_on_from_numbers_as_from_its_pickle(options, tmp_path):
    """The suggestions are those of Optuna, which pickles its state."""
    optuna = pytest.importorskip("optuna", reason="Optuna is not installed")
    pytest.importorskip("cmaes", reason="cmaes is not installed")
    space = {
        "x": optuna.distributions.FloatDistribution(-1.0, 1.0),
        "y": optuna.distributions.FloatDistribution(-1.0, 1.0),
        "n": optuna.distributions.IntDistribution(1, 20),
    }

    def suggested(read, kept):
        study = optuna.create_study()
        for number in range(40):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                sampler = optuna.samplers.CmaEsSampler(
                    seed=number, warn_independent_sampling=False, **options
                )
            scratch = optuna.create_study(sampler=sampler)
            scratch.add_trials(read(study.trials))
            params = scratch.ask(space).params
            study.add_trial(
                optuna.trial.create_trial(
                    value=(params["x"] - 0.3) ** 2 + params["y"] ** 2 + params["n"],
                    params=params,
                    distributions=space,
                    system_attrs=kept(scratch.trials[-1].system_attrs),
                )
            )
        return study

    def numbers(attributes):
        return json.loads(json.dumps(cmaes.without_pickles(attributes)))

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    ours, theirs = suggested(cmaes.restored, numbers), suggested(list, dict)
    assert [t.params for t in ours.trials] == [t.params for t in theirs.trials]
    names = {name for t in ours.trials for name in t.system_attrs}
    assert any(name.startswith("numbers:") for name in names)
    assert not any("optimizer" in name for name in names if "numbers" not in name)
