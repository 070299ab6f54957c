"""What `model.fit` takes means the same in `search`.

The oracle is a plain `fit` of the same model with the same arguments, unshuffled.
"""

import functools
import gc
import itertools

import keras
import keras_tuner
import numpy as np
import pytest

from keras_tricks.tuners import Hyperband
from keras_tricks.tuners import RandomSearch
from keras_tricks.tuners import WithinBudget
from keras_tricks.tuners.trials import overrides
from tests import sampling
from tests.tuners import toys

N = 40
GENERATOR = np.random.default_rng(0)
A = GENERATOR.normal(size=(N, 3)).astype("float32")
B = GENERATOR.normal(size=(N, 2)).astype("float32")
Y = (A[:, :1] > 0).astype("float32")
WEIGHTS = np.linspace(0.1, 2.0, N).astype("float32")


def one_input(hp):
    hp.Float("unused", 0.0, 1.0)
    return made(keras.Sequential([keras.Input((3,)), dense()]))


def two_inputs(hp):
    hp.Float("unused", 0.0, 1.0)
    inputs = [keras.Input((3,)), keras.Input((2,))]
    return made(keras.Model(inputs, dense()(keras.layers.concatenate(inputs))))


def two_outputs(hp):
    hp.Float("unused", 0.0, 1.0)
    inputs = keras.Input((3,))
    return made(keras.Model(inputs, [dense()(inputs), dense()(inputs)]))


def dense():
    """The same weights in each trial, whatever it is seeded with."""
    return keras.layers.Dense(1, kernel_initializer="ones")


def made(model):
    model.compile(keras.optimizers.SGD(0.1), "mse")
    return model


CASES = {
    "all by place": (one_input, (A, Y, 8, 3, 0), {"shuffle": False}),
    "validation by place": (
        one_input,
        (A, Y, 8, 2, 0, None, 0.0, (A[:9], Y[:9]), False),
        {},
    ),
    "split by place": (one_input, (A, Y, None, 2, 0, None, 0.25), {"shuffle": False}),
    "list of inputs": (two_inputs, ([A, B], Y), {"shuffle": False}),
    "shuffled in one batch": (two_inputs, ([A, B], Y, N), {"epochs": 2}),
    "weights": (one_input, (A, Y, N), {"sample_weight": WEIGHTS, "epochs": 2}),
    "weights of outputs": (
        two_outputs,
        (A, [Y, -Y], N, 2),
        {"sample_weight": [WEIGHTS, WEIGHTS[::-1]]},
    ),
    "weights for all outputs": (
        two_outputs,
        (A, [Y, -Y], N, 2),
        {"sample_weight": WEIGHTS, "validation_split": 0.25},
    ),
    "weights of classes": (one_input, (A, Y, N), {"class_weight": {1: 3.0}}),
    "weights of the validation": (
        one_input,
        (A, Y),
        {"validation_data": (A, Y, WEIGHTS), "shuffle": False},
    ),
    "one callback alone": (
        one_input,
        (A, Y),
        {
            "callbacks": keras.callbacks.EarlyStopping("loss", patience=0, min_delta=9),
            "epochs": 5,
            "shuffle": False,
        },
    ),
    "frequency": (
        one_input,
        (A, Y, N, 4),
        {"validation_split": 0.25, "validation_freq": [2, 4]},
    ),
}


@pytest.mark.parametrize(
    ("case", "reuse_programs"),
    # Programs are what may be wrong.
    sampling.only(
        [*((c, True) for c in [*CASES][::2]), *((c, False) for c in [*CASES][1::6])],
        itertools.product(CASES, [True, False]),
    ),
)
def test_a_trial_is_trained_as_by_fit(case, reuse_programs, tmp_path):
    build, args, kwargs = CASES[case]
    model = build(keras_tuner.HyperParameters())
    wanted = model.fit(*args, **{**({} if len(args) > 4 else {"verbose": 0}), **kwargs})
    tuner = RandomSearch(
        build,
        "loss",
        max_trials=2,
        seed=0,
        directory=tmp_path,
        reuse_programs=reuse_programs,
    )
    tuner.search(*args, **{**({} if len(args) > 4 else {"verbose": 0}), **kwargs})
    for trial in range(2):
        [curves] = tuner.curves(str(trial))
        for name in ("loss", "val_loss"):
            np.testing.assert_allclose(
                curves.get(name, []), wanted.history.get(name, []), rtol=1e-5
            )


