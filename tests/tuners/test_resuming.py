"""What becomes of each argument of each tuner when its search is resumed."""

import functools
import importlib.util
import inspect
import itertools
import linecache
import textwrap
from pathlib import Path

import keras
import keras_tuner
import numpy as np
import pytest
from sklearn.model_selection import KFold
from sklearn.model_selection import PredefinedSplit

from keras_tricks import tuners
from keras_tricks.tuners.storage import fingerprints
from keras_tricks.tuners.storage import identity
from keras_tricks.tuners.trials.options import TunerOptions
from keras_tricks.tuners.tuner import TunerMixin
from tests import sampling
from tests.tuners import toys

TUNERS = {
    name: getattr(tuners, name)
    for name in (
        *("RandomSearch", "BayesianOptimization", "GridSearch", "Hyperband"),
        *("QuasiRandomSearch", "OptunaSearch"),
    )
}
SPACE = keras_tuner.HyperParameters()
for each in "wxyz":
    SPACE.Float(each, 0.0, 1.0)


def doubled(training):
    return lambda examples: 2 * examples


def halved(training):
    return lambda examples: examples / 2


# Argument -> a value, another one, and what else is needed.
REFUSED = {
    "allow_new_entries": (True, False, {"hyperparameters": SPACE}),
    "tune_new_entries": (True, False, {"hyperparameters": SPACE}),
    "executions_per_trial": (1, 2, {}),
    "optimizer": ("sgd", keras.optimizers.SGD(0.5), {}),
    "loss": ("mse", keras.losses.Huber(0.5), {}),
    "metrics": (["mae"], ["mse"], {}),
    "splits": (KFold(2), KFold(3), {}),
    "groups": ([0, 1] * 32, [0, 0, 1, 1] * 16, {"splits": KFold(2)}),
    "preprocess": (doubled, halved, {"splits": KFold(2)}),
    "num_initial_points": (3, 4, {}),
    "alpha": (2e-4, 1e-3, {}),
    "beta": (2.5, 1.0, {}),
    "engine": ("log_ei", "keras_tuner", {}),
    "max_epochs": (9, 27, {}),
    "factor": (3, 2, {}),
    "sequence": ("sobol", "halton", {}),
}
# The same, and where the new value is in force.
TAKEN = {
    "max_trials": (1, 3, lambda tuner: tuner.oracle.max_trials),
    "hyperband_iterations": (1, 3, lambda tuner: tuner.oracle.hyperband_iterations),
    "max_retries_per_trial": (0, 2, lambda tuner: tuner.oracle.max_retries_per_trial),
    "max_consecutive_failed_trials": (
        3,
        5,
        lambda tuner: tuner.oracle.max_consecutive_failed_trials,
    ),
    "max_model_size": (None, 10, lambda tuner: tuner.max_model_size),
    "parameter_budget": (None, 0.5, lambda tuner: tuner.options.parameter_budget),
    "sampler": ("tpe", "qmc", lambda tuner: tuner.oracle.sampler),
    "pruner": (None, "median", lambda tuner: tuner.oracle.pruner and "median"),
    "lease_seconds": (60.0, 30.0, lambda tuner: tuner.oracle.lease_seconds),
    "keep_checkpoints": (3, 1, lambda tuner: tuner.options.keep_checkpoints),
    "packed_trials": (None, 4, lambda tuner: tuner.options.packed_trials),
    "reuse_programs": (True, False, lambda tuner: tuner.options.reuse_programs),
    "tuner_id": ("one", "two", lambda tuner: tuner.tuner_id),
}


def arguments_of(tuner_class):
    """All that its constructor takes, by itself or for the classes above it."""
    names = set()
    for constructor in (tuner_class, TunerOptions, TunerMixin, keras_tuner.Tuner):
        for name, parameter in inspect.signature(constructor).parameters.items():
            if parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
                names.add(name)
    return names - {"oracle", "options"}


