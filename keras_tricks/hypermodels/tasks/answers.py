"""What the outputs of a trained network say: probabilities, labels, numbers."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np


def answers(outputs: Any, task: str) -> Any:
    """Returns the probability of each class or label, or the numbers of a regression.

    Args:
        outputs: `(batch, outputs)` of the network.
        task: What it learned.
    """
    if task == "classification":
        return keras.ops.softmax(outputs, axis=-1)
    return keras.ops.sigmoid(outputs) if task == "multi_label" else outputs


def most_probable(found: np.ndarray, labels: list[Any], task: str) -> list[Any]:
    """Returns the most probable label of each row; with several labels a row, a list.

    Args:
        found: What `answers` returned of a classification or of several labels.
        labels: Names of the outputs.
        task: What the network learned.
    """
    if task == "classification":
        return [labels[index] for index in found.argmax(axis=-1)]
    return [[labels[i] for i in np.flatnonzero(row > 0.5)] for row in found]
