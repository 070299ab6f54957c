"""A multilayer perceptron for float features."""

import keras
import keras_tuner

from keras_tricks.hypermodels.base import HyperClassifier
from keras_tricks.schedules import arguments


class HyperMLP(HyperClassifier):
    """Dense blocks over float features: dense, ReLU, dropout.

    | name | range | scale | default | kind |
    |---|---|---|---|---|
    | `layers` | 1 to 3 | linear | 1 | structural |
    | `units` (of every layer) | 16 to 512, powers of two | log | 128 | structural |
    | `dropout` | 0 to 0.7, steps of 0.1 | linear | 0.5 | scalar |

    and those of `hyper_optimizer`. The starting values are the ones that
    practitioners give: one layer, 128 units, dropout of one half, and to search
    dropout on a linear and widths on a log scale. Weights before a ReLU start from
    He's distribution.

    Args:
        input_shape: Shape of one example; more than one axis is flattened.
        num_classes: Number of classes, >= 2.
        **kwargs: `batch_size`, `epochs`, `total_steps`, `name`, `tunable`: see
            `keras_tricks.hypermodels.base.HyperClassifier`.

    Raises:
        TypeError: If an argument is not a number.
        ValueError: If a number is out of its range.

    Example:

    >>> import keras_tuner
    >>> from keras_tricks.hypermodels import HyperMLP
    >>> from keras_tricks.parameters import count_parameters
    >>> hypermodel = HyperMLP(input_shape=(64,), num_classes=10)
    >>> count_parameters(hypermodel.build(keras_tuner.HyperParameters()))
    9610

    Reference:
        He et al., "Delving Deep into Rectifiers", 2015 (initialisation);
        Srivastava et al., "Dropout", 2014.
    """

    def __init__(self, input_shape: tuple[int, ...], num_classes: int, **kwargs):
        super().__init__(num_classes, **kwargs)
        self.input_shape = tuple(
            arguments.whole("input_shape", size, minimum=1) for size in input_shape
        )

    def network(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        layers = hp.Int("layers", 1, 3, default=1)
        units = hp.Int("units", 16, 512, step=2, sampling="log", default=128)
        dropout = hp.Float("dropout", 0.0, 0.7, step=0.1, default=0.5)
        inputs = keras.Input(self.input_shape)
        x = keras.layers.Flatten()(inputs) if len(self.input_shape) > 1 else inputs
        for _ in range(layers):
            x = keras.layers.Dense(units, kernel_initializer="he_normal")(x)
            x = keras.layers.Activation("relu")(x)
            x = keras.layers.Dropout(dropout)(x)
        # Logits stay float32 under mixed precision: the loss needs the range.
        logits = keras.layers.Dense(self.num_classes, dtype="float32")(x)
        return keras.Model(inputs, logits)
