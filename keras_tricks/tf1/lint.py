"""Lists the TF1 code that this package replaces; reads files, and never runs them.

This file and those it imports need nothing but Python.
"""

import argparse
import os
import sys
from collections.abc import Iterator
from collections.abc import Sequence
from pathlib import Path

from keras_tricks.tf1 import edits
from keras_tricks.tf1.rules import findings
from keras_tricks.tf1.source import Source
from keras_tricks.tf1.source import encoding_of


def python_files(paths: Sequence[str]) -> Iterator[Path]:
    """Yields each file once; of a directory, its `*.py` files in order.

    Hidden directories are passed over.
    """
    seen: set[Path] = set()
    for path in map(Path, paths):
        files = [path]
        if path.is_dir():
            files = []
            for folder, inner, names in os.walk(path):
                inner[:] = sorted(n for n in inner if not n.startswith("."))
                files += [Path(folder, n) for n in sorted(names) if n.endswith(".py")]
        for file in files:
            if file not in seen:
                seen.add(file)
                yield file


def main(arguments: Sequence[str] | None = None) -> int:
    """Checks files as `python -m keras_tricks.tf1` does and returns the exit status.

    Args:
        arguments: The command line without the program's name.

    Returns:
        0 if nothing was found, 1 if something was, 2 if a file could not be checked.
    """
    parser = argparse.ArgumentParser(
        prog="python -m keras_tricks.tf1",
        description="List the TensorFlow 1 code that keras_tricks replaces. Nothing "
        "is run. Exit status: 0 nothing found, 1 something found, 2 a file could not "
        "be checked.",
    )
    parser.add_argument("paths", nargs="+", metavar="FILE", help="file or directory")
    parser.add_argument(
        "--diff",
        action="store_true",
        help="print the rewrites that are certain, as a patch; the list goes to stderr",
    )
    options = parser.parse_args(arguments)
    status = 0
    for path in python_files(options.paths):
        try:
            source = Source.read(path)
            found = findings(source)
        except Exception as error:
            message = _unreadable(path, error)
            if message is None:
                raise
            print(message, file=sys.stderr)
            status = 2
            continue
        listing = sys.stderr if options.diff else sys.stdout
        for finding in found:
            reason = f" (not rewritten: {finding.why_not})" if finding.why_not else ""
            print(
                f"{path}:{finding.line}:{finding.column}: {finding.what} -> "
                f"{finding.instead}{reason if options.diff else ''}",
                file=listing,
            )
        if found:
            status = max(status, 1)
        if options.diff:
            certain = edits.compatible(f.rewrite for f in found if f.rewrite)
            changed = edits.rewritten(source, certain)
            patch = edits.unified_diff(source, changed)
            _print_patch(patch, encoding_of(path))
    return status


def _print_patch(patch: str, encoding: str) -> None:
    """Prints a patch in the encoding and line ends of its file, or it would not fit.

    A notebook's stdout, or a `StringIO`, takes text alone.
    """
    sys.stdout.flush()
    if hasattr(sys.stdout, "buffer"):
        sys.stdout.buffer.write(patch.encode(encoding))
    else:
        sys.stdout.write(patch)
    sys.stdout.flush()


def _unreadable(path: Path, error: Exception) -> str | None:
    """Returns the line that says why a file cannot be checked."""
    match error:
        case SyntaxError():
            place = f"{path}:{error.lineno or 1}:{error.offset or 1}"
            return f"{place}: not Python 3, hence not checked: {error.msg}"
        case OSError():
            return f"{path}: cannot be read: {error.strerror or error}"
        case UnicodeDecodeError():
            return f"{path}: not checked: {error}"
        case ValueError() if "null bytes" in str(error):
            return f"{path}: not checked: {error}"
        case RecursionError() | MemoryError():
            return f"{path}: not checked: expressions are nested too deeply"
    return None
