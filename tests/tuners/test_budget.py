"""Models over budget are neither built nor trained, and stand in the leaderboard."""

import keras
import keras_tuner
import numpy as np
import pytest
import tensorflow as tf

from keras_tricks.tuners import InfeasibleTrialError
from keras_tricks.tuners import RandomSearch
from keras_tricks.tuners import WithinBudget
from tests.tuners import toys

SAMPLES = 64
# Twelve bytes for each of 10**12 units would not fit: building it would fail.
UNITS = (2, 1_000_000_000_000)


class Wide(keras_tuner.HyperModel):
    """One hidden layer of 6 parameters a unit, and 1 more; counts what it trains."""

    def __init__(self, units=UNITS):
        super().__init__()
        self.units = units
        self.fits = 0

    def build(self, hp):
        units = hp.Choice("units", list(self.units), ordered=False)
        model = keras.Sequential(
            [keras.Input((4,)), keras.layers.Dense(units), keras.layers.Dense(1)]
        )
        model.compile("sgd", "mse")
        return model

    def fit(self, hp, model, *args, **kwargs):
        self.fits += 1
        return super().fit(hp, model, *args, **kwargs)


def data():
    return {key: toys.toy_data()[key] for key in ("x", "y")}


def search(hypermodel, directory, tuner_class=RandomSearch, data=data, **arguments):
    tuner = tuner_class(
        hypermodel, "loss", max_trials=2, seed=0, directory=directory, **arguments
    )
    tuner.search(**data(), epochs=1, verbose=0)
    return tuner


def test_a_trial_over_budget_is_infeasible_and_says_why(tmp_path):
    hypermodel = Wide()
    tuner = search(hypermodel, tmp_path, parameter_budget=0.5)
    table = tuner.leaderboard().set_index("units")
    assert table.loc[UNITS[0], "status"] == "COMPLETED"
    assert table.loc[UNITS[1], "status"] == "INFEASIBLE"
    assert table.loc[UNITS[0], "parameters"] == 6 * UNITS[0] + 1
    assert table.loc[UNITS[1], "parameters"] == 6 * UNITS[1] + 1
    assert hypermodel.fits == 1
    assert tuner.hypermodel is hypermodel
    (record,) = (r for r in tuner._ended_records() if r.status == "INFEASIBLE")
    assert record.error.startswith("6,000,000,000,001 trainable parameters for 64 sam")


def test_without_a_budget_none_is_rejected(tmp_path):
    tuner = search(Wide(units=(100, 200)), tmp_path)
    assert set(tuner.leaderboard()["status"]) == {"COMPLETED"}


def test_a_budget_that_all_meet_changes_no_score(tmp_path):
    scores = [
        search(toys.build, tmp_path / str(limit), parameter_budget=limit)
        .leaderboard()["loss"]
        .tolist()
        for limit in (None, 1e6)
    ]
    assert scores[0] == scores[1]


def test_infeasible_trials_do_not_stop_a_search(tmp_path):
    """Four of them, where three failed trials in a row would."""
    units = (2, *(UNITS[1] + i for i in range(4)))
    tuner = RandomSearch(
        Wide(units),
        "loss",
        max_trials=5,
        seed=0,
        directory=tmp_path,
        parameter_budget=1,
    )
    tuner.search(**data(), epochs=1, verbose=0)
    assert list(tuner.leaderboard()["status"]) == ["COMPLETED", *["INFEASIBLE"] * 4]


