"""Importances, held against closed forms, brute force and Optuna's evaluator."""

import itertools
import time
import warnings

import keras
import keras_tuner
import numpy as np
import pandas as pd
import pytest
from sklearn.tree import DecisionTreeRegressor

from keras_tricks.analysis import fanova
from keras_tricks.analysis import importances
from keras_tricks.tuners import RandomSearch

ROUNDING = 1e-9


def frame(count, score, seed=0, **columns):
    rng = np.random.default_rng(seed)
    trials = pd.DataFrame({name: draw(rng, count) for name, draw in columns.items()})
    trials["loss"] = score(trials)
    return trials


def uniform(rng, count):
    return rng.random(count)


def choice(*values):
    return lambda rng, count: rng.choice(values, count)


def shares(found):
    table = found.table
    return dict(zip(table["hyperparameter"], table["importance"], strict=True))


def pair_shares(found):
    table = found.interactions
    names = zip(table["one"], table["other"], strict=True)
    return {
        frozenset(pair): value
        for pair, value in zip(names, table["importance"], strict=True)
    }


def test_a_tree_is_decomposed_as_brute_force_does():
    """On a grid so fine that every leaf's edges lie between its points."""
    rng = np.random.default_rng(0)
    cells, kinds = 8, 3
    middles = (np.arange(cells) + 0.5) / cells
    grid = np.array(
        [
            [a, b, *np.eye(kinds)[k]]
            for a, b, k in itertools.product(middles, middles, range(kinds))
        ]
    )
    y = grid[:, 0] * grid[:, 1] + 2 * grid[:, 2] * grid[:, 0] - grid[:, 4]
    y += rng.normal(size=len(y))
    tree = DecisionTreeRegressor(max_depth=7, random_state=0).fit(grid, y)
    # Thresholds lie amid the points, so at the edges of the grid's cells.
    thresholds = tree.tree_.threshold[np.isin(tree.tree_.feature, (0, 1))]
    np.testing.assert_array_equal(thresholds * cells % 1, 0)
    features = [
        fanova.Feature((0,)),
        fanova.Feature((1,)),
        fanova.Feature((2, 3, 4), np.eye(kinds)),
    ]
    values = tree.predict(grid).reshape(cells, cells, kinds)
    total = values.var()
    marginals = [
        values.mean(axis=tuple(a for a in range(3) if a != axis)) for axis in range(3)
    ]
    single, pairs, variance = fanova.decomposed(tree.tree_, features)
    assert variance == pytest.approx(total, rel=ROUNDING)
    np.testing.assert_allclose(
        single, [m.var() / total for m in marginals], rtol=0, atol=ROUNDING
    )
    for one, other in itertools.combinations(range(3), 2):
        [third] = {0, 1, 2} - {one, other}
        both = values.mean(axis=third)
        rest = both - marginals[one][:, None] - marginals[other][None, :]
        assert pairs[one, other] == pytest.approx(rest.var() / total, abs=ROUNDING)


def test_a_sum_has_the_shares_of_its_terms():
    """Of 3 a + b the variance is 9 parts of a and one of b, and no pair has any."""
    trials = frame(
        300, lambda t: 3 * t["a"] + t["b"], a=uniform, b=uniform, idle=uniform
    )
    found = importances(trials, objective="loss")
    known = shares(found)
    assert known["a"] == pytest.approx(0.9, abs=0.05)
    assert known["b"] == pytest.approx(0.1, abs=0.05)
    assert known["idle"] < 0.01
    assert found.table["matters"].tolist() == [True, True, False]
    assert not found.interactions["matters"].any()
    assert found.reason is None
    assert found.explained > 0.9


def test_a_product_has_the_share_of_its_pair():
    """Of (a - 1/2)(b - 1/2) each alone explains nothing; of a b, 3/7, 3/7 and 1/7."""
    centred = frame(
        600, lambda t: (t["a"] - 0.5) * (t["b"] - 0.5), a=uniform, b=uniform
    )
    found = importances(centred, objective="loss")
    assert pair_shares(found)[frozenset("ab")] > 0.8
    assert found.interactions["matters"].tolist() == [True]
    product = frame(600, lambda t: t["a"] * t["b"], a=uniform, b=uniform)
    found = importances(product, objective="loss")
    assert shares(found) == pytest.approx({"a": 3 / 7, "b": 3 / 7}, abs=0.05)
    assert pair_shares(found)[frozenset("ab")] == pytest.approx(1 / 7, abs=0.05)


