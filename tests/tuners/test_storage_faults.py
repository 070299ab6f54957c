"""What becomes of a search whose storage is taken away, moved or full."""

import json
import os
import resource
import shutil
import signal
import stat
import subprocess
import sys
import warnings

import h5py
import keras
import keras_tuner
import numpy as np
import pytest

from keras_tricks import tuners
from keras_tricks.tuners import errors
from keras_tricks.tuners.storage import files
from tests import child_process
from tests import sampling


class Scored(keras_tuner.HyperModel):
    """Its score is its only setting; it does something before the second trial.

    Args:
        meddle: Called in the second `fit`.
    """

    def __init__(self, meddle=lambda: None):
        super().__init__()
        self.meddle = meddle
        self.fits = 0

    def build(self, hp):
        hp.Float("x", 0.0, 1.0)
        return keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])

    def fit(self, hp, model, *args, **kwargs):
        self.fits += 1
        if self.fits == 2:
            self.meddle()
        return hp.get("x")


def tuner_in(directory, tuner_class=tuners.RandomSearch, meddle=None, **arguments):
    arguments = {"max_trials": 3, "seed": 0, **arguments}
    if tuner_class is tuners.Hyperband:
        arguments = {**arguments, "max_epochs": 3, "max_trials": None}
    return tuner_class(
        Scored(meddle or (lambda: None)),
        directory=directory,
        project_name="p",
        **arguments,
    )


@pytest.fixture(autouse=True)
def time_limit():
    """Ends what would go on for ever."""

    def end(*_):
        raise TimeoutError("it went on")

    before = signal.signal(signal.SIGALRM, end)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


# Journals.


def deleted(path):
    path.unlink()


