"""A recurrent network for sequences of float features."""

import math
from typing import Any

import keras
import keras_tuner
from keras import ops

from keras_tricks import _validation
from keras_tricks.hypermodels import sameness
from keras_tricks.hypermodels.base import SupervisedHyperModel
from keras_tricks.hypermodels.layers import pooled_sequence
from keras_tricks.hypermodels.sequences import check_sequences

CELLS = {
    "lstm": (keras.layers.LSTMCell, keras.layers.LSTM),
    "gru": (keras.layers.GRUCell, keras.layers.GRU),
    "simple": (keras.layers.SimpleRNNCell, keras.layers.SimpleRNN),
}
POOLING = ("last", "max", "mean", "attention")


class HyperRNN(SupervisedHyperModel):
    """Recurrent layers over sequences of float features: series, signals, tracks.

    Takes `(batch, sequence_length, num_features)`. With `x[t]` the features of a step,
    each layer computes

        h[t] = cell(h[t - 1], x[t])

    and is what the next layer takes, with dropout between the two. The last layer's
    last `h` goes into the dense layer that predicts.

    | name | range | scale | default | kind | source |
    |---|---|---|---|---|---|
    | `cell` | `"lstm"`, `"gru"`, `"simple"` | choice | `"lstm"` | structural | 1 |
    | `layers` | 1 to 3 | linear | 1 | structural | 2, 3 |
    | `units` (of every layer and direction) | 16 to 256, powers of two | log | 64 | structural | 2 |
    | `bidirectional` | no, yes | choice | no | structural | 4 |
    | `activation` (of the cells) | fixed | | `"tanh"` | structural | 1 |
    | `pooling` | fixed; `"last"`, `"max"`, `"mean"`, `"attention"` | | `"last"` | structural | 3 |
    | `dropout` (between layers and at the end) | 0 to 0.7, steps of 0.1 | linear | 0.2 | scalar | 3 |
    | `recurrent_dropout` (of `h[t - 1]`) | fixed; from 0 to below 1 | | 0 | structural | 5 |

    and those of `hyper_optimizer` and the loss, of which two are others here:
    `global_clipnorm` goes from 1 to 15 and starts at 5 (2), and `learning_rate` at

        1e-3 / sqrt(max(1, layers * sequence_length / 100)),

    where a `sequence_length` of None counts as 100, and `layers` is the default that the
    space has for it, or what it is fixed to: all trials of a search have one range of
    rates. That these fall with length and depth is practitioners' advice; this formula
    for it is ours.

    The sequences of a batch have one length. Shorter ones are padded with rows of
    `mask_value`, which change no output, at either end. Numbers that are not finite,
    and rows of `mask_value` between others, are refused by row.

    A forecast is a regression with `num_outputs` steps of the future as targets. See
    `examples/forecast.py` for windows, folds that leave out what would leak, and naive
    forecasts to compare with.

    Args:
        sequence_length: Steps of a sequence, padding included, >= 1; None where batches
            differ in it. XLA then compiles anew for each length.
        num_features: Numbers of a step, >= 1. They should be around 0, with a deviation
            of about 1, as larger ones saturate the cells.
        num_classes: Number of classes, or of labels; not for regressions.
        mask_value: What all features of a padded step are. NaN is possible. None is no
            padding.
        cudnn: Whether a GPU takes cuDNN's LSTM and GRU where it can. They are faster
            than loops, but XLA cannot compile them, they have no recurrent dropout and
            other activations than tanh, and take padding behind the sequence alone.
        **kwargs: `task`, `num_outputs`, `batch_size`, `epochs`, `patience`, `plain` and
            the like: see `keras_tricks.hypermodels.base.SupervisedHyperModel`.

    Raises:
        TypeError: If an argument is not a number.
        ValueError: If a number is out of its range, or a setting has no cuDNN.

    Example:

    >>> import keras_tuner
    >>> from keras_tricks.hypermodels import HyperRNN
    >>> hypermodel = HyperRNN(48, num_features=3, task="regression", num_outputs=24)
    >>> hypermodel.describe().parameters.trainable
    18968

    Reference:
        1. Hochreiter and Schmidhuber, "Long Short-Term Memory", 1997; Cho et al.,
        "Learning Phrase Representations using RNN Encoder-Decoder", 2014.
        2. What practitioners advise: one layer up, layers of 16, 32 or 128 units,
        recurrent networks clipped at 5, 10 or 15.
        3. Zaremba et al., "Recurrent Neural Network Regularization", 2014.
        4. Schuster and Paliwal, "Bidirectional Recurrent Neural Networks", 1997.
        5. Gal and Ghahramani, "A Theoretically Grounded Application of Dropout in
        Recurrent Neural Networks", 2016.
    """  # noqa: E501

    is_for_sequences = True

    def __init__(
        self,
        sequence_length: int | None,
        num_features: int,
        num_classes: int | None = None,
        *,
        mask_value: float | None = None,
        cudnn: bool = False,
        **kwargs: Any,
    ):
        super().__init__(num_classes, **kwargs)
        if sequence_length is not None:
            sequence_length = _validation.check_int(
                "sequence_length", sequence_length, minimum=1
            )
        self.sequence_length = sequence_length
        self.num_features = _validation.check_int(
            "num_features", num_features, minimum=1
        )
        self.mask_value = _checked_mask_value(mask_value)
        self.cudnn = _validation.check_flag("cudnn", cudnn)
        if self.cudnn and self.jit_compile is True:
            raise ValueError(
                "`jit_compile` must be False or 'auto' with cudnn=True: XLA cannot "
                "compile cuDNN's layers. Received: jit_compile=True"
            )

    def trunk(self, hp: keras_tuner.HyperParameters) -> tuple[Any, Any]:
        cell = hp.Choice("cell", [*CELLS])
        _validation.check_choice("cell", cell, tuple(CELLS))
        layers = hp.Int("layers", 1, 3, default=1)
        units = hp.Int("units", 16, 256, step=2, sampling="log", default=64)
        bidirectional = hp.Boolean("bidirectional")
        activation, _ = self.activation(hp, "tanh")
        pooling = hp.Fixed("pooling", "last")
        _validation.check_choice("pooling", pooling, POOLING)
        dropped = 0.0 if self.plain else hp.Fixed("recurrent_dropout", 0.0)
        _validation.check_float("recurrent_dropout", dropped, below=1)
        arguments = {"activation": activation, "recurrent_dropout": dropped}
        self._check_cudnn(arguments)
        inputs = keras.Input((self.sequence_length, self.num_features), name="sequence")
        mask = self.mask(inputs)
        # Padding may be anything, NaN for instance, which no product makes 0.
        x = inputs if mask is None else ops.where(mask[:, :, None], inputs, 0.0)
        for left in reversed(range(layers)):
            layer = self._layer(
                CELLS[cell], units, left > 0 or pooling != "last", arguments
            )
            layer = keras.layers.Bidirectional(layer) if bidirectional else layer
            x = layer(x) if mask is None else layer(x, mask=mask)
            x = self._dropout(hp, x) if left else x
        if pooling != "last":
            x = pooled_sequence(x, pooling, mask)
        return inputs, self._dropout(hp, x)

    def mask(self, inputs: Any) -> Any:
        """Returns which steps are part of their sequence; None if all are."""
        if self.mask_value is None:
            return None
        if math.isnan(self.mask_value):
            return ops.logical_not(ops.all(ops.isnan(inputs), axis=-1))
        return ops.any(ops.not_equal(inputs, self.mask_value), axis=-1)

    def _dropout(self, hp: keras_tuner.HyperParameters, x: Any) -> Any:
        return self.dropout(hp, x, default=0.2)

    def _layer(
        self,
        classes: tuple[Any, Any],
        units: int,
        return_sequences: bool,
        arguments: dict[str, Any],
    ) -> keras.layers.Layer:
        cell_class, layer_class = classes
        if self.cudnn:
            return layer_class(units, return_sequences=return_sequences, **arguments)
        cell = cell_class(units, **arguments)
        return keras.layers.RNN(cell, return_sequences=return_sequences)

    def _check_cudnn(self, arguments: dict[str, Any]) -> None:
        required = {"activation": "tanh", "recurrent_dropout": 0.0}
        if self.cudnn and arguments != required:
            [(name, value), *_] = arguments.items() - required.items()
            raise ValueError(
                f"`{name}` must be {required[name]!r} with cudnn=True. "
                f"{_validation.received(name, value)}"
            )

    def _arguments_of_optimizer(
        self, hp: keras_tuner.HyperParameters
    ) -> dict[str, Any]:
        # Not the trial's own layers: a space has one range for all of its trials.
        layers = next((each.default for each in hp.space if each.name == "layers"), 1)
        steps = 100 if self.sequence_length is None else self.sequence_length
        return {
            "learning_rate": 1e-3 / math.sqrt(max(1.0, layers * steps / 100)),
            "global_clipnorm": (1.0, 5.0, 15.0),
            **self.optimizer_arguments,
        }

    def _limits(self) -> tuple[Any, ...]:
        limits = self.sequence_length, self.num_features, self.mask_value, self.cudnn
        return (*super()._limits(), *limits)

    def _check_inputs(self, inputs: Any, place: str) -> None:
        # Whoever brings another network may want other inputs.
        if sameness.is_of_package(self, "network", "trunk"):
            check_sequences(
                inputs,
                place,
                (self.sequence_length, self.num_features),
                self.mask_value,
                only_behind=self.cudnn,
            )


def _checked_mask_value(mask_value: Any) -> float | None:
    plain = _validation.plain(mask_value)
    if plain is None or (isinstance(plain, float) and math.isnan(plain)):
        return plain
    return _validation.check_float(
        "mask_value", mask_value, minimum=-_validation.GREATEST
    )
