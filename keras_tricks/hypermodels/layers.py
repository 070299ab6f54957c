"""Layers that the hypermodels share."""

from typing import Any
from typing import Literal
from typing import cast
from typing import get_args

import keras
from keras import ops

from keras_tricks import _validation
from keras_tricks._runtime_scalars import RuntimeScalars

PACKAGE = "keras_tricks"
Pooling = Literal["max", "mean", "attention", "first"]
POOLING = get_args(Pooling)


@keras.saving.register_keras_serializable(PACKAGE, name="ScalarDropout")
class ScalarDropout(keras.layers.Layer, RuntimeScalars):
    """Dropout whose rate is a number that the compiled step reads, not one it contains.

    With the same seed it drops what `keras.layers.Dropout` drops and keeps the same
    values, bit for bit, on TensorFlow. As the rate is a variable, trials that differ in
    it share one compiled program; it is set by `rate`, at any time, and is part of the
    configuration rather than of the saved weights.

    Args:
        rate: Share of the inputs that are set to 0 in training, 0 <= rate < 1. The
            others are multiplied by `1 / (1 - rate)`.
        seed: Seed of the draws; None draws one.
        **kwargs: See `keras.layers.Layer`.

    Raises:
        ValueError: If the rate is out of its range.

    Example:

    >>> import keras
    >>> from keras_tricks.hypermodels.layers import ScalarDropout
    >>> dropout = ScalarDropout(0.5, seed=0)
    >>> output = dropout(keras.ops.ones((1, 4)), training=True)
    >>> dropout.rate = 0.25
    >>> dropout.rate
    0.25

    Reference:
        Srivastava et al., "Dropout", 2014.
    """

    fed_by_variables = ("rate",)

    def __init__(self, rate: float, seed: int | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.seed = seed
        self.supports_masking = True
        # Its reciprocal, too: float32 would divide otherwise than Python does.
        self.rate_and_scale = self.add_weight(
            shape=(2,),
            initializer="zeros",
            trainable=False,
            autocast=False,
            dtype="float32",
            name="rate_and_scale",
        )
        self.rate = rate

    @property
    def rate(self) -> float:
        """The rate in use."""
        return self._rate

    @rate.setter
    def rate(self, rate: float) -> None:
        self._rate = _validation.check_float("rate", rate, below=1)
        for variable, value in self.fed_variables(rate=self._rate):
            variable.assign(value)

    def fed_variables(self, **values: float) -> list[tuple[Any, list[float]]]:
        """Returns the variables that hold `rate`, each with its value for it."""
        rate = values["rate"]
        return [(self.rate_and_scale, [rate, 1 / (1 - rate)])]

    def draw(self, shape: Any) -> Any:
        """Returns the next uniform draws from 0 to 1; a number below the rate drops.

        A step that trains several models at once draws outside of what is vectorised,
        and puts the draws in the place of this method.
        """
        return keras.random.uniform(
            shape, dtype=self.compute_dtype, seed=self.seed_generator
        )

    def call(self, inputs: Any, training: bool = False) -> Any:
        if not training:
            return inputs
        drawn = self.draw(ops.shape(inputs))
        numbers = ops.cast(self.rate_and_scale, self.compute_dtype)
        # A product rather than a choice, whose gradient takes twice as long.
        return inputs * (ops.cast(drawn >= numbers[0], inputs.dtype) * numbers[1])

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

    def save_own_variables(self, store: Any) -> None:
        # A checkpoint of other settings must not bring its rate along.
        pass

    def load_own_variables(self, store: Any) -> None:
        pass

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "rate": self.rate, "seed": self.seed}


