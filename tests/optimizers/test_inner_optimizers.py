"""Every optimizer that Keras exports, inside ClippedOptimizer."""

import keras
import numpy as np
import pytest

from keras_tricks.optimizers import ClippedOptimizer
from tests import sampling
from tests.optimizers import numpy_reference
from tests.optimizers.arrays import assert_close
from tests.optimizers.arrays import assert_same_bits
from tests.optimizers.small_steps import random_arrays
from tests.optimizers.small_steps import weights_after

BASE = keras.optimizers.Optimizer

# Abstract; refused, since it must be outside; needs a map from variables to optimizers.
NOT_ALONE = {"Optimizer", "LossScaleOptimizer", "MultiOptimizer"}

EXPORTED = {
    name: member
    for name, member in vars(keras.optimizers).items()
    if isinstance(member, type) and issubclass(member, BASE) and name not in NOT_ALONE
}

START = random_arrays(0)
# Two large and two small, so that a limit of 2 clips some.
GRADIENTS = [random_arrays(1 + i, size) for i, size in enumerate([1, 0.1, 2, 0.05])]


def build_group():
    optimizers = [keras.optimizers.Adam(0.1), keras.optimizers.SGD(0.1, momentum=0.9)]
    of_rank = {2: optimizers[0], 1: optimizers[1]}
    return keras.optimizers.MultiOptimizer(lambda v: of_rank[len(v.shape)])


BUILDERS = {name: lambda cls=cls: cls(0.1) for name, cls in EXPORTED.items()}
if hasattr(keras.optimizers, "MultiOptimizer"):  # Keras 3.13 and later.
    BUILDERS["MultiOptimizer"] = build_group

# What an optimizer does in a graph is its own business: a few show it of the wrapper.
IN_A_GRAPH = sorted({"Adam", "Lamb", "SGD", "MultiOptimizer"} & set(BUILDERS))
CASES = [(name, mode) for mode in ("eager", "graph") for name in sorted(BUILDERS)]
in_both_modes = pytest.mark.parametrize(
    ("name", "mode"),
    sampling.only(
        [case for case in CASES if case[1] == "eager" or case[0] in IN_A_GRAPH], CASES
    ),
)


def alone(name, gradients_by_step, mode):
    """The weights that the optimizer gives without a wrapper."""
    try:
        return weights_after(BUILDERS[name](), START, gradients_by_step, mode)
    except AttributeError as error:
        # Muon of Keras 3.11 asks TensorFlow's variables for their path.
        if name == "Muon" and "path" in str(error):
            pytest.skip(f"Muon of Keras {keras.__version__} fails alone, too: {error}")
        raise


def test_the_exported_optimizers_were_found():
    assert {"SGD", "Adam", "AdamW", "Lion", "Muon", "Lamb", "Adafactor"} < set(BUILDERS)


@in_both_modes
def test_a_limit_that_is_not_reached_changes_no_bit(name, mode):
    """1024 is a power of two, so that TF1's factor `limit * (1 / limit)` is 1."""
    build = BUILDERS[name]
    expected = alone(name, GRADIENTS, mode)
    for limit in ({"global_clipnorm": 1024.0}, {}):
        clipped = ClippedOptimizer(build(), **limit)
        assert_same_bits(weights_after(clipped, START, GRADIENTS, mode), expected)


@in_both_modes
def test_a_limit_feeds_it_with_what_numpy_clips(name, mode):
    build = BUILDERS[name]
    norms = [numpy_reference.global_norm(g) for g in GRADIENTS]
    assert min(norms) < 2 < max(norms)
    fed = [
        [g.astype("float32") for g in numpy_reference.clipped("global_clipnorm", g, 2)]
        for g in GRADIENTS
    ]
    expected = alone(name, fed, mode)
    clipped = ClippedOptimizer(build(), global_clipnorm=2.0)
    weights = weights_after(clipped, START, GRADIENTS, mode)
    assert any(np.any(a != b) for a, b in zip(weights, START, strict=True))
    assert_close(weights, expected, rtol=1e-5, atol=1e-5)
