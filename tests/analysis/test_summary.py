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


def made_of(losses, name="made"):
    """A search of these scores."""
    return searches.Search(
        name,
        None,
        searches.Objective("loss", "min"),
        [
            searches.TrialRecord(str(n), "COMPLETED", "loss", "min", score=loss)
            for n, loss in enumerate(losses)
        ],
        [],
    )


def test_one_lucky_trial_of_many_bad_ones_is_no_evidence():
    lucky = [0.99, *(5.0 + 0.01 * n for n in range(59))]
    found = rounds([made_of([1.0, 1.01, 1.02, 1.03, 1.04]), made_of(lucky)]).table
    assert found["gain"][1] > 0
    assert not found["is_clear"][1]


def test_an_extended_int_stays_whole(tmp_path):
    class Deeper(Known):
        def build(self, hp):
            hp.Int("layers", 2, 4)
            hp.Float("rate", 0.0, 1.0)
            return keras.Sequential()

        def fit(self, hp, model, *args, **kwargs):
            return {"val_loss": -hp.get("layers") + 0.1 * hp.get("rate")}

    made = {}
    exec(summarize(searched(tmp_path, hypermodel=Deeper())).next_space.code, made)
    [layers] = [hp for hp in made["hp"].space if hp.name == "layers"]
    assert type(layers).__name__ == "Int"
    assert layers.max_value > 4


def test_an_edge_that_is_the_end_is_no_edge_to_extend(tmp_path):
    class Share(Known):
        def build(self, hp):
            hp.Float("dropout", 0.0, 0.9)
            return keras.Sequential()

        def fit(self, hp, model, *args, **kwargs):
            return {"val_loss": hp.get("dropout")}

    summary = summarize(searched(tmp_path, hypermodel=Share()))
    said = summary.conclusions[questions.BOUNDARIES]
    assert "lower edge of dropout, beyond which it cannot go" in said
    assert "extended" not in summary.next_space.code


def test_pruned_trials_are_no_failures():
    def objective(trial):
        x = trial.suggest_float("x", 0, 1)
        if x > 0.5:
            raise optuna.TrialPruned
        return x

    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(0))
    study.optimize(objective, n_trials=30)
    said = summarize(study).conclusions[questions.INFEASIBLE]
    assert "trials were pruned." in said
    assert "no finite score" not in said
    assert "confirm" not in summarize(study).conclusions[questions.BEST]


def test_ranges_that_change_from_trial_to_trial_are_one():
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(0))
    for high, trials in ((1.0, 80), (0.3, 20)):
        study.optimize(
            lambda trial, high=high: abs(trial.suggest_float("x", 0, high) - 0.6),
            n_trials=trials,
        )
    assert "edge of x" not in summarize(study).conclusions[questions.BOUNDARIES]


def test_a_loss_that_breaks_off_is_diverging():
    from keras_tricks.diagnosis import diagnose

    nan = float("nan")
    found = diagnose({"loss": [1, 0.5, nan, nan], "val_loss": [1, 0.6, 0.5, 0.4]})
    assert [verdict.name for verdict in found.verdicts] == ["diverging"]


def test_several_rounds_are_no_single_search(tmp_path):
    class Rounds:
        rounds_run = ()

    with pytest.raises(TypeError, match="take a round's tuner"):
        summarize(Rounds())
    (tmp_path / "round_1").mkdir()
    with pytest.raises(TypeError, match="take a round's tuner"):
        summarize(tmp_path)
