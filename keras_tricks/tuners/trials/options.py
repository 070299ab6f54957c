"""Options that all tuners of this package have beside KerasTuner's."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING
from typing import Any

import keras

from keras_tricks import _validation
from keras_tricks.tuners.trials import budget
from keras_tricks.tuners.trials import cross_validation

if TYPE_CHECKING:
    from keras_tricks.tuners._typing import Packed
    from keras_tricks.tuners.trials.cross_validation import Preprocess


@dataclasses.dataclass(frozen=True)
class TunerOptions:
    """What a tuner was constructed with, checked; see `RandomSearch` for each.

    Raises:
        TypeError: If a function or a splitter is not one.
        ValueError: If a number is out of its range, if `packed_trials` is given where
            no program can be shared, or `groups` or `preprocess` without `splits`.
    """

    parameter_budget: float | None = None
    keep_checkpoints: int | None = 3
    packed_trials: Packed = None
    reuse_programs: bool = True
    splits: Any = None
    groups: Any = None
    preprocess: Preprocess | None = None

    def __post_init__(self) -> None:
        checked: dict[str, Any] = {
            "reuse_programs": _validation.check_flag(
                "reuse_programs", self.reuse_programs
            ),
            "packed_trials": _checked_packed(self.packed_trials, self.reuse_programs),
        }
        if self.parameter_budget is not None:
            checked["parameter_budget"] = budget.checked_limit(
                "parameter_budget", self.parameter_budget
            )
        if self.keep_checkpoints is not None:
            checked["keep_checkpoints"] = _validation.check_int(
                "keep_checkpoints", self.keep_checkpoints, minimum=1
            )
        for name in ("groups", "preprocess"):
            given = getattr(self, name)
            if given is not None and self.splits is None:
                raise ValueError(
                    f"`{name}` needs `splits`, the folds that it is for. "
                    f"{_validation.received(name, given)}, splits=None"
                )
        if self.splits is not None:
            cross_validation.check_splits(self.splits, self.groups)
        if self.preprocess is not None:
            _validation.check_function("preprocess", self.preprocess)
        for name, value in checked.items():
            object.__setattr__(self, name, value)


def _checked_packed(packed_trials: Any, reuse_programs: bool) -> Packed:
    if packed_trials is None:
        return None
    if isinstance(packed_trials, (str, bool)) and packed_trials != "auto":
        raise TypeError(
            '`packed_trials` must be a whole number >= 1, "auto" or None. '
            f"{_validation.received('packed_trials', packed_trials)}"
        )
    if not isinstance(packed_trials, str):
        packed_trials = _validation.check_int("packed_trials", packed_trials, minimum=1)
    if not reuse_programs:
        raise ValueError(
            "`packed_trials` needs `reuse_programs=True`: a pack is trained by one "
            f"program. {_validation.received('packed_trials', packed_trials)}, "
            "reuse_programs=False"
        )
    if keras.config.backend() != "tensorflow":
        raise ValueError(
            "`packed_trials` needs Keras's TensorFlow backend. Received: packed_trials="
            f"{packed_trials!r} with the backend {keras.config.backend()!r}"
        )
    return packed_trials