@pytest.mark.parametrize("name", [*TUNERS, "CoarseToFine"])
def test_each_argument_has_its_place_in_the_table(name):
    tuner_class = {**TUNERS, "CoarseToFine": tuners.CoarseToFine}[name]
    tables = identity.REFUSED, identity.TAKEN, identity.COMPARED, identity.PLACES
    for argument in arguments_of(tuner_class):
        assert sum(argument in table for table in tables) == 1, argument
    assert not identity.REFUSED - REFUSED.keys() - COARSE.keys()


def begun(tuner_class, folder, **arguments):
    """A search with a trial that ended."""
    tuner = tuner_of(tuner_class, folder, **arguments)
    data = toys.toy_data()
    tuner.search(data["x"], data["y"], verbose=0)
    return tuner


def tuner_of(tuner_class, folder, **arguments):
    hypermodel = toys.Scored(float)
    given = {"max_trials": 1, "seed": 0, "directory": folder, **arguments}
    return tuner_class(hypermodel, **given)


def cases(table):
    """What all tuners share is seen at two, the rest where it belongs."""
    common = set.intersection(*map(arguments_of, TUNERS.values()))
    return [
        (name, argument)
        for name, tuner_class in TUNERS.items()
        for argument in table
        if argument in arguments_of(tuner_class)
        and (argument not in common or name in ("RandomSearch", "OptunaSearch"))
    ]


@pytest.mark.parametrize(("name", "argument"), sampling.one_in(2, cases(REFUSED)))
def test_what_would_be_another_search_is_refused(tmp_path, name, argument):
    tuner_class = TUNERS[name]
    value, other, besides = REFUSED[argument]
    begun(tuner_class, tmp_path, **besides, **{argument: value})
    with pytest.raises(ValueError, match=rf"\n  {argument}.*: saved .*, now "):
        tuner_of(tuner_class, tmp_path, **besides, **{argument: other})
    again = tuner_of(tuner_class, tmp_path, **besides, **{argument: value})
    assert len(again.leaderboard()) == 1
    fresh = tuner_of(
        tuner_class, tmp_path, overwrite=True, **besides, **{argument: other}
    )
    assert len(fresh.leaderboard()) == 0


@pytest.mark.parametrize(
    ("argument", "made", "difference"),
    [
        (
            "optimizer",
            lambda rate: keras.optimizers.SGD(rate),
            r"\n  optimizer config learning_rate: saved 0\.1, now 0\.2\n",
        ),
        (
            "optimizer",
            lambda rate: keras.optimizers.Adam(
                keras.optimizers.schedules.CosineDecay(rate, 10)
            ),
            "learning_rate config initial_learning_rate: saved 0.1, now 0.2",
        ),
        (
            "loss",
            lambda delta: keras.losses.Huber(delta),
            "loss attributes .*delta: saved 0.1, now 0.2",
        ),
        (
            "metrics",
            lambda threshold: [keras.metrics.BinaryAccuracy(threshold=threshold)],
            "metrics: saved .*0.1.*, now .*0.2",
        ),
    ],
)
def test_objects_of_keras_are_compared_by_what_they_are(
    tmp_path, argument, made, difference
):
    """Two of them have different names, by number, and are one."""
    begun(tuners.RandomSearch, tmp_path, **{argument: made(0.1)})
    again = tuner_of(tuners.RandomSearch, tmp_path, **{argument: made(0.1)})
    assert len(again.leaderboard()) == 1
    with pytest.raises(ValueError, match=difference):
        tuner_of(tuners.RandomSearch, tmp_path, **{argument: made(0.2)})


@pytest.mark.parametrize(("name", "argument"), sampling.one_in(2, cases(TAKEN)))
def test_what_may_change_is_in_force_at_once(tmp_path, name, argument):
    tuner_class = TUNERS[name]
    value, other, in_force = TAKEN[argument]
    begun(tuner_class, tmp_path, **{argument: value})
    resumed = tuner_of(tuner_class, tmp_path, **{argument: other})
    assert len(resumed.leaderboard()) == 1
    assert in_force(resumed) == other


def test_hyperband_goes_on_with_more_iterations(tmp_path):
    """Where KerasTuner's own state would end it at once."""
    arguments = {"max_epochs": 2, "factor": 2, "max_trials": None}
    tuner = begun(Known, tmp_path, **arguments)
    number = len(tuner.leaderboard())
    more = begun(Known, tmp_path, hyperband_iterations=2, **arguments)
    assert len(more.leaderboard()) == 2 * number


