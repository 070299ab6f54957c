"""A multilayer perceptron for float features."""

from typing import Any

import keras
import keras_tuner

from keras_tricks.hypermodels import sameness
from keras_tricks.hypermodels.base import SupervisedHyperModel
from keras_tricks.hypermodels.base import checked_dictionary
from keras_tricks.hypermodels.base import checked_sizes
from keras_tricks.hypermodels.tasks.arrays import check_finite


class HyperMLP(SupervisedHyperModel):
    """Dense blocks over float features: dense, batch norm, ReLU, dropout.

    | name | range | scale | default | kind | source |
    |---|---|---|---|---|---|
    | `layers` | 1 to 3 | linear | 1 | structural | 1 |
    | `units` (of every layer) | 16 to 512, powers of two | log | 128 | structural | 1 |
    | `activation` | fixed | | `"relu"` | structural | 2 |
    | `norm` | fixed; `"batch"`, `"layer"`, `"group"`, `"none"` | | `"batch"` | structural | 3 |
    | `dropout` | 0 to 0.7, steps of 0.1 | linear | 0.5 | scalar | 1, 4 |

    and those of `hyper_optimizer`, with a default rate of 3e-3, which small tables want
    (on 1,437 digits 1e-3 ends too early), and of the loss. Weights before a
    rectifier start from He's distribution, others from Glorot's.

    Args:
        input_shape: Shape of one example; more than one axis is flattened.
        num_classes: Number of classes, or of labels; not for regressions.
        **kwargs: `task`, `num_outputs`, `batch_size`, `epochs`, `patience`, `plain` and
            the like: see `keras_tricks.hypermodels.base.SupervisedHyperModel`.

    Raises:
        TypeError: If an argument is not a number.
        ValueError: If a number is out of its range.

    Example:

    >>> import keras_tuner
    >>> from keras_tricks.hypermodels import HyperMLP
    >>> from keras_tricks.parameters import count_parameters
    >>> hypermodel = HyperMLP(input_shape=(64,), num_classes=10)
    >>> count_parameters(hypermodel.build(keras_tuner.HyperParameters()))
    9866

    Reference:
        1. What practitioners advise to start from: one layer up, widths of 16, 32 and
        128 by powers of two, dropout of 0.3, 0.5 or 0.7, and 0 sometimes wins.
        2. He et al., "Delving Deep into Rectifiers", 2015 (initialisation, too).
        3. Ioffe and Szegedy, "Batch Normalization", 2015; Wu and He, "Group
        Normalization", 2018.
        4. Srivastava et al., "Dropout", 2014.
    """  # noqa: E501

    def __init__(
        self,
        input_shape: tuple[int, ...],
        num_classes: int | None = None,
        *,
        optimizer_arguments: dict[str, Any] | None = None,
        **kwargs: Any,
    ):
        given = checked_dictionary("optimizer_arguments", optimizer_arguments)
        optimizer_arguments = {"learning_rate": 3e-3, **given}
        super().__init__(num_classes, optimizer_arguments=optimizer_arguments, **kwargs)
        self.input_shape = checked_sizes("input_shape", input_shape)

    def trunk(self, hp: keras_tuner.HyperParameters) -> tuple[Any, Any]:
        layers = hp.Int("layers", 1, 3, default=1)
        units = hp.Int("units", 16, 512, step=2, sampling="log", default=128)
        inputs = keras.Input(self.input_shape)
        x = keras.layers.Flatten()(inputs) if len(self.input_shape) > 1 else inputs
        return inputs, self.dense_blocks(hp, x, layers, units)

    def _check_inputs(self, inputs: Any, place: str) -> None:
        # Whoever brings another network may have a use for NaN.
        if sameness.is_of_package(self, "network", "trunk"):
            check_finite(inputs, place)
