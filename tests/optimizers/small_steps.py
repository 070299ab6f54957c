"""Training by hand: given gradients for a few small weights, step by step."""

import keras
import numpy as np
import tensorflow as tf

MODES = ("eager", "graph", "xla")
# Each array more is traced in every step that is compiled.
SHAPES = ((4, 3), (3,), (3, 2))


def random_arrays(seed, size=1.0, shapes=SHAPES):
    """One float32 array of each shape, of numbers around `size`."""
    generator = np.random.default_rng(seed)
    return [
        np.asarray(size * generator.normal(size=shape), "float32") for shape in shapes
    ]


def variables_of(arrays):
    return [keras.Variable(array, dtype=array.dtype.name) for array in arrays]


def as_tensor(gradient):
    return gradient if isinstance(gradient, tf.IndexedSlices) else tf.constant(gradient)


def stepper(optimizer, variables, mode="eager"):
    """`step(*gradients)`, one update; the step is compiled unless `mode` is eager.

    `step.traces` is a list that grows with each trace, or with each eager call.
    """
    optimizer.build(variables)
    traces = []

    def step(*gradients):
        traces.append(mode)
        optimizer.apply(list(gradients), variables)

    if mode != "eager":
        step = tf.function(step, jit_compile=mode == "xla", autograph=False)

    def step_on(*gradients):
        step(*[as_tensor(gradient) for gradient in gradients])

    step_on.traces = traces
    return step_on


def weights_after(optimizer, start, gradients_by_step, mode="eager"):
    """The weights after one update with each of the lists of gradients."""
    variables = variables_of(start)
    step = stepper(optimizer, variables, mode)
    for gradients in gradients_by_step:
        step(*gradients)
    return [variable.numpy() for variable in variables]


def weights_after_each(optimizer, start, runs, mode="eager"):
    """The weights after each of several runs, which all begin anew with one trace.

    Each run is a list of the gradients of its steps, as for `weights_after`.
    """
    variables = variables_of(start)
    step = stepper(optimizer, variables, mode)
    everything = [*variables, *optimizer.variables]
    before = [np.array(variable.numpy()) for variable in everything]
    results = []
    for gradients_by_step in runs:
        for variable, value in zip(everything, before, strict=True):
            variable.assign(value)
        for gradients in gradients_by_step:
            step(*gradients)
        results.append([np.array(variable.numpy()) for variable in variables])
    return results


def applied(optimizer, gradients, weights=None, mode="eager"):
    """What one update takes from the weights (or from zeros); for SGD of rate 1."""
    if weights is None:
        weights = [np.zeros_like(gradient) for gradient in gradients]
    after = weights_after(optimizer, weights, [gradients], mode)
    return [b.astype("float64") - a for a, b in zip(after, weights, strict=True)]


def sgd():
    """The optimizer that subtracts the gradients themselves."""
    return keras.optimizers.SGD(1.0)


def with_every_state():
    """An optimizer with momenta, weight decay, a moving average that steps in."""
    return keras.optimizers.AdamW(
        keras.optimizers.schedules.ExponentialDecay(0.1, 2, 0.5),
        weight_decay=0.3,
        use_ema=True,
        ema_momentum=0.5,
        ema_overwrite_frequency=2,
    )


def state_of(optimizer):
    """A copy of all that the optimizer keeps."""
    return [np.array(variable.numpy()) for variable in optimizer.variables]
