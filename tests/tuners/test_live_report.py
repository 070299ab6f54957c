"""The page of a search that runs."""

import subprocess
import time

import keras_tuner
import pytest

from keras_tricks.tuners import CoarseToFine
from keras_tricks.tuners import RandomSearch
from keras_tricks.tuners.results import live_report
from tests.analysis.searches import Known

pytest.importorskip("plotly")
OBJECTIVE = keras_tuner.Objective("val_loss", "min")


class Slow(Known):
    """A page is written while it trains."""

    def fit(self, hp, model, *args, **kwargs):
        time.sleep(0.1)
        return super().fit(hp, model)


def test_the_page_is_there_while_the_search_runs_and_after_it(tmp_path, monkeypatch):
    monkeypatch.setattr(live_report, "_SECONDS", 1.0)
    page, seen = tmp_path / "report.html", []

    class Watched(Slow):
        def fit(self, hp, model, *args, **kwargs):
            seen.append(page.read_text("utf-8") if page.exists() else None)
            return super().fit(hp, model)

    tuner = RandomSearch(
        Watched(), OBJECTIVE, max_trials=100, seed=0, directory=tmp_path
    )
    tuner.search(verbose=0, report=page)
    running = [text for text in seen if text is not None]
    assert running
    assert all('"reload_seconds":1.0' in text for text in running)
    last = page.read_text("utf-8")
    assert '"reload_seconds":null' in last
    assert "100 trials" in last


def test_it_is_written_at_most_once_a_minute(tmp_path, monkeypatch):
    begun = []
    popen = subprocess.Popen

    def counted(command, **kwargs):
        if "keras_tricks" in command:
            begun.append(command)
        return popen(command, **kwargs)

    monkeypatch.setattr(live_report.subprocess, "Popen", counted)
    tuner = RandomSearch(Slow(), OBJECTIVE, max_trials=30, seed=0, directory=tmp_path)
    tuner.search(verbose=0, report=tmp_path / "report.html")
    # After the first trial, and at the end.
    assert len(begun) == 2


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_have_one_page(tmp_path, workers):
    tuner = RandomSearch(Known(), OBJECTIVE, max_trials=6, seed=0, directory=tmp_path)
    tuner.search(verbose=0, report=tmp_path / "report.html", workers=workers)
    assert "6 trials" in (tmp_path / "report.html").read_text("utf-8")


def test_rounds_have_one_page(tmp_path):
    page = tmp_path / "report.html"
    rounds = CoarseToFine(
        Known(), OBJECTIVE, rounds=2, trials_per_round=5, seed=0, directory=tmp_path
    )
    rounds.search(verbose=0, report=page)
    assert "10 trials of 2 searches" in page.read_text("utf-8")


def test_an_interrupted_search_has_its_page(tmp_path):
    class Interrupted(Known):
        def fit(self, hp, model, *args, **kwargs):
            if len(list(tmp_path.glob("*/trial_*/record.json"))) == 3:
                raise KeyboardInterrupt
            return super().fit(hp, model)

    page = tmp_path / "report.html"
    tuner = RandomSearch(Interrupted(), OBJECTIVE, seed=0, directory=tmp_path)
    with pytest.raises(KeyboardInterrupt):
        tuner.search(verbose=0, report=page)
    end = time.monotonic() + 60
    while not page.exists() or '"reload_seconds":null' not in page.read_text("utf-8"):
        assert time.monotonic() < end
        time.sleep(0.1)


def test_a_page_that_cannot_be_written_is_a_warning(tmp_path):
    page = tmp_path / "page"

    class InTheWay(Known):
        def fit(self, hp, model, *args, **kwargs):
            page.mkdir(exist_ok=True)
            return super().fit(hp, model)

    tuner = RandomSearch(
        InTheWay(), OBJECTIVE, max_trials=3, seed=0, directory=tmp_path
    )
    with pytest.warns(UserWarning, match="could not be written: .*which is none"):
        tuner.search(verbose=0, report=page)
    assert len(tuner.leaderboard()) == 3


@pytest.mark.parametrize(
    ("report", "error", "words"),
    [
        (True, TypeError, "must be the path of a page"),
        ("", ValueError, "must be the path of a file"),
        (".", ValueError, "must be the path of a file"),
        ("none/report.html", FileNotFoundError, "a folder that is there"),
    ],
)
def test_wrong_paths_are_refused_before_the_first_trial(tmp_path, report, error, words):
    tuner = RandomSearch(Known(), OBJECTIVE, directory=tmp_path)
    with pytest.raises(error, match=words):
        tuner.search(verbose=0, report=report)
    assert not [*tmp_path.glob("*/trial_*")]
