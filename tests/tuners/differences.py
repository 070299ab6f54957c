"""Kinds of difference between two models, most of which their `get_config` hides.

Each kind is a function from a value to a small compiled model that depends on the value
in one place. Weights and draws have seeds of their own, so that the scores of its two
models differ by that place alone.
"""

import functools
import os
import types
from collections.abc import Callable
from collections.abc import Iterator
from typing import Any
from typing import NamedTuple

import keras
import keras_tuner
import numpy as np
import tensorflow as tf
from keras import ops

from keras_tricks import optimizers
from keras_tricks import schedules
from keras_tricks import tuners
from keras_tricks.training.compiled.data_order import epoch_order

EPOCHS, BATCH_SIZE, NUM_EXAMPLES = 2, 16, 48


class Kind(NamedTuple):
    """A kind of difference.

    Attributes:
        name: Its name.
        model: Function from a value to a compiled model.
        values: Two values, of a type that a `Choice` may have.
        data: Function that returns `x` and `y`.
        objective: What the search is for.
        is_fed: Whether only numbers that programs are fed differ, so that the two
            models must share a program.
        is_like: A kind that is much like this one and stands for it in the tests;
            `benchmarks/shared_scores.py --kinds` runs all.
        in_graph: Whether some Keras computes another thing eagerly than in `fit`.
    """

    name: str
    model: Callable[[Any], keras.Model]
    values: tuple[Any, Any]
    data: Callable[[], tuple[Any, Any]]
    objective: str
    is_fed: bool
    is_like: str | None
    in_graph: bool = False

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        return self.model(hp.Choice("v", list(self.values)))

    def arrays(self) -> dict[str, Any]:
        """Returns `x`, `y` and `validation_data`."""
        x, y = self.data()
        return {
            "x": keras.tree.map_structure(lambda a: a[:NUM_EXAMPLES], x),
            "y": keras.tree.map_structure(lambda a: a[:NUM_EXAMPLES], y),
            "validation_data": keras.tree.map_structure(
                lambda a: a[NUM_EXAMPLES:], (x, y)
            ),
        }


KINDS: dict[str, Kind] = {}


def number_of_programs(tuner: Any) -> int:
    """Returns how many models a search has compiled programs of."""
    return 0 if tuner.programs is None else len(tuner.programs.programs())


def searched(directory: Any, kind: Kind, **arguments: Any) -> tuners.GridSearch:
    """Returns a search over the two values of a kind."""
    tuner = tuners.GridSearch(
        kind.build,
        keras_tuner.Objective(kind.objective, "min"),
        seed=0,
        directory=directory,
        **arguments,
    )
    tuner.search(**kind.arrays(), epochs=EPOCHS, batch_size=BATCH_SIZE, verbose=0)
    return tuner


def fitted_curves(kind: Kind, value: Any, seed: int) -> dict[str, list[float]]:
    """Returns what Keras's own steps make of one value, without any tuner.

    Args:
        kind: The kind.
        value: One of its values.
        seed: Of the trial.
    """
    keras.utils.set_random_seed(seed)
    model = kind.model(value)
    arrays, curves = kind.arrays(), {}
    data, validation = (arrays["x"], arrays["y"]), arrays["validation_data"]
    steps = [model.train_step, model.test_step]
    if kind.in_graph:
        # Eagerly is quicker, for so few steps.
        steps = [tf.function(step, autograph=False) for step in steps]
    for epoch in range(EPOCHS):
        order = epoch_order(0, epoch, NUM_EXAMPLES)
        logs = _over_batches(model, steps[0], data, order)
        order = np.arange(len(keras.tree.flatten(validation)[0]))
        tested = _over_batches(model, steps[1], validation, order)
        logs |= {f"val_{name}": value for name, value in tested.items()}
        for name, value in logs.items():
            curves.setdefault(name, []).append(float(value))
    return curves


def _over_batches(model: keras.Model, step: Any, data: Any, order: Any) -> Any:
    model.reset_metrics()
    logs: Any = {}
    for first in range(0, len(order), BATCH_SIZE):
        rows = order[first : first + BATCH_SIZE]
        batch = keras.tree.map_structure(
            lambda a, rows=rows: tf.constant(a[rows]), data
        )
        logs = step(batch)
    return dict(logs)


def curves_of(tuner: Any) -> list[dict[str, list[float]]]:
    """Returns the curves of the trials, in their order."""
    return [
        execution.curves
        for record in tuner._ended_records()
        for execution in record.executions
    ]


def settings_of(tuner: Any) -> list[dict[str, Any]]:
    """Returns the settings of the trials, in their order."""
    return [record.settings for record in tuner._ended_records()]


# Data: 48 examples to train on, and 32 others. Both are whole batches, since what
# Keras weights by the size of a batch depends on whether that is known.


