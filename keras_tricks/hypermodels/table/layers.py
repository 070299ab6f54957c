"""The first layers of a table's network: numbers and category codes to features.

What the rows that are trained on say is in weights that no step changes, so that it is
saved, loaded and copied with the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_tricks import _validation
from keras_tricks.hypermodels.layers import PACKAGE
from keras_tricks.hypermodels.layers import GivenValues
from keras_tricks.hypermodels.table.cells import KEY_PARTS
from keras_tricks.hypermodels.table.fitted import MOST_BINS
from keras_tricks.hypermodels.table.fitted import Fitted

# A column of so many categories is one-hot; one of more is embedded.
MOST_ONE_HOT = 16


class FittedLayer(keras.layers.Layer):
    """Base class of layers with statistics of the rows that are trained on.

    It computes in float32 under every policy: numbers as they come may be too large for
    float16, and codes are not exact in it.

    Args:
        fitted: The statistics; None where they are set later, or loaded.
        **kwargs: See `keras.layers.Layer`.
    """

    def __init__(self, fitted: Fitted | None = None, **kwargs: Any):
        super().__init__(**{"dtype": "float32", **kwargs})
        # Nothing else keeps the values, so that programs do not differ in them.
        self._initializers: dict[str, Any] = {}
        if fitted is not None:
            self.set(fitted)

    def statistics(self, fitted: Fitted) -> dict[str, np.ndarray]:
        """Returns the values of the layer's statistics by name."""
        raise NotImplementedError

    def set(self, fitted: Fitted) -> None:
        """Sets the statistics, in a layer that is built already, too."""
        for name, values in self.statistics(fitted).items():
            self._initializers[name] = GivenValues(values)
            if self.built:
                getattr(self, name).assign(values)

    def add_statistic(self, name: str, *shape: int) -> None:
        weight = self.add_weight(
            shape=shape,
            initializer=self._initializers.get(name, "zeros"),
            trainable=False,
            dtype="float32",
            name=name,
        )
        setattr(self, name, weight)


class _NumberLayer(FittedLayer):
    """Base class of what is made of `(batch, numbers)` with NaN for gaps.

    Args:
        may_miss: Places of the numbers that may be missing; each of them is given an
            indicator, 1 where it is.
        fitted: See `FittedLayer`.
        **kwargs: See `keras.layers.Layer`.
    """

    def __init__(
        self, may_miss: Sequence[int] = (), fitted: Fitted | None = None, **kwargs: Any
    ):
        self.may_miss = tuple(int(place) for place in may_miss)
        super().__init__(fitted, **kwargs)

    def build(self, input_shape: Any) -> None:
        self.add_statistic("medians", input_shape[-1])

    def call(self, inputs: Any) -> Any:
        is_gap = ops.isnan(inputs)
        features = self.encode(
            # As a tensor: JAX takes no variable for one here.
            ops.where(is_gap, ops.convert_to_tensor(self.medians), inputs)
        )
        if not self.may_miss:
            return features
        indicators = ops.cast(is_gap, "float32")
        indicators = ops.take(indicators, np.array(self.may_miss, "int32"), axis=1)
        return ops.concatenate([features, indicators], axis=1)

    def encode(self, numbers: Any) -> Any:
        """Returns the features of numbers without gaps."""
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "may_miss": self.may_miss}


