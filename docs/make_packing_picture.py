"""Draws the picture of docs/packed-trials.md.

python docs/make_packing_picture.py [--output FOLDER]
"""

import argparse
import pathlib

import matplotlib

matplotlib.use("Agg")  # Draws to files, so that no screen is needed.
import matplotlib.pyplot as plt
from matplotlib.patches import FancyArrowPatch
from matplotlib.patches import FancyBboxPatch

# Colour-blind safe (Okabe and Ito).
BLUE, ORANGE, GRAY = "#0072B2", "#E69F00", "#999999"
TRIALS = [
    ("0", "1 layer", "rate 3e-3", BLUE),
    ("1", "2 layers", "rate 1e-3", ORANGE),
    ("2", "1 layer", "rate 5e-2", BLUE),
    ("3", "1 layer", "rate 8e-4", BLUE),
    ("4", "2 layers", "rate 2e-2", ORANGE),
]
# Of each program: its trials, and the epochs after which each ends.
PROGRAMS = [
    (
        BLUE,
        "structure: 1 layer",
        [("0", 6, "to the end"), ("2", 2, "diverged"), ("3", 4, "stopped early")],
    ),
    (
        ORANGE,
        "structure: 2 layers",
        [("1", 6, "to the end"), ("4", 5, "stopped early")],
    ),
]
EPOCHS = 6


def box(ax, x, y, width, height, text, color, **style):
    """A rounded box with a text in its middle."""
    ax.add_patch(
        FancyBboxPatch(
            (x, y),
            width,
            height,
            boxstyle="round,pad=0.02,rounding_size=0.06",
            facecolor=color + "22",
            edgecolor=color,
            linewidth=1.4,
        )
    )
    ax.text(x + width / 2, y + height / 2, text, ha="center", va="center", **style)


def arrow(ax, start, end, color):
    """An arrow from one point to another."""
    ax.add_patch(
        FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=12, color=color)
    )


def draw():
    """From trials over programs to the disk."""
    figure, ax = plt.subplots(figsize=(12, 5.2), layout="constrained")
    ax.set_xlim(0, 12)
    ax.set_ylim(0, 5.2)
    ax.axis("off")
    for x, title in ((1.2, "trials"), (5.9, "one program a structure"), (10.8, "disk")):
        ax.text(x, 5.0, title, ha="center", fontsize=13, weight="bold")
    for place, (name, structure, number, color) in enumerate(TRIALS):
        y = 4.1 - 0.85 * place
        box(ax, 0.1, y, 2.2, 0.6, f"{name}: {structure}, {number}", color, fontsize=10)
        arrow(ax, (2.4, y + 0.3), (3.3, 3.75 if color == BLUE else 1.3), color)
    for top, (color, title, lanes) in zip((4.6, 2.0), PROGRAMS, strict=True):
        height = 0.55 + 0.5 * len(lanes)
        box(ax, 3.4, top - height, 5.4, height, "", color)
        ax.text(3.55, top - 0.25, f"{title}, compiled once", fontsize=10, va="center")
        for lane, (name, last, end) in enumerate(lanes):
            y = top - 0.7 - 0.5 * lane
            ax.text(3.6, y, f"trial {name}", fontsize=9, va="center")
            for epoch in range(EPOCHS):
                done = epoch < last
                ax.add_patch(
                    plt.Rectangle(
                        (4.4 + 0.55 * epoch, y - 0.16),
                        0.48,
                        0.32,
                        facecolor=color if done else "white",
                        edgecolor=color if done else GRAY,
                        alpha=0.8 if done else 0.5,
                    )
                )
            ax.text(7.75, y, end, fontsize=9, va="center")
        arrow(ax, (8.9, top - height / 2), (9.7, top - height / 2), color)
        text = "curves, scores,\nbest weights\nof each trial"
        box(ax, 9.8, top - height / 2 - 0.5, 2.0, 1.0, text, GRAY, fontsize=10)
    caption = (
        "a column is an epoch of a pack: steps in common, each trial with its own end"
    )
    ax.text(6.05, 0.05, caption, ha="center", fontsize=10)
    return figure


def main():
    """Writes the picture."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    here = pathlib.Path(__file__).resolve().parent
    parser.add_argument("--output", type=pathlib.Path, default=here / "images")
    output = parser.parse_args().output
    draw().savefig(output / "packed_trials.png", dpi=110)


if __name__ == "__main__":
    main()