def regression() -> tuple[Any, Any]:
    generator = np.random.default_rng(1)
    x = generator.normal(size=(80, 3))
    y = x @ [[1.0], [-1.5], [0.5]] + 0.3 * generator.normal(size=(80, 1)) + 1.0
    return x.astype("float32"), y.astype("float32")


def classification() -> tuple[Any, Any]:
    x, y = regression()
    return x, (y > 0.8).astype("float32")


def classes() -> tuple[Any, Any]:
    x, y = regression()
    return x, np.digitize(y[:, 0], [0.0, 2.0]).astype("int32")


def sequences() -> tuple[Any, Any]:
    generator = np.random.default_rng(2)
    x = generator.normal(size=(80, 4, 3)).astype("float32")
    return x, x.sum(axis=(1, 2))[:, None] / 3


def words() -> tuple[Any, Any]:
    generator = np.random.default_rng(3)
    x = generator.integers(0, 4, (80, 5)).astype("int32")
    return x, (x.sum(axis=1)[:, None] / 4).astype("float32")


def two_inputs() -> tuple[Any, Any]:
    x, y = regression()
    return {"left": x, "right": x[:, :2] ** 2}, y


def two_outputs() -> tuple[Any, Any]:
    x, y = regression()
    return x, {"first": y, "second": np.sin(3 * y)}


# Models.


def weights(seed: int = 1) -> keras.Initializer:
    return keras.initializers.GlorotUniform(seed)


def dense(units: int, activation: Any = None, seed: int = 1, **kwargs: Any):
    kwargs = {"kernel_initializer": weights(seed), **kwargs}
    return keras.layers.Dense(units, activation, **kwargs)


def compiled(
    model: keras.Model, optimizer: Any = None, loss: Any = "mse", **kwargs: Any
) -> keras.Model:
    model.compile(optimizer or keras.optimizers.SGD(0.05), loss, **kwargs)
    return model


def around(*layers: Any, optimizer: Any = None, loss: Any = "mse", **kwargs: Any):
    """Returns `layers` between a layer of four units and one of one."""
    model = keras.Sequential(
        [keras.Input((3,)), dense(4, "tanh"), *layers, dense(1, seed=2)]
    )
    return compiled(model, optimizer, loss, **kwargs)


def kind(
    *values: Any,
    data: Callable = regression,
    objective: str = "val_loss",
    is_fed: bool = False,
    is_like: str | None = None,
    in_graph: bool = False,
):
    """Adds a function of a value to the kinds."""

    def added(model: Callable[[Any], keras.Model]):
        name = model.__name__
        assert name not in KINDS
        KINDS[name] = Kind(
            name, model, values, data, objective, is_fed, is_like, in_graph
        )
        return model

    return added


# What is set in `build` and read when a model trains.

SCALE = 1.0
REGISTRY = {"by": 1.0}
VARIABLE = "KERAS_TRICKS_TEST_SCALE"


class Process:
    """What kinds change in the process, to be put back."""

    def __enter__(self) -> None:
        self._epsilon = keras.config.epsilon()

    def __exit__(self, *_: Any) -> None:
        global SCALE
        SCALE = 1.0
        REGISTRY["by"] = 1.0
        OfClass.by = 1.0
        os.environ.pop(VARIABLE, None)
        keras.config.set_epsilon(self._epsilon)


# Regularizers and constraints.


@kind(0.01, 0.3, is_fed=True, is_like="l2_factor")
def l1_factor(v):
    return around(dense(4, kernel_regularizer=keras.regularizers.L1(v)))


@kind(0.01, 0.3, is_fed=True)
def l2_factor(v):
    return around(dense(4, kernel_regularizer=keras.regularizers.L2(v)))


@kind(0.01, 0.3, is_fed=True, is_like="l2_factor")
def l1_l2_factors(v):
    penalty = keras.regularizers.L1L2(v, v / 2)
    return around(dense(4, kernel_regularizer=penalty))


@kind(0.01, 0.3)
def orthogonal_factor(v):
    penalty = keras.regularizers.OrthogonalRegularizer(v)
    return around(dense(4, kernel_regularizer=penalty))


@kind("rows", "columns", is_like="order_of_arguments")
def orthogonal_mode(v):
    penalty = keras.regularizers.OrthogonalRegularizer(0.3, mode=v)
    return around(dense(3, kernel_regularizer=penalty))


@kind(0.01, 0.3)
def activity_regularizer(v):
    return around(dense(4, activity_regularizer=keras.regularizers.L2(v)))


@kind(0.01, 0.3, is_like="added_loss")
def activity_regularization_layer(v):
    return around(keras.layers.ActivityRegularization(l2=v))


@kind(0.01, 0.3)
def regularizer_that_is_a_function(v):
    return around(dense(4, kernel_regularizer=lambda w: v * ops.sum(ops.square(w))))


