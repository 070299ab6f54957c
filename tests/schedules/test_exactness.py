"""Compiled schedules: XLA and JAX, and step counters beyond float32's."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_tricks.schedules import WarmupPolynomialDecay
from keras_tricks.schedules import tensorflow_hooks
from tests import shared_process
from tests.schedules import exactness
from tests.schedules import families


def test_200_decays_under_xla_are_as_exact_as_tf1():
    exactness.check_drawn_pairs()


@pytest.fixture(scope="module")
def under_jax(tmp_path_factory):
    """What a process under JAX prints: its backend, and two rates."""
    return shared_process.run(
        """
        import jax
        from keras_tricks.schedules import WarmupPolynomialDecay
        from tests.schedules import exactness

        boundary = 2**31 - 2
        rate = jax.jit(WarmupPolynomialDecay(1.0, 2 * boundary, boundary))
        print(float(rate(boundary - 1)), float(rate(boundary)))
        exactness.check_drawn_pairs()
        print(exactness.keras.backend.backend())
        """,
        cwd=tmp_path_factory.mktemp("jax"),
        backend="jax",
    ).splitlines()


def test_200_decays_under_jax_are_as_exact_as_tf1(under_jax):
    assert under_jax[1] == "jax"


def test_the_private_tensorflow_name_still_tells_what_xla_compiles():
    seen = {}

    def trace(name):
        seen[name] = tensorflow_hooks.compiled_by_xla()
        return tf.constant(0)

    trace("eager")
    tf.function(trace)("graph")
    tf.function(trace, jit_compile=True)("xla")
    tf.function(lambda: tf.function(trace)("in xla"), jit_compile=True)()
    assert seen == {"eager": False, "graph": False, "xla": True, "in xla": True}, (
        f"control_flow_util.GraphOrParentsInXlaContext has moved in TensorFlow "
        f"{tf.__version__}: adapt keras_tricks/schedules/tensorflow_hooks.py"
    )


@pytest.mark.parametrize("jit_compile", [None, False, True])
@pytest.mark.parametrize("boundary", [2**24 + 1, 2**25 + 1, 2**31 - 2])
def test_the_end_of_the_warmup_is_exact_beyond_float32s_steps(boundary, jit_compile):
    """ "overlap" drops from the peak to half of it from one step to the next."""
    schedule = WarmupPolynomialDecay(1.0, 2 * boundary, boundary)
    compiled = schedule
    if jit_compile is not None:
        compiled = tf.function(schedule, jit_compile=jit_compile)
    before, at, after = (
        float(compiled(tf.constant(step, tf.int64)))
        for step in (boundary - 1, boundary, boundary + 1)
    )
    assert (before, at, after) == pytest.approx((1.0, 0.5, 0.5), rel=1e-6)


def test_the_end_of_the_warmup_is_exact_as_far_as_jax_counts(under_jax):
    before, at = map(float, under_jax[0].split())
    assert (before, at) == pytest.approx((1.0, 0.5), rel=1e-6)


FAR_STEPS = np.array([2**31 - 1, 2**31, 2**31 + 1, 2**40, 2**62])


@functools.cache
def far_rates_by_xla():
    """Those of all schedules, compiled together."""
    schedules = [build() for _, build in families.BUILDERS]
    rates = tf.function(
        lambda steps: [schedule(steps) for schedule in schedules], jit_compile=True
    )(FAR_STEPS)
    return {build: r for (_, build), r in zip(families.BUILDERS, rates, strict=True)}


@pytest.mark.parametrize(
    "build",
    [build for _, build in families.BUILDERS],
    ids=[label for label, _ in families.BUILDERS],
)
def test_nothing_overflows_beyond_2_to_the_31(build):
    """All test schedules are far beyond their ends, so that the rate is bounded."""
    schedule = build()
    steps = FAR_STEPS
    highest = np.asarray(schedule(np.arange(200))).max()
    for rates in (schedule(steps), far_rates_by_xla()[build]):
        assert ((rates.numpy() >= 0) & (rates.numpy() <= highest)).all()
    assert keras.backend.standardize_dtype(schedule(steps).dtype) == "float32"
