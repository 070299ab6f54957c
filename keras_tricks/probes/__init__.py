"""Where to start, measured before a search: the learning rate and the batch size."""

from keras_tricks.probes.batch_result import BatchSize
from keras_tricks.probes.batch_result import BatchSizes
from keras_tricks.probes.batch_sizes import probe_batch_sizes
from keras_tricks.probes.range_result import RangeRun
from keras_tricks.probes.range_result import RangeTest
from keras_tricks.probes.range_test import learning_rate_range_test

__all__ = [
    "BatchSize",
    "BatchSizes",
    "RangeRun",
    "RangeTest",
    "learning_rate_range_test",
    "probe_batch_sizes",
]
