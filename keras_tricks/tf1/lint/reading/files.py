"""The files that are checked: where they are, how they are read, why they cannot be."""

import os
import stat
from collections.abc import Iterator
from collections.abc import Sequence
from pathlib import Path

from keras_tricks.tf1.lint.reading import notebook
from keras_tricks.tf1.lint.reading.source import Source

_SUFFIXES = (".py", ".ipynb")
# The folders into which pip and npm install.
_PACKAGES = ("site-packages", "dist-packages", "node_modules")


def checked_files(paths: Sequence[str]) -> Iterator[Path]:
    """Yields each file once; of a directory, its scripts and notebooks in order.

    Hidden directories are passed over, and those with other people's packages: virtual
    environments, `site-packages`, `node_modules`. One that is named itself is read.
    """
    seen: set[Path] = set()
    for path in map(Path, paths):
        for file in _inside(path) if path.is_dir() else [path]:
            if file not in seen:
                seen.add(file)
                yield file


def _inside(directory: Path) -> Iterator[Path]:
    for folder, inner, names in os.walk(directory):
        inner[:] = sorted(name for name in inner if not _is_foreign(folder, name))
        yield from (Path(folder, n) for n in sorted(names) if n.endswith(_SUFFIXES))


def _is_foreign(folder: str, name: str) -> bool:
    is_environment = os.path.exists(os.path.join(folder, name, "pyvenv.cfg"))
    return name.startswith(".") or name in _PACKAGES or is_environment


def read(path: Path) -> Source:
    """Reads and parses a script, or the cells of a notebook as one script.

    Raises:
        Exception: If it cannot be read; `reason` says why.
    """
    # A pipe would be waited for, and a device may have no end.
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError("it is no regular file")
    if path.suffix == ".ipynb":
        return notebook.read(path)
    return Source.read(path)


def reason(path: Path, error: Exception) -> str:
    """Returns the line that says why a file cannot be checked."""
    match error:
        case SyntaxError():
            place = f"{path}:{error.lineno or 1}:{error.offset or 1}"
            return f"{place}: not Python 3, hence not checked: {error.msg}"
        case OSError():
            return f"{path}: cannot be read: {error.strerror or error}"
        case UnicodeError() | notebook.NotebookError():
            return f"{path}: not checked: {error}"
        case LookupError() if "text encoding" in str(error):
            return f"{path}: not checked: {error}"
        case ValueError() if "null bytes" in str(error):
            return f"{path}: not checked: {error}"
        case RecursionError() | MemoryError():
            return f"{path}: not checked: expressions are nested too deeply"
    return f"{path}: not checked, by a fault of this check: {error!r}"
