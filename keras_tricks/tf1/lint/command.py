"""The command: its arguments, what it prints, its exit status."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from keras_tricks.tf1.lint.finding import Finding
from keras_tricks.tf1.lint.reading import files
from keras_tricks.tf1.lint.reading.source import encoding_of
from keras_tricks.tf1.lint.rewrites import edits
from keras_tricks.tf1.lint.rules import report as report_of

_FORMATS = ("text", "github", "json")


def main(
    arguments: Sequence[str] | None = None, *, prog: str = "python -m keras_tricks.tf1"
) -> int:
    """Checks files as `python -m keras_tricks.tf1` does and returns the exit status.

    Args:
        arguments: The command line without the program's name.
        prog: The program's name, for its help.

    Returns:
        0 if nothing was found, 1 if something was, 2 if a file could not be read.
    """
    parser = argparse.ArgumentParser(
        prog=prog,
        description="List the TensorFlow 1 code that keras_tricks replaces, in scripts "
        "and notebooks. Nothing is run. Exit status: 0 nothing found, 1 something "
        "found, 2 a file could not be read.",
    )
    parser.add_argument("paths", nargs="+", metavar="FILE", help="file or directory")
    parser.add_argument(
        "--diff",
        action="store_true",
        help="print the rewrites as a patch; the list goes to stderr",
    )
    parser.add_argument(
        "--format",
        choices=_FORMATS,
        default="text",
        help="text; github: annotations of a workflow; json: one document",
    )
    options = parser.parse_args(arguments)
    listing = sys.stderr if options.diff else sys.stdout
    report = Report(options.format, options.diff, listing)
    for path in files.checked_files(options.paths):
        try:
            source = files.read(path)
            found = report_of(source)
        except Exception as error:
            report.error(files.reason(path, error))
            continue
        for message in source.unread:
            report.error(f"{path}:{message}")
        for finding in found:
            report.finding(path, finding)
        if options.diff and not source.cells:
            changed = edits.rewritten(source, edits.chosen(found))
            patch = edits.unified_diff(source, changed)
            _print_patch(patch, encoding_of(path))
    report.end()
    return report.status


class Report:
    """What is printed of the findings, in one of three formats.

    Args:
        form: "text", "github" or "json".
        with_reasons: Whether to say why a finding is not rewritten.
        stream: Where findings go.

    Attributes:
        status: The exit status so far.
    """

    def __init__(self, form: str, with_reasons: bool, stream: TextIO):
        self.status = 0
        self._form = form
        self._with_reasons = with_reasons
        self._stream = stream
        self._document: dict[str, list] = {"findings": [], "errors": []}

    def error(self, message: str) -> None:
        """Notes a file that could not be read, or a part of one."""
        self.status = 2
        if self._form == "json":
            self._document["errors"].append(message)
        elif self._form == "github":
            print(f"::error title=keras_tricks::{_escaped(message)}", file=self._stream)
        else:
            print(message, file=sys.stderr)

    def finding(self, path: Path, finding: Finding) -> None:
        """Notes a finding."""
        self.status = max(self.status, 1)
        place = f"cell {finding.cell}:" if finding.cell is not None else ""
        advice = f"{finding.what} -> {finding.instead}"
        if finding.check:
            advice += f" ({finding.check})"
        if self._with_reasons and finding.why_not:
            advice += f" (not rewritten: {finding.why_not})"
        if self._form == "json":
            self._document["findings"].append(
                {
                    "path": str(path),
                    "cell": finding.cell,
                    "line": finding.line,
                    "column": finding.column,
                    "found": finding.what,
                    "instead": finding.instead,
                    "check": finding.check,
                    "rewrite": _kind_of_rewrite(finding),
                    "reason": finding.why_not,
                }
            )
        elif self._form == "github":
            where = f"file={_escaped(str(path), True)}"
            if finding.cell is None:
                where += f",line={finding.line},col={finding.column}"
            else:
                advice = f"{place}{finding.line}:{finding.column}: {advice}"
            text = _escaped(advice)
            print(f"::warning {where},title=keras_tricks::{text}", file=self._stream)
        else:
            place = f"{path}:{place}{finding.line}:{finding.column}"
            print(f"{place}: {advice}", file=self._stream)

    def end(self) -> None:
        """Prints what is one document for all files."""
        if self._form == "json":
            print(json.dumps(self._document, indent=2), file=self._stream)


def _kind_of_rewrite(finding: Finding) -> str | None:
    if finding.rewrite is None:
        return None
    return "comment" if finding.rewrite.is_comment else "code"


def _escaped(text: str, is_property: bool = False) -> str:
    """Returns a text as a workflow command of GitHub's has it."""
    for character in "%\r\n" + (":," if is_property else ""):
        text = text.replace(character, f"%{ord(character):02X}")
    return text


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
