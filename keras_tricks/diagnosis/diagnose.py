"""Diagnosis of a training from its learning curves."""

from __future__ import annotations

import dataclasses
import html
from typing import Any
from typing import Literal

import numpy as np

from keras_tricks import _validation
from keras_tricks.diagnosis import histories
from keras_tricks.diagnosis import verdicts
from keras_tricks.diagnosis.curves import Curve
from keras_tricks.diagnosis.metrics import direction_of
from keras_tricks.diagnosis.metrics import is_share
from keras_tricks.diagnosis.verdicts import Verdict


@dataclasses.dataclass(frozen=True)
class Diagnosis:
    """What `diagnose` found. `print` shows it.

    Attributes:
        verdicts: All that hold, the one that counts most first.
        metric: The metric that was looked at.
        epochs: How many epochs the curves have.

    Example:

    >>> from keras_tricks.diagnosis import diagnose
    >>> diagnosis = diagnose({"loss": [2.3, 2.2, float("nan")]})
    >>> diagnosis.verdict, diagnosis.evidence
    ('diverging', {'first_epoch_not_finite': 3})
    >>> print(diagnosis)
    loss over 3 epochs: diverging (confidence 0.99)
      The curves are not finite from epoch 3 on.
      1. Lower the learning rate by tens until training is stable.
      2. Begin with a warmup.
      3. Clip the gradients by their global norm.
      4. Look for NaN and for outliers in the data.
    """

    verdicts: tuple[Verdict, ...]
    metric: str
    epochs: int

    @property
    def verdict(self) -> str:
        """The name of the verdict that counts most."""
        return self.verdicts[0].name

    @property
    def evidence(self) -> dict[str, float]:
        """Its evidence."""
        return self.verdicts[0].evidence

    @property
    def remedies(self) -> tuple[str, ...]:
        """Its remedies."""
        return self.verdicts[0].remedies

    def __str__(self) -> str:
        lines = []
        for number, verdict in enumerate(self.verdicts):
            head = "also" if number else f"{self.metric} over {self.epochs} epochs"
            lines.append(
                f"{head}: {verdict.name} (confidence {verdict.confidence:.2f})"
            )
            lines.append(f"  {verdict.sentence}")
            lines += [f"  {n}. {text}" for n, text in enumerate(verdict.remedies, 1)]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{html.escape(v.name)}</td><td>{v.confidence:.2f}</td>"
            f"<td>{html.escape(v.sentence)}</td>"
            f"<td>{'<br>'.join(map(html.escape, v.remedies))}</td></tr>"
            for v in self.verdicts
        )
        names = ("verdict", "confidence", "what was seen", "what to do")
        head = "".join(f"<th>{name}</th>" for name in names)
        caption = f"{html.escape(self.metric)} over {self.epochs} epochs"
        return (
            f"<table><caption>{caption}</caption><thead><tr>{head}</tr></thead>"
            f"<tbody>{rows}</tbody></table>"
        )


def diagnose(
    history: Any,
    *,
    baseline: float | None = None,
    human_level: float | None = None,
    noise: float | None = None,
    metric: str = "loss",
    direction: Literal["min", "max", "auto"] = "auto",
) -> Diagnosis:
    """Says what the learning curves of a training show, and what to do about it.

    The verdicts are "learning well", "underfitting", "overfitting", "diverging", "not
    learning at all", "still improving at the end", "improved only at the beginning",
    "noisy", "plateaued" and "step change". Each has a rule over the curves, smoothed
    over a tenth of the epochs: an effect counts where it is larger than chance, four
    standard deviations of what is compared, and than a share of the whole progress.
    The noise is estimated from second differences. Without `human_level`, a curve that
    ends at 35 % of its first value or less is learning well, and one that settles at
    50 % or more is underfitting; with it, 10 % of the way from it to the first value is
    the limit of both.

    Args:
        history: What `fit` returned (a `History`), a dictionary or data frame of
            curves, a trial's record or its `record.json`, a file that `CSVLogger`
            wrote, or a folder of event files that TensorBoard's callback wrote. Of a
            trial with several trainings it is the first.
        baseline: What a trivial predictor reaches in the metric: a training that does
            not beat it has learned nothing, be its curve as it may.
        human_level: The best that can be reached in the metric.
        noise: Standard deviation of an epoch's value from run to run, if it is known.
        metric: The metric to look at, by its name on the training data; on validation
            data its name begins with `val_`.
        direction: Whether less or more of it is better; by its name by default. A
            metric of several values, such as one a class, counts by their mean.

    Returns:
        A `Diagnosis`.

    Raises:
        TypeError: If `history` is nothing of the kind, or a number is none.
        ValueError: If `history` has no such metric, or holds no epoch, or its file
            cannot be read.
        FileNotFoundError: If there is no such file.

    Example:

    >>> import numpy as np
    >>> from keras_tricks.diagnosis import diagnose
    >>> t = np.arange(50)
    >>> loss, val_loss = 2.3 * 0.8**t, 2.3 * 0.8**t + 0.01 * t
    >>> diagnosis = diagnose({"loss": loss, "val_loss": val_loss})
    >>> diagnosis.verdict, diagnosis.evidence["best_epoch"]
    ('overfitting', 19)

    References:
        - Godbole, Dahl, Gilmer, Shallue and Nado,
          [Deep Learning Tuning Playbook](
          https://github.com/google-research/tuning_playbook), 2023
        - Viering and Loog, [The Shape of Learning Curves: a Review](
          https://arxiv.org/abs/2103.10948), 2021
    """
    metric = _validation.check_text("metric", metric)
    least = -_validation.GREATEST
    given = {"baseline": baseline, "human_level": human_level}
    for name, value in given.items():
        if value is not None:
            given[name] = _validation.check_float(name, value, minimum=least)
    if noise is not None:
        noise = _validation.check_float("noise", noise)
    curves = histories.curves_of(history)
    if metric not in curves and f"val_{metric}" not in curves:
        raise ValueError(
            f"`metric` must be one of {', '.join(map(repr, sorted(curves)))}. "
            f"{_validation.received('metric', metric)}"
        )
    sense = direction_of(metric, direction)
    seen = _training(curves, metric, sense, given, noise)
    found = _found(seen)
    if metric == "loss" and baseline is None:
        found = _no_share_rises(curves) or found
    return Diagnosis(found, metric, len(_sides(curves, metric)[0]))


