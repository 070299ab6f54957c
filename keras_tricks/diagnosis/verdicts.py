"""Verdicts on a training: one rule for each, over its learning curves."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np

from keras_tricks.diagnosis import remedies
from keras_tricks.diagnosis.curves import Curve

# Deviations by which chance is ruled out.
_SURE = 4.0


@dataclasses.dataclass(frozen=True)
class Verdict:
    """One thing that the curves say.

    Attributes:
        name: For instance `"overfitting"`.
        sentence: What was seen, with its numbers.
        confidence: 0.5 where the effect is as large as its rule asks for, towards 1 the
            larger it is.
        evidence: The numbers, by name. Epochs are counted from 1.
        remedies: What to do about it, in the order in which to try it.

    Example:

    >>> from keras_tricks.diagnosis import diagnose
    >>> verdict = diagnose({"loss": [2.0, 1.5, 1.2, 1.0]}).verdicts[0]
    >>> verdict.name, verdict.remedies[0]
    ('still improving at the end', 'Train for more steps.')
    """

    name: str
    sentence: str
    confidence: float
    evidence: dict[str, float]
    remedies: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Training:
    """What the rules look at. Smaller values are better.

    Attributes:
        training: The curve on the training data.
        validation: That on the validation data, or None.
        first_not_finite: The first epoch, from 0, with a NaN or an infinity, or None.
        floor: A value that cannot be beaten, such as a person's; 0 for a loss.
        baseline: What a trivial predictor reaches, or None.
        knows_floor: Whether `floor` was given.
    """

    training: Curve
    validation: Curve | None
    first_not_finite: int | None
    floor: float
    baseline: float | None
    knows_floor: bool

    @property
    def judged(self) -> Curve:
        """The curve that counts: validation where there is one."""
        return self.training if self.validation is None else self.validation

    def level(self, value: float) -> float:
        """Returns where a value lies between the floor, 0, and the start, 1."""
        start = self.training.start if self.baseline is None else self.baseline
        span = start - self.floor
        return (value - self.floor) / span if span > 0 else math.inf


Rule = Callable[[Training], Verdict | None]


def _verdict(
    name: str, strength: float, sentence: str, **evidence: float
) -> Verdict | None:
    """Returns a verdict where its effect is at least what the rule asks for, 1."""
    if not strength >= 1.0:
        return None
    confidence = 1.0 - 0.5 / min(strength, 50.0)
    return Verdict(name, sentence, confidence, evidence, remedies.REMEDIES[name])


def _strength(effect: float, *least: float) -> float:
    """Returns an effect in multiples of the greatest of what it has to reach."""
    bound = max(least)
    if bound > 0:
        return effect / bound
    return math.inf if effect > 0 else 0.0


def diverging(seen: Training) -> Verdict | None:
    """NaN or infinity, or a training curve that has risen and goes on to rise."""
    if seen.first_not_finite is not None:
        epoch = seen.first_not_finite + 1
        return _verdict(
            "diverging",
            math.inf,
            f"The curves are not finite from epoch {epoch} on.",
            first_epoch_not_finite=epoch,
        )
    curve = seen.training
    lowest = min(curve.best, float(curve.values.min()) + 2.0 * curve.noise)
    rise = curve.end - lowest
    strength = _strength(
        rise,
        5.0 * curve.mean_noise * math.sqrt(2.0),
        0.25 * curve.progress,
        0.1 * abs(curve.start),
    )
    step = _largest_step(curve)
    if step is not None and step[1] > 0.6 * rise:
        return None
    return _verdict(
        "diverging",
        strength,
        f"Training got worse by {rise:.3g} after its best, at epoch "
        f"{curve.best_epoch + 1}.",
        rise=rise,
        best_epoch=curve.best_epoch + 1,
    )


def not_learning(seen: Training) -> Verdict | None:
    """A training curve that is as high as in the beginning, or as a trivial guess."""
    curve = seen.training
    if len(curve) < 2:
        return None
    half = len(curve) // 2
    deviation = curve.noise * math.sqrt(1.0 / curve.window + 1.0 / half)
    first = float(curve.values[: curve.window].mean()) if curve.noise else curve.start
    gain = first - float(curve.values[-half:].mean() if curve.noise else curve.end)
    least = max(3.0 * deviation, 0.02 * abs(curve.start - seen.floor))
    if seen.baseline is not None:
        gain = seen.baseline - curve.end
        least = max(_SURE * curve.mean_noise, 0.02 * abs(seen.baseline - seen.floor))
    strength = 2.0 - _strength(gain, least)
    than = "the first epochs" if seen.baseline is None else "the baseline"
    return _verdict(
        "not learning at all",
        strength,
        f"Training ends {gain:.3g} better than {than}, where {least:.3g} would be more "
        "than nothing.",
        gain=gain,
        least_gain=least,
    )


def overfitting(seen: Training) -> Verdict | None:
    """Validation that gets worse, or stays far behind, while training goes on."""
    training, validation = seen.training, seen.validation
    if validation is None or len(validation) < 3:
        return None
    lost = max(validation.end - validation.best, 0.0)
    gap = validation.end - training.end
    span = max(validation.start, training.start) - training.best
    deviation = math.sqrt(2.0) * validation.mean_noise
    rises = _strength(lost, _SURE * deviation, 0.05 * span)
    if training.end > training.smooth[validation.best_epoch] + 0.5 * lost:
        rises = 0.0  # Both got worse.
    deviation = math.hypot(validation.mean_noise, training.mean_noise)
    # Where training has nothing left to learn, a smaller gap tells as much.
    share = 0.1 if 4.0 * training.end < validation.end else 0.3
    behind = _strength(gap, _SURE * deviation, share * span)
    return _verdict(
        "overfitting",
        max(rises, behind),
        f"Validation ends {gap:.3g} above training, and {lost:.3g} above its "
        f"best, at epoch {validation.best_epoch + 1}.",
        gap=gap,
        lost_since_best=lost,
        best_epoch=validation.best_epoch + 1,
    )


def underfitting(seen: Training) -> Verdict | None:
    """A training curve that has settled high, with validation near it."""
    curve = seen.training
    if len(curve) < 5 or not_learning(seen):
        return None
    # As if it went on for as many epochs as it has had.
    slope, _ = curve.slope(0.25)
    further = max(-slope, 0.0) * len(curve) if still_improving(seen) else 0.0
    level = seen.level(curve.end - further)
    high = 0.1 if seen.knows_floor else 0.5
    strength = level / high
    if seen.validation is not None:
        gap = seen.validation.end - curve.end
        if gap > max(0.5 * curve.progress, _SURE * seen.validation.mean_noise):
            return None
    floor = "what can be reached" if seen.knows_floor else "0"
    return _verdict(
        "underfitting",
        strength,
        f"Training is at {level:.0%} of the way from {floor} to where it began, or "
        "would be if it went on for as long.",
        level=level,
        end=curve.end,
    )


def still_improving(seen: Training) -> Verdict | None:
    """A judged curve that falls over its last fourth by more than chance."""
    curve = seen.judged
    if len(curve) < 2:
        return None
    if len(curve) < 5:
        # Too short to tell noise from progress: each epoch has to be better.
        steps = -np.diff(curve.values)
        strength = _strength(float(steps.min()), 0.02 * abs(curve.start))
        gain = float(steps[-1])
    else:
        slope, deviation = curve.slope(0.25)
        epochs = max(5, round(0.25 * len(curve))) - 1
        gain = -slope * epochs
        strength = _strength(gain, 3.0 * deviation * epochs, 0.03 * curve.progress)
    return _verdict(
        "still improving at the end",
        strength,
        f"The last fourth of the epochs gained {gain:.3g} of {curve.progress:.3g}.",
        gained_at_the_end=gain,
        gained=curve.progress,
    )


def improved_only_early(seen: Training) -> Verdict | None:
    """A judged curve that settles within the first fifth of the epochs."""
    curve = seen.judged
    settled = _settled(seen)
    if settled is None:
        return None
    return _verdict(
        "improved only at the beginning",
        0.2 * len(curve) / max(settled, 1),
        f"From epoch {settled + 1} of {len(curve)} on it did not improve.",
        settled_epoch=settled + 1,
    )


def plateaued(seen: Training) -> Verdict | None:
    """A judged curve that has settled, though not in the first fifth."""
    curve = seen.judged
    settled = _settled(seen)
    if settled is None or settled <= 0.2 * len(curve):
        return None
    return _verdict(
        "plateaued",
        0.75 * len(curve) / settled,
        f"From epoch {settled + 1} of {len(curve)} on it did not improve.",
        settled_epoch=settled + 1,
    )


def _settled(seen: Training) -> int | None:
    """Returns the epoch, from 0, from which the judged curve is flat, if it is."""
    curve = seen.judged
    if len(curve) < 8 or still_improving(seen) or not_learning(seen):
        return None
    return curve.settled_epoch(0.05)


def noisy(seen: Training) -> Verdict | None:
    """Noise that is large beside the progress."""
    curve = seen.judged
    progress = curve.progress
    if not progress:
        return None
    strength = _strength(curve.noise, 0.12 * progress)
    return _verdict(
        "noisy",
        strength,
        f"From epoch to epoch it changes by {curve.noise:.3g}, with a progress of "
        f"{progress:.3g} in all.",
        noise=curve.noise,
        progress=progress,
    )


def step_change(seen: Training) -> Verdict | None:
    """One epoch in which training changes as it does in no other, and stays so."""
    found = _largest_step(seen.training)
    if found is None:
        return None
    epoch, size, strength = found
    way = "worse" if size > 0 else "better"
    return _verdict(
        "step change",
        strength,
        f"At epoch {epoch + 1} training got {way} by {abs(size):.3g} at once.",
        epoch=epoch + 1,
        size=size,
    )


def _largest_step(curve: Curve) -> tuple[int, float, float] | None:
    """Returns epoch, size and strength of the largest step after the beginning."""
    values, length = curve.values, len(curve)
    first = max(5, math.ceil(0.15 * length))
    if length < first + 6:
        return None
    steps = np.diff(values)[first - 1 : length - 3]
    place = int(np.argmax(np.abs(steps)))
    epoch, size = first + place, float(steps[place])
    before = float(np.median(values[epoch - curve.window : epoch]))
    after = float(np.median(values[epoch : epoch + curve.window]))
    if (after - before) * size < 0.6 * size * size:
        return None
    # The course of the curve around it, which it stands out from.
    others = np.delete(np.abs(steps), place)
    usual = float(np.sort(others)[-3:].mean())
    span = float(values.max() - values.min())
    strength = _strength(abs(size), 6.0 * curve.noise, 0.15 * span, 2.0 * usual)
    return (epoch, size, strength) if strength >= 1.0 else None


# In the order in which they count. What comes first is what is to be mended first.
FAULTS: tuple[Rule, ...] = (
    diverging,
    step_change,
    not_learning,
    noisy,
    overfitting,
    underfitting,
    still_improving,
)
# What is said of a curve's shape, whether it ended well or not.
SHAPES: tuple[Rule, ...] = (improved_only_early, plateaued)


def learning_well(seen: Training) -> Verdict | None:
    """Validation that ended low."""
    level = seen.level(seen.judged.end)
    high = 0.1 if seen.knows_floor else 0.35
    return _verdict(
        "learning well",
        high / level if level > 0 else math.inf,
        f"It ends at {max(level, 0.0):.0%} of the way from the floor to its start.",
        level=level,
    )


def undecided(seen: Training) -> Verdict:
    """What is said where no rule has found anything."""
    found = _verdict(
        "undecided",
        1.0,
        f"{len(seen.judged)} epochs do not show more than that training got from "
        f"{seen.judged.start:.3g} to {seen.judged.end:.3g}.",
        start=seen.judged.start,
        end=seen.judged.end,
    )
    assert found is not None
    return found
