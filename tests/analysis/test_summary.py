"""Summaries: every answer against a search whose truth is known."""

import keras
import keras_tuner
import numpy as np
import pytest

from keras_tricks.analysis import next_space
from keras_tricks.analysis import searches
from keras_tricks.analysis import summarize
from keras_tricks.analysis import summary as questions
from keras_tricks.analysis.rounds import rounds
from keras_tricks.tuners.results.records import ExecutionRecord
from tests.analysis.searches import Known
from tests.analysis.searches import searched

optuna = pytest.importorskip("optuna")


@pytest.fixture(scope="module")
def tuner(tmp_path_factory):
    return searched(tmp_path_factory.mktemp("summary"))


@pytest.fixture(scope="module")
def summary(tuner):
    return summarize(tuner)


def test_the_best_is_the_leaderboards(tuner, summary):
    assert summary.best.trial_id == tuner.leaderboard()["trial_id"][0]
    assert (
        f"Trial {summary.best.trial_id}: optimizer = adam"
        in (summary.conclusions[questions.BEST])
    )
    assert "its spread is not known" in summary.conclusions[questions.BEST]


def test_what_was_confirmed_is_told(tmp_path):
    class Noisy(Known):
        def fit(self, hp, model, *args, **kwargs):
            noise = 1e-3 * float(keras.random.normal(()))
            return {"val_loss": super().fit(hp, model)["val_loss"] + noise}

        def build(self, hp):
            hp.Choice("optimizer", ["adam", "sgd"])
            hp.Float("rate", 1e-4, 1e-1, sampling="log")
            hp.Fixed("layers", 1)
            return keras.Sequential()

    tuner = searched(tmp_path, hypermodel=Noisy(), trials=6)
    assert "`tuner.confirm()` tells" in summarize(tuner).conclusions[questions.BEST]
    confirmed = tuner.confirm(top=2, reruns=3)
    for given in (tuner, tuner.project_dir):
        said = summarize(given).conclusions[questions.BEST]
        assert (
            f"again 3 times, under other seeds: {confirmed.reruns[0].mean:.4g}" in said
        )
        assert said.endswith("It beats the second beyond the spread.")


def test_what_matters_is_found(summary):
    said = summary.conclusions[questions.IMPORTANCES]
    assert said.startswith("By the order of the scores optimizer and rate matter.")


def test_the_edge_is_found(summary):
    assert "upper edge of rate" in summary.conclusions[questions.BOUNDARIES]


def test_better_values_are_found(summary):
    said = summary.conclusions[questions.COMPARISONS]
    assert "optimizer: adam is better than chance explains." in said


def test_where_trials_fail_is_found(summary):
    assert "layers > 7.5" in summary.conclusions[questions.INFEASIBLE]


def test_the_next_space_is_code(summary):
    """The range is extended, "sgd" is gone and its momentum, dropout is fixed."""
    made = {}
    exec(summary.next_space.code, made)
    space = {hp.name: hp for hp in made["hp"].space}
    assert space["rate"].max_value > 1.0
    assert space["rate"].min_value == 1e-4
    assert space["rate"].sampling == "log"
    assert space["optimizer"].value == "adam"
    assert "momentum" not in space
    assert space["dropout"].value == summary.best.settings["dropout"]


def test_the_next_space_is_searched(tuner, summary, tmp_path):
    made = {}
    exec(summary.next_space.code, made)
    second = searched(tmp_path, "second", trials=16, hyperparameters=made["hp"], seed=1)
    found = rounds([searches.search_of(tuner), searches.search_of(second)]).table
    assert found["gain"][1] > 0
    assert found["is_clear"][1]
    assert any(text.startswith("rate from") for text in found["changes"][1])
    assert "momentum is gone" not in found["changes"][1]  # Its build asks for it.
    assert set(second.leaderboard()["optimizer"]) == {"adam"}


def test_every_kind_of_hyperparameter_is_written_as_it_was():
    """Oracle: KerasTuner's own space, before and after."""
    hp = keras_tuner.HyperParameters()
    hp.Choice("a 'b'", ["x\n", "y"])
    hp.Boolean("c")
    hp.Int("d", 16, 128, step=16)
    hp.Int("e", 1, 64, step=2, sampling="log")
    hp.Float("f", 1e-4, 1.0, sampling="reverse_log")
    hp.Fixed("g", "text")
    with hp.conditional_scope("a 'b'", ["y"]):
        hp.Float("h", 0.0, 1.0, step=0.1)
    read = [
        searches.spaces.of_configuration(type(each).__name__, each.get_config())
        for each in hp.space
    ]
    made = {}
    exec(next_space.NextSpace(read, {"d": "two\nlines"}).code, made)
    assert made["hp"].get_config()["space"] == hp.get_config()["space"]


def test_too_few_trials_are_told():
    study = optuna.create_study()
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=1)
    said = summarize(study).conclusions
    assert said[questions.SATURATION] == (
        "Cannot be told: that takes 16 trials with a score. There is 1."
    )
    assert "8 trials" in said[questions.IMPORTANCES]


def test_trials_that_all_failed_are_told(tmp_path):
    class Fails(Known):
        def fit(self, hp, model, *args, **kwargs):
            return float("nan")

    with pytest.raises(RuntimeError):
        searched(tmp_path, hypermodel=Fails(), trials=4)
    summary = summarize(tmp_path / "known")
    assert summary.best is None
    said = summary.conclusions
    assert said[questions.BEST] == "None of the 4 trials has a score."
    assert said[questions.INFEASIBLE].startswith("4 of 4 trials have no finite score.")


def test_equal_scores_are_told():
    study = optuna.create_study()
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1) * 0, n_trials=20)
    said = summarize(study).conclusions
    assert "scores that differ" in said[questions.IMPORTANCES]


def test_curves_are_diagnosed(tuner):
    search = searches.search_of(tuner)
    best = min((r for r in search.records if r.score), key=lambda r: r.score)
    falling = (2.0 * 0.7 ** np.arange(30)).tolist()
    rising = (0.8 + 0.02 * np.arange(30)).tolist()
    best.executions = [ExecutionRecord(0, {"loss": falling, "val_loss": rising})]
    said = questions.summary_of(search).conclusions[questions.CURVES]
    assert said.startswith(f"Trial {best.trial_id}: overfitting")


def test_a_search_without_trials_is_refused():
    with pytest.raises(ValueError, match="a trial that has ended"):
        summarize(optuna.create_study())
    with pytest.raises(TypeError, match="must be a tuner"):
        summarize({"x": 1})


def test_different_objectives_are_refused(tuner):
    study = optuna.create_study()
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=2)
    several = [searches.search_of(tuner), searches.search_of(study)]
    with pytest.raises(ValueError, match="one objective"):
        rounds(several)
