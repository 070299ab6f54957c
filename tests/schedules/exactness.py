"""How exact compiled polynomial decay is, held against float64 and TF1.

A script too, for the backends that need a process of their own.
"""

import keras
import numpy as np
import tensorflow as tf
from hypothesis import HealthCheck
from hypothesis import example
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from keras_tricks.schedules import WarmupPolynomialDecay
from tests import tf1_reference

# Where Keras's PolynomialDecay turns NaN or negative, or misses most bits.
NOTORIOUS = [
    *((steps, 0.5) for steps in (10, 300, 500, 1000, 2000, 12345, 4095, 2071)),
    *((steps, 1.5) for steps in (10, 300, 500, 1000, 2000, 12345)),
]
BATCH = 10

pairs = st.lists(
    st.tuples(
        # On fewer steps TF1 hits the exact rates by luck, beyond what XLA's pow can.
        st.one_of(st.integers(20, 300), st.integers(20, 10**6)),
        st.one_of(st.sampled_from([0.5, 1.0, 1.5, 2.0]), st.floats(0.1, 4.0)),
    ),
    min_size=BATCH,
    max_size=BATCH,
)


def steps_of(decay_steps):
    """The beginning, a sample of the middle, and what is around the end."""
    middle = np.linspace(0, decay_steps, 200).astype(np.int64)
    ends = [np.arange(40), np.arange(decay_steps - 40, decay_steps + 5)]
    steps = np.unique(np.concatenate([middle, *ends]))
    # One length for all, since a new shape is a new compilation.
    steps = np.clip(np.resize(np.sort(steps[steps >= 0]), 285), 0, None)
    return np.sort(steps)


def compiled_rates(schedules, steps):
    """The rates of all schedules from one compiled function."""

    def rates(steps):
        return [schedule(s) for schedule, s in zip(schedules, steps, strict=True)]

    if keras.backend.backend() == "jax":
        import jax

        return [
            np.asarray(r) for r in jax.jit(rates)([s.astype("int32") for s in steps])
        ]
    return [r.numpy() for r in tf.function(rates, jit_compile=True)(steps)]


def check(drawn):
    """Asserts what holds for decays of (decay_steps, power), compiled by XLA."""
    schedules = [WarmupPolynomialDecay(1.0, d, power=p) for d, p in drawn]
    all_steps = [steps_of(decay_steps) for decay_steps, _ in drawn]
    for (decay_steps, power), steps, rates in zip(
        drawn, all_steps, compiled_rates(schedules, all_steps), strict=True
    ):
        case = f"decay_steps={decay_steps}, power={power}"
        assert np.isfinite(rates).all(), case
        assert (rates >= 0).all(), case
        assert (np.diff(rates) <= 0).all(), case
        assert (rates[steps >= decay_steps] == 0).all(), case
        exact = (1 - np.minimum(steps, decay_steps) / decay_steps) ** power
        of_tf1 = tf1_reference.polynomial_decay(steps, decay_steps, power)
        # TF1 hits some short decays by luck; half an ulp of 1 is what rounding costs.
        allowed = 2 * max(np.abs(of_tf1 - exact).max(), 2.0**-25)
        assert np.abs(rates - exact).max() <= allowed, case


@settings(
    max_examples=20,
    derandomize=True,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)  # 200 pairs and the notorious ones
@given(pairs)
@example(NOTORIOUS)
def check_drawn_pairs(drawn):
    check(drawn)


if __name__ == "__main__":
    check_drawn_pairs()
    print("checked", keras.backend.backend())
