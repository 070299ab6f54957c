"""Shapes of targets, compared with those of outputs before they broadcast."""

from __future__ import annotations

from typing import Any

from keras import ops


def rank_is_unknown(*tensors: Any) -> bool:
    """Whether TensorFlow does not know how many axes there will be."""
    return any(getattr(tensor.shape, "rank", 0) is None for tensor in tensors)


def may_be(found: tuple, wanted: tuple) -> bool:
    """Whether two shapes are the same as far as their dimensions are known."""
    return len(found) == len(wanted) and all(
        one is None or other is None or one == other
        for one, other in zip(found, wanted, strict=True)
    )


def as_outputs(y_true: Any, y_pred: Any, what: str) -> tuple[Any, Any]:
    """Returns both as tensors of the outputs' dtype and shape.

    A vector of numbers stands for a column; any other shape must be the outputs' own,
    since Keras would broadcast `(n,)` against `(n, 1)` to `(n, n)`.

    Args:
        y_true: The targets.
        y_pred: The outputs.
        what: What the targets are, to begin a sentence with.

    Raises:
        ValueError: If the shapes are of different examples or outputs.
    """
    y_pred = ops.convert_to_tensor(y_pred)
    y_true = ops.cast(ops.convert_to_tensor(y_true), y_pred.dtype)
    if not rank_is_unknown(y_true, y_pred):
        targets, outputs = tuple(y_true.shape), tuple(y_pred.shape)
        is_column = len(outputs) > 0 and outputs[-1] == 1
        if not may_be(targets, outputs) and not (
            is_column and may_be(targets, outputs[:-1])
        ):
            raise ValueError(
                f"{what} must have the shape of the outputs, {outputs}"
                f"{f', or {outputs[:-1]}' if is_column else ''}. "
                f"Received: shape {targets}"
            )
    return ops.reshape(y_true, ops.shape(y_pred)), y_pred
