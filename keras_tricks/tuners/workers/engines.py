"""What differs between the engines that run trials: Dask, Ray, pools of processes.

An engine is anything with the `submit` of `concurrent.futures.Executor`.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import math
import os
import pickle
import sys
import time
import types
import uuid
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from keras_tricks import _engine_call
from keras_tricks import _validation
from keras_tricks._engine_call import EngineCall
from keras_tricks._engine_call import PayloadFile
from keras_tricks.tuners.workers import engine_task
from keras_tricks.tuners.workers import worker_payload
from keras_tricks.tuners.workers.ray_executor import RayExecutor

_LOG = logging.getLogger(__name__)

# Variables on which the last bits of a trial may depend. Others, such as those that
# choose devices, are each machine's own.
NUMERIC_SETTINGS = (
    "JAX_DEFAULT_MATMUL_PRECISION",
    "JAX_ENABLE_X64",
    "NVIDIA_TF32_OVERRIDE",
    "TF_CUDNN_DETERMINISTIC",
    "TF_DETERMINISTIC_OPS",
    "TF_ENABLE_ONEDNN_OPTS",
    "TF_XLA_FLAGS",
    "XLA_FLAGS",
)
# How often it is asked how many processes an engine has: it grows and shrinks.
_SECONDS_BETWEEN_COUNTS = 1.0
# How long an engine may have no process at all before that is told.
_SECONDS_WITHOUT_WORKERS = 10.0


class NoWorkersError(RuntimeError):
    """An engine has no process now that could be given anything."""


class Engine:
    """Any executor.

    Args:
        executor: The executor.
        workers: How many tasks it is given at a time; None asks it.
        gpus_per_trial: How many GPUs a task needs, where the engine places tasks by
            that.
        seconds: After how many no further task begins.
    """

    def __init__(
        self,
        executor: Any,
        workers: int | None,
        gpus_per_trial: float | None,
        seconds: float = math.inf,
    ):
        self._executor = executor
        self._workers = workers
        self._gpus = gpus_per_trial
        self._call = EngineCall(
            uuid.uuid4().hex,
            engine_task.__name__,
            {
                **_settings_of_backends(),
                **worker_payload.environment(),
            },
            [os.path.abspath(path) for path in sys.path],
            time.time() + seconds,
        )
        self._payload: Any = None
        self._counted_at, self._count, self._had_some_at = -1.0, 0, time.monotonic()
        self._check()
        self.num_workers()

    def _check(self) -> None:
        """Refuses what cannot work, before the first trial.

        Raises:
            ValueError: If the executor does not do what was asked for.
        """
        if self._gpus is not None:
            raise ValueError(
                "`gpus_per_trial` needs an engine that places tasks by GPUs (Dask, "
                "Ray), or `workers` without an `executor`. Give each process of this "
                "one its own by CUDA_VISIBLE_DEVICES. Received: "
                f"gpus_per_trial={self._gpus:g}"
            )

    def num_workers(self) -> int:
        """Returns how many tasks the engine is to have at a time, now."""
        now = time.monotonic()
        if self._counted_at < 0 or now - self._counted_at > _SECONDS_BETWEEN_COUNTS:
            self._counted_at, self._count = now, self._counted()
            if self._count:
                self._had_some_at = now
            elif now - self._had_some_at > _SECONDS_WITHOUT_WORKERS:
                self._had_some_at = now
                _LOG.warning("The executor has no workers: the search waits for some.")
        return self._count

    def _counted(self) -> int:
        found = self._workers
        for name in ("_max_workers", "max_workers", "num_workers"):
            found = getattr(self._executor, name, None) if found is None else found
        if not isinstance(found, int) or isinstance(found, bool) or found < 1:
            tells = "this one does not tell" if found is None else f"its is {found!r}"
            raise ValueError(
                "`workers` must say how many trials the executor is given at a time, "
                f"or its `max_workers` must: {tells}. "
                f"{_validation.received('executor', self._executor, True)}"
            )
        return found

    def publish(self, payload: bytes) -> None:
        """Makes the payload of a search known to the engine's processes."""
        self._payload = payload

    def submit(self, task: engine_task.Task) -> Any:
        """Returns a future of the task's outcome.

        Raises:
            NoWorkersError: If it is to be submitted later.
            TypeError: If the executor returns no future.
        """
        future = self._executor.submit(self._call, self._payload, pickle.dumps(task))
        if not callable(getattr(future, "result", None)):
            raise TypeError(
                "The `submit` of `executor` must return a future, with `result`, "
                f"`done` and `cancel`. Received: {_validation.shown(future)}"
            )
        return future

    def withdraw(self, future: Any) -> bool:
        """Takes a task back that has not begun; returns whether it is sure of that."""
        is_plain = isinstance(future, concurrent.futures.Future)
        return is_plain and future.cancel()

    def cancel(self, submitted: Iterable[Any]) -> None:
        """Ends what was submitted: what waits, and what runs if the engine can."""
        for future in submitted:
            future.cancel()

    def close(self) -> None:
        """Forgets the payload."""


class Pool(Engine):
    """Threads or processes of this machine, of the standard library or of loky.

    The payload is a file, and its end is the end of what runs.
    """

    def publish(self, payload: bytes) -> None:
        self._payload = PayloadFile.of(payload)

    def close(self) -> None:
        if self._payload is not None:
            Path(self._payload.path).unlink(missing_ok=True)
        # Of threads.
        _engine_call.close_children(self._call.search)


