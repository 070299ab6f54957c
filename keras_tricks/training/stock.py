"""Training by Keras's own `fit`: what is left where nothing can be shared."""

from typing import Any

import keras
import numpy as np

from keras_tricks.training.data_order import epoch_order
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
    x, y = np.asarray(data.x), np.asarray(data.y)
    progress = Progress()
    weights = model.get_weights()
    for epoch in range(epochs):
        order = epoch_order(data.order_seed, epoch, len(x))
        history = model.fit(
            x[order],
            y[order],
            batch_size=data.batch_size,
            initial_epoch=epoch,
            epochs=epoch + 1,
            shuffle=False,
            validation_data=_arrays(data.validation),
            validation_batch_size=data.batch_size,
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


def _arrays(validation: Any) -> Any:
    return validation and tuple(np.asarray(part) for part in validation)
