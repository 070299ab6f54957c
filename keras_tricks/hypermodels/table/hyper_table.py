"""A multilayer perceptron or residual network for tables, columns as they come."""

from __future__ import annotations

from typing import Any

import keras
import keras_tuner

from keras_tricks import _validation
from keras_tricks._fit_call import FitCall
from keras_tricks.hypermodels.base import SupervisedHyperModel
from keras_tricks.hypermodels.base import checked_dictionary
from keras_tricks.hypermodels.table.columns import Table
from keras_tricks.hypermodels.table.columns import columns_of
from keras_tricks.hypermodels.table.columns import table_of
from keras_tricks.hypermodels.table.equal_arrays import EqualArrays
from keras_tricks.hypermodels.table.fitted import Fitted
from keras_tricks.hypermodels.table.fitted import arrays
from keras_tricks.hypermodels.table.fitted import fitted
from keras_tricks.hypermodels.table.layers import MOST_ONE_HOT
from keras_tricks.hypermodels.table.layers import CategoryVectors
from keras_tricks.hypermodels.table.layers import FittedLayer
from keras_tricks.hypermodels.table.layers import PiecewiseLinearNumbers
from keras_tricks.hypermodels.table.layers import StandardizedNumbers
from keras_tricks.hypermodels.table.raw_table import CATEGORIES
from keras_tricks.hypermodels.table.raw_table import RawTablePredictor
from keras_tricks.hypermodels.tasks.arrays import refuse

NUMBERS = ("piecewise", "standard")
TRUNKS = ("mlp", "resnet")


