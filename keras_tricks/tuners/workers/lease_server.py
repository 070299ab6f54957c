"""KerasTuner's chief process: lends trials to workers on any machine, and lends anew.

The process whose `KERASTUNER_TUNER_ID` holds "chief" keeps the oracle. A worker shows
that it lives while a trial runs; after `lease_seconds` without a sign its trial is
lent to another, under the same ID. No worker is sent away while a trial is running
elsewhere, since that trial may come back.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterator
from typing import Any

from keras_tricks.tuners.compat import keras_tuner_server

POLL_SECONDS = 0.1


def lease_seconds() -> float:
    """For how long a silent worker keeps its trial.

    60, or what the environment variable `KERAS_TRICKS_LEASE_SECONDS` says.
    """
    return float(os.environ.get("KERAS_TRICKS_LEASE_SECONDS", "60"))


def is_chief() -> bool:
    """Whether this process is KerasTuner's chief."""
    return "KERASTUNER_ORACLE_IP" in os.environ and "chief" in os.environ.get(
        "KERASTUNER_TUNER_ID", ""
    )


class Leases:
    """When each worker was last heard of."""

    def __init__(self, oracle: Any, seconds: float):
        self.oracle = oracle
        self.seconds = seconds
        self.lock = threading.RLock()
        self.has_stopped = False
        self._heard: dict[str, float] = {}

    def hear(self, tuner_id: str) -> None:
        self._heard[tuner_id] = time.monotonic()

    def hear_of(self, trial_id: str) -> None:
        for tuner_id, trial in self.oracle.ongoing_trials.items():
            if trial.trial_id == trial_id:
                self.hear(tuner_id)

    def is_silent(self, tuner_id: str) -> bool:
        heard = self._heard.setdefault(tuner_id, time.monotonic())
        return time.monotonic() - heard > self.seconds

    def end_silent_ones(self) -> None:
        for tuner_id, trial in list(self.oracle.ongoing_trials.items()):
            if self.is_silent(tuner_id):
                self.oracle.run_again(trial.trial_id)
        for tuner_id in list(self.oracle.tuner_ids):
            if self.is_silent(tuner_id):
                self.oracle.tuner_ids.discard(tuner_id)

    @property
    def is_over(self) -> bool:
        """Whether the search has ended, and every worker knows."""
        return self.has_stopped and not (
            self.oracle.ongoing_trials or self.oracle.tuner_ids
        )


def serve(oracle: Any) -> None:
    """Answers workers until the search is over."""
    oracle.has_workers = True
    leases = Leases(oracle, lease_seconds())
    with keras_tuner_server.oracle_server(leases):
        while True:
            time.sleep(POLL_SECONDS)
            with leases.lock:
                leases.end_silent_ones()
                if leases.is_over:
                    return


@contextlib.contextmanager
def signs_of_life(oracle: Any, trial_id: str) -> Iterator[None]:
    """Asks the chief for the trial now and then, while it runs here."""
    ended = threading.Event()

    def ask() -> None:
        while not ended.wait(lease_seconds() / 5):
            # A chief that is gone is found when the trial ends.
            with contextlib.suppress(Exception):
                oracle.get_trial(trial_id)

    threading.Thread(target=ask, daemon=True).start()
    try:
        yield
    finally:
        ended.set()