def _sides(
    curves: histories.Curves, metric: str
) -> tuple[np.ndarray, np.ndarray | None]:
    """Returns the curves of training and of validation; one that is alone is both."""
    training, validation = curves.get(metric), curves.get(f"val_{metric}")
    if training is None:
        assert validation is not None
        return validation, None
    if validation is not None and len(validation) > len(training):
        raise ValueError(
            "`history` must hold as many epochs of training as of validation, or more. "
            f"Received: {len(training)} of {metric!r} and {len(validation)} of "
            f"'val_{metric}'"
        )
    return training, validation


def _validated(values: np.ndarray) -> np.ndarray:
    """Returns those of the epochs that were validated.

    With `validation_freq` each k-th was, and what is not known of the others may stand
    there as NaN. Any other NaN is what the training came to.
    """
    known = np.flatnonzero(~np.isnan(values))
    if not len(known):
        return values
    first = known[0]
    is_regular = np.array_equal(known, np.arange(first, len(values), first + 1))
    return values[known] if is_regular else values


def _training(
    curves: histories.Curves,
    metric: str,
    direction: str,
    given: dict[str, float | None],
    noise: float | None,
) -> verdicts.Training:
    def as_loss(value: float) -> float:
        # Of a share, such as accuracy, what is missing of 1.
        return value if direction == "min" else 1.0 - value

    training, validation = _sides(curves, metric)
    # With `validation_freq` only some epochs were validated.
    if validation is not None:
        validation = _validated(validation)
    broken = [
        int(np.flatnonzero(~np.isfinite(values))[0])
        for values in (training, validation)
        if values is not None and not np.isfinite(values).all()
    ]

    def curve(values: np.ndarray) -> Curve:
        finite = np.array([as_loss(v) for v in values[np.isfinite(values)]])
        return Curve.of(finite if len(finite) else np.zeros(1), noise)

    baseline, human_level = given["baseline"], given["human_level"]
    first = curve(training)
    floor = 0.0 if human_level is None else as_loss(human_level)
    if human_level is None and float(first.values.min()) < 0.0:
        floor = float(first.values.min())  # A loss that may fall below 0.
    return verdicts.Training(
        training=first,
        validation=None if validation is None else curve(validation),
        first_not_finite=min(broken, default=None),
        floor=floor,
        baseline=None if baseline is None else as_loss(baseline),
        knows_floor=human_level is not None,
    )


def _found(seen: verdicts.Training) -> tuple[Verdict, ...]:
    # What is left of a curve that broke off is not comparable with the other side.
    rules = verdicts.FAULTS if seen.first_not_finite is None else [verdicts.diverging]
    faults = [found for rule in rules if (found := rule(seen))]
    names = [fault.name for fault in faults]
    if "diverging" in names:
        return (faults[0],)
    if "not learning at all" in names:
        # What is said of progress needs some.
        faults = [fault for fault in faults if fault.name != "overfitting"]
    shapes = [found for rule in verdicts.SHAPES if (found := rule(seen))]
    well = verdicts.learning_well(seen)
    if well is not None and not faults:
        return well, *shapes
    return (*faults, *shapes) or (verdicts.undecided(seen),)


def _no_share_rises(curves: histories.Curves) -> tuple[Verdict, ...] | None:
    """Returns what an accuracy says that stays where a guess is.

    The mean loss of the first epoch may be so large, in a run that explodes at once,
    that any other looks well beside it.
    """
    for name, values in curves.items():
        if name.startswith("val_") or not is_share(name):
            continue
        if not np.isfinite(values).all() or not 0.0 <= values[-1] <= 0.55:
            continue
        nothing: dict[str, float | None] = {"baseline": None, "human_level": None}
        found = verdicts.not_learning(_training(curves, name, "max", nothing, None))
        if found is not None:
            sentence = f"{name} stays at {values[-1]:.3g}. {found.sentence}"
            return (dataclasses.replace(found, sentence=sentence),)
    return None
