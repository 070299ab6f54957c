"""Spaces that the default settings alone do not show."""

import itertools
import warnings

import keras
import keras_tuner
import pytest

from keras_tricks import tuners
from keras_tricks.tuners import InfeasibleTrialError
from tests import sampling
from tests.tuners import toys

TUNERS = [
    tuners.RandomSearch,
    tuners.BayesianOptimization,
    tuners.GridSearch,
    tuners.QuasiRandomSearch,
    tuners.OptunaSearch,
]


class Wants(keras_tuner.HyperModel):
    """Trains nothing; a setting is as good as its rate is small.

    Args:
        ask: Asks for hyperparameters, and returns the rate.
    """

    def __init__(self, ask):
        super().__init__()
        self.ask = ask

    def build(self, hp):
        self.ask(hp)
        return keras.Sequential()

    def fit(self, hp, model, **kwargs):
        return float(self.ask(hp))


def searched(tuner_class, ask, directory, max_trials=12, **arguments):
    if tuner_class is tuners.GridSearch:
        max_trials = None
    tuner = tuner_class(
        Wants(ask), max_trials=max_trials, seed=0, directory=directory, **arguments
    )
    tuner.search(verbose=0)
    return tuner


def infeasible_at_defaults(hp):
    depth = hp.Int("depth", 1, 4)
    if depth == 1:
        raise InfeasibleTrialError("too shallow")
    return depth * hp.Choice("rate", [1.0, 2.0])


@pytest.mark.parametrize("tuner_class", TUNERS)
def test_the_default_settings_may_be_infeasible(tmp_path, tuner_class):
    tuner = searched(tuner_class, infeasible_at_defaults, tmp_path)
    assert {hp.name for hp in tuner.oracle.get_space().space} >= {"depth", "rate"}
    table = tuner.leaderboard()
    for status, depth in zip(table["status"], table["depth"], strict=True):
        assert status == ("INFEASIBLE" if depth == 1 else "COMPLETED")
    assert (table["status"] == "COMPLETED").any()


def trained(ask):
    """Returns a function from `hp` to a small model, for Hyperband, which trains it."""

    def build(hp):
        rate = ask(hp)
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
        model.compile(keras.optimizers.SGD(rate * 1e-3), "mse")
        return model

    return build


@pytest.mark.parametrize(
    "ask",
    [lambda hp: infeasible_at_defaults(hp), lambda hp: one_name_in_branches(hp)],
    ids=["infeasible", "one name"],
)
def test_hyperband_trains_such_models(tmp_path, ask):
    tuner = tuners.Hyperband(
        trained(ask), "loss", max_epochs=3, seed=0, directory=tmp_path
    )
    tuner.search(toys.toy_data()["x"], toys.toy_data()["y"], verbose=0)
    table = tuner.leaderboard()
    infeasible = table["depth"] == 1 if "depth" in table else [False] * len(table)
    for status, is_infeasible in zip(table["status"], infeasible, strict=True):
        assert status == ("INFEASIBLE" if is_infeasible else "COMPLETED")
    assert tuner.get_best_models()


def test_one_branch_may_be_infeasible(tmp_path):
    """KerasTuner visits each condition until it was active: here it never is."""

    def ask(hp):
        kind = hp.Choice("kind", ["a", "b"])
        if kind == "b":
            raise InfeasibleTrialError("b is of no use")
        with hp.conditional_scope("kind", ["a"]):
            rate = hp.Choice("rate_a", [1.0, 2.0])
        with hp.conditional_scope("kind", ["b"]):
            hp.Choice("rate_b", [1.0, 2.0])
        return rate

    table = searched(tuners.GridSearch, ask, tmp_path, max_trials=None).leaderboard()
    found = dict(table.groupby(["kind", "status"]).size())
    assert found[("a", "COMPLETED")] == 2
    assert ("b", "COMPLETED") not in found