class OwnRegularizer(keras.Regularizer):
    def __init__(self, by):
        self.by = by

    def __call__(self, w):
        return self.by * ops.sum(ops.square(w))


@kind(0.01, 0.3)
def own_regularizer(v):
    return around(dense(4, kernel_regularizer=OwnRegularizer(v)))


@kind(0.3, 2.0, is_fed=True, is_like="l2_factor")
def max_norm(v):
    return around(dense(4, kernel_constraint=keras.constraints.MaxNorm(v)))


class OwnConstraint(keras.constraints.Constraint):
    def __init__(self, by):
        self.by = by

    def __call__(self, w):
        return ops.clip(w, -self.by, self.by)


@kind(0.1, 1.0)
def own_constraint(v):
    return around(dense(4, kernel_constraint=OwnConstraint(v)))


class OwnInitializer(keras.Initializer):
    def __init__(self, by):
        self.by = by

    def __call__(self, shape, dtype=None):
        return self.by * ops.ones(shape, dtype)


@kind(0.1, 1.0)
def own_initializer(v):
    return around(dense(4, kernel_initializer=OwnInitializer(v)))


@kind(0.1, 1.0, is_like="own_initializer")
def constant_initializer(v):
    return around(dense(4, bias_initializer=keras.initializers.Constant(v)))


# Losses.


@kind(0.1, 2.0, is_fed=True)
def huber_delta(v):
    return around(loss=keras.losses.Huber(v))


@kind(0.0, 0.3, data=classification, is_fed=True, is_like="huber_delta")
def label_smoothing(v):
    return around(
        loss=keras.losses.BinaryCrossentropy(from_logits=True, label_smoothing=v)
    )


@kind(0.5, 3.0)
def loss_closure(v):
    def loss(y, p):
        return v * ops.mean(ops.abs(y - p), axis=-1)

    return around(loss=loss)


def scaled_error(by):
    def inner(y, p):
        return by * ops.mean(ops.square(y - p), axis=-1)

    return inner


@kind(0.5, 3.0, is_like="loss_closure")
def loss_of_a_factory(v):
    return around(loss=scaled_error(v))


@kind(0.5, 3.0, is_like="loss_closure")
def loss_lambda(v):
    return around(loss=lambda y, p: v * ops.mean(ops.abs(y - p), axis=-1))


@kind(0.5, 3.0)
def loss_default_argument(v):
    def loss(y, p, by=v):
        return by * ops.mean(ops.square(y - p), axis=-1)

    return around(loss=loss)


@kind(0.5, 3.0, is_like="loss_default_argument")
def loss_keyword_default(v):
    def loss(y, p, *, by=v):
        return by * ops.mean(ops.square(y - p), axis=-1)

    return around(loss=loss)


def weighted_error(y, p, by):
    return by * ops.mean(ops.square(y - p), axis=-1)


@kind(0.5, 3.0)
def loss_partial(v):
    loss = functools.partial(weighted_error, by=v)
    loss.__name__ = "weighted_error"
    return around(loss=loss)


@kind(0.5, 3.0)
def loss_function_attribute(v):
    def loss(y, p):
        return loss.by * ops.mean(ops.square(y - p), axis=-1)

    loss.by = v
    return around(loss=loss)


class Scaler:
    def __init__(self, by):
        self.by = by
        self.__name__ = "scaler"

    def error(self, y, p):
        return self.by * ops.mean(ops.square(y - p), axis=-1)

    def scaled(self, x):
        return ops.tanh(self.by * x)

    __call__ = error


@kind(0.5, 3.0, is_like="loss_callable_object")
def loss_bound_method(v):
    return around(loss=Scaler(v).error)


@kind(0.5, 3.0)
def loss_callable_object(v):
    return around(loss=Scaler(v))


@kind(0.5, 3.0)
def loss_closure_over_an_object(v):
    scaler = types.SimpleNamespace(inner=[Scaler(v)])

    def loss(y, p):
        return scaler.inner[0].error(y, p)

    return around(loss=loss)


class ConfiguredLoss(keras.losses.Loss):
    def __init__(self, by, name="configured", **kwargs):
        super().__init__(name=name, **kwargs)
        self.by = by

    def call(self, y, p):
        return self.by * ops.mean(ops.square(y - p), axis=-1)

    def get_config(self):
        return {**super().get_config(), "by": self.by}


class SilentLoss(ConfiguredLoss):
    get_config = keras.losses.Loss.get_config


@kind(0.5, 3.0, is_like="huber_delta")
def loss_subclass_with_config(v):
    return around(loss=ConfiguredLoss(v))


@kind(0.5, 3.0)
def loss_subclass_without_config(v):
    return around(loss=SilentLoss(v))


