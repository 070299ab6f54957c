"""The rate that the losses of a range test speak for, and why; or why none."""

from __future__ import annotations

import dataclasses
from typing import Literal

import numpy as np

from keras_tricks.diagnosis.curves import noise_of
from keras_tricks.probes import smoothing as averages

Flag = Literal["not finite", "noise", "range", "steps"]

# Fewer steps show no shape.
_FEWEST_STEPS = 10
# What is less, in shares of the loss, is no fall even where nothing is noisy.
_LEAST_FALL = 1e-3
# How many standard deviations chance does not make.
_DEVIATIONS = 4.0


@dataclasses.dataclass(frozen=True)
class Suggestion:
    """What the losses of one training, or of one rate after another, speak for.

    Attributes:
        rate: The rate that is suggested; None where there is a flag.
        reason: A sentence.
        flag: Why there is none: `"not finite"` (the loss is not, at the first step or
            because the data are not), `"noise"` (which hides the answer), `"range"`
            (of rates, which is too narrow) or `"steps"` (too few).
        by_rule: Name of a rule -> its rate.
        diverged_at: The rate at which training diverged, if it did.
    """

    rate: float | None
    reason: str
    flag: Flag | None = None
    by_rule: dict[str, float] = dataclasses.field(default_factory=dict)
    diverged_at: float | None = None


def _none(flag: Flag, reason: str, diverged_at: float | None = None) -> Suggestion:
    return Suggestion(None, reason, flag, diverged_at=diverged_at)