def test_an_error_of_another_kind_is_told_at_once(tmp_path):
    def ask(hp):
        raise ValueError("no such optimizer")

    with pytest.raises(ValueError, match="no such optimizer"):
        tuners.RandomSearch(Wants(ask), directory=tmp_path)


def one_name_in_branches(hp):
    kind = hp.Choice("kind", ["sgd", "adam", "adamw"])
    with hp.conditional_scope("kind", ["sgd"]):
        if kind == "sgd":
            rate = hp.Float("rate", 0.1, 1.0, sampling="log")
            nesterov = hp.Boolean("nesterov")
            with hp.conditional_scope("nesterov", [True]):
                if nesterov:
                    hp.Choice("momentum", [0.5, 0.9])
    with hp.conditional_scope("kind", ["adam"]):
        if kind == "adam":
            rate = hp.Float("rate", 1e-4, 1e-2, sampling="log")
    with hp.conditional_scope("kind", ["adamw"]):
        if kind == "adamw":
            rate = hp.Choice("rate", [1e-5, 1e-6])
    return rate


@pytest.mark.parametrize("tuner_class", TUNERS)
def test_one_name_under_several_conditions(tmp_path, tuner_class):
    arguments = {"max_trials": 30}
    if tuner_class is tuners.BayesianOptimization:  # A suggestion takes a second.
        arguments = {"max_trials": 14, "num_initial_points": 10}
    tuner = searched(tuner_class, one_name_in_branches, tmp_path, **arguments)
    table = tuner.leaderboard()
    assert set(table["status"]) == {"COMPLETED"}
    assert set(table["kind"]) == {"sgd", "adam", "adamw"}
    # The score is the rate, of the branch's own range.
    assert table["rate"].tolist() == table["default_objective"].tolist()
    low = {"sgd": 0.1, "adam": 1e-4, "adamw": 1e-6}
    high = {"sgd": 1.0, "adam": 1e-2, "adamw": 1e-5}
    for kind, rate in zip(table["kind"], table["rate"], strict=True):
        assert low[kind] <= rate <= high[kind]
    again = searched(tuner_class, one_name_in_branches, tmp_path / "again", **arguments)
    settings = [record.settings for record in tuner._ended_records()]
    assert [record.settings for record in again._ended_records()] == settings
    for hp in tuner.get_best_hyperparameters(3):
        assert hp.get("rate") < 1e-2
        assert tuner.hypermodel.ask(hp) == hp.get("rate")
    reloaded = searched(tuner_class, one_name_in_branches, tmp_path, **arguments)
    # But for the hyperparameters that the trials have found.
    assert reloaded.leaderboard()["rate"].tolist() == table["rate"].tolist()


def test_one_name_under_several_conditions_is_narrowed_in_each(tmp_path):
    search = tuners.CoarseToFine(
        Wants(one_name_in_branches),
        rounds=2,
        trials_per_round=30,
        seed=0,
        directory=tmp_path,
    )
    search.search(verbose=0)
    for hp in search.rounds_run[-1].tuner.oracle.get_space().space:
        if hp.name == "rate" and hasattr(hp, "min_value"):
            is_sgd = hp.conditions[0].values == ["sgd"]
            assert (hp.min_value > 0.05) == is_sgd


@keras.saving.register_keras_serializable("test_exploration")
class Subclassed(keras.Model):
    """A model without inputs, whose weights its first call makes."""

    def __init__(self, units, names=None, tokens=None, shape=None):
        super().__init__()
        self.embedded = keras.layers.Embedding(tokens, 2) if tokens else None
        self.hidden = keras.layers.Dense(units)
        self.out = keras.layers.Dense(1)
        self.names = names
        if shape is not None:
            # Marks the model as built, and gives its layers no weights.
            self.build(shape)

    def call(self, inputs, training=False):
        if self.names:
            inputs = keras.ops.concatenate([inputs[n] for n in self.names], axis=-1)
        if self.embedded is not None:
            inputs = keras.ops.mean(self.embedded(inputs), axis=1)
        return self.out(self.hidden(inputs))


