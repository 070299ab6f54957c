"""What clipping costs: `ClippedOptimizer` beside Keras's own and beside none at all.

Each round takes one step of every variant, in an order of its own, and ratios are taken
within the round, so that a slow moment of the machine falls on all alike. Where memory
happens to lie makes one and the same variant some percent slower or faster; all are
therefore built anew several times, again in an order of its own. The table shows
medians over all rounds, and the quartiles of the ratios.

    python benchmarks/clipping.py [--builds N] [--rounds N] [--only dense|sparse]

Dense: 100 layers of 316 units, 200 variables and 10 million parameters, under Adam.
The gradients are made within the step, by a tape, as in training. Sparse: an embedding
of 1M x 64 under SGD, of which a step touches 4,096 rows. Memory is by how much the peak
of a fresh process rises in its first step, with 65,536 rows (measured on Linux only).
"""

import argparse
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from collections.abc import Iterable
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import tensorflow as tf

from keras_tricks.optimizers import ClippedOptimizer

tf.get_logger().setLevel("ERROR")  # Not how often the variants are traced.

UNITS, LAYERS = 316, 100
ROWS, WIDTH, TOUCHED, MANY_TOUCHED = 1_000_000, 64, 4_096, 65_536
REACHED, NOT_REACHED = 1e-3, 1e30
NOISE = 0.03  # By as much the medians of one variant, built twice, were seen to differ.
PLAIN, BUILT_IN = "Adam, not clipped", "Adam(global_clipnorm=...), Keras's own"
LIMIT_REACHED = "ClippedOptimizer, limit reached"
LIMIT_NOT_REACHED = "ClippedOptimizer, limit not reached"
TF1 = "tf.clip_by_global_norm, then SGD"

Step = Callable[[], object]
Seconds = dict[str, list[float]]


def dense_step(variant: str, jit_compile: bool) -> Step:
    generator = np.random.default_rng(0)
    shapes = [(UNITS, UNITS), (UNITS,)] * LAYERS
    variables = [keras.Variable(np.zeros(shape, "float32")) for shape in shapes]
    targets = [tf.constant(generator.normal(size=s).astype("float32")) for s in shapes]
    optimizer = DENSE[variant](keras.optimizers.Adam)
    optimizer.build(variables)

    @tf.function(jit_compile=jit_compile)
    def step():
        with tf.GradientTape() as tape:
            loss = tf.add_n(
                [
                    tf.nn.l2_loss(v.value - target)
                    for v, target in zip(variables, targets, strict=True)
                ]
            )
            # Or the gradients would be the differences, and TensorFlow would take
            # their squares for the loss and for the norm only once.
            loss *= 0.1
        gradients = tape.gradient(loss, [v.value for v in variables])
        optimizer.apply(gradients, variables)
        return loss

    return lambda: step().numpy()


def clipped(limit, **options):
    return lambda inner: ClippedOptimizer(inner(1e-3), global_clipnorm=limit, **options)


def without_report(inner):
    optimizer = ClippedOptimizer(inner(1e-3), global_clipnorm=REACHED)
    optimizer._statistics.record = lambda *_: keras.ops.convert_to_tensor(0)
    return optimizer


DENSE = {
    PLAIN: lambda inner: inner(1e-3),
    BUILT_IN: lambda inner: inner(1e-3, global_clipnorm=REACHED),
    "Keras's own once more, the measure of noise": lambda inner: inner(
        1e-3, global_clipnorm=REACHED
    ),
    LIMIT_REACHED: clipped(REACHED),
    "the same, reporting nothing": without_report,
    LIMIT_NOT_REACHED: clipped(NOT_REACHED),
    "ClippedOptimizer, only measuring": clipped(None),
    'ClippedOptimizer, nonfinite="skip"': clipped(REACHED, nonfinite="skip"),
}


def sparse_step(variant: str) -> Callable[[int], object]:
    table = keras.Variable(initializer="zeros", shape=(ROWS, WIDTH), dtype="float32")
    optimizer = SPARSE[variant](keras.optimizers.SGD)
    optimizer.build([table])
    generator = np.random.default_rng(0)
    indices = tf.constant(generator.integers(ROWS, size=MANY_TOUCHED))

    @tf.function(input_signature=[tf.TensorSpec((None,), "int64")])
    def step(indices):
        with tf.GradientTape() as tape:
            loss = 0.1 * tf.nn.l2_loss(tf.gather(table.value, indices) - 1.0)
        gradients = tape.gradient(loss, [table.value])
        if variant == TF1:
            gradients, _ = tf.clip_by_global_norm(gradients, REACHED)
        optimizer.apply(gradients, [table])
        return loss

    step.get_concrete_function()
    return lambda touched=TOUCHED: step(indices[:touched]).numpy()


