"""The code blocks of a Markdown file, as one program, with the output they promise.

A ```python block is run. One whose info string is `python unchecked` needs what a test
does not have, such as a cluster: it is only compiled. A block whose info string ends in
the word `output` (```output, or ```text output) is what the ```python block above it
prints.
"""

import dataclasses
import doctest
import re
from pathlib import Path

import pytest

from tests import shared_process
from tests.child_process import run_python

_FENCE = re.compile(r"^(?P<indent> *)(?P<ticks>`{3,})(?P<info>[^`]*)$")
_NEVER_RUN = {"py", "python3", "pycon", "ipython"}
_MARK = "\x1e"
_FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@dataclasses.dataclass
class Block:
    """One fenced block; `line` is the index of its opening fence, from 0."""

    line: int
    info: list[str]
    body: list[str]

    @property
    def is_python(self) -> bool:
        return self.info[:1] == ["python"] and not self.is_unchecked

    @property
    def is_unchecked(self) -> bool:
        return self.info == ["python", "unchecked"]

    @property
    def is_output(self) -> bool:
        return self.info[-1:] == ["output"]


def blocks(markdown: str) -> list[Block]:
    """Every fenced block in order, without its indentation."""
    found: list[Block] = []
    closing: re.Pattern[str] | None = None
    indent = 0
    for number, line in enumerate(markdown.splitlines()):
        if closing is not None:
            if closing.match(line):
                closing = None
            else:
                found[-1].body.append(line[min(indent, _leading_spaces(line)) :])
        elif fence := _FENCE.match(line):
            found.append(Block(number, fence["info"].split(), []))
            indent = len(fence["indent"])
            closing = re.compile(rf"^ *`{{{len(fence['ticks'])},}} *$")
    if closing is not None:
        raise ValueError(f"The block opened in line {found[-1].line + 1} never closes.")
    return found


def _leading_spaces(line: str) -> int:
    return len(line) - len(line.lstrip(" "))


def promised_outputs(found: list[Block]) -> dict[int, str]:
    """The expected output of each python block that has one, by the block's line."""
    outputs = {}
    for above, block in zip([None, *found], found, strict=False):
        if block.is_output:
            if above is None or not above.is_python:
                raise ValueError(f"Line {block.line + 1}: output of no python block.")
            outputs[above.line] = "\n".join(block.body) + "\n"
        if block.is_unchecked:
            compile("\n".join(block.body), f"line {block.line + 1}", "exec")
        if block.info and block.info[0].lower() in _NEVER_RUN:
            raise ValueError(
                f"Line {block.line + 1}: a block to run is marked 'python', not "
                f"{block.info[0]!r}."
            )
    return outputs


def program(found: list[Block]) -> str:
    """The python blocks as one script in which each line keeps its number.

    The line of an opening fence prints a mark, which tells the outputs apart, so that
    a traceback points to the line in the Markdown file.
    """
    lines: list[str] = []
    for block in found:
        if block.is_python:
            lines += [""] * (block.line - len(lines))
            lines.append(f"print({_MARK!r} {str(block.line)!r}, flush=True)")
            lines += block.body
    return "\n".join(lines) + "\n"


def check(path: Path, cwd: Path) -> None:
    """Runs a file's python blocks, in order in one namespace, and compares outputs."""
    found = blocks(path.read_text(encoding="utf-8"))
    expected = promised_outputs(found)
    script = cwd / f"{path.stem}_blocks.py"
    script.write_text(code := program(found), encoding="utf-8")
    # Devices can only be made before a process computes anything.
    run = run_python if "set_logical_device" in code else shared_process.run
    printed = {}
    for part in run(script, cwd=cwd).split(_MARK)[1:]:
        line, _, text = part.partition("\n")
        printed[int(line)] = text
    checker = doctest.OutputChecker()
    for line, want in expected.items():
        if not checker.check_output(want, printed[line], _FLAGS):
            example = doctest.Example("", want)
            difference = checker.output_difference(example, printed[line], _FLAGS)
            pytest.fail(
                f"{path.name}: the block at line {line + 1} prints something else.\n"
                f"{difference}",
                pytrace=False,
            )
