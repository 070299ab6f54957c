"""What counting costs: `count_parameters` of a function beside building its model.

Each measurement is a fresh child process, one at a time, that has imported TensorFlow,
Keras and this package before the clock starts; memory is by how much its peak rises
above what it then holds (measured on Linux only). Each round measures everything once,
in an order of its own, and ratios are taken within the round, so that a slow moment of
the machine falls on all alike. The table shows medians over the rounds.

    python benchmarks/parameters.py [--rounds N] [--only MODEL]

The largest model that is built has the shape of GPT-2 XL and takes 6 GB. One of the
shape of GPT-3 is only counted. Of both the number is known from their shape.
"""

import argparse
import os
import random
import statistics
import subprocess
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import tensorflow as tf

from keras_tricks.parameters import count_parameters

TIMES_FASTER, TIMES_LESS_MEMORY = 20.0, 50.0  # Asked for on the largest model built.

layers = keras.layers


def decoder(depth, width, heads, positions, vocabulary=50257):
    tokens = keras.Input((positions,), dtype="int32")
    places = keras.Input((positions,), dtype="int32")
    x = layers.Embedding(vocabulary, width)(tokens)
    x = layers.Add()([x, layers.Embedding(positions, width)(places)])
    for _ in range(depth):
        normal = layers.LayerNormalization()(x)
        attention = layers.MultiHeadAttention(heads, width // heads)
        x = layers.Add()([x, attention(normal, normal, use_causal_mask=True)])
        hidden = layers.Dense(4 * width, "gelu")(layers.LayerNormalization()(x))
        x = layers.Add()([x, layers.Dense(width)(hidden)])
    return keras.Model([tokens, places], layers.LayerNormalization()(x))


def decoder_parameters(depth, width, heads, positions, vocabulary=50257):
    block = 12 * width**2 + 13 * width
    return (vocabulary + positions) * width + depth * block + 2 * width


GPT2_XL, GPT3 = (48, 1600, 25, 1024), (96, 12288, 96, 2048)
LARGEST, COUNTED_ONLY = "decoder as GPT-2 XL", "decoder as GPT-3"
# Label -> what builds it, and how many parameters it has, where known.
MODELS = {
    "ResNet50": (lambda: keras.applications.ResNet50(weights=None), None),
    "EfficientNetV2L": (lambda: keras.applications.EfficientNetV2L(weights=None), None),
    LARGEST: (lambda: decoder(*GPT2_XL), decoder_parameters(*GPT2_XL)),
    COUNTED_ONLY: (lambda: decoder(*GPT3), decoder_parameters(*GPT3)),
}


def summarized(make):
    model = make()
    model.summary(print_fn=lambda *_, **__: None)
    return model.count_params()


COUNTED = "count_parameters"
WAYS = {
    COUNTED: lambda make: count_parameters(make, trainable=None),
    "build, count_params": lambda make: make().count_params(),
    "build, summary": summarized,
}


def memory_mebibytes(field: str) -> float:
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.partition(f"{field}:")[2].split()[0]) / 1024


def print_own_measurement(model: str, way: str) -> None:
    linux = sys.platform == "linux"
    tf.config.list_physical_devices()  # A GPU is found before, not within.
    if linux:
        # The imports' own peak must not hide what comes after them.
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
    before = memory_mebibytes("VmRSS") if linux else 0.0
    start = time.perf_counter()
    count = WAYS[way](MODELS[model][0])
    seconds = time.perf_counter() - start
    mebibytes = memory_mebibytes("VmHWM") - before if linux else float("nan")
    print("MEASURED", count, seconds, mebibytes)


def measure(model: str, way: str) -> tuple[int, float, float]:
    """The parameters, seconds and mebibytes of a fresh process."""
    command = [sys.executable, __file__, "--measure", model, way]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    if finished.returncode:
        raise SystemExit(f"{model}, {way}: {finished.stderr}")
    words = finished.stdout.rpartition("MEASURED")[2].split()
    return int(words[0]), float(words[1]), float(words[2])


def interleaved(models: list[str], rounds: int):
    """(model, way) -> the seconds and the mebibytes of each round."""
    pairs = [
        (model, way)
        for model in models
        for way in WAYS
        if way == COUNTED or model != COUNTED_ONLY
    ]
    results = {pair: [] for pair in pairs}
    counts = {model: MODELS[model][1] for model in models}
    for _ in range(rounds):
        for model, way in random.sample(pairs, len(pairs)):
            count, seconds, mebibytes = measure(model, way)
            if counts[model] not in (None, count):
                raise SystemExit(f"{model}, {way}: {count}, not {counts[model]}")
            counts[model] = count
            results[model, way].append((seconds, mebibytes))
    return counts, results


def median_ratios(measured, reference) -> tuple[float, float]:
    """By how many times the reference's seconds and mebibytes are more."""
    ratios = [
        (their_seconds / seconds, their_mebibytes / mebibytes)
        for (seconds, mebibytes), (their_seconds, their_mebibytes) in zip(
            measured, reference, strict=True
        )
    ]
    time_ratios, memory_ratios = zip(*ratios, strict=True)
    return statistics.median(time_ratios), statistics.median(memory_ratios)


def verdict(what: str, value: float, target: float) -> bool:
    mark = "reached" if value >= target else "MISSED"
    print(f"  {mark:<8} {what}: {value:.1f} times, asked {target:.0f}")
    return value >= target


def main() -> None:
    """Prints the table; fails if a ratio of the largest model misses its target."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=MODELS, metavar="MODEL")
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        print_own_measurement(*arguments.measure)
        return
    if arguments.rounds < 1:
        parser.error(f"--rounds must be at least 1. Received: {arguments.rounds}")
    models = [arguments.only] if arguments.only else list(MODELS)
    counts, results = interleaved(models, arguments.rounds)

    print(f"Medians of {arguments.rounds} rounds of fresh processes, in turn")
    print(f"  {'':<24}{'time':>12}{'memory':>13}   times ours: time   memory")
    for model in models:
        print(f"\n  {model}, {counts[model]:,} parameters")
        for way in WAYS:
            if (model, way) not in results:
                continue
            seconds, mebibytes = map(
                statistics.median, zip(*results[model, way], strict=True)
            )
            line = f"    {way:<22}{1000 * seconds:9.0f} ms{mebibytes:9.1f} MiB"
            if way != COUNTED:
                ours = results[model, COUNTED]
                time_ratio, memory_ratio = median_ratios(ours, results[model, way])
                line += f"{time_ratio:19.1f}{memory_ratio:9.1f}"
            print(line)
    if LARGEST in models:
        print(f"\n  {LARGEST}, to building and count_params()")
        ratios = median_ratios(
            results[LARGEST, COUNTED], results[LARGEST, "build, count_params"]
        )
        faster = verdict("faster", ratios[0], TIMES_FASTER)
        smaller = verdict("less memory", ratios[1], TIMES_LESS_MEMORY)
        if not (faster and smaller):
            raise SystemExit(1)


if __name__ == "__main__":
    main()