def unbuilt(hp):
    units = hp.Choice("units", list(UNITS), ordered=False)
    model = keras.Sequential([keras.layers.Dense(units), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    return model


def as_dataset():
    both = tf.data.Dataset.from_tensor_slices((data()["x"], data()["y"]))
    return {"x": both.batch(16)}


@pytest.mark.parametrize("form", [data, as_dataset])
def test_the_data_tell_the_shape_of_models_built_late(tmp_path, form):
    tuner = search(unbuilt, tmp_path, data=form, parameter_budget=0.5)
    assert sorted(tuner.leaderboard()["status"]) == ["COMPLETED", "INFEASIBLE"]


def test_validation_split_leaves_fewer_samples(tmp_path):
    """13 parameters are a quarter of 64 samples, but not of the 48 trained on."""
    tuner = RandomSearch(
        Wide(units=(2,)),
        "loss",
        max_trials=1,
        seed=0,
        directory=tmp_path,
        parameter_budget=0.25,
    )
    with pytest.raises(RuntimeError, match="13 trainable parameters for 48 samples"):
        tuner.search(**data(), epochs=1, verbose=0, validation_split=0.25)


def test_kerastuner_itself_takes_the_wrapper(tmp_path):
    hypermodel = Wide()
    tuner = keras_tuner.RandomSearch(
        WithinBudget(hypermodel, num_samples=SAMPLES),
        "loss",
        max_trials=2,
        seed=0,
        directory=tmp_path,
        max_retries_per_trial=3,
    )
    # KerasTuner imports tensorboard, which need not be there.
    tuner._configure_tensorboard_dir = lambda *args: None
    tuner.search(**data(), epochs=1, verbose=0)
    statuses = sorted(trial.status for trial in tuner.oracle.trials.values())
    assert statuses == ["COMPLETED", "FAILED"]
    assert hypermodel.fits == 1


def test_a_hypermodel_may_call_a_trial_infeasible_itself(tmp_path):
    class Picky(Wide):
        def fit(self, hp, model, *args, **kwargs):
            if hp.get("units") == 3:
                raise InfeasibleTrialError("three is a crowd")
            return super().fit(hp, model, *args, **kwargs)

    table = search(Picky(units=(2, 3)), tmp_path).leaderboard()
    assert dict(zip(table["units"], table["status"], strict=True)) == {
        2: "COMPLETED",
        3: "INFEASIBLE",
    }


@pytest.mark.parametrize("packed_trials", [None, 2])
def test_a_model_over_max_model_size_is_infeasible(tmp_path, packed_trials):
    """Three and more of them are no fault of the search's."""

    def build(hp):
        model = keras.Sequential([keras.Input((4,))])
        model.add(keras.layers.Dense(hp.Int("units", 1, 12)))
        model.add(keras.layers.Dense(1))
        model.compile("sgd", "mse")
        return model

    tuner = RandomSearch(
        build,
        "loss",
        max_trials=12,
        seed=0,
        max_model_size=25,
        max_consecutive_failed_trials=1,
        packed_trials=packed_trials,
        directory=tmp_path,
    )
    tuner.search(**data(), epochs=1, verbose=0)
    table = tuner.leaderboard().set_index("units")
    assert len(table) == 12
    for units, row in table.iterrows():
        size = 6 * units + 1
        assert row["status"] == ("COMPLETED" if size <= 25 else "INFEASIBLE")
        assert row["parameters"] == size
    (message,) = {
        record.error
        for record in tuner._ended_records()
        if record.settings["units"] == 10
    }
    assert message == (
        "The model has 61 trainable parameters, more than `max_model_size`, 25"
    )


class Subclassed(keras.Model):
    """It has no configuration, and no weights before its first batch."""

    def __init__(self, units):
        super().__init__()
        self.first, self.last = keras.layers.Dense(units), keras.layers.Dense(1)

    def call(self, x):
        return self.last(self.first(x))


class OnlyMarked(Subclassed):
    """It says that it is built, and is not."""

    def __init__(self, units):
        super().__init__(units)
        self.built = True


def without_input(units):
    return keras.Sequential([keras.layers.Dense(units), keras.layers.Dense(1)])


def built_late(make, *units):
    def build(hp):
        model = make(hp.Choice("units", list(units)))
        model.compile("sgd", "mse")
        return model

    return build


@pytest.mark.parametrize("packed_trials", [None, 2])
@pytest.mark.parametrize("make", [without_input, Subclassed, OnlyMarked])
def test_max_model_size_holds_for_models_that_the_first_batch_builds(
    tmp_path, make, packed_trials
):
    tuner = search(
        built_late(make, 2, 10),
        tmp_path,
        max_model_size=25,
        packed_trials=packed_trials,
    )
    table = tuner.leaderboard().set_index("units")
    assert table["status"].to_dict() == {2: "COMPLETED", 10: "INFEASIBLE"}
    assert table["parameters"].to_dict() == {2: 13, 10: 61}


def test_counting_a_model_that_is_built_late_changes_no_score(tmp_path):
    scores = [
        search(built_late(Subclassed, 2), tmp_path / str(size), max_model_size=size)
        .leaderboard()["loss"]
        .tolist()
        for size in (None, 10**6)
    ]
    assert scores[0] == scores[1]


def test_a_size_that_cannot_be_known_is_no_size(tmp_path):
    tuner = RandomSearch(
        built_late(without_input, 2), max_trials=1, directory=tmp_path, max_model_size=9
    )
    with pytest.raises(keras_tuner.errors.FatalValueError, match="begin them with"):
        tuner.search(verbose=0)


def test_a_budget_holds_for_a_model_that_is_only_marked_as_built(tmp_path):
    tuner = search(built_late(OnlyMarked, 2, 10), tmp_path, parameter_budget=0.5)
    table = tuner.leaderboard().set_index("units")
    assert table["status"].to_dict() == {2: "COMPLETED", 10: "INFEASIBLE"}


def as_doubled(training):
    """Twice as many columns."""
    return lambda x: np.concatenate([x, x], axis=1)


@pytest.mark.parametrize(
    ("preprocess", "number"), [(None, 13), (as_doubled, 21)], ids=["as is", "wider"]
)
def test_a_budget_counts_the_examples_of_the_smallest_training_fold(
    tmp_path, preprocess, number
):
    rows = np.arange(SAMPLES)
    tuner = RandomSearch(
        built_late(without_input, 2),
        "val_loss",
        max_trials=1,
        directory=tmp_path,
        parameter_budget=1e-3,
        splits=[(rows[:48], rows[48:]), (rows[48:], rows[:48])],
        preprocess=preprocess,
    )
    message = f"{number} trainable parameters for 16 samples"
    with pytest.raises(RuntimeError, match=message):
        tuner.search(**data(), epochs=1, verbose=0)


@pytest.mark.parametrize("limit", [0, -1.0, float("nan"), True, "half"])
def test_a_limit_that_is_no_positive_number_is_refused(tmp_path, limit):
    errors = TypeError, ValueError
    with pytest.raises(errors, match="`parameter_budget` must be a"):
        RandomSearch(toys.build, "loss", parameter_budget=limit, directory=tmp_path)
    with pytest.raises(errors, match="`limit` must be a"):
        WithinBudget(toys.build, SAMPLES, limit)


def test_a_search_without_data_is_refused_with_the_remedy(tmp_path):
    tuner = RandomSearch(
        toys.build, "loss", parameter_budget=1.0, directory=tmp_path, seed=0
    )
    with pytest.raises(ValueError, match=r"wrap it in WithinBudget\(hypermodel"):
        tuner.search(verbose=0)


def test_what_is_no_hypermodel_is_refused():
    with pytest.raises(TypeError, match=r"`hypermodel` must be a keras_tuner\.Hyp"):
        WithinBudget(np.ones(3), SAMPLES)
