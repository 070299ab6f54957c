"""Training by Keras's own `fit`: what is left where nothing can be shared."""

import keras
import numpy as np

from keras_tricks.training.packing import Data
from keras_tricks.training.packing import OnEpoch
from keras_tricks.training.packing import Outcome
from keras_tricks.training.packing import Progress


def run(
    model: keras.Model,
    data: Data,
    epochs: int,
    patience: int | None,
    on_epoch: OnEpoch | None,
) -> tuple[Outcome, list[np.ndarray]]:
    """Trains one compiled model, in the same order and with the same ends as a pack.

    Returns:
        How it went, and the best epoch's weights in the order of `set_weights`.
    """
    progress = Progress()
    weights = model.get_weights()
    for epoch in range(epochs):
        history = model.fit(
            **data.for_fit(epoch),
            initial_epoch=epoch,
            epochs=epoch + 1,
            shuffle=False,
            verbose=0,
        ).history
        logs = {name: float(values[-1]) for name, values in history.items()}
        if progress.add(epoch, logs, patience):
            weights = model.get_weights()
        if progress.active and on_epoch is not None and on_epoch(0, epoch, logs):
            progress.active = False
        if not progress.active:
            break
    return progress.outcome([], [], []), weights
