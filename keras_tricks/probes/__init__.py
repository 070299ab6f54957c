"""Where to start, measured before a search: the learning rate and the batch size."""

from keras_tricks.probes.range_result import RangeRun
from keras_tricks.probes.range_result import RangeTest
from keras_tricks.probes.range_test import learning_rate_range_test

__all__ = ["RangeRun", "RangeTest", "learning_rate_range_test"]
