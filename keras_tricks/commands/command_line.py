"""The command line: which command is meant, and what becomes of its errors."""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Sequence
from typing import Any
from typing import NoReturn

from keras_tricks import __version__
from keras_tricks import _validation
from keras_tricks.commands import diagnose
from keras_tricks.commands import leaderboard
from keras_tricks.commands import plot_schedule
from keras_tricks.commands import report

_COMMANDS = {
    "report": report,
    "leaderboard": leaderboard,
    "diagnose": diagnose,
    "plot-schedule": plot_schedule,
}


class _Parser(argparse.ArgumentParser):
    """Reports bad arguments in one line, instead of after the whole usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message}\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command and returns its exit status.

    Args:
        arguments: The command line without the program's name.

    Returns:
        0, or 2 after one line on stderr where the input is of no use. `lint` has 1,
        too, as `keras_tricks.tf1.lint.main` says.

    Example:

    >>> from keras_tricks.commands import main
    >>> main(["leaderboard", "no_such_folder"])
    2
    """
    if arguments is None:
        arguments = sys.argv[1:]
    if isinstance(arguments, str) or not (
        isinstance(arguments, Sequence) and all(isinstance(a, str) for a in arguments)
    ):
        raise TypeError(
            "`arguments` must be a list of strings, or None. "
            f"{_validation.received('arguments', arguments, True)}"
        )
    given = list(arguments)
    if given[:1] == ["lint"]:
        # It reads its arguments itself, as `python -m keras_tricks.tf1` does.
        from keras_tricks.tf1 import lint

        return lint.main(given[1:], prog="keras-tricks lint")
    parser = _Parser(
        prog="keras-tricks",
        description="What searches and trainings taught, and what old code becomes.",
    )
    version = f"keras_tricks {__version__}"
    parser.add_argument("--version", action="version", version=version)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, module in _COMMANDS.items():
        command = commands.add_parser(
            name, help=module.SUMMARY, description=module.SUMMARY
        )
        module.add_arguments(command)
        command.set_defaults(run=module.run, name=name)
    commands.add_parser("lint", help="list the TensorFlow 1 code in files")
    options = parser.parse_args(given)
    return _status(options)


def _status(options: Any) -> int:
    """Runs a command; what is wrong with its input is told in one line."""
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _warn
            options.run(options)
    except BrokenPipeError:
        raise
    except (OSError, ImportError, MemoryError, TypeError, ValueError) as error:
        _tell(f"keras-tricks {options.name}: error: {error}")
        return 2
    return 0


def _warn(message: Any, *args: Any, **kwargs: Any) -> None:
    _tell(f"keras-tricks: warning: {message}")


def _tell(text: str) -> None:
    print(" ".join(text.split()), file=sys.stderr)


def run() -> NoReturn:
    """Runs the command of this process's arguments, and ends the process."""
    if sys.stdout is None:  # It was closed by whoever started this.
        sys.stdout = open(os.devnull, "w")
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        status = main()
        sys.stdout.flush()
    except BrokenPipeError:
        # Such as that of `| head -1`, which reads no further.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 1
    sys.exit(status)
