"""What is on disk is whole, and what is damaged costs as little as it can."""

import contextlib
import json
import shutil
import signal
import warnings
from pathlib import Path

import h5py
import keras
import keras_tuner
import pytest

from keras_tricks.tuners import RandomSearch
from keras_tricks.tuners import errors
from keras_tricks.tuners.storage import files
from keras_tricks.tuners.storage import identity
from keras_tricks.tuners.storage import project_lock
from tests import sampling
from tests.tuners import forks
from tests.tuners import toys

TRIALS = 4
SCORES = [3.0, 1.0, 2.0, 4.0]


def tuner_in(directory, outcomes=SCORES.__getitem__, **arguments):
    arguments = {"max_trials": TRIALS, "seed": 5, **arguments}
    return RandomSearch(toys.Scored(outcomes), directory=directory, **arguments)


@pytest.fixture(scope="module", name="finished")
def finished_fixture(tmp_path_factory):
    """A finished search that is sampled, not changed."""
    tuner = tuner_in(tmp_path_factory.mktemp("finished"))
    tuner.search(verbose=0)
    tuner.note("1", why="a first look")
    return tuner


@pytest.fixture(name="copy")
def copy_fixture(finished, tmp_path):
    """The folder of a copy of that search."""
    shutil.copytree(finished.project_dir, tmp_path / "untitled_project")
    return tmp_path / "untitled_project"


def settings(oracle):
    return {t.trial_id: t.hyperparameters.values for t in oracle.trials.values()}


def interrupted(number):
    """The fit of that number is interrupted, as by Ctrl-C."""

    def outcome(n):
        return KeyboardInterrupt() if n == number else SCORES[n]

    return outcome


@pytest.mark.parametrize(
    "name",
    sampling.only(
        ["oracle.json", "trial_1/record.json"],
        ["oracle.json", "trial_1/trial.json", "trial_1/record.json", "search.json"],
    ),
)
def test_a_file_cut_off_at_any_byte_costs_no_result(finished, copy, name):
    """Another file holds what is missing, and a warning names the damaged one."""
    path = copy / name
    whole = path.read_bytes()
    tuner = tuner_in(copy.parent)

    def read():
        # Not a whole tuner each time: its models take a while to be built.
        known = identity.Identity.read(copy)
        tuner.oracle.reload()
        return known, tuner._ended_records()

    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            known, records = read()
        assert [str(path) in str(warning.message) for warning in caught] == [True]
        assert [record.score for record in records] == SCORES
        assert [record.status for record in records] == ["COMPLETED"] * TRIALS
        assert settings(tuner.oracle) == settings(finished.oracle)
        assert (known is None) == (name == "search.json")
    assert tuner.oracle.create_trial("tuner0").status == "STOPPED"


def test_the_tuners_own_file_cut_off_at_any_byte_costs_no_result(copy):
    path = copy / "tuner0.json"
    path.write_text("{")
    with pytest.warns(UserWarning, match=r"tuner0\.json is damaged"):
        tuner = tuner_in(copy.parent)
    assert [record.score for record in tuner._ended_records()] == SCORES


@pytest.mark.parametrize("name", ["tuner0.json", "oracle.json", "search.json"])
def test_a_missing_file_does_not_begin_the_search_anew(copy, name):
    (copy / name).unlink()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tuner = tuner_in(copy.parent, outcomes=None)
    tuner.search(verbose=0)
    assert tuner.hypermodel.fits == 0
    assert [record.score for record in tuner._ended_records()] == SCORES


def test_without_both_its_files_a_trial_is_run_again_with_its_settings(finished, copy):
    (copy / "trial_1" / "record.json").write_text("{")
    (copy / "trial_1" / "trial.json").write_text("")
    with pytest.warns(UserWarning, match="trial 1 is run again"):
        tuner = tuner_in(copy.parent, outcomes=lambda n: 1.0)
    with pytest.warns(UserWarning, match=r"Skipped a damaged record.*record\.json"):
        tuner.search(verbose=0)
    assert tuner.hypermodel.fits == 1
    assert settings(tuner.oracle) == settings(finished.oracle)
    assert [record.score for record in tuner._ended_records()] == SCORES


