"""Docstrings as the site's reference reads them: an extension of griffe."""

import re
from typing import Any

import griffe

# A doctest stands at the margin below the word, where Python's doctest and readers of
# the source want it; griffe wants it indented, and the word in the plural.
EXAMPLE = re.compile(r"^Example:\n\n(?P<body>.*?)(?=^\w[\w ]*:\n +\S|\Z)", re.M | re.S)


def with_indented_examples(text: str) -> str:
    """Returns a docstring whose example is a section that griffe knows."""

    def indented(match: re.Match[str]) -> str:
        lines = match["body"].rstrip().splitlines()
        body = "\n".join(f"    {line}".rstrip() for line in lines)
        return f"Examples:\n{body}\n\n"

    return EXAMPLE.sub(indented, text)


class IndentedExamples(griffe.Extension):
    """Changes each docstring before it is parsed."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring:
            obj.docstring.value = with_indented_examples(obj.docstring.value)
