"""How a warmup is joined to what follows it."""

from collections.abc import Callable

import numpy as np
from keras import ops

from keras_tricks.schedules import steps

JOINS = ("overlap", "shift", "lower")


def join_warmup(
    step,
    decay: Callable,
    *,
    warmup_steps: int,
    peak: float,
    join: str,
):
    """Returns `decay` with a linear warmup from 0 in front of it.

    | join | warmup climbs to | afterwards |
    |---|---|---|
    | `"overlap"` | `peak` | `decay(step)`: it ran underneath from step 0 |
    | `"shift"` | `peak` | `decay(step - warmup_steps)`: it starts now |
    | `"lower"` | `decay(warmup_steps)` | `decay(step)` |

    Args:
        step: Integer tensor, never negative.
        decay: Function of an integer tensor of steps, finite everywhere.
        warmup_steps: Updates of the warmup; 0 is none.
        peak: The rate at which the decay starts.
        join: One of `JOINS`.
    """
    if warmup_steps == 0:
        return decay(step)
    top = np.float32(peak)
    if join == "lower":
        top = decay(ops.full_like(step, warmup_steps))
    warmup = ops.multiply(top, steps.ratio(step, warmup_steps))
    if join == "shift":
        after = decay(ops.maximum(step - warmup_steps, 0))
    else:
        after = decay(step)
    return ops.where(step < warmup_steps, warmup, after)
