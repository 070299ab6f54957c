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
    # One training in several calls: at the end of each, `fit` would put the averages
    # of `use_ema` in the place of the weights.
    model.optimizer.finalize_variable_values = lambda variables: None
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
        if progress.may_be_lost:
            progress.end_if_lost([np.asarray(v) for v in model.trainable_variables])
        if not progress.active:
            break
    return progress.outcome([], [], [], []), weights