class HyperTable(SupervisedHyperModel):
    """Networks over data frames: numbers, categories, booleans, dates and gaps.

    `fit` and `search` take frames as they are. What is known of a column (median, mean,
    deviation, quantiles, categories) is that of the rows that are trained on, without
    those of `validation_split`, `validation_data` and the test part of a fold; it is in
    weights of the model, and saved with them. `predictor` makes of a trained model one
    that takes frames.

    | kind | columns of | becomes |
    |---|---|---|
    | `"number"` | numbers, spans of time (in days) | `numbers`; a gap is the median, with an indicator |
    | `"category"` | texts, categoricals, mixed objects | one-hot up to 16 categories, else learned vectors |
    | `"boolean"` | True, False and gaps | one-hot |
    | `"date"` | dates, with or without a time zone | days since 1970, year, month, day, weekday, hour, each a number |

    A gap is a category of its own. One that occurs once in the rows that are trained
    on, or not at all, is unknown, a vector of zeros. A number that misses only in other
    rows than `features` has no indicator.

    | name | range | scale | default | kind | source |
    |---|---|---|---|---|---|
    | `numbers` | `"piecewise"`, `"standard"` | choice | the first | structural | 1 |
    | `bins` (only piecewise) | 8, 16, 32 | choice | 16 | structural | 1 |
    | `embedding_units` (with columns of more than 16 categories) | 4, 8, 16 | choice | 8 | structural | 2 |
    | `trunk` | `"mlp"`, `"resnet"` | choice | the first | structural | 2 |
    | `layers` (blocks of a resnet) | 1 to 4 | linear | 2 | structural | 2 |
    | `units` | 32 to 512, powers of two | log | 128 | structural | 2 |
    | `activation` | fixed | | `"relu"` | structural | 2 |
    | `norm` | fixed; `"batch"`, `"layer"`, `"none"` | | `"batch"` | structural | 2 |
    | `dropout` | 0 to 0.7, steps of 0.1 | linear | 0.2 | scalar | 2 |

    and those of `hyper_optimizer`, with a default rate of 3e-3, and of the loss.

    Args:
        features: The frame that will be trained on, of which the columns, their kinds
            and the numbers of their categories are kept: a pandas data frame, a
            dictionary of columns, or an array of two axes. Later frames may have other
            columns besides, and another order.
        num_classes: Number of classes, or of labels; not for regressions.
        kinds: Kinds of some columns by name, in the place of those that are seen, such
            as `{"postcode": "category"}`.
        max_categories: Categories of a column that are told apart, >= 2: the most
            frequent.
        **kwargs: `task`, `num_outputs`, `batch_size`, `epochs`, `patience`, `plain` and
            the like: see `keras_tricks.hypermodels.base.SupervisedHyperModel`.

    Raises:
        TypeError: If `features` is no table, or an argument of another type.
        ValueError: If a number is out of its range, a column or a kind is not known, or
            a cell is not of its column's kind, by row and column.

    Attributes:
        columns: The columns of the table.

    Example:

    >>> import keras_tuner
    >>> import numpy as np
    >>> from keras_tricks.hypermodels import HyperTable
    >>> rows = {"age": [30, 41, None, 52], "city": ["Ulm", "Bern", "Ulm", "Bern"]}
    >>> hypermodel = HyperTable(rows, num_classes=2, epochs=2)
    >>> [(column.name, column.kind) for column in hypermodel.columns]
    [('age', 'number'), ('city', 'category')]
    >>> hp = keras_tuner.HyperParameters()
    >>> model = hypermodel.build(hp)
    >>> y = np.array([0, 1, 0, 1])
    >>> history = hypermodel.fit(hp, model, rows, y, verbose=0)
    >>> predictor = hypermodel.predictor(model)
    >>> predictor.predict({"city": ["Ulm"], "age": [33]}, verbose=0).shape
    (1, 2)

    Reference:
        1. Gorishniy et al., "On Embeddings for Numerical Features in Tabular Deep
        Learning", 2022.
        2. Gorishniy et al., "Revisiting Deep Learning Models for Tabular Data", 2021
        (MLP and ResNet).
    """  # noqa: E501

    def __init__(
        self,
        features: Any,
        num_classes: int | None = None,
        *,
        kinds: dict[Any, str] | None = None,
        max_categories: int = 1000,
        optimizer_arguments: dict[str, Any] | None = None,
        **kwargs: Any,
    ):
        given = checked_dictionary("optimizer_arguments", optimizer_arguments)
        optimizer_arguments = {"learning_rate": 3e-3, **given}
        super().__init__(num_classes, optimizer_arguments=optimizer_arguments, **kwargs)
        self.max_categories = _validation.check_int(
            "max_categories", max_categories, minimum=2
        )
        self.columns = columns_of(features, kinds, self.max_categories)
        # What the rows say that the last `fit` trained on: the fields of `Fitted`. They
        # are the same arrays for the same rows, by which networks and data are known.
        self._statistics: tuple[Any, ...] | None = None
        self._equal_arrays = EqualArrays()

    def trunk(self, hp: keras_tuner.HyperParameters) -> tuple[Any, Any]:
        known = None if self._statistics is None else Fitted(*self._statistics)
        inputs: dict[str, Any] = {}
        features = []
        numbers = [scale for column in self.columns for scale in column.scales]
        if numbers:
            inputs["numbers"] = keras.Input((len(numbers),), name="numbers")
            features.append(self._numbers(hp, known)(inputs["numbers"]))
        sizes = [column.size for column in self.columns if column.size]
        if sizes:
            units = 1
            if max(sizes) > MOST_ONE_HOT:
                units = hp.Choice("embedding_units", [4, 8, 16], default=8)
            vectors = CategoryVectors(sizes, units, known, name=CATEGORIES)
            inputs["codes"] = keras.Input((len(sizes),), dtype="int32", name="codes")
            features.append(vectors(inputs["codes"]))
        x = keras.layers.Concatenate()(features) if len(features) > 1 else features[0]
        kind = hp.Choice("trunk", [*TRUNKS])
        layers = hp.Int("layers", 1, 4, default=2)
        units = hp.Int("units", 32, 512, step=2, sampling="log", default=128)
        make = self._resnet if kind == "resnet" else self._mlp
        return inputs, make(hp, x, layers, units)

    def _numbers(
        self, hp: keras_tuner.HyperParameters, known: Fitted | None
    ) -> FittedLayer:
        may_miss, place = [], 0
        for column in self.columns:
            # The parts of a date miss together.
            may_miss += [place] if column.has_gaps and column.scales else []
            place += len(column.scales)
        kind = hp.Choice("numbers", [*NUMBERS])
        with hp.conditional_scope("numbers", ["piecewise"]):
            bins = hp.Choice("bins", [8, 16, 32], default=16)
        if kind == "piecewise":
            return PiecewiseLinearNumbers(bins, may_miss, known)
        return StandardizedNumbers(may_miss, known)

    def _mlp(
        self, hp: keras_tuner.HyperParameters, x: Any, layers: int, units: int
    ) -> Any:
        activation, initializer = self.activation(hp)
        for _ in range(layers):
            x = keras.layers.Dense(units, kernel_initializer=initializer)(x)
            x = self.norm(hp, x, "batch")
            x = keras.layers.Activation(activation)(x)
            x = self.dropout(hp, x, default=0.2)
        return x

    def _resnet(
        self, hp: keras_tuner.HyperParameters, x: Any, layers: int, units: int
    ) -> Any:
        activation, initializer = self.activation(hp)
        x = keras.layers.Dense(units)(x)
        for _ in range(layers):
            inner = self.norm(hp, x, "batch")
            inner = keras.layers.Dense(
                2 * units, activation, kernel_initializer=initializer
            )(inner)
            inner = self.dropout(hp, inner, default=0.2)
            x = keras.layers.Add()([x, keras.layers.Dense(units)(inner)])
        return keras.layers.Activation(activation)(self.norm(hp, x, "batch"))

    def fit_arguments(
        self, hp: keras_tuner.HyperParameters, *args: Any, **kwargs: Any
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Encodes the frames, too; otherwise as that of `SupervisedHyperModel`.

        Raises:
            keras_tuner.errors.FatalValueError: If `x` is no table, lacks a column, or
                has a cell that is not of its column's kind, and for a label; it is a
                `ValueError`.
        """
        return super().fit_arguments(hp, *args, **kwargs)

    def _with_arrays(self, call: FitCall) -> FitCall:
        table = table_of(call["x"], self.columns, "`x`")
        num_rows = call.num_training_examples(len(table))
        found = fitted(table, self.columns, num_rows, self.max_categories)
        self._statistics = self._equal_arrays.of(tuple(found))
        call = call.replace(x=self._arrays(table, found))
        if call["validation_data"] is None:
            return call
        x, *rest = _checked_pair(call["validation_data"])
        validation = table_of(x, self.columns, "`validation_data`")
        return call.replace(validation_data=(self._arrays(validation, found), *rest))

    def _arrays(self, table: Table, found: Fitted) -> Any:
        return self._equal_arrays.of(arrays(table, found.keys))

    def _set_known(self, model: keras.Model) -> None:
        super()._set_known(model)
        if self._statistics is not None:
            for layer in model.layers:
                if isinstance(layer, FittedLayer):
                    layer.set(Fitted(*self._statistics))

    def predictor(self, model: keras.Model, labels: Any = None) -> RawTablePredictor:
        """Returns a model that takes frames as they come.

        Args:
            model: A trained model of this hypermodel.
            labels: Names of the classes or labels; see `RawTablePredictor`.
        """
        return RawTablePredictor(self.columns, model, self.task, labels)


def _checked_pair(validation: Any) -> Any:
    several = isinstance(validation, tuple | list)
    if several and len(validation) in (2, 3):
        return validation
    refuse(
        "`validation_data` must be `(x, y)` or `(x, y, weights)`, x a table.",
        "",
        f"{type(validation).__module__}.{type(validation).__qualname__}",
    )