@pytest.mark.parametrize(
    "values",
    [("adam", "sgd", "lion"), (True, False), (16, 64, 256), ("a", 1, None, (2, 3))],
    ids=str,
)
def test_categories_have_the_variance_of_their_means(values):
    def draw(rng, count):
        column = np.empty(count, object)
        column[:] = [values[n] for n in rng.integers(len(values), size=count)]
        return column

    trials = frame(200, lambda t: t["a"], kind=draw, a=uniform)
    steps = {repr(value): 2.0 * n for n, value in enumerate(values)}
    trials["loss"] += [steps[repr(value)] for value in trials["kind"]]
    if None in values:  # An empty cell is a hyperparameter that a trial does not have.
        trials = trials[[value is not None for value in trials["kind"]]]
        steps.pop("None")
    between = np.var(list(steps.values()))
    found = shares(importances(trials, objective="loss"))
    assert found["kind"] == pytest.approx(between / (between + 1 / 12), abs=0.03)


def test_a_range_counts_by_its_own_scale():
    """By the logarithm of the rate the score is a line: each decade counts the same."""
    trials = frame(
        300,
        lambda t: np.log10(t["rate"]) + 4 * t["b"],
        rate=lambda rng, count: 10 ** rng.uniform(-6, 0, count),
        b=uniform,
    )
    found = shares(importances(trials, objective="loss"))
    assert found["rate"] == pytest.approx(36 / (36 + 16), abs=0.05)


def test_what_only_some_have_is_judged_among_these():
    rng = np.random.default_rng(0)
    trials = frame(200, lambda t: t["a"], kind=choice("x", "y"), a=uniform, b=uniform)
    only = trials["kind"] == "x"
    trials["inner"] = np.where(only, rng.random(200), np.nan)
    trials["loss"] += np.where(only, 3 * trials["inner"], 0.0)
    table = importances(trials, objective="loss").table.set_index("hyperparameter")
    assert table.loc["inner", "trials"] == only.sum()
    assert table.loc["inner", "importance"] == pytest.approx(0.9, abs=0.06)
    assert table.loc["a", "trials"] == 200
    assert set(table.index) == {"kind", "a", "b", "inner"}


def test_whether_trials_have_it_counts_where_no_other_setting_tells():
    """An empty cell may be a choice, such as no clipping."""
    trials = frame(80, lambda t: t["a"], a=uniform)
    lacks = np.random.default_rng(5).random(80) > 0.5
    trials["clip"] = np.where(lacks, np.nan, 1.0)
    trials["loss"] += 3.0 * lacks
    table = importances(trials, objective="loss").table
    [row] = table[table["hyperparameter"] == "clip"].itertuples(index=False)
    assert (row.trials, row.among, row.matters) == (80, "all", True)
    assert row.importance == pytest.approx(0.96, abs=0.03)


def test_each_is_judged_once_among_those_that_have_it():
    rng = np.random.default_rng(0)
    layers = rng.integers(1, 4, 200)
    trials = pd.DataFrame({"layers": layers})
    for n in range(3):
        trials[f"u{n}"] = np.where(layers > n, rng.random(200), np.nan)
    trials["few"] = np.where(np.arange(200) < 7, rng.random(200), np.nan)
    trials["loss"] = trials[["u0", "u1", "u2"]].sum(axis=1)
    table = importances(trials, objective="loss").table
    among = dict(zip(table["hyperparameter"], table["among"], strict=True))
    # Whether a trial has "few" is told by nothing; of its values too little is known.
    assert list(table["hyperparameter"]).count("few") == 2
    assert len(table) == 6
    assert among["layers"] == among["u0"] == "all"
    for n in (1, 2):
        assert among[f"u{n}"] == f"the {(layers > n).sum()} that have it"
    assert table["importance"].isna().sum() == 1


