"""What `keras_tricks.data` uses of Keras's private names."""

import sys
import types

from keras.src.trainers.epoch_iterator import EpochIterator


def is_reset() -> bool:
    """Whether data are set back before a training, rather than at an epoch's end.

    Keras's `fit` and `evaluate` read a batch to build the model, and then set the
    iterator back, which ends an epoch for the data that was none. To tell one from the
    other, this looks for `EpochIterator.reset` (Keras 3.11 to 3.15) among its callers.
    """
    frame: types.FrameType | None = sys._getframe(1)
    while frame is not None:
        if frame.f_code is EpochIterator.reset.__code__:
            return True
        frame = frame.f_back
    return False
