"""Sweeps of which an ordinary run of the tests takes a sample.

The other cases carry the mark `exhaustive`, which `setup.cfg` leaves out; they run with
`python -m pytest -m exhaustive`.
"""

from collections.abc import Iterable
from collections.abc import Sequence
from typing import Any

import pytest


def one_in(number: int, cases: Iterable[Any], *, always: Sequence[Any] = ()) -> list:
    """Returns parameters of which each `number`-th, and those of `always`, are run.

    Args:
        number: Distance of two cases of the sample; the first case is in it.
        cases: Values for `pytest.mark.parametrize`; a tuple is one of several values.
        always: Those of the cases that no ordinary run may leave out.
    """
    # By place, since arrays cannot be looked for.
    return [
        _param(case, place % number == 0 or (always and case in always))
        for place, case in enumerate(cases)
    ]


def only(sample: Iterable[Any], cases: Iterable[Any]) -> list:
    """Returns parameters of which those of `sample` are run."""
    sample, cases = list(sample), list(cases)
    assert all(case in cases for case in sample), "a case of the sample is no case"
    return [_param(case, case in sample) for case in cases]


def _param(case: Any, is_ordinary: bool) -> Any:
    values = case if isinstance(case, tuple) else (case,)
    marks = () if is_ordinary else pytest.mark.exhaustive
    return pytest.param(*values, marks=marks)
