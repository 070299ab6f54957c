"""The benchmark of packed trials runs where there is a GPU, and its ways agree.

The oracle is the same search without packs.
"""

import runpy
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "packed_trials.py"


@pytest.fixture(autouse=True)
def _soft_placement(_no_soft_placement):
    """What is done once a search, beside the steps, may be done anywhere."""
    import tensorflow as tf

    tf.config.set_soft_device_placement(True)


@pytest.mark.parametrize("row", ["mlp", "cnn", "text cnn", "text transformer"])
def test_packs_find_what_trials_alone_find(row):
    benchmark = runpy.run_path(str(BENCHMARK))
    results = {
        way: benchmark["search"](way, row, 8, 4, False)
        for way in ("stock", "reuse", "packed")
    }
    for way, (seconds, best) in results.items():
        print(f"{row}, {way}: {60 * 8 / seconds:.0f} trials/min, best {best:.4f}")
    # A GPU sums in another order, so that single examples may change sides.
    assert results["packed"][1] == pytest.approx(results["reuse"][1], abs=0.02)
