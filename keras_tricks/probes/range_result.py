"""What a range test of the learning rate found."""

from __future__ import annotations

import dataclasses
import html
from typing import TYPE_CHECKING
from typing import Any

import numpy as np

from keras_tricks.probes import pictures
from keras_tricks.probes.suggestions import Flag
from keras_tricks.probes.suggestions import Suggestion

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes


@dataclasses.dataclass(frozen=True, eq=False)
class RangeRun:
    """One training of a range test, or with `mode="decades"` one a rate.

    Attributes:
        seed: Its seed.
        rates: The rates that were tried, up to where it ended.
        losses: The loss of each; with `"decades"` that at the end.
        smoothed: The same without noise, as long as they are finite.
        found: What it says by itself.
        curves: With `"decades"`, for each rate the mean loss of each pass.

    Example:

    >>> import numpy as np
    >>> from keras_tricks.probes import RangeRun
    >>> one = np.ones(1)
    >>> RangeRun(0, one, one, one, None).rates
    array([1.])
    """

    seed: int
    rates: np.ndarray
    losses: np.ndarray
    smoothed: np.ndarray
    found: Suggestion | None
    curves: tuple[np.ndarray, ...] = ()


@dataclasses.dataclass(frozen=True, eq=False)
class RangeTest:
    """What `learning_rate_range_test` found. `print` shows it.

    Attributes:
        mode: How the rates rose.
        found: The suggestion of all runs together.
        runs: One for each seed.

    Example:

    >>> from keras_tricks.probes import RangeTest
    >>> from keras_tricks.probes.suggestions import Suggestion
    >>> found = Suggestion(None, "10 steps show no shape.", "steps")
    >>> print(RangeTest("exponential", found, ()))
    No learning rate is suggested (steps).
      10 steps show no shape.
    """

    mode: str
    found: Suggestion
    runs: tuple[RangeRun, ...]

    @property
    def suggestion(self) -> float | None:
        """The rate to begin with; None where there is a flag."""
        return self.found.rate

    @property
    def reason(self) -> str:
        """Why, in a sentence."""
        return self.found.reason

    @property
    def flag(self) -> Flag | None:
        """Why there is no suggestion: "not finite", "noise", "range" or "steps"."""
        return self.found.flag

    @property
    def suggestions(self) -> dict[str, float]:
        """Name of a rule -> its rate."""
        return self.found.by_rule

    @property
    def diverged_at(self) -> float | None:
        """The rate at which training diverged; None if it did not."""
        return self.found.diverged_at

    @property
    def spread(self) -> tuple[float, float] | None:
        """The least and the greatest suggestion of the seeds; None without any."""
        rates = [run.found.rate for run in self.runs if run.found is not None]
        known = [rate for rate in rates if rate is not None]
        return (min(known), max(known)) if known else None

    @property
    def rates(self) -> np.ndarray:
        """The rates that all seeds have tried."""
        return min((run.rates for run in self.runs), key=len)

    @property
    def losses(self) -> np.ndarray:
        """Their losses, the mean over the seeds."""
        return self._mean("losses")

    @property
    def smoothed(self) -> np.ndarray:
        """Their smooth losses, the mean over the seeds."""
        return self._mean("smoothed")

    def _mean(self, name: str) -> np.ndarray:
        values = [getattr(run, name) for run in self.runs]
        length = min(map(len, values))
        return np.mean([each[:length] for each in values], axis=0)

    def to_frame(self) -> pd.DataFrame:
        """Returns a data frame of one row for each rate of each seed."""
        import pandas as pd

        tables = []
        for run in self.runs:
            smooth = np.full(len(run.rates), np.nan)
            smooth[: len(run.smoothed)] = run.smoothed
            columns: dict[str, Any] = {
                "seed": run.seed,
                "learning_rate": run.rates,
                "loss": run.losses,
                "smoothed": smooth,
            }
            tables.append(pd.DataFrame(columns))
        return pd.concat(tables, ignore_index=True)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draws losses over rates, with what is suggested.

        Args:
            ax: The matplotlib `Axes` to draw on; by default those of a new figure.

        Raises:
            ImportError: If matplotlib is not installed.
            TypeError: If `ax` is no `Axes`.
        """
        return pictures.range_test(self, ax)

    def __str__(self) -> str:
        if self.suggestion is None:
            head = f"No learning rate is suggested ({self.flag})."
        else:
            head = f"Suggested learning rate: {self.suggestion:.2g}"
        lines = [head, f"  {self.reason}"]
        if self.suggestion is not None:
            lines += [
                f"  {rule}: {rate:.2g}" for rule, rate in self.suggestions.items()
            ]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{html.escape(rule)}</td><td>{rate:.2g}</td></tr>"
            for rule, rate in self.suggestions.items()
        )
        head, *_ = str(self).splitlines()
        return (
            f"<p><b>{html.escape(head)}</b><br>{html.escape(self.reason)}</p>"
            f"<table><thead><tr><th>rule</th><th>learning rate</th></tr></thead>"
            f"<tbody>{rows}</tbody></table>"
        )
