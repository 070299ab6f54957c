"""Modules of the user's project: the file that an import names."""

import stat
from pathlib import Path

from keras_tricks.tf1.lint.reading.source import Source

_MAX_UP = 3


def imported(source: Source, path: str) -> Source | None:
    """Returns the file of the module that an import names, if it is at hand.

    Looked for beside the file and in the folders around it, as for
    `from albert import optimization` in `albert/run_classifier.py`.

    Args:
        source: The file with the import.
        path: The module, such as `"albert.optimization"`.
    """
    if path not in source.modules:
        source.modules[path] = _searched(source, path)
    return source.modules[path]


def _searched(source: Source, path: str) -> Source | None:
    parts = [part for part in path.split(".") if part]
    if not parts or source.path.startswith("<"):
        return None
    folder = Path(source.path).absolute().parent
    for _ in range(_MAX_UP):
        file = folder.joinpath(*parts).with_suffix(".py")
        try:
            # A pipe would be waited for.
            if stat.S_ISREG(file.stat().st_mode):
                return Source.read(file)
        except FileNotFoundError:
            pass
        except (OSError, SyntaxError, ValueError, LookupError, RecursionError):
            return None
        folder = folder.parent
    if len(parts) > 1:
        # A package whose folder has another name here.
        return _searched(source, parts[-1])
    return None
