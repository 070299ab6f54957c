"""What a schedule costs in a compiled training step, and what a whole curve costs.

Everything is measured in one process, in turn, so that a slow moment of the machine
falls on all alike; a ratio is the median of the ratios within the rounds.

The first table times one update inside of a `tf.function` that makes many, so that
what Python does between steps is no part of it. The time of the update itself is not
subtracted. "update alone" is SGD on one number and little more than the rate;
"small model" is forward pass, gradients and SGD of a network of 2,410 weights.

The second table times `curve` over a run against the schedule called in a loop, which
is measured on a sample of the steps and scaled up, and against the like schedule of
optax under `jax.jit`. All go from the number of steps to a NumPy array; "ready" is
optax with its steps made beforehand.

    python benchmarks/schedules.py [--rounds N] [--steps N]        (needs optax and jax)
"""

import argparse
import os
import statistics
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import tensorflow as tf

from keras_tricks.schedules import NoamSchedule
from keras_tricks.schedules import Warmup
from keras_tricks.schedules import WarmupPolynomialDecay
from keras_tricks.schedules.display.curve import curve

RATE, RUN, WARMUP = 0.1, 10_000, 1_000
POLYNOMIAL, COSINE = "Keras PolynomialDecay", "Keras CosineDecay"
COSINE_WARMUP = "Keras CosineDecay, warmup"

keras_schedules = keras.optimizers.schedules

# Label -> (what makes the rate, the peers that do as much or less).
IN_A_STEP = {
    "constant rate": (lambda: RATE, ()),
    POLYNOMIAL: (lambda: keras_schedules.PolynomialDecay(RATE, RUN, 0.0), ()),
    COSINE: (lambda: keras_schedules.CosineDecay(RATE, RUN), ()),
    COSINE_WARMUP: (
        lambda: keras_schedules.CosineDecay(
            0.0, RUN - WARMUP, warmup_target=RATE, warmup_steps=WARMUP
        ),
        (),
    ),
    "WarmupPolynomialDecay, no warmup": (
        lambda: WarmupPolynomialDecay(RATE, RUN),
        (POLYNOMIAL, COSINE),
    ),
    **{
        f"WarmupPolynomialDecay, {join}": (
            lambda join=join: WarmupPolynomialDecay(RATE, RUN, WARMUP, join=join),
            (POLYNOMIAL, COSINE_WARMUP),
        )
        for join in ("overlap", "shift", "lower", "multiply")
    },
    "Warmup(CosineDecay)": (
        lambda: Warmup(keras_schedules.CosineDecay(RATE, RUN - WARMUP), WARMUP),
        (COSINE_WARMUP,),
    ),
    "NoamSchedule": (lambda: NoamSchedule(512, WARMUP), (POLYNOMIAL, COSINE)),
}


def median(values):
    return statistics.median(values)


def measure(functions, rounds):
    """Returns label -> seconds in each round; the order turns around every round."""
    seconds = {label: [] for label in functions}
    order = list(functions)
    for _ in range(rounds):
        for label in order:
            start = time.perf_counter()
            functions[label]()
            seconds[label].append(time.perf_counter() - start)
        order.reverse()
    return seconds


def ratio(seconds, ours, theirs):
    pairs = zip(seconds[ours], seconds[theirs], strict=True)
    return median([a / b for a, b in pairs])


def repeated_update(rate, model, updates, jit_compile):
    """Returns a function that makes so many updates in one compiled call."""
    optimizer = keras.optimizers.SGD(rate)
    if model:
        network = keras.Sequential(
            [
                keras.Input((64,)),
                keras.layers.Dense(32, activation="relu"),
                keras.layers.Dense(10),
            ]
        )
        variables = network.trainable_variables
        x = tf.random.stateless_normal((16, 64), seed=(0, 0))
        y = tf.random.stateless_normal((16, 10), seed=(1, 0))

        def gradients():
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean((network(x) - y) ** 2)
            return tape.gradient(loss, [v.value for v in variables])

    else:
        variables = [keras.Variable(1.0)]

        def gradients():
            return [tf.constant(1e-6)]

    optimizer.build(variables)

    @tf.function(jit_compile=jit_compile)
    def run():
        for _ in tf.range(updates):
            optimizer.apply(gradients(), variables)

    return run