class Known(tuners.Hyperband):
    """Trains nothing."""

    def run_trial(self, trial, *args, **kwargs):
        return trial.hyperparameters.get("x")


@pytest.mark.parametrize(
    ("name", "other"),
    [*itertools.pairwise(TUNERS), ("OptunaSearch", "RandomSearch")],
)
def test_another_kind_of_search_is_refused(tmp_path, name, other):
    begun(TUNERS[name], tmp_path)
    message = f"kind of search: saved {name}, now {other}"
    with pytest.raises(ValueError, match=message):
        tuner_of(TUNERS[other], tmp_path)


def test_a_subclass_goes_on_with_the_search_of_its_base(tmp_path):
    class Own(tuners.RandomSearch):
        pass

    begun(tuners.RandomSearch, tmp_path)
    assert len(tuner_of(Own, tmp_path).leaderboard()) == 1


@pytest.mark.parametrize(
    ("value", "other"),
    [
        (3, 4),
        (KFold(3, shuffle=True, random_state=0), KFold(3)),
        (
            [(np.arange(32), np.arange(32, 64))],
            [(np.arange(30), np.arange(30, 64))],
        ),
    ],
    ids=["number", "splitter", "indices"],
)
def test_folds_are_compared_in_each_form(tmp_path, value, other):
    begun(tuners.RandomSearch, tmp_path, splits=value)
    assert len(tuner_of(tuners.RandomSearch, tmp_path, splits=value).leaderboard()) == 1
    with pytest.raises(ValueError, match="\n  splits: saved"):
        tuner_of(tuners.RandomSearch, tmp_path, splits=other)


def scaled(k):
    return lambda training: lambda examples: k * examples


def powered(training, k=1):
    return lambda examples: examples**k


class Scaler:
    def __init__(self, k):
        self.k = k

    def fitted(self, training):
        return lambda examples: self.k * examples


def loss_of(k):
    def loss(y, predicted):
        return k * keras.ops.mean(keras.ops.abs(y - predicted))

    return loss


class Halves:
    """A splitter of the user's."""

    def __init__(self, gap):
        self.gap = gap

    def split(self, x, y=None, groups=None):
        rows = np.arange(len(x))
        yield rows[: 32 - self.gap], rows[32:]


FOLDS = {"splits": KFold(2)}


@pytest.mark.parametrize(
    ("argument", "made", "besides", "difference"),
    [
        ("preprocess", scaled, FOLDS, "preprocess closure k: saved 1, now 2"),
        (
            "preprocess",
            lambda k: functools.partial(powered, k=k),
            FOLDS,
            "preprocess keywords k: saved 1, now 2",
        ),
        (
            "preprocess",
            lambda k: Scaler(k).fitted,
            FOLDS,
            "preprocess self k: saved 1, now 2",
        ),
        ("loss", loss_of, {}, "loss closure k: saved 1, now 2"),
        ("splits", Halves, {}, "splits gap: saved 1, now 2"),
        (
            "splits",
            lambda k: KFold(2, shuffle=True, random_state=np.random.RandomState(k)),
            {},
            "splits random_state: saved 'RandomState, state .*', now 'RandomState, ",
        ),
        (
            "splits",
            lambda k: PredefinedSplit(np.r_[np.arange(2000) == 1000 * k, True]),
            {},
            "splits test_fold: saved '1 arrays, .*', now '1 arrays",
        ),
    ],
    ids=["closure", "partial", "method", "loss", "splitter", "state", "long array"],
)
def test_what_functions_and_objects_hold_is_compared(
    tmp_path, argument, made, besides, difference
):
    started(tmp_path, **besides, **{argument: made(1)})
    started(tmp_path, **besides, **{argument: made(1)})
    with pytest.raises(ValueError, match=rf"\n  {difference}"):
        started(tmp_path, **besides, **{argument: made(2)})


