"""Training by Keras's own `fit`: what is left where nothing can be shared."""

from typing import Any

import keras
import numpy as np

from keras_tricks.training.data_order import epoch_order
from keras_tricks.training.packing import Data
from keras_tricks.training.progress import Outcome
from keras_tricks.training.progress import Progress
from keras_tricks.training.progress import Run


def run(model: keras.Model, data: Data, run: Run) -> tuple[Outcome, list[np.ndarray]]:
    """Trains one compiled model, in the same order and with the same ends as a pack.

    Returns:
        How it went, and the best epoch's weights in the order of `set_weights`.
    """
    x, y = np.asarray(data.x), np.asarray(data.y)
    progress = Progress(run)
    weights = model.get_weights()
    for epoch in range(run.epochs):
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
        if progress.add(0, epoch, logs):
            weights = model.get_weights()
        if not progress.active:
            break
    return progress.outcome([], [], []), weights


def _arrays(validation: Any) -> Any:
    return validation and tuple(np.asarray(part) for part in validation)
