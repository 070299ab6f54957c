"""Formulas of schedules as plain functions: TF1's decays, Keras's and this package's.

They are what the check compares rates by, without TensorFlow, in double precision. A
test holds each to the object, or the TF1 function, that it stands for.
"""

import bisect
import math
from collections.abc import Callable
from collections.abc import Sequence

# From the step, counted from 0, to the rate.
Rate = Callable[[float], float]


def exponential_decay(
    learning_rate: float, decay_steps: float, decay_rate: float, staircase: bool = False
) -> Rate:
    """Keras's `ExponentialDecay`, TF1's `exponential_decay`."""

    def rate(step: float) -> float:
        done = step / decay_steps
        return learning_rate * decay_rate ** (math.floor(done) if staircase else done)

    return rate


def natural_exp_decay(
    learning_rate: float, decay_steps: float, decay_rate: float, staircase: bool = False
) -> Rate:
    """TF1's `natural_exp_decay`."""
    base = math.exp(-decay_rate)
    return exponential_decay(learning_rate, decay_steps, base, staircase)


def inverse_time_decay(
    learning_rate: float, decay_steps: float, decay_rate: float, staircase: bool = False
) -> Rate:
    """Keras's `InverseTimeDecay`, TF1's `inverse_time_decay`."""

    def rate(step: float) -> float:
        done = step / decay_steps
        done = math.floor(done) if staircase else done
        return learning_rate / (1 + decay_rate * done)

    return rate


def polynomial_decay(
    learning_rate: float,
    decay_steps: float,
    end_learning_rate: float = 0.0001,
    power: float = 1.0,
    cycle: bool = False,
) -> Rate:
    """TF1's `polynomial_decay`."""

    def rate(step: float) -> float:
        length = decay_steps
        if cycle:
            length *= max(1, math.ceil(step / decay_steps))
        left = 1 - min(step, length) / length
        return (learning_rate - end_learning_rate) * left**power + end_learning_rate

    return rate


def cosine_decay(learning_rate: float, decay_steps: float, alpha: float = 0.0) -> Rate:
    """Keras's `CosineDecay`, TF1's `cosine_decay`."""

    def rate(step: float) -> float:
        cosine = (1 + math.cos(math.pi * min(step, decay_steps) / decay_steps)) / 2
        return learning_rate * ((1 - alpha) * cosine + alpha)

    return rate


def cosine_decay_restarts(
    learning_rate: float,
    first_decay_steps: float,
    t_mul: float = 2.0,
    m_mul: float = 1.0,
    alpha: float = 0.0,
) -> Rate:
    """Keras's `CosineDecayRestarts`, TF1's `cosine_decay_restarts`."""

    def rate(step: float) -> float:
        done = step / first_decay_steps
        if t_mul == 1:
            restarts = math.floor(done)
            done -= restarts
        else:
            restarts = math.floor(math.log(1 - done * (1 - t_mul)) / math.log(t_mul))
            past = (1 - t_mul**restarts) / (1 - t_mul)
            done = (done - past) / t_mul**restarts
        cosine = m_mul**restarts * (1 + math.cos(math.pi * done)) / 2
        return learning_rate * ((1 - alpha) * cosine + alpha)

    return rate


def piecewise_constant(boundaries: Sequence[float], values: Sequence[float]) -> Rate:
    """Keras's `PiecewiseConstantDecay`, TF1's `piecewise_constant`."""
    return lambda step: values[bisect.bisect_left(boundaries, step)]


def warmup_polynomial_decay(
    initial_learning_rate: float,
    decay_steps: float,
    warmup_steps: float = 0,
    end_learning_rate: float = 0.0,
    power: float = 1.0,
    cycle: bool = False,
    join: str = "overlap",
) -> Rate:
    """`keras_tricks.schedules.WarmupPolynomialDecay`."""
    length = decay_steps - warmup_steps if join == "shift" else decay_steps
    decay = polynomial_decay(
        initial_learning_rate, length, end_learning_rate, power, cycle
    )
    return warmup(decay, warmup_steps, join=join)


def warmup(
    decay: Rate,
    warmup_steps: float,
    start: float = 0.0,
    power: float = 1.0,
    join: str = "shift",
) -> Rate:
    """`keras_tricks.schedules.Warmup`."""

    def rate(step: float) -> float:
        if not warmup_steps:
            return decay(step)
        done = min(1, step / warmup_steps) ** power
        if join == "multiply":
            return decay(step) * done
        if step >= warmup_steps:
            return decay(step - warmup_steps if join == "shift" else step)
        peak = decay(warmup_steps if join == "lower" else 0)
        return start + (peak - start) * done

    return rate


def constant(learning_rate: float) -> Rate:
    """A number in the place of a schedule."""
    return lambda step: learning_rate


def noam(d_model: float, warmup_steps: float = 4000, scale: float = 1.0) -> Rate:
    """`keras_tricks.schedules.NoamSchedule`."""
    return inverse_square_root(scale * (d_model * warmup_steps) ** -0.5, warmup_steps)


def inverse_square_root(peak_learning_rate: float, warmup_steps: float) -> Rate:
    """`keras_tricks.schedules.InverseSquareRoot`."""

    def rate(step: float) -> float:
        if step < warmup_steps:
            return peak_learning_rate * step / warmup_steps
        return peak_learning_rate * (warmup_steps / step) ** 0.5

    return rate


def shifted(schedule: Rate, steps: int) -> Rate:
    """`keras_tricks.schedules.Shifted`."""
    return lambda step: schedule(max(step + steps, 0))
