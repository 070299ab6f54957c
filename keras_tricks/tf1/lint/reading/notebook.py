"""Notebooks: their code cells as one script, and the cell of each line."""

import ast
import json
import re
import warnings
from collections.abc import Sequence
from pathlib import Path

from keras_tricks.tf1.lint.reading.source import Cell
from keras_tricks.tf1.lint.reading.source import Source

# What IPython reads: a line for the shell, a magic, a question.
_SPECIAL_LINE = re.compile(r"^(\s*)([!%?]|.*[^\s#?]\?{1,2}\s*$)")
_SPECIAL_VALUE = re.compile(r"^(\s*[\w.,\s]+=\s*)(!|%[a-zA-Z])")
# Cell magics whose cell is still Python.
_PYTHON_CELLS = ("capture", "prun", "time", "timeit")


class NotebookError(Exception):
    """A file that is no notebook."""


def read(path: Path) -> Source:
    """Reads a notebook; `cells` of the source says which lines are which cell's.

    A cell that is no Python 3 is left out, and `unread` says so.

    Raises:
        OSError: If it cannot be read.
        NotebookError: If it is no notebook.
    """
    try:
        document = json.loads(path.read_bytes())
        texts = [
            (number, "".join(cell["source"]))
            for number, cell in enumerate(_cells(document), 1)
            if cell["cell_type"] == "code"
        ]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise NotebookError(f"it is no notebook of Jupyter's ({error!r})") from error
    cells: list[Cell] = []
    lines: list[str] = []
    unread: list[str] = []
    for number, text in texts:
        cell_lines = python_lines(text)
        if message := _syntax_error(cell_lines):
            unread.append(f"cell {number}:{message}")
            continue
        cells.append(Cell(number, len(lines) + 1))
        lines += cell_lines
    source = Source("".join(f"{line}\n" for line in lines), str(path))
    source.cells, source.unread = cells, unread
    return source


def _cells(document: dict) -> Sequence[dict]:
    if "cells" in document:
        return document["cells"]
    # Until format 3 they were in worksheets, and their text was called `input`.
    return [
        {"source": cell.get("input", ""), **cell}
        for sheet in document["worksheets"]
        for cell in sheet["cells"]
    ]


def python_lines(text: str) -> list[str]:
    r"""Returns the lines of a cell; what only IPython reads becomes `pass` or `None`.

    Example:

    >>> from keras_tricks.tf1.lint.reading.notebook import python_lines
    >>> python_lines("%matplotlib inline\nfiles = !ls\nprint(files)")
    ['pass', 'files = None', 'print(files)']
    """
    lines = re.split(r"\r\n|\r|\n", text)
    first = next((i for i, line in enumerate(lines) if line.strip()), 0)
    if lines[first].startswith("%%"):
        magic = re.split(r"\W", lines[first][2:], maxsplit=1)[0]
        if magic not in _PYTHON_CELLS:
            return [""] * len(lines)
    try:
        _parse("\n".join(lines))
        return lines
    except (SyntaxError, ValueError):
        pass
    continued = False
    for index, line in enumerate(lines):
        goes_on = line.rstrip().endswith("\\")
        if continued:
            lines[index] = ""
            continued = goes_on
        elif value := _SPECIAL_VALUE.match(line):
            lines[index] = f"{value[1]}None"
            continued = goes_on
        elif special := _SPECIAL_LINE.match(line):
            lines[index] = f"{special[1]}pass"
            continued = goes_on
    return lines


def _parse(text: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ast.parse(text)


def _syntax_error(lines: Sequence[str]) -> str:
    """Returns the line and the message of an error, or an empty text."""
    try:
        _parse("\n".join(lines))
    except SyntaxError as error:
        place = f"{error.lineno or 1}:{error.offset or 1}"
        return f"{place}: not Python 3, hence not checked: {error.msg}"
    except ValueError as error:
        return f"1:1: not checked: {error}"
    return ""