def test_a_deleted_trial_folder_is_filled_again(finished, copy):
    """KerasTuner would number the next trial like the last one, and overwrite it."""
    shutil.rmtree(copy / "trial_1")
    (copy / "oracle.json").unlink()
    with pytest.warns(UserWarning, match=r"oracle\.json is missing"):
        tuner = tuner_in(copy.parent, outcomes=lambda n: 1.0)
    tuner.search(verbose=0)
    assert tuner.hypermodel.fits == 1
    assert settings(tuner.oracle) == settings(finished.oracle)


def test_killed_between_two_files_a_finished_trial_is_not_run_again(copy):
    """KerasTuner saves the trial, then the oracle, where the trial is still running."""
    state = files.read_json(copy / "oracle.json")
    state["ongoing_trials"] = {"tuner0": "3"}
    state["end_order"].remove("3")
    files.write_json(copy / "oracle.json", state)
    tuner = tuner_in(copy.parent)
    tuner.search(verbose=0)
    assert tuner.hypermodel.fits == 0


def test_killed_between_two_files_a_trial_that_has_begun_is_run(finished, tmp_path):
    """It stands in its own file, and the oracle does not know it yet."""
    with pytest.raises(KeyboardInterrupt):
        tuner_in(tmp_path, interrupted(2)).search(verbose=0)
    path = tmp_path / "untitled_project" / "oracle.json"
    state = files.read_json(path)
    assert state["ongoing_trials"] == {"tuner0": "2"}
    state["ongoing_trials"] = {}
    state["start_order"].remove("2")
    files.write_json(path, state)
    tuner = tuner_in(tmp_path, lambda n: SCORES[2 + n])
    tuner.search(verbose=0)
    assert settings(tuner.oracle) == settings(finished.oracle)
    assert [record.score for record in tuner._ended_records()] == SCORES


@pytest.mark.parametrize(
    ("arguments", "difference"),
    [
        ({"seed": 6}, "seed: saved 5, now 6"),
        (
            {"objective": "val_loss"},
            r"objective: saved 'default_objective' \(min\), now 'val_loss' \(min\)",
        ),
    ],
)
def test_another_search_is_refused_with_the_difference(copy, arguments, difference):
    with pytest.raises(ValueError, match=difference) as caught:
        tuner_in(copy.parent, **arguments)
    assert "overwrite=True" in str(caught.value)
    assert "project_name" in str(caught.value)


def test_another_space_is_refused_with_the_difference(tmp_path):
    def space(largest, names):
        class Scored(toys.Scored):
            def build(self, hp):
                for name in names:
                    hp.Int(name, 1, largest)
                return keras.Sequential()

        return Scored(float)

    arguments = {"max_trials": 2, "seed": 0, "directory": tmp_path}
    RandomSearch(space(10, "ab"), **arguments).search(verbose=0)
    with pytest.raises(ValueError, match="'a': max_value saved 10, now 20"):
        RandomSearch(space(20, "ab"), **arguments)
    with pytest.raises(ValueError, match="hyperparameter 'b': saved, now gone"):
        RandomSearch(space(10, "a"), **arguments)
    table = RandomSearch(space(10, "ab"), **arguments).leaderboard()
    assert len(table) == 2


def test_what_only_fit_asks_for_is_no_other_space(tmp_path):
    class InFit(toys.Scored):
        def fit(self, hp, model, *args, **kwargs):
            return float(hp.Int("batch_size", 1, 8))

    for trials in (2, 4):
        arguments = {"max_trials": trials, "seed": 0, "directory": tmp_path}
        tuner = RandomSearch(InFit(float), **arguments)
        tuner.search(verbose=0)
    assert len(tuner.leaderboard()["batch_size"]) == 4


def test_a_search_without_a_result_may_be_begun_otherwise(tmp_path):
    """Somebody who mends the seed or the space of a search that never ran."""
    with pytest.raises(KeyboardInterrupt):
        tuner_in(tmp_path, interrupted(0)).search(verbose=0)
    tuner = tuner_in(tmp_path, seed=6)
    tuner.search(verbose=0)
    other = tuner_in(tmp_path / "other", seed=6)
    other.search(verbose=0)
    assert settings(tuner.oracle) == settings(other.oracle)


