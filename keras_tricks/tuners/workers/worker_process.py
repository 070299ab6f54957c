"""A worker process: the trials that the searching process lends it."""

from __future__ import annotations

import os
import queue
import signal
import threading
import time
import traceback
from multiprocessing import connection as connections
from typing import Any

from keras_tricks.tuners.errors import TooManyFailuresError
from keras_tricks.tuners.workers import worker_payload
from keras_tricks.tuners.workers.leased_search import leased_tuner

HEARTBEAT_SECONDS = 1.0
# For how long it waits to be ended, once it has said its last word.
END_SECONDS = 10.0


class _Link:
    """A worker's connection to the process that started it."""

    def __init__(self, connection: Any):
        self._connection = connection
        self._lock = threading.Lock()
        self._inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.send(("hello",))
        for target in (self._read, self._beat):
            threading.Thread(target=target, daemon=True).start()

    def send(self, message: Any) -> None:
        with self._lock:
            self._connection.send(message)

    def receive(self) -> Any:
        return self._inbox.get()

    def ask(self, *message: Any) -> Any:
        """Returns the answer to a message."""
        self.send(message)
        kind, answer = self.receive()
        if kind == "error":
            raise worker_payload.received(answer)
        return answer

    def _read(self) -> None:
        try:
            self._inbox.put(self._connection.recv_bytes())
            while True:
                self._inbox.put(self._connection.recv())
        except (EOFError, OSError):
            # The search is over, or was killed: nothing of use can be done here.
            os._exit(1)

    def _beat(self) -> None:
        while True:
            time.sleep(HEARTBEAT_SECONDS)
            try:
                self.send(("alive",))
            except OSError:
                os._exit(1)


def main(file_descriptor: int) -> None:
    """Runs trials until there are none left."""
    # Ctrl-C reaches all processes of a terminal; the searching one ends the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    link = _Link(connections.Connection(file_descriptor))
    try:
        spec = worker_payload.spec_of(link.receive())
        leased_tuner(spec, link)._run_search(spec.fit_args, spec.fit_kwargs)
    except TooManyFailuresError:
        traceback.print_exc()
        link.send(("gave_up",))
    except BaseException as error:
        traceback.print_exc()
        link.send(
            ("fatal", worker_payload.transportable(error), traceback.format_exc())
        )
    # Until the searching process has read that, and closes the connection.
    time.sleep(END_SECONDS)
