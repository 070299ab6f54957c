"""Searches read from their folders: as their tuners have them."""

import keras_tuner
import pandas as pd
import pytest

from keras_tricks.analysis import boundaries
from keras_tricks.analysis import searches
from keras_tricks.tuners import CoarseToFine
from keras_tricks.tuners.results.saved_search import SavedSearch
from tests.analysis.searches import Known
from tests.analysis.searches import searched


@pytest.fixture(scope="module")
def tuner(tmp_path_factory):
    tuner = searched(tmp_path_factory.mktemp("saved"))
    tuner.note("03", why="Curious.")
    return tuner


def test_the_leaderboard_is_the_tuners(tuner):
    saved = SavedSearch.read(tuner.project_dir)
    pd.testing.assert_frame_equal(saved.leaderboard(), tuner.leaderboard())
    assert (saved.kind, saved.seed, saved.objective.name) == (
        *("RandomSearch", 0),
        "val_loss",
    )


def test_all_is_as_the_tuner_has_it(tuner):
    assert searches.search_of(tuner.project_dir) == searches.search_of(tuner)
    assert str(boundaries(tuner.project_dir)) == str(boundaries(tuner))


def test_the_folder_of_a_list_of_objectives(tmp_path):
    class Two(Known):
        def fit(self, hp, model, *args, **kwargs):
            loss, accuracy = hp.get("rate"), hp.get("dropout")
            return {
                "val_loss": loss,
                "val_accuracy": accuracy,
                "multi_objective": loss - accuracy,
            }

    objective = [
        keras_tuner.Objective("val_loss", "min"),
        keras_tuner.Objective("val_accuracy", "max"),
    ]
    tuner = searched(tmp_path, hypermodel=Two(), trials=5, objective=objective)
    saved = SavedSearch.read(tuner.project_dir)
    pd.testing.assert_frame_equal(saved.leaderboard(), tuner.leaderboard())


def test_a_folder_of_keras_tuners_own(tmp_path):
    """Its trials have no records; which metric is the score is found by its value."""

    class Own(Known):
        def fit(self, hp, model, *args, **kwargs):
            return {"loss": 9.0, "val_accuracy": hp.get("rate")}

    stock = keras_tuner.RandomSearch(
        Own(),
        keras_tuner.Objective("val_accuracy", "max"),
        max_trials=6,
        seed=0,
        directory=tmp_path,
        project_name="stock",
    )
    # It imports tensorboard for every trial, which TensorFlow lacks.
    stock._configure_tensorboard_dir = lambda *args: None
    stock.search(verbose=0)
    saved = SavedSearch.read(tmp_path / "stock")
    assert saved.objective.name == "val_accuracy"
    assert saved.objective.direction == "max"
    scores = saved.leaderboard()["val_accuracy"].tolist()
    best = [trial.score for trial in stock.oracle.get_best_trials(6)]
    assert scores == pytest.approx(best)
    assert {name for _, c in saved.space for name in [c["name"]]} >= {"rate", "layers"}


def test_rounds_are_several_searches(tmp_path):
    rounds = CoarseToFine(
        Known(),
        keras_tuner.Objective("val_loss", "min"),
        rounds=2,
        trials_per_round=8,
        seed=0,
        directory=tmp_path,
        project_name="rounds",
    )
    rounds.search(verbose=0)
    folder = searches.searches_of(tmp_path / "rounds")
    assert [each.name for each in folder] == ["round_1", "round_2"]
    assert folder == searches.searches_of(rounds)


def test_damaged_files_are_named_and_left_out(tmp_path):
    tuner = searched(tmp_path, trials=5)
    (tmp_path / "known" / "trial_2" / "record.json").write_text("{")
    (tmp_path / "known" / "oracle.json").write_text("{")
    with pytest.warns(UserWarning, match="damaged") as caught:
        saved = SavedSearch.read(tuner.project_dir)
    assert len(caught) == 2
    # KerasTuner's file still tells of the trial, and of the space.
    assert len(saved.records) == 5
    assert len(saved.space) >= 4


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda path: path / "none", FileNotFoundError, "where there is none"),
        (lambda path: path, ValueError, "is nothing"),
        (lambda path: 3, TypeError, "must be a path"),
    ],
)
def test_what_is_no_search_is_refused(tmp_path, make, error, words):
    with pytest.raises(error, match=words):
        SavedSearch.read(make(tmp_path))


