"""Convolutions over a text, each pooled to its largest value."""

from typing import Any

import keras
import keras_tuner

from keras_tricks import _validation
from keras_tricks.hypermodels.layers import ScalarDropout
from keras_tricks.hypermodels.layers import ZeroPadding
from keras_tricks.hypermodels.layers import pooled_sequence
from keras_tricks.hypermodels.text.base import TextHyperModel


class HyperTextCNN(TextHyperModel):
    """Kim's convolutional network over token ids: the first model to try on text.

    Filters of several widths slide over the embedded text, each is pooled to its
    largest value, and one dense layer classifies what they found.

    | name | range | scale | default | kind | source |
    |---|---|---|---|---|---|
    | `embedding_units` | 64, 128, 256 | choice | 128 | structural | 2 |
    | `filter_widths` | the choices of `filter_widths` | choice | the first | structural | 1 |
    | `filters` (of each width) | 32 to 256, powers of two | log | 128 | structural | 1, 3 |
    | `activation` | fixed | | `"relu"` | structural | 1 |
    | `pooling` | fixed; `"max"`, `"mean"`, `"attention"` | | `"max"` | structural | 1, 3 |
    | `dropout` | 0 to 0.7, steps of 0.1 | linear | 0.5 | scalar | 1, 2 |
    | `embedding_dropout` (of the embedded text) | fixed; 0 is none | | 0 | scalar | 2 |
    | `max_norm` (of a class's last weights) | fixed; 0 is none | | 0 | scalar | 1 |

    and those of `hyper_optimizer` and the loss. The paper has 300 units, 100
    filters of each width, and a norm of at most 3, which a later study found to matter
    little.

    Args:
        vocabulary_size: See `keras_tricks.hypermodels.text.base.TextHyperModel`.
        sequence_length: See there; at least the widest filter.
        num_classes: Number of classes, or of labels; not for regressions.
        filter_widths: The choices, each a tuple of widths.
        **kwargs: `task`, `num_outputs`, `batch_size`, `epochs`, `patience`, `plain` and
            the like: see `keras_tricks.hypermodels.base.SupervisedHyperModel`.

    Raises:
        TypeError: If an argument is not a number.
        ValueError: If a number is out of its range, or a filter wider than the text.

    Example:

    >>> import keras_tuner
    >>> from keras_tricks.hypermodels import HyperTextCNN
    >>> from keras_tricks.parameters import count_parameters
    >>> hypermodel = HyperTextCNN(10_000, sequence_length=50, num_classes=2)
    >>> count_parameters(lambda: hypermodel.build(keras_tuner.HyperParameters()))
    1477762

    Reference:
        1. Kim, "Convolutional Neural Networks for Sentence Classification", 2014.
        2. What practitioners advise to start from: embeddings of 128 or 256 units,
        dropout of 0.3, 0.5 or 0.7, and 0 sometimes wins.
        3. Zhang and Wallace, "A Sensitivity Analysis of Convolutional Neural Networks
        for Sentence Classification", 2017.
    """  # noqa: E501

    def __init__(
        self,
        vocabulary_size: int,
        sequence_length: int,
        num_classes: int | None = None,
        *,
        filter_widths: tuple[tuple[int, ...], ...] = ((3, 4, 5), (2, 3, 4), (5,)),
        **kwargs: Any,
    ):
        super().__init__(vocabulary_size, sequence_length, num_classes, **kwargs)
        is_nested = isinstance(filter_widths, tuple | list) and all(
            isinstance(choice, tuple | list) and choice for choice in filter_widths
        )
        if not is_nested or not filter_widths:
            raise ValueError(
                "`filter_widths` must be a tuple of tuples of widths, such as "
                "((3, 4, 5), (5,)). "
                f"{_validation.received('filter_widths', filter_widths)}"
            )
        self.filter_widths = tuple(
            tuple(
                _validation.check_int("filter_widths", size, minimum=1)
                for size in choice
            )
            for choice in filter_widths
        )
        widest = max(max(choice) for choice in self.filter_widths)
        if widest > self.sequence_length:
            raise ValueError(
                f"`sequence_length` must be at least {widest}, the widest filter: pad "
                "the texts further, or pass narrower `filter_widths`. "
                f"Received: sequence_length={sequence_length}"
            )

    def trunk(self, hp: keras_tuner.HyperParameters) -> tuple[Any, Any]:
        tokens = self.tokens()
        embedded = self._embedded(hp, tokens)
        choices = [" ".join(map(str, choice)) for choice in self.filter_widths]
        widths = [int(width) for width in hp.Choice("filter_widths", choices).split()]
        filters = hp.Int("filters", 32, 256, step=2, sampling="log", default=128)
        activation, initializer = self.activation(hp)
        pooling = hp.Fixed("pooling", "max")
        mask = self.mask(tokens)
        x = ZeroPadding()(embedded, mask=mask)
        found = []
        for width in widths:
            convolved = keras.layers.Conv1D(
                filters, width, padding="same", kernel_initializer=initializer
            )(x)
            convolved = keras.layers.Activation(activation)(convolved)
            found.append(pooled_sequence(convolved, pooling, mask))
        x = keras.layers.Concatenate()(found) if len(found) > 1 else found[0]
        return tokens, self.dropout(hp, x)

    def _embedded(self, hp: keras_tuner.HyperParameters, tokens: Any) -> Any:
        embedded = self.embedding(hp, tokens)
        rate = 0.0 if self.plain else hp.Fixed("embedding_dropout", 0.0)
        return ScalarDropout(rate)(embedded) if rate else embedded

    def network(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        max_norm = hp.Fixed("max_norm", 0.0)
        inputs, features = self.trunk(hp)
        return keras.Model(inputs, self.outputs(features, max_norm=max_norm))
