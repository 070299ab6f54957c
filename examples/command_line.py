"""Command-line options of the examples, which is not an example itself.

Each script tells by one call what it takes: `parse(__doc__, trials=20, seed=0)`.
"""

import argparse
import pathlib
from collections.abc import Callable
from typing import Any

HELP = {
    "checkpoint": "prefix of a checkpoint's files",
    "config": "its bert_config.json",
    "data": "label, tab and text a line",
    "epochs": "epochs of a training",
    "examples": "examples to train on, of each class in fine_tune.py",
    "executor": "what runs the trials",
    "model": "kind of network",
    "output": "folder for the results",
    "pretraining_epochs": "epochs of the training before",
    "seed": "seed of all that is random",
    "seeds": "repetitions, each under a seed of its own",
    "trials": "settings to try",
    "tuner": "kind of search",
    "workers": "processes that search",
}


class OneLineParser(argparse.ArgumentParser):
    """Reports a bad value in one line instead of after the whole usage."""

    def error(self, message):
        self.exit(2, f"{self.prog}: error: {message}\n")


def parse(
    doc: str,
    *,
    output: str,
    check: Callable[[argparse.Namespace], None] = lambda options: None,
    **defaults: Any,
) -> argparse.Namespace:
    """Returns the options of a script, and makes the folder `output`.

    What an option takes is seen from its default: a whole number (`seed` from 0 on,
    all others from 1 on), one of the names of a tuple, the first of which is the
    default, or, where it is `None`, a path.

    Args:
        doc: The script's docstring, whose first line is the description.
        output: The default of `--output`.
        check: Called with the options before the folder is made; the message of an
            `OSError` or a `ValueError` that it raises is reported.
        **defaults: Name of an option, "_" for "-" -> default.
    """
    parser = OneLineParser(description=doc.splitlines()[0])
    for name, default in defaults.items():
        option, text = f"--{name.replace('_', '-')}", HELP[name]
        if isinstance(default, tuple):
            help_text = f"{text} ({default[0]})"
            parser.add_argument(
                option, choices=default, default=default[0], help=help_text
            )
        elif default is None:
            parser.add_argument(option, type=pathlib.Path, help=text)
        else:
            parser.add_argument(
                option,
                type=_whole_number(0 if name == "seed" else 1),
                default=default,
                help=f"{text} ({default})",
            )
    parser.add_argument(
        "--output",
        type=pathlib.Path,
        default=pathlib.Path(output),
        help=f"{HELP['output']} ({output})",
    )
    options = parser.parse_args()
    try:
        check(options)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    try:
        options.output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        parser.error(f"argument --output: must be a folder to write in. {error}")
    return options


def _whole_number(minimum):
    def parsed(text):
        if not text.isdecimal() or not minimum <= int(text) < 2**31:
            raise argparse.ArgumentTypeError(
                f"must be a whole number >= {minimum}. Received: {text!r}"
            )
        return int(text)

    return parsed