SPARSE = {
    TF1: lambda inner: inner(1e-3),
    "SGD(global_clipnorm=...), Keras's own": lambda inner: inner(
        1e-3, global_clipnorm=REACHED
    ),
    "ClippedOptimizer": clipped(REACHED),
    'ClippedOptimizer, sparse_norm="dedup"': clipped(REACHED, sparse_norm="dedup"),
}


def interleaved_seconds(
    names: Iterable[str], build: Callable[[str], Step], builds: int, rounds: int
) -> Seconds:
    order = list(names)
    seconds: Seconds = {name: [] for name in order}
    for _ in range(builds):
        random.shuffle(order)
        steps = {name: build(name) for name in order}
        for step in steps.values():
            for _ in range(3):  # Traces, compiles and fills the caches.
                step()
        for _ in range(rounds):
            random.shuffle(order)
            for name in order:
                start = time.perf_counter()
                steps[name]()
                seconds[name].append(time.perf_counter() - start)
    return seconds


def ratio(seconds: Seconds, name: str, reference: str) -> list[float]:
    pairs = zip(seconds[name], seconds[reference], strict=True)
    return statistics.quantiles([a / b for a, b in pairs], n=4)


def print_table(title: str, seconds: Seconds, references: list[str]):
    width = max(map(len, seconds))
    print(f"\n{title}")
    for number, reference in enumerate(references, 1):
        print(f"  [{number}] ratio to: {reference}")
    for name in seconds:
        cells = [f"{1000 * statistics.median(seconds[name]):9.2f} ms"]
        for number, reference in enumerate(references, 1):
            low, middle, high = ratio(seconds, name, reference)
            cells.append(f"[{number}] {middle:6.3f} ({low:.3f} to {high:.3f})")
        print(f"  {name:<{width}}" + "  ".join(cells))


def peak_mebibytes(variant: str) -> float:
    """How much the peak of memory rises in a step, in a fresh process."""
    command = [sys.executable, __file__, "--memory-of", variant]
    finished = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(finished.stdout.split()[-1])


def print_own_peak(variant: str) -> None:
    def peak() -> float:
        # getrusage would count the memory of the process that started this one.
        status = Path("/proc/self/status").read_text(encoding="utf-8")
        return int(status.partition("VmHWM:")[2].split()[0]) / 1024

    step = sparse_step(variant)
    before = peak()
    step(MANY_TOUCHED)
    print(peak() - before)


def verdict(what: str, value: float, limit: float) -> bool:
    mark = "within" if value <= limit else "at" if value <= limit + NOISE else "ABOVE"
    print(f"  {mark:<6} {what}: {value:.3f}, limit {limit:.2f}")
    return mark != "ABOVE"


def dense(builds: int, rounds: int) -> list[bool]:
    fine = []
    for jit_compile, mode in ((False, "graph"), (True, "jit_compile=True")):

        def build(variant: str, jit_compile=jit_compile) -> Step:
            return dense_step(variant, jit_compile)

        seconds = interleaved_seconds(DENSE, build, builds, rounds)
        print_table(f"Adam, 200 variables, {mode}", seconds, [BUILT_IN, PLAIN])
        for name in (
            "ClippedOptimizer, limit reached",
            "ClippedOptimizer, limit not reached",
        ):
            to_built_in = ratio(seconds, name, BUILT_IN)[1]
            fine.append(verdict(f"{name}, to Keras's", to_built_in, 1.0))
            if not jit_compile:
                to_plain = ratio(seconds, name, PLAIN)[1]
                fine.append(verdict(f"{name}, to Adam", to_plain, 1.1))
    return fine


def sparse(builds: int, rounds: int) -> list[bool]:
    seconds = interleaved_seconds(SPARSE, sparse_step, builds, rounds)
    print_table("SGD, embedding of 1M x 64, graph", seconds, [TF1])
    fine = [verdict("time", ratio(seconds, "ClippedOptimizer", TF1)[1], 1.2)]
    if sys.platform == "linux":
        memory = {name: peak_mebibytes(name) for name in SPARSE}
        for name, peak in memory.items():
            print(f"  {name:<40}{peak:9.1f} MiB a step")
        fine.append(verdict("memory", memory["ClippedOptimizer"] / memory[TF1], 1.2))
    return fine


def main() -> None:
    """Prints the tables; fails if a ratio is above its limit."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--builds", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=12, help="in each build")
    parser.add_argument("--only", choices=("dense", "sparse"))
    parser.add_argument("--memory-of", choices=SPARSE, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    builds, rounds = arguments.builds, arguments.rounds
    if builds < 1 or rounds < 2:
        parser.error(
            "--builds must be at least 1, and --rounds at least 2. "
            f"Received: {builds}, {rounds}"
        )
    if arguments.memory_of:
        print_own_peak(arguments.memory_of)
        return
    fine = []
    if arguments.only != "sparse":
        fine += dense(builds, rounds)
    if arguments.only != "dense":
        fine += sparse(builds, 10 * rounds)
    if not all(fine):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
