"""Seals: what tells a project's own files from those that were edited or copied in.

Each file has a checksum. Those of trials have the search's seed, too, so that a trial
of another project is known as such. A project of an older version, or of KerasTuner's
own tuners, has neither until a search goes on in it.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from keras_tricks.tuners import errors
from keras_tricks.tuners.storage import files

SEED = "seed"
# The files of a project that tell of all of it, the one that counts first.
_OF_ALL = ("search.json", "oracle.json")
_OF_TRIALS = ("trial.json", "record.json")


@dataclasses.dataclass(frozen=True)
class Seal:
    """What each file of a project must have.

    Attributes:
        has_checksums: Whether each has one. One without was changed then.
        seed: The search's; None where it is not known.
    """

    has_checksums: bool
    seed: int | None = None

    @classmethod
    def of(cls, project: str | os.PathLike[str]) -> Seal:
        """Returns what the files of a project tell: one that has a checksum will do."""
        project, seed = Path(project), None
        for name in _OF_ALL:
            try:
                content = files.read_json(project / name, is_sealed=True)
            except errors.DamagedFileError:
                continue
            seed = content.get(SEED)
            return cls(True, seed if type(seed) is int else None)
        return cls(any(map(_has_checksum, _files_of(project))))

    def read(self, path: str | os.PathLike[str], schema: Any = dict[str, Any]) -> Any:
        """Returns what a file holds; see `files.read_json`.

        Raises:
            DamagedFileError: If it is damaged, was edited, or is another search's.
        """
        content = files.read_json(path, is_sealed=self.has_checksums)
        seed = content.get(SEED)
        if None not in (self.seed, seed) and seed != self.seed:
            raise errors.ForeignFileError(
                f"{path} is another search's (seed: expected {self.seed}, found {seed})"
            )
        return files.converted(path, content, schema)


def seal(project: Path) -> None:
    """Gives the files of a project checksums, if none of them has any."""
    if Seal.of(project).has_checksums:
        return
    for path in _files_of(project):
        try:
            content = files.read_json(path)
        except errors.DamagedFileError:
            continue  # It was named, and is made anew.
        files.write_json(path, content)


def _files_of(project: Path) -> Iterator[Path]:
    """Gives those of trials first: once these are sealed, the others say so."""
    for folder in project.glob("trial_*"):
        if files.trial_id_of(folder.name) is not None and not folder.is_symlink():
            yield from (folder / name for name in _OF_TRIALS)
    yield from project.glob("tuner*.json")
    yield from (project / name for name in _OF_ALL[::-1])


def _has_checksum(path: Path) -> bool:
    try:
        content = files.json_in(path)
    except errors.DamagedFileError:
        return False
    return isinstance(content, dict) and files.CHECKSUM in content