def test_hyperband_sets_epochs_that_are_given_by_place(tmp_path):
    tuner = Hyperband(one_input, "loss", max_epochs=3, seed=0, directory=tmp_path)
    tuner.search(A, Y, 8, 50, 0)
    lengths = [len(tuner.curves(str(n))[0]["loss"]) for n in range(6)]
    assert lengths == [1, 1, 1, 2, 3, 3]


def test_what_is_given_twice_is_refused_before_the_first_trial(tmp_path):
    tuner = RandomSearch(one_input, "loss", max_trials=1, directory=tmp_path)
    with pytest.raises(TypeError, match="`batch_size` must be given by its place or"):
        tuner.search(A, Y, 8, batch_size=8)
    assert not list(tmp_path.glob("*/trial_*"))


@pytest.mark.parametrize("verbose", [3, "loud", np.zeros(2), None])
def test_verbose_by_place_is_the_search_s(verbose, tmp_path):
    tuner = RandomSearch(one_input, "loss", max_trials=1, directory=tmp_path)
    with pytest.raises(ValueError, match="`verbose` must be"):
        tuner.search(A, Y, 8, 1, verbose)


def test_a_confirmed_search_with_arguments_by_place(tmp_path):
    tuner = RandomSearch(one_input, "loss", max_trials=1, seed=0, directory=tmp_path)
    tuner.search(A, Y, N, 1, 0)
    found = tuner.confirm(top=1, reruns=2)
    # The weights are the same in each rerun, and one batch has no order.
    score = tuner.leaderboard()["loss"][0]
    assert found.reruns[0].scores == pytest.approx((score, score), rel=1e-5)


class Foreign(keras_tuner.HyperModel):
    """Its `fit` has arguments of its own, one behind the other."""

    def __init__(self):
        super().__init__()
        self.given = []

    def build(self, hp):
        return one_input(hp)

    def fit(self, hp, model, train, other, patience, epochs, labels=None, **kwargs):
        kwargs.pop("callbacks")
        self.given.append((train, other, patience, epochs, labels, kwargs))
        return 1.0


@pytest.mark.parametrize("wrap", [False, True])
def test_a_fit_of_ones_own_is_given_what_search_is_given(wrap, tmp_path):
    hypermodel = Foreign()
    limited = WithinBudget(hypermodel, 10**6) if wrap else hypermodel
    tuner = RandomSearch(limited, max_trials=1, directory=tmp_path, seed=0)
    train, other, patience = object(), object(), object()
    tuner.search(train, other, patience, "often", labels=A, weights=B, verbose=0)
    [given] = hypermodel.given
    expected = (train, other, patience, "often", A)
    assert all(one is same for one, same in zip(given, expected, strict=False))
    assert given[5]["weights"] is B
    assert given[5].keys() == {"weights", "verbose"}


# Who trains?


def own_fit(hp, model, *args, **kwargs):
    return 1.0


class OwnFit(keras_tuner.HyperModel):
    def build(self, hp):
        return one_input(hp)

    def fit(self, hp, model, *args, **kwargs):
        return 1.0


class Plain(keras_tuner.HyperModel):
    def build(self, hp):
        return one_input(hp)


class Wrapper(keras_tuner.HyperModel):
    """Keeps another hypermodel under the name that `WithinBudget` has for it."""

    def __init__(self, hypermodel):
        super().__init__()
        self.hypermodel = hypermodel

    def build(self, hp):
        return self.hypermodel.build(hp)

    def fit(self, hp, model, *args, **kwargs):
        return 1.0


