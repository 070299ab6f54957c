"""A short run of the damaged projects; `benchmarks/damage.py` runs thousands."""

import pytest

from tests import sampling
from tests.tuners import damage

pytest.importorskip("optuna", reason="Optuna is not installed")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("number", sampling.only([15], [15, 200]))
def test_damage_is_named_or_costs_nothing(number, tmp_path):
    cases = damage.run(damage.Damages(tmp_path), cases=number, first_seed=1_000)
    bad = [case for case in cases if case.outcome in damage.BAD]
    assert not bad, bad
    # Or nothing would have been damaged.
    assert {"right", "named"} <= {case.outcome for case in cases}
