"""The base class of text hypermodels: ids in, padding that has no effect."""

from typing import Any

import keras
import keras_tuner
import numpy as np

from keras_tricks import _validation
from keras_tricks.hypermodels.base import SupervisedHyperModel
from keras_tricks.hypermodels.examples import batches_of
from keras_tricks.hypermodels.examples import is_dataset
from keras_tricks.hypermodels.tasks.arrays import plain


class TextHyperModel(SupervisedHyperModel):
    """Base class of hypermodels that classify sequences of token ids.

    The id 0 is padding. It is masked in everything that follows: whether a text is
    padded, and how much, changes no logit. Strings become ids in the input pipeline,
    with `keras.layers.TextVectorization` for instance, since nothing about strings
    runs on a GPU; `RawTextClassifier` joins the two when training is over.

    Args:
        vocabulary_size: Number of ids, >= 2: those that occur are 0 to
            `vocabulary_size - 1`.
        sequence_length: Ids of a text, padding included, >= 1.
        num_classes: Number of classes, or of labels; not for regressions.
        **kwargs: See `keras_tricks.hypermodels.base.SupervisedHyperModel`.
    """

    is_for_sequences = True

    def __init__(
        self,
        vocabulary_size: int,
        sequence_length: int,
        num_classes: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(num_classes, **kwargs)
        self.vocabulary_size = _validation.check_int(
            "vocabulary_size", vocabulary_size, minimum=2
        )
        self.sequence_length = _validation.check_int(
            "sequence_length", sequence_length, minimum=1
        )

    def tokens(self) -> Any:
        """Returns the model's input: `(batch, sequence_length)` ids."""
        return keras.Input((self.sequence_length,), dtype="int32", name="tokens")

    def embedding(
        self, hp: keras_tuner.HyperParameters, tokens: Any, stddev: float = 0.1
    ) -> Any:
        """Declares `embedding_units` and returns the embedded ids.

        Networks that are trained from nothing want larger starting values than the
        0.02 of BERT: Kim's are uniform, with a deviation of 0.14.
        """
        units = hp.Choice("embedding_units", [64, 128, 256], default=128)
        return keras.layers.Embedding(
            self.vocabulary_size,
            units,
            embeddings_initializer=keras.initializers.TruncatedNormal(stddev=stddev),
            name="embedding",
        )(tokens)

    def mask(self, tokens: Any) -> Any:
        """Returns which positions hold a token, to be given to layers as `mask`.

        Not left to Keras's implicit masks, which end at the first convolution.
        """
        return keras.ops.not_equal(tokens, 0)

    def fit_arguments(
        self, hp: keras_tuner.HyperParameters, *args: Any, **kwargs: Any
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Checks the ids, too; otherwise as that of `SupervisedHyperModel`.

        Raises:
            keras_tuner.errors.FatalValueError: If an id is negative or not below
                `vocabulary_size`, or for a label; it is a `ValueError`.
        """
        return super().fit_arguments(hp, *args, **kwargs)

    def _limits(self) -> tuple[Any, ...]:
        return (*super()._limits(), self.vocabulary_size)

    def _check_inputs(self, inputs: Any, place: str) -> None:
        self._check_array_of_ids(inputs)

    def check_ids(self, x: Any, batches: int | None = None) -> None:
        """Raises `ValueError` if an id in `x` is not in the vocabulary.

        Args:
            x: An array of ids, or a `tf.data.Dataset` or `PyDataset` of batches.
            batches: How many batches of a dataset to read; by default all.
        """
        if not is_dataset(x):
            self._check_array_of_ids(x)
            return
        for ids, _, _ in batches_of(x, batches):
            self._check_array_of_ids(ids)

    def _check_array_of_ids(self, x: Any) -> None:
        for ids in keras.tree.flatten(x):
            if not hasattr(ids, "shape"):
                continue  # What it is has Keras to say.
            ids = np.asarray(keras.ops.convert_to_numpy(ids))
            if not ids.size:
                continue
            is_whole = ids.dtype.kind in "iub"
            if ids.dtype.kind == "f":
                is_whole = bool((ids == np.floor(ids)).all())  # NaN is not.
            if not is_whole:
                raise keras_tuner.errors.FatalValueError(
                    "Token ids must be whole numbers. A `TextVectorization` makes them "
                    "of texts, in the input pipeline. "
                    f"Received: {plain(ids.flat[0])!r} and others, of {ids.dtype}"
                )
            least, largest = ids.min(), ids.max()
            if least < 0 or largest >= self.vocabulary_size:
                wrong = least if least < 0 else largest
                raise keras_tuner.errors.FatalValueError(
                    "Token ids must be at least 0 and below "
                    f"vocabulary_size={self.vocabulary_size}. Raise `vocabulary_size`, "
                    "or map rarer tokens to one id, as TextVectorization(max_tokens="
                    f"{self.vocabulary_size}) does. Received: the id {wrong}"
                )