@keras.saving.register_keras_serializable(PACKAGE, name="StandardizedNumbers")
class StandardizedNumbers(_NumberLayer):
    """Numbers of mean 0 and deviation 1; a gap is the median, with an indicator.

    Takes `(batch, numbers)` and gives `(batch, numbers + indicators)`. A number that is
    constant in the rows that are trained on is 0.

    Example:

    >>> import keras
    >>> from keras_tricks.hypermodels.table.columns import columns_of
    >>> from keras_tricks.hypermodels.table.columns import table_of
    >>> from keras_tricks.hypermodels.table.fitted import fitted
    >>> from keras_tricks.hypermodels.table.layers import StandardizedNumbers
    >>> rows = {"age": [30.0, 50.0]}
    >>> columns = columns_of(rows, None, 100)
    >>> table = table_of(rows, columns, "`x`")
    >>> layer = StandardizedNumbers(fitted=fitted(table, columns, 2, 100))
    >>> layer(table.numbers).numpy().ravel().tolist()
    [-1.0, 1.0]
    """

    def build(self, input_shape: Any) -> None:
        super().build(input_shape)
        self.add_statistic("means", input_shape[-1])
        self.add_statistic("factors", input_shape[-1])

    def statistics(self, fitted: Fitted) -> dict[str, np.ndarray]:
        return {
            "medians": fitted.medians,
            "means": fitted.means,
            "factors": _reciprocals(fitted.deviations),
        }

    def encode(self, numbers: Any) -> Any:
        return (numbers - self.means) * self.factors

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (input_shape[0], input_shape[1] + len(self.may_miss))