def started(folder, hypermodel=None, **arguments):
    """A search of which a trial is on disk: what it is given need not train."""
    tuner = tuners.RandomSearch(
        hypermodel or toys.Scored(float),
        **{"max_trials": 1, "seed": 0, "directory": folder, **arguments},
    )
    if not tuner.oracle.trials:
        tuner._project._identity.write(Path(tuner.project_dir))
        trial = tuner.oracle.create_trial("tuner0")
        tuner.oracle.update_trial(trial.trial_id, {"default_objective": 1.0})
        trial.status = "COMPLETED"
        tuner.oracle.end_trial(trial)
        tuner.save()
    return tuner


def defined(source, folder, name="written"):
    """What a module of that source defines as `made`."""
    path = folder / f"{name}.py"
    path.write_text(source)
    linecache.checkcache()
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.made


@pytest.mark.parametrize(
    ("source", "is_same"),
    [
        ('def made(x):\n    """Twice."""\n    # Really.\n\n    return (2 * x)\n', True),
        ("def made(x):\n    return 3 * x\n", False),
        ("made = lambda x: 2 * x\n", False),
    ],
    ids=["comment", "number", "lambda"],
)
def test_a_function_is_known_by_its_code(tmp_path, source, is_same):
    first = defined("def made(x):\n    return 2 * x\n", tmp_path)
    before = fingerprints.described(first)
    assert (fingerprints.described(defined(source, tmp_path)) == before) == is_same


def test_the_globals_that_a_function_looks_at_are_compared(tmp_path):
    source = """
        def helper(x):
            return {} * x

        K = {}
        mean = {}  # It looks at no global of this name.

        def made(training):
            return lambda x: helper(K * x / training.mean())
    """
    first, mean, number, code = (
        fingerprints.described(defined(textwrap.dedent(source).format(*n), tmp_path))
        for n in ((1, 1, 1), (1, 1, 2), (1, 2, 1), (2, 1, 1))
    )
    assert first == mean
    assert fingerprints.differences("preprocess", first, number) == [
        "preprocess globals K: saved 1, now 2"
    ]
    [difference] = fingerprints.differences("preprocess", first, code)
    assert difference.startswith("preprocess globals helper code: saved 'SHA-256 ")


def test_a_lambda_without_source_is_known_by_its_bytecode():
    one, same, other = (eval(f"lambda x: x in {{'a', 'b', {n}}}") for n in (1, 1, 2))
    assert fingerprints.described(one) == fingerprints.described(same)
    assert fingerprints.described(one) != fingerprints.described(other)


def test_functions_of_libraries_go_by_their_names():
    assert fingerprints.described(np.linalg.norm) == "numpy.linalg.norm"
    found = fingerprints.described(keras.losses.mean_squared_error)
    assert found.endswith("losses.mean_squared_error")


def test_a_function_that_refers_to_itself_is_described():
    def factorial(n):
        return n * factorial(n - 1) if n else 1

    found = fingerprints.described(factorial)
    assert found["closure"] == {"factorial": "the same function again"}


def grown(hp):
    hp.Float("a", 0.0, 1.0)
    hp.Float("b", 0.0, 1.0)
    return keras.Sequential()


def small(hp):
    hp.Float("a", 0.0, 1.0)
    return keras.Sequential()


def test_a_space_that_grew_is_refused(tmp_path):
    started(tmp_path, small)
    with pytest.raises(ValueError, match="\n  hyperparameter 'b': new, was not saved"):
        started(tmp_path, grown)


class Late(keras_tuner.HyperModel):
    """Asks for one more hyperparameter when it trains."""

    def __init__(self, largest=8, smallest=1):
        super().__init__()
        self.largest, self.smallest = largest, smallest

    def build(self, hp):
        hp.Float("a", 0.5, 1.0)
        return keras.Sequential()

    def fit(self, hp, model, **kwargs):
        return hp.Int("late", self.smallest, self.largest)


def late(folder, hypermodel=None, max_trials=2, workers=1, **arguments):
    tuner = tuners.RandomSearch(
        hypermodel or Late(),
        max_trials=max_trials,
        seed=0,
        directory=folder,
        **arguments,
    )
    tuner.search(verbose=0, workers=workers)
    return tuner


