"""The optimizer inside wrappers."""

import types

import keras
import pytest

from keras_tricks.callbacks.innermost import innermost_optimizer
from keras_tricks.optimizers import ClippedOptimizer


def test_it_is_the_one_that_all_wrappers_are_around():
    inner = keras.optimizers.SGD(0.1)
    wrapped = keras.optimizers.LossScaleOptimizer(ClippedOptimizer(inner))
    assert innermost_optimizer(wrapped) is inner
    assert innermost_optimizer(inner) is inner


def test_several_are_refused_with_their_number():
    """Keras's MultiOptimizer, newer than the lowest version, keeps them so."""
    several = types.SimpleNamespace(
        optimizers=[keras.optimizers.SGD(0.1), keras.optimizers.Adam(0.1)]
    )
    with pytest.raises(ValueError, match=r"one learning rate.*with 2 optimizers"):
        innermost_optimizer(several)
