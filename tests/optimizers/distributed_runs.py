"""What test_distribution.py trains, on one device and on several; a script.

    python distributed_runs.py mirrored 2 FOLDER    # and on one device, the reference
    python distributed_runs.py mirrored 4 FOLDER
    python distributed_runs.py worker 0 FOLDER      # one process for each worker
    python distributed_runs.py worker_with_more 0 FOLDER

Each writes what came out to .npz files in FOLDER, under names such as "loop/weights". A
process can hold one MirroredStrategy only; so every strategy is a process of its own,
and all of its cases share the seconds that TensorFlow takes to start.
"""

import functools
import operator
import sys
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from keras_tricks.optimizers import ClippedOptimizer
from keras_tricks.optimizers import SwitchedOptimizer

ROWS, FEATURES, UPDATES, MICRO_BATCHES = 8, 5, 50, 4
BAD_BATCH = 3
TARGETS = np.array([6.0, 8.0], "float32")

Optimizer = keras.optimizers.Optimizer
Data = tuple[np.ndarray, np.ndarray]


def clipped_adam(**arguments) -> Optimizer:
    return ClippedOptimizer(
        keras.optimizers.Adam(1e-2), global_clipnorm=1.0, **arguments
    )


def accumulating(**arguments) -> Optimizer:
    return clipped_adam(gradient_accumulation_steps=MICRO_BATCHES, **arguments)


def accumulating_and_skipping() -> Optimizer:
    return accumulating(nonfinite="skip")


def with_dedup_norm() -> Optimizer:
    return clipped_adam(sparse_norm="dedup")


def adam_that_clips() -> Optimizer:
    return keras.optimizers.Adam(1e-2, global_clipnorm=1.0)


def skipping() -> Optimizer:
    """Skips, around an optimizer with every kind of state."""
    inner = keras.optimizers.AdamW(
        1e-2, weight_decay=0.1, use_ema=True, ema_momentum=0.9
    )
    return ClippedOptimizer(inner, global_clipnorm=1.0, nonfinite="skip")


def scaling_and_skipping() -> Optimizer:
    return keras.optimizers.LossScaleOptimizer(skipping(), initial_scale=8.0)


