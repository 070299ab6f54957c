"""ClippedOptimizer on several replicas, held against one device or a hand computation.

What is trained is in distributed_runs.py. The strategies are a MirroredStrategy over 2
and 4 logical CPUs and a MultiWorkerMirroredStrategy over 2 processes.
"""

import json
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from tests import child_process
from tests import sampling
from tests.optimizers import distributed_runs

SCRIPT = Path(distributed_runs.__file__)

ROUNDING = 1e-6


def results(file: Path) -> dict:
    with np.load(file) as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def one_and_two(tmp_path_factory):
    folder = tmp_path_factory.mktemp("one_and_two")
    child_process.run_python(SCRIPT, "mirrored", "2", str(folder), cwd=folder)
    return results(folder / "one.npz"), results(folder / "mirrored_2.npz")


@pytest.fixture(scope="module")
def one_device(one_and_two):
    return one_and_two[0]


@pytest.fixture(scope="module")
def two_replicas(one_and_two):
    return one_and_two[1]


@pytest.fixture(scope="module")
def four_replicas(tmp_path_factory):
    folder = tmp_path_factory.mktemp("four")
    child_process.run_python(SCRIPT, "mirrored", "4", str(folder), cwd=folder)
    return results(folder / "mirrored_4.npz")


def free_ports(number: int) -> list[int]:
    sockets = [socket.socket() for _ in range(number)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def workers(tmp_path_factory, kind: str) -> list[dict]:
    addresses = [f"127.0.0.1:{port}" for port in free_ports(2)]

    def work(index: int) -> dict:
        folder = tmp_path_factory.mktemp("worker")
        cluster = {
            "cluster": {"worker": addresses},
            "task": {"type": "worker", "index": index},
        }
        child_process.run_python(
            SCRIPT,
            kind,
            str(index),
            str(folder),
            cwd=folder,
            env={"TF_CONFIG": json.dumps(cluster)},
        )
        return results(folder / f"{kind}_{index}.npz")

    with ThreadPoolExecutor(2) as threads:
        return list(threads.map(work, range(2)))


@pytest.fixture(scope="module")
def both_workers(tmp_path_factory):
    return workers(tmp_path_factory, "worker")


@pytest.fixture(scope="module")
def two_workers(both_workers):
    return both_workers[0]


@pytest.fixture(scope="module")
def two_workers_with_more(tmp_path_factory):
    return workers(tmp_path_factory, "worker_with_more")[0]


@pytest.fixture
def trained(request):
    """The results of the strategy that a test is parametrized with."""
    return request.getfixturevalue(request.param)


STRATEGIES = ["two_replicas", "four_replicas", "two_workers"]

# Four replicas do what two do, each with fewer rows.
IN_AN_ORDINARY_RUN = ["one_device", "two_replicas", "two_workers"]


def of_all(strategies):
    sample = [name for name in strategies if name in IN_AN_ORDINARY_RUN]
    return pytest.mark.parametrize(
        "trained", sampling.only(sample, strategies), indirect=True
    )


on_every_strategy = of_all(STRATEGIES)
on_one_device_too = of_all(["one_device", *STRATEGIES])
on_replicas = of_all(["two_replicas", "four_replicas"])
# Workers differ from replicas in how gradients are added up: other tests see that.
with_more_cases = of_all(["one_device", "two_replicas", "two_workers_with_more"])
with_sparse_gradients = of_all(IN_AN_ORDINARY_RUN)
in_both = pytest.mark.parametrize("how", ["fit", "loop"])


def distance(a: np.ndarray, b: np.ndarray) -> float:
    """The largest difference, NaN if there is one anywhere."""
    assert a.shape == b.shape
    return float(np.max(np.abs(a.astype("float64") - b)))


@on_every_strategy
@in_both
def test_50_steps_of_adam_give_the_weights_of_one_device(trained, one_device, how):
    assert distance(trained[f"{how}/weights"], one_device[f"{how}/weights"]) <= ROUNDING


@on_every_strategy
@in_both
def test_keras_own_clipping_gives_other_weights_than_on_one_device(
    trained, one_device, how
):
    """The contrast: on one device it gives ours, on the same data."""
    ours = one_device[f"{how}/weights"]
    assert distance(one_device[f"{how}/built_in"], ours) <= ROUNDING
    assert distance(trained[f"{how}/built_in"], ours) > 1e-2


@on_one_device_too
def test_one_update_moves_the_weights_by_the_limit(trained):
    """By hand: the gradient of all rows is (-6, -8), of norm 10."""
    for limit in (1.0, 9.0):
        np.testing.assert_allclose(
            trained[f"one_update/clipped_{limit}"],
            [0.6 * limit, 0.8 * limit],
            rtol=1e-6,
        )


@pytest.mark.parametrize(
    ("trained", "with_limit_1"),
    [
        ("one_device", [0.6, 0.8]),
        ("two_replicas", [1, 1]),
        ("two_workers", [1, 1]),
        pytest.param("four_replicas", [2, 2], marks=pytest.mark.exhaustive),
    ],
    indirect=["trained"],
)
def test_keras_own_clipping_moves_them_by_the_limit_once_per_replica(
    trained, with_limit_1
):
    """By hand: of R replicas half hold (-12 / R, 0), half (0, -16 / R).

    At a limit of 1 each is clipped to a norm of 1; at 9, none is.
    """
    np.testing.assert_allclose(
        trained["one_update/built_in_1.0"], with_limit_1, rtol=1e-6
    )
    with_limit_9 = [5.4, 7.2] if with_limit_1 == [0.6, 0.8] else [6, 8]
    np.testing.assert_allclose(
        trained["one_update/built_in_9.0"], with_limit_9, rtol=1e-6
    )


@with_more_cases
@in_both
def test_a_limit_changed_during_training_takes_effect_at_the_next_update(trained, how):
    """By hand: 1 towards (6, 8), then 0.25, then, unclipped, all the way."""
    path = [[0.6, 0.8], [0.75, 1.0], [6, 8]]
    np.testing.assert_allclose(trained[f"changed_limit/{how}"], path, rtol=1e-6)


@on_one_device_too
@in_both
def test_an_update_with_a_nan_on_one_replica_is_as_if_left_out(
    trained, one_device, how
):
    """The oracle is one device that never saw that batch."""
    expected = one_device[f"references/{how}_without_bad_batch"]
    assert distance(trained[f"skip/{how}"], expected) <= ROUNDING
    counts = "skip/fit_counts" if how == "fit" else "skip/counts"
    updates_and_skipped = trained[counts].tolist()
    assert updates_and_skipped == [6, 1]


@on_one_device_too
def test_a_skipped_update_leaves_all_state_of_all_replicas_as_it_was(trained):
    """Weights, step, rate, moments, averages: bit for bit. Others change them."""
    states = trained["skip/states"]
    changes = [(states[i] != states[i + 1]).any() for i in range(len(states) - 1)]
    bad = distributed_runs.BAD_BATCH
    assert changes == [i != bad for i in range(len(changes))]
    assert np.isfinite(states).all()


@on_replicas
def test_all_replicas_hold_the_same_state_after_every_update(trained):
    states = trained["skip/states"]
    for replica in range(1, states.shape[1]):
        np.testing.assert_array_equal(states[:, replica], states[:, 0])


def test_both_workers_hold_the_same_state_after_every_update(both_workers):
    first, second = both_workers
    for name in ("fit/weights", "loop/weights", "skip/fit", "skip/states"):
        np.testing.assert_array_equal(first[name], second[name])


@pytest.mark.parametrize("bad_replica", ["first", "last"])
@pytest.mark.parametrize("trained", ["one_device", "two_replicas"], indirect=True)
@in_both
def test_within_a_loss_scale_optimizer_a_nan_is_left_out_too(
    trained, one_device, how, bad_replica
):
    expected = one_device[f"references/{how}_without_bad_batch"]
    assert distance(trained[f"loss_scale/{bad_replica}_{how}"], expected) <= ROUNDING


@pytest.mark.parametrize(
    ("trained", "bad_replica", "expected"),
    [
        ("one_device", "first", [5, 0, 5, 4]),
        ("one_device", "last", [5, 0, 5, 4]),
        ("two_replicas", "first", [5, 0, 5, 4]),
        ("two_replicas", "last", [6, 1, 5, 8]),
    ],
    indirect=["trained"],
)
@in_both
def test_what_a_loss_scale_optimizer_sees_it_skips_and_the_wrapper_the_rest(
    trained, how, bad_replica, expected
):
    """Updates and skips that the wrapper counts, the step, and the scale, 8 at first.

    Keras's LossScaleOptimizer looks at the first replica only.
    """
    counts = trained[f"loss_scale/{bad_replica}_{how}_counts"]
    np.testing.assert_array_equal(counts, expected)


@with_more_cases
@pytest.mark.parametrize(
    ("name", "reference"),
    [
        ("fit", "large_batches"),
        ("loop", "large_batches"),
        ("sparse", "large_sparse_batches"),
        ("one_bad", "large_batches_without_bad"),
    ],
)
def test_batches_accumulated_equal_one_large_batch(
    trained, one_device, name, reference
):
    """The oracle is one device with batches 4 times as large."""
    expected = one_device[f"references/{reference}"]
    assert distance(trained[f"accumulation/{name}"], expected) <= ROUNDING


@with_more_cases
def test_accumulated_batches_count_as_one_update(trained):
    """By hand: 48 batches, 4 for an update, one update with a NaN left out."""
    assert trained["accumulation/updates"].tolist() == [12, 12]
    assert trained["accumulation/one_bad_skipped"] == 1


@pytest.mark.parametrize("trained", ["two_replicas", "two_workers"], indirect=True)
@pytest.mark.parametrize("name", ["fit", "loop", "loop_dedup"])
def test_an_embedding_trains_as_on_one_device(trained, one_device, name):
    assert distance(trained[f"sparse/{name}"], one_device[f"sparse/{name}"]) <= ROUNDING


@pytest.mark.parametrize("how", ["fit", "loop", "clipped"])
def test_a_switch_on_two_replicas_is_that_on_one_device(two_replicas, one_device, how):
    """With a rate that is found by the sum of the gradients, not by a part of it."""
    ours, expected = (
        results[f"switched/{how}"] for results in (two_replicas, one_device)
    )
    assert distance(ours, expected) <= 10 * ROUNDING
    assert two_replicas["switched/steps"].tolist() == [50, 25, 25]
    rates = [float(results["switched/rate"]) for results in (two_replicas, one_device)]
    assert rates[0] == pytest.approx(rates[1], rel=1e-4)
    assert rates[0] != 9.0


@with_sparse_gradients
@pytest.mark.parametrize(("norm", "applied"), [("raw", 7 / 5), ("dedup", 1)])
def test_sparse_rows_of_one_index_on_two_replicas_have_the_norm_asked_for(
    trained, norm, applied
):
    """By hand: 3 and 4 for one weight have the raw norm 5, and add up to 7."""
    expected = [0, 0, -applied, 0, 0]
    np.testing.assert_allclose(trained[f"sparse/applied_{norm}"], expected, rtol=1e-6)


@with_sparse_gradients
def test_sparse_gradients_reach_the_inner_optimizer_sparse(trained):
    assert trained["sparse/kinds"].tolist() == ["IndexedSlices", "IndexedSlices"]


@pytest.mark.parametrize(
    ("place", "outside"),
    [
        ("inner", "(MirroredStrategy): the inner optimizer"),
        ("clipped", "(MirroredStrategy): ClippedOptimizer"),
        ("optimizers", "(MirroredStrategy): ClippedOptimizer, the inner optimizer"),
        ("model", "(none): ClippedOptimizer, the inner optimizer"),
    ],
)
def test_what_was_made_outside_the_scope_is_named(two_replicas, place, outside):
    error = str(two_replicas[f"scopes/{place}"])
    assert "with strategy.scope():" in error
    assert error.endswith(f"Received: made outside the scope in use {outside}")


@pytest.mark.parametrize("place", ["all", "nothing"])
def test_all_within_the_scope_or_all_without_it_trains(two_replicas, place):
    """By count: one batch of 8 rows is one update."""
    assert str(two_replicas[f"scopes/{place}"]) == "1 update"


def test_on_workers_fit_of_a_keras_model_ends_as_with_a_keras_optimizer(two_workers):
    """It fails, which is why distributed_runs.py has models of its own."""
    assert two_workers["keras_fit/clipped"] == two_workers["keras_fit/keras"]
