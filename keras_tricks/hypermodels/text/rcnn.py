"""Recurrences that give each word its context, and the largest of what they find."""

from typing import Any

import keras
import keras_tuner

from keras_tricks import _validation
from keras_tricks.hypermodels.layers import pooled_sequence
from keras_tricks.hypermodels.text.base import TextHyperModel

CELLS = {
    "lstm": keras.layers.LSTMCell,
    "gru": keras.layers.GRUCell,
    "simple": keras.layers.SimpleRNNCell,
}


class HyperTextRCNN(TextHyperModel):
    """The recurrent convolutional network of Lai et al. over token ids.

    A word is seen between all that stands before it and all that stands after it. With
    `e[i]` the embedding of word `i`, and a cell for either direction:

        left[i] = cell(left[i - 1], e[i - 1])
        right[i] = cell(right[i + 1], e[i + 1])
        found[i] = tanh([left[i]; e[i]; right[i]] @ kernel + bias)

    The first word's left context and the last word's right one are 0. `found` is pooled
    to its largest values over the text, and one dense layer classifies these.

    | name | range | scale | default | kind | source |
    |---|---|---|---|---|---|
    | `embedding_units` | 64, 128, 256 | choice | 128 | structural | 2 |
    | `cell` | fixed; `"lstm"`, `"gru"`, `"simple"` | | `"lstm"` | structural | 1, 3 |
    | `context_units` (of either side) | 32 to 256, powers of two | log | 128 | structural | 1, 2 |
    | `units` | 32 to 256, powers of two | log | 128 | structural | 1, 2 |
    | `activation` (of `found`) | fixed | | `"tanh"` | structural | 1 |
    | `pooling` | fixed; `"max"`, `"mean"`, `"attention"` | | `"max"` | structural | 1 |
    | `dropout` (of the embedding and at the end) | 0 to 0.7, steps of 0.1 | linear | 0.5 | scalar | 2 |

    and those of `hyper_optimizer` and the loss. The paper has the cell `"simple"`,
    50 units of embedding and of context, 100 units, and no dropout; that a gated cell
    remembers further back is why another is the default. It learns the outermost
    contexts, which are 0 here.

    Args:
        vocabulary_size: See `keras_tricks.hypermodels.text.base.TextHyperModel`.
        sequence_length: See there.
        num_classes: Number of classes, or of labels; not for regressions.
        **kwargs: `task`, `num_outputs`, `batch_size`, `epochs`, `patience`, `plain` and
            the like: see `keras_tricks.hypermodels.base.SupervisedHyperModel`.

    Raises:
        TypeError: If an argument is not a number.
        ValueError: If a number is out of its range.

    Example:

    >>> import keras_tuner
    >>> from keras_tricks.hypermodels import HyperTextRCNN
    >>> from keras_tricks.parameters import count_parameters
    >>> hypermodel = HyperTextRCNN(10_000, sequence_length=50, num_classes=2)
    >>> count_parameters(lambda: hypermodel.build(keras_tuner.HyperParameters()))
    1592706

    Reference:
        1. Lai et al., "Recurrent Convolutional Neural Networks for Text
        Classification", 2015.
        2. What practitioners advise to start from: embeddings of 128 or 256 units,
        layers of 16, 32 or 128, dropout of 0.3, 0.5 or 0.7, and 0 sometimes wins.
        3. Hochreiter and Schmidhuber, "Long Short-Term Memory", 1997; Cho et al.,
        "Learning Phrase Representations using RNN Encoder-Decoder", 2014.
    """  # noqa: E501

    def trunk(self, hp: keras_tuner.HyperParameters) -> tuple[Any, Any]:
        tokens = self.tokens()
        # The embedding has most of the weights, and few examples of each word.
        embedded = self.dropout(hp, self.embedding(hp, tokens))
        cell = _validation.check_choice("cell", hp.Fixed("cell", "lstm"), tuple(CELLS))
        context_units = hp.Int(
            "context_units", 32, 256, step=2, sampling="log", default=128
        )
        units = hp.Int("units", 32, 256, step=2, sampling="log", default=128)
        activation, initializer = self.activation(hp, "tanh")
        pooling = hp.Fixed("pooling", "max")
        mask = self.mask(tokens)
        left, right = (
            _context(CELLS[cell](context_units), embedded, mask, backwards=backwards)
            for backwards in (False, True)
        )
        x = keras.layers.Concatenate()([left, embedded, right])
        x = keras.layers.Dense(units, kernel_initializer=initializer)(x)
        x = keras.layers.Activation(activation)(x)
        x = pooled_sequence(x, pooling, mask)
        return tokens, self.dropout(hp, x)


def _context(cell: Any, embedded: Any, mask: Any, *, backwards: bool) -> Any:
    """Returns, for each position, the cell's output for all positions before it.

    `backwards` gives that for all positions after it.
    """
    # RNN, not LSTM or GRU: cuDNN, which these would take on a GPU, neither compiles
    # with XLA nor accepts padding in front.
    outputs = keras.layers.RNN(cell, return_sequences=True, go_backwards=backwards)(
        embedded, mask=mask
    )
    # Where the mask is off, an output repeats the one before it, so that a context
    # reaches over padding.
    outputs = keras.ops.pad(outputs, ((0, 0), (1, 0), (0, 0)))[:, :-1]
    return keras.ops.flip(outputs, axis=1) if backwards else outputs