class WithOwnFit(WithinBudget):
    def fit(self, hp, model, *args, **kwargs):
        return 1.0


class Duck:
    """No subclass of anything."""

    def build(self, hp):
        return one_input(hp)

    def fit(self, hp, model, *args, **kwargs):
        return 1.0


def with_instance_fit():
    hypermodel = Plain()
    hypermodel.fit = own_fit
    return hypermodel


def with_attributes(hp):
    return one_input(hp)


with_attributes.fit = own_fit
with_attributes.hypermodel = OwnFit()
with_attributes.build = None

OWN = {
    "fit": OwnFit,
    "fit of an instance": with_instance_fit,
    "wrapper": lambda: Wrapper(Plain()),
    "wrapper of a wrapper": lambda: Wrapper(WithinBudget(Plain(), N, 10)),
    "within a budget": lambda: WithinBudget(OwnFit(), N, 10),
    "instance within a budget": lambda: WithinBudget(with_instance_fit(), N, 10),
    "duck within a budget": lambda: WithinBudget(Duck(), N, 10),
    "subclass of the budget": lambda: WithOwnFit(Plain(), N, 10),
}
KERAS_OWN = {
    "function": lambda: one_input,
    "function with attributes": lambda: with_attributes,
    "function with attributes in a budget": lambda: WithinBudget(
        with_attributes, N, 10
    ),
    "partial": lambda: functools.partial(one_input),
    "bound method": lambda: Duck().build,
    "plain": Plain,
    "within a budget": lambda: WithinBudget(WithinBudget(Plain(), N, 10), N, 10),
}


@pytest.mark.parametrize("name", OWN)
def test_a_fit_of_ones_own_is_called(name, tmp_path):
    hypermodel = OWN[name]()
    assert not overrides.trains_by_fit(hypermodel)
    tuner = RandomSearch(hypermodel, max_trials=1, directory=tmp_path)
    tuner.search(A, Y, verbose=0)
    assert tuner.leaderboard()["default_objective"].tolist() == [1.0]


@pytest.mark.parametrize("name", KERAS_OWN)
def test_without_one_fit_trains(name, tmp_path):
    hypermodel = KERAS_OWN[name]()
    assert overrides.trains_by_fit(hypermodel)
    tuner = RandomSearch(hypermodel, "loss", max_trials=1, directory=tmp_path, seed=0)
    tuner.search(A, Y, N, 1, 0)
    model = one_input(keras_tuner.HyperParameters())
    loss = model.evaluate(A, Y, verbose=0)
    assert tuner.leaderboard()["loss"].tolist() == [pytest.approx(loss, rel=1e-5)]


@pytest.mark.parametrize("limit", [None, 0.5])
@pytest.mark.parametrize("returned", [None, 3, "model"])
@pytest.mark.parametrize("reuse_programs", [False, True])
def test_a_build_that_returns_no_model_ends_the_search_as_kerastuner_says(
    returned, limit, reuse_programs, tmp_path
):
    def build(hp):
        hp.Float("x", 0.0, 1.0)
        one_input(hp)
        return returned

    tuner = RandomSearch(
        build,
        "loss",
        max_trials=3,
        directory=tmp_path,
        parameter_budget=limit,
        reuse_programs=reuse_programs,
    )
    with pytest.raises(keras_tuner.errors.FatalTypeError, match="valid Keras Model"):
        tuner.search(A, Y, verbose=0)
    assert tuner._ended_records() == []


@pytest.mark.parametrize("reuse_programs", [True, False])
@pytest.mark.parametrize(("name", "hint"), [("epoch", "epochs"), ("worker", "workers")])
def test_an_argument_that_fit_does_not_have_ends_the_search_at_once(
    name, hint, reuse_programs, tmp_path
):
    tuner = RandomSearch(
        one_input, "loss", directory=tmp_path, reuse_programs=reuse_programs
    )
    message = rf"`report`; did you mean `{hint}`\? Received: {name}=2"
    with pytest.raises(keras_tuner.errors.FatalTypeError, match=message):
        tuner.search(A, Y, verbose=0, **{name: 2})
    assert tuner._ended_records() == []


