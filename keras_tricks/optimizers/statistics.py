"""Statistics of a clipping optimizer, as optimizer state."""

from typing import Any
from typing import NamedTuple

import keras
from keras import ops

_UPDATES, _CLIPPED, _SKIPPED, _CONSECUTIVE_SKIPS = range(4)


class Counts(NamedTuple):
    """What a clipping optimizer has seen until now, as Python numbers."""

    norm: float
    updates: int
    clipped: int
    skipped: int
    consecutive_skips: int


class ClippingStatistics:
    """Counts of updates in variables of `optimizer`, kept on the device.

    They are two variables, since each costs a synchronization of the replicas.

    Attributes:
        norm: Variable, the latest global norm before clipping.
        counts: Integer variable: updates seen, of them clipped, of them skipped, and
            how many were skipped in a row until now.
    """

    def __init__(self, optimizer: keras.optimizers.Optimizer):
        self.norm = optimizer.add_variable(
            (), name="gradient_norm", dtype="float32", aggregation="only_first_replica"
        )
        self.counts = optimizer.add_variable(
            (4,), name="update_counts", dtype="int", aggregation="only_first_replica"
        )

    def record(self, norm: Any, was_clipped: Any, was_skipped: Any) -> Any:
        """Takes in one update and returns how many were skipped in a row."""
        self.norm.assign(norm)
        counts = ops.convert_to_tensor(self.counts)
        dtype = counts.dtype
        clipped = ops.cast(was_clipped, dtype)
        skipped = ops.cast(was_skipped, dtype)
        in_a_row = (counts[_CONSECUTIVE_SKIPS] + 1) * skipped
        self.counts.assign(
            ops.stack(
                [
                    counts[_UPDATES] + 1,
                    # A skipped update was not clipped, whatever its norm.
                    counts[_CLIPPED] + clipped * (1 - skipped),
                    counts[_SKIPPED] + skipped,
                    in_a_row,
                ]
            )
        )
        return in_a_row

    def read(self) -> Counts:
        """Returns all of it at once, copied from the device."""
        return Counts(float(self.norm.numpy()), *self.counts.numpy().tolist())

    def _count(self, which: int) -> int:
        return int(self.counts.numpy()[which])

    @property
    def num_updates(self) -> int:
        return self._count(_UPDATES)

    @property
    def num_clipped(self) -> int:
        return self._count(_CLIPPED)

    @property
    def num_skipped(self) -> int:
        return self._count(_SKIPPED)

    @property
    def consecutive_skips(self) -> int:
        return self._count(_CONSECUTIVE_SKIPS)