def test_where_nothing_stands_out_it_is_said():
    """A pure interaction, which forests find hard."""
    trials = frame(200, lambda t: t["a"], a=uniform, b=uniform, c=uniform)
    trials["loss"] = np.sign(trials["a"] - 0.5) * np.sign(trials["b"] - 0.5)
    found = importances(trials, objective="loss")
    if not found.interactions["matters"].any():
        assert "the largest share is that of a and b together" in found.reason
        assert "Fix nothing yet" in str(found)


def test_values_of_several_kinds_are_told_apart():
    trials = frame(60, lambda t: t["a"], a=uniform)
    kinds = [1, "1"] * 30
    trials["kind"] = kinds
    trials["loss"] += [3.0 * isinstance(kind, str) for kind in kinds]
    assert shares(importances(trials, objective="loss"))["kind"] > 0.9


def test_large_scores_and_offsets_change_nothing():
    trials = frame(80, lambda t: t["a"] + t["b"] / 2, a=uniform, b=uniform)
    expected = shares(importances(trials, objective="loss"))
    for factor, offset in ((1e300, 0.0), (-1e-300, 0.0), (1.0, 1e6)):
        moved = trials.assign(loss=trials["loss"] * factor + offset)
        assert shares(importances(moved, objective="loss")) == pytest.approx(
            expected,
            abs=0.01,  # Rounding may make another split the best.
        )


def test_names_that_are_no_texts_or_not_unique_are_refused():
    trials = frame(40, lambda t: t["a"], a=uniform)
    with pytest.raises(ValueError, match=r"different texts as names.*the names \[0\]"):
        importances(trials.rename(columns={"a": 0}), objective="loss")
    for name in ("a", "loss"):
        twice = pd.concat([trials, trials[[name]]], axis=1)
        with pytest.raises(ValueError, match=f"'{name}' more than once"):
            importances(twice, objective="loss")


def test_infinite_settings_are_refused_by_name():
    trials = frame(40, lambda t: t["a"], a=uniform, clip=uniform)
    trials.loc[::2, "clip"] = np.inf
    with pytest.raises(ValueError, match=r"finite numbers as settings.*in 'clip'"):
        importances(trials, objective="loss")
    few = trials.assign(clip=np.where(trials["clip"] > 1, np.inf, 5.0))
    few["loss"] += 3.0 * np.isinf(few["clip"])
    assert shares(importances(few, objective="loss"))["clip"] > 0.9


def test_many_trials_take_seconds():
    trials = frame(4000, lambda t: t["a"], **dict.fromkeys("abcde", uniform))
    began = time.perf_counter()
    importances(trials, objective="loss")
    assert time.perf_counter() - began < 60


def test_noise_is_called_noise():
    trials = frame(
        40, lambda t: np.random.default_rng(5).normal(size=40), a=uniform, b=uniform
    )
    found = importances(trials, objective="loss")
    assert not found.table["matters"].any()
    assert found.reason.startswith("40 trials are too few to tell, or their scores too")
    assert found.reason in str(found)


def test_idle_ones_seldom_matter():
    wrong = 0
    for seed in range(20):
        trials = frame(50, lambda t: t["a"], seed, a=uniform, b=uniform, c=uniform)
        table = importances(trials, objective="loss", seed=seed).table
        assert table["hyperparameter"][0] == "a"
        assert table["matters"][0]
        wrong += table["matters"][1:].sum()
    assert wrong <= 4  # Of 40; a column of random numbers is above 95 % of 5 % of them.


def test_a_few_failures_are_told_and_ranks_see_past_them():
    trials = frame(100, lambda t: t["a"], a=uniform, b=uniform)
    trials.loc[trials["b"] > 0.97, "loss"] = 1e4
    found = importances(trials, objective="loss")
    assert "10 of the 100 trials make up 9" in found.reason
    assert found.table["hyperparameter"][0] == "b"
    by_rank = importances(trials, objective="loss", scores="ranks")
    assert by_rank.table["hyperparameter"][0] == "a"
    assert by_rank.reason is None


