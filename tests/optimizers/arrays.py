"""Lists of arrays, compared one by one."""

import numpy as np


def assert_same_bits(arrays, expected):
    for array, other in zip(arrays, expected, strict=True):
        np.testing.assert_array_equal(array, other)


def assert_close(arrays, expected, rtol=1e-6, atol=0.0):
    for array, other in zip(arrays, expected, strict=True):
        np.testing.assert_allclose(array, other, rtol=rtol, atol=atol)
