"""Setuptools' build backend, whose source archives are the same in each build.

Wheels heed SOURCE_DATE_EPOCH (https://reproducible-builds.org/specs/source-date-epoch)
already. In source archives setuptools leaves the time of the build, the names of the
user and the permissions of the checkout.
"""

import gzip
import os
import tarfile
from pathlib import Path
from typing import Any

from setuptools import build_meta
from setuptools.build_meta import *  # noqa: F403


def build_sdist(sdist_directory: str, config_settings: Any = None) -> str:
    """Builds the source archive; if SOURCE_DATE_EPOCH is set, with that time alone."""
    name = build_meta.build_sdist(sdist_directory, config_settings)
    if "SOURCE_DATE_EPOCH" in os.environ:
        _rewrite(Path(sdist_directory) / name, int(os.environ["SOURCE_DATE_EPOCH"]))
    return name


def _rewrite(archive: Path, time: int) -> None:
    with tarfile.open(archive) as read:
        members = [(member, read.extractfile(member)) for member in read.getmembers()]
        members.sort(key=lambda pair: pair[0].name)
        rewritten = archive.with_suffix(".new")
        with (
            rewritten.open("wb") as file,
            gzip.GzipFile("", "wb", fileobj=file, mtime=time) as zipped,
            tarfile.open(
                fileobj=zipped, mode="w", format=tarfile.PAX_FORMAT
            ) as written,
        ):
            for member, content in members:
                member.mtime, member.pax_headers = time, {}
                member.uid = member.gid = 0
                member.uname = member.gname = ""
                executable = member.isdir() or member.mode & 0o100
                member.mode = 0o755 if executable else 0o644
                written.addfile(member, content)
    rewritten.replace(archive)
