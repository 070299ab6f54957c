"""A convolutional network for images."""

from typing import Any

import keras
import keras_tuner

from keras_tricks import _validation
from keras_tricks.hypermodels import sameness
from keras_tricks.hypermodels.base import SupervisedHyperModel
from keras_tricks.hypermodels.base import checked_sizes
from keras_tricks.hypermodels.layers import pooled_image
from keras_tricks.hypermodels.tasks.arrays import check_finite

MAX_BLOCKS = 4


class HyperCNN(SupervisedHyperModel):
    """Convolution blocks over images: convolution, batch norm, ReLU, and half the size.

    Each block has twice the filters of the one before and, max-pooled between them,
    half its height and width. What the last one finds is pooled over the image.

    | name | range | scale | default | kind | source |
    |---|---|---|---|---|---|
    | `blocks` | 1 to 4, or as often as the image can be halved | linear | 3 | structural | 1 |
    | `convolutions` (of every block) | 1, 2 | linear | 1 | structural | 1 |
    | `filters` (of the first block) | 16 to 64, powers of two | log | 32 | structural | 1, 2 |
    | `kernel_size` | 3, 5 | choice | 3 | structural | 1 |
    | `activation` | fixed | | `"relu"` | structural | 3 |
    | `norm` | fixed; `"batch"`, `"layer"`, `"group"`, `"instance"`, `"none"` | | `"batch"` | structural | 4, 7 |
    | `pooling` | fixed; `"mean"`, `"max"`, `"attention"` | | `"mean"` | structural | 5 |
    | `dropout` (before the last layer) | 0 to 0.7, steps of 0.1 | linear | 0.5 | scalar | 2, 6 |

    and those of `hyper_optimizer` and the loss. Weights before a rectifier start
    from He's distribution, others from Glorot's.

    Args:
        input_shape: `(height, width, channels)` of an image, channels last whatever
            `keras.config.image_data_format()` says.
        num_classes: Number of classes, or of labels; not for regressions.
        **kwargs: `task`, `num_outputs`, `batch_size`, `epochs`, `patience`, `plain` and
            the like: see `keras_tricks.hypermodels.base.SupervisedHyperModel`.

    Raises:
        TypeError: If an argument is not a number.
        ValueError: If a number is out of its range, or the shape has not three axes.

    Example:

    >>> import keras_tuner
    >>> from keras_tricks.hypermodels import HyperCNN
    >>> from keras_tricks.parameters import count_parameters
    >>> hypermodel = HyperCNN(input_shape=(28, 28, 1), num_classes=10)
    >>> count_parameters(lambda: hypermodel.build(keras_tuner.HyperParameters()))
    94410

    Reference:
        1. Simonyan and Zisserman, "Very Deep Convolutional Networks", 2015 (filters of
        3 x 3, doubled where the image is halved).
        2. What practitioners advise to start from: widths of 16, 32 and 128 by powers
        of two, dropout of 0.3, 0.5 or 0.7, and 0 sometimes wins.
        3. He et al., "Delving Deep into Rectifiers", 2015 (initialisation, too).
        4. Ioffe and Szegedy, "Batch Normalization", 2015.
        5. Lin et al., "Network In Network", 2014 (the mean over the image).
        6. Srivastava et al., "Dropout", 2014.
        7. Wu and He, "Group Normalization", 2018 (32 groups, or as many as divide the
        channels); Ulyanov et al., "Instance Normalization", 2016.
    """  # noqa: E501

    def __init__(
        self,
        input_shape: tuple[int, int, int],
        num_classes: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(num_classes, **kwargs)
        self.input_shape = checked_sizes("input_shape", input_shape)
        if len(self.input_shape) != 3:
            raise ValueError(
                "`input_shape` must be (height, width, channels); gray images get a "
                "last axis of 1 by `images[..., None]`. "
                f"{_validation.received('input_shape', input_shape)}"
            )

    def trunk(self, hp: keras_tuner.HyperParameters) -> tuple[Any, Any]:
        height, width, _ = self.input_shape
        halvings = min(height, width).bit_length() - 1
        most = min(MAX_BLOCKS, 1 + halvings)
        blocks = hp.Int("blocks", 1, most, default=min(3, most))
        if blocks > 1 + halvings:  # Somebody fixed it.
            raise ValueError(
                f"`blocks` must be at most {1 + halvings}, since the image can be "
                f"halved {halvings} times. Received: blocks={blocks}"
            )
        convolutions = hp.Int("convolutions", 1, 2, default=1)
        filters = hp.Int("filters", 16, 64, step=2, sampling="log", default=32)
        kernel_size = hp.Choice("kernel_size", [3, 5], default=3)
        pooling = hp.Fixed("pooling", "mean")
        x = inputs = keras.Input(self.input_shape)
        for block in range(blocks):
            if block:
                x = keras.layers.MaxPooling2D(data_format="channels_last")(x)
            for _ in range(convolutions):
                x = self._convolution(hp, x, filters * 2**block, kernel_size)
        return inputs, self.dropout(hp, pooled_image(x, pooling))

    def _check_inputs(self, inputs: Any, place: str) -> None:
        # Whoever brings another network may have a use for NaN.
        if sameness.is_of_package(self, "network", "trunk"):
            check_finite(inputs, place)

    def _convolution(
        self, hp: keras_tuner.HyperParameters, x: Any, filters: int, kernel_size: int
    ) -> Any:
        activation, initializer = self.activation(hp)
        x = keras.layers.Conv2D(
            filters,
            kernel_size,
            padding="same",
            kernel_initializer=initializer,
            data_format="channels_last",
        )(x)
        return keras.layers.Activation(activation)(self.norm(hp, x, "batch"))
