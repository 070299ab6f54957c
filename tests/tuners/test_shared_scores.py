"""Models that differ in something, wherever it is, are trained as what they are.

The right curves are those of Keras's own steps, and of the same search with
`reuse_programs=False`.
"""

import functools
import importlib.util
import sys
from typing import Any

import keras
import numpy as np
import pytest

from keras_tricks import training
from keras_tricks import tuners
from keras_tricks.tuners import seeds
from tests import child_process
from tests import sampling
from tests.tuners import differences
from tests.tuners.differences import KINDS

# One of each sort.
REPRESENTATIVE = (
    "l2_factor",
    "loss_closure",
    "loss_subclass_without_config",
    "metric_closure",
    "omitted_in_config",
    "captured_dict_that_is_mutated",
    "constant_factor",
    "schedule_without_config",
)
TESTED = [name for name, kind in KINDS.items() if kind.is_like is None]
SEEDS = [seeds.derived_seed(0, trial_id, 0) for trial_id in ("0", "1")]
RTOL, ATOL = 1e-4, 1e-6


@functools.cache
def fitted(name: str) -> list[dict[str, list[float]]]:
    """Returns the curves that the two models of a kind must have."""
    kind = KINDS[name]
    curves = []
    for value, seed in zip(kind.values, SEEDS, strict=True):
        with differences.Process():
            try:
                curves.append(differences.fitted_curves(kind, value, seed))
            except ValueError as error:
                pytest.skip(f"Keras {keras.__version__} does not take it: {error}")
    scores = [min(each[kind.objective]) for each in curves]
    # Else no test could tell one from the other.
    assert abs(scores[0] - scores[1]) > 0.005 * max(map(abs, scores))
    return curves


@pytest.fixture(autouse=True)
def _process_as_it_was():
    with differences.Process():
        yield


def assert_same(curves: Any, others: Any) -> None:
    assert len(curves) == len(others)
    for one, other in zip(curves, others, strict=True):
        assert set(one) == set(other)
        for name, curve in one.items():
            np.testing.assert_allclose(curve, other[name], RTOL, ATOL, err_msg=name)


@pytest.mark.parametrize("name", sampling.one_in(6, TESTED, always=REPRESENTATIVE))
def test_trials_are_what_fit_makes_of_them(name, tmp_path):
    """And the best one's model, loaded, has the score that the leaderboard tells."""
    kind, expected = KINDS[name], fitted(name)
    tuner = differences.searched(tmp_path, kind)
    assert_same(differences.curves_of(tuner), expected)
    (model,) = tuner.get_best_models()
    logs = model.evaluate(
        *kind.arrays()["validation_data"],
        batch_size=differences.BATCH_SIZE,
        verbose=0,
        return_dict=True,
    )
    score = tuner.leaderboard()[kind.objective][0]
    np.testing.assert_allclose(logs[kind.objective[4:]], score, RTOL, ATOL)


@pytest.mark.parametrize("name", sampling.one_in(6, TESTED[::2]))
def test_trials_of_a_pack_are_what_fit_makes_of_them(name, tmp_path):
    expected = fitted(name)
    tuner = differences.searched(tmp_path, KINDS[name], packed_trials=2)
    assert_same(differences.curves_of(tuner), expected)


def is_flat(name: str) -> bool:
    """Whether a kind's data are one array of examples and one of labels."""
    return not any(map(keras.tree.is_nested, KINDS[name].data()))


@pytest.mark.parametrize("name", sampling.one_in(6, filter(is_flat, TESTED[1::2])))
def test_settings_are_what_fit_makes_of_them(name):
    kind, expected = KINDS[name], fitted(name)
    trained = training.train(
        kind.values,
        kind.model,
        **kind.arrays(),
        epochs=differences.EPOCHS,
        batch_size=differences.BATCH_SIZE,
        seeds=SEEDS,
        packed=2,
    )
    assert_same([each.curves for each in trained], expected)


FED = [name for name in TESTED if KINDS[name].is_fed]


@pytest.mark.parametrize("name", sampling.one_in(3, FED))
def test_models_that_differ_in_fed_numbers_share_a_program(name, tmp_path):
    tuner = differences.searched(tmp_path, KINDS[name])
    assert differences.number_of_programs(tuner) == 1


def build_any(hp):
    kind = KINDS[hp.Choice("kind", list(REPRESENTATIVE))]
    value = kind.values[hp.Choice("which", [0, 1])]
    return kind.model(value)


@pytest.fixture(scope="module", name="all_fitted")
def all_fitted_fixture(tmp_path_factory):
    return searched_all(tmp_path_factory.mktemp("fitted"), reuse_programs=False)


def searched_all(directory, workers=1, **arguments):
    """Returns a search over the representative kinds, times their values."""
    tuner = tuners.GridSearch(
        build_any, "val_loss", seed=0, directory=directory, **arguments
    )
    data = KINDS[REPRESENTATIVE[0]].arrays()
    epochs, size = differences.EPOCHS, differences.BATCH_SIZE
    tuner.search(**data, epochs=epochs, batch_size=size, verbose=0, workers=workers)
    return tuner


@pytest.mark.parametrize(
    "arguments", [{}, {"packed_trials": 2}, {"workers": 2}], ids=str
)
def test_kinds_of_one_search_are_what_fit_makes_of_them(
    arguments, all_fitted, tmp_path
):
    """Also in workers, to which a model's code is sent."""
    tuner = searched_all(tmp_path, **arguments)
    curves = differences.curves_of(all_fitted)
    assert len(curves) == 2 * len(REPRESENTATIVE)
    assert_same(differences.curves_of(tuner), curves)


def benchmark():
    """Returns the script that makes random pairs, as a module."""
    path = child_process.ROOT / "benchmarks" / "shared_scores.py"
    spec = importlib.util.spec_from_file_location("shared_scores", path)
    module = importlib.util.module_from_spec(spec)
    # As dataclasses need it.
    sys.modules.setdefault(spec.name, module)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("seed", sampling.one_in(5, range(100, 115)))
def test_random_pairs_are_what_fit_makes_of_them(seed):
    """`benchmarks/shared_scores.py --pairs 1000` makes more of them."""
    script = benchmark()
    pair, kind = script.pair_of(seed)
    script.run(pair, kind, ["train, packed", "search"])
    assert not pair.failures, pair.places
