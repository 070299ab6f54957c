"""The command `plot-schedule`: pictures of learning rate schedules."""

from __future__ import annotations

import argparse
import ast
import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from keras_tricks import _plotting
from keras_tricks import _validation

SUMMARY = "draw learning rate schedules"
_POINTS = 10_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what the command takes."""
    parser.add_argument(
        "schedules",
        nargs="+",
        metavar="SCHEDULE",
        help="such as 'WarmupPolynomialDecay(5e-5, 10000, 1000)'",
    )
    parser.add_argument(
        "-o", "--output", default="schedule.png", help="the picture (schedule.png)"
    )
    parser.add_argument(
        "--steps", type=int, help="how many steps to draw (the schedule's own length)"
    )


def run(options: argparse.Namespace) -> None:
    """Draws the schedules into a file, and prints its path."""
    parsed = [_parsed(text) for text in options.schedules]
    path = Path(_validation.check_text("output", options.output))
    if path.is_dir():
        raise ValueError(f"`output` must be the path of a picture. Received: {path}")
    if not path.suffix:
        path = path.with_suffix(".png")
    if options.steps is not None:
        _validation.check_int("steps", options.steps, minimum=1)

    # Draws to files, so that no screen is needed; TensorFlow's notices are of no use.
    os.environ["MPLBACKEND"] = "Agg"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    _plotting.require_matplotlib("plot-schedule")
    with _silent_start():
        import keras  # noqa: F401  # TensorFlow tells much when it is loaded.
    import matplotlib.pyplot as plt

    from keras_tricks import schedules
    from keras_tricks.schedules.display import thumbnail

    made = {
        text: _made(tree, text)
        for text, tree in zip(options.schedules, parsed, strict=True)
    }
    steps = options.steps
    if steps is None:
        steps = max(thumbnail.span(schedule) for schedule in made.values()) + 1
    figure, axes = plt.subplots(layout="constrained")
    # More points than a picture has columns.
    points = np.unique(np.linspace(0, steps - 1, min(steps, _POINTS)).astype("int64"))
    schedules.plot(made, points, ax=axes)
    figure.savefig(path, dpi=120)
    print(path)


@contextlib.contextmanager
def _silent_start() -> Iterator[None]:
    """Keeps what libraries write to stderr while they load from being shown."""
    if sys.stderr is None:  # It was closed by whoever started this.
        yield
        return
    sys.stderr.flush()
    kept = os.dup(2)
    with open(os.devnull, "wb") as nothing:
        os.dup2(nothing.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _parsed(text: str) -> ast.Call:
    """Returns the call that a text is: it is read, and never run.

    Raises:
        ValueError: If it is something else.
    """
    try:
        tree = ast.parse(text, mode="eval").body
    except (SyntaxError, MemoryError, RecursionError, ValueError) as error:
        raise ValueError(
            f"{text!r} must be a call of a schedule, such as "
            f"'WarmupPolynomialDecay(5e-5, 10000, 1000)'. It cannot be read: {error}"
        ) from None
    if not isinstance(tree, ast.Call):
        raise ValueError(
            f"{text!r} must be a call of a schedule, such as "
            "'WarmupPolynomialDecay(5e-5, 10000, 1000)'."
        )
    return tree


def _made(node: ast.AST, text: str) -> Any:
    """Returns what a node stands for: a schedule of this package, or a literal."""
    from keras_tricks import schedules

    if isinstance(node, ast.Call):
        known = [name for name in schedules.__all__ if name[0].isupper()]
        if not isinstance(node.func, ast.Name) or node.func.id not in known:
            raise ValueError(
                f"{ast.unparse(node.func)!r} in {text!r} must be a schedule of this "
                f"package: {', '.join(known)}."
            )
        if any(isinstance(a, ast.Starred) for a in node.args) or any(
            keyword.arg is None for keyword in node.keywords
        ):
            raise ValueError(f"{text!r} must not unpack arguments.")
        arguments = [_made(argument, text) for argument in node.args]
        named = {str(k.arg): _made(k.value, text) for k in node.keywords}
        return getattr(schedules, node.func.id)(*arguments, **named)
    if isinstance(node, ast.List | ast.Tuple):
        return [_made(each, text) for each in node.elts]
    try:
        return ast.literal_eval(node)
    except ValueError:
        raise ValueError(
            f"{ast.unparse(node)!r} in {text!r} must be a number, a text, True, False "
            "or None, or a schedule of this package."
        ) from None
