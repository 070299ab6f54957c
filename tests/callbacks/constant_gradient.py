"""A model whose weight shows the rate of each update.

The gradient of its one weight is 1 on every batch, so that SGD moves the weight down
by the learning rate: the differences of the weight are the rates that were used.
"""

import keras
import numpy as np

BATCH_SIZE = 2


def first_output(y_true, y_pred):
    return y_pred


def compiled_model(optimizer, **compile_arguments):
    model = keras.Sequential(
        [
            keras.Input((1,)),
            keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros"),
        ]
    )
    model.compile(
        optimizer, loss=first_output, auto_scale_loss=False, **compile_arguments
    )
    return model


def weight(model):
    return float(np.asarray(model.get_weights()[0]).item())


class WeightAfterEachBatch(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.weights = []

    def on_train_begin(self, logs=None):
        self.weights = [weight(self.model)]

    def on_train_batch_end(self, batch, logs=None):
        self.weights.append(weight(self.model))

    @property
    def rates(self):
        return -np.diff(self.weights)


def fit(model, epochs, callbacks=(), batches=4, **arguments):
    """Trains, and returns the history and the rate of each batch as the weight shows.

    The metric `"never_better"` is 1 in every epoch.
    """
    ones = np.ones((batches * BATCH_SIZE, 1), "float32")
    seen = WeightAfterEachBatch()
    history = model.fit(
        ones,
        ones,
        batch_size=BATCH_SIZE,
        epochs=epochs,
        callbacks=[NeverBetter(), *callbacks, seen],
        verbose=0,
        **arguments,
    )
    return history, seen.rates


class NeverBetter(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        logs["never_better"] = 1.0