def test_it_is_the_same_where_more_is_better_and_when_repeated():
    trials = frame(60, lambda t: t["a"] + t["b"] ** 2, a=uniform, b=uniform)
    expected = importances(trials, objective="loss").table
    again = importances(trials, objective="loss").table
    pd.testing.assert_frame_equal(expected, again)
    more = trials.assign(loss=-trials["loss"])
    found = importances(more, objective="loss", direction="max").table
    pd.testing.assert_frame_equal(expected, found)


class Scored(keras_tuner.HyperModel):
    def build(self, hp):
        hp.Float("rate", 1e-5, 1e-1, sampling="log")
        hp.Int("units", 8, 128, step=8)
        if hp.Choice("kind", ["cnn", "mlp"]) == "cnn":
            with hp.conditional_scope("kind", ["cnn"]):
                hp.Int("kernel", 2, 9)
        return keras.Sequential()

    def fit(self, hp, model, **kwargs):
        own = hp.get("kernel") / 3 if hp.get("kind") == "cnn" else 0.0
        return np.log10(hp.get("rate")) + own


@pytest.fixture(scope="module")
def tuner(tmp_path_factory):
    folder = tmp_path_factory.mktemp("search")
    tuner = RandomSearch(Scored(), max_trials=160, seed=0, directory=folder)
    tuner.search(verbose=0)
    return tuner


def test_a_search_has_its_own_ranges(tuner):
    """Of the variance, 4/3 are the rate's, 0.84 the kind's and 0.29 the kernel's."""
    table = importances(tuner).table.set_index("hyperparameter")
    assert set(table.index) == {"rate", "units", "kind", "kernel"}
    assert table.loc["kernel", "trials"] < 160
    assert table["matters"][["rate", "kernel", "kind"]].all()
    assert not table["matters"]["units"]
    assert table.loc["rate", "importance"] == pytest.approx(0.54, abs=0.1)
    assert table.loc["kind", "importance"] == pytest.approx(0.34, abs=0.1)


def test_a_study_of_a_search_has_the_importances_of_the_search(tuner):
    pytest.importorskip("optuna", reason="Optuna is not installed")
    from keras_tricks.tuners import to_optuna_study

    known, found = (
        shares(importances(tuner)),
        shares(importances(to_optuna_study(tuner))),
    )
    assert found == pytest.approx(known, abs=0.03)


def test_optunas_evaluator_agrees():
    """On linear ranges of numbers.

    It averages evenly over a rate whatever its scale, and over categories that exclude
    each other.
    """
    optuna = pytest.importorskip("optuna", reason="Optuna is not installed")

    def score(trial):
        rate = trial.suggest_float("rate", 0.0, 2.0)
        units, idle = (
            trial.suggest_int("units", 8, 128),
            trial.suggest_float("idle", 0, 1),
        )
        return 4 * rate**2 + units / 16 + 0 * idle

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(0))
    study.optimize(score, 150)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        theirs = optuna.importance.get_param_importances(
            study,
            evaluator=optuna.importance.FanovaImportanceEvaluator(seed=0),
            normalize=False,
        )
    assert shares(importances(study)) == pytest.approx(theirs, abs=0.05)


@pytest.mark.parametrize(
    ("trials", "message"),
    {
        "few": (frame(7, lambda t: t["a"], a=uniform), "8 trials with a score.*=7"),
        "equal": (frame(9, lambda t: 1.0, a=uniform), "scores that differ.*9 times 1"),
        "fixed": (
            frame(9, lambda t: np.arange(9.0), a=choice(3)),
            "a hyperparameter that varies",
        ),
        "not finite": (
            frame(9, lambda t: np.nan, a=uniform),
            "8 trials with a score.*=0",
        ),
    }.values(),
)
def test_what_tells_nothing_is_refused(trials, message):
    with pytest.raises(ValueError, match=message):
        importances(trials, objective="loss")


def test_a_picture_has_a_bar_for_each(tmp_path):
    trials = frame(60, lambda t: t["a"], a=uniform, b=uniform)
    axes = importances(trials, objective="loss").plot()
    assert [label.get_text() for label in axes.get_yticklabels()] == ["b", "a"]
    assert [bar.get_width() > 0.5 for bar in axes.patches] == [False, True]