@kind("mse", "mae")
def loss_by_name(v):
    return around(loss=v)


@kind("sum", "sum_over_batch_size", is_like="loss_by_name")
def loss_reduction(v):
    return around(
        loss=keras.losses.MeanAbsoluteError(reduction=v),
        optimizer=keras.optimizers.SGD(0.005),
    )


@kind(0.5, 3.0, is_like="weights_of_two_losses")
def loss_weights(v):
    return around(loss=["mse"], loss_weights=[v])


@kind(0.5, 3.0)
def global_in_a_loss(v):
    global SCALE
    SCALE = v

    def loss(y, p):
        return SCALE * ops.mean(ops.square(y - p), axis=-1)

    return around(loss=loss)


@kind(0.5, 3.0, is_like="loss_closure_over_an_object")
def attribute_of_a_stock_loss(v):
    loss = keras.losses.MeanSquaredError()
    loss.fn = scaled_error(v)
    return around(loss=loss)


# Metrics: the objective.


@kind(0.5, 3.0, objective="val_metric")
def metric_closure(v):
    def metric(y, p):
        return v * ops.mean(ops.square(y - p), axis=-1)

    return around(metrics=[metric])


@kind(0.5, 3.0, objective="val_metric", is_like="metric_closure")
def metric_default_argument(v):
    def metric(y, p, by=v):
        return by * ops.mean(ops.square(y - p), axis=-1)

    return around(metrics=[metric])


@kind(0.5, 3.0, objective="val_metric", is_like="metric_closure")
def metric_wrapper(v):
    wrapped = keras.metrics.MeanMetricWrapper(scaled_error(v), name="metric")
    return around(metrics=[wrapped])


class OwnMetric(keras.metrics.Metric):
    def __init__(self, by, name="metric"):
        super().__init__(name=name)
        self.by = by
        self.total = self.add_weight(name="total", initializer="zeros")

    def update_state(self, y, p, sample_weight=None):
        self.total.assign_add(self.by * ops.mean(ops.abs(y - p)))

    def result(self):
        return self.total + 0.0


@kind(0.5, 3.0, objective="val_metric")
def metric_attribute(v):
    return around(metrics=[OwnMetric(v)])


@kind(0.5, 3.0, objective="val_metric")
def weighted_metric_closure(v):
    def metric(y, p):
        return v * ops.mean(ops.square(y - p), axis=-1)

    return around(weighted_metrics=[metric])


@kind(0.2, 0.8, data=classification, objective="val_metric", is_like="metric_attribute")
def metric_threshold(v):
    return around(loss="mse", metrics=[keras.metrics.FalsePositives(v, name="metric")])


# Activations and functions in layers.


@kind(0.2, 2.0)
def activation_inner_function(v):
    def activation(x):
        return ops.tanh(v * x)

    return around(dense(4, activation))


@kind(0.2, 2.0, is_like="activation_inner_function")
def activation_lambda(v):
    return around(dense(4, lambda x: ops.sin(v * x)))


def squashed(x, by):
    return ops.tanh(by * x)


@kind(0.2, 2.0)
def activation_partial(v):
    return around(dense(4, functools.partial(squashed, by=v)))


@kind(0.2, 2.0)
def activation_callable_object(v):
    class Squash:
        def __call__(self, x):
            return ops.tanh(v * x)

    return around(dense(4, Squash()))


@kind(0.2, 2.0, is_like="activation_callable_object")
def activation_bound_method(v):
    return around(dense(4, Scaler(v).scaled))


@kind(0.2, 2.0)
def lambda_layer_closure(v):
    return around(keras.layers.Lambda(lambda x: v * x, output_shape=(4,)))


@kind(0.2, 2.0, is_like="lambda_layer_closure")
def lambda_layer_arguments(v):
    layer = keras.layers.Lambda(squashed, output_shape=(4,), arguments={"by": v})
    return around(layer)


# Layers of one's own.


class Times(keras.layers.Layer):
    """Multiplies by an attribute that no configuration shows."""

    def __init__(self, by=1.0, **kwargs):
        super().__init__(**kwargs)
        self.by = by

    def call(self, x):
        return self.by * x


class TimesFunction(Times):
    def call(self, x):
        return self.by() * x


@kind(0.2, 2.0)
def omitted_in_config(v):
    return around(Times(v))


@kind(0.2, 2.0)
def attribute_set_after_construction(v):
    layer = Times()
    model = around(layer)
    layer.by = v
    return model


@kind(0.2, 2.0, is_like="attribute_set_after_construction")
def attribute_set_on_a_stock_layer(v):
    model = around(keras.layers.LeakyReLU(0.1))
    model.layers[1].negative_slope = v
    return model


class OfClass(keras.layers.Layer):
    by = 1.0

    def call(self, x):
        return self.by * x


