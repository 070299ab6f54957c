"""A table's columns and a trained model in one, for raw data frames."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_tricks import _validation
from keras_tricks.hypermodels.table.columns import Column
from keras_tricks.hypermodels.table.columns import table_of
from keras_tricks.hypermodels.table.fitted import arrays
from keras_tricks.hypermodels.tasks.answers import answers
from keras_tricks.hypermodels.tasks.answers import most_probable
from keras_tricks.hypermodels.tasks.arguments import TASKS

# Name of the layer that knows the categories.
CATEGORIES = "categories"


@keras.saving.register_keras_serializable("keras_tricks", name="RawTablePredictor")
class RawTablePredictor(keras.Model):
    """A trained model of `HyperTable` that takes data frames as they come.

    It gives the probability of each class or label, or the predicted numbers in the
    data's unit. It is made for use after training: `save` writes all of it into one
    `.keras` file, and `keras.models.load_model` brings it back where
    `keras_tricks.hypermodels` was imported, with no custom objects. How the network was
    compiled is not kept. `HyperTable.predictor` makes one.

    Args:
        columns: The columns of `HyperTable`.
        network: The trained model.
        task: `"classification"`, `"multi_label"` or `"regression"`.
        labels: Names of the classes or labels, in the order of the outputs. By default
            their numbers. None for regressions.
        **kwargs: See `keras.Model`.

    Raises:
        TypeError: If `network` is no model.
        ValueError: If the labels do not name each class once, or the network takes
            other columns.

    Example:

    >>> import keras_tuner
    >>> import numpy as np
    >>> from keras_tricks.hypermodels import HyperTable
    >>> rows = {"length": [1.0, 2.0, 8.0, 9.0]}
    >>> hypermodel = HyperTable(rows, num_classes=2, epochs=20, plain=True)
    >>> hp = keras_tuner.HyperParameters()
    >>> model = hypermodel.build(hp)
    >>> y = np.array([0, 0, 1, 1])
    >>> history = hypermodel.fit(hp, model, rows, y, verbose=0)
    >>> predictor = hypermodel.predictor(model, labels=["short", "long"])
    >>> predictor.classify({"length": [1.5, 8.5]})
    ['short', 'long']
    """

    def __init__(
        self,
        columns: Sequence[Column],
        network: keras.Model,
        task: str,
        labels: Sequence[str | int] | None = None,
        **kwargs: Any,
    ):
        if not isinstance(network, keras.Model) or not hasattr(network, "inputs"):
            raise TypeError(
                "`network` must be a trained model of `HyperTable`. "
                f"{_validation.received('network', network, True)}"
            )
        if not isinstance(columns, list | tuple) or not all(
            isinstance(each, Column) for each in columns
        ):
            raise TypeError(
                "`columns` must be the columns of a `HyperTable`. "
                f"{_validation.received('columns', columns, True)}"
            )
        super().__init__(**kwargs)
        self.task = _validation.check_choice("task", task, tuple(TASKS))
        # A list or tuple that Keras would track holds no objects of other kinds.
        self._table = _Columns(tuple(columns))
        self.network = network
        _check_inputs(self._table.columns, network)
        num_outputs = network.output_shape[-1]
        self.labels = None
        if task != "regression":
            labels = list(range(num_outputs)) if labels is None else labels
            self.labels = _checked_names(labels, num_outputs)
        elif labels is not None:
            raise ValueError(
                "`labels` must be left out for a regression. "
                f"{_validation.received('labels', labels)}"
            )
        self.built = True  # Its network is.

    def arrays(self, x: Any) -> dict[str, np.ndarray]:
        """Returns what `network` takes, for `network.evaluate` for instance.

        Args:
            x: A data frame, or whatever `HyperTable` takes as one.

        Raises:
            keras_tuner.errors.FatalValueError: If a column is missing, or a cell is not
                of its column's kind; it is a `ValueError`.
        """
        return arrays_for(self.network, self._table.columns, x)

    def call(self, inputs: Any) -> Any:
        """Returns `(batch, outputs)` for what `arrays` has made of a frame."""
        outputs = self.network(inputs, training=False)
        return answers(outputs, self.task)

    def predict(self, x: Any, **kwargs: Any) -> Any:
        """Returns probabilities, or numbers in the data's unit: `(rows, outputs)`."""
        return super().predict(self.arrays(x), **kwargs)

    def classify(self, x: Any) -> list[Any]:
        """Returns the most probable class of each row.

        With several labels a row these are the lists of those that are more probable
        than not.
        """
        if self.labels is None:
            raise ValueError("A regression has no classes: call `predict`.")
        return most_probable(self.predict(x, verbose=0), self.labels, self.task)

    def get_config(self) -> dict[str, Any]:
        network = keras.saving.serialize_keras_object(self.network)
        network.pop("compile_config", None)
        return {
            **super().get_config(),
            "columns": [dataclasses.asdict(each) for each in self._table.columns],
            "network": network,
            "task": self.task,
            "labels": self.labels,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> RawTablePredictor:
        columns = [
            Column(**{**each, "scales": tuple(map(tuple, each["scales"]))})
            for each in config["columns"]
        ]
        network = keras.saving.deserialize_keras_object(config["network"])
        return cls(**{**config, "columns": columns, "network": network})


def arrays_for(
    network: keras.Model, columns: tuple[Column, ...], x: Any
) -> dict[str, np.ndarray]:
    """Returns what a trained network takes of a frame with these columns."""
    keys: tuple[np.ndarray, ...] = ()
    if any(column.size for column in columns):
        keys = network.get_layer(CATEGORIES).keys_of()
    found = arrays(table_of(x, columns, "`x`"), keys)
    if not keys:
        return found
    names = [column.name for column in columns if column.size]
    for name, known, codes in zip(names, keys, found["codes"].T, strict=True):
        if len(known) and len(codes) > 1 and not codes.any():
            warnings.warn(
                f"No value of the column {name!r} occurred in the rows that "
                "were trained on, so that all count as unknown. A text is another "
                "value than a number: '1' is none of 1, 2, 3.",
                stacklevel=4,
            )
    return found


@dataclasses.dataclass(frozen=True)
class _Columns:
    columns: tuple[Column, ...]


def _check_inputs(columns: tuple[Column, ...], network: keras.Model) -> None:
    widths = {
        "numbers": sum(len(column.scales) for column in columns),
        "codes": sum(column.size > 0 for column in columns),
    }
    needed = {name: (None, width) for name, width in widths.items() if width}
    given = {each.name: tuple(each.shape) for each in network.inputs or []}
    if given != needed:
        raise ValueError(
            "`network` must be a model that the `HyperTable` of `columns` built, with "
            f"the inputs {needed}. Received: inputs {given}"
        )


def _checked_names(labels: Any, num_outputs: int) -> list[str | int]:
    names: list[Any] = []
    if isinstance(labels, list | tuple | range) or np.ndim(labels) == 1:
        names = [_validation.plain(label) for label in labels]
    is_right = all(isinstance(name, str | int) for name in names)
    if not is_right or len(names) != num_outputs or len({*names}) < num_outputs:
        raise ValueError(
            f"`labels` must name each of the {num_outputs} outputs once. "
            f"{_validation.received('labels', labels)}"
        )
    return names
