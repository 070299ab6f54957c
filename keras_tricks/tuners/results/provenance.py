"""Provenance: the versions and the commit that a result depends on."""

from __future__ import annotations

import importlib.metadata
import os
import platform

import keras_tricks

PACKAGES = ("keras", "keras-tuner", "tensorflow", "numpy")


def versions() -> dict[str, str]:
    """Returns the versions of Python and of the packages that a result depends on."""
    found = {
        "python": platform.python_version(),
        # As imported: what is installed may be another one.
        "keras_tricks": keras_tricks.__version__,
    }
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


_NO_HOOKS = ("-c", "core.fsmonitor=false", "-c", f"core.hooksPath={os.devnull}")


def git_commit() -> str | None:
    """Returns the commit of the working folder, or None outside of a repository."""
    import subprocess  # Here, because only a search that begins needs it.

    def git(*arguments: str) -> str:
        return subprocess.run(
            # What the repository's own settings name is not run.
            ["git", "--no-optional-locks", *_NO_HOOKS, *arguments],
            capture_output=True,
            check=True,
            encoding="utf-8",
            stdin=subprocess.DEVNULL,
            timeout=10,
        ).stdout.strip()

    try:
        commit = git("rev-parse", "HEAD")
        changed = git("status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return None
    return f"{commit}+changes" if changed else commit