@kind(0.2, 2.0)
def class_attribute(v):
    OfClass.by = v
    return around(OfClass())


@kind(0.2, 2.0)
def class_made_in_build(v):
    class Local(keras.layers.Layer):
        def call(self, x):
            return v * x

    return around(Local())


@kind(0.2, 2.0, is_like="class_made_in_build")
def inherited_from_a_class_made_in_build(v):
    class Base(keras.layers.Layer):
        by = v

    class Local(Base):
        def call(self, x):
            return self.by * x

    return around(Local())


@kind(0.2, 2.0, is_like="class_made_in_build")
def property_of_a_class_made_in_build(v):
    class Local(keras.layers.Layer):
        @property
        def by(self):
            return v

        def call(self, x):
            return self.by * x

    return around(Local())


class OfGlobal(keras.layers.Layer):
    def call(self, x):
        return SCALE * x


@kind(0.2, 2.0)
def global_in_a_layer(v):
    global SCALE
    SCALE = v
    return around(OfGlobal())


class OfRegistry(keras.layers.Layer):
    def call(self, x):
        return REGISTRY["by"] * x


@kind(0.2, 2.0, is_like="global_in_a_layer")
def entry_of_a_global_dict(v):
    REGISTRY["by"] = v
    return around(OfRegistry())


class OfEnvironment(keras.layers.Layer):
    def call(self, x):
        return float(os.environ[VARIABLE]) * x


@kind(0.2, 2.0)
def environment_variable(v):
    os.environ[VARIABLE] = str(v)
    return around(OfEnvironment())


@kind(0.2, 2.0)
def captured_dict_that_is_mutated(v):
    config = {"by": 1.0}
    model = around(keras.layers.Lambda(lambda x: config["by"] * x, (4,)))
    config["by"] = v
    return model


@kind(0.2, 2.0, is_like="captured_dict_that_is_mutated")
def captured_list_that_is_mutated(v):
    steps = [lambda x: x]
    model = around(TimesFunction(lambda: steps[-1](1.0)))
    steps.append(lambda x: v * x)
    return model


class Slotted:
    __slots__ = ("by",)

    def __init__(self, by):
        self.by = by

    def __call__(self):
        return self.by


@kind(0.2, 2.0)
def object_with_slots(v):
    return around(TimesFunction(Slotted(v)))


@kind(0.2, 2.0, is_like="object_with_slots")
def cached_function(v):
    return around(TimesFunction(functools.lru_cache(lambda: v)))


@kind(0.2, 2.0)
def generator_that_is_read(v):
    def endless() -> Iterator[float]:
        while True:
            yield v

    return around(TimesFunction(endless().__next__))


@kind(0.2, 2.0)
def replaced_call(v):
    layer = Times()
    layer.call = lambda x: v * x
    return around(layer)


@kind(0.2, 2.0, is_like="replaced_call")
def replaced_call_of_a_stock_layer(v):
    layer = dense(4)
    original = layer.call
    layer.call = lambda x, training=None: v * original(x)
    return around(layer)


@kind(0.2, 2.0)
def table_of_a_layer(v):
    class Shift(keras.layers.Layer):
        def __init__(self, table):
            super().__init__()
            self.table = table

        def call(self, x):
            return x * ops.convert_to_tensor(self.table)

    return around(Shift(np.linspace(0.0, v, 4, dtype="float32")))


@kind(0.2, 2.0)
def captured_tensor(v):
    by = tf.constant(v)
    return around(keras.layers.Lambda(lambda x: by * x, (4,)))


@kind(0.2, 2.0)
def captured_variable(v):
    by = tf.Variable(v, trainable=False)
    return around(keras.layers.Lambda(lambda x: by * x, (4,)))


@kind(0.2, 2.0)
def captured_model(v):
    teacher = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(
                4, kernel_initializer=keras.initializers.Constant(v), trainable=False
            ),
        ]
    )
    return around(keras.layers.Lambda(lambda x: teacher(x), (4,)))


@kind(0.0, 2.0)
def captured_gradient(v):
    @tf.custom_gradient
    def slowed(x):
        return tf.identity(x), lambda upstream: v * upstream

    return around(keras.layers.Lambda(slowed, (4,)))


class Added(keras.layers.Layer):
    def __init__(self, by):
        super().__init__()
        self.by = by

    def call(self, x):
        self.add_loss(self.by * ops.mean(ops.square(x)))
        return x


@kind(0.1, 3.0)
def added_loss(v):
    return around(Added(v))


@kind(True, False)
def trainable(v):
    layer = dense(4)
    layer.trainable = v
    return around(layer)


@kind(0.2, 2.0)
def nested_model(v):
    inner = keras.Sequential([keras.Input((4,)), dense(4), Times(v)])
    return around(inner)


# Layers of Keras.


