"""Draws the pictures of docs/schedules.md, with the package's own `plot`.

python docs/make_schedule_pictures.py [--output FOLDER]
"""

import argparse
import pathlib

import matplotlib

matplotlib.use("Agg")  # Draws to files, so that no screen is needed.
import keras
import matplotlib.pyplot as plt

from keras_tricks.schedules import CyclicalSchedule
from keras_tricks.schedules import InverseSquareRoot
from keras_tricks.schedules import Joined
from keras_tricks.schedules import NoamSchedule
from keras_tricks.schedules import OneCycle
from keras_tricks.schedules import Warmup
from keras_tricks.schedules import WarmupPolynomialDecay
from keras_tricks.schedules import WarmupStableDecay
from keras_tricks.schedules import plot

keras_schedules = keras.optimizers.schedules


def joins():
    """The four ways of joining warmup and decay, and the decay by itself."""
    figure, all_axes = plt.subplots(
        1, 4, figsize=(15, 3.6), sharey=True, layout="constrained"
    )
    titles = {
        "overlap": 'join="overlap": BERT, tf-models nlp',
        "shift": 'join="shift": Hugging Face',
        "lower": 'join="lower": tf-models LinearWarmup',
        "multiply": 'join="multiply": ELECTRA',
    }
    for ax, (join, title) in zip(all_axes, titles.items(), strict=True):
        schedules = {
            "decay from step 0": WarmupPolynomialDecay(5e-5, 10_000),
            "warmup and decay": WarmupPolynomialDecay(5e-5, 10_000, 1000, join=join),
        }
        plot(schedules, 10_501, ax=ax)
        ax.get_lines()[0].set(linestyle=":", color="gray")
        ax.axvline(1000, color="gray", linewidth=0.8, alpha=0.6)
        ax.legend()
        ax.set_title(title, pad=16)
        ax.set_ylim(-1e-6, 5.6e-5)
        ax.label_outer()
    return figure


def two(left, right):
    """A figure of two plots: (title, schedules, steps) each, log scale if a fourth."""
    figure, all_axes = plt.subplots(1, 2, figsize=(12, 3.8), layout="constrained")
    for ax, (title, schedules, steps, *log_scale) in zip(
        all_axes, (left, right), strict=True
    ):
        plot(schedules, steps, ax=ax, log_scale=bool(log_scale))
        ax.set_title(title)
    return figure


def decays():
    """What follows a warmup: decays that end, and decays that do not."""
    return two(
        (
            "WarmupPolynomialDecay, by power",
            {
                f"power={power}": WarmupPolynomialDecay(
                    1e-3, 10_000, 1000, power=power, join="shift"
                )
                for power in (0.5, 1.0, 2.0)
            }
            | {
                "cycle=True": WarmupPolynomialDecay(
                    1e-3, 2500, 1000, cycle=True, join="lower"
                )
            },
            10_501,
        ),
        (
            "Schedules without an end",
            {
                "NoamSchedule(512, 1000)": NoamSchedule(512, 1000),
                "NoamSchedule(512, 4000)": NoamSchedule(512, 4000),
                "InverseSquareRoot(1e-3, 1000)": InverseSquareRoot(1e-3, 1000),
                "InverseSquareRoot, started at its peak": InverseSquareRoot(
                    5e-4, 1000, start_learning_rate=5e-4
                ),
            },
            10_501,
        ),
    )


def stable():
    """Schedules with a constant part or a single peak."""
    figure = two(
        (
            "WarmupStableDecay, by tail",
            {
                f'decay="{decay}"': WarmupStableDecay(
                    1e-3, 10_000, 1000, 3000, decay=decay
                )
                for decay in ("linear", "cosine", "1-sqrt")
            },
            10_501,
        ),
        (
            "OneCycle",
            {
                'anneal="cosine"': OneCycle(1e-3, 10_000),
                'anneal="linear"': OneCycle(1e-3, 10_000, anneal="linear"),
                'anneal="linear", three_phase=True': OneCycle(
                    1e-3, 10_000, anneal="linear", three_phase=True
                ),
            },
            10_501,
        ),
    )
    figure.axes[1].set_ylim(top=1.4e-3)
    return figure


def cycles():
    """The three scales of Smith's cycles."""
    figure, all_axes = plt.subplots(
        1, 3, figsize=(12, 3.6), sharey=True, layout="constrained"
    )
    for ax, scale in zip(
        all_axes, ("triangular", "triangular2", "exp_range"), strict=True
    ):
        plot(CyclicalSchedule(1e-4, 1e-3, 1000, scale=scale), 10_001, ax=ax)
        ax.set(title=f'CyclicalSchedule, scale="{scale}"', ylim=(0, 1.05e-3))
        ax.label_outer()
    return figure


def composed():
    """Keras's schedules inside ours, on both scales."""
    cosine = keras_schedules.CosineDecay(1e-3, 9000, alpha=1e-3)
    exponential = keras_schedules.ExponentialDecay(7e-4, 2000, 0.5)
    short = keras_schedules.CosineDecay(4e-4, 4500, alpha=0.25)
    schedules = {
        "Warmup(CosineDecay, 1000)": Warmup(cosine, 1000),
        "Warmup(ExponentialDecay, 2000, start=1e-6, power=2)": Warmup(
            exponential, 2000, start=1e-6, power=2.0
        ),
        "Joined([Warmup(CosineDecay, 500), 1e-4, 2e-5], ...)": Joined(
            [Warmup(short, 500), 1e-4, 2e-5], [5000, 8000]
        ),
    }
    figure = two(
        ("Keras's schedules composed with ours", schedules, 10_001),
        ("The same with log_scale=True", schedules, 10_001, True),
    )
    left, right = figure.axes
    left.set_ylim(top=1.45e-3)
    right.set_ylim(bottom=1e-7)
    right.legend(loc="lower center")
    return figure


PICTURES = {
    "schedule_joins.png": joins,
    "schedule_decays.png": decays,
    "schedule_stable.png": stable,
    "schedule_cycles.png": cycles,
    "schedule_composed.png": composed,
}


def main() -> None:
    """Writes every picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--output",
        type=pathlib.Path,
        default=pathlib.Path(__file__).parent / "images",
        help="folder for the pictures (docs/images)",
    )
    output = parser.parse_args().output
    output.mkdir(parents=True, exist_ok=True)
    for name, draw in PICTURES.items():
        figure = draw()
        figure.savefig(output / name, dpi=100, metadata={"Software": None})
        plt.close(figure)
        print(f"Wrote {output / name}")


if __name__ == "__main__":
    main()
