"""The base class of tasks."""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import Any
from typing import ClassVar

import keras
import keras_tuner
import numpy as np

# From the number of outputs and what is known of the labels to a metric.
Metric = Callable[[int, Any], Any]


class Task(abc.ABC):
    """What a network is to learn.

    Attributes:
        num_outputs: Numbers that the network gives for an example.
        layer: Name of the last layer.
        metrics: The known metrics by name.
        default_metrics: Those that are watched unless others are asked for.
        learns_of_labels: Whether network or loss depend on the labels trained on.
    """

    layer: ClassVar[str] = "logits"
    metrics: ClassVar[dict[str, Metric]]
    default_metrics: ClassVar[tuple[str, ...]]
    learns_of_labels: ClassVar[bool] = True

    def __init__(self, num_outputs: int):
        self.num_outputs = num_outputs

    def outputs(self, x: Any, known: Any, max_norm: float = 0.0) -> Any:
        """Returns the last layer's output, float32 also under mixed precision.

        Args:
            x: `(batch, features)`.
            known: What `seen` returned of the labels, None if none were seen yet.
            max_norm: Norm that the weights of an output may have; 0 is any.
        """
        constraint = keras.constraints.MaxNorm(max_norm) if max_norm else None
        return keras.layers.Dense(
            self.num_outputs,
            # A column holds the weights of an output.
            kernel_constraint=constraint,
            dtype="float32",
            name=self.layer,
        )(x)

    @abc.abstractmethod
    def loss(self, hp: keras_tuner.HyperParameters, known: Any) -> keras.losses.Loss:
        """Declares the loss in `hp` and returns it."""

    @abc.abstractmethod
    def check(self, labels: Any, place: str, *, one_each: bool) -> None:
        """Raises `FatalValueError` if labels are none of this task's.

        Args:
            labels: Arrays, tensors or columns; None is no labels.
            place: Where they are, in words.
            one_each: Whether an example has those of one row of outputs.
        """

    def seen(self, batches: list[np.ndarray]) -> Any:
        """Returns what is to be known of the labels: tuples of floats, to be compared.

        It is asked where `learns_of_labels` alone.
        """
        raise NotImplementedError

    def unseen(self) -> Any:
        """Returns what stands for labels that say nothing."""
        return None

    def check_network(self, model: keras.Model, known: Any) -> None:  # noqa: B027
        """Warns of a network that makes nothing of what is known of the labels."""

    def set_in(self, model: keras.Model, known: Any) -> None:  # noqa: B027
        """Writes what is known of the labels into a model made before they were."""
