"""A schedule as a notebook shows it: its arguments, and a small curve."""

import html

import keras
import numpy as np
from keras import ops

WIDTH, HEIGHT, POINTS = 240, 60, 240
# How many times the number that an attribute holds is worth looking at.
_SPANS = {
    "total_steps": 1.0,
    "decay_steps": 1.0,
    "first_decay_steps": 3.0,
    "warmup_steps": 4.0,
    "step_size": 6.0,
    "boundaries": 1.5,
}


def span(schedule: keras.optimizers.schedules.LearningRateSchedule) -> int:
    """Returns a number of steps in which a schedule shows what it does.

    The longest of those that its attributes tell, of schedules inside of it too; 1,000
    where none does.
    """
    found, waiting = [1.0], [schedule]
    while waiting:
        for name, value in vars(waiting.pop()).items():
            values = value if isinstance(value, list | tuple) else [value]
            for each in values:
                if isinstance(each, keras.optimizers.schedules.LearningRateSchedule):
                    waiting.append(each)
                elif name in _SPANS and isinstance(each, int | float):
                    found.append(_SPANS[name] * each)
    longest = max(found)
    return int(longest) if longest > 1 else 1000


def as_html(schedule: keras.optimizers.schedules.LearningRateSchedule) -> str:
    """Returns the schedule's `repr`, and its curve as a picture in SVG."""
    last = span(schedule)
    steps = np.unique(np.linspace(0, last, POINTS).astype("int64"))
    rates = np.array(
        [float(ops.convert_to_numpy(schedule(int(step)))) for step in steps]
    )
    top = rates.max() if rates.max() > 0 else 1.0
    points = " ".join(
        f"{WIDTH * step / last:.1f},{HEIGHT * (1 - max(rate, 0) / top):.1f}"
        for step, rate in zip(steps, rates, strict=True)
    )
    return (
        f"<div><code>{html.escape(repr(schedule))}</code><br>"
        f'<svg width="{WIDTH + 4}" height="{HEIGHT + 4}" '
        f'viewBox="-2 -2 {WIDTH + 4} {HEIGHT + 4}" role="img">'
        f'<polyline points="{points}" fill="none" stroke="currentColor" '
        'stroke-width="1.5"/></svg><br>'
        f"<small>steps 0 to {last:,}, rates 0 to {top:.3g}</small></div>"
    )