def test_a_folder_is_read_without_keras(tuner, run_python):
    """What only reads files starts in a fraction of a second."""
    code = f"""
        import sys
        sys.argv[0] = "keras-tricks"  # As the command does.
        from keras_tricks.analysis import summarize
        print(len(summarize({tuner.project_dir!r}).leaderboard))
        print({{"keras", "keras_tuner", "tensorflow"}} & set(sys.modules))
    """
    assert run_python(code).splitlines() == ["64", "set()"]


def stock_search(folder, fit, direction="max", trials=6):
    class Own(Known):
        def fit(self, hp, model, *args, **kwargs):
            return fit(hp)

    name = "val_accuracy" if direction == "max" else "val_loss"
    stock = keras_tuner.RandomSearch(
        Own(),
        keras_tuner.Objective(name, direction),
        max_trials=trials,
        seed=0,
        directory=folder,
        project_name="stock",
        max_consecutive_failed_trials=trials,
    )
    stock._configure_tensorboard_dir = lambda *args: None
    stock.search(verbose=0)
    return stock


def test_a_first_trial_that_failed_tells_no_direction(tmp_path):
    ended = []

    def fit(hp):
        ended.append(hp)
        if len(ended) == 1:
            raise ValueError("The first fails.")
        return {"val_accuracy": hp.get("rate")}

    stock = stock_search(tmp_path, fit)
    table = SavedSearch.read(tmp_path / "stock").leaderboard()
    best = stock.oracle.get_best_trials(1)[0].score
    assert table["val_accuracy"][0] == pytest.approx(best)


def test_of_several_metrics_with_the_scores_that_of_the_validation_is_taken(tmp_path):
    stock_search(
        tmp_path,
        lambda hp: {"accuracy": hp.get("rate"), "val_loss": hp.get("rate")},
        "min",
    )
    objective = SavedSearch.read(tmp_path / "stock").objective
    assert (objective.name, objective.direction) == ("val_loss", "min")


def test_a_metric_that_is_not_known_for_sure_is_told(tmp_path):
    stock_search(
        tmp_path,
        lambda hp: {"val_acc": hp.get("rate"), "val_loss": hp.get("rate")},
        "min",
    )
    with pytest.warns(UserWarning, match=r"those of val_acc .*val_loss \(min\)"):
        SavedSearch.read(tmp_path / "stock")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("trial_1/trial.json", '{"status": "COMPLETED", "trial_id": "1"}'),
        (
            "trial_1/trial.json",
            '{"status": "COMPLETED", "trial_id": "1", "score": "a"}',
        ),
        ("oracle.json", '{"hyperparameters": {"space": [{}]}}'),
        ("oracle.json", '{"hyperparameters": 3}'),
    ],
)
def test_foreign_files_are_named_and_left_out(tmp_path, name, content):
    stock_search(tmp_path, lambda hp: {"val_accuracy": hp.get("rate")})
    (tmp_path / "stock" / name).write_text(content)
    with pytest.warns(UserWarning, match="Skipped a damaged"):
        saved = SavedSearch.read(tmp_path / "stock")
    assert len(saved.records) >= 5


@pytest.mark.parametrize("content", ['{"objective": 5}', '{"roles": 5}'])
def test_a_foreign_search_file_is_no_matter(tmp_path, content):
    stock_search(tmp_path, lambda hp: {"val_accuracy": hp.get("rate")})
    (tmp_path / "stock" / "search.json").write_text(content)
    assert len(SavedSearch.read(tmp_path / "stock").records) == 6


def test_kerastuners_own_tuner_is_read_from_its_files(tmp_path):
    stock = stock_search(tmp_path, lambda hp: {"val_accuracy": hp.get("rate")})
    assert len(searches.search_of(stock).records) == 6


def test_names_that_columns_have_stay_apart(tmp_path):
    class Named(Known):
        def build(self, hp):
            hp.Int("rank", 1, 3)
            hp.Int("hp_rank", 4, 6)
            return super().build(hp)

    table = searched(tmp_path, hypermodel=Named(), trials=3).leaderboard()
    assert table.columns.is_unique
    assert table["hp_hp_rank"].between(1, 3).all()
    assert table["hp_rank"].between(4, 6).all()
