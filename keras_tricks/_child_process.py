"""Interpreters that end with this process, and a connection to each."""

from __future__ import annotations

import hmac
import os
import secrets
import socket
import subprocess
import sys
from collections.abc import Mapping
from multiprocessing import connection as connections
from typing import Any

# Whether a child may have open files of this process.
INHERITS_FILES = os.name == "posix"
CONNECT_SECONDS = 60.0
_KEY = "KERAS_TRICKS_KEY"
_KEY_BYTES = 32

# Watches from the first moment on: Keras takes seconds to be imported. Linux ends the
# child itself (PR_SET_PDEATHSIG), also while a call of C code keeps all threads from
# running; elsewhere a thread looks, or the connection ends. The last line calls the
# `main` of a module, which is not run by -m: that would import it under two names.
_START = f"""\
import sys
if sys.path[0] == "":  # Of -c; the searching process may not have it.
    del sys.path[0]
import importlib, os, signal, socket, threading, time
if sys.platform == "linux":
    import ctypes
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    if os.getppid() != int(sys.argv[2]):
        os._exit(1)
def watch(parent):
    while os.getppid() == parent:
        time.sleep(0.25)
    os._exit(1)
threading.Thread(target=watch, args=(int(sys.argv[2]),), daemon=True).start()
place = sys.argv[1]
if ":" in place:
    host, port = place.split(":")
    line = socket.create_connection((host, int(port)))
    line.sendall(bytes.fromhex(os.environ.pop({_KEY!r})))
    place = line.detach()
importlib.import_module(sys.argv[3]).main(int(place), *sys.argv[4:])
"""


def started(
    module: str, *arguments: str, environment: Mapping[str, str], log: Any = None
) -> tuple[subprocess.Popen[bytes], Any]:
    """Starts an interpreter, and returns it with the connection to it.

    Args:
        module: The one whose `main` it calls, with the number of its end of the
            connection and `arguments`.
        *arguments: Further ones of `main`.
        environment: The variables that it has.
        log: A file for what it prints; None leaves it where this process prints.

    Raises:
        RuntimeError: If it does not connect.
    """
    options: dict[str, Any] = {"stdin": subprocess.DEVNULL}
    if log is not None:
        options |= {"stdout": log, "stderr": subprocess.STDOUT}
    if INHERITS_FILES:
        ours, theirs = connections.Pipe()
        try:
            process = subprocess.Popen(
                _command(str(theirs.fileno()), module, *arguments),
                env=environment,
                pass_fds=[theirs.fileno()],
                **options,
            )
        finally:
            theirs.close()
        return process, ours
    key = secrets.token_bytes(_KEY_BYTES)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        process = subprocess.Popen(
            _command(f"127.0.0.1:{port}", module, *arguments),
            env={**environment, _KEY: key.hex()},
            **options,
        )
        return process, _accepted(server, key, process)


def _command(place: str, module: str, *arguments: str) -> list[str]:
    # As `multiprocessing` has it: -O, -X, -W and the like.
    flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
    pid = str(os.getpid())
    return [sys.executable, *flags, "-c", _START, place, pid, module, *arguments]


def _accepted(
    server: socket.socket, key: bytes, process: Any
) -> connections.Connection:
    """Returns the connection of the one that has the key; others are sent away."""
    server.settimeout(CONNECT_SECONDS)
    try:
        while True:
            line, _ = server.accept()
            line.settimeout(CONNECT_SECONDS)
            received = line.recv(_KEY_BYTES, socket.MSG_WAITALL)
            if hmac.compare_digest(received, key):
                line.settimeout(None)
                return connections.Connection(line.detach())
            line.close()
    except OSError as error:
        process.kill()
        process.wait()
        raise RuntimeError(
            f"A process that runs trials did not connect within {CONNECT_SECONDS:g} s."
        ) from error