@keras.saving.register_keras_serializable(PACKAGE, name="SequencePooling")
class SequencePooling(keras.layers.Layer):
    """One vector for a sequence, of which masked positions are no part.

    Takes `(batch, positions, features)` with the mask `(batch, positions)`, given or
    set on the inputs by the layers before, and returns `(batch, features)`. A sequence
    that is masked throughout gives zeros.

    Args:
        method: `"max"` over the positions; `"mean"`; `"attention"`: a mean with the
            weights `softmax(inputs @ query)`, whose query is learned; `"first"`: the
            first position, whatever the mask.
        **kwargs: See `keras.layers.Layer`.

    Raises:
        ValueError: If `method` is none of those.

    Example:

    >>> import keras
    >>> from keras_tricks.hypermodels.layers import SequencePooling
    >>> inputs = keras.ops.convert_to_tensor([[[1.0], [3.0], [9.0]]])
    >>> mask = keras.ops.convert_to_tensor([[True, True, False]])
    >>> [float(SequencePooling(m)(inputs, mask=mask)[0, 0]) for m in ("max", "mean")]
    [3.0, 2.0]

    Reference:
        Kim, "Convolutional Neural Networks for Sentence Classification", 2014 (max over
        time); Yang et al., "Hierarchical Attention Networks", 2016 (attention).
    """

    def __init__(self, method: Pooling = "max", **kwargs: Any):
        super().__init__(**kwargs)
        self.method = _validation.check_choice("method", method, POOLING)
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        if self.method == "attention":
            self.query = self.add_weight(
                shape=(input_shape[-1],), initializer="zeros", name="query"
            )

    def call(self, inputs: Any, mask: Any = None) -> Any:
        if self.method == "first":
            return inputs[:, 0]
        if mask is None:
            mask = ops.ones(ops.shape(inputs)[:2], dtype="bool")
        valid = ops.cast(mask, inputs.dtype)[:, :, None]
        if self.method == "max":
            largest = ops.max(_where_valid(inputs, mask), axis=1)
            return largest * ops.max(valid, axis=1)
        if self.method == "mean":
            return ops.sum(inputs * valid, axis=1) / ops.maximum(
                ops.sum(valid, axis=1), 1.0
            )
        scores = ops.sum(inputs * self.query, axis=-1, keepdims=True)
        weights = ops.softmax(_where_valid(scores, mask), axis=1) * valid
        return ops.sum(inputs * weights, axis=1)

    def compute_mask(self, inputs: Any, previous_mask: Any) -> None:
        return None

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (input_shape[0], input_shape[-1])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "method": self.method}


@keras.saving.register_keras_serializable(PACKAGE, name="ZeroPadding")
class ZeroPadding(keras.layers.Layer):
    """Sets masked positions to 0, so that they look like the border to a convolution.

    Takes `(batch, positions, features)` with the mask `(batch, positions)`, which goes
    no further: most convolutions cannot take one.

    Example:

    >>> import keras
    >>> from keras_tricks.hypermodels.layers import ZeroPadding
    >>> mask = keras.ops.convert_to_tensor([[True, False]])
    >>> ZeroPadding()(keras.ops.ones((1, 2, 1)), mask=mask)[0, :, 0].numpy().tolist()
    [1.0, 0.0]
    """

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        self.supports_masking = True

    def call(self, inputs: Any, mask: Any = None) -> Any:
        if mask is None:
            return inputs
        return inputs * ops.cast(mask, inputs.dtype)[:, :, None]

    def compute_mask(self, inputs: Any, previous_mask: Any) -> None:
        return None

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape


class GivenValues(keras.initializers.Initializer):
    """Fills a weight with numbers of one's own, or with one row of them throughout."""

    def __init__(self, values: Any):
        self.values = values

    def __call__(self, shape: Any, dtype: Any = None) -> Any:
        values = ops.convert_to_tensor(self.values, dtype=dtype)
        return ops.broadcast_to(values, shape)

    def get_config(self) -> dict[str, Any]:
        return {"values": self.values}


def pooled_sequence(x: Any, pooling: str, mask: Any = None) -> Any:
    """Returns `(batch, features)` of sequences by a `SequencePooling`.

    Raises:
        ValueError: If `pooling` is none of its methods.
    """
    _validation.check_choice("pooling", pooling, POOLING)
    layer = SequencePooling(cast(Pooling, pooling))
    return layer(x) if mask is None else layer(x, mask=mask)


_GLOBAL_POOLING = {
    4: {
        "mean": keras.layers.GlobalAveragePooling2D,
        "max": keras.layers.GlobalMaxPooling2D,
    },
    5: {
        "mean": keras.layers.GlobalAveragePooling3D,
        "max": keras.layers.GlobalMaxPooling3D,
    },
}


def pooled_image(x: Any, pooling: str) -> Any:
    """Returns `(batch, channels)` of images or volumes, channels last.

    Args:
        x: `(batch, height, width, channels)`, or a depth in front of the height.
        pooling: `"mean"`, `"max"`, or `"attention"`, that of `SequencePooling` over all
            positions.

    Raises:
        ValueError: If `pooling` is none of those.
    """
    layers = _GLOBAL_POOLING[len(x.shape)]
    _validation.check_choice("pooling", pooling, (*layers, "attention"))
    if pooling == "attention":
        positions = keras.layers.Reshape((-1, x.shape[-1]))(x)
        return SequencePooling("attention")(positions)
    return layers[pooling](data_format="channels_last")(x)


def _where_valid(inputs: Any, mask: Any) -> Any:
    """Returns `inputs` with a number that is less than any other where masked."""
    half = keras.backend.standardize_dtype(inputs.dtype) == "float16"
    lowest = ops.full_like(inputs, -6.5e4 if half else -3e38)
    return ops.where(mask[:, :, None], inputs, lowest)
