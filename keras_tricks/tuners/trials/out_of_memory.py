"""Trials that need more memory than there is."""

from __future__ import annotations

from typing import Any

from keras_tricks._fit_call import FitCall


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, on the host or on a device, under any backend."""
    if isinstance(error, MemoryError):
        return True
    names = {cls.__name__ for cls in type(error).__mro__}
    if names & {"ResourceExhaustedError", "OutOfMemoryError"}:
        return True
    return "XlaRuntimeError" in names and "RESOURCE_EXHAUSTED" in str(error)


def out_of_memory_message(
    error: BaseException, hyperparameters: Any, call: FitCall
) -> str:
    """Returns the reason of a trial that was too large for the memory."""
    size = hyperparameters.values.get("batch_size")
    if size is None:
        size = call["batch_size"]
    known = f"a batch size of {size}" if size is not None else "the default batch size"
    first_line = str(error).strip().partition("\n")[0]
    return f"Out of memory with {known}: {type(error).__name__}: {first_line}"