def test_what_only_trials_find_does_not_count_as_new(tmp_path):
    tuner = late(tmp_path)
    assert len(late(tmp_path, max_trials=3).leaderboard()) == 3
    # Its own trials have found `late`, and another process has gone on meanwhile.
    tuner.search(verbose=0)
    assert len(tuner.leaderboard()) == 3


def test_hyperparameters_given_to_one_search_are_not_enlarged_by_it(tmp_path):
    given = keras_tuner.HyperParameters()
    given.Float("a", 0.5, 1.0)
    late(tmp_path, hyperparameters=given)
    assert [hp.name for hp in given.space] == ["a"]
    assert len(late(tmp_path, hyperparameters=given, max_trials=3).leaderboard()) == 3


@pytest.mark.parametrize(("seed", "is_refused"), [(0, True), (None, False)])
def test_a_space_found_at_random_points_may_grow_where_no_seed_is_given(
    tmp_path, seed, is_refused
):
    def infeasible_first(*names):
        def build(hp):
            if hp.Int("depth", 1, 4) == 1:
                raise tuners.InfeasibleTrialError("too shallow")
            for name in names:
                hp.Float(name, 0.0, 1.0)
            return keras.Sequential()

        return build

    started(tmp_path, infeasible_first("a"), seed=seed)
    if is_refused:
        with pytest.raises(ValueError, match="'b': new, was not saved"):
            started(tmp_path, infeasible_first("a", "b"), seed=seed)
    else:
        tuner = started(tmp_path, infeasible_first("a", "b"), seed=seed)
        assert len(tuner.oracle.trials) == 1


@pytest.mark.parametrize("workers", sampling.only([1], [1, 2]))
def test_another_range_of_what_trials_find_is_refused_when_it_is_asked_for(
    tmp_path, workers
):
    late(tmp_path)
    message = r"another search:\n  hyperparameter 'late': max_value saved 8, now 100"
    with pytest.raises(keras_tuner.errors.FatalValueError, match=message):
        late(tmp_path, Late(100), max_trials=3, workers=workers)
    assert len(late(tmp_path, max_trials=3).leaderboard()) == 3


def test_a_late_range_that_follows_from_another_value_goes_on(tmp_path):
    class Depends(Late):
        def fit(self, hp, model, **kwargs):
            return hp.Int("late", 1, 2 + int(10 * hp.get("a")))

    with pytest.warns(UserWarning, match="'late': max_value first"):
        late(tmp_path, Depends(), max_trials=3)
    with pytest.warns(UserWarning, match="'late': max_value first"):
        assert len(late(tmp_path, Depends(), max_trials=5).leaderboard()) == 5


COARSE = {
    "tuner": (tuners.RandomSearch, tuners.QuasiRandomSearch),
    "trials_per_round": (3, 4),
    "quantile": (0.25, 0.5),
    "importance_threshold": (0.05, 0.1),
    "limits": ({"x": (0, 2)}, {"x": (0, 3)}),
    "subset": (None, 0.5),
    "first_round": ({"epochs": 1}, {"epochs": 2}),
    "agreement_trials": (5, 4),
    "seed": (0, 1),
}


def coarse(folder, **arguments):
    given = {"rounds": 1, "trials_per_round": 3, "seed": 0, **arguments}
    return tuners.CoarseToFine(toys.Scored(float), directory=folder, **given)


@pytest.mark.parametrize("argument", sampling.one_in(3, COARSE))
def test_rounds_that_were_decided_otherwise_are_refused(tmp_path, argument):
    value, other = COARSE[argument]
    besides = {"first_round": {"epochs": 1}} if argument == "subset" else {}
    coarse(tmp_path, **{**besides, argument: value}).search(verbose=0)
    with pytest.raises(ValueError, match=rf"\n  {argument}.*: saved .*, now "):
        coarse(tmp_path, **{**besides, argument: other})
    coarse(tmp_path, **{**besides, argument: value}).search(verbose=0)


def test_more_rounds_follow_those_that_were_run(tmp_path):
    coarse(tmp_path).search(verbose=0)
    more = coarse(tmp_path, rounds=2, reruns=2)
    more.search(verbose=0)
    assert len(more.rounds_run) == 2