@kind(0.0, 2.0, is_like="normalization_adapted")
def normalization_given(v):
    return around(keras.layers.Normalization(mean=[v] * 4, variance=[1.0 + v] * 4))


@kind(0.5, 3.0)
def normalization_adapted(v):
    layer = keras.layers.Normalization()
    layer.adapt(v * np.random.default_rng(0).normal(size=(32, 3)))
    model = keras.Sequential([keras.Input((3,)), layer, dense(4, "tanh"), dense(1)])
    return compiled(model)


@kind(0.2, 2.0, is_like="leaky_relu_slope")
def rescaling(v):
    return around(keras.layers.Rescaling(v, offset=v / 2))


# Keras 3.11 makes integers of its inputs in a graph.
@kind(0.1, 1.0, in_graph=True)
def discretization(v):
    layer = keras.layers.Discretization([-v, 0.0, v], output_mode="int")
    cast = keras.layers.Lambda(lambda x: ops.cast(x, "float32"), (3,))
    return compiled(keras.Sequential([keras.Input((3,)), layer, cast, dense(1)]))


@kind(0.1, 0.7)
def dropout(v):
    return around(keras.layers.Dropout(v, seed=3))


@kind(0.1, 0.7, is_like="dropout")
def alpha_dropout(v):
    return around(keras.layers.AlphaDropout(v, seed=3))


@kind(0.1, 0.7, is_like="dropout")
def gaussian_dropout(v):
    return around(keras.layers.GaussianDropout(v, seed=3))


@kind(0.1, 0.9)
def gaussian_noise(v):
    return around(keras.layers.GaussianNoise(v, seed=3))


@kind(0.1, 0.7, data=sequences, is_like="dropout")
def spatial_dropout(v):
    layers = [
        keras.layers.SpatialDropout1D(v, seed=3),
        keras.layers.Flatten(),
        dense(1),
    ]
    return compiled(keras.Sequential([keras.Input((4, 3)), *layers]))


@kind(0.1, 0.99)
def batch_normalization_momentum(v):
    return around(keras.layers.BatchNormalization(momentum=v))


@kind(1e-3, 1.0, is_like="batch_normalization_momentum")
def batch_normalization_epsilon(v):
    return around(keras.layers.BatchNormalization(momentum=0.5, epsilon=v))


@kind(1e-3, 1.0, is_like="batch_normalization_momentum")
def layer_normalization_epsilon(v):
    return around(keras.layers.LayerNormalization(epsilon=v))


@kind(0.0, 0.8)
def leaky_relu_slope(v):
    return around(keras.layers.LeakyReLU(v))


@kind(0.1, 2.0, is_like="leaky_relu_slope")
def elu_alpha(v):
    return around(keras.layers.ELU(v))


@kind(0.1, 1.0, is_like="leaky_relu_slope")
def relu_bounds(v):
    return around(keras.layers.ReLU(max_value=v, threshold=v / 4))


@kind(0.05, 0.9, is_like="own_initializer")
def prelu_start(v):
    return around(keras.layers.PReLU(keras.initializers.Constant(v)))


@kind(0.0, 0.7, data=sequences, is_like="dropout")
def attention_dropout(v):
    inputs = keras.Input((4, 3))
    attention = keras.layers.MultiHeadAttention(
        2, 3, dropout=v, seed=3, kernel_initializer=weights()
    )
    x = keras.layers.Flatten()(attention(inputs, inputs))
    return compiled(keras.Model(inputs, dense(1)(x)))


@kind(True, False, data=words)
def mask_of_an_embedding(v):
    layers = [
        keras.layers.Embedding(
            4, 3, keras.initializers.RandomUniform(seed=1), mask_zero=v
        ),
        keras.layers.GlobalAveragePooling1D(),
        dense(1),
    ]
    optimizer = keras.optimizers.SGD(0.2)
    return compiled(keras.Sequential([keras.Input((5,)), *layers]), optimizer)


def recurrent(layer, v, **kwargs):
    layer = layer(
        3,
        kernel_initializer=weights(),
        recurrent_initializer=weights(4),
        seed=3,
        **{"dropout": v, **kwargs},
    )
    model = keras.Sequential([keras.Input((4, 3)), layer, dense(1)])
    return compiled(model, keras.optimizers.SGD(0.2))


@kind(0.0, 0.7, data=sequences)
def lstm_dropout(v):
    return recurrent(keras.layers.LSTM, v)


@kind(0.0, 0.7, data=sequences, is_like="lstm_dropout")
def gru_dropout(v):
    return recurrent(keras.layers.GRU, v)


@kind(0.2, 2.0, data=sequences)
def activation_of_a_loop(v):
    return recurrent(keras.layers.SimpleRNN, 0.0, activation=lambda x: ops.tanh(v * x))


