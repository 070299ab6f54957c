"""One small network twice: a TF1 graph with TF1's optimizers, and a Keras model."""

import contextlib

import keras
import numpy as np
import tensorflow as tf

v1 = tf.compat.v1

BATCHES = np.random.default_rng(0).normal(size=(80, 16, 5)).astype(np.float32)


def tf1_run(
    make_optimizer,
    steps,
    *,
    save_at=None,
    prefix=None,
    clipnorm=None,
    ema=0,
    slot_scope=None,
):
    """Weights, in the order of Keras's, after each of `steps` updates.

    `make_optimizer` gets the global step, for rates that change. With `ema` the
    averages follow the weights. The optimizer's variables are made in `slot_scope`.
    """
    with tf.Graph().as_default():
        v1.set_random_seed(1)
        batch = v1.placeholder(tf.float32, (None, 5))
        values = batch[:, :4]
        weights = []
        for scope, inputs, units in (("hidden", 4, 8), ("output", 8, 1)):
            with v1.variable_scope(scope):
                kernel = v1.get_variable("kernel", (inputs, units))
                bias = v1.get_variable(
                    "bias", units, initializer=v1.random_normal_initializer(stddev=0.1)
                )
            weights += [kernel, bias]
            values = values @ kernel + bias
            values = tf.tanh(values) if scope == "hidden" else values
        loss = tf.reduce_mean((values - batch[:, 4:]) ** 2)
        global_step = v1.train.get_or_create_global_step()
        gradients = tf.gradients(loss, weights)
        if clipnorm is not None:
            gradients, _ = tf.clip_by_global_norm(gradients, clipnorm)
        with v1.variable_scope(slot_scope) if slot_scope else contextlib.nullcontext():
            update = make_optimizer(global_step).apply_gradients(
                list(zip(gradients, weights, strict=True)), global_step
            )
        fetched = list(weights)
        if ema:
            averages = tf.train.ExponentialMovingAverage(ema)
            with tf.control_dependencies([update]):
                update = averages.apply(weights)
            fetched += [averages.average(weight) for weight in weights]
        history = []
        with v1.Session() as session:
            session.run(v1.global_variables_initializer())
            for step in range(steps):
                if step == save_at:
                    v1.train.Saver().save(session, str(prefix), global_step=step)
                session.run(update, {batch: BATCHES[step]})
                history.append(session.run(fetched))
        return history


def keras_model(name="mlp"):
    """The same network, with other weights."""
    return keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(8, activation="tanh", name="hidden"),
            keras.layers.Dense(1, name="output"),
        ],
        name=name,
    )


def train(model, optimizer, steps, repeats=1):
    """Makes the updates with the numbers `steps`; weights after each."""

    # Compiled, as in `fit`; without it most of the time is Python's.
    @tf.function
    def step(batch):
        with tf.GradientTape() as tape:
            error = model(batch[:, :4]) - batch[:, 4:]
            loss = tf.reduce_mean(error**2)
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply(gradients, model.trainable_variables)

    history = []
    for number in steps:
        for _ in range(repeats):
            step(tf.constant(BATCHES[number]))
        history.append([weight.numpy() for weight in model.weights])
    return history


def state(model, optimizer):
    """Every bit of a model and its optimizer."""
    variables = [*model.variables, *optimizer.variables]
    return [(v.path, np.asarray(v.numpy()).tobytes()) for v in variables]


def built(optimizer, model):
    optimizer.build(model.trainable_variables)
    return optimizer


def distance(weights, others):
    """Euclidean distance of all weights together, in float64."""
    return np.sqrt(
        sum(
            np.sum((np.asarray(a, np.float64) - np.asarray(b, np.float64)) ** 2)
            for a, b in zip(weights, others, strict=True)
        )
    )


def save_values(values, prefix):
    """Writes a checkpoint with these values under their names, by TF1's `Saver`."""
    with tf.Graph().as_default(), v1.Session() as session:
        variables = [
            v1.Variable(value, name=name, dtype=np.asarray(value).dtype)
            for name, value in values.items()
        ]
        session.run(v1.global_variables_initializer())
        v1.train.Saver(variables).save(session, str(prefix))
    return str(prefix)
