"""Ray as an executor: tasks go where the cluster has room for them."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Callable
from typing import Any

from keras_tricks import _engine_call
from keras_tricks import _validation


class RayExecutor(concurrent.futures.Executor):
    """Runs each call as a task of Ray, on any machine of its cluster.

    Give it to `search(executor=)`. Ray is initialized if it was not, and sets
    `CUDA_VISIBLE_DEVICES` for each of its processes. A process that dies costs the task
    that ran in it, which the search submits again.

    Args:
        num_cpus: Processor cores that a trial needs; fractions are allowed.
        num_gpus: GPUs that a trial needs; fractions up to 1 are allowed, and several
            trials then share one.
        **options: Further options of a Ray task, such as `resources` or
            `runtime_env`; see `ray.remote`.

    Raises:
        ImportError: If Ray is not installed.
        ValueError: If a number is negative.

    Source: `Ray's tasks <https://docs.ray.io/en/latest/ray-core/tasks.html>`_.

    Example:
        >>> from keras_tricks import tuners
        >>> try:
        ...     executor = tuners.RayExecutor(num_cpus=2)
        ... except ImportError as error:
        ...     print("no Ray here")
        no Ray here
    """

    def __init__(
        self, num_cpus: float = 1.0, num_gpus: float = 0.0, **options: Any
    ) -> None:
        self._num_cpus = _validation.check_float("num_cpus", num_cpus)
        self._num_gpus = _validation.check_float("num_gpus", num_gpus)
        self._options = options
        try:
            import ray
        except ImportError as error:
            raise ImportError(
                "`RayExecutor` needs Ray: `pip install ray`, or the extra `ray` of "
                "keras_tricks."
            ) from error
        self._ray = ray
        if not ray.is_initialized():
            ray.init()
        self._function = ray.remote(
            # The search counts how often a trial has cost a process its life.
            **{"max_retries": 0, **options},
            num_cpus=self._num_cpus,
            num_gpus=self._num_gpus,
        )(_engine_call.called)
        self._references: dict[concurrent.futures.Future[Any], Any] = {}

    def with_gpus(self, num_gpus: float) -> RayExecutor:
        """Returns one that is the same but for `num_gpus`."""
        return RayExecutor(self._num_cpus, num_gpus, **self._options)

    @property
    def num_workers(self) -> int:
        """How many tasks the cluster has room for, were it empty."""
        there = self._ray.cluster_resources()
        needed = {"CPU": self._num_cpus, "GPU": self._num_gpus}
        needed.update(self._options.get("resources", {}))
        room = [there.get(name, 0.0) / n for name, n in needed.items() if n > 0]
        return int(min(room, default=len(self._ray.nodes())) + 1e-9)

    def put(self, value: Any) -> Any:
        """Puts a value into Ray's object store; `submit` takes what is returned."""
        return self._ray.put(value)

    def submit(
        self, function: Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> concurrent.futures.Future[Any]:
        """Returns the future of a call; references among `args` become their values."""
        reference = self._function.remote(function, *args, **kwargs)
        future: concurrent.futures.Future[Any] = reference.future()
        self._references[future] = reference
        future.add_done_callback(lambda done: self._references.pop(done, None))
        return future

    def cancel(self, future: concurrent.futures.Future[Any]) -> None:
        """Ends a call, also one that runs, together with its process."""
        reference = self._references.pop(future, None)
        if reference is not None:
            self._ray.cancel(reference, force=True)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Ends what was submitted, if asked to; Ray itself goes on."""
        pending = list(self._references)
        for future in pending if cancel_futures else ():
            self.cancel(future)
        if wait:
            concurrent.futures.wait(pending)