@dataclasses.dataclass(frozen=True)
class Ramp:
    """A training through rising rates.

    Attributes:
        rates: The rate of each step that was planned.
        losses: The loss before each step that was made.
        smoothing: The weight of the past in smooth losses.
        is_logarithmic: Whether steepness is by the logarithm of the rate.
    """

    rates: np.ndarray
    losses: np.ndarray
    smoothing: float
    is_logarithmic: bool

    @property
    def finite(self) -> np.ndarray:
        """The losses before the first that is not finite."""
        broken = np.flatnonzero(~np.isfinite(self.losses))
        return self.losses[: broken[0]] if len(broken) else self.losses

    @property
    def smoothed(self) -> np.ndarray:
        """The smooth losses; what is beyond the limit of divergence counts as that."""
        finite = self.finite
        if len(finite) == 0:
            return finite
        limit = averages.limit_of(finite, self.smoothing)
        return averages.centred(np.minimum(finite, limit), self.smoothing)

    @property
    def diverged_at(self) -> float | None:
        """The rate of the step at which training ended, if it was not the last."""
        count = len(self.losses)
        if count == 0 or not averages.has_diverged(self.losses, self.smoothing):
            return None
        return float(self.rates[count - 1])

    def suggestion(self) -> Suggestion:
        """Returns the rate at which the loss falls fastest, if that can be told."""
        diverged_at = self.diverged_at
        if len(self.finite) == 0:
            return _none(
                "not finite",
                f"The loss is {self.losses[0]} at the first step, before any rate has "
                "had an effect: the cause is in the data, the model or the loss.",
            )
        if len(self.finite) < _FEWEST_STEPS:
            if diverged_at is not None and len(self.rates) >= _FEWEST_STEPS:
                return self._starts_too_high(diverged_at)
            return _none(
                "steps",
                f"{len(self.losses)} steps show no shape: take {_FEWEST_STEPS} or "
                "more, 100 if possible.",
                diverged_at,
            )
        return self._of_shape(diverged_at)

    @property
    def _for_lower_rates(self) -> str:
        """What to do for rates that are lower than the first ones."""
        name = "start" if self.is_logarithmic else "end"
        return f"take a smaller `{name}`."

    def _starts_too_high(self, diverged_at: float | None) -> Suggestion:
        return _none(
            "range",
            "The loss does not fall before it rises, within the first "
            f"{len(self.losses)} steps: {self._for_lower_rates}",
            diverged_at,
        )

    def _of_shape(self, diverged_at: float | None) -> Suggestion:
        smooth, rates = self.smoothed, self.rates[: len(self.finite)]
        count = len(smooth)
        head = max(3, len(self.rates) // 10)
        start = float(np.mean(self.finite[:head]))
        lowest = head + int(np.argmin(smooth[head:]))
        fall = start - float(smooth[lowest])
        noise = _noise(self.finite[: lowest + 1] if lowest >= 8 else self.finite)
        spread = averages.deviation(self.smoothing)
        chance = _DEVIATIONS * noise * float(np.hypot(spread, head**-0.5))
        if fall <= max(chance, _LEAST_FALL * abs(start)):
            return self._no_fall(fall, chance, diverged_at, count)
        near = smooth[lowest] + max(0.05 * fall, _DEVIATIONS * noise * spread)
        stays_low = diverged_at is None and bool(smooth[-1] <= near)
        if stays_low:
            lowest = int(np.flatnonzero(smooth[head:] <= near)[0]) + head
        if stays_low and lowest >= count - head:
            return _none(
                "range",
                f"The loss still falls at {self.rates[-1]:.1e}, the end of the range: "
                "take a larger `end`.",
            )
        half = max(1, len(self.rates) // 20)
        steepest, begins = self._steepest(smooth, rates, lowest, half, head - 1)
        if begins >= 8:
            # Where no rate has had an effect yet, what moves the curve is chance.
            chance = max(chance, _DEVIATIONS * float(np.std(smooth[:begins])))
        if fall <= chance:
            return self._no_fall(fall, chance, diverged_at, count)
        at_once = float(np.median(self.finite[:3])) - float(smooth[begins])
        if begins == head - 1 and at_once > max(chance, 0.2 * fall):
            return _none(
                "range",
                f"The loss falls fastest at the lowest rates, from {self.rates[0]:.1e} "
                f"on: {self._for_lower_rates}",
                diverged_at,
            )
        return self._found(steepest, float(rates[lowest]), stays_low, diverged_at)

    def _found(
        self, steepest: float, bottom: float, stays_low: bool, diverged_at: float | None
    ) -> Suggestion:
        goes_on = "rises from there on"
        if diverged_at is not None:
            goes_on = f"diverges at {diverged_at:.1e}"
        elif stays_low:
            goes_on = f"stays there up to {self.rates[-1]:.1e}"
        return Suggestion(
            steepest,
            f"The loss falls fastest around {steepest:.1e}; it is lowest at "
            f"{bottom:.1e}, and {goes_on}.",
            by_rule={"steepest": steepest, "tenth of minimum": bottom / 10.0},
            diverged_at=diverged_at,
        )

    def _steepest(
        self, smooth: np.ndarray, rates: np.ndarray, lowest: int, half: int, begin: int
    ) -> tuple[float, int]:
        """Returns the rate of the steepest fall, and the step at which that begins."""
        axis = np.log(rates) if self.is_logarithmic else rates
        # The first averages are of few losses, and noisy.
        begin = min(begin, lowest - 1)
        width = min(2 * half, lowest - begin)
        first = np.arange(begin, lowest - width + 1)
        falls = smooth[first + width] - smooth[first]
        slopes = falls / (axis[first + width] - axis[first])
        begins = begin + int(np.argmin(slopes))
        middle = (axis[begins] + axis[begins + width]) / 2
        rate = np.exp(middle) if self.is_logarithmic else middle
        return float(rate), begins

    def _no_fall(
        self, fall: float, chance: float, diverged_at: float | None, count: int
    ) -> Suggestion:
        if diverged_at is not None and count <= len(self.rates) // 4:
            return self._starts_too_high(diverged_at)
        if chance > _LEAST_FALL * abs(fall) and fall > 0.25 * chance:
            return _none(
                "noise",
                f"The loss falls by {fall:.2g} at most, and noise alone makes "
                f"{chance:.2g}: take more `steps`, larger batches or several `seeds`.",
                diverged_at,
            )
        if diverged_at is None:
            return _none(
                "range",
                f"The loss falls at no rate up to {self.rates[-1]:.1e}: take a larger "
                "`end`, unless the model cannot learn at all.",
            )
        return _none(
            "noise",
            "The loss falls at no rate before it diverges: take more `steps`, or a "
            "range that ends sooner.",
            diverged_at,
        )


@dataclasses.dataclass(frozen=True)
class Decades:
    """Trainings at one rate each, from the same weights on the same batches.

    Attributes:
        rates: The rates, rising.
        curves: For each the mean loss of each pass, as many as there were.
    """

    rates: np.ndarray
    curves: tuple[np.ndarray, ...]

    @property
    def losses(self) -> np.ndarray:
        """The mean loss of the last pass of each rate; NaN where it diverged."""
        return np.array(
            [
                curve[-1] if len(curve) and np.isfinite(curve).all() else np.nan
                for curve in self.curves
            ]
        )

    @property
    def start(self) -> float:
        """The loss of the first pass at the lowest rate: before it had an effect."""
        first = self.curves[0]
        return float(first[0]) if len(first) else np.nan

    @property
    def is_stable(self) -> np.ndarray:
        """Whether each rate ended below the start, and was never far above it."""
        losses, limit = self.losses, self.start + abs(self.start)
        never_above = np.array([np.all(curve <= limit) for curve in self.curves])
        with np.errstate(invalid="ignore"):
            return never_above & (losses <= self.start)

    def suggestion(self) -> Suggestion:
        """Returns the rate of the lowest loss at the end, if that can be told."""
        losses, start = self.losses, self.start
        if not np.isfinite(start):
            return _none(
                "not finite",
                f"The loss is {start} at {self.rates[0]:.1e}: the cause is in the "
                "data, the model or the loss, or `start` is too large.",
            )
        stable = self.is_stable
        broken = np.flatnonzero(~stable & (self.rates > self.rates[0]))
        best = int(np.nanargmin(np.where(np.isnan(losses), np.inf, losses)))
        above = broken[broken > best]
        diverged_at = float(self.rates[above[0]]) if len(above) else None
        fall = start - losses[best]
        first = self.curves[0]
        noise = float(np.std(np.diff(first)) / np.sqrt(2)) if len(first) > 2 else 0.0
        chance = _DEVIATIONS * noise
        if fall <= max(chance, _LEAST_FALL * abs(start)):
            return _none(
                "noise",
                f"No rate brings the loss down by more than {max(fall, 0.0):.2g}: take "
                "more `steps`, or other rates.",
                diverged_at,
            )
        if best == len(losses) - 1:
            return _none(
                "range",
                f"The highest rate, {self.rates[-1]:.1e}, is the best: take a larger "
                "`end`.",
            )
        if best == 0:
            return _none(
                "range",
                f"The lowest rate, {self.rates[0]:.1e}, is the best: take a smaller "
                "`start`.",
                diverged_at,
            )
        highest = (above[0] if len(above) else len(losses)) - 1
        return Suggestion(
            float(self.rates[best]),
            f"{self.rates[best]:.1e} ends with the lowest loss, {losses[best]:.3g}; "
            f"the highest stable rate is {self.rates[highest]:.1e}.",
            by_rule={
                "best": float(self.rates[best]),
                "highest stable": float(self.rates[highest]),
            },
            diverged_at=diverged_at,
        )


def _noise(losses: np.ndarray) -> float:
    """Returns the standard deviation of the noise of losses.

    Where some batches are far off, it is above what most of them show.
    """
    differences = np.diff(losses, n=2)
    if len(differences) < 2:
        return 0.0
    return max(noise_of(losses), float(np.std(differences)) / np.sqrt(6.0))


def of_seeds(suggestions: list[Suggestion]) -> Suggestion:
    """Returns what several trainings say together: the median of their rates.

    Where half of them or more say nothing, so does this.
    """
    if len(suggestions) == 1:
        return suggestions[0]
    known = [each for each in suggestions if each.rate is not None]
    ends = [each.diverged_at for each in suggestions if each.diverged_at is not None]
    diverged_at = _median(ends) if 2 * len(ends) > len(suggestions) else None
    if 2 * len(known) <= len(suggestions):
        silent = next(each for each in suggestions if each.rate is None)
        count = len(suggestions) - len(known)
        return dataclasses.replace(
            silent,
            reason=f"{count} of {len(suggestions)} seeds give no answer. "
            f"{silent.reason}",
            diverged_at=diverged_at,
        )
    rates = [each.rate for each in known if each.rate is not None]
    by_rule = {
        rule: _median([each.by_rule[rule] for each in known])
        for rule in known[0].by_rule
    }
    return Suggestion(
        _median(rates),
        f"The median of {len(known)} seeds, whose suggestions are from "
        f"{min(rates):.1e} to {max(rates):.1e}. Of the first: {known[0].reason}",
        by_rule=by_rule,
        diverged_at=diverged_at,
    )


def of_mean(ramps: list[Ramp]) -> Suggestion | None:
    """Returns what the mean losses of several trainings say, None if that is nothing.

    Noise that hides the answer from each may not hide it from all.
    """
    length = min(len(ramp.losses) for ramp in ramps)
    losses = np.mean([ramp.losses[:length] for ramp in ramps], axis=0)
    found = dataclasses.replace(ramps[0], losses=losses).suggestion()
    if found.rate is None:
        return None
    reason = f"Of the mean of {len(ramps)} seeds: {found.reason}"
    return dataclasses.replace(found, reason=reason)


def _median(rates: list[float]) -> float:
    """Returns the median, in the middle between two by the logarithm."""
    return float(np.exp(np.median(np.log(rates))))