def cut(path):
    os.truncate(path, path.stat().st_size // 2)


def emptied(path):
    os.truncate(path, 0)


def replaced(path):
    """By a journal that is longer than it was."""
    content = path.read_bytes()
    path.write_bytes(content[: content.index(b"\n") + 1] * 100)


@pytest.mark.parametrize("damage", [deleted, cut, emptied, replaced])
def test_a_journal_that_changes_under_a_search_ends_it(damage, tmp_path):
    pytest.importorskip("optuna", reason="Optuna is not installed")
    path = tmp_path / "p" / "study.journal"
    tuner = tuner_in(tmp_path, tuners.OptunaSearch, meddle=lambda: damage(path))
    with pytest.raises(errors.StorageError, match=r"study\.journal was") as caught:
        tuner.search(verbose=0)
    assert str(path) in str(caught.value)
    assert tuner.hypermodel.fits == 2
    assert path.exists() == (damage is not deleted)


@pytest.mark.filterwarnings("ignore:.*lines are missing")
def test_a_lost_score_is_told_by_the_study_s_value(tmp_path):
    pytest.importorskip("optuna", reason="Optuna is not installed")
    expected = scores_of(trained(tmp_path, tuners.OptunaSearch))
    path = tmp_path / "p" / "study.journal"
    lines = path.read_bytes().splitlines(keepends=True)
    lost = [number for number, line in enumerate(lines) if b'{"score":' in line]
    del lines[lost[0]]
    path.write_bytes(b"".join(lines))
    tuner = trained(tmp_path, tuners.OptunaSearch)
    assert scores_of(tuner) == expected
    assert [entry.state.name for entry in tuner.study.trials] == ["COMPLETE"] * 3


def test_what_cannot_be_written_is_named_once(tmp_path, monkeypatch):
    tuner = tuner_in(tmp_path)
    path = tmp_path / "p" / "file"

    def refuse(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(errors.StorageError) as caught, files.batched_fsync():
        files.write_text(path, "text")
    assert str(caught.value).count("failed") == 1
    with pytest.raises(errors.StorageError) as caught:
        tuner.search(verbose=0)
    assert str(caught.value).count("failed") == 1


# Databases.


def overwritten(path):
    path.write_bytes(b"x" * path.stat().st_size)


def limited(path):
    """No file of this process may grow: a real limit, as of a full disk."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size, -1))


@pytest.fixture(name="unlimited_after")
def unlimited_after_fixture():
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (-1, -1))
    signal.signal(signal.SIGXFSZ, before)


@pytest.mark.parametrize("damage", [deleted, overwritten, emptied, limited])
@pytest.mark.usefixtures("unlimited_after")
def test_a_database_that_fails_ends_the_search_and_is_named(damage, tmp_path):
    pytest.importorskip("optuna", reason="Optuna is not installed")
    path = tmp_path / "st.db"
    tuner = tuner_in(
        tmp_path,
        tuners.OptunaSearch,
        meddle=lambda: damage(path),
        storage=f"sqlite:///{path}",
        study_name="s",
        max_trials=1000 if damage is limited else 3,
    )
    with pytest.raises(errors.StorageError, match=rf"sqlite:///{path}, failed"):
        tuner.search(verbose=0)


def test_what_is_no_database_is_named(tmp_path):
    pytest.importorskip("optuna", reason="Optuna is not installed")
    path = tmp_path / "st.db"
    path.write_bytes(b"no database" * 1000)
    with pytest.raises(errors.StorageError, match=f"sqlite:///{path}, failed: .*file"):
        tuner_in(
            tmp_path, tuners.OptunaSearch, storage=f"sqlite:///{path}", study_name="s"
        )


# Folders.


@pytest.mark.parametrize(
    "kind", ["RandomSearch", "Hyperband", "OptunaSearch", "journal", "database"]
)
def test_a_search_stays_where_it_was_begun(kind, tmp_path, monkeypatch):
    """Its files are the same as if the process had stayed, and the table is."""
    if kind not in ("RandomSearch", "Hyperband"):
        pytest.importorskip("optuna", reason="Optuna is not installed")
    tuner_class = getattr(tuners, kind, tuners.OptunaSearch)
    storage = {"journal": "st.journal", "database": "sqlite:///st.db"}.get(kind)
    arguments = {} if storage is None else {"storage": storage, "study_name": "s"}
    found = {}
    for name in ("stays", "goes"):
        start, other = tmp_path / name / "start", tmp_path / name / "other"
        start.mkdir(parents=True)
        other.mkdir()
        monkeypatch.chdir(start)
        goes_to = other if name == "goes" else start
        tuner = tuner_in(
            "rel", tuner_class, meddle=lambda to=goes_to: os.chdir(to), **arguments
        )
        tuner.search(verbose=0)
        table = tuner.leaderboard().drop(columns="seconds")
        tuner.note("0", why="a note")
        assert list(other.iterdir()) == []
        names = sorted(str(path.relative_to(start)) for path in start.rglob("*"))
        found[name] = names, table.to_csv()
    assert found["stays"] == found["goes"]


@pytest.mark.parametrize("tuner_class", [tuners.RandomSearch, tuners.OptunaSearch])
def test_a_folder_that_cannot_be_made_is_named(tuner_class, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(errors.StorageError, match=f"Writing {tmp_path}/file/p failed"):
        tuner_in(tmp_path / "file", tuner_class)
    with pytest.raises(errors.StorageError, match=r"p{300} failed: .*File name too"):
        tuner_class(Scored(), directory=tmp_path, project_name="p" * 300)
    for name in ("a\0b", "a\udcffb/\ud800"):
        with pytest.raises(ValueError, match="`project_name` must make a path"):
            tuner_class(Scored(), directory=tmp_path, project_name=name)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


# Edited and exchanged files.


class Trained(Scored):
    """It saves weights, which are its setting."""

    def fit(self, hp, model, *args, callbacks=(), **kwargs):
        model.set_weights([np.full((1, 1), hp.get("x")), np.zeros(1)])
        told = keras.callbacks.CallbackList(
            callbacks, model=model, epochs=1, steps=1, verbose=0
        )
        told.on_train_begin()
        told.on_epoch_begin(0)
        told.on_epoch_end(0, {"score": hp.get("x")})
        told.on_train_end()
        return {"score": hp.get("x")}


def trained(directory, tuner_class=tuners.RandomSearch, **arguments):
    arguments = {"max_trials": 3, "seed": 0, **arguments}
    if tuner_class is tuners.Hyperband:
        del arguments["max_trials"]
        arguments["max_epochs"] = 3
    objective = keras_tuner.Objective("score", "min")
    tuner = tuner_class(
        Trained(), objective, directory=directory, project_name="p", **arguments
    )
    tuner.search(verbose=0)
    return tuner


def edited(path, **values):
    """Changes a file of JSON as by an editor, which writes no checksum."""
    content = {**json.loads(path.read_text()), **values}
    del content["checksum"]
    path.write_text(json.dumps(content))


def scores_of(tuner):
    return tuner.leaderboard().set_index("trial_id")["score"].to_dict()


def trained_and_scores(directory, tuner_class):
    tuner = trained(directory, tuner_class)
    return tuner, scores_of(tuner)


def test_a_file_without_its_checksum_is_named_and_not_believed(tmp_path):
    expected = scores_of(trained(tmp_path))
    edited(tmp_path / "p" / "trial_0" / "record.json", score=-5.0)
    edited(tmp_path / "p" / "trial_1" / "trial.json", score=-5.0)
    edited(tmp_path / "p" / "search.json", arguments={})
    with pytest.warns(UserWarning, match="checksum is missing") as caught:
        assert scores_of(trained(tmp_path)) == expected
    told = " ".join(str(warning.message) for warning in caught)
    for name in ("trial_0/record.json", "trial_1/trial.json", "search.json"):
        assert f"{name} is damaged (its checksum is missing" in told


def test_a_project_of_before_checksums_is_told_once_and_gets_them(tmp_path):
    expected = scores_of(trained(tmp_path))
    paths = [p for p in tmp_path.rglob("*.json") if "checksum" in p.read_text()]
    assert len(paths) == 3 + 2 * 3
    for path in paths:
        edited(path)
    with pytest.warns(UserWarning, match="older version") as caught:
        tuner = trained(tmp_path)
    told = [str(w.message) for w in caught if "checksum" in str(w.message)]
    assert len(told) == 1
    assert "as those of an older version" in told[0]
    assert scores_of(tuner) == expected
    assert all("checksum" in path.read_text() for path in paths)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        assert scores_of(trained(tmp_path)) == expected


def test_trial_and_record_that_disagree_are_named(tmp_path):
    expected = scores_of(trained(tmp_path))
    path = tmp_path / "p" / "trial_0" / "record.json"
    content = files.read_json(path)
    files.write_json(path, {**content, "score": -5.0})
    with pytest.warns(UserWarning, match=r"0/record.json .* found COMPLETED with sco"):
        assert scores_of(trained(tmp_path)) == expected


def of_another_search(tmp_path):
    trained(tmp_path / "other", seed=7)
    return tmp_path / "other" / "p" / "trial_0"


@pytest.mark.parametrize("what", ["all", "record.json", "trial.json"])
def test_a_trial_of_another_search_is_named_and_skipped(what, tmp_path):
    expected = scores_of(trained(tmp_path))
    other, own = of_another_search(tmp_path), tmp_path / "p" / "trial_0"
    if what == "all":
        shutil.rmtree(own)
        shutil.copytree(other, own)
    else:
        shutil.copy(other / what, own / what)
    with pytest.warns(UserWarning, match=r"another search's \(seed: expected 0, found"):
        assert scores_of(trained(tmp_path)) == expected


# Weights.


def exchanged(one, other):
    shutil.copy(other, one)


def flipped(one, other):
    content = bytearray(one.read_bytes())
    with h5py.File(one) as file:
        offset = file["layers/dense/vars/0"].id.get_offset()
    content[offset + 2] ^= 0x40
    one.write_bytes(content)


def removed(one, other):
    one.unlink()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (exchanged, "is not the file that trial . has saved"),
        (flipped, "is not the file that trial . has saved"),
        (removed, "is missing: trial . has saved its weights"),
    ],
)
@pytest.mark.parametrize("tuner_class", [tuners.RandomSearch, tuners.OptunaSearch])
def test_weights_are_those_that_the_trial_saved(damage, message, tuner_class, tmp_path):
    tuner = trained(tmp_path, tuner_class)
    best, second = tuner.leaderboard()["trial_id"][:2]
    [model] = tuner.get_best_models()
    assert np.isclose(model.get_weights()[0], scores_of(tuner)[best]).all()
    paths = [
        tmp_path / "p" / f"trial_{name}" / "checkpoint.weights.h5"
        for name in (best, second)
    ]
    damage(*paths)
    for each in (tuner, trained(tmp_path, tuner_class)):
        with pytest.raises(errors.DamagedFileError, match=message) as caught:
            each.get_best_models()
        assert str(paths[0]) in str(caught.value)


def test_weights_of_a_record_without_their_digest_are_loaded(tmp_path):
    tuner = trained(tmp_path)
    best = tuner.leaderboard()["trial_id"][0]
    path = tmp_path / "p" / f"trial_{best}" / "record.json"
    content = files.read_json(path)
    del content["weights"]
    files.write_json(path, content)
    [model] = tuner.get_best_models()
    assert np.isclose(model.get_weights()[0], scores_of(tuner)[best]).all()


def test_exchanged_folders_do_not_exchange_weights(tmp_path):
    """The study tells all scores, and the folders are named as one another's."""
    tuner = trained(tmp_path, tuners.OptunaSearch)
    expected = scores_of(tuner)
    project = tmp_path / "p"
    for name, to in (("0", "x"), ("1", "0"), ("x", "1")):
        (project / f"trial_{name}").rename(project / f"trial_{to}")
    with pytest.warns(UserWarning, match="trial 0 is as the study tells it") as caught:
        tuner, table = trained_and_scores(tmp_path, tuners.OptunaSearch)
    assert table == expected
    assert not any("run again" in str(w.message) for w in caught)
    for name in ("0", "1"):
        with pytest.raises(errors.DamagedFileError, match="another trial's"):
            tuner.load_model(tuner.oracle.get_trial(name))
    tuner.load_model(tuner.oracle.get_trial("2"))


# Lists and schedules.


@pytest.mark.parametrize("trial_id", [str(n) for n in range(6)])
def test_a_lost_trial_of_hyperband_has_its_settings_again(trial_id, tmp_path):
    """Whether it was promoted or not: the whole table is the same."""

    def table():
        tuner = trained(tmp_path, tuners.Hyperband, keep_checkpoints=None)
        return tuner.leaderboard().drop(columns="seconds").to_csv()

    expected = table()
    for name in ("trial.json", "record.json"):
        (tmp_path / "p" / f"trial_{trial_id}" / name).write_text("{")
    with pytest.warns(UserWarning, match=f"trial {trial_id} is run again"):
        assert table() == expected


@pytest.mark.parametrize(
    "values", [{"factor": 1}, {"factor": 2}, {"max_epochs": 10**9}]
)
def test_the_schedule_is_the_tuner_s_and_not_the_file_s(values, tmp_path):
    expected = scores_of(trained(tmp_path, tuners.Hyperband))
    path = tmp_path / "p" / "oracle.json"
    files.write_json(path, {**files.read_json(path), **values})
    [(name, value)] = values.items()
    with pytest.warns(UserWarning, match=f"{name}: expected 3, found {value}"):
        tuner = trained(tmp_path, tuners.Hyperband)
    assert scores_of(tuner) == expected


@pytest.mark.parametrize(
    "listed",
    sampling.one_in(
        3, [["7", "x", "0", "0"], [str(n) for n in range(100_000)], ["9" * 5000]]
    ),
)
@pytest.mark.parametrize("tuner_class", [tuners.RandomSearch, tuners.OptunaSearch])
def test_listed_trials_that_there_are_not_are_named_once(listed, tuner_class, tmp_path):
    expected = scores_of(trained(tmp_path, tuner_class))
    path = tmp_path / "p" / "oracle.json"
    files.write_json(path, {**files.read_json(path), "start_order": listed})
    with pytest.warns(UserWarning, match="start_order: expected the") as caught:
        _, table = trained_and_scores(tmp_path, tuner_class)
    assert table == expected
    assert len([w for w in caught if str(path) in str(w.message)]) == 1
    with warnings.catch_warnings():
        # The search has written the list anew.
        warnings.filterwarnings("error", "start_order")
        tuner = trained(tmp_path, tuner_class, max_trials=4)
    assert sorted(scores_of(tuner)) == ["0", "1", "2", "3"]


@pytest.mark.parametrize("objective", [[["val_loss"]], [["score", "up"]], "score", [1]])
def test_an_objective_that_is_none_is_named(objective, tmp_path):
    expected = scores_of(trained(tmp_path))
    path = tmp_path / "p" / "search.json"
    files.write_json(path, {**files.read_json(path), "objective": objective})
    with pytest.warns(UserWarning, match=r"search\.json is damaged .*objective"):
        assert scores_of(trained(tmp_path)) == expected


# Links.


def test_a_link_in_the_place_of_a_trial_is_refused(tmp_path):
    trained(tmp_path)
    others = {"trial.json": "mine", "record.json": "mine", "checkpoint.weights.h5": "m"}
    (tmp_path / "others").mkdir()
    for name, text in others.items():
        (tmp_path / "others" / name).write_text(text)
    shutil.rmtree(tmp_path / "p" / "trial_1")
    (tmp_path / "p" / "trial_1").symlink_to(tmp_path / "others")
    with (
        pytest.warns(UserWarning, match="trial_1 is a symbolic link"),
        pytest.raises(errors.StorageError, match="trial_1 is a symbolic link, to"),
    ):
        trained(tmp_path)
    found = {path.name: path.read_text() for path in (tmp_path / "others").iterdir()}
    assert found == others


@pytest.mark.parametrize("name", ["search.lock", "study.journal"])
def test_a_hard_link_is_not_written_to(name, tmp_path):
    trained(tmp_path, tuners.OptunaSearch)
    path = tmp_path / "p" / name
    shutil.copy(path, tmp_path / "target")
    path.unlink()
    os.link(tmp_path / "target", path)
    before = path.read_bytes()
    with pytest.raises(errors.StorageError, match=f"{name} is a hard link"):
        trained(tmp_path, tuners.OptunaSearch, max_trials=4)
    assert path.read_bytes() == before


def a_pipe(path):
    os.mkfifo(path)


def a_socket(path):
    os.mknod(path, stat.S_IFSOCK | 0o600)


def a_device(path):
    path.symlink_to("/dev/zero")


def a_loop(path):
    path.symlink_to(path)


def a_huge_file(path):
    path.touch()
    os.truncate(path, 8 * 2**30)


@pytest.mark.parametrize("kind", [a_pipe, a_socket, a_device, a_loop, a_huge_file])
@pytest.mark.parametrize(
    "name",
    [
        *("oracle.json", "search.json", "tuner0.json", "notes.json"),
        *("trial_1/trial.json", "trial_1/record.json"),
    ],
)
def test_what_is_no_file_is_named_and_skipped(kind, name, finished, tmp_path):
    shutil.copytree(finished.project_dir, tmp_path / "p")
    path = tmp_path / "p" / name
    path.unlink()
    kind(path)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert scores_of(trained(tmp_path)) == scores_of(finished)
    assert any(f"{path} is damaged" in str(w.message) for w in caught)


@pytest.mark.parametrize("kind", [a_pipe, a_device, a_loop])
@pytest.mark.parametrize("name", ["study.journal", "search.lock"])
def test_what_is_no_file_is_no_journal_and_no_lock(kind, name, tmp_path):
    path = tmp_path / "p" / name
    path.parent.mkdir()
    kind(path)
    with pytest.raises(errors.StorageError, match=name):
        trained(tmp_path, tuners.OptunaSearch)


@pytest.fixture(scope="module", name="finished")
def finished_fixture(tmp_path_factory):
    """A finished search that is copied."""
    tuner = trained(tmp_path_factory.mktemp("finished"))
    tuner.note("0", why="a note")
    return tuner


# Output.

WITHOUT_OUTPUT = """
import sys
from keras_tricks import tuners
from tests.tuners import test_storage_faults as faults

def tuner():
    return tuners.RandomSearch(
        faults.Scored(), max_trials=2, seed=0, directory=sys.argv[1],
        project_name="\\u00e9\\u2603")

tuner().search()
table = tuner().leaderboard()
tuner().search(verbose=1)
with open("found", "w") as file:
    file.write(str(sorted(table["trial_id"])))
"""


@pytest.mark.parametrize(
    "how", sampling.only([">&-"], [">&-", "> /dev/full", "> file"]), ids=str
)
def test_a_search_needs_no_output(how, tmp_path):
    """Nor can its output show the folder's name."""
    (tmp_path / "child.py").write_text(WITHOUT_OUTPUT)
    done = subprocess.run(
        ["sh", "-c", f'"$0" -B child.py . {how}', sys.executable],
        cwd=tmp_path,
        env={
            **os.environ,
            "PYTHONPATH": str(child_process.ROOT),
            "PYTHONIOENCODING": "ascii",
            "PYTHONUTF8": "1",
        },
        capture_output=True,
        encoding="utf-8",
    )
    assert (tmp_path / "found").exists(), done.stderr[-3000:]
    assert (tmp_path / "found").read_text() == "['0', '1']"
    if how == "> file":
        text = (tmp_path / "file").read_text()
        assert "Reloading Tuner from ./\\xe9\\u2603/tuner0.json" in text
        assert "2/2  trial 1" in text