def test_a_seed_that_is_not_given_is_that_of_the_project(copy):
    assert tuner_in(copy.parent, seed=None).oracle.seed == 5


def test_two_searches_in_one_folder_are_refused(tmp_path):
    def search_within(_):
        with pytest.raises(errors.ProjectInUseError, match="searched by two at a time"):
            tuner_in(tmp_path).search(verbose=0)
        return 1.0

    tuner_in(tmp_path, search_within, max_trials=1).search(verbose=0)


def test_another_process_cannot_overwrite_a_live_search(tmp_path):
    script = """
        from keras_tricks.tuners.storage import project_lock
        from keras_tricks.tuners import errors
        try:
            project_lock.clear_project("untitled_project")
        except errors.ProjectInUseError as error:
            print(error)
        """

    def overwrite(_):
        print(forks.run_python(script, cwd=tmp_path))
        return 1.0

    tuner = tuner_in(tmp_path, overwrite, max_trials=1)
    tuner.search(verbose=0)
    assert len(tuner.leaderboard()) == 1
    tuner_in(tmp_path, overwrite=True)
    assert not list(tmp_path.glob("untitled_project/trial_*"))


def test_overwriting_needs_the_folder_for_itself(tmp_path, finished):
    tuner = tuner_in(tmp_path)
    with (
        project_lock.ProjectLock(tuner.project_dir),
        pytest.raises(errors.ProjectInUseError),
    ):
        tuner_in(tmp_path, overwrite=True)


def test_a_disk_that_fills_up_ends_the_search_and_harms_nothing(tmp_path):
    """No file may grow past 1 KiB from the third trial on: a quota, in effect."""
    printed = forks.run_python(
        """
        import resource
        from keras_tricks.tuners import RandomSearch, errors
        from tests.tuners import toys

        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]

        def outcome(n):
            if n == 2:
                resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
            return float(n)

        tuner = RandomSearch(
            toys.Scored(outcome), max_trials=4, seed=5, directory=".")
        try:
            tuner.search(verbose=0)
        except errors.StorageError as error:
            resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
            print(isinstance(error, OSError), error)
        """,
        cwd=tmp_path,
    )
    assert "True" in printed
    assert "File too large" in printed
    assert "What was saved before is intact" in printed
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        tuner = tuner_in(tmp_path, lambda n: 2.0 + n)
    assert [record.score for record in tuner._ended_records()] == [0.0, 1.0]
    tuner.search(verbose=0)
    assert [record.score for record in tuner._ended_records()] == [0.0, 1.0, 2.0, 3.0]
    assert not list(tmp_path.glob("untitled_project/**/.*.tmp"))


def test_a_lock_that_does_not_fit_on_the_disk_is_let_go(tmp_path):
    printed = forks.run_python(
        """
        import resource
        from keras_tricks.tuners import errors
        from keras_tricks.tuners.storage import project_lock

        lock = project_lock.ProjectLock("p")
        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
        try:
            lock.__enter__()
        except errors.StorageError as error:
            resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
            print(error)
        with lock:
            print("locked")
        """,
        cwd=tmp_path,
    )
    assert "Writing p/search.lock failed" in printed
    assert "locked" in printed


def test_weights_that_do_not_fit_on_the_disk_are_no_failed_trial(tmp_path):
    class Full(toys.Scored):
        def fit(self, hp, model, *args, **kwargs):
            raise OSError("Can't synchronously write data (errno = 28)")

    tuner = RandomSearch(Full(float), max_trials=2, seed=0, directory=tmp_path)
    with pytest.raises(errors.StorageError, match="errno = 28"):
        tuner.search(verbose=0)
    assert tuner._ended_records() == []


