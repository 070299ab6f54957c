"""The command `diagnose`: what the learning curves of a training show."""

from __future__ import annotations

import argparse

SUMMARY = "say what the learning curves of a training show"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what the command takes."""
    parser.add_argument(
        "history",
        metavar="HISTORY",
        help="file of CSVLogger, a trial's record.json, or a folder of TensorBoard's",
    )
    parser.add_argument("--metric", help="what to look at (the loss)")
    parser.add_argument(
        "--baseline", type=float, help="what a trivial predictor reaches"
    )
    parser.add_argument("--human-level", type=float, help="what can be reached")


def run(options: argparse.Namespace) -> None:
    """Prints the diagnosis."""
    from keras_tricks.diagnosis.diagnose import diagnose

    given = {
        name: value
        for name in ("metric", "baseline", "human_level")
        if (value := getattr(options, name)) is not None
    }
    print(diagnose(options.history, **given))
