"""What becomes of a search whose storage is taken away, moved or full."""

import os
import signal

import keras
import keras_tuner
import pytest

from keras_tricks import tuners
from keras_tricks.tuners import errors


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
    with pytest.raises(errors.StorageError, match="p{300} failed: .*File name too"):
        tuner_class(Scored(), directory=tmp_path, project_name="p" * 300)
    for name in ("a\0b", "a\udcffb/\ud800"):
        with pytest.raises(ValueError, match="`project_name` must make a path"):
            tuner_class(Scored(), directory=tmp_path, project_name=name)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
