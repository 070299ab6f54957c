"""Docstrings as the site's reference reads them: an extension of griffe."""

import re
from typing import Any

import griffe

# A doctest stands at the margin below the word, where Python's doctest and readers of
# the source want it; griffe wants it indented, and the word in the plural.
EXAMPLE = re.compile(r"^Example:\n\n(?P<body>.*?)(?=^\w[\w ]*:\n +\S|\Z)", re.M | re.S)
# A line that begins with "> 0" is no quotation.
COMPARISON = re.compile(r"^( *)>(?!>> )", re.M)


def as_markdown(docstring: str) -> str:
    """Returns a docstring with what griffe and Markdown read otherwise than we do."""

    def indented(match: re.Match[str]) -> str:
        lines = match["body"].rstrip().splitlines()
        body = "\n".join(f"    {line}".rstrip() for line in lines)
        return f"Examples:\n{body}\n\n"

    return EXAMPLE.sub(indented, COMPARISON.sub(r"\1\\>", docstring))


class ReadableDocstrings(griffe.Extension):
    """Changes each docstring before it is parsed."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring:
            obj.docstring.value = as_markdown(obj.docstring.value)


class ImportedNames(griffe.Extension):
    """Lets `analysis.compare` be the function, as in Python, and not its module."""

    def on_package(
        self, *, pkg: griffe.Module, loader: griffe.GriffeLoader, **_: Any
    ) -> None:
        # Paths of names lead through the modules, which are out of reach afterwards.
        loader.resolve_aliases(implicit=False, external=False)
        hidden = [
            (module, name, loader.modules_collection[path])
            for module in modules_of(pkg)
            for name, path in module.imports.items()
            if name in module.modules and path != module.modules[name].path
        ]
        for module, name, imported in hidden:
            module.members[name] = griffe.Alias(name, imported, parent=module)


def modules_of(package: griffe.Module) -> list[griffe.Module]:
    """Returns a package and all modules below it, without those that it imports."""
    found = [package]
    for module in package.modules.values():
        if not module.is_alias:
            found += modules_of(module)
    return found