@kind(1, 2, data=sequences, is_like="order_of_arguments")
def convolution_dilation(v):
    layers = [
        keras.layers.Conv1D(
            2, 2, padding="same", dilation_rate=v, kernel_initializer=weights()
        ),
        keras.layers.Flatten(),
        dense(1),
    ]
    return compiled(keras.Sequential([keras.Input((4, 3)), *layers]))


@kind(0.2, 2.0, data=sequences)
def time_distributed(v):
    layers = [
        keras.layers.TimeDistributed(dense(2, lambda x: ops.tanh(v * x))),
        keras.layers.Flatten(),
        dense(1),
    ]
    return compiled(keras.Sequential([keras.Input((4, 3)), *layers]))


# Functional models.


def functional(output: Callable[[Any], Any]) -> keras.Model:
    inputs = keras.Input((3,))
    hidden = output(dense(4, "tanh")(inputs))
    return compiled(keras.Model(inputs, dense(1, seed=2)(hidden)))


@kind(0.2, 2.0)
def constant_factor(v):
    return functional(lambda x: x * v)


@kind(0.0, 2.0, is_like="constant_factor")
def constant_of_an_operation(v):
    return functional(lambda x: ops.maximum(ops.add(x, v), 0.1))


@kind(0.1, 1.0)
def bounds_of_clip(v):
    return functional(lambda x: ops.clip(x, -v, v))


@kind(0.2, 2.0, is_like="constant_factor")
def captured_by_an_operation(v):
    return functional(lambda x: x * ops.convert_to_tensor(np.full(4, v, "float32")))


@kind(0.2, 2.0)
def layer_called_twice(v):
    layer = dense(4, "tanh", seed=5)
    return functional(lambda x: layer(v * layer(x)))


@kind("once", "twice", is_like="order_of_arguments")
def number_of_calls(v):
    layer = dense(4, "tanh", seed=5)
    return functional(lambda x: layer(layer(x)) if v == "twice" else layer(x))


@kind("first", "second")
def order_of_arguments(v):
    one, other = dense(4, "tanh", seed=5), dense(4, "tanh", seed=6)

    def output(x):
        x, y = one(x), other(x)
        return ops.subtract(x, y) if v == "first" else ops.subtract(y, x)

    return functional(output)


@kind(0.2, 2.0, data=two_inputs)
def two_inputs_and_a_constant(v):
    left, right = keras.Input((3,), name="left"), keras.Input((2,), name="right")
    x = dense(4)(left) + v * dense(4)(right)
    return compiled(
        keras.Model({"left": left, "right": right}, dense(1)(keras.ops.tanh(x)))
    )


@kind(0.1, 2.0, data=two_outputs)
def weights_of_two_losses(v):
    inputs = keras.Input((3,))
    x = dense(4, "tanh")(inputs)
    outputs = {
        "first": dense(1, seed=2, name="first")(x),
        "second": dense(1, seed=3, name="second")(x),
    }
    model = keras.Model(inputs, outputs)
    return compiled(
        model,
        loss={"first": "mse", "second": "mae"},
        loss_weights={"first": 1.0, "second": v},
    )


# Models of one's own.


class OwnModel(keras.Model):
    def __init__(self, by):
        super().__init__()
        self.by = by
        self.first, self.last = dense(4, "tanh"), dense(1)

    def build(self, shape):
        self.first.build(shape)
        self.last.build((None, 4))

    def call(self, x):
        return self.last(self.by * self.first(x))


@kind(0.2, 2.0)
def attribute_of_a_model(v):
    model = OwnModel(v)
    model.build((None, 3))
    return compiled(model)


class OwnComputedLoss(keras.Model):
    by = 1.0

    def compute_loss(self, *args, **kwargs):
        return self.by * super().compute_loss(*args, **kwargs)


@kind(0.2, 2.0)
def attribute_of_compute_loss(v):
    inputs = keras.Input((3,))
    model = OwnComputedLoss(inputs, dense(1)(dense(4, "tanh")(inputs)))
    model.by = v
    return compiled(model)


class OwnTrainStep(OwnComputedLoss):
    def compute_loss(self, *args, **kwargs):
        return keras.Model.compute_loss(self, *args, **kwargs)

    def train_step(self, data):
        x, y, weight = keras.utils.unpack_x_y_sample_weight(data)
        return super().train_step((self.by * x, y, weight))


@kind(0.2, 2.0)
def attribute_of_train_step(v):
    inputs = keras.Input((3,))
    model = OwnTrainStep(inputs, dense(1)(dense(4, "tanh")(inputs)))
    model.by = v
    return compiled(model)


@kind(1e-7, 1.0)
def epsilon_of_keras(v):
    keras.config.set_epsilon(v)
    return around(loss="mape")


# Optimizers.


