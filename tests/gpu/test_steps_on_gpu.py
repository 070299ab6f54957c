"""The audited steps run on a GPU and do there what they do on the CPU.

The oracle is TensorFlow's CPU kernels. Random numbers do not get in the way:
stateless ones, which Keras uses, are "consistent ... between CPU and GPU"
(`tf.random.stateless_uniform`).
"""

import contextlib

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests import traced_steps

NUM_STEPS = 5


@pytest.fixture(autouse=True)
def _full_float32():
    """TensorFloat-32 keeps 10 bits, too few to compare with the CPU."""
    enabled = tf.config.experimental.tensor_float_32_execution_enabled()
    tf.config.experimental.enable_tensor_float_32_execution(False)
    yield
    tf.config.experimental.enable_tensor_float_32_execution(enabled)


def trace_on(device, make_program):
    """Returns the program and its trace with every op placed on `device`."""
    # Variables go to a visible GPU by themselves. Only the step itself must be able
    # to run there, so the GPU is demanded while it is traced and not before.
    with tf.device(device) if device == "CPU:0" else contextlib.nullcontext():
        program = make_program()
    with tf.device(device):
        return program, program.trace()


def rates_on(device, make_program):
    program, traced = trace_on(device, make_program)
    rates = traced(tf.constant(program.arguments[0]))
    assert rates.device.endswith(device)
    return rates.numpy()


def training_on(device, make_program):
    """Returns how far each weight moves in a few steps, and the last mean loss."""
    program, traced = trace_on(device, make_program)
    assert program.variables
    assert all(v.value.device.endswith(device) for v in program.variables)
    before = [v.numpy() for v in program.variables]
    for _ in range(NUM_STEPS):
        logs = traced(*keras.tree.map_structure(tf.constant, program.arguments))
    moved = [v.numpy() - b for v, b in zip(program.variables, before, strict=True)]
    return np.concatenate([m.ravel() for m in moved]), float(logs["loss"])


def assert_trains_as_on_the_cpu(make_program):
    moved, loss = training_on("GPU:0", make_program)
    expected, expected_loss = training_on("CPU:0", make_program)
    assert np.linalg.norm(expected) > 0
    # Adam divides by the gradient's size, so a single weight whose gradient is
    # rounding noise may go either way; all together may not.
    assert np.linalg.norm(moved - expected) < 0.01 * np.linalg.norm(expected)
    assert loss == pytest.approx(expected_loss, rel=1e-4)


@pytest.mark.parametrize("steps", traced_steps.STEPS)
@pytest.mark.parametrize("schedule", traced_steps.SCHEDULES)
def test_a_schedule_gives_the_rates_of_the_cpu(schedule, steps):
    def make_program():
        return traced_steps.schedule_program(schedule, steps)

    rates = rates_on("GPU:0", make_program)
    # The GPU's powers and roots are rounded differently, by a few units in the last
    # place.
    np.testing.assert_allclose(rates, rates_on("CPU:0", make_program), rtol=2e-6)


@pytest.mark.parametrize("gradients", ["dense", "sparse"])
@pytest.mark.parametrize("inner_optimizer", traced_steps.INNER_OPTIMIZERS)
def test_a_clipped_training_step_moves_the_weights_as_the_cpu_does(
    inner_optimizer, gradients
):
    assert_trains_as_on_the_cpu(
        lambda: traced_steps.clipped_program(inner_optimizer, gradients)
    )


@pytest.mark.parametrize("hypermodel", traced_steps.HYPERMODELS)
def test_a_hypermodel_trains_as_on_the_cpu(hypermodel):
    assert_trains_as_on_the_cpu(lambda: traced_steps.hypermodel_program(hypermodel))


def test_an_op_without_gpu_kernel_is_refused():
    # TensorFlow has no GPU kernel of NthElement; the placer says so.
    def third_smallest(x):
        with tf.device("GPU:0"):
            return tf.raw_ops.NthElement(input=x, n=3)

    with pytest.raises(tf.errors.InvalidArgumentError, match="GPU"):
        tf.function(third_smallest, autograph=False)(tf.ones([8]))