@keras.saving.register_keras_serializable(PACKAGE, name="PiecewiseLinearNumbers")
class PiecewiseLinearNumbers(_NumberLayer):
    """Piecewise-linear encoding of numbers; a gap is the median, with an indicator.

    The bins of a number hold equally many of the rows that are trained on, those with
    equal edges are one. A bin from `a` to `b` gives

        min(max((x - a) / (b - a), 0), 1)

    so that a sum with weights is a line with a bend at each edge. What lies beyond all
    edges counts as the nearest; in the paper the outermost bins have no such limit.
    Takes `(batch, numbers)` and gives `(batch, numbers * bins + indicators)`; bins that
    a number does not need are 0.

    Args:
        bins: Bins of a number, a power of two from 2 to 64.
        may_miss: Places of the numbers that may be missing.
        fitted: See `FittedLayer`.
        **kwargs: See `keras.layers.Layer`.

    Raises:
        ValueError: If `bins` is no such number.

    Reference:
        Gorishniy et al., "On Embeddings for Numerical Features in Tabular Deep
        Learning", 2022, section 3.2.1: bins by quantiles.
    """

    def __init__(
        self,
        bins: int = 16,
        may_miss: Sequence[int] = (),
        fitted: Fitted | None = None,
        **kwargs: Any,
    ):
        self.bins = _validation.check_int("bins", bins, minimum=2)
        if MOST_BINS % self.bins:
            raise ValueError(
                f"`bins` must be a power of two from 2 to {MOST_BINS}. "
                f"{_validation.received('bins', bins)}"
            )
        super().__init__(may_miss, fitted, **kwargs)

    def build(self, input_shape: Any) -> None:
        super().build(input_shape)
        self.add_statistic("starts", input_shape[-1], self.bins)
        self.add_statistic("factors", input_shape[-1], self.bins)

    def statistics(self, fitted: Fitted) -> dict[str, np.ndarray]:
        starts = np.zeros((len(fitted.quantiles), self.bins), "float32")
        widths = np.zeros_like(starts)
        for row, quantiles in enumerate(fitted.quantiles):
            edges = np.unique(quantiles[:: MOST_BINS // self.bins])
            starts[row, : len(edges) - 1] = edges[:-1]
            widths[row, : len(edges) - 1] = np.diff(edges)
        return {
            "medians": fitted.medians,
            "starts": starts,
            "factors": _reciprocals(widths),
        }

    def encode(self, numbers: Any) -> Any:
        parts = (numbers[:, :, None] - self.starts) * self.factors
        parts = ops.minimum(ops.maximum(parts, 0.0), 1.0)
        return ops.reshape(parts, (-1, parts.shape[1] * self.bins))

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (input_shape[0], input_shape[1] * self.bins + len(self.may_miss))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "bins": self.bins}


@keras.saving.register_keras_serializable(PACKAGE, name="CategoryVectors")
class CategoryVectors(FittedLayer):
    """Categories as one-hot vectors where a column has few, else as learned ones.

    Takes codes `(batch, columns)`, 0 for a category that is not known, and gives
    `(batch, features)`. Such a category is a vector of zeros. The keys of the known
    categories are weights, too: `keys_of` gives them back.

    Args:
        sizes: How many categories each column may have, >= 1.
        units: Numbers of a learned vector, >= 1.
        fitted: See `FittedLayer`.
        **kwargs: See `keras.layers.Layer`.

    Example:

    >>> import numpy as np
    >>> from keras_tricks.hypermodels.table.layers import CategoryVectors
    >>> CategoryVectors(sizes=(2, 3))(np.array([[2, 0]])).numpy().tolist()
    [[0.0, 1.0, 0.0, 0.0, 0.0]]
    """

    def __init__(
        self,
        sizes: Sequence[int],
        units: int = 8,
        fitted: Fitted | None = None,
        **kwargs: Any,
    ):
        self.sizes = tuple(
            _validation.check_int("sizes", size, minimum=1) for size in sizes
        )
        self.units = _validation.check_int("units", units, minimum=1)
        self._few = [i for i, n in enumerate(self.sizes) if n <= MOST_ONE_HOT]
        self._many = [i for i, n in enumerate(self.sizes) if n > MOST_ONE_HOT]
        super().__init__(fitted, **kwargs)
        # The rows of a column begin with one for what is not known.
        self._rows = [self.sizes[column] + 1 for column in self._many]
        if self._many:
            self.vectors = keras.layers.Embedding(
                sum(self._rows),
                self.units,
                embeddings_initializer=keras.initializers.TruncatedNormal(stddev=0.1),
                dtype="float32",
                name="vectors",
            )

    def build(self, input_shape: Any) -> None:
        self.add_statistic("keys", sum(self.sizes), KEY_PARTS)
        if self._many:
            self.vectors.build((None, len(self._many)))

    def statistics(self, fitted: Fitted) -> dict[str, np.ndarray]:
        keys = np.zeros((sum(self.sizes), KEY_PARTS), "float32")
        for start, known in zip(self._starts(), fitted.keys, strict=True):
            keys[start : start + len(known)] = known
        return {"keys": keys}

    def _starts(self) -> list[int]:
        return [sum(self.sizes[:column]) for column in range(len(self.sizes))]

    def keys_of(self) -> tuple[np.ndarray, ...]:
        """Returns the keys of the known categories of each column."""
        keys = ops.convert_to_numpy(self.keys)
        columns = np.split(keys, self._starts()[1:])
        return tuple(column[column.any(axis=1)] for column in columns)

    def call(self, inputs: Any) -> Any:
        # Floats, which every device compares where they are.
        codes = ops.cast(inputs, "float32")
        features = []
        if self._few:
            columns = [c for c in self._few for _ in range(self.sizes[c])]
            values = [n + 1 for c in self._few for n in range(self.sizes[c])]
            of_each = ops.take(codes, np.array(columns, "int32"), axis=1)
            is_it = ops.equal(of_each, np.array(values, "float32"))
            features.append(ops.cast(is_it, "float32"))
        if self._many:
            chosen = ops.take(codes, np.array(self._many, "int32"), axis=1)
            starts = np.cumsum([0, *self._rows[:-1]]).astype("float32")
            is_known = ops.minimum(chosen, 1.0)[:, :, None]
            vectors = self.vectors(ops.cast(chosen + starts, "int32")) * is_known
            width = len(self._many) * self.units
            features.append(ops.reshape(vectors, (-1, width)))
        return features[0] if len(features) == 1 else ops.concatenate(features, axis=1)

    def compute_output_shape(self, input_shape: Any) -> Any:
        one_hot = sum(self.sizes[column] for column in self._few)
        return (input_shape[0], one_hot + len(self._many) * self.units)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "sizes": self.sizes, "units": self.units}


def _reciprocals(numbers: np.ndarray) -> np.ndarray:
    """Returns 1 / numbers, and 0 for 0."""
    found = np.zeros_like(numbers)
    return np.divide(1.0, numbers, out=found, where=numbers > 0)
