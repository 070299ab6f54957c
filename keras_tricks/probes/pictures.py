"""Pictures of what probes found."""

from __future__ import annotations

from typing import TYPE_CHECKING
from typing import Any

import numpy as np

from keras_tricks import _validation
from keras_tricks.probes.smoothing import limit_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def axes(ax: Any) -> Axes:
    """Returns `ax` if it is an `Axes`, and those of a new figure if it is None."""
    try:
        import matplotlib.axes
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            "`plot` needs matplotlib: python -m pip install matplotlib"
        ) from error
    if ax is None:
        _, ax = plt.subplots(layout="constrained")
    elif not isinstance(ax, matplotlib.axes.Axes):
        raise TypeError(
            f"`ax` must be a matplotlib `Axes`. {_validation.received('ax', ax, True)}"
        )
    return ax


def range_test(found: Any, ax: Any) -> Axes:
    """Draws the losses of a range test over the rates.

    Args:
        found: A `RangeTest`.
        ax: See `axes`.
    """
    ax = axes(ax)
    is_ramp = found.mode != "decades"
    for number, run in enumerate(found.runs):
        color = f"C{number % 10}"
        label = f"seed {run.seed}" if len(found.runs) > 1 else "loss"
        if is_ramp:
            ax.plot(run.rates, run.losses, color=color, alpha=0.3, linewidth=0.8)
            rates = run.rates[: len(run.smoothed)]
            ax.plot(rates, run.smoothed, color=color, label=label)
        else:
            ax.plot(run.rates, run.losses, "o-", color=color, label=label)
    for number, (rule, rate) in enumerate(found.suggestions.items()):
        style = "--" if number == 0 else ":"
        ax.axvline(rate, color="black", linestyle=style, label=f"{rule}: {rate:.1e}")
    _limit_losses(found, ax)
    ax.set_xscale("linear" if found.mode == "linear" else "log")
    ax.set_xlabel("learning rate")
    ax.set_ylabel("loss" if is_ramp else "loss at the end")
    if found.suggestion is None:
        ax.set_title(f"no suggestion ({found.flag})")
    ax.grid(True, alpha=0.3)
    ax.legend()
    return ax


def _limit_losses(found: Any, ax: Axes) -> None:
    """Leaves out what is far above the start: where training diverges."""
    finite = [run.losses[np.isfinite(run.losses)] for run in found.runs]
    finite = [losses for losses in finite if len(losses)]
    if not finite:
        return
    lowest = min(float(losses.min()) for losses in finite)
    highest = max(min(float(each.max()), limit_of(each, 0.0)) for each in finite)
    if highest > lowest:
        margin = 0.05 * (highest - lowest)
        ax.set_ylim(lowest - margin, highest + margin)
