"""What a probe of batch sizes found."""

from __future__ import annotations

import dataclasses
import html
import io
from typing import TYPE_CHECKING

from keras_tricks.parameters.table import format_bytes
from keras_tricks.probes import pictures

if TYPE_CHECKING:
    import pandas as pd
    import rich.table
    from matplotlib.axes import Axes

# What the documents say of the choice.
_ADVICE = (
    "Another batch size wants the other settings tuned anew, the learning rate and "
    "what regularizes above all: choose it first, and keep it.",
    "Do not tune it for the validation score: well tuned, all sizes reach the same.",
    "Gradients that are accumulated over batches save memory and no time: a smaller "
    "batch without them trains as fast.",
)
_COLUMNS = (
    *("batch size", "fits", "predicted", "peak", "step", "examples/s", "quartiles"),
    "note",
)


@dataclasses.dataclass(frozen=True)
class BatchSize:
    """One batch size.

    Attributes:
        size: Examples of a step.
        fits: Whether it fits into memory: measured, or False where it is predicted not
            to, or a smaller one does not.
        predicted_bytes: What weights, optimizer, gradients, inputs and activations take
            by the traced step; None where that cannot be told.
        peak_bytes: The most that the GPU's allocator held; None on a CPU.
        step_seconds: Median time of a step after the first ones; None if not measured.
        examples_per_second: The size over that.
        quartiles: The lower and the upper quartile of the examples a second.
        note: Why it was not measured, or how it failed.

    Example:

    >>> from keras_tricks.probes import BatchSize
    >>> BatchSize(64, True, step_seconds=0.5, examples_per_second=128.0).size
    64
    """

    size: int
    fits: bool
    predicted_bytes: int | None = None
    peak_bytes: int | None = None
    step_seconds: float | None = None
    examples_per_second: float | None = None
    quartiles: tuple[float, float] | None = None
    note: str = ""


@dataclasses.dataclass(frozen=True)
class BatchSizes:
    """What `probe_batch_sizes` found. `print` shows it.

    Attributes:
        sizes: A `BatchSize` for each, from the smallest to the largest.
        minimal_gain: The share by which throughput has to rise to count.

    Example:

    >>> from keras_tricks.probes import BatchSize, BatchSizes
    >>> rates = {16: 100.0, 32: 190.0, 64: 192.0}
    >>> sizes = [BatchSize(n, True, None, None, n / r, r, (0.9 * r, 1.1 * r))
    ...          for n, r in rates.items()]
    >>> found = BatchSizes((*sizes, BatchSize(128, False, note="out of memory")))
    >>> found.recommended, found.largest
    (32, 64)
    """

    sizes: tuple[BatchSize, ...]
    minimal_gain: float = 0.05

    @property
    def measured(self) -> tuple[BatchSize, ...]:
        """Those whose steps were measured."""
        return tuple(each for each in self.sizes if each.examples_per_second)

    @property
    def recommended(self) -> int | None:
        """The largest that still raises throughput; None if none fits.

        Its median is above that of the last that does by `minimal_gain`, and so is its
        lower quartile above that.
        """
        best: BatchSize | None = None
        for each in self.measured:
            if best is None or _is_faster(each, best, self.minimal_gain):
                best = each
        return None if best is None else best.size

    @property
    def largest(self) -> int | None:
        """The largest that fits; None if none does."""
        return max((each.size for each in self.sizes if each.fits), default=None)

    @property
    def saturates_at(self) -> int | None:
        """The size from which throughput no longer rises; None if it rises on."""
        measured = self.measured
        is_last = bool(measured) and measured[-1].size == self.recommended
        return None if is_last else self.recommended

    @property
    def reason(self) -> str:
        """Why the size is recommended, in a sentence."""
        if self.recommended is None:
            return f"No size fits: {self.sizes[0].note}."
        (best,) = (each for each in self.sizes if each.size == self.recommended)
        rate = f"{best.examples_per_second:,.0f} examples a second"
        if best is self.measured[0] and self.saturates_at is not None:
            return f"No size trains faster than {best.size}, the smallest: {rate}."
        if self.saturates_at is not None:
            return (
                f"Throughput rises up to {best.size}, {rate}, and no longer after it."
            )
        if self.sizes[-1].fits:
            return (
                f"Throughput still rises at {best.size}, {rate}, the largest that was "
                "tried: try larger ones."
            )
        return f"Throughput rises up to {best.size}, {rate}, the largest that fits."

    @property
    def advice(self) -> tuple[str, ...]:
        """What to mind, in sentences."""
        return _ADVICE

    @property
    def table(self) -> pd.DataFrame:
        """A data frame of one row a size."""
        import pandas as pd

        rows = []
        for each in self.sizes:
            row = dataclasses.asdict(each)
            lower, upper = row.pop("quartiles") or (None, None)
            rows.append({**row, "lower_quartile": lower, "upper_quartile": upper})
        return pd.DataFrame(rows)

    def to_frame(self) -> pd.DataFrame:
        """Returns `table`."""
        return self.table

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draws the throughput over the sizes, with the one that is recommended.

        Args:
            ax: The matplotlib `Axes` to draw on; by default those of a new figure.

        Raises:
            ImportError: If matplotlib is not installed.
            TypeError: If `ax` is no `Axes`.
        """
        return pictures.batch_sizes(self, ax)

    def __str__(self) -> str:
        import rich.console

        text = io.StringIO()
        rich.console.Console(file=text, width=100).print(self.__rich__())
        return "\n".join([text.getvalue().rstrip("\n"), *self._summary()])

    def __rich__(self) -> rich.table.Table:
        import rich.box
        import rich.table

        table = rich.table.Table(box=rich.box.SIMPLE_HEAD)
        for column in _COLUMNS:
            is_text = column == "note"
            table.add_column(
                column, justify="left" if is_text else "right", no_wrap=not is_text
            )
        for each in self.sizes:
            table.add_row(*_cells(each))
        return table

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{name}</th>" for name in _COLUMNS)
        body = "".join(
            f"<tr>{''.join(f'<td>{html.escape(c)}</td>' for c in _cells(each))}</tr>"
            for each in self.sizes
        )
        summary = "<br>".join(map(html.escape, self._summary()))
        return (
            f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
            f"<p>{summary}</p>"
        )

    def _summary(self) -> list[str]:
        lines = [f"Recommended batch size: {self.recommended}", f"  {self.reason}"]
        if self.largest is not None:
            lines.append(f"  The largest that fits is {self.largest}.")
        return [*lines, *(f"  {sentence}" for sentence in self.advice)]


def _is_faster(each: BatchSize, best: BatchSize, gain: float) -> bool:
    assert each.examples_per_second is not None
    assert best.examples_per_second is not None
    lower = each.examples_per_second if each.quartiles is None else each.quartiles[0]
    return (
        each.examples_per_second >= (1.0 + gain) * best.examples_per_second
        and lower > best.examples_per_second
    )


def _cells(each: BatchSize) -> tuple[str, ...]:
    def shown(value: int | None) -> str:
        return "" if value is None else format_bytes(value)

    speed = ("", "", "")
    if each.step_seconds is not None and each.examples_per_second is not None:
        lower, upper = each.quartiles or (each.examples_per_second,) * 2
        speed = (
            f"{1000.0 * each.step_seconds:.3g} ms",
            f"{each.examples_per_second:,.0f}",
            f"{lower:,.0f} - {upper:,.0f}",
        )
    return (
        f"{each.size:,}",
        "yes" if each.fits else "no",
        shown(each.predicted_bytes),
        shown(each.peak_bytes),
        *speed,
        each.note,
    )
