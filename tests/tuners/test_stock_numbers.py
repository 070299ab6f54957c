"""Each number of each class of Keras's counts, where trials share programs.

The right losses are those of Keras's own steps.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_tricks import training
from tests import sampling
from tests.tuners import stock_numbers

NAMES = [name for name in stock_numbers.classes() if name not in stock_numbers.LEFT_OUT]

# One of each family; of the layers one with state, one that draws, and one in a loop.
SAMPLE = (
    "regularizers.L1L2",
    "constraints.MinMaxNorm",
    "losses.Huber",
    "metrics.Precision",
    "optimizers.RMSprop",
    "layers.BatchNormalization",
    "layers.Dropout",
    "layers.SimpleRNNCell",
)


def test_each_class_that_keras_exports_is_varied_or_left_out_for_a_reason():
    unknown = [
        name
        for name in NAMES
        if not stock_numbers.is_possible(name, stock_numbers.default_setting(name))
    ]
    assert not unknown, "see `VALUES`, `OF_CLASS` and `LEFT_OUT` of stock_numbers.py"


def fitted_logs(varied, setting):
    """Returns what Keras's steps make of a setting, in one epoch."""
    keras.utils.set_random_seed(0)
    model = varied.model(setting)
    size = stock_numbers.BATCH_SIZE
    x, y = map(tf.constant, varied.data())
    logs, step = {}, model.train_step
    if varied.name in stock_numbers.IN_GRAPH:
        step = tf.function(step, autograph=False)
    for first in range(0, len(x), size):
        logs = step((x[first : first + size], y[first : first + size]))
    return {name: [float(np.asarray(value))] for name, value in logs.items()}


@pytest.mark.parametrize(
    "name", sampling.only(SAMPLE, filter(stock_numbers.has_numbers, NAMES))
)
def test_numbers_of(name):
    """One after the other: the default ones first, then each of the others."""
    varied = stock_numbers.varied(name)
    trained = training.train(
        varied.settings,
        varied.model,
        *varied.data(),
        epochs=1,
        batch_size=stock_numbers.BATCH_SIZE,
        order_seed=None,
        packed=None,
    )
    for setting, each in zip(varied.settings, trained, strict=True):
        try:
            logs = fitted_logs(varied, setting)
        except AttributeError as error:
            pytest.skip(f"Keras {keras.__version__} itself fails: {error}")
        assert set(each.curves) == set(logs)
        for key, curve in logs.items():
            np.testing.assert_allclose(
                each.curves[key], curve, 1e-4, 1e-6, err_msg=f"{key} with {setting}"
            )