class Dask(Engine):
    """A `dask.distributed.Client`, or the executor that it makes.

    The payload is scattered: each worker fetches it once. It is lost with the last
    worker that had it; tasks then are, too, and it is scattered anew for them.

    While there are no workers it has a call that waits for one: an adaptive cluster
    begins workers for what was submitted, and nothing can be scattered before.
    """

    _bytes: bytes = b""
    _demand: Any = None

    def _check(self) -> None:
        self._executor = getattr(self._executor, "_client", self._executor)
        if getattr(self._executor, "asynchronous", False):
            raise ValueError(
                "`executor` must be a client that waits: `Client(asynchronous=False)`. "
                f"{_validation.received('executor', self._executor, True)}"
            )
        self._check_status()
        if self._gpus is not None:
            offered = self._offered_gpus()
            # A cluster that has no workers now may get some.
            if offered and max(offered) < self._gpus:
                raise ValueError(
                    "`gpus_per_trial` needs Dask workers that offer so many GPUs: "
                    "start them with `dask worker ... --resources GPU=1`. Received: "
                    f"gpus_per_trial={self._gpus:g} and workers that offer at most "
                    f"{max(offered):g}"
                )

    def _check_status(self) -> None:
        if self._executor.status in ("closing", "closed"):
            raise RuntimeError(
                "The Dask client of `executor` is closed: it has lost its scheduler, "
                "or was closed. What has ended is kept; call `search` again with "
                "another client."
            )

    def _offered_gpus(self) -> list[float]:
        workers = self._executor.scheduler_info(n_workers=-1)["workers"].values()
        return [worker["resources"].get("GPU", 0) for worker in workers]

    def _counted(self) -> int:
        self._check_status()
        if self._executor.status != "running":
            return self._count  # It seeks its scheduler.
        if self._gpus is not None:
            offered = self._offered_gpus()
            found = sum(int(gpus / self._gpus + 1e-9) for gpus in offered)
        else:
            found = sum(self._executor.nthreads().values())
        if not found and (self._demand is None or self._demand.done()):
            self._demand = self._executor.submit(
                os.getpid, pure=False, resources=self._resources()
            )
        return (self._workers or found) if found else 0

    def _resources(self) -> dict[str, float] | None:
        return None if self._gpus is None else {"GPU": self._gpus}

    def publish(self, payload: bytes) -> None:
        self._bytes = payload
        self._payload = None

    def submit(self, task: engine_task.Task) -> Any:
        if self._payload is None or self._payload.status in ("cancelled", "lost"):
            with warnings.catch_warnings():
                # Of large data, which it advises to scatter.
                warnings.simplefilter("ignore")
                try:
                    self._payload = self._executor.scatter(
                        self._bytes, hash=False, broadcast=True
                    )
                except (TimeoutError, asyncio.TimeoutError) as error:
                    raise NoWorkersError("The last one is gone.") from error
        return self._executor.submit(
            self._call,
            self._payload,
            pickle.dumps(task),
            pure=False,
            resources=self._resources(),
        )

    def cancel(self, submitted: Iterable[Any]) -> None:
        if self._executor.status == "running":
            waiting = [] if self._demand is None else [self._demand]
            self._executor.cancel([*submitted, *waiting], force=True)


class Ray(Engine):
    """A `RayExecutor`; the payload lies in Ray's object store."""

    def _check(self) -> None:
        if self._gpus is not None:
            self._executor = self._executor.with_gpus(self._gpus)

    def _counted(self) -> int:
        # Tasks wait for what is not there yet; a cluster that can grows for them.
        return self._workers or max(1, self._executor.num_workers)

    def publish(self, payload: bytes) -> None:
        self._payload = self._executor.put(payload)

    def cancel(self, submitted: Iterable[Any]) -> None:
        for future in submitted:
            self._executor.cancel(future)


def engine_of(
    executor: Any, workers: int | None, gpus_per_trial: float | None, seconds: float
) -> Engine:
    """Returns the engine of what `search` was given as `executor`.

    Args:
        executor: The executor.
        workers: See `search`.
        gpus_per_trial: See `search`.
        seconds: After how many no further trial begins.

    Raises:
        TypeError: If it is no executor.
        ValueError: If it does not do what was asked for.
    """
    if isinstance(executor, types.ModuleType) and executor.__name__ == "ray":
        executor = RayExecutor()
    if isinstance(executor, type) or not callable(getattr(executor, "submit", None)):
        raise TypeError(
            "`executor` must be an object with the `submit` of "
            "`concurrent.futures.Executor`: a `dask.distributed.Client`, a "
            "`keras_tricks.tuners.RayExecutor`, a pool of processes, a "
            "`submitit.AutoExecutor`. "
            f"{_validation.received('executor', executor, True)}"
        )
    pools = (
        concurrent.futures.ThreadPoolExecutor,
        concurrent.futures.ProcessPoolExecutor,
    )
    # Whoever subclasses one still has one.
    modules = [kind.__module__.split(".") for kind in type(executor).__mro__]
    kind: type[Engine] = Engine
    if isinstance(executor, RayExecutor):
        kind = Ray
    elif any(parts[0] == "distributed" for parts in modules):
        kind = Dask
    elif isinstance(executor, pools) or any("loky" in parts for parts in modules):
        kind = Pool
    return kind(executor, workers, gpus_per_trial, seconds)


def _settings_of_backends() -> dict[str, str]:
    """Returns the variables of `NUMERIC_SETTINGS` that are set here."""
    return {name: os.environ[name] for name in NUMERIC_SETTINGS if name in os.environ}
