"""Small data, small models, and the optimizers that trials train together with."""

import keras
import numpy as np
from sklearn.datasets import load_digits

from keras_tricks.hypermodels.layers import ScalarDropout
from keras_tricks.optimizers import AdamWeightDecay
from keras_tricks.optimizers import ClippedOptimizer

# Not a multiple of the batch size, so that the last batch is partial.
NUM_TRAINING, NUM_VALIDATION, BATCH_SIZE = 200, 100, 32

OPTIMIZERS = {
    "sgd": lambda rate: keras.optimizers.SGD(rate),
    "momentum": lambda rate: keras.optimizers.SGD(rate, momentum=0.9),
    "nesterov": lambda rate: keras.optimizers.SGD(rate, momentum=0.9, nesterov=True),
    "adam": lambda rate: keras.optimizers.Adam(rate),
    "adamw": lambda rate: keras.optimizers.AdamW(rate, weight_decay=10 * rate),
    "nadam": lambda rate: keras.optimizers.Nadam(rate),
    "rmsprop": lambda rate: keras.optimizers.RMSprop(rate, momentum=0.5),
    "adagrad": lambda rate: keras.optimizers.Adagrad(rate),
    "lion": lambda rate: keras.optimizers.Lion(rate / 10),
    "adam_weight_decay": lambda rate: AdamWeightDecay(rate, weight_decay=rate),
}


def digits():
    """Returns (x, y), (x, y) of training and validation: images of digits, flat."""
    x, y = load_digits(return_X_y=True)
    x, y = (x / 16).astype("float32"), y.astype("int32")
    end = NUM_TRAINING + NUM_VALIDATION
    return (x[:NUM_TRAINING], y[:NUM_TRAINING]), (
        x[NUM_TRAINING:end],
        y[NUM_TRAINING:end],
    )


def mlp(optimizer, *, norm=False, dropout=None, units=16):
    """Returns a compiled multilayer perceptron for the digits."""
    # A bias before a batch norm has rounding errors for gradients; Adam enlarges them.
    layers = [keras.Input((64,)), keras.layers.Dense(units, use_bias=not norm)]
    if norm:
        layers.append(keras.layers.BatchNormalization())
    # Smooth, or a weight near a kink would amplify the last bit.
    layers.append(keras.layers.Activation("tanh"))
    if dropout is not None:
        layers.append(ScalarDropout(dropout))
    model = keras.Sequential([*layers, keras.layers.Dense(10)])
    model.compile(
        optimizer,
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return model


def clipped(optimizer):
    """Returns the optimizer with a limit that most updates of the digits exceed."""
    return ClippedOptimizer(optimizer, global_clipnorm=0.3)


def largest_difference(some, others) -> float:
    """Returns the largest difference of weights, relative to each array's largest."""
    return max(
        float(np.max(np.abs(a - b)) / max(np.max(np.abs(b)), 1e-30))
        for a, b in zip(some, others, strict=True)
        if a.size
    )