def rows(batches: int) -> Data:
    """Inputs and targets of `batches` global batches, whose parts differ in size.

    The last quarter of each batch, which only the last replica sees, has the largest
    gradients by far.
    """
    generator = np.random.default_rng(0)
    x = generator.normal(size=(batches, ROWS, FEATURES))
    y = np.sin(x.sum(axis=-1, keepdims=True))
    y[:, -ROWS // 4 :] *= 30
    return x.reshape(-1, FEATURES).astype("float32"), y.reshape(-1, 1).astype("float32")


def with_nan(data: Data, row: int) -> Data:
    """The same, with a NaN in one row of the bad batch."""
    x, y = data
    y = y.copy()
    y[BAD_BATCH * ROWS + row] = np.nan
    return x, y


def without_batches(data: Data, batches: slice) -> Data:
    return tuple(
        np.delete(array.reshape(-1, ROWS, array.shape[-1]), batches, axis=0).reshape(
            -1, array.shape[-1]
        )
        for array in data
    )


class Network(keras.Sequential):
    """Two layers of one weight each, which `fit` can train on several workers.

    There Keras's own model fails with every optimizer, before the first step and after
    it (keras-team/keras issue 20585): `fit` averages a batch over the workers to learn
    its shape, and averages scalar logs over their first axis.
    """

    def __init__(self):
        super().__init__(
            [
                keras.Input((FEATURES,)),
                keras.layers.Dense(4, activation="tanh", use_bias=False),
                keras.layers.Dense(1, use_bias=False),
            ]
        )

    @property
    def on_workers(self) -> bool:
        return isinstance(
            self.distribute_strategy, tf.distribute.MultiWorkerMirroredStrategy
        )

    def _maybe_symbolic_build(self, *args, **kwargs):
        if not self.on_workers:
            super()._maybe_symbolic_build(*args, **kwargs)

    def train_step(self, data):
        logs = super().train_step(data)
        if self.on_workers:
            logs = {name: keras.ops.reshape(log, (1,)) for name, log in logs.items()}
        return logs


class Line(Network):
    """Two weights, whose gradient at 0 is -TARGETS for the rows of `line_rows`."""

    def __init__(self):
        keras.Sequential.__init__(
            self,
            [
                keras.Input((2,)),
                keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros"),
            ],
        )


def line_rows() -> Data:
    """Half of the rows concern one weight, the other half the other.

    The mean square error of 8 rows, half of which are `(1, 0) -> 6` and half
    `(0, 1) -> 8`, is `((6 - w0)**2 + (8 - w1)**2) / 2`.
    """
    x = np.repeat(np.eye(2, dtype="float32"), ROWS // 2, axis=0)
    return x, np.repeat(TARGETS, ROWS // 2)[:, None]


class Words(Network):
    """An embedding, so that the first gradient is sparse."""

    def __init__(self):
        keras.Sequential.__init__(
            self,
            [
                keras.Input((FEATURES,), dtype="int32"),
                keras.layers.Embedding(7, 3),
                keras.layers.GlobalAveragePooling1D(),
                keras.layers.Dense(1, use_bias=False),
            ],
        )


def word_rows(batches: int) -> Data:
    words = np.random.default_rng(2).integers(0, 7, size=(batches * ROWS, FEATURES))
    return words.astype("int32"), rows(batches)[1]


def compiled(strategy, make_optimizer: Callable[[], Optimizer], make_model=Network):
    """The same weights each time, all made in the scope of the strategy."""
    keras.utils.set_random_seed(1)
    with strategy.scope():
        model = make_model()
        model.compile(make_optimizer(), "mse")
    return model


def weights_of(model) -> np.ndarray:
    return np.concatenate([np.ravel(weights) for weights in model.get_weights()])


@functools.cache
def compiled_once(strategy, make_optimizer, make_model, how: str):
    return compiled(strategy, make_optimizer, make_model)


def compiled_or_as_new(strategy, make_optimizer, make_model, how: str):
    """A compiled model, or one that was trained before with the values of a new one.

    Its step is traced already. To say so, the optimizer is given by a public function.
    """
    if make_optimizer.__name__ == "<lambda>":
        return compiled(strategy, make_optimizer, make_model)
    model = compiled_once(strategy, make_optimizer, make_model, how)
    if model.optimizer.built:
        new = compiled(strategy, make_optimizer, make_model)
        with strategy.scope():
            new.optimizer.build(new.trainable_variables)
        for part in ("variables", "optimizer.variables"):
            for variable, value in zip(
                operator.attrgetter(part)(model),
                operator.attrgetter(part)(new),
                strict=True,
            ):
                variable.assign(value.numpy())
    return model


def fitted(
    strategy, make_optimizer, data: Data, *, batch_rows=ROWS, make_model=Network
):
    """A model trained by `fit`."""
    model = compiled_or_as_new(strategy, make_optimizer, make_model, "fit")
    model.fit(*data, batch_size=batch_rows, shuffle=False, verbose=0)
    return model


def dealt_out(strategy, array: np.ndarray):
    """The rows of one global batch, an equal part for each replica, in order."""

    def part(context):
        parts = np.split(array, context.num_replicas_in_sync)
        return tf.constant(parts[context.replica_id_in_sync_group])

    return strategy.experimental_distribute_values_from_function(part)


def custom_step(strategy, *models):
    """A function that makes one compiled step of each model on a global batch."""
    with strategy.scope():
        for model in models:
            model.optimizer.build(model.trainable_variables)

    def step_of(model, x, y):
        optimizer = model.optimizer
        with tf.GradientTape() as tape:
            errors = keras.ops.square(model(x, training=True) - y)
            loss = optimizer.scale_loss(keras.ops.sum(errors) / ROWS)
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(
            zip(gradients, model.trainable_variables, strict=True)
        )

    def replica_step(x, y):
        for model in models:
            step_of(model, x, y)

    @tf.function
    def step(x, y):
        strategy.run(replica_step, args=(x, y))

    return lambda x, y: step(dealt_out(strategy, x), dealt_out(strategy, y))


@functools.cache
def step_of_once(strategy, model):
    return custom_step(strategy, model)


def looped(strategy, make_optimizer, data: Data, **arguments):
    """A model trained by a custom loop."""
    make_model = arguments.get("make_model", Network)
    model = compiled_or_as_new(strategy, make_optimizer, make_model, "loop")
    step = step_of_once(strategy, model)
    for x, y in batches_of(data):
        step(x, y)
    return model


def batches_of(data: Data):
    return zip(*(np.split(array, len(array) // ROWS) for array in data), strict=True)


# The cases: each takes a strategy and returns named arrays.


def fit(strategy) -> dict:
    data = rows(UPDATES)
    return {
        "weights": weights_of(fitted(strategy, clipped_adam, data)),
        "built_in": weights_of(fitted(strategy, adam_that_clips, data)),
    }


def loop(strategy) -> dict:
    data = rows(UPDATES)
    return {
        "weights": weights_of(looped(strategy, clipped_adam, data)),
        "built_in": weights_of(looped(strategy, adam_that_clips, data)),
    }


def switched(strategy) -> dict:
    """A switch at a step, inside a wrapper that sums over replicas and alone."""

    def alone() -> Optimizer:
        return SwitchedOptimizer(
            keras.optimizers.Adam(1e-2),
            keras.optimizers.SGD(9.0, momentum=0.9),
            at=UPDATES // 2,
            find_rate=True,
        )

    data = rows(UPDATES)
    models = {
        "fit": fitted(strategy, alone, data),
        "loop": looped(strategy, alone, data),
        "clipped": fitted(
            strategy, lambda: ClippedOptimizer(alone(), global_clipnorm=1.0), data
        ),
    }
    optimizer = models["fit"].optimizer
    return {
        **{name: weights_of(model) for name, model in models.items()},
        "rate": optimizer.second.learning_rate.numpy(),
        "steps": [o.iterations.numpy() for o in (optimizer, *optimizer.phases)],
    }


def one_update(strategy) -> dict:
    """Where one step of SGD at a rate of 1 takes the line's weights from 0."""
    optimizers = {}
    for limit in (1.0, 9.0):
        optimizers[f"clipped_{limit}"] = lambda limit=limit: ClippedOptimizer(
            keras.optimizers.SGD(1.0), global_clipnorm=limit
        )
        optimizers[f"built_in_{limit}"] = lambda limit=limit: keras.optimizers.SGD(
            1.0, global_clipnorm=limit
        )
    models = {name: compiled(strategy, make, Line) for name, make in optimizers.items()}
    custom_step(strategy, *models.values())(*line_rows())
    return {name: weights_of(model) for name, model in models.items()}


def changed_limit(strategy) -> dict:
    """The line's weights after updates with limits of 1, 0.25 and 1000."""

    def path(update, optimizer):
        places = []
        for limit in (1.0, 0.25, 1000.0):
            optimizer.global_clipnorm = limit
            update()
            places.append(weights_of(model))
        return places

    def sgd():
        return ClippedOptimizer(keras.optimizers.SGD(1.0), global_clipnorm=7.0)

    x, y = line_rows()
    model = compiled(strategy, sgd, Line)
    by_fit = path(
        lambda: model.fit(x, y, batch_size=ROWS, shuffle=False, verbose=0),
        model.optimizer,
    )
    model = compiled(strategy, sgd, Line)
    step = custom_step(strategy, model)
    by_loop = path(lambda: step(x, y), model.optimizer)
    return {"fit": by_fit, "loop": by_loop}


def accumulation(strategy) -> dict:
    data, words = rows(12 * MICRO_BATCHES), word_rows(12 * MICRO_BATCHES)
    model = fitted(strategy, accumulating_and_skipping, data)
    without_nan = {
        "fit": weights_of(model),
        "updates": [
            int(model.optimizer.iterations.numpy()),
            model.optimizer.num_updates,
        ],
    }
    skipped = fitted(strategy, accumulating_and_skipping, with_nan(data, ROWS - 1))
    return {
        **without_nan,
        "loop": weights_of(looped(strategy, accumulating, data)),
        "sparse": weights_of(fitted(strategy, accumulating, words, make_model=Words)),
        "one_bad": weights_of(skipped),
        "one_bad_skipped": skipped.optimizer.num_skipped,
    }


def everything(strategy, model) -> np.ndarray:
    """All that a skipped update must leave alone: one row for each local replica."""
    variables = [*model.variables, *model.optimizer.inner_optimizer.variables]
    parts = [strategy.experimental_local_results(v.value) for v in variables]
    return np.array(
        [
            np.concatenate(
                [np.ravel(part.numpy()).astype("float64") for part in replica]
            )
            for replica in zip(*parts, strict=True)
        ]
    )


def skip(strategy) -> dict:
    """Training in which one row of one batch, the last replica's, holds a NaN."""
    data = with_nan(rows(6), ROWS - 1)
    model = compiled_or_as_new(strategy, skipping, Network, "loop")
    step = step_of_once(strategy, model)
    states = [everything(strategy, model)]
    for x, y in batches_of(data):
        step(x, y)
        states.append(everything(strategy, model))
    optimizer = model.optimizer
    by_fit = fitted(strategy, skipping, data)
    return {
        "states": states,
        "loop": weights_of(model),
        "fit": weights_of(by_fit),
        "counts": [optimizer.num_updates, optimizer.num_skipped],
        "fit_counts": [by_fit.optimizer.num_updates, by_fit.optimizer.num_skipped],
    }


def loss_scale(strategy) -> dict:
    """The same within a LossScaleOptimizer, the NaN on the last or first replica."""
    results = {}
    for name, row in (("last", ROWS - 1), ("first", 0)):
        data = with_nan(rows(6), row)
        for how, train in (("fit", fitted), ("loop", looped)):
            model = train(strategy, scaling_and_skipping, data)
            scaler, clipped = model.optimizer, model.optimizer.inner_optimizer
            results[f"{name}_{how}"] = weights_of(model)
            results[f"{name}_{how}_counts"] = [
                clipped.num_updates,
                clipped.num_skipped,
                int(clipped.iterations.numpy()),
                float(scaler.dynamic_scale.numpy()),
            ]
    return results


class RecordingSGD(keras.optimizers.SGD):
    """Remembers which kinds of gradients it was given."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.kinds = set()

    def update_step(self, gradient, variable, learning_rate):
        self.kinds.add(type(gradient).__name__)
        super().update_step(gradient, variable, learning_rate)


def sparse(strategy) -> dict:
    """An embedding's training, and one update of rows 3 and 4 that meet in index 2."""

    kinds = []

    def applied(sparse_norm):
        with strategy.scope():
            table = keras.Variable(np.zeros((5, 1), "float32"))
            optimizer = ClippedOptimizer(
                RecordingSGD(1.0), global_clipnorm=1.0, sparse_norm=sparse_norm
            )
            optimizer.build([table])

        def update(rows):
            indices = tf.fill([tf.shape(rows)[0]], 2)
            gradient = tf.IndexedSlices(rows, indices, tf.constant([5, 1]))
            optimizer.apply([gradient], [table])

        gradients = dealt_out(strategy, np.array([[3], [4]], "float32"))
        tf.function(lambda g: strategy.run(update, args=(g,)))(gradients)
        kinds.extend(optimizer.inner_optimizer.kinds)
        return table.numpy()[:, 0]

    data = word_rows(UPDATES)
    return {
        "fit": weights_of(fitted(strategy, clipped_adam, data, make_model=Words)),
        "loop_dedup": weights_of(
            looped(strategy, with_dedup_norm, data, make_model=Words)
        ),
        "loop": weights_of(looped(strategy, clipped_adam, data, make_model=Words)),
        "applied_raw": applied("raw"),
        "applied_dedup": applied("dedup"),
        "kinds": kinds,
    }


def references(strategy) -> dict:
    """What several of the cases are to equal; on one device."""
    first = rows(6)
    good = without_batches(first, slice(BAD_BATCH, BAD_BATCH + 1))
    large = MICRO_BATCHES * ROWS
    data, words = rows(12 * MICRO_BATCHES), word_rows(12 * MICRO_BATCHES)
    bad = slice(0, MICRO_BATCHES)
    return {
        "fit_without_bad_batch": weights_of(fitted(strategy, skipping, good)),
        "loop_without_bad_batch": weights_of(looped(strategy, skipping, good)),
        "large_batches": weights_of(
            fitted(strategy, clipped_adam, data, batch_rows=large)
        ),
        # What accumulates is dense, and so has the norm of what is applied.
        "large_sparse_batches": weights_of(
            fitted(strategy, with_dedup_norm, words, batch_rows=large, make_model=Words)
        ),
        "large_batches_without_bad": weights_of(
            fitted(strategy, clipped_adam, without_batches(data, bad), batch_rows=large)
        ),
    }


def scopes(strategy) -> dict:
    """How `fit` ends when only some of the parts are made in the scope."""

    def end(*within) -> str:
        def scope(name):
            here = strategy if name in within else tf.distribute.get_strategy()
            return here.scope()

        with scope("inner"):
            inner = keras.optimizers.Adam(1e-2)
        with scope("clipped"):
            optimizer = ClippedOptimizer(inner, global_clipnorm=1.0)
        with scope("model"):
            model = Network()
        model.compile(optimizer, "mse")
        try:
            model.fit(*rows(1), batch_size=ROWS, verbose=0)
        except ValueError as fault:
            return str(fault)
        return f"{optimizer.num_updates} update"

    return {
        "nothing": end(),
        "inner": end("clipped", "model"),
        "clipped": end("inner", "model"),
        "optimizers": end("model"),
        "model": end("inner", "clipped"),
        "all": end("inner", "clipped", "model"),
    }


def keras_fit(strategy) -> dict:
    """How `fit` of a model of Keras's own ends, with its optimizer and with ours."""

    def end(make_optimizer) -> str:
        def model():
            return keras.Sequential([keras.Input((FEATURES,)), keras.layers.Dense(1)])

        try:
            fitted(strategy, make_optimizer, rows(2), make_model=model)
        except Exception as fault:
            return f"{type(fault).__name__}: {fault}"
        return "trained"

    return {
        "keras": end(lambda: keras.optimizers.Adam(1e-2)),
        "clipped": end(clipped_adam),
    }


MAIN_CASES = [fit, loop, one_update, skip]
MORE_CASES = [changed_limit, accumulation]


def run(strategy, cases, file: Path) -> None:
    results = {
        f"{case.__name__}/{name}": np.asarray(array)
        for case in cases
        for name, array in case(strategy).items()
    }
    np.savez(file, **results)


def main(kind: str, number: str, folder: Path) -> None:
    if kind.startswith("worker"):
        workers = tf.distribute.MultiWorkerMirroredStrategy()
        cases = [*MAIN_CASES, sparse, keras_fit]
        run(
            workers,
            MORE_CASES if kind == "worker_with_more" else cases,
            folder / f"{kind}_{number}.npz",
        )
        return
    cpu = tf.config.list_physical_devices("CPU")[0]
    devices = [f"CPU:{i}" for i in range(int(number))]
    tf.config.set_logical_device_configuration(
        cpu, [tf.config.LogicalDeviceConfiguration()] * len(devices)
    )
    cases = MAIN_CASES
    if len(devices) == 2:
        cases = [*MAIN_CASES, *MORE_CASES, sparse, loss_scale, switched]
        run(tf.distribute.get_strategy(), [*cases, references], folder / "one.npz")
        cases = [*cases, scopes]
    mirrored = tf.distribute.MirroredStrategy(devices)
    run(mirrored, cases, folder / f"mirrored_{number}.npz")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
