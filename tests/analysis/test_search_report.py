"""The report as a file: whole, small, without a network, with all texts escaped."""

import json
import re

import numpy as np
import pytest

from keras_tricks.analysis import search_report
from keras_tricks.analysis import summarize
from keras_tricks.analysis import summary as questions
from keras_tricks.analysis.report import figures
from keras_tricks.tuners.storage import files
from tests.analysis.searches import Known
from tests.analysis.searches import searched

optuna = pytest.importorskip("optuna")
EVIL = """<script>alert("x")</script>'"><img src=x onerror=alert(1)>"""


@pytest.fixture(scope="module")
def tuner(tmp_path_factory):
    tuner = searched(tmp_path_factory.mktemp("report"))
    tuner.note(tuner.leaderboard()["trial_id"][0], why=EVIL, outcome=EVIL, next=EVIL)
    return tuner


@pytest.fixture(scope="module")
def html(tuner, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "report.html"
    assert search_report(tuner, path) == path
    return path.read_text(encoding="utf-8")


def text_of(html):
    """Returns the page without what is packed, styled or scripted."""
    return re.sub(r"<(script|style)[^>]*>.*?</\1>", "", html, flags=re.DOTALL)


def content_of(html):
    [content] = re.findall(r'id="content">(.*?)</script>', html, re.DOTALL)
    return json.loads(content)


def test_every_conclusion_is_there(tuner, html):
    import html as markup

    shown = markup.unescape(text_of(html))
    for question, answer in summarize(tuner).conclusions.items():
        assert question in shown
        assert answer in shown


def test_it_is_small_and_needs_no_network(html):
    assert len(html.encode()) < 5_000_000
    assert not re.findall(r"""(?:src|href)\s*=\s*["'](?!#|data:)""", text_of(html))
    assert "@import" not in html


def test_the_numbers_of_the_figures_are_the_trials(tuner, html):
    """Oracle: the leaderboard."""
    first = content_of(html)["figures"]["figure-0"]["data"]
    scores = tuner.leaderboard().dropna(subset="rank")["val_loss"]
    assert sorted(first[0]["y"]) == pytest.approx(sorted(scores), rel=1e-4)
    assert first[1]["y"][-1] == pytest.approx(scores.min(), rel=1e-4)
    assert first[1]["y"] == sorted(first[1]["y"], reverse=True)


def test_texts_of_users_are_escaped(tmp_path):
    """In names, values, errors and notes, in HTML and for Plotly."""

    class Evil(Known):
        def build(self, hp):
            hp.Choice(EVIL, [EVIL, "b", "c"])
            return super().build(hp)

        def fit(self, hp, model, *args, **kwargs):
            if hp.get(EVIL) == "b":
                raise ValueError(EVIL)
            return super().fit(hp, model)

    tuner = searched(tmp_path, "<b>name</b>", Evil(), trials=40)
    tuner.note("01", why=EVIL)
    path = search_report(tuner, tmp_path / "report.html")
    html = path.read_text(encoding="utf-8")
    assert len(re.findall(r"<script", html)) == 3
    assert "<img" not in text_of(html)
    assert "<b>" not in text_of(html)
    labels = json.dumps(content_of(html)["figures"])
    assert "<script" not in labels
    assert "&lt;script" in labels


def test_no_text_ends_the_script():
    from keras_tricks.analysis.report import page

    written = page.as_json({"text": "</script><!--", "number": 1.5})
    assert "<" not in written
    assert json.loads(written) == {"text": "</script><!--", "number": 1.5}


def test_several_searches_are_rounds(tuner, tmp_path):
    second = searched(tmp_path, "second", trials=20, seed=1)
    path = search_report([tuner.project_dir, second], tmp_path / "report.html")
    text = text_of(path.read_text(encoding="utf-8"))
    assert "What did each round change, and gain?" in text
    assert "Search known" in text
    assert "Search second" in text


def test_a_study_with_curves_and_failures(tmp_path):
    def objective(trial):
        x = trial.suggest_float("x", 0, 1)
        for step in range(5):
            trial.report(x / (step + 1), step)
        if x > 0.9:
            raise optuna.TrialPruned
        return x if x < 0.8 else float("nan")

    study = optuna.create_study(
        study_name="study", sampler=optuna.samplers.RandomSampler(0)
    )
    study.optimize(objective, n_trials=30)
    path = search_report(study, tmp_path / "report.html")
    text = text_of(path.read_text(encoding="utf-8"))
    assert "<h1>study</h1>" in text
    assert "no finite score" in text


@pytest.mark.parametrize("trials", [1, 9])
def test_few_trials(tmp_path, trials):
    tuner = searched(tmp_path, trials=trials)
    html = search_report(tuner, tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Cannot be told: that takes 16 trials" in html


def test_many_trials_are_still_a_small_page(tmp_path):
    """2,000 trials of 100 epochs: the best have their curves."""
    from keras_tricks.analysis.report.page import Page
    from keras_tricks.analysis.report.sections import add_search
    from keras_tricks.analysis.searches import Search
    from keras_tricks.tuners.results.records import ExecutionRecord
    from keras_tricks.tuners.results.records import TrialRecord
    from keras_tricks.tuners.results.saved_search import Objective

    rng = np.random.default_rng(0)
    records = [
        TrialRecord(
            *(f"{n:04}", "COMPLETED", "val_loss", "min"),
            score=float(score),
            settings={},
            executions=[ExecutionRecord(0, {"val_loss": rng.random(100).tolist()})],
        )
        for n, score in enumerate(rng.random(2000))
    ]
    search = Search("many", None, Objective("val_loss", "min"), records, [])
    page = Page()
    add_search(page, questions.summary_of(search), 2)
    assert len(page.html("many", "", None).encode()) < 5_000_000


def test_the_page_reloads_itself_only_if_asked(tuner, html, tmp_path):
    assert content_of(html)["reload_seconds"] is None
    path = search_report(tuner, tmp_path / "report.html", reload_seconds=60)
    assert content_of(path.read_text(encoding="utf-8"))["reload_seconds"] == 60.0


def test_the_page_is_replaced_whole(tuner, tmp_path, monkeypatch):
    path = tmp_path / "report.html"
    path.write_text("before")

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        search_report(tuner, path)
    monkeypatch.undo()
    assert path.read_text() == "before"
    assert [each.name for each in tmp_path.iterdir()] == ["report.html"]


def test_numbers_that_json_lacks_are_left_out():
    assert figures._numbers([1.0, np.nan, np.inf]) == [1.0, None, None]


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"search": 3}, TypeError, "must be a tuner"),
        ({"search": []}, ValueError, "not empty"),
        ({"path": 3}, TypeError, "`path` must be a string"),
        ({"reload_seconds": 0}, ValueError, "`reload_seconds`"),
    ],
)
def test_wrong_arguments(tuner, tmp_path, arguments, error, words):
    given = {"search": tuner, "path": tmp_path / "report.html", **arguments}
    with pytest.raises(error, match=words):
        search_report(**given)


