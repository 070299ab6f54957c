"""The lock of a project's folder, in which one process at a time may search."""

from __future__ import annotations

import os
import shutil
import socket
from pathlib import Path
from typing import IO

from keras_tricks.tuners import errors
from keras_tricks.tuners.storage import files
from keras_tricks.tuners.storage import locks


class ProjectLock(locks.FileLock):
    """Held by the one search that may write in a folder.

    Args:
        folder: The project's folder. It is made where it is missing.

    Raises:
        ProjectInUseError: If a search holds it.
        StorageError: If the folder cannot be written, or knows no locks.
    """

    def __init__(self, folder: str | os.PathLike[str]):
        self.folder = Path(folder)
        super().__init__(self.folder / files.LOCK_FILE)

    def __enter__(self) -> IO[bytes]:
        files.made_folder(self.folder)
        try:
            file = super().__enter__()
        except locks.IsLockedError:
            raise self._in_use() from None
        try:
            file.truncate(0)
            file.write(_this_process().encode())
        except OSError as error:
            self._close()
            raise files.storage_error(error, self.path) from error
        return file

    def _in_use(self) -> errors.ProjectInUseError:
        with files.opened_to_read(self.path) as file:
            holder = file.read(1000).decode("utf-8", errors="replace")
        if holder == _this_process():
            holder = "this process"
        return errors.ProjectInUseError(
            f"{holder.strip() or 'another process'} is searching in {self.folder}: it "
            "can be neither overwritten nor searched by two at a time. Wait until it "
            "ends, choose another `project_name`, or give the one search more "
            "`workers`."
        )


def _this_process() -> str:
    return f"process {os.getpid()} on {socket.gethostname()}\n"


def clear_project(folder: str | os.PathLike[str]) -> None:
    """Deletes the files of a search, unless it is running. Others stay.

    Raises:
        ProjectInUseError: If it is running.
        ValueError: If there are files in the folder, but none of a search.
        StorageError: If they cannot be deleted.
    """
    folder = Path(folder)
    if not folder.exists():
        return
    inside = sorted(path.name for path in folder.iterdir())
    if inside and not any(map(files.is_of_a_search, inside)):
        raise ValueError(
            f"overwrite=True would delete what is in {folder}, which is no search's: "
            f"{', '.join(inside[:5])}. Choose another `directory` or `project_name`, "
            "or empty the folder yourself."
        )
    of_the_lock = (files.LOCK_FILE, files.LOCK_FILE + locks.WINDOWS_SUFFIX)
    with ProjectLock(folder):
        for name in inside:
            if name in of_the_lock or not files.is_left_by_a_search(name):
                continue
            path = folder / name
            try:
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                else:
                    path.unlink()
            except OSError as error:
                raise files.storage_error(error, path) from error
