"""Where the trials of a search run: here, in processes of ours, or by an engine."""

from __future__ import annotations

import dataclasses
import os
from typing import TYPE_CHECKING
from typing import Any

from keras_tricks import _validation
from keras_tricks.tuners.workers import engine_search
from keras_tricks.tuners.workers import gpus
from keras_tricks.tuners.workers import pool

if TYPE_CHECKING:
    from keras_tricks.tuners._typing import SearchingTuner


@dataclasses.dataclass(frozen=True)
class Placement:
    """What `search` was given of `workers`, `executor` and `gpus_per_trial`."""

    workers: int | None
    executor: Any
    gpus_per_trial: float | None

    @classmethod
    def checked(cls, workers: Any, executor: Any, gpus_per_trial: Any) -> Placement:
        """Returns the arguments, as far as they are right without the engine.

        Raises:
            TypeError: If one is of the wrong type.
            ValueError: If one is out of range, or has no meaning here.
        """
        if workers is not None:
            workers = _validation.check_int("workers", workers, minimum=1)
        placement = cls(workers, executor, gpus.checked(gpus_per_trial))
        is_of_chief = "KERASTUNER_ORACLE_IP" in os.environ
        if is_of_chief and not placement.is_here:
            raise ValueError(
                "`workers` must be 1 in a process of KerasTuner's chief and workers, "
                "and `executor` None: start more of those processes instead. Received: "
                f"workers={workers}, executor={_validation.shown(executor)}"
            )
        if gpus_per_trial is not None and placement.is_here:
            raise ValueError(
                "`gpus_per_trial` needs `workers` or an `executor`: trials that run in "
                "this process see what it sees. Received: "
                f"gpus_per_trial={gpus_per_trial}, workers={workers}"
            )
        return placement

    @property
    def is_here(self) -> bool:
        """Whether the trials run in this process."""
        return self.executor is None and self.workers in (None, 1)

    def search(
        self,
        tuner: SearchingTuner,
        fit_args: tuple[Any, ...],
        fit_kwargs: dict[str, Any],
    ) -> None:
        """Runs the trials that are left elsewhere."""
        given = fit_args, fit_kwargs
        if self.executor is None:
            pool.search(tuner, self.workers or 1, self.gpus_per_trial, *given)
        else:
            engine_search.search(
                tuner, self.executor, self.workers, self.gpus_per_trial, *given
            )
