"""The memory that a pack will take, from counts of parameters."""

import pathlib
from collections.abc import Iterator

import psutil
import tensorflow as tf

from keras_tricks.training.compiled import keras_hooks
from keras_tricks.training.compiled.functional_model import Steps
from keras_tricks.training.compiled.vectorized_map import num_bytes

# The share of the free memory that counts may fill; activations, which counts of
# parameters do not show, need the rest.
USABLE_SHARE = 0.5
# Where Linux lists the control groups of this process, and their limits.
OWN_GROUPS = pathlib.Path("/proc/self/cgroup")
ALL_GROUPS = pathlib.Path("/sys/fs/cgroup")


def bytes_per_trial(functional: Steps) -> int:
    """Returns the bytes that one trial's weights and what goes with them take.

    Weights, their gradients, the optimizer's slots, the new values beside the old ones
    during a step, and the best epoch's copy. Activations are not in it.
    """
    start = functional.start
    trainable, state = num_bytes(start.trainable), num_bytes(start)
    kept = trainable + num_bytes(start.non_trainable)
    return 2 * state + trainable + kept


def bytes_of_weights(functional: Steps) -> int:
    """Returns the bytes of one trial's weights: what it holds before it trains."""
    return num_bytes([functional.start.trainable, functional.start.non_trainable])


def available_bytes() -> int:
    """Returns the bytes of memory that are free: the first GPU's, or the computer's.

    In a container, and wherever else Linux limits a process, these are the bytes below
    its limit if they are fewer. What the system keeps of files counts as free, as it
    is given up for whoever needs memory.
    """
    devices = tf.config.list_logical_devices("GPU")
    if devices:
        limit = keras_hooks.gpu_memory()
        if limit is not None:
            return limit - tf.config.experimental.get_memory_info("GPU:0")["current"]
    return max(0, min([psutil.virtual_memory().available, *_free_in_groups()]))


def _free_in_groups() -> Iterator[int]:
    """Yields the bytes below the limit of each control group of this process."""
    try:
        lines = OWN_GROUPS.read_text().splitlines()
    except OSError:
        return  # It is not Linux.
    for line in lines:
        _, controllers, path = line.split(":", maxsplit=2)
        if controllers == "":  # Version 2.
            root, names = ALL_GROUPS, ("memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            root = ALL_GROUPS / "memory"
            names = (
                "memory.limit_in_bytes",
                "memory.usage_in_bytes",
                "total_inactive_file",
            )
        else:
            continue
        # A group has no more than those that it is in. A container may see its own
        # files at the root, under which the path leads nowhere.
        own = root if ".." in path.split("/") else root / path.strip("/")
        for group in (own, *own.parents):
            if group.is_relative_to(root):
                yield from _free_in_group(group, *names)


def _free_in_group(
    group: pathlib.Path, limit: str, current: str, reclaimable: str
) -> Iterator[int]:
    """Yields the bytes below the limit of a control group, if it has one.

    Args:
        group: Its folder.
        limit: The file that tells the limit.
        current: The file that tells what is in use, what is kept of files included.
        reclaimable: The entry of `memory.stat` that tells the part of it that nobody
            has asked for of late.
    """
    try:
        numbers = [(group / name).read_text() for name in (limit, current)]
        free = int(numbers[0]) - int(numbers[1])
        lines = (group / "memory.stat").read_text().splitlines()
        entries = dict(line.split(maxsplit=1) for line in lines)
        yield free + int(entries.get(reclaimable, 0))
    except (OSError, ValueError):
        return  # It has none, "max", or is not to be read.


def largest_pack(functional: Steps, memory_limit: int | None = None) -> int:
    """Returns how many trials fit together, at least 1.

    Args:
        functional: The model.
        memory_limit: Bytes that may be used; None is half of what is free.
    """
    if memory_limit is None:
        memory_limit = int(USABLE_SHARE * available_bytes())
    return max(1, memory_limit // max(1, bytes_per_trial(functional)))
