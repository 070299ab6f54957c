"""Training by Keras's own `fit`: what is left where nothing can be shared."""

import keras
import numpy as np

from keras_tricks.training.compiled.data import Data
from keras_tricks.training.packs.progress import Progress
from keras_tricks.training.packs.progress import RunConfig
from keras_tricks.training.packs.progress import TrainingResult


def run(
    model: keras.Model, data: Data, run: RunConfig
) -> tuple[TrainingResult, list[np.ndarray]]:
    """Trains one compiled model, in the same order and with the same ends as a pack.

    Returns:
        How it went, and the best epoch's weights in the order of `set_weights`.
    """
    progress = Progress(run)
    weights = model.get_weights()
    for epoch in range(run.epochs):
        history = model.fit(
            **data.for_fit(epoch),
            initial_epoch=epoch,
            epochs=epoch + 1,
            shuffle=False,
            verbose=0,
        ).history
        logs = {name: float(values[-1]) for name, values in history.items()}
        if progress.add(0, epoch, logs):
            weights = model.get_weights()
        if not progress.active:
            break
    return progress.outcome([], [], [], []), weights