def test_the_fit_of_a_model_s_own_may_have_other_arguments(tmp_path):
    class Own(keras.Sequential):
        def fit(self, *args, rounds=1, **kwargs):
            return super().fit(*args, epochs=rounds, **kwargs)

    def build(hp):
        hp.Float("unused", 0.0, 1.0)
        model = Own([keras.Input((3,)), keras.layers.Dense(1)])
        model.compile("sgd", "mse")
        return model

    tuner = RandomSearch(build, "loss", max_trials=1, directory=tmp_path, seed=0)
    tuner.search(A, Y, rounds=2, verbose=0)
    assert len(tuner.curves("0")[0]["loss"]) == 2


# The tuner's own `optimizer`, `loss` and `metrics`.


class Constant(keras.optimizers.schedules.LearningRateSchedule):
    """A schedule that cannot be saved."""

    def __call__(self, step):
        return 0.1


def own_loss(y, predicted):
    return keras.ops.mean(keras.ops.abs(y - predicted) ** 1.5)


class OwnCompile(keras.Sequential):
    """It does not know all names that Keras's `compile` has."""

    def compile(self, optimizer, loss, metrics=None):
        super().compile(optimizer=optimizer, loss=loss, metrics=metrics)


def compiled_with(model_class=keras.Sequential, **arguments):
    def build(hp):
        hp.Float("unused", 0.0, 1.0)
        model = model_class([keras.Input((3,)), dense()])
        made = {name: make() for name, make in arguments.items()}
        model.compile(**{"optimizer": "sgd", "loss": "mse", **made})
        return model

    return build


def objects():
    return [keras.metrics.MeanAbsoluteError(name="distance")]


OVERRIDES = {
    "string": (compiled_with(), {"optimizer": "adam"}),
    "names": (compiled_with(metrics=lambda: ["mae"]), {"optimizer": "adam"}),
    "objects": (
        compiled_with(metrics=objects),
        {"optimizer": keras.optimizers.Adam(0.1)},
    ),
    "loss": (compiled_with(metrics=lambda: ["mae"]), {"loss": own_loss}),
    "function": (
        compiled_with(metrics=lambda: [own_loss]),
        {"loss": own_loss, "optimizer": keras.optimizers.SGD(0.2, momentum=0.5)},
    ),
    "other metrics": (compiled_with(metrics=objects), {"metrics": ["mae"]}),
    "compile of its own": (
        compiled_with(OwnCompile, metrics=objects),
        {"optimizer": "adam"},
    ),
}


@pytest.mark.parametrize("case", sampling.one_in(4, OVERRIDES))
def test_a_tuner_s_compile_arguments_count_as_for_kerastuner(case, tmp_path):
    build, arguments = OVERRIDES[case]
    settings = {"max_trials": 1, **arguments}
    data = {"x": A, "y": Y, "epochs": 2, "batch_size": N, "verbose": 0}
    results = []

    class Stock(keras_tuner.RandomSearch):
        def run_trial(self, *args, **kwargs):
            results.extend(super().run_trial(*args, **kwargs))
            return results

        def _configure_tensorboard_dir(self, *args):
            """KerasTuner's imports tensorboard, which need not be there."""

    Stock(build, "loss", directory=tmp_path / "stock", **settings).search(**data)
    [wanted] = results
    for reuse_programs in (False, True):
        tuner = RandomSearch(
            build,
            "loss",
            directory=tmp_path / str(reuse_programs),
            reuse_programs=reuse_programs,
            **settings,
        )
        tuner.search(**data)
        [curves] = tuner.curves("0")
        assert curves.keys() == wanted.history.keys()
        for metric, curve in wanted.history.items():
            np.testing.assert_allclose(curves[metric], curve, rtol=1e-5)


