"""Setuptools' build backend, whose archives are the same in each build.

With SOURCE_DATE_EPOCH (https://reproducible-builds.org/specs/source-date-epoch) set,
both archives hold that time, no name of a user, and the same permissions whatever the
checkout's are. Setuptools heeds it only in the times of a wheel.
"""

import gzip
import os
import stat
import tarfile
import zipfile
from pathlib import Path
from typing import Any

from setuptools import build_meta
from setuptools.build_meta import *  # noqa: F403

FILE, EXECUTABLE = 0o644, 0o755


def build_sdist(sdist_directory: str, config_settings: Any = None) -> str:
    """Builds the source archive."""
    name = build_meta.build_sdist(sdist_directory, config_settings)
    if time := os.environ.get("SOURCE_DATE_EPOCH"):
        _rewrite_tar(Path(sdist_directory) / name, int(time))
    return name


def build_wheel(
    wheel_directory: str,
    config_settings: Any = None,
    metadata_directory: str | None = None,
) -> str:
    """Builds the wheel."""
    name = build_meta.build_wheel(wheel_directory, config_settings, metadata_directory)
    if os.environ.get("SOURCE_DATE_EPOCH"):
        _rewrite_zip(Path(wheel_directory) / name)
    return name


def _rewrite_tar(archive: Path, time: int) -> None:
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
                is_executable = member.isdir() or member.mode & 0o100
                member.mode = EXECUTABLE if is_executable else FILE
                written.addfile(member, content)
    rewritten.replace(archive)


def _rewrite_zip(archive: Path) -> None:
    rewritten = archive.with_suffix(".new")
    with zipfile.ZipFile(archive) as read, zipfile.ZipFile(rewritten, "w") as written:
        for member in read.infolist():
            content = read.read(member)
            is_executable = member.external_attr >> 16 & 0o100
            mode = EXECUTABLE if is_executable else FILE
            member.external_attr = (stat.S_IFREG | mode) << 16
            written.writestr(member, content, compress_type=member.compress_type)
    rewritten.replace(archive)