def test_a_missing_plotly_is_told(tuner, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "plotly", None)
    monkeypatch.setitem(__import__("sys").modules, "plotly.offline", None)
    with pytest.raises(ImportError, match="python -m pip install plotly"):
        search_report(tuner, tmp_path / "report.html")


def test_texts_that_begin_alike_stay_apart(tmp_path):
    before = "/home/someone/projects/models/checkpoints/"

    class Long(Known):
        def build(self, hp):
            hp.Choice("ckpt", [before + name for name in ("bert", "gpt", "t5")])
            return super().build(hp)

    tuner = searched(tmp_path, "long", Long(), trials=40)
    summary = summarize(tuner)
    slices = figures.slices(summary.search)["ckpt"]
    assert set(slices["data"][0]["x"]) == {0, 1, 2}
    isolated = figures.isolation(summary.comparisons["ckpt"])
    assert isolated["data"][0]["x"] == [0, 1, 2]


@pytest.mark.parametrize("kind", ["a folder", "a device"])
def test_what_is_no_file_is_not_replaced(tuner, tmp_path, kind):
    path = tmp_path if kind == "a folder" else "/dev/null"
    with pytest.raises(ValueError, match="which is none"):
        search_report(tuner, path)


def test_a_link_is_followed(tuner, tmp_path):
    link, page = tmp_path / "link.html", tmp_path / "page.html"
    page.write_text("before")
    link.symlink_to(page)
    search_report(tuner, link)
    assert link.is_symlink()
    assert "<h1>known</h1>" in page.read_text(encoding="utf-8")


def test_infinity_is_sorted_as_a_number():
    from keras_tricks.analysis.report import page

    assert 'data-value="-Infinity"' in page.cell(float("-inf"))


def test_thousands_of_scores_are_compared_in_seconds():
    import time

    import pandas as pd

    from keras_tricks.analysis import compare

    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.random(5000), "loss": rng.random(5000)})
    before = time.monotonic()
    compare(frame, "x", objective="loss")
    assert time.monotonic() - before < 20
