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
# Fed numbers, which are packed; and a function, a class, a changed object and a
# schedule, which a worker must be sent.
SENT = (
    "l2_factor",
    "loss_closure",
    "omitted_in_config",
    "captured_dict_that_is_mutated",
    "schedule_without_config",
)
# The other sorts, and state, a mask and steps of the model's own.
SEARCHED = (
    *(name for name in REPRESENTATIVE if name not in SENT),
    "captured_variable",
    "mask_of_an_embedding",
    "attribute_of_train_step",
)
# A regularizer and an initializer of one's own.
PACKED = ("own_regularizer", "own_initializer")
# Fed numbers, an object, and what is drawn.
TRAINED = ("adam_betas", "loss_closure_over_an_object", "gaussian_noise")
TESTED = [name for name, kind in KINDS.items() if kind.is_like is None]
SEEDS = [seeds.derived_seed(0, trial_id, 0) for trial_id in ("0", "1")]
RTOL, ATOL = 1e-4, 1e-6


@functools.cache
def fitted(name: str) -> list[dict[str, list[float]]]:
    """Returns the curves that the two models of a kind must have.

    Whichever trials they are: the kinds' weights and draws have seeds of their own.
    """
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


@pytest.mark.parametrize("name", sampling.only(SEARCHED, TESTED))
def test_trials_are_what_fit_makes_of_them(name, tmp_path):
    """And the best one's model, loaded, has the score that the leaderboard tells."""
    kind, expected = KINDS[name], fitted(name)
    tuner = differences.searched(tmp_path, kind)
    assert_same(differences.curves_of(tuner), expected)
    (model,) = tuner.get_best_models()
    # What a build sets in Keras the search has put back, and a fixture does now.
    kind.build(tuner.get_best_hyperparameters()[0])
    logs = model.evaluate(
        *kind.arrays()["validation_data"],
        batch_size=differences.BATCH_SIZE,
        verbose=0,
        return_dict=True,
    )
    score = tuner.leaderboard()[kind.objective][0]
    np.testing.assert_allclose(logs[kind.objective[4:]], score, RTOL, ATOL)


@pytest.mark.parametrize("name", sampling.only(PACKED, TESTED[::2]))
def test_trials_of_a_pack_are_what_fit_makes_of_them(name, tmp_path):
    expected = fitted(name)
    tuner = differences.searched(tmp_path, KINDS[name], packed_trials=2)
    assert_same(differences.curves_of(tuner), expected)


def is_flat(name: str) -> bool:
    """Whether a kind's data are one array of examples and one of labels."""
    return not any(map(keras.tree.is_nested, KINDS[name].data()))


@pytest.mark.parametrize("name", sampling.only(TRAINED, filter(is_flat, TESTED[1::2])))
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


@pytest.mark.parametrize("name", sampling.only(["huber_delta"], FED))
def test_models_that_differ_in_fed_numbers_share_a_program(name, tmp_path):
    tuner = differences.searched(tmp_path, KINDS[name])
    assert differences.number_of_programs(tuner) == 1


def searched_all(directory, names, workers=1, **arguments):
    """Returns a search over some kinds, times their values."""

    def build(hp):
        kind = KINDS[hp.Choice("kind", list(names))]
        return kind.model(kind.values[hp.Choice("which", [0, 1])])

    tuner = tuners.GridSearch(
        build, "val_loss", seed=0, directory=directory, **arguments
    )
    data = KINDS[names[0]].arrays()
    epochs, size = differences.EPOCHS, differences.BATCH_SIZE
    tuner.search(**data, epochs=epochs, batch_size=size, verbose=0, workers=workers)
    return tuner


PACKED_IN_WORKERS = {"packed_trials": 2, "workers": 2}


@pytest.mark.parametrize(
    ("names", "arguments"),
    sampling.only(
        [(REPRESENTATIVE, {"packed_trials": 2})],
        [
            (REPRESENTATIVE, {}),
            (REPRESENTATIVE, {"packed_trials": 2}),
            (REPRESENTATIVE, {"workers": 2}),
            (SENT, PACKED_IN_WORKERS),
        ],
    ),
    ids=lambda value: f"{len(value)} kinds" if isinstance(value, tuple) else str(value),
)
def test_kinds_of_one_search_are_what_fit_makes_of_them(names, arguments, tmp_path):
    """Also in workers, to which a model's code is sent."""
    tuner = searched_all(tmp_path, names, **arguments)
    found = differences.curves_of(tuner)
    right = [
        fitted(each["kind"])[each["which"]] for each in differences.settings_of(tuner)
    ]
    assert len(found) == 2 * len(names)
    assert_same(found, right)


def benchmark():
    """Returns the script that makes random pairs, as a module."""
    path = child_process.ROOT / "benchmarks" / "shared_scores.py"
    spec = importlib.util.spec_from_file_location("shared_scores", path)
    module = importlib.util.module_from_spec(spec)
    # As dataclasses need it.
    sys.modules.setdefault(spec.name, module)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("seed", sampling.one_in(15, range(100, 115)))
def test_random_pairs_are_what_fit_makes_of_them(seed):
    """`benchmarks/shared_scores.py --pairs 1000` makes more of them."""
    script = benchmark()
    pair, kind = script.pair_of(seed)
    script.run(pair, kind, ["train, packed", "search"])
    assert not pair.failures, pair.places
