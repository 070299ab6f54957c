"""A picture of learning curves: a panel for each metric, the rate below."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Mapping
from typing import TYPE_CHECKING
from typing import Any

import numpy as np

from keras_tricks.diagnosis.metrics import known_direction

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WIDTH, _HEIGHT, _RATE_HEIGHT = 7.0, 2.4, 1.4
# Over how wide a range numbers are shown on a logarithmic axis.
_WIDE = 30.0


@dataclasses.dataclass(frozen=True)
class Run:
    """What is shown of one training.

    Attributes:
        epochs: The epochs, from 0.
        curves: Metric -> one value an epoch, NaN where it has none.
        rates: The learning rate of each epoch, or None.
    """

    epochs: np.ndarray
    curves: Mapping[str, np.ndarray]
    rates: np.ndarray | None = None


def figure_of(
    runs: Mapping[str, Run],
    title: str | None = None,
    metrics: Any = None,
    behind: tuple[str, Run] | None = None,
) -> Figure:
    """Returns the figure of some runs.

    Of one run, training and validation differ in colour; of several, each has its
    colour and training is dashed. A dot marks the best epoch, of validation where there
    is one.

    Args:
        runs: Label -> run.
        title: What stands above.
        metrics: The metrics to show, by their names on training data; None for all.
        behind: Label and run of what stands behind them, in grey.
    """
    from matplotlib import figure

    names = [*dict.fromkeys(_base(n) for run in runs.values() for n in run.curves)]
    if metrics is not None:
        names = [name for name in metrics if name in names]
    has_rates = any(run.rates is not None for run in runs.values())
    heights = [_HEIGHT] * len(names) + [_RATE_HEIGHT] * has_rates
    made = figure.Figure(figsize=(_WIDTH, sum(heights) or 1.0), layout="constrained")
    if title is not None:
        made.suptitle(title)
    if not heights:
        return made
    grid = made.subplots(
        len(heights), sharex=True, squeeze=False, height_ratios=heights
    )[:, 0]
    for axes, name in zip(grid, names, strict=False):
        if behind is not None:
            _show_behind(axes, name, *behind)
        for number, (label, run) in enumerate(runs.items()):
            _show(axes, name, run, label if len(runs) > 1 else None, number)
        axes.set_ylabel(name)
        named = [run.curves.items() for run in runs.values()]
        named += [] if behind is None else [behind[1].curves.items()]
        _scale(axes, [c for items in named for n, c in items if _base(n) == name])
        if axes.has_data():
            axes.legend(fontsize="small")
    if has_rates:
        for number, run in enumerate(runs.values()):
            if run.rates is not None:
                grid[-1].plot(run.epochs + 1, run.rates, color=f"C{number}")
        grid[-1].set_ylabel("rate")
        _scale(grid[-1], [r.rates for r in runs.values() if r.rates is not None])
    grid[-1].set_xlabel("epoch")
    grid[-1].xaxis.get_major_locator().set_params(integer=True)
    return made


def drawn(figure: Figure, kind: str) -> bytes:
    """Returns a figure as a file's content, `kind` being `"png"` or `"svg"`."""
    file = io.BytesIO()
    figure.savefig(file, format=kind, dpi=90)
    return file.getvalue()


def _base(name: str) -> str:
    return name.removeprefix("val_")


def _show_behind(axes: Axes, name: str, label: str, run: Run) -> None:
    """Plots a metric of a run in grey, its training dashed."""
    training, validation = run.curves.get(name), run.curves.get(f"val_{name}")
    for values, line in ((training, "--"), (validation, "-")):
        if values is None:
            continue
        known = np.isfinite(values)
        is_main = line == "-" or validation is None
        axes.plot(
            run.epochs[known] + 1,
            values[known],
            line,
            color="0.65",
            label=label if is_main else None,
        )


def _show(axes: Axes, name: str, run: Run, label: str | None, number: int) -> None:
    """Plots a metric of a run, and marks its best epoch."""
    training, validation = run.curves.get(name), run.curves.get(f"val_{name}")
    for side, values in (("training", training), ("validation", validation)):
        if values is None:
            continue
        is_first = side == "training"
        style = {"color": "C0" if is_first else "C1", "label": side}
        if label is not None:
            style = {"color": f"C{number}", "linestyle": "--" if is_first else "-"}
            if not is_first or validation is None:
                style["label"] = label
        known = np.isfinite(values)
        axes.plot(run.epochs[known] + 1, values[known], **style)  # type: ignore[arg-type]
    judged = training if validation is None else validation
    direction = known_direction(name)
    if judged is None or direction is None or not np.isfinite(judged).any():
        return
    find = np.nanargmin if direction == "min" else np.nanargmax
    best = int(find(np.where(np.isfinite(judged), judged, np.nan)))
    marked = (
        None if label else f"best: {judged[best]:.4g}, epoch {run.epochs[best] + 1}"
    )
    color = f"C{number}" if label else "C3"
    axes.plot(run.epochs[best] + 1, judged[best], "o", color=color, label=marked)


def _scale(axes: Axes, curves: list[np.ndarray]) -> None:
    """Makes an axis logarithmic where all numbers are above 0, and far apart."""
    values = np.concatenate(curves) if curves else np.zeros(0)
    values = values[np.isfinite(values)]
    if len(values) and values.min() > 0 and values.max() > _WIDE * values.min():
        axes.set_yscale("log")