def report_steps(rounds):
    print(f"One update in a compiled step, microseconds, medians of {rounds} rounds")
    missed = 0
    for what, model, jit_compile, updates in (
        ("update alone, graph", False, False, 500),
        ("update alone, XLA", False, True, 5000),
        ("small model, graph", True, False, 100),
        ("small model, XLA", True, True, 500),
    ):
        functions = {
            label: repeated_update(make(), model, updates, jit_compile)
            for label, (make, _) in IN_A_STEP.items()
        }
        measure(functions, 3)  # Traces, compiles and warms the caches.
        seconds = measure(functions, rounds)
        print(f"\n  {what}")
        for label, (_, peers) in IN_A_STEP.items():
            microseconds = 1e6 * median(seconds[label]) / updates
            ratios = {peer: ratio(seconds, label, peer) for peer in peers}
            missed += sum(value > 1.0 for value in ratios.values())
            compared = "   ".join(f"{r:.3f} x {peer}" for peer, r in ratios.items())
            print(f"    {label:<34}{microseconds:>9.3f}   {compared}".rstrip())
    print(f"\n  {missed} of the ratios above are over 1.0")


def curve_pairs(steps):
    """Label -> (our schedule, optax's)."""
    import optax

    warmup = steps // 10
    left = steps - warmup
    climb = optax.linear_schedule(0.0, RATE, warmup)
    return {
        "polynomial decay": (
            WarmupPolynomialDecay(RATE, steps),
            optax.polynomial_schedule(RATE, 0.0, 1, steps),
        ),
        "warmup, then linear": (
            WarmupPolynomialDecay(RATE, steps, warmup, join="shift"),
            optax.join_schedules(
                [climb, optax.polynomial_schedule(RATE, 0.0, 1, left)], [warmup]
            ),
        ),
        "warmup, then power 0.5": (
            WarmupPolynomialDecay(RATE, steps, warmup, power=0.5, join="shift"),
            optax.join_schedules(
                [climb, optax.polynomial_schedule(RATE, 0.0, 0.5, left)], [warmup]
            ),
        ),
        "warmup, then cosine": (
            Warmup(keras_schedules.CosineDecay(RATE, left), warmup),
            optax.warmup_cosine_decay_schedule(0.0, RATE, warmup, steps),
        ),
    }


def report_curves(steps, rounds, sample=300):
    import jax
    import jax.numpy as jnp

    print(f"\nA curve of {steps:,} steps, milliseconds, medians of {rounds} rounds")
    print(
        f"  {'':<24}{'loop *':>10} {'curve':>15} {'optax':>15}  optax   loop/  curve/"
        f"  curve/\n  {'':<24}{'':>10} {'first   then':>15} {'first   then':>15}"
        "  ready   curve   optax   ready"
    )
    for label, (ours, theirs) in curve_pairs(steps).items():
        jitted = jax.jit(theirs)
        ready = jnp.arange(steps)
        ready.block_until_ready()
        functions = {
            "curve": lambda ours=ours: curve(ours, steps),
            "optax": lambda jitted=jitted: np.asarray(jitted(jnp.arange(steps))),
            "ready": lambda jitted=jitted, ready=ready: np.asarray(jitted(ready)),
        }
        first = {name: times[0] for name, times in measure(functions, 1).items()}
        measure(functions, 3)
        seconds = measure(functions, rounds)
        sampled = np.linspace(0, steps - 1, sample).astype(int).tolist()
        start = time.perf_counter()
        stepwise = [float(ours(step)) for step in sampled]
        loop = (time.perf_counter() - start) * steps / sample
        np.testing.assert_allclose(
            curve(ours, steps)[sampled], stepwise, rtol=3e-7, atol=2e-8
        )
        curve_seconds = median(seconds["curve"])
        print(
            f"  {label:<24}{1e3 * loop:>10,.0f}"
            f" {1e3 * first['curve']:>7.1f} {1e3 * curve_seconds:>7.3f}"
            f" {1e3 * first['optax']:>7.1f} {1e3 * median(seconds['optax']):>7.3f}"
            f" {1e3 * median(seconds['ready']):>6.3f}"
            f" {loop / curve_seconds:>7,.0f}"
            f" {ratio(seconds, 'curve', 'optax'):>7.3f}"
            f" {ratio(seconds, 'curve', 'ready'):>7.3f}"
        )
    print(f"  * measured on {sample} of the steps and scaled up; first: with compiling")


def main() -> None:
    """Prints both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=41, help="rounds of each table")
    parser.add_argument("--steps", type=int, default=10**6, help="steps of a curve")
    options = parser.parse_args()
    for name, value in vars(options).items():
        if value < 1:
            parser.error(f"--{name} must be at least 1. Received: {value}")
    report_steps(options.rounds)
    try:
        report_curves(options.steps, options.rounds)
    except ModuleNotFoundError as error:
        raise SystemExit(f"The curves need optax and jax: {error}") from error


if __name__ == "__main__":
    main()