FORMS = ["array", "dict", "tuple", "integers", "marked"]


@pytest.mark.parametrize(
    ("form", "tuner_class"),
    sampling.only(
        # One where the last trials go on from the weights of others.
        [("integers", tuners.RandomSearch), ("dict", tuners.Hyperband)],
        itertools.product(FORMS, [tuners.RandomSearch, tuners.Hyperband]),
    ),
)
@pytest.mark.filterwarnings("ignore:.*build.. was called on layer")
def test_models_without_inputs_are_loaded(tmp_path, form, tuner_class):
    is_random = tuner_class is tuners.RandomSearch
    arguments = {"max_trials": 3} if is_random else {"max_epochs": 3}
    x, y = toys.toy_data()["x"], toys.toy_data()["y"]
    names, tokens = None, None
    shape = (None, 4) if form == "marked" else None
    if form == "dict":
        x, names = {"a": x[:, :1], "b": x[:, 1:]}, ["a", "b"]
    elif form == "tuple":
        x, names = (x[:, :1], x[:, 1:]), [0, 1]
    elif form == "integers":
        x, tokens = (10 + x).astype("int32"), 30

    def build(hp):
        model = Subclassed(hp.Int("units", 1, 9), names, tokens, shape)
        model.compile("sgd", "mse")
        return model

    def search():
        return tuner_class(build, "loss", seed=0, directory=tmp_path, **arguments)

    search().search(x, y, validation_data=(x, y), epochs=2, verbose=0)
    tuner = search()
    best = tuner.get_best_models(3)
    table = tuner.leaderboard()[:3]
    assert set(table["status"]) == {"COMPLETED"}
    for model, record in zip(best, table.itertuples(), strict=True):
        curves = tuner.curves(record.trial_id)[0]
        found = model.evaluate(x, y, verbose=0)
        assert found == pytest.approx(curves["val_loss"][record.best_epoch - 1], 1e-5)


def depends(hp):
    """A range that follows from another hyperparameter."""
    most = hp.Int("n", 1, 8)
    return 1.0 * hp.Int("u", 1, 1 + most)


@pytest.mark.parametrize("workers", sampling.only([1], [1, 2]))
def test_one_name_with_two_ranges_is_told_once(tmp_path, workers):
    tuner = tuners.RandomSearch(
        Wants(depends), max_trials=4, seed=0, directory=tmp_path
    )
    message = "hyperparameter 'u': max_value first 2, now .* the first stays in force"
    with pytest.warns(UserWarning, match=message) as told:
        tuner.search(verbose=0, workers=workers)
    told = [each for each in told if "two ranges" in str(each.message)]
    assert len(told) == 1
    assert told[0].filename == __file__
    assert tuner.leaderboard()["u"].max() <= 2


def test_two_ranges_under_two_conditions_are_two_hyperparameters(tmp_path):
    def conditional(hp):
        kind = hp.Choice("kind", ["a", "b"])
        with hp.conditional_scope("kind", ["a"]):
            first = hp.Int("u", 1, 2)
        with hp.conditional_scope("kind", ["b"]):
            second = hp.Int("u", 3, 4)
        return float(first if kind == "a" else second)

    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        table = searched(tuners.RandomSearch, conditional, tmp_path, 4).leaderboard()
    assert set(table["u"]) == {1, 2, 3, 4}


def test_ranges_that_the_tuner_is_given_overrule_those_of_the_model(tmp_path):
    given = keras_tuner.HyperParameters()
    given.Float("x", 0.0, 0.1)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        tuner = searched(
            tuners.RandomSearch,
            lambda hp: hp.Float("x", 0.0, 9.0),
            tmp_path,
            2,
            hyperparameters=given,
        )
    assert tuner.leaderboard()["x"].max() <= 0.1
