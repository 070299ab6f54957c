"""Optimizers: from gradients to updates of the weights."""

from keras_tricks.optimizers.adam_weight_decay import AdamWeightDecay
from keras_tricks.optimizers.bert import create_optimizer
from keras_tricks.optimizers.bert import layer_wise_multipliers
from keras_tricks.optimizers.clipped import ClippedOptimizer
from keras_tricks.optimizers.limits import PercentileLimit
from keras_tricks.optimizers.switched import SwitchedOptimizer

__all__ = [
    "AdamWeightDecay",
    "ClippedOptimizer",
    "PercentileLimit",
    "SwitchedOptimizer",
    "create_optimizer",
    "layer_wise_multipliers",
]
