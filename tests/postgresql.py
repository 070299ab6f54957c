"""A PostgreSQL server of one's own: on a free port of the loopback, and gone after."""

import contextlib
import importlib.util
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path


def reason_not_to_run() -> str | None:
    """Returns what is missing here, or None."""
    if not _programs():
        return "PostgreSQL is not installed (/usr/lib/postgresql/*/bin)"
    if importlib.util.find_spec("psycopg2") is None:
        return "psycopg2, SQLAlchemy's driver for PostgreSQL, is not installed"
    if os.getuid() == 0 and shutil.which("setpriv") is None:
        return "initdb refuses root, and there is no setpriv"
    return None


@contextlib.contextmanager
def server() -> Iterator[str]:
    """Gives the URL of a server that runs until the context ends.

    Raises:
        RuntimeError: If it does not start.
    """
    data = tempfile.mkdtemp(prefix="postgresql-")
    try:
        as_user = _as_another_user(data)
        port = _free_port()
        _run(data, as_user, "initdb", "--auth=trust", "--username=tester", "--no-sync")
        options = f"-p {port} -c listen_addresses=127.0.0.1 -k {data}"
        _run(data, as_user, "pg_ctl", "--wait", "-o", options, "start")
        try:
            yield f"postgresql+psycopg2://tester@127.0.0.1:{port}/postgres"
        finally:
            _run(data, as_user, "pg_ctl", "--mode=immediate", "stop")
    finally:
        shutil.rmtree(data, ignore_errors=True)


def _programs() -> list[Path]:
    return sorted(Path("/usr/lib/postgresql").glob("*/bin"))


def _as_another_user(data: str) -> list[str]:
    """Returns what goes before a command, since initdb refuses root."""
    if os.getuid() != 0:
        return []
    user = pwd.getpwnam("nobody")
    os.chown(data, user.pw_uid, user.pw_gid)
    identity = [f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}"]
    return ["setpriv", *identity, "--clear-groups"]


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def _run(data: str, as_user: list[str], program: str, *arguments: str) -> None:
    path = str(_programs()[-1] / program)
    command = [*as_user, path, "-D", f"{data}/db", *arguments]
    # Not captured: the server would keep the pipe open.
    with open(os.path.join(data, f"{program}.out"), "w+") as output:
        status = subprocess.run(
            command, cwd=data, stdout=output, stderr=output, check=False
        ).returncode
        output.seek(0)
        if status:
            raise RuntimeError(f"{program} failed: {output.read()}")