def test_what_cannot_be_saved_is_compiled_again_as_it_is(tmp_path):
    build = compiled_with(optimizer=lambda: keras.optimizers.SGD(Constant()))
    tuner = RandomSearch(
        build,
        "loss",
        max_trials=1,
        directory=tmp_path,
        loss="mae",
    )
    tuner.search(A, Y, N, 2, 0)
    model = compiled_with(
        optimizer=lambda: keras.optimizers.SGD(0.1), loss=lambda: "mae"
    )(keras_tuner.HyperParameters())
    wanted = model.fit(A, Y, N, 2, 0).history["loss"]
    np.testing.assert_allclose(tuner.curves("0")[0]["loss"], wanted, rtol=1e-5)


@pytest.mark.parametrize("reuse_programs", [False, True])
def test_a_model_that_is_not_compiled_is_compiled_by_the_tuner(
    reuse_programs, tmp_path
):
    """KerasTuner's documents say so; with Keras 3 it fails."""
    tuner = RandomSearch(
        lambda hp: keras.Sequential([keras.Input((3,)), dense()]),
        "loss",
        max_trials=1,
        directory=tmp_path,
        optimizer=keras.optimizers.SGD(0.1),
        loss="mse",
        metrics=["mae"],
        reuse_programs=reuse_programs,
    )
    tuner.search(A, Y, N, 2, 0)
    wanted = one_input(keras_tuner.HyperParameters()).fit(A, Y, N, 2, 0).history
    [curves] = tuner.curves("0")
    np.testing.assert_allclose(curves["loss"], wanted["loss"], rtol=1e-5)
    assert curves.keys() == {"loss", "mae"}


def test_the_rest_of_compile_stays_as_the_model_has_it():
    def build(hp):
        model = keras.Sequential([keras.Input((3,)), dense()])
        model.compile("sgd", "mse", weighted_metrics=["mae"], steps_per_execution=2)
        return model

    tuner = RandomSearch(build, "loss", optimizer="adam", max_trials=1)
    model = tuner.hypermodel.build(keras_tuner.HyperParameters())
    tuner._override_compile_args(model)
    assert type(model.optimizer) is keras.optimizers.Adam
    assert model.steps_per_execution == 2
    assert "mae" in model.fit(A, Y, verbose=0).history


# Budgets.


@pytest.mark.parametrize(
    ("args", "kwargs", "samples"),
    [
        (([A, B], Y), {"verbose": 0}, N),
        (([A, B], Y, 8, 1, 0, None, 0.25), {}, 30),
        (
            ([A, B], Y, 8, 1, 0),
            {"validation_data": ([A, B], Y), "validation_split": 0.25},
            N,
        ),
    ],
)
def test_a_budget_counts_the_examples_that_are_trained_on(
    args, kwargs, samples, tmp_path
):
    tuner = RandomSearch(
        two_inputs, "loss", max_trials=1, directory=tmp_path, parameter_budget=1e-9
    )
    with pytest.raises(RuntimeError, match=f"6 trainable parameters for {samples} sa"):
        tuner.search(*args, **kwargs)


@pytest.mark.parametrize("are_kept", [True, False])
def test_objects_that_are_kept_from_the_collector_stay_so(
    tmp_path, are_kept, monkeypatch
):
    """A search keeps others from it while it runs, unless somebody does that."""
    monkeypatch.undo()  # Of conftest.py: here they are counted.
    frozen = gc.get_freeze_count()
    gc.unfreeze()
    if are_kept:
        gc.freeze()
    within = []

    def outcome(number):
        within.append(gc.get_freeze_count())
        return 1.0

    try:
        tuner = RandomSearch(toys.Scored(outcome), max_trials=1, directory=tmp_path)
        tuner.search(verbose=0)
        # Some of them may have gone meanwhile, by themselves.
        assert (gc.get_freeze_count() > 10_000) == are_kept
        assert within[0] > 10_000
    finally:
        gc.unfreeze()
        if frozen:
            gc.collect()
            gc.freeze()
