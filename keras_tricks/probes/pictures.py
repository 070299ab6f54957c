"""Pictures of what probes found."""

from __future__ import annotations

from typing import TYPE_CHECKING
from typing import Any

import numpy as np

from keras_tricks import _plotting
from keras_tricks.probes.smoothing import limit_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def range_test(found: Any, ax: Any) -> Axes:
    """Draws the losses of a range test over the rates.

    Args:
        found: A `RangeTest`.
        ax: Where to draw; None is a new figure.
    """
    ax = _plotting.axes(ax)
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


def batch_sizes(found: Any, ax: Any) -> Axes:
    """Draws the throughput of batch sizes.

    Args:
        found: A `BatchSizes`.
        ax: Where to draw; None is a new figure.
    """
    ax = _plotting.axes(ax)
    measured = found.measured
    sizes = [each.size for each in measured]
    rates = [each.examples_per_second for each in measured]
    if measured:
        lower, upper = zip(*(each.quartiles for each in measured), strict=True)
        ax.fill_between(sizes, lower, upper, alpha=0.2, label="quartiles")
        ax.plot(sizes, rates, "o-", label="median")
        label = f"recommended: {found.recommended}"
        ax.axvline(found.recommended, color="black", linestyle="--", label=label)
    too_large = [each.size for each in found.sizes if not each.fits]
    if too_large:
        ax.axvspan(too_large[0], too_large[-1], color="C3", alpha=0.1)
        ax.axvline(too_large[0], color="C3", linestyle=":", label="does not fit")
    ax.set_xscale("log", base=2)
    ax.set_ylim(bottom=0.0)
    ax.set_xlabel("batch size")
    ax.set_ylabel("examples a second")
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