@kind(0.01, 0.2, is_fed=True, is_like="schedule_of_this_package")
def learning_rate(v):
    return around(optimizer=keras.optimizers.SGD(v))


@kind(0.1, 0.9, is_fed=True)
def sgd_momentum(v):
    return around(optimizer=keras.optimizers.SGD(0.05, v))


@kind(True, False, is_like="order_of_arguments")
def sgd_nesterov(v):
    return around(optimizer=keras.optimizers.SGD(0.05, 0.9, nesterov=v))


@kind(1e-7, 1.0, is_fed=True, is_like="adam_betas")
def adam_epsilon(v):
    return around(optimizer=keras.optimizers.Adam(0.05, epsilon=v))


@kind(0.1, 0.99, is_fed=True)
def adam_betas(v):
    return around(optimizer=keras.optimizers.Adam(0.2, beta_1=v, beta_2=v))


@kind(0.0, 5.0, is_fed=True, is_like="adam_weight_decay")
def adamw_decay(v):
    return around(optimizer=keras.optimizers.AdamW(0.05, weight_decay=v + 0.01))


@kind("bias", "kernel")
def excluded_from_decay(v):
    optimizer = keras.optimizers.AdamW(0.05, weight_decay=5.0)
    optimizer.exclude_from_weight_decay(var_names=[v])
    return around(optimizer=optimizer)


@kind(0.01, 1.0, is_like="global_clipnorm")
def clipnorm(v):
    return around(optimizer=keras.optimizers.SGD(0.1, clipnorm=v))


@kind(0.01, 1.0, is_like="global_clipnorm")
def clipvalue(v):
    return around(optimizer=keras.optimizers.SGD(0.1, clipvalue=v))


@kind(0.01, 1.0)
def global_clipnorm(v):
    return around(optimizer=keras.optimizers.SGD(0.1, global_clipnorm=v))


@kind(0.01, 1.0, is_fed=True)
def clipped_optimizer(v):
    inner = keras.optimizers.SGD(0.1)
    return around(optimizer=optimizers.ClippedOptimizer(inner, global_clipnorm=v))


@kind(0.01, 5.0, is_fed=True)
def adam_weight_decay(v):
    return around(optimizer=optimizers.AdamWeightDecay(0.05, weight_decay=v))


@kind(0.1, 0.99)
def averages_of_weights(v):
    return around(
        optimizer=keras.optimizers.SGD(
            0.05, use_ema=True, ema_momentum=v, ema_overwrite_frequency=2
        )
    )


@kind(1, 2, is_like="averages_of_weights")
def accumulated_gradients(v):
    return around(
        optimizer=keras.optimizers.SGD(
            0.1, gradient_accumulation_steps=2 if v == 2 else None
        )
    )


class CustomSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """That of TensorFlow's tutorial on the Transformer, which has no `get_config`."""

    def __init__(self, d_model, warmup_steps=4):
        super().__init__()
        self.d_model = tf.cast(d_model, tf.float32)
        self.warmup_steps = warmup_steps

    def __call__(self, step):
        step = tf.cast(step, dtype=tf.float32)
        arg1 = tf.math.rsqrt(step + 1.0)
        arg2 = (step + 1.0) * (self.warmup_steps**-1.5)
        return tf.math.rsqrt(self.d_model) * tf.math.minimum(arg1, arg2)


@kind(2, 512)
def schedule_without_config(v):
    return around(optimizer=keras.optimizers.Adam(CustomSchedule(v)))


@kind(0.01, 0.2, is_fed=True)
def schedule_of_this_package(v):
    schedule = schedules.Warmup(
        keras.optimizers.schedules.CosineDecay(v, 6), warmup_steps=2
    )
    return around(optimizer=keras.optimizers.SGD(schedule))


@kind(0.01, 0.2)
def rate_that_is_a_function(v):
    return around(optimizer=keras.optimizers.SGD(lambda: v))


@kind(0.2, 2.0)
def replaced_update_of_an_optimizer(v):
    optimizer = keras.optimizers.SGD(0.05)
    original = optimizer.update_step

    def update_step(gradient, variable, rate):
        return original(v * gradient, variable, rate)

    optimizer.update_step = update_step
    return around(optimizer=optimizer)


class OwnOptimizer(keras.optimizers.SGD):
    def __init__(self, rate, by):
        super().__init__(rate)
        self.by = by

    def update_step(self, gradient, variable, learning_rate):
        super().update_step(self.by * gradient, variable, learning_rate)


@kind(0.2, 2.0, is_like="replaced_update_of_an_optimizer")
def own_optimizer(v):
    return around(optimizer=OwnOptimizer(0.05, v))


@kind(0.1, 5.0)
def attribute_set_on_a_stock_optimizer(v):
    optimizer = keras.optimizers.Adam(0.05)
    optimizer.epsilon = v
    return around(optimizer=optimizer)