def test_differences_of_one_name_under_two_conditions_are_told():
    def space(largest):
        hp = keras_tuner.HyperParameters()
        hp.Choice("kind", ["a", "b"])
        for kind, limit in (("a", 4), ("b", largest)):
            with hp.conditional_scope("kind", [kind]):
                hp.Int("units", 1, limit)
        return identity.space_of(hp)

    assert identity.space_differences(space(8), space(8)) == []
    (line,) = identity.space_differences(space(8), space(9))
    assert line.startswith("hyperparameter 'units': saved [")


# The files of Keras and KerasTuner.


CUT_OFF = """
    import os, signal, sys
    import keras, keras_tuner
    import numpy as np
    from keras_tricks.tuners import RandomSearch

    class Cut(keras.layers.Layer):
        saved = 0

        def call(self, x):
            return x

        def save_own_variables(self, store):
            Cut.saved += 1
            if Cut.saved == int(sys.argv[1]):
                os.kill(os.getpid(), signal.SIGKILL)

    def build(hp):
        hp.Float("x", 0.0, 1.0)
        model = keras.Sequential(
            [keras.Input((1,)), keras.layers.Dense(9), Cut(), keras.layers.Dense(1)])
        model.compile(keras.optimizers.SGD(0.01), "mse")
        return model

    # As `fit` saves; a shared program writes its weights once, at the end.
    tuner = RandomSearch(build, "loss", max_trials=1, seed=0, reuse_programs=False)
    x = np.ones((8, 1))
    tuner.search(x, x, epochs=3, verbose=0)
    print(tuner.get_best_models()[0].evaluate(x, x, verbose=0))
    print(tuner.leaderboard()["loss"][0])
"""


def test_a_process_killed_while_it_saves_weights_leaves_those_of_the_epoch_before(
    tmp_path,
):
    """The layer in the middle kills it, amid the second epoch's file."""
    with forks.started(CUT_OFF, "2", cwd=tmp_path) as killed:
        killed.join(300)
        assert killed.exitcode == -signal.SIGKILL
    folder = tmp_path / "untitled_project" / "trial_0"
    path = folder / "checkpoint.weights.h5"
    with h5py.File(path) as file:
        kernels = [file[f"layers/{name}/vars/0"] for name in ("dense", "dense_1")]
        assert [kernel.shape for kernel in kernels] == [(1, 9), (9, 1)]
    # It was in memory that they were to be made up.
    assert not list(folder.glob(".*.tmp.*weights.h5"))
    # Run again, it saves in each epoch, of which the last is the best.
    printed = forks.run_python(CUT_OFF, "0", cwd=tmp_path).splitlines()
    evaluated, in_training = (float(line) for line in printed[-2:])
    assert evaluated < in_training
    assert not list(folder.glob(".*.tmp.*"))


def test_a_build_config_that_was_cut_off_is_not_there(tmp_path, monkeypatch):
    arguments = {"seed": 0, "directory": tmp_path, "reuse_programs": False}
    tuner = RandomSearch(toys.build, "val_loss", max_trials=1, **arguments)
    save_json = keras_tuner.src.utils.save_json

    def cut_off(path, content):
        Path(path).write_text(json.dumps(content)[:5])
        raise KeyboardInterrupt

    monkeypatch.setattr(keras_tuner.src.utils, "save_json", cut_off)
    with pytest.raises(KeyboardInterrupt):
        tuner.search(**toys.toy_data(), verbose=0)
    path = Path(tuner.project_dir) / "trial_0" / "build_config.json"
    assert not path.exists()
    monkeypatch.setattr(keras_tuner.src.utils, "save_json", save_json)
    tuner = RandomSearch(toys.build, "val_loss", max_trials=1, **arguments)
    tuner.search(**toys.toy_data(), verbose=0)
    assert json.loads(path.read_text())["input_shape"] == [None, 4]


def test_a_file_is_replaced_when_it_is_whole_and_not_before(tmp_path):
    path = tmp_path / "of.weights.h5"
    path.write_text("old")
    with files.atomic_write(path) as temporary:
        assert temporary.name.endswith(".weights.h5")
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    with files.atomic_write(path):
        pass
    assert path.read_text() == "new"
    with contextlib.suppress(RuntimeError), files.atomic_write(path) as temporary:
        temporary.write_text("newest")
        raise RuntimeError
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]
