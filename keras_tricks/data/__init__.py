"""Parts of data, and data in which each class counts as much as the others."""

from keras_tricks.data.balance import oversample
from keras_tricks.data.batches import BalancedBatches
from keras_tricks.data.subsets import fewer_classes
from keras_tricks.data.subsets import stratified_subset

__all__ = [
    "BalancedBatches",
    "fewer_classes",
    "oversample",
    "stratified_subset",
]
